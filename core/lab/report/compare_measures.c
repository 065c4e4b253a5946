/* compare_measures.c - what is compared by: metric, split, and the benchmarks or their means. */
#include "lab/report/compare.h"

#include <assay/memory.h>

#include <stdlib.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum { METRIC, SUITE, SPLIT };

static bool has(const answer *metrics, const char *metric, const char *suite, const char *split)
{
    for (int64_t i = 0; i < answer_count(metrics); i++)
        if ((metric == NULL || same(answer_text(metrics, i, METRIC), metric)) &&
            (suite == NULL || same(answer_text(metrics, i, SUITE), suite)) &&
            (split == NULL || same(answer_text(metrics, i, SPLIT), split)))
            return true;
    return false;
}

/* Left open are: the metric (the first that the suite has), the split (test, valid, any). */
bool compare_choose_metric(comparison *of, assay_error *error)
{
    const report_comparison *asked = of->asked;
    const answer *metrics = of->metrics;
    int64_t n = answer_count(metrics);
    if (n == 0)
        return true;
    if (asked->suite != NULL && !has(metrics, NULL, asked->suite, NULL))
        return report_unknown("suite", asked->suite, metrics, SUITE, error);
    if (asked->metric != NULL && !has(metrics, asked->metric, NULL, NULL))
        return report_unknown("metric", asked->metric, metrics, METRIC, error);
    if (asked->split != NULL && !has(metrics, NULL, NULL, asked->split))
        return report_unknown("split", asked->split, metrics, SPLIT, error);
    of->metric = asked->metric;
    for (int64_t i = 0; i < n && of->metric == NULL; i++)
        if (has(metrics, answer_text(metrics, i, METRIC), asked->suite, asked->split))
            of->metric = answer_text(metrics, i, METRIC);
    of->split = asked->split;
    of->split_is_chosen = of->split == NULL;
    if (of->split == NULL)
        of->split = has(metrics, of->metric, asked->suite, "test")    ? "test"
                    : has(metrics, of->metric, asked->suite, "valid") ? "valid"
                                                                      : NULL;
    for (int64_t i = 0; i < n && of->split == NULL; i++)
        if (has(metrics, of->metric, asked->suite, answer_text(metrics, i, SPLIT)))
            of->split = answer_text(metrics, i, SPLIT);
    if (of->metric != NULL && of->split != NULL &&
        has(metrics, of->metric, asked->suite, of->split))
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "there are no such scores",
                      .where = assay_text("experiment %s", asked->experiment),
                      .got = assay_text("metric %s, suite %s, split %s",
                                        of->metric == NULL ? "any" : of->metric,
                                        asked->suite == NULL ? "any" : asked->suite,
                                        of->split == NULL ? "any" : of->split),
                      .hint = "each is known, but not together");
}

bool compare_wants(const comparison *of, int64_t score)
{
    return same(answer_text(of->scores, score, SCORE_METRIC), of->metric) &&
           same(answer_text(of->scores, score, SCORE_SPLIT), of->split) &&
           (of->asked->suite == NULL ||
            same(answer_text(of->scores, score, SCORE_SUITE), of->asked->suite));
}

static int by_name(const void *a, const void *b)
{
    const compare_measure *x = a, *y = b;
    int order = strcmp(x->suite, y->suite);
    return order != 0 ? order : strcmp(x->benchmark, y->benchmark);
}

/* Scores come sorted by cell; each cell notes where its own are. */
static void find_scores(comparison *of)
{
    int64_t n = answer_count(of->scores);
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t cell_id = answer_integer(of->scores, i, SCORE_CELL);
        for (end = i; end < n && answer_integer(of->scores, end, SCORE_CELL) == cell_id; end++)
            ;
        int cell = compare_cell_of(of, cell_id);
        if (cell < of->n_parts) {
            of->cells[cell].first_score = i;
            of->cells[cell].end_score = end;
        }
    }
}

