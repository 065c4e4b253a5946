/* tape.c - the record of a step: its arena, its nodes, the walk back, and the first failure. */
#include "engine/tensor/tape.h"

#include "engine/device/device.h"
#include "engine/tensor/operand.h"
#include "engine/tensor/residence.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

assay_tape *assay_tape_new(const assay_device *device, assay_precision precision,
                           assay_error *error)
{
    assay_tape *tape = NULL;
    if (!device) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "tape", .what = "no device given",
                   .hint = "assay_device_cpu() returns one");
        return NULL;
    }
    tape = assay_zalloc((int64_t)sizeof *tape, error);
    if (!tape)
        return NULL;
    tape->device = device;
    tape->precision = precision;
    tape->arena = assay_arena_new(0, error);
    tape->numbers = device->memory ? device_arena_new(device->memory, error) : NULL;
    if (!tape->arena || (device->memory && !tape->numbers)) {
        assay_tape_free(tape);
        return NULL;
    }
    return tape;
}

assay_tape *assay_tape_sibling(const assay_tape *tape, assay_error *error)
{
    assay_tape *made = assay_tape_new(tape->device, tape->precision, error);
    if (!made)
        return NULL;
    memcpy(made->scope, tape->scope, sizeof made->scope);
    memcpy(made->attachments, tape->attachments, sizeof made->attachments);
    made->attachment_count = tape->attachment_count;
    made->profile = tape->profile;
    made->profile_user = tape->profile_user;
    return made;
}

void assay_tape_free(assay_tape *tape)
{
    if (!tape)
        return;
    for (int i = 0; i < tape->tap_count; i++)
        assay_free(tape->taps[i].name);
    device_arena_free(tape->numbers);
    assay_arena_free(tape->arena);
    assay_free(tape);
}

void assay_tape_begin(assay_tape *tape, assay_step step)
{
    static _Atomic uint64_t passes;
    assay_arena_reset(tape->arena);
    if (tape->numbers)
        device_arena_reset(tape->numbers);
    tape->pass = atomic_fetch_add(&passes, 1) + 1;
    assay_error_clear(&tape->error);
    tape->step = step;
    tape->paused = tape->walked = false;
    tape->last = NULL;
    tape->nodes = 0;
    tape->scope[0] = '\0';
    for (int i = 0; i < tape->tap_count; i++)
        tape->taps[i].state = NULL;
    if (tape->profile)
        tape->mark = seconds_now();
}

assay_step assay_tape_step(const assay_tape *tape)
{
    return tape->step;
}

assay_precision assay_tape_precision(const assay_tape *tape)
{
    return tape->precision;
}

const assay_device *assay_tape_device(const assay_tape *tape)
{
    return tape->device;
}

bool assay_tape_pause(assay_tape *tape, bool paused)
{
    bool was = tape->paused;
    tape->paused = paused;
    return was;
}

/* ---- the first failure ---- */

const assay_error *assay_tape_error(const assay_tape *tape)
{
    return &tape->error;
}

bool assay_tape_ok(const assay_tape *tape, assay_error *error)
{
    if (tape->error.code == ASSAY_OK)
        return true;
    if (error && error->code == ASSAY_OK)
        *error = tape->error;
    return false;
}

bool assay_tape_failed(const assay_tape *tape, assay_error *error)
{
    if (assay_tape_ok(tape, error))
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "tape",
                   .what = "an operation returned no tensor", .hint = "one of its inputs was NULL");
    return false;
}

assay_tensor *assay_tape_fail(assay_tape *tape, assay_code code, assay_failure failure)
{
    assay_fail(&tape->error, code, failure);
    return NULL;
}

/* ---- step memory ---- */

void *assay_tape_scratch(assay_tape *tape, int64_t bytes)
{
    if (tape->error.code != ASSAY_OK)
        return NULL;
    return assay_arena_alloc(tape->arena, bytes, &tape->error);
}

void assay_tape_release(assay_tape *tape, void *scratch, int64_t bytes)
{
    assay_arena_release(tape->arena, scratch, bytes);
}

/* Numbers are computed on the device; indices come from the host, which checks them. */
static bool place_tensor(assay_tape *tape, assay_tensor *tensor, assay_dtype dtype, int64_t bytes)
{
    tensor->side.room = tape->arena;
    tensor->side.blank = true;
    if (dtype == ASSAY_I32 || dtype == ASSAY_U8) {
        tensor->side.blank = false;
        tensor->data = assay_tape_scratch(tape, bytes);
        return tensor->data != NULL;
    }
    tensor->side.there = tape_numbers(tape, bytes);
    tensor->side.device = tape->device;
    tensor->side.pass = tape->pass;
    tensor->side.old_here = true;
    return tensor->side.there != NULL;
}

