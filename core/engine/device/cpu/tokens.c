/* cpu/tokens.c - moving rows of tokens: tables, masks, strided copies, patches, and rotary
 * positions. */
#include "engine/device/cpu/kernels.h"

#include <string.h>

/* Valid tokens of batch item b, between 0 and `tokens`. */
static inline int64_t length_of(const int32_t *lengths, int64_t b, int64_t tokens)
{
    int64_t length = lengths != NULL ? lengths[b] : tokens;
    return length < tokens ? length : tokens;
}

#if ASSAY_PLAIN

void KERNEL(rotary)(int64_t batch, int64_t tokens, int64_t heads, int64_t head_width, int64_t start,
                    const float *cosine, const float *sine, const float *x, float *y, bool backward,
                    bool add)
{
    int64_t half = head_width / 2;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t h = 0; h < heads; h++)
                for (int64_t k = 0; k < half; k++) {
                    int64_t i = ((b * tokens + t) * heads + h) * head_width + k, j = i + half;
                    double c = cosine[(start + t) * half + k], s = sine[(start + t) * half + k];
                    s = backward ? -s : s;
                    double first = x[i] * c - x[j] * s, second = x[j] * c + x[i] * s;
                    y[i] = (float)((add ? y[i] : 0.0) + first);
                    y[j] = (float)((add ? y[j] : 0.0) + second);
                }
}

void KERNEL(gather_rows)(int64_t n, int64_t width, const float *table, const int32_t *ids, float *y)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < width; c++)
            y[i * width + c] = table[ids[i] * width + c];
}

void KERNEL(scatter_rows)(int64_t n, int64_t width, int64_t entries, const float *x,
                          const int32_t *ids, float *table, bool add)
{
    for (int64_t e = 0; e < entries; e++)
        for (int64_t c = 0; c < width; c++) {
            double sum = add ? table[e * width + c] : 0.0;
            for (int64_t i = 0; i < n; i++)
                sum += ids[i] == e ? x[i * width + c] : 0.0;
            table[e * width + c] = (float)sum;
        }
}

void KERNEL(masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                         const int32_t *lengths, float *y)
{
    for (int64_t b = 0; b < batch; b++)
        for (int64_t c = 0; c < width; c++) {
            int64_t length = length_of(lengths, b, tokens);
            double sum = 0.0;
            for (int64_t t = 0; t < length; t++)
                sum += x[(b * tokens + t) * width + c];
            y[b * width + c] = length > 0 ? (float)(sum / (double)length) : 0.0f;
        }
}

void KERNEL(d_masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *d_y,
                           const int32_t *lengths, float *d_x, bool add)
{
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t c = 0; c < width; c++) {
                int64_t length = length_of(lengths, b, tokens), i = (b * tokens + t) * width + c;
                double d = t < length ? d_y[b * width + c] / (double)length : 0.0;
                d_x[i] = (float)((add ? d_x[i] : 0.0) + d);
            }
}

void KERNEL(mask_rows)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                       const int32_t *lengths, float *y, bool add)
{
    for (int64_t b = 0; b < batch; b++)
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t c = 0; c < width; c++) {
                int64_t i = (b * tokens + t) * width + c;
                float kept = t < length_of(lengths, b, tokens) ? x[i] : 0.0f;
                y[i] = add ? y[i] + kept : kept;
            }
}

void KERNEL(copy_rows)(int64_t rows, int64_t width, const float *src, int64_t src_stride,
                       float *dst, int64_t dst_stride, bool add)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            float *to = &dst[r * dst_stride + c], from = src[r * src_stride + c];
            *to = add ? *to + from : from;
        }
}

/* Where element (c, i, j) of patch (y, x) of batch item b stands in the image. */
static int64_t pixel_of(int64_t channels, int64_t grid_y, int64_t grid_x, int64_t side, int64_t b,
                        int64_t y, int64_t x, int64_t c, int64_t i, int64_t j)
{
    return ((b * channels + c) * grid_y * side + y * side + i) * grid_x * side + x * side + j;
}

