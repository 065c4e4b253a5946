/* dropout.c - dropout, of elements, channels or paths, at addressed random numbers: the backward
 * pass draws the same ones again instead of keeping a mask. */
#include <assay/maps.h>

#include "engine/tensor/operand.h"

typedef struct dropout_saved {
    float p;
    assay_stream stream;
    int64_t rows; /* drawn together: of drop path (B), of dropout2d (B C); 0: every element alone */
    const float *factor; /* (rows), or NULL */
} dropout_saved;

static bool drops(assay_tape *tape, const char *op, const assay_tensor *x, float p)
{
    if (!op_takes(tape, op, 1, (const assay_tensor *[]){x}))
        return false;
    if (p >= 0.0f && p < 1.0f)
        return assay_tape_step(tape).training && p > 0.0f;
    assay_tape_fail(tape, ASSAY_BAD_INPUT,
                    (assay_failure){.where = op,
                                    .what = "the probability is out of range",
                                    .expected = "0 <= p < 1",
                                    .got = assay_text("%g", (double)p)});
    return false;
}

static void dropout_apply(assay_tape *tape, const dropout_saved *saved, const assay_tensor *x,
                          const float *from, float *to, bool add)
{
    int64_t n = assay_tensor_count(x);
    if (saved->rows)
        op_kernels(tape)->scale_rows(saved->rows, n / saved->rows, from, saved->factor, to, add);
    else
        op_kernels(tape)->dropout(n, from, saved->p, saved->stream, to, add);
}

static bool dropout_backward(assay_tape *tape, const assay_node *node)
{
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        dropout_apply(tape, node->saved, node->inputs[0], node->outputs[0]->grad, to.data, to.add);
    return op_sound(tape);
}

static const assay_op dropout_op = {sizeof(assay_op), "dropout", dropout_backward};

/* Drawn here, few as they are, and sent. */
static const float *row_factors(assay_tape *tape, const dropout_saved *saved)
{
    int64_t bytes = saved->rows * (int64_t)sizeof(float);
    float *factor = assay_tape_scratch(tape, bytes);
    for (int64_t r = 0; r < saved->rows && factor; r++)
        factor[r] = assay_random_uniform(saved->stream, (uint64_t)r) >= saved->p
                        ? 1.0f / (1.0f - saved->p)
                        : 0.0f;
    return op_sent(tape, factor, bytes);
}

/* `rows` > 0: one decision for each of so many equal parts of x. */
static assay_tensor *drop(assay_tape *tape, assay_tensor *x, float p, const char *family,
                          const char *name, int64_t rows)
{
    assay_step step = assay_tape_step(tape);
    assay_tensor *y = op_like(tape, x, x->dtype);
    dropout_saved *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    operand in, out;
    if (!y || !saved)
        return NULL;
    saved->p = p;
    saved->stream = assay_stream_of(step.seed, assay_text("%s/%s", family, name), step.clock);
    saved->rows = rows;
    saved->factor = rows ? row_factors(tape, saved) : NULL;
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    dropout_apply(tape, saved, x, in.data, out.data, false);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &dropout_op, 1, &x, 1, &y, saved) ? y : NULL;
}

assay_tensor *assay_dropout(assay_tape *tape, assay_tensor *x, float p, const char *name)
{
    if (!drops(tape, "dropout", x, p))
        return op_sound(tape) ? x : NULL;
    return drop(tape, x, p, "dropout", name, 0);
}

assay_tensor *assay_drop_path(assay_tape *tape, assay_tensor *x, float p, const char *name)
{
    if (!drops(tape, "drop_path", x, p))
        return op_sound(tape) ? x : NULL;
    return drop(tape, x, p, "drop_path", name, x->rank ? x->shape[0] : 1);
}

assay_tensor *assay_dropout2d(assay_tape *tape, assay_tensor *x, float p, const char *name)
{
    if (!op_takes(tape, "dropout2d", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (x->rank != 4)
        return op_mismatch(tape, "dropout2d", "maps are needed", "(B, C, H, W)", x);
    if (!drops(tape, "dropout2d", x, p))
        return op_sound(tape) ? x : NULL;
    return drop(tape, x, p, "dropout2d", name, x->shape[0] * x->shape[1]);
}
