/* shape.c - the same numbers in another arrangement: reshape, concat, slice, gather, masking of
 * padding, patches of images. */
#include <assay/ops.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>
#include <string.h>

/* ---- reshape ---- */

static const assay_op reshape_op = {sizeof(assay_op), "reshape", tape_pass_back};

assay_tensor *assay_reshape(assay_tape *tape, assay_tensor *x, int rank, const int64_t *shape)
{
    int64_t count = 0;
    assay_tensor *y = NULL;
    if (!op_takes(tape, "reshape", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (rank < 0 || rank > ASSAY_MAX_RANK || !assay_size_count(&count, rank, shape) ||
        count != assay_tensor_count(x))
        return op_mismatch(tape, "reshape", "the counts differ",
                           rank >= 0 && rank <= ASSAY_MAX_RANK ? assay_shape_text(rank, shape)
                                                               : "a rank of 0 to 4",
                           x);
    y = assay_tape_scratch(tape, (int64_t)sizeof *y);
    if (!y)
        return NULL;
    if (!op_in(tape, x)) /* both names stand for the same numbers from here on */
        return NULL;
    *y = *x;
    y->rank = rank;
    y->side.room = tape_room(tape);
    y->grad = y->side.grad_here = NULL;
    y->needs_grad = y->has_grad = y->is_leaf = y->keeps_grad = y->side.borrowed =
        y->side.grad_there = false;
    for (int i = 0; i < ASSAY_MAX_RANK; i++)
        y->shape[i] = i < rank ? shape[i] : 1;
    return assay_tape_record(tape, &reshape_op, 1, &x, 1, &y, NULL) ? y : NULL;
}

/* ---- concat and slice: rows of an outer index, pieces of an inner one ---- */

/* Product of the extents before `axis`, and from it on. */
static void around(const assay_tensor *x, int axis, int64_t *outer, int64_t *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++)
        *outer *= x->shape[i];
    for (int i = axis; i < x->rank; i++)
        *inner *= x->shape[i];
}

static bool axis_of(assay_tape *tape, const char *op, const assay_tensor *x, int axis)
{
    if (axis >= 0 && axis < x->rank)
        return true;
    assay_tape_fail(
        tape, ASSAY_BAD_INPUT,
        (assay_failure){.where = op,
                        .what = "no such axis",
                        .expected = assay_text("0 to %d for %s", x->rank - 1, assay_tensor_text(x)),
                        .got = assay_text("%d", axis)});
    return false;
}

static bool concat_backward(assay_tape *tape, const assay_node *node)
{
    const int *axis = node->saved;
    const assay_tensor *y = node->outputs[0];
    int64_t outer, whole, inner, first = 0;
    around(y, *axis, &outer, &whole);
    for (int i = 0; i < node->input_count; i++) {
        assay_grad_target to = assay_tape_grad(tape, node->inputs[i]);
        around(node->inputs[i], *axis, &outer, &inner);
        if (to.data)
            op_kernels(tape)->copy_rows(outer, inner, y->grad + first, whole, to.data, inner,
                                        to.add);
        first += inner;
    }
    return op_sound(tape);
}

static const assay_op concat_op = {sizeof(assay_op), "concat", concat_backward};

assay_tensor *assay_concat(assay_tape *tape, int n, assay_tensor *const xs[], int axis)
{
    int64_t shape[ASSAY_MAX_RANK], outer, whole, inner, first = 0;
    assay_tensor *y = NULL;
    int *saved = NULL;
    operand out;
    if (n < 1)
        return assay_tape_fail(tape, ASSAY_BAD_INPUT,
                               (assay_failure){.where = "concat", .what = "nothing to join"});
    if (!op_takes(tape, "concat", n, (const assay_tensor *const *)xs) ||
        !axis_of(tape, "concat", xs[0], axis))
        return NULL;
    memcpy(shape, xs[0]->shape, sizeof shape);
    for (int i = 1; i < n; i++) {
        bool fits = xs[i]->rank == xs[0]->rank && xs[i]->dtype == xs[0]->dtype;
        for (int d = 0; fits && d < xs[0]->rank; d++)
            fits = d == axis || xs[i]->shape[d] == xs[0]->shape[d];
        if (!fits)
            return op_mismatch(tape, "concat", assay_text("input %d does not fit the first", i + 1),
                               assay_text("%s but for axis %d", assay_tensor_text(xs[0]), axis),
                               xs[i]);
        shape[axis] += xs[i]->shape[axis];
    }
    y = assay_tape_tensor(tape, xs[0]->dtype, xs[0]->rank, shape);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = axis;
    out = operand_for(tape, y);
    around(y, axis, &outer, &whole);
    for (int i = 0; i < n; i++) {
        operand in = operand_read(tape, xs[i]);
        around(xs[i], axis, &outer, &inner);
        if (!op_sound(tape))
            return NULL;
        if (inner > 0)
            op_kernels(tape)->copy_rows(outer, inner, in.data, inner, out.data + first, whole,
                                        false);
        first += inner;
        operand_end(tape, &in);
    }
    operand_store(tape, &out, y);
    return assay_tape_record(tape, &concat_op, n, xs, 1, &y, saved) ? y : NULL;
}

typedef struct slice_saved {
    int axis;
    int64_t first; /* along the axis */
} slice_saved;

static bool slice_backward(assay_tape *tape, const assay_node *node)
{
    const slice_saved *saved = node->saved;
    const assay_kernels *k = op_kernels(tape);
    assay_tensor *x = node->inputs[0], *y = node->outputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    int64_t outer, whole, inner, offset;
    if (!to.data || assay_tensor_count(x) == 0)
        return op_sound(tape);
    around(x, saved->axis, &outer, &whole);
    around(y, saved->axis, &outer, &inner);
    offset = saved->first * (whole / x->shape[saved->axis]);
    if (!to.add)
        k->fill(outer * whole, 0.0f, NULL, to.data, false);
    if (inner > 0)
        k->copy_rows(outer, inner, y->grad, inner, to.data + offset, whole, true);
    return op_sound(tape);
}

static const assay_op slice_op = {sizeof(assay_op), "slice", slice_backward};

assay_tensor *assay_slice(assay_tape *tape, assay_tensor *x, int axis, int64_t first,
                          int64_t length)
{
    int64_t shape[ASSAY_MAX_RANK], outer, whole, inner;
    assay_tensor *y = NULL;
    slice_saved *saved = NULL;
    operand in, out;
    if (!op_takes(tape, "slice", 1, (const assay_tensor *[]){x}) ||
        !axis_of(tape, "slice", x, axis))
        return NULL;
    if (first < 0 || length < 0 || first > x->shape[axis] - length)
        return assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = "slice",
                            .what = assay_text("the slice leaves axis %d", axis),
                            .expected = assay_text("within 0 to %" PRId64, x->shape[axis]),
                            .got = assay_text("%" PRId64 " from %" PRId64, length, first)});
    memcpy(shape, x->shape, sizeof shape);
    shape[axis] = length;
    y = assay_tape_tensor(tape, x->dtype, x->rank, shape);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (slice_saved){axis, first};
    around(x, axis, &outer, &whole);
    around(y, axis, &outer, &inner);
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    if (inner > 0 && outer > 0)
        op_kernels(tape)->copy_rows(outer, inner, in.data + first * (inner / length), whole,
                                    out.data, inner, false);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &slice_op, 1, &x, 1, &y, saved) ? y : NULL;
}

