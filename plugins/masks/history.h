/* history.h - masks that open the future inside the history alone: for a pair of a query i and a
 * later key j, both in the row's span, a log-weight; every other future pair is hidden
 * (user-modelling spec 3.4 B). A tower without a span has no history and stays causal. */
#ifndef MASKS_HISTORY_H
#define MASKS_HISTORY_H

#include <assay/mask.h>

/* The span of row b: first, and end (exclusive) within the row's valid tokens. */
typedef struct history {
    int64_t first, end;
} history;
history history_at(const assay_tower *tower, int64_t b);

/* The bias with these log-weights: f32 (1, 1, 1, T) of keys, or (B, 1, T, 1) of queries, which may
 * want a gradient. */
bool history_prices(assay_tape *tape, const assay_tower *tower, assay_tensor *prices,
                    assay_attention_bias *out);
/* Position 0 sees the whole history at no cost; everything else is causal. */
bool history_for_first(assay_tape *tape, const assay_tower *tower, assay_attention_bias *out);

/* The norm of the gradients of a mask's own parameters, while they are being read. */
typedef struct history_gradient {
    const assay_host *host;
    double squares;
} history_gradient;
/* Records mask/gradient_norm. `g` lives as long as the mask. */
void history_record_gradient(history_gradient *g, int n, assay_tensor *const parameters[]);

#endif
