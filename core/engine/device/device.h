/* device/device.h - the table of kernels that every device fills, and nothing else knows.
 *
 * Operations (tensor/) check shapes and dtypes, find memory and call these; kernels trust their
 * arguments. Every array lies in the device's memory (below), structs and the arrays of structs on
 * the host. All numbers are fp32 and all arrays contiguous unless a stride is named; bf16 tensors
 * are widened before and rounded after, but for factors of products (DEVICE_BF16_STORED). A
 * destination with an `add` flag is added to when it is true and overwritten when it is false.
 * Pointers marked "or NULL" switch a part off. A size may be 0. `times` is one number in the
 * device's memory that multiplies, or NULL for 1: the gradient of a loss, which the host need not
 * know. A kernel returns nothing, since what it computes may be under way still when it returns;
 * work is done in the order of the calls.
 *
 * Results may not depend on scheduling: a sum over rows is cut into DEVICE_PARTITIONS fixed pieces
 * whose partial sums are added in order, whatever the number of threads.
 *
 * Letters: rows R, width D (the last axis), n elements; B batch, T tokens, H heads, d the width of
 * a head. Of maps: B batch, C channels, H x W pixels, planes B C. */
#ifndef ASSAY_DEVICE_DEVICE_H
#define ASSAY_DEVICE_DEVICE_H

#include <assay/device.h>
#include <assay/random.h>

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_PARTITIONS 16

typedef enum device_activation {
    DEVICE_IDENTITY,
    DEVICE_RELU,
    DEVICE_GELU, /* exact: x Phi(x) */
    DEVICE_SIGMOID,
    DEVICE_SILU, /* x sigmoid(x) */
    DEVICE_TANH,
    DEVICE_LOG_SIGMOID, /* log(sigmoid(x)) = -log(1 + exp(-x)), without overflow */
    DEVICE_EXP,
} device_activation;

typedef enum device_binary { DEVICE_ADD, DEVICE_SUB, DEVICE_MUL } device_binary;

/* How exact a product's factors are; sums are fp32 always. */
typedef enum device_precision {
    DEVICE_FP32,
    DEVICE_TF32, /* the device may round factors to 11 significant bits */
    DEVICE_BF16, /* the factors hold values of bf16: no rounding that keeps 8 bits changes them */
    DEVICE_BF16_STORED, /* and lie in memory as bf16: uint16_t; only of products */
} device_precision;

/* C (m, n) = [C +] op(A) (m, k) op(B) (k, n), row-major; op transposes when its flag is set.
 * Leading dimensions are those of the arrays as stored. Without `add`, a bias and an activation may
 * follow: C = activation(op(A) op(B) + bias). */
typedef struct device_gemm {
    const void *a, *b; /* float, or as `precision` says */
    float *c;
    int64_t m, n, k, lda, ldb, ldc;
    bool transpose_a, transpose_b, add;
    const float *bias;            /* (n), added to every row of C, or NULL */
    device_activation activation; /* DEVICE_IDENTITY or DEVICE_RELU, which may turn a NaN into 0 */
    device_precision precision;
    /* More than 1: so many products at once. Item i's arrays begin i steps behind the first's, a
     * step being counted in elements; one of 0 shares a factor. The C's lie one behind the other,
     * and the bias is the same for all. */
    int64_t items, step_a, step_b, step_c;
} device_gemm;

/* One attention call; see assay/attention.h for the meaning of the bias. Query i stands at position
 * query_start + i, key j at position j. Token rows of batch item b, head h start at
 * q + (b * queries + i) * q_stride + h * head_width, and alike for k, v (kv head h / (heads /
 * kv_heads)), out and the gradients (which use the stride of what they are the gradient of). */
