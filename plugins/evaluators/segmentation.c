/* segmentation.c - evaluator `segmentation`: how well the classes of pixels are named (infrared
 * spec 2.11). Hits are counted over a whole split, at the truth's own size.
 *
 * Scores on valid and, at the end, test: miou, macc, aacc and iou/CLASS for every class that is in
 * the truth or in the predictions; n is the number of counted pixels. Artifacts at the end:
 * confusion.SPLIT .csv, rows the truth, columns the predictions; and pictures of the first
 * samples. */
#include <assay/evaluator.h>
#include <assay/image.h>
#include <assay/memory.h>
#include <assay/metrics.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WHERE "evaluator segmentation"

enum { IGNORED = 255, MOST_CLASSES = 255 };

typedef struct settings {
    bool train;
    int64_t pictures;
} settings;

static const assay_option options[] = {
    ASSAY_BOOL(settings, train, 0, "at the end the training split is scored, too"),
    ASSAY_INTEGER(settings, pictures, "", 0, 0, 64,
                  "of a split's first samples at the end: image, truth and prediction in a row"),
};

static const char *const names[] = {"image.prediction"};
static const assay_wanted wanted = {1, names};

/* ---- the data ---- */

/* The benchmark whose labels are the pixels; ASSAY_NO_BENCHMARK where the dataset has none. */
static int find_benchmark(const assay_data *data, const assay_benchmark **out)
{
    int count = 0;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    *out = NULL;
    for (int i = 0; i < count; i++)
        if (all[i].classes == 0) {
            *out = &all[i];
            return i;
        }
    return ASSAY_NO_BENCHMARK;
}

static const char *const *classes_of(const assay_data *data, int *count)
{
    *count = 0;
    return data->functions->classes ? data->functions->classes(data->dataset, count) : NULL;
}

static bool segmentation_check(const void *chosen, const assay_data *data,
                               const assay_model_facts *facts, assay_error *error)
{
    int classes = 0;
    bool found = false;
    (void)chosen;
    for (int i = 0; i < facts->output_count; i++)
        found = found || assay_same_text(facts->outputs[i], names[0]);
    if (!found)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "the model does not name the classes of pixels",
                          .expected = "an output image.prediction", .hint = "model.segmenter");
    classes_of(data, &classes);
    if (assay_data_field(data, "truth") < 0 || classes < 2 || classes > MOST_CLASSES)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = assay_text("dataset.%s has no classes of pixels", data->name),
                          .expected = "a field 'truth' and 2 to 255 classes");
    return true;
}

/* ---- counting ---- */

typedef struct tally {
    const settings *options;
    const assay_evaluation *evaluation;
    assay_data_split split;
    int image, truth, classes;
    const char *const *class_names;
    const assay_benchmark *benchmark; /* or NULL */
    assay_confusion *confusion;
} tally;

static bool save_picture(const tally *t, const assay_sample *sample, int64_t number,
                         const uint8_t *truth, const int32_t *prediction, assay_error *error);

static bool count_sample(const tally *t, const assay_sample *sample, int64_t number,
                         const int32_t *prediction, int64_t room, int64_t *used, assay_error *error)
{
    const assay_field_value *truth = &sample->values[t->truth];
    if (!truth->present)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = assay_text("%s sample %" PRId64 " has no truth",
                                             assay_split_name(t->split), sample->index));
    const int64_t pixels = truth->shape[0] * truth->shape[1];
    if (pixels > room)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = WHERE,
                          .what = "the model gave fewer predictions than there are pixels");
    uint8_t *classes = assay_alloc(pixels, error);
    if (!classes)
        return false;
    for (int64_t i = 0; i < pixels; i++)
        classes[i] = (uint8_t)prediction[i];
    bool ok = assay_confusion_add(t->confusion, truth->data, classes, pixels, error);
    assay_free(classes);
    *used = pixels;
    if (ok && t->evaluation->final && number < t->options->pictures)
        ok = save_picture(t, sample, number, truth->data, prediction, error);
    return ok;
}

static bool visit(void *user, int64_t first, const assay_batch *batch, const assay_outputs *outputs,
                  assay_error *error)
{
    const tally *t = user;
    const assay_tensor *prediction = assay_outputs_get(outputs, names[0]);
    int64_t at = 0, used = 0;
    const int64_t all = assay_tensor_count(prediction);
    for (int64_t b = 0; b < batch->samples; b++) {
        if (!count_sample(t, &batch->sample[b], first + b, assay_i32(prediction) + at, all - at,
                          &used, error))
            return false;
        at += used;
    }
    return at == all || ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = WHERE,
                                   .what = "the model gave more predictions than there are pixels");
}

/* ---- results ---- */

static bool put(const tally *t, const char *metric, double value, int64_t n, assay_error *error)
{
    const assay_score score = {.suite = t->benchmark ? t->benchmark->suite : NULL,
                               .benchmark = t->benchmark ? t->benchmark->name : NULL,
                               .metric = metric,
                               .split = t->split,
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .n = n};
    return t->evaluation->score(t->evaluation->user, &score, error);
}

static bool put_scores(const tally *t, assay_error *error)
{
    assay_segmentation of;
    double iou[MOST_CLASSES];
    if (!assay_confusion_summary(t->confusion, &of, iou, error))
        return false;
    bool ok = put(t, "miou", of.miou, of.pixels, error) &&
              put(t, "macc", of.macc, of.pixels, error) &&
              put(t, "aacc", of.aacc, of.pixels, error);
    for (int c = 0; c < t->classes && ok; c++)
        if (iou[c] >= 0) /* absent from truth and predictions: there is no number */
            ok = put(t, assay_text("iou/%s", t->class_names[c]), iou[c], of.pixels, error);
    return ok;
}

