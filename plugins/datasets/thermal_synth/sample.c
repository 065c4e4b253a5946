/* sample.c - one sample: a scene painted, photographed, and changed as training wants it.
 *
 * Whatever the making needs lies in an arena of its own that is freed with the sample made. */
#include "thermal.h"

#include <string.h>

#define STREAM "thermal_synth/change"
#define WHERE  "dataset.thermal_synth"

uint64_t thermal_number(assay_data_split split, int64_t index)
{
    return (uint64_t)split << 48 | (uint64_t)index;
}

/* ---- the picture ---- */

static bool paint(const thermal_data *data, uint64_t number, assay_arena *arena, uint8_t *gray,
                  uint8_t *truth, assay_error *error)
{
    const thermal_options *o = data->options;
    int64_t pixels = o->width * o->height;
    canvas c = {0};
    sensor camera;
    scene *s = assay_arena_alloc(arena, (int64_t)sizeof *s, error);
    float *radiance = assay_arena_alloc(arena, pixels * (int64_t)sizeof *radiance, error);
    uint16_t *counts = assay_arena_alloc(arena, pixels * (int64_t)sizeof *counts, error);
    if (s == NULL || radiance == NULL || counts == NULL ||
        !canvas_make(&c, o->width, o->height, arena, error))
        return false;
    scene_draw(s, &data->knobs, number, (double)o->width / (double)o->height);
    scene_paint(s, &data->knobs, &c);
    canvas_resolve(&c, radiance, truth);
    sensor_choose(&camera, data->knobs.seed, o->netd, o->nonuniformity, o->blur, number);
    if (!sensor_expose(&camera, &data->knobs.table, number, o->width, o->height, radiance, counts,
                       arena, error))
        return false;
    sensor_gain(&camera, counts, pixels, gray);
    return true;
}

bool thermal_picture(const thermal_data *data, uint64_t number, assay_image *image,
                     assay_image *truth, assay_error *error)
{
    const thermal_options *o = data->options;
    const int64_t per_pixel = SAMPLES * SAMPLES * 9 + 6;
    assay_image gray = {0}, labels = {0};
    assay_arena *arena =
        assay_arena_new(o->width * o->height * per_pixel + (int64_t)sizeof(scene) + 65536, error);
    bool good = arena != NULL && assay_image_new(&gray, o->width, o->height, 8, NULL, error) &&
                assay_image_new(&labels, o->width, o->height, 8, NULL, error) &&
                paint(data, number, arena, gray.data, labels.data, error);
    assay_arena_free(arena);
    if (good) {
        *image = gray;
        *truth = labels;
        return true;
    }
    assay_image_free(&gray);
    assay_image_free(&labels);
    return false;
}

/* ---- values ---- */

static void *new_value(assay_field_value *out, int64_t height, int64_t width, int64_t size,
                       assay_arena *arena, assay_error *error)
{
    void *data = assay_arena_alloc(arena, height * width * size, error); /* sides are bounded */
    *out = (assay_field_value){.data = data, .shape = {height, width}, .present = data != NULL};
    return data;
}

static bool give_image(const thermal_data *data, const assay_image *image, int64_t height,
                       int64_t width, assay_arena *arena, assay_field_value *out,
                       assay_error *error)
{
    float *values = new_value(out, height, width, sizeof *values, arena, error);
    if (values != NULL)
        assay_image_pad(image, data->options->mean, data->sd, height, width, values);
    return values != NULL;
}

static bool give_truth(const assay_image *truth, assay_arena *arena, assay_field_value *out,
                       assay_error *error)
{
    void *values = new_value(out, truth->height, truth->width, 1, arena, error);
    if (values != NULL)
        memcpy(values, truth->data, (size_t)(truth->width * truth->height));
    return values != NULL;
}

/* ---- what is done to the picture ---- */