typedef struct device_attention {
    int64_t batch, heads, kv_heads, head_width, queries, keys, query_start;
    const float *q, *k, *v;
    int64_t q_stride, k_stride, v_stride;
    float scale;
    /* Rotary tables (positions, head_width / 2) with at least `keys` rows, or NULL. q and k are
     * rotated inside (rotate-half), the gradients back. */
    const float *cosine, *sine;
    /* (batch) number of valid positions, or NULL for `keys`. A key at or beyond it is seen by
     * nobody; a query at or beyond it sees nothing, and its output and gradient are zero. */
    const int32_t *lengths;
    bool future_open; /* keys j > position of i may be seen, at the cost of log_weight */
    /* [first, end) per batch item: positions that see each other free, or NULL */
    const int32_t *span;
    int64_t span_stride;     /* 2 per batch item, 0 when one span is shared */
    const float *log_weight; /* additive bias broadcast by bias_stride, or NULL: no cost */
    int64_t bias_stride[4];  /* of batch, head, query, key; 0 where broadcast */
    /* The bias is added at every visible pair, not only at future ones outside the span; -infinity
     * hides a pair. */
    bool bias_everywhere;
    /* forward results, backward inputs */
    float *out; /* (B, queries, out_stride) */
    int64_t out_stride;
    float *row_lse; /* (B, H, queries): log of the row's sum of exp; +infinity for a row that sees
                       nothing, so that exp(s - lse) is 0 */
    /* backward only */
    const float *d_out;
    float *d_q, *d_k, *d_v; /* each or NULL */
    bool add_q, add_k, add_v;
    float *d_log_weight; /* laid out like log_weight, or NULL */
    bool add_bias;
    int64_t bias_count; /* elements of log_weight */
    void *scratch;      /* attention_scratch() bytes, aligned */
    /* With DEVICE_BF16 the device may round q, k, v, the output and the gradients to bf16, q and k
     * after they are rotated, and so may differ for what is visible at no cost; sums stay fp32. */
    device_precision precision;
    /* Where the device fuses the call (assay_device.fuses_attention) and q, k, v and out lie in
     * memory as bf16: they, in place of the four above, with the same strides. */
    const uint16_t *narrow_q, *narrow_k, *narrow_v;
    uint16_t *narrow_out;
} device_attention;

/* The keys and values of one sequence's first tokens in one layer: rows of kv_heads * head_width
 * floats, keys rotated. */
typedef struct device_prefix {
    int64_t tokens;
    const float *keys, *values;
} device_prefix;

/* Attention of suffixes: row b's tokens follow those of prefix[b] and see them all and, causally,
 * themselves. Token j of row b stands at position prefix[b].tokens + j. Layouts are those of
 * device_attention, without a bias. Nothing is computed for the prefix but its use: it is
 * constant. */
typedef struct device_suffix {
    int64_t batch, heads, kv_heads, head_width, queries, keys;
    const float *q, *k, *v;
    int64_t q_stride, k_stride, v_stride;
    float scale;
    /* Rotary tables with a row for every position, or NULL. */
    const float *cosine, *sine;
    const int32_t *lengths; /* (batch) tokens of the suffixes, or NULL for `keys` */
    /* (batch, queries): the token that a query is; outside 0 .. length - 1 it sees nothing and
     * gives zeros. NULL: query i is token i. */
    const int32_t *positions;
    const device_prefix *prefix; /* (batch) */
    /* forward results, backward inputs */
    float *out;
    int64_t out_stride;
    float *row_lse; /* (B, H, queries), as in device_attention */
    /* backward only */
    const float *d_out;
    float *d_q, *d_k, *d_v; /* each or NULL */
    bool add_q, add_k, add_v;
    void *scratch; /* suffix_scratch() bytes, aligned */
} device_suffix;

/* A convolution of maps, zero-padded: y (B, O, H', W') of x (B, C, H, W) and w (O, C, k, k) with
 * H' = (H + 2 pad - k) / stride + 1, W' alike. */
typedef struct device_conv {
    int64_t batch, channels, height, width, filters, side, stride, pad;
    device_precision precision;
    const float *x, *w, *bias; /* bias (O) or NULL; of the forward pass */
    float *y;                  /* forward result */
    /* backward only */
    const float *d_y;
    float *d_x, *d_w; /* each or NULL */
    bool add_x, add_w;
} device_conv;

/* Batch norm of maps x (B, C, pixels), channel by channel: h = (x - mean) rstd, y = w h + b, with
 * `relu` max(y, 0). */
typedef struct device_batch_norm {
    int64_t batch, channels, pixels;
    const float *x, *w, *b, *mean, *rstd; /* all but x (C) */
    bool relu;
    float *y; /* forward result */
    /* backward only */
    const float *d_y;
    bool of_batch;          /* mean and rstd are x's own, and move with it */
    float *d_x, *d_w, *d_b; /* each or NULL */
    bool add_x, add_w, add_b;
} device_batch_norm;

