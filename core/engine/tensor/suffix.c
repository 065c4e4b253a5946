/* suffix.c - the prefix cache, and attention of what follows on it: checks, fp32 views of what is
 * kept, and the call of the kernel. B rows, Tq queries, Tk tokens of a suffix, H query heads, KV
 * key/value heads, d head width. */
#include "engine/tensor/suffix.h"

#include "engine/tensor/operand.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>

#define OP "attention on a prefix"

/* ---- the cache ---- */

assay_prefix *assay_prefix_new(assay_dtype dtype, int64_t layers, int64_t tokens, int64_t width,
                               assay_error *error)
{
    const int64_t shape[3] = {layers, tokens, width};
    assay_prefix *prefix = assay_zalloc((int64_t)sizeof *prefix, error);
    if (!prefix)
        return NULL;
    prefix->layers = layers;
    prefix->tokens = tokens;
    prefix->keys = assay_tensor_new(dtype, 3, shape, error);
    prefix->values = assay_tensor_new(dtype, 3, shape, error);
    if (prefix->keys && prefix->values)
        return prefix;
    assay_prefix_free(prefix);
    return NULL;
}

void assay_prefix_free(assay_prefix *prefix)
{
    if (!prefix)
        return;
    assay_tensor_free(prefix->keys);
    assay_tensor_free(prefix->values);
    assay_free(prefix);
}

int64_t assay_prefix_bytes(const assay_prefix *prefix)
{
    return assay_tensor_bytes(prefix->keys) + assay_tensor_bytes(prefix->values);
}

static bool fail_shape(assay_tape *tape, const char *what, const char *expected,
                       const assay_tensor *got)
{
    op_mismatch(tape, OP, what, expected, got);
    return false;
}

/* Stores n fp32 numbers as element `first` .. of a tensor. */
static void store_at(assay_tape *tape, assay_tensor *to, int64_t first, int64_t n, const float *x)
{
    void *numbers = op_change(tape, to);
    if (!numbers)
        return;
    if (to->dtype == ASSAY_BF16)
        op_kernels(tape)->to_bf16(n, x, (uint16_t *)numbers + first);
    else
        op_kernels(tape)->scale(n, 1.0f, NULL, x, (float *)numbers + first, false);
}

/* The first n numbers of row b of x (B, T, W) as fp32: x's own, or widened into `room`. */
static const float *row_of(assay_tape *tape, const assay_tensor *x, int64_t b, int64_t n,
                           float *room)
{
    const int64_t first = b * x->shape[1] * x->shape[2];
    const void *numbers = op_in(tape, x);
    if (!numbers)
        return NULL;
    if (x->dtype == ASSAY_F32)
        return (const float *)numbers + first;
    op_kernels(tape)->from_bf16(n, (const uint16_t *)numbers + first, room);
    return room;
}

bool assay_prefix_keep(assay_tape *tape, assay_prefix *prefix, int64_t layer, const assay_tensor *k,
                       const assay_tensor *v, int64_t b, const assay_rotary *rotary)
{
    const int64_t width = prefix->keys->shape[2], n = prefix->tokens * width;
    if (!op_takes(tape, OP, 2, (const assay_tensor *[]){k, v}))
        return false;
    if (k->rank != 3 || !assay_tensor_same_shape(k, v) || k->shape[2] != width ||
        k->shape[1] < prefix->tokens || b < 0 || b >= k->shape[0] || layer < 0 ||
        layer >= prefix->layers)
        return fail_shape(tape, "keys and values do not fit the prefix",
                          assay_text("(B, T >= %" PRId64 ", %" PRId64 ")", prefix->tokens, width),
                          k);
    if (rotary && (width % rotary->head_width != 0 || rotary->positions < prefix->tokens))
        return fail_shape(tape, "the rotary table does not fit",
                          assay_text("at least %" PRId64 " positions", prefix->tokens),
                          rotary->cosine);
    operand room = operand_scratch(tape, 2 * n);
    if (!op_sound(tape))
        return false;
    const float *from = row_of(tape, k, b, n, room.data);
    float *turned = room.data + n;
    if (rotary)
        op_kernels(tape)->rotary(1, prefix->tokens, width / rotary->head_width, rotary->head_width,
                                 0, op_in(tape, rotary->cosine), op_in(tape, rotary->sine), from,
                                 turned, false, false);
    store_at(tape, prefix->keys, layer * n, n, rotary ? turned : from);
    store_at(tape, prefix->values, layer * n, n, row_of(tape, v, b, n, room.data));
    operand_end(tape, &room);
    return true;
}

/* ---- from arguments to the kernel's terms ---- */

enum { IN_Q, IN_K, IN_V, IN_COUNT };

typedef struct suffix_saved {
    device_suffix call; /* all but the fp32 views and the scratch */
    const assay_prefix *const *prefix;
    int64_t layer;
} suffix_saved;

static bool fail_use(assay_tape *tape, const char *what, const char *expected)
{
    assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = OP, .what = what, .expected = expected});
    return false;
}

