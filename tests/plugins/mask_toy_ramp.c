/* mask_toy_ramp.c - a mask that uses everything a mask may, for the lab's tests: a weight of the
 * future that grows with the clock, a tapped gradient whose size it remembers and lets slow the
 * growth, a token of its own, and a learned cost. */
#include <assay/mask.h>

#include <math.h>

typedef struct options {
    double from, to, warmup, gain;
    assay_curve weight;
    int clock;
    bool query, learned;
} options;

static const assay_option table[] = {
    ASSAY_NUMBER(options, from, "", 0.1, 0.0, 1.0, "weight of future keys at the start"),
    ASSAY_NUMBER(options, to, "", 0.9, 0.0, 1.0, "weight of future keys after the warm-up"),
    ASSAY_POSITIVE(options, warmup, "fraction", 1.0, 1.0, "of the training in which it grows"),
    ASSAY_NUMBER(options, gain, "", 1.0, 0.0, 1e6, "how much remembered gradients slow it"),
    ASSAY_SCHEDULE(options, weight, "", 1.0, 0.0, 1.0, "a further factor"),
    ASSAY_CHOICE(options, clock, "steps", "steps|micro", "what counts as time"),
    ASSAY_BOOL(options, query, false, "a learned token stands before everything"),
    ASSAY_BOOL(options, learned, false, "the future has one learned log-weight instead"),
};

typedef struct ramp {
    options o;
    const assay_host *host;
    int64_t width;
    assay_tensor *query, *cost; /* parameters, borrowed */
    assay_tensor *importance;   /* f32 (2): remembered, and of the micro-batch under way */
} ramp;

static bool ramp_needs(const void *settings, assay_needs *out, assay_error *error)
{
    const options *o = settings;
    (void)error;
    out->extra.front = o->query ? 1 : 0;
    out->tap_count = 1;
    out->taps[0] = "user/final_norm";
    return true;
}

static void ramp_close(void *mask)
{
    ramp *r = mask;
    assay_tensor_free(r->importance);
    assay_free(r);
}

static void *ramp_open(const void *settings, const assay_mask_setup *setup, assay_error *error)
{
    ramp *r = assay_zalloc((int64_t)sizeof *r, error);
    if (!r)
        return NULL;
    r->o = *(const options *)settings;
    r->host = setup->host;
    r->width = setup->facts->width;
    r->importance = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){2}, error);
    bool ok = r->importance != NULL;
    if (ok)
        assay_f32(r->importance)[0] = assay_f32(r->importance)[1] = 0;
    if (ok && r->o.query) {
        r->query = assay_params_add(setup->params, "mask.query", 2, (int64_t[]){1, r->width},
                                    (assay_init){ASSAY_INIT_NORMAL, 0.1f, 0}, error);
        ok = r->query != NULL;
    }
    if (ok && r->o.learned) {
        r->cost = assay_params_add(setup->params, "mask.cost", 4, (int64_t[]){1, 1, 1, 1},
                                   (assay_init){ASSAY_INIT_CONSTANT, -1.0f, 0}, error);
        ok = r->cost != NULL;
    }
    if (!ok) {
        ramp_close(r);
        return NULL;
    }
    return r;
}

static float weight_at(const ramp *r, const assay_clock *clock)
{
    bool micro = r->o.clock == 1;
    double now = (double)(micro ? clock->micro : clock->step);
    double total = (double)(micro ? clock->total_micro : clock->total);
    double share = total > 0 ? now / (total * r->o.warmup) : 1;
    int64_t last = clock->phase == ASSAY_EVALUATION ? clock->step - 1 : clock->step;
    share = fmin(share, 1) / (1 + r->o.gain * (double)assay_f32(r->importance)[0]);
    return (float)(r->o.from + (r->o.to - r->o.from) * share) * assay_curve_at(r->o.weight, last);
}

static bool ramp_bias(void *mask, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    ramp *r = mask;
    (void)x;
    if (!assay_same_text(tower->name, "user")) {
        *out = assay_bias_causal();
        return true;
    }
    if (r->cost) {
        *out = (assay_attention_bias){.future = ASSAY_FUTURE_OPEN, .log_weight = r->cost};
    } else {
        float weight = weight_at(r, clock);
        if (clock->phase == ASSAY_TRAINING)
            r->host->series(r->host->user, "mask/weight", (double)weight);
        *out = assay_bias_future(tape, weight);
    }
    out->span = tower->span;
    return assay_tape_ok(tape, NULL);
}

static assay_tensor *ramp_front(void *mask, assay_tape *tape)
{
    (void)tape;
    return ((ramp *)mask)->query;
}

static bool ramp_observe(void *mask, assay_tape *tape, const assay_clock *clock,
                         const assay_tower *tower, assay_error *error)
{
    ramp *r = mask;
    const assay_tensor *state = assay_tape_tapped(tape, "user/final_norm");
    double sum = 0;
    (void)clock;
    if (!assay_same_text(tower->name, "user"))
        return true;
    if (!state || !state->has_grad)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "mask.toy_ramp",
                          .what = "the tapped state has no gradient");
    const float *gradient = assay_gradient(state);
    for (int64_t i = 0; gradient && i < assay_tensor_count(state); i++)
        sum += fabs((double)gradient[i]);
    assay_f32(r->importance)[1] += (float)sum;
    return true;
}

static bool ramp_advance(void *mask, const assay_clock *clock, assay_error *error)
{
    ramp *r = mask;
    float *importance = assay_f32(r->importance);
    (void)error;
    if (clock->phase != ASSAY_TRAINING)
        return true;
    importance[0] = 0.9f * importance[0] + 0.1f * importance[1];
    importance[1] = 0;
    r->host->series(r->host->user, "mask/importance", (double)importance[0]);
    return true;
}

static bool ramp_save(void *mask, const assay_state_writer *out, assay_error *error)
{
    return out->put(out->user, "importance", ((ramp *)mask)->importance, error);
}

static bool ramp_load(void *mask, const assay_state_reader *in, assay_error *error)
{
    const assay_stored *stored = in->get(in->user, "importance", error);
    return stored && assay_stored_read(stored, ((ramp *)mask)->importance, error);
}

static const assay_mask_functions functions = {
    .size = sizeof functions,
    .needs = ramp_needs,
    .open = ramp_open,
    .close = ramp_close,
    .bias = ramp_bias,
    .front = ramp_front,
    .observe = ramp_observe,
    .advance = ramp_advance,
    .save = ramp_save,
    .load = ramp_load,
};

ASSAY_PLUGIN(ASSAY_KIND_MASK, "toy_ramp", 1, "a future that opens as the clock and gradients say",
             options, table, functions);
