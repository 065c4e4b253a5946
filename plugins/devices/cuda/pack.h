/* pack.h - four neighbouring numbers at once.
 *
 * A kernel that is bound by memory moves 16 bytes with each instruction where it can: where every
 * array starts at a multiple of 16 bytes and what is walked divides by four. Kernels are written
 * once, with the number V of neighbours that a thread takes, 4 or 1. */
#ifndef ASSAY_CUDA_PACK_H
#define ASSAY_CUDA_PACK_H

#include "teams.h"

template <typename T, int V> struct alignas(V * sizeof(T)) cuda_pack {
    T at[V];
};

template <int V, typename T> static __device__ inline cuda_pack<T, V> cuda_load(const T *x)
{
    return *(const cuda_pack<T, V> *)x;
}

template <typename T, int V> static __device__ inline void cuda_store(T *x, cuda_pack<T, V> pack)
{
    *(cuda_pack<T, V> *)x = pack;
}

template <int V, typename T> static __device__ inline cuda_pack<T, V> cuda_same(T x)
{
    cuda_pack<T, V> pack;
    for (int k = 0; k < V; k++)
        pack.at[k] = x;
    return pack;
}

/* y = [y +] pack */
template <int V>
static __device__ inline void cuda_put(float *y, cuda_pack<float, V> pack, bool add)
{
    if (add) {
        cuda_pack<float, V> before = cuda_load<V>(y);
        for (int k = 0; k < V; k++)
            pack.at[k] += before.at[k];
    }
    cuda_store(y, pack);
}

static inline bool cuda_aligned()
{
    return true;
}

/* Whether all these arrays start at multiples of 16 bytes; NULL does. */
template <typename... Rest> static inline bool cuda_aligned(const void *first, Rest... rest)
{
    return (uintptr_t)first % 16 == 0 && cuda_aligned(rest...);
}

/* Launches kernel<4> or kernel<1> over n elements: a kernel that walks n / V packs by CUDA_EACH.
 * The name of the kernel is that of its template without _packs. */
#define CUDA_LAUNCH_PACKS(name, packed, n, ...)                                                    \
    do {                                                                                           \
        const int64_t pack_count = (packed) ? (n) / 4 : (n);                                       \
        auto name = (packed) ? name##_packs<4> : name##_packs<1>;                                  \
        CUDA_LAUNCH(name, cuda_blocks(pack_count, CUDA_BLOCK), CUDA_BLOCK, 0, __VA_ARGS__);        \
    } while (0)

/* Launches kernel<V, WHOLE> over rows, each walked by a team (teams.h) by CUDA_TEAM_PACKS. The name
 * of the kernel is that of its template without _rows. */
#define CUDA_LAUNCH_ROWS(name, packed, rows, width, ...)                                           \
    do {                                                                                           \
        auto name = cuda_team_whole(width)                                                         \
                        ? ((packed) ? name##_rows<4, true> : name##_rows<1, true>)                 \
                        : ((packed) ? name##_rows<4, false> : name##_rows<1, false>);              \
        CUDA_LAUNCH(name, cuda_team_blocks(rows, width), cuda_team_threads(width), 0,              \
                    __VA_ARGS__);                                                                  \
    } while (0)

/* for each pack of a row, at column c, that is this thread's */
#define CUDA_TEAM_PACKS(V, WHOLE, c, width)                                                        \
    for (int64_t c = (int64_t)cuda_team_lane<WHOLE>() * (V); c < (width);                          \
         c += (int64_t)cuda_team_size<WHOLE>() * (V))

/* i / by and what is left. Nearly all sizes fit 32 bits, where a division takes a fraction of the
 * time. */
typedef struct cuda_quotient {
    int64_t whole, rest;
} cuda_quotient;

static __device__ inline cuda_quotient cuda_divide(int64_t i, int64_t by)
{
    cuda_quotient q;
    if ((((uint64_t)i | (uint64_t)by) >> 32) == 0) {
        q.whole = (uint32_t)i / (uint32_t)by;
        q.rest = (uint32_t)i % (uint32_t)by;
    } else {
        q.whole = i / by;
        q.rest = i % by;
    }
    return q;
}

#endif
