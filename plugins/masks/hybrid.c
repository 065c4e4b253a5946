/* hybrid.c - mask `hybrid`: the tokens of the history see each other, everything after them is
 * causal: a prefix-LM mask (user-modelling spec 3.4 B, its exact matrix is the spec's proposal).
 *
 * What the history is, the tower says by its span. A tower without one, such as an answer's, has
 * nothing to open and is causal. */
#include <assay/mask.h>

static int state; /* there is nothing to remember; an open mask is not NULL */

static void *hybrid_open(const void *options, const assay_mask_setup *setup, assay_error *error)
{
    (void)options;
    (void)setup;
    (void)error;
    return &state;
}

static void hybrid_close(void *mask)
{
    (void)mask;
}

static bool hybrid_bias(void *mask, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    (void)mask;
    (void)tape;
    (void)clock;
    (void)x;
    *out = assay_bias_causal();
    out->span = tower->span;
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = hybrid_open,
    .close = hybrid_close,
    .bias = hybrid_bias,
    .steady = true,
};

ASSAY_PLUGIN_PLAIN(ASSAY_KIND_MASK, "hybrid", 1,
                   "the history's tokens see each other, what follows is causal", functions);
