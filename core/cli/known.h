/* cli/known.h - what the store already knows of a plan's runs. */
#ifndef CLI_KNOWN_H
#define CLI_KNOWN_H

#include "lab/script/plan.h"

typedef struct known_run {
    char status[16];     /* of this very run; "" when the store has none */
    int64_t run_id;      /* 0 without one */
    double own_seconds;  /* that its attempts took when it is done; 0: unknown */
    double cell_seconds; /* mean over the cell's runs that are done; 0: none */
} known_run;

/* Fills out[plan->run_count] from the store at `path`; a store that is not there knows nothing. */
bool known_read(const char *path, const plan *plan, known_run *out, assay_error *error);

#endif
