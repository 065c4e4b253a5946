/* future_alignment.c - loss `future_alignment`: a user's vector against the vector of the user's
 * own future among the batch's, in FOUND's manner (user-modelling spec 4 and its source S-7, eq.
 * 1):
 *     loss = -(1/B) sum_i log e^(sim(u_i, f_i)/tau) / sum_j e^(sim(u_i, f_j)/tau)
 * with cosines and a temperature that is learned: the parameter PREFIX + "scale" holds log(1/tau).
 * `symmetric` adds the same from futures to users and takes the mean. No negative is masked out.
 * Series: PREFIX/temperature. */
#include <assay/loss.h>
#include <assay/ops.h>

#include <math.h>
#include <stdio.h>

typedef struct settings {
    bool symmetric;
    double temperature, weight;
    const char *left, *right;
} settings;

static const assay_option options[] = {
    ASSAY_POSITIVE(settings, temperature, "", 0.07, 100, "tau at the start"),
    ASSAY_BOOL(settings, symmetric, 0, "users are sought among futures and futures among users"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
    ASSAY_TEXT(settings, left, "user.embedding", "output that is aligned (B, E)"),
    ASSAY_TEXT(settings, right, "answer.embedding", "output that it is aligned with (B, E)"),
};

typedef struct future_alignment {
    settings settings;
    const assay_host *host;
    assay_tensor *scale; /* (1): log(1 / tau) */
    char series[128];
} future_alignment;

static bool alignment_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    names[(*count)++] = s->left;
    names[(*count)++] = s->right;
    return true;
}

/* "loss.future_alignment." to "loss/future_alignment/temperature". */
static void name_series(char *out, size_t size, const char *prefix)
{
    snprintf(out, size, "%stemperature", prefix);
    for (; *out != '\0'; out++)
        if (*out == '.')
            *out = '/';
}

static void *alignment_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    const settings *s = chosen;
    future_alignment *loss = assay_zalloc(sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *s;
    loss->host = setup->host;
    name_series(loss->series, sizeof loss->series, setup->prefix);
    loss->scale = assay_params_add(
        setup->params, assay_text("%sscale", setup->prefix), 1, (int64_t[]){1},
        (assay_init){ASSAY_INIT_CONSTANT, .a = -logf((float)s->temperature)}, error);
    if (!loss->scale) {
        assay_free(loss);
        return NULL;
    }
    return loss;
}

/* Row i of x seeks row i of y. */
static assay_tensor *one_way(const future_alignment *loss, assay_tape *tape, assay_tensor *x,
                             assay_tensor *y)
{
    if (!x || !y)
        return NULL;
    int64_t n = x->shape[0], count = n * n;
    assay_tensor *cosines = assay_cosine_matrix(tape, x, y);
    /* Scaled as (n n, 1), so that one number is a suffix of the shape. */
    cosines = assay_reshape(tape, cosines, 2, (int64_t[]){count, 1});
    cosines = assay_mul(tape, cosines, assay_activate(tape, loss->scale, ASSAY_EXP));
    cosines = assay_reshape(tape, cosines, 2, (int64_t[]){n, n});
    assay_tensor *targets = assay_tape_tensor(tape, ASSAY_I32, 1, &n);
    for (int64_t i = 0; targets && i < n; i++)
        assay_i32(targets)[i] = (int32_t)i;
    return assay_cross_entropy(tape, cosines, targets, ASSAY_MEAN);
}

static void record_temperature(void *opened, const void *note, const void *numbers, int64_t count)
{
    const future_alignment *loss = opened;
    (void)note;
    if (count == 1)
        loss->host->series(loss->host->user, loss->series, exp(-(double)*(const float *)numbers));
}

static assay_tensor *alignment_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                       const assay_batch *batch, const assay_outputs *outputs)
{
    future_alignment *loss = opened;
    assay_tensor *x = assay_outputs_get(outputs, loss->settings.left);
    assay_tensor *y = assay_outputs_get(outputs, loss->settings.right);
    (void)batch;
    assay_tensor *value = one_way(loss, tape, x, y);
    if (loss->settings.symmetric)
        value = assay_scale(tape, assay_add(tape, value, one_way(loss, tape, y, x)), 0.5f);
    if (value && clock->phase == ASSAY_TRAINING && loss->host && loss->host->series)
        assay_read_later(
            loss->host,
            &(assay_reading){.tensor = loss->scale, .read = record_temperature, .user = loss});
    return value;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .couples = true,
    .wants = alignment_wants,
    .open = alignment_open,
    .close = assay_free,
    .compute = alignment_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "future_alignment", 1,
             "a user against the user's own future, with a learned temperature", settings, options,
             functions);
