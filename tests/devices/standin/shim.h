/* standin/shim.h - CUDA's words for a C++ compiler of the host: what a kernel may use, and nothing
 * else.
 *
 * Included by plugins/devices/cuda/launch.h when ASSAY_STANDIN is defined. Every block and thread
 * of a launch runs (launch.c): the threads of a block are fibers of one host thread, which change
 * places only where they meet, so the index words are plain variables. */
#ifndef ASSAY_TESTS_STANDIN_SHIM_H
#define ASSAY_TESTS_STANDIN_SHIM_H

#include "standin.h"

#include <vector_functions.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* host_defines.h knows the words and makes them nothing. A __shared__ array must be static, since
 * all threads of a block share it: `used` on an automatic variable is a warning, and so an
 * error. */
#undef __shared__
#define __shared__ __attribute__((used))
#undef __launch_bounds__
#define __launch_bounds__(...)

/* ---- where a thread is ---- */

/* Hidden: no table between a kernel and its place. */
extern "C" {
extern __attribute__((visibility("hidden"))) uint3 standin_thread, standin_block;
extern __attribute__((visibility("hidden"))) dim3 standin_threads, standin_blocks;
}
#define threadIdx ((const uint3 &)standin_thread)
#define blockIdx  ((const uint3 &)standin_block)
#define blockDim  ((const dim3 &)standin_threads)
#define gridDim   ((const dim3 &)standin_blocks)
#define warpSize  32

/* ---- where threads meet ---- */

extern "C" {
void standin_meet_block(void);
/* All lanes of the calling warp come with 8 bytes each; returns the array of the 32 of them, which
 * stands until the lane's next meeting but one. `what` is static: the lanes must come for the
 * same. */
const uint64_t *standin_meet_warp(const char *what, unsigned mask, uint64_t mine);
}

static inline void __syncthreads(void)
{
    standin_meet_block();
}

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    standin_meet_warp("__syncwarp", mask, 0);
}

static inline int standin_lane(void)
{
    return (int)((standin_thread.x +
                  standin_threads.x * (standin_thread.y + standin_threads.y * standin_thread.z)) %
                 32);
}

/* The value that lane `from` came with, or its own where `from` is not in its group of `width`
 * lanes. */
template <typename T>
static inline T standin_shuffle(const char *what, unsigned mask, T x, int from, bool inside)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    const uint64_t *all = standin_meet_warp(what, mask, bits);
    if (inside)
        memcpy(&x, &all[from], sizeof x);
    return x;
}

template <typename T>
static inline T __shfl_sync(unsigned mask, T x, int from, int width = warpSize)
{
    const int first = standin_lane() / width * width;
    return standin_shuffle("__shfl_sync", mask, x, first + (from & (width - 1)), true);
}

template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T x, int lanes, int width = warpSize)
{
    const int lane = standin_lane(), from = lane ^ lanes;
    const bool inside = from / width <= lane / width && from < warpSize;
    return standin_shuffle("__shfl_xor_sync", mask, x, from, inside);
}

template <typename T>
static inline T __shfl_down_sync(unsigned mask, T x, unsigned lanes, int width = warpSize)
{
    const int lane = standin_lane(), from = lane + (int)lanes;
    return standin_shuffle("__shfl_down_sync", mask, x, from, from / width == lane / width);
}

template <typename T>
static inline T __shfl_up_sync(unsigned mask, T x, unsigned lanes, int width = warpSize)
{
    const int lane = standin_lane(), from = lane - (int)lanes;
    return standin_shuffle("__shfl_up_sync", mask, x, from, from >= lane / width * width);
}

static inline unsigned __ballot_sync(unsigned mask, int holds)
{
    const uint64_t *all = standin_meet_warp("__ballot_sync", mask, holds != 0);
    unsigned bits = 0;
    for (int lane = 0; lane < warpSize; lane++)
        bits |= (unsigned)all[lane] << lane;
    return bits;
}

static inline int __any_sync(unsigned mask, int holds)
{
    return __ballot_sync(mask, holds) != 0;
}

static inline int __all_sync(unsigned mask, int holds)
{
    return __ballot_sync(mask, holds) == 0xffffffffu;
}

/* ---- numbers ---- */

#define STANDIN_BITS(name, to, from)                                                               \
    static inline to name(from x)                                                                  \
    {                                                                                              \
        to y;                                                                                      \
        static_assert(sizeof x == sizeof y, "bits move between types of one size");                \
        memcpy(&y, &x, sizeof y);                                                                  \
        return y;                                                                                  \
    }
