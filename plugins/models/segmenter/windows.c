/* windows.c - where windows lie, and how their logits become one prediction.
 *
 * Class by class, so that an image of any size takes a few planes of memory. Windows are added in
 * their order: the batch that they came in cannot matter. */
#include "windows.h"

#include <math.h>
#include <string.h>

int64_t grid_count(const grid *g, int64_t extent)
{
    int64_t beyond = extent - g->side + g->stride - 1;
    return (beyond > 0 ? beyond : 0) / g->stride + 1;
}

int64_t grid_at(const grid *g, int64_t extent, int64_t i)
{
    int64_t last = extent > g->side ? extent - g->side : 0;
    return i * g->stride < last ? i * g->stride : last;
}

/* ---- bilinear ---- */

/* Output i of `out` lies between inputs *left and *right, `part` of the way. */
static float place_of(int64_t i, int64_t in, int64_t out, int64_t *left, int64_t *right)
{
    double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
    if (at < 0)
        at = 0;
    *left = (int64_t)at;
    if (*left > in - 1)
        *left = in - 1;
    *right = *left < in - 1 ? *left + 1 : *left;
    return (float)(at - (double)*left);
}

void plane_resize(view in, plane out, bool add, float *scratch)
{
    int64_t left, right;
    float *part = scratch;
    int32_t *column = (int32_t *)(void *)(scratch + out.width);
    for (int64_t x = 0; x < out.width; x++) {
        part[x] = place_of(x, in.width, out.width, &left, &right);
        column[x] = (int32_t)left;
        if (right == left) /* the last column stands for what would follow */
            part[x] = 0;
    }
    for (int64_t y = 0; y < out.height; y++) {
        const float down = place_of(y, in.height, out.height, &left, &right);
        const float *above = in.data + left * in.step, *below = in.data + right * in.step;
        float *to = out.data + y * out.step;
        for (int64_t x = 0; x < out.width; x++) {
            const int64_t l = column[x], r = part[x] > 0 ? l + 1 : l;
            const float p = part[x];
            const float value = (1 - down) * ((1 - p) * above[l] + p * above[r]) +
                                down * ((1 - p) * below[l] + p * below[r]);
            to[x] = add ? to[x] + value : value;
        }
    }
}

/* ---- windows to classes ---- */

int64_t frame_scratch(const frame *f, const grid *g)
{
    int64_t wide = f->out_width > g->side ? f->out_width : g->side;
    return 2 * f->tall * f->wide + 2 * f->out_height * f->out_width + 2 * wide;
}

/* How many windows show each pixel. */
static void count_windows(const frame *f, const grid *g, float *counts)
{
    memset(counts, 0, (size_t)(f->tall * f->wide) * sizeof *counts);
    for (int64_t i = 0; i < f->rows * f->columns; i++) {
        int64_t top = grid_at(g, f->tall, i / f->columns);
        int64_t left = grid_at(g, f->wide, i % f->columns);
        for (int64_t y = top; y < top + g->side; y++)
            for (int64_t x = left; x < left + g->side; x++)
                counts[y * f->wide + x] += 1;
    }
}

/* The mean over windows of one class's logits, at the fitted size. */
static void join_class(const frame *f, const grid *g, const float *logits, int64_t stride,
                       int64_t height, int64_t width, const float *counts, float *sum,
                       float *scratch)
{
    memset(sum, 0, (size_t)(f->tall * f->wide) * sizeof *sum);
    for (int64_t i = 0; i < f->rows * f->columns; i++) {
        int64_t top = grid_at(g, f->tall, i / f->columns);
        int64_t left = grid_at(g, f->wide, i % f->columns);
        plane_resize((view){logits + (f->first + i) * stride, height, width, width},
                     (plane){sum + top * f->wide + left, g->side, g->side, f->wide}, true, scratch);
    }
    for (int64_t i = 0; i < f->tall * f->wide; i++)
        sum[i] /= counts[i];
}

void frame_classes(const frame *f, const grid *g, const float *logits, int64_t classes,
                   int64_t height, int64_t width, float *scratch, int32_t *out)
{
    const int64_t pixels = f->out_height * f->out_width;
    float *counts = scratch, *sum = counts + f->tall * f->wide;
    float *best = sum + f->tall * f->wide, *value = best + pixels, *columns = value + pixels;
    count_windows(f, g, counts);
    for (int64_t c = 0; c < classes; c++) {
        float *to = c == 0 ? best : value;
        join_class(f, g, logits + c * height * width, classes * height * width, height, width,
                   counts, sum, columns);
        plane_resize((view){sum, f->height, f->width, f->wide},
                     (plane){to, f->out_height, f->out_width, f->out_width}, false, columns);
        if (c == 0)
            memset(out, 0, (size_t)pixels * sizeof *out);
        for (int64_t i = 0; c > 0 && i < pixels; i++)
            if (value[i] > best[i]) {
                best[i] = value[i];
                out[i] = (int32_t)c;
            }
    }
}
