/* future.c - mask `future`: the past is free, the future has a weight that may follow a schedule.
 *
 * Weight 0 is causal, 1 is bidirectional, and w between them adds log w to the score of every
 * future key (user-modelling spec 3.4 C, the weight schedule). The weight is a number or a function
 * of (step, total); evaluation after s steps uses the weight of the last training pass, f(s - 1),
 * or 1. Series: mask/weight_mean. */
#include "towers.h"

typedef struct settings {
    assay_curve weight;
    int evaluate, towers;
} settings;

static const assay_option options[] = {
    ASSAY_SCHEDULE(settings, weight, "", 0.5, 0, 1, "weight of future keys, by optimizer step"),
    MASK_EVALUATE_OPTION(settings, "last"),
    MASK_TOWERS_OPTION(settings),
};

typedef struct future {
    settings settings;
    const assay_host *host;
} future;

static void *future_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    future *mask = assay_zalloc(sizeof *mask, error);
    if (mask) {
        mask->settings = *(const settings *)chosen;
        mask->host = setup->host;
    }
    return mask;
}

static float weight_now(const settings *s, const assay_clock *clock)
{
    if (clock->phase == ASSAY_TRAINING)
        return assay_curve_at(s->weight, clock->step);
    return s->evaluate == MASK_EVALUATE_FULL ? 1.0f : assay_curve_at(s->weight, clock->step - 1);
}

static bool future_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const future *mask = opened;
    (void)x;
    *out = assay_bias_causal();
    if (!mask_acts(mask->settings.towers, tower))
        return true;
    float weight = weight_now(&mask->settings, clock);
    *out = assay_bias_future(tape, weight);
    if (clock->phase == ASSAY_TRAINING && mask->host && mask->host->series &&
        assay_same_text(tower->name, "user"))
        mask->host->series(mask->host->user, "mask/weight_mean", (double)weight);
    return assay_tape_ok(tape, NULL);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = future_open,
    .close = assay_free,
    .bias = future_bias,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "future", 1, "future keys have a weight, constant or by a schedule",
             settings, options, functions);
