/* assay/ops.h - the operations of a decoder, a BERT and a ViT, with their losses.
 *
 * Every operation takes the tape first, checks shapes and dtypes (a message says what was
 * expected), computes at once on the tape's device, records itself, and returns a tensor of the
 * step (borrowed: valid until the next assay_tape_begin), or NULL after a failure (see
 * assay/tape.h). Inputs may be f32 or bf16 where no dtype is named; "activation dtype" is f32, or
 * bf16 on a bf16 tape. Formulas of the backward passes: user-modelling spec, appendix A.
 *
 * Letters: "..." any leading axes (R rows in all), D the last axis, B batch, T tokens, C
 * classes. */
#ifndef ASSAY_OPS_H
#define ASSAY_OPS_H

#include <assay/tape.h>

/* ---- layers ---- */

typedef enum assay_activation {
    ASSAY_IDENTITY,
    ASSAY_RELU,
    ASSAY_GELU, /* exact: x Phi(x) = x/2 (1 + erf(x / sqrt 2)) */
    ASSAY_SIGMOID,
    ASSAY_SILU, /* x sigmoid(x) */
    ASSAY_TANH,
    ASSAY_LOG_SIGMOID, /* log sigmoid(x) */
    ASSAY_EXP
} assay_activation;

/* y (..., O) = activation(x (..., I) W^T + b); W (O, I) as PyTorch stores it, b (O) or NULL.
 * Activation dtype. Products accumulate in fp32. */
assay_tensor *assay_linear(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                           assay_tensor *bias, assay_activation activation);
/* Element by element; the dtype of x. */
assay_tensor *assay_activate(assay_tape *tape, assay_tensor *x, assay_activation activation);
/* silu(gate) * up, of equal shapes: the middle of a gated MLP. */
assay_tensor *assay_silu_product(assay_tape *tape, assay_tensor *gate, assay_tensor *up);
/* Gated MLP (SwiGLU, spec 1.3): down(silu(gate x) * (up x)), no biases; x (..., D), gate and up (F,
 * D), down (D, F). Keeps gate x and up x; their product is computed again in the backward pass. */
assay_tensor *assay_gated_mlp(assay_tape *tape, assay_tensor *x, assay_tensor *gate,
                              assay_tensor *up, assay_tensor *down);

/* w x / sqrt(mean(x^2) + eps), w (D). Activation dtype. */
assay_tensor *assay_rms_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight, float eps);
/* w (x - mean) / sqrt(var + eps) + b with the biased variance; w, b (D), each or NULL. Activation
 * dtype. */
assay_tensor *assay_layer_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                               assay_tensor *bias, float eps);

/* Rows of table (V, D) by ids (...) i32: (..., D) f32. An id outside 0..V-1 is an error that names
 * it. Backward adds rows in their order, so equal ids give the same bits every time. */
assay_tensor *assay_embedding(assay_tape *tape, assay_tensor *table, const assay_tensor *ids);

/* In training, zero with probability p and scaled by 1/(1-p) otherwise, at addresses (seed, name,
 * clock, element); x itself in evaluation or for p = 0. `name` must be unique in a model. */
assay_tensor *assay_dropout(assay_tape *tape, assay_tensor *x, float p, const char *name);
/* DropPath (infrared spec 1.5): the same decision for everything of one batch item (first axis). */
assay_tensor *assay_drop_path(assay_tape *tape, assay_tensor *x, float p, const char *name);

/* ---- element-wise arithmetic ----
 * b has the shape of a, or is broadcast over leading axes: its shape is a suffix of a's (a bias, a
 * position table, a scalar). The result has a's shape; f32 unless both are bf16. */
assay_tensor *assay_add(assay_tape *tape, assay_tensor *a, assay_tensor *b);
assay_tensor *assay_sub(assay_tape *tape, assay_tensor *a, assay_tensor *b);
assay_tensor *assay_mul(assay_tape *tape, assay_tensor *a, assay_tensor *b);
assay_tensor *assay_scale(assay_tape *tape, assay_tensor *x, float factor);

/* ---- shape ---- */

/* The same data under another shape of the same count: no copy, gradients pass through. */
assay_tensor *assay_reshape(assay_tape *tape, assay_tensor *x, int rank, const int64_t *shape);
/* The same values stored as f32 or bf16; x itself if it is that already. */
assay_tensor *assay_cast(assay_tape *tape, assay_tensor *x, assay_dtype dtype);
/* n tensors joined along `axis`; other extents and dtypes equal. */
assay_tensor *assay_concat(assay_tape *tape, int n, assay_tensor *const xs[], int axis);
/* [first, first + length) along `axis`, copied. */
assay_tensor *assay_slice(assay_tape *tape, assay_tensor *x, int axis, int64_t first,
                          int64_t length);
/* n slices side by side along `axis`, of lengths that sum to its extent; into outs[n]. */
bool assay_split(assay_tape *tape, assay_tensor *x, int axis, int n, const int64_t *lengths,
                 assay_tensor **outs);
/* Rows of x (R, D) by index (n) i32: (n, D). Rows may repeat or be left out. */
assay_tensor *assay_gather(assay_tape *tape, assay_tensor *x, const assay_tensor *index);
/* x (B, T, D) with tokens at or beyond lengths (B) i32 set to zero. */
assay_tensor *assay_mask_rows(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths);
/* Non-overlapping P x P patches of images (B, C, H, W): (B, H/P * W/P, C P P), grid row-major, each
 * patch laid out (C, P, P) as a convolution's weight is: a linear layer on it is the ViT patch
 * embedding. f32 only. */
