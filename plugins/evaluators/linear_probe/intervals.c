/* intervals.c - percentile bootstrap of AUC and KS. The rows are sorted once; a resample is how
 * often each was drawn, and one walk over the sorted rows gives both metrics. */
#include "probing.h"

#include <assay/random.h>
#include <assay/stats.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    double score;
    int32_t label;
    int32_t drawn;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

/* User-modelling spec 1.7 with weights; both NaN when a class was not drawn. */
static void walk(const ranked *rows, int64_t n, double *auc, double *ks)
{
    double positives = 0, negatives = 0, tp = 0, fp = 0, area = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        positives += rows[i].label ? rows[i].drawn : 0;
        negatives += rows[i].label ? 0 : rows[i].drawn;
    }
    for (int64_t i = 0; i < n;) {
        double more_tp = 0, more_fp = 0;
        double score = rows[i].score;
        for (; i < n && !(rows[i].score < score); i++) {
            more_tp += rows[i].label ? rows[i].drawn : 0;
            more_fp += rows[i].label ? 0 : rows[i].drawn;
        }
        area += more_fp * (tp + more_tp / 2);
        tp += more_tp;
        fp += more_fp;
        most = fmax(most, fabs(tp / positives - fp / negatives));
    }
    bool both = positives > 0 && negatives > 0;
    *auc = both ? area / (positives * negatives) : NAN;
    *ks = both ? most : NAN;
}

/* The interval of the values that exist. */
static void ends(double *values, int64_t n, double level, double *low, double *high)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            values[kept++] = values[i];
    *low = assay_stats_quantile(values, kept, (1 - level) / 2);
    *high = assay_stats_quantile(values, kept, (1 + level) / 2);
}

bool interval_of(const double *score, const int32_t *label, int64_t n, int64_t resamples,
                 double level, assay_stream stream, double low[METRIC_COUNT],
                 double high[METRIC_COUNT], assay_error *error)
{
    bool ok = false;
    ranked *rows = assay_alloc(n * (int64_t)sizeof *rows, error);
    double *values = assay_alloc(METRIC_COUNT * resamples * (int64_t)sizeof *values, error);
    if (!rows || !values)
        goto out;
    for (int64_t i = 0; i < n; i++)
        rows[i] = (ranked){score[i], label[i], 0};
    qsort(rows, (size_t)n, sizeof *rows, by_score);
    for (int64_t r = 0; r < resamples; r++) {
        for (int64_t i = 0; i < n; i++)
            rows[i].drawn = 0;
        for (int64_t i = 0; i < n; i++)
            rows[assay_random_below(stream, (uint64_t)(r * n + i), n)].drawn++;
        walk(rows, n, &values[r], &values[resamples + r]);
    }
    for (int m = 0; m < METRIC_COUNT; m++)
        ends(values + m * resamples, resamples, level, &low[m], &high[m]);
    ok = true;
out:
    assay_free(rows);
    assay_free(values);
    return ok;
}
