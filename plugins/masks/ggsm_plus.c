/* ggsm_plus.c - mask `ggsm_plus`: soft masking whose guidance really differs from token to token
 * (the proposal of user-modelling spec 3.6).
 *
 * Gradients are taken where they differ: at the input embeddings, or at the input of a block. For
 * each position j, n_j is the mean norm over the step's samples that have it, z_j = n_j / mean_k
 * n_k over the positions seen, smoothed by a moving average with bias correction (each position by
 * its own count), and
 *     w_j = logistic(kappa (z_j - 1) + b0)
 * so that a token of average gradient starts near causal (w = 0.05) and one of twice the average at
 * 0.28. A position that was never seen counts as average. Then the schedule of ggsm: weights freeze
 * after the warm-up and rise linearly to 1; evaluation is bidirectional.
 *
 * Series, while training: those of guidance.h, importance being the smoothed z. */
#include "guidance.h"
#include "ramp.h"
#include "towers.h"

#include <stdio.h>

#define WHERE "mask ggsm_plus"

typedef struct settings {
    int clock, evaluate, towers;
    double warmup, rho, kappa, start;
    int64_t warmup_steps, layer;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, layer, "", 0, -1, 256,
                  "guided at the input of this block; 0: the embeddings, -1: half of the blocks"),
    ASSAY_NUMBER(settings, kappa, "", 2.0, 0, 100, "how strongly gradients move the weights"),
    {ASSAY_OPTION_AT(settings, start, ASSAY_OPTION_NUMBER),
     .flags = ASSAY_OPTION_ABOVE_LOW | ASSAY_OPTION_BELOW_HIGH, .unit = "",
     .meaning = "weight of a token of average gradient, the logistic of b0", .number = 0.05,
     .low = 0, .high = 1},
    RAMP_WARMUP_OPTIONS(settings),
    {ASSAY_OPTION_AT(settings, rho, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_BELOW_HIGH,
     .unit = "", .meaning = "what importance keeps of itself (moving average)", .number = 0.99,
     .low = 0, .high = 1},
    RAMP_CLOCK_OPTION(settings),
    MASK_EVALUATE_OPTION(settings, "full"),
    MASK_TOWERS_OPTION(settings),
};

typedef struct ggsm_plus {
    settings settings;
    ramp ramp;
    guidance seen; /* of z; its averages are not yet corrected */
    char tap[64];
} ggsm_plus;

static void plus_close(void *opened)
{
    ggsm_plus *mask = opened;
    if (!mask)
        return;
    guidance_close(&mask->seen);
    assay_free(mask);
}

/* The input of block l is the state after block l - 1. */
static bool name_tap(ggsm_plus *mask, int64_t layers, assay_error *error)
{
    int64_t layer = mask->settings.layer < 0 ? layers / 2 : mask->settings.layer;
    if (layer >= layers && layer > 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE, .what = "there is no such block",
                          .expected = assay_text("layer below %lld", (long long)layers),
                          .got = assay_text("%lld", (long long)layer));
    if (layer == 0)
        snprintf(mask->tap, sizeof mask->tap, "user/embeddings");
    else
        snprintf(mask->tap, sizeof mask->tap, "user/layers.%lld", (long long)layer - 1);
    return true;
}

static void *plus_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    ggsm_plus *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    const settings *s = &mask->settings;
    mask->settings = *(const settings *)chosen;
    mask->ramp = ramp_of(setup, s->clock, s->warmup, s->warmup_steps);
    const assay_importance_rule rule = {.mean = true, .relative = true, .rho = s->rho};
    if (!guidance_open(&mask->seen, setup->facts->tokens, rule, setup->host, error) ||
        !name_tap(mask, setup->facts->layers, error)) {
        plus_close(mask);
        return NULL;
    }
    return mask;
}

/* ---- the mask of a pass ---- */

static assay_weighing weighing_of(const ggsm_plus *mask, int64_t step)
{
    const settings *s = &mask->settings;
    assay_weighing weighing = {.gain = s->kappa,
                               .centre = 1,
                               .offset = log(s->start / (1 - s->start)),
                               .rise = ramp_rise(&mask->ramp, step)};
    if (mask->ramp.warmup == 0) /* nothing was ever frozen: the rise alone */
        weighing.gain = 0, weighing.offset = -INFINITY;
    return weighing;
}

static bool plus_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    ggsm_plus *mask = opened;
    int64_t step = ramp_step(&mask->ramp, clock);
    const assay_weighing weighing = weighing_of(mask, step);
    bool user = assay_same_text(tower->name, "user"), training = clock->phase == ASSAY_TRAINING;
    (void)x;
    *out = assay_bias_causal();
    /* Which state it is depends on the model's depth, known only now. */
    if (training && user && !assay_tape_tap(tape, mask->tap))
        return false;
    if (!mask_acts(mask->settings.towers, tower))
        return true;
    *out = assay_bias_full();
    if (!training && mask->settings.evaluate == MASK_EVALUATE_FULL)
        return true;
    if (!guidance_fits(tape, tower, mask->seen.tokens, WHERE))
        return false;
    if (ramp_rise(&mask->ramp, step) < 1)
        out->log_weight =
            assay_importance_prices(mask->seen.learned, tape, tower->tokens, &weighing);
    if (training && user)
        guidance_record(&mask->seen, &weighing, 0, guidance_longest(tower));
    return assay_tape_ok(tape, NULL);
}

/* ---- guidance ---- */

static bool plus_observe(void *opened, assay_tape *tape, const assay_clock *clock,
                         const assay_tower *tower, assay_error *error)
{
    ggsm_plus *mask = opened;
    (void)clock;
    return guidance_observe(&mask->seen, tape, tower, mask->tap, WHERE, error);
}

static bool plus_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    ggsm_plus *mask = opened;
    if (clock->phase != ASSAY_TRAINING || !ramp_ends(&mask->ramp, clock))
        return true;
    return guidance_end(&mask->seen, ramp_step(&mask->ramp, clock) < mask->ramp.warmup, error);
}

/* ---- state ---- */

static bool plus_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    return guidance_save(&((ggsm_plus *)opened)->seen, out, "average", "updates", error);
}

static bool plus_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    return guidance_load(&((ggsm_plus *)opened)->seen, in, "average", "updates", error);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = plus_open,
    .close = plus_close,
    .bias = plus_bias,
    .observe = plus_observe,
    .advance = plus_advance,
    .save = plus_save,
    .load = plus_load,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "ggsm_plus", 1,
             "future keys weigh by gradients that differ from token to token, then all alike",
             settings, options, functions);
