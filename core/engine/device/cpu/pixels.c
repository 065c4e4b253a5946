/* cpu/pixels.c - moving pixels between layouts, and cross-entropy over the channels of a pixel. */
#include "engine/device/cpu/kernels.h"
#include "engine/device/cpu/math.h"

#if ASSAY_PLAIN

void KERNEL(depth_to_space)(int64_t batch, int64_t channels, int64_t side, int64_t height,
                            int64_t width, const float *x, const float *bias, float *y)
{
    for (int64_t c = 0; c < batch * channels; c++)
        for (int64_t i = 0; i < height * side; i++)
            for (int64_t j = 0; j < width * side; j++) {
                int64_t part = (c * side + i % side) * side + j % side;
                *y++ = x[(part * height + i / side) * width + j / side] +
                       (bias != NULL ? bias[c % channels] : 0.0f);
            }
}

void KERNEL(space_to_depth)(int64_t channels, int64_t side, int64_t height, int64_t width,
                            const float *y, float *x)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < height * side; i++)
            for (int64_t j = 0; j < width * side; j++) {
                int64_t part = (c * side + i % side) * side + j % side;
                x[(part * height + i / side) * width + j / side] = *y++;
            }
}

void KERNEL(transpose)(int64_t batch, int64_t rows, int64_t columns, const float *x,
                       int64_t x_stride, float *y, int64_t y_stride, bool add)
{
    for (int64_t b = 0; b < batch; b++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) {
                float *to = &y[b * y_stride + c * rows + r];
                *to = (add ? *to : 0.0f) + x[b * x_stride + r * columns + c];
            }
}

void KERNEL(pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                 const uint8_t *truth, int64_t ignore, double factor, float *lse,
                                 float *loss)
{
    double all = 0.0;
    for (int64_t at = 0; at < batch * pixels; at++) {
        const float *logit = x + at / pixels * classes * pixels + at % pixels;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t c = 0; c < classes; c++)
            largest = logit[c * pixels] > largest ? logit[c * pixels] : largest;
        for (int64_t c = 0; c < classes; c++)
            sum += exp(logit[c * pixels] - largest);
        lse[at] = (float)(largest + log(sum));
        if (truth[at] != ignore)
            all += largest + log(sum) - logit[truth[at] * pixels];
    }
    *loss = (float)(factor * all);
}

void KERNEL(d_pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                   const uint8_t *truth, int64_t ignore, const float *lse,
                                   float factor, const float *times, float *d_x, bool add)
{
    const float scale = factor_of(factor, times);
    for (int64_t at = 0; at < batch * classes * pixels; at++) {
        int64_t pixel = at / (classes * pixels) * pixels + at % pixels, c = at / pixels % classes;
        double d = scale * (exp((double)x[at] - lse[pixel]) - (c == truth[pixel]));
        if (truth[pixel] == ignore)
            d = 0.0;
        d_x[at] = (float)((add ? d_x[at] : 0.0) + d);
    }
}

#else

/* ---- layouts ---- */

/* One line of y holds `side` lines of x, which stand a plane apart, a pixel of each in turn. */
static inline void weave(int64_t side, int64_t width, int64_t plane, const float *x, float bias,
                         float *y)
{
    if (side == 2) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            y[2 * j] = x[j] + bias;
            y[2 * j + 1] = x[plane + j] + bias;
        }
        return;
    }
    for (int64_t k = 0; k < side; k++)
        for (int64_t j = 0; j < width; j++)
            y[j * side + k] = x[k * plane + j] + bias;
}

static inline void unweave(int64_t side, int64_t width, int64_t plane, const float *y, float *x)
{
    if (side == 2) {
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            x[j] = y[2 * j];
            x[plane + j] = y[2 * j + 1];
        }
        return;
    }
    for (int64_t k = 0; k < side; k++)
        for (int64_t j = 0; j < width; j++)
            x[k * plane + j] = y[j * side + k];
}

void KERNEL(depth_to_space)(int64_t batch, int64_t channels, int64_t side, int64_t height,
                            int64_t width, const float *x, const float *bias, float *y)
{
    int64_t lines = batch * channels * side, plane = height * width;
#pragma omp parallel for schedule(static) if (lines * side * plane >= KERNEL_PARALLEL_MIN)
    for (int64_t line = 0; line < lines; line++)
        for (int64_t i = 0; i < height; i++)
            weave(side, width, plane, x + line * side * plane + i * width,
                  bias != NULL ? bias[line / side % channels] : 0.0f,
                  y + (line / side * height * side + i * side + line % side) * width * side);
}

void KERNEL(space_to_depth)(int64_t channels, int64_t side, int64_t height, int64_t width,
                            const float *y, float *x)
{
    int64_t lines = channels * side, plane = height * width;
#pragma omp parallel for schedule(static) if (lines * side * plane >= KERNEL_PARALLEL_MIN)
    for (int64_t line = 0; line < lines; line++)
        for (int64_t i = 0; i < height; i++)
            unweave(side, width, plane,
                    y + (line / side * height * side + i * side + line % side) * width * side,
                    x + line * side * plane + i * width);
}

enum {
    SQUARE = 16, /* a transposed block: a line of memory wide, and it fits the cache both ways */
};

