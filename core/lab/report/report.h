/* lab/report/report.h - what the store has to tell: the answers of `runs`, `show`, `compare` and
 * `query`, as tables with notes.
 *
 * A report only reads. It consists of sections, each a table with a title, and of notes, plain
 * sentences that belong under them: what was left out, what the numbers cannot show. */
#ifndef LAB_REPORT_REPORT_H
#define LAB_REPORT_REPORT_H

#include "lab/report/table.h"
#include "lab/store/store.h"

typedef struct report report;

/* The functions that make a report give NULL on failure; the caller owns the result. */
void report_free(report *report); /* accepts NULL */

int report_sections(const report *report);
const char *report_title(const report *report, int section); /* "" for a report of one table */
const table *report_table(const report *report, int section);
int report_notes(const report *report);
const char *report_note(const report *report, int i);

/* Prints sections, then notes. Text, Markdown and LaTeX (as comments) carry the notes in `out`; for
 * JSON and CSV, which hold data only, they go to `notes` (may be NULL). One untitled section is
 * printed as table_print does; of several, JSON is an object of arrays by title, and CSV has a line
 * with the title above each and an empty line between. */
bool report_print(const report *report, table_format format, FILE *out, FILE *notes,
                  assay_error *error);

/* The run that a command's argument means: a run_id, or a prefix of a run_hash. A number that is a
 * run_id means that run, also when a hash begins with the same digits. A prefix of several hashes
 * is an error that lists them. */
bool report_find_run(const char *store, const char *word, int64_t *run_id, assay_error *error);

/* The runs of the newest plan of `experiment`, or of all (NULL): state, progress, last loss, the
 * first metric's last and best value on valid and its value on test, attempts, how long ago
 * something happened, the error. now_ms is the clock in ms since 1970. */
report *report_runs(const char *store, const char *experiment, int64_t now_ms, assay_error *error);

/* Everything about one run. With `other`, what differs between two, and their scores side by
 * side. */
report *report_show(const char *store, const char *run, const char *other, assay_error *error);

typedef struct report_comparison {
    const char *experiment;
    int by_count;          /* axes whose values are compared; 0: all */
    const char *const *by; /* their names */
    int where_count;       /* only cells with these values, "axis=value", count; 0: all cells */
    const char *const *where;
    int join_count; /* axes whose cells are one row, each with benchmarks of its own, count */
    const char *const *join;
    const char *metric;    /* NULL: the first by name that has no ':' */
    const char *suite;     /* NULL: every suite that has the metric */
    const char *benchmark; /* NULL: the mean over each suite's benchmarks */
    bool each;             /* every benchmark has rows of its own, instead of the mean */
    bool wide; /* a row a cell, a column a benchmark, and the mean, which alone is compared */
    const char *split;     /* NULL: test if there are scores on it, else valid, else any */
    const char *stage;     /* NULL: main */
    const char *baseline;  /* NULL: the first cell in the plan's order */
    const char *published; /* "PAPER" or "PAPER/PLACE": its numbers beside ours; NULL: ours alone */
    int match_count;       /* "CELL=METHOD": which published row belongs to a cell, count */
    const char *const *match;
} report_comparison;

/* The ablation table. A row is a cell, and the score of a run is the mean over the benchmarks of a
 * suite, if there are several: a seed that lacks one of them has none. A row shows its axes, n
 * (seeds with a finite score), mean and sample sd; then, against the baseline and paired by seed:
 * the mean difference, the sd of the differences, a 95 % bootstrap interval of their mean, the
 * effect (mean difference / sd of differences), the number of pairs, the exact two-sided sign-flip
 * p, and p after Holm's correction over all comparisons of the table. The last score of each run
 * that is done counts; cells of the newest plan only.
 *
 * `by` says which axes are compared. Nothing is averaged over the others: cells that differ in them
 * are never pooled and never compared with each other. They form blocks, one for each combination
 * of the other axes, and each block has its own baseline, so a difference is always one of the `by`
 * axes at otherwise equal options and equal seed.
 *
 * `baseline` is a cell's label, or "axis=value", or a value of an axis. It must mean one cell of
 * each block where it means any; several suites (with `each`, benchmarks) give rows each. The notes
 * say what is compared, with what, which seeds are missing, not done or not finite, and what so few
 * seeds cannot show: the smallest p that n pairs can give, before and after Holm.
 *
 * With `join`, cells that differ in these axes, and those that move with them, alone are one, which
 * has the benchmarks of all of them: an experiment that trains for each benchmark by itself has its
 * suite's mean so. A benchmark that two of them have is an error, for nothing is averaged over
 * axes.
 *
 * With `published`, a row is a cell and the published row that belongs to it, by `match`, else by
 * what results/published.sql says of it, else by equal names; then the published rows that belong
 * to none. The notes say what of the conditions differs, as the runs' own options have it. */
report *report_compare(const char *store, const report_comparison *asked, assay_error *error);

/* Any SELECT as a table; limits as in store_query. Columns of one name are numbered: "x", "x:2". */
report *report_query(const char *store, const char *sql, store_query_limits limits,
                     assay_error *error);

#endif
