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
 * Series, while training: mask/weight_mean over the future pairs of the user's tower, and
 * mask/importance_mean and mask/importance_max over its keys. */
#include "towers.h"

#include <math.h>
#include <string.h>

enum { VARIANT_CODE, VARIANT_PAPER };
enum { CLOCK_OPTIMIZER, CLOCK_MICRO };

#define GUIDE "user/final_norm" /* the state whose gradients guide */

typedef struct settings {
    int variant, clock, evaluate, towers;
    double warmup, rho;
    int64_t warmup_steps;
} settings;

static const assay_option options[] = {
    ASSAY_CHOICE(settings, variant, "code", "code|paper",
                 "importance sums over samples, as published code does, or means over them"),
    ASSAY_NUMBER(settings, warmup, "fraction", 0.1, 0, 1, "part of the steps that guide the mask"),
    ASSAY_INTEGER(settings, warmup_steps, "steps", -1, -1, 1 << 30,
                  "the same as a count of the clock's steps; -1: by the fraction"),
    ASSAY_NUMBER(settings, rho, "", 0.0, 0, 1, "what importance keeps of itself (moving average)"),
    ASSAY_CHOICE(settings, clock, "optimizer", "optimizer|micro",
                 "what a step is: an optimizer step or a micro-batch, as published code counts"),
    MASK_EVALUATE_OPTION(settings, "full"),
    MASK_TOWERS_OPTION(settings),
};

typedef struct ggsm {
    settings settings;
    const assay_host *host;
    int64_t tokens;                    /* length of the arrays: the longest tower */
    int64_t warmup, total, accumulate; /* in the clock's steps; micro-batches per optimizer step */
    assay_tensor *importance;          /* f32 (tokens) */
    double *gathered;                  /* (tokens) sums of |g_j| since the last change */
    int64_t *samples;                  /* (tokens) samples that had the position */
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
    assay_tensor_free(mask->importance);
    assay_free(mask->gathered);
    assay_free(mask->samples);
    assay_free(mask);
}

static int64_t warmup_of(const settings *s, int64_t total)
{
    /* A fraction such as 0.1 is a little less in binary: 0.1 of 70 is 7. */
    return s->warmup_steps >= 0 ? s->warmup_steps
                                : (int64_t)floor(s->warmup * (double)total + 1e-6);
}

static void *ggsm_open(const void *chosen, const assay_mask_setup *setup, assay_error *error)
{
    ggsm *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    mask->settings = *(const settings *)chosen;
    mask->host = setup->host;
    mask->tokens = setup->facts->tokens;
    mask->total = mask->settings.clock == CLOCK_MICRO ? setup->total_micro : setup->total;
    mask->warmup = warmup_of(&mask->settings, mask->total);
    mask->accumulate = setup->total > 0 ? setup->total_micro / setup->total : 1;
    mask->importance = assay_tensor_new(ASSAY_F32, 1, &mask->tokens, error);
    mask->gathered = assay_zalloc(mask->tokens * (int64_t)sizeof *mask->gathered, error);
    mask->samples = assay_zalloc(mask->tokens * (int64_t)sizeof *mask->samples, error);
    if (!mask->importance || !mask->gathered || !mask->samples) {
        ggsm_close(mask);
        return NULL;
    }
    memset(mask->importance->data, 0, (size_t)assay_tensor_bytes(mask->importance));
    return mask;
}

/* ---- the mask of a pass ---- */

/* The clock's step whose weights a pass uses: its own, or in evaluation that of the last one. */
static int64_t step_of(const ggsm *mask, const assay_clock *clock)
{
    int64_t step = mask->settings.clock == CLOCK_MICRO ? clock->micro : clock->step;
    if (clock->phase == ASSAY_EVALUATION)
        step--;
    return step < 0 ? 0 : step;
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* How far the weights have risen from the frozen ones to 1. */
static double rise(const ggsm *mask, int64_t step)
{
    if (step < mask->warmup)
        return 0;
    if (mask->total <= mask->warmup)
        return 1;
    return fmin((double)(step - mask->warmup) / (double)(mask->total - mask->warmup), 1);
}

static double weight_of(const ggsm *mask, int64_t step, int64_t key)
{
    double guided = logistic((double)assay_f32(mask->importance)[key]), alpha = rise(mask, step);
    if (step < mask->warmup)
        return guided + (mask->settings.variant == VARIANT_CODE ? 1e-8 : 0);
    /* Without a warm-up nothing was frozen: the published code then takes alpha alone. */
    return mask->warmup == 0 ? alpha : (1 - alpha) * guided + alpha;
}

static int64_t longest(const assay_tower *tower)
{
    int64_t most = tower->lengths ? 0 : tower->tokens;
    for (int64_t b = 0; tower->lengths && b < tower->rows; b++)
        if (assay_i32(tower->lengths)[b] > most)
            most = assay_i32(tower->lengths)[b];
    return most;
}

static void record(const ggsm *mask, int64_t step, int64_t tokens)
{
    const float *importance = assay_f32(mask->importance);
    double weights = 0, sum = 0, most = 0, pairs = 0.5 * (double)tokens * (double)(tokens - 1);
    if (!mask->host || !mask->host->series || tokens < 2)
        return;
    for (int64_t j = 1; j < tokens; j++) {
        weights += (double)j * weight_of(mask, step, j);
        sum += (double)importance[j];
        most = fmax(most, (double)importance[j]);
    }
    mask->host->series(mask->host->user, "mask/weight_mean", weights / pairs);
    mask->host->series(mask->host->user, "mask/importance_mean", sum / (double)(tokens - 1));
    mask->host->series(mask->host->user, "mask/importance_max", most);
}

static bool fits(const ggsm *mask, assay_tape *tape, const assay_tower *tower)
{
    if (tower->tokens <= mask->tokens)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                    (assay_failure){.where = "mask ggsm",
                                    .what = "a tower is longer than the model said",
                                    .expected = assay_text("%lld tokens", (long long)mask->tokens),
                                    .got = assay_text("%lld", (long long)tower->tokens)});
    return false;
}

