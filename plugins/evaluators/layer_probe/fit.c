/* fit.c - training linear classifiers on frozen tokens (infrared spec 2.6.5, 2.10): cross-entropy
 * of the logits resized to the truth, AdamW with decay on everything, mmcv's poly schedule.
 *
 * The probes of all layers take the same passes: their losses are added, and since no number of one
 * depends on another's and AdamW goes number by number, each is trained as if it were alone. */
#include "probe.h"

#include <assay/maps.h>
#include <assay/optim.h>

#include <inttypes.h>
#include <string.h>

#define STREAM "layer_probe/order"

/* A shuffled order of the training split, one per epoch. */
typedef struct order {
    int64_t count, epoch; /* epoch -1: none is drawn yet */
    int64_t *items;       /* (count), owned */
} order;

static void shuffle(order *o, uint64_t seed, int64_t epoch)
{
    const assay_stream stream = assay_stream_of(seed, STREAM, (uint64_t)epoch);
    for (int64_t i = 0; i < o->count; i++)
        o->items[i] = i;
    for (int64_t i = o->count - 1; i > 0; i--) {
        const int64_t k = (int64_t)assay_random_below(stream, (uint64_t)i, (uint64_t)(i + 1));
        const int64_t kept = o->items[i];
        o->items[i] = o->items[k];
        o->items[k] = kept;
    }
    o->epoch = epoch;
}

/* The samples of a step, with the changes of training, into `out` (batch). */
static bool draw_samples(prober *p, order *o, int64_t step, assay_sample *out, assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    for (int64_t i = 0; i < p->options->batch; i++) {
        const int64_t at = step * p->options->batch + i;
        const assay_draw draw = {
            .seed = p->evaluation->seed, .epoch = at / o->count, .augment = true};
        if (draw.epoch != o->epoch)
            shuffle(o, p->evaluation->seed, draw.epoch);
        if (!data->functions->sample(data->dataset, ASSAY_TRAIN, p->benchmark,
                                     o->items[at % o->count], &draw, p->samples, &out[i], error))
            return false;
    }
    return true;
}

/* Truths of one size, side by side: u8 (B, height, width) on the tape. */
static assay_tensor *stack_truths(prober *p, const assay_sample *samples, assay_error *error)
{
    const assay_field_value *first = &samples[0].values[p->truth];
    const int64_t shape[] = {p->options->batch, first->shape[0], first->shape[1]};
    assay_tensor *out = assay_tape_tensor(p->tape, ASSAY_U8, 3, shape);
    if (!out) {
        assay_tape_failed(p->tape, error);
        return NULL;
    }
    for (int64_t b = 0; b < p->options->batch; b++) {
        const assay_field_value *truth = &samples[b].values[p->truth];
        if (!truth->present || truth->shape[0] != shape[1] || truth->shape[1] != shape[2]) {
            ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = WHERE,
                       .what = "the training samples have no truth of one size",
                       .got = assay_text("sample %" PRId64, samples[b].index));
            return NULL;
        }
        memcpy(assay_u8(out) + b * shape[1] * shape[2], truth->data, (size_t)(shape[1] * shape[2]));
    }
    return out;
}

static assay_tensor *summed_loss(prober *p, assay_tensor *const features[],
                                 const assay_tensor *truth)
{
    assay_tensor *sum = NULL;
    for (int64_t i = 0; i < p->count; i++) {
        assay_tensor *logits = probe_logits(p, &p->probes[i], features[i]);
        logits = assay_resize_bilinear(p->tape, logits, truth->shape[1], truth->shape[2]);
        assay_tensor *loss = assay_pixel_cross_entropy(p->tape, logits, truth, IGNORED, true);
        sum = sum ? assay_add(p->tape, sum, loss) : loss;
        if (!sum)
            return NULL;
    }
    return sum;
}

static bool take_step(prober *p, order *o, int64_t step, float lr, assay_adamw *adamw,
                      assay_error *error)
{
    assay_tensor *features[MOST_LAYERS];
    assay_arena_reset(p->samples);
    assay_sample *samples =
        assay_arena_alloc(p->samples, p->options->batch * (int64_t)sizeof *samples, error);
    if (!samples || !draw_samples(p, o, step, samples, error))
        return false;
    assay_tape_begin(p->tape, (assay_step){.seed = p->evaluation->seed, .clock = (uint64_t)step});
    if (!features_of(p, samples, p->options->batch, features, error))
        return false;
    const assay_tensor *truth = stack_truths(p, samples, error);
    if (!truth)
        return false;
    assay_params_clear_grads(p->params);
    assay_tensor *loss = summed_loss(p, features, truth);
    if (!loss || !assay_tape_backward(p->tape, loss, 1.0f))
        return assay_tape_failed(p->tape, error);
    return assay_adamw_step(adamw, lr, 0, NULL, error);
}

bool probe_fit(prober *p, assay_error *error)
{
    const settings *s = p->options;
    const assay_data *data = p->evaluation->data;
    order o = {.count = data->functions->count(data->dataset, ASSAY_TRAIN, p->benchmark),
               .epoch = -1};
    assay_adamw_options adam = assay_adamw_defaults();
    const assay_schedule schedule = {.kind = ASSAY_POLY,
                                     .warmup_kind = ASSAY_WARMUP_SCALED,
                                     .warmup = s->warmup * (double)s->steps,
                                     .total = (double)s->steps,
                                     .ratio = 1e-6,
                                     .power = 1};
    adam.weight_decay = (float)s->weight_decay;
    o.items = assay_alloc(o.count * (int64_t)sizeof *o.items, error);
    assay_adamw *adamw = assay_adamw_new(p->params, p->evaluation->device, adam, error);
    bool ok = o.items && adamw;
    for (int64_t step = 0; step < s->steps && ok; step++)
        ok = !probe_stopped(p, error) &&
             take_step(p, &o, step, (float)(s->lr * assay_schedule_factor(&schedule, (double)step)),
                       adamw, error);
    assay_adamw_free(adamw);
    assay_free(o.items);
    return ok;
}