assay_tensor *assay_tape_tensor(assay_tape *tape, assay_dtype dtype, int rank, const int64_t *shape)
{
    int64_t count = 0, bytes = 0;
    assay_tensor *tensor = NULL;
    if (tape->error.code != ASSAY_OK)
        return NULL;
    if (rank < 0 || rank > ASSAY_MAX_RANK || !assay_size_count(&count, rank, shape) ||
        !assay_size_mul(&bytes, count, assay_dtype_size(dtype)))
        return assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                               (assay_failure){.where = "step tensor",
                                               .what = "rank or extents out of range",
                                               .expected = "a rank of 0 to 4, extents of 0 or more",
                                               .got = rank >= 0 && rank <= ASSAY_MAX_RANK
                                                          ? assay_shape_text(rank, shape)
                                                          : assay_text("rank %d", rank)});
    tensor = assay_tape_scratch(tape, (int64_t)sizeof *tensor);
    if (!tensor)
        return NULL;
    memset(tensor, 0, sizeof *tensor);
    if (!tape->numbers)
        tensor->data = assay_tape_scratch(tape, bytes);
    if (!tape->numbers && !tensor->data)
        return NULL;
    if (tape->numbers && !place_tensor(tape, tensor, dtype, bytes))
        return NULL;
    tensor->dtype = dtype;
    tensor->rank = rank;
    for (int i = 0; i < ASSAY_MAX_RANK; i++)
        tensor->shape[i] = i < rank ? shape[i] : 1;
    return tensor;
}

assay_tensor *assay_tape_constant(assay_tape *tape, assay_dtype dtype, int rank,
                                  const int64_t *shape, const void *data)
{
    assay_tensor *tensor = assay_tape_tensor(tape, dtype, rank, shape);
    void *to = tensor ? assay_elements(tensor) : NULL;
    if (tensor && !to)
        return assay_tape_fail(tape, ASSAY_NO_MEMORY,
                               (assay_failure){.where = "constant", .what = "out of memory"});
    if (to && assay_tensor_bytes(tensor) > 0)
        memcpy(to, data, (size_t)assay_tensor_bytes(tensor));
    return tensor;
}

assay_tensor *assay_tape_copy(assay_tape *tape, const assay_tensor *from)
{
    assay_tensor *copy = NULL;
    if (!tape->numbers || !from->side.there || from->side.device != tape->device ||
        from->side.old_there)
        return assay_tape_constant(tape, from->dtype, from->rank, from->shape, tensor_look(from));
    copy = assay_tape_tensor(tape, from->dtype, from->rank, from->shape);
    void *to = copy ? op_out(tape, copy) : NULL;
    if (!to)
        return NULL;
    tape->device->memory->copy(to, from->side.there, assay_tensor_bytes(from));
    return copy;
}

double assay_value(const assay_tensor *tensor)
{
    if (!tensor || assay_tensor_count(tensor) == 0)
        return NAN;
    const void *first = tensor_look(tensor);
    if (!first)
        return NAN;
    switch (tensor->dtype) {
    case ASSAY_F32:
        return *(const float *)first;
    case ASSAY_BF16:
        return assay_from_bf16(*(const uint16_t *)first);
    case ASSAY_I32:
        return *(const int32_t *)first;
    case ASSAY_U8:
        return *(const uint8_t *)first;
    }
    return NAN;
}

/* ---- recording ---- */

bool assay_tape_records(const assay_tape *tape, int n, assay_tensor *const inputs[])
{
    if (tape->step.no_gradient || tape->paused)
        return false;
    for (int i = 0; i < n; i++)
        if (inputs[i] && inputs[i]->needs_grad)
            return true;
    return false;
}

/* An entry with its arrays, in the step. */
static tape_entry *new_entry(assay_tape *tape, const assay_op *op, int input_count,
                             int output_count, const void *saved)
{
    size_t pointers = (size_t)(input_count + output_count) * sizeof(assay_tensor *);
    tape_entry *e = assay_tape_scratch(tape, (int64_t)(sizeof *e + pointers));
    if (!e)
        return NULL;
    e->node.op = op;
    e->node.input_count = input_count;
    e->node.output_count = output_count;
    e->node.inputs = (assay_tensor **)(e + 1);
    e->node.outputs = e->node.inputs + input_count;
    e->node.saved = saved;
    return e;
}

static void append(assay_tape *tape, tape_entry *e)
{
    e->previous = tape->last;
    tape->last = e;
}

