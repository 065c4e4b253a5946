/* compare.c - the ablation table: means over seeds, and paired differences with their chances. */
#include "lab/report/compare.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

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

/* The score belongs to the measure: it is the benchmark's, or one of the mean's. */
static bool is_of(const comparison *of, int64_t score, const compare_measure *measure)
{
    return compare_wants(of, score) &&
           strcmp(answer_text(of->scores, score, SCORE_SUITE), measure->suite) == 0 &&
           (measure->members > 0 ||
            strcmp(answer_text(of->scores, score, SCORE_BENCHMARK), measure->benchmark) == 0);
}

/* Where the seed stands, or is put now; the seeds ascend. */
static int64_t place_of_seed(seed_scores *out, int *counts, int64_t seed)
{
    int64_t at = out->n;
    while (at > 0 && out->seeds[at - 1] > seed)
        at--;
    if (at > 0 && out->seeds[at - 1] == seed)
        return at - 1;
    for (int64_t i = out->n++; i > at; i--) {
        out->seeds[i] = out->seeds[i - 1];
        out->values[i] = out->values[i - 1];
        counts[i] = counts[i - 1];
    }
    out->seeds[at] = seed;
    out->values[at] = 0;
    counts[at] = 0;
    return at;
}

/* Adds the scores of a cell, or of a part of one. */
static void add_scores(const comparison *of, int part, const compare_measure *wanted,
                       seed_scores *out, int *counts)
{
    for (int64_t i = of->cells[part].first_score; i < of->cells[part].end_score; i++) {
        if (!is_of(of, i, wanted))
            continue;
        int64_t at = place_of_seed(out, counts, answer_integer(of->scores, i, SCORE_SEED));
        out->values[at] += answer_real(of->scores, i, SCORE_VALUE);
        counts[at]++;
    }
}

/* The most runs that the cell's seeds can come from. */
static int64_t count_runs(const comparison *of, int cell)
{
    int64_t runs = of->cells[cell].runs;
    for (int part = of->n_cells; part < of->n_parts; part++)
        runs += of->cells[part].owner == cell ? of->cells[part].runs : 0;
    return runs;
}

/* A seed's score, or the mean of its scores; without one of them it has none. */
static bool read_scores(const comparison *of, int cell, int measure, seed_scores *out,
                        assay_error *error)
{
    const compare_measure *wanted = &of->measures[measure];
    int64_t room = count_runs(of, cell) + 1, complete = 0;
    int members = wanted->members == 0 ? 1 : wanted->members;
    int *counts = assay_alloc(room * (int64_t)sizeof *counts, error);
    out->seeds = assay_alloc(room * (int64_t)sizeof *out->seeds, error);
    out->values = assay_alloc(room * (int64_t)sizeof *out->values, error);
    bool ok = counts != NULL && out->seeds != NULL && out->values != NULL;
    if (ok)
        add_scores(of, cell, wanted, out, counts);
    for (int part = of->n_cells; part < of->n_parts && ok; part++)
        if (of->cells[part].owner == cell)
            add_scores(of, part, wanted, out, counts);
    for (int64_t i = 0; ok && i < out->n; i++)
        if (counts[i] == members) {
            out->seeds[complete] = out->seeds[i];
            out->values[complete++] = out->values[i] / members;
        }
    out->n = ok ? complete : 0;
    assay_free(counts);
    return ok;
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
    double *scratch =
        assay_alloc((count_runs(of, row->cell) + 1) * (int64_t)sizeof *scratch, error);
    bool ok = scratch != NULL && read_scores(of, row->cell, row->measure, &ours, error);
    if (ok)
        describe(&ours, scratch, row);
    bool is_tested = of->measures[row->measure].is_tested;
    if (ok && is_tested && baseline >= 0 && !cell->is_baseline) {
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

static bool put_together(const comparison *of, report *to, assay_error *error)
{
    if (of->asked->published != NULL && of->metric != NULL)
        return compare_add_published(of, to, error);
    bool ok = of->asked->wide ? compare_add_wide(of, to, error)
                              : report_add(to, "", compare_table(of, error), error);
    return ok && compare_explain(of, to, error);
}

report *report_compare(const char *store, const report_comparison *asked, assay_error *error)
{
    comparison of = {.store = store, .asked = asked};
    report *made = NULL;
    bool ok = compare_choose(&of, error) && lay_out(&of, error);
    for (int i = 0; i < of.n_rows && ok; i++)
        ok = compute_row(&of, &of.rows[i], error);
    ok = ok && correct(&of, error) && (made = report_new(error)) != NULL &&
         put_together(&of, made, error);
    compare_release(&of);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}
