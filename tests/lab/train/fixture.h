/* fixture.h - a folder with a store, the toy plugins, and runs that can be begun, broken off and
 * compared. */
#ifndef TRAIN_FIXTURE_H
#define TRAIN_FIXTURE_H

#include "lab/train/train.h"

/* One run in a store of its own. */
typedef struct bench {
    char folder[64]; /* owned: removed with everything in it */
    char store[128]; /* path of the store */
    char files[192]; /* the run's folder */
    recipe recipe;   /* toy plugins, small; change it by set_* */
    train_sources sources;
    volatile sig_atomic_t stop;
    int64_t stop_at;        /* the step at which the progress sets `stop`; -1: never */
    const char *stop_doing; /* and what must be under way then; NULL: anything */
    int64_t run_id;
    assay_error error; /* of the last bench_run */
} bench;

/* The toy recipe: dataset toy, model toy_encoder, mask toy_ramp, losses toy_contrast and toy_next,
 * evaluator toy_probe; 12 steps of 16 samples. */
void bench_make(bench *bench);
void bench_remove(bench *bench);

/* The options of one part, for set_number and set_text. */
void set_number(settings *use, const char *name, double value);
void set_text(settings *use, const char *name, const char *value);
/* Replaces a part by plugin `name` at its defaults. */
void set_plugin(settings *use, assay_kind kind, const char *name);
/* The bench's recipe with other lists. */
void set_losses(bench *bench, int n, const char *const *names);
void set_adapter(bench *bench, const char *name);
void no_mask(bench *bench);

/* Claims the run and trains it to its end, or to what breaks it off; ends the attempt as the run
 * room does. A run that is done already stays as it is. */
train_result bench_run(bench *bench);
train_result must_run(bench *bench); /* to TRAIN_DONE */
/* The same without claiming: under this lease, which the caller ends. */
train_result bench_run_as(bench *bench, store_handle *store, store_lease *lease);
train_job bench_job(bench *bench, store_handle *store, store_lease *lease);
store_handle *bench_open(bench *bench); /* with the run planned */
void bench_plan(bench *bench, store_handle *store);
store_lease bench_claim(bench *bench, store_handle *store);

/* Everything that two equal runs have in common: sha256 of the newest checkpoint's parameters, of
 * all series but time/ and memory/, and of all scores and artifacts. */
typedef struct outcome {
    char weights[65], series[65], scores[65];
    int64_t rows, score_rows;
} outcome;
outcome bench_outcome(const bench *bench);
void assert_same_outcome(const outcome *a, const outcome *b);

/* The first cell of the first row, NaN without one. */
double ask(const bench *bench, const char *sql);
/* The value of a series at a step. */
double series_at(const bench *bench, const char *name, int64_t step);

const plugin_registry *toy_registry(void);
dataset_pool *toy_pool(const bench *bench);

#endif
