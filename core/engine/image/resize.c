/* resize.c - images and planes to other sizes.
 *
 * Every kind is separable: output pixel i is a weighted sum of a few input pixels of its row or
 * column. The table of one axis is made once; taps outside of the image are those of its border
 * (planes), or are left out and the rest weighed up (Pillow's antialiased kernel). */
#include <assay/image.h>

#include <math.h>
#include <string.h>

/* The taps of one axis: output i takes `count` inputs from at[i * count] with their weights. */
typedef struct taps {
    int64_t count;
    int32_t *at;
    float *weight;
} taps;

/* Keys's cubic convolution kernel. */
static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Up to four taps around a position, on the border's pixel where they leave the image. */
static int64_t point_taps(int64_t i, int64_t in, int64_t out, assay_resize how, int64_t at[4],
                          double weight[4])
{
    double scale = (double)in / (double)out, position = ((double)i + 0.5) * scale - 0.5;
    int64_t count = how == ASSAY_NEAREST ? 1 : how == ASSAY_BILINEAR ? 2 : 4;
    if (how == ASSAY_NEAREST)
        position = (double)(i * in / out);
    if (how == ASSAY_BILINEAR && position < 0)
        position = 0;
    double base = floor(position), part = position - base;
    for (int64_t k = 0; k < count; k++) {
        int64_t place = (int64_t)base + k - (count == 4);
        at[k] = place < 0 ? 0 : place >= in ? in - 1 : place;
        weight[k] = count == 1   ? 1
                    : count == 2 ? (k == 0 ? 1 - part : part)
                                 : cubic((double)(k - 1) - part, -0.75);
    }
    return count;
}

static float sum_taps(const float *in, int64_t width, const int64_t *rows, const double *row_weight,
                      int64_t n, const int64_t *columns, const double *column_weight)
{
    double sum = 0;
    for (int64_t r = 0; r < n; r++) {
        double row = 0;
        for (int64_t c = 0; c < n; c++)
            row += column_weight[c] * (double)in[rows[r] * width + columns[c]];
        sum += row_weight[r] * row;
    }
    return (float)sum;
}

void assay_resize_planes(const float *in, int64_t planes, int64_t in_height, int64_t in_width,
                         float *out, int64_t height, int64_t width, assay_resize how)
{
    int64_t rows[4], columns[4];
    double row_weight[4], column_weight[4];
    for (int64_t x = 0; x < width; x++) {
        int64_t n = point_taps(x, in_width, width, how, columns, column_weight);
        for (int64_t y = 0; y < height; y++) {
            point_taps(y, in_height, height, how, rows, row_weight);
            for (int64_t p = 0; p < planes; p++)
                out[(p * height + y) * width + x] =
                    sum_taps(in + p * in_height * in_width, in_width, rows, row_weight, n, columns,
                             column_weight);
        }
    }
}

/* ---- images of 8 bits ---- */

static void taps_free(taps *t)
{
    assay_free(t->at);
    assay_free(t->weight);
}

static bool taps_new(taps *t, int64_t out, int64_t count, assay_error *error)
{
    int64_t all = 0, bytes = 0;
    if (!assay_size_mul(&all, out, count) || !assay_size_mul(&bytes, all, 4))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "image", .what = "too large a size");
    t->count = count;
    t->at = assay_alloc(bytes, error);
    t->weight = assay_alloc(bytes, error);
    return t->at != NULL && t->weight != NULL;
}

/* Pillow's: the kernel is as wide as the step between outputs when the image shrinks, and weights
 * of inputs that exist add up to 1. */
