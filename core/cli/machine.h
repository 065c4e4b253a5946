/* cli/machine.h - the machine that this program runs on, as the kernel tells it. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include <stdint.h>

typedef struct machine {
    char processor[128]; /* "AMD EPYC 9B45"; "unknown" */
    char features[256];  /* the vector extensions that kernels choose among: "avx2 fma avx512f" */
    int cores;           /* that this process may use */
    int64_t memory;      /* bytes */
} machine;

void machine_look(machine *out);

#endif
