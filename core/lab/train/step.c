/* step.c - one optimizer step: micro-batches forward and back, then AdamW. */
#include "lab/train/step.h"

#include "lab/train/datasets.h"
#include "lab/train/rates.h"

#include <assay/memory.h>
#include <assay/ops.h>

#include <math.h>
#include <string.h>

/* ---- life ---- */

static bool make_optimizer(stepper *s, assay_error *error)
{
    const train_options *o = s->options;
    assay_adamw_options adamw = {
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .eps = (float)o->eps,
        .weight_decay = (float)o->weight_decay,
    };
    s->schedule = rates_schedule(o);
    if (!assay_schedule_check(&s->schedule, error))
        return false;
    s->adamw = assay_adamw_new(s->assembly->params, s->assembly->device, adamw, error);
    if (!s->adamw)
        return false;
    return rates_scale(s->assembly, o, s->adamw, error);
}

static bool make_prefixes(stepper *s, assay_error *error)
{
    const assay_data *data = s->assembly->data;
    assay_data_split split = data_training_split(data, s->options);
    bool chosen = false;
    if (!prefixes_chosen(s->assembly, s->options, &chosen, error))
        return false;
    if (chosen)
        s->prefixes = prefixes_new(s->assembly, s->options,
                                   data_count(data, split, ASSAY_NO_BENCHMARK), error);
    return !chosen || s->prefixes;
}

stepper *stepper_new(assembly *a, const train_options *options, bool training, assay_error *error)
{
    assay_precision precision = assembly_precision(options);
    int64_t bytes = (a->loss_count + 1) * (int64_t)sizeof(double);
    stepper *s = assay_zalloc((int64_t)sizeof *s, error);
    if (!s)
        return NULL;
    s->assembly = a;
    s->options = options;
    s->tape = assembly_tape(a, precision, error);
    s->losses = assay_tape_new(a->device, precision, error);
    s->values = assay_zalloc(bytes, error);
    s->targets = assay_zalloc(bytes, error);
    s->computed = assay_zalloc((a->loss_count + 1) * (int64_t)sizeof *s->computed, error);
    if (!s->tape || !s->losses || !s->values || !s->targets || !s->computed ||
        (training && (!make_optimizer(s, error) || !make_prefixes(s, error)))) {
        stepper_free(s);
        return NULL;
    }
    return s;
}

void stepper_free(stepper *s)
{
    if (!s)
        return;
    for (int i = 0; i < ASSAY_MAX_OUTPUTS; i++)
        assay_tensor_free(s->kept[i]);
    prefixes_free(s->prefixes);
    assay_adamw_free(s->adamw);
    assay_tape_free(s->tape);
    assay_tape_free(s->losses);
    assay_free(s->values);
    assay_free(s->targets);
    assay_free(s->computed);
    assay_free(s);
}

double stepper_targets(const stepper *s, int i, const assay_batch *batch,
                       const assay_outputs *outputs)
{
    const assembly_part *part = &s->assembly->losses[i].part;
    if (part->plugin->loss.targets)
        return part->plugin->loss.targets(part->state, batch, outputs);
    return (double)batch->samples;
}

bool stepper_forward(stepper *s, const assay_batch *batch, const assay_clock *clock,
                     const assay_wanted *wanted, assay_outputs *out)
{
    if (batch->part == ASSAY_QUESTION)
        return prefixes_forward(s->prefixes, s->tape, batch, clock, wanted, out);
    return assembly_forward(s->assembly, s->tape, batch, clock, wanted, out);
}

/* ---- a micro-batch in one piece ---- */

