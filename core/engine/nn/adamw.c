/* adamw.c - AdamW over a parameter set: decoupled decay, clipping, and state that can be restored
 * (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019). */
#include "engine/device/device.h"
#include "engine/nn/params.h"
#include "engine/tensor/residence.h"

#include <assay/memory.h>
#include <assay/optim.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* One per parameter, in the set's order. The moments are made when the first gradient comes. */
typedef struct adamw_slot {
    assay_tensor *first, *second;
    int64_t count;
    float factor;
} adamw_slot;

struct assay_adamw {
    assay_params *params;
    const assay_device *device;
    assay_adamw_options options;
    adamw_slot *slots;
    int64_t slot_count;
    /* Where the device computes: the squares of all gradients (1), and the factor on them (1). */
    double *squares;
    float *grad_scale;
};

assay_adamw_options assay_adamw_defaults(void)
{
    return (assay_adamw_options){
        .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 0.01f};
}

static bool check(const assay_adamw_options *options, assay_error *error)
{
    bool good = options->beta1 >= 0 && options->beta1 < 1 && options->beta2 >= 0 &&
                options->beta2 < 1 && options->eps >= 0 && isfinite(options->eps) &&
                options->weight_decay >= 0 && isfinite(options->weight_decay);
    if (good)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw", .what = "an option is out of range",
                      .expected = "0 <= beta1, beta2 < 1; eps, weight_decay >= 0",
                      .got = assay_text("beta1 %g, beta2 %g, eps %g, weight_decay %g",
                                        (double)options->beta1, (double)options->beta2,
                                        (double)options->eps, (double)options->weight_decay));
}

/* Memory where the device computes. */
static void *take(const assay_device *device, int64_t bytes, assay_error *error)
{
    return device->memory ? device->memory->take(bytes, error) : assay_alloc(bytes, error);
}

static void give(const assay_device *device, void *piece)
{
    if (device->memory)
        device->memory->give(piece);
    else
        assay_free(piece);
}

assay_adamw *assay_adamw_new(assay_params *params, const assay_device *device,
                             assay_adamw_options options, assay_error *error)
{
    int64_t bytes = 0;
    if (!check(&options, error))
        return NULL;
    int64_t count = assay_params_count(params);
    if (!assay_size_mul(&bytes, count, (int64_t)sizeof(adamw_slot))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "adamw", .what = "too many parameters");
        return NULL;
    }
    assay_adamw *adamw = assay_zalloc((int64_t)sizeof *adamw, error);
    if (!adamw)
        return NULL;
    *adamw = (assay_adamw){.params = params, .device = device, .options = options};
    adamw->slots = assay_zalloc(bytes, error);
    adamw->squares = take(device, (int64_t)sizeof *adamw->squares, error);
    adamw->grad_scale = take(device, (int64_t)sizeof *adamw->grad_scale, error);
    if (!adamw->slots || !adamw->squares || !adamw->grad_scale) {
        assay_adamw_free(adamw);
        return NULL;
    }
    adamw->slot_count = count;
    for (int64_t i = 0; i < count; i++)
        adamw->slots[i].factor = 1.0f;
    return adamw;
}

void assay_adamw_free(assay_adamw *adamw)
{
    if (!adamw)
        return;
    give(adamw->device, adamw->squares);
    give(adamw->device, adamw->grad_scale);
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        assay_tensor_free(adamw->slots[i].first);
        assay_tensor_free(adamw->slots[i].second);
    }
    assay_free(adamw->slots);
    assay_free(adamw);
}

/* ---- moments ---- */

/* Both moments or none. */
static bool make_moments(const assay_device *device, adamw_slot *slot, const assay_tensor *value,
                         assay_error *error)
{
    if (slot->first)
        return true;
    assay_tensor *first = leaf_zeros(device, value->rank, value->shape, error);
    assay_tensor *second = leaf_zeros(device, value->rank, value->shape, error);
    if (!first || !second) {
        assay_tensor_free(first);
        assay_tensor_free(second);
        return false;
    }
    slot->first = first;
    slot->second = second;
    return true;
}

/* ---- the step ---- */

/* Everything that can fail, before anything is changed. */
static bool prepare(assay_adamw *adamw, assay_error *error)
{
    const assay_params *params = adamw->params;
    if (assay_params_count(params) != adamw->slot_count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "the parameter set has changed since the optimizer was made",
                          .expected = assay_text("%" PRId64 " parameters", adamw->slot_count),
                          .got = assay_text("%" PRId64, assay_params_count(params)));
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        if (value->has_grad && !make_moments(adamw->device, &adamw->slots[i], value, error))
            return false;
    }
    return true;
}

static bool update(const assay_adamw *adamw, adamw_slot *slot, const assay_parameter *parameter,
                   float lr, const float *grad_scale, assay_error *error)
{
    const assay_adamw_options *options = &adamw->options;
    float *value = leaf_change(adamw->device, parameter->value, error);
    float *first = leaf_change(adamw->device, slot->first, error);
    float *second = leaf_change(adamw->device, slot->second, error);
    if (!value || !first || !second)
        return false;
    slot->count++;
    adamw->device->kernels->adamw(&(device_adamw){
        .n = assay_tensor_count(parameter->value),
        .value = value,
        .first = first,
        .second = second,
        .grad = parameter->value->grad,
        .grad_scale = grad_scale,
        .lr = lr * slot->factor,
        .beta1 = options->beta1,
        .beta2 = options->beta2,
        .eps = options->eps,
        .weight_decay = parameter->decays ? options->weight_decay : 0.0f,
        .correction1 = (float)(1 - pow(options->beta1, (double)slot->count)),
        .correction2 = (float)(1 - pow(options->beta2, (double)slot->count)),
    });
    return true;
}