/* In the order of assay_contrastive_variant. */
typedef enum device_contrastive_variant {
    DEVICE_QA_CODE,
    DEVICE_QA_PAPER,
    DEVICE_GG_PAPER,
    DEVICE_GG_CODE
} device_contrastive_variant;

/* Contrastive loss on similarity matrices (user-modelling spec 1.6). */
typedef struct device_contrastive {
    int64_t n;
    const float *ab, *aa, *bb; /* (n, n) cosines a_i.b_j, a_i.a_j, b_i.b_j; aa, bb NULL if unused */
    device_contrastive_variant variant;
    float temperature, margin;
    float *row_loss;           /* (n): log Z_i - s_ii / temperature */
    float *d_ab, *d_aa, *d_bb; /* (n, n) gradients of mean(row_loss), overwritten; all NULL: not
                                  wanted, d_aa, d_bb NULL where aa, bb are unused. Each entry counts
                                  as a free number: callers add both halves of a symmetric pair. */
    float *row_masked;         /* (n): exponentials left out of Z_i; a pair counts once per term */
} device_contrastive;

typedef struct device_adamw {
    int64_t n;
    float *value, *first, *second; /* parameter, first and second moment */
    const float *grad;
    /* One number, the factor of `clip` on grad, or NULL for 1. With a NaN nothing is changed: a
     * step whose gradients are no numbers leaves everything as it was. */
    const float *grad_scale;
    float lr, beta1, beta2, eps, weight_decay;
    float correction1, correction2; /* 1 - beta^t */
} device_adamw;

/* What the gradients of earlier passes say about positions (assay/importance.h). */
typedef struct device_importance {
    int64_t tokens;
    const double *norms;   /* (tokens) sums over samples of the norm of a position's gradient */
    const double *samples; /* (tokens) how many had the position */
    bool mean, relative;
    double rho;
    float *importance; /* (tokens) */
    float *updates;    /* (tokens) how often each changed; only of a relative one */
} device_importance;

/* What keys pay for it: log((1 - rise) logistic(gain (I - centre) + offset) + rise + floor) in
 * double. I is the importance, with `updates` over 1 - rho^updates, or 1 where there were none. */
typedef struct device_key_prices {
    int64_t keys;
    const float *importance, *updates; /* (keys) each; updates or NULL */
    double rho, gain, centre, offset, rise, floor;
    float *price; /* (keys) */
} device_key_prices;

/* Prices of a query and a later key inside their row's span; every other pair is -infinity. */
typedef struct device_history {
    int64_t batch, tokens;
    const int32_t *span; /* (B, 2): 0 <= first <= end <= T */
    int64_t extent[3],
        stride[3]; /* of the prices' batch, query and key; extent 1, stride 0: shared */
    const float *price;
    float *y; /* (B, T, T) */
    /* backward only */
    const float *d_y;
    float *d_price; /* laid out like price: sums over what shares it, in double */
    bool add;
} device_history;

/* y (B, H, Q, T) = future + always of the key, + price. With `whole` Q is T, `future` counts for
 * keys j > i only, and so does price, unless i and j are both in the row's span. */
typedef struct device_closing {
    int64_t batch, heads, queries, keys;
    bool whole;
    const float *future, *always; /* (B, T) each, or NULL */
    const int32_t *span;          /* (B, 2) or NULL */
    int64_t extent[4], stride[4]; /* of the prices; extent 1, stride 0: shared */
    const float *price;
    float *y;
    /* backward only: of the pairs whose key costs nothing more */
    const float *d_y;
    float *d_price; /* laid out like price: sums over what shares it */
    bool add;
} device_closing;

