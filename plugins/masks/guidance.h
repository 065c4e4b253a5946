/* guidance.h - what masks learn from gradients: norms of the loss's gradient at the tokens of the
 * user's tower, by absolute position, and the series that every guided mask records alike:
 *     mask/weight_mean       over the future pairs that the mask prices
 *     mask/weight_sd         spread of the weights over keys
 *     mask/importance_mean   over keys, and mask/importance_max
 *     mask/gradient_norm     mean norm of a token's gradient in the step */
#ifndef MASKS_GUIDANCE_H
#define MASKS_GUIDANCE_H

#include <assay/mask.h>

/* Sums of norms since the last clearing. */
typedef struct guidance {
    int64_t tokens;   /* positions 0 .. tokens-1 */
    double *norms;    /* (tokens) sums over samples */
    int64_t *samples; /* (tokens) samples that had the position */
} guidance;

bool guidance_open(guidance *g, int64_t tokens, assay_error *error);
void guidance_close(guidance *g);

/* Adds the gradients of the state `tap` (B, T, D) that this pass left on the tape; towers other
 * than the user's are passed over. `where` names the mask in errors. */
bool guidance_observe(guidance *g, const assay_tape *tape, const assay_tower *tower,
                      const char *tap, const char *where, assay_error *error);
/* importance_j = rho importance_j + (1 - rho) (sum of norms at j, or their mean over samples), for
 * keys from 1 on; nothing changes when there was no gradient at all. */
void guidance_learn(const guidance *g, bool mean, double rho, float *importance);
/* Records mask/gradient_norm. */
void guidance_record(const guidance *g, const assay_host *host);
void guidance_clear(guidance *g);

/* False, with the tape's error, for a tower that is longer than `tokens`. */
bool guidance_fits(assay_tape *tape, const assay_tower *tower, int64_t tokens, const char *where);

/* The longest row's valid tokens. */
int64_t guidance_longest(const assay_tower *tower);

/* Sums over keys from 1 on (position 0 is nobody's future), for the series of the weights. */
typedef struct key_sums {
    int64_t keys;
    double pairs, pair_weights; /* key j counts as often as there are queries before it */
    double weights, squares, importance, most;
} key_sums;

/* `queries`: how many queries see the key as future. */
void key_sums_add(key_sums *sums, int64_t queries, double weight, double importance);
void key_sums_record(const key_sums *sums, const assay_host *host);

#endif
