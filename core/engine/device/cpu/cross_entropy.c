/* cpu/cross_entropy.c - cross-entropy of rows of logits with integer targets, by log-sum-exp. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

void KERNEL(cross_entropy_rows)(int64_t rows, int64_t classes, const float *x,
                                const int32_t *target, int32_t ignore, float *loss, float *lse)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * classes;
        double largest = -INFINITY, sum = 0.0;
        loss[r] = lse[r] = 0.0f;
        if (target[r] == ignore)
            continue;
        for (int64_t c = 0; c < classes; c++)
            largest = row[c] > largest ? row[c] : largest;
        for (int64_t c = 0; c < classes; c++)
            sum += exp(row[c] - largest);
        lse[r] = (float)(largest + log(sum));
        loss[r] = (float)(largest - row[target[r]] + log(sum));
    }
}

void KERNEL(d_cross_entropy_rows)(int64_t rows, int64_t classes, const float *x,
                                  const int32_t *target, int32_t ignore, const float *lse,
                                  float factor, const float *times, float *d_x, bool add)
{
    const float scale = factor_of(factor, times);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < classes; c++) {
            int64_t i = r * classes + c;
            double d = scale * (exp((double)x[i] - lse[r]) - (c == target[r]));
            if (target[r] == ignore)
                d = 0.0;
            d_x[i] = (float)((add ? d_x[i] : 0.0) + d);
        }
}

#else

void KERNEL(cross_entropy_rows)(int64_t rows, int64_t classes, const float *x,
                                const int32_t *target, int32_t ignore, float *loss, float *lse)
{
#pragma omp parallel for schedule(static) if (rows * classes >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        loss[r] = lse[r] = 0.0f;
        if (target[r] == ignore)
            continue;
        const float *row = x + r * classes;
        float largest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : largest)
        for (int64_t c = 0; c < classes; c++)
            largest = row[c] > largest ? row[c] : largest;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < classes; c++)
            sum += fast_exp(row[c] - largest);
        double log_sum = log(sum);
        lse[r] = (float)(largest + log_sum);
        loss[r] = (float)((double)largest - row[target[r]] + log_sum);
    }
}

void KERNEL(d_cross_entropy_rows)(int64_t rows, int64_t classes, const float *x,
                                  const int32_t *target, int32_t ignore, const float *lse,
                                  float factor, const float *times, float *d_x, bool add)
{
    const float scale = factor_of(factor, times);
#pragma omp parallel for schedule(static) if (rows * classes >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * classes;
        float *to = d_x + r * classes;
        bool ignored = target[r] == ignore;
        if (ignored && add)
            continue;
        if (ignored) {
            memset(to, 0, (size_t)classes * sizeof *to);
            continue;
        }
        float shift = lse[r];
#pragma omp simd
        for (int64_t c = 0; c < classes; c++) {
            float d = scale * fast_exp(row[c] - shift);
            to[c] = add ? to[c] + d : d;
        }
        to[target[r]] -= scale;
    }
}

#endif
