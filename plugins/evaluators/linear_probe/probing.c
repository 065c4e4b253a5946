/* probing.c - a logistic probe from training rows to scores: the choice of l2 on valid, the metrics
 * and their intervals. */
#include "probing.h"

#include <math.h>
#include <stdio.h>

const char *const metric_names[METRIC_COUNT] = {"auc", "ks"};

bool labelled_new(labelled *out, int64_t n, int64_t width, assay_error *error)
{
    int64_t count = 0, bytes = 0;
    *out = (labelled){.n = n, .width = width};
    if (!assay_size_mul(&count, n, width) ||
        !assay_size_mul(&bytes, count, (int64_t)sizeof *out->x))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = PROBE_WHERE,
                          .what = "the vectors of a set are too many");
    out->x = assay_zalloc(bytes, error);
    out->label = assay_zalloc(n * (int64_t)sizeof *out->label, error);
    if (out->x && out->label)
        return true;
    labelled_free(out);
    return false;
}

void labelled_free(labelled *set)
{
    assay_free(set->x);
    assay_free(set->label);
    *set = (labelled){0};
}

/* Both metrics of the probe on a set; `score` has room for its rows. */
static bool rank_set(const assay_probe *probe, const labelled *set, double *score,
                     double value[METRIC_COUNT], assay_error *error)
{
    assay_ranking ranking;
    assay_probe_score(probe, set->x, set->n, score);
    if (!assay_rank(score, set->label, set->n, &ranking, error))
        return false;
    value[METRIC_AUC] = ranking.auc;
    value[METRIC_KS] = ranking.ks;
    return true;
}

/* The probe whose l2 ranks valid best; the caller owns it. */
static assay_probe *choose(const settings *s, const benchmark_sets *sets, double *score,
                           assay_error *error)
{
    assay_probe *best = NULL;
    double best_auc = 0, best_l2 = 0;
    for (int64_t i = 0; i < s->l2.count; i++) {
        double value[METRIC_COUNT], l2 = s->l2.items[i];
        const assay_probe_options chosen = {.l2 = l2};
        assay_probe *probe = assay_probe_fit(sets->train.x, sets->train.label, sets->train.n,
                                             sets->train.width, &chosen, error);
        if (!probe || !rank_set(probe, &sets->valid, score, value, error)) {
            assay_probe_free(probe);
            assay_probe_free(best);
            return NULL;
        }
        if (best &&
            (value[METRIC_AUC] < best_auc || (!(value[METRIC_AUC] > best_auc) && l2 < best_l2))) {
            assay_probe_free(probe);
            continue;
        }
        assay_probe_free(best);
        best = probe;
        best_auc = value[METRIC_AUC];
        best_l2 = l2;
    }
    return best;
}

static bool listed(const assay_texts *list, const char *name)
{
    for (int64_t i = 0; i < list->count; i++)
        if (assay_same_text(list->items[i], name))
            return true;
    return false;
}

static bool measure_set(const probing *p, const assay_probe *probe, const labelled *set,
                        assay_data_split split, const char *suffix, uint64_t seed, bool intervals,
                        double *score, measurements *out, assay_error *error)
{
    const settings *s = p->settings;
    double value[METRIC_COUNT], low[METRIC_COUNT] = {NAN, NAN}, high[METRIC_COUNT] = {NAN, NAN};
    if (!rank_set(probe, set, score, value, error))
        return false;
    if (intervals && s->resamples > 0 &&
        !interval_of(
            score, set->label, set->n, s->resamples, s->level,
            assay_stream_of(seed,
                            assay_text("linear_probe/%s/%s/%s%s", p->benchmark->suite,
                                       p->benchmark->name, assay_split_name(split), suffix),
                            0),
            low, high, error))
        return false;
    for (int m = 0; m < METRIC_COUNT; m++)
        if (listed(&s->metrics, metric_names[m]) && out->count < MEASURED_MOST) {
            measured *to = &out->items[out->count++];
            *to = (measured){
                .split = split, .n = set->n, .value = value[m], .low = low[m], .high = high[m]};
            snprintf(to->metric, sizeof to->metric, "%s%s", metric_names[m], suffix);
        }
    return true;
}

bool probe_measure(const probing *p, const benchmark_sets *sets, const char *suffix, uint64_t seed,
                   bool intervals, measurements *out, assay_error *error)
{
    bool ok = false;
    int64_t most = sets->valid.n > sets->test.n ? sets->valid.n : sets->test.n;
    assay_probe *probe = NULL;
    double *score = assay_alloc(most * (int64_t)sizeof *score, error);
    if (!score)
        goto out;
    probe = choose(p->settings, sets, score, error);
    ok = probe &&
         measure_set(p, probe, &sets->valid, ASSAY_VALID, suffix, seed, intervals, score, out,
                     error) &&
         (sets->test.n == 0 || measure_set(p, probe, &sets->test, ASSAY_TEST, suffix, seed,
                                           intervals, score, out, error));
out:
    assay_probe_free(probe);
    assay_free(score);
    return ok;
}
