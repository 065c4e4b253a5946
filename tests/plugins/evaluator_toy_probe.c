/* evaluator_toy_probe.c - a logistic probe on embeddings, for the lab's tests: train fits it, valid
 * is scored always, test at the end; or, told to be hasty, test too early. */
#include <assay/evaluator.h>
#include <assay/metrics.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    const char *suite;
    assay_texts metrics;
    double l2;
    bool table;
    int hasty;
} options;

static const assay_option table[] = {
    ASSAY_TEXT(options, suite, "toy", "whose benchmarks are probed"),
    ASSAY_TEXTS(options, metrics, "auc", "auc|ks", "what is scored"),
    ASSAY_POSITIVE(options, l2, "", 0.01, 1e6, "penalty of the probe"),
    ASSAY_BOOL(options, table, false, "valid scores become the artifact probe.csv"),
    ASSAY_CHOICE(options, hasty, "no", "no|look|tell",
                 "looks at test before the end, or scores it, which is forbidden"),
};

typedef struct rows { /* embeddings and labels of one set */
    int64_t n, width;
    double *x;
    int32_t *label;
} rows;

static bool probe_check(const void *settings, const assay_data *data,
                        const assay_model_facts *facts, assay_error *error)
{
    const options *o = settings;
    bool suite = false, output = false;
    int count = 0;
    const assay_benchmark *benchmarks =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    for (int i = 0; i < count; i++)
        suite |= assay_same_text(benchmarks[i].suite, o->suite);
    for (int i = 0; i < facts->output_count; i++)
        output |= assay_same_text(facts->outputs[i], "user.embedding");
    if (!suite)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "evaluator.toy_probe",
                          .what = assay_text("the dataset has no suite '%s'", o->suite));
    return output || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "evaluator.toy_probe",
                                .what = "the model has no output 'user.embedding'");
}

static bool collect(void *user, int64_t first, const assay_batch *batch,
                    const assay_outputs *outputs, assay_error *error)
{
    rows *r = user;
    const assay_tensor *embedding = assay_outputs_get(outputs, "user.embedding");
    (void)error;
    for (int64_t i = 0; i < batch->samples; i++) {
        for (int64_t j = 0; j < r->width; j++)
            r->x[(first + i) * r->width + j] = (double)assay_f32(embedding)[i * r->width + j];
        r->label[first + i] = assay_i32(batch->labels)[i];
    }
    return true;
}

static bool gather(const assay_evaluation *e, assay_data_split split, int benchmark, rows *out,
                   assay_error *error)
{
    static const char *const names[] = {"user.embedding"};
    const assay_wanted wanted = {.count = 1, .names = names};
    int64_t bytes = 0;
    out->width = e->network->facts->width;
    out->n = e->data->functions->count(e->data->dataset, split, benchmark);
    if (!assay_size_mul(&bytes, out->n * (int64_t)sizeof(double), out->width))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "evaluator.toy_probe");
    out->x = assay_alloc(bytes, error);
    out->label = assay_alloc(out->n * (int64_t)sizeof *out->label, error);
    return out->x && out->label && e->each(e->user, split, benchmark, &wanted, collect, out, error);
}

static void rows_clear(rows *r)
{
    assay_free(r->x);
    assay_free(r->label);
}

static bool put_table(const assay_evaluation *e, const rows *r, const double *score,
                      assay_error *error)
{
    bool ok = false;
    int64_t used = 0, size = 64 * (r->n + 1);
    char *text = assay_alloc(size, error);
    if (!text)
        return false;
    used += snprintf(text, (size_t)size, "label,score\n");
    for (int64_t i = 0; i < r->n; i++)
        used +=
            snprintf(text + used, (size_t)(size - used), "%d,%.9g\n", (int)r->label[i], score[i]);
    ok = e->artifact(e->user, "probe.csv", text, used, error);
    assay_free(text);
    return ok;
}

static bool score_split(const options *o, const assay_evaluation *e, const assay_probe *probe,
                        const assay_benchmark *benchmark, int number, assay_data_split split,
                        assay_error *error)
{
    bool ok = false;
    rows r = {0};
    assay_ranking ranking = {0};
    double *score = NULL;
    if (!gather(e, split, number, &r, error))
        goto done;
    score = assay_alloc(r.n * (int64_t)sizeof *score, error);
    if (!score)
        goto done;
    assay_probe_score(probe, r.x, r.n, score);
    if (!assay_rank(score, r.label, r.n, &ranking, error))
        goto done;
    for (int64_t i = 0; i < o->metrics.count; i++) {
        bool auc = assay_same_text(o->metrics.items[i], "auc");
        assay_score s = {.suite = benchmark->suite,
                         .benchmark = benchmark->name,
                         .metric = o->metrics.items[i],
                         .split = split,
                         .value = auc ? ranking.auc : ranking.ks,
                         .low = (double)NAN,
                         .high = (double)NAN,
                         .n = r.n};
        if (!e->score(e->user, &s, error))
            goto done;
    }
    ok = !o->table || split != ASSAY_VALID || put_table(e, &r, score, error);
done:
    rows_clear(&r);
    assay_free(score);
    return ok;
}

static bool probe_evaluate(const void *settings, const assay_evaluation *e, assay_error *error)
{
    const options *o = settings;
    int count = 0;
    bool ok = true;
    const assay_benchmark *benchmarks = e->data->functions->benchmarks(e->data->dataset, &count);
    for (int i = 0; i < count && ok; i++) {
        rows train = {0};
        const assay_probe_options fit = {.l2 = o->l2};
        assay_probe *probe = NULL;
        if (!assay_same_text(benchmarks[i].suite, o->suite))
            continue;
        ok = gather(e, ASSAY_TRAIN, i, &train, error);
        if (ok)
            probe = assay_probe_fit(train.x, train.label, train.n, train.width, &fit, error);
        ok = probe && score_split(o, e, probe, &benchmarks[i], i, ASSAY_VALID, error);
        if (ok && (e->final || o->hasty == 1))
            ok = score_split(o, e, probe, &benchmarks[i], i, ASSAY_TEST, error);
        if (ok && !e->final && o->hasty == 2)
            ok = e->score(
                e->user,
                &(assay_score){.suite = "toy", .metric = "auc", .split = ASSAY_TEST, .n = 1},
                error);
        assay_probe_free(probe);
        rows_clear(&train);
    }
    return ok;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = probe_check,
    .evaluate = probe_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "toy_probe", 1, "a logistic probe on embeddings", options, table,
             functions);
