/* pooling.c - readouts, similarity and reductions: masked mean, last token, normalise, cosine, dot,
 * sum, mean, softmax. Results are f32. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <string.h>

/* ---- readouts of a sequence (B, T, D) ---- */

static bool masked_mean_backward(assay_tape *tape, const assay_node *node)
{
    const assay_tensor *x = node->inputs[0], *lengths = node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->d_masked_mean(x->shape[0], x->shape[1], x->shape[2],
                                        node->outputs[0]->grad,
                                        lengths ? op_in(tape, lengths) : NULL, to.data, to.add);
    return op_sound(tape);
}

static const assay_op masked_mean_op = {sizeof(assay_op), "masked_mean", masked_mean_backward};

static bool takes_sequence(assay_tape *tape, const char *op, const assay_tensor *x,
                           const assay_tensor *lengths)
{
    if (!op_takes(tape, op, 1, (const assay_tensor *[]){x}))
        return false;
    if (x->rank != 3) {
        op_mismatch(tape, op, "a readout takes a batch of sequences", "(B, T, D)", x);
        return false;
    }
    return op_takes_lengths(tape, op, lengths, x->shape[0], x->shape[1]);
}

assay_tensor *assay_masked_mean(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths)
{
    assay_tensor *y = NULL;
    operand in;
    if (!takes_sequence(tape, "masked_mean", x, lengths))
        return NULL;
    y = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){x->shape[0], x->shape[2]});
    if (!y)
        return NULL;
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->masked_mean(x->shape[0], x->shape[1], x->shape[2], in.data,
                                  lengths ? op_in(tape, lengths) : NULL, op_out(tape, y));
    operand_end(tape, &in);
    return assay_tape_record(tape, &masked_mean_op, 1, &x, 1, &y, lengths) ? y : NULL;
}

assay_tensor *assay_last_token(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths)
{
    assay_tensor *index = NULL, *rows = NULL;
    if (!takes_sequence(tape, "last_token", x, lengths))
        return NULL;
    index = assay_tape_tensor(tape, ASSAY_I32, 1, x->shape);
    if (!index)
        return NULL;
    for (int64_t b = 0; b < x->shape[0]; b++) {
        int64_t length = lengths ? op_ints(lengths)[b] : x->shape[1];
        if (length == 0)
            return assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){.where = "last_token",
                                .what = assay_text("row %" PRId64 " is empty", b),
                                .expected = "at least one token"});
        assay_i32(index)[b] = (int32_t)(b * x->shape[1] + length - 1);
    }
    rows = assay_reshape(tape, x, 2, (int64_t[]){x->shape[0] * x->shape[1], x->shape[2]});
    if (!rows)
        return NULL;
    return op_rows_by_index(tape, "last_token", rows, index, ASSAY_F32);
}

/* ---- normalise, cosine, dot ---- */

typedef struct normalize_saved {
    float eps;
    float *norm; /* (R) */
} normalize_saved;

static bool normalize_backward(assay_tape *tape, const assay_node *node)
{
    const normalize_saved *saved = node->saved;
    const assay_tensor *y = node->outputs[0];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->d_normalize_rows(op_rows(y), op_width(y), op_in(tape, y), saved->norm,
                                           saved->eps, y->grad, to.data, to.add);
    return op_sound(tape);
}

static const assay_op normalize_op = {sizeof(assay_op), "normalize", normalize_backward};

