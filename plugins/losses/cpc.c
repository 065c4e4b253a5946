/* cpc.c - loss `cpc`: contrastive predictive coding over events (van den Oord et al. 2018; its form
 * here is user-modelling spec 4's proposal).
 *
 * The state c_t, which has seen the events up to t, scores by a bilinear form the vectors of events
 * k = 1 .. steps ahead against all different events of the batch:
 *     loss = mean over k and t of  -log softmax_j (z_j . W_k c_t) [j = event t + k]
 * Every different text counts once as a candidate, so that no negative equals the positive. States
 * are those that see nothing later (user.event_past), whatever mask the run has. W_k is PREFIX +
 * k. */
#include "events.h"

#define MOST_STEPS 64

typedef struct settings {
    int64_t steps;
    double weight;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, steps, "events", 4, 1, MOST_STEPS, "how far ahead is predicted"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
};

typedef struct cpc {
    int64_t steps;
    assay_tensor *forms[MOST_STEPS]; /* W_1 .. */
} cpc;

static bool cpc_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    (void)chosen;
    (void)error;
    names[(*count)++] = "user.event_past";
    names[(*count)++] = "user.event_texts";
    names[(*count)++] = "user.event_ids";
    return true;
}

static void *cpc_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    cpc *loss = assay_zalloc(sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->steps = ((const settings *)chosen)->steps;
    for (int64_t k = 0; k < loss->steps; k++) {
        loss->forms[k] = events_matrix(setup, assay_text("%lld.weight", (long long)k + 1),
                                       setup->facts->width, error);
        if (!loss->forms[k]) {
            assay_free(loss);
            return NULL;
        }
    }
    return loss;
}

/* What each position predicts `ahead` events later; feature tokens predict nothing. */
static assay_tensor *targets_ahead(assay_tape *tape, const assay_tensor *ids, int64_t ahead)
{
    int64_t tokens = ids->shape[1], count = assay_tensor_count(ids);
    assay_tensor *targets = assay_tape_tensor(tape, ASSAY_I32, 1, &count);
    for (int64_t i = 0; targets && i < count; i++) {
        bool inside = i % tokens + ahead < tokens && assay_i32(ids)[i] >= 0;
        assay_i32(targets)[i] = inside ? assay_i32(ids)[i + ahead] : ASSAY_IGNORE;
    }
    return targets;
}

static assay_tensor *cpc_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                 const assay_batch *batch, const assay_outputs *outputs)
{
    const cpc *loss = opened;
    assay_tensor *states = events_flat(tape, assay_outputs_get(outputs, "user.event_past"));
    assay_tensor *texts = assay_outputs_get(outputs, "user.event_texts");
    const assay_tensor *ids = assay_outputs_get(outputs, "user.event_ids");
    assay_tensor *sum = NULL;
    (void)clock;
    (void)batch;
    for (int64_t k = 0; ids && k < loss->steps; k++) {
        assay_tensor *guess = assay_linear(tape, states, loss->forms[k], NULL, ASSAY_IDENTITY);
        assay_tensor *one = assay_cross_entropy_head(tape, guess, texts,
                                                     targets_ahead(tape, ids, k + 1), ASSAY_MEAN);
        sum = k == 0 ? one : assay_add(tape, sum, one);
    }
    return assay_scale(tape, sum, 1.0f / (float)loss->steps);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .couples = true,
    .wants = cpc_wants,
    .open = cpc_open,
    .close = assay_free,
    .compute = cpc_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "cpc", 1, "each state predicts the next events among the batch's",
             settings, options, functions);