bool assay_split(assay_tape *tape, assay_tensor *x, int axis, int n, const int64_t *lengths,
                 assay_tensor **outs)
{
    int64_t first = 0;
    if (!op_takes(tape, "split", 1, (const assay_tensor *[]){x}) ||
        !axis_of(tape, "split", x, axis))
        return false;
    for (int i = 0; i < n && first >= 0; i++)
        first = lengths[i] < 0 || lengths[i] > x->shape[axis] - first ? -1 : first + lengths[i];
    if (first != x->shape[axis]) {
        op_mismatch(
            tape, "split", "the lengths do not sum to the axis",
            assay_text("%d lengths, none negative, that sum to %" PRId64, n, x->shape[axis]), x);
        return false;
    }
    first = 0;
    for (int i = 0; i < n; i++) {
        outs[i] = assay_slice(tape, x, axis, first, lengths[i]);
        if (!outs[i])
            return false;
        first += lengths[i];
    }
    return true;
}

/* ---- gather, masking ---- */

assay_tensor *assay_gather(assay_tape *tape, assay_tensor *x, const assay_tensor *index)
{
    if (!op_takes_ints(tape, "gather", index))
        return NULL;
    if (index->rank != 1)
        return op_mismatch(tape, "gather", "the index is a list of rows", "(n) i32", index);
    return op_rows_by_index(tape, "gather", x, index, x ? x->dtype : ASSAY_F32);
}