static bool read_shapes(assay_tape *tape, const assay_attention_args *args, device_suffix *call)
{
    const assay_tensor *q = args->q, *k = args->k, *v = args->v;
    int64_t heads = args->heads, kv = args->kv_heads ? args->kv_heads : args->heads;
    if (args->qkv)
        return fail_use(tape, "q, k and v stand apart here", "q, k and v, not qkv");
    if (!op_takes(tape, OP, 3, (const assay_tensor *[]){q, k, v}))
        return false;
    if (heads < 1 || kv < 1 || heads % kv != 0 || q->rank != 3 || q->shape[2] % heads != 0 ||
        q->shape[2] == 0)
        return fail_shape(tape, "q does not divide into heads",
                          assay_text("(B, T, multiple of %" PRId64 ")", heads), q);
    *call = (device_suffix){.batch = q->shape[0],
                            .heads = heads,
                            .kv_heads = kv,
                            .head_width = q->shape[2] / heads,
                            .queries = q->shape[1],
                            .q_stride = q->shape[2]};
    call->k_stride = call->v_stride = kv * call->head_width;
    call->out_stride = q->shape[2];
    if (k->rank != 3 || k->shape[0] != call->batch || k->shape[2] != call->k_stride ||
        !assay_tensor_same_shape(k, v))
        return fail_shape(tape, "k and v do not fit q",
                          assay_text("(%" PRId64 ", T, %" PRId64 ")", call->batch, call->k_stride),
                          k);
    call->keys = k->shape[1];
    return true;
}

static bool read_positions(assay_tape *tape, const assay_tensor *positions, device_suffix *call)
{
    if (!positions)
        return call->queries == call->keys ||
               fail_use(tape, "some of the suffix's queries are missing",
                        "positions, or a query for every token");
    if (!op_takes_ints(tape, OP, positions))
        return false;
    if (assay_tensor_count(positions) != call->batch * call->queries)
        return fail_shape(tape, "positions do not fit q",
                          assay_text("(%" PRId64 ", %" PRId64 ") i32", call->batch, call->queries),
                          positions);
    call->positions = op_in(tape, positions);
    return true;
}

static bool read_prefixes(assay_tape *tape, const assay_attention_args *args,
                          const device_suffix *call)
{
    const assay_rotary *rotary = args->rotary;
    for (int64_t b = 0; b < call->batch; b++) {
        const assay_prefix *prefix = args->prefix[b];
        if (!prefix)
            return fail_use(tape, assay_text("row %" PRId64 " has no prefix", b), NULL);
        if (args->layer < 0 || args->layer >= prefix->layers ||
            prefix->keys->shape[2] != call->k_stride)
            return fail_shape(tape, "the prefix is of another stack",
                              assay_text("more than %" PRId64 " layers of width %" PRId64,
                                         args->layer, call->k_stride),
                              prefix->keys);
        if (rotary && (rotary->head_width != call->head_width ||
                       rotary->positions < prefix->tokens + call->keys))
            return fail_shape(tape, "the rotary table does not fit",
                              assay_text("at least %" PRId64 " positions of head width %" PRId64,
                                         prefix->tokens + call->keys, call->head_width),
                              rotary->cosine);
    }
    return true;
}

static bool read_args(assay_tape *tape, const assay_attention_args *args, device_suffix *call)
{
    if (!read_shapes(tape, args, call) || !read_positions(tape, args->positions, call) ||
        !read_prefixes(tape, args, call) ||
        !op_takes_lengths(tape, OP, args->lengths, call->batch, call->keys))
        return false;
    if (args->bias.future != ASSAY_FUTURE_HIDDEN ||
        (args->bias.log_weight && args->bias.scope == ASSAY_BIAS_EVERYWHERE))
        return fail_use(tape, "the bias is not causal", "a mask that hides the future");
    call->lengths = args->lengths ? op_in(tape, args->lengths) : NULL;
    call->cosine = args->rotary ? op_in(tape, args->rotary->cosine) : NULL;
    call->sine = args->rotary ? op_in(tape, args->rotary->sine) : NULL;
    call->scale = args->scale != 0.0f ? args->scale : 1.0f / sqrtf((float)call->head_width);
    return true;
}

/* ---- fp32 views ---- */

typedef struct views {
    operand q, k, v, wide;
} views;

/* Numbers of a widened copy of what bf16 prefixes keep of a layer, each neighbour's once. */
static int64_t wide_numbers(const suffix_saved *saved)
{
    int64_t n = 0;
    for (int64_t b = 0; b < saved->call.batch; b++)
        if (saved->prefix[b]->keys->dtype == ASSAY_BF16 &&
            (b == 0 || saved->prefix[b] != saved->prefix[b - 1]))
            n += 2 * saved->prefix[b]->tokens * saved->call.k_stride;
    return n;
}

