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

/* The bias with log-weight `of_key[j]` for key j. */
bool history_by_key(assay_tape *tape, const assay_tower *tower, const float *of_key,
                    assay_attention_bias *out);
/* The same with the log-weight of query i, `of_query` (B, T) f32, which may want a gradient. */
bool history_by_query(assay_tape *tape, const assay_tower *tower, assay_tensor *of_query,
                      assay_attention_bias *out);
/* Position 0 sees the whole history at no cost; everything else is causal. */
bool history_for_first(assay_tape *tape, const assay_tower *tower, assay_attention_bias *out);

/* Records mask/gradient_norm: the norm of the gradients of a mask's own parameters. */
void history_record_gradient(const assay_host *host, int n, assay_tensor *const parameters[]);

#endif
