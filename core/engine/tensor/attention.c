/* attention.c - the attention operations: biases, rotary tables, and the checks in front of the
 * kernel. B batch, Tq queries, Tk keys, H query heads, KV key/value heads, d head width. */
#include <assay/attention.h>

#include "engine/tensor/operand.h"
#include "engine/tensor/suffix.h"

#include <inttypes.h>
#include <math.h>

/* ---- biases ---- */

assay_attention_bias assay_bias_causal(void)
{
    return (assay_attention_bias){.future = ASSAY_FUTURE_HIDDEN};
}

assay_attention_bias assay_bias_full(void)
{
    return (assay_attention_bias){.future = ASSAY_FUTURE_OPEN};
}

assay_attention_bias assay_bias_future(assay_tape *tape, float weight)
{
    float cost = 0.0f;
    assay_attention_bias bias = assay_bias_full();
    if (!(weight >= 0.0f && weight <= 1.0f))
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = "attention bias",
                                        .what = "the weight of the future is out of range",
                                        .expected = "0 <= weight <= 1",
                                        .got = assay_text("%g", (double)weight)});
    if (!(weight > 0.0f))
        return assay_bias_causal();
    if (weight == 1.0f)
        return bias;
    cost = logf(weight);
    bias.log_weight = assay_tape_constant(tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, 1}, &cost);
    return bias;
}

/* ---- rotary ---- */

assay_rotary *assay_rotary_new(int64_t positions, int64_t head_width, double base,
                               assay_error *error)
{
    int64_t half = head_width / 2;
    assay_rotary *rotary = NULL;
    if (positions < 1 || head_width < 2 || head_width % 2 != 0 || !(base > 0.0)) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "rotary", .what = "settings out of range",
                   .expected = "positions >= 1, an even head width, a base above 0",
                   .got = assay_text("%" PRId64 " positions, width %" PRId64 ", base %g", positions,
                                     head_width, base));
        return NULL;
    }
    rotary = assay_zalloc((int64_t)sizeof *rotary, error);
    if (!rotary)
        return NULL;
    *rotary = (assay_rotary){.positions = positions, .head_width = head_width, .base = base};
    rotary->cosine = assay_tensor_new(ASSAY_F32, 2, (int64_t[]){positions, half}, error);
    rotary->sine = assay_tensor_new(ASSAY_F32, 2, (int64_t[]){positions, half}, error);
    if (!rotary->cosine || !rotary->sine) {
        assay_rotary_free(rotary);
        return NULL;
    }
    for (int64_t k = 0; k < half; k++) {
        double frequency = pow(base, -2.0 * (double)k / (double)head_width);
        for (int64_t p = 0; p < positions; p++) {
            assay_f32(rotary->cosine)[p * half + k] = (float)cos((double)p * frequency);
            assay_f32(rotary->sine)[p * half + k] = (float)sin((double)p * frequency);
        }
    }
    return rotary;
}

void assay_rotary_free(assay_rotary *rotary)
{
    if (!rotary)
        return;
    assay_tensor_free(rotary->cosine);
    assay_tensor_free(rotary->sine);
    assay_free(rotary);
}

typedef struct rotate_saved {
    const assay_rotary *rotary;
    int64_t heads, start;
} rotate_saved;

static void rotate(assay_tape *tape, const rotate_saved *saved, const assay_tensor *x,
                   const float *from, float *to, bool backward, bool add)
{
    const assay_rotary *rotary = saved->rotary;
    op_kernels(tape)->rotary(x->shape[0], x->shape[1], saved->heads, rotary->head_width,
                             saved->start, op_in(tape, rotary->cosine), op_in(tape, rotary->sine),
                             from, to, backward, add);
}

static bool rotate_backward(assay_tape *tape, const assay_node *node)
{
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        rotate(tape, node->saved, node->inputs[0], node->outputs[0]->grad, to.data, true, to.add);
    return op_sound(tape);
}

static const assay_op rotate_op = {sizeof(assay_op), "rotate", rotate_backward};

