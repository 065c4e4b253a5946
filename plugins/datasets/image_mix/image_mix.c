/* image_mix.c - the dataset plugin `image_mix`: many folders of images as one set for pre-training.
 *
 * UNIP's InfMix (infrared spec 2.2) is infrared sets, a part of ImageNet and COCO; PAD's MSIP (3.2)
 * is infrared sets alone. What is read below `path`, part by part, in the order of `parts`:
 *
 *     infpre/SET/thermal/IMAGE   a sibling of `thermal` (rgb, roi) is not looked at
 *     in1k/CLASS/IMAGE           the first `per_class` of each class, by name
 *     coco/train2017/IMAGE
 *     SET/thermal/IMAGE          part "msip": the layout of scripts/data/msip
 *
 * Sets, classes and files come by name; files of infrared sets by the number before the first dot
 * when all of a set's names are numbers. Every image is read once before a run starts: one that is
 * empty, truncated or too large is an error with its name. Images are PNG, JPEG or BMP; colours
 * become their luma.
 *
 * The one field is `image`, f32 (side, side), (v / 255 - mean) / sd: in training a random box or a
 * crop around a region, resized and mirrored by chance (2.3, 3.3.3); else the largest square in the
 * middle. All samples are of split pretrain; there is no benchmark. */
#include "mix.h"

#include <assay/regions.h>

static const assay_option options[] = {
    ASSAY_PATH(mix_options, path, ASSAY_OPTION_REQUIRED, "folder that holds the parts"),
    ASSAY_TEXTS(mix_options, parts, "infpre,in1k,coco", "infpre|in1k|coco|msip",
                "of the mixture, in this order"),
    ASSAY_INTEGER(mix_options, per_class, "images", 200, 0, INT64_C(1) << 53,
                  "of each class of in1k at most; 0: all"),
    {ASSAY_OPTION_AT(mix_options, data_ratio, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_ABOVE_LOW,
     .unit = "fraction", .meaning = "r: every floor(1/r)-th image of the whole list is kept",
     .number = 1, .low = 0, .high = 1},
    ASSAY_INTEGER(mix_options, limit, "images", 0, 0, INT64_C(1) << 53,
                  "only the first so many of those; 0: all"),
    ASSAY_NUMBER(mix_options, mean, "of 0..1", 0.3801, 0, 1, "subtracted from the image"),
    ASSAY_POSITIVE(mix_options, sd, "of 0..1", 0.1871, 1, "the image is divided by it"),
    ASSAY_INTEGER(mix_options, side, "pixels", 224, 8, 4096, "of a sample"),
    ASSAY_NUMBERS(mix_options, crop_scale, "", "0.2,1", 0.0001, 1,
                  "least and largest share of the image in a random box"),
    ASSAY_NUMBERS(mix_options, crop_ratio, "", "0.75,1.3333333333333333", 0.01, 100,
                  "least and largest width / height of a random box"),
    ASSAY_BOOL(mix_options, flip, true, "half of the images are mirrored in training"),
    ASSAY_CHOICE(mix_options, crop, "random", "random|roi",
                 "a random box, or a crop around a region that `assay rois` found (PAD); images "
                 "without a file of regions have random boxes"),
    ASSAY_NUMBER(mix_options, roi_p, "", 0.85, 0, 1,
                 "with this probability such a crop may be smaller than 0.15 of the image"),
    ASSAY_POSITIVE(mix_options, roi_unit, "", 1, 100,
                   "sides of such crops times this; 1 is for images of about 640 x 480"),
    ASSAY_CHOICE(mix_options, on_error, "stop", "stop|skip",
                 "what a broken image does: an error, or it is left out and counted"),
};

/* Two numbers, the lower first. */
static bool check_pair(const assay_numbers *pair, const char *name, assay_error *error)
{
    return (pair->count == 2 && pair->items[0] <= pair->items[1]) ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text(MIX_WHERE ": %s", name),
                      .what = "two numbers are due, the lower first");
}

static void mix_close(void *dataset)
{
    mix_data *data = dataset;
    if (data == NULL)
        return;
    assay_free(data->text);
    assay_free(data->items);
    assay_free(data->sources);
    assay_free(data);
}

static void *mix_open(const void *given, const assay_host *host, assay_error *error)
{
    const mix_options *o = given;
    mix_data *data = assay_zalloc(sizeof *data, error);
    if (data == NULL)
        return NULL;
    data->options = o;
    data->field = (assay_field){"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
    if (check_pair(&o->crop_scale, "crop_scale", error) &&
        check_pair(&o->crop_ratio, "crop_ratio", error) && mix_list(data, error) &&
        mix_check(data, host, error))
        return data;
    mix_close(data);
    return NULL;
}

static const char *mix_fingerprint(void *dataset)
{
    return ((mix_data *)dataset)->fingerprint;
}

static const assay_field *mix_fields(void *dataset, int *count)
{
    *count = 1;
    return &((mix_data *)dataset)->field;
}

static int64_t mix_count(void *dataset, assay_data_split split, int benchmark)
{
    const mix_data *data = dataset;
    return split == ASSAY_PRETRAIN && benchmark == ASSAY_NO_BENCHMARK ? data->count : 0;
}

static bool mix_draw(void *dataset, assay_data_split split, int benchmark, int64_t index,
                     const assay_draw *draw, assay_arena *arena, assay_sample *out,
                     assay_error *error)
{
    if (mix_count(dataset, split, benchmark) == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MIX_WHERE,
                          .what = "there is no such sample");
    return mix_sample(dataset, index, draw, arena, out, error);
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = mix_open,
    .close = mix_close,
    .fingerprint = mix_fingerprint,
    .fields = mix_fields,
    .count = mix_count,
    .sample = mix_draw,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "image_mix", 1,
             "folders of images for pre-training: infrared sets, ImageNet, COCO (InfMix, MSIP)",
             mix_options, options, functions);
