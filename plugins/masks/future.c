/* future.c - mask `future`: the past is free, the future has a weight that may follow a schedule.
 *
 * Weight 0 is causal, 1 is bidirectional, and w between them adds log w to the score of every
 * future key (user-modelling spec 3.4 C, the weight schedule). The weight is a number or a function
 * of (step, total): `function(step, total) return step / total end` is the linear scheduler.
 * Evaluation after s steps uses the weight of the last training pass, f(s - 1), or 1.
 *
 * `form = "conan"` is the schedule of Conan-embedding-v2 that GG-SM says it extends: query i (from
 * 1) of a sequence of l tokens sees its future at min(weight l / i, 1), so that early tokens open
 * first. Series: mask/weight_mean over future pairs. */
#include "towers.h"

#include <math.h>

enum { FLAT, CONAN };

typedef struct settings {
    assay_curve weight;
    int form, evaluate, towers;
} settings;

static const assay_option options[] = {
    ASSAY_SCHEDULE(settings, weight, "", 0.5, 0, 1, "weight of future keys, by optimizer step"),
    ASSAY_CHOICE(settings, form, "flat", "flat|conan",
                 "the weight of every query, or times length / position, at most 1"),
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

static int64_t valid_of(const assay_tower *tower, int64_t b)
{
    return tower->lengths ? assay_i32(tower->lengths)[b] : tower->tokens;
}

/* What query i (from 0) of a sequence of `length` tokens pays for its future. */
static double conan_weight(float weight, int64_t length, int64_t i)
{
    return fmin((double)weight * (double)length / (double)(i + 1), 1);
}

/* (B, 1, T, 1) */
static assay_tensor *conan_prices(assay_tape *tape, const assay_tower *tower, float weight)
{
    int64_t tokens = tower->tokens;
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){tower->rows, 1, tokens, 1});
    for (int64_t k = 0; y && k < tower->rows * tokens; k++)
        assay_f32(y)[k] = (float)log(conan_weight(weight, valid_of(tower, k / tokens), k % tokens));
    return y;
}

/* The mean weight over the batch's future pairs. */
static double mean_of(const future *mask, const assay_tower *tower, float weight)
{
    double sum = 0, pairs = 0;
    if (mask->settings.form == FLAT)
        return (double)weight;
    for (int64_t b = 0; b < tower->rows; b++) {
        int64_t n = valid_of(tower, b);
        for (int64_t i = 0; i + 1 < n; i++) {
            sum += (double)(n - 1 - i) * conan_weight(weight, n, i);
            pairs += (double)(n - 1 - i);
        }
    }
    return pairs > 0 ? sum / pairs : (double)weight;
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
    if (mask->settings.form == CONAN && weight > 0)
        out->log_weight = conan_prices(tape, tower, weight);
    if (clock->phase == ASSAY_TRAINING && mask->host && mask->host->series &&
        assay_same_text(tower->name, "user"))
        mask->host->series(mask->host->user, "mask/weight_mean", mean_of(mask, tower, weight));
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
