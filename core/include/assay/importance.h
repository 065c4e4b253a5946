/* assay/importance.h - what the gradients of earlier passes say about positions, and what future
 * keys weigh for it (guided masks, user-modelling spec 3.5 and 3.6).
 *
 * Norms are added up, importance moves and weights are made where the device computes: a step waits
 * for none of it. One number per position holds all; sums are in double. */
#ifndef ASSAY_IMPORTANCE_H
#define ASSAY_IMPORTANCE_H

#include <assay/tape.h>

typedef struct assay_importance_rule {
    bool mean; /* of a position's norms over the samples that have it; false: their sum */
    bool
        /* means over the mean of all positions that were seen, averaged position by position with a
         * count of updates; false: all but the first position alike */
        relative;
    double rho; /* what importance keeps of itself */
} assay_importance_rule;

typedef struct assay_importance assay_importance;
/* Of positions 0 .. tokens-1, all zero. The caller owns the result. */
assay_importance *assay_importance_new(int64_t tokens, assay_importance_rule rule,
                                       assay_error *error);
void assay_importance_free(assay_importance *importance); /* accepts NULL */

/* Adds the norms of the gradient of `state` (B, T, D), position by position, over the rows that
 * have it: lengths i32 (B), or NULL for all of T. A state without a gradient adds nothing. False
 * after a failure, which is on the tape. */
bool assay_importance_observe(assay_importance *importance, assay_tape *tape,
                              const assay_tensor *state, const assay_tensor *lengths);
/* importance = rho importance + (1 - rho) of what was observed since the last clearing; nothing
 * changes when there was no gradient at all. */
bool assay_importance_learn(assay_importance *importance, assay_error *error);
bool assay_importance_clear(assay_importance *importance, assay_error *error);

/* How importance becomes weight: w = (1 - rise) logistic(gain (I - centre) + offset) + rise +
 * floor. Of a relative importance I is average / (1 - rho^updates), or 1 where there were none. */
typedef struct assay_weighing {
    double gain, centre, offset, rise, floor;
} assay_weighing;

double assay_weight(const assay_weighing *weighing, double importance);

/* log w of keys 0 .. keys-1, (1, 1, 1, keys) f32, wants no gradient. */
assay_tensor *assay_importance_prices(const assay_importance *importance, assay_tape *tape,
                                      int64_t keys, const assay_weighing *weighing);

/* What it is made of, borrowed. Importance, and of a relative one the updates: f32 (tokens), which
 * are a checkpoint's to keep. */
assay_tensor *assay_importance_values(const assay_importance *importance);
assay_tensor *assay_importance_updates(const assay_importance *importance); /* or NULL */
/* The sums of norms since the last clearing, for assay_read_later: what is read are `tokens`
 * doubles. */
const assay_tensor *assay_importance_norms(const assay_importance *importance);
/* How many samples had each of the positions, on the host: (tokens). */
const double *assay_importance_samples(const assay_importance *importance);

#endif