static void transpose_square(int64_t rows, int64_t columns, const float *x, int64_t x_line,
                             float *y, int64_t y_line, bool add)
{
    for (int64_t c = 0; c < columns; c++) {
#pragma omp simd
        for (int64_t r = 0; r < rows; r++) {
            float from = x[r * x_line + c];
            y[c * y_line + r] = add ? y[c * y_line + r] + from : from;
        }
    }
}

void KERNEL(transpose)(int64_t batch, int64_t rows, int64_t columns, const float *x,
                       int64_t x_stride, float *y, int64_t y_stride, bool add)
{
#pragma omp parallel for collapse(2)                                                               \
    schedule(static) if (batch * rows * columns >= KERNEL_PARALLEL_MIN)
    for (int64_t b = 0; b < batch; b++)
        for (int64_t c = 0; c < columns; c += SQUARE)
            for (int64_t r = 0; r < rows; r += SQUARE)
                transpose_square(rows - r < SQUARE ? rows - r : SQUARE,
                                 columns - c < SQUARE ? columns - c : SQUARE,
                                 x + b * x_stride + r * columns + c, columns,
                                 y + b * y_stride + c * rows + r, rows, add);
}

/* ---- cross-entropy: blocks of neighbouring pixels, channel by channel ---- */

enum {
    PIXELS = 512, /* of a block: their maxima and sums stay in the nearest cache */
};

/* lse of one block; the pixels of a channel stand side by side, channels `stride` apart. */
static void lse_block(int64_t count, int64_t classes, int64_t stride, const float *x, float *lse)
{
    float largest[PIXELS], sum[PIXELS];
    for (int64_t i = 0; i < count; i++) {
        largest[i] = x[i];
        sum[i] = 0.0f;
    }
    for (int64_t c = 1; c < classes; c++) {
        const float *logit = x + c * stride;
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            largest[i] = logit[i] > largest[i] ? logit[i] : largest[i];
    }
    for (int64_t c = 0; c < classes; c++) {
        const float *logit = x + c * stride;
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            sum[i] += fast_exp(logit[i] - largest[i]);
    }
    for (int64_t i = 0; i < count; i++)
        lse[i] = largest[i] + logf(sum[i]);
}

/* Block `at` of the batch: `count` pixels from `first` on of image b. */
typedef struct pixel_block {
    int64_t b, first, count;
} pixel_block;

static inline pixel_block block_of(int64_t at, int64_t pixels)
{
    int64_t each = (pixels + PIXELS - 1) / PIXELS, first = at % each * PIXELS;
    return (pixel_block){at / each, first, pixels - first < PIXELS ? pixels - first : PIXELS};
}

static inline int64_t count_blocks(int64_t batch, int64_t pixels)
{
    return batch * ((pixels + PIXELS - 1) / PIXELS);
}

void KERNEL(pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                 const uint8_t *truth, int64_t ignore, double factor, float *lse,
                                 float *loss)
{
    int64_t blocks = count_blocks(batch, pixels);
    double partial[DEVICE_PARTITIONS], all = 0.0;
#pragma omp parallel for schedule(static) if (batch * classes * pixels >= KERNEL_PARALLEL_MIN)
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++) {
        double sum = 0.0;
        for (int64_t at = partition_start(blocks, piece); at < partition_start(blocks, piece + 1);
             at++) {
            pixel_block k = block_of(at, pixels);
            const float *logit = x + k.b * classes * pixels + k.first;
            int64_t pixel = k.b * pixels + k.first;
            lse_block(k.count, classes, pixels, logit, lse + pixel);
            for (int64_t i = 0; i < k.count; i++)
                if (truth[pixel + i] != ignore)
                    sum += (double)lse[pixel + i] - logit[truth[pixel + i] * pixels + i];
        }
        partial[piece] = sum;
    }
    for (int piece = 0; piece < DEVICE_PARTITIONS; piece++)
        all += partial[piece];
    *loss = (float)(factor * all);
}

static void d_block(int64_t count, int64_t classes, int64_t stride, const float *x,
                    const uint8_t *truth, int64_t ignore, const float *lse, float factor,
                    float *d_x, bool add)
{
    float kept[PIXELS];
    for (int64_t i = 0; i < count; i++)
        kept[i] = truth[i] == ignore ? 0.0f : factor;
    for (int64_t c = 0; c < classes; c++) {
        const float *logit = x + c * stride;
        float *to = d_x + c * stride;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float d = kept[i] * fast_exp(logit[i] - lse[i]);
            to[i] = add ? to[i] + d : d;
        }
    }
    for (int64_t i = 0; i < count; i++)
        if (truth[i] != ignore)
            d_x[truth[i] * stride + i] -= factor;
}

void KERNEL(d_pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                   const uint8_t *truth, int64_t ignore, const float *lse,
                                   float factor, const float *times, float *d_x, bool add)
{
    const float scale = factor_of(factor, times);
    int64_t blocks = count_blocks(batch, pixels);
#pragma omp parallel for schedule(static) if (batch * classes * pixels >= KERNEL_PARALLEL_MIN)
    for (int64_t at = 0; at < blocks; at++) {
        pixel_block k = block_of(at, pixels);
        int64_t offset = k.b * classes * pixels + k.first, pixel = k.b * pixels + k.first;
        d_block(k.count, classes, pixels, x + offset, truth + pixel, ignore, lse + pixel, scale,
                d_x + offset, add);
    }
}

#endif