typedef struct assay_kernels {
    /* ---- products ---- */
    void (*gemm)(const device_gemm *gemm);

    /* ---- element-wise ---- */
    void (*to_bf16)(int64_t n, const float *x, uint16_t *y);
    void (*from_bf16)(int64_t n, const uint16_t *x, float *y);
    /* y = [y +] alpha times x; x may be y when not adding */
    void (*scale)(int64_t n, float alpha, const float *times, const float *x, float *y, bool add);
    /* y = [y +] value times */
    void (*fill)(int64_t n, float value, const float *times, float *y, bool add);
    /* y[i] = [y[i] +] a[i] op b[i % period]; period divides n; y may be a */
    void (*binary)(device_binary op, int64_t n, int64_t period, const float *a, const float *b,
                   float *y, bool add);
    /* z (R, D) = z + bias (D) or z; then y = activation(z). bias or NULL; y may be z. Keeps z when
     * y is another array. */
    void (*bias_activation)(device_activation f, int64_t rows, int64_t width, float *z,
                            const float *bias, float *y);
    void (*activation)(device_activation f, int64_t n, const float *x, float *y);
    /* d_x = [d_x +] d_y f'(x), x the input of the forward; d_x may be d_y when not adding */
    void (*d_activation)(device_activation f, int64_t n, const float *x, const float *d_y,
                         float *d_x, bool add);
    /* h = silu(g) u */
    void (*silu_product)(int64_t n, const float *g, const float *u, float *h);
    void (*d_silu_product)(int64_t n, const float *g, const float *u, const float *d_h, float *d_g,
                           bool add_g, float *d_u, bool add_u);
    /* y[i] = [y[i] +] (uniform(stream, i) >= p ? x[i] / (1 - p) : 0): its own backward */
    void (*dropout)(int64_t n, const float *x, float p, assay_stream stream, float *y, bool add);

    /* ---- rows ---- */
    /* y (R, D) = [y +] x factor[r] */
    void (*scale_rows)(int64_t rows, int64_t width, const float *x, const float *factor, float *y,
                       bool add);
    /* y (D) = [y +] sum over rows of x (R, D), or of x times w (R, D) when w is given */
    void (*sum_rows)(int64_t rows, int64_t width, const float *x, const float *w, float *y,
                     bool add);
    /* y (R) = sum over the width of a b */
    void (*dot_rows)(int64_t rows, int64_t width, const float *a, const float *b, float *y);
    /* y (R, D) = x / max(|x|, eps); norm (R) = max(|x|, eps) */
    void (*normalize_rows)(int64_t rows, int64_t width, const float *x, float eps, float *y,
                           float *norm);
    /* d_x = [d_x +] (d_y - y (y . d_y)) / norm; where |x| < eps the projection is left out */
    void (*d_normalize_rows)(int64_t rows, int64_t width, const float *y, const float *norm,
                             float eps, const float *d_y, float *d_x, bool add);
    void (*softmax_rows)(int64_t rows, int64_t width, const float *x, float *y);
    void (*d_softmax_rows)(int64_t rows, int64_t width, const float *y, const float *d_y,
                           float *d_x, bool add);
    /* loss[r] = lse(x_r) - x_r[target]; lse (R). target == ignore: loss and lse 0. */
    void (*cross_entropy_rows)(int64_t rows, int64_t classes, const float *x, const int32_t *target,
                               int32_t ignore, float *loss, float *lse);
    /* d_x = [d_x +] factor times (softmax(x) - onehot), 0 where target == ignore; d_x may be x when
     * not adding */
    void (*d_cross_entropy_rows)(int64_t rows, int64_t classes, const float *x,
                                 const int32_t *target, int32_t ignore, const float *lse,
                                 float factor, const float *times, float *d_x, bool add);
    /* loss[r] = sum_j p (log p - log q), p and q the softmax of row r of teacher and student (R,
     * D); `cross`: sum_j -p log q. lse (R, 2): of teacher and student. A key of probability p = 0
     * costs nothing. */
    void (*divergence_rows)(int64_t rows, int64_t width, const float *teacher, const float *student,
                            bool cross, float *loss, float *lse);
    /* d_student = [d_student +] factor times (q - p), of both */
    void (*d_divergence_rows)(int64_t rows, int64_t width, const float *teacher,
                              const float *student, const float *lse, float factor,
                              const float *times, float *d_student, bool add);
    /* y = w x rstd, rstd (R) = 1 / sqrt(mean(x^2) + eps) */
    void (*rms_norm)(int64_t rows, int64_t width, const float *x, const float *w, float eps,
                     float *y, float *rstd);
    /* d_x or NULL, d_w (D) or NULL */
    void (*d_rms_norm)(int64_t rows, int64_t width, const float *x, const float *w,
                       const float *rstd, const float *d_y, float *d_x, bool add_x, float *d_w,
                       bool add_w);
    /* y = w (x - mean) rstd + b; w or NULL (1), b or NULL (0); mean (R), rstd (R) of the biased
     * variance */
    void (*layer_norm)(int64_t rows, int64_t width, const float *x, const float *w, const float *b,
                       float eps, float *y, float *mean, float *rstd);
    void (*d_layer_norm)(int64_t rows, int64_t width, const float *x, const float *w,
                         const float *mean, const float *rstd, const float *d_y, float *d_x,
                         bool add_x, float *d_w, bool add_w, float *d_b, bool add_b);
    /* Rotates (or, backwards, rotates back) heads of x (B, T, heads * d) at positions start + t by
     * the tables cosine, sine (positions, d / 2): rotate-half, (a, b) -> (a c - b s, b c + a s). y
     * may be x when not adding. */
    void (*rotary)(int64_t batch, int64_t tokens, int64_t heads, int64_t head_width, int64_t start,
                   const float *cosine, const float *sine, const float *x, float *y, bool backward,
                   bool add);

    /* ---- tokens ---- */
    /* y (n, D) = table[ids]; ids are in range */
    void (*gather_rows)(int64_t n, int64_t width, const float *table, const int32_t *ids, float *y);
    /* table (entries, D) = [table +] sum of x rows with that id, in order of the rows */
    void (*scatter_rows)(int64_t n, int64_t width, int64_t entries, const float *x,
                         const int32_t *ids, float *table, bool add);
    /* y (B, D) = mean of x (B, T, D) over t < lengths[b] (NULL: T); 0 when that is 0 */
    void (*masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                        const int32_t *lengths, float *y);
    void (*d_masked_mean)(int64_t batch, int64_t tokens, int64_t width, const float *d_y,
                          const int32_t *lengths, float *d_x, bool add);
    /* y = [y +] x where t < lengths[b], else [y +] 0; x may be y when not adding */
    void (*mask_rows)(int64_t batch, int64_t tokens, int64_t width, const float *x,
                      const int32_t *lengths, float *y, bool add);
    /* rows of `width` floats, at strides: dst[r] = [dst[r] +] src[r] */
    void (*copy_rows)(int64_t rows, int64_t width, const float *src, int64_t src_stride, float *dst,
                      int64_t dst_stride, bool add);
    /* patches (B, gy gx, C P P) of image (B, C, gy P, gx P), row-major over the grid, each patch
     * laid out (C, P, P); backwards: image = [image +] patches */
    void (*patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x, int64_t side,
                    const float *image, float *patches);
    void (*d_patches)(int64_t batch, int64_t channels, int64_t grid_y, int64_t grid_x, int64_t side,
                      const float *d_patches, float *d_image, bool add);

    /* ---- attention ---- */
    /* Bytes of scratch in the device's memory, on the CPU for omp_get_max_threads() threads; the
     * maps need the same. */
    int64_t (*attention_scratch)(const device_attention *attention, bool backward);
    void (*attention)(const device_attention *attention);
    void (*d_attention)(const device_attention *attention);
    /* probabilities (B, H, queries, keys) written to out (out_stride and row_lse unused); the plain
     * way, for analysis and for losses on maps. Hidden pairs are exactly 0. */
    void (*attention_map)(const device_attention *attention);
    /* d_out (B, H, queries, keys) -> d_q, d_k, d_log_weight; `out` holds the map. A pair whose
     * probability is 0 contributes nothing, whatever stands in d_out. */
    void (*d_attention_map)(const device_attention *attention);

    /* Attention of suffixes on constant prefixes. Neighbouring rows whose prefixes have the same
     * keys share one product with them; a row's result does not depend on its neighbours. */
    int64_t (*suffix_scratch)(const device_suffix *suffix, bool backward);
    void (*suffix_attention)(const device_suffix *suffix);
    void (*d_suffix_attention)(const device_suffix *suffix);

    /* ---- maps ---- */
    void (*conv)(const device_conv *conv);
    void (*d_conv)(const device_conv *conv);
    /* y (C) = [y +] sum over batch and pixels of x (B, C, pixels) */
    void (*sum_channels)(int64_t batch, int64_t channels, int64_t pixels, const float *x, float *y,
                         bool add);
    /* mean (C) and biased variance (C) of x (B, C, pixels), by two passes over it */
    void (*channel_moments)(int64_t batch, int64_t channels, int64_t pixels, const float *x,
                            float *mean, float *variance);
    /* Of this pass's mean and biased variance (C), over n values each: running = (1 - momentum)
     * running + momentum of the mean and of n / (n - 1) variance, unless momentum is 0; then
     * variance becomes 1 / sqrt(variance + eps). */
    void (*batch_statistics)(int64_t channels, double n, double momentum, float eps,
                             const float *mean, float *variance, float *running_mean,
                             float *running_variance);
    void (*batch_norm)(const device_batch_norm *norm);
    void (*d_batch_norm)(const device_batch_norm *norm);
    /* y (planes, H / k, W / k) = maxima of whole k x k windows of x (planes, H, W); backwards the
     * gradient goes to a window's first maximum */
    void (*max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                     float *y);
    void (*d_max_pool)(int64_t planes, int64_t height, int64_t width, int64_t side, const float *x,
                       const float *d_y, float *d_x, bool add);
    /* y (planes, to_height, to_width) = means of x (planes, H, W) over the windows floor(i H /
     * to_height) .. ceil((i + 1) H / to_height) - 1, columns alike */
    void (*average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                         int64_t to_width, const float *x, float *y);
    void (*d_average_pool)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                           int64_t to_width, const float *d_y, float *d_x, bool add);
    /* y (planes, to_height, to_width) = x (planes, H, W), bilinear with half-pixel centres */
    void (*resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                   int64_t to_width, const float *x, float *y);
    void (*d_resize)(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                     int64_t to_width, const float *d_y, float *d_x, bool add);
    /* y (B, C, k H, k W) of x (B, C, k, k, H, W), plus bias (C) or NULL; and back, of C planes */
    void (*depth_to_space)(int64_t batch, int64_t channels, int64_t side, int64_t height,
                           int64_t width, const float *x, const float *bias, float *y);
    void (*space_to_depth)(int64_t channels, int64_t side, int64_t height, int64_t width,
                           const float *y, float *x);
    /* y (columns, rows) = [y +] transposed x (rows, columns), for each of a batch whose items start
     * at strides */
    void (*transpose)(int64_t batch, int64_t rows, int64_t columns, const float *x,
                      int64_t x_stride, float *y, int64_t y_stride, bool add);
    /* loss (1) = factor sum over pixels of lse - x[truth] for logits x (B, C, pixels) and truth
     * (B, pixels), 0 where truth == ignore; lse (B, pixels) over the channels */
    void (*pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                const uint8_t *truth, int64_t ignore, double factor, float *lse,
                                float *loss);
    /* d_x = [d_x +] factor times (softmax(x) - onehot), 0 where truth == ignore */
    void (*d_pixel_cross_entropy)(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                  const uint8_t *truth, int64_t ignore, const float *lse,
                                  float factor, const float *times, float *d_x, bool add);

    /* ---- losses, sums and steps ---- */
    void (*contrastive)(const device_contrastive *contrastive);
    /* y (1) = factor times the sum of x, added up in double */
    void (*sum)(int64_t n, const float *x, double factor, float *y);
    /* y (1) = [y +] the sum of squares of x, in double */
    void (*sum_squares)(int64_t n, const float *x, double *y, bool add);
    /* index (1) of the first NaN or infinity, -1 if there is none */
    void (*first_nonfinite)(int64_t n, const float *x, int64_t *index);
    /* factor (1) of a gradient of the norm sqrt(sum of squares (count)): 1, or limit / norm where
     * limit > 0 and the norm is above it; a NaN when the sum is not finite */
    void (*clip)(int64_t count, const double *squares, float limit, float *factor);
    void (*adamw)(const device_adamw *step);

    /* ---- guided masks ---- */
    /* norms (seen) += the norm of row t of x (B, T, D), over the rows b with t < lengths[b] (NULL:
     * all) in order; seen <= T */
    void (*position_norms)(int64_t batch, int64_t tokens, int64_t seen, int64_t width,
                           const float *x, const int32_t *lengths, double *norms);
    void (*learn_importance)(const device_importance *importance);
    void (*key_prices)(const device_key_prices *prices);
    void (*history_prices)(const device_history *history);
    void (*d_history_prices)(const device_history *history);
    /* y (B, T, T): 0 for a key in its query's window (B, T, 2), first and end, else -infinity */
    void (*window_prices)(int64_t batch, int64_t tokens, const int32_t *window, float *y);
    void (*close_keys)(const device_closing *closing);
    void (*d_close_keys)(const device_closing *closing);

    /* ---- masked images ---- */
    /* targets (R, N C) of patches (.., N): pixel i of patch index[r] at i C + c for each of C
     * channels; with `normalise` less the mean, over sqrt(var + 1e-6), the variance unbiased over
     * all N C, in double */
    void (*patch_targets)(int64_t rows, int64_t pixels, int64_t channels, const float *patches,
                          const int32_t *index, bool normalise, float *targets);
} assay_kernels;

