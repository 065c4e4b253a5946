/* probing.h - what the files of the evaluator share: labelled vectors, and a probe on them. */
#ifndef LINEAR_PROBE_PROBING_H
#define LINEAR_PROBE_PROBING_H

#include <assay/evaluator.h>
#include <assay/metrics.h>

#define PROBE_WHERE "evaluator linear_probe"

enum { METRIC_AUC, METRIC_KS, METRIC_COUNT };
extern const char *const metric_names[METRIC_COUNT];

typedef struct settings {
    const char *suite, *output;
    assay_texts metrics, benchmarks;
    assay_numbers l2;
    bool normalize, baselines, pooled;
    int64_t resamples;
    double level;
} settings;

/* The vectors and labels of one set, all in double. */
typedef struct labelled {
    int64_t n, width;
    double *x;      /* (n, width) */
    int32_t *label; /* (n), 0 or 1 */
} labelled;

/* Room for n rows; the caller owns both arrays (labelled_free). */
bool labelled_new(labelled *out, int64_t n, int64_t width, assay_error *error);
void labelled_free(labelled *set);

/* The sets of one benchmark by split; test has rows only in the final evaluation. */
typedef struct benchmark_sets {
    labelled train, valid, test;
} benchmark_sets;

/* One benchmark being probed. */
typedef struct probing {
    const settings *settings;
    const assay_evaluation *evaluation;
    const assay_benchmark *benchmark;
    int index; /* the benchmark's */
} probing;

/* A metric of a split, with its interval (NaN without). */
typedef struct measured {
    char metric[40]; /* with the suffix of a baseline: "auc:columns" */
    assay_data_split split;
    double value, low, high;
    int64_t n;
} measured;

enum { MEASURED_MOST = 40 };
typedef struct measurements {
    int count;
    measured items[MEASURED_MOST];
} measurements;

/* Fits on train for every choice of l2, keeps the one with the best AUC on valid (of equal ones the
 * largest l2), and measures valid and, when it has rows, test. `suffix` is put behind the metrics'
 * names. `seed` addresses the bootstrap; without `intervals` there is none. */
bool probe_measure(const probing *p, const benchmark_sets *sets, const char *suffix, uint64_t seed,
                   bool intervals, measurements *out, assay_error *error);

/* intervals.c: percentile bootstrap of both metrics over resampled rows. */
bool interval_of(const double *score, const int32_t *label, int64_t n, int64_t resamples,
                 double level, assay_stream stream, double low[METRIC_COUNT],
                 double high[METRIC_COUNT], assay_error *error);

/* baselines.c: the same probe on the data as it is, without any model. What it finds depends on the
 * data and the options alone and is kept in the host's cache. */
bool baselines_measure(const probing *p, measurements *out, assay_error *error);

#endif