assay_tensor *assay_normalize(assay_tape *tape, assay_tensor *x, float eps)
{
    assay_tensor *y = NULL;
    normalize_saved *saved = NULL;
    operand in;
    if (!op_takes(tape, "normalize", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (x->rank < 1)
        return op_mismatch(tape, "normalize", "x has no last axis", "(..., D)", x);
    y = op_like(tape, x, ASSAY_F32);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (normalize_saved){eps, operand_scratch(tape, op_rows(x)).data};
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->normalize_rows(op_rows(x), op_width(x), in.data, eps, op_out(tape, y),
                                     saved->norm);
    operand_end(tape, &in);
    return assay_tape_record(tape, &normalize_op, 1, &x, 1, &y, saved) ? y : NULL;
}

static bool dot_backward(assay_tape *tape, const assay_node *node)
{
    for (int i = 0; i < 2; i++) {
        const assay_tensor *other = node->inputs[1 - i];
        assay_grad_target to = assay_tape_grad(tape, node->inputs[i]);
        operand factor = {NULL, 0};
        if (!to.data)
            continue;
        factor = operand_read(tape, other);
        if (op_sound(tape))
            op_kernels(tape)->scale_rows(op_rows(other), op_width(other), factor.data,
                                         node->outputs[0]->grad, to.data, to.add);
        operand_end(tape, &factor);
    }
    return op_sound(tape);
}

static const assay_op dot_op = {sizeof(assay_op), "dot", dot_backward};

assay_tensor *assay_dot(assay_tape *tape, assay_tensor *a, assay_tensor *b)
{
    assay_tensor *const inputs[] = {a, b};
    assay_tensor *y = NULL;
    operand left, right;
    if (!op_takes(tape, "dot", 2, (const assay_tensor *[]){a, b}))
        return NULL;
    if (a->rank < 1 || !assay_tensor_same_shape(a, b))
        return op_mismatch(tape, "dot", "rows of equal shape are needed", assay_tensor_text(a), b);
    y = assay_tape_tensor(tape, ASSAY_F32, a->rank - 1, a->shape);
    if (!y)
        return NULL;
    left = operand_read(tape, a);
    right = operand_read(tape, b);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->dot_rows(op_rows(a), op_width(a), left.data, right.data, op_out(tape, y));
    operand_end(tape, &right);
    operand_end(tape, &left);
    return assay_tape_record(tape, &dot_op, 2, inputs, 1, &y, NULL) ? y : NULL;
}

assay_tensor *assay_cosine(assay_tape *tape, assay_tensor *x, assay_tensor *y)
{
    if (!op_takes(tape, "cosine", 2, (const assay_tensor *[]){x, y}))
        return NULL;
    if (x->rank < 1 || !assay_tensor_same_shape(x, y))
        return op_mismatch(tape, "cosine", "rows of equal shape are needed", assay_tensor_text(x),
                           y);
    assay_tensor *a = assay_normalize(tape, x, 1e-8f);
    assay_tensor *b = assay_normalize(tape, y, 1e-8f);
    return assay_dot(tape, a, b);
}

/* Products of similarities stay in fp32 on a bf16 tape: a temperature of 0.02 multiplies their
 * error by 50. */
static bool pairs_backward(assay_tape *tape, const assay_node *node)
{
    const assay_kernels *k = op_kernels(tape);
    const assay_tensor *a = node->inputs[0], *b = node->inputs[1], *y = node->outputs[0];
    int64_t n = a->shape[0], m = b->shape[0], d = a->shape[1];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        k->gemm(&(device_gemm){.a = y->grad,
                               .b = op_in(tape, b),
                               .c = to.data,
                               .m = n,
                               .n = d,
                               .k = m,
                               .lda = m,
                               .ldb = d,
                               .ldc = d,
                               .add = to.add});
    to = assay_tape_grad(tape, node->inputs[1]);
    if (to.data)
        k->gemm(&(device_gemm){.a = y->grad,
                               .b = op_in(tape, a),
                               .c = to.data,
                               .m = m,
                               .n = d,
                               .k = n,
                               .lda = m,
                               .ldb = d,
                               .ldc = d,
                               .transpose_a = true,
                               .add = to.add});
    return op_sound(tape);
}

static const assay_op pairs_op = {sizeof(assay_op), "cosine_matrix", pairs_backward};

assay_tensor *assay_cosine_matrix(assay_tape *tape, assay_tensor *x, assay_tensor *y)
{
    assay_tensor *inputs[2] = {NULL, NULL}, *s = NULL;
    if (!op_takes(tape, "cosine_matrix", 2, (const assay_tensor *[]){x, y}))
        return NULL;
    if (x->rank != 2 || y->rank != 2 || x->shape[1] != y->shape[1])
        return op_mismatch(tape, "cosine_matrix", "rows of equal width are needed",
                           assay_text("(M, D) for x %s", assay_tensor_text(x)), y);
    inputs[0] = assay_normalize(tape, x, 1e-8f);
    inputs[1] = assay_normalize(tape, y, 1e-8f);
    s = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){x->shape[0], y->shape[0]});
    if (!inputs[0] || !inputs[1] || !s)
        return NULL;
    op_kernels(tape)->gemm(&(device_gemm){.a = op_in(tape, inputs[0]),
                                          .b = op_in(tape, inputs[1]),
                                          .c = op_out(tape, s),
                                          .m = x->shape[0],
                                          .n = y->shape[0],
                                          .k = x->shape[1],
                                          .lda = x->shape[1],
                                          .ldb = x->shape[1],
                                          .ldc = y->shape[0],
                                          .transpose_b = true});
    return assay_tape_record(tape, &pairs_op, 2, inputs, 1, &s, NULL) ? s : NULL;
}

