/* cpu/elementwise.c - bf16, scaling, arithmetic with broadcasting, and dropout. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

/* ---- bf16 ----
 * The upper half of an fp32. Rounded to nearest, ties to even; a NaN stays one, made quiet. */

static inline uint16_t bf16_of(float x)
{
    uint32_t bits = float_bits(x);
    uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    uint32_t quiet = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

#if ASSAY_PLAIN

void KERNEL(to_bf16)(int64_t n, const float *x, uint16_t *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_of(x[i]);
}

void KERNEL(from_bf16)(int64_t n, const uint16_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = float_of_bits((uint32_t)x[i] << 16);
}

void KERNEL(scale)(int64_t n, float alpha, const float *times, const float *x, float *y, bool add)
{
    const float factor = factor_of(alpha, times);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)((add ? y[i] : 0.0) + (double)factor * x[i]);
}

void KERNEL(fill)(int64_t n, float value, const float *times, float *y, bool add)
{
    const float filled = factor_of(value, times);
    for (int64_t i = 0; i < n; i++)
        y[i] = add ? y[i] + filled : filled;
}

void KERNEL(binary)(device_binary op, int64_t n, int64_t period, const float *a, const float *b,
                    float *y, bool add)
{
    for (int64_t i = 0; i < n; i++) {
        double u = a[i], v = b[i % period];
        double w = op == DEVICE_ADD ? u + v : op == DEVICE_SUB ? u - v : u * v;
        y[i] = (float)((add ? y[i] : 0.0) + w);
    }
}

void KERNEL(dropout)(int64_t n, const float *x, float p, assay_stream stream, float *y, bool add)
{
    for (int64_t i = 0; i < n; i++) {
        float kept = assay_random_uniform(stream, (uint64_t)i) >= p ? x[i] / (1.0f - p) : 0.0f;
        y[i] = add ? y[i] + kept : kept;
    }
}

#else

void KERNEL(to_bf16)(int64_t n, const float *x, uint16_t *y)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
#pragma omp simd
        for (int64_t i = first; i < end; i++)
            y[i] = bf16_of(x[i]);
    }
}

void KERNEL(from_bf16)(int64_t n, const uint16_t *x, float *y)
{
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
#pragma omp simd
        for (int64_t i = first; i < end; i++)
            y[i] = float_of_bits((uint32_t)x[i] << 16);
    }
}

void KERNEL(scale)(int64_t n, float alpha, const float *times, const float *x, float *y, bool add)
{
    const float factor = factor_of(alpha, times);
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
#pragma omp simd
        for (int64_t i = first; i < end; i++)
            y[i] = add ? y[i] + factor * x[i] : factor * x[i];
    }
}

void KERNEL(fill)(int64_t n, float value, const float *times, float *y, bool add)
{
    const float filled = factor_of(value, times);
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
#pragma omp simd
        for (int64_t i = first; i < end; i++)
            y[i] = add ? y[i] + filled : filled;
    }
}

enum {
    TILE = 512, /* floats: periods below it are repeated until they fill it */
};

static inline __attribute__((always_inline)) void combine_run(const device_binary op, int64_t n,
                                                              const float *a, const float *b,
                                                              float *y, bool add)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float w = op == DEVICE_ADD ? a[i] + b[i] : op == DEVICE_SUB ? a[i] - b[i] : a[i] * b[i];
        y[i] = add ? y[i] + w : w;
    }
}

static void combine(device_binary op, int64_t n, const float *a, const float *b, float *y, bool add)
{
    switch (op) {
    case DEVICE_ADD:
        combine_run(DEVICE_ADD, n, a, b, y, add);
        break;
    case DEVICE_SUB:
        combine_run(DEVICE_SUB, n, a, b, y, add);
        break;
    case DEVICE_MUL:
        combine_run(DEVICE_MUL, n, a, b, y, add);
        break;
    }
}

void KERNEL(binary)(device_binary op, int64_t n, int64_t period, const float *a, const float *b,
                    float *y, bool add)
{
    float tile[TILE];
    if (period < TILE && period < n) {
        int64_t repeated = TILE / period * period;
        for (int64_t i = 0; i < repeated; i++)
            tile[i] = b[i % period];
        b = tile;
        period = repeated;
    }
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
        for (int64_t i = first, run; i < end; i += run) {
            int64_t j = i % period;
            run = period - j < end - i ? period - j : end - i;
            combine(op, run, a + i, b + j, y + i, add);
        }
    }
}

enum {
    LANES = 16,        /* Philox blocks computed side by side */
    DRAWS = 4 * LANES, /* numbers they give */
};

/* Uniforms 4 block .. 4 block + DRAWS - 1 of the stream, as assay_random_uniform() gives them. */
static inline void draw_uniforms(assay_stream stream, uint64_t block, float out[DRAWS])
{
#pragma omp simd
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t counter = block + (uint64_t)lane;
        uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
        uint32_t c2 = stream.step[0], c3 = stream.step[1];
        uint32_t k0 = stream.key[0], k1 = stream.key[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = UINT64_C(0xD2511F53) * c0, p1 = UINT64_C(0xCD9E8D57) * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)p1;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        /* Converted as signed: 24 bits fit, and only signed conversion is one instruction. */
        out[4 * lane] = (float)(int32_t)(c0 >> 8) * 0x1p-24f;
        out[4 * lane + 1] = (float)(int32_t)(c1 >> 8) * 0x1p-24f;
        out[4 * lane + 2] = (float)(int32_t)(c2 >> 8) * 0x1p-24f;
        out[4 * lane + 3] = (float)(int32_t)(c3 >> 8) * 0x1p-24f;
    }
}

void KERNEL(dropout)(int64_t n, const float *x, float p, assay_stream stream, float *y, bool add)
{
    float keep = 1.0f - p;
#pragma omp parallel for schedule(static) if (n >= KERNEL_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += DRAWS) {
        float u[DRAWS];
        draw_uniforms(stream, (uint64_t)first / 4, u);
        int64_t count = n - first < DRAWS ? n - first : DRAWS;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float kept = u[i] >= p ? x[first + i] / keep : 0.0f;
            y[first + i] = add ? y[first + i] + kept : kept;
        }
    }
}

#endif
