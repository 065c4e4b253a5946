/* cpu/math.h - elementary functions that vectorise.
 *
 * Branch-free fp32 arithmetic and integer bit tricks: a loop over one of these compiles to straight
 * vector code on every instruction set, which a call of libm does not. Each is a range reduction
 * and a polynomial interpolated at Chebyshev nodes in 40-digit arithmetic; tests/device/test_math.c
 * holds them to libm's double versions over dense sweeps. */
#ifndef ASSAY_DEVICE_CPU_MATH_H
#define ASSAY_DEVICE_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* exp(x) to 2 units in the last place. Below log(2^-126), where results would be denormal, exactly
 * 0; +infinity above log(FLT_MAX); NaN stays NaN.
 *
 * x = n log 2 + r with |r| <= log(2) / 2. Adding 1.5 * 2^23 rounds to an integer that stands in the
 * low bits of the sum; log 2 is taken off in two parts, the first short enough for n times it to be
 * exact. 2^n is put into the exponent by an integer addition, which serves n = 128 (r < 0) too. */
static inline float fast_exp(float x)
{
    const float lowest = -0x1.5d589ep6f, highest = 0x1.62e42ep6f;
    const float rounder = 0x1.8p23f;
    float shifted = x * 1.44269504f + rounder;
    float n = shifted - rounder;
    float r = (x - n * 0x1.62e4p-1f) - n * 1.42860682e-6f;
    float p = 1.392625083e-3f;
    p = p * r + 8.363232884e-3f;
    p = p * r + 4.166655421e-2f;
    p = p * r + 0.1666657667f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    float y = float_of_bits(float_bits(p) + (float_bits(shifted) << 23));
    y = x < lowest ? 0.0f : y;
    return x <= highest ? y : x + INFINITY;
}

/* log(1 + u) for 0 <= u <= 1, to 3 units in the last place: 2 artanh(z), z = u / (2 + u) <= 1/3. */
static inline float fast_log1p(float u)
{
    float z = u / (2.0f + u);
    float w = z * z;
    float p = 0.1161216461f;
    p = p * w + 0.108532879f;
    p = p * w + 0.14296179f;
    p = p * w + 0.1999985317f;
    p = p * w + 0.3333333366f;
    return 2.0f * (z + z * (w * p));
}

static inline float fast_sigmoid(float x)
{
    return 1.0f / (1.0f + fast_exp(-x));
}

/* log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|)): nothing overflows, no digits are lost. */
static inline float fast_log_sigmoid(float x)
{
    float tail = fast_log1p(fast_exp(-fabsf(x)));
    return (x < 0.0f ? x : 0.0f) - tail;
}

/* tanh(x) to 4 units in the last place: an odd polynomial near 0, where the quotient would lose its
 * digits, and 1 - 2 / (exp(2 |x|) + 1) with x's sign elsewhere. */
static inline float fast_tanh(float x)
{
    float w = x * x;
    float p = -6.096714166e-3f;
    p = p * w + 2.0997179e-2f;
    p = p * w - 5.385090958e-2f;
    p = p * w + 0.1333276974f;
    p = p * w - 0.3333332894f;
    float near = x + x * (w * p);
    float far = copysignf(1.0f - 2.0f / (fast_exp(2.0f * fabsf(x)) + 1.0f), x);
    return fabsf(x) < 0.625f ? near : far;
}

/* The normal distribution: its density phi(x) = exp(-x^2 / 2) / sqrt(2 pi) and its cumulative
 * Phi(x) = (1 + erf(x / sqrt 2)) / 2. */
typedef struct fast_gauss {
    float density, cumulative;
} fast_gauss;

/* The upper tail 1 - Phi(|x|) is exp(-x^2 / 2) t P(t) with t = 1 / (1 + |x| / 4), the form of
 * Abramowitz & Stegun 26.2.17 with a longer polynomial. The absolute error of Phi is below 2e-7,
 * and the tail below x = 0 keeps its relative accuracy, which 1 + erf would cancel away. */
static inline fast_gauss fast_normal(float x)
{
    float e = fast_exp(-0.5f * (x * x));
    float t = 1.0f / (1.0f + 0.25f * fabsf(x));
    float p = 2.928668874e-2f;
    p = p * t - 0.1700788085f;
    p = p * t + 0.3317014615f;
    p = p * t - 0.2463874547f;
    p = p * t + 0.229766752f;
    p = p * t + 2.099636503e-2f;
    p = p * t + 0.1068063277f;
    p = p * t + 9.808562196e-2f;
    p = p * t + 9.982303948e-2f;
    float tail = e * (t * p);
    return (fast_gauss){0.398942280f * e, x < 0.0f ? tail : 1.0f - tail};
}

#endif
