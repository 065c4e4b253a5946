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

/* The three entries that the class token has a part in. */
enum { CLASS_TO_ANY = 3, ANY_TO_CLASS = 2, CLASS_TO_CLASS = 1 }; /* counted from the end */

/* Where query patch (y, x) reads for the keys of row `down` and columns 0, 1 ...: backwards from here. */
static int64_t first_of(int64_t grid, int64_t y, int64_t x, int64_t down)
{
    return (y - down + grid - 1) * (2 * grid - 1) + x + grid - 1;
}

/* One head's biases (T, T) from its column of the table. */
static void spread(int64_t grid, const float *column, float *map)
{
    const int64_t patches = grid * grid, last = entries(grid);
    map[0] = column[last - CLASS_TO_CLASS];
    for (int64_t j = 0; j < patches; j++)
        map[1 + j] = column[last - CLASS_TO_ANY];
    for (int64_t i = 0; i < patches; i++) {
        float *row = map + (1 + i) * (1 + patches);
        row[0] = column[last - ANY_TO_CLASS];
        for (int64_t down = 0; down < grid; down++) {
            const float *from = column + first_of(grid, i / grid, i % grid, down);
            for (int64_t right = 0; right < grid; right++)
                row[1 + down * grid + right] = from[-right];
        }
    }
}

/* The sums of a head's gradients (T, T) into its column. */
static void gather(int64_t grid, const float *map, float *column)
{
    const int64_t patches = grid * grid, last = entries(grid);
    for (int64_t k = 0; k < last; k++)
        column[k] = 0.0f;
    column[last - CLASS_TO_CLASS] = map[0];
    for (int64_t j = 0; j < patches; j++)
        column[last - CLASS_TO_ANY] += map[1 + j];
    for (int64_t i = 0; i < patches; i++) {
        const float *row = map + (1 + i) * (1 + patches);
        column[last - ANY_TO_CLASS] += row[0];
        for (int64_t down = 0; down < grid; down++) {
            float *to = column + first_of(grid, i / grid, i % grid, down);
            for (int64_t right = 0; right < grid; right++)
                to[-right] += row[1 + down * grid + right];
        }
    }
}

static bool relative_backward(assay_tape *tape, const assay_node *node)
{
    const int64_t grid = *(const int64_t *)node->saved, count = entries(grid);
    const assay_tensor *y = node->outputs[0];
    int64_t heads = y->shape[1], pairs = y->shape[2] * y->shape[3];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (!to.data)
        return op_sound(tape);
    operand column = operand_scratch(tape, count);
    if (!op_sound(tape))
        return false;
    for (int64_t h = 0; h < heads; h++) {
        gather(grid, y->grad + h * pairs, column.data);
        for (int64_t k = 0; k < count; k++)
            to.data[k * heads + h] = column.data[k] + (to.add ? to.data[k * heads + h] : 0.0f);
    }
    operand_end(tape, &column);
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
    int64_t heads = table->shape[1], tokens = 1 + grid * grid, count = entries(grid);
    int64_t *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, heads, tokens, tokens});
    operand column = operand_scratch(tape, count);
    if (!saved || !y || !op_sound(tape))
        return NULL;
    *saved = grid;
    for (int64_t h = 0; h < heads; h++) {
        for (int64_t k = 0; k < count; k++)
            column.data[k] = assay_f32(table)[k * heads + h];
        spread(grid, column.data, assay_f32(y) + h * tokens * tokens);
    }
    operand_end(tape, &column);
    return assay_tape_record(tape, &relative_op, 1, &table, 1, &y, saved) ? y : NULL;
}
