/* lab/train/train.h - one run from its recipe to its scores.
 *
 * An assembly opens what a recipe names: dataset, model, mask, adapters, losses, in one parameter
 * set. train_run trains it from the newest good checkpoint (or from the seed), evaluates, and
 * writes series, checkpoints, scores and artifacts under the attempt's lease. */
#ifndef LAB_TRAIN_TRAIN_H
#define LAB_TRAIN_TRAIN_H

#include "lab/plugin/recipe.h"
#include "lab/store/store.h"

#include <assay/device.h>

#include <signal.h>

/* ---- datasets: opened once per process, shared by its runs ---- */
typedef struct dataset_pool dataset_pool;

/* `cache` is the folder for what can be made again; ASSAY_CACHE or, NULL, ~/.cache/assay. */
dataset_pool *dataset_pool_new(const char *cache, assay_error *error);
void dataset_pool_free(dataset_pool *pool); /* accepts NULL */
/* The open dataset of these settings, opened at first use. Borrowed. */
const assay_data *dataset_pool_get(dataset_pool *pool, const settings *dataset, assay_error *error);
/* Lets datasets that are being opened (an index of much data) notice that they are asked to end. */
void dataset_pool_stop(dataset_pool *pool, const volatile sig_atomic_t *stop);

/* ---- what a recipe comes to ---- */

/* Where the weights of a stage lie. The run room knows. */
typedef struct train_sources {
    void *user;
    /* The safetensors file of a stage's weights (value->stage >= 0; paths are this room's
     * business). */
    bool (*weights)(void *user, const setting *value, char *path, int64_t size, assay_error *error);
    /* The recipe behind a stage's weights (for assay_host.network); NULL for a plain path. */
    const recipe *(*stage)(void *user, const setting *value);
} train_sources;

typedef struct recipe_part {
    char name[80];
    int64_t total, trainable;
} recipe_part;

typedef struct recipe_facts { /* for `assay plan` */
    int64_t parameters, trainable;
    int part_count;
    recipe_part parts[64];
    double flops;        /* of the whole training: 3 forward passes per sample and step */
    double memory_bytes; /* parameters, gradients, moments, activations of a piece */
    int64_t samples;     /* of the training split */
    double sample_flops; /* of one sample's forward pass */
    double counted;      /* the same as published tables count it, multiply-adds; 0: not said */
} recipe_facts;

/* Opens everything with parameters that have shapes and no values, and checks that it fits: outputs
 * that losses and evaluators want, fields, extra tokens, suites. Whatever is wrong with a recipe is
 * found here, before a run starts. */
bool recipe_inspect(const recipe *recipe, dataset_pool *pool, recipe_facts *out,
                    assay_error *error);
/* The same for a recipe whose losses ask for models of other stages: `sources->stage` gives their
 * recipes. A value that waits for another run's score stands at its default, a required
 * one in the middle of its range. */
bool recipe_inspect_with(const recipe *recipe, dataset_pool *pool, const train_sources *sources,
                         recipe_facts *out, assay_error *error);

/* ---- training ---- */
typedef struct train_progress {
    int64_t step, total;
    double loss, tokens_per_s, seconds_left;
    const char *doing; /* "training", "evaluating linear_probe", "saving" */
} train_progress;

typedef struct train_job {
    const recipe *recipe;
    const char *run_hash;
    dataset_pool *pool;
    const assay_device *device;
    store_handle *store;
    store_lease *lease;   /* claimed; train_run does not end it */
    const char *folder;   /* of the run's files, absolute: STORE.files/HASH16 */
    const char *relative; /* the same relative to STORE.files: "HASH16" */
    bool same_build;      /* threads, CPU and build are those of the attempt before */
    train_sources sources;
    const volatile sig_atomic_t *stop; /* set: checkpoint now and return TRAIN_STOPPED */
    void (*progress)(void *user, const train_progress *progress);
    int64_t progress_ms; /* shortest time between two calls; 0: 100, below 0: none, every step */
    void *user;
} train_job;

typedef enum train_result {
    TRAIN_DONE,
    TRAIN_STOPPED, /* asked to; a checkpoint holds every step that was finished, unless a plugin
                      ended in the middle of one: then the last one that was due */
    TRAIN_LOST,    /* a newer attempt has the run; nothing more was written */
    TRAIN_FAILED,  /* *error says why */
} train_result;

train_result train_run(const train_job *job, assay_error *error);

/* ---- a run's network, opened again ---- */
typedef struct train_reopening {
    const recipe *recipe; /* its dataset, model, adapters, mask and precision count */
    dataset_pool *pool;
    const assay_device *device;
    const char *weights; /* of the run's newest checkpoint, or published ones */
    /* Published weights: of the model alone, with its own attention; a mask and adapters of the
     * recipe are left out, and parameters that the file lacks keep their start. */
    bool published;
    const train_sources *sources; /* for options that name stages; may be NULL */
} train_reopening;

typedef struct train_opened train_opened;
/* With the mask's state of that checkpoint. What the request points at must outlive the result,
 * which the caller owns. */
train_opened *train_reopen(const train_reopening *request, assay_error *error);
void train_opened_free(train_opened *opened); /* accepts NULL */
const assay_network *train_opened_network(const train_opened *opened);
const assay_data *train_opened_data(const train_opened *opened);
/* A tape of the recipe's precision with the adapters on it. Borrowed. */
assay_tape *train_opened_tape(const train_opened *opened);

/* The file of a finished run's parameters, from its newest good checkpoint. */
bool train_weights_path(const char *folder, char *path, int64_t size, assay_error *error);

#endif
