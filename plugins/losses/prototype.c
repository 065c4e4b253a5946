/* prototype.c - loss `prototype`: one learned point per class, and the cross-entropy of an
 * embedding's nearness to them (Q-Anchor's prompt tuning, user-modelling spec 2.6, equation 7). */
#include <assay/loss.h>
#include <assay/ops.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define WHERE      "loss prototype"
#define NORM_LEAST 1e-12f
#define MOST       65536 /* classes: more are a mistake in the labels */

enum { START_CLASS_MEANS, START_RANDOM };

typedef struct settings {
    double temperature, weight, lr_scale;
    bool normalize;
    int init;
    int64_t classes, init_samples, width;
    const char *output;
} settings;

static const assay_option options[] = {
    ASSAY_POSITIVE(settings, temperature, "", 0.07, 100, "similarities are divided by it"),
    ASSAY_BOOL(settings, normalize, true, "cosines; false: plain products"),
    ASSAY_CHOICE(settings, init, "class_means", "class_means|random",
                 "how prototypes start: the mean embedding of each class before the first step, or "
                 "drawn"),
    ASSAY_INTEGER(settings, init_samples, "samples", 0, 0, 1e12,
                  "first training samples that the means are taken over; 0: all"),
    ASSAY_INTEGER(settings, classes, "classes", 0, 0, MOST, "0: as many as the labels have"),
    ASSAY_INTEGER(settings, width, "", 0, 0, 1 << 20, "of the output; 0: as the model says"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
    ASSAY_POSITIVE(settings, lr_scale, "", 10.0, 1e6, "of the learning rate, for the prototypes"),
    ASSAY_TEXT(settings, output, "user.embedding", "output (B, E) that is classified"),
};

typedef struct prototype {
    settings settings;
    int64_t classes;
    assay_tensor *points; /* (K, E), borrowed from the run's parameters */
} prototype;

static bool prototype_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    (void)error;
    names[(*count)++] = ((const settings *)chosen)->output;
    return true;
}

/* ---- classes ---- */

/* The labels of the training set, and how many; NULL with the error set. Owned by the caller. */
static int32_t *training_labels(const assay_loss_setup *setup, int64_t *n, assay_error *error)
{
    const assay_data *data = setup->data;
    int64_t bytes = 0;
    *n = data->functions->count(data->dataset, setup->split, ASSAY_NO_BENCHMARK);
    if (!data->functions->labels) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                   .what = "the dataset has no class labels", .got = data->name);
        return NULL;
    }
    if (!assay_size_mul(&bytes, *n, (int64_t)sizeof(int32_t))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = WHERE, .what = "too many labels");
        return NULL;
    }
    int32_t *label = assay_alloc(bytes, error);
    if (label && !data->functions->labels(data->dataset, setup->split, ASSAY_NO_BENCHMARK, 0, *n,
                                          label, error)) {
        assay_free(label);
        return NULL;
    }
    return label;
}

static bool count_classes(const assay_loss_setup *setup, int64_t *classes, assay_error *error)
{
    int64_t n = 0, least = INT64_MAX, most = -1;
    int32_t *label = training_labels(setup, &n, error);
    if (!label)
        return false;
    for (int64_t i = 0; i < n; i++) {
        most = label[i] > most ? label[i] : most;
        least = label[i] >= 0 && label[i] < least ? label[i] : least;
    }
    assay_free(label);
    *classes = most + 1;
    if (most < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "no training sample has a label",
                          .hint = "the dataset's option `task` trains on a task's labels");
    if (least == most || *classes > MOST)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "the training samples are no classes to tell apart",
                          .expected = assay_text("labels of 2 to %d classes", MOST),
                          .got = assay_text("labels %" PRId64 " to %" PRId64, least, most));
    return true;
}

/* ---- life ---- */

static void *prototype_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    const settings *s = chosen;
    int64_t width = s->width > 0 ? s->width : setup->facts->embedding, classes = s->classes;
    if (width < 1) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                   .what = "the model does not say how wide its embeddings are",
                   .hint = "the option `width` does");
        return NULL;
    }
    if (classes == 1) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE, .what = "one class is none",
                   .expected = "0 (as the labels say) or at least 2 classes");
        return NULL;
    }
    if (classes == 0 && !count_classes(setup, &classes, error))
        return NULL;
    prototype *loss = assay_zalloc((int64_t)sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *s;
    loss->classes = classes;
    loss->points = assay_params_add(
        setup->params, assay_text("%sprototypes", setup->prefix), 2, (int64_t[]){classes, width},
        (assay_init){ASSAY_INIT_NORMAL, 1 / sqrtf((float)width), 0}, error);
    if (!loss->points) {
        assay_free(loss);
        return NULL;
    }
    assay_params_at(setup->params, assay_params_count(setup->params) - 1)->decays = false;
    return loss;
}

/* ---- the start from class means ---- */

typedef struct means {
    const prototype *loss;
    double *sum;    /* (K, E) */
    int64_t *count; /* (K) */
} means;