STANDIN_BITS(__float_as_uint, unsigned, float)
STANDIN_BITS(__uint_as_float, float, unsigned)
STANDIN_BITS(__float_as_int, int, float)
STANDIN_BITS(__int_as_float, float, int)
STANDIN_BITS(__double_as_longlong, long long, double)
STANDIN_BITS(__longlong_as_double, double, long long)
#undef STANDIN_BITS

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
static inline double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}

#define STANDIN_MIN_MAX(type)                                                                      \
    static inline type min(type a, type b)                                                         \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline type max(type a, type b)                                                         \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
STANDIN_MIN_MAX(int)
STANDIN_MIN_MAX(unsigned)
STANDIN_MIN_MAX(long)
STANDIN_MIN_MAX(unsigned long)
STANDIN_MIN_MAX(long long)
STANDIN_MIN_MAX(unsigned long long)
#undef STANDIN_MIN_MAX
/* A NaN loses, as on the GPU. */
static inline float min(float a, float b)
{
    return fminf(a, b);
}
static inline float max(float a, float b)
{
    return fmaxf(a, b);
}
static inline double min(double a, double b)
{
    return fmin(a, b);
}
static inline double max(double a, double b)
{
    return fmax(a, b);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)(((uint64_t)a * b) >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}

/* ---- launching ---- */

template <typename T> struct standin_same {
    typedef T type;
};

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define STANDIN_CLEAR_PADDING 1
#endif
#endif

/* A struct may hold pointers: each word of it that could be one is looked at. The bytes between its
 * members hold whatever stood there, an old pointer as well, and are cleared. clang 14 does not
 * know how, and looks only at structs without such bytes (nor floats). */
template <typename T>
static inline void standin_check_one(const char *name, int index, const T &given)
{
    if (!__is_class(T) || alignof(T) % alignof(void *) != 0)
        return;
    T x = given;
#ifdef STANDIN_CLEAR_PADDING
    __builtin_clear_padding(&x);
#else
    if (!__has_unique_object_representations(T))
        return;
#endif
    for (size_t at = 0; at + sizeof(void *) <= sizeof(T); at += sizeof(void *)) {
        const void *word;
        memcpy(&word, (const char *)&x + at, sizeof word);
        standin_check_word(name, index, at, word);
    }
}
template <typename T> static inline void standin_check_one(const char *name, int index, T *p)
{
    standin_check_argument(name, index, (const void *)p);
}

/* The arguments of a kernel by value, as the launch takes them, and the call with all of them. */
template <typename... T> struct standin_arguments;
template <> struct standin_arguments<> {
    static standin_arguments of(void)
    {
        return {};
    }
    template <typename K, typename... Before> void call(K kernel, const Before &...before) const
    {
        kernel(before...);
    }
    void check(const char *, int) const
    {
    }
};
template <typename First, typename... Rest> struct standin_arguments<First, Rest...> {
    First first;
    standin_arguments<Rest...> rest;
    static standin_arguments of(First first, Rest... rest)
    {
        return {first, standin_arguments<Rest...>::of(rest...)};
    }
    template <typename K, typename... Before> void call(K kernel, const Before &...before) const
    {
        rest.call(kernel, before..., first);
    }
    void check(const char *name, int index) const
    {
        standin_check_one(name, index, first);
        rest.check(name, index + 1);
    }
};

template <typename... T> struct standin_bound {
    void (*kernel)(T...);
    standin_arguments<T...> arguments;
};

template <typename... T>
static inline standin_closure standin_bind(void (*kernel)(T...),
                                           typename standin_same<T>::type... arguments)
{
    typedef standin_bound<T...> bound;
    static_assert(__is_trivially_copyable(bound), "a kernel takes plain values");
    bound *data = (bound *)malloc(sizeof *data);
    if (!data)
        standin_fault("no memory for the arguments of a kernel");
    *data = bound{kernel, standin_arguments<T...>::of(arguments...)};
    standin_closure closure;
    closure.call = [](const void *all) {
        const bound *b = (const bound *)all;
        b->arguments.call(b->kernel);
    };
    closure.check = [](const char *name, const void *all) {
        ((const bound *)all)->arguments.check(name, 1);
    };
    closure.kernel = (const void *)kernel;
    closure.data = data;
    return closure;
}

#endif
