/* teams.h - rows of numbers, each taken by a team of threads: a warp where rows are short, a block
 * where they are long.
 *
 * Kernels are written once, with `WHOLE` true for a block. A loop over a row is
 *
 *   CUDA_TEAM_ROWS(WHOLE, r, rows)
 *       for (int64_t j = cuda_team_lane<WHOLE>(); j < width; j += cuda_team_size<WHOLE>())
 *
 * and all threads of a team do the same number of rounds over rows, so that they meet in the
 * sums. */
#ifndef ASSAY_CUDA_TEAMS_H
#define ASSAY_CUDA_TEAMS_H

#include "launch.h"

enum {
    CUDA_TEAM_LONG = 1024,      /* rows of more numbers are taken by a block */
    CUDA_TEAM_VERY_LONG = 8192, /* and of more than these by a block of CUDA_TEAM_MOST threads */
    CUDA_TEAM_MOST = 512,
};

/* for each row r of 0 .. rows-1 that is this thread's team's */
#define CUDA_TEAM_ROWS(whole, r, rows)                                                             \
    for (int64_t r = cuda_team_first<whole>(); r < (rows); r += cuda_team_step<whole>())

template <bool WHOLE> static __device__ inline int64_t cuda_team_first()
{
    return WHOLE ? (int64_t)blockIdx.x
                 : ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / CUDA_WARP;
}

template <bool WHOLE> static __device__ inline int64_t cuda_team_step()
{
    return WHOLE ? (int64_t)gridDim.x : (int64_t)gridDim.x * blockDim.x / CUDA_WARP;
}

template <bool WHOLE> static __device__ inline int cuda_team_lane()
{
    return WHOLE ? (int)threadIdx.x : (int)threadIdx.x % CUDA_WARP;
}

template <bool WHOLE> static __device__ inline int cuda_team_size()
{
    return WHOLE ? (int)blockDim.x : (int)CUDA_WARP;
}

template <bool WHOLE, typename T> static __device__ inline T cuda_team_sum(T x)
{
    return WHOLE ? cuda_block_sum(x) : cuda_warp_sum(x);
}

template <bool WHOLE> static __device__ inline float cuda_team_max(float x)
{
    return WHOLE ? cuda_block_max(x) : cuda_warp_max(x);
}

/* Threads of a block, and blocks, for `rows` rows of `width`. They depend on the sizes alone. */
static inline bool cuda_team_whole(int64_t width)
{
    return width > CUDA_TEAM_LONG;
}

static inline int64_t cuda_team_threads(int64_t width)
{
    if (!cuda_team_whole(width))
        return CUDA_ROW_BLOCK;
    return width > CUDA_TEAM_VERY_LONG ? (int)CUDA_TEAM_MOST : (int)CUDA_BLOCK;
}

static inline int64_t cuda_team_blocks(int64_t rows, int64_t width)
{
    return cuda_blocks(rows, cuda_team_whole(width) ? 1 : CUDA_ROW_BLOCK / CUDA_WARP);
}

/* Launches kernel<WHOLE> on the rows: a kernel that strides over them by CUDA_TEAM_ROWS. */
#define CUDA_TEAM_LAUNCH(kernel, rows, width, ...)                                                 \
    do {                                                                                           \
        if (cuda_team_whole(width))                                                                \
            CUDA_LAUNCH(kernel<true>, cuda_team_blocks(rows, width), cuda_team_threads(width), 0,  \
                        __VA_ARGS__);                                                              \
        else                                                                                       \
            CUDA_LAUNCH(kernel<false>, cuda_team_blocks(rows, width), cuda_team_threads(width), 0, \
                        __VA_ARGS__);                                                              \
    } while (0)

/* Whether rows of `width` floats can be read four at a time. */
static inline bool cuda_by_fours(const void *x, int64_t width)
{
    return (uintptr_t)x % 16 == 0 && width % 4 == 0;
}

/* ---- sums of exponentials ----
 * The largest number met and the sum of exp(x - largest), in one pass. A NaN makes the sum one; so
 * does a row of nothing but -infinity, as in the formula. */

typedef struct cuda_exp_sum {
    float largest, sum;
} cuda_exp_sum;

static __device__ inline cuda_exp_sum cuda_exp_sum_none()
{
    cuda_exp_sum none = {-INFINITY, 0.0f};
    return none;
}

static __device__ inline void cuda_exp_sum_meet(cuda_exp_sum *s, float x)
{
    if (x > s->largest) {
        s->sum = s->sum * expf(s->largest - x) + 1.0f;
        s->largest = x;
    } else if (x != -INFINITY) {
        s->sum += expf(x - s->largest);
    }
}

/* Four at once: one look at the largest. */
static __device__ inline void cuda_exp_sum_meet4(cuda_exp_sum *s, float4 x)
{
    float top = fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)); /* passes over a NaN */
    if (top > s->largest) {
        s->sum *= expf(s->largest - top);
        s->largest = top;
    }
    if (s->largest == -INFINITY) /* nothing but -infinity so far, or NaN */
        s->sum += (x.x + x.y) + (x.z + x.w) == -INFINITY ? 0.0f : NAN;
    else
        s->sum += (expf(x.x - s->largest) + expf(x.y - s->largest)) +
                  (expf(x.z - s->largest) + expf(x.w - s->largest));
}

/* One thread's numbers of a row of `width`; `fours` as cuda_by_fours says. */
template <bool WHOLE>
static __device__ inline cuda_exp_sum cuda_exp_sum_share(int64_t width, const float *x, bool fours)
{
    cuda_exp_sum mine = cuda_exp_sum_none();
    if (fours) {
        const float4 *four = (const float4 *)x;
        for (int64_t j = cuda_team_lane<WHOLE>(); j < width / 4; j += cuda_team_size<WHOLE>())
            cuda_exp_sum_meet4(&mine, four[j]);
    } else {
        for (int64_t j = cuda_team_lane<WHOLE>(); j < width; j += cuda_team_size<WHOLE>())
            cuda_exp_sum_meet(&mine, x[j]);
    }
    return mine;
}

/* The team's largest, and its sum in double. Every thread of the team calls. */
template <bool WHOLE>
static __device__ inline double cuda_exp_sum_team(cuda_exp_sum mine, float *largest)
{
    *largest = cuda_team_max<WHOLE>(mine.largest);
    return cuda_team_sum<WHOLE>((double)mine.sum * (double)expf(mine.largest - *largest));
}

#endif
