/* loss_toy_broken.c - a loss that goes wrong at a step of one's choice, in a way of one's
 * choice. */
#include <assay/loss.h>
#include <assay/ops.h>

#include <math.h>

typedef struct options {
    int64_t step;
    int how;
    const char *output;
} options;

static const assay_option table[] = {
    ASSAY_INTEGER(options, step, "steps", 3, 0, 1 << 30, "when"),
    ASSAY_CHOICE(options, how, "nan", "nan|gradient|error", "a value, a gradient, a failure"),
    ASSAY_TEXT(options, output, "user.embedding", "the output that is read"),
};

static bool broken_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)error;
    names[0] = ((const options *)settings)->output;
    *count = 1;
    return true;
}

static void *broken_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    options *o = assay_alloc((int64_t)sizeof *o, error);
    (void)setup;
    if (o)
        *o = *(const options *)settings;
    return o;
}

static void broken_close(void *loss)
{
    assay_free(loss);
}

static assay_tensor *broken_compute(void *loss, assay_tape *tape, const assay_clock *clock,
                                    const assay_batch *batch, const assay_outputs *outputs)
{
    const options *o = loss;
    assay_tensor *x = assay_outputs_get(outputs, o->output);
    bool now = clock->phase == ASSAY_TRAINING && clock->step == o->step;
    (void)batch;
    if (now && o->how == 2)
        return assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                               (assay_failure){.where = "loss.toy_broken", .what = "it broke"});
    x = assay_mean(tape, assay_mul(tape, x, x));
    if (now && o->how == 1 && x) { /* 0 of slope 1.5e39: finite itself, its gradient is not */
        x = assay_sub(tape, x,
                      assay_tape_constant(tape, ASSAY_F32, x->rank, x->shape, assay_elements(x)));
        return assay_scale(tape, assay_scale(tape, x, 3e38f), 5.0f);
    }
    return assay_scale(tape, x, now ? (float)NAN : 1.0f);
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = broken_wants,
    .open = broken_open,
    .close = broken_close,
    .compute = broken_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "toy_broken", 1, "goes wrong when told to", options, table,
             functions);
