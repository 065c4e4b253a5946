/* stats.c - means, quantiles, the bootstrap, the sign-flip test and Holm's correction
 * (assay/stats.h). */
#include <assay/memory.h>
#include <assay/stats.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIGN_FLIP_LIMIT = 24, /* 2^23 sums: well under a second */
};

/* ---- moments ---- */

/* A sum that carries its rounding error along: Neumaier, "Rundungsfehleranalyse einiger Verfahren
 * zur Summation endlicher Summen", ZAMM 54 (1974). */
typedef struct compensated {
    double sum, lost;
} compensated;

static void add(compensated *total, double x)
{
    double sum = total->sum + x;
    if (fabs(total->sum) >= fabs(x))
        total->lost += (total->sum - sum) + x;
    else
        total->lost += (x - sum) + total->sum;
    total->sum = sum;
}

/* After an infinity the carried error is inf - inf and says nothing. */
static double total_of(compensated total)
{
    return isfinite(total.sum) ? total.sum + total.lost : total.sum;
}

double assay_stats_mean(const double *x, int64_t n)
{
    if (n < 1)
        return NAN;
    compensated total = {0};
    for (int64_t i = 0; i < n; i++)
        add(&total, x[i]);
    return total_of(total) / (double)n;
}

static bool all_equal(const double *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return false;
    return true;
}

double assay_stats_sd(const double *x, int64_t n)
{
    if (n < 2)
        return NAN;
    /* The mean of equal numbers may differ from them by a rounding; their sd is exactly 0. */
    if (isfinite(x[0]) && all_equal(x, n))
        return 0.0;
    double mean = assay_stats_mean(x, n);
    compensated squares = {0};
    for (int64_t i = 0; i < n; i++)
        add(&squares, (x[i] - mean) * (x[i] - mean));
    return sqrt(total_of(squares) / (double)(n - 1));
}

/* ---- order statistics ---- */

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* `sorted` holds no NaN, n >= 1 and q is in 0..1. */
static double quantile_of_sorted(const double *sorted, int64_t n, double q)
{
    double position = q * (double)(n - 1);
    int64_t below = (int64_t)position;
    double fraction = position - (double)below;
    double low = sorted[below];
    if (fraction == 0.0 || low == sorted[below + 1])
        return low;
    return (1.0 - fraction) * low + fraction * sorted[below + 1];
}

static bool holds_nan(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (isnan(x[i]))
            return true;
    return false;
}

static double *new_doubles(int64_t n, assay_error *error)
{
    int64_t bytes;
    if (!assay_size_mul(&bytes, n, sizeof(double))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "stats", .what = "impossible count",
                   .got = assay_text("%lld numbers", (long long)n));
        return NULL;
    }
    return assay_alloc(bytes, error);
}

double assay_stats_quantile(const double *x, int64_t n, double q)
{
    if (n < 1 || !(q >= 0.0 && q <= 1.0) || holds_nan(x, n))
        return NAN;
    double *sorted = new_doubles(n, NULL);
    if (sorted == NULL)
        return NAN;
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    double result = quantile_of_sorted(sorted, n, q);
    assay_free(sorted);
    return result;
}

double assay_stats_median(const double *x, int64_t n)
{
    return assay_stats_quantile(x, n, 0.5);
}

/* ---- bootstrap (Efron, "Bootstrap methods: another look at the jackknife", 1979) ---- */

static double mean_statistic(const double *x, int64_t n, void *user)
{
    (void)user;
    return assay_stats_mean(x, n);
}

static bool check_bootstrap(const double *x, int64_t n, int64_t resamples, double level,
                            assay_error *error)
{
    int64_t draws;
    if (n < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "bootstrap", .what = "no values",
                          .expected = "at least 1", .got = assay_text("%lld", (long long)n));
    if (resamples < 1 || !assay_size_mul(&draws, n, resamples))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "bootstrap",
                          .what = "impossible number of resamples", .expected = "at least 1",
                          .got = assay_text("%lld", (long long)resamples));
    if (!(level > 0.0 && level < 1.0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "bootstrap", .what = "impossible level",
                          .expected = "a number between 0 and 1", .got = assay_text("%g", level),
                          .hint = "95 percent is 0.95");
    if (holds_nan(x, n))
        return ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = "bootstrap",
                          .what = "a value is not a number",
                          .hint = "leave out the runs without a result");
    return true;
}

/* Fills values[] with the statistic of each resample that has one; returns how many. Draw j of
 * resample r is at index r n + j of the stream. */
