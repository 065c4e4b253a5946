/* planes.h - kernels over maps (planes, pixels): a thread works out the place of its pixel once and
 * does it for several planes. */
#ifndef ASSAY_CUDA_PLANES_H
#define ASSAY_CUDA_PLANES_H

#include "launch.h"

/* Threads that fill a large GPU and leave something to choose from. */
#define CUDA_PLANES_THREADS ((int64_t)1 << 20)

/* for each plane p of 0 .. planes-1 that is this thread's */
#define CUDA_EACH_PLANE(p, planes) for (int64_t p = blockIdx.y; p < (planes); p += gridDim.y)

/* Blocks of `threads` threads for CUDA_EACH over the pixels and CUDA_EACH_PLANE inside: as many
 * planes beside each other as it takes to fill the GPU. `per` threads share a pixel. */
static inline dim3 cuda_plane_blocks_of(int64_t pixels, int64_t per, int64_t planes,
                                        int64_t threads)
{
    int64_t across = cuda_blocks(pixels * per, threads), beside = 1;
    if (across > 0)
        beside = (CUDA_PLANES_THREADS / threads + across - 1) / across;
    beside = beside < planes ? beside : planes;
    beside = beside < CUDA_MOST_BLOCKS_Y ? beside : (int64_t)CUDA_MOST_BLOCKS_Y;
    return dim3((unsigned)across, (unsigned)beside, 1);
}

static inline dim3 cuda_plane_blocks(int64_t pixels, int64_t planes)
{
    return cuda_plane_blocks_of(pixels, 1, planes, CUDA_BLOCK);
}

/* Cells [first, end) of `from` that window i of `to` covers; neighbouring windows may share some.
 * With the two swapped: the windows that cover cell i. */
static __device__ inline int64_t window_first(int64_t i, int64_t from, int64_t to)
{
    return i * from / to;
}

static __device__ inline int64_t window_end(int64_t i, int64_t from, int64_t to)
{
    return ((i + 1) * from + to - 1) / to;
}

#endif