/* The norm of all gradients, known once the device is done. A step whose gradients are no numbers has
 * changed nothing, and does not count. */
static bool check_norm(assay_adamw *adamw, double *norm, assay_error *error)
{
    double squares = 0;
    if (adamw->device->memory)
        adamw->device->memory->download(&squares, adamw->squares, (int64_t)sizeof squares);
    else
        squares = *adamw->squares;
    if (adamw->device->memory && adamw->device->memory->failed(error))
        return false;
    if (norm)
        *norm = sqrt(squares);
    if (isfinite(squares))
        return true;
    for (int64_t i = 0; i < adamw->slot_count; i++)
        if (assay_params_at(adamw->params, i)->value->has_grad)
            adamw->slots[i].count--;
    const assay_parameter *bad = assay_params_nonfinite(adamw->params, adamw->device, false);
    return ASSAY_FAIL(error, ASSAY_NOT_FINITE,
                      .where = assay_text("parameter %s", bad ? bad->name : "unknown"),
                      .what = "its gradient holds a NaN or an infinity",
                      .hint = "a lower learning rate, clipping or fp32 may help");
}

bool assay_adamw_step(assay_adamw *adamw, float lr, float clip, double *norm, assay_error *error)
{
    bool measured = clip > 0 || norm;
    if (!isfinite(lr) || lr < 0 || !(clip >= 0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "the learning rate or the clipping norm is out of range",
                          .expected = "finite lr >= 0, clip >= 0",
                          .got = assay_text("lr %g, clip %g", (double)lr, (double)clip));
    if (!prepare(adamw, error))
        return false;
    if (measured) {
        nn_params_sum_squares(adamw->params, adamw->device, adamw->squares);
        adamw->device->kernels->clip(adamw->squares, clip, adamw->grad_scale);
    }
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const assay_parameter *parameter = assay_params_at(adamw->params, i);
        if (parameter->value->has_grad && !update(adamw, &adamw->slots[i], parameter, lr,
                                                  measured ? adamw->grad_scale : NULL, error))
            return false;
    }
    return !measured || check_norm(adamw, norm, error);
}

int64_t assay_adamw_set_factor(assay_adamw *adamw, const char *prefix, float factor)
{
    int64_t found = 0;
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const char *name = assay_params_at(adamw->params, i)->name;
        if (prefix && strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        adamw->slots[i].factor = factor;
        found++;
    }
    return found;
}

/* ---- state ---- */

static adamw_slot *slot_of(const assay_adamw *adamw, const char *parameter)
{
    int64_t i = nn_params_index(adamw->params, parameter);
    return i < 0 || i >= adamw->slot_count ? NULL : &adamw->slots[i];
}

bool assay_adamw_scale_factor(assay_adamw *adamw, const char *parameter, float factor)
{
    adamw_slot *slot = slot_of(adamw, parameter);
    if (slot)
        slot->factor *= factor;
    return slot != NULL;
}

assay_tensor *assay_adamw_first(const assay_adamw *adamw, const char *parameter)
{
    const adamw_slot *slot = slot_of(adamw, parameter);
    return slot ? slot->first : NULL;
}

assay_tensor *assay_adamw_second(const assay_adamw *adamw, const char *parameter)
{
    const adamw_slot *slot = slot_of(adamw, parameter);
    return slot ? slot->second : NULL;
}

int64_t assay_adamw_count(const assay_adamw *adamw, const char *parameter)
{
    const adamw_slot *slot = slot_of(adamw, parameter);
    return slot ? slot->count : 0;
}

bool assay_adamw_restore(assay_adamw *adamw, const char *parameter, const assay_tensor *first,
                         const assay_tensor *second, int64_t count, assay_error *error)
{
    const char *where = assay_text("optimizer state of %s", parameter);
    adamw_slot *slot = slot_of(adamw, parameter);
    if (!slot)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where, .what = "no such parameter");
    const assay_tensor *value = assay_params_find(adamw->params, parameter)->value;
    if (count < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "a state has taken at least one step",
                          .got = assay_text("%" PRId64, count));
    if (!first || !second || first->dtype != ASSAY_F32 || second->dtype != ASSAY_F32 ||
        !assay_tensor_same_shape(first, value) || !assay_tensor_same_shape(second, value))
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where,
                          .what = "a moment does not fit the parameter",
                          .expected = assay_tensor_text(value),
                          .got = assay_text("%.100s and %.100s", assay_tensor_text(first),
                                            assay_tensor_text(second)));
    if (!make_moments(adamw->device, slot, value, error))
        return false;
    size_t bytes = (size_t)assay_tensor_bytes(value);
    if (bytes > 0) {
        memcpy(assay_elements(slot->first), assay_elements(first), bytes);
        memcpy(assay_elements(slot->second), assay_elements(second), bytes);
    }
    slot->count = count;
    return true;
}
