/* cpu/rows.c - kernels over the last axis: scaling, dot products, L2 normalisation and softmax.
 *
 * A row is summed by one thread in one fixed order, so nothing here depends on how rows are shared
 * out. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

void KERNEL(scale_rows)(int64_t rows, int64_t width, const float *x, const float *factor, float *y,
                        bool add)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            int64_t i = r * width + c;
            y[i] = (float)((add ? y[i] : 0.0) + (double)x[i] * factor[r]);
        }
}

static double dot(int64_t n, const float *a, const float *b)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

void KERNEL(dot_rows)(int64_t rows, int64_t width, const float *a, const float *b, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        y[r] = (float)dot(width, a + r * width, b + r * width);
}

void KERNEL(normalize_rows)(int64_t rows, int64_t width, const float *x, float eps, float *y,
                            float *norm)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width;
        double length = sqrt(dot(width, row, row));
        length = length < eps ? eps : length;
        for (int64_t c = 0; c < width; c++)
            y[r * width + c] = (float)(row[c] / length);
        norm[r] = (float)length;
    }
}

void KERNEL(d_normalize_rows)(int64_t rows, int64_t width, const float *y, const float *norm,
                              float eps, const float *d_y, float *d_x, bool add)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *unit = y + r * width, *g = d_y + r * width;
        double along = norm[r] > eps ? dot(width, unit, g) : 0.0;
        for (int64_t c = 0; c < width; c++) {
            float *out = &d_x[r * width + c];
            *out = (float)((add ? *out : 0.0) + (g[c] - unit[c] * along) / norm[r]);
        }
    }
}

void KERNEL(softmax_rows)(int64_t rows, int64_t width, const float *x, float *y)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t c = 0; c < width; c++)
            largest = row[c] > largest ? row[c] : largest;
        for (int64_t c = 0; c < width; c++)
            sum += exp(row[c] - largest);
        for (int64_t c = 0; c < width; c++)
            y[r * width + c] = (float)(exp(row[c] - largest) / sum);
    }
}

void KERNEL(d_softmax_rows)(int64_t rows, int64_t width, const float *y, const float *d_y,
                            float *d_x, bool add)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *p = y + r * width, *g = d_y + r * width;
        double mean = dot(width, p, g);
        for (int64_t c = 0; c < width; c++) {
            float *out = &d_x[r * width + c];
            *out = (float)((add ? *out : 0.0) + p[c] * (g[c] - mean));
        }
    }
}

#else

void KERNEL(scale_rows)(int64_t rows, int64_t width, const float *x, const float *factor, float *y,
                        bool add)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * width;
        float *to = y + r * width, by = factor[r];
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            to[c] = add ? to[c] + by * from[c] : by * from[c];
    }
}

static float dot(int64_t n, const float *a, const float *b)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void KERNEL(dot_rows)(int64_t rows, int64_t width, const float *a, const float *b, float *y)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++)
        y[r] = dot(width, a + r * width, b + r * width);
}

/* |x| of one row. Squares overflow beyond 1e19 and vanish below 1e-19, so that a row whose sum
 * leaves the middle of fp32's range is summed again in double. */
static float length_of(int64_t width, const float *x)
{
    float sum = dot(width, x, x);
    if (sum > 1e-30f && sum < 1e30f)
        return sqrtf(sum);
    double exact = 0.0;
#pragma omp simd reduction(+ : exact)
    for (int64_t c = 0; c < width; c++)
        exact += (double)x[c] * x[c];
    return (float)sqrt(exact);
}

void KERNEL(normalize_rows)(int64_t rows, int64_t width, const float *x, float eps, float *y,
                            float *norm)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * width;
        float *to = y + r * width;
        float length = length_of(width, from);
        length = length < eps ? eps : length;
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            to[c] = from[c] / length;
        norm[r] = length;
    }
}

void KERNEL(d_normalize_rows)(int64_t rows, int64_t width, const float *y, const float *norm,
                              float eps, const float *d_y, float *d_x, bool add)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *unit = y + r * width, *g = d_y + r * width;
        float *to = d_x + r * width, length = norm[r];
        float along = length > eps ? dot(width, unit, g) : 0.0f;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            float d = (g[c] - unit[c] * along) / length;
            to[c] = add ? to[c] + d : d;
        }
    }
}

static void softmax(int64_t width, const float *x, float *y)
{
    float largest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < width; c++)
        largest = x[c] > largest ? x[c] : largest;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < width; c++) {
        float e = fast_exp(x[c] - largest);
        y[c] = e;
        sum += e;
    }
    float inverse = 1.0f / sum;
#pragma omp simd
    for (int64_t c = 0; c < width; c++)
        y[c] *= inverse;
}

void KERNEL(softmax_rows)(int64_t rows, int64_t width, const float *x, float *y)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++)
        softmax(width, x + r * width, y + r * width);
}

void KERNEL(d_softmax_rows)(int64_t rows, int64_t width, const float *y, const float *d_y,
                            float *d_x, bool add)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *p = y + r * width, *g = d_y + r * width;
        float *to = d_x + r * width, mean = dot(width, p, g);
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            float d = p[c] * (g[c] - mean);
            to[c] = add ? to[c] + d : d;
        }
    }
}

#endif