assay_tensor *assay_rotate(assay_tape *tape, assay_tensor *x, int64_t heads,
                           const assay_rotary *rotary, int64_t start)
{
    assay_tensor *y = NULL;
    rotate_saved *saved = NULL;
    operand in, out;
    if (!op_takes(tape, "rotate", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (!rotary)
        return assay_tape_fail(tape, ASSAY_BAD_INPUT,
                               (assay_failure){.where = "rotate",
                                               .what = "the rotary table is missing",
                                               .hint = "assay_rotary_new makes one"});
    if (x->rank != 3 || heads < 1 || x->shape[2] != heads * rotary->head_width || start < 0 ||
        x->shape[1] > rotary->positions - start)
        return op_mismatch(tape, "rotate", "x does not fit the heads or the table",
                           assay_text("(B, T, %" PRId64 " x %" PRId64 "), positions below %" PRId64,
                                      heads, rotary->head_width, rotary->positions),
                           x);
    y = op_like(tape, x, x->dtype);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (rotate_saved){rotary, heads, start};
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    rotate(tape, saved, x, in.data, out.data, false, false);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &rotate_op, 1, &x, 1, &y, saved) ? y : NULL;
}

/* ---- from arguments to the kernel's terms ---- */

enum { IN_Q, IN_K, IN_V, IN_QKV, IN_BIAS, IN_COUNT };

typedef struct attention_saved {
    device_attention call; /* all but the fp32 views and the scratch */
} attention_saved;

static bool fail_input(assay_tape *tape, const char *op, const char *what, const char *expected,
                       const assay_tensor *got)
{
    op_mismatch(tape, op, what, expected, got);
    return false;
}

/* Batch, lengths of q and k, and widths, from three tensors or the fused one. */
static bool read_shapes(assay_tape *tape, const char *op, const assay_attention_args *args,
                        bool needs_v, device_attention *call)
{
    const assay_tensor *q = args->qkv ? args->qkv : args->q, *k = args->k, *v = args->v;
    int64_t heads = args->heads, kv = args->kv_heads ? args->kv_heads : args->heads, parts;
    if (args->qkv ? !op_takes(tape, op, 1, &q)
                  : !op_takes(tape, op, needs_v ? 3 : 2, (const assay_tensor *[]){q, k, v}))
        return false;
    if (heads < 1 || kv < 1 || heads % kv != 0) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = op,
                                        .what = "query heads are shared evenly by key heads",
                                        .expected = "heads >= 1, a multiple of kv_heads",
                                        .got = assay_text("%" PRId64 " and %" PRId64, heads, kv)});
        return false;
    }
    parts = args->qkv ? heads + 2 * kv : heads;
    if (q->rank != 3 || q->shape[2] % parts != 0 || q->shape[2] == 0)
        return fail_input(
            tape, op, args->qkv ? "qkv does not divide into heads" : "q does not divide into heads",
            assay_text("(B, T, multiple of %" PRId64 ")", parts), q);
    *call = (device_attention){.batch = q->shape[0],
                               .heads = heads,
                               .kv_heads = kv,
                               .head_width = q->shape[2] / parts,
                               .queries = q->shape[1],
                               .keys = args->qkv ? q->shape[1] : k->shape[1]};
    call->query_start = call->keys - call->queries;
    call->q_stride = q->shape[2];
    call->k_stride = call->v_stride = args->qkv ? q->shape[2] : kv * call->head_width;
    if (args->qkv)
        return true;
    for (int i = 0; i < (needs_v ? 2 : 1); i++) {
        const assay_tensor *t = i ? v : k;
        if (t->rank != 3 || t->shape[0] != call->batch || t->shape[1] != call->keys ||
            t->shape[2] != kv * call->head_width || call->query_start < 0)
            return fail_input(tape, op, i ? "v does not fit q" : "k does not fit q",
                              assay_text("(%" PRId64 ", T >= %" PRId64 ", %" PRId64 ")",
                                         call->batch, call->queries, kv * call->head_width),
                              t);
    }
    return true;
}

