/* guidance.h - what masks learn from gradients: norms of the loss's gradient at the tokens of the
 * user's tower, by absolute position, and the series that every guided mask records alike:
 *     mask/weight_mean       over the future pairs that the mask prices
 *     mask/weight_sd         spread of the weights over keys
 *     mask/importance_mean   over keys, and mask/importance_max
 *     mask/gradient_norm     mean norm of a token's gradient in the step */
#ifndef MASKS_GUIDANCE_H
#define MASKS_GUIDANCE_H

#include <assay/importance.h>
#include <assay/mask.h>

typedef struct guidance {
    int64_t tokens; /* positions 0 .. tokens-1 */
    assay_importance *learned;
    assay_importance_rule rule;
    const assay_host *host;
    float *importance, *updates; /* (tokens) those of the pass whose curves are being recorded */
} guidance;

bool guidance_open(guidance *g, int64_t tokens, assay_importance_rule rule, const assay_host *host,
                   assay_error *error);
void guidance_close(guidance *g);

/* Adds the gradients of the state `tap` (B, T, D) that this pass left on the tape; towers other
 * than the user's are passed over. `where` names the mask in errors. */
bool guidance_observe(guidance *g, assay_tape *tape, const assay_tower *tower, const char *tap,
                      const char *where, assay_error *error);
/* Ends a step: records mask/gradient_norm; with `learn` importance moves. */
bool guidance_end(guidance *g, bool learn, assay_error *error);

/* False, with the tape's error, for a tower that is longer than `tokens`. */
bool guidance_fits(assay_tape *tape, const assay_tower *tower, int64_t tokens, const char *where);

/* The longest row's valid tokens. */
int64_t guidance_longest(const assay_tower *tower);

/* Records the other series of a pass that weighs keys so: each key behind `first` and before `end`
 * once, with the queries from `first` on that see it as future. */
void guidance_record(guidance *g, const assay_weighing *weighing, int64_t first, int64_t end);

/* Importance into a checkpoint and back, under `values` and, of a relative one, `updates`. */
bool guidance_save(const guidance *g, const assay_state_writer *out, const char *values,
                   const char *updates, assay_error *error);
bool guidance_load(guidance *g, const assay_state_reader *in, const char *values,
                   const char *updates, assay_error *error);

#endif
