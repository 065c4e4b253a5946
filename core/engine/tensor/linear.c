/* linear.c - linear layers and the gated MLP: their three products, forward and backward. R rows, I
 * inputs, O outputs, F inner width. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <string.h>

/* x's shape with another last extent. */
static assay_tensor *with_width(assay_tape *tape, const assay_tensor *x, int64_t width,
                                assay_dtype dtype)
{
    int64_t shape[ASSAY_MAX_RANK];
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = width;
    return assay_tape_tensor(tape, dtype, x->rank, shape);
}

/* ---- the three products of a linear layer, of factors as factor_precision has them ---- */

/* y (R, O) = x (R, I) w (O, I)^T */
static device_gemm product_of(const assay_tape *tape, int64_t r, int64_t i, int64_t o,
                              const float *x, const float *w, float *y)
{
    return (device_gemm){.a = x,
                         .b = w,
                         .c = y,
                         .m = r,
                         .n = o,
                         .k = i,
                         .lda = i,
                         .ldb = i,
                         .ldc = o,
                         .precision = factor_precision(tape),
                         .transpose_b = true};
}

static void product(const assay_tape *tape, int64_t r, int64_t i, int64_t o, const void *x,
                    const void *w, float *y)
{
    device_gemm g = product_of(tape, r, i, o, x, w, y);
    op_kernels(tape)->gemm(&g);
}

/* d_x (R, I) = [d_x +] d_y (R, O) w (O, I) */
static void product_back(const assay_tape *tape, int64_t r, int64_t i, int64_t o, const void *d_y,
                         const void *w, assay_grad_target d_x)
{
    op_kernels(tape)->gemm(&(device_gemm){.a = d_y,
                                          .b = w,
                                          .c = d_x.data,
                                          .m = r,
                                          .n = i,
                                          .k = o,
                                          .lda = o,
                                          .ldb = i,
                                          .ldc = i,
                                          .precision = factor_precision(tape),
                                          .add = d_x.add});
}

/* d_w (O, I) = [d_w +] d_y (R, O)^T x (R, I) */
static void product_weight(const assay_tape *tape, int64_t r, int64_t i, int64_t o, const void *d_y,
                           const void *x, assay_grad_target d_w)
{
    op_kernels(tape)->gemm(&(device_gemm){.a = d_y,
                                          .b = x,
                                          .c = d_w.data,
                                          .m = o,
                                          .n = i,
                                          .k = r,
                                          .lda = o,
                                          .ldb = i,
                                          .ldc = i,
                                          .precision = factor_precision(tape),
                                          .transpose_a = true,
                                          .add = d_w.add});
}

/* The gradients of y = x w^T for x and w, from d_y (R, O), a factor already. */
static void product_grads(assay_tape *tape, int64_t out, const void *d_y, assay_tensor *x,
                          assay_tensor *weight)
{
    int64_t rows = op_rows(x), in = op_width(x);
    assay_grad_target to = assay_tape_grad(tape, x);
    if (to.data) {
        op_factor w = factor_of(tape, factor_precision(tape), weight);
        if (op_sound(tape))
            product_back(tape, rows, in, out, d_y, w.data, to);
        factor_end(tape, &w);
    }
    to = assay_tape_grad(tape, weight);
    if (to.data) {
        op_factor input = factor_of(tape, factor_precision(tape), x);
        if (op_sound(tape))
            product_weight(tape, rows, in, out, d_y, input.data, to);
        factor_end(tape, &input);
    }
}

static bool weight_fits(assay_tape *tape, const char *op, const assay_tensor *x,
                        const assay_tensor *weight)
{
    if (x->rank < 1) {
        op_mismatch(tape, op, "x has no last axis", "(..., inputs)", x);
        return false;
    }
    if (weight->rank == 2 && weight->shape[1] == op_width(x))
        return true;
    op_mismatch(tape, op, "the weight does not fit x",
                assay_text("(outputs, %" PRId64 ") for x %s", op_width(x), assay_tensor_text(x)),
                weight);
    return false;
}

/* ---- linear ---- */

typedef struct linear_saved {
    assay_activation activation;
    /* What the activation's gradient is worked out from: its input, for ReLU its output, which is
     * positive where the input is. NULL for the identity. */
    assay_tensor *z;
} linear_saved;

static bool linear_backward(assay_tape *tape, const assay_node *node)
{
    const assay_kernels *k = op_kernels(tape);
    const linear_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0], *weight = node->inputs[1], *bias = node->inputs[2];
    assay_tensor *y = node->outputs[0];
    int64_t rows = op_rows(x), out = op_width(y), n = rows * out;
    operand own = {NULL, 0};
    op_factor d = {NULL, 0};
    float *d_z = y->grad;
    assay_grad_target to;
    if (saved->activation != ASSAY_IDENTITY) {
        operand z = operand_read(tape, saved->z);
        if (y->keeps_grad) {
            own = operand_scratch(tape, n);
            d_z = own.data;
        }
        if (!op_sound(tape))
            return false;
        k->d_activation((device_activation)saved->activation, n, z.data, y->grad, d_z, false);
        operand_end(tape, &z);
    }
    to = assay_tape_grad(tape, bias);
    if (to.data)
        k->sum_rows(rows, out, d_z, NULL, to.data, to.add);
    d = factor_of_numbers(tape, factor_precision(tape), d_z, n);
    if (op_sound(tape))
        product_grads(tape, out, d.data, x, weight);
    factor_end(tape, &d);
    operand_end(tape, &own);
    return op_sound(tape);
}

