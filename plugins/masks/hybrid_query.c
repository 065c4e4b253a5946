/* hybrid_query.c - mask `hybrid_query`: a learned global query in front of the sequence sees the
 * whole history and is seen by all; everything else is causal (Hybrid_gq of user-modelling spec 3.4
 * B; place and matrix are the spec's proposals, with no extra loss).
 *
 * Row 0 sees every key of the history, every row sees column 0. In one layer nothing of the future
 * reaches the other tokens; from the second on, each receives a summary of the whole history
 * through column 0. The vector is the parameter mask.query (1, D). Series, while training:
 * mask/gradient_norm, that of the vector so far in the step. */
#include "history.h"

#include <math.h>

typedef struct hybrid_query {
    history_gradient gradient;
    assay_tensor *query;
} hybrid_query;

static bool query_needs(const void *options, assay_needs *out, assay_error *error)
{
    (void)options;
    (void)error;
    out->extra.front = 1;
    return true;
}

static void *query_open(const void *options, const assay_mask_setup *setup, assay_error *error)
{
    (void)options;
    hybrid_query *mask = assay_zalloc(sizeof *mask, error);
    if (!mask)
        return NULL;
    mask->gradient.host = setup->host;
    /* The size of an input embedding: numbers of standard deviation 0.02, as the tables start. */
    mask->query =
        assay_params_add(setup->params, "mask.query", 2, (int64_t[]){1, setup->facts->width},
                         (assay_init){ASSAY_INIT_NORMAL, .a = 0.02f}, error);
    if (!mask->query) {
        assay_free(mask);
        return NULL;
    }
    return mask;
}

static assay_tensor *query_front(void *opened, assay_tape *tape)
{
    (void)tape;
    return ((hybrid_query *)opened)->query;
}

static bool query_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                       const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    (void)opened;
    (void)clock;
    (void)x;
    *out = assay_bias_causal();
    return tower->span ? history_for_first(tape, tower, out) : true;
}

static bool query_advance(void *opened, const assay_clock *clock, assay_error *error)
{
    hybrid_query *mask = opened;
    (void)error;
    if (clock->phase == ASSAY_TRAINING)
        history_record_gradient(&mask->gradient, 1, (assay_tensor *[]){mask->query});
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .needs = query_needs,
    .open = query_open,
    .close = assay_free,
    .bias = query_bias,
    .front = query_front,
    .advance = query_advance,
    .steady = true,
};

ASSAY_PLUGIN_PLAIN(ASSAY_KIND_MASK, "hybrid_query", 1,
                   "a learned token in front sees the whole history, the rest is causal",
                   functions);
