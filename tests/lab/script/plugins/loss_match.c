/* loss_match.c - a loss that may learn from another run. */
#include "plan_only.h"

#include <assay/loss.h>

typedef struct options {
    double temperature, margin, weight;
    assay_weights_source teacher;
} options;

static const assay_option table[] = {
    ASSAY_POSITIVE(options, temperature, "", 0.07, 100.0, "of the softmax"),
    ASSAY_NUMBER(options, margin, "", 0.1, 0.0, 4.0, "of near negatives"),
    ASSAY_NUMBER(options, weight, "", 1.0, 0.0, 1e6, "in the sum of losses"),
    ASSAY_WEIGHTS(options, teacher, 0, "a model that is imitated"),
};

static bool match_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)settings;
    (void)names;
    *count = 0;
    return PLAN_ONLY(error);
}

static void *match_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void match_close(void *loss)
{
    (void)loss;
}

static assay_tensor *match_compute(void *loss, assay_tape *tape, const assay_clock *clock,
                                   const assay_batch *batch, const assay_outputs *outputs)
{
    (void)loss;
    (void)tape;
    (void)clock;
    (void)batch;
    (void)outputs;
    return NULL;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = match_wants,
    .open = match_open,
    .close = match_close,
    .compute = match_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "match", 1, "of pairs", options, table, functions);
