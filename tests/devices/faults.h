/* devices/faults.h - the launches of faults.cu, on the stream of cuda_compute_stream(). */
#ifndef ASSAY_TESTS_DEVICES_FAULTS_H
#define ASSAY_TESTS_DEVICES_FAULTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fault_struct {
    int64_t count;
    float *x;
} fault_struct;

void fault_iota(int64_t n, float *x);                  /* x[i] = i */
void fault_twice(int64_t n, const float *x, float *y); /* y = 2 x */
/* y (blocks, threads) = the sum of x (threads), by an array in shared memory */
void fault_block_sums(int blocks, int threads, int64_t shared_bytes, const float *x, float *y);
void fault_write_at(int64_t i, float *x);
void fault_write_of(fault_struct s);                       /* writes x[0] if count > 0 */
void fault_some_meet(unsigned threads);                    /* the first of 64 */
void fault_some_shuffle(int threads, int lanes, float *y); /* the first lanes of each warp */
void fault_mixed_shuffles(float *y);                       /* even lanes one, odd another */
void fault_half_mask(float *y);                            /* a mask of 16 lanes */
void fault_write_shared(int i, int64_t shared_bytes);      /* float i */
void fault_shuffles(double *y); /* (4, 32): shfl, xor, down in groups of 8, ballot */

#ifdef __cplusplus
}
#endif

#endif
