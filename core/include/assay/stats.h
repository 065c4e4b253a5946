/* assay/stats.h - the statistics that a comparison of runs needs.
 *
 * All in double. A function whose answer does not exist (the sd of one number) returns NaN; callers
 * show that as "n/a". */
#ifndef ASSAY_STATS_H
#define ASSAY_STATS_H

#include <assay/error.h>
#include <assay/random.h>

#include <stdint.h>

double assay_stats_mean(const double *x, int64_t n); /* NaN for n = 0; compensated sum */
double assay_stats_sd(const double *x, int64_t n); /* sample sd (n - 1), two-pass; NaN for n < 2 */
double assay_stats_median(const double *x,
                          int64_t n); /* mean of the middle two for even n; NaN for 0 */
/* Quantile q in 0..1 with linear interpolation between order statistics (Hyndman-Fan type 7). NaN
 * for n = 0, a NaN in x or q outside 0..1, or when memory for the sorted copy is short. */
double assay_stats_quantile(const double *x, int64_t n, double q);

typedef struct assay_interval {
    double low, high;
} assay_interval;

/* A statistic of a sample, for the bootstrap. */
typedef double (*assay_statistic)(const double *x, int64_t n, void *user);

/* Percentile bootstrap interval of `statistic` at `level` (0.95), from `resamples` resamples of x
 * whose indices come from `stream`: the same stream gives the same interval. A NULL statistic is
 * the mean. Resamples whose statistic is NaN are left out; when none is left, both ends are NaN.
 * Fails on n < 1, a NaN in x, resamples < 1, or a level outside (0, 1). */
bool assay_bootstrap(const double *x, int64_t n, assay_statistic statistic, void *user,
                     int64_t resamples, double level, assay_stream stream, assay_interval *out,
                     assay_error *error);

/* Exact two-sided sign-flip (permutation) test of paired differences against 0: the share of the
 * 2^n sign patterns whose |sum| is at least the observed one (ties counted, within 1e-12 of the
 * largest attainable |sum|). Refuses n > 24 and n < 1, and non-finite differences. Two-sided
 * smallest p is 2 / 2^n: assay_sign_flip_floor(n). */
bool assay_sign_flip(const double *difference, int64_t n, double *p, assay_error *error);
double assay_sign_flip_floor(int64_t n);

/* Holm's step-down correction: adjusted[i] for p[i], monotone, at most 1. p entries that are NaN
 * stay NaN and do not count as comparisons; p outside 0..1 is refused. `adjusted` may be `p`. */
bool assay_holm(const double *p, int64_t n, double *adjusted, assay_error *error);

#endif
