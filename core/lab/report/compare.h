/* compare.h - the parts of a comparison: what is compared (compare_cells.c, compare_measures.c),
 * the numbers (compare.c), its tables (compare_table.c), what papers have to the same
 * (compare_published.c), and what is to be said about it all (compare_notes.c). */
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
    int owner;           /* of a cell that is joined to another: that one */
    int64_t runs, done;
    int64_t first_score, end_score; /* its rows in the answer about scores */
    int64_t row;                    /* in the answer about cells, which has the other states */
} compare_cell;

typedef struct compare_block {
    int baseline;      /* index of a cell; -1: none */
    const char *label; /* of its first cell, which stands for it */
    int first;
} compare_block;

/* What is measured by one metric on one split: a benchmark of a suite, or the mean over `members`
 * benchmarks, called avg. */
typedef struct compare_measure {
    const char *suite, *benchmark;
    int members;    /* 0: a benchmark */
    bool is_tested; /* its differences to the baseline are */
} compare_measure;

#define AVERAGE "avg" /* the benchmark that a mean over a suite stands for, as in `published` */

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
    char *where;                     /* owned: the statements' WITH the(id, stage) */
    const char *metric;              /* NULL: nothing is done yet */
    const char *split;               /* borrowed like it */
    bool split_is_chosen;            /* by us */
    report_comparison own;           /* what was asked for with what a paper's table decides */
    const char *paper, *paper_place; /* place "": all of the paper's */
    const char *paper_suite;         /* the paper's; ours may be another that it stands beside */
    answer *places;                  /* published tables */
    answer *axes, *cell_rows, *values, *metrics, *scores;
    int n_axes, n_cells, n_blocks, n_measures, n_rows;
    int n_shown; /* axes that are not joined over */
    int n_parts; /* behind the cells that are compared stand those that are joined to them */
    bool *is_by, *is_joined; /* by axis */
    char **labels;           /* owned: of cells that others are joined to, by cell */
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

/* The metric, the split and the measures (compare_measures.c), for compare_choose. */
bool compare_choose_metric(comparison *of, assay_error *error);
bool compare_find_measures(comparison *of, assay_error *error);
/* Index of the cell or part; n_parts: none. */
int compare_cell_of(const comparison *of, int64_t cell_id);
/* Whether `word` is the cell's label, a compared axis' value, or "axis=value" of any axis. */
bool compare_is_meant(const comparison *of, const compare_cell *cell, const char *word);

/* The tables: a row for each cell and measure (NULL on failure); for each suite, a row for each
 * cell. */
table *compare_table(const comparison *of, assay_error *error);
bool compare_add_wide(const comparison *of, report *to, assay_error *error);
/* Finds the paper and the place, and chooses a suite and a metric that they and the experiment
 * have. */
bool compare_choose_published(comparison *of, assay_error *error);
/* Adds the table with a paper's numbers, and its notes. */
bool compare_add_published(const comparison *of, report *to, assay_error *error);

/* Whether the score is of the metric, split and suite that are compared. */
bool compare_wants(const comparison *of, int64_t score);

/* Adds the notes. */
bool compare_explain(const comparison *of, report *to, assay_error *error);

#endif
