/* devices/faults.cu - small kernels for test_faults.c, and one of each fault that a kernel can
 * have. */
#include "faults.h"
#include "launch.h"

static __global__ void iota(int64_t n, float *x)
{
    CUDA_EACH(i, n)
    x[i] = (float)i;
}

static __global__ void twice(int64_t n, const float *x, float *y)
{
    CUDA_EACH(i, n)
    y[i] = 2.0f * x[i];
}

/* y[block] = the sum over the block's threads of x[thread], by dynamic shared memory. */
static __global__ void block_sums(const float *x, float *y)
{
    CUDA_SHARED(float, all);
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    float sum = 0.0f;
    for (unsigned i = 0; i < blockDim.x; i++)
        sum += all[i];
    y[(int64_t)blockIdx.x * blockDim.x + threadIdx.x] = sum + cuda_block_sum(0.0f);
}

static __global__ void write_at(int64_t i, float *x)
{
    x[i] = 1.0f;
}

static __global__ void write_of(fault_struct s)
{
    if (s.count > 0)
        s.x[0] = 1.0f;
}

static __global__ void some_meet(unsigned threads)
{
    if (threadIdx.x < threads)
        __syncthreads();
}

static __global__ void some_shuffle(int lanes, float *y)
{
    float x = (float)threadIdx.x;
    if ((int)threadIdx.x % 32 < lanes)
        x = __shfl_xor_sync(0xffffffffu, x, 1);
    y[threadIdx.x] = x;
}

static __global__ void mixed_shuffles(float *y)
{
    float x = (float)threadIdx.x;
    if (threadIdx.x % 2 == 0)
        x = __shfl_xor_sync(0xffffffffu, x, 1);
    else
        x = __shfl_down_sync(0xffffffffu, x, 1);
    y[threadIdx.x] = x;
}

static __global__ void half_mask(float *y)
{
    y[threadIdx.x] = __shfl_xor_sync(0xffffu, (float)threadIdx.x, 1);
}

static __global__ void write_shared(int i)
{
    CUDA_SHARED(float, all);
    all[i] = 1.0f;
}

/* y[thread] = what each kind of shuffle gives, one row of 32 after the other. */
static __global__ void shuffles(double *y)
{
    const int lane = (int)threadIdx.x;
    const double x = 100.0 + lane;
    y[lane] = __shfl_sync(0xffffffffu, x, 5);
    y[32 + lane] = __shfl_xor_sync(0xffffffffu, x, 3);
    y[64 + lane] = __shfl_down_sync(0xffffffffu, x, 4, 8);
    y[96 + lane] = (double)__ballot_sync(0xffffffffu, lane % 3 == 0);
}

void fault_iota(int64_t n, float *x)
{
    CUDA_LAUNCH(iota, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, x);
}

void fault_twice(int64_t n, const float *x, float *y)
{
    CUDA_LAUNCH(twice, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, x, y);
}

void fault_block_sums(int blocks, int threads, int64_t shared_bytes, const float *x, float *y)
{
    CUDA_LAUNCH(block_sums, blocks, threads, shared_bytes, x, y);
}

void fault_write_at(int64_t i, float *x)
{
    CUDA_LAUNCH(write_at, 1, 1, 0, i, x);
}

void fault_write_of(fault_struct s)
{
    CUDA_LAUNCH(write_of, 1, 1, 0, s);
}

void fault_some_meet(unsigned threads)
{
    CUDA_LAUNCH(some_meet, 2, 64, 0, threads);
}

void fault_some_shuffle(int threads, int lanes, float *y)
{
    CUDA_LAUNCH(some_shuffle, 1, threads, 0, lanes, y);
}

void fault_mixed_shuffles(float *y)
{
    CUDA_LAUNCH(mixed_shuffles, 1, 32, 0, y);
}

void fault_half_mask(float *y)
{
    CUDA_LAUNCH(half_mask, 1, 32, 0, y);
}

void fault_write_shared(int i, int64_t shared_bytes)
{
    CUDA_LAUNCH(write_shared, 1, 1, shared_bytes, i);
}

void fault_shuffles(double *y)
{
    CUDA_LAUNCH(shuffles, 1, 32, 0, y);
}
