/* embedding.c - rows of a table by integer index. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <string.h>

static bool embedding_backward(assay_tape *tape, const assay_node *node)
{
    const assay_tensor *ids = node->saved;
    assay_tensor *table = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, table);
    if (to.data)
        op_kernels(tape)->scatter_rows(assay_tensor_count(ids), table->shape[1], table->shape[0],
                                       node->outputs[0]->grad, op_in(tape, ids), to.data, to.add);
    return op_sound(tape);
}

static const assay_op embedding_op = {sizeof(assay_op), "embedding", embedding_backward};

assay_tensor *op_rows_by_index(assay_tape *tape, const char *op, assay_tensor *table,
                               const assay_tensor *ids, assay_dtype dtype)
{
    int64_t shape[ASSAY_MAX_RANK] = {0}, n;
    const int32_t *id = NULL;
    assay_tensor *y = NULL;
    operand in, out;
    if (!op_takes(tape, op, 1, (const assay_tensor *[]){table}) || !op_takes_ints(tape, op, ids))
        return NULL;
    if (table->rank != 2)
        return op_mismatch(tape, op, "rows are taken from a matrix", "(rows, width)", table);
    if (ids->rank >= ASSAY_MAX_RANK)
        return op_mismatch(tape, op, "ids of too high a rank",
                           assay_text("rank below %d", ASSAY_MAX_RANK), ids);
    n = assay_tensor_count(ids);
    id = op_ints(ids);
    for (int64_t i = 0; i < n; i++)
        if (id[i] < 0 || id[i] >= table->shape[0])
            return assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){.where = op,
                                .what = assay_text("id %" PRId64 " is out of range", i),
                                .expected = assay_text("0 to %" PRId64, table->shape[0] - 1),
                                .got = assay_text("%" PRId32, id[i])});
    memcpy(shape, ids->shape, (size_t)ids->rank * sizeof *shape);
    shape[ids->rank] = table->shape[1];
    y = assay_tape_tensor(tape, dtype, ids->rank + 1, shape);
    if (!y)
        return NULL;
    in = operand_read(tape, table);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->gather_rows(n, table->shape[1], in.data, op_in(tape, ids), out.data);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &embedding_op, 1, &table, 1, &y, ids) ? y : NULL;
}

assay_tensor *assay_embedding(assay_tape *tape, assay_tensor *table, const assay_tensor *ids)
{
    return op_rows_by_index(tape, "embedding", table, ids, ASSAY_F32);
}

assay_tensor *assay_patch_targets(assay_tape *tape, const assay_tensor *patches,
                                  const assay_tensor *index, int64_t channels, bool normalise)
{
    if (!op_takes(tape, "patch_targets", 1, &patches) ||
        !op_takes_ints(tape, "patch_targets", index))
        return NULL;
    if (patches->dtype != ASSAY_F32 || patches->rank < 1 || index->rank != 1 || channels < 1)
        return op_mismatch(tape, "patch_targets", "rows of patches are listed, each of some pixels",
                           "patches (..., N) f32, index (R) i32, channels >= 1", patches);
    int64_t rows = index->shape[0], pixels = op_width(patches), width = 0;
    const int32_t *row = op_ints(index);
    for (int64_t r = 0; r < rows; r++)
        if (row[r] < 0 || row[r] >= op_rows(patches))
            return assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){.where = "patch_targets",
                                .what = assay_text("index %" PRId64 " is out of range", r),
                                .expected = assay_text("0 to %" PRId64, op_rows(patches) - 1),
                                .got = assay_text("%" PRId32, row[r])});
    if (!assay_size_mul(&width, pixels, channels))
        return op_mismatch(tape, "patch_targets", "too many channels", "fewer", patches);
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){rows, width});
    if (!y)
        return NULL;
    const float *from = op_in(tape, patches);
    const int32_t *ids = op_in(tape, index);
    float *to = op_out(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->patch_targets(rows, pixels, channels, from, ids, normalise, to);
    return y;
}
