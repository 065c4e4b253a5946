/* sample.c - one sample: an image as a model is given it, and the class of each pixel.
 *
 * Pictures are decoded into blocks of their own and freed; only what the sample keeps lies in the
 * arena, so that a batch is not as large as the pictures it was made of. */
#include "crops.h"
#include "seg.h"

#include <string.h>

#define STREAM "image_seg"

/* Which image of which set, and what is to be done with it. */
typedef struct request {
    const seg_data *data;
    const seg_item *item;
    const assay_draw *draw; /* NULL: as it is */
    int64_t number;
    assay_arena *arena;
} request;

/* ---- reading ---- */

static bool stayed(const assay_image *image, const seg_item *item, const char *path,
                   assay_error *error)
{
    return (image->width == item->width && image->height == item->height) ||
           ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                      .what = "the file changed since it was checked", .hint = "run again");
}

static bool read_image(const request *asked, assay_image *out, assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    const seg_layout *layout = &asked->data->layout;
    seg_image_path(layout, &asked->data->sets, asked->item, path);
    if (!assay_image_read(out, path, layout->channel, NULL, error))
        return false;
    assay_image_narrow(out);
    return stayed(out, asked->item, path, error);
}

/* Stored labels become classes, and what is ignored 255. */
static bool read_truth(const request *asked, assay_image *out, assay_error *error)
{
    char path[SEG_LONGEST_PATH];
    uint8_t meaning[256];
    bool unknown = false;
    const seg_layout *layout = &asked->data->layout;
    seg_label_path(layout, &asked->data->sets, asked->item, path);
    if (!assay_image_read_labels(out, path, NULL, error) || !stayed(out, asked->item, path, error))
        return false;
    for (int v = 0; v < 256; v++)
        meaning[v] = (uint8_t)(layout->class_of[v] >= 0 ? layout->class_of[v] : SEG_IGNORED);
    uint8_t *labels = out->data;
    for (int64_t i = 0; i < out->width * out->height; i++) {
        unknown = unknown || layout->class_of[labels[i]] < 0;
        labels[i] = meaning[labels[i]];
    }
    return !unknown ||
           ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                      .what = "the file changed since it was checked", .hint = "run again");
}

/* ---- values ---- */

/* A field's value of height x width elements in the sample's arena. */
static void *new_value(const request *asked, assay_field_value *out, int64_t height, int64_t width,
                       int64_t size, assay_error *error)
{
    int64_t count = 0, bytes = 0;
    if (!assay_size_mul(&count, height, width) || !assay_size_mul(&bytes, count, size)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "dataset.image_seg");
        return NULL;
    }
    void *data = assay_arena_alloc(asked->arena, bytes, error);
    *out = (assay_field_value){.data = data, .shape = {height, width}, .present = data != NULL};
    return data;
}

static bool give_image(const request *asked, const assay_image *image, int64_t height,
                       int64_t width, assay_field_value *out, assay_error *error)
{
    const seg_options *options = asked->data->options;
    float *values = new_value(asked, out, height, width, sizeof *values, error);
    if (values != NULL)
        assay_image_pad(image, options->mean, asked->data->sd, height, width, values);
    return values != NULL;
}

static bool give_truth(const request *asked, const assay_image *truth, assay_field_value *out,
                       assay_error *error)
{
    void *values = new_value(asked, out, truth->height, truth->width, 1, error);
    if (values != NULL)
        memcpy(values, truth->data, (size_t)(truth->width * truth->height));
    return values != NULL;
}

/* ---- segmentation ---- */

