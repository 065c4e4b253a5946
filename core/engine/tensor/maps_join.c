/* maps_join.c - maps of several sizes brought together: side by side along the channels, or added.
 *
 * Each would be a resize and a concatenation or a sum; done as one operation the resized maps, and
 * on the way back their gradients, are never there by themselves. A feature pyramid's are its
 * largest. */
#include "engine/tensor/maps.h"

#include <inttypes.h>

static int64_t pixels_of(const assay_tensor *x)
{
    return x->shape[2] * x->shape[3];
}

static bool same_size(const assay_tensor *x, const assay_tensor *y)
{
    return x->shape[2] == y->shape[2] && x->shape[3] == y->shape[3];
}

/* One image's planes of x at the size of y, written to y's planes `at`. */
static void bring(const assay_kernels *k, const assay_tensor *x, const float *from,
                  const assay_tensor *y, float *at)
{
    if (same_size(x, y))
        k->scale(x->shape[1] * pixels_of(x), 1.0f, NULL, from, at, false);
    else
        k->resize(x->shape[1], x->shape[2], x->shape[3], y->shape[2], y->shape[3], from, at);
}

static void bring_back(const assay_kernels *k, const assay_tensor *x, const assay_tensor *y,
                       const float *d_at, float *d_from, bool add)
{
    if (same_size(x, y))
        k->scale(x->shape[1] * pixels_of(x), 1.0f, NULL, d_at, d_from, add);
    else
        k->d_resize(x->shape[1], x->shape[2], x->shape[3], y->shape[2], y->shape[3], d_at, d_from,
                    add);
}

/* ---- side by side ---- */

static bool join_backward(assay_tape *tape, const assay_node *node)
{
    const assay_tensor *y = node->outputs[0];
    int64_t first = 0;
    for (int i = 0; i < node->input_count; i++) {
        assay_tensor *x = node->inputs[i];
        assay_grad_target to = assay_tape_grad(tape, x);
        for (int64_t b = 0; to.data && b < x->shape[0]; b++)
            bring_back(op_kernels(tape), x, y, y->grad + (b * y->shape[1] + first) * pixels_of(y),
                       to.data + b * x->shape[1] * pixels_of(x), to.add);
        first += x->shape[1];
    }
    return op_sound(tape);
}

static const assay_op join_op = {sizeof(assay_op), "join_maps", join_backward};

/* The channels of all maps together; 0 after a failure. */
static int64_t joined_channels(assay_tape *tape, int n, assay_tensor *const xs[])
{
    int64_t channels = 0;
    for (int i = 0; i < n; i++) {
        if (!op_takes_map(tape, join_op.name, xs[i]))
            return 0;
        if (xs[i]->shape[0] != xs[0]->shape[0] ||
            !assay_size_add(&channels, channels, xs[i]->shape[1])) {
            op_mismatch(tape, join_op.name, assay_text("input %d does not fit the first", i + 1),
                        assay_text("(%" PRId64 ", C, H, W)", xs[0]->shape[0]), xs[i]);
            return 0;
        }
    }
    return channels;
}

assay_tensor *assay_join_maps(assay_tape *tape, int n, assay_tensor *const xs[])
{
    assay_tensor *y = NULL;
    int64_t channels = 0, first = 0;
    if (n < 1)
        return assay_tape_fail(tape, ASSAY_BAD_INPUT,
                               (assay_failure){.where = join_op.name, .what = "nothing to join"});
    channels = joined_channels(tape, n, xs);
    if (channels == 0)
        return NULL;
    y = assay_tape_tensor(tape, ASSAY_F32, 4,
                          (int64_t[]){xs[0]->shape[0], channels, xs[0]->shape[2], xs[0]->shape[3]});
    float *joined = y ? op_out(tape, y) : NULL;
    for (int i = 0; joined && i < n; i++) {
        const assay_tensor *x = xs[i];
        operand in = operand_read(tape, x);
        if (!op_sound(tape))
            return NULL;
        for (int64_t b = 0; b < x->shape[0]; b++)
            bring(op_kernels(tape), x, in.data + b * x->shape[1] * pixels_of(x), y,
                  joined + (b * channels + first) * pixels_of(y));
        operand_end(tape, &in);
        first += x->shape[1];
    }
    return joined && assay_tape_record(tape, &join_op, n, xs, 1, &y, NULL) ? y : NULL;
}

/* ---- a sum ---- */

static bool add_backward(assay_tape *tape, const assay_node *node)
{
    assay_tensor *x = node->inputs[1], *y = node->outputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    for (int64_t b = 0; to.data && b < x->shape[0]; b++)
        bring_back(op_kernels(tape), x, y, y->grad + b * y->shape[1] * pixels_of(y),
                   to.data + b * x->shape[1] * pixels_of(x), to.add);
    tape_pass_grad(tape, y, node->inputs[0]);
    return op_sound(tape);
}

static const assay_op add_op = {sizeof(assay_op), "add_resized", add_backward};

assay_tensor *assay_add_resized(assay_tape *tape, assay_tensor *x, assay_tensor *other)
{
    assay_tensor *const inputs[] = {x, other};
    assay_tensor *y = NULL;
    operand in, brought;
    if (!op_takes_map(tape, add_op.name, x) || !op_takes_map(tape, add_op.name, other))
        return NULL;
    if (x->shape[0] != other->shape[0] || x->shape[1] != other->shape[1])
        return op_mismatch(tape, add_op.name, "the second map does not fit the first",
                           assay_text("(%" PRId64 ", %" PRId64 ", H, W)", x->shape[0], x->shape[1]),
                           other);
    y = op_like(tape, x, ASSAY_F32);
    in = operand_read(tape, x);
    brought = operand_read(tape, other);
    if (!op_sound(tape))
        return NULL;
    float *sum = op_out(tape, y);
    for (int64_t b = 0; b < x->shape[0]; b++)
        bring(op_kernels(tape), other, brought.data + b * other->shape[1] * pixels_of(other), y,
              sum + b * y->shape[1] * pixels_of(y));
    op_kernels(tape)->scale(assay_tensor_count(x), 1.0f, NULL, in.data, sum, true);
    operand_end(tape, &brought);
    operand_end(tape, &in);
    return assay_tape_record(tape, &add_op, 2, inputs, 1, &y, NULL) ? y : NULL;
}