/* Every benchmark that a cell has a score on. */
static void list_benchmarks(comparison *of)
{
    for (int cell = 0; cell < of->n_parts; cell++)
        for (int64_t i = of->cells[cell].first_score; i < of->cells[cell].end_score; i++) {
            compare_measure found = {.suite = answer_text(of->scores, i, SCORE_SUITE),
                                     .benchmark = answer_text(of->scores, i, SCORE_BENCHMARK),
                                     .is_tested = true};
            int known = 0;
            while (known < of->n_measures && by_name(&of->measures[known], &found) != 0)
                known++;
            if (known == of->n_measures && compare_wants(of, i))
                of->measures[of->n_measures++] = found;
        }
    qsort(of->measures, (size_t)of->n_measures, sizeof *of->measures, by_name);
}

static bool keep_benchmark(comparison *of, const char *name, assay_error *error)
{
    int kept = 0;
    const char *known[256];
    for (int i = 0; i < of->n_measures && i < 256; i++)
        known[i] = of->measures[i].benchmark;
    const char *near = assay_nearest(name, of->n_measures < 256 ? of->n_measures : 256, known);
    for (int i = 0; i < of->n_measures; i++)
        if (strcmp(of->measures[i].benchmark, name) == 0)
            of->measures[kept++] = of->measures[i];
    of->n_measures = kept;
    return kept > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = assay_text("unknown benchmark '%s'", name),
                      .where = assay_text("experiment %s", of->asked->experiment),
                      .hint = near == NULL ? NULL : assay_text("did you mean '%s'?", near));
}

/* A suite of several benchmarks is measured by their mean: after them (wide), or instead of
 * them. */
static void add_means(comparison *of, bool keep)
{
    int n = of->n_measures, out = 0;
    compare_measure *old = of->measures, *made = of->measures + n;
    for (int i = 0, end; i < n; i = end) {
        for (end = i; end < n && strcmp(old[end].suite, old[i].suite) == 0; end++)
            ;
        for (int k = i; k < end && (keep || end - i == 1); k++) {
            made[out] = old[k];
            made[out++].is_tested = end - i == 1;
        }
        if (end - i > 1)
            made[out++] = (compare_measure){old[i].suite, AVERAGE, end - i, true};
    }
    memmove(of->measures, made, (size_t)out * sizeof *made);
    of->n_measures = out;
}

/* Whether the cell or part has a score on the measure. */
static bool has_measure(const comparison *of, int cell, const compare_measure *measure)
{
    for (int64_t i = of->cells[cell].first_score; i < of->cells[cell].end_score; i++) {
        compare_measure found = {.suite = answer_text(of->scores, i, SCORE_SUITE),
                                 .benchmark = answer_text(of->scores, i, SCORE_BENCHMARK)};
        if (compare_wants(of, i) && by_name(&found, measure) == 0)
            return true;
    }
    return false;
}

/* Of the cells that are joined each has its own benchmarks. */
static bool check_joins(const comparison *of, assay_error *error)
{
    for (int part = of->n_cells; part < of->n_parts; part++)
        for (int k = 0; k < of->n_measures; k++) {
            int owner = of->cells[part].owner;
            bool twice = false;
            for (int other = of->n_cells; other < part; other++)
                twice = twice || (of->cells[other].owner == owner &&
                                  has_measure(of, other, &of->measures[k]));
            if (has_measure(of, part, &of->measures[k]) &&
                (twice || has_measure(of, owner, &of->measures[k])))
                return ASSAY_FAIL(
                    error, ASSAY_BAD_INPUT, .where = "--join",
                    .what = assay_text("several cells of %s have benchmark '%s'",
                                       of->cells[owner].label, of->measures[k].benchmark),
                    .expected =
                        "cells with benchmarks of their own: nothing is averaged over axes");
        }
    return true;
}

bool compare_find_measures(comparison *of, assay_error *error)
{
    int64_t room = 3 * (answer_count(of->scores) + 1); /* benchmarks; with means, beside them */
    of->measures = assay_zalloc(room * (int64_t)sizeof *of->measures, error);
    if (of->measures == NULL)
        return false;
    find_scores(of);
    list_benchmarks(of);
    if (!check_joins(of, error))
        return false;
    if (of->n_measures == 0) { /* nothing is done: the cells are listed all the same */
        of->measures[of->n_measures++] = (compare_measure){.suite = "", .benchmark = ""};
        return true;
    }
    if (of->asked->benchmark != NULL)
        return keep_benchmark(of, of->asked->benchmark, error);
    if (!of->asked->each)
        add_means(of, of->asked->wide);
    return true;
}
