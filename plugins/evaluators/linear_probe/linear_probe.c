/* linear_probe.c - evaluator `linear_probe`: a logistic regression on frozen vectors, one per
 * benchmark (user-modelling spec 1.7). The train split fits it, the valid split chooses its l2, and
 * the test split reports, in the final evaluation only. Scores: (suite, benchmark, auc and ks) on
 * valid and, at the end, test, there with bootstrap intervals. With `baselines` the same probe on
 * the data itself stands beside them, under metrics auc:columns, auc:onehot and
 * auc:columns+onehot; with `pooled` that on its events' counts, auc:counts and
 * auc:columns+counts. */
#include "probing.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const assay_option options[] = {
    ASSAY_TEXT(settings, suite, "", "of benchmarks; empty: all suites of the dataset"),
    ASSAY_TEXTS(settings, benchmarks, "", NULL,
                "that are probed, NAME or SUITE/NAME; empty: all of the suite"),
    ASSAY_TEXTS(settings, metrics, "auc,ks", "auc|ks", "what is measured"),
    ASSAY_TEXT(settings, output, "user.embedding", "output (B, E) of the model that is probed"),
    ASSAY_NUMBERS(settings, l2, "", "0.0001,0.001,0.01,0.1", 1e-12, 1e6,
                  "penalties of the squared weights; the valid split chooses"),
    ASSAY_BOOL(settings, normalize, 0, "vectors are divided by their length first"),
    ASSAY_BOOL(settings, baselines, 0, "the data itself is probed too, without any model"),
    ASSAY_BOOL(settings, pooled, 0, "and its events' counts, pooled over the whole history"),
    ASSAY_INTEGER(settings, resamples, "", 500, 0, 1000000,
                  "of the bootstrap for intervals of final scores; 0: no intervals"),
    {ASSAY_OPTION_AT(settings, level, ASSAY_OPTION_NUMBER),
     .flags = ASSAY_OPTION_ABOVE_LOW | ASSAY_OPTION_BELOW_HIGH, .unit = "",
     .meaning = "of the intervals", .number = 0.95, .low = 0, .high = 1},
};

/* NAME or SUITE/NAME. */
static bool is_named(const assay_benchmark *benchmark, const char *name)
{
    return assay_same_text(name, benchmark->name) ||
           assay_same_text(name, assay_text("%s/%s", benchmark->suite, benchmark->name));
}

static bool in_suite(const settings *s, const assay_benchmark *benchmark)
{
    return s->suite[0] == '\0' || assay_same_text(s->suite, benchmark->suite);
}

static bool selected(const settings *s, const assay_benchmark *benchmark)
{
    bool named = false;
    for (int64_t i = 0; i < s->benchmarks.count; i++)
        named = named || is_named(benchmark, s->benchmarks.items[i]);
    if (s->benchmarks.count > 0)
        return named && in_suite(s, benchmark);
    return s->suite[0] == '\0' ? benchmark->classes == 2 : in_suite(s, benchmark);
}

static const assay_benchmark *benchmarks_of(const assay_data *data, int *count)
{
    *count = 0;
    return data->functions->benchmarks ? data->functions->benchmarks(data->dataset, count) : NULL;
}

/* ---- checks before any run ---- */

static const char *name_of(const assay_benchmark *benchmark)
{
    return assay_text("benchmark %s/%s", benchmark->suite, benchmark->name);
}

/* Both classes are there; else an error that names benchmark and split. */
static bool has_both(const assay_label_mix *seen, const assay_benchmark *benchmark,
                     assay_data_split split, assay_error *error)
{
    if (seen->others > 0)
        return true;
    bool none = seen->count == 0;
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
        .what = assay_text("%s has %s in its %s split", name_of(benchmark),
                           none ? "no samples" : "one class only", assay_split_name(split)),
        .expected = "samples of both classes",
        .got = assay_text("%" PRId64 " positive, %" PRId64 " negative",
                          seen->first == 1 ? seen->count : 0, seen->first == 0 ? seen->count : 0),
        .hint = "a probe is fitted on train, chosen on valid and reported on test");
}

static bool check_split(const assay_data *data, int index, const assay_benchmark *benchmark,
                        assay_data_split split, assay_error *error)
{
    if (!data->functions->labels)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                          .what = "the dataset has no class labels", .got = data->name);
    assay_label_mix seen;
    return assay_labels_mix(data, split, index, &seen, error) &&
           has_both(&seen, benchmark, split, error);
}