static const assay_op linear_op = {sizeof(assay_op), "linear", linear_backward};

/* y = activation(x w^T + b). Identity and ReLU are computed with the product. The other activations
 * take a pass of their own, which keeps z = x w^T + b where `z` is another array and adds the bias
 * unless the product does so at no cost. */
static void layer(const assay_tape *tape, device_gemm g, const float *bias,
                  assay_activation activation, float *y)
{
    bool whole = activation == ASSAY_IDENTITY || activation == ASSAY_RELU;
    bool biased = whole || assay_tape_device(tape)->gemm_adds_bias;
    g.bias = biased ? bias : NULL;
    g.activation = whole ? (device_activation)activation : DEVICE_IDENTITY;
    op_kernels(tape)->gemm(&g);
    if (!whole)
        op_kernels(tape)->bias_activation((device_activation)activation, g.m, g.n, g.c,
                                          biased ? NULL : bias, y);
}

assay_tensor *assay_linear(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                           assay_tensor *bias, assay_activation activation)
{
    assay_tensor *const inputs[] = {x, weight, bias};
    assay_tensor *y = NULL, *z = NULL;
    linear_saved *saved = NULL;
    op_factor in, w;
    operand b = {NULL, 0}, sums, result;
    bool records, keep_z;
    if (!op_takes(tape, "linear", bias ? 3 : 2, (const assay_tensor *[]){x, weight, bias}) ||
        !op_takes_activation(tape, "linear", activation) || !weight_fits(tape, "linear", x, weight))
        return NULL;
    if (bias && (bias->rank != 1 || bias->shape[0] != weight->shape[0]))
        return op_mismatch(tape, "linear", "the bias does not fit the weight",
                           assay_text("(%" PRId64 ")", weight->shape[0]), bias);
    records = activation != ASSAY_IDENTITY && assay_tape_records(tape, 3, inputs);
    keep_z = records && activation != ASSAY_RELU;
    y = with_width(tape, x, weight->shape[0], op_activation_dtype(tape));
    z = keep_z ? with_width(tape, x, weight->shape[0], op_activation_dtype(tape)) : y;
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !z || !saved)
        return NULL;
    in = factor_of(tape, factor_precision(tape), x);
    w = factor_of(tape, factor_precision(tape), weight);
    if (bias)
        b = operand_read(tape, bias);
    sums = operand_for(tape, z);
    result = keep_z ? operand_for(tape, y) : sums;
    if (!op_sound(tape))
        return NULL;
    layer(tape,
          product_of(tape, op_rows(x), op_width(x), weight->shape[0], in.data, w.data, sums.data),
          b.data, activation, result.data);
    operand_store(tape, &result, y);
    if (keep_z)
        operand_store(tape, &sums, z);
    operand_end(tape, &b);
    factor_end(tape, &w);
    factor_end(tape, &in);
    *saved = (linear_saved){activation, records ? z : NULL};
    return assay_tape_record(tape, &linear_op, 3, inputs, 1, &y, saved) ? y : NULL;
}

/* ---- gated MLP ---- */

typedef struct gated_saved {
    assay_tensor *g, *u; /* (R, F) */
} gated_saved;

/* d_h = d_y down, then d_down with h computed again, then d_g and d_u, then x and the two
 * weights. */
static bool gated_mlp_backward(assay_tape *tape, const assay_node *node)
{
    const assay_kernels *k = op_kernels(tape);
    const gated_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0], *y = node->outputs[0];
    int64_t rows = op_rows(x), width = op_width(x), inner = op_width(saved->g), n = rows * inner;
    device_precision precision = factor_precision(tape);
    op_factor d_y = factor_of_numbers(tape, precision, y->grad, rows * width);
    operand g = operand_read(tape, saved->g), u = operand_read(tape, saved->u);
    operand h = operand_scratch(tape, n), d_h = operand_scratch(tape, n);
    operand d_u = operand_scratch(tape, n);
    op_factor down = factor_of(tape, precision, node->inputs[3]);
    assay_grad_target d_down = assay_tape_grad(tape, node->inputs[3]);
    if (!op_sound(tape))
        return false;
    product_back(tape, rows, inner, width, d_y.data, down.data,
                 (assay_grad_target){d_h.data, false});
    factor_end(tape, &down);
    if (d_down.data) {
        k->silu_product(n, g.data, u.data, h.data);
        op_factor again = factor_of_numbers(tape, precision, h.data, n);
        if (!op_sound(tape))
            return false;
        product_weight(tape, rows, inner, width, d_y.data, again.data, d_down);
        factor_end(tape, &again);
    }
    factor_end(tape, &d_y);
    k->d_silu_product(n, g.data, u.data, d_h.data, h.data, false, d_u.data, false);
    operand_end(tape, &d_h);
    operand_end(tape, &u);
    operand_end(tape, &g);
    for (int i = 1; i <= 2; i++) { /* the gate's path, then up's: h holds d_g by now */
        op_factor d = factor_of_numbers(tape, precision, i == 1 ? h.data : d_u.data, n);
        if (op_sound(tape))
            product_grads(tape, inner, d.data, x, node->inputs[i]);
        factor_end(tape, &d);
    }
    operand_end(tape, &d_u);
    operand_end(tape, &h);
    return op_sound(tape);
}

