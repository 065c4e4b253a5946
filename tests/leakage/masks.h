/* masks.h - every kind of attention bias, and who sees whom under it, decided pair by pair.
 *
 * mask_allows reads the rules of assay/attention.h in their order and knows nothing of tiles, so it
 * stands against the kernels as a second reading of the same text. */
#ifndef LEAKAGE_MASKS_H
#define LEAKAGE_MASKS_H

#include <assay/attention.h>

typedef enum mask_span { SPAN_NONE, SPAN_SHARED, SPAN_PER_ROW } mask_span;

typedef struct mask_kind {
    const char *name;
    assay_future future;
    assay_bias_scope scope;
    mask_span span;
    float constant; /* above 0: the bias is made by assay_bias_future with this weight */
    bool priced;    /* it has a log_weight */
    bool full[4]; /* its axes (batch, heads, queries, keys) of full extent; the others are shared */
    float hidden; /* share of its entries that are -infinity */
    bool learned; /* it wants a gradient */
} mask_kind;

int mask_kind_count(void);
const mask_kind *mask_kind_at(int index); /* static storage */

typedef struct mask {
    const mask_kind *kind;
    assay_tensor *span, *log_weight; /* owned; NULL where the kind has none */
} mask;

/* For B = batch, H = heads, Tq = Tk = tokens; values are random and fixed. */
mask mask_new(const mask_kind *kind, int64_t batch, int64_t heads, int64_t tokens);
void mask_free(mask *m);
/* The bias for the pass that `tape` is in. */
assay_attention_bias mask_bias(const mask *m, assay_tape *tape);
/* Whether head h of batch item b lets query i see key j. lengths (B) or NULL. */
bool mask_allows(const mask *m, const int32_t *lengths, int64_t b, int64_t h, int64_t i, int64_t j);

#endif
