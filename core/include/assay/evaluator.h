/* assay/evaluator.h - the functions of an evaluator plugin: a trained network and data to scores.
 *
 * An evaluator runs at the end of training and, if the script says train.evaluate_every, in
 * between. In between (`final` false) it looks at train and valid only; the host refuses samples
 * and scores of the test split then, so that nothing can be chosen by it. */
#ifndef ASSAY_EVALUATOR_H
#define ASSAY_EVALUATOR_H

#include <assay/model.h>

/* suite and benchmark of an evaluator that has none: its own name and "". */
typedef struct assay_score {
    const char *suite, *benchmark, *metric; /* "credit", "default", "auc" */
    assay_data_split split;
    double value;
    double low, high; /* an interval; NaN: none */
    int64_t n;        /* samples behind it; -1: unknown */
} assay_score;

typedef struct assay_evaluation {
    uint32_t size;
    void *user; /* first argument of the functions */
    const assay_network *network;
    const assay_data *data;
    const assay_device *device;
    const assay_host *host;
    uint64_t seed; /* of the run: bootstrap and the like address their numbers by it */
    int64_t step;  /* optimizer steps that the network has taken */
    bool final;
    /* Runs a set through the network in order, in batches of the host's choice, loading on a thread
     * beside it, and shows each batch's outputs to `visit`. */
    bool (*each)(void *user, assay_data_split split, int benchmark, const assay_wanted *wanted,
                 assay_visitor visit, void *visitor, assay_error *error);
    bool (*score)(void *user, const assay_score *score, assay_error *error);
    /* A file of the run, published as `name` ("roc.csv"): `data` is copied. */
    bool (*artifact)(void *user, const char *name, const void *data, int64_t bytes,
                     assay_error *error);
} assay_evaluation;

typedef struct assay_evaluator_functions {
    uint32_t size;
    /* Whether the options fit the data and the model, before any run starts: the suite exists, the
     * output is one the model gives. */
    bool (*check)(const void *options, const assay_data *data, const assay_model_facts *facts,
                  assay_error *error);
    bool (*evaluate)(const void *options, const assay_evaluation *evaluation, assay_error *error);
} assay_evaluator_functions;

#endif
