/* pieces.c - a micro-batch in parts, so that memory bounds the part and not the batch.
 *
 * First pass: every part without a record; what coupling losses read is kept. Then the coupling
 * losses on all of it, which gives the gradients of the kept outputs. Second pass: every part
 * again, with a record, and back from those gradients and from the losses that do not couple, each
 * weighted by its share of the targets. Dropout draws by the same address in both passes. */
#include "lab/train/step.h"

#include <assay/memory.h>
#include <assay/ops.h>

#include <math.h>
#include <string.h>

static void begin_part(stepper *s, const loader_item *item, int64_t part, const assay_clock *clock,
                       bool gradient)
{
    bool training = clock->phase == ASSAY_TRAINING;
    assay_tape_begin(s->tape,
                     (assay_step){.seed = (uint64_t)s->assembly->recipe->seed,
                                  .clock = (uint64_t)(clock->micro * item->piece_count + part),
                                  .training = training,
                                  .no_gradient = !gradient});
}

/* ---- keeping outputs ---- */

/* The leaf that holds output `i` of all parts. Its shape is the part's with all rows. */
static assay_tensor *kept_for(stepper *s, int i, const assay_tensor *part, int64_t rows,
                              assay_error *error)
{
    int64_t shape[ASSAY_MAX_RANK];
    assay_tensor *kept = s->kept[i];
    memcpy(shape, part->shape, sizeof shape);
    shape[0] = rows;
    if (kept && kept->rank == part->rank && memcmp(kept->shape, shape, sizeof shape) == 0)
        return kept;
    assay_tensor_free(kept);
    s->kept[i] = kept = assay_tensor_new(ASSAY_F32, part->rank, shape, error);
    return kept && assay_tensor_want_grad(kept, error) ? kept : NULL;
}

static bool keep_output(stepper *s, int i, const assay_tensor *part, const assay_batch *batch,
                        int64_t first, int64_t rows, assay_error *error)
{
    bool floating = part->dtype == ASSAY_F32 || part->dtype == ASSAY_BF16;
    if (!floating || part->rank < 1 || part->shape[0] != batch->samples)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                          .where = assay_text("output %s", s->assembly->coupled.names[i]),
                          .what = "a loss that couples samples over pieces reads it, and it has no "
                                  "row per sample",
                          .got = assay_tensor_text(part), .hint = "train.pieces = 1");
    assay_tensor *kept = kept_for(s, i, part, rows, error);
    return kept &&
           (assay_tape_keep(s->tape, kept, first, part) || assay_tape_failed(s->tape, error));
}

/* ---- losses that do not couple ---- */

static assay_tensor *compute(const assembly_loss *loss, assay_tape *tape, const assay_clock *clock,
                             const assay_batch *batch, const assay_outputs *outputs)
{
    return loss->part.plugin->loss.compute(loss->part.state, tape, clock, batch, outputs);
}

/* One part without a record. `values`: losses that do not couple are computed too. */
static bool look_at_part(stepper *s, const loader_item *item, int64_t part, int64_t first,
                         const assay_clock *clock, bool values, assay_error *error)
{
    assembly *a = s->assembly;
    const assay_wanted wanted = {a->wanted.count, a->wanted.names};
    const assay_batch *batch = &item->pieces[part];
    assay_outputs outputs = {0};
    begin_part(s, item, part, clock, false);
    if (!stepper_forward(s, batch, clock, &wanted, &outputs))
        return assay_tape_failed(s->tape, error);
    for (int i = 0; i < a->coupled.count; i++)
        if (!keep_output(s, i, assay_outputs_get(&outputs, a->coupled.names[i]), batch, first,
                         item->whole.samples, error))
            return false;
    for (int i = 0; i < a->loss_count; i++) {
        if (a->losses[i].part.plugin->loss.couples)
            continue;
        double targets = stepper_targets(s, i, batch, &outputs);
        s->targets[i] += targets;
        if (!values || targets <= 0)
            continue;
        assay_tensor *value = compute(&a->losses[i], s->tape, clock, batch, &outputs);
        if (!value)
            return assay_tape_failed(s->tape, error);
        if (!stepper_read_later(s, i, value, targets, true, error))
            return false;
    }
    return true;
}

static bool first_pass(stepper *s, const loader_item *item, const assay_clock *clock, bool values,
                       assay_error *error)
{
    int64_t first = 0;
    for (int i = 0; i < s->assembly->loss_count; i++)
        s->into[i] = s->targets[i] = 0;
    for (int64_t part = 0; part < item->piece_count; part++) {
        if (!look_at_part(s, item, part, first, clock, values, error))
            return false;
        first += item->pieces[part].samples;
    }
    return true;
}

/* ---- losses that couple ---- */

