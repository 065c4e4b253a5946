/* use.h - a plugin as a test uses it: loaded from the build, its options at their defaults and then
 * set by name, and a host that remembers what it is told. A helper that cannot do its work fails
 * the running test. */
#ifndef TESTS_MODELS_USE_H
#define TESTS_MODELS_USE_H

#include <assay/adapter.h>
#include <assay/evaluator.h>
#include <assay/loss.h>
#include <assay/mask.h>
#include <assay/model.h>

/* A loaded plugin with one struct of options. Owned by the caller (use_close); the shared object
 * stays open. */
typedef struct use {
    const assay_plugin *plugin;
    void *options;
    void *lists[64]; /* what options of list types point at */
    int list_count;
} use;

/* `file` is "mask_ggsm": the shared object's name without its ending. */
use use_open(const char *file);
void use_close(use *used);
/* Sets an option of type bool, integer, number or (constant) schedule; of type text, path or
 * choice; of a list type from "a,b". The name has to be one of the plugin's. */
void use_number(use *used, const char *name, double value);
void use_text(use *used, const char *name, const char *value);
void use_list(use *used, const char *name, const char *value);
/* A schedule of `count` values, borrowed until use_close. */
void use_curve(use *used, const char *name, int64_t count, const float *values);

const assay_model_functions *use_model(const use *used);
const assay_mask_functions *use_mask(const use *used);
const assay_loss_functions *use_loss(const use *used);
const assay_evaluator_functions *use_evaluator(const use *used);
const assay_adapter_functions *use_adapter(const use *used);

/* ---- a host that remembers ---- */
#define RECORDER_SERIES 32
typedef struct recorder {
    assay_host host; /* series and cache_path; first, and host.user is the recorder */
    int count;
    char names[RECORDER_SERIES][128];
    double values[RECORDER_SERIES]; /* the last one */
    char cache[512];                /* folder for cache_path; "": there is none */
} recorder;
/* Must not move afterwards. */
void recorder_begin(recorder *to);
/* The last value of a series; fails the test when there is none. */
double recorder_value(const recorder *from, const char *name);

/* Fails with the error's text unless ok. */
void must(bool ok, const assay_error *error);
void tape_must(const assay_tape *tape, bool ok);

#endif
