/* contrastive.c - loss `contrastive`: in-batch negatives with a false-negative mask, the four
 * variants of user-modelling spec 1.6. Series: PREFIX/masked, the negatives left out per pass. */
#include <assay/loss.h>
#include <assay/ops.h>

#include <string.h>

typedef struct settings {
    int variant; /* the places of its words are assay_contrastive_variant's */
    double temperature, margin, weight;
    const char *left, *right;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, variant, "gg_code", "qa_code|qa_paper|gg_paper|gg_code",
                 "Q-Anchor's or GG-SM's loss, as in the paper or in the published code"),
    ASSAY_POSITIVE(settings, temperature, "", 0.07, 100, "cosines are divided by it"),
    ASSAY_NUMBER(settings, margin, "cosine", 0.1, 0, 2,
                 "a negative more similar than the positive by more is left out"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
    ASSAY_TEXT(settings, left, "user.embedding", "output that anchors (B, E)"),
    ASSAY_TEXT(settings, right, "answer.embedding", "output that is its positive (B, E)"),
};

typedef struct contrastive {
    settings settings;
    const assay_host *host;
    char series[128];
} contrastive;

static bool contrastive_wants(const void *chosen, const char **names, int *count,
                              assay_error *error)
{
    const settings *s = chosen;
    (void)error;
    names[(*count)++] = s->left;
    if (strcmp(s->left, s->right) != 0)
        names[(*count)++] = s->right;
    return true;
}

/* "loss.contrastive." to "loss/contrastive/masked". */
static void name_series(char *out, size_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    const char *text = assay_text("%.*s/masked", (int)(n > 0 ? n - 1 : 0), prefix);
    size_t k = 0;
    for (; text[k] != '\0' && k + 1 < size; k++)
        out[k] = text[k] == '.' ? '/' : text[k];
    out[k] = '\0';
}

static void *contrastive_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    contrastive *loss = assay_zalloc(sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *(const settings *)chosen;
    loss->host = setup->host;
    name_series(loss->series, sizeof loss->series, setup->prefix);
    return loss;
}

static void record_masked(void *opened, const void *note, const void *numbers, int64_t count)
{
    const contrastive *loss = opened;
    (void)note;
    if (count == 1)
        loss->host->series(loss->host->user, loss->series, (double)*(const float *)numbers);
}

static assay_tensor *contrastive_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                         const assay_batch *batch, const assay_outputs *outputs)
{
    contrastive *loss = opened;
    const settings *s = &loss->settings;
    const assay_contrastive_options chosen = {.variant = (assay_contrastive_variant)s->variant,
                                              .temperature = (float)s->temperature,
                                              .margin = (float)s->margin};
    assay_tensor *masked = NULL;
    (void)batch;
    assay_tensor *value = assay_contrastive(tape, assay_outputs_get(outputs, s->left),
                                            assay_outputs_get(outputs, s->right), &chosen, &masked);
    if (value && clock->phase == ASSAY_TRAINING && loss->host && loss->host->series)
        assay_read_later(loss->host,
                         &(assay_reading){.tensor = masked, .read = record_masked, .user = loss});
    return value;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .couples = true,
    .wants = contrastive_wants,
    .open = contrastive_open,
    .close = assay_free,
    .compute = contrastive_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "contrastive", 1, "in-batch contrast with a false-negative mask",
             settings, options, functions);
