/* params.c - parameter sets: names, ownership, gradients, and the way to and from files. */
#include "engine/nn/params.h"

#include "engine/device/device.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

/* Each parameter is a block of its own, so that what is borrowed stays valid while the set
 * grows. */
struct assay_params {
    uint64_t seed;
    assay_parameter **items;
    int64_t count, capacity;
};

assay_params *assay_params_new(uint64_t seed, assay_error *error)
{
    assay_params *params = assay_zalloc((int64_t)sizeof *params, error);
    if (params)
        params->seed = seed;
    return params;
}

static void parameter_free(assay_parameter *parameter)
{
    if (!parameter)
        return;
    assay_free(parameter->name);
    assay_tensor_free(parameter->value);
    assay_free(parameter);
}

void nn_params_truncate(assay_params *params, int64_t count)
{
    while (params->count > count)
        parameter_free(params->items[--params->count]);
}

void assay_params_free(assay_params *params)
{
    if (!params)
        return;
    nn_params_truncate(params, 0);
    assay_free(params->items);
    assay_free(params);
}

/* ---- adding and finding ---- */

static bool make_room(assay_params *params, assay_error *error)
{
    int64_t capacity = 0, bytes = 0;
    if (params->count < params->capacity)
        return true;
    if (!assay_size_mul(&capacity, params->capacity > 0 ? params->capacity : 32, 2) ||
        !assay_size_mul(&bytes, capacity, (int64_t)sizeof *params->items))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "parameters", .what = "too many");
    assay_parameter **items = assay_alloc(bytes, error);
    if (!items)
        return false;
    if (params->count > 0)
        memcpy(items, params->items, (size_t)params->count * sizeof *items);
    assay_free(params->items);
    params->items = items;
    params->capacity = capacity;
    return true;
}

assay_tensor *assay_params_add(assay_params *params, const char *name, int rank,
                               const int64_t *shape, assay_init init, assay_error *error)
{
    assay_parameter *parameter = NULL;
    if (error && error->code != ASSAY_OK)
        return NULL;
    if (assay_params_find(params, name)) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("parameter %s", name),
                   .what = "a parameter of this name exists already",
                   .hint = "a model that is built twice in one set needs two prefixes");
        return NULL;
    }
    if (!make_room(params, error))
        return NULL;
    parameter = assay_zalloc((int64_t)sizeof *parameter, error);
    if (!parameter)
        return NULL;
    parameter->name = assay_strdup(name, error);
    parameter->value = assay_tensor_new(ASSAY_F32, rank, shape, error);
    parameter->trainable = true;
    parameter->decays = rank >= 2;
    if (!parameter->name || !parameter->value ||
        !assay_init_fill(parameter->value, init, params->seed, name, error) ||
        !assay_tensor_want_grad(parameter->value, error)) {
        parameter_free(parameter);
        return NULL;
    }
    params->items[params->count++] = parameter;
    return parameter->value;
}

int64_t assay_params_count(const assay_params *params)
{
    return params->count;
}

assay_parameter *assay_params_at(const assay_params *params, int64_t i)
{
    return params->items[i];
}

int64_t nn_params_index(const assay_params *params, const char *name)
{
    for (int64_t i = 0; i < params->count; i++)
        if (strcmp(params->items[i]->name, name) == 0)
            return i;
    return -1;
}

assay_parameter *assay_params_find(const assay_params *params, const char *name)
{
    int64_t i = nn_params_index(params, name);
    return i < 0 ? NULL : params->items[i];
}

static bool begins_with(const char *name, const char *prefix)
{
    return !prefix || strncmp(name, prefix, strlen(prefix)) == 0;
}

int64_t assay_params_size(const assay_params *params, const char *prefix, bool trainable_only)
{
    int64_t size = 0;
    for (int64_t i = 0; i < params->count; i++) {
        const assay_parameter *parameter = params->items[i];
        if (begins_with(parameter->name, prefix) && (parameter->trainable || !trainable_only))
            size += assay_tensor_count(parameter->value);
    }
    return size;
}

/* ---- gradients ---- */

static bool thaw(assay_parameter *parameter, assay_error *error)
{
    if (!assay_tensor_want_grad(parameter->value, error))
        return false;
    parameter->trainable = true;
    return true;
}

static void freeze(assay_parameter *parameter)
{
    assay_tensor *value = parameter->value;
    assay_free(value->grad);
    value->grad = NULL;
    value->needs_grad = value->has_grad = false;
    parameter->trainable = false;
}

int64_t assay_params_train(assay_params *params, const char *prefix, bool trainable,
                           assay_error *error)
{
    int64_t found = 0;
    for (int64_t i = 0; i < params->count; i++) {
        assay_parameter *parameter = params->items[i];
        if (!begins_with(parameter->name, prefix))
            continue;
        found++;
        if (!trainable)
            freeze(parameter);
        else if (!parameter->trainable && !thaw(parameter, error))
            return -1;
    }
    return found;
}

