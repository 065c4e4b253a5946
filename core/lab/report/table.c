/* table.c - a table's cells: taken in one by one, turned into text. */
#include "lab/report/cells.h"

#include <assay/memory.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool table_format_of(const char *word, table_format *out, assay_error *error)
{
    static const char *const words[] = {"table", "json", "csv", "markdown", "latex"};
    static const table_format formats[] = {TABLE_TEXT, TABLE_JSON, TABLE_CSV, TABLE_MARKDOWN,
                                           TABLE_LATEX};
    int n = (int)(sizeof words / sizeof *words);
    for (int i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = formats[i];
            return true;
        }
    const char *near = assay_nearest(word, n, words);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = assay_text("unknown format '%s'", word),
                      .where = "--format", .expected = "table, json, csv, markdown or latex",
                      .hint = near == NULL ? NULL : assay_text("did you mean '%s'?", near));
}

/* ---- a table's life ---- */

static bool take_names(table *self, const char *const *names, assay_error *error)
{
    for (int i = 0; i < self->columns; i++) {
        for (int other = 0; other < i; other++)
            if (strcmp(names[i], names[other]) == 0)
                return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                                  .what = assay_text("two columns are named '%s'", names[i]));
        self->names[i] = utf8_copy(names[i], error);
        if (self->names[i] == NULL)
            return false;
    }
    return true;
}

table *table_new(int columns, const char *const *names, assay_error *error)
{
    if (columns < 1) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "a table without columns");
        return NULL;
    }
    table *made = assay_zalloc((int64_t)sizeof *made, error);
    if (made == NULL)
        return NULL;
    made->columns = columns;
    made->names = assay_zalloc(columns * (int64_t)sizeof *made->names, error);
    made->widths = assay_zalloc(columns * (int64_t)sizeof *made->widths, error);
    made->right = assay_zalloc(columns * (int64_t)sizeof *made->right, error);
    if (made->names != NULL && made->widths != NULL && made->right != NULL &&
        take_names(made, names, error))
        return made;
    table_free(made);
    return NULL;
}

void table_free(table *self)
{
    if (self == NULL)
        return;
    for (int i = 0; self->names != NULL && i < self->columns; i++)
        assay_free(self->names[i]);
    for (int64_t i = 0; i < self->count; i++)
        assay_free(self->cells[i].text);
    assay_free(self->names);
    assay_free(self->widths);
    assay_free(self->right);
    assay_free(self->cells);
    assay_free(self);
}

/* Room for one more cell. */
static bool grow(table *self)
{
    int64_t bytes = 0, capacity = self->capacity < 64 ? 64 : self->capacity;
    if (self->count < self->capacity)
        return true;
    if (!assay_size_mul(&capacity, capacity, 2) ||
        !assay_size_mul(&bytes, capacity, (int64_t)sizeof *self->cells))
        return ASSAY_FAIL(&self->failure, ASSAY_NO_MEMORY, .what = "the table is too large");
    table_cell *cells = assay_alloc(bytes, &self->failure);
    if (cells == NULL)
        return false;
    if (self->count > 0)
        memcpy(cells, self->cells, (size_t)self->count * sizeof *cells);
    assay_free(self->cells);
    self->cells = cells;
    self->capacity = capacity;
    return true;
}

static void add(table *self, table_cell cell)
{
    if (self->failure.code == ASSAY_OK && grow(self))
        self->cells[self->count++] = cell;
    else
        assay_free(cell.text);
}

void table_text(table *self, const char *text)
{
    table_cell cell = {.kind = text == NULL ? CELL_EMPTY : CELL_TEXT};
    if (text != NULL)
        cell.text = utf8_copy(text, &self->failure);
    add(self, cell);
}

void table_integer(table *self, int64_t value)
{
    add(self, (table_cell){.kind = CELL_INTEGER, .integer = value});
}

void table_number(table *self, double value, int digits)
{
    add(self, (table_cell){.kind = CELL_NUMBER, .number = value, .digits = digits});
}

int64_t table_rows(const table *self)
{
    return self->count / self->columns;
}

/* ---- cells as text ---- */

const char *cell_show(const table_cell *cell, char buffer[CELL_BYTES])
{
    double value = cell->number, size = fabs(value);
    int digits = cell->digits > 15 ? 15 : cell->digits;
    switch (cell->kind) {
    case CELL_EMPTY:
        return "";
    case CELL_TEXT:
        return cell->text;
    case CELL_INTEGER:
        snprintf(buffer, CELL_BYTES, "%" PRId64, cell->integer);
        return buffer;
    case CELL_NUMBER:
        break;
    }
    if (isnan(value))
        return "n/a";
    if (isinf(value))
        return value > 0 ? "inf" : "-inf";
    if (value == 0)
        value = 0; /* -0 too */
    if (digits < 0)
        snprintf(buffer, CELL_BYTES, "%.10g", value);
    else if (size >= 1e15 || (size > 0 && size < 0.5 * pow(10, -digits)))
        snprintf(buffer, CELL_BYTES, "%.1e", value);
    else
        snprintf(buffer, CELL_BYTES, "%.*f", digits, value);
    return buffer;
}

/* The fewest digits that are read back as the same number. */
static const char *shortest(double value, char buffer[CELL_BYTES])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buffer, CELL_BYTES, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value)
            break;
    }
    return buffer;
}

const char *cell_exact(const table_cell *cell, char buffer[CELL_BYTES])
{
    if (cell->kind == CELL_EMPTY || (cell->kind == CELL_NUMBER && isnan(cell->number)))
        return NULL;
    if (cell->kind == CELL_NUMBER && !isinf(cell->number))
        return shortest(cell->number, buffer);
    return cell_show(cell, buffer);
}

bool column_is_number(const table *self, int column)
{
    bool any = false;
    for (int64_t i = column; i < self->count; i += self->columns) {
        if (self->cells[i].kind == CELL_TEXT)
            return false;
        any = any || self->cells[i].kind != CELL_EMPTY;
    }
    return any;
}

bool table_print(const table *self, table_format format, FILE *out, assay_error *error)
{
    static void (*const print[])(const struct table *, FILE *) = {
        [TABLE_TEXT] = print_text,         [TABLE_JSON] = print_json,   [TABLE_CSV] = print_csv,
        [TABLE_MARKDOWN] = print_markdown, [TABLE_LATEX] = print_latex,
    };
    if (self->failure.code != ASSAY_OK) {
        if (error != NULL && error->code == ASSAY_OK)
            *error = self->failure;
        return false;
    }
    if (self->count % self->columns != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "the last row of a table is not full");
    print[format](self, out);
    return (fflush(out) == 0 && ferror(out) == 0) ||
           ASSAY_FAIL(error, ASSAY_IO, .what = "a table could not be written",
                      .got = assay_text("%s", strerror(errno)));
}