/* The patches are visited in the order they are stored. */
#define FOR_EACH_PATCH_ELEMENT                                                                     \
    for (int64_t b = 0; b < batch; b++)                                                            \
        for (int64_t y = 0; y < grid_y; y++)                                                       \
            for (int64_t x = 0; x < grid_x; x++)                                                   \
                for (int64_t c = 0; c < channels; c++)                                             \
                    for (int64_t i = 0; i < side; i++)                                             \
                        for (int64_t j = 0; j < side; j++)

void KERNEL(patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x, int64_t side,
                     const float *image, float *patches)
{
    FOR_EACH_PATCH_ELEMENT
    *patches++ = image[pixel_of(channels, grid_y, grid_x, side, b, y, x, c, i, j)];
}

void KERNEL(d_patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x,
                       int64_t side, const float *d_patches, float *d_image, bool add)
{
    FOR_EACH_PATCH_ELEMENT
    {
        float *pixel = &d_image[pixel_of(channels, grid_y, grid_x, side, b, y, x, c, i, j)];
        *pixel = add ? *pixel + *d_patches : *d_patches;
        d_patches++;
    }
}

#else

/* to = [to +] from */
static inline void put_run(int64_t n, const float *from, float *to, bool add)
{
    if (!add) {
        memmove(to, from, (size_t)n * sizeof *to);
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

static inline void clear_run(int64_t n, float *to)
{
    memset(to, 0, (size_t)n * sizeof *to);
}

/* ---- rotary positions ---- */

static inline void rotate_head(int64_t half, const float *cosine, const float *sine, float sign,
                               const float *x, float *y, bool add)
{
#pragma omp simd
    for (int64_t k = 0; k < half; k++) {
        float c = cosine[k], s = sign * sine[k];
        float a = x[k], b = x[k + half];
        float first = a * c - b * s, second = b * c + a * s;
        y[k] = add ? y[k] + first : first;
        y[k + half] = add ? y[k + half] + second : second;
    }
}

void KERNEL(rotary)(int64_t batch, int64_t tokens, int64_t heads, int64_t head_width, int64_t start,
                    const float *cosine, const float *sine, const float *x, float *y, bool backward,
                    bool add)
{
    int64_t half = head_width / 2, rows = batch * tokens, width = heads * head_width;
    float sign = backward ? -1.0f : 1.0f;
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        const float *c = cosine + (start + r % tokens) * half;
        const float *s = sine + (start + r % tokens) * half;
        for (int64_t at = r * width; at < (r + 1) * width; at += head_width)
            rotate_head(half, c, s, sign, x + at, y + at, add);
    }
}

/* ---- tables ---- */

void KERNEL(gather_rows)(int64_t n, int64_t width, const float *table, const int32_t *ids, float *y)
{
#pragma omp parallel for schedule(static) if (n * width >= KERNEL_PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++)
        put_run(width, table + ids[i] * width, y + i * width, false);
}

enum {
    COLUMNS = 64, /* one task of the kernels that walk down columns */
};

/* Every task owns its columns and meets the rows in their order, so no two threads write to one
 * element and no order is left to chance. */
void KERNEL(scatter_rows)(int64_t n, int64_t width, int64_t entries, const float *x,
                          const int32_t *ids, float *table, bool add)
{
    if (!add) {
#pragma omp parallel for schedule(static) if (entries * width >= KERNEL_PARALLEL_MIN)
        for (int64_t e = 0; e < entries; e++)
            clear_run(width, table + e * width);
    }
#pragma omp parallel for schedule(static) if (n * width >= KERNEL_PARALLEL_MIN)
    for (int64_t at = 0; at < width; at += COLUMNS) {
        int64_t columns = width - at < COLUMNS ? width - at : COLUMNS;
        for (int64_t i = 0; i < n; i++)
            put_run(columns, x + i * width + at, table + ids[i] * width + at, true);
    }
}

/* ---- masks by length ---- */

static void mean_of_columns(int64_t length, int64_t width, int64_t columns, const float *x,
                            float *y)
{
    float sum[COLUMNS] = {0};
    for (int64_t t = 0; t < length; t++)
        put_run(columns, x + t * width, sum, true);
    float divisor = length > 0 ? (float)length : 1.0f;
    for (int64_t c = 0; c < columns; c++)
        y[c] = sum[c] / divisor;
}

void KERNEL(masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                         const int32_t *lengths, float *y)
{
#pragma omp parallel for collapse(2)                                                               \
    schedule(static) if (batch * tokens * width >= KERNEL_PARALLEL_MIN)
    for (int64_t b = 0; b < batch; b++)
        for (int64_t at = 0; at < width; at += COLUMNS)
            mean_of_columns(length_of(lengths, b, tokens), width,
                            width - at < COLUMNS ? width - at : COLUMNS,
                            x + b * tokens * width + at, y + b * width + at);
}

void KERNEL(d_masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *d_y,
                           const int32_t *lengths, float *d_x, bool add)
{
    int64_t rows = batch * tokens;
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        int64_t b = r / tokens, length = length_of(lengths, b, tokens);
        const float *g = d_y + b * width;
        float *to = d_x + r * width;
        if (r % tokens >= length) {
            if (!add)
                clear_run(width, to);
            continue;
        }
        float divisor = (float)length;
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            to[c] = add ? to[c] + g[c] / divisor : g[c] / divisor;
    }
}

