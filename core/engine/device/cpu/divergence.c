/* cpu/divergence.c - how far rows of student logits are from rows of teacher logits, softmax to
 * softmax (infrared spec 2.5). */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

static double log_sum_exp(int64_t width, const float *x)
{
    double largest = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < width; j++)
        largest = x[j] > largest ? x[j] : largest;
    for (int64_t j = 0; j < width; j++)
        sum += exp(x[j] - largest);
    return largest + log(sum);
}

void KERNEL(divergence_rows)(int64_t rows, int64_t width, const float *teacher,
                             const float *student, bool cross, float *loss, float *lse)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *t = teacher + r * width, *s = student + r * width;
        double of_teacher = log_sum_exp(width, t), of_student = log_sum_exp(width, s), sum = 0.0;
        for (int64_t j = 0; j < width; j++) {
            double p = exp(t[j] - of_teacher);
            double log_q = s[j] - of_student, log_p = t[j] - of_teacher;
            if (p != 0.0)
                sum += p * ((cross ? 0.0 : log_p) - log_q);
        }
        loss[r] = (float)sum;
        lse[2 * r] = (float)of_teacher;
        lse[2 * r + 1] = (float)of_student;
    }
}

void KERNEL(d_divergence_rows)(int64_t rows, int64_t width, const float *teacher,
                               const float *student, const float *lse, float factor,
                               const float *times, float *d_student, bool add)
{
    const float scale = factor_of(factor, times);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++) {
            int64_t i = r * width + j;
            double p = exp((double)teacher[i] - lse[2 * r]);
            double q = exp((double)student[i] - lse[2 * r + 1]);
            d_student[i] = (float)((add ? d_student[i] : 0.0) + scale * (q - p));
        }
}

#else

/* The largest of a row, and the sum of exponentials below it. */
static inline float row_sum_exp(int64_t width, const float *x, float *largest_out)
{
    float largest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < width; j++)
        largest = x[j] > largest ? x[j] : largest;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < width; j++)
        sum += fast_exp(x[j] - largest);
    *largest_out = largest;
    return sum;
}

/* sum p (log p - log q) = sum p (t - s) - lse t + lse s: where the rows are equal, exactly 0. Both
 * are taken from their largest first, so that a common shift costs no digits. */
void KERNEL(divergence_rows)(int64_t rows, int64_t width, const float *teacher,
                             const float *student, bool cross, float *loss, float *lse)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *t = teacher + r * width, *s = student + r * width;
        float top_t = -INFINITY, top_s = -INFINITY, gap = 0.0f;
        float sum_t = row_sum_exp(width, t, &top_t), sum_s = row_sum_exp(width, s, &top_s);
        const float keep = cross ? 0.0f : 1.0f;
#pragma omp simd reduction(+ : gap)
        for (int64_t j = 0; j < width; j++) {
            float e = fast_exp(t[j] - top_t);
            float d = keep * (t[j] - top_t) - (s[j] - top_s);
            gap += e > 0.0f ? e * d : 0.0f;
        }
        double log_t = log((double)sum_t), log_s = log((double)sum_s);
        loss[r] = 0.0f;
        if (width > 0)
            loss[r] = (float)((double)gap / (double)sum_t - (cross ? 0.0 : log_t) + log_s);
        lse[2 * r] = (float)(top_t + log_t);
        lse[2 * r + 1] = (float)(top_s + log_s);
    }
}

void KERNEL(d_divergence_rows)(int64_t rows, int64_t width, const float *teacher,
                               const float *student, const float *lse, float factor,
                               const float *times, float *d_student, bool add)
{
    const float scale = factor_of(factor, times);
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *t = teacher + r * width, *s = student + r * width;
        float *to = d_student + r * width;
        const float lse_t = lse[2 * r], lse_s = lse[2 * r + 1];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            float d = scale * (fast_exp(s[j] - lse_s) - fast_exp(t[j] - lse_t));
            to[j] = add ? to[j] + d : d;
        }
    }
}

#endif