static bool change_segment(const request *asked, assay_image *image, assay_image *truth,
                           assay_error *error)
{
    const seg_options *o = asked->data->options;
    assay_chance chance =
        assay_chance_of(asked->draw->seed, STREAM, asked->draw->epoch, asked->number);
    const assay_segment_change change = {.long_side = asked->data->fit[0],
                                         .short_side = asked->data->fit[1],
                                         .side = asked->data->side,
                                         .ratio = {o->resize.items[0], o->resize.items[1]},
                                         .most = o->most,
                                         .flip = o->flip,
                                         .photometric = o->photometric,
                                         .ignore = SEG_IGNORED};
    return assay_segment_change_apply(image, truth, &change, &chance, NULL, error);
}

/* Training: both are side x side. Else the image fits into `fit`, and the truth is as stored. */
static bool make_segmentation(const request *asked, assay_field_value values[2], assay_error *error)
{
    assay_image image = {0}, truth = {0}, made = {0};
    int64_t width = asked->data->side, height = asked->data->side;
    bool changes = asked->draw != NULL && asked->draw->augment;
    bool good = read_image(asked, &image, error) && read_truth(asked, &truth, error);
    if (good && changes) {
        good = change_segment(asked, &image, &truth, error) &&
               give_image(asked, &image, height, width, &values[0], error);
    } else if (good) {
        assay_image_fit(image.width, image.height, asked->data->fit[0], asked->data->fit[1], &width,
                        &height);
        good = assay_image_resize(&made, &image, width, height, ASSAY_BILINEAR, NULL, error) &&
               give_image(asked, &made, height, width, &values[0], error);
    }
    good = good && give_truth(asked, &truth, &values[1], error);
    assay_image_free(&image);
    assay_image_free(&truth);
    assay_image_free(&made);
    return good;
}

/* ---- pre-training ---- */

/* The box that is cut out: anywhere, or around a region. */
static bool choose_box(const request *asked, const assay_image *image, assay_chance *chance,
                       assay_box *out, assay_error *error)
{
    const seg_options *o = asked->data->options;
    char path[SEG_LONGEST_PATH];
    images_crop crop = {.scale = o->crop_scale.items,
                        .ratio = o->crop_ratio.items,
                        .p = o->roi_p,
                        .unit = o->roi_unit};
    if (o->crop == SEG_CROP_ROI) {
        seg_image_path(&asked->data->layout, &asked->data->sets, asked->item, path);
        crop.path = path;
    }
    return images_choose_box(image, &crop, chance, out, error);
}

static bool make_pretraining(const request *asked, assay_field_value *value, assay_error *error)
{
    assay_image image = {0}, made = {0};
    const seg_options *o = asked->data->options;
    int64_t side = asked->data->side;
    bool good = read_image(asked, &image, error);
    if (good && asked->draw != NULL && asked->draw->augment) {
        const assay_pretrain_change change = {.side = side, .flip = o->flip};
        assay_box box = {0};
        assay_chance chance =
            assay_chance_of(asked->draw->seed, STREAM, asked->draw->epoch, asked->number);
        good = choose_box(asked, &image, &chance, &box, error) &&
               assay_image_change_box(&made, &image, box, &change, &chance, NULL, error);
    } else if (good) {
        good = images_cut_middle(&made, &image, side, error);
    }
    good = good && give_image(asked, &made, side, side, value, error);
    assay_image_free(&image);
    assay_image_free(&made);
    return good;
}

bool seg_sample(const seg_data *data, assay_data_split split, int64_t number,
                const assay_draw *draw, assay_arena *arena, assay_sample *out, assay_error *error)
{
    const seg_set *set = &data->sets.of[split];
    if (number < 0 || number >= set->count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.image_seg",
                          .what = "there is no such sample");
    request asked = {data, &set->items[number], draw, number, arena};
    assay_field_value *values =
        assay_arena_alloc(arena, data->field_count * (int64_t)sizeof *values, error);
    if (values == NULL)
        return false;
    *out = (assay_sample){.values = values, .index = number, .label = -1};
    return data->options->task == SEG_TASK_PRETRAINING ? make_pretraining(&asked, values, error)
                                                       : make_segmentation(&asked, values, error);
}
