/* adapter_low.c - an adapter with a rank. */
#include "plan_only.h"

#include <assay/adapter.h>

typedef struct options {
    int64_t rank;
    bool freeze;
} options;

static const assay_option table[] = {
    ASSAY_INTEGER(options, rank, "", 4, 1, 64, "of the matrices"),
    ASSAY_BOOL(options, freeze, true, "the model itself does not learn"),
};

static void *low_open(const void *settings, const assay_adapter_setup *setup, assay_error *error)
{
    (void)settings;
    (void)setup;
    PLAN_ONLY(error);
    return NULL;
}

static void low_close(void *adapter)
{
    (void)adapter;
}

static const assay_adapter_functions functions = {
    .size = sizeof functions, .open = low_open, .close = low_close};

ASSAY_PLUGIN(ASSAY_KIND_ADAPTER, "low", 1, "small matrices", options, table, functions);
