/* mask_slope.c - a mask with a schedule. Built twice: a plugin's version is part of a run's
 * identity. */
#include "plan_only.h"

#include <assay/mask.h>

#ifndef VERSION
#define VERSION 1
#endif

typedef struct options {
    double warmup;
    assay_curve weight;
    int scope;
    const char *table;
} options;

static const assay_option table[] = {
    ASSAY_NUMBER(options, warmup, "fraction", 0.1, 0.0, 1.0, "of the training"),
    ASSAY_SCHEDULE(options, weight, "", 0.5, 0.0, 1.0, "of future keys"),
    ASSAY_CHOICE(options, scope, "user", "user|all", "which towers"),
    ASSAY_PATH(options, table, 0, "a file of weights by distance"),
};

static void *slope_open(const void *settings, const assay_mask_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void slope_close(void *mask)
{
    (void)mask;
}

static bool slope_bias(void *mask, assay_tape *tape, const assay_clock *clock,
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
    .size = sizeof functions, .open = slope_open, .close = slope_close, .bias = slope_bias};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "slope", VERSION, "opens slowly", options, table, functions);
