/* lab/report/table.h - a table of cells, printed as aligned text, JSON, CSV, Markdown or LaTeX.
 * Every command that prints a table prints it through here. */
#ifndef LAB_REPORT_TABLE_H
#define LAB_REPORT_TABLE_H

#include <assay/error.h>

#include <stdint.h>
#include <stdio.h>

typedef enum table_format {
    TABLE_TEXT,
    TABLE_JSON, /* an array of objects, one per row, keys are the columns */
    TABLE_CSV,  /* RFC 4180 */
    TABLE_MARKDOWN,
    TABLE_LATEX, /* a booktabs tabular */
} table_format;

/* False, with the nearest name, for a word that is none of table, json, csv, markdown, latex. */
bool table_format_of(const char *word, table_format *out, assay_error *error);

typedef struct table table;

/* The caller owns the table. Columns are texts; a column that is named twice is an error. */
table *table_new(int columns, const char *const *names, assay_error *error);
void table_free(table *table); /* accepts NULL */

/* Cells are added from left to right; a full row begins the next. Memory failures are kept and
 * reported by table_print. Texts are copied; a byte that is no UTF-8 becomes U+FFFD. */
void table_text(table *table, const char *text); /* NULL: an empty cell, null in JSON */
void table_integer(table *table, int64_t value);
/* For people, `digits` after the point, or ten significant ones when `digits` is negative; a number
 * that would show as nothing but zeros, or is 1e15 and more, is shown with an exponent. NaN is
 * "n/a". JSON and CSV keep all digits; there a NaN is null and an empty field, and an infinity is
 * the text inf or -inf. */
void table_number(table *table, double value, int digits);
int64_t table_rows(const table *table);

/* Prints the table and nothing else; false when writing or an earlier cell failed, or when the last
 * row is not full. Control characters are shown as \n, \t, \x1b, never sent to a terminal. */
bool table_print(const table *table, table_format format, FILE *out, assay_error *error);

#endif
