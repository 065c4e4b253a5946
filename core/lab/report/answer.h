/* answer.h - the rows of a query, kept, and the parts that a report is put together from. */
#ifndef REPORT_ANSWER_H
#define REPORT_ANSWER_H

#include "lab/report/report.h"

/* ---- rows ---- */
typedef struct answer answer;

/* The rows of the SELECT that `sql` is after printf; the caller owns them. Texts come in through
 * sql_text only. NULL on failure. */
answer *answer_of(const char *store, store_query_limits limits, assay_error *error, const char *sql,
                  ...) __attribute__((format(printf, 4, 5)));
void answer_free(answer *rows); /* accepts NULL */

int64_t answer_count(const answer *rows);
bool answer_has(const answer *rows, int64_t row, int column); /* false: NULL */
int64_t answer_integer(const answer *rows, int64_t row, int column);
double answer_real(const answer *rows, int64_t row, int column);      /* NaN for NULL and texts */
const char *answer_text(const answer *rows, int64_t row, int column); /* NULL for all but texts */

/* Adds the cell to the table as what it is; a real number with `digits`. */
void answer_put(const answer *rows, int64_t row, int column, int digits, table *out);

/* All of it as a table. Columns of one name are numbered. The caller owns it. */
table *answer_table(const answer *rows, assay_error *error);

/* The text as an SQL literal, quotes included. The caller owns it (assay_free). */
char *sql_text(const char *text, assay_error *error);

/* ---- putting a report together ---- */

report *report_new(assay_error *error);

/* Takes the table, on failure too; NULL stands for a table that failed. */
bool report_add(report *to, const char *title, table *of, assay_error *error);
bool report_say(report *to, assay_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether the file is a store that we can read. */
bool report_check(const char *store, assay_error *error);

/* The experiment's number; absence is an error with the nearest name. */
bool report_find_experiment(const char *store, const char *name, int64_t *id, assay_error *error);

/* The error of a word that is none of column `column` of `rows`: WHAT 'word', the nearest as hint,
 * else what there is. Returns false. */
bool report_unknown(const char *what, const char *word, const answer *rows, int column,
                    assay_error *error);

/* One line of text, control characters by name. */
void print_line(const char *text, FILE *out);

#endif