static bool read_rotary(assay_tape *tape, const char *op, const assay_rotary *rotary,
                        device_attention *call)
{
    if (!rotary)
        return true;
    if (rotary->head_width != call->head_width || rotary->positions < call->keys)
        return fail_input(tape, op, "the rotary table does not fit",
                          assay_text("at least %" PRId64 " positions of head width %" PRId64,
                                     call->keys, call->head_width),
                          rotary->cosine);
    call->cosine = op_in(tape, rotary->cosine);
    call->sine = op_in(tape, rotary->sine);
    return true;
}

static bool read_span(assay_tape *tape, const char *op, const assay_tensor *span,
                      device_attention *call)
{
    int64_t n;
    if (!span)
        return true;
    if (!op_takes_ints(tape, op, span))
        return false;
    n = assay_tensor_count(span);
    if (op_width(span) != 2 || span->rank > 2 || (n != 2 && n != 2 * call->batch))
        return fail_input(tape, op, "a span is first and end, shared or one a batch item",
                          assay_text("(2) or (%" PRId64 ", 2)", call->batch), span);
    for (int64_t i = 0; i < n; i++)
        if (op_ints(span)[i] < 0)
            return fail_input(tape, op, "a span begins before position 0", "first >= 0, end >= 0",
                              span);
    call->span = op_in(tape, span);
    call->span_stride = span->rank == 2 && span->shape[0] > 1 ? 2 : 0;
    return true;
}

/* The bias in the kernel's terms. A shared log-weight of exactly 0 or -infinity is told to the
 * kernel as no cost and as a hidden future, so that its tiles are as cheap; the bits are the same
 * either way. */
static bool read_bias(assay_tape *tape, const char *op, const assay_attention_bias *bias,
                      device_attention *call)
{
    int64_t full[4] = {call->batch, call->heads, call->queries, call->keys}, stride = 1;
    const assay_tensor *w = bias->log_weight;
    call->future_open = bias->future == ASSAY_FUTURE_OPEN;
    if (!read_span(tape, op, bias->span, call) || !w)
        return op_sound(tape);
    if (w->dtype != ASSAY_F32 || w->rank != 4)
        return fail_input(tape, op, "the bias's log_weight has the wrong rank or dtype",
                          "(B|1, H|1, Tq|1, Tk|1) f32", w);
    for (int i = 3; i >= 0; i--) {
        if (w->shape[i] != 1 && w->shape[i] != full[i])
            return fail_input(tape, op,
                              assay_text("axis %d of the bias's log_weight does not fit", i),
                              assay_text("%s, or 1 where shared", assay_shape_text(4, full)), w);
        call->bias_stride[i] = w->shape[i] == 1 ? 0 : stride;
        stride *= w->shape[i];
    }
    call->bias_everywhere = bias->scope == ASSAY_BIAS_EVERYWHERE;
    call->log_weight = op_in(tape, w);
    call->bias_count = stride;
    if (stride == 1 && !w->needs_grad && !call->bias_everywhere) {
        float cost = (float)assay_value(w);
        if (cost == 0.0f || cost == -INFINITY) {
            call->log_weight = NULL;
            call->future_open = call->future_open && cost == 0.0f;
        }
    }
    return true;
}

/* Everything but the data pointers. */
static bool read_args(assay_tape *tape, const char *op, const assay_attention_args *args,
                      bool needs_v, device_attention *call)
{
    if (!read_shapes(tape, op, args, needs_v, call) || !read_rotary(tape, op, args->rotary, call) ||
        !read_bias(tape, op, &args->bias, call) ||
        !op_takes_lengths(tape, op, args->lengths, call->batch, call->keys))
        return false;
    call->lengths = args->lengths ? op_in(tape, args->lengths) : NULL;
    call->scale = args->scale != 0.0f ? args->scale : 1.0f / sqrtf((float)call->head_width);
    return true;
}

typedef struct views {
    operand q, k, v, qkv;
} views;

/* Whether the device takes bf16 tensors as they lie, and all of these are. */
static bool takes_bf16(const assay_tape *tape, assay_tensor *const inputs[],
                       const assay_tensor *out, const device_attention *call, bool backward)
{
    const assay_device *device = assay_tape_device(tape);
    const assay_tensor *all[] = {inputs[IN_Q], inputs[IN_K], inputs[IN_V], inputs[IN_QKV], out};
    for (int i = 0; i < 5; i++)
        if (all[i] && all[i]->dtype != ASSAY_BF16)
            return false;
    return device->fuses_attention && device->fuses_attention(call, backward);
}