/* What a prefix keeps of the layer; `*room` moves behind what was widened into it. */
static device_prefix view_prefix(assay_tape *tape, const assay_prefix *prefix, int64_t layer,
                                 float **room)
{
    const int64_t n = prefix->tokens * prefix->keys->shape[2];
    device_prefix view = {.tokens = prefix->tokens};
    if (prefix->keys->dtype == ASSAY_F32) {
        const float *keys = op_in(tape, prefix->keys), *values = op_in(tape, prefix->values);
        view.keys = keys ? keys + layer * n : NULL;
        view.values = values ? values + layer * n : NULL;
        return view;
    }
    const uint16_t *keys = op_in(tape, prefix->keys), *values = op_in(tape, prefix->values);
    view.keys = *room;
    view.values = *room + n;
    if (!keys || !values)
        return view;
    op_kernels(tape)->from_bf16(n, keys + layer * n, *room);
    op_kernels(tape)->from_bf16(n, values + layer * n, *room + n);
    *room += 2 * n;
    return view;
}

static views views_of(assay_tape *tape, const suffix_saved *saved, assay_tensor *const inputs[],
                      device_prefix *prefix, device_suffix *call)
{
    views view = {0};
    int64_t wide = wide_numbers(saved);
    view.q = operand_read(tape, inputs[IN_Q]);
    view.k = operand_read(tape, inputs[IN_K]);
    view.v = operand_read(tape, inputs[IN_V]);
    if (wide > 0)
        view.wide = operand_scratch(tape, wide);
    float *room = view.wide.data;
    for (int64_t b = 0; b < call->batch && op_sound(tape); b++)
        prefix[b] = b > 0 && saved->prefix[b] == saved->prefix[b - 1]
                        ? prefix[b - 1]
                        : view_prefix(tape, saved->prefix[b], saved->layer, &room);
    call->prefix = prefix;
    call->q = view.q.data;
    call->k = view.k.data;
    call->v = view.v.data;
    return view;
}

static void views_end(assay_tape *tape, views *view)
{
    if (view->wide.data)
        operand_end(tape, &view->wide);
    operand_end(tape, &view->v);
    operand_end(tape, &view->k);
    operand_end(tape, &view->q);
}

/* ---- the operation ---- */

static bool suffix_backward(assay_tape *tape, const assay_node *node)
{
    const suffix_saved *saved = node->saved;
    device_suffix call = saved->call;
    const int64_t prefix_bytes = call.batch * (int64_t)sizeof(device_prefix);
    device_prefix *prefix = assay_tape_scratch(tape, prefix_bytes);
    if (!prefix)
        return false;
    views view = views_of(tape, saved, node->inputs, prefix, &call);
    operand out = operand_read(tape, node->outputs[0]);
    call.out = out.data;
    call.d_out = node->outputs[0]->grad;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[IN_Q]);
    call.d_q = to.data, call.add_q = to.add;
    to = assay_tape_grad(tape, node->inputs[IN_K]);
    call.d_k = to.data, call.add_k = to.add;
    to = assay_tape_grad(tape, node->inputs[IN_V]);
    call.d_v = to.data, call.add_v = to.add;
    if (op_sound(tape)) {
        int64_t bytes = op_kernels(tape)->suffix_scratch(&call, true);
        call.scratch = tape_numbers(tape, bytes);
        if (call.scratch)
            op_kernels(tape)->d_suffix_attention(&call);
        tape_numbers_release(tape, call.scratch, bytes);
    }
    operand_end(tape, &out);
    views_end(tape, &view);
    assay_tape_release(tape, prefix, prefix_bytes);
    return op_sound(tape);
}

static const assay_op suffix_op = {sizeof(assay_op), "attention_on_prefix", suffix_backward};

assay_tensor *suffix_attention(assay_tape *tape, const assay_attention_args *args)
{
    assay_tensor *inputs[IN_COUNT] = {args->q, args->k, args->v}, *y = NULL;
    device_suffix call;
    if (!read_args(tape, args, &call))
        return NULL;
    y = assay_tape_tensor(tape, op_activation_dtype(tape), 3,
                          (int64_t[]){call.batch, call.queries, call.q_stride});
    suffix_saved *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    const assay_prefix **kept =
        assay_tape_scratch(tape, call.batch * (int64_t)sizeof(assay_prefix *));
    const int64_t prefix_bytes = call.batch * (int64_t)sizeof(device_prefix);
    if (!y || !saved || !kept)
        return NULL;
    for (int64_t b = 0; b < call.batch; b++)
        kept[b] = args->prefix[b];
    call.row_lse = operand_scratch(tape, call.batch * call.heads * call.queries).data;
    *saved = (suffix_saved){call, kept, args->layer};
    device_prefix *prefix = assay_tape_scratch(tape, prefix_bytes);
    if (!prefix || !op_sound(tape))
        return NULL;
    views view = views_of(tape, saved, inputs, prefix, &call);
    operand out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    int64_t bytes = op_kernels(tape)->suffix_scratch(&call, false);
    call.scratch = tape_numbers(tape, bytes);
    if (!call.scratch)
        return NULL;
    call.out = out.data;
    op_kernels(tape)->suffix_attention(&call);
    tape_numbers_release(tape, call.scratch, bytes);
    operand_store(tape, &out, y);
    views_end(tape, &view);
    assay_tape_release(tape, prefix, prefix_bytes);
    return assay_tape_record(tape, &suffix_op, IN_COUNT, inputs, 1, &y, saved) ? y : NULL;
}