/* Every entry of the table once, for who fills or declares it: those that a library computes where
 * one is there, those that all CPUs compute by one body, and the rest. */
#define DEVICE_LIBRARY_KERNELS(X)                                                                  \
    X(gemm)                                                                                        \
    X(conv)                                                                                        \
    X(d_conv)
#define DEVICE_COMMON_KERNELS(X)                                                                   \
    X(position_norms)                                                                              \
    X(learn_importance)                                                                            \
    X(key_prices)                                                                                  \
    X(history_prices)                                                                              \
    X(d_history_prices)                                                                            \
    X(window_prices)                                                                               \
    X(close_keys)                                                                                  \
    X(d_close_keys)                                                                                \
    X(patch_targets)
#define DEVICE_KERNELS(X)                                                                          \
    X(to_bf16)                                                                                     \
    X(from_bf16)                                                                                   \
    X(scale)                                                                                       \
    X(fill)                                                                                        \
    X(binary)                                                                                      \
    X(bias_activation)                                                                             \
    X(activation)                                                                                  \
    X(d_activation)                                                                                \
    X(silu_product)                                                                                \
    X(d_silu_product)                                                                              \
    X(dropout)                                                                                     \
    X(scale_rows)                                                                                  \
    X(sum_rows)                                                                                    \
    X(dot_rows)                                                                                    \
    X(normalize_rows)                                                                              \
    X(d_normalize_rows)                                                                            \
    X(softmax_rows)                                                                                \
    X(d_softmax_rows)                                                                              \
    X(cross_entropy_rows)                                                                          \
    X(d_cross_entropy_rows)                                                                        \
    X(divergence_rows)                                                                             \
    X(d_divergence_rows)                                                                           \
    X(rms_norm)                                                                                    \
    X(d_rms_norm)                                                                                  \
    X(layer_norm)                                                                                  \
    X(d_layer_norm)                                                                                \
    X(rotary)                                                                                      \
    X(gather_rows)                                                                                 \
    X(scatter_rows)                                                                                \
    X(masked_mean)                                                                                 \
    X(d_masked_mean)                                                                               \
    X(mask_rows)                                                                                   \
    X(copy_rows)                                                                                   \
    X(patches)                                                                                     \
    X(d_patches)                                                                                   \
    X(attention_scratch)                                                                           \
    X(attention)                                                                                   \
    X(d_attention)                                                                                 \
    X(attention_map)                                                                               \
    X(d_attention_map)                                                                             \
    X(suffix_scratch)                                                                              \
    X(suffix_attention)                                                                            \
    X(d_suffix_attention)                                                                          \
    X(sum_channels)                                                                                \
    X(channel_moments)                                                                             \
    X(batch_statistics)                                                                            \
    X(batch_norm)                                                                                  \
    X(d_batch_norm)                                                                                \
    X(max_pool)                                                                                    \
    X(d_max_pool)                                                                                  \
    X(average_pool)                                                                                \
    X(d_average_pool)                                                                              \
    X(resize)                                                                                      \
    X(d_resize)                                                                                    \
    X(depth_to_space)                                                                              \
    X(space_to_depth)                                                                              \
    X(transpose)                                                                                   \
    X(pixel_cross_entropy)                                                                         \
    X(d_pixel_cross_entropy)                                                                       \
    X(contrastive)                                                                                 \
    X(sum)                                                                                         \
    X(sum_squares)                                                                                 \
    X(first_nonfinite)                                                                             \
    X(clip)                                                                                        \
    X(adamw)

