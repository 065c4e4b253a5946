/* judge.c - what trained probes predict for whole images, against their truth at its own size
 * (infrared spec 2.11): windows of the model's side, logits averaged where they overlap, resized to
 * the truth, the largest class. */
#include "probe.h"

#include <assay/image.h>

#include <inttypes.h>
#include <string.h>

/* An image being judged. It is padded with 0 on the right and below where it is smaller than a
 * window. */
typedef struct picture {
    const assay_field_value *image, *truth;
    int64_t height, width;      /* at least a window's */
    int64_t rows, columns;      /* of windows */
    assay_sample *windows;      /* (rows columns) */
    float *logits[MOST_LAYERS]; /* of each probe: (windows, C, g, g) */
    int64_t grid;               /* g */
} picture;

static int64_t stride_of(const prober *p)
{
    if (p->options->stride > 0)
        return p->options->stride < p->side ? p->options->stride : p->side;
    return p->side > 1 ? p->side * 2 / 3 : 1; /* 341 of 512 */
}

static int64_t windows_along(const prober *p, int64_t extent)
{
    return (extent - p->side + stride_of(p) - 1) / stride_of(p) + 1;
}

/* First pixel of window i: the last one ends with the image. */
static int64_t window_at(const prober *p, int64_t extent, int64_t i)
{
    const int64_t at = i * stride_of(p), last = extent - p->side;
    return at < last ? at : last;
}

/* The sample with a window of its image in place of the image. */
static bool cut_window(prober *p, const picture *of, const assay_sample *sample, int64_t top,
                       int64_t left, assay_sample *out, assay_error *error)
{
    const int64_t side = p->side, tall = of->image->shape[0], wide = of->image->shape[1];
    assay_field_value *values =
        assay_arena_alloc(p->samples, p->field_count * (int64_t)sizeof *values, error);
    float *pixels = assay_arena_alloc(p->samples, side * side * (int64_t)sizeof *pixels, error);
    if (!values || !pixels)
        return false;
    memset(pixels, 0, (size_t)(side * side) * sizeof *pixels);
    for (int64_t y = 0; y < side && top + y < tall; y++) {
        const int64_t some = wide - left < side ? wide - left : side;
        memcpy(pixels + y * side, (const float *)of->image->data + (top + y) * wide + left,
               (size_t)some * sizeof *pixels);
    }
    memcpy(values, sample->values, (size_t)p->field_count * sizeof *values);
    values[p->image].data = pixels;
    values[p->image].shape[0] = values[p->image].shape[1] = side;
    *out = (assay_sample){.values = values, .index = sample->index, .label = sample->label};
    return true;
}

static bool cut_windows(prober *p, const assay_sample *sample, picture *of, assay_error *error)
{
    *of = (picture){.image = &sample->values[p->image], .truth = &sample->values[p->truth]};
    if (!of->image->present || !of->truth->present)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "a sample has no image or no truth",
                          .got = assay_text("sample %" PRId64, sample->index));
    of->height = of->image->shape[0] > p->side ? of->image->shape[0] : p->side;
    of->width = of->image->shape[1] > p->side ? of->image->shape[1] : p->side;
    of->rows = windows_along(p, of->height);
    of->columns = windows_along(p, of->width);
    of->windows =
        assay_arena_alloc(p->samples, of->rows * of->columns * (int64_t)sizeof *of->windows, error);
    for (int64_t i = 0; i < of->rows * of->columns; i++)
        if (!of->windows ||
            !cut_window(p, of, sample, window_at(p, of->height, i / of->columns),
                        window_at(p, of->width, i % of->columns), &of->windows[i], error))
            return false;
    return true;
}

/* Windows first .. first + count - 1 through the network and every probe. */
static bool run_windows(prober *p, picture *of, int64_t first, int64_t count, assay_error *error)
{
    assay_tensor *features[MOST_LAYERS];
    assay_tape_begin(p->tape, (assay_step){.seed = p->evaluation->seed, .no_gradient = true});
    if (!features_of(p, of->windows + first, count, features, error))
        return false;
    for (int64_t i = 0; i < p->count; i++) {
        const assay_tensor *logits = probe_logits(p, &p->probes[i], features[i]);
        if (!logits)
            return assay_tape_failed(p->tape, error);
        const int64_t each = assay_tensor_count(logits) / count;
        of->grid = logits->shape[3];
        if (!of->logits[i])
            of->logits[i] = assay_arena_alloc(
                p->samples, of->rows * of->columns * each * (int64_t)sizeof(float), error);
        if (!of->logits[i])
            return false;
        memcpy(of->logits[i] + first * each, assay_f32(logits),
               (size_t)(count * each) * sizeof(float));
    }
    return true;
}

/* ---- from windows to classes ---- */

/* Planes that an image needs, in one block. */
typedef struct planes {
    float *counts, *sum; /* (height, width): windows that show a pixel; one class's logits */
    float *window;       /* (side, side) */
    float *cut;          /* (height, width) of the image proper */
    float *best, *value; /* (truth's height, width) */
    uint8_t *classes;    /* the same */
} planes;