static bool train_whole(stepper *s, const assay_batch *batch, const assay_clock *clock, float scale,
                        assay_error *error)
{
    assembly *a = s->assembly;
    const assay_wanted wanted = {a->wanted.count, a->wanted.names};
    assay_outputs outputs = {0};
    assay_tensor *total = NULL;
    assay_tape_begin(s->tape, (assay_step){.seed = (uint64_t)a->recipe->seed,
                                           .clock = (uint64_t)clock->micro,
                                           .training = true});
    if (!stepper_forward(s, batch, clock, &wanted, &outputs))
        return assay_tape_failed(s->tape, error);
    for (int i = 0; i < a->loss_count; i++) {
        const assembly_loss *loss = &a->losses[i];
        assay_tensor *value =
            loss->part.plugin->loss.compute(loss->part.state, s->tape, clock, batch, &outputs);
        if (!value)
            return assay_tape_failed(s->tape, error);
        s->computed[i] = value;
        if (loss->weight != 1.0)
            value = assay_scale(s->tape, value, (float)loss->weight);
        total = total ? assay_add(s->tape, total, value) : value;
    }
    if (!total)
        return assay_tape_failed(s->tape, error);
    if (!total->needs_grad)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "loss",
                          .what = "the losses depend on nothing that is trained",
                          .hint = "everything that they reach is frozen");
    if (!assay_tape_backward(s->tape, total, scale))
        return assay_tape_failed(s->tape, error);
    return assembly_observe(a, s->tape, batch, clock, error);
}

/* ---- the step ---- */

/* The losses of the micro-batch, which the tape holds until it begins another. The host waits for a
 * device here. */
static void read_values(stepper *s)
{
    for (int i = 0; i < s->assembly->loss_count; i++) {
        if (s->computed[i])
            s->values[i] = assay_value(s->computed[i]);
        s->computed[i] = NULL;
    }
}

/* A loss that is no number: says which, and when a parameter already is none, that; a device that failed is
 * the better reason. */
static bool check_values(const stepper *s, int64_t step, assay_error *error)
{
    const assembly *a = s->assembly;
    for (int i = 0; i < a->loss_count; i++) {
        if (isfinite(s->values[i]))
            continue;
        if (!assay_device_sound(a->device, error))
            return false;
        const assay_parameter *bad = assay_params_nonfinite(a->params, a->device, true);
        return ASSAY_FAIL(
            error, ASSAY_NOT_FINITE, .where = assay_text("step %lld", (long long)step + 1),
            .what = assay_text("%s is not finite%s%.100s", a->losses[i].series,
                               bad ? ", nor is parameter " : "", bad ? bad->name : ""),
            .expected = "a number", .got = assay_text("%g", s->values[i]),
            .hint = "a lower learning rate, clipping or fp32 may help");
    }
    return true;
}

/* Ends a micro-batch: its losses into the curves, and looked at. */
static bool record_losses(stepper *s, int64_t step, recorder *curves, double *loss,
                          assay_error *error)
{
    const assembly *a = s->assembly;
    double sum = 0;
    read_values(s);
    for (int i = 0; i < a->loss_count; i++) {
        sum += a->losses[i].weight * s->values[i];
        recorder_add(curves, a->losses[i].series, "min", s->values[i]);
    }
    recorder_add(curves, "loss", "min", sum);
    *loss += sum / (double)s->options->accumulate;
    return check_values(s, step, error);
}

/* All but the losses of the micro-batch (record_losses). */
static bool take_micro(stepper *s, int64_t step, int64_t micro, const loader_item *item,
                       step_report *out, assay_error *error)
{
    const train_options *o = s->options;
    float scale = (float)(1.0 / (double)o->accumulate);
    assay_clock clock = {
        .phase = ASSAY_TRAINING,
        .step = step,
        .total = o->steps,
        .micro = step * o->accumulate + micro,
        .total_micro = o->steps * o->accumulate,
    };
    bool ok = item->piece_count == 1 ? train_whole(s, &item->pieces[0], &clock, scale, error)
                                     : pieces_train(s, item, &clock, scale, error);
    if (s->prefixes)
        prefixes_end(s->prefixes);
    out->tokens += item->whole.tokens;
    return ok && assembly_advance(s->assembly, &clock, error);
}