static bool make_wide(taps *t, int64_t in, int64_t out, assay_error *error)
{
    double scale = (double)in / (double)out, stretch = fmax(scale, 1), support = 2 * stretch;
    if (!taps_new(t, out, (int64_t)ceil(support) * 2 + 1, error))
        return false;
    for (int64_t i = 0; i < out; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0;
        int64_t first = (int64_t)fmax(centre - support + 0.5, 0);
        int64_t end = (int64_t)fmin(centre + support + 0.5, (double)in);
        for (int64_t k = 0; k < t->count; k++) {
            int64_t place = first + k;
            double w = place < end ? cubic(((double)place - centre + 0.5) / stretch, -0.5) : 0;
            t->at[i * t->count + k] = (int32_t)(place < in ? place : in - 1);
            t->weight[i * t->count + k] = (float)w;
            sum += w;
        }
        for (int64_t k = 0; k < t->count && sum != 0; k++)
            t->weight[i * t->count + k] = (float)((double)t->weight[i * t->count + k] / sum);
    }
    return true;
}

static bool make_taps(taps *t, int64_t in, int64_t out, assay_resize how, assay_error *error)
{
    int64_t at[4];
    double weight[4];
    if (how == ASSAY_BICUBIC)
        return make_wide(t, in, out, error);
    if (!taps_new(t, out, how == ASSAY_NEAREST ? 1 : 2, error))
        return false;
    for (int64_t i = 0; i < out; i++) {
        point_taps(i, in, out, how, at, weight);
        for (int64_t k = 0; k < t->count; k++) {
            t->at[i * t->count + k] = (int32_t)at[k];
            t->weight[i * t->count + k] = (float)weight[k];
        }
    }
    return true;
}

static uint8_t round_gray(float value)
{
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)(value + 0.5f);
}

/* A row of `in` along x, as floats. Pillow rounds between its two passes; the other kinds do
 * not. */
static void resize_row(const uint8_t *in, const taps *t, int64_t width, bool rounds, float *out)
{
    for (int64_t x = 0; x < width; x++) {
        const int32_t *at = t->at + x * t->count;
        const float *weight = t->weight + x * t->count;
        float sum = 0;
        for (int64_t k = 0; k < t->count; k++)
            sum += weight[k] * (float)in[at[k]];
        out[x] = rounds ? (float)round_gray(sum) : sum;
    }
}

static void resize_columns(const float *wide, const taps *t, int64_t width, int64_t y, float *sum,
                           uint8_t *out)
{
    memset(sum, 0, (size_t)width * sizeof *sum);
    for (int64_t k = 0; k < t->count; k++) {
        const float *row = wide + t->at[y * t->count + k] * width;
        float weight = t->weight[y * t->count + k];
        for (int64_t x = 0; weight != 0 && x < width; x++)
            sum[x] += weight * row[x];
    }
    for (int64_t x = 0; x < width; x++)
        out[x] = round_gray(sum[x]);
}

static bool resize_into(assay_image *out, const assay_image *in, assay_resize how,
                        assay_error *error)
{
    taps across = {0}, down = {0};
    float *wide = NULL;
    int64_t bytes = 0;
    bool ok =
        assay_size_mul(&bytes, in->height + 1, out->width) && assay_size_mul(&bytes, bytes, 4);
    if (!ok)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "image", .what = "too large a size");
    ok = ok && make_taps(&across, in->width, out->width, how, error) &&
         make_taps(&down, in->height, out->height, how, error) &&
         (wide = assay_alloc(bytes, error)) != NULL;
    for (int64_t y = 0; ok && y < in->height; y++)
        resize_row((const uint8_t *)in->data + y * in->width, &across, out->width,
                   how == ASSAY_BICUBIC, wide + y * out->width);
    for (int64_t y = 0; ok && y < out->height; y++)
        resize_columns(wide, &down, out->width, y, wide + in->height * out->width,
                       (uint8_t *)out->data + y * out->width);
    assay_free(wide);
    taps_free(&across);
    taps_free(&down);
    return ok;
}

bool assay_image_resize(assay_image *out, const assay_image *in, int64_t width, int64_t height,
                        assay_resize how, assay_arena *arena, assay_error *error)
{
    assay_image made = {0};
    if (in->bits != 8)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "image",
                          .what = "only images of 8 bits are resized",
                          .hint = "assay_image_narrow makes 8 bits of 16");
    if (!assay_image_new(&made, width, height, 8, arena, error))
        return false;
    if (!resize_into(&made, in, how, error)) {
        assay_image_free(&made);
        return false;
    }
    *out = made;
    return true;
}
