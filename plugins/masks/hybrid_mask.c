/* hybrid_mask.c - mask `hybrid_mask`: inside the history future keys weigh by the loss's gradients,
 * as in ggsm's warm-up, all through training and without a schedule; what follows the history is
 * causal (user-modelling spec 3.4 B; the matrix and the inference rule are the spec's proposals).
 *
 * Importance is ggsm's (user-modelling spec 3.5): the norm of the gradient at a key's last state,
 * by absolute position, from the steps before. Evaluation uses the last log-weights that training
 * left, in the same places. Series, while training: those of guidance.h. */
#include "guidance.h"
#include "history.h"
#include "ramp.h"

enum { VARIANT_CODE, VARIANT_PAPER };

#define WHERE "mask hybrid_mask"
#define GUIDE "user/final_norm" /* the state whose gradients guide */

typedef struct settings {
    int variant, clock;
    double rho;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, variant, "code", "code|paper",
                 "importance sums over samples, as GG-SM's code does, or means over them"),
    ASSAY_NUMBER(settings, rho, "", 0.0, 0, 1, "what importance keeps of itself (moving average)"),
    RAMP_CLOCK_OPTION(settings),
};

typedef struct hybrid_mask {
    settings settings;
    ramp ramp;
    guidance seen;
} hybrid_mask;

static bool hybrid_needs(const void *chosen, assay_needs *out, assay_error *error)
{
    (void)chosen;
    (void)error;
    out->taps[out->tap_count++] = GUIDE;
    return true;
}

static void hybrid_close(void *opened)
{
    hybrid_mask *mask = opened;
    if (!mask)
        return;
    guidance_close(&mask->seen);
    assay_free(mask);
}

static void *hybrid_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    hybrid_mask *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    const settings *s = &mask->settings;
    mask->settings = *(const settings *)chosen;
    mask->ramp = ramp_of(setup, s->clock, 1, -1);
    if (!guidance_open(&mask->seen, setup->facts->tokens,
                       (assay_importance_rule){.mean = s->variant == VARIANT_PAPER, .rho = s->rho},
                       setup->host, error)) {
        hybrid_close(mask);
        return NULL;
    }
    return mask;
}

/* The longest history of the tower's rows. */
static history longest_of(const assay_tower *tower)
{
    history longest = {0, 0};
    for (int64_t b = 0; b < tower->rows; b++) {
        history h = history_at(tower, b);
        if (h.end - h.first > longest.end - longest.first)
            longest = h;
    }
    return longest;
}

static bool hybrid_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    hybrid_mask *mask = opened;
    const assay_weighing weighing = {.gain = 1,
                                     .floor = mask->settings.variant == VARIANT_CODE ? 1e-8 : 0};
    (void)x;
    *out = assay_bias_causal();
    if (!tower->span)
        return true;
    if (!guidance_fits(tape, tower, mask->seen.tokens, WHERE))
        return false;
    if (clock->phase == ASSAY_TRAINING && assay_same_text(tower->name, "user")) {
        history longest = longest_of(tower);
        guidance_record(&mask->seen, &weighing, longest.first, longest.end);
    }
    assay_tensor *prices =
        assay_importance_prices(mask->seen.learned, tape, tower->tokens, &weighing);
    return history_prices(tape, tower, prices, out);
}

static bool hybrid_observe(void *opened, assay_tape *tape, const assay_clock *clock,
                           const assay_tower *tower, assay_error *error)
{
    hybrid_mask *mask = opened;
    bool any = false;
    (void)clock;
    /* Questions on a kept prefix leave no gradient at the history: there is nothing to learn. */
    for (int64_t b = 0; tower->span && b < tower->rows; b++) {
        history h = history_at(tower, b);
        any = any || h.end > h.first;
    }
    if (!any)
        return true;
    return guidance_observe(&mask->seen, tape, tower, GUIDE, WHERE, error);
}

static bool hybrid_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    hybrid_mask *mask = opened;
    if (clock->phase != ASSAY_TRAINING || !ramp_ends(&mask->ramp, clock))
        return true;
    return guidance_end(&mask->seen, true, error);
}

static bool hybrid_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    return guidance_save(&((hybrid_mask *)opened)->seen, out, "importance", NULL, error);
}

static bool hybrid_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    return guidance_load(&((hybrid_mask *)opened)->seen, in, "importance", NULL, error);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .needs = hybrid_needs,
    .open = hybrid_open,
    .close = hybrid_close,
    .bias = hybrid_bias,
    .observe = hybrid_observe,
    .advance = hybrid_advance,
    .save = hybrid_save,
    .load = hybrid_load,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "hybrid_mask", 1,
             "in the history future keys weigh by the loss's gradients, what follows is causal",
             settings, options, functions);
