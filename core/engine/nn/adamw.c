/* adamw.c - AdamW over a parameter set: decoupled decay, clipping, and state that can be restored
 * (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019). */
#include "engine/device/device.h"
#include "engine/nn/params.h"

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
    if (!adamw->slots) {
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
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        assay_tensor_free(adamw->slots[i].first);
        assay_tensor_free(adamw->slots[i].second);
    }
    assay_free(adamw->slots);
    assay_free(adamw);
}

/* ---- moments ---- */

static assay_tensor *zero_moment(const assay_tensor *value, assay_error *error)
{
    assay_tensor *moment = assay_tensor_new(ASSAY_F32, value->rank, value->shape, error);
    if (moment && moment->data)
        memset(moment->data, 0, (size_t)assay_tensor_bytes(moment));
    return moment;
}

/* Both moments or none. */
static bool make_moments(adamw_slot *slot, const assay_tensor *value, assay_error *error)
{
    if (slot->first)
        return true;
    assay_tensor *first = zero_moment(value, error), *second = zero_moment(value, error);
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

/* Everything that can fail, before anything is changed. Leaves the factor on the gradients. */
static bool prepare(assay_adamw *adamw, float clip, double *norm, float *grad_scale,
                    assay_error *error)
{
    const assay_params *params = adamw->params;
    if (assay_params_count(params) != adamw->slot_count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "the parameter set has changed since the optimizer was made",
                          .expected = assay_text("%" PRId64 " parameters", adamw->slot_count),
                          .got = assay_text("%" PRId64, assay_params_count(params)));
    if (clip > 0 || norm) {
        double found = assay_params_grad_norm(params, adamw->device);
        if (norm)
            *norm = found;
        if (!isfinite(found)) {
            const assay_parameter *bad = assay_params_nonfinite(params, adamw->device, false);
            return ASSAY_FAIL(error, ASSAY_NOT_FINITE,
                              .where = assay_text("parameter %s", bad ? bad->name : "unknown"),
                              .what = "its gradient holds a NaN or an infinity",
                              .hint = "a lower learning rate, clipping or fp32 may help");
        }
        if (clip > 0 && found > clip)
            *grad_scale = (float)(clip / found);
    }
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        if (value->has_grad && !make_moments(&adamw->slots[i], value, error))
            return false;
    }
    return true;
}

static void update(const assay_adamw *adamw, adamw_slot *slot, const assay_parameter *parameter,
                   float lr, float grad_scale)
{
    const assay_adamw_options *options = &adamw->options;
    slot->count++;
    adamw->device->kernels->adamw(&(device_adamw){
        .n = assay_tensor_count(parameter->value),
        .value = assay_f32(parameter->value),
        .first = assay_f32(slot->first),
        .second = assay_f32(slot->second),
        .grad = parameter->value->grad,
        .grad_scale = grad_scale == 1.0f ? NULL : &grad_scale,
        .lr = lr * slot->factor,
        .beta1 = options->beta1,
        .beta2 = options->beta2,
        .eps = options->eps,
        .weight_decay = parameter->decays ? options->weight_decay : 0.0f,
        .correction1 = (float)(1 - pow(options->beta1, (double)slot->count)),
        .correction2 = (float)(1 - pow(options->beta2, (double)slot->count)),
    });
}

bool assay_adamw_step(assay_adamw *adamw, float lr, float clip, double *norm, assay_error *error)
{
    float grad_scale = 1.0f;
    if (!isfinite(lr) || lr < 0 || !(clip >= 0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "the learning rate or the clipping norm is out of range",
                          .expected = "finite lr >= 0, clip >= 0",
                          .got = assay_text("lr %g, clip %g", (double)lr, (double)clip));
    if (!prepare(adamw, clip, norm, &grad_scale, error))
        return false;
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const assay_parameter *parameter = assay_params_at(adamw->params, i);
        if (parameter->value->has_grad)
            update(adamw, &adamw->slots[i], parameter, lr, grad_scale);
    }
    return true;
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
    if (!make_moments(slot, value, error))
        return false;
    size_t bytes = (size_t)assay_tensor_bytes(value);
    if (bytes > 0) {
        memcpy(slot->first->data, first->data, bytes);
        memcpy(slot->second->data, second->data, bytes);
    }
    slot->count = count;
    return true;
}