static bool optimize(stepper *s, int64_t step, step_report *out, assay_error *error)
{
    const train_options *o = s->options;
    assay_error own = {0};
    out->lr = o->lr * assay_schedule_factor(&s->schedule, (double)step);
    if (assay_adamw_step(s->adamw, (float)out->lr, (float)o->clip, &out->norm, &own))
        return true;
    return ASSAY_FAIL(error, own.code,
                      .where = assay_text("step %lld, %s", (long long)step + 1, own.where),
                      .what = own.what, .expected = own.expected, .got = own.got, .hint = own.hint);
}

bool stepper_take(stepper *s, int64_t step, loader *batches, recorder *curves, step_report *out,
                  assay_error *error)
{
    assay_error own = {0};
    *out = (step_report){0};
    assay_params_clear_grads(s->assembly->params);
    for (int64_t micro = 0; micro < s->options->accumulate; micro++) {
        double waited = 0;
        const loader_item *item = loader_next(batches, &waited, error);
        if (!item)
            return false;
        out->waited += waited;
        if (micro > 0 && !record_losses(s, step, curves, &out->loss, error))
            return false;
        if (!take_micro(s, step, micro, item, out, error))
            return false;
    }
    /* The last losses are read when the device has been given the whole step. A loss that is no number
     * is told before the gradients that come of it, a device that failed before both. */
    bool stepped = optimize(s, step, out, &own);
    if (stepped || own.code == ASSAY_NOT_FINITE)
        recorder_read(curves);
    if ((stepped || own.code == ASSAY_NOT_FINITE) &&
        !record_losses(s, step, curves, &out->loss, error))
        return false;
    if (!stepped) {
        if (error)
            *error = own;
        return false;
    }
    out->bytes = assay_tape_stats_get(s->tape).arena.peak_bytes +
                 assay_tape_stats_get(s->losses).arena.peak_bytes;
    if (assay_device_peak(s->assembly->device) > out->bytes)
        out->bytes = assay_device_peak(s->assembly->device);
    if (s->prefixes)
        recorder_add(curves, "memory/prefixes_mb", NULL,
                     (double)prefixes_bytes(s->prefixes) / 1048576.0);
    recorder_add(curves, "lr", NULL, out->lr);
    recorder_add(curves, "grad_norm", NULL, out->norm);
    return true;
}

/* ---- the valid split ---- */

bool stepper_valid(stepper *s, int64_t step, const volatile sig_atomic_t *stop, double *loss,
                   assay_error *error)
{
    assembly *a = s->assembly;
    const train_options *o = s->options;
    const assay_wanted wanted = {a->wanted.count, a->wanted.names};
    double sums[ASSAY_MAX_OUTPUTS] = {0}, weights[ASSAY_MAX_OUTPUTS] = {0};
    const assay_clock clock = {ASSAY_EVALUATION, step, o->steps, step * o->accumulate,
                               o->steps * o->accumulate};
    loader_plan plan = {
        .assembly = a,
        .split = ASSAY_VALID,
        .benchmark = ASSAY_NO_BENCHMARK,
        .wanted = &wanted,
        .phase = ASSAY_EVALUATION,
        .end = data_count(a->data, ASSAY_VALID, ASSAY_NO_BENCHMARK),
        .size = o->batch / o->accumulate,
        .pieces = o->pieces,
        .seed = (uint64_t)a->recipe->seed,
    };
    loader *l = loader_new(&plan, error);
    const loader_item *item = NULL;
    bool ok = l != NULL;
    while (ok && (item = loader_next(l, NULL, error)) != NULL) {
        ok = pieces_evaluate(s, item, &clock, error);
        for (int i = 0; i < a->loss_count && ok; i++) {
            sums[i] += s->targets[i] * s->values[i];
            weights[i] += s->targets[i];
        }
        if (ok && train_stopping(stop))
            ok = ASSAY_FAIL(error, ASSAY_STOPPED, .where = "valid/loss", .what = "asked to end");
    }
    loader_free(l);
    if (!ok || (error && error->code != ASSAY_OK))
        return false;
    *loss = 0;
    for (int i = 0; i < a->loss_count; i++) {
        s->values[i] = weights[i] > 0 ? sums[i] / weights[i] : 0;
        *loss += a->losses[i].weight * s->values[i];
    }
    return true;
}
