/* parameters.c - a parameter set filled from a file, and written to one, by its published names. */
#include "engine/weights/notes.h"
#include "engine/weights/safetensors.h"

#include <assay/memory.h>

#include <string.h>

static bool same_shape(const assay_stored *stored, const assay_tensor *value)
{
    return stored->rank == value->rank &&
           memcmp(stored->shape, value->shape, (size_t)value->rank * sizeof *value->shape) == 0;
}

bool stored_fits(const assay_stored *stored, const assay_tensor *value, assay_error *error)
{
    const char *where = assay_text("tensor %s", stored->name);
    if (!same_shape(stored, value))
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where,
                          .what = "the stored shape differs from the parameter's",
                          .expected = assay_shape_text(value->rank, value->shape),
                          .got = assay_shape_text(stored->rank, stored->shape));
    if (stored->dtype > ASSAY_STORED_BF16)
        return ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = where, .what = "a parameter is not a floating type",
            .expected = "F64, F32, F16 or BF16", .got = assay_stored_dtype_name(stored->dtype));
    return true;
}

/* A loading under way. */
typedef struct loading {
    const assay_params *params;
    const assay_weights *weights;
    const assay_load_options *options;
    const char *prefix;
} loading;

/* The stored tensor that a parameter takes, NULL with *error set when it does not fit, and NULL
 * without a failure when the file lacks it. */
static const assay_stored *stored_for(const loading *l, const assay_parameter *parameter,
                                      assay_error *error)
{
    const assay_stored *stored =
        assay_weights_find(l->weights, assay_text("%s%s", l->prefix, parameter->name));
    if (!stored && l->options->find)
        stored = l->options->find(l->params, l->weights, parameter->name);
    if (stored && l->options->fit && !same_shape(stored, parameter->value) &&
        l->options->fit(l->params, parameter, stored, NULL, NULL))
        return stored;
    return stored && stored_fits(stored, parameter->value, error) ? stored : NULL;
}

/* Copies, or has it fitted. */
static bool take(const loading *l, const assay_stored *stored, const assay_parameter *parameter,
                 assay_error *error)
{
    if (same_shape(stored, parameter->value))
        return assay_stored_read(stored, parameter->value, error);
    return l->options->fit(l->params, parameter, stored, assay_f32(parameter->value), error) ||
           ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = assay_text("tensor %s", stored->name),
                      .what = "the stored tensor could not be fitted to the parameter");
}

static bool fail_unused(const assay_params *params, const assay_weights *weights,
                        const char *prefix, assay_error *error)
{
    const char *name = "";
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        name = assay_weights_at(weights, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0 ||
            !assay_params_find(params, name + strlen(prefix)))
            break;
    }
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("tensor %s", name),
                      .what = "no parameter takes this tensor of the file",
                      .hint = "the file holds another model, or more than this one");
}

/* Everything is checked before the first copy, so that a failure changes nothing. Returns how many
 * tensors fit, -1 with *error set if the file and the set disagree. */
static int64_t check_load(const loading *l, assay_error *error)
{
    const assay_params *params = l->params;
    int64_t fitting = 0;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        assay_error own = {0};
        if (stored_for(l, assay_params_at(params, i), &own)) {
            fitting++;
            continue;
        }
        if (own.code != ASSAY_OK) {
            if (error && error->code == ASSAY_OK)
                *error = own;
            return -1;
        }
        if (!l->options->allow_missing) {
            assay_weights_get(
                l->weights, assay_text("%s%s", l->prefix, assay_params_at(params, i)->name), error);
            return -1;
        }
    }
    if (fitting < assay_weights_count(l->weights) && !l->options->allow_unused) {
        fail_unused(params, l->weights, l->prefix, error);
        return -1;
    }
    return fitting;
}

bool assay_params_load(assay_params *params, const assay_weights *weights,
                       const assay_load_options *options, int64_t *loaded, assay_error *error)
{
    static const assay_load_options strict = {0};
    if (!options)
        options = &strict;
    const loading l = {params, weights, options, options->prefix ? options->prefix : ""};
    int64_t fitting = check_load(&l, error);
    if (fitting < 0)
        return false;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const assay_parameter *parameter = assay_params_at(params, i);
        const assay_stored *stored = stored_for(&l, parameter, error);
        if (stored && !take(&l, stored, parameter, error))
            return false;
    }
    if (loaded)
        *loaded = fitting;
    return true;
}

bool assay_params_save(const assay_params *params, const char *path, assay_error *error)
{
    int64_t bytes = 0;
    bool saved = false;
    char *stacks = NULL, *loras = NULL;
    assay_weights_item *items = NULL;
    const char *metadata[3][2] = {{"format", "pt"}};
    int64_t notes = 1;
    if (!assay_size_mul(&bytes, assay_params_count(params), (int64_t)sizeof *items))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = "too many parameters");
    items = assay_alloc(bytes, error);
    if (!items || !notes_text(params, &stacks, &loras, error))
        goto done;
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        const assay_parameter *parameter = assay_params_at(params, i);
        items[i] = (assay_weights_item){parameter->name, parameter->value};
    }
    if (stacks) {
        metadata[notes][0] = NOTES_STACKS;
        metadata[notes++][1] = stacks;
    }
    if (loras) {
        metadata[notes][0] = NOTES_LORAS;
        metadata[notes++][1] = loras;
    }
    saved = assay_weights_write(path, assay_params_count(params), items, notes,
                                (const char *const(*)[2])metadata, error);
done:
    assay_free(stacks);
    assay_free(loras);
    assay_free(items);
    return saved;
}

/* Adds every tensor of the file, frozen and filled. */
static bool add_all(assay_params *params, const assay_weights *weights, assay_error *error)
{
    static const assay_init zeros = {.kind = ASSAY_INIT_ZEROS};
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        const assay_stored *stored = assay_weights_at(weights, i);
        if (stored->rank > ASSAY_MAX_RANK)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("tensor %s", stored->name),
                              .what = "a parameter has too many axes");
        assay_tensor *value =
            assay_params_add(params, stored->name, stored->rank, stored->shape, zeros, error);
        if (!value || !stored_fits(stored, value, error) ||
            assay_params_train(params, stored->name, false, error) < 0 ||
            !assay_stored_read(stored, value, error))
            return false;
    }
    return true;
}

assay_params *assay_params_open(const char *path, assay_error *error)
{
    assay_weights *weights = assay_weights_open(path, error);
    assay_params *params = weights ? assay_params_new(0, error) : NULL;
    bool ok = params && add_all(params, weights, error) && notes_read(params, weights, error);
    assay_weights_close(weights);
    if (ok)
        return params;
    assay_params_free(params);
    return NULL;
}
