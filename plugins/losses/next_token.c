/* next_token.c - loss `next_token`: cross-entropy of the next token where the model says that one
 * is due (user-modelling spec 2.5: the words of the answer, given history and question). The paper
 * sums over an answer's words and means over samples; the published code means over all words. */
#include <assay/loss.h>
#include <assay/ops.h>

enum { REDUCE_MEAN, REDUCE_SUM };

typedef struct settings {
    int tower, reduction;
    double weight;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, tower, "user", "user|answer|image", "tower whose tokens are predicted"),
    ASSAY_CHOICE(settings, reduction, "mean", "mean|sum",
                 "over all targets, or a sample's sum and then the mean over samples"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

enum { STATES, TARGETS, HEAD, OUTPUTS };

/* What is read of each tower, in the order of the option's words. */
static const char *const wanted[][OUTPUTS] = {
    {"user.states", "user.targets", "user.head"},
    {"answer.states", "answer.targets", "answer.head"},
    {"image.states", "image.targets", "image.head"},
};

typedef struct next_token {
    settings settings;
} next_token;

static bool next_token_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    for (int i = 0; i < OUTPUTS; i++)
        names[(*count)++] = wanted[s->tower][i];
    return true;
}

static void *next_token_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    (void)setup;
    next_token *loss = assay_zalloc(sizeof *loss, error);
    if (loss)
        loss->settings = *(const settings *)chosen;
    return loss;
}

static assay_tensor *next_token_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                        const assay_batch *batch, const assay_outputs *outputs)
{
    const settings *s = &((const next_token *)opened)->settings;
    const char *const *names = wanted[s->tower];
    assay_tensor *states = assay_outputs_get(outputs, names[STATES]);
    assay_tensor *targets = assay_outputs_get(outputs, names[TARGETS]);
    (void)clock;
    if (!states || !targets)
        return NULL;
    int64_t rows = states->shape[0] * states->shape[1];
    states = assay_reshape(tape, states, 2, (int64_t[]){rows, states->shape[2]});
    targets = assay_tape_constant(tape, ASSAY_I32, 1, &rows, targets->data);
    assay_tensor *value =
        assay_cross_entropy_head(tape, states, assay_outputs_get(outputs, names[HEAD]), targets,
                                 s->reduction == REDUCE_SUM ? ASSAY_SUM : ASSAY_MEAN);
    if (s->reduction == REDUCE_SUM)
        value = assay_scale(tape, value, 1.0f / (float)batch->samples);
    return value;
}

static double next_token_targets(void *opened, const assay_batch *batch,
                                 const assay_outputs *outputs)
{
    const settings *s = &((const next_token *)opened)->settings;
    const assay_tensor *targets = assay_outputs_get(outputs, wanted[s->tower][TARGETS]);
    int64_t due = 0;
    if (s->reduction == REDUCE_SUM || !targets)
        return (double)batch->samples;
    for (int64_t i = 0; i < assay_tensor_count(targets); i++)
        due += assay_i32(targets)[i] != ASSAY_IGNORE;
    return (double)due;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = next_token_wants,
    .open = next_token_open,
    .close = assay_free,
    .compute = next_token_compute,
    .targets = next_token_targets,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "next_token", 1, "cross-entropy of the next token", settings, options,
             functions);
