/* cpu/channels.c - sums, moments and batch norm of maps (B, C, pixels), channel by channel.
 *
 * One thread takes a whole channel and meets its pixels in their order, so no result depends on the
 * number of threads. */
#include "engine/device/cpu/kernels.h"

#include <math.h>
#include <string.h>

/* A few numbers for each channel: the formula in double serves every variant. */
void KERNEL(batch_statistics)(int64_t channels, double n, double momentum, float eps,
                              const float *mean, float *variance, float *running_mean,
                              float *running_variance)
{
    for (int64_t c = 0; c < channels; c++) {
        double m = mean[c], v = variance[c];
        if (momentum != 0.0) {
            running_mean[c] = (float)((1.0 - momentum) * running_mean[c] + momentum * m);
            running_variance[c] =
                (float)((1.0 - momentum) * running_variance[c] + momentum * (v * n / (n - 1.0)));
        }
        variance[c] = (float)(1.0 / sqrt(v + (double)eps));
    }
}

#if ASSAY_PLAIN

void KERNEL(sum_channels)(int64_t batch, int64_t channels, int64_t pixels, const float *x, float *y,
                          bool add)
{
    for (int64_t c = 0; c < channels; c++) {
        double sum = add ? y[c] : 0.0;
        for (int64_t b = 0; b < batch; b++)
            for (int64_t i = 0; i < pixels; i++)
                sum += x[(b * channels + c) * pixels + i];
        y[c] = (float)sum;
    }
}

void KERNEL(channel_moments)(int64_t batch, int64_t channels, int64_t pixels, const float *x,
                             float *mean, float *variance)
{
    double n = (double)(batch * pixels);
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t b = 0; b < batch; b++)
            for (int64_t i = 0; i < pixels; i++)
                sum += x[(b * channels + c) * pixels + i];
        for (int64_t b = 0; b < batch; b++)
            for (int64_t i = 0; i < pixels; i++) {
                double d = x[(b * channels + c) * pixels + i] - sum / n;
                squares += d * d;
            }
        mean[c] = (float)(sum / n);
        variance[c] = (float)(squares / n);
    }
}

void KERNEL(batch_norm)(const device_batch_norm *g)
{
    for (int64_t at = 0; at < g->batch * g->channels * g->pixels; at++) {
        int64_t c = at / g->pixels % g->channels;
        float y =
            (float)(((double)g->x[at] - g->mean[c]) * ((double)g->w[c] * g->rstd[c]) + g->b[c]);
        g->y[at] = g->relu && y < 0.0f ? 0.0f : y;
    }
}

/* The gradient of the normalised and scaled x at `at`, 0 where the ReLU is shut. */
static double gradient_at(const device_batch_norm *g, int64_t c, int64_t at)
{
    double z = ((double)g->x[at] - g->mean[c]) * ((double)g->w[c] * g->rstd[c]) + g->b[c];
    return g->relu && z <= 0.0 ? 0.0 : g->d_y[at];
}

void KERNEL(d_batch_norm)(const device_batch_norm *g)
{
    double n = (double)(g->batch * g->pixels);
    for (int64_t c = 0; c < g->channels; c++) {
        double sum = 0.0, along = 0.0; /* of d_y, and of d_y h */
        for (int64_t b = 0; b < g->batch; b++)
            for (int64_t i = 0; i < g->pixels; i++) {
                int64_t at = (b * g->channels + c) * g->pixels + i;
                double d = gradient_at(g, c, at);
                sum += d;
                along += d * ((double)g->x[at] - g->mean[c]) * g->rstd[c];
            }
        if (g->d_b != NULL)
            g->d_b[c] = (float)((g->add_b ? g->d_b[c] : 0.0) + sum);
        if (g->d_w != NULL)
            g->d_w[c] = (float)((g->add_w ? g->d_w[c] : 0.0) + along);
        for (int64_t b = 0; b < g->batch && g->d_x != NULL; b++)
            for (int64_t i = 0; i < g->pixels; i++) {
                int64_t at = (b * g->channels + c) * g->pixels + i;
                double h = ((double)g->x[at] - g->mean[c]) * g->rstd[c];
                double d = gradient_at(g, c, at) - (g->of_batch ? (sum + h * along) / n : 0.0);
                g->d_x[at] =
                    (float)((g->add_x ? g->d_x[at] : 0.0) + (double)g->w[c] * g->rstd[c] * d);
            }
    }
}

#else

static double sum_run(int64_t n, const float *x)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static double sum_squares_about(int64_t n, const float *x, double mean)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

void KERNEL(sum_channels)(int64_t batch, int64_t channels, int64_t pixels, const float *x, float *y,
                          bool add)
{
#pragma omp parallel for schedule(static) if (batch * channels * pixels >= KERNEL_PARALLEL_MIN)
    for (int64_t c = 0; c < channels; c++) {
        double sum = add ? y[c] : 0.0;
        for (int64_t b = 0; b < batch; b++)
            sum += sum_run(pixels, x + (b * channels + c) * pixels);
        y[c] = (float)sum;
    }
}