static void use_bf16(assay_tape *tape, assay_tensor *const inputs[], device_attention *call)
{
    if (inputs[IN_QKV]) {
        const uint16_t *rows = op_in(tape, inputs[IN_QKV]);
        call->narrow_q = rows;
        call->narrow_k = rows ? rows + call->heads * call->head_width : NULL;
        call->narrow_v = rows ? call->narrow_k + call->kv_heads * call->head_width : NULL;
        return;
    }
    call->narrow_q = op_in(tape, inputs[IN_Q]);
    call->narrow_k = op_in(tape, inputs[IN_K]);
    call->narrow_v = op_in(tape, inputs[IN_V]);
}

static views views_of(assay_tape *tape, assay_tensor *const inputs[], device_attention *call)
{
    views view = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    if (inputs[IN_QKV]) {
        view.qkv = operand_read(tape, inputs[IN_QKV]);
        call->q = view.qkv.data;
        call->k = view.qkv.data ? view.qkv.data + call->heads * call->head_width : NULL;
        call->v = view.qkv.data ? call->k + call->kv_heads * call->head_width : NULL;
        return view;
    }
    view.q = operand_read(tape, inputs[IN_Q]);
    view.k = operand_read(tape, inputs[IN_K]);
    if (inputs[IN_V])
        view.v = operand_read(tape, inputs[IN_V]);
    call->q = view.q.data;
    call->k = view.k.data;
    call->v = view.v.data;
    return view;
}

static void views_end(assay_tape *tape, views *view)
{
    operand_end(tape, &view->v);
    operand_end(tape, &view->k);
    operand_end(tape, &view->q);
    operand_end(tape, &view->qkv);
}

/* Where the gradients go. A fused input is cleared first when nothing is there: d_q, d_k and d_v
 * are then added at their strides, and a map leaves d_v zero. */
static void grads_of(assay_tape *tape, assay_tensor *const inputs[], device_attention *call)
{
    assay_grad_target to = assay_tape_grad(tape, inputs[IN_QKV]);
    if (to.data) {
        if (!to.add)
            op_kernels(tape)->fill(assay_tensor_count(inputs[IN_QKV]), 0.0f, NULL, to.data, false);
        call->d_q = to.data;
        call->d_k = to.data + call->heads * call->head_width;
        call->d_v = call->d_k + call->kv_heads * call->head_width;
        call->add_q = call->add_k = call->add_v = true;
    } else {
        to = assay_tape_grad(tape, inputs[IN_Q]);
        call->d_q = to.data, call->add_q = to.add;
        to = assay_tape_grad(tape, inputs[IN_K]);
        call->d_k = to.data, call->add_k = to.add;
        to = assay_tape_grad(tape, inputs[IN_V]);
        call->d_v = to.data, call->add_v = to.add;
    }
    to = assay_tape_grad(tape, inputs[IN_BIAS]);
    call->d_log_weight = to.data, call->add_bias = to.add;
}

static void inputs_of(const assay_attention_args *args, bool needs_v, assay_tensor *inputs[])
{
    inputs[IN_Q] = args->qkv ? NULL : args->q;
    inputs[IN_K] = args->qkv ? NULL : args->k;
    inputs[IN_V] = args->qkv || !needs_v ? NULL : args->v;
    inputs[IN_QKV] = args->qkv;
    inputs[IN_BIAS] = args->bias.log_weight;
}

/* ---- attention ---- */

static bool attention_backward(assay_tape *tape, const assay_node *node)
{
    const attention_saved *saved = node->saved;
    device_attention call = saved->call;
    views view = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    operand out = {NULL, 0};
    if (takes_bf16(tape, node->inputs, node->outputs[0], &call, true)) {
        use_bf16(tape, node->inputs, &call);
        call.narrow_out = op_in(tape, node->outputs[0]);
    } else {
        view = views_of(tape, node->inputs, &call);
        out = operand_read(tape, node->outputs[0]);
    }
    call.out = out.data;
    call.d_out = node->outputs[0]->grad;
    grads_of(tape, node->inputs, &call);
    int64_t bytes = op_kernels(tape)->attention_scratch(&call, true);
    call.scratch = tape_numbers(tape, bytes);
    if (op_sound(tape))
        op_kernels(tape)->d_attention(&call);
    tape_numbers_release(tape, call.scratch, bytes);
    operand_end(tape, &out);
    views_end(tape, &view);
    return op_sound(tape);
}

