/* compare.c - the ablation table: means over seeds, and paired differences with their chances. */
#include "lab/report/compare.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

#define DIGITS 4

/* Scores of one cell by one measure: seeds ascending. */
typedef struct seed_scores {
    int64_t n;
    int64_t *seeds;
    double *values; /* NaN: not finite */
} seed_scores;

static void free_scores(seed_scores *scores)
{
    assay_free(scores->seeds);
    assay_free(scores->values);
}

static bool read_scores(const comparison *of, int cell, int measure, seed_scores *out,
                        assay_error *error)
{
    const compare_measure *wanted = &of->measures[measure];
    int64_t runs = of->cells[cell].runs;
    out->seeds = assay_alloc(runs * (int64_t)sizeof *out->seeds, error);
    out->values = assay_alloc(runs * (int64_t)sizeof *out->values, error);
    if (out->seeds == NULL || out->values == NULL)
        return false;
    for (int64_t i = of->cells[cell].first_score; i < of->cells[cell].end_score; i++) {
        if (out->n == runs || !compare_wants(of, i) ||
            strcmp(answer_text(of->scores, i, SCORE_SUITE), wanted->suite) != 0 ||
            strcmp(answer_text(of->scores, i, SCORE_BENCHMARK), wanted->benchmark) != 0)
            continue;
        out->seeds[out->n] = answer_integer(of->scores, i, SCORE_SEED);
        out->values[out->n++] = answer_real(of->scores, i, SCORE_VALUE);
    }
    return true;
}

/* Mean and sd of the finite scores. `scratch` has room for all. */
static void describe(const seed_scores *scores, double *scratch, compare_row *row)
{
    for (int64_t i = 0; i < scores->n; i++)
        if (isnan(scores->values[i]))
            row->nonfinite++;
        else
            scratch[row->n++] = scores->values[i];
    row->mean = assay_stats_mean(scratch, row->n);
    row->sd = assay_stats_sd(scratch, row->n);
}

/* Differences of the seeds that both have; returns how many. */
static int64_t pair_up(const seed_scores *ours, const seed_scores *theirs, double *out)
{
    int64_t n = 0, j = 0;
    for (int64_t i = 0; i < ours->n; i++) {
        while (j < theirs->n && theirs->seeds[j] < ours->seeds[i])
            j++;
        if (j < theirs->n && theirs->seeds[j] == ours->seeds[i] && !isnan(ours->values[i]) &&
            !isnan(theirs->values[j]))
            out[n++] = ours->values[i] - theirs->values[j];
    }
    return n;
}

/* What the paired differences say. Fewer than two have no spread, no interval and no test. */
static bool judge(const comparison *of, const double *difference, compare_row *row,
                  assay_error *error)
{
    const compare_measure *measure = &of->measures[row->measure];
    int64_t n = row->pairs;
    row->difference = assay_stats_mean(difference, n);
    if (n < 2)
        return true;
    row->difference_sd = assay_stats_sd(difference, n);
    if (row->difference_sd > 0)
        row->effect = row->difference / row->difference_sd;
    if (n <= LONGEST_SIGN_FLIP && !assay_sign_flip(difference, n, &row->p, error))
        return false;
    assay_stream stream = assay_stream_of(
        0,
        assay_text("compare/%s/%s/%s/%s/%s/%s", of->asked->experiment, measure->suite,
                   measure->benchmark, of->metric, of->split, of->cells[row->cell].label),
        0);
    return assay_bootstrap(difference, n, NULL, NULL, RESAMPLES, 0.95, stream, &row->interval,
                           error);
}

static bool compute_row(const comparison *of, compare_row *row, assay_error *error)
{
    const compare_cell *cell = &of->cells[row->cell];
    int baseline = of->blocks[cell->block].baseline;
    seed_scores ours = {0}, theirs = {0};
    double *scratch = assay_alloc(cell->runs * (int64_t)sizeof *scratch, error);
    bool ok = scratch != NULL && read_scores(of, row->cell, row->measure, &ours, error);
    if (ok)
        describe(&ours, scratch, row);
    if (ok && baseline >= 0 && !cell->is_baseline) {
        ok = read_scores(of, baseline, row->measure, &theirs, error);
        if (ok)
            row->pairs = pair_up(&ours, &theirs, scratch);
        ok = ok && judge(of, scratch, row, error);
    }
    free_scores(&ours);
    free_scores(&theirs);
    assay_free(scratch);
    return ok;
}