static bool take_planes(prober *p, const picture *of, planes *out, assay_error *error)
{
    const int64_t area = of->height * of->width, truth = of->truth->shape[0] * of->truth->shape[1];
    float *all = assay_arena_alloc(
        p->samples, (3 * area + p->side * p->side + 2 * truth) * (int64_t)sizeof *all, error);
    out->classes = assay_arena_alloc(p->samples, truth, error);
    if (!all || !out->classes)
        return false;
    out->counts = all;
    out->sum = out->counts + area;
    out->cut = out->sum + area;
    out->window = out->cut + area;
    out->best = out->window + p->side * p->side;
    out->value = out->best + truth;
    return true;
}

static void add_window(const prober *p, const picture *of, int64_t i, const float *values,
                       float *to)
{
    const int64_t top = window_at(p, of->height, i / of->columns);
    const int64_t left = window_at(p, of->width, i % of->columns);
    for (int64_t y = 0; y < p->side; y++)
        for (int64_t x = 0; x < p->side; x++)
            to[(top + y) * of->width + left + x] += values ? values[y * p->side + x] : 1.0f;
}

/* One class's logits at the truth's size: the mean over windows, the image's part of it,
 * resized. */
static void class_plane(const prober *p, const picture *of, const planes *s, const float *logits,
                        int64_t class, float *out)
{
    const int64_t cells = of->grid * of->grid, area = of->height * of->width;
    const int64_t tall = of->image->shape[0], wide = of->image->shape[1];
    memset(s->sum, 0, (size_t)area * sizeof *s->sum);
    for (int64_t i = 0; i < of->rows * of->columns; i++) {
        assay_resize_planes(logits + (i * p->classes + class) * cells, 1, of->grid, of->grid,
                            s->window, p->side, p->side, ASSAY_BILINEAR);
        add_window(p, of, i, s->window, s->sum);
    }
    for (int64_t y = 0; y < tall; y++)
        for (int64_t x = 0; x < wide; x++)
            s->cut[y * wide + x] = s->sum[y * of->width + x] / s->counts[y * of->width + x];
    assay_resize_planes(s->cut, 1, tall, wide, out, of->truth->shape[0], of->truth->shape[1],
                        ASSAY_BILINEAR);
}

static bool count_picture(prober *p, const picture *of, assay_error *error)
{
    const int64_t truth = of->truth->shape[0] * of->truth->shape[1];
    planes s;
    if (!take_planes(p, of, &s, error))
        return false;
    memset(s.counts, 0, (size_t)(of->height * of->width) * sizeof *s.counts);
    for (int64_t i = 0; i < of->rows * of->columns; i++)
        add_window(p, of, i, NULL, s.counts);
    for (int64_t k = 0; k < p->count; k++) {
        class_plane(p, of, &s, of->logits[k], 0, s.best);
        memset(s.classes, 0, (size_t)truth);
        for (int64_t c = 1; c < p->classes; c++) {
            class_plane(p, of, &s, of->logits[k], c, s.value);
            for (int64_t i = 0; i < truth; i++)
                if (s.value[i] > s.best[i]) {
                    s.best[i] = s.value[i];
                    s.classes[i] = (uint8_t)c;
                }
        }
        if (!assay_confusion_add(p->probes[k].confusion, of->truth->data, s.classes, truth, error))
            return false;
    }
    return true;
}

static bool judge_sample(prober *p, assay_data_split split, int64_t index, assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    const assay_draw as_it_is = {.seed = p->evaluation->seed};
    assay_sample sample;
    picture of;
    assay_arena_reset(p->samples);
    if (!data->functions->sample(data->dataset, split, p->benchmark, index, &as_it_is, p->samples,
                                 &sample, error) ||
        !cut_windows(p, &sample, &of, error))
        return false;
    const int64_t windows = of.rows * of.columns;
    for (int64_t first = 0; first < windows; first += p->options->batch) {
        const int64_t left = windows - first;
        if (!run_windows(p, &of, first, left < p->options->batch ? left : p->options->batch, error))
            return false;
    }
    return count_picture(p, &of, error);
}

static bool summarise(prober *p, assay_error *error)
{
    for (int64_t k = 0; k < p->count; k++)
        if (!assay_confusion_summary(p->probes[k].confusion, &p->probes[k].figures,
                                     p->probes[k].iou, error))
            return false;
    return true;
}

bool probe_judge(prober *p, assay_data_split split, bool *any, assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    int64_t count = data->functions->count(data->dataset, split, p->benchmark);
    if (p->options->images > 0 && count > p->options->images)
        count = p->options->images;
    *any = count > 0;
    for (int64_t k = 0; k < p->count; k++) {
        assay_confusion_free(p->probes[k].confusion);
        p->probes[k].confusion = assay_confusion_new(p->classes, IGNORED, error);
        if (!p->probes[k].confusion)
            return false;
    }
    for (int64_t i = 0; i < count; i++)
        if (probe_stopped(p, error) || !judge_sample(p, split, i, error))
            return false;
    return count == 0 || summarise(p, error);
}
