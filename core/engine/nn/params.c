/* params.c - parameter sets: names, ownership, gradients, and the way to and from files. */
#include "engine/nn/params.h"

#include "engine/device/device.h"
#include "engine/tensor/residence.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

/* Each parameter is a block of its own, so that what is borrowed stays valid while the set
 * grows. */
struct assay_params {
    uint64_t seed;
    bool counting; /* shapes without values */
    assay_parameter **items;
    int64_t count, capacity;
    nn_notes notes;
};

nn_notes *nn_params_notes(assay_params *params)
{
    return &params->notes;
}

const nn_notes *nn_params_notes_of(const assay_params *params)
{
    return &params->notes;
}

assay_params *assay_params_new(uint64_t seed, assay_error *error)
{
    assay_params *params = assay_zalloc((int64_t)sizeof *params, error);
    if (params)
        params->seed = seed;
    return params;
}

assay_params *assay_params_new_counting(assay_error *error)
{
    assay_params *params = assay_params_new(0, error);
    if (params)
        params->counting = true;
    return params;
}

bool assay_params_counting(const assay_params *params)
{
    return params->counting;
}

/* What the tensors of a counting set point at. */
static float nothing[ASSAY_ALIGNMENT / sizeof(float)];

static void parameter_free(assay_parameter *parameter)
{
    if (!parameter)
        return;
    assay_free(parameter->name);
    if (parameter->value && parameter->value->data == nothing)
        assay_free(parameter->value);
    else
        assay_tensor_free(parameter->value);
    assay_free(parameter);
}

void nn_params_truncate(assay_params *params, int64_t count)
{
    nn_notes_truncate(&params->notes, count);
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

/* The parameter's tensor: filled, with a gradient; or, in a counting set, its shape alone. */
static assay_tensor *make_value(const assay_params *params, const char *name, int rank,
                                const int64_t *shape, assay_init init, assay_error *error)
{
    int64_t count = 0;
    if (!params->counting || rank < 0 || rank > ASSAY_MAX_RANK ||
        !assay_size_count(&count, rank, shape)) {
        assay_tensor *value = assay_tensor_new(ASSAY_F32, rank, shape, error);
        if (value && assay_init_fill(value, init, params->seed, name, error) &&
            assay_tensor_want_grad(value, error))
            return value;
        assay_tensor_free(value);
        return NULL;
    }
    assay_tensor *value = assay_zalloc((int64_t)sizeof *value, error);
    if (!value)
        return NULL;
    *value = (assay_tensor){.data = nothing, .rank = rank, .is_leaf = true, .needs_grad = true};
    for (int i = 0; i < ASSAY_MAX_RANK; i++)
        value->shape[i] = i < rank ? shape[i] : 1;
    return value;
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
    parameter->value = make_value(params, name, rank, shape, init, error);
    parameter->trainable = true;
    parameter->decays = rank >= 2;
    if (!parameter->name || !parameter->value) {
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

static bool thaw(const assay_params *params, assay_parameter *parameter, assay_error *error)
{
    if (params->counting)
        parameter->value->needs_grad = true;
    else if (!assay_tensor_want_grad(parameter->value, error))
        return false;
    parameter->trainable = true;
    return true;
}

static void freeze(assay_parameter *parameter)
{
    assay_tensor *value = parameter->value;
    leaf_drop_grad(value);
    value->needs_grad = false;
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
        else if (!parameter->trainable && !thaw(params, parameter, error))
            return -1;
    }
    return found;
}

void assay_params_clear_grads(assay_params *params)
{
    for (int64_t i = 0; i < params->count; i++)
        params->items[i]->value->has_grad = false;
}

void nn_params_sum_squares(const assay_params *params, const assay_device *device, double *sum)
{
    bool add = false;
    for (int64_t i = 0; i < params->count; i++) {
        const assay_tensor *value = params->items[i]->value;
        if (!value->has_grad)
            continue;
        device->kernels->sum_squares(assay_tensor_count(value), value->grad, sum, add);
        add = true;
    }
    if (!add)
        device->kernels->sum_squares(0, NULL, sum, false);
}

/* Calls `compute` with room for one number of 8 bytes where the device computes, and fetches it. */
static bool ask(const assay_device *device, void *number,
                void (*compute)(const assay_device *device, const void *what, void *number),
                const void *what)
{
    if (!device->memory) {
        compute(device, what, number);
        return true;
    }
    void *there = device->memory->take(8, NULL);
    if (!there)
        return false;
    compute(device, what, there);
    device->memory->download(number, there, 8);
    device->memory->give(there);
    return !device->memory->failed(NULL);
}

static void compute_squares(const assay_device *device, const void *params, void *number)
{
    nn_params_sum_squares(params, device, number);
}

double assay_params_grad_norm(const assay_params *params, const assay_device *device)
{
    double squares = 0;
    return ask(device, &squares, compute_squares, params) ? sqrt(squares) : NAN;
}

typedef struct numbers {
    int64_t count;
    const float *at;
} numbers;

static void compute_nonfinite(const assay_device *device, const void *what, void *number)
{
    const numbers *searched = what;
    device->kernels->first_nonfinite(searched->count, searched->at, number);
}

const assay_parameter *assay_params_nonfinite(const assay_params *params,
                                              const assay_device *device, bool values)
{
    for (int64_t i = 0; i < params->count; i++) {
        assay_tensor *value = params->items[i]->value;
        numbers searched = {assay_tensor_count(value), value->has_grad ? value->grad : NULL};
        int64_t found = -1;
        if (values)
            searched.at = leaf_in(device, value, NULL);
        if (searched.at && ask(device, &found, compute_nonfinite, &searched) && found >= 0)
            return params->items[i];
    }
    return NULL;
}
