/* image_seg.c - the dataset plugin `image_seg`: folders of gray images with a class for each pixel.
 *
 * Images are PNG, JPEG or BMP; labels are PNG of the same stem whose stored numbers (gray, or
 * indices of a palette) are the classes. layout.c knows the published sets; find.c says which
 * images a split has; check.c reads every file once, before a run starts. Fields, in this order:
 *
 *     image  f32 (H, W)  (v / 255 - mean) / sd of one channel
 *     truth  u8  (H, W)  classes from 0; 255: ignored. Not for pre-training.
 *
 * Segmentation, in training: image and truth are side x side, changed at random (spec 2.9.1); else
 * the image is resized to fit into `fit` and the truth has the size of its file. Pre-training, in
 * training: a random box (spec 2.3) or a crop around a region (spec 3.3.3), side x side; else the
 * largest square in the middle. Images of 16 bits give their upper byte.
 *
 * The one benchmark is "segmentation" in a suite of the set's name. */
#include "seg.h"

#include <string.h>

static const assay_option options[] = {
    ASSAY_PATH(seg_options, path, ASSAY_OPTION_REQUIRED,
               "folder that holds the folders of images and labels"),
    ASSAY_CHOICE(seg_options, preset, "none", "none|soda|mfnet_t|scut_seg",
                 "a published set: its folders, lists, classes, remapping and channel"),
    ASSAY_CHOICE(seg_options, task, "segmentation", "segmentation|pretraining",
                 "what samples are for; pretraining reads no labels"),
    ASSAY_TEXT(seg_options, name, "", "of the suite; left out: the preset's, or image_seg"),
    ASSAY_TEXT(seg_options, images, "", "folder of the images; left out: images, or the preset's"),
    ASSAY_TEXT(seg_options, labels, "", "folder of the labels; left out: labels, or the preset's"),
    ASSAY_TEXT(seg_options, image_suffix, "",
               "what follows an image's stem; left out: .png, .jpg, .jpeg, .JPEG, .bmp, or the "
               "preset's"),
    ASSAY_TEXT(seg_options, label_suffix, "",
               "what follows a label's stem; left out: .png, or the preset's"),
    ASSAY_TEXTS(seg_options, train, "", NULL,
                "files with a stem a line; none: train.txt where it is, or the preset's; without "
                "any list of any split 70/15/15 by hash of the stem"),
    ASSAY_TEXTS(seg_options, valid, "", NULL, "the same for valid (valid.txt)"),
    ASSAY_TEXTS(seg_options, test, "", NULL, "the same for test (test.txt)"),
    ASSAY_TEXTS(seg_options, classes, "", NULL,
                "names of the classes from 0; none: the preset's, or the lines of classes.txt"),
    ASSAY_NUMBERS(seg_options, remap, "", "", 0, 255,
                  "pairs of a stored label and its class; labels without a pair are errors; none: "
                  "the preset's, or as stored"),
    ASSAY_INTEGER(seg_options, ignore, "", 255, -1, 255,
                  "the stored label of ignored pixels; -1: "
                  "there is none"),
    ASSAY_INTEGER(seg_options, channel, "", -1, -1, 3,
                  "of the images, from 0, as stored; -1: luma, or the preset's"),
    ASSAY_NUMBER(seg_options, mean, "of 0..1", 0.3801, 0, 1, "subtracted from the image"),
    ASSAY_NUMBER(seg_options, sd, "of 0..1", 0, 0, 1,
                 "the image is divided by it; 0: 0.1871 for pretraining, 0.18783 for segmentation"),
    ASSAY_INTEGER(seg_options, side, "pixels", 0, 0, 4096,
                  "of what is trained on; 0: 224 for pretraining, 512 for segmentation"),
    ASSAY_NUMBERS(seg_options, fit, "pixels", "", 1, 32768,
                  "longer and shorter side that images are resized to fit into; none: 4 side and "
                  "side (segmentation)"),
    ASSAY_NUMBERS(seg_options, resize, "", "0.5,2", 0.01, 100,
                  "lowest and highest factor of `fit` in training (segmentation)"),
    ASSAY_NUMBER(seg_options, most, "fraction", 0.75, 0, 1,
                 "a window with a class of this share or more is drawn again, up to ten times; 1: "
                 "never (segmentation)"),
    ASSAY_BOOL(seg_options, flip, true, "half of the images are mirrored in training"),
    ASSAY_BOOL(seg_options, photometric, true,
               "random brightness and contrast in training (segmentation)"),
    ASSAY_CHOICE(seg_options, crop, "random", "random|roi",
                 "what is trained on: a random box, or a crop around a region that `assay rois` "
                 "found (PAD; pretraining)"),
    ASSAY_NUMBER(seg_options, roi_p, "", 0.85, 0, 1,
                 "with this probability such a crop may be smaller than 0.15 of the image"),
    ASSAY_POSITIVE(seg_options, roi_unit, "", 1, 100,
                   "sides of such crops times this; 1 is for images of about 640 x 480"),
    ASSAY_NUMBERS(seg_options, crop_scale, "", "0.2,1", 0.0001, 1,
                  "least and largest share of the image in a random box (pretraining)"),
    ASSAY_NUMBERS(seg_options, crop_ratio, "", "0.75,1.3333333333333333", 0.01, 100,
                  "least and largest width / height of a random box (pretraining)"),
    {ASSAY_OPTION_AT(seg_options, data_ratio, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_ABOVE_LOW,
     .unit = "fraction", .meaning = "r: every floor(1/r)-th image of what is trained on is kept",
     .number = 1, .low = 0, .high = 1},
    ASSAY_INTEGER(seg_options, limit, "images", 0, 0, INT64_C(1) << 53,
                  "only the first so many images of each split; 0: all"),
    ASSAY_CHOICE(
        seg_options, copies, "keep", "keep|drop",
        "names with \"(1)\" or \"~temp\" (SODA's lists have such): kept with a warning, or "
        "left out"),
    ASSAY_CHOICE(seg_options, on_error, "stop", "stop|skip",
                 "what a broken image or label does: an error, or it is left out and counted"),
};

/* Two numbers, the lower first. */
static bool check_pair(const assay_numbers *pair, const char *name, assay_error *error)
{
    return (pair->count == 2 && pair->items[0] <= pair->items[1]) ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("dataset.image_seg: %s", name),
                      .what = "two numbers are due, the lower first");
}

