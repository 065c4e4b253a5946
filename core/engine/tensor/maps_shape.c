/* maps_shape.c - operations that change the extents of maps: pooling, resizing, tokens to maps; and
 * the checks that all operations on maps share. */
#include "engine/tensor/maps.h"

#include <inttypes.h>

bool op_takes_map(assay_tape *tape, const char *op, const assay_tensor *x)
{
    if (!op_takes(tape, op, 1, (const assay_tensor *[]){x}))
        return false;
    if (x->rank == 4 && x->shape[1] >= 1 && x->shape[2] >= 1 && x->shape[3] >= 1)
        return true;
    op_mismatch(tape, op, "maps are needed", "(B, C, H, W), no side of 0", x);
    return false;
}

bool op_takes_vector(assay_tape *tape, const char *op, const char *what, const assay_tensor *vector,
                     int64_t n)
{
    if (!vector)
        return op_sound(tape);
    if (!op_takes(tape, op, 1, &vector))
        return false;
    if (vector->rank == 1 && vector->shape[0] == n)
        return true;
    op_mismatch(tape, op, assay_text("%s does not fit", what), assay_text("(%" PRId64 ")", n),
                vector);
    return false;
}

static int64_t planes_of(const assay_tensor *x)
{
    return x->shape[0] * x->shape[1];
}

/* A result (B, C, height, width) of x. */
static assay_tensor *resized(assay_tape *tape, const assay_tensor *x, int64_t height, int64_t width)
{
    return assay_tape_tensor(tape, ASSAY_F32, 4,
                             (int64_t[]){x->shape[0], x->shape[1], height, width});
}

/* ---- maxima ---- */

static bool max_pool2d_backward(assay_tape *tape, const assay_node *node)
{
    const int64_t *side = node->saved;
    assay_tensor *x = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    operand in = operand_read(tape, x);
    if (op_sound(tape) && to.data)
        op_kernels(tape)->d_max_pool(planes_of(x), x->shape[2], x->shape[3], *side, in.data,
                                     node->outputs[0]->grad, to.data, to.add);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op max_pool2d_op = {sizeof(assay_op), "max_pool2d", max_pool2d_backward};

assay_tensor *assay_max_pool2d(assay_tape *tape, assay_tensor *x, int64_t k)
{
    assay_tensor *y = NULL;
    int64_t *saved = NULL;
    operand in;
    if (!op_takes_map(tape, "max_pool2d", x))
        return NULL;
    if (k < 1 || k > x->shape[2] || k > x->shape[3])
        return op_mismatch(tape, "max_pool2d", "no window fits the map",
                           assay_text("sides of at least k = %" PRId64 ", k of at least 1", k), x);
    y = resized(tape, x, x->shape[2] / k, x->shape[3] / k);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    *saved = k;
    op_kernels(tape)->max_pool(planes_of(x), x->shape[2], x->shape[3], k, in.data, op_out(tape, y));
    operand_end(tape, &in);
    return assay_tape_record(tape, &max_pool2d_op, 1, &x, 1, &y, saved) ? y : NULL;
}

/* ---- means and bilinear: linear in x, so that nothing is kept ---- */

typedef void (*resizing)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                         int64_t to_width, const float *from, float *to);
typedef void (*d_resizing)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                           int64_t to_width, const float *from, float *to, bool add);

static bool go_back(assay_tape *tape, const assay_node *node, d_resizing kernel)
{
    assay_tensor *x = node->inputs[0];
    const assay_tensor *y = node->outputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    if (to.data)
        kernel(planes_of(x), x->shape[2], x->shape[3], y->shape[2], y->shape[3], y->grad, to.data,
               to.add);
    return op_sound(tape);
}

static assay_tensor *resize_by(assay_tape *tape, const assay_op *op, resizing kernel,
                               assay_tensor *x, int64_t height, int64_t width)
{
    assay_tensor *y = NULL;
    operand in;
    if (!op_takes_map(tape, op->name, x))
        return NULL;
    if (height < 1 || width < 1)
        return assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = op->name,
                            .what = "a map has at least one pixel",
                            .expected = "height and width of 1 or more",
                            .got = assay_text("%" PRId64 " x %" PRId64, height, width)});
    y = resized(tape, x, height, width);
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    kernel(planes_of(x), x->shape[2], x->shape[3], height, width, in.data, op_out(tape, y));
    operand_end(tape, &in);
    return assay_tape_record(tape, op, 1, &x, 1, &y, NULL) ? y : NULL;
}

static bool average_backward(assay_tape *tape, const assay_node *node)
{
    return go_back(tape, node, op_kernels(tape)->d_average_pool);
}

static const assay_op average_op = {sizeof(assay_op), "adaptive_average_pool2d", average_backward};

assay_tensor *assay_adaptive_average_pool2d(assay_tape *tape, assay_tensor *x, int64_t height,
                                            int64_t width)
{
    return resize_by(tape, &average_op, op_kernels(tape)->average_pool, x, height, width);
}

static bool bilinear_backward(assay_tape *tape, const assay_node *node)
{
    return go_back(tape, node, op_kernels(tape)->d_resize);
}

static const assay_op bilinear_op = {sizeof(assay_op), "resize_bilinear", bilinear_backward};

assay_tensor *assay_resize_bilinear(assay_tape *tape, assay_tensor *x, int64_t height,
                                    int64_t width)
{
    return resize_by(tape, &bilinear_op, op_kernels(tape)->resize, x, height, width);
}

/* ---- tokens to maps ---- */

static bool tokens_to_map_backward(assay_tape *tape, const assay_node *node)
{
    const int64_t *skip = node->saved;
    const assay_kernels *k = op_kernels(tape);
    const assay_tensor *x = node->inputs[0];
    int64_t batch = x->shape[0], tokens = x->shape[1], width = x->shape[2];
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    if (!to.data)
        return op_sound(tape);
    for (int64_t b = 0; b < batch && !to.add; b++)
        k->fill(*skip * width, 0.0f, NULL, to.data + b * tokens * width, false);
    k->transpose(batch, width, tokens - *skip, node->outputs[0]->grad, (tokens - *skip) * width,
                 to.data + *skip * width, tokens * width, to.add);
    return op_sound(tape);
}

static const assay_op tokens_to_map_op = {sizeof(assay_op), "tokens_to_map",
                                          tokens_to_map_backward};

assay_tensor *assay_tokens_to_map(assay_tape *tape, assay_tensor *x, int64_t skip, int64_t height,
                                  int64_t width)
{
    assay_tensor *y = NULL;
    int64_t *saved = NULL, pixels = 0, depth = 0;
    operand in;
    if (!op_takes(tape, "tokens_to_map", 1, (const assay_tensor *[]){x}))
        return NULL;
    if (skip < 0 || height < 1 || width < 1 || !assay_size_mul(&pixels, height, width) ||
        x->rank != 3 || x->shape[1] - skip != pixels || x->shape[2] < 1)
        return op_mismatch(
            tape, "tokens_to_map", "the tokens do not fill the map",
            assay_text("(B, %" PRId64 " + %" PRId64 " x %" PRId64 ", D)", skip, height, width), x);
    depth = x->shape[2];
    y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){x->shape[0], depth, height, width});
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    in = operand_read(tape, x);
    if (!op_sound(tape))
        return NULL;
    *saved = skip;
    op_kernels(tape)->transpose(x->shape[0], pixels, depth, in.data + skip * depth,
                                x->shape[1] * depth, op_out(tape, y), pixels * depth, false);
    operand_end(tape, &in);
    return assay_tape_record(tape, &tokens_to_map_op, 1, &x, 1, &y, saved) ? y : NULL;
}
