/* features.c - what a classifier sees of a layer (infrared spec 2.6.5): the block's output; its
 * attention branch alone, scaled by gamma_1 and without the residual; or the output after a layer
 * norm: the network's final one, one without weights, or the first of the next block (after the
 * last block, the final one).
 *
 * The branch is no output of a model. It is taken where adapters act, at the place "attn.proj" of
 * the block: the evaluator's tape has an attachment there that changes nothing and remembers. */
#include "probe.h"

#include <assay/blocks.h>
#include <assay/ops.h>

#include <inttypes.h>
#include <stdio.h>

#define NORM_EPS 1e-6f

/* ---- the network's own numbers ---- */

static assay_tensor *parameter_of(const prober *p, const char *name)
{
    const assay_parameter *found = assay_params_find(p->evaluation->network->params, name);
    return found ? found->value : NULL;
}

static bool take_norm(prober *p, layer_probe *probe, const assay_stack *stack, bool next,
                      assay_error *error)
{
    char name[160];
    if (next && probe->layer + 1 < stack->config.vit.layers)
        snprintf(name, sizeof name, "%.80sblocks.%" PRId64 ".norm1", stack->prefix,
                 probe->layer + 1);
    else
        snprintf(name, sizeof name, "%.80snorm", stack->prefix);
    probe->norm_weight = parameter_of(p, assay_text("%s.weight", name));
    probe->norm_bias = parameter_of(p, assay_text("%s.bias", name));
    return (probe->norm_weight && probe->norm_bias) ||
           ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                      .what = assay_text("the model has no norm '%s'", name),
                      .hint = "features = \"plain_norm\" needs none");
}

bool features_open(prober *p, assay_error *error)
{
    const int features = p->options->features;
    const assay_stack *stack =
        assay_stack_find(p->evaluation->network->params, ASSAY_STACK_VIT, NULL);
    for (int64_t i = 0; i < p->count; i++) {
        layer_probe *probe = &p->probes[i];
        snprintf(probe->place, sizeof probe->place, "%.80sblocks.%" PRId64 ".attn.proj",
                 stack->prefix, probe->layer);
        if (features == FEATURES_ATTN)
            probe->gamma = parameter_of(
                p, assay_text("%.80sblocks.%" PRId64 ".gamma_1", stack->prefix, probe->layer));
        if ((features == FEATURES_NORM || features == FEATURES_NEXT_NORM) &&
            !take_norm(p, probe, stack, features == FEATURES_NEXT_NORM, error))
            return false;
    }
    return true;
}

/* ---- the attention branch ---- */

static layer_probe *probe_at(prober *p, const char *place)
{
    for (int64_t i = 0; i < p->count; i++)
        if (assay_same_text(p->probes[i].place, place))
            return &p->probes[i];
    return NULL;
}

static bool branch_attaches(void *user, const char *place)
{
    return probe_at(user, place) != NULL;
}

static assay_tensor *branch_apply(void *user, assay_tape *tape, const char *place,
                                  assay_tensor *input, assay_tensor *output)
{
    (void)tape;
    (void)input;
    probe_at(user, place)->branch = output;
    return output;
}

/* ---- a pass ---- */

static bool run(prober *p, const assay_batch *batch, const assay_wanted *wanted, assay_outputs *out)
{
    const assay_network *network = p->evaluation->network;
    if (!network->run(network->user, p->tape, batch, wanted, out))
        return false;
    if (p->options->features != FEATURES_ATTN || p->attached)
        return true;
    /* After the first pass, which attached the run's adapters: what is remembered has passed
     * them. */
    p->attached = assay_tape_attach(
        p->tape, (assay_attachment){.user = p, .attaches = branch_attaches, .apply = branch_apply});
    out->count = 0;
    return p->attached && network->run(network->user, p->tape, batch, wanted, out);
}

static assay_tensor *features_from(prober *p, layer_probe *probe, assay_tensor *tokens)
{
    switch (p->options->features) {
    case FEATURES_ATTN:
        return probe->gamma ? assay_mul(p->tape, probe->branch, probe->gamma) : probe->branch;
    case FEATURES_NORM:
    case FEATURES_PLAIN_NORM:
    case FEATURES_NEXT_NORM:
        return assay_layer_norm(p->tape, tokens, probe->norm_weight, probe->norm_bias, NORM_EPS);
    default:
        return tokens;
    }
}

bool features_of(prober *p, const assay_sample *samples, int64_t count, assay_tensor **out,
                 assay_error *error)
{
    const assay_network *network = p->evaluation->network;
    const assay_wanted wanted = {(int)p->count, p->names};
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = p->batches};
    assay_batch batch = {.samples = count, .sample = samples};
    assay_outputs outputs = {0};
    assay_arena_reset(p->batches);
    if (!network->collate(network->user, &in, &batch, error))
        return false;
    const bool before = assay_tape_pause(p->tape, true);
    bool ok = run(p, &batch, &wanted, &outputs);
    for (int64_t i = 0; i < p->count && ok; i++) {
        out[i] = features_from(p, &p->probes[i], assay_outputs_get(&outputs, p->names[i]));
        ok = out[i] != NULL;
    }
    assay_tape_pause(p->tape, before);
    if (!ok)
        return assay_tape_failed(p->tape, error);
    return out[0]->shape[0] == count ||
           ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = WHERE,
                      .what = "the model did not take each image whole",
                      .expected = assay_text("%" PRId64 " rows of tokens", count),
                      .got = assay_tensor_text(out[0]),
                      .hint = "the dataset's side and the model's image are one number");
}