/* Memory that the host can't touch. Everything but `take` and the waiting calls returns before the
 * work is done and, `upload_after` apart, keeps its place in the order of the kernels. */
typedef struct device_memory {
    /* `bytes` uninitialised, aligned to ASSAY_ALIGNMENT, out of a pool that grows; NULL with
     * ASSAY_NO_MEMORY, saying how much was asked for and how much is held and free. `bytes` of 0
     * gives a pointer that differs from every other. */
    void *(*take)(int64_t bytes, assay_error *error);
    /* Gives it back to the pool, for work that is called later; NULL is accepted. */
    void (*give)(void *piece);
    /* to = from, host to device. What stands at `from` is taken at once: it may change
     * afterwards. */
    void (*upload)(void *to, const void *from, int64_t bytes);
    /* to = from, device to host, after everything called before. Waits. */
    void (*download)(void *to, const void *from, int64_t bytes);
    /* A number for this place in the order of the work, above all before it; the first is at least
     * 1. */
    int64_t (*mark)(void);
    /* Waits for what was called before the mark; it may wait for more when many marks came after
     * it. */
    void (*wait_for)(int64_t mark);
    /* As upload, ahead of the work that is under way: the copy waits only for what was called
     * before the mark (0: for nothing), since nothing that was called after it uses `to`. What is
     * called from now on waits for the copy. */
    void (*upload_after)(int64_t mark, void *to, const void *from, int64_t bytes);
    /* Memory of the host for `fetch`, which must be done before it is given back. */
    void *(*take_host)(int64_t bytes, assay_error *error);
    void (*give_host)(void *piece);
    /* to = from, device to host, `to` in memory of take_host. Does not wait: the numbers are there
     * when a later mark has been waited for. */
    void (*fetch)(void *to, const void *from, int64_t bytes);
    void (*copy)(void *to, const void *from, int64_t bytes); /* device to device */
    void (*clear)(void *to, int64_t bytes);                  /* zero bits */
    /* Waits for everything. */
    void (*wait)(void);
    /* True, with *error filled, when a kernel or copy has failed since the device was opened. Does
     * not wait: after a download or `wait` it covers everything before. */
    bool (*failed)(assay_error *error);
    int64_t (*held)(void); /* bytes taken from the GPU, used or pooled */
    int64_t (*peak)(void); /* most bytes handed out at once since the device was opened */
} device_memory;

