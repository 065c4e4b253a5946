/* thermal_synth.c - the dataset plugin `thermal_synth`: thermal pictures of scenes that never were,
 * with the exact class of every pixel.
 *
 * A picture is a pure function of (seed, split, number) and of the options of scene and camera: the
 * temperatures of ground, houses, plants, sky and things follow air, sun and hour; they radiate by
 * Planck's law in the band of 8 to 14 micrometres, through air, onto a camera with blur, noise,
 * fixed-pattern non-uniformity, 14 bits and an automatic gain to 8. Nothing is stored: a million
 * pictures take no more room than one. At night bodies and running cars are the warmest; in the sun
 * a road is warmer than a person; boxes, stones and spots of the ground are as warm as either and
 * are background. So a class is known by shape, place and context, not by its gray.
 *
 * Fields, in this order:
 *
 *     image  f32 (H, W)  (v / 255 - mean) / sd
 *     truth  u8  (H, W)  classes from 0, of what most of the pixel shows; 255 (only where training
 *                        pads): ignored. Not for pre-training.
 *
 * Segmentation has the splits train, valid and test. In training image and truth are side x side,
 * changed at random (infrared spec 2.9.1); else the image is resized to fit into `fit` and the
 * truth is as large as the picture. Pre-training has the splits pretrain, valid and test: in
 * training a random box (spec 2.3) or, with `crop = "roi"`, a crop around a region that selective
 * search finds in the picture (spec 3.3), side x side; else the largest square in the middle. Both
 * of one seed show the same valid and test pictures; no picture stands in two splits.
 *
 * The one benchmark is thermal_synth/segmentation. Numbers made with these pictures compare with
 * nobody else's. */
#include "thermal.h"

#include <assay/hash.h>
#include <assay/log.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1
#define WHERE   "dataset.thermal_synth"

const char *const thermal_classes[CLASSES] = {"background", "road",   "building", "vegetation",
                                              "sky",        "person", "car",      "bicycle",
                                              "animal",     "lamp"};

static const double most_images = (double)(INT64_C(1) << 40);

static const assay_option options[] = {
    ASSAY_CHOICE(thermal_options, task, "segmentation", "segmentation|pretraining",
                 "what samples are for; pretraining gives no truth"),
    ASSAY_INTEGER(thermal_options, images, "images", 20000, 0, most_images,
                  "of pretrain (pretraining)"),
    ASSAY_INTEGER(thermal_options, train_images, "images", 1000, 0, most_images,
                  "of train (segmentation)"),
    ASSAY_INTEGER(thermal_options, valid_images, "images", 200, 0, most_images, "of valid"),
    ASSAY_INTEGER(thermal_options, test_images, "images", 400, 0, most_images, "of test"),
    ASSAY_INTEGER(thermal_options, width, "pixels", 160, 16, 2048, "of a picture"),
    ASSAY_INTEGER(thermal_options, height, "pixels", 128, 16, 2048, "of a picture"),
    ASSAY_INTEGER(thermal_options, seed, "", 1, 0, INT64_C(1) << 53,
                  "of the pictures; the runs' seeds are others"),
    ASSAY_CHOICE(thermal_options, hours, "any", "any|day|night", "when pictures are taken"),
    ASSAY_NUMBERS(thermal_options, air, "deg C", "-5,32", -60, 60,
                  "lowest and highest temperature of the air"),
    ASSAY_NUMBER(thermal_options, clutter, "", 1, 0, 4,
                 "warm and cold things and spots without a class; 1 is usual"),
    ASSAY_NUMBER(thermal_options, netd, "K", 0.08, 0, 5,
                 "noise of a pixel from frame to frame, as a difference of temperature at 300 K"),
    ASSAY_NUMBER(thermal_options, nonuniformity, "K", 0.05, 0, 5,
                 "spread of the fixed pattern of each of the four cameras: pixels, columns, rows"),
    ASSAY_NUMBER(thermal_options, blur, "pixels", 0.6, 0, 5,
                 "spread (sd) of a point's image; the cameras have 0.8 to 1.25 of it"),
    ASSAY_NUMBER(thermal_options, mean, "of 0..1", 0.3801, 0, 1, "subtracted from the image"),
    ASSAY_NUMBER(thermal_options, sd, "of 0..1", 0, 0, 1,
                 "the image is divided by it; 0: 0.1871 for pretraining, 0.18783 for segmentation"),
    ASSAY_INTEGER(thermal_options, side, "pixels", 128, 8, 4096, "of what is trained on"),
    ASSAY_NUMBERS(thermal_options, fit, "pixels", "", 1, 32768,
                  "longer and shorter side that images are resized to fit into; none: 4 side and "
                  "side (segmentation)"),
    ASSAY_NUMBERS(thermal_options, resize, "", "0.5,2", 0.01, 100,
                  "lowest and highest factor of `fit` in training (segmentation)"),
    ASSAY_NUMBER(thermal_options, most, "fraction", 0.75, 0, 1,
                 "a window with a class of this share or more is drawn again, up to ten times; 1: "
                 "never (segmentation)"),
    ASSAY_BOOL(thermal_options, flip, true, "half of the images are mirrored in training"),
    ASSAY_BOOL(thermal_options, photometric, true,
               "random brightness and contrast in training (segmentation)"),
    ASSAY_CHOICE(thermal_options, crop, "random", "random|roi",
                 "what is trained on: a random box, or a crop around a region of selective search "
                 "(PAD; pretraining)"),
    ASSAY_NUMBER(thermal_options, roi_p, "", 0.85, 0, 1,
                 "with this probability such a crop may be smaller than 0.15 of the picture"),
    ASSAY_NUMBERS(thermal_options, crop_scale, "", "0.2,1", 0.0001, 1,
                  "least and largest share of the image in a random box (pretraining)"),
    ASSAY_NUMBERS(thermal_options, crop_ratio, "", "0.75,1.3333333333333333", 0.01, 100,
                  "least and largest width / height of a random box (pretraining)"),
};