void assay_params_clear_grads(assay_params *params)
{
    for (int64_t i = 0; i < params->count; i++)
        params->items[i]->value->has_grad = false;
}

double assay_params_grad_norm(const assay_params *params, const assay_device *device)
{
    double sum = 0;
    for (int64_t i = 0; i < params->count; i++) {
        const assay_tensor *value = params->items[i]->value;
        if (value->has_grad)
            sum += device->kernels->sum_squares(assay_tensor_count(value), value->grad);
    }
    return sqrt(sum);
}

const assay_parameter *assay_params_nonfinite(const assay_params *params,
                                              const assay_device *device, bool values)
{
    for (int64_t i = 0; i < params->count; i++) {
        const assay_tensor *value = params->items[i]->value;
        const float *numbers = values ? assay_f32(value) : value->has_grad ? value->grad : NULL;
        if (numbers && device->kernels->first_nonfinite(assay_tensor_count(value), numbers) >= 0)
            return params->items[i];
    }
    return NULL;
}

/* ---- files ---- */

/* The stored tensor that a parameter takes, NULL with *error set when it does not fit, and NULL
 * without a failure when the file lacks it. */
static const assay_stored *stored_for(const assay_parameter *parameter,
                                      const assay_weights *weights, const char *prefix,
                                      assay_error *error)
{
    const assay_tensor *value = parameter->value;
    const assay_stored *stored =
        assay_weights_find(weights, assay_text("%s%s", prefix, parameter->name));
    if (!stored)
        return NULL;
    const char *where = assay_text("tensor %s", stored->name);
    if (stored->rank != value->rank ||
        memcmp(stored->shape, value->shape, (size_t)value->rank * sizeof *value->shape) != 0) {
        ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where,
                   .what = "the stored shape differs from the parameter's",
                   .expected = assay_shape_text(value->rank, value->shape),
                   .got = assay_shape_text(stored->rank, stored->shape));
        return NULL;
    }
    if (stored->dtype > ASSAY_STORED_BF16) {
        ASSAY_FAIL(
            error, ASSAY_BAD_FILE, .where = where, .what = "a parameter is not a floating type",
            .expected = "F64, F32, F16 or BF16", .got = assay_stored_dtype_name(stored->dtype));
        return NULL;
    }
    return stored;
}

static bool fail_unused(const assay_params *params, const assay_weights *weights,
                        const char *prefix, assay_error *error)
{
    const char *name = "";
    for (int64_t i = 0; i < assay_weights_count(weights); i++) {
        name = assay_weights_at(weights, i)->name;
        if (!begins_with(name, prefix) || !assay_params_find(params, name + strlen(prefix)))
            break;
    }
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("tensor %s", name),
                      .what = "no parameter takes this tensor of the file",
                      .hint = "the file holds another model, or more than this one");
}

/* Everything is checked before the first copy, so that a failure changes nothing. Returns how many
 * tensors fit, -1 with *error set if the file and the set disagree. */
static int64_t check_load(const assay_params *params, const assay_weights *weights,
                          const assay_load_options *options, const char *prefix, assay_error *error)
{
    int64_t fitting = 0;
    for (int64_t i = 0; i < params->count; i++) {
        assay_error own = {0};
        if (stored_for(params->items[i], weights, prefix, &own)) {
            fitting++;
            continue;
        }
        if (own.code != ASSAY_OK) {
            if (error && error->code == ASSAY_OK)
                *error = own;
            return -1;
        }
        if (!options->allow_missing) {
            assay_weights_get(weights, assay_text("%s%s", prefix, params->items[i]->name), error);
            return -1;
        }
    }
    if (fitting < assay_weights_count(weights) && !options->allow_unused) {
        fail_unused(params, weights, prefix, error);
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
    const char *prefix = options->prefix ? options->prefix : "";
    int64_t fitting = check_load(params, weights, options, prefix, error);
    if (fitting < 0)
        return false;
    for (int64_t i = 0; i < params->count; i++) {
        const assay_stored *stored = stored_for(params->items[i], weights, prefix, error);
        if (stored && !assay_stored_read(stored, params->items[i]->value, error))
            return false;
    }
    if (loaded)
        *loaded = fitting;
    return true;
}

bool assay_params_save(const assay_params *params, const char *path, assay_error *error)
{
    int64_t bytes = 0;
    assay_weights_item *items = NULL;
    if (!assay_size_mul(&bytes, params->count, (int64_t)sizeof *items))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = "too many parameters");
    items = assay_alloc(bytes, error);
    if (!items)
        return false;
    for (int64_t i = 0; i < params->count; i++)
        items[i] = (assay_weights_item){params->items[i]->name, params->items[i]->value};
    bool saved = assay_weights_write(path, params->count, items, 0, NULL, error);
    assay_free(items);
    return saved;
}
