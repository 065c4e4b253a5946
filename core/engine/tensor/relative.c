/* relative.c - a table of biases by displacement, spread over the pairs of a grid (infrared spec
 * 1.4).
 *
 * T = 1 + grid^2 tokens, the class token first. A pair of tokens reads one row of the table: a
 * gather of rows by pair, turned to a map by head; the gradients of a row are added in the order of
 * the pairs. */
#include <assay/attention.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

/* Entries of the table. */
static int64_t entries(int64_t grid)
{
    return (2 * grid - 1) * (2 * grid - 1) + 3;
}

/* The three entries that the class token has a part in. */
enum { CLASS_TO_ANY = 3, ANY_TO_CLASS = 2, CLASS_TO_CLASS = 1 }; /* counted from the end */

/* The entry that the pair of query and key patches i and j reads. */
static int32_t entry_of(int64_t grid, int64_t i, int64_t j)
{
    int64_t down = i / grid - j / grid + grid - 1, right = i % grid - j % grid + grid - 1;
    return (int32_t)(down * (2 * grid - 1) + right);
}

/* The entries of all pairs (T, T), where kernels read them. */
static const int32_t *pairs_of(assay_tape *tape, int64_t grid)
{
    const int64_t patches = grid * grid, tokens = 1 + patches, last = entries(grid);
    const int64_t bytes = tokens * tokens * (int64_t)sizeof(int32_t);
    int32_t *index = assay_tape_scratch(tape, bytes);
    if (!index)
        return NULL;
    index[0] = (int32_t)(last - CLASS_TO_CLASS);
    for (int64_t j = 0; j < patches; j++)
        index[1 + j] = (int32_t)(last - CLASS_TO_ANY);
    for (int64_t i = 0; i < patches; i++) {
        int32_t *row = index + (1 + i) * tokens;
        row[0] = (int32_t)(last - ANY_TO_CLASS);
        for (int64_t j = 0; j < patches; j++)
            row[1 + j] = entry_of(grid, i, j);
    }
    return op_sent(tape, index, bytes);
}

typedef struct relative_saved {
    const int32_t *index; /* (T, T) */
} relative_saved;

static bool relative_backward(assay_tape *tape, const assay_node *node)
{
    const relative_saved *saved = node->saved;
    const assay_tensor *y = node->outputs[0], *table = node->inputs[0];
    int64_t heads = y->shape[1], pairs = y->shape[2] * y->shape[3];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    operand by_pair = operand_scratch(tape, pairs * heads);
    if (to.data && op_sound(tape)) {
        op_kernels(tape)->transpose(1, heads, pairs, y->grad, 0, by_pair.data, 0, false);
        op_kernels(tape)->scatter_rows(pairs, heads, table->shape[0], by_pair.data, saved->index,
                                       to.data, to.add);
    }
    operand_end(tape, &by_pair);
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
    int64_t heads = table->shape[1], tokens = 1 + grid * grid, pairs = tokens * tokens;
    relative_saved *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, heads, tokens, tokens});
    operand by_pair = operand_scratch(tape, pairs * heads), in = operand_read(tape, table);
    if (!saved || !y || !op_sound(tape))
        return NULL;
    saved->index = pairs_of(tape, grid);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->gather_rows(pairs, heads, in.data, saved->index, by_pair.data);
    op_kernels(tape)->transpose(1, pairs, heads, by_pair.data, 0, op_out(tape, y), 0, false);
    operand_end(tape, &in);
    operand_end(tape, &by_pair);
    return assay_tape_record(tape, &relative_op, 1, &table, 1, &y, saved) ? y : NULL;
}
