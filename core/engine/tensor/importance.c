/* importance.c - importance of positions from the gradients of their states
 * (assay/importance.h). */
#include <assay/importance.h>
#include <assay/memory.h>

#include "engine/tensor/operand.h"

#include <math.h>
#include <string.h>

struct assay_importance {
    int64_t tokens;
    assay_importance_rule rule;
    const assay_device *device;     /* that observed last; NULL: none has */
    assay_tensor *values, *updates; /* f32 (tokens) */
    assay_tensor *norms;            /* f32 (tokens, 2): the room of `tokens` doubles */
    double *samples;                /* (tokens) */
};

void assay_importance_free(assay_importance *i)
{
    if (!i)
        return;
    assay_tensor_free(i->values);
    assay_tensor_free(i->updates);
    assay_tensor_free(i->norms);
    assay_free(i->samples);
    assay_free(i);
}

static assay_tensor *zeros(int rank, const int64_t *shape, assay_error *error)
{
    assay_tensor *made = assay_tensor_new(ASSAY_F32, rank, shape, error);
    if (made)
        memset(made->data, 0, (size_t)assay_tensor_bytes(made));
    return made;
}

assay_importance *assay_importance_new(int64_t tokens, assay_importance_rule rule,
                                       assay_error *error)
{
    assay_importance *i = assay_zalloc((int64_t)sizeof *i, error);
    if (!i)
        return NULL;
    i->tokens = tokens;
    i->rule = rule;
    i->values = zeros(1, &tokens, error);
    i->norms = zeros(2, (int64_t[]){tokens, 2}, error);
    i->samples = assay_zalloc(tokens * (int64_t)sizeof *i->samples, error);
    if (rule.relative)
        i->updates = zeros(1, &tokens, error);
    if (!i->values || !i->norms || !i->samples || (rule.relative && !i->updates)) {
        assay_importance_free(i);
        return NULL;
    }
    return i;
}

assay_tensor *assay_importance_values(const assay_importance *i)
{
    return i->values;
}

assay_tensor *assay_importance_updates(const assay_importance *i)
{
    return i->updates;
}

const assay_tensor *assay_importance_norms(const assay_importance *i)
{
    return i->norms;
}

const double *assay_importance_samples(const assay_importance *i)
{
    return i->samples;
}

/* ---- observing ---- */

bool assay_importance_observe(assay_importance *i, assay_tape *tape, const assay_tensor *state,
                              const assay_tensor *lengths)
{
    if (!op_sound(tape))
        return false;
    if (!state || state->rank != 3) {
        op_mismatch(tape, "importance", "a state of tokens is needed", "(B, T, D)", state);
        return false;
    }
    int64_t batch = state->shape[0], tokens = state->shape[1];
    if (!op_takes_lengths(tape, "importance", lengths, batch, tokens))
        return false;
    if (!state->has_grad)
        return true;
    int64_t seen = tokens < i->tokens ? tokens : i->tokens;
    for (int64_t b = 0; b < batch; b++) {
        int64_t valid = lengths ? op_ints(lengths)[b] : tokens;
        for (int64_t t = 0; t < valid && t < seen; t++)
            i->samples[t]++;
    }
    assay_error error = {0};
    i->device = assay_tape_device(tape);
    double *norms = leaf_change(i->device, i->norms, &error);
    const int32_t *of_rows = lengths ? op_in(tape, lengths) : NULL;
    if (!norms)
        assay_tape_fail(tape, error.code,
                        (assay_failure){.where = error.where, .what = error.what});
    if (!op_sound(tape))
        return false;
    op_kernels(tape)->position_norms(batch, tokens, seen, state->shape[2], state->grad, of_rows,
                                     norms);
    return true;
}

/* ---- learning ---- */

/* Calls the kernel with the host's samples where the device reads them. */
static bool learn_with(const device_importance *call, const assay_device *device,
                       const double *samples, assay_error *error)
{
    device_importance whole = *call;
    int64_t bytes = call->tokens * (int64_t)sizeof *samples;
    void *sent = device->memory ? device->memory->take(bytes, error) : NULL;
    if (device->memory && !sent)
        return false;
    if (sent)
        device->memory->upload(sent, samples, bytes);
    whole.samples = sent ? sent : samples;
    device->kernels->learn_importance(&whole);
    if (sent)
        device->memory->give(sent);
    return true;
}

bool assay_importance_learn(assay_importance *i, assay_error *error)
{
    if (!i->device)
        return true;
    const device_importance call = {
        .tokens = i->tokens,
        .norms = leaf_in(i->device, i->norms, error),
        .mean = i->rule.mean,
        .relative = i->rule.relative,
        .rho = i->rule.rho,
        .importance = leaf_change(i->device, i->values, error),
        .updates = i->updates ? leaf_change(i->device, i->updates, error) : NULL,
    };
    return call.norms && call.importance && (!i->updates || call.updates) &&
           learn_with(&call, i->device, i->samples, error);
}

bool assay_importance_clear(assay_importance *i, assay_error *error)
{
    int64_t bytes = assay_tensor_bytes(i->norms);
    memset(i->samples, 0, (size_t)i->tokens * sizeof *i->samples);
    if (!i->device)
        return true;
    void *norms = leaf_change(i->device, i->norms, error);
    if (norms && i->device->memory)
        i->device->memory->clear(norms, bytes);
    else if (norms)
        memset(norms, 0, (size_t)bytes);
    return norms != NULL;
}

/* ---- weighing ---- */

double assay_weight(const assay_weighing *w, double importance)
{
    double guided = 1 / (1 + exp(-(w->gain * (importance - w->centre) + w->offset)));
    return (1 - w->rise) * guided + w->rise + w->floor;
}

assay_tensor *assay_importance_prices(const assay_importance *i, assay_tape *tape, int64_t keys,
                                      const assay_weighing *weighing)
{
    if (!op_sound(tape))
        return NULL;
    if (keys < 0 || keys > i->tokens)
        return assay_tape_fail(
            tape, ASSAY_BAD_SHAPE,
            (assay_failure){.where = "importance",
                            .what = "there are more keys than positions that have an importance",
                            .expected = assay_text("at most %lld", (long long)i->tokens),
                            .got = assay_text("%lld", (long long)keys)});
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, keys});
    if (!y)
        return NULL;
    const device_key_prices call = {
        .keys = keys,
        .importance = op_in(tape, i->values),
        .updates = i->updates ? op_in(tape, i->updates) : NULL,
        .rho = i->rule.rho,
        .gain = weighing->gain,
        .centre = weighing->centre,
        .offset = weighing->offset,
        .rise = weighing->rise,
        .floor = weighing->floor,
        .price = op_out(tape, y),
    };
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->key_prices(&call);
    return y;
}
