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

typedef struct adamw_asked {
    double *squares; /* (slots), owned: pinned where a device fills them */
    int64_t mark;    /* of the device, when they are here */
    bool measured;
} adamw_asked;

struct assay_adamw {
    assay_params *params;
    const assay_device *device;
    assay_adamw_options options;
    adamw_slot *slots;
    int64_t slot_count;
    /* Where the device computes: the squares of each parameter's gradient (slots), 0 where there is
     * none, and the factor on all gradients (1). */
    double *squares;
    float *grad_scale;
    /* The squares of steps that were asked for and not read, on the host, oldest first in turn. */
    adamw_asked asked[2];
    int64_t asked_count, read_count;
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

/* Memory of the host that the device can fill while the host goes on. */
static void *take_host(const assay_device *device, int64_t bytes, assay_error *error)
{
    return device->memory ? device->memory->take_host(bytes, error) : assay_alloc(bytes, error);
}

static void give_host(const assay_device *device, void *piece)
{
    if (device->memory)
        device->memory->give_host(piece);
    else
        assay_free(piece);
}

static bool make_squares(assay_adamw *adamw, int64_t count, assay_error *error)
{
    int64_t bytes = count * (int64_t)sizeof(double); /* the slots are as many and larger */
    adamw->squares = take(adamw->device, bytes, error);
    adamw->grad_scale = take(adamw->device, (int64_t)sizeof *adamw->grad_scale, error);
    adamw->asked[0].squares = take_host(adamw->device, bytes, error);
    adamw->asked[1].squares = take_host(adamw->device, bytes, error);
    return adamw->squares && adamw->grad_scale && adamw->asked[0].squares &&
           adamw->asked[1].squares;
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
    if (!adamw->slots || !make_squares(adamw, count, error)) {
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
    assay_device_wait(adamw->device); /* numbers may be on their way into what is given back */
    for (int i = 0; i < 2; i++)
        give_host(adamw->device, adamw->asked[i].squares);
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

/* The squares of each gradient, and the factor that clips them all; then they set out for the
 * host. */
static void measure(assay_adamw *adamw, float clip, adamw_asked *asked)
{
    const assay_device *device = adamw->device;
    int64_t count = adamw->slot_count, bytes = count * (int64_t)sizeof *adamw->squares;
    if (device->memory)
        device->memory->clear(adamw->squares, bytes);
    else
        memset(adamw->squares, 0, (size_t)bytes);
    for (int64_t i = 0; i < count; i++) {
        const assay_tensor *value = assay_params_at(adamw->params, i)->value;
        if (value->has_grad)
            device->kernels->sum_squares(assay_tensor_count(value), value->grad, adamw->squares + i,
                                         false);
    }
    device->kernels->clip(count, adamw->squares, clip, adamw->grad_scale);
    if (device->memory)
        device->memory->fetch(asked->squares, adamw->squares, bytes);
    else
        memcpy(asked->squares, adamw->squares, (size_t)bytes);
}

bool assay_adamw_ask(assay_adamw *adamw, float lr, float clip, bool measured, assay_error *error)
{
    adamw_asked *asked = &adamw->asked[adamw->asked_count % 2];
    if (!isfinite(lr) || lr < 0 || !(clip >= 0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "the learning rate or the clipping norm is out of range",
                          .expected = "finite lr >= 0, clip >= 0",
                          .got = assay_text("lr %g, clip %g", (double)lr, (double)clip));
    if (adamw->asked_count - adamw->read_count >= 2)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "two steps wait to be read", .hint = "assay_adamw_read");
    if (!prepare(adamw, error))
        return false;
    asked->measured = measured || clip > 0;
    if (asked->measured)
        measure(adamw, clip, asked);
    for (int64_t i = 0; i < adamw->slot_count; i++) {
        const assay_parameter *parameter = assay_params_at(adamw->params, i);
        if (parameter->value->has_grad &&
            !update(adamw, &adamw->slots[i], parameter, lr,
                    asked->measured ? adamw->grad_scale : NULL, error))
            return false;
    }
    asked->mark = asked->measured && adamw->device->memory ? adamw->device->memory->mark() : 0;
    adamw->asked_count++;
    return true;
}

/* The first parameter whose gradient was no number; NULL: none. */
static const assay_parameter *first_bad(const assay_adamw *adamw, const double *squares)
{
    for (int64_t i = 0; i < adamw->slot_count; i++)
        if (!isfinite(squares[i]))
            return assay_params_at(adamw->params, i);
    return NULL;
}

bool assay_adamw_read(assay_adamw *adamw, double *norm, assay_error *error)
{
    const assay_device *device = adamw->device;
    const adamw_asked *asked = &adamw->asked[adamw->read_count % 2];
    double squares = 0;
    if (adamw->read_count == adamw->asked_count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "adamw",
                          .what = "no step waits to be read", .hint = "assay_adamw_ask");
    adamw->read_count++;
    if (!asked->measured)
        return true;
    if (device->memory)
        device->memory->wait_for(asked->mark);
    if (device->memory && device->memory->failed(error))
        return false;
    for (int64_t i = 0; i < adamw->slot_count; i++)
        squares += asked->squares[i];
    if (norm)
        *norm = sqrt(squares);
    if (isfinite(squares))
        return true;
    for (int64_t i = 0; i < adamw->slot_count; i++) /* it changed nothing, and does not count */
        if (assay_params_at(adamw->params, i)->value->has_grad)
            adamw->slots[i].count--;
    const assay_parameter *bad = first_bad(adamw, asked->squares);
    return ASSAY_FAIL(error, ASSAY_NOT_FINITE,
                      .where = assay_text("parameter %s", bad ? bad->name : "unknown"),
                      .what = "its gradient holds a NaN or an infinity",
                      .hint = "a lower learning rate, clipping or fp32 may help");
}

bool assay_adamw_step(assay_adamw *adamw, float lr, float clip, double *norm, assay_error *error)
{
    return assay_adamw_ask(adamw, lr, clip, norm != NULL, error) &&
           assay_adamw_read(adamw, norm, error);
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