/* ---- options ---- */

/* Two numbers, the lower first. */
static bool check_pair(const assay_numbers *pair, const char *name, assay_error *error)
{
    return (pair->count == 2 && pair->items[0] <= pair->items[1]) ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text(WHERE ": %s", name),
                      .what = "two numbers are due, the lower first");
}

static bool check_options(const thermal_options *o, assay_error *error)
{
    if (o->fit.count != 0 && o->fit.count != 2)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": fit",
                          .what = "two numbers are due");
    if (o->crop == THERMAL_CROP_ROI && o->task != THERMAL_PRETRAINING)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": crop",
                          .what = "crops around regions are for pretraining",
                          .expected = "task = \"pretraining\"");
    return check_pair(&o->air, "air", error) && check_pair(&o->resize, "resize", error) &&
           check_pair(&o->crop_scale, "crop_scale", error) &&
           check_pair(&o->crop_ratio, "crop_ratio", error);
}

static bool check_counts(const thermal_data *data, assay_error *error)
{
    bool pretrains = data->options->task == THERMAL_PRETRAINING;
    return data->count[pretrains ? ASSAY_PRETRAIN : ASSAY_TRAIN] > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                      .where = pretrains ? WHERE ": images" : WHERE ": train_images",
                      .what = "there is nothing to train on", .expected = "1 or more");
}

