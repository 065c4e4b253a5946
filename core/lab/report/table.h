/* lab/report/table.h - a table of cells, printed as aligned text, JSON, CSV, Markdown or LaTeX. Every
 * command that prints a table prints it through here. */
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
 * reported by table_print. Texts are copied. */
void table_text(table *table, const char *text); /* NULL: an empty cell, null in JSON */
void table_integer(table *table, int64_t value);
void table_number(table *table, double value,
                  int digits); /* digits after the point; NaN: "n/a", null
                                                              in JSON, where all digits are kept */
int64_t table_rows(const table *table);

/* Prints the table and nothing else; false when writing or an earlier cell failed. */
bool table_print(const table *table, table_format format, FILE *out, assay_error *error);

#endif
