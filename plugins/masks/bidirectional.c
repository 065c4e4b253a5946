/* bidirectional.c - mask `bidirectional`: every token sees every other from the first step on, in
 * training and in evaluation ("direct", user-modelling spec 3.4 C). */
#include "towers.h"

typedef struct settings {
    int towers;
} settings;

static const assay_option options[] = {
    MASK_TOWERS_OPTION(settings),
};

typedef struct bidirectional {
    settings settings;
} bidirectional;

static void *bidirectional_open(const void *chosen, const assay_mask_setup *setup,
                                assay_error *error)
{
    (void)setup;
    bidirectional *mask = assay_zalloc(sizeof *mask, error);
    if (mask)
        mask->settings = *(const settings *)chosen;
    return mask;
}

static bool bidirectional_bias(void *opened, assay_tape *tape, const assay_clock *clock,
                               const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    const bidirectional *mask = opened;
    (void)tape;
    (void)clock;
    (void)x;
    *out = mask_acts(mask->settings.towers, tower) ? assay_bias_full() : assay_bias_causal();
    return true;
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .open = bidirectional_open,
    .close = assay_free,
    .bias = bidirectional_bias,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "bidirectional", 1, "every token sees every other", settings, options,
             functions);
