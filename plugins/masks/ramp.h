/* ramp.h - the time of masks that are guided first and then open up: which step a pass belongs to,
 * how long guidance lasts, and how far the weights have risen to 1 since (user-modelling spec 3.5).
 *
 * A settings struct has the fields `clock` (int), `warmup` (double) and `warmup_steps`
 * (int64_t). */
#ifndef MASKS_RAMP_H
#define MASKS_RAMP_H

#include <assay/mask.h>

#include <math.h>

/* Places of the words of `clock`. */
enum { RAMP_OPTIMIZER, RAMP_MICRO };

#define RAMP_CLOCK_OPTION(settings)                                                                \
    ASSAY_CHOICE(settings, clock, "optimizer", "optimizer|micro",                                  \
                 "what a step is: an optimizer step or a micro-batch, as published code counts")
#define RAMP_WARMUP_OPTIONS(settings)                                                              \
    ASSAY_NUMBER(settings, warmup, "fraction", 0.1, 0, 1,                                          \
                 "part of the steps that guide the mask"),                                         \
        ASSAY_INTEGER(settings, warmup_steps, "steps", -1, -1, 1 << 30,                            \
                      "the same as a count of the clock's steps; -1: by the fraction")

typedef struct ramp {
    bool micro;
    int64_t warmup, total, accumulate; /* in the clock's steps; micro-batches per optimizer step */
} ramp;

/* warmup_steps -1: the fraction `warmup` of all steps. */
static inline ramp ramp_of(const assay_mask_setup *setup, int clock, double warmup,
                           int64_t warmup_steps)
{
    ramp r = {.micro = clock == RAMP_MICRO};
    r.total = r.micro ? setup->total_micro : setup->total;
    r.accumulate = setup->total > 0 ? setup->total_micro / setup->total : 1;
    /* A fraction such as 0.1 is a little less in binary: 0.1 of 70 is 7. */
    r.warmup = warmup_steps >= 0 ? warmup_steps : (int64_t)floor(warmup * (double)r.total + 1e-6);
    return r;
}

/* The clock's step whose weights a pass uses: its own, or in evaluation that of the last one. */
static inline int64_t ramp_step(const ramp *r, const assay_clock *clock)
{
    int64_t step = r->micro ? clock->micro : clock->step;
    if (clock->phase == ASSAY_EVALUATION)
        step--;
    return step < 0 ? 0 : step;
}

/* How far the weights have risen from the frozen ones (0) to 1. */
static inline double ramp_rise(const ramp *r, int64_t step)
{
    if (step < r->warmup)
        return 0;
    if (r->total <= r->warmup)
        return 1;
    return fmin((double)(step - r->warmup) / (double)(r->total - r->warmup), 1);
}

/* Whether this micro-batch ends a step of the clock. */
static inline bool ramp_ends(const ramp *r, const assay_clock *clock)
{
    return r->micro || (clock->micro + 1) % r->accumulate == 0;
}

#endif