bool tape_pass_back(assay_tape *tape, const assay_node *node)
{
    tape_pass_grad(tape, node->outputs[0], node->inputs[0]);
    return tape->error.code == ASSAY_OK;
}

static const assay_op alias_op = {sizeof(assay_op), "alias", tape_pass_back};

/* A second name for an input that an operation takes twice: a backward function that asks for both
 * gradients before it fills either needs two places. */
static assay_tensor *alias_of(assay_tape *tape, assay_tensor *x)
{
    assay_tensor *alias = assay_tape_scratch(tape, (int64_t)sizeof *alias);
    tape_entry *e = alias ? new_entry(tape, &alias_op, 1, 1, NULL) : NULL;
    if (!e)
        return NULL;
    *alias = *x;
    alias->grad = alias->side.grad_here = NULL;
    alias->side.grad_there = false;
    alias->side.room = tape->arena;
    alias->has_grad = alias->is_leaf = alias->keeps_grad = false;
    e->node.inputs[0] = x;
    e->node.outputs[0] = alias;
    append(tape, e);
    return alias;
}

bool assay_tape_record(assay_tape *tape, const assay_op *op, int input_count,
                       assay_tensor *const inputs[], int output_count,
                       assay_tensor *const outputs[], const void *saved)
{
    tape_entry *e = NULL;
    if (tape->profile) {
        double now = seconds_now();
        tape->profile(op->name, false, now - tape->mark, tape->profile_user);
        tape->mark = now;
    }
    if (!assay_tape_records(tape, input_count, inputs))
        return true;
    e = new_entry(tape, op, input_count, output_count, saved);
    if (!e)
        return false;
    for (int i = 0; i < input_count; i++) {
        e->node.inputs[i] = inputs[i];
        for (int j = 0; j < i; j++)
            if (inputs[i] && inputs[i] == inputs[j] && inputs[i]->needs_grad) {
                e->node.inputs[i] = alias_of(tape, inputs[i]);
                if (!e->node.inputs[i])
                    return false;
                break;
            }
    }
    for (int i = 0; i < output_count; i++) {
        e->node.outputs[i] = outputs[i];
        outputs[i]->needs_grad = true;
    }
    append(tape, e);
    tape->nodes++;
    return true;
}

/* ---- the walk back ---- */

static int64_t grad_bytes(const assay_tensor *tensor)
{
    return assay_tensor_count(tensor) * (int64_t)sizeof(float);
}

/* Memory for the gradient where the tape's device computes. */
static bool take_grad(assay_tape *tape, assay_tensor *input)
{
    if (input->is_leaf && !input->side.borrowed && (tape->numbers || input->side.grad_there))
        return leaf_take_grad(tape->device, input, &tape->error);
    if (!input->grad) {
        input->grad = tape_numbers(tape, grad_bytes(input));
        input->side.grad_there = tape->numbers != NULL;
        input->side.device = tape->numbers ? tape->device : input->side.device;
    }
    return input->grad != NULL;
}

assay_grad_target assay_tape_grad(assay_tape *tape, assay_tensor *input)
{
    assay_grad_target target = {NULL, false};
    if (!input || !input->needs_grad || tape->error.code != ASSAY_OK)
        return target;
    if (!take_grad(tape, input))
        return target;
    input->side.grad_old = true;
    target.data = input->grad;
    target.add = input->has_grad;
    input->has_grad = true;
    return target;
}

bool assay_tape_add_grad(assay_tape *tape, assay_tensor *input, const float *gradient)
{
    int64_t n = input ? assay_tensor_count(input) : 0;
    assay_grad_target to = assay_tape_grad(tape, input);
    const float *sent = to.data ? op_sent(tape, gradient, n * (int64_t)sizeof(float)) : NULL;
    if (sent)
        tape->device->kernels->scale(n, 1.0f, NULL, sent, to.data, to.add);
    return tape->error.code == ASSAY_OK;
}

void tape_pass_grad(assay_tape *tape, assay_tensor *output, assay_tensor *input)
{
    assay_grad_target to;
    if (!input || !input->needs_grad || !output->has_grad)
        return;
    if (!input->is_leaf && !input->grad && !output->is_leaf && !output->keeps_grad) {
        input->grad = output->grad;
        input->side.grad_there = output->side.grad_there;
        input->side.grad_old = true;
        input->has_grad = true;
        output->grad = NULL;
        output->has_grad = false;
        return;
    }
    to = assay_tape_grad(tape, input);
    if (to.data)
        tape->device->kernels->scale(assay_tensor_count(input), 1.0f, NULL, output->grad, to.data,
                                     to.add);
}

