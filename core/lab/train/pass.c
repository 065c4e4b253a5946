/* pass.c - one pass of a batch's towers through an assembly. */
#include "lab/train/assembly.h"

#include <assay/ops.h>

#include <string.h>

/* ---- adapters on tapes ----
 * An attachment lasts as long as its tape, and a tape may see other stacks (a loss that runs a
 * decoder of its own): an adapter acts only while its own assembly runs. The address of `probe` is
 * a place that no model marks: who acts there has been attached. */

static bool adapter_attaches(void *user, const char *place)
{
    const assembly_adapter *adapter = user;
    const assay_adapter_functions *functions = &adapter->part.plugin->adapter;
    if (place == &adapter->owner->probe)
        return true;
    return adapter->owner->running && functions->attaches &&
           functions->attaches(adapter->part.state, place);
}

static assay_tensor *adapter_apply(void *user, assay_tape *tape, const char *place,
                                   assay_tensor *input, assay_tensor *output)
{
    const assembly_part *part = &((assembly_adapter *)user)->part;
    return part->plugin->adapter.apply(part->state, tape, place, input, output);
}

static bool attach(assembly *a, assay_tape *tape)
{
    if (a->adapter_count == 0 || assay_place_taken(tape, &a->probe))
        return true;
    for (int i = 0; i < a->adapter_count; i++)
        if (a->adapters[i].part.plugin->adapter.apply &&
            !assay_tape_attach(tape, (assay_attachment){.user = &a->adapters[i],
                                                        .attaches = adapter_attaches,
                                                        .apply = adapter_apply}))
            return false;
    return true;
}

assay_precision assembly_precision(const train_options *options)
{
    static const assay_precision of[] = {
        [TRAIN_FP32] = ASSAY_PRECISION_FP32,
        [TRAIN_BF16] = ASSAY_PRECISION_BF16,
        [TRAIN_TF32] = ASSAY_PRECISION_TF32,
    };
    return of[options->precision];
}

assay_tape *assembly_tape(assembly *a, assay_precision precision, assay_error *error)
{
    assay_tape *tape = assay_tape_new(a->device, precision, error);
    bool ok = tape && attach(a, tape);
    for (int i = 0; i < a->mask_needs.tap_count && ok; i++)
        ok = assay_tape_tap(tape, a->mask_needs.taps[i]);
    if (tape && !ok) {
        assay_tape_failed(tape, error);
        assay_tape_free(tape);
        return NULL;
    }
    return tape;
}

/* ---- a tower ---- */

/* The vectors of the adapters' tokens at the readout, or behind the history, one after another. */
static assay_tensor *adapter_vectors(assembly *a, assay_tape *tape, bool at_history)
{
    assay_tensor *all[16] = {NULL};
    int n = 0;
    for (int i = 0; i < a->adapter_count; i++) {
        const assembly_adapter *adapter = &a->adapters[i];
        if (adapter->tokens == 0 || adapter->at_history != at_history)
            continue;
        if (n == 16)
            return assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                                   (assay_failure){.where = "adapters",
                                                   .what = "too many of them have tokens",
                                                   .expected = "at most 16"});
        assay_tensor *vectors = adapter->part.plugin->adapter.readout(adapter->part.state, tape);
        if (!vectors)
            return NULL;
        all[n++] = vectors;
    }
    return n == 1 ? all[0] : assay_concat(tape, n, all, 0);
}

static bool check_vectors(const assembly *a, assay_tape *tape, const assay_tensor *vectors,
                          int64_t tokens, const char *whose)
{
    if (!vectors)
        return false;
    if (vectors->rank == 2 && vectors->shape[0] == tokens && vectors->shape[1] == a->facts.width)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                    (assay_failure){.where = whose,
                                    .what = "the vectors of its tokens have another shape",
                                    .expected = assay_text("(%lld, %lld)", (long long)tokens,
                                                           (long long)a->facts.width),
                                    .got = assay_tensor_text(vectors)});
    return false;
}