/* A name as a cell of the table: commas, quotes and newlines become spaces. */
static int64_t write_name(char *to, const char *name)
{
    int64_t n = 0;
    for (; name[n] != '\0'; n++)
        to[n] = strchr(",\"\n\r", name[n]) ? ' ' : name[n];
    return n;
}

static int64_t write_table(const tally *t, char *to)
{
    int64_t n = sprintf(to, "truth");
    for (int c = 0; c < t->classes; c++) {
        to[n++] = ',';
        n += write_name(to + n, t->class_names[c]);
    }
    for (int c = 0; c < t->classes; c++) {
        to[n++] = '\n';
        n += write_name(to + n, t->class_names[c]);
        for (int p = 0; p < t->classes; p++)
            n += sprintf(to + n, ",%" PRId64, assay_confusion_count(t->confusion, c, p));
    }
    to[n++] = '\n';
    return n;
}

static bool put_table(const tally *t, assay_error *error)
{
    int64_t room = 16 + (int64_t)t->classes * t->classes * 22;
    for (int c = 0; c < t->classes; c++)
        room += 2 * ((int64_t)strlen(t->class_names[c]) + 2);
    char *text = assay_alloc(room, error);
    bool ok =
        text && t->evaluation->artifact(t->evaluation->user,
                                        assay_text("confusion.%s.csv", assay_split_name(t->split)),
                                        text, write_table(t, text), error);
    assay_free(text);
    return ok;
}

/* ---- pictures ---- */

/* The image, stretched to its own darkest and brightest, in the left third. */
static void draw_image(const assay_field_value *image, int64_t height, int64_t width, uint8_t *to)
{
    const float *from = image->data;
    const int64_t n = image->shape[0] * image->shape[1];
    float low = from[0], high = from[0];
    for (int64_t i = 1; i < n; i++) {
        low = from[i] < low ? from[i] : low;
        high = from[i] > high ? from[i] : high;
    }
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            float v =
                from[y * image->shape[0] / height * image->shape[1] + x * image->shape[1] / width];
            to[y * 3 * width + x] = (uint8_t)(high > low ? 255 * (v - low) / (high - low) : 0);
        }
}

/* Classes as grays: the first dark, the last light, what is not counted white. */
static uint8_t shade(const tally *t, int32_t of)
{
    return of >= t->classes ? 255 : (uint8_t)(224 * of / (t->classes - 1));
}

/* Small pictures are shown larger, pixel by pixel, so that they can be looked at. */
static bool enlarge(assay_image *out, const assay_image *in, assay_error *error)
{
    enum { SEEN = 600 };
    int64_t times = in->width < SEEN ? SEEN / in->width : 1;
    return assay_image_resize(out, in, times * in->width, times * in->height, ASSAY_NEAREST, NULL,
                              error);
}

static bool publish_picture(const tally *t, const assay_image *picture, int64_t number,
                            assay_error *error)
{
    assay_image large = {0};
    void *data = NULL;
    int64_t bytes = 0;
    bool ok = enlarge(&large, picture, error) && assay_image_encode(&large, &data, &bytes, error) &&
              t->evaluation->artifact(
                  t->evaluation->user,
                  assay_text("picture.%s.%02" PRId64 ".png", assay_split_name(t->split), number),
                  data, bytes, error);
    assay_free(data);
    assay_image_free(&large);
    return ok;
}

static bool save_picture(const tally *t, const assay_sample *sample, int64_t number,
                         const uint8_t *truth, const int32_t *prediction, assay_error *error)
{
    const int64_t height = sample->values[t->truth].shape[0];
    const int64_t width = sample->values[t->truth].shape[1];
    assay_image picture = {0};
    if (!assay_image_new(&picture, 3 * width, height, 8, NULL, error))
        return false;
    uint8_t *to = picture.data;
    draw_image(&sample->values[t->image], height, width, to);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            to[y * 3 * width + width + x] = shade(t, truth[y * width + x]);
            to[y * 3 * width + 2 * width + x] = shade(t, prediction[y * width + x]);
        }
    bool ok = publish_picture(t, &picture, number, error);
    assay_image_free(&picture);
    return ok;
}

/* ---- the plugin's functions ---- */

static bool score_split(tally *t, assay_data_split split, int benchmark, assay_error *error)
{
    const assay_evaluation *e = t->evaluation;
    if (e->data->functions->count(e->data->dataset, split, benchmark) == 0)
        return true;
    t->split = split;
    t->confusion = assay_confusion_new(t->classes, IGNORED, error);
    bool ok = t->confusion && e->each(e->user, split, benchmark, &wanted, visit, t, error) &&
              put_scores(t, error) && (!e->final || put_table(t, error));
    assay_confusion_free(t->confusion);
    t->confusion = NULL;
    return ok;
}

static bool segmentation_evaluate(const void *chosen, const assay_evaluation *evaluation,
                                  assay_error *error)
{
    const settings *o = chosen;
    const assay_data *data = evaluation->data;
    tally t = {.options = o,
               .evaluation = evaluation,
               .image = assay_data_field(data, "image"),
               .truth = assay_data_field(data, "truth")};
    const int benchmark = find_benchmark(data, &t.benchmark);
    t.class_names = classes_of(data, &t.classes);
    return score_split(&t, ASSAY_VALID, benchmark, error) &&
           (!evaluation->final || !o->train || score_split(&t, ASSAY_TRAIN, benchmark, error)) &&
           (!evaluation->final || score_split(&t, ASSAY_TEST, benchmark, error));
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = segmentation_check,
    .evaluate = segmentation_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "segmentation", 1,
             "intersection over union, accuracies and confusion of the classes of pixels", settings,
             options, functions);
