/* memory.h - the device's memory and what travels to and from it (pool.c, move.c). */
#ifndef ASSAY_CUDA_MEMORY_H
#define ASSAY_CUDA_MEMORY_H

#include "cuda.h"

extern const device_memory cuda_memory;

/* Makes the second stream, its events and the pinned buffers. False after a noted failure. */
bool memory_open(void);

/* ---- the pool (pool.c) ---- */

/* A piece of at least `bytes`, aligned as cudaMalloc aligns: to 256. The first kernel that may use
 * it is launched after this call: everything that was launched before may use it still. */
void *pool_take(int64_t bytes, assay_error *error);
void pool_give(void *piece);
int64_t pool_takes(void); /* pieces handed out so far */
int64_t pool_held(void);
int64_t pool_peak(void);

#endif
