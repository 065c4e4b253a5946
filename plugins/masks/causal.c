/* causal.c - mask `causal`: every token sees itself and the past (user-modelling spec 3.4 A). */
#include <assay/mask.h>

static int state; /* there is nothing to remember; an open mask is not NULL */

static void *causal_open(const void *options, const assay_mask_setup *setup, assay_error *error)
{
    (void)options;
    (void)setup;
    (void)error;
    return &state;
}

static void causal_close(void *mask)
{
    (void)mask;
}

static bool causal_bias(void *mask, assay_tape *tape, const assay_clock *clock,
                        const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    (void)mask;
    (void)tape;
    (void)clock;
    (void)tower;
    (void)x;
    *out = assay_bias_causal();
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = causal_open,
    .close = causal_close,
    .bias = causal_bias,
    .steady = true,
};

ASSAY_PLUGIN_PLAIN(ASSAY_KIND_MASK, "causal", 1, "every token sees itself and the past", functions);
