/* elementwise.c - addition, subtraction, multiplication (with a suffix broadcast), scaling,
 * casts. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

typedef struct binary_saved {
    device_binary op;
    int64_t period; /* elements of b */
} binary_saved;

/* How many elements b repeats over, -1 when its shape is not a suffix of a's. Leading extents of 1
 * are no obstacle. */
static int64_t suffix_period(const assay_tensor *a, const assay_tensor *b)
{
    int skip = 0, rank = b->rank;
    while (skip < rank && b->shape[skip] == 1 && rank - skip > a->rank)
        skip++;
    while (skip < rank && b->shape[skip] == 1 && a->shape[a->rank - (rank - skip)] != 1)
        skip++;
    if (rank - skip > a->rank)
        return -1;
    for (int i = skip; i < rank; i++)
        if (b->shape[i] != a->shape[a->rank - (rank - i)])
            return -1;
    return assay_tensor_count(b);
}

/* d_b: of b's shape, summed over what it was broadcast to. `factor` (n) multiplies d_y, or NULL. */
static void reduce_to(assay_tape *tape, int64_t n, int64_t period, const float *d_y,
                      const float *factor, float sign, assay_grad_target to)
{
    const assay_kernels *k = op_kernels(tape);
    operand part = {NULL, 0};
    if (period == n) {
        if (factor)
            k->binary(DEVICE_MUL, n, n, d_y, factor, to.data, to.add);
        else
            k->scale(n, sign, NULL, d_y, to.data, to.add);
        return;
    }
    if (sign > 0.0f) {
        k->sum_rows(period ? n / period : 0, period, d_y, factor, to.data, to.add);
        return;
    }
    part = operand_scratch(tape, period);
    if (!op_sound(tape))
        return;
    k->sum_rows(period ? n / period : 0, period, d_y, factor, part.data, false);
    k->scale(period, sign, NULL, part.data, to.data, to.add);
    operand_end(tape, &part);
}

static bool binary_backward(assay_tape *tape, const assay_node *node)
{
    const binary_saved *saved = node->saved;
    const assay_kernels *k = op_kernels(tape);
    assay_tensor *a = node->inputs[0], *b = node->inputs[1], *y = node->outputs[0];
    int64_t n = assay_tensor_count(a);
    assay_grad_target to = assay_tape_grad(tape, b);
    if (to.data) {
        operand factor = {NULL, 0};
        if (saved->op == DEVICE_MUL)
            factor = operand_read(tape, a);
        if (op_sound(tape))
            reduce_to(tape, n, saved->period, y->grad, factor.data,
                      saved->op == DEVICE_SUB ? -1.0f : 1.0f, to);
        operand_end(tape, &factor);
    }
    if (saved->op != DEVICE_MUL) {
        tape_pass_grad(tape, y, a);
        return op_sound(tape);
    }
    to = assay_tape_grad(tape, a);
    if (to.data) {
        operand factor = operand_read(tape, b);
        if (op_sound(tape))
            k->binary(DEVICE_MUL, n, saved->period, y->grad, factor.data, to.data, to.add);
        operand_end(tape, &factor);
    }
    return op_sound(tape);
}

static const assay_op binary_ops[] = {
    [DEVICE_ADD] = {sizeof(assay_op), "add", binary_backward},
    [DEVICE_SUB] = {sizeof(assay_op), "sub", binary_backward},
    [DEVICE_MUL] = {sizeof(assay_op), "mul", binary_backward},
};

static assay_tensor *binary(assay_tape *tape, device_binary op, assay_tensor *a, assay_tensor *b)
{
    const char *name = binary_ops[op].name;
    assay_tensor *const inputs[] = {a, b};
    assay_tensor *y = NULL;
    binary_saved *saved = NULL;
    operand left, right, out;
    int64_t period;
    if (!op_takes(tape, name, 2, (const assay_tensor *[]){a, b}))
        return NULL;
    period = suffix_period(a, b);
    if (period < 0)
        return op_mismatch(tape, name, "b cannot be broadcast to a",
                           assay_text("a suffix of %s", assay_tensor_text(a)), b);
    y = op_like(tape, a, a->dtype == ASSAY_BF16 && b->dtype == ASSAY_BF16 ? ASSAY_BF16 : ASSAY_F32);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (binary_saved){op, period};
    left = operand_read(tape, a);
    right = operand_read(tape, b);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    if (period > 0)
        op_kernels(tape)->binary(op, assay_tensor_count(a), period, left.data, right.data, out.data,
                                 false);
    operand_store(tape, &out, y);
    operand_end(tape, &right);
    operand_end(tape, &left);
    return assay_tape_record(tape, &binary_ops[op], 2, inputs, 1, &y, saved) ? y : NULL;
}

assay_tensor *assay_add(assay_tape *tape, assay_tensor *a, assay_tensor *b)
{
    return binary(tape, DEVICE_ADD, a, b);
}

assay_tensor *assay_sub(assay_tape *tape, assay_tensor *a, assay_tensor *b)
{
    return binary(tape, DEVICE_SUB, a, b);
}

assay_tensor *assay_mul(assay_tape *tape, assay_tensor *a, assay_tensor *b)
{
    return binary(tape, DEVICE_MUL, a, b);
}

/* ---- scale and cast ---- */

static bool scale_backward(assay_tape *tape, const assay_node *node)
{
    const float *factor = node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->scale(assay_tensor_count(node->inputs[0]), *factor, NULL,
                                node->outputs[0]->grad, to.data, to.add);
    return op_sound(tape);
}

static const assay_op scale_op = {sizeof(assay_op), "scale", scale_backward};

static assay_tensor *scaled(assay_tape *tape, const assay_op *op, assay_tensor *x, float factor,
                            assay_dtype dtype)
{
    assay_tensor *y = op_like(tape, x, dtype);
    float *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    operand in, out;
    if (!y || !saved)
        return NULL;
    *saved = factor;
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->scale(assay_tensor_count(x), factor, NULL, in.data, out.data, false);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, op, 1, &x, 1, &y, saved) ? y : NULL;
}

assay_tensor *assay_scale(assay_tape *tape, assay_tensor *x, float factor)
{
    if (!op_takes(tape, "scale", 1, (const assay_tensor *[]){x}))
        return NULL;
    return scaled(tape, &scale_op, x, factor, x->dtype);
}

static const assay_op cast_op = {sizeof(assay_op), "cast", scale_backward};

assay_tensor *assay_cast(assay_tape *tape, assay_tensor *x, assay_dtype dtype)
{
    if (!op_takes(tape, "cast", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (dtype != ASSAY_F32 && dtype != ASSAY_BF16)
        return assay_tape_fail(tape, ASSAY_BAD_INPUT,
                               (assay_failure){.where = "cast",
                                               .what = "not a floating dtype",
                                               .expected = "f32 or bf16",
                                               .got = assay_dtype_name(dtype)});
    return x->dtype == dtype ? x : scaled(tape, &cast_op, x, 1.0f, dtype);
}