/* Step gradients that nobody asked to keep serve the next ones. */
static void drop_output_grads(assay_tape *tape, const assay_node *node)
{
    for (int i = 0; i < node->output_count; i++) {
        assay_tensor *output = node->outputs[i];
        if (output->is_leaf || output->keeps_grad || !output->grad)
            continue;
        tape_numbers_release(tape, output->grad, grad_bytes(output));
        output->grad = NULL;
        output->has_grad = false;
    }
}

static bool walk_back(assay_tape *tape)
{
    tape->walked = true;
    for (tape_entry *e = tape->last; e; e = e->previous) {
        bool reached = false;
        for (int i = 0; i < e->node.output_count; i++)
            reached = reached || e->node.outputs[i]->has_grad;
        if (reached) {
            double begun = tape->profile ? seconds_now() : 0.0;
            if (!e->node.op->backward(tape, &e->node) || tape->error.code != ASSAY_OK) {
                assay_tape_fail(
                    tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = e->node.op->name,
                                    .what = "the backward pass of an operation failed"});
                return false;
            }
            if (tape->profile)
                tape->profile(e->node.op->name, true, seconds_now() - begun, tape->profile_user);
        }
        drop_output_grads(tape, &e->node);
    }
    if (tape->profile)
        tape->mark = seconds_now();
    return true;
}

static bool may_walk(assay_tape *tape)
{
    if (tape->error.code != ASSAY_OK)
        return false;
    if (tape->walked || tape->step.no_gradient) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = "backward",
                                        .what = tape->walked
                                                    ? "this record has been walked back already"
                                                    : "this pass records no gradients",
                                        .hint = "begin another pass with assay_tape_begin"});
        return false;
    }
    return true;
}

/* Where output `i` of a backward pass gets its gradient. */
static assay_grad_target target_of(assay_tape *tape, int i, assay_tensor *output)
{
    assay_grad_target to = assay_tape_grad(tape, output);
    if (!to.data)
        assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = assay_text("backward, output %d", i),
                            .what = "the output depends on nothing that wants a gradient",
                            .got = assay_tensor_text(output)});
    return to;
}

/* Begins the gradient of output `i` with numbers of the device's, or ones. */
static bool begin_gradient(assay_tape *tape, int i, assay_tensor *output, const float *gradient)
{
    int64_t n = assay_tensor_count(output);
    assay_grad_target to = target_of(tape, i, output);
    if (!to.data)
        return false;
    if (gradient)
        tape->device->kernels->scale(n, 1.0f, NULL, gradient, to.data, to.add);
    else
        tape->device->kernels->fill(n, 1.0f, NULL, to.data, to.add);
    return true;
}

bool assay_tape_backward_from(assay_tape *tape, int n, assay_tensor *const outputs[],
                              const float *const d_outputs[])
{
    if (!may_walk(tape))
        return false;
    for (int i = 0; i < n; i++) {
        int64_t bytes = assay_tensor_count(outputs[i]) * (int64_t)sizeof(float);
        if (!begin_gradient(tape, i, outputs[i], op_sent(tape, d_outputs[i], bytes)))
            return false;
    }
    return walk_back(tape);
}

bool assay_tape_backward_across(assay_tape *tape, int n, assay_tensor *const outputs[],
                                const assay_tensor *const kept[], const int64_t first[])
{
    if (!may_walk(tape))
        return false;
    for (int i = 0; i < n; i++)
        if (!begin_gradient(tape, i, outputs[i], kept[i] ? kept[i]->grad + first[i] : NULL))
            return false;
    return walk_back(tape);
}

bool assay_tape_backward(assay_tape *tape, assay_tensor *loss, float scale)
{
    assay_grad_target to;
    if (tape->error.code != ASSAY_OK)
        return false;
    if (!loss || assay_tensor_count(loss) != 1) {
        assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                        (assay_failure){.where = "backward",
                                        .what = "a loss is one number",
                                        .expected = "()",
                                        .got = assay_tensor_text(loss),
                                        .hint = "assay_sum and assay_mean make scalars"});
        return false;
    }
    if (!may_walk(tape) || !(to = target_of(tape, 0, loss)).data)
        return false;
    tape->device->kernels->fill(1, scale, NULL, to.data, to.add);
    return walk_back(tape);
}

/* ---- figures ---- */

assay_tape_stats assay_tape_stats_get(const assay_tape *tape)
{
    return (assay_tape_stats){tape->numbers ? device_arena_stats(tape->numbers)
                                            : assay_arena_stats_get(tape->arena),
                              tape->nodes};
}

void assay_tape_profile(assay_tape *tape, assay_profile_sink sink, void *user)
{
    tape->profile = sink;
    tape->profile_user = user;
    tape->mark = sink ? seconds_now() : 0.0;
}
