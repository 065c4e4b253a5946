/* assay/metrics.h - what evaluators measure.
 *
 * All in double, on plain arrays; no tensor, no tape. A value that does not exist (the AUC of one
 * class) is an error, never a number. */
#ifndef ASSAY_METRICS_H
#define ASSAY_METRICS_H

#include <assay/error.h>

#include <stdint.h>

/* ---- ranking ---- */

typedef struct assay_ranking {
    double auc;        /* P(score of a positive > of a negative) + half of P(equal) */
    double ks;         /* max over thresholds of |TPR - FPR| */
    int64_t positives; /* labels equal to 1 */
    int64_t negatives; /* labels equal to 0 */
} assay_ranking;

/* AUC and KS with ties (user-modelling spec 1.7): scores are walked in groups of equal value. Fails
 * when a score is not finite, a label is neither 0 nor 1, or one class is absent. */
bool assay_rank(const double *score, const int32_t *label, int64_t n, assay_ranking *out,
                assay_error *error);

/* ---- segmentation ---- */

/* Integer counts over a whole set, so that the order and the batch size cannot matter. */
typedef struct assay_confusion assay_confusion;

/* counts[truth][prediction] for classes 0 .. classes-1; pixels whose truth is `ignore` are left out
 * (-1: none is). The caller owns the result. */
assay_confusion *assay_confusion_new(int64_t classes, int64_t ignore, assay_error *error);
void assay_confusion_free(assay_confusion *confusion);
/* Adds n pixels. Fails, adding nothing, when a truth or a prediction (of a counted pixel) is out of
 * range. */
bool assay_confusion_add(assay_confusion *confusion, const uint8_t *truth,
                         const uint8_t *prediction, int64_t n, assay_error *error);
int64_t assay_confusion_count(const assay_confusion *confusion, int64_t truth, int64_t prediction);

typedef struct assay_segmentation {
    double miou; /* mean IoU of the classes present in truth or prediction (infrared spec 2.11) */
    double macc; /* mean of hits / truth over the classes present in the truth */
    double aacc; /* hits / counted pixels */
    int64_t pixels;
} assay_segmentation;

/* Summarises; iou (classes values, may be NULL) gets hits / (truth + predicted - hits), -1 for a
 * class absent from both. Fails when no pixel was counted. */
bool assay_confusion_summary(const assay_confusion *confusion, assay_segmentation *out, double *iou,
                             assay_error *error);

/* ---- attention statistics (infrared spec 2.6) ----
 * `attention` is one softmaxed map, (T, T) row-major fp32, T = tokens; the first `skip` tokens (the
 * class token) are dropped from rows and columns, the rest form a grid of N = T - skip patches. */

/* Normalised mutual information of query and key position: I(q;k) / sqrt(H(q) H(k)) with 1e-8 added
 * to every entry and rows renormalised. 0: every query attends alike; near 1: each to its own key.
 * 0 when H(k) vanishes. Fails on N < 2 or an entry that is negative or not finite. */
bool assay_attention_nmi(const float *attention, int64_t tokens, int64_t skip, double *nmi,
                         assay_error *error);

/* Mean over queries of sum_j A_ij * pixels_per_patch * |position_i - position_j|, on a grid of
 * `grid_width` columns (N must be a multiple), after dropping `skip` tokens, adding 1e-32 and
 * renormalising. In pixels. Fails on a grid that N does not fill, a pixels_per_patch that is not
 * positive, or an entry that is negative or not finite. */
bool assay_attention_distance(const float *attention, int64_t tokens, int64_t skip,
                              int64_t grid_width, double pixels_per_patch, double *distance,
                              assay_error *error);

/* ---- linear probe ---- */

/* A fitted logistic regression on standardised columns:
 * logit(x) = bias + sum_j weight[j] * (x[j] - mean[j]) / sd[j]; a constant column has sd 1. */
typedef struct assay_probe assay_probe;

typedef struct assay_probe_options {
    double l2;              /* adds (l2 / 2) |weight|^2 to the mean log-loss; bias free */
    double tolerance;       /* stop when the largest |gradient| is at most this; 0: 1e-10 */
    int64_t max_iterations; /* Newton steps; 0: 100 */
} assay_probe_options;

/* Fits x (n, d) row-major against labels 0/1 by Newton's method (Cholesky, step halving), to
 * convergence: minimises mean log-loss + (l2/2)|w|^2 over columns standardised by the mean and the
 * population sd of x. Fails when a value is not finite, one class is absent, the tolerance is not
 * reached, or there is no minimum: without l2, rows that some direction separates, wholly or in
 * part, have none, however small the gradient becomes. Columns that others determine are harmless;
 * without l2 the last of such a group gets weight 0. The result does not depend on the number of
 * threads. The caller owns it. */
assay_probe *assay_probe_fit(const double *x, const int32_t *label, int64_t n, int64_t d,
                             const assay_probe_options *options, assay_error *error);
void assay_probe_free(assay_probe *probe);
int64_t assay_probe_width(const assay_probe *probe);         /* d */
const double *assay_probe_weights(const assay_probe *probe); /* (d), borrowed: standardised */
double assay_probe_bias(const assay_probe *probe);           /* in the standardised space */
int64_t assay_probe_iterations(const assay_probe *probe);    /* Newton steps taken */
/* Logits of n rows of x (n, d) into score (n). */
void assay_probe_score(const assay_probe *probe, const double *x, int64_t n, double *score);

#endif