/* Input embeddings and the mask's bias of a tower, whose scope begins. False after a failure. */
static assay_tensor *enter_tower(assembly *a, assay_tape *tape, const assay_batch *batch, int tower,
                                 const assay_clock *clock, assay_attention_bias *bias)
{
    const assay_model_functions *model = &a->model.plugin->model;
    const bool front = a->extra.front > 0 && batch->part != ASSAY_QUESTION;
    const bool readout = a->extra.readout > 0 && batch->part != ASSAY_HISTORY;
    const bool history = a->extra.history > 0 && batch->part != ASSAY_HISTORY;
    assay_insert insert = {0};
    *bias = assay_bias_causal();
    for (int i = 0; i < a->adapter_count; i++)
        if (a->adapters[i].part.plugin->adapter.begin)
            a->adapters[i].part.plugin->adapter.begin(a->adapters[i].part.state, clock);
    if (front) {
        insert.front = a->mask.plugin->mask.front(a->mask.state, tape);
        if (!check_vectors(a, tape, insert.front, a->extra.front, "mask"))
            return NULL;
    }
    if (readout) {
        insert.readout = adapter_vectors(a, tape, false);
        if (!check_vectors(a, tape, insert.readout, a->extra.readout, "adapters"))
            return NULL;
    }
    if (history) {
        insert.history = adapter_vectors(a, tape, true);
        if (!check_vectors(a, tape, insert.history, a->extra.history, "adapters"))
            return NULL;
    }
    if (!assay_tape_scope(tape, batch->towers[tower].name))
        return NULL;
    assay_tensor *x = model->embed(a->model.state, tape, batch, tower, &insert);
    if (x && a->mask.plugin &&
        !a->mask.plugin->mask.bias(a->mask.state, tape, clock, &batch->towers[tower], x, bias))
        return NULL;
    return x;
}

static bool run_tower(assembly *a, assay_tape *tape, const assay_batch *batch, int tower,
                      const assay_clock *clock, const assay_wanted *wanted, assay_outputs *out)
{
    assay_attention_bias bias;
    assay_tensor *x = enter_tower(a, tape, batch, tower, clock, &bias);
    return x &&
           a->model.plugin->model.forward(a->model.state, tape, batch, tower, x,
                                          a->mask.plugin ? &bias : NULL, wanted, out) &&
           assay_tape_scope(tape, NULL) && assay_tape_ok(tape, NULL);
}

/* Outputs that were promised and not given: whoever reads them would find NULL. */
static bool check_outputs(const assembly *a, assay_tape *tape, const assay_wanted *wanted,
                          const assay_outputs *out)
{
    for (int i = 0; i < wanted->count; i++) {
        if (assay_outputs_get(out, wanted->names[i]))
            continue;
        assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = assay_text("model.%s", a->model.plugin->name),
                            .what = assay_text("no output '%.80s' was given", wanted->names[i]),
                            .hint = "the model's facts or its batch do not keep what "
                                    "they promise"});
        return false;
    }
    return true;
}

bool assembly_forward(assembly *a, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, const assay_wanted *wanted, assay_outputs *out)
{
    out->count = 0;
    if (!attach(a, tape))
        return false;
    a->running = true;
    bool ok = true;
    for (int i = 0; i < batch->tower_count && ok; i++)
        if (assay_wants_tower(wanted, batch->towers[i].name))
            ok = run_tower(a, tape, batch, i, clock, wanted, out);
    a->running = false;
    if (!ok && assay_tape_ok(tape, NULL))
        assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                        (assay_failure){.where = assay_text("model.%s", a->model.plugin->name),
                                        .what = "a pass failed and said no reason"});
    return ok && check_outputs(a, tape, wanted, out);
}

/* ---- in two parts: the prefix cache ---- */

static bool refuse_prefix(const assembly *a, assay_tape *tape, const char *what, const char *hint)
{
    assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = assay_text("model.%s", a->model.plugin->name),
                                    .what = what,
                                    .hint = hint});
    return false;
}

/* The batch is of the wanted part, and its one tower can be run in two. */
static bool check_part(const assembly *a, assay_tape *tape, const assay_batch *batch,
                       assay_part_of part)
{
    const assay_model_functions *model = &a->model.plugin->model;
    if (!a->facts.prefix || !model->prefill || !model->resume)
        return refuse_prefix(a, tape, "this model has no prefix cache", a->facts.no_prefix);
    if (batch->part != part || batch->tower_count != 1 ||
        strcmp(batch->towers[0].name, a->facts.prefix) != 0)
        return refuse_prefix(a, tape, "the batch is not a part that can be run by itself",
                             "collate it with assay_collation.part");
    return true;
}

