/* evaluator_probe.c - an evaluator with a suite and metrics. */
#include "plan_only.h"

#include <assay/evaluator.h>

typedef struct options {
    const char *suite;
    assay_texts metrics;
} options;

static const assay_option table[] = {
    ASSAY_TEXT(options, suite, "all", "whose benchmarks are probed"),
    ASSAY_TEXTS(options, metrics, "auc", "auc|ks", "what is scored"),
};

static bool probe_check(const void *settings, const assay_data *data,
                        const assay_model_facts *facts, assay_error *error)
{
    (void)settings;
    (void)data;
    (void)facts;
    return PLAN_ONLY(error);
}

static bool probe_evaluate(const void *settings, const assay_evaluation *evaluation,
                           assay_error *error)
{
    (void)settings;
    (void)evaluation;
    return PLAN_ONLY(error);
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions, .check = probe_check, .evaluate = probe_evaluate};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "probe", 1, "a probe", options, table, functions);