static bool check_options(const seg_options *o, assay_error *error)
{
    if (o->crop == SEG_CROP_ROI && o->task != SEG_TASK_PRETRAINING)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.image_seg: crop",
                          .what = "crops around regions are for pretraining",
                          .expected = "task = \"pretraining\"");
    if (o->fit.count != 0 && o->fit.count != 2)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.image_seg: fit",
                          .what = "two sides are due, or none");
    return check_pair(&o->resize, "resize", error) &&
           check_pair(&o->crop_scale, "crop_scale", error) &&
           check_pair(&o->crop_ratio, "crop_ratio", error);
}

static void describe(seg_data *data)
{
    const seg_options *o = data->options;
    bool labelled = o->task == SEG_TASK_SEGMENTATION;
    data->side = o->side > 0 ? o->side : labelled ? 512 : 224;
    data->fit[0] = o->fit.count > 0 ? (int64_t)o->fit.items[0] : 4 * data->side;
    data->fit[1] = o->fit.count > 0 ? (int64_t)o->fit.items[1] : data->side;
    data->sd = o->sd > 0 ? o->sd : labelled ? 47.8976 / 255 : 0.1871;
    data->field_count = labelled ? 2 : 1;
    data->fields[0] = (assay_field){"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
    data->fields[1] = (assay_field){"truth", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
    data->benchmark = (assay_benchmark){data->layout.name, "segmentation", "", "", 0};
}

/* ---- the plugin's functions ---- */

static void image_seg_close(void *dataset)
{
    seg_data *data = dataset;
    if (data == NULL)
        return;
    seg_sets_clear(&data->sets);
    seg_layout_clear(&data->layout);
    assay_free(data);
}

static void *image_seg_open(const void *given, const assay_host *host, assay_error *error)
{
    seg_data *data = assay_zalloc(sizeof *data, error);
    if (data == NULL)
        return NULL;
    data->options = given;
    if (check_options(given, error) && seg_layout_make(&data->layout, given, error) &&
        seg_find(&data->sets, &data->layout, given, error) && seg_check(data, host, error)) {
        describe(data);
        return data;
    }
    image_seg_close(data);
    return NULL;
}

static const char *image_seg_fingerprint(void *dataset)
{
    return ((seg_data *)dataset)->fingerprint;
}

static const assay_field *image_seg_fields(void *dataset, int *count)
{
    const seg_data *data = dataset;
    *count = data->field_count;
    return data->fields;
}

static const assay_benchmark *image_seg_benchmarks(void *dataset, int *count)
{
    const seg_data *data = dataset;
    *count = data->layout.labels != NULL ? 1 : 0;
    return &data->benchmark;
}

/* What is trained on and what is measured are the same images. */
static int64_t image_seg_count(void *dataset, assay_data_split split, int benchmark)
{
    (void)benchmark;
    return ((seg_data *)dataset)->sets.of[split].count;
}

static bool image_seg_draw(void *dataset, assay_data_split split, int benchmark, int64_t index,
                           const assay_draw *draw, assay_arena *arena, assay_sample *out,
                           assay_error *error)
{
    (void)benchmark;
    return seg_sample(dataset, split, index, draw, arena, out, error);
}

static const char *const *image_seg_classes(void *dataset, int *count)
{
    const seg_data *data = dataset;
    *count = data->layout.class_count;
    return data->layout.classes;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = image_seg_open,
    .close = image_seg_close,
    .fingerprint = image_seg_fingerprint,
    .fields = image_seg_fields,
    .benchmarks = image_seg_benchmarks,
    .count = image_seg_count,
    .sample = image_seg_draw,
    .classes = image_seg_classes,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "image_seg", 1,
             "folders of gray images, with a class for each pixel or for pre-training", seg_options,
             options, functions);
