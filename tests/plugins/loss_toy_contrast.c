/* loss_toy_contrast.c - contrastive loss of users and answers, with a running mean as state: a loss
 * that couples samples, for the lab's tests. */
#include <assay/loss.h>
#include <assay/ops.h>

typedef struct options {
    double temperature, margin, weight;
    int variant;
} options;

static const assay_option table[] = {
    ASSAY_POSITIVE(options, temperature, "", 0.2, 100.0, "of the softmax"),
    ASSAY_NUMBER(options, margin, "", 0.5, 0.0, 4.0, "negatives nearer by more are left out"),
    ASSAY_NUMBER(options, weight, "", 1.0, 0.0, 1e6, "in the sum of losses"),
    ASSAY_CHOICE(options, variant, "qa_code", "qa_code|qa_paper|gg_paper|gg_code", "the formula"),
};

typedef struct contrast {
    options o;
    const assay_host *host;
    assay_tensor *mean; /* f32 (1): running mean of the loss */
} contrast;

static bool contrast_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)settings;
    (void)error;
    names[0] = "user.embedding";
    names[1] = "answer.embedding";
    *count = 2;
    return true;
}

static void *contrast_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    contrast *c = assay_zalloc((int64_t)sizeof *c, error);
    if (!c)
        return NULL;
    c->o = *(const options *)settings;
    c->host = setup->host;
    c->mean = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){1}, error);
    if (!c->mean) {
        assay_free(c);
        return NULL;
    }
    assay_f32(c->mean)[0] = 0;
    return c;
}

static void contrast_close(void *loss)
{
    assay_tensor_free(((contrast *)loss)->mean);
    assay_free(loss);
}

static assay_tensor *contrast_compute(void *loss, assay_tape *tape, const assay_clock *clock,
                                      const assay_batch *batch, const assay_outputs *outputs)
{
    contrast *c = loss;
    assay_contrastive_options formula = {
        .variant = (assay_contrastive_variant)c->o.variant,
        .temperature = (float)c->o.temperature,
        .margin = (float)c->o.margin,
    };
    (void)batch;
    assay_tensor *value =
        assay_contrastive(tape, assay_outputs_get(outputs, "user.embedding"),
                          assay_outputs_get(outputs, "answer.embedding"), &formula, NULL);
    if (value && clock->phase == ASSAY_TRAINING) {
        float *mean = assay_f32(c->mean);
        mean[0] = 0.9f * mean[0] + 0.1f * (float)assay_value(value);
        c->host->series(c->host->user, "contrast/mean", (double)mean[0]);
    }
    return value;
}

static bool contrast_save(void *loss, const assay_state_writer *out, assay_error *error)
{
    return out->put(out->user, "mean", ((contrast *)loss)->mean, error);
}

static bool contrast_load(void *loss, const assay_state_reader *in, assay_error *error)
{
    const assay_stored *stored = in->get(in->user, "mean", error);
    return stored && assay_stored_read(stored, ((contrast *)loss)->mean, error);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .couples = true,
    .wants = contrast_wants,
    .open = contrast_open,
    .close = contrast_close,
    .compute = contrast_compute,
    .save = contrast_save,
    .load = contrast_load,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "toy_contrast", 1, "users against answers of the batch", options,
             table, functions);
