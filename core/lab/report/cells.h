/* cells.h - what a table holds, for the files that print it. */
#ifndef REPORT_CELLS_H
#define REPORT_CELLS_H

#include "lab/report/table.h"

#include <stdbool.h>

#define CELL_BYTES    64 /* enough for any number as text */
#define CONTROL_BYTES 16

typedef enum cell_kind { CELL_EMPTY, CELL_TEXT, CELL_INTEGER, CELL_NUMBER } cell_kind;

typedef struct table_cell {
    cell_kind kind;
    int digits;
    int64_t integer;
    double number;
    char *text; /* owned, valid UTF-8 */
} table_cell;

struct table {
    int columns;
    char **names;      /* owned, valid UTF-8 */
    int *widths;       /* room for print_text: terminal cells of each column, */
    bool *right;       /* and whether its cells stand to the right */
    table_cell *cells; /* rows after each other */
    int64_t count, capacity;
    assay_error failure; /* of an earlier cell */
};

/* The cell for people: its own text, or the number in `buffer`. Never NULL. */
const char *cell_show(const table_cell *cell, char buffer[CELL_BYTES]);

/* The cell for programs: all digits of a number. NULL for an empty cell and for NaN. */
const char *cell_exact(const table_cell *cell, char buffer[CELL_BYTES]);

/* Whether every cell of the column that is not empty holds a number, and one does. */
bool column_is_number(const table *table, int column);

/* The code point at *text, which is moved past it. The text is valid UTF-8. */
unsigned next_code_point(const char **text);

/* Terminal cells of a code point: 0 for marks that combine, 2 for wide characters. */
int code_point_width(unsigned code);

/* The name of a control character as people see it (\n, \x1b, \u0085), or NULL for any other. */
const char *control_name(unsigned code, char buffer[CONTROL_BYTES]);

/* A copy in which every byte that belongs to no UTF-8 sequence is U+FFFD. The caller owns it. */
char *utf8_copy(const char *text, assay_error *error);

void print_text(const table *table, FILE *out);
void print_json(const table *table, FILE *out);
void print_csv(const table *table, FILE *out);
void print_markdown(const table *table, FILE *out);
void print_latex(const table *table, FILE *out);

/* A JSON string with its quotes. */
void print_json_string(const char *text, FILE *out);
/* Text with what Markdown, and LaTeX, would read as markup escaped. */
void print_markdown_text(const char *text, FILE *out);
void print_latex_text(const char *text, FILE *out);

#endif
