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

#include <string.h>

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
    const assay_host *host;
    ramp ramp;
    guidance seen;
    assay_tensor *importance; /* f32 (tokens) */
    float *log_weights;       /* (tokens) scratch of a pass */
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
    assay_tensor_free(mask->importance);
    assay_free(mask->log_weights);
    guidance_close(&mask->seen);
    assay_free(mask);
}

static void *hybrid_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    hybrid_mask *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    int64_t tokens = setup->facts->tokens;
    mask->settings = *(const settings *)chosen;
    mask->host = setup->host;
    mask->ramp = ramp_of(setup, mask->settings.clock, 1, -1);
    mask->importance = assay_tensor_new(ASSAY_F32, 1, &tokens, error);
    mask->log_weights = assay_zalloc(tokens * (int64_t)sizeof *mask->log_weights, error);
    if (!mask->importance || !mask->log_weights || !guidance_open(&mask->seen, tokens, error)) {
        hybrid_close(mask);
        return NULL;
    }
    memset(mask->importance->data, 0, (size_t)assay_tensor_bytes(mask->importance));
    return mask;
}

static double weight_of(const hybrid_mask *mask, int64_t key)
{
    return ramp_logistic((double)assay_f32(mask->importance)[key]) +
           (mask->settings.variant == VARIANT_CODE ? 1e-8 : 0);
}

/* Each key once, with the queries before it in the longest history. */
static void record(const hybrid_mask *mask, const assay_tower *tower)
{
    key_sums sums = {0};
    history longest = {0, 0};
    for (int64_t b = 0; b < tower->rows; b++) {
        history h = history_at(tower, b);
        if (h.end - h.first > longest.end - longest.first)
            longest = h;
    }
    for (int64_t j = longest.first + 1; j < longest.end; j++)
        key_sums_add(&sums, j - longest.first, weight_of(mask, j),
                     (double)assay_f32(mask->importance)[j]);
    key_sums_record(&sums, mask->host);
}

static bool hybrid_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    hybrid_mask *mask = opened;
    (void)x;
    *out = assay_bias_causal();
    if (!tower->span)
        return true;
    if (!guidance_fits(tape, tower, mask->seen.tokens, WHERE))
        return false;
    for (int64_t j = 0; j < tower->tokens; j++)
        mask->log_weights[j] = (float)log(weight_of(mask, j));
    if (clock->phase == ASSAY_TRAINING && assay_same_text(tower->name, "user"))
        record(mask, tower);
    return history_by_key(tape, tower, mask->log_weights, out);
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
    (void)error;
    if (clock->phase != ASSAY_TRAINING || !ramp_ends(&mask->ramp, clock))
        return true;
    guidance_learn(&mask->seen, mask->settings.variant == VARIANT_PAPER, mask->settings.rho,
                   assay_f32(mask->importance));
    guidance_record(&mask->seen, mask->host);
    guidance_clear(&mask->seen);
    return true;
}

static bool hybrid_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    const hybrid_mask *mask = opened;
    return out->put(out->user, "importance", mask->importance, error);
}

static bool hybrid_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    hybrid_mask *mask = opened;
    const assay_stored *stored = in->get(in->user, "importance", error);
    return stored && assay_stored_read(stored, mask->importance, error);
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
