/* ablation.h - small experiments for the reports' tests: cells with axes, seeds, and their
 * scores. */
#ifndef REPORT_ABLATION_H
#define REPORT_ABLATION_H

#include "fixture.h"
#include "lab/report/report.h"

typedef struct test_cell {
    const char *label;
    int n_axes;
    struct {
        const char *name, *value;
    } axes[3];
} test_cell;

/* Plans `n` cells with seeds 1 .. n_seeds in stage main. In a new store, run ids count from 1: cell
 * by cell, seed by seed. */
void plan_cells(const test_place *place, const char *experiment, int n, const test_cell *cells,
                int n_seeds);

/* A last score of the run on suite "credit"; makes the run done. NaN is stored as one. */
void put_score(const test_place *place, int64_t run_id, const char *benchmark, const char *metric,
               const char *split, int64_t step, double value);

/* The same for the seeds of a cell, whose first run is given: auc of "default" on test at 100. */
void put_scores(const test_place *place, int64_t first_run, int n, const double *values);

/* A report that must come out, as text; the caller frees it. */
char *print_report(report *made, table_format format, char **notes);

/* Whether the report's notes have one that contains `part`; lists them and fails if not. */
void assert_noted(const report *made, const char *part);
void assert_not_noted(const report *made, const char *part);

#endif
