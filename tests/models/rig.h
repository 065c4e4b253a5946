/* rig.h - the host's part in one pass, in small: a model, a mask and a dataset brought together as
 * the training loop does it. Failures fail the running test. */
#ifndef TESTS_MODELS_RIG_H
#define TESTS_MODELS_RIG_H

#include "models/people.h"
#include "models/use.h"

typedef struct rig {
    /* Set between rig_begin and rig_open: options of the two, and extra tokens. */
    use model, mask;
    assay_extra_tokens extra;
    int64_t total, accumulate; /* steps, and micro-batches of each */

    recorder host;
    const assay_data *data;
    assay_params *params;
    assay_tape *tape;
    assay_arena *arena;
    void *opened, *opened_mask;
    assay_model_facts facts;
    int64_t mask_front;  /* front tokens that the mask asked for and fills */
    uint64_t pass;       /* which pass the tape is told: what is drawn in it */
    assay_insert insert; /* vectors of the extra tokens, filled by the test in every pass */
    assay_tensor *embedded[ASSAY_MAX_TOWERS]; /* input embeddings of the last pass */
} rig;

/* user_decoder and a mask ("causal"), options at their defaults. */
void rig_begin(rig *r, const people *dataset, const char *mask);
void rig_begin_model(rig *r, const people *dataset, const char *mask, const char *model);
/* user_decoder on any dataset. */
void rig_begin_on(rig *r, const assay_data *data, const char *mask);
/* Opens the model from `seed`, and the mask. */
void rig_open(rig *r, uint64_t seed);
/* Another mask for the same model. */
void rig_mask(rig *r, const char *mask);
void rig_open_mask(rig *r);
void rig_close(rig *r);

/* A batch of samples first .. first + count - 1 of a set, in the rig's arena. */
void rig_batch(rig *r, int benchmark, int64_t first, int64_t count, const assay_wanted *wanted,
               assay_batch *out);
/* The whole pass of a batch; the tape has begun (rig_tape). */
void rig_run(rig *r, const assay_clock *clock, const assay_batch *batch, const assay_wanted *wanted,
             assay_outputs *out);
void rig_tape(rig *r, bool training);
/* rig_tape, rig_batch and rig_run in one. */
void rig_pass(rig *r, const assay_clock *clock, int benchmark, int64_t first, int64_t count,
              const assay_wanted *wanted, assay_batch *batch, assay_outputs *out);
/* After the backward pass: the mask observes every tower and advances. */
void rig_observe(rig *r, const assay_clock *clock, const assay_batch *batch);

/* An output that has to be there. */
assay_tensor *rig_output(const assay_outputs *outputs, const char *name);
assay_clock rig_training(const rig *r, int64_t step);
assay_clock rig_evaluation(const rig *r, int64_t step);

/* Fails unless n numbers are the same bits (-0 is 0). */
void same_bits(const float *a, const float *b, int64_t n, const char *what);
void all_zero(const float *a, int64_t n, const char *what);
bool any_nonzero(const float *a, int64_t n);

#endif