static bool ggsm_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const ggsm *mask = opened;
    int64_t step = step_of(mask, clock);
    (void)x;
    *out = assay_bias_causal();
    if (!mask_acts(mask->settings.towers, tower))
        return true;
    *out = assay_bias_full();
    if (clock->phase == ASSAY_EVALUATION && mask->settings.evaluate == MASK_EVALUATE_FULL)
        return true;
    if (!fits(mask, tape, tower))
        return false;
    if (rise(mask, step) < 1) {
        out->log_weight =
            assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, tower->tokens});
        for (int64_t j = 0; out->log_weight && j < tower->tokens; j++)
            assay_f32(out->log_weight)[j] = (float)log(weight_of(mask, step, j));
    }
    if (clock->phase == ASSAY_TRAINING && assay_same_text(tower->name, "user"))
        record(mask, step, longest(tower));
    return assay_tape_ok(tape, NULL);
}

/* ---- guidance ---- */

static double norm_of(const float *row, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += (double)row[k] * (double)row[k];
    return sqrt(sum);
}

static bool ggsm_observe(void *opened, assay_tape *tape, const assay_clock *clock,
                         const assay_tower *tower, assay_error *error)
{
    ggsm *mask = opened;
    if (!assay_same_text(tower->name, "user") || step_of(mask, clock) >= mask->warmup)
        return true;
    const assay_tensor *state = assay_tape_tapped(tape, GUIDE);
    if (!state || state->rank != 3)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "mask ggsm",
                          .what = "the model does not mark the state that guides the mask",
                          .expected = "a state " GUIDE,
                          .hint = "ggsm needs a model with a tower named user");
    int64_t tokens = state->shape[1], width = state->shape[2];
    if (!state->has_grad) /* no loss reads this tower: every gradient is 0 */
        return true;
    for (int64_t b = 0; b < state->shape[0]; b++) {
        int64_t valid = tower->lengths ? assay_i32(tower->lengths)[b] : tokens;
        for (int64_t j = 0; j < valid; j++) {
            mask->gathered[j] += norm_of(state->grad + (b * tokens + j) * width, width);
            mask->samples[j]++;
        }
    }
    return true;
}

/* Whether this micro-batch ends a step of the clock. */
static bool step_ends(const ggsm *mask, const assay_clock *clock)
{
    return mask->settings.clock == CLOCK_MICRO || (clock->micro + 1) % mask->accumulate == 0;
}

static bool ggsm_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    ggsm *mask = opened;
    bool any = false;
    double rho = mask->settings.rho;
    (void)error;
    if (clock->phase != ASSAY_TRAINING || step_of(mask, clock) >= mask->warmup ||
        !step_ends(mask, clock))
        return true;
    /* The first position is no query's future: it can't be what makes a pass count. */
    for (int64_t j = 1; j < mask->tokens; j++)
        any = any || mask->gathered[j] > 0;
    for (int64_t j = 1; any && j < mask->tokens; j++) {
        double now = mask->gathered[j];
        float *kept = &assay_f32(mask->importance)[j];
        if (mask->settings.variant == VARIANT_PAPER && mask->samples[j] > 0)
            now /= (double)mask->samples[j];
        *kept = (float)(rho * (double)*kept + (1 - rho) * now);
    }
    memset(mask->gathered, 0, (size_t)mask->tokens * sizeof *mask->gathered);
    memset(mask->samples, 0, (size_t)mask->tokens * sizeof *mask->samples);
    return true;
}

/* ---- state ---- */

static bool ggsm_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    const ggsm *mask = opened;
    return out->put(out->user, "importance", mask->importance, error);
}

static bool ggsm_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    ggsm *mask = opened;
    const assay_stored *stored = in->get(in->user, "importance", error);
    return stored && assay_stored_read(stored, mask->importance, error);
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
