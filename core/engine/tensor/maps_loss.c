/* maps_loss.c - cross-entropy of every pixel of a map of logits. */
#include "engine/tensor/maps.h"

#include <inttypes.h>

typedef struct pixel_saved {
    const assay_tensor *truth;
    int64_t ignore;
    double divisor; /* pixels that the mean is over; 0: none */
    float *lse;     /* (B, H, W) */
} pixel_saved;

static bool pixel_backward(assay_tape *tape, const assay_node *node)
{
    const pixel_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0];
    assay_grad_target to = assay_tape_grad(tape, x);
    operand in = operand_read(tape, x);
    float factor = saved->divisor > 0.0 ? (float)(1.0 / saved->divisor) : 0.0f;
    if (op_sound(tape) && to.data)
        op_kernels(tape)->d_pixel_cross_entropy(
            x->shape[0], x->shape[1], x->shape[2] * x->shape[3], in.data, op_in(tape, saved->truth),
            saved->ignore, saved->lse, factor, node->outputs[0]->grad, to.data, to.add);
    operand_end(tape, &in);
    return op_sound(tape);
}

static const assay_op pixel_op = {sizeof(assay_op), "pixel_cross_entropy", pixel_backward};

/* How many pixels have each of the 256 values that a truth can have. */
static void count_values(int64_t n, const uint8_t *truth, int64_t count[256])
{
    for (int i = 0; i < 256; i++)
        count[i] = 0;
    for (int64_t i = 0; i < n; i++)
        count[truth[i]]++;
}

static bool takes_truth(assay_tape *tape, const assay_tensor *logits, const assay_tensor *truth,
                        int64_t ignore, int64_t *ignored)
{
    const int64_t *size = logits->shape;
    int64_t count[256];
    if (!truth) {
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = "pixel_cross_entropy",
                                        .what = "input 2 is missing",
                                        .expected = "a tensor of u8"});
        return false;
    }
    if (truth->dtype != ASSAY_U8 || truth->rank != 3 || truth->shape[0] != size[0] ||
        truth->shape[1] != size[2] || truth->shape[2] != size[3]) {
        op_mismatch(
            tape, "pixel_cross_entropy", "the truth does not fit the logits",
            assay_text("(%" PRId64 ", %" PRId64 ", %" PRId64 ") u8", size[0], size[2], size[3]),
            truth);
        return false;
    }
    count_values(assay_tensor_count(truth), op_bytes(truth), count);
    *ignored = ignore >= 0 && ignore < 256 ? count[ignore] : 0;
    for (int64_t value = size[1]; value < 256; value++)
        if (count[value] > 0 && value != ignore) {
            assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){
                    .where = "pixel_cross_entropy",
                    .what = "the truth of a pixel is no class",
                    .expected = assay_text("0 to %" PRId64 ", or %" PRId64 " to ignore the pixel",
                                           size[1] - 1, ignore),
                    .got = assay_text("%" PRId64 " (%" PRId64 " pixels)", value, count[value])});
            return false;
        }
    return true;
}

assay_tensor *assay_pixel_cross_entropy(assay_tape *tape, assay_tensor *logits,
                                        const assay_tensor *truth, int64_t ignore,
                                        bool count_ignored)
{
    assay_tensor *loss = NULL;
    pixel_saved *saved = NULL;
    operand in;
    int64_t pixels = 0, ignored = 0;
    if (!op_takes_map(tape, "pixel_cross_entropy", logits) ||
        !takes_truth(tape, logits, truth, ignore, &ignored))
        return NULL;
    pixels = assay_tensor_count(truth);
    loss = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    in = operand_read(tape, logits);
    if (!loss || !saved || !op_sound(tape))
        return NULL;
    *saved = (pixel_saved){truth, ignore, (double)(count_ignored ? pixels : pixels - ignored),
                           operand_scratch(tape, pixels).data};
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->pixel_cross_entropy(
        logits->shape[0], logits->shape[1], logits->shape[2] * logits->shape[3], in.data,
        op_in(tape, truth), ignore, saved->divisor > 0.0 ? 1.0 / saved->divisor : 0.0, saved->lse,
        op_out(tape, loss));
    operand_end(tape, &in);
    return assay_tape_record(tape, &pixel_op, 1, &logits, 1, &loss, saved) ? loss : NULL;
}