static int64_t resample(const double *x, int64_t n, assay_statistic statistic, void *user,
                        int64_t resamples, assay_stream stream, double *sample, double *values)
{
    int64_t count = 0;
    for (int64_t r = 0; r < resamples; r++) {
        for (int64_t j = 0; j < n; j++)
            sample[j] = x[assay_random_below(stream, (uint64_t)(r * n + j), n)];
        double value = statistic(sample, n, user);
        if (!isnan(value))
            values[count++] = value;
    }
    return count;
}

bool assay_bootstrap(const double *x, int64_t n, assay_statistic statistic, void *user,
                     int64_t resamples, double level, assay_stream stream, assay_interval *out,
                     assay_error *error)
{
    double *sample = NULL, *values = NULL;
    bool ok = false;
    if (!check_bootstrap(x, n, resamples, level, error))
        goto done;
    sample = new_doubles(n, error);
    values = new_doubles(resamples, error);
    if (sample == NULL || values == NULL)
        goto done;
    int64_t count = resample(x, n, statistic != NULL ? statistic : mean_statistic, user, resamples,
                             stream, sample, values);
    *out = (assay_interval){NAN, NAN};
    if (count > 0) {
        double tail = (1.0 - level) / 2.0;
        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        out->low = quantile_of_sorted(values, count, tail);
        out->high = quantile_of_sorted(values, count, 1.0 - tail);
    }
    ok = true;
done:
    assay_free(values);
    assay_free(sample);
    return ok;
}

/* ---- sign-flip test (Fisher, "The Design of Experiments", 1935, section 21) ---- */

/* How many sign patterns of x[0..n-1], added to `sum`, reach the threshold. A tree rather than a
 * running sum over a Gray code: each sum has n roundings instead of 2^n. */
static int64_t count_extreme(const double *x, int64_t n, double sum, double threshold)
{
    if (n == 0)
        return fabs(sum) >= threshold;
    return count_extreme(x + 1, n - 1, sum + x[0], threshold) +
           count_extreme(x + 1, n - 1, sum - x[0], threshold);
}

static bool check_differences(const double *difference, int64_t n, assay_error *error)
{
    if (n < 1 || n > SIGN_FLIP_LIMIT)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "sign-flip test",
                          .what = "the number of pairs is out of range", .expected = "1 to 24",
                          .got = assay_text("%lld", (long long)n));
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(difference[i]))
            return ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = "sign-flip test",
                              .what = assay_text("difference %lld is not finite", (long long)i),
                              .got = assay_text("%g", difference[i]));
    return true;
}

bool assay_sign_flip(const double *difference, int64_t n, double *p, assay_error *error)
{
    if (!check_differences(difference, n, error))
        return false;
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(difference[i]));
    /* A power of two scales without rounding and keeps the sums of huge differences finite. */
    int exponent;
    (void)frexp(largest, &exponent);
    double x[SIGN_FLIP_LIMIT], observed = 0.0, attainable = 0.0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = ldexp(difference[i], -exponent);
        observed += x[i];
        attainable += fabs(x[i]);
    }
    double threshold = fabs(observed) - 1e-12 * attainable;
    /* A pattern and its mirror image have the same |sum|, so the first sign may stay. */
    int64_t count = count_extreme(x + 1, n - 1, x[0], threshold);
    *p = ldexp((double)count, (int)(1 - n));
    return true;
}

double assay_sign_flip_floor(int64_t n)
{
    if (n < 1)
        return NAN;
    return n > 1075 ? 0.0 : ldexp(1.0, (int)(1 - n));
}

/* ---- Holm, "A simple sequentially rejective multiple test procedure", 1979 ---- */

typedef struct ranked {
    double p;
    int64_t index;
} ranked;

static int compare_ranked(const void *left, const void *right)
{
    return compare_doubles(&((const ranked *)left)->p, &((const ranked *)right)->p);
}

bool assay_holm(const double *p, int64_t n, double *adjusted, assay_error *error)
{
    int64_t bytes, count = 0;
    if (!assay_size_mul(&bytes, n, sizeof(ranked)))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "Holm correction",
                          .what = "impossible number of comparisons",
                          .got = assay_text("%lld", (long long)n));
    for (int64_t i = 0; i < n; i++)
        if (p[i] < 0.0 || p[i] > 1.0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "Holm correction",
                              .what = assay_text("p-value %lld is out of range", (long long)i),
                              .expected = "0 to 1", .got = assay_text("%g", p[i]));
    ranked *order = assay_alloc(bytes, error);
    if (order == NULL)
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(p[i]))
            order[count++] = (ranked){p[i], i};
        adjusted[i] = NAN;
    }
    qsort(order, (size_t)count, sizeof *order, compare_ranked);
    double running = 0.0;
    for (int64_t k = 0; k < count; k++) {
        running = fmax(running, fmin(1.0, (double)(count - k) * order[k].p));
        adjusted[order[k].index] = running;
    }
    assay_free(order);
    return true;
}