/* A mask under which the history sees the question leaves nothing that could be kept. */
static bool check_mask(const assembly *a, assay_tape *tape, const assay_attention_bias *bias)
{
    if (!a->mask.plugin || assay_bias_keeps_prefix(bias))
        return true;
    assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = assay_text("mask.%s", a->mask.plugin->name),
                                    .what = "under this mask the history sees the question: there "
                                            "is no prefix to keep",
                                    .expected = "a mask that hides what follows the history",
                                    .hint = "mask.causal and the hybrid masks do"});
    return false;
}

bool assembly_prefill(assembly *a, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, assay_prefix **out)
{
    assay_attention_bias bias;
    if (!check_part(a, tape, batch, ASSAY_HISTORY) || !attach(a, tape))
        return false;
    a->running = true;
    bool was = assay_tape_pause(tape, true);
    assay_tensor *x = enter_tower(a, tape, batch, 0, clock, &bias);
    bool ok = x && check_mask(a, tape, &bias) &&
              a->model.plugin->model.prefill(a->model.state, tape, batch, 0, x,
                                             a->mask.plugin ? &bias : NULL, out);
    assay_tape_pause(tape, was);
    a->running = false;
    return ok && assay_tape_scope(tape, NULL);
}

bool assembly_resume(assembly *a, assay_tape *tape, const assay_batch *batch,
                     const assay_clock *clock, const assay_prefix *const *prefix,
                     const assay_wanted *wanted, assay_outputs *out)
{
    assay_attention_bias bias;
    out->count = 0;
    if (!check_part(a, tape, batch, ASSAY_QUESTION) || !attach(a, tape))
        return false;
    a->running = true;
    assay_tensor *x = enter_tower(a, tape, batch, 0, clock, &bias);
    bool ok = x && check_mask(a, tape, &bias) &&
              a->model.plugin->model.resume(a->model.state, tape, batch, 0, x,
                                            a->mask.plugin ? &bias : NULL, prefix, wanted, out);
    a->running = false;
    return ok && assay_tape_scope(tape, NULL) && check_outputs(a, tape, wanted, out);
}

/* ---- after the walk back ---- */

bool assembly_observe(assembly *a, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, assay_error *error)
{
    if (!a->mask.plugin || !a->mask.plugin->mask.observe)
        return true;
    for (int i = 0; i < batch->tower_count; i++)
        if (!a->mask.plugin->mask.observe(a->mask.state, tape, clock, &batch->towers[i], error))
            return false;
    return true;
}

bool assembly_advance(assembly *a, const assay_clock *clock, assay_error *error)
{
    return !a->mask.plugin || !a->mask.plugin->mask.advance ||
           a->mask.plugin->mask.advance(a->mask.state, clock, error);
}

/* ---- as a network ---- */

static bool network_collate(void *user, const assay_collation *in, assay_batch *out,
                            assay_error *error)
{
    assembly *a = user;
    out->part = in->part;
    return a->model.plugin->model.collate(a->model.state, in, out, error);
}

static bool network_run(void *user, assay_tape *tape, const assay_batch *batch,
                        const assay_wanted *wanted, assay_outputs *out)
{
    assembly *a = user;
    return assembly_forward(a, tape, batch, &a->evaluation, wanted, out);
}

static bool network_prefill(void *user, assay_tape *tape, const assay_batch *batch,
                            assay_prefix **out)
{
    assembly *a = user;
    return assembly_prefill(a, tape, batch, &a->evaluation, out);
}

static bool network_resume(void *user, assay_tape *tape, const assay_batch *batch,
                           const assay_prefix *const *prefix, const assay_wanted *wanted,
                           assay_outputs *out)
{
    assembly *a = user;
    return assembly_resume(a, tape, batch, &a->evaluation, prefix, wanted, out);
}

void assembly_network(assembly *a, int64_t step)
{
    int64_t per_step = a->total > 0 ? a->total_micro / a->total : 1;
    a->evaluation = (assay_clock){.phase = ASSAY_EVALUATION,
                                  .step = a->trained + step,
                                  .total = a->total,
                                  .micro = (a->trained + step) * per_step,
                                  .total_micro = a->total_micro};
    a->network = (assay_network){
        .size = sizeof a->network,
        .user = a,
        .facts = &a->facts,
        .params = a->params,
        .collate = network_collate,
        .run = network_run,
        .prefill = network_prefill,
        .resume = network_resume,
    };
}
