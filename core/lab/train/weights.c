/* weights.c - the weights that a run starts from: a stage's, or published ones. */
#include "lab/train/weights.h"

#include "lab/train/checkpoint.h"
#include "lab/train/positions.h"

#include <assay/log.h>
#include <assay/weights.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool weights_file_of(const char *path, char *out, int64_t size, assay_error *error)
{
    return assay_weights_locate(path, out, size, error);
}

bool weights_of_setting(const train_sources *sources, const setting *value, char *path,
                        int64_t size, assay_error *error)
{
    if (value->stage < 0)
        return weights_file_of(value->resolved ? value->resolved : value->text, path, size, error);
    if (sources && sources->weights)
        return sources->weights(sources->user, value, path, size, error);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "weights of a stage",
                      .what = "the run that gives them is not known here");
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static const assay_stored *stored_of(const assembly *a, const assay_weights *weights,
                                     const char *name)
{
    const assay_stored *stored = assay_weights_find(weights, name);
    return stored ? stored : assay_find_published(a->params, weights, name);
}

/* Names the model's parameters that the file lacks, the first few of them. */
static void warn_missing(const assembly *a, const assay_weights *weights, const char *path)
{
    int64_t missing = 0;
    const char *first = NULL;
    for (int64_t i = 0; i < assay_params_count(a->params); i++) {
        const char *name = assay_params_at(a->params, i)->name;
        if (stored_of(a, weights, name) || begins(name, "adapter.") || begins(name, "mask."))
            continue;
        missing++;
        first = first ? first : name;
    }
    if (missing > 0)
        assay_log(ASSAY_LOG_WARNING,
                  "init %s: %" PRId64 " parameters are not in it and start from the seed (%s ...)",
                  path, missing, first);
}

/* When counting, parameters have no values to fill: shapes are compared and that is all. */
static bool compare_shapes(const assembly *a, const assay_weights *weights, int64_t *fitting,
                           assay_error *error)
{
    for (int64_t i = 0; i < assay_params_count(a->params); i++) {
        const assay_parameter *parameter = assay_params_at(a->params, i);
        const assay_tensor *value = parameter->value;
        const assay_stored *stored = stored_of(a, weights, parameter->name);
        if (!stored)
            continue;
        if (positions_fit(a->params, parameter, stored, NULL, NULL)) {
            (*fitting)++;
            continue;
        }
        if (stored->rank != value->rank ||
            memcmp(stored->shape, value->shape, (size_t)value->rank * sizeof *value->shape) != 0)
            return ASSAY_FAIL(error, ASSAY_BAD_SHAPE,
                              .where = assay_text("tensor %s", stored->name),
                              .what = "the stored shape differs from the parameter's",
                              .expected = assay_shape_text(value->rank, value->shape),
                              .got = assay_shape_text(stored->rank, stored->shape));
        (*fitting)++;
    }
    return true;
}

/* Puts the file's name before what assay_params_load says of a tensor. */
static bool fail_in(const char *path, const assay_error *own, assay_error *error)
{
    return ASSAY_FAIL(error, own->code, .where = assay_text("init %s: %s", path, own->where),
                      .what = own->what, .expected = own->expected, .got = own->got,
                      .hint =
                          own->hint[0] ? own->hint : "the weights are of another model or size");
}

bool weights_start(assembly *a, bool complete, assay_error *error)
{
    static const assay_load_options lenient = {.allow_missing = true,
                                               .allow_unused = true,
                                               .fit = positions_fit,
                                               .find = assay_find_published};
    const setting *init = &a->recipe->init;
    char path[4096];
    int64_t fitting = 0;
    assay_error own = {0};
    if (a->counting && init->stage >= 0)
        return true;
    if (!weights_of_setting(a->sources, init, path, sizeof path, error))
        return false;
    assay_weights *weights = assay_weights_open(path, error);
    if (!weights)
        return false;
    if (!assay_check_published(a->params, weights, error)) {
        assay_weights_close(weights);
        return false;
    }
    bool ok = a->counting ? compare_shapes(a, weights, &fitting, &own)
                          : assay_params_load(a->params, weights, &lenient, &fitting, &own);
    if (!ok)
        fail_in(path, &own, error);
    else if (fitting == 0)
        ok = ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("init %s", path),
                        .what = "no tensor of the file is a parameter of the model",
                        .expected = assay_params_count(a->params) > 0
                                        ? assay_params_at(a->params, 0)->name
                                        : "a parameter",
                        .got = assay_weights_count(weights) > 0 ? assay_weights_at(weights, 0)->name
                                                                : "an empty file");
    else if (complete)
        warn_missing(a, weights, path);
    assay_weights_close(weights);
    return ok;
}

bool weights_mask_state(assembly *a, assay_error *error)
{
    const setting *init = &a->recipe->init;
    char path[4096];
    if (a->trained == 0 || a->counting || !a->mask.plugin || !a->sources->stage)
        return true;
    const recipe *stage = a->sources->stage(a->sources->user, init);
    if (!stage || stage->mask.plugin != a->mask.plugin)
        return true;
    return weights_of_setting(a->sources, init, path, sizeof path, error) &&
           checkpoint_load_mask(a, path, error);
}
