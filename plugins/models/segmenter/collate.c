/* collate.c - samples to what the model takes: whole images of its size in training, windows of
 * fitted images in evaluation (infrared spec 2.9.1, 2.11).
 *
 * In evaluation, who wants anything but predictions (a loss that is watched, layers) gets the
 * middle window of each image: one row a sample, whatever the images' sizes. */
#include "segmenter.h"

#include <assay/image.h>

#include <inttypes.h>
#include <string.h>

/* A sample's image and truth as the dataset gave them; truth NULL without one. */
typedef struct picture {
    const float *image;
    const uint8_t *truth;
    int64_t height, width, truth_height, truth_width;
} picture;

static bool take(const model *m, const assay_sample *sample, picture *out, assay_error *error)
{
    const assay_field_value *image = &sample->values[m->image];
    const assay_field_value *truth = m->truth < 0 ? NULL : &sample->values[m->truth];
    if (!image->present || image->shape[0] < 1 || image->shape[1] < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = assay_text("sample %" PRId64 " has no image", sample->index));
    *out = (picture){.image = image->data,
                     .height = image->shape[0],
                     .width = image->shape[1],
                     .truth_height = image->shape[0],
                     .truth_width = image->shape[1]};
    if (!truth || !truth->present)
        return true;
    out->truth = truth->data;
    out->truth_height = truth->shape[0];
    out->truth_width = truth->shape[1];
    return true;
}

static assay_tensor *new_images(const model *m, const assay_collation *in, int64_t n,
                                assay_error *error)
{
    const int64_t side = m->config->image;
    return assay_tensor_in(in->arena, ASSAY_F32, 4, (int64_t[]){n, MODEL_CHANNELS, side, side},
                           error);
}

/* side x side pixels from (top, left) on, the same in all three channels. */
static void put_window(const view *from, int64_t top, int64_t left, int64_t side, float *out)
{
    const size_t bytes = (size_t)(side * side) * sizeof *out;
    for (int64_t y = 0; y < side; y++)
        memcpy(out + y * side, from->data + (top + y) * from->step + left,
               (size_t)side * sizeof *out);
    memcpy(out + side * side, out, bytes);
    memcpy(out + 2 * side * side, out, bytes);
}

/* ---- training: the dataset has cut every image to the model's size ---- */

static bool check_cut(const model *m, const picture *p, assay_error *error)
{
    const int64_t side = m->config->image;
    if (p->height == side && p->width == side && p->truth && p->truth_height == side &&
        p->truth_width == side)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = MODEL_WHERE,
                      .what = p->truth ? "a training image or its truth is not of the model's size"
                                       : "a training sample has no truth",
                      .expected = assay_text("%" PRId64 " x %" PRId64, side, side),
                      .got = assay_text("%" PRId64 " x %" PRId64 ", truth %" PRId64 " x %" PRId64,
                                        p->width, p->height, p->truth_width, p->truth_height),
                      .hint =
                          "model.segmenter { image = ... } and the dataset's side are one number");
}

bool model_check_crops(const model *m, const assay_data *data, uint64_t seed, assay_error *error)
{
    const assay_dataset_functions *f = data->functions;
    const assay_draw draw = {.seed = seed, .augment = true};
    const assay_data_split split = f->training ? f->training(data->dataset)
                                   : f->count(data->dataset, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) > 0
                                       ? ASSAY_PRETRAIN
                                       : ASSAY_TRAIN;
    assay_sample sample;
    picture p;
    if (f->count(data->dataset, split, ASSAY_NO_BENCHMARK) < 1)
        return true; /* there is nothing to train on: only evaluated */
    assay_arena *arena = assay_arena_new(0, error);
    bool ok =
        arena &&
        f->sample(data->dataset, split, ASSAY_NO_BENCHMARK, 0, &draw, arena, &sample, error) &&
        take(m, &sample, &p, error) && check_cut(m, &p, error);
    assay_arena_free(arena);
    return ok;
}

static bool collate_cut(const model *m, const assay_collation *in, content *c, assay_error *error)
{
    const int64_t side = m->config->image;
    c->images = new_images(m, in, in->count, error);
    c->truth = assay_tensor_in(in->arena, ASSAY_U8, 3, (int64_t[]){in->count, side, side}, error);
    if (!c->images || !c->truth)
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        picture p;
        if (!take(m, &in->samples[b], &p, error) || !check_cut(m, &p, error))
            return false;
        put_window(&(view){p.image, side, side, side}, 0, 0, side,
                   assay_f32(c->images) + b * 3 * side * side);
        memcpy(assay_u8(c->truth) + b * side * side, p.truth, (size_t)(side * side));
    }
    return true;
}

/* ---- evaluation ---- */

static frame frame_of(const model *m, const picture *p, const grid *g)
{
    frame f = {.out_height = p->truth_height, .out_width = p->truth_width};
    assay_image_fit(p->width, p->height, m->settings.fit_long, m->settings.fit_short, &f.width,
                    &f.height);
    f.tall = f.height > g->side ? f.height : g->side;
    f.wide = f.width > g->side ? f.width : g->side;
    f.rows = grid_count(g, f.tall);
    f.columns = grid_count(g, f.wide);
    return f;
}

