/* evaluate.h - the evaluators of a run, at a step. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "lab/train/step.h"

typedef struct evaluation_setup {
    assembly *assembly;
    const train_options *options;
    const train_job *job;
    const assay_host *host;
    store_writer *writer;
    int64_t step;
    bool final; /* the end: the test split may be looked at */
    /* Told before each evaluator begins. */
    void (*doing)(void *user, const char *evaluator);
    void *user;
} evaluation_setup;

/* Runs every evaluator of the recipe. Scores are handed to the writer, artifacts published. Ends
 * with ASSAY_STOPPED when the job is asked to stop. */
bool evaluate_all(const evaluation_setup *setup, assay_error *error);

#endif