static const assay_op gated_mlp_op = {sizeof(assay_op), "gated_mlp", gated_mlp_backward};

static bool gated_fits(assay_tape *tape, const assay_tensor *x, const assay_tensor *gate,
                       const assay_tensor *up, const assay_tensor *down)
{
    static const char op[] = "gated_mlp";
    int64_t width, inner;
    if (!op_takes(tape, op, 4, (const assay_tensor *[]){x, gate, up, down}) ||
        !weight_fits(tape, op, x, gate) || !weight_fits(tape, op, x, up))
        return false;
    width = op_width(x), inner = gate->shape[0];
    if (up->shape[0] != inner) {
        op_mismatch(tape, op, "gate and up differ in shape", assay_tensor_text(gate), up);
        return false;
    }
    if (down->rank != 2 || down->shape[0] != width || down->shape[1] != inner) {
        op_mismatch(tape, op, "the down projection does not fit",
                    assay_text("(%" PRId64 ", %" PRId64 ")", width, inner), down);
        return false;
    }
    return true;
}

/* part (R, F) = x w^T, in the memory of `kept` or, when nothing is recorded, in scratch. */
static operand gated_part(assay_tape *tape, const void *x, int64_t rows, int64_t width,
                          const assay_tensor *weight, assay_tensor *kept)
{
    int64_t inner = weight->shape[0];
    operand part = kept ? operand_for(tape, kept) : operand_scratch(tape, rows * inner);
    op_factor w = factor_of(tape, factor_precision(tape), weight);
    if (op_sound(tape))
        product(tape, rows, width, inner, x, w.data, part.data);
    factor_end(tape, &w);
    return part;
}

/* y (R, D) = h down^T with h (R, F) = silu(g) u in scratch. */
static void gated_close(assay_tape *tape, const float *g, const float *u, int64_t rows,
                        const assay_tensor *down, assay_tensor *y)
{
    int64_t width = down->shape[0], inner = down->shape[1];
    operand h = operand_scratch(tape, rows * inner), out;
    op_factor rounded, w;
    if (!op_sound(tape))
        return;
    op_kernels(tape)->silu_product(rows * inner, g, u, h.data);
    rounded = factor_of_numbers(tape, factor_precision(tape), h.data, rows * inner);
    w = factor_of(tape, factor_precision(tape), down);
    out = operand_for(tape, y);
    if (op_sound(tape))
        product(tape, rows, inner, width, rounded.data, w.data, out.data);
    operand_store(tape, &out, y);
    factor_end(tape, &w);
    factor_end(tape, &rounded);
    operand_end(tape, &h);
}

assay_tensor *assay_gated_mlp(assay_tape *tape, assay_tensor *x, assay_tensor *gate,
                              assay_tensor *up, assay_tensor *down)
{
    assay_tensor *const inputs[] = {x, gate, up, down};
    assay_dtype dtype = op_activation_dtype(tape);
    assay_tensor *y = NULL, *g = NULL, *u = NULL;
    gated_saved *saved = NULL;
    op_factor in;
    operand g_part, u_part;
    if (!gated_fits(tape, x, gate, up, down))
        return NULL;
    if (assay_tape_records(tape, 4, inputs)) {
        g = with_width(tape, x, gate->shape[0], dtype);
        u = with_width(tape, x, gate->shape[0], dtype);
    }
    y = op_like(tape, x, dtype);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    in = factor_of(tape, factor_precision(tape), x);
    if (!op_sound(tape))
        return NULL;
    g_part = gated_part(tape, in.data, op_rows(x), op_width(x), gate, g);
    u_part = gated_part(tape, in.data, op_rows(x), op_width(x), up, u);
    factor_end(tape, &in);
    gated_close(tape, g_part.data, u_part.data, op_rows(x), down, y);
    if (!op_sound(tape))
        return NULL;
    if (g)
        operand_store(tape, &g_part, g);
    if (u)
        operand_store(tape, &u_part, u);
    operand_end(tape, &u_part);
    operand_end(tape, &g_part);
    *saved = (gated_saved){g, u};
    return assay_tape_record(tape, &gated_mlp_op, 4, inputs, 1, &y, saved) ? y : NULL;
}
