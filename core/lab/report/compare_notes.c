/* compare_notes.c - what has to be said under an ablation table: what its numbers are, what is
 * missing in them, and what they cannot show. */
#include "lab/report/compare.h"

#include <math.h>
#include <string.h>

/* A number of a sentence: two significant digits. */
static const char *brief(double value)
{
    return assay_text("%.2g", value);
}

/* "alipay10 (mean of its 10 benchmarks)", "credit/default"; the first that is compared. */
static const char *name_compared(const comparison *of, int *suites)
{
    const compare_measure *named = NULL;
    *suites = 0;
    for (int i = 0; i < of->n_measures; i++)
        if (of->measures[i].is_tested && (*suites)++ == 0)
            named = &of->measures[i];
    if (named == NULL)
        return "";
    if (named->members > 0)
        return assay_text("%s (mean of its %d benchmarks)", named->suite, named->members);
    return assay_text("%s%s%s", named->suite, named->benchmark[0] != '\0' ? "/" : "",
                      named->benchmark);
}

static bool say_what(const comparison *of, report *to, assay_error *error)
{
    int compared = 0;
    bool means = false;
    const char *name = name_compared(of, &compared);
    for (int i = 0; i < of->n_measures; i++)
        means = means || of->measures[i].members > 0;
    bool ok =
        report_say(to, error,
                   "%s%s%s on the %s split: the last score of each run that is done; mean and "
                   "sample sd over n seeds.",
                   of->metric, compared == 1 ? " of " : "", compared == 1 ? name : "", of->split);
    if (ok && means && compared > 1)
        ok = report_say(to, error, "avg is the mean over the benchmarks of the suite.");
    if (ok && means && !of->asked->wide)
        ok = report_say(
            to, error, "Benchmarks one by one: --each (rows), --wide (columns), --benchmark NAME.");
    if (ok && of->n_parts > of->n_cells)
        ok = report_say(to, error,
                        "Joined: %d cells are %d rows, each with the benchmarks of its own.",
                        of->n_parts, of->n_cells);
    if (ok && of->asked->wide)
        ok = report_say(to, error, "sd, difference and p_holm are of the last score column%s.",
                        means ? ", avg, the mean over the benchmarks" : "");
    if (ok && of->split_is_chosen && strcmp(of->split, "test") != 0)
        ok = report_say(to, error,
                        "There are no scores on test: choices were made on this split, "
                        "or may have been.");
    return ok;
}

static bool say_baseline(const comparison *of, report *to, assay_error *error)
{
    bool ok = true;
    if (of->n_cells == 1)
        return report_say(to, error, "There is one cell, and nothing to compare it with.");
    if (of->n_blocks == 1)
        ok = report_say(to, error, "Baseline: %s.", of->cells[of->blocks[0].baseline].label);
    else
        ok = report_say(to, error,
                        "Nothing is averaged over the axes that are not compared: each of their %d "
                        "combinations is compared within itself.",
                        of->n_blocks);
    for (int i = 0; i < of->n_blocks && ok && of->n_blocks > 1; i++) {
        const compare_block *block = &of->blocks[i];
        ok = block->baseline >= 0
                 ? report_say(to, error, "Baseline: %s.", of->cells[block->baseline].label)
                 : report_say(to, error, "No baseline beside %s: not compared.", block->label);
    }
    return ok &&
           report_say(to, error,
                      "Against the baseline, paired by seed: mean difference, sd of the "
                      "differences, 95 %% bootstrap interval of their mean (%d resamples; too "
                      "narrow for few seeds), effect = difference / diff_sd, exact two-sided "
                      "sign-flip p, and p after Holm over all %d comparisons of this table.",
                      RESAMPLES, of->comparisons);
}

/* The fewest pairs whose smallest p, corrected for all comparisons, reaches the level. */
static int pairs_needed(int comparisons)
{
    int n = 2;
    while (n < LONGEST_SIGN_FLIP && comparisons * assay_sign_flip_floor(n) > LEVEL)
        n++;
    return n;
}

/* What so few seeds cannot show, whatever the numbers are. */
static bool say_power(const comparison *of, report *to, assay_error *error)
{
    if (of->comparisons == 0)
        return report_say(
            to, error, "No comparison has two pairs of seeds: nothing can be said about chance.");
    bool even = true;
    for (int i = 0; i < of->n_rows; i++)
        even = even && (isnan(of->rows[i].p) || of->rows[i].pairs == of->most_pairs);
    double floor = assay_sign_flip_floor(of->most_pairs);
    double corrected = fmin(1, of->comparisons * floor);
    const char *holm = of->comparisons == 1 ? ""
                                            : assay_text(", after Holm over %d comparisons %s",
                                                         of->comparisons, brief(corrected));
    const char *verdict = corrected > LEVEL
                              ? assay_text("no difference can reach 0.05 (it takes %d seeds)",
                                           pairs_needed(of->comparisons))
                              : "a difference can reach 0.05";
    return report_say(to, error, "%s%lld seeds: smallest possible p %s%s: %s.",
                      even ? "" : "At most ", (long long)of->most_pairs, brief(floor), holm,
                      verdict);
}