/* Rows by measure, block and the plan's order of cells. */
static bool lay_out(comparison *of, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, (int64_t)of->n_measures * of->n_cells, (int64_t)sizeof *of->rows))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the comparison is too large");
    of->rows = assay_zalloc(bytes, error);
    if (of->rows == NULL)
        return false;
    for (int measure = 0; measure < of->n_measures; measure++)
        for (int block = 0; block < of->n_blocks; block++)
            for (int cell = 0; cell < of->n_cells; cell++)
                if (of->cells[cell].block == block)
                    of->rows[of->n_rows++] = (compare_row){.cell = cell,
                                                           .measure = measure,
                                                           .difference = NAN,
                                                           .difference_sd = NAN,
                                                           .effect = NAN,
                                                           .p = NAN,
                                                           .p_holm = NAN,
                                                           .interval = {NAN, NAN}};
    return true;
}

/* One family: every p of the table. */
static bool correct(comparison *of, assay_error *error)
{
    double *p = assay_alloc(of->n_rows * (int64_t)sizeof *p, error);
    if (p == NULL)
        return false;
    for (int i = 0; i < of->n_rows; i++) {
        p[i] = of->rows[i].p;
        if (isnan(p[i]))
            continue;
        of->comparisons++;
        if (of->rows[i].pairs > of->most_pairs)
            of->most_pairs = of->rows[i].pairs;
    }
    bool ok = assay_holm(p, of->n_rows, p, error);
    for (int i = 0; i < of->n_rows && ok; i++)
        of->rows[i].p_holm = p[i];
    assay_free(p);
    return ok;
}

/* ---- the table ---- */

static const char *const number_names[] = {
    "n", "mean", "sd", "difference", "diff_sd", "low", "high", "effect", "pairs", "p", "p_holm"};
#define NUMBERS ((int)(sizeof number_names / sizeof *number_names))

/* The axes in the table's order: those that make blocks, then those that are compared. */
static int order_axes(const comparison *of, int *out)
{
    int n = 0;
    for (int by = 0; by < 2; by++)
        for (int axis = 0; axis < of->n_axes; axis++)
            if (of->is_by[axis] == (by == 1))
                out[n++] = axis;
    return n;
}

static void put_row(const comparison *of, const compare_row *row, const int *axes, table *out)
{
    const compare_cell *cell = &of->cells[row->cell];
    if (of->n_measures > 1) {
        table_text(out, of->measures[row->measure].suite);
        table_text(out, of->measures[row->measure].benchmark);
    }
    if (of->n_axes == 0)
        table_text(out, cell->label);
    for (int i = 0; i < of->n_axes; i++)
        table_text(out, cell->values[axes[i]]);
    table_integer(out, row->n);
    table_number(out, row->mean, DIGITS);
    table_number(out, row->sd, DIGITS);
    if (cell->is_baseline) { /* nothing to compare it with: empty, not n/a */
        for (int i = 3; i < NUMBERS; i++)
            table_text(out, NULL);
        return;
    }
    const double numbers[] = {row->difference, row->difference_sd, row->interval.low,
                              row->interval.high, row->effect};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        table_number(out, numbers[i], i == 4 ? 2 : DIGITS);
    table_integer(out, row->pairs);
    table_number(out, row->p, DIGITS);
    table_number(out, row->p_holm, DIGITS);
}

static table *make_table(const comparison *of, assay_error *error)
{
    int n = 0, wanted = of->n_axes + NUMBERS + 3;
    table *made = NULL;
    int *axes = assay_alloc((of->n_axes + 1) * (int64_t)sizeof *axes, error);
    const char **names = assay_alloc(wanted * (int64_t)sizeof *names, error);
    if (axes == NULL || names == NULL)
        goto done;
    if (of->n_measures > 1) {
        names[n++] = "suite";
        names[n++] = "benchmark";
    }
    if (of->n_axes == 0)
        names[n++] = "cell";
    order_axes(of, axes);
    for (int i = 0; i < of->n_axes; i++)
        names[n++] = answer_text(of->axes, axes[i], 0);
    for (int i = 0; i < NUMBERS; i++)
        names[n++] = number_names[i];
    made = table_new(n, names, error);
    for (int i = 0; made != NULL && i < of->n_rows; i++)
        put_row(of, &of->rows[i], axes, made);
done:
    assay_free(axes);
    assay_free(names);
    return made;
}

report *report_compare(const char *store, const report_comparison *asked, assay_error *error)
{
    comparison of = {.store = store, .asked = asked};
    report *made = NULL;
    bool ok = compare_choose(&of, error) && lay_out(&of, error);
    for (int i = 0; i < of.n_rows && ok; i++)
        ok = compute_row(&of, &of.rows[i], error);
    ok = ok && correct(&of, error) && (made = report_new(error)) != NULL &&
         report_add(made, "", make_table(&of, error), error) && compare_explain(&of, made, error);
    compare_release(&of);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}