assay_tensor *assay_patches(assay_tape *tape, assay_tensor *images, int64_t side);

/* What a masked autoencoder predicts of patches (..., N) f32 of one channel: rows `index` (R) i32
 * of them as (R, N C), each pixel once per channel, channels last. With `normalise` a patch is less
 * its mean, over sqrt(var + 1e-6), the variance unbiased over its N C numbers. Wants no
 * gradient. */
assay_tensor *assay_patch_targets(assay_tape *tape, const assay_tensor *patches,
                                  const assay_tensor *index, int64_t channels, bool normalise);

/* ---- pooling, similarity, reductions: f32 results ---- */

/* x (B, T, D) -> (B, D): mean over t < lengths[b] (NULL: all T); 0 for an empty row. */
assay_tensor *assay_masked_mean(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths);
/* x (B, T, D) -> (B, D): the state at token lengths[b] - 1 (NULL: T - 1). Length 0 is an error. */
assay_tensor *assay_last_token(assay_tape *tape, assay_tensor *x, const assay_tensor *lengths);
/* x / max(|x|, eps) over the last axis (PyTorch's F.normalize: eps 1e-12). */
assay_tensor *assay_normalize(assay_tape *tape, assay_tensor *x, float eps);
/* Cosine of rows: x, y (R, D) -> (R). Norms below 1e-8 count as 1e-8. */
assay_tensor *assay_cosine(assay_tape *tape, assay_tensor *x, assay_tensor *y);
/* Cosine of every pair: x (N, D), y (M, D) -> (N, M). */
assay_tensor *assay_cosine_matrix(assay_tape *tape, assay_tensor *x, assay_tensor *y);
/* Dot product of rows: a, b (..., D) -> (...). */
assay_tensor *assay_dot(assay_tape *tape, assay_tensor *a, assay_tensor *b);
/* Scalars, summed in double over fixed partitions. The mean of nothing is an error. */
assay_tensor *assay_sum(assay_tape *tape, assay_tensor *x);
assay_tensor *assay_mean(assay_tape *tape, assay_tensor *x);
/* Softmax over the last axis. */
assay_tensor *assay_softmax(assay_tape *tape, assay_tensor *x);

/* ---- losses: f32 scalars ---- */

typedef enum assay_reduction {
    ASSAY_MEAN, /* over targets that are not ignored; 0 when all are */
    ASSAY_SUM
} assay_reduction;

#define ASSAY_IGNORE (-100) /* the target of a row that does not count */

/* -log softmax(x)[target]: logits x (R, C), target (R) i32 in 0..C-1 or ASSAY_IGNORE. */
assay_tensor *assay_cross_entropy(assay_tape *tape, assay_tensor *x, const assay_tensor *target,
                                  assay_reduction reduction);
/* The same for logits = hidden (R, D) weight (C, D)^T without ever holding all of them: rows are
 * taken in blocks, only each row's log-sum-exp is kept, and the backward pass computes a block's
 * logits again. Rows whose target is ASSAY_IGNORE cost nothing. */
assay_tensor *assay_cross_entropy_head(assay_tape *tape, assay_tensor *hidden, assay_tensor *weight,
                                       const assay_tensor *target, assay_reduction reduction);

/* What the rows of a student's softmax q cost against a teacher's p, from the logits of both: sum_j
 * p (log p - log q), or sum_j -p log q, which is more by the teacher's entropy. */
typedef enum assay_divergence { ASSAY_KL, ASSAY_SOFT_CROSS_ENTROPY } assay_divergence;

/* The mean over rows, for logits of one shape (..., D); attention scores (B, H, T, T) give the
 * distillation loss of infrared spec 2.5. The teacher is a constant, whatever it wants: it gets no
 * gradient, and lives until the backward pass. */
assay_tensor *assay_softmax_divergence(assay_tape *tape, assay_tensor *student,
                                       const assay_tensor *teacher, assay_divergence kind);

/* Contrastive loss with a false-negative mask: the four variants of user-modelling spec 1.6 (QA is
 * Q-Anchor, GG is GG-SM; paper or published code). The 1e-8 of GG's code is left out. */
typedef enum assay_contrastive_variant {
    ASSAY_QA_CODE,
    ASSAY_QA_PAPER,
    ASSAY_GG_PAPER,
    ASSAY_GG_CODE
} assay_contrastive_variant;

typedef struct assay_contrastive_options {
    assay_contrastive_variant variant;
    float temperature; /* > 0 */
    float margin;      /* >= 0: negatives more similar than the positive by more are left out */
} assay_contrastive_options;

/* Mean over i of log Z_i - s_ii / temperature for x, y (N, D), row i of each a positive pair; rows
 * are L2-normalised inside (eps 1e-12). `masked` (or NULL) receives a scalar: the number of
 * negatives left out, exact up to 2^24. */
assay_tensor *assay_contrastive(assay_tape *tape, assay_tensor *x, assay_tensor *y,
                                const assay_contrastive_options *options, assay_tensor **masked);

#endif