static bool check_output(const prototype *loss, const assay_tensor *x, assay_error *error)
{
    if (x && x->rank == 2 && x->dtype == ASSAY_F32 && x->shape[1] == loss->points->shape[1])
        return true;
    return ASSAY_FAIL(
        error, ASSAY_BAD_SHAPE, .where = WHERE,
        .what = assay_text("output '%.60s' does not fit the prototypes", loss->settings.output),
        .expected = assay_text("(B, %" PRId64 ") f32", loss->points->shape[1]),
        .got = x ? assay_tensor_text(x) : "nothing",
        .hint = "the option `width` says how wide it is");
}

static bool check_label(const prototype *loss, int32_t label, int64_t sample, assay_error *error)
{
    if (label >= 0 && label < loss->classes)
        return true;
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT, .where = WHERE,
        .what = label < 0 ? assay_text("sample %" PRId64 " has no label", sample)
                          : assay_text("sample %" PRId64 " has a label without prototype", sample),
        .expected = assay_text("0 .. %" PRId64, loss->classes - 1),
        .got = assay_text("%d", (int)label),
        .hint = "the dataset's option `task` trains on a task's labels");
}

/* Adds each row to its class's sum, at length 1 where cosines are compared. */
static bool add_rows(void *user, int64_t first, const assay_batch *batch,
                     const assay_outputs *outputs, assay_error *error)
{
    means *m = user;
    const assay_tensor *x = assay_outputs_get(outputs, m->loss->settings.output);
    int64_t width = m->loss->points->shape[1];
    if (!check_output(m->loss, x, error))
        return false;
    for (int64_t b = 0; b < batch->samples; b++) {
        const float *row = assay_f32(x) + b * width;
        int32_t label = assay_i32(batch->labels)[b];
        double square = 0, length = 1;
        if (!check_label(m->loss, label, first + b, error))
            return false;
        for (int64_t k = 0; k < width; k++)
            square += (double)row[k] * (double)row[k];
        if (m->loss->settings.normalize)
            length = fmax(sqrt(square), (double)NORM_LEAST);
        for (int64_t k = 0; k < width; k++)
            m->sum[label * width + k] += (double)row[k] / length;
        m->count[label]++;
    }
    return true;
}

static bool take_means(const means *m, assay_error *error)
{
    int64_t width = m->loss->points->shape[1];
    for (int64_t c = 0; c < m->loss->classes; c++) {
        if (m->count[c] == 0)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = WHERE,
                .what = assay_text("class %" PRId64 " has no training sample to start from", c),
                .hint = "a larger init_samples, or init = \"random\"");
        for (int64_t k = 0; k < width; k++)
            assay_f32(m->loss->points)[c * width + k] =
                (float)(m->sum[c * width + k] / (double)m->count[c]);
    }
    return true;
}

static bool prototype_prepare(void *opened, const assay_loss_start *start, assay_error *error)
{
    prototype *loss = opened;
    const char *name = loss->settings.output;
    const assay_wanted wanted = {1, &name};
    means m = {.loss = loss};
    if (loss->settings.init != START_CLASS_MEANS)
        return true;
    m.sum = assay_zalloc(assay_tensor_count(loss->points) * (int64_t)sizeof *m.sum, error);
    m.count = assay_zalloc(loss->classes * (int64_t)sizeof *m.count, error);
    bool ok = m.sum && m.count &&
              start->each(start->user, loss->settings.init_samples, &wanted, add_rows, &m, error) &&
              take_means(&m, error);
    assay_free(m.sum);
    assay_free(m.count);
    return ok;
}

/* ---- the loss ---- */

static assay_tensor *fail(assay_tape *tape, const assay_error *own)
{
    return assay_tape_fail(tape, own->code,
                           (assay_failure){.where = own->where,
                                           .what = own->what,
                                           .expected = own->expected,
                                           .got = own->got,
                                           .hint = own->hint});
}

static assay_tensor *similarities(const prototype *loss, assay_tape *tape, assay_tensor *x)
{
    if (loss->settings.normalize)
        return assay_cosine_matrix(tape, x, assay_normalize(tape, loss->points, NORM_LEAST));
    return assay_cast(tape, assay_linear(tape, x, loss->points, NULL, ASSAY_IDENTITY), ASSAY_F32);
}

static assay_tensor *prototype_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                       const assay_batch *batch, const assay_outputs *outputs)
{
    const prototype *loss = opened;
    assay_tensor *x = assay_outputs_get(outputs, loss->settings.output);
    assay_error own = {0};
    (void)clock;
    if (!x || !batch->labels)
        return NULL;
    if (!check_output(loss, x, &own))
        return fail(tape, &own);
    for (int64_t b = 0; b < batch->samples; b++)
        if (!check_label(loss, assay_i32(batch->labels)[b],
                         batch->sample ? batch->sample[b].index : b, &own))
            return fail(tape, &own);
    assay_tensor *logits =
        assay_scale(tape, similarities(loss, tape, x), (float)(1 / loss->settings.temperature));
    assay_tensor *labels =
        assay_tape_constant(tape, ASSAY_I32, 1, &batch->samples, batch->labels->data);
    return assay_cross_entropy(tape, logits, labels, ASSAY_MEAN);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = prototype_wants,
    .open = prototype_open,
    .close = assay_free,
    .compute = prototype_compute,
    .prepare = prototype_prepare,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "prototype", 1, "cross-entropy of nearness to one point per class",
             settings, options, functions);