static bool fit_segmentation(const thermal_data *data, assay_image *image, assay_image *truth,
                             bool changes, assay_chance *chance, assay_error *error)
{
    const thermal_options *o = data->options;
    int64_t width = 0, height = 0;
    assay_image made = {0};
    const assay_segment_change change = {.long_side = data->long_side,
                                         .short_side = data->short_side,
                                         .side = data->side,
                                         .ratio = {o->resize.items[0], o->resize.items[1]},
                                         .most = o->most,
                                         .flip = o->flip,
                                         .photometric = o->photometric,
                                         .ignore = THERMAL_IGNORED};
    if (changes)
        return assay_segment_change_apply(image, truth, &change, chance, NULL, error);
    assay_image_fit(image->width, image->height, data->long_side, data->short_side, &width,
                    &height);
    if (width == image->width && height == image->height)
        return true;
    if (!assay_image_resize(&made, image, width, height, ASSAY_BILINEAR, NULL, error))
        return false;
    assay_image_free(image);
    *image = made;
    return true;
}

/* The box that is cut out: anywhere, or around a region. */
static bool choose_box(const thermal_data *data, const assay_image *image, assay_chance *chance,
                       assay_box *out, assay_error *error)
{
    const thermal_options *o = data->options;
    assay_roi_crop crop = assay_roi_crop_of(data->roi_unit);
    const assay_roi_rule rule = assay_roi_rule_of(data->roi_unit);
    assay_rois rois = {NULL, 0};
    assay_arena *arena = NULL;
    crop.p = o->roi_p;
    memcpy(crop.scale, o->crop_scale.items, sizeof crop.scale);
    memcpy(crop.ratio, o->crop_ratio.items, sizeof crop.ratio);
    if (o->crop == THERMAL_CROP_ROI) {
        arena = assay_arena_new(image->width * image->height * 128 + 65536, error);
        if (arena == NULL || !assay_rois_find(image, &rule, &rois, arena, error)) {
            assay_arena_free(arena);
            return false;
        }
    }
    *out = assay_roi_box(image->width, image->height, &rois, &crop, chance);
    assay_arena_free(arena);
    return true;
}

static bool fit_pretraining(const thermal_data *data, assay_image *image, bool changes,
                            assay_chance *chance, assay_error *error)
{
    const thermal_options *o = data->options;
    assay_image cut = {0}, made = {0};
    const assay_pretrain_change change = {data->side,
                                          {o->crop_scale.items[0], o->crop_scale.items[1]},
                                          {o->crop_ratio.items[0], o->crop_ratio.items[1]},
                                          o->flip};
    int64_t edge = o->width < o->height ? o->width : o->height;
    assay_box middle = {(o->width - edge) / 2, (o->height - edge) / 2, edge, edge};
    assay_box box = middle;
    if (changes && !choose_box(data, image, chance, &box, error))
        return false;
    bool good = changes ? assay_image_change_box(&made, image, box, &change, chance, NULL, error)
                        : assay_image_cut(&cut, image, middle, NULL, error) &&
                              assay_image_resize(&made, &cut, data->side, data->side, ASSAY_BICUBIC,
                                                 NULL, error);
    assay_image_free(&cut);
    if (!good)
        return false;
    assay_image_free(image);
    *image = made;
    return true;
}

bool thermal_sample(const thermal_data *data, assay_data_split split, int64_t index,
                    const assay_draw *draw, assay_arena *arena, assay_sample *out,
                    assay_error *error)
{
    bool changes = draw != NULL && draw->augment;
    bool pretrains = data->options->task == THERMAL_PRETRAINING;
    assay_image image = {0}, truth = {0};
    if (index < 0 || index >= data->count[split])
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "there is no such sample");
    assay_field_value *values =
        assay_arena_alloc(arena, data->field_count * (int64_t)sizeof *values, error);
    if (values == NULL ||
        !thermal_picture(data, thermal_number(split, index), &image, &truth, error))
        return false;
    assay_chance chance =
        assay_chance_of(changes ? draw->seed : 0, STREAM, changes ? draw->epoch : 0, index);
    bool good = pretrains ? fit_pretraining(data, &image, changes, &chance, error)
                          : fit_segmentation(data, &image, &truth, changes, &chance, error);
    int64_t width = changes ? data->side : image.width;
    int64_t height = changes ? data->side : image.height;
    good = good && give_image(data, &image, height, width, arena, &values[0], error) &&
           (pretrains || give_truth(&truth, arena, &values[1], error));
    assay_image_free(&image);
    assay_image_free(&truth);
    *out = (assay_sample){.values = values, .index = index, .label = -1};
    return good;
}
