/* loss_guess.c - a loss with nothing but a weight. */
#include "plan_only.h"

#include <assay/loss.h>

typedef struct options {
    double weight;
} options;

static const assay_option table[] = {
    ASSAY_NUMBER(options, weight, "", 1.0, 0.0, 1e6, "in the sum of losses"),
};

static bool guess_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)settings;
    (void)names;
    *count = 0;
    return PLAN_ONLY(error);
}

static void *guess_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void guess_close(void *loss)
{
    (void)loss;
}

static assay_tensor *guess_compute(void *loss, assay_tape *tape, const assay_clock *clock,
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
    .wants = guess_wants,
    .open = guess_open,
    .close = guess_close,
    .compute = guess_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "guess", 1, "of the next item", options, table, functions);
