/* bench/timing.h - times a training step of the engine: one to warm up, then the median of the
 * rest, as one JSON line that scripts/bench sets beside its peer's. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <assay/assay.h>

/* BENCH_TINY is 1 in the programs named ..._tiny: the same step at a size that the stand-in of a
 * GPU takes in seconds, to rehearse scripts/gpu-check. Its times mean nothing. The peers read
 * PEER_TINY. */

typedef struct timed {
    const char *name; /* "decoder": of the program */
    const char *unit; /* "tokens" or "images" */
    double units;     /* of one step */
    bool (*set_up)(void *user, assay_precision precision, assay_error *error);
    bool (*step)(void *user, uint64_t clock, double *loss, assay_error *error);
    double (*work)(
        const void *user); /* floating point operations of one step, as the peer counts */
    assay_tape *(*tape)(void *user);
} timed;

/* usage: PROGRAM [fp32|bf16|tf32] [threads] [steps] [--profile]; the program's exit status. */
int timing_main(int argc, char **argv, const timed *what, void *user);

/* The CPU, or the GPU of the device plugin whose file ASSAY_BENCH_DEVICE names. */
const assay_device *bench_device(assay_error *error);

#endif
