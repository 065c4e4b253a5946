/* sample.c - one image of a mixture, gray, as pre-training is given it (infrared spec 2.3, 3.3.3).
 *
 * Pictures are decoded into blocks of their own and freed; only what the sample keeps lies in the
 * arena. */
#include "mix.h"

#include <assay/regions.h>

#include <string.h>

#define STREAM "image_mix"

/* The candidates of an image that was cut into a crop, or none. */
static bool choose_box(const mix_data *data, const char *path, const assay_image *image,
                       assay_chance *chance, assay_box *out, assay_error *error)
{
    const mix_options *o = data->options;
    bool around = o->crop == MIX_CROP_ROI;
    assay_roi_crop crop = assay_roi_crop_of(around ? o->roi_unit : 1);
    assay_rois rois = {NULL, 0};
    assay_arena *arena = NULL;
    crop.p = o->roi_p;
    memcpy(crop.scale, o->crop_scale.items, sizeof crop.scale);
    memcpy(crop.ratio, o->crop_ratio.items, sizeof crop.ratio);
    if (around) {
        arena = assay_arena_new(65536, error);
        if (arena == NULL || !assay_rois_of(path, &rois, arena, error)) {
            assay_arena_free(arena);
            return false;
        }
    }
    *out = assay_roi_box(image->width, image->height, &rois, &crop, chance);
    assay_arena_free(arena);
    return true;
}

/* Outside training the largest square in the middle. */
static bool cut_middle(const assay_image *image, int64_t side, assay_image *out, assay_error *error)
{
    assay_image cut = {0};
    int64_t edge = image->width < image->height ? image->width : image->height;
    assay_box box = {(image->width - edge) / 2, (image->height - edge) / 2, edge, edge};
    bool good = assay_image_cut(&cut, image, box, NULL, error) &&
                assay_image_resize(out, &cut, side, side, ASSAY_BICUBIC, NULL, error);
    assay_image_free(&cut);
    return good;
}

static bool change(const mix_data *data, int64_t number, const char *path, const assay_draw *draw,
                   const assay_image *image, assay_image *out, assay_error *error)
{
    const assay_pretrain_change wanted = {.side = data->options->side, .flip = data->options->flip};
    assay_chance chance = assay_chance_of(draw->seed, STREAM, draw->epoch, number);
    assay_box box = {0};
    return choose_box(data, path, image, &chance, &box, error) &&
           assay_image_change_box(out, image, box, &wanted, &chance, NULL, error);
}

bool mix_sample(const mix_data *data, int64_t number, const assay_draw *draw, assay_arena *arena,
                assay_sample *out, assay_error *error)
{
    char path[MIX_LONGEST_PATH];
    int64_t side = data->options->side;
    assay_image image = {0}, made = {0};
    if (number < 0 || number >= data->count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MIX_WHERE,
                          .what = "there is no such sample");
    assay_field_value *value = assay_arena_alloc(arena, (int64_t)sizeof *value, error);
    float *pixels = assay_arena_alloc(arena, side * side * (int64_t)sizeof *pixels, error);
    if (value == NULL || pixels == NULL)
        return false;
    mix_path(data, &data->items[number], path);
    bool good = assay_image_read(&image, path, ASSAY_LUMA, NULL, error);
    if (good) {
        assay_image_narrow(&image);
        good = draw != NULL && draw->augment
                   ? change(data, number, path, draw, &image, &made, error)
                   : cut_middle(&image, side, &made, error);
    }
    if (good)
        assay_image_normalise(&made, data->options->mean, data->options->sd, pixels);
    assay_image_free(&image);
    assay_image_free(&made);
    *value = (assay_field_value){.data = pixels, .shape = {side, side}, .present = true};
    *out = (assay_sample){.values = value, .index = number, .label = -1};
    return good;
}
