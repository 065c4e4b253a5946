/* assay/attention.h - attention, and the bias that says who sees whom at what cost.
 *
 * One kernel serves every mask. A bias is data: which future keys are open, what they cost, and a
 * span inside which positions see each other free. The score of query i and key j is
 *     q_i . k_j * scale + M_ij                             (user-modelling spec 1.3, 3.4)
 * and M_ij is decided in this order:
 *     1. padding (key or query at or beyond its row's length): never seen, whatever the bias says;
 *     2. j <= i: 0, unless scope is ASSAY_BIAS_EVERYWHERE, then log_weight;
 *     3. i and j both inside the span: the same as 2;
 *     4. the future: hidden if `future` is ASSAY_FUTURE_HIDDEN, else log_weight (0 without one).
 * A log-weight of -infinity (weight 0) hides the pair, bit for bit like ASSAY_FUTURE_HIDDEN; of 0
 * (weight 1) leaves it free, bit for bit like no log-weight. A query that sees nothing gives zeros.
 * Tiles in which nothing is visible are skipped, so causal attention costs half of full.
 *
 * Letters: B batch, Tq queries, Tk keys, H query heads, KV key/value heads, d head width. */
#ifndef ASSAY_ATTENTION_H
#define ASSAY_ATTENTION_H

#include <assay/tape.h>

typedef enum assay_future {
    ASSAY_FUTURE_HIDDEN, /* causal outside the span */
    ASSAY_FUTURE_OPEN    /* seen at the cost of log_weight */
} assay_future;

typedef enum assay_bias_scope {
    ASSAY_BIAS_FUTURE,    /* log_weight is the price of the future (masks of the user models) */
    ASSAY_BIAS_EVERYWHERE /* log_weight is added at every pair (relative position bias, any mask) */
} assay_bias_scope;

/* A plain value; the tensors are borrowed and must outlive the step. All zero is causal. */
typedef struct assay_attention_bias {
    assay_future future;
    assay_bias_scope scope;
    /* i32 (2) or (B, 2): first and end (exclusive) of the span; NULL: none. */
    const assay_tensor *span;
    /* f32, rank 4, each extent full or 1 = shared: (B|1, H|1, Tq|1, Tk|1). A scalar is (1,1,1,1),
     * one per key (B,1,1,Tk), one per query (B,1,Tq,1), a matrix shared by layers and heads
     * (1,1,Tq,Tk). If it needs a gradient, dM is summed over whatever is shared. NULL: no cost. */
    assay_tensor *log_weight;
    /* The mask's word that, whatever log_weight is, nothing before the end of the history sees what
     * comes after it, and that what comes after it is causal: so a prefix of it can be kept. */
    bool history_only;
} assay_attention_bias;

/* Whether the first tokens are the same whatever follows them, so that a prefix can be kept. */
static inline bool assay_bias_keeps_prefix(const assay_attention_bias *bias)
{
    return bias->history_only || (bias->future == ASSAY_FUTURE_HIDDEN &&
                                  !(bias->log_weight && bias->scope == ASSAY_BIAS_EVERYWHERE));
}

/* causal, and full (every key is open at no cost). */
assay_attention_bias assay_bias_causal(void);
assay_attention_bias assay_bias_full(void);
/* Future keys at the constant weight 0..1 (spec 3.4 C): 0 is causal, 1 is full, bit for bit;
 * between them a step tensor (1,1,1,1) of log(weight). An error of the tape outside 0..1. */
assay_attention_bias assay_bias_future(assay_tape *tape, float weight);

/* Prices of the future inside histories alone, (B, 1, T, T) f32 for T `tokens`: a query of the
 * row's span (i32 (B, 2): first and end, exclusive) pays for a later key of it what `prices` says,
 * f32 (B|1, 1, T|1, T|1); every other pair is hidden. A query's own price is (B, 1, T, 1), a key's
 * (1, 1, 1, T). */
assay_tensor *assay_history_prices(assay_tape *tape, assay_tensor *prices, const assay_tensor *span,
                                   int64_t tokens);

/* Prices (B, 1, T, T) f32 that leave a query the keys of its window alone, at no cost: window i32
 * (B, T, 2), first key and end, exclusive. */
assay_tensor *assay_window_prices(assay_tape *tape, const assay_tensor *window);

/* Keys that cost more than a mask says, up to infinity. */
typedef struct assay_closed_keys {
    const assay_tensor *future; /* f32 (B, T): added where the key is future; NULL: none is */
    const assay_tensor *always; /* f32 (B, T): added for whatever query; NULL: none is */
    /* The result is for bias scope ASSAY_BIAS_EVERYWHERE while the given prices were of the future:
     * they are paid for later keys alone, unless both are in the row's span, i32 (B, 2) or NULL. */
    bool whole;
    const assay_tensor *span;
} assay_closed_keys;
/* prices (B|1, H, Q|1, T|1) f32 and the costs of closed keys, (B, H, Q, T); Q is T where they are
 * made whole. A key that costs nothing more passes its gradient on. */
assay_tensor *assay_close_keys(assay_tape *tape, assay_tensor *prices, int64_t batch,
                               int64_t tokens, const assay_closed_keys *closed);

