/* loss_toy_next.c - next-token loss with a learned temperature: a loss by token that owns a
 * parameter, for the lab's tests. */
#include <assay/loss.h>
#include <assay/ops.h>

typedef struct options {
    double weight;
    bool learned;
} options;

static const assay_option table[] = {
    ASSAY_NUMBER(options, weight, "", 1.0, 0.0, 1e6, "in the sum of losses"),
    ASSAY_BOOL(options, learned, false, "states are scaled by a learned number"),
};

typedef struct next {
    assay_tensor *scale; /* parameter, borrowed; NULL: none */
} next;

static bool next_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)settings;
    (void)error;
    names[0] = "user.states";
    names[1] = "user.targets";
    names[2] = "user.head";
    *count = 3;
    return true;
}

static void *next_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    next *n = assay_zalloc((int64_t)sizeof *n, error);
    if (!n || !((const options *)settings)->learned)
        return n;
    n->scale = assay_params_add(setup->params, assay_text("%sscale", setup->prefix), 0, NULL,
                                (assay_init){ASSAY_INIT_ONES, 0, 0}, error);
    if (!n->scale) {
        assay_free(n);
        return NULL;
    }
    return n;
}

static void next_close(void *loss)
{
    assay_free(loss);
}

static assay_tensor *next_compute(void *loss, assay_tape *tape, const assay_clock *clock,
                                  const assay_batch *batch, const assay_outputs *outputs)
{
    const next *n = loss;
    assay_tensor *states = assay_outputs_get(outputs, "user.states");
    assay_tensor *targets = assay_outputs_get(outputs, "user.targets");
    assay_tensor *head = assay_outputs_get(outputs, "user.head");
    (void)clock;
    (void)batch;
    if (!states || !targets)
        return NULL;
    int64_t rows = assay_tensor_count(targets);
    if (n->scale)
        states = assay_mul(tape, states, n->scale);
    states = assay_reshape(tape, states, 2, (int64_t[]){rows, head->shape[1]});
    targets = assay_tape_constant(tape, ASSAY_I32, 1, &rows, targets->data);
    return assay_cross_entropy_head(tape, states, head, targets, ASSAY_MEAN);
}

static double next_targets(void *loss, const assay_batch *batch, const assay_outputs *outputs)
{
    const assay_tensor *targets = assay_outputs_get(outputs, "user.targets");
    int64_t count = 0;
    (void)loss;
    (void)batch;
    for (int64_t i = 0; i < assay_tensor_count(targets); i++)
        count += assay_i32(targets)[i] != ASSAY_IGNORE;
    return (double)count;
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = next_wants,
    .open = next_open,
    .close = next_close,
    .compute = next_compute,
    .targets = next_targets,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "toy_next", 1, "the next token of a walk", options, table, functions);