struct assay_device {
    const char *name, *variant;
    const assay_kernels *kernels;
    const device_memory *memory; /* NULL: the host's own, which kernels use directly */
    /* `gemm` adds a bias as it writes C. Elsewhere that is one more pass over C, which is better
     * left to a pass that follows anyway. */
    bool gemm_adds_bias;
    /* Factors of bf16 are best handed to `gemm` as they are stored (DEVICE_BF16_STORED). */
    bool gemm_takes_bf16;
    /* True when `attention`, or `d_attention`, of this call reads and writes bf16 as it lies; NULL:
     * never. The pointers of the call do not matter. */
    bool (*fuses_attention)(const device_attention *attention, bool backward);
};

/* What a device plugin (device_NAME.so) exports, as `assay_device_plugin`: the table above is the
 * engine's own business, so plugin and engine must come from one build. */
typedef struct device_plugin {
    uint32_t size;         /* sizeof(device_plugin) */
    uint32_t kernels_size; /* sizeof(assay_kernels) */
    const char *name;      /* "cuda" */
    /* GPUs that can be used, 0 with *why saying what is missing. */
    int (*count)(assay_error *why);
    /* "NVIDIA H200, 139.8 GiB, sm_90, CUDA 13.0"; borrowed until the next call. */
    const char *(*describe)(int number);
    /* Opens GPU `number`, once per process. Lives until the process ends. */
    const assay_device *(*open)(int number, assay_error *error);
} device_plugin;

#endif