/* The suite that was meant, or else the first. */
static const char *hint_of_suite(const char *suite, int count, const assay_benchmark *benchmarks)
{
    enum { MOST = 64 };
    const char *names[MOST], *near = NULL;
    int n = count < MOST ? count : MOST;
    for (int i = 0; i < n; i++)
        names[i] = benchmarks[i].suite;
    near = assay_nearest(suite, n, names);
    return near ? assay_text("did you mean '%s'?", near)
                : assay_text("the dataset has '%s'", names[0]);
}

/* Every name that is given is a benchmark of the suite. */
static bool check_names(const settings *s, int count, const assay_benchmark *benchmarks,
                        assay_error *error)
{
    enum { MOST = 64 };
    const char *names[MOST];
    int known = 0;
    for (int i = 0; i < count && known < MOST; i++)
        if (in_suite(s, &benchmarks[i]))
            names[known++] = benchmarks[i].name;
    for (int64_t k = 0; known > 0 && k < s->benchmarks.count; k++) {
        const char *name = s->benchmarks.items[k], *near = NULL;
        bool found = false;
        for (int i = 0; i < count && !found; i++)
            found = in_suite(s, &benchmarks[i]) && is_named(&benchmarks[i], name);
        if (found)
            continue;
        near = known > 0 ? assay_nearest(name, known, names) : NULL;
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                          .what = assay_text("unknown benchmark '%.80s'", name),
                          .expected = "NAME or SUITE/NAME of the dataset",
                          .hint = near ? assay_text("did you mean '%s'?", near) : NULL);
    }
    return true;
}

static bool check_benchmarks(const settings *s, const assay_data *data, assay_error *error)
{
    int count = 0, found = 0;
    const assay_benchmark *benchmarks = benchmarks_of(data, &count);
    if (!check_names(s, count, benchmarks, error))
        return false;
    for (int i = 0; i < count; i++) {
        if (!selected(s, &benchmarks[i]))
            continue;
        found++;
        if (benchmarks[i].classes != 2)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                              .what = assay_text("%s is not binary", name_of(&benchmarks[i])),
                              .expected = "2 classes",
                              .got = assay_text("%d", (int)benchmarks[i].classes));
        for (assay_data_split split = ASSAY_TRAIN; split <= ASSAY_TEST; split++)
            if (!check_split(data, i, &benchmarks[i], split, error))
                return false;
    }
    if (found > 0)
        return true;
    if (count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                          .what = "the dataset has no benchmarks", .got = data->name);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                      .what = assay_text("unknown suite '%s'", s->suite),
                      .hint = hint_of_suite(s->suite, count, benchmarks));
}

static bool probe_check(const void *chosen, const assay_data *data, const assay_model_facts *facts,
                        assay_error *error)
{
    const settings *s = chosen;
    bool known = false;
    for (int i = 0; i < facts->output_count; i++)
        known = known || assay_same_text(facts->outputs[i], s->output);
    if (!known) {
        const char *near = assay_nearest(s->output, facts->output_count, facts->outputs);
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                          .what = assay_text("the model has no output '%s'", s->output),
                          .hint = near ? assay_text("did you mean '%s'?", near) : NULL);
    }
    if (s->metrics.count == 0 || s->l2.count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = PROBE_WHERE,
                          .what = "an empty list leaves nothing to do",
                          .expected = "at least one metric and one l2");
    return check_benchmarks(s, data, error);
}

/* ---- vectors ---- */

typedef struct collector {
    const probing *probing;
    labelled *into;
    int64_t expected, seen;
} collector;

static void normalize(double *row, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += row[k] * row[k];
    for (int64_t k = 0; k < width && sum > 0; k++)
        row[k] /= sqrt(sum);
}

