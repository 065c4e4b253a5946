/* activation.c - activations on their own, and silu(gate) * up. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

/* ---- activations ---- */

static bool activate_backward(assay_tape *tape, const assay_node *node)
{
    const assay_activation *activation = node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    operand x = operand_read(tape, node->inputs[0]);
    if (to.data && op_sound(tape))
        op_kernels(tape)->d_activation((device_activation)*activation,
                                       assay_tensor_count(node->inputs[0]), x.data,
                                       node->outputs[0]->grad, to.data, to.add);
    operand_end(tape, &x);
    return op_sound(tape);
}

static const assay_op activate_op = {sizeof(assay_op), "activate", activate_backward};

assay_tensor *assay_activate(assay_tape *tape, assay_tensor *x, assay_activation activation)
{
    assay_tensor *y = NULL;
    assay_activation *saved = NULL;
    operand in, out;
    if (!op_takes(tape, "activate", 1, (const assay_tensor *[]){x}) ||
        !op_takes_activation(tape, "activate", activation))
        return NULL;
    y = op_like(tape, x, x->dtype);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = activation;
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->activation((device_activation)activation, assay_tensor_count(x), in.data,
                                 out.data);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &activate_op, 1, &x, 1, &y, saved) ? y : NULL;
}

/* ---- silu(gate) * up ---- */

static bool silu_product_backward(assay_tape *tape, const assay_node *node)
{
    int64_t n = assay_tensor_count(node->outputs[0]);
    operand g = operand_read(tape, node->inputs[0]), u = operand_read(tape, node->inputs[1]);
    operand spare = operand_scratch(tape, n);
    assay_grad_target d_g = assay_tape_grad(tape, node->inputs[0]);
    assay_grad_target d_u = assay_tape_grad(tape, node->inputs[1]);
    if (op_sound(tape))
        op_kernels(tape)->d_silu_product(n, g.data, u.data, node->outputs[0]->grad,
                                         d_g.data ? d_g.data : spare.data, d_g.data && d_g.add,
                                         d_u.data ? d_u.data : spare.data, d_u.data && d_u.add);
    operand_end(tape, &spare);
    operand_end(tape, &u);
    operand_end(tape, &g);
    return op_sound(tape);
}

static const assay_op silu_product_op = {sizeof(assay_op), "silu_product", silu_product_backward};

assay_tensor *assay_silu_product(assay_tape *tape, assay_tensor *gate, assay_tensor *up)
{
    assay_tensor *const inputs[] = {gate, up};
    assay_tensor *h = NULL;
    operand g, u, out;
    if (!op_takes(tape, "silu_product", 2, (const assay_tensor *[]){gate, up}))
        return NULL;
    if (!assay_tensor_same_shape(gate, up))
        return op_mismatch(tape, "silu_product", "gate and up differ in shape",
                           assay_tensor_text(gate), up);
    h = op_like(tape, gate, gate->dtype);
    if (!h)
        return NULL;
    g = operand_read(tape, gate);
    u = operand_read(tape, up);
    out = operand_for(tape, h);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->silu_product(assay_tensor_count(h), g.data, u.data, out.data);
    operand_store(tape, &out, h);
    operand_end(tape, &u);
    operand_end(tape, &g);
    return assay_tape_record(tape, &silu_product_op, 2, inputs, 1, &h, NULL) ? h : NULL;
}
