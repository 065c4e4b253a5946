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

static bool make_asked(stepper *s, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, s->options->accumulate,
                        (s->assembly->loss_count + 1) * (int64_t)sizeof(double)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "train.accumulate",
                          .what = "too many micro-batches");
    for (int i = 0; i < 2; i++)
        if (!(s->asked[i].values = assay_zalloc(bytes, error)))
            return false;
    s->ahead = assay_ahead_new(s->assembly->device, error);
    return s->ahead != NULL;
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
    s->late = assay_late_new(a->device, error);
    if (!s->tape || !s->losses || !s->values || !s->targets || !s->late || !make_asked(s, error) ||
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
    for (int i = 0; i < 2; i++)
        assay_free(s->asked[i].values);
    assay_late_free(s->late);
    assay_ahead_free(s->ahead);
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

/* ---- losses, read when they have come ---- */

typedef struct late_loss {
    double *to, factor;
    assay_dtype dtype;
    bool add;
} late_loss;

static void take_loss(void *user, const void *note, const void *numbers, int64_t count)
{
    const late_loss *loss = note;
    double value = NAN;
    (void)user;
    if (count > 0 && loss->dtype == ASSAY_F32)
        value = (double)*(const float *)numbers;
    else if (count > 0 && loss->dtype == ASSAY_BF16)
        value = (double)assay_from_bf16(*(const uint16_t *)numbers);
    if (loss->add)
        *loss->to += loss->factor * value;
    else
        *loss->to = value;
}

bool stepper_read_later(stepper *s, int loss, const assay_tensor *value, double factor, bool add,
                        assay_error *error)
{
    const late_loss note = {&s->into[loss], factor, value->dtype, add};
    return assay_late_add(
        s->late,
        &(assay_reading){
            .tensor = value, .read = take_loss, .note = &note, .note_bytes = (int64_t)sizeof note},
        error);
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
        if (!stepper_read_later(s, i, value, 1, false, error))
            return false;
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

/* ---- the step, asked for ---- */

/* All but the losses of the micro-batch, which come later. */
static bool take_micro(stepper *s, step_asked *asked, int64_t micro, const loader_item *item,
                       assay_error *error)
{
    const train_options *o = s->options;
    float scale = (float)(1.0 / (double)o->accumulate);
    assay_clock clock = {
        .phase = ASSAY_TRAINING,
        .step = asked->step,
        .total = o->steps,
        .micro = asked->step * o->accumulate + micro,
        .total_micro = o->steps * o->accumulate,
    };
    s->into = asked->values + micro * s->assembly->loss_count;
    bool ok = item->piece_count == 1 ? train_whole(s, &item->pieces[0], &clock, scale, error)
                                     : pieces_train(s, item, &clock, scale, error);
    if (s->prefixes)
        prefixes_end(s->prefixes);
    asked->report.tokens += item->whole.tokens;
    return ok && assembly_advance(s->assembly, &clock, error);
}

/* The failure of a step's optimizer, with the step's number. */
static bool fail_optimizer(int64_t step, const assay_error *own, assay_error *error)
{
    return ASSAY_FAIL(
        error, own->code, .where = assay_text("step %lld, %s", (long long)step + 1, own->where),
        .what = own->what, .expected = own->expected, .got = own->got, .hint = own->hint);
}

static bool optimize(stepper *s, step_asked *asked, assay_error *error)
{
    const train_options *o = s->options;
    assay_error own = {0};
    double lr = asked->report.lr = o->lr * assay_schedule_factor(&s->schedule, (double)asked->step);
    return assay_adamw_ask(s->adamw, (float)lr, (float)o->clip, true, &own) ||
           fail_optimizer(asked->step, &own, error);
}

/* While the device computes, the next batch is taken and sent. Where the host computes there is
 * nothing to be done meanwhile, and it is taken when its step begins. */
static void look_ahead(stepper *s, loader *batches)
{
    if (!assay_device_is_apart(s->assembly->device))
        return;
    assay_error_clear(&s->next_error);
    s->next = loader_next(batches, &s->next_waited, &s->next_error);
    if (s->next)
        assay_ahead_send(s->ahead, s->next->arena);
}

static const loader_item *next_item(stepper *s, loader *batches, double *waited, assay_error *error)
{
    const loader_item *item = s->next;
    s->next = NULL;
    if (item) {
        *waited += s->next_waited;
        return item;
    }
    if (s->next_error.code != ASSAY_OK) {
        if (error && error->code == ASSAY_OK)
            *error = s->next_error;
        return NULL;
    }
    double now = 0;
    item = loader_next(batches, &now, error);
    *waited += now;
    return item;
}

int64_t stepper_unread(const stepper *s)
{
    return s->asked_count - s->read_count;
}

bool stepper_ask(stepper *s, int64_t step, loader *batches, recorder *curves, assay_error *error)
{
    const int64_t micros = s->options->accumulate;
    step_asked *asked = &s->asked[s->asked_count % 2];
    asked->step = step;
    asked->report = (step_report){0};
    assay_params_clear_grads(s->assembly->params);
    for (int64_t micro = 0; micro < micros; micro++) {
        const loader_item *item = next_item(s, batches, &asked->report.waited, error);
        if (!item || !take_micro(s, asked, micro, item, error))
            return false;
        if (micro < micros - 1)
            look_ahead(s, batches);
    }
    if (!optimize(s, asked, error))
        return false;
    assay_late_close(s->late);
    recorder_close(curves);
    s->asked_count++;
    step_report *report = &asked->report;
    report->bytes = assay_tape_stats_get(s->tape).arena.peak_bytes +
                    assay_tape_stats_get(s->losses).arena.peak_bytes;
    if (assay_device_peak(s->assembly->device) > report->bytes)
        report->bytes = assay_device_peak(s->assembly->device);
    report->prefix_bytes = s->prefixes ? prefixes_bytes(s->prefixes) : 0;
    look_ahead(s, batches);
    return true;
}

/* ---- and read ---- */

/* A loss that is no number: says which, and when a parameter already is none, that; a device that
 * failed is the better reason. */
static bool check_values(const stepper *s, int64_t step, const double *values, assay_error *error)
{
    const assembly *a = s->assembly;
    for (int i = 0; i < a->loss_count; i++) {
        if (isfinite(values[i]))
            continue;
        if (!assay_device_sound(a->device, error))
            return false;
        const assay_parameter *bad = assay_params_nonfinite(a->params, a->device, true);
        return ASSAY_FAIL(
            error, ASSAY_NOT_FINITE, .where = assay_text("step %lld", (long long)step + 1),
            .what = assay_text("%s is not finite%s%.100s", a->losses[i].series,
                               bad ? ", nor is parameter " : "", bad ? bad->name : ""),
            .expected = "a number", .got = assay_text("%g", values[i]),
            .hint = "a lower learning rate, clipping or fp32 may help");
    }
    return true;
}

/* The losses of a micro-batch into the curves, and looked at. */
static bool record_losses(const stepper *s, int64_t step, const double *values, recorder *curves,
                          double *loss, assay_error *error)
{
    const assembly *a = s->assembly;
    double sum = 0;
    for (int i = 0; i < a->loss_count; i++) {
        sum += a->losses[i].weight * values[i];
        recorder_add(curves, a->losses[i].series, "min", values[i]);
    }
    recorder_add(curves, "loss", "min", sum);
    *loss += sum / (double)s->options->accumulate;
    return check_values(s, step, values, error);
}

bool stepper_read(stepper *s, recorder *curves, step_report *out, assay_error *error)
{
    assay_error own = {0};
    const step_asked *asked = &s->asked[s->read_count % 2];
    *out = asked->report;
    s->read_count++;
    bool stepped = assay_adamw_read(s->adamw, &out->norm, &own);
    /* A loss that is no number is told before the gradients that come of it, a device that failed
     * before both. */
    if (!stepped && own.code != ASSAY_NOT_FINITE)
        return fail_optimizer(asked->step, &own, error);
    recorder_read(curves);
    assay_late_read(s->late);
    for (int64_t micro = 0; micro < s->options->accumulate; micro++)
        if (!record_losses(s, asked->step, asked->values + micro * s->assembly->loss_count, curves,
                           &out->loss, error))
            return false;
    if (!stepped)
        return fail_optimizer(asked->step, &own, error);
    if (s->prefixes)
        recorder_add(curves, "memory/prefixes_mb", NULL, (double)out->prefix_bytes / 1048576.0);
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