/* ---- sum and mean ---- */

static bool sum_backward(assay_tape *tape, const assay_node *node)
{
    const float *factor = node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->fill(assay_tensor_count(node->inputs[0]), *factor, node->outputs[0]->grad,
                               to.data, to.add);
    return op_sound(tape);
}

static const assay_op sum_op = {sizeof(assay_op), "sum", sum_backward};

static assay_tensor *total(assay_tape *tape, assay_tensor *x, double factor)
{
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    float *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    operand in = operand_read(tape, x);
    if (!y || !saved || !op_sound(tape))
        return NULL;
    *saved = (float)factor;
    op_kernels(tape)->sum(assay_tensor_count(x), in.data, factor, op_out(tape, y));
    operand_end(tape, &in);
    return assay_tape_record(tape, &sum_op, 1, &x, 1, &y, saved) ? y : NULL;
}

assay_tensor *assay_sum(assay_tape *tape, assay_tensor *x)
{
    if (!op_takes(tape, "sum", 1, (const assay_tensor *[]){x}))
        return NULL;
    return total(tape, x, 1.0);
}

assay_tensor *assay_mean(assay_tape *tape, assay_tensor *x)
{
    if (!op_takes(tape, "mean", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (assay_tensor_count(x) == 0)
        return op_mismatch(tape, "mean", "the mean of nothing", "at least one element", x);
    return total(tape, x, 1.0 / (double)assay_tensor_count(x));
}

/* ---- softmax ---- */

static bool softmax_backward(assay_tape *tape, const assay_node *node)
{
    const assay_tensor *y = node->outputs[0];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->d_softmax_rows(op_rows(y), op_width(y), op_in(tape, y), y->grad, to.data,
                                         to.add);
    return op_sound(tape);
}

static const assay_op softmax_op = {sizeof(assay_op), "softmax", softmax_backward};

assay_tensor *assay_softmax(assay_tape *tape, assay_tensor *x)
{
    assay_tensor *y = NULL;
    operand in;
    if (!op_takes(tape, "softmax", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (x->rank < 1)
        return op_mismatch(tape, "softmax", "x has no last axis", "(..., C)", x);
    y = op_like(tape, x, ASSAY_F32);
    if (!y)
        return NULL;
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->softmax_rows(op_rows(x), op_width(x), in.data, op_out(tape, y));
    operand_end(tape, &in);
    return assay_tape_record(tape, &softmax_op, 1, &x, 1, &y, NULL) ? y : NULL;
}
