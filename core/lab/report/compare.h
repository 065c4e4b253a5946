/* compare.h - the parts of a comparison: what is compared (compare_cells.c), the numbers
 * (compare.c), and what is to be said about them (compare_notes.c). */
#ifndef REPORT_COMPARE_H
#define REPORT_COMPARE_H

#include "lab/report/answer.h"

#include <assay/stats.h>

#define LONGEST_SIGN_FLIP 24    /* pairs that the exact test takes */
#define RESAMPLES         10000 /* of the bootstrap */
#define LEVEL             0.05  /* what a difference has to reach */

/* A cell of the newest plan. Texts are borrowed from the answers. */
typedef struct compare_cell {
    int64_t cell_id;
    const char *label;
    const char **values; /* by axis; NULL: the cell does not have it */
    int block;           /* cells that may be compared have the same */
    bool is_baseline;    /* of its block */
    int64_t runs, done;
    int64_t first_score, end_score; /* its rows in the answer about scores */
    int64_t row;                    /* in the answer about cells, which has the other states */
} compare_cell;

typedef struct compare_block {
    int baseline;      /* index of a cell; -1: none */
    const char *label; /* of its first cell, which stands for it */
    int first;
} compare_block;

/* What is measured: a benchmark of a suite by one metric on one split. */
typedef struct compare_measure {
    const char *suite, *benchmark;
} compare_measure;

/* One line of the table. */
typedef struct compare_row {
    int cell, measure;
    int64_t n, nonfinite; /* seeds with a finite score, and with one that is none */
    double mean, sd;
    int64_t pairs;
    double difference, difference_sd, effect, p, p_holm; /* NaN where there is none */
    assay_interval interval;
} compare_row;

typedef struct comparison {
    const char *store;
    const report_comparison *asked;
    const char *stage;
    char *where;          /* owned: the statements' WITH the(id, stage) */
    const char *metric;   /* NULL: nothing is done yet */
    const char *split;    /* borrowed like it */
    bool split_is_chosen; /* by us */
    answer *axes, *cell_rows, *values, *metrics, *scores;
    int n_axes, n_cells, n_blocks, n_measures, n_rows;
    bool *is_by; /* by axis */
    compare_cell *cells;
    compare_block *blocks;
    compare_measure *measures;
    compare_row *rows;
    const char **all_values; /* of all cells; the cells borrow it */
    int comparisons;         /* rows that have a p */
    int64_t most_pairs;      /* of those */
} comparison;

/* The columns of compare_scores in report.sql. */
enum {
    SCORE_SUITE,
    SCORE_BENCHMARK,
    SCORE_METRIC,
    SCORE_SPLIT,
    SCORE_CELL,
    SCORE_SEED,
    SCORE_VALUE
};

/* Asks the store, checks what was asked for against what there is, and chooses what was left open.
 * On failure, too, compare_release frees what was made. */
bool compare_choose(comparison *of, assay_error *error);
void compare_release(comparison *of);

/* Whether the score is of the metric, split and suite that are compared. */
bool compare_wants(const comparison *of, int64_t score);

/* Adds the notes. */
bool compare_explain(const comparison *of, report *to, assay_error *error);

#endif
