/* cuda.h - what the parts of the CUDA device share: the chosen GPU's compute stream, the first
 * failure, and memory for one call. The libraries' handles are with those who call them
 * (products.c, dnn.h), the kernels in kernels.h.
 *
 * One process uses one GPU. Kernels and library calls go to one compute stream in the order of the
 * calls; what the host sends travels on a second one (move.c). A kernel cannot return an error, so
 * the first failure is kept here and reported by whoever next asks (cuda_failed): the end of a
 * step, a download. */
#ifndef ASSAY_CUDA_CUDA_H
#define ASSAY_CUDA_CUDA_H

#include "engine/device/device.h"

#include <cuda_runtime_api.h>

/* NULL before the device is open. */
cudaStream_t cuda_compute_stream(void);

/* Keeps the first failure: `call` is the function's or kernel's name, `status` its text. */
void cuda_note_failure(const char *call, const char *status);
/* The same, of a failure that is told already. */
void cuda_note_error(const assay_error *failure);
/* True, with *error filled, when anything has failed since the device was opened. Memory that there
 * was not enough of is told once: the work that missed it ends, and what comes after it may need
 * less. */
bool cuda_failed(assay_error *error);
/* cudaSuccess, or the failure is noted. `call` is static. */
bool cuda_ok(cudaError_t status, const char *call);
/* After a launch: its configuration errors. */
void cuda_launched(const char *kernel);

/* Memory for the call under way and the ones behind it on the compute stream: `bytes` aligned to
 * 256, the same memory at every call (grown when a call wants more). NULL after a failure, which is
 * noted. */
void *cuda_workspace(int64_t bytes);

/* A copy of n bytes of the host's, ready for kernels launched from now on: for small tables that a
 * launch needs (pointers of prefixes). Valid for the next launch only. NULL after a noted
 * failure. */
const void *cuda_small(const void *bytes, int64_t n);

#endif
