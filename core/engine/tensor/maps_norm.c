/* maps_norm.c - batch norm of maps, with or without the ReLU that follows it. */
#include "engine/tensor/maps.h"

#include <inttypes.h>
#include <math.h>

typedef struct batch_norm_saved {
    bool relu, of_batch;
    float *mean, *rstd; /* (C) */
} batch_norm_saved;

static device_batch_norm norm_of(const batch_norm_saved *saved, const assay_tensor *x)
{
    return (device_batch_norm){.batch = x->shape[0],
                               .channels = x->shape[1],
                               .pixels = x->shape[2] * x->shape[3],
                               .mean = saved->mean,
                               .rstd = saved->rstd,
                               .relu = saved->relu,
                               .of_batch = saved->of_batch};
}

static bool batch_norm_backward(assay_tape *tape, const assay_node *node)
{
    assay_tensor *x = node->inputs[0], *weight = node->inputs[1], *bias = node->inputs[2];
    device_batch_norm norm = norm_of(node->saved, x);
    operand in = operand_read(tape, x), w = operand_read(tape, weight);
    operand b = operand_read(tape, bias);
    assay_grad_target d_x = assay_tape_grad(tape, x), d_w = assay_tape_grad(tape, weight);
    assay_grad_target d_b = assay_tape_grad(tape, bias);
    norm.x = in.data;
    norm.w = w.data;
    norm.b = b.data;
    norm.d_y = node->outputs[0]->grad;
    norm.d_x = d_x.data;
    norm.add_x = d_x.add;
    norm.d_w = d_w.data;
    norm.add_w = d_w.add;
    norm.d_b = d_b.data;
    norm.add_b = d_b.add;
    if (op_sound(tape))
        op_kernels(tape)->d_batch_norm(&norm);
    operand_end(tape, &b);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op batch_norm_op = {sizeof(assay_op), "batch_norm", batch_norm_backward};

static bool takes_stats(assay_tape *tape, const assay_batch_stats *stats, int64_t channels)
{
    const assay_tensor *both[] = {stats ? stats->mean : NULL, stats ? stats->variance : NULL};
    for (int i = 0; i < 2; i++) {
        if (!op_takes(tape, "batch_norm", 1, &both[i]) ||
            !op_takes_vector(tape, "batch_norm", "a running statistic", both[i], channels))
            return false;
        if (both[i]->dtype != ASSAY_F32) {
            op_mismatch(tape, "batch_norm", "running statistics are kept in f32",
                        assay_text("(%" PRId64 ") f32", channels), both[i]);
            return false;
        }
    }
    return true;
}

/* mean and rstd (C) of this pass: x's own, which a pass that learns also adds to the running ones,
 * or the running ones. */
static void take_statistics(assay_tape *tape, const assay_tensor *x, const float *data,
                            const assay_batch_stats *stats, float eps, batch_norm_saved *saved)
{
    const assay_kernels *k = op_kernels(tape);
    int64_t channels = x->shape[1], pixels = x->shape[2] * x->shape[3];
    bool paused = assay_tape_pause(tape, true);
    bool learns = saved->of_batch && !paused && !assay_tape_step(tape).no_gradient;
    float *mean = learns ? op_change(tape, stats->mean) : op_in(tape, stats->mean);
    float *variance = learns ? op_change(tape, stats->variance) : op_in(tape, stats->variance);
    assay_tape_pause(tape, paused);
    if (!op_sound(tape))
        return;
    if (saved->of_batch) {
        k->channel_moments(x->shape[0], channels, pixels, data, saved->mean, saved->rstd);
    } else {
        k->scale(channels, 1.0f, NULL, mean, saved->mean, false);
        k->scale(channels, 1.0f, NULL, variance, saved->rstd, false);
    }
    k->batch_statistics(channels, (double)(x->shape[0] * pixels), learns ? stats->momentum : 0.0,
                        eps, saved->mean, saved->rstd, mean, variance);
}

static assay_tensor *batch_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                                assay_tensor *bias, const assay_batch_stats *stats, float eps,
                                bool relu)
{
    assay_tensor *const inputs[] = {x, weight, bias};
    assay_tensor *y = NULL;
    batch_norm_saved *saved = NULL;
    device_batch_norm norm;
    operand in, w, b;
    bool training = assay_tape_step(tape).training;
    if (!op_takes_map(tape, "batch_norm", x) ||
        !op_takes(tape, "batch_norm", 2, (const assay_tensor *[]){weight, bias}) ||
        !op_takes_vector(tape, "batch_norm", "the weight", weight, x->shape[1]) ||
        !op_takes_vector(tape, "batch_norm", "the bias", bias, x->shape[1]) ||
        !takes_stats(tape, stats, x->shape[1]))
        return NULL;
    if (training && x->shape[0] * x->shape[2] * x->shape[3] < 2)
        return assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                               (assay_failure){.where = "batch_norm",
                                               .what = "one value has no variance",
                                               .expected = "more than one value per channel",
                                               .got = assay_tensor_text(x),
                                               .hint = "train on two or more images at a time"});
    y = op_like(tape, x, ASSAY_F32);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    if (!y || !saved)
        return NULL;
    *saved = (batch_norm_saved){relu, training, operand_scratch(tape, x->shape[1]).data,
                                operand_scratch(tape, x->shape[1]).data};
    in = operand_read(tape, x);
    w = operand_read(tape, weight);
    b = operand_read(tape, bias);
    if (!op_sound(tape))
        return NULL;
    take_statistics(tape, x, in.data, stats, eps, saved);
    norm = norm_of(saved, x);
    norm.x = in.data;
    norm.w = w.data;
    norm.b = b.data;
    norm.y = op_out(tape, y);
    op_kernels(tape)->batch_norm(&norm);
    operand_end(tape, &b);
    operand_end(tape, &w);
    operand_end(tape, &in);
    return assay_tape_record(tape, &batch_norm_op, 3, inputs, 1, &y, saved) ? y : NULL;
}

assay_tensor *assay_batch_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                               assay_tensor *bias, const assay_batch_stats *stats, float eps)
{
    return batch_norm(tape, x, weight, bias, stats, eps, false);
}

assay_tensor *assay_batch_norm_relu(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                                    assay_tensor *bias, const assay_batch_stats *stats, float eps)
{
    return batch_norm(tape, x, weight, bias, stats, eps, true);
}