static bool mask_rows_backward(assay_tape *tape, const assay_node *node)
{
    const assay_tensor *x = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->mask_rows(x->shape[0], x->shape[1], x->shape[2], node->outputs[0]->grad,
                                    op_in(tape, node->saved), to.data, to.add);
    return op_sound(tape);
}

static const assay_op mask_rows_op = {sizeof(assay_op), "mask_rows", mask_rows_backward};

assay_tensor *assay_mask_rows(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths)
{
    assay_tensor *y = NULL;
    operand in, out;
    if (!op_takes(tape, "mask_rows", 1, (const assay_tensor *[]){x}) ||
        !op_takes_ints(tape, "mask_rows", lengths))
        return NULL;
    if (x->rank != 3)
        return op_mismatch(tape, "mask_rows", "padding is masked in a batch", "(B, T, D)", x);
    if (!op_takes_lengths(tape, "mask_rows", lengths, x->shape[0], x->shape[1]))
        return NULL;
    y = op_like(tape, x, x->dtype);
    if (!y)
        return NULL;
    in = operand_read(tape, x);
    out = operand_for(tape, y);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->mask_rows(x->shape[0], x->shape[1], x->shape[2], in.data,
                                op_in(tape, lengths), out.data, false);
    operand_store(tape, &out, y);
    operand_end(tape, &in);
    return assay_tape_record(tape, &mask_rows_op, 1, &x, 1, &y, lengths) ? y : NULL;
}

/* ---- patches ---- */

static bool patches_backward(assay_tape *tape, const assay_node *node)
{
    const int64_t *side = node->saved;
    const assay_tensor *x = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (to.data)
        op_kernels(tape)->d_patches(x->shape[0], x->shape[1], x->shape[2] / *side,
                                    x->shape[3] / *side, *side, node->outputs[0]->grad, to.data,
                                    to.add);
    return op_sound(tape);
}

static const assay_op patches_op = {sizeof(assay_op), "patches", patches_backward};

assay_tensor *assay_patches(assay_tape *tape, assay_tensor *images, int64_t side)
{
    const int64_t *size = NULL;
    int64_t *saved = NULL, width = 0;
    assay_tensor *y = NULL;
    if (!op_takes(tape, "patches", 1, (const assay_tensor *[]){images}))
        return NULL;
    size = images->shape;
    if (images->rank != 4 || images->dtype != ASSAY_F32 || side < 1 || size[2] % side != 0 ||
        size[3] % side != 0 || !assay_size_count(&width, 3, (int64_t[]){size[1], side, side}))
        return op_mismatch(tape, "patches", "the images do not divide into patches",
                           assay_text("(B, C, H, W) f32, sides multiples of %" PRId64, side),
                           images);
    y = assay_tape_tensor(tape, ASSAY_F32, 3,
                          (int64_t[]){size[0], (size[2] / side) * (size[3] / side), width});
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = side;
    op_kernels(tape)->patches(size[0], size[1], size[2] / side, size[3] / side, side,
                              op_in(tape, images), op_out(tape, y));
    return assay_tape_record(tape, &patches_op, 1, &images, 1, &y, saved) ? y : NULL;
}
