/* ggsm.c - mask `ggsm`: gradient-guided soft masking (user-modelling spec 3.5; read 3.6 as well).
 *
 * While warming up, the weight of a future key j is the logistic function of its importance: the
 * norm of the loss's gradient at the key's last state, by absolute position, as earlier passes left
 * it. Then the weights stay as they are and rise linearly to 1. The two variants:
 *     code    importance_j = rho importance_j + (1 - rho) sum over samples of |g_j|; weight + 1e-8
 *             while warming up. The published matrix I_ij is this for every i < j: a pair counts
 *             when both positions are valid, and position i is whenever j is, so I_ij does not
 *             depend on i and one number per key holds all of it.
 *     paper   the same with the mean over the samples that have the position, and no 1e-8.
 * Gradients are those of the user's tower only; importance changes once per optimizer step or, with
 * clock "micro" as the published code counts, once per micro-batch. Weights that are frozen are the
 * logistic of an importance that no longer changes, so importance is all there is to save.
 *
 * Two options show what guidance amounts to. `guidance = "constant"` is the control of spec 3.6:
 * the same schedule with importance held at 0, which is weight 0.5 while warming up and linear
 * after it. `rounding = "bf16"` rounds the user's bias as the published code does (3.6-4): all
 * weights near one half then are the same number. Without a warm-up the weight is the rise alone,
 * the published code's fall-back for the time before anything was frozen.
 *
 * Series, while training: those of guidance.h. */
#include "guidance.h"
#include "ramp.h"
#include "towers.h"

#include <assay/ops.h>

enum { VARIANT_CODE, VARIANT_PAPER };
enum { GUIDED, CONSTANT };
enum { ROUND_NOT, ROUND_BF16 };

#define WHERE "mask ggsm"
#define GUIDE "user/final_norm" /* the state whose gradients guide */

typedef struct settings {
    int variant, clock, evaluate, towers, guidance, rounding;
    double warmup, rho;
    int64_t warmup_steps;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, variant, "code", "code|paper",
                 "importance sums over samples, as published code does, or means over them"),
    ASSAY_CHOICE(settings, guidance, "gradient", "gradient|constant",
                 "constant: the control whose weights are 0.5 while warming up, then linear"),
    RAMP_WARMUP_OPTIONS(settings),
    ASSAY_NUMBER(settings, rho, "", 0.0, 0, 1, "what importance keeps of itself (moving average)"),
    RAMP_CLOCK_OPTION(settings),
    ASSAY_CHOICE(settings, rounding, "none", "none|bf16",
                 "of the user's bias: bf16 as in the published code"),
    MASK_EVALUATE_OPTION(settings, "full"),
    MASK_TOWERS_OPTION(settings),
};

typedef struct ggsm {
    settings settings;
    ramp ramp;
    guidance seen; /* of as many tokens as the longest tower has */
} ggsm;

static bool ggsm_needs(const void *chosen, assay_needs *out, assay_error *error)
{
    (void)chosen;
    (void)error;
    out->taps[out->tap_count++] = GUIDE;
    return true;
}

static void ggsm_close(void *opened)
{
    ggsm *mask = opened;
    if (!mask)
        return;
    guidance_close(&mask->seen);
    assay_free(mask);
}

static void *ggsm_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    ggsm *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    const settings *s = &mask->settings;
    mask->settings = *(const settings *)chosen;
    mask->ramp = ramp_of(setup, s->clock, s->warmup, s->warmup_steps);
    if (!guidance_open(&mask->seen, setup->facts->tokens,
                       (assay_importance_rule){.mean = s->variant == VARIANT_PAPER, .rho = s->rho},
                       setup->host, error)) {
        ggsm_close(mask);
        return NULL;
    }
    return mask;
}

/* ---- the mask of a pass ---- */

static assay_weighing weighing_of(const ggsm *mask, int64_t step)
{
    assay_weighing weighing = {.gain = 1, .rise = ramp_rise(&mask->ramp, step)};
    if (step < mask->ramp.warmup && mask->settings.variant == VARIANT_CODE)
        weighing.floor = 1e-8;
    /* Without a warm-up nothing was frozen: the published code then takes the rise alone. */
    if (mask->ramp.warmup == 0)
        weighing.gain = 0, weighing.offset = -INFINITY;
    return weighing;
}

/* The bf16 of the published code's bias. */
static assay_tensor *round_prices(assay_tape *tape, assay_tensor *prices)
{
    return assay_cast(tape, assay_cast(tape, prices, ASSAY_BF16), ASSAY_F32);
}

static bool ggsm_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    ggsm *mask = opened;
    int64_t step = ramp_step(&mask->ramp, clock);
    const assay_weighing weighing = weighing_of(mask, step);
    bool user = assay_same_text(tower->name, "user");
    bool rounded = user && mask->settings.rounding == ROUND_BF16;
    (void)x;
    *out = assay_bias_causal();
    if (!mask_acts(mask->settings.towers, tower))
        return true;
    *out = assay_bias_full();
    if (clock->phase == ASSAY_EVALUATION && mask->settings.evaluate == MASK_EVALUATE_FULL)
        return true;
    if (!guidance_fits(tape, tower, mask->seen.tokens, WHERE))
        return false;
    if (ramp_rise(&mask->ramp, step) < 1) {
        out->log_weight =
            assay_importance_prices(mask->seen.learned, tape, tower->tokens, &weighing);
        if (rounded)
            out->log_weight = round_prices(tape, out->log_weight);
    }
    if (clock->phase == ASSAY_TRAINING && user)
        guidance_record(&mask->seen, &weighing, 0, guidance_longest(tower));
    return assay_tape_ok(tape, NULL);
}

/* ---- guidance ---- */

static bool ggsm_observe(void *opened, assay_tape *tape, const assay_clock *clock,
                         const assay_tower *tower, assay_error *error)
{
    ggsm *mask = opened;
    (void)clock;
    return guidance_observe(&mask->seen, tape, tower, GUIDE, WHERE, error);
}

static bool ggsm_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    ggsm *mask = opened;
    if (clock->phase != ASSAY_TRAINING || !ramp_ends(&mask->ramp, clock))
        return true;
    bool learns =
        mask->settings.guidance == GUIDED && ramp_step(&mask->ramp, clock) < mask->ramp.warmup;
    return guidance_end(&mask->seen, learns, error);
}

/* ---- state ---- */

static bool ggsm_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    return guidance_save(&((ggsm *)opened)->seen, out, "importance", NULL, error);
}

static bool ggsm_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    return guidance_load(&((ggsm *)opened)->seen, in, "importance", NULL, error);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .needs = ggsm_needs,
    .open = ggsm_open,
    .close = ggsm_close,
    .bias = ggsm_bias,
    .observe = ggsm_observe,
    .advance = ggsm_advance,
    .save = ggsm_save,
    .load = ggsm_load,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "ggsm", 1,
             "future keys weigh by the loss's gradients, then all alike", settings, options,
             functions);
