/* assay/maps.h - operations on feature maps (B, C, H, W): what a convolutional head is made of.
 *
 * They follow the rules of assay/ops.h: the tape first, shapes checked, a borrowed tensor or NULL.
 * Inputs may be f32 or bf16; everything is computed in f32 and results are f32, on a bf16 tape too
 * (dropout2d keeps the dtype of x). Letters: B images, C channels, H x W pixels, O output
 * channels. */
#ifndef ASSAY_MAPS_H
#define ASSAY_MAPS_H

#include <assay/ops.h>

/* y (B, O, H', W') = x (B, C, H, W) * weight (O, C, k, k) + bias (O) or NULL; zero padding 0 <= pad
 * < k on every side, stride `stride`: H' = (H + 2 pad - k) / stride + 1. */
assay_tensor *assay_conv2d(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                           assay_tensor *bias, int64_t stride, int64_t pad);
/* The transposed convolution, weight (C, O, k, k) as PyTorch stores it, bias (O) or NULL, stride k,
 * no padding: H' = k H. */
assay_tensor *assay_conv_transpose2d(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                                     assay_tensor *bias);

/* Running statistics (C) that a batch norm keeps: parameters that nobody trains. f32. */
typedef struct assay_batch_stats {
    assay_tensor *mean, *variance;
    float momentum; /* 0.1: new = (1 - momentum) old + momentum batch's */
} assay_batch_stats;
/* weight (x - mean) / sqrt(variance + eps) + bias per channel, weight and bias (C): over the batch
 * (biased variance) in a training pass, which also moves `stats` (unbiased variance), with `stats`
 * in evaluation.
 *
 * `stats` move in training passes that record gradients, and in no other: a first pass without a
 * record (train.pieces of a loss that couples samples) and a paused tape (a frozen teacher) leave
 * them alone, so that they move once a micro-batch, or once for each of its pieces, whose moments
 * are the piece's own. A training pass needs more than one value per channel. */
assay_tensor *assay_batch_norm(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                               assay_tensor *bias, const assay_batch_stats *stats, float eps);
/* The same with max(0, .) of it, in one pass over memory and without keeping what is in between. */
assay_tensor *assay_batch_norm_relu(assay_tape *tape, assay_tensor *x, assay_tensor *weight,
                                    assay_tensor *bias, const assay_batch_stats *stats, float eps);

/* Non-overlapping k x k maxima; what does not fill a window is left out. Gradient to the first
 * maximum. */
assay_tensor *assay_max_pool2d(assay_tape *tape, assay_tensor *x, int64_t k);
/* Means over height x width windows that share the map as PyTorch's AdaptiveAvgPool2d. */
assay_tensor *assay_adaptive_average_pool2d(assay_tape *tape, assay_tensor *x, int64_t height,
                                            int64_t width);
/* Bilinear, half-pixel centres (align_corners = false), no antialiasing. */
assay_tensor *assay_resize_bilinear(assay_tape *tape, assay_tensor *x, int64_t height,
                                    int64_t width);
/* Maps (B, C_i, H_i, W_i), each at the size of the first, side by side: (B, sum of C_i, H_1,
 * W_1). */
assay_tensor *assay_join_maps(assay_tape *tape, int n, assay_tensor *const xs[]);
/* x + `other` (B, C, h, w) at the size of x. Both are what a resize followed by a concatenation or
 * a sum gives, to the bit, without keeping the resized maps. */
assay_tensor *assay_add_resized(assay_tape *tape, assay_tensor *x, assay_tensor *other);
/* Dropout of whole channels of an image, addressed like assay_dropout. */
assay_tensor *assay_dropout2d(assay_tape *tape, assay_tensor *x, float p, const char *name);
/* Tokens (B, T, D) from token `skip` on as a map (B, D, height, width), T - skip = height width. */
assay_tensor *assay_tokens_to_map(assay_tape *tape, assay_tensor *x, int64_t skip, int64_t height,
                                  int64_t width);

/* -log softmax over channels of logits (B, C, H, W) at truth (B, H, W) u8, pixels equal to `ignore`
 * contribute 0. The mean is over all pixels if `count_ignored` (mmsegmentation 0.11), else over
 * those that count (0 if none does). A truth that is no channel and not `ignore` is an error that
 * names it. */
assay_tensor *assay_pixel_cross_entropy(assay_tape *tape, assay_tensor *logits,
                                        const assay_tensor *truth, int64_t ignore,
                                        bool count_ignored);

#endif
