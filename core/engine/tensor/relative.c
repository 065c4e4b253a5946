/* relative.c - a table of biases by displacement, spread over the pairs of a grid (infrared spec 1.4).
 *
 * Written head by head so that a head's map is filled and summed in order: the same bits whatever
 * runs beside it. */
#include <assay/attention.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

/* Entries of the table. */
static int64_t entries(int64_t grid)
{
    return (2 * grid - 1) * (2 * grid - 1) + 3;
}

/* The entry of query token i and key token j, token 0 being the class. */
static int64_t entry_of(int64_t grid, int64_t i, int64_t j)
{
    if (i == 0 || j == 0)
        return entries(grid) - (i > 0 ? 2 : j > 0 ? 3 : 1);
    int64_t down = (i - 1) / grid - (j - 1) / grid, right = (i - 1) % grid - (j - 1) % grid;
    return (down + grid - 1) * (2 * grid - 1) + right + grid - 1;
}

static bool relative_backward(assay_tape *tape, const assay_node *node)
{
    const int64_t *grid = node->saved;
    const assay_tensor *y = node->outputs[0];
    int64_t heads = y->shape[1], tokens = y->shape[2];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (!to.data)
        return op_sound(tape);
    if (!to.add)
        op_kernels(tape)->fill(assay_tensor_count(node->inputs[0]), 0.0f, to.data, false);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < tokens; i++)
            for (int64_t j = 0; j < tokens; j++)
                to.data[entry_of(*grid, i, j) * heads + h] +=
                    y->grad[(h * tokens + i) * tokens + j];
    return op_sound(tape);
}

static const assay_op relative_op = {sizeof(assay_op), "relative_bias", relative_backward};

assay_tensor *assay_relative_bias(assay_tape *tape, assay_tensor *table, int64_t grid)
{
    if (!op_takes(tape, "relative_bias", 1, (const assay_tensor *[]){table}))
        return NULL;
    if (grid < 1 || grid > 4096 || table->dtype != ASSAY_F32 || table->rank != 2 ||
        table->shape[0] != entries(grid))
        return op_mismatch(tape, "relative_bias", "the table does not fit the grid",
                           assay_text("(%" PRId64 ", heads) f32", entries(grid)), table);
    int64_t heads = table->shape[1], tokens = 1 + grid * grid;
    int64_t *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, heads, tokens, tokens});
    if (!saved || !y)
        return NULL;
    *saved = grid;
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < tokens; i++)
            for (int64_t j = 0; j < tokens; j++)
                assay_f32(y)[(h * tokens + i) * tokens + j] =
                    assay_f32(table)[entry_of(grid, i, j) * heads + h];
    return assay_tape_record(tape, &relative_op, 1, &table, 1, &y, saved) ? y : NULL;
}
