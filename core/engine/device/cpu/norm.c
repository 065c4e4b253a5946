/* cpu/norm.c - RMS norm and layer norm, forward and backward.
 *
 * With n = (x - mean) rstd (mean 0 for RMS norm) and y = w n + b, the gradients are
 *
 *   d_x = rstd (h - mean(h) - n mean(h n)),  h = w d_y    (no mean(h) for RMS norm)
 *   d_w = sum over rows of d_y n,  d_b = sum over rows of d_y. */
#include "engine/device/cpu/kernels.h"

#include <math.h>
#include <string.h>

#if ASSAY_PLAIN

void KERNEL(rms_norm)(int64_t rows, int64_t width, const float *x, const float *w, float eps,
                      float *y, float *rstd)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width;
        double sum = 0.0;
        for (int64_t c = 0; c < width; c++)
            sum += (double)row[c] * row[c];
        double scale = 1.0 / sqrt(sum / width + eps);
        for (int64_t c = 0; c < width; c++)
            y[r * width + c] = (float)(w[c] * row[c] * scale);
        rstd[r] = (float)scale;
    }
}

void KERNEL(layer_norm)(int64_t rows, int64_t width, const float *x, const float *w, const float *b,
                        float eps, float *y, float *mean, float *rstd)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width;
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < width; c++)
            sum += row[c];
        double middle = sum / width;
        for (int64_t c = 0; c < width; c++)
            squares += (row[c] - middle) * (row[c] - middle);
        double scale = 1.0 / sqrt(squares / width + eps);
        for (int64_t c = 0; c < width; c++)
            y[r * width + c] = (float)((w != NULL ? w[c] : 1.0) * (row[c] - middle) * scale +
                                       (b != NULL ? b[c] : 0.0));
        mean[r] = (float)middle;
        rstd[r] = (float)scale;
    }
}

/* d_x of both; mean NULL marks RMS norm. */
static void d_input(int64_t rows, int64_t width, const float *x, const float *w, const float *mean,
                    const float *rstd, const float *d_y, float *d_x, bool add)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width, *g = d_y + r * width;
        double middle = mean != NULL ? mean[r] : 0.0, scale = rstd[r];
        double sum_h = 0.0, sum_hn = 0.0;
        for (int64_t c = 0; c < width; c++) {
            double h = (w != NULL ? w[c] : 1.0) * g[c];
            sum_h += mean != NULL ? h : 0.0;
            sum_hn += h * (row[c] - middle) * scale;
        }
        for (int64_t c = 0; c < width; c++) {
            double h = (w != NULL ? w[c] : 1.0) * g[c], n = (row[c] - middle) * scale;
            float *out = &d_x[r * width + c];
            *out = (float)((add ? *out : 0.0) + scale * (h - sum_h / width - n * (sum_hn / width)));
        }
    }
}

/* d_w and d_b of both, each or NULL. */
static void d_parameters(int64_t rows, int64_t width, const float *x, const float *mean,
                         const float *rstd, const float *d_y, float *d_w, bool add_w, float *d_b,
                         bool add_b)
{
    for (int64_t c = 0; c < width; c++) {
        double sum_w = 0.0, sum_b = 0.0;
        for (int64_t r = 0; r < rows; r++) {
            double g = d_y[r * width + c], middle = mean != NULL ? mean[r] : 0.0;
            sum_w += g * (x[r * width + c] - middle) * rstd[r];
            sum_b += g;
        }
        if (d_w != NULL)
            d_w[c] = (float)((add_w ? d_w[c] : 0.0) + sum_w);
        if (d_b != NULL)
            d_b[c] = (float)((add_b ? d_b[c] : 0.0) + sum_b);
    }
}

#else

void KERNEL(rms_norm)(int64_t rows, int64_t width, const float *x, const float *w, float eps,
                      float *y, float *rstd)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * width;
        float *to = y + r * width, sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < width; c++)
            sum += from[c] * from[c];
        float scale = 1.0f / sqrtf(sum / (float)width + eps);
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            to[c] = w[c] * (from[c] * scale);
        rstd[r] = scale;
    }
}

void KERNEL(layer_norm)(int64_t rows, int64_t width, const float *x, const float *w, const float *b,
                        float eps, float *y, float *mean, float *rstd)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * width;
        float *to = y + r * width, sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < width; c++)
            sum += from[c];
        float middle = sum / (float)width;
#pragma omp simd reduction(+ : squares)
        for (int64_t c = 0; c < width; c++)
            squares += (from[c] - middle) * (from[c] - middle);
        float scale = 1.0f / sqrtf(squares / (float)width + eps);
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            float n = (from[c] - middle) * scale;
            n = w != NULL ? n * w[c] : n;
            to[c] = b != NULL ? n + b[c] : n;
        }
        mean[r] = middle;
        rstd[r] = scale;
    }
}