void KERNEL(channel_moments)(int64_t batch, int64_t channels, int64_t pixels, const float *x,
                             float *mean, float *variance)
{
    double n = (double)(batch * pixels);
#pragma omp parallel for schedule(static) if (batch * channels * pixels >= KERNEL_PARALLEL_MIN)
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t b = 0; b < batch; b++)
            sum += sum_run(pixels, x + (b * channels + c) * pixels);
        for (int64_t b = 0; b < batch; b++)
            squares += sum_squares_about(pixels, x + (b * channels + c) * pixels, sum / n);
        mean[c] = (float)(sum / n);
        variance[c] = (float)(squares / n);
    }
}

static inline __attribute__((always_inline)) void normalize_run(int64_t n, const float *x,
                                                                float mean, float scale,
                                                                float shift, bool relu, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float z = (x[i] - mean) * scale + shift;
        y[i] = relu && z < 0.0f ? 0.0f : z;
    }
}

void KERNEL(batch_norm)(const device_batch_norm *g)
{
    int64_t planes = g->batch * g->channels;
#pragma omp parallel for schedule(static) if (planes * g->pixels >= KERNEL_PARALLEL_MIN)
    for (int64_t plane = 0; plane < planes; plane++) {
        int64_t c = plane % g->channels, at = plane * g->pixels;
        float scale = g->w[c] * g->rstd[c];
        if (g->relu)
            normalize_run(g->pixels, g->x + at, g->mean[c], scale, g->b[c], true, g->y + at);
        else
            normalize_run(g->pixels, g->x + at, g->mean[c], scale, g->b[c], false, g->y + at);
    }
}

/* Sums over one plane of d_y (where the ReLU is open) and of d_y (x - mean). Blocks are summed in
 * fp32 lanes, and the blocks in double. */
static inline __attribute__((always_inline)) void sum_gradients(int64_t n, const float *x,
                                                                const float *d_y, float mean,
                                                                float scale, float shift, bool relu,
                                                                double *sum, double *along)
{
    for (int64_t first = 0; first < n; first += KERNEL_BLOCK) {
        int64_t end = block_end(first, n);
        float part = 0.0f, part_along = 0.0f;
#pragma omp simd reduction(+ : part, part_along)
        for (int64_t i = first; i < end; i++) {
            float centred = x[i] - mean;
            float d = relu && centred * scale + shift <= 0.0f ? 0.0f : d_y[i];
            part += d;
            part_along += d * centred;
        }
        *sum += part;
        *along += part_along;
    }
}

/* d_x = [d_x +] scale (d_y - offset - (x - mean) slope) */
static inline __attribute__((always_inline)) void spread_gradient(int64_t n, const float *x,
                                                                  const float *d_y, float mean,
                                                                  float scale, float shift,
                                                                  bool relu, float offset,
                                                                  float slope, float *d_x, bool add)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float centred = x[i] - mean;
        float d = relu && centred * scale + shift <= 0.0f ? 0.0f : d_y[i];
        d = scale * (d - offset - centred * slope);
        d_x[i] = add ? d_x[i] + d : d;
    }
}

static inline __attribute__((always_inline)) void d_channel(const device_batch_norm *g, int64_t c,
                                                            bool relu)
{
    float mean = g->mean[c], rstd = g->rstd[c], scale = g->w[c] * rstd, shift = g->b[c];
    double n = (double)(g->batch * g->pixels), sum = 0.0, along = 0.0;
    float offset = 0.0f, slope = 0.0f;
    for (int64_t b = 0; b < g->batch; b++) {
        int64_t at = (b * g->channels + c) * g->pixels;
        sum_gradients(g->pixels, g->x + at, g->d_y + at, mean, scale, shift, relu, &sum, &along);
    }
    if (g->d_b != NULL)
        g->d_b[c] = (float)((g->add_b ? g->d_b[c] : 0.0) + sum);
    if (g->d_w != NULL)
        g->d_w[c] = (float)((g->add_w ? g->d_w[c] : 0.0) + along * rstd);
    if (g->of_batch) {
        offset = (float)(sum / n);
        slope = (float)(along * rstd * rstd / n);
    }
    for (int64_t b = 0; b < g->batch && g->d_x != NULL; b++) {
        int64_t at = (b * g->channels + c) * g->pixels;
        spread_gradient(g->pixels, g->x + at, g->d_y + at, mean, scale, shift, relu, offset, slope,
                        g->d_x + at, g->add_x);
    }
}

void KERNEL(d_batch_norm)(const device_batch_norm *g)
{
#pragma omp parallel for schedule(static) if (g->batch * g->channels * g->pixels >=                \
                                              KERNEL_PARALLEL_MIN)
    for (int64_t c = 0; c < g->channels; c++) {
        if (g->relu)
            d_channel(g, c, true);
        else
            d_channel(g, c, false);
    }
}

#endif