static bool collect(void *user, int64_t first, const assay_batch *batch,
                    const assay_outputs *outputs, assay_error *error)
{
    collector *c = user;
    const settings *s = c->probing->settings;
    const assay_tensor *x = assay_outputs_get(outputs, s->output);
    if (!x || x->rank != 2 || x->dtype != ASSAY_F32)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = PROBE_WHERE,
                          .what = assay_text("output '%s' is no vector per sample", s->output),
                          .expected = "(B, E) f32", .got = x ? assay_tensor_text(x) : "nothing");
    if (!c->into->x && !labelled_new(c->into, c->expected, x->shape[1], error))
        return false;
    if (first < 0 || first + batch->samples > c->expected || x->shape[0] != batch->samples ||
        x->shape[1] != c->into->width)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = PROBE_WHERE,
                          .what = "a batch does not fit its set", .got = assay_tensor_text(x));
    for (int64_t b = 0; b < batch->samples; b++) {
        double *row = c->into->x + (first + b) * c->into->width;
        for (int64_t k = 0; k < c->into->width; k++)
            row[k] = (double)assay_f32(x)[b * c->into->width + k];
        if (s->normalize)
            normalize(row, c->into->width);
        c->into->label[first + b] = assay_i32(batch->labels)[b];
    }
    c->seen += batch->samples;
    return true;
}

static bool embed_split(const probing *p, assay_data_split split, labelled *into,
                        assay_error *error)
{
    const assay_evaluation *e = p->evaluation;
    const assay_wanted wanted = {1, &p->settings->output};
    collector c = {.probing = p,
                   .into = into,
                   .expected = e->data->functions->count(e->data->dataset, split, p->index)};
    if (!e->each(e->user, split, p->index, &wanted, collect, &c, error))
        return false;
    if (c.seen != c.expected)
        return ASSAY_FAIL(
            error, ASSAY_BAD_SHAPE, .where = PROBE_WHERE, .what = "not every sample of a set came",
            .expected = assay_text("%" PRId64, c.expected), .got = assay_text("%" PRId64, c.seen));
    assay_label_mix seen = {.first = -1};
    assay_label_mix_add(&seen, into->label, into->n);
    return has_both(&seen, p->benchmark, split, error);
}

/* ---- evaluating ---- */

static bool hand_in(const probing *p, const measurements *all, assay_error *error)
{
    const assay_evaluation *e = p->evaluation;
    for (int i = 0; i < all->count; i++) {
        const measured *m = &all->items[i];
        const assay_score score = {.suite = p->benchmark->suite,
                                   .benchmark = p->benchmark->name,
                                   .metric = m->metric,
                                   .split = m->split,
                                   .value = m->value,
                                   .low = m->low,
                                   .high = m->high,
                                   .n = m->n};
        if (!e->score(e->user, &score, error))
            return false;
    }
    return true;
}

static bool evaluate_benchmark(const probing *p, assay_error *error)
{
    const assay_evaluation *e = p->evaluation;
    benchmark_sets sets = {0};
    measurements found = {0};
    bool ok = embed_split(p, ASSAY_TRAIN, &sets.train, error) &&
              embed_split(p, ASSAY_VALID, &sets.valid, error) &&
              (!e->final || embed_split(p, ASSAY_TEST, &sets.test, error)) &&
              probe_measure(p, &sets, "", e->seed, e->final, &found, error) &&
              hand_in(p, &found, error);
    labelled_free(&sets.train);
    labelled_free(&sets.valid);
    labelled_free(&sets.test);
    if (ok && e->final && (p->settings->baselines || p->settings->pooled)) {
        found = (measurements){0};
        ok = baselines_measure(p, &found, error) && hand_in(p, &found, error);
    }
    return ok;
}

static bool probe_evaluate(const void *chosen, const assay_evaluation *evaluation,
                           assay_error *error)
{
    const settings *s = chosen;
    const assay_host *host = evaluation->host;
    int count = 0;
    const assay_benchmark *benchmarks = benchmarks_of(evaluation->data, &count);
    for (int i = 0; i < count; i++) {
        const probing p = {
            .settings = s, .evaluation = evaluation, .benchmark = &benchmarks[i], .index = i};
        if (!selected(s, &benchmarks[i]))
            continue;
        if (host && host->stopping && host->stopping(host->user))
            return ASSAY_FAIL(error, ASSAY_STOPPED, .where = PROBE_WHERE,
                              .what = "asked to end while probing");
        if (!evaluate_benchmark(&p, error))
            return false;
    }
    return true;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = probe_check,
    .evaluate = probe_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "linear_probe", 1, "logistic regression on frozen vectors",
             settings, options, functions);
