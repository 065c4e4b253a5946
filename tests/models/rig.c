/* rig.c - one pass of a model under a mask. */
#include "models/rig.h"
#include "under_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void begin(rig *r, const assay_data *data, const char *mask, const char *model)
{
    *r = (rig){.data = data, .total = 10, .accumulate = 1};
    recorder_begin(&r->host);
    r->model = use_open(assay_text("model_%s", model));
    use_number(&r->model, "min_count", 1);
    r->mask = use_open(assay_text("mask_%s", mask));
}

void rig_begin(rig *r, const people *dataset, const char *mask)
{
    begin(r, &dataset->data, mask, "user_decoder");
}

void rig_begin_model(rig *r, const people *dataset, const char *mask, const char *model)
{
    begin(r, &dataset->data, mask, model);
}

void rig_begin_on(rig *r, const assay_data *data, const char *mask)
{
    begin(r, data, mask, "user_decoder");
}

void rig_open_mask(rig *r)
{
    assay_error error = {0};
    const assay_mask_functions *f = use_mask(&r->mask);
    assay_needs needs = {0};
    const assay_mask_setup setup = {.size = sizeof setup,
                                    .facts = &r->facts,
                                    .params = r->params,
                                    .host = &r->host.host,
                                    .total = r->total,
                                    .total_micro = r->total * r->accumulate};
    if (f->needs)
        must(f->needs(r->mask.options, &needs, &error), &error);
    for (int i = 0; i < needs.tap_count; i++)
        tape_must(r->tape, assay_tape_tap(r->tape, needs.taps[i]));
    r->opened_mask = f->open(r->mask.options, &setup, &error);
    must(r->opened_mask != NULL, &error);
}

/* Front tokens that the mask asks for, beside those that the test gives. */
static void ask_mask(rig *r)
{
    assay_error error = {0};
    const assay_mask_functions *f = use_mask(&r->mask);
    assay_needs needs = {0};
    if (f->needs)
        must(f->needs(r->mask.options, &needs, &error), &error);
    r->mask_front = needs.extra.front;
    r->extra.front += needs.extra.front;
}

void rig_open(rig *r, uint64_t seed)
{
    assay_error error = {0};
    const assay_device *device = device_under_test(&error);
    must(device != NULL, &error);
    r->tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    r->params = assay_params_new(seed, &error);
    r->arena = assay_arena_new(0, &error);
    must(r->tape && r->params && r->arena, &error);
    ask_mask(r);
    const assay_model_setup setup = {.size = sizeof setup,
                                     .data = r->data,
                                     .params = r->params,
                                     .extra = r->extra,
                                     .host = &r->host.host,
                                     .seed = seed};
    r->opened = use_model(&r->model)->open(r->model.options, &setup, &error);
    must(r->opened != NULL, &error);
    use_model(&r->model)->facts(r->opened, &r->facts);
    rig_open_mask(r);
}

void rig_mask(rig *r, const char *mask)
{
    use_mask(&r->mask)->close(r->opened_mask);
    use_close(&r->mask);
    r->mask = use_open(assay_text("mask_%s", mask));
    r->opened_mask = NULL;
}

void rig_close(rig *r)
{
    if (r->opened_mask)
        use_mask(&r->mask)->close(r->opened_mask);
    use_model(&r->model)->close(r->opened);
    use_close(&r->mask);
    use_close(&r->model);
    assay_params_free(r->params);
    assay_tape_free(r->tape);
    assay_arena_free(r->arena);
}

void rig_batch(rig *r, int benchmark, int64_t first, int64_t count, const assay_wanted *wanted,
               assay_batch *out)
{
    assay_error error = {0};
    assay_arena_reset(r->arena);
    assay_sample *samples = assay_arena_alloc(r->arena, count * (int64_t)sizeof *samples, &error);
    must(samples != NULL, &error);
    for (int64_t i = 0; i < count; i++)
        must(r->data->functions->sample(r->data->dataset, ASSAY_TRAIN, benchmark, first + i,
                                        &(assay_draw){0}, r->arena, &samples[i], &error),
             &error);
    *out = (assay_batch){.samples = count, .sample = samples};
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_TRAINING,
                                .wanted = wanted,
                                .arena = r->arena};
    must(use_model(&r->model)->collate(r->opened, &in, out, &error), &error);
}

void rig_tape(rig *r, bool training)
{
    assay_tape_begin(r->tape, (assay_step){.seed = 1, .clock = 1 + r->pass, .training = training});
}

void rig_run(rig *r, const assay_clock *clock, const assay_batch *batch, const assay_wanted *wanted,
             assay_outputs *out)
{
    const assay_model_functions *model = use_model(&r->model);
    out->count = 0;
    if (r->mask_front > 0)
        r->insert.front = use_mask(&r->mask)->front(r->opened_mask, r->tape);
    for (int t = 0; t < batch->tower_count; t++) {
        assay_attention_bias bias;
        tape_must(r->tape, assay_tape_scope(r->tape, batch->towers[t].name));
        assay_tensor *x = model->embed(r->opened, r->tape, batch, t, &r->insert);
        tape_must(r->tape, x != NULL);
        r->embedded[t] = x;
        tape_must(r->tape, use_mask(&r->mask)->bias(r->opened_mask, r->tape, clock,
                                                    &batch->towers[t], x, &bias));
        tape_must(r->tape, model->forward(r->opened, r->tape, batch, t, x, &bias, wanted, out));
        assay_tape_scope(r->tape, NULL);
    }
}

void rig_pass(rig *r, const assay_clock *clock, int benchmark, int64_t first, int64_t count,
              const assay_wanted *wanted, assay_batch *batch, assay_outputs *out)
{
    rig_tape(r, clock->phase == ASSAY_TRAINING);
    rig_batch(r, benchmark, first, count, wanted, batch);
    rig_run(r, clock, batch, wanted, out);
}

void rig_observe(rig *r, const assay_clock *clock, const assay_batch *batch)
{
    assay_error error = {0};
    const assay_mask_functions *mask = use_mask(&r->mask);
    for (int t = 0; mask->observe && t < batch->tower_count; t++)
        must(mask->observe(r->opened_mask, r->tape, clock, &batch->towers[t], &error), &error);
    if (mask->advance)
        must(mask->advance(r->opened_mask, clock, &error), &error);
}

assay_tensor *rig_output(const assay_outputs *outputs, const char *name)
{
    assay_tensor *tensor = assay_outputs_get(outputs, name);
    if (!tensor)
        fail_msg("there is no output %s", name);
    return tensor;
}

static assay_clock clock_of(const rig *r, assay_phase phase, int64_t step)
{
    return (assay_clock){.phase = phase,
                         .step = step,
                         .total = r->total,
                         .micro = step * r->accumulate,
                         .total_micro = r->total * r->accumulate};
}

assay_clock rig_training(const rig *r, int64_t step)
{
    return clock_of(r, ASSAY_TRAINING, step);
}

assay_clock rig_evaluation(const rig *r, int64_t step)
{
    return clock_of(r, ASSAY_EVALUATION, step);
}

void same_bits(const float *a, const float *b, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == b[i]))
            fail_msg("%s: number %lld is %a, expected %a", what, (long long)i, (double)a[i],
                     (double)b[i]);
}

void all_zero(const float *a, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == 0.0f))
            fail_msg("%s: number %lld is %a, expected 0", what, (long long)i, (double)a[i]);
}

bool any_nonzero(const float *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (a[i] != 0.0f)
            return true;
    return false;
}