/* The image at the frame's size, zeros (the mean) where it is padded. */
static bool fit(const assay_collation *in, const picture *p, const frame *f, view *out,
                assay_error *error)
{
    float *fitted = assay_arena_alloc(in->arena, f->tall * f->wide * (int64_t)sizeof(float), error);
    float *scratch = assay_arena_alloc(in->arena, 2 * f->width * (int64_t)sizeof(float), error);
    if (!fitted || !scratch)
        return false;
    memset(fitted, 0, (size_t)(f->tall * f->wide) * sizeof *fitted);
    plane_resize((view){p->image, p->height, p->width, p->width},
                 (plane){fitted, f->height, f->width, f->wide}, false, scratch);
    *out = (view){fitted, f->tall, f->wide, f->wide};
    assay_arena_release(in->arena, scratch, 2 * f->width * (int64_t)sizeof(float));
    return true;
}

static void unfit(const assay_collation *in, const view *fitted)
{
    assay_arena_release(in->arena, (void *)(uintptr_t)fitted->data,
                        fitted->height * fitted->width * (int64_t)sizeof(float));
}

static bool collate_windows(const model *m, const assay_collation *in, content *c,
                            assay_error *error)
{
    const grid g = {m->config->image, m->settings.stride};
    const int64_t each = 3 * g.side * g.side;
    int64_t windows = 0;
    frame *frames = assay_arena_alloc(in->arena, in->count * (int64_t)sizeof *frames, error);
    if (!frames)
        return false;
    c->frames = frames;
    c->frame_count = in->count;
    for (int64_t b = 0; b < in->count; b++) {
        picture p;
        if (!take(m, &in->samples[b], &p, error))
            return false;
        frames[b] = frame_of(m, &p, &g);
        frames[b].first = windows;
        frames[b].offset = c->pixels;
        windows += frames[b].rows * frames[b].columns;
        c->pixels += frames[b].out_height * frames[b].out_width;
    }
    c->images = new_images(m, in, windows, error);
    if (!c->images)
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        const frame *f = &frames[b];
        picture p;
        view fitted;
        if (!take(m, &in->samples[b], &p, error) || !fit(in, &p, f, &fitted, error))
            return false;
        for (int64_t i = 0; i < f->rows * f->columns; i++)
            put_window(&fitted, grid_at(&g, f->tall, i / f->columns),
                       grid_at(&g, f->wide, i % f->columns), g.side,
                       assay_f32(c->images) + (f->first + i) * each);
        unfit(in, &fitted);
    }
    return true;
}

/* The truth under the middle window: nearest, and ignored where the image is padded or has none. */
static void put_truth(const picture *p, const frame *f, int64_t top, int64_t left, int64_t side,
                      uint8_t *out)
{
    memset(out, MODEL_IGNORE, (size_t)(side * side));
    for (int64_t y = 0; p->truth && y < side && top + y < f->height; y++)
        for (int64_t x = 0; x < side && left + x < f->width; x++)
            out[y * side + x] = p->truth[(top + y) * p->truth_height / f->height * p->truth_width +
                                         (left + x) * p->truth_width / f->width];
}

static bool collate_middle(const model *m, const assay_collation *in, content *c,
                           assay_error *error)
{
    const grid g = {m->config->image, m->settings.stride};
    const int64_t side = g.side;
    c->images = new_images(m, in, in->count, error);
    c->truth = assay_tensor_in(in->arena, ASSAY_U8, 3, (int64_t[]){in->count, side, side}, error);
    if (!c->images || !c->truth)
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        picture p;
        view fitted;
        if (!take(m, &in->samples[b], &p, error))
            return false;
        const frame f = frame_of(m, &p, &g);
        const int64_t top = (f.tall - side) / 2, left = (f.wide - side) / 2;
        if (!fit(in, &p, &f, &fitted, error))
            return false;
        put_window(&fitted, top, left, side, assay_f32(c->images) + b * 3 * side * side);
        put_truth(&p, &f, top, left, side, assay_u8(c->truth) + b * side * side);
        unfit(in, &fitted);
    }
    return true;
}

bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error)
{
    const model *m = opened;
    content *c = assay_arena_alloc(in->arena, (int64_t)sizeof *c, error);
    if (!c)
        return false;
    *c = (content){0};
    out->content = c;
    if (!assay_wants_tower(in->wanted, "image"))
        return true;
    bool ok = in->phase == ASSAY_TRAINING                   ? collate_cut(m, in, c, error)
              : assay_wants(in->wanted, "image.prediction") ? collate_windows(m, in, c, error)
                                                            : collate_middle(m, in, c, error);
    if (!ok)
        return false;
    const int64_t side = m->config->image / m->config->patch;
    out->towers[out->tower_count++] =
        (assay_tower){.name = "image", .rows = c->images->shape[0], .tokens = 1 + side * side};
    out->tokens = c->images->shape[0] * (1 + side * side);
    return true;
}
