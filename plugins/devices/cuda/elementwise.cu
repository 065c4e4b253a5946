/* elementwise.cu - bf16, scaling, arithmetic with broadcasting, and dropout.
 *
 * All of it is bound by memory, dropout too: its ten rounds of Philox give four numbers. Not
 * measured. */
#include "kernels.h"
#include "pack.h"

/* ---- bf16 ----
 * The upper half of an fp32. Rounded to nearest, ties to even; a NaN stays one, made quiet. */

static __device__ inline uint16_t bf16_of(float x)
{
    uint32_t bits = __float_as_uint(x);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    uint32_t quiet = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

template <int V> static __global__ void to_bf16_packs(int64_t n, const float *x, uint16_t *y)
{
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> from = cuda_load<V>(x + p * V);
        cuda_pack<uint16_t, V> to;
        for (int k = 0; k < V; k++)
            to.at[k] = bf16_of(from.at[k]);
        cuda_store(y + p * V, to);
    }
}

extern "C" void cuda_to_bf16(int64_t n, const float *x, uint16_t *y)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(to_bf16, packed, n, n, x, y);
}

template <int V> static __global__ void from_bf16_packs(int64_t n, const uint16_t *x, float *y)
{
    CUDA_EACH(p, n / V)
    {
        cuda_pack<uint16_t, V> from = cuda_load<V>(x + p * V);
        cuda_pack<float, V> to;
        for (int k = 0; k < V; k++)
            to.at[k] = __uint_as_float((uint32_t)from.at[k] << 16);
        cuda_store(y + p * V, to);
    }
}

extern "C" void cuda_from_bf16(int64_t n, const uint16_t *x, float *y)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(from_bf16, packed, n, n, x, y);
}

/* ---- arithmetic ---- */

template <int V>
static __global__ void scale_packs(int64_t n, float alpha, const float *times, const float *x,
                                   float *y, bool add)
{
    float factor = times != NULL ? alpha * *times : alpha;
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V);
        for (int k = 0; k < V; k++)
            pack.at[k] *= factor;
        cuda_put(y + p * V, pack, add);
    }
}

extern "C" void cuda_scale(int64_t n, float alpha, const float *times, const float *x, float *y,
                           bool add)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(scale, packed, n, n, alpha, times, x, y, add);
}

template <int V>
static __global__ void fill_packs(int64_t n, float value, const float *times, float *y, bool add)
{
    float filled = times != NULL ? value * *times : value;
    CUDA_EACH(p, n / V)
    {
        cuda_put(y + p * V, cuda_same<V>(filled), add);
    }
}

extern "C" void cuda_fill(int64_t n, float value, const float *times, float *y, bool add)
{
    bool packed = n % 4 == 0 && cuda_aligned(y);
    CUDA_LAUNCH_PACKS(fill, packed, n, n, value, times, y, add);
}

static __device__ inline float combined(device_binary op, float a, float b)
{
    return op == DEVICE_ADD ? a + b : op == DEVICE_SUB ? a - b : a * b;
}

template <int V>
static __global__ void binary_packs(device_binary op, int64_t n, int64_t period, const float *a,
                                    const float *b, float *y, bool add)
{
    CUDA_EACH(p, n / V)
    {
        int64_t i = p * V, j = i < period ? i : cuda_divide(i, period).rest;
        cuda_pack<float, V> left = cuda_load<V>(a + i), right = cuda_load<V>(b + j);
        for (int k = 0; k < V; k++)
            left.at[k] = combined(op, left.at[k], right.at[k]);
        cuda_put(y + i, left, add);
    }
}

extern "C" void cuda_binary(device_binary op, int64_t n, int64_t period, const float *a,
                            const float *b, float *y, bool add)
{
    bool packed = n % 4 == 0 && period % 4 == 0 && cuda_aligned(a, b, y);
    CUDA_LAUNCH_PACKS(binary, packed, n, op, n, period, a, b, y, add);
}

/* ---- dropout ---- */

/* Uniforms 4 block .. 4 block + 3 of the stream, as assay_random_uniform() gives them
 * (Philox4x32-10; core/support/random.c says how an address becomes words). */
static __device__ inline cuda_pack<float, 4> draw_uniforms(assay_stream stream, uint64_t block)
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32);
    uint32_t c2 = stream.step[0], c3 = stream.step[1];
    uint32_t k0 = stream.key[0], k1 = stream.key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    const float unit = 1.0f / (1 << 24);
    cuda_pack<float, 4> draws = {{(float)(c0 >> 8) * unit, (float)(c1 >> 8) * unit,
                                  (float)(c2 >> 8) * unit, (float)(c3 >> 8) * unit}};
    return draws;
}

/* A thread takes the four numbers of a block of draws, one by one where V is 1 and at the end. */
template <int V>
static __global__ void dropout_packs(int64_t n, const float *x, float p, float keep,
                                     assay_stream stream, float *y, bool add)
{
    CUDA_EACH(block, (n + 3) / 4)
    {
        cuda_pack<float, 4> draws = draw_uniforms(stream, (uint64_t)block);
        for (int at = 0; at < 4 && block * 4 + at < n; at += V) {
            cuda_pack<float, V> pack = cuda_load<V>(x + block * 4 + at);
            for (int k = 0; k < V; k++)
                pack.at[k] = draws.at[at + k] >= p ? pack.at[k] / keep : 0.0f;
            cuda_put(y + block * 4 + at, pack, add);
        }
    }
}

extern "C" void cuda_dropout(int64_t n, const float *x, float p, assay_stream stream, float *y,
                             bool add)
{
    bool packed = n % 4 == 0 && cuda_aligned(x, y);
    auto dropout = packed ? dropout_packs<4> : dropout_packs<1>;
    CUDA_LAUNCH(dropout, cuda_blocks((n + 3) / 4, CUDA_BLOCK), CUDA_BLOCK, 0, n, x, p, 1.0f - p,
                stream, y, add);
}
