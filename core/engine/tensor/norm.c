/* norm.c - RMS and layer norm over the last axis. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

typedef struct norm_saved {
    float *mean, *rstd; /* (R) */
} norm_saved;

static bool norm_fits(assay_tape *tape, const char *op, const assay_tensor *x,
                      const assay_tensor *vector)
{
    if (x->rank >= 1 && (!vector || (vector->rank == 1 && vector->shape[0] == op_width(x))))
        return true;
    op_mismatch(tape, op, "weight or bias does not fit x",
                assay_text("(%" PRId64 ") for x %s", op_width(x), assay_tensor_text(x)), vector);
    return false;
}

static bool rms_norm_backward(assay_tape *tape, const assay_node *node)
{
    const norm_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0];
    operand in = operand_read(tape, x), w = operand_read(tape, node->inputs[1]);
    assay_grad_target d_x = assay_tape_grad(tape, x), d_w = assay_tape_grad(tape, node->inputs[1]);
    if (op_sound(tape))
        op_kernels(tape)->d_rms_norm(op_rows(x), op_width(x), in.data, w.data, saved->rstd,
                                     node->outputs[0]->grad, d_x.data, d_x.add, d_w.data, d_w.add);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op rms_norm_op = {sizeof(assay_op), "rms_norm", rms_norm_backward};

assay_tensor *assay_rms_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight, float eps)
{
    assay_tensor *const inputs[] = {x, weight};
    assay_tensor *y = NULL;
    norm_saved *saved = NULL;
    operand in, w, out;
    if (!op_takes(tape, "rms_norm", 2, (const assay_tensor *[]){x, weight}) ||
        !norm_fits(tape, "rms_norm", x, weight))
        return NULL;
    y = op_like(tape, x, op_activation_dtype(tape));
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (norm_saved){NULL, operand_scratch(tape, op_rows(x)).data};
    in = operand_read(tape, x);
    w = operand_read(tape, weight);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->rms_norm(op_rows(x), op_width(x), in.data, w.data, eps, out.data,
                               saved->rstd);
    operand_store(tape, &out, y);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return assay_tape_record(tape, &rms_norm_op, 2, inputs, 1, &y, saved) ? y : NULL;
}

static bool layer_norm_backward(assay_tape *tape, const assay_node *node)
{
    const norm_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0], *weight = node->inputs[1];
    operand in = operand_read(tape, x), w = {NULL, 0};
    assay_grad_target d_x = assay_tape_grad(tape, x), d_w = assay_tape_grad(tape, weight);
    assay_grad_target d_b = assay_tape_grad(tape, node->inputs[2]);
    if (weight)
        w = operand_read(tape, weight);
    if (op_sound(tape))
        op_kernels(tape)->d_layer_norm(op_rows(x), op_width(x), in.data, w.data, saved->mean,
                                       saved->rstd, node->outputs[0]->grad, d_x.data, d_x.add,
                                       d_w.data, d_w.add, d_b.data, d_b.add);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op layer_norm_op = {sizeof(assay_op), "layer_norm", layer_norm_backward};

assay_tensor *assay_layer_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                               assay_tensor *bias, float eps)
{
    assay_tensor *const inputs[] = {x, weight, bias};
    assay_tensor *y = NULL;
    norm_saved *saved = NULL;
    operand in, w = {NULL, 0}, b = {NULL, 0}, out;
    for (int i = 0; i < 3; i++)
        if ((i == 0 || inputs[i]) &&
            !op_takes(tape, "layer_norm", 1, (const assay_tensor *[]){inputs[i]}))
            return NULL;
    if (!norm_fits(tape, "layer_norm", x, weight) || !norm_fits(tape, "layer_norm", x, bias))
        return NULL;
    y = op_like(tape, x, op_activation_dtype(tape));
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    saved->mean = operand_scratch(tape, op_rows(x)).data;
    saved->rstd = operand_scratch(tape, op_rows(x)).data;
    in = operand_read(tape, x);
    if (weight)
        w = operand_read(tape, weight);
    if (bias)
        b = operand_read(tape, bias);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->layer_norm(op_rows(x), op_width(x), in.data, w.data, b.data, eps, out.data,
                                 saved->mean, saved->rstd);
    operand_store(tape, &out, y);
    operand_end(tape, &b);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return assay_tape_record(tape, &layer_norm_op, 3, inputs, 1, &y, saved) ? y : NULL;
}