void KERNEL(mask_rows)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                       const int32_t *lengths, float *y, bool add)
{
    int64_t rows = batch * tokens;
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        if (r % tokens < length_of(lengths, r / tokens, tokens))
            put_run(width, x + r * width, y + r * width, add);
        else if (!add)
            clear_run(width, y + r * width);
    }
}

/* ---- strided copies and patches ---- */

void KERNEL(copy_rows)(int64_t rows, int64_t width, const float *src, int64_t src_stride,
                       float *dst, int64_t dst_stride, bool add)
{
#pragma omp parallel for schedule(static) if (rows * width >= KERNEL_PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++)
        put_run(width, src + r * src_stride, dst + r * dst_stride, add);
}

/* Patch p (counted over the batch) and its part of the image: runs of `side` pixels. */
typedef struct patch_place {
    int64_t image; /* offset of the patch's first pixel in channel 0 */
    int64_t channel_stride, line_stride;
} patch_place;

static patch_place place_of(int64_t p, int64_t channels, int64_t grid_y, int64_t grid_x,
                            int64_t side)
{
    int64_t line = grid_x * side, plane = grid_y * side * line;
    int64_t b = p / (grid_y * grid_x), y = p / grid_x % grid_y, x = p % grid_x;
    return (patch_place){b * channels * plane + y * side * line + x * side, plane, line};
}

void KERNEL(patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x, int64_t side,
                     const float *image, float *patches)
{
    int64_t count = batch * grid_y * grid_x, runs = channels * side;
#pragma omp parallel for schedule(static) if (count * runs * side >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < count; p++) {
        patch_place at = place_of(p, channels, grid_y, grid_x, side);
        for (int64_t i = 0; i < runs; i++)
            put_run(side,
                    image + at.image + i / side * at.channel_stride + i % side * at.line_stride,
                    patches + (p * runs + i) * side, false);
    }
}

void KERNEL(d_patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x,
                       int64_t side, const float *d_patches, float *d_image, bool add)
{
    int64_t count = batch * grid_y * grid_x, runs = channels * side;
#pragma omp parallel for schedule(static) if (count * runs * side >= KERNEL_PARALLEL_MIN)
    for (int64_t p = 0; p < count; p++) {
        patch_place at = place_of(p, channels, grid_y, grid_x, side);
        for (int64_t i = 0; i < runs; i++)
            put_run(side, d_patches + (p * runs + i) * side,
                    d_image + at.image + i / side * at.channel_stride + i % side * at.line_stride,
                    add);
    }
}

#endif
