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
#include <string.h>

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
    const assay_host *host;
    ramp ramp;
    guidance seen;
    char tap[64];
    assay_tensor *average; /* f32 (tokens): moving average of z, not yet corrected */
    assay_tensor *updates; /* f32 (tokens): how often each changed */
} ggsm_plus;

static void plus_close(void *opened)
{
    ggsm_plus *mask = opened;
    if (!mask)
        return;
    assay_tensor_free(mask->average);
    assay_tensor_free(mask->updates);
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
    mask->host = setup->host;
    mask->ramp = ramp_of(setup, s->clock, s->warmup, s->warmup_steps);
    mask->average = assay_tensor_new(ASSAY_F32, 1, &setup->facts->tokens, error);
    mask->updates = assay_tensor_new(ASSAY_F32, 1, &setup->facts->tokens, error);
    if (!mask->average || !mask->updates ||
        !guidance_open(&mask->seen, setup->facts->tokens, error) ||
        !name_tap(mask, setup->facts->layers, error)) {
        plus_close(mask);
        return NULL;
    }
    memset(mask->average->data, 0, (size_t)assay_tensor_bytes(mask->average));
    memset(mask->updates->data, 0, (size_t)assay_tensor_bytes(mask->updates));
    return mask;
}

/* ---- the mask of a pass ---- */

/* The smoothed z of a position; 1, the average, before it was ever seen. */
static double importance_of(const ggsm_plus *mask, int64_t key)
{
    double n = (double)assay_f32(mask->updates)[key];
    return n > 0 ? (double)assay_f32(mask->average)[key] / (1 - pow(mask->settings.rho, n)) : 1;
}

static double weight_of(const ggsm_plus *mask, int64_t step, int64_t key)
{
    const settings *s = &mask->settings;
    double alpha = ramp_rise(&mask->ramp, step), b0 = log(s->start / (1 - s->start));
    double guided = ramp_logistic(s->kappa * (importance_of(mask, key) - 1) + b0);
    return mask->ramp.warmup == 0 ? alpha : (1 - alpha) * guided + alpha;
}

static void record(const ggsm_plus *mask, int64_t step, int64_t tokens)
{
    key_sums sums = {0};
    for (int64_t j = 1; j < tokens; j++)
        key_sums_add(&sums, j, weight_of(mask, step, j), importance_of(mask, j));
    key_sums_record(&sums, mask->host);
}

static bool plus_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const ggsm_plus *mask = opened;
    int64_t step = ramp_step(&mask->ramp, clock);
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
    if (ramp_rise(&mask->ramp, step) < 1) {
        out->log_weight =
            assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, tower->tokens});
        for (int64_t j = 0; out->log_weight && j < tower->tokens; j++)
            assay_f32(out->log_weight)[j] = (float)log(weight_of(mask, step, j));
    }
    if (training && user)
        record(mask, step, guidance_longest(tower));
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

static void learn(ggsm_plus *mask)
{
    const guidance *seen = &mask->seen;
    float *average = assay_f32(mask->average), *updates = assay_f32(mask->updates);
    double rho = mask->settings.rho, sum = 0, positions = 0;
    for (int64_t j = 0; j < seen->tokens; j++)
        if (seen->samples[j] > 0) {
            sum += seen->norms[j] / (double)seen->samples[j];
            positions++;
        }
    for (int64_t j = 0; sum > 0 && j < seen->tokens; j++)
        if (seen->samples[j] > 0) {
            double z = seen->norms[j] / (double)seen->samples[j] * positions / sum;
            average[j] = (float)(rho * (double)average[j] + (1 - rho) * z);
            updates[j]++;
        }
}

static bool plus_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    ggsm_plus *mask = opened;
    (void)error;
    if (clock->phase != ASSAY_TRAINING || !ramp_ends(&mask->ramp, clock))
        return true;
    if (ramp_step(&mask->ramp, clock) < mask->ramp.warmup)
        learn(mask);
    guidance_record(&mask->seen, mask->host);
    guidance_clear(&mask->seen);
    return true;
}

/* ---- state ---- */

static bool plus_save(void *opened, const assay_state_writer *out, assay_error *error)
{
    const ggsm_plus *mask = opened;
    return out->put(out->user, "average", mask->average, error) &&
           out->put(out->user, "updates", mask->updates, error);
}

static bool plus_load(void *opened, const assay_state_reader *in, assay_error *error)
{
    ggsm_plus *mask = opened;
    const assay_stored *average = in->get(in->user, "average", error);
    if (!average || !assay_stored_read(average, mask->average, error))
        return false;
    const assay_stored *updates = in->get(in->user, "updates", error);
    return updates && assay_stored_read(updates, mask->updates, error);
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
