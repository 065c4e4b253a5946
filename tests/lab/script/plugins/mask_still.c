/* mask_still.c - a mask without an option. */
#include "plan_only.h"

#include <assay/mask.h>

static void *still_open(const void *settings, const assay_mask_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void still_close(void *mask)
{
    (void)mask;
}

static bool still_bias(void *mask, assay_tape *tape, const assay_clock *clock,
                       const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    (void)mask;
    (void)tape;
    (void)clock;
    (void)tower;
    (void)x;
    (void)out;
    return false;
}

static const assay_mask_functions functions = {
    .size = sizeof functions, .open = still_open, .close = still_close, .bias = still_bias};

ASSAY_PLUGIN_PLAIN(ASSAY_KIND_MASK, "still", 1, "the same at every step", functions);