static const assay_op attention_op = {sizeof(assay_op), "attention", attention_backward};

assay_tensor *assay_attention(assay_tape *tape, const assay_attention_args *args)
{
    assay_tensor *inputs[IN_COUNT], *y = NULL;
    attention_saved *saved = NULL;
    device_attention call;
    operand out = {NULL, 0};
    views view = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    bool narrow;
    int64_t bytes;
    if (args->prefix)
        return suffix_attention(tape, args);
    inputs_of(args, true, inputs);
    if (!read_args(tape, "attention", args, true, &call))
        return NULL;
    y = assay_tape_tensor(tape, op_activation_dtype(tape), 3,
                          (int64_t[]){call.batch, call.queries, call.heads * call.head_width});
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    call.precision = op_factor_precision(tape);
    call.out_stride = call.heads * call.head_width;
    call.row_lse = operand_scratch(tape, call.batch * call.heads * call.queries).data;
    saved->call = call;
    narrow = takes_bf16(tape, inputs, y, &call, false);
    if (narrow) {
        use_bf16(tape, inputs, &call);
        call.narrow_out = op_out(tape, y);
    } else {
        view = views_of(tape, inputs, &call);
        out = operand_for(tape, y);
    }
    bytes = op_kernels(tape)->attention_scratch(&call, false);
    call.scratch = tape_numbers(tape, bytes);
    if (!op_sound(tape))
        return NULL;
    call.out = out.data;
    op_kernels(tape)->attention(&call);
    tape_numbers_release(tape, call.scratch, bytes);
    if (!narrow)
        operand_store(tape, &out, y);
    views_end(tape, &view);
    return assay_tape_record(tape, &attention_op, IN_COUNT, inputs, 1, &y, saved) ? y : NULL;
}

/* ---- the map ---- */

static bool attention_map_backward(assay_tape *tape, const assay_node *node)
{
    const attention_saved *saved = node->saved;
    device_attention call = saved->call;
    views view = views_of(tape, node->inputs, &call);
    call.out = op_in(tape, node->outputs[0]);
    call.d_out = node->outputs[0]->grad;
    grads_of(tape, node->inputs, &call);
    call.d_v = NULL;
    int64_t bytes = op_kernels(tape)->attention_scratch(&call, true);
    call.scratch = tape_numbers(tape, bytes);
    if (op_sound(tape))
        op_kernels(tape)->d_attention_map(&call);
    tape_numbers_release(tape, call.scratch, bytes);
    views_end(tape, &view);
    return op_sound(tape);
}

static const assay_op attention_map_op = {sizeof(assay_op), "attention_map",
                                          attention_map_backward};

assay_tensor *assay_attention_map(assay_tape *tape, const assay_attention_args *args)
{
    assay_tensor *inputs[IN_COUNT], *y = NULL;
    attention_saved *saved = NULL;
    device_attention call;
    views view;
    int64_t bytes;
    inputs_of(args, false, inputs);
    if (!read_args(tape, "attention_map", args, false, &call))
        return NULL;
    y = assay_tape_tensor(tape, ASSAY_F32, 4,
                          (int64_t[]){call.batch, call.heads, call.queries, call.keys});
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    saved->call = call;
    view = views_of(tape, inputs, &call);
    bytes = op_kernels(tape)->attention_scratch(&call, false);
    call.scratch = tape_numbers(tape, bytes);
    if (!op_sound(tape))
        return NULL;
    call.out = op_out(tape, y);
    op_kernels(tape)->attention_map(&call);
    tape_numbers_release(tape, call.scratch, bytes);
    views_end(tape, &view);
    return assay_tape_record(tape, &attention_map_op, IN_COUNT, inputs, 1, &y, saved) ? y : NULL;
}
