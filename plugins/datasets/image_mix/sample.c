/* sample.c - one image of a mixture, gray, as pre-training is given it (infrared spec 2.3, 3.3.3).
 *
 * Pictures are decoded into blocks of their own and freed; only what the sample keeps lies in the
 * arena. */
#include "crops.h"
#include "mix.h"

#define STREAM "image_mix"

static bool change(const mix_data *data, int64_t number, const char *path, const assay_draw *draw,
                   const assay_image *image, assay_image *out, assay_error *error)
{
    const mix_options *o = data->options;
    const assay_pretrain_change wanted = {.side = o->side, .flip = o->flip};
    const images_crop crop = {.scale = o->crop_scale.items,
                              .ratio = o->crop_ratio.items,
                              .p = o->roi_p,
                              .unit = o->roi_unit,
                              .path = o->crop == MIX_CROP_ROI ? path : NULL};
    assay_chance chance = assay_chance_of(draw->seed, STREAM, draw->epoch, number);
    assay_box box = {0};
    return images_choose_box(image, &crop, &chance, &box, error) &&
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
                   : images_cut_middle(&made, &image, side, error);
    }
    if (good)
        assay_image_normalise(&made, data->options->mean, data->options->sd, pixels);
    assay_image_free(&image);
    assay_image_free(&made);
    *value = (assay_field_value){.data = pixels, .shape = {side, side}, .present = true};
    *out = (assay_sample){.values = value, .index = number, .label = -1};
    return good;
}