/* "1 failed, 2 pending" of a cell's runs that are not done. */
static const char *states_of(const comparison *of, const compare_cell *cell)
{
    static const char *const states[] = {"running", "pending", "preempted", "failed", "lost"};
    char line[200] = "";
    for (int i = 0; i < 5; i++) {
        int64_t n = answer_integer(of->cell_rows, cell->row, 4 + i);
        size_t length = strlen(line);
        if (n > 0)
            snprintf(line + length, sizeof line - length, "%s%lld %s", length == 0 ? "" : ", ",
                     (long long)n, states[i]);
    }
    return assay_text("%s", line);
}

static bool say_undone(const comparison *of, report *to, assay_error *error)
{
    int64_t runs = 0, done = 0;
    bool ok = true;
    for (int i = 0; i < of->n_parts; i++) {
        runs += answer_integer(of->cell_rows, of->cells[i].row, 2);
        done += answer_integer(of->cell_rows, of->cells[i].row, 3);
    }
    if (done < runs)
        ok = report_say(to, error, "%lld of %lld runs are done; the others do not count yet.",
                        (long long)done, (long long)runs);
    for (int i = 0; i < of->n_parts && ok; i++) {
        const compare_cell *cell = &of->cells[i];
        int64_t all = answer_integer(of->cell_rows, cell->row, 2);
        int64_t ended = answer_integer(of->cell_rows, cell->row, 3);
        if (ended < all)
            ok = report_say(to, error, "%s: %lld of %lld seeds are done (%s).",
                            answer_text(of->cell_rows, cell->row, 1), (long long)ended,
                            (long long)all, states_of(of, cell));
    }
    return ok;
}

static const char *name_measure(const comparison *of, int measure)
{
    const compare_measure *named = &of->measures[measure];
    if (of->n_measures == 1)
        return "";
    if (named->members > 0)
        return assay_text(" (%s)", named->suite);
    return assay_text(" (%s%s%s)", named->suite, named->benchmark[0] == '\0' ? "" : "/",
                      named->benchmark);
}

/* Scores that are no numbers, that are absent from runs that are done, and seeds without a
 * partner. */
static bool say_left_out(const comparison *of, const compare_row *row, report *to,
                         assay_error *error)
{
    const compare_cell *cell = &of->cells[row->cell];
    const char *measure = name_measure(of, row->measure);
    int64_t absent = cell->done - row->n - row->nonfinite;
    bool ok = true;
    if (row->nonfinite > 0)
        ok = report_say(to, error, "%s%s: %lld score%s not finite and left out.", cell->label,
                        measure, (long long)row->nonfinite, row->nonfinite == 1 ? " is" : "s are");
    if (ok && absent > 0)
        ok = report_say(to, error, "%s%s: %lld run%s done and without %s.", cell->label, measure,
                        (long long)absent, absent == 1 ? " is" : "s are",
                        of->measures[row->measure].members > 0 ? "all of these scores"
                                                               : "this score");
    if (ok && !cell->is_baseline && of->blocks[cell->block].baseline >= 0 && row->pairs < row->n)
        ok = report_say(to, error, "%s%s: %lld of its %lld seeds have a partner in the baseline.",
                        cell->label, measure, (long long)row->pairs, (long long)row->n);
    if (ok && row->pairs > LONGEST_SIGN_FLIP)
        ok = report_say(to, error, "%s%s: %lld pairs are too many for the exact test (%d).",
                        cell->label, measure, (long long)row->pairs, LONGEST_SIGN_FLIP);
    return ok;
}

/* Other metrics that could have been asked for. */
static bool say_others(const comparison *of, report *to, assay_error *error)
{
    char line[200] = "";
    const char *last = of->metric;
    for (int64_t i = 0; i < answer_count(of->metrics); i++) {
        const char *metric = answer_text(of->metrics, i, 0);
        if (strcmp(metric, of->metric) == 0 || strcmp(metric, last) == 0)
            continue;
        size_t length = strlen(line);
        snprintf(line + length, sizeof line - length, "%s%s", length == 0 ? "" : ", ", metric);
        last = metric;
    }
    return of->asked->metric != NULL || line[0] == '\0' ||
           report_say(to, error, "Also measured: %s (--metric).", assay_text("%s", line));
}

bool compare_explain(const comparison *of, report *to, assay_error *error)
{
    if (of->metric == NULL)
        return report_say(to, error, "There are no scores yet.") && say_undone(of, to, error);
    bool ok = say_what(of, to, error) && say_baseline(of, to, error);
    if (ok && of->n_cells > 1)
        ok = say_power(of, to, error);
    ok = ok && say_undone(of, to, error);
    for (int i = 0; i < of->n_rows && ok; i++)
        if (of->measures[of->rows[i].measure].is_tested)
            ok = say_left_out(of, &of->rows[i], to, error);
    return ok && say_others(of, to, error);
}
