/* launch.h - how kernels are written here so that one text compiles for the GPU and for the host.
 *
 * nvcc compiles the .cu files for the device. A C++ compiler compiles the same files with
 * ASSAY_STANDIN defined: then tests/devices/standin/shim.h gives the CUDA words (__global__,
 * threadIdx, __syncthreads, __shfl_xor_sync ...) a meaning on the host, and every block and thread
 * runs there, barriers included. What a kernel may use is therefore what shim.h knows:
 *
 * - __global__ and __device__ functions, threadIdx, blockIdx, blockDim, gridDim (x, y, z);
 * - static __shared__ arrays, and CUDA_SHARED(type, name) for the bytes given at the launch;
 * - __syncthreads, __syncwarp, __shfl_sync, __shfl_xor_sync, __shfl_down_sync with all 32 lanes;
 * - fmaf, expf, logf, rsqrtf ... of math.h in fp32 and double; __float_as_uint and its kin.
 *
 * No atomics on numbers: their order is chance, and results may not depend on scheduling. A sum
 * over many blocks is cut into DEVICE_PARTITIONS fixed pieces (or pieces of a fixed size) whose
 * partial sums are added in order.
 *
 * Every launch goes to the device's one compute stream, in order, and returns at once. */
#ifndef ASSAY_CUDA_LAUNCH_H
#define ASSAY_CUDA_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif
#include "cuda.h"
#ifdef __cplusplus
}
#endif

#ifdef ASSAY_STANDIN
#include "shim.h"
#define CUDA_SHARED(type, name) type *name = (type *)standin_shared()
#define CUDA_LAUNCH(kernel, blocks, threads, shared_bytes, ...)                                    \
    do {                                                                                           \
        const dim3 launch_blocks = cuda_dim(blocks), launch_threads = cuda_dim(threads);           \
        if (cuda_may_launch(#kernel, launch_blocks, launch_threads))                               \
            standin_launch(#kernel, launch_blocks, launch_threads, (size_t)(shared_bytes),         \
                           cuda_compute_stream(), standin_bind(kernel, __VA_ARGS__));              \
        cuda_launched(#kernel);                                                                    \
    } while (0)
#else
#define CUDA_SHARED(type, name)                                                                    \
    extern __shared__ __align__(16) unsigned char cuda_shared_bytes[];                             \
    type *name = (type *)cuda_shared_bytes
#define CUDA_LAUNCH(kernel, blocks, threads, shared_bytes, ...)                                    \
    do {                                                                                           \
        const dim3 launch_blocks = cuda_dim(blocks), launch_threads = cuda_dim(threads);           \
        if (cuda_may_launch(#kernel, launch_blocks, launch_threads))                               \
            kernel<<<launch_blocks, launch_threads, (size_t)(shared_bytes),                        \
                     cuda_compute_stream()>>>(__VA_ARGS__);                                        \
        cuda_launched(#kernel);                                                                    \
    } while (0)
#endif

enum {
    CUDA_WARP = 32,
    CUDA_BLOCK = 256,           /* threads of a kernel over elements */
    CUDA_ROW_BLOCK = 128,       /* threads of a kernel over a row */
    CUDA_MOST_BLOCKS_Y = 65535, /* of gridDim.y and gridDim.z */
};

static inline dim3 cuda_dim(dim3 size)
{
    return size;
}
static inline dim3 cuda_dim(int64_t x)
{
    return dim3((unsigned)x, 1, 1);
}

/* A launch of no blocks is an error to the runtime and nothing to us: sizes may be 0. */
static inline bool cuda_may_launch(const char *kernel, dim3 blocks, dim3 threads)
{
    (void)kernel;
    return blocks.x > 0 && blocks.y > 0 && blocks.z > 0 && threads.x > 0;
}

/* Blocks that give each of n elements a thread, at most 2^20: kernels over elements walk on with a
 * stride of the whole grid (CUDA_EACH). */
static inline int64_t cuda_blocks(int64_t n, int64_t threads)
{
    int64_t blocks = (n + threads - 1) / threads;
    return blocks < ((int64_t)1 << 20) ? blocks : (int64_t)1 << 20;
}

/* for each i of 0 .. n-1 that is this thread's */
#define CUDA_EACH(i, n)                                                                            \
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n);                      \
         i += (int64_t)gridDim.x * blockDim.x)

/* ---- sums and maxima of a block ----
 * For blocks of whole warps, one-dimensional, up to 1,024 threads. Every thread of the block calls
 * and gets the result. The order of additions is fixed by the block's size. */

template <typename T> static __device__ inline T cuda_warp_sum(T x)
{
    for (int lanes = CUDA_WARP / 2; lanes > 0; lanes /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, lanes);
    return x;
}

static __device__ inline float cuda_warp_max(float x)
{
    for (int lanes = CUDA_WARP / 2; lanes > 0; lanes /= 2) {
        float other = __shfl_xor_sync(0xffffffffu, x, lanes);
        x = other > x || isnan(other) ? other : x; /* a NaN wins: it may not vanish */
    }
    return x;
}

template <typename T> static __device__ inline T cuda_block_sum(T x)
{
    static __shared__ T parts[CUDA_WARP];
    int warp = (int)threadIdx.x / CUDA_WARP, lane = (int)threadIdx.x % CUDA_WARP;
    int warps = (int)blockDim.x / CUDA_WARP;
    x = cuda_warp_sum(x);
    if (warps == 1)
        return x;
    __syncthreads(); /* the last call's parts have been read */
    if (lane == 0)
        parts[warp] = x;
    __syncthreads();
    return cuda_warp_sum(lane < warps ? parts[lane] : (T)0);
}

static __device__ inline float cuda_block_max(float x)
{
    static __shared__ float parts[CUDA_WARP];
    int warp = (int)threadIdx.x / CUDA_WARP, lane = (int)threadIdx.x % CUDA_WARP;
    int warps = (int)blockDim.x / CUDA_WARP;
    x = cuda_warp_max(x);
    if (warps == 1)
        return x;
    __syncthreads();
    if (lane == 0)
        parts[warp] = x;
    __syncthreads();
    return cuda_warp_max(lane < warps ? parts[lane] : -INFINITY);
}

#endif