/* d_x of both; mean NULL marks RMS norm. */
static void d_input(int64_t rows, int64_t width, const float *x, const float *w, const float *mean,
                    const float *rstd, const float *d_y, float *d_x, bool add)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * width, *g = d_y + r * width;
        float *to = d_x + r * width;
        float middle = mean != NULL ? mean[r] : 0.0f, scale = rstd[r];
        float sum_h = 0.0f, sum_hn = 0.0f;
#pragma omp simd reduction(+ : sum_h, sum_hn)
        for (int64_t c = 0; c < width; c++) {
            float h = w != NULL ? w[c] * g[c] : g[c];
            sum_h += h;
            sum_hn += h * ((row[c] - middle) * scale);
        }
        float mean_h = mean != NULL ? sum_h / (float)width : 0.0f;
        float mean_hn = sum_hn / (float)width;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            float h = w != NULL ? w[c] * g[c] : g[c];
            float d = scale * (h - mean_h - (row[c] - middle) * scale * mean_hn);
            to[c] = add ? to[c] + d : d;
        }
    }
}

enum {
    PANEL = 512, /* columns summed at a time: a panel of every piece fits the stack and L1 */
};

/* Sums of rows first .. end-1 over `columns` columns that start at column `at`. */
static void sum_piece(int64_t first, int64_t end, int64_t width, int64_t at, int64_t columns,
                      const float *x, const float *mean, const float *rstd, const float *d_y,
                      float sum_w[PANEL], float sum_b[PANEL])
{
    memset(sum_w, 0, PANEL * sizeof *sum_w);
    memset(sum_b, 0, PANEL * sizeof *sum_b);
    for (int64_t r = first; r < end; r++) {
        const float *row = x + r * width + at, *g = d_y + r * width + at;
        float middle = mean != NULL ? mean[r] : 0.0f, scale = rstd[r];
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) {
            sum_w[c] += g[c] * ((row[c] - middle) * scale);
            sum_b[c] += g[c];
        }
    }
}

/* d = [d +] the pieces' sums in order; d or NULL. */
static void add_pieces(int64_t columns, float pieces[DEVICE_PARTITIONS][PANEL], float *d, bool add)
{
    for (int64_t c = 0; d != NULL && c < columns; c++) {
        double sum = add ? d[c] : 0.0;
        for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
            sum += pieces[piece][c];
        d[c] = (float)sum;
    }
}

/* d_w and d_b of both, each or NULL. */
static void d_parameters(int64_t rows, int64_t width, const float *x, const float *mean,
                         const float *rstd, const float *d_y, float *d_w, bool add_w, float *d_b,
                         bool add_b)
{
    float sum_w[DEVICE_PARTITIONS][PANEL], sum_b[DEVICE_PARTITIONS][PANEL];
    for (int64_t at = 0; at < width; at += PANEL) {
        int64_t columns = width - at < PANEL ? width - at : PANEL;
#pragma omp parallel for schedule(static) if (rows * columns >= KERNEL_PARALLEL_MIN)
        for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
            sum_piece(partition_start(rows, piece), partition_start(rows, piece + 1), width, at,
                      columns, x, mean, rstd, d_y, sum_w[piece], sum_b[piece]);
        add_pieces(columns, sum_w, d_w != NULL ? d_w + at : NULL, add_w);
        add_pieces(columns, sum_b, d_b != NULL ? d_b + at : NULL, add_b);
    }
}

#endif

void KERNEL(d_rms_norm)(int64_t rows, int64_t width, const float *x, const float *w,
                        const float *rstd, const float *d_y, float *d_x, bool add_x, float *d_w,
                        bool add_w)
{
    if (d_w != NULL)
        d_parameters(rows, width, x, NULL, rstd, d_y, d_w, add_w, NULL, false);
    if (d_x != NULL)
        d_input(rows, width, x, w, NULL, rstd, d_y, d_x, add_x);
}

void KERNEL(d_layer_norm)(int64_t rows, int64_t width, const float *x, const float *w,
                          const float *mean, const float *rstd, const float *d_y, float *d_x,
                          bool add_x, float *d_w, bool add_w, float *d_b, bool add_b)
{
    if (d_w != NULL || d_b != NULL)
        d_parameters(rows, width, x, mean, rstd, d_y, d_w, add_w, d_b, add_b);
    if (d_x != NULL)
        d_input(rows, width, x, w, mean, rstd, d_y, d_x, add_x);
}