static void describe(thermal_data *data)
{
    const thermal_options *o = data->options;
    bool labelled = o->task == THERMAL_SEGMENTATION;
    data->side = o->side;
    data->long_side = o->fit.count == 2 ? (int64_t)o->fit.items[0] : 4 * o->side;
    data->short_side = o->fit.count == 2 ? (int64_t)o->fit.items[1] : o->side;
    data->sd = o->sd > 0 ? o->sd : labelled ? 47.8976 / 255 : 0.1871;
    data->roi_unit = fmin(1, sqrt((double)(o->width * o->height) / (640.0 * 480)));
    data->field_count = labelled ? 2 : 1;
    data->fields[0] = (assay_field){"image", ASSAY_F32, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
    data->fields[1] = (assay_field){"truth", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
    data->count[ASSAY_PRETRAIN] = labelled ? 0 : o->images;
    data->count[ASSAY_TRAIN] = labelled ? o->train_images : 0;
    data->count[ASSAY_VALID] = o->valid_images;
    data->count[ASSAY_TEST] = o->test_images;
}

/* What changes a picture; the rest is options, which are part of a run's identity themselves. */
static void make_fingerprint(thermal_data *data)
{
    const thermal_options *o = data->options;
    char text[448];
    snprintf(text, sizeof text,
             "thermal_synth %d seed %" PRId64 " images %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
             " size %" PRId64 " %" PRId64 " hours %d air %a %a clutter %a camera %a %a %a",
             VERSION, o->seed, data->count[0], data->count[1], data->count[2], data->count[3],
             o->width, o->height, o->hours, o->air.items[0], o->air.items[1], o->clutter, o->netd,
             o->nonuniformity, o->blur);
    assay_sha256_of(text, strlen(text), data->fingerprint);
}

/* ---- the plugin's functions ---- */

static void thermal_close(void *dataset)
{
    assay_free(dataset);
}

static void *thermal_open(const void *given, const assay_host *host, assay_error *error)
{
    (void)host;
    thermal_data *data = assay_zalloc(sizeof *data, error);
    if (data == NULL)
        return NULL;
    const thermal_options *o = data->options = given;
    describe(data);
    if (!check_options(o, error) || !check_counts(data, error)) {
        thermal_close(data);
        return NULL;
    }
    data->knobs = (scene_knobs){.seed = (uint64_t)o->seed,
                                .when = (hour)o->hours,
                                .air = {o->air.items[0], o->air.items[1]},
                                .clutter = o->clutter};
    band_fill(&data->knobs.table);
    make_fingerprint(data);
    assay_log(ASSAY_LOG_INFO,
              WHERE ": pretrain %lld, train %lld, valid %lld, test %lld pictures of %lld x %lld",
              (long long)data->count[0], (long long)data->count[1], (long long)data->count[2],
              (long long)data->count[3], (long long)o->width, (long long)o->height);
    return data;
}

static const char *thermal_fingerprint(void *dataset)
{
    return ((thermal_data *)dataset)->fingerprint;
}

static const assay_field *thermal_fields(void *dataset, int *count)
{
    const thermal_data *data = dataset;
    *count = data->field_count;
    return data->fields;
}

static const assay_benchmark *thermal_benchmarks(void *dataset, int *count)
{
    static const assay_benchmark benchmark = {"thermal_synth", "segmentation", "", "", 0};
    const thermal_data *data = dataset;
    *count = data->options->task == THERMAL_SEGMENTATION;
    return &benchmark;
}

static int64_t thermal_count(void *dataset, assay_data_split split, int benchmark)
{
    const thermal_data *data = dataset;
    return benchmark > 0 ? 0 : data->count[split];
}

static bool thermal_draw(void *dataset, assay_data_split split, int benchmark, int64_t index,
                         const assay_draw *draw, assay_arena *arena, assay_sample *out,
                         assay_error *error)
{
    (void)benchmark;
    return thermal_sample(dataset, split, index, draw, arena, out, error);
}

static bool thermal_publish(void *dataset, const char *folder, assay_error *error)
{
    return thermal_write(dataset, folder, error);
}

static assay_data_split thermal_training(void *dataset)
{
    const thermal_data *data = dataset;
    return data->options->task == THERMAL_PRETRAINING ? ASSAY_PRETRAIN : ASSAY_TRAIN;
}

static const char *const *thermal_names(void *dataset, int *count)
{
    const thermal_data *data = dataset;
    *count = data->options->task == THERMAL_SEGMENTATION ? CLASSES : 0;
    return thermal_classes;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = thermal_open,
    .close = thermal_close,
    .fingerprint = thermal_fingerprint,
    .fields = thermal_fields,
    .benchmarks = thermal_benchmarks,
    .count = thermal_count,
    .sample = thermal_draw,
    .write = thermal_publish,
    .training = thermal_training,
    .classes = thermal_names,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "thermal_synth", VERSION,
             "thermal scenes generated on demand, with the class of every pixel", thermal_options,
             options, functions);