/* ---- rotary position embedding (spec 1.3, rotate-half) ----
 * Angles position * base^(-2k/d), k = 0 .. d/2-1, computed in double and stored as fp32 cosines and
 * sines (positions, d/2). */
typedef struct assay_rotary {
    int64_t positions, head_width;
    double base;
    assay_tensor *cosine, *sine;
} assay_rotary;
/* d must be even. The caller owns the result. */
assay_rotary *assay_rotary_new(int64_t positions, int64_t head_width, double base,
                               assay_error *error);
void assay_rotary_free(assay_rotary *rotary);

/* x (B, T, H d) rotated head by head, token t at position start + t. */
assay_tensor *assay_rotate(assay_tape *tape, assay_tensor *x, int64_t heads,
                           const assay_rotary *rotary, int64_t start);

/* ---- prefix cache (user-modelling spec 2.7) ----
 * The keys and values of the first tokens of one sequence in every layer. What follows them (the
 * suffix: a question) needs nothing else of them, as long as they do not see it in turn. Constant:
 * no gradient flows into it. */
typedef struct assay_prefix {
    int64_t layers, tokens;
    /* (layers, tokens, KV d), f32 or bf16; keys are rotated to their positions already. */
    assay_tensor *keys, *values;
} assay_prefix;
/* An empty one of this shape, its tensors uninitialised. The caller owns the result. */
assay_prefix *assay_prefix_new(assay_dtype dtype, int64_t layers, int64_t tokens, int64_t width,
                               assay_error *error);
void assay_prefix_free(assay_prefix *prefix); /* accepts NULL */
/* Bytes of its keys and values. */
int64_t assay_prefix_bytes(const assay_prefix *prefix);
/* Keeps row `b` of keys k and values v (B, T, KV d), of which it has `tokens`, as layer `layer`:
 * keys are rotated by `rotary` (NULL: not), everything is stored in the prefix's dtype. False after
 * a failure, which is on the tape. */
bool assay_prefix_keep(assay_tape *tape, assay_prefix *prefix, int64_t layer, const assay_tensor *k,
                       const assay_tensor *v, int64_t b, const assay_rotary *rotary);

typedef struct assay_attention_args {
    /* Either q (B, Tq, H d), k (B, Tk, KV d) and v (B, Tk, KV d), Tq <= Tk; query i stands at
     * position Tk - Tq + i (with a prefix cache the keys come first). Or qkv (B, T, (H + 2 KV) d):
     * q, k and v side by side as a fused projection leaves them. */
    assay_tensor *q, *k, *v, *qkv;
    int64_t heads, kv_heads;    /* kv_heads divides heads; 0: equal to heads */
    float scale;                /* 0: 1 / sqrt(d) */
    const assay_rotary *rotary; /* q and k are rotated inside; NULL: not */
    /* i32 (B): the row's valid positions, padding on the right; NULL: all Tk. The host gives it,
     * never the mask. */
    const assay_tensor *lengths;
    assay_attention_bias bias;
    /* With a prefix for each row (B; the same one may stand in many rows, and neighbours that share
     * one are attended together) q, k and v are those of the suffix, Tk tokens at most per row,
     * whose token j stands at position prefix tokens + j. It sees the whole prefix and is causal
     * among itself: the bias must hide the future, and spans concern the prefix, not the suffix. A
     * row depends on its own tokens and its prefix alone, bit for bit. NULL: no row has a
     * prefix. */
    const assay_prefix *const *prefix;
    int64_t layer; /* of the prefixes that this call reads */
    /* i32 (B, Tq), with a prefix: where in the suffix each query stands, when not all of the
     * suffix's states are needed; negative: nowhere (zeros). NULL: query i is token i, Tq = Tk. */
    const assay_tensor *positions;
} assay_attention_args;

/* (B, Tq, H d), in the tape's activation dtype. Backward by recomputation (FlashAttention, Dao et
 * al. 2022): only the row's log-sum-exp is kept. */
assay_tensor *assay_attention(assay_tape *tape, const assay_attention_args *args);

/* The probabilities themselves, (B, H, Tq, Tk) f32, hidden pairs exactly 0; v is not read and may
 * be NULL. Materialised: for analysis and for losses on maps. Gradients: q, k and log_weight. */
assay_tensor *assay_attention_map(assay_tape *tape, const assay_attention_args *args);

/* The scaled products q k' of a fused qkv (B, T, 3 H d) before any softmax, (B, H, T, T) f32, scale
 * 1 / sqrt(d): what a distillation of attention compares (infrared spec 2.4, 2.5). Gradients: q and
 * k; those of v are zero. */
assay_tensor *assay_attention_scores(assay_tape *tape, assay_tensor *qkv, int64_t heads);

/* Relative position bias of a grid of patches behind a class token (infrared spec 1.4): a table ((2
 * grid - 1)^2 + 3, H) spread over the pairs, (1, H, T, T) f32 with T = 1 + grid^2. Query patch (y,
 * x) and key patch (y', x') share the entry (y - y' + grid - 1) (2 grid - 1) + x - x' + grid - 1;
 * the last three are class to any, any to class, class to class. */
assay_tensor *assay_relative_bias(assay_tape *tape, assay_tensor *table, int64_t grid);

#endif