/* Computes them on the kept outputs; with `scale` > 0 the leaves get their gradients. */
static bool couple(stepper *s, const loader_item *item, const assay_clock *clock, float scale,
                   assay_error *error)
{
    assembly *a = s->assembly;
    assay_outputs outputs = {.count = a->coupled.count};
    assay_tensor *total = NULL;
    assay_batch whole = item->whole;
    whole.tower_count = 0;
    for (int i = 0; i < a->coupled.count; i++) {
        outputs.names[i] = a->coupled.names[i];
        outputs.tensors[i] = s->kept[i];
        s->kept[i]->has_grad = false;
    }
    assay_tape_begin(s->losses, (assay_step){.seed = (uint64_t)a->recipe->seed,
                                             .clock = (uint64_t)clock->micro,
                                             .training = clock->phase == ASSAY_TRAINING,
                                             .no_gradient = scale == 0});
    for (int i = 0; i < a->loss_count; i++) {
        const assembly_loss *loss = &a->losses[i];
        if (!loss->part.plugin->loss.couples)
            continue;
        assay_tensor *value = compute(loss, s->losses, clock, &whole, &outputs);
        if (!value)
            return assay_tape_failed(s->losses, error);
        if (!stepper_read_later(s, i, value, 1, false, error))
            return false;
        s->targets[i] = stepper_targets(s, i, &whole, &outputs);
        if (loss->weight != 1.0)
            value = assay_scale(s->losses, value, (float)loss->weight);
        total = total ? assay_add(s->losses, total, value) : value;
    }
    if (scale == 0 || !total)
        return assay_tape_ok(s->losses, error);
    return assay_tape_backward(s->losses, total, scale) || assay_tape_failed(s->losses, error);
}

/* ---- the second pass ---- */

typedef struct origins { /* where a part's walk back begins */
    int count;
    assay_tensor *outputs[ASSAY_MAX_OUTPUTS + 1];
    const assay_tensor *kept[ASSAY_MAX_OUTPUTS + 1]; /* whose gradient it is; NULL: ones */
    int64_t first[ASSAY_MAX_OUTPUTS + 1];            /* from this element on */
} origins;

static void begin_at(origins *from, assay_tensor *output, const assay_tensor *kept, int64_t first)
{
    if (!output || !output->needs_grad)
        return; /* nothing behind it is trained */
    from->outputs[from->count] = output;
    from->kept[from->count] = kept;
    from->first[from->count++] = first;
}

/* A bf16 output takes the gradient of its f32 copy as it is: gradients are f32. */
static void begin_at_kept(const stepper *s, origins *from, const assay_outputs *outputs,
                          const assay_batch *batch, int64_t first)
{
    for (int i = 0; i < s->assembly->coupled.count; i++) {
        const assay_tensor *kept = s->kept[i];
        assay_tensor *output = assay_outputs_get(outputs, s->assembly->coupled.names[i]);
        int64_t width = assay_tensor_count(output) / batch->samples;
        if (kept->has_grad)
            begin_at(from, output, kept, first * width);
    }
}

static bool learn_part(stepper *s, const loader_item *item, int64_t part, int64_t first,
                       const assay_clock *clock, float scale, assay_error *error)
{
    assembly *a = s->assembly;
    const assay_wanted wanted = {a->wanted.count, a->wanted.names};
    const assay_batch *batch = &item->pieces[part];
    assay_outputs outputs = {0};
    assay_tensor *total = NULL;
    origins from = {0};
    begin_part(s, item, part, clock, true);
    if (!stepper_forward(s, batch, clock, &wanted, &outputs))
        return assay_tape_failed(s->tape, error);
    begin_at_kept(s, &from, &outputs, batch, first);
    for (int i = 0; i < a->loss_count; i++) {
        const assembly_loss *loss = &a->losses[i];
        double targets = 0;
        if (!loss->part.plugin->loss.couples)
            targets = stepper_targets(s, i, batch, &outputs);
        if (targets <= 0)
            continue;
        assay_tensor *value = compute(loss, s->tape, clock, batch, &outputs);
        if (!value)
            return assay_tape_failed(s->tape, error);
        if (!stepper_read_later(s, i, value, targets / s->targets[i], true, error))
            return false;
        value = assay_scale(s->tape, value, (float)(loss->weight * targets / s->targets[i]));
        total = total ? assay_add(s->tape, total, value) : value;
    }
    if (total)
        begin_at(&from, assay_scale(s->tape, total, scale), NULL, 0);
    if (from.count == 0)
        return assay_tape_ok(s->tape, error) &&
               ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss",
                          .what = "the losses depend on nothing that is trained",
                          .hint = "everything that they reach is frozen");
    if (!assay_tape_backward_across(s->tape, from.count, from.outputs, from.kept, from.first))
        return assay_tape_failed(s->tape, error);
    return assembly_observe(a, s->tape, batch, clock, error);
}

bool pieces_train(stepper *s, const loader_item *item, const assay_clock *clock, float scale,
                  assay_error *error)
{
    int64_t first = 0;
    if (!first_pass(s, item, clock, false, error) || !couple(s, item, clock, scale, error))
        return false;
    for (int64_t part = 0; part < item->piece_count; part++) {
        if (!learn_part(s, item, part, first, clock, scale, error))
            return false;
        first += item->pieces[part].samples;
    }
    return true;
}

bool pieces_evaluate(stepper *s, const loader_item *item, const assay_clock *clock,
                     assay_error *error)
{
    s->into = s->values;
    if (!first_pass(s, item, clock, true, error) || !couple(s, item, clock, 0, error)) {
        assay_late_drop(s->late);
        return false;
    }
    assay_late_read(s->late);
    for (int i = 0; i < s->assembly->loss_count; i++)
        if (s->targets[i] > 0 && !s->assembly->losses[i].part.plugin->loss.couples)
            s->values[i] /= s->targets[i];
    return true;
}
