/* answer.c - the rows of a query, kept (answer.h). */
#include "lab/report/answer.h"

#include <assay/memory.h>

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct answer {
    int columns;
    char **names;
    store_cell *cells; /* texts are owned */
    int64_t count, capacity;
    assay_error failure;
};

static bool keep_names(answer *rows, int columns, const char *const *names)
{
    rows->columns = columns;
    rows->names = assay_zalloc(columns * (int64_t)sizeof *rows->names, &rows->failure);
    for (int i = 0; i < columns && rows->names != NULL; i++)
        if ((rows->names[i] = assay_strdup(names[i], &rows->failure)) == NULL)
            return false;
    return rows->names != NULL;
}

static bool grow(answer *rows)
{
    int64_t bytes = 0, capacity = 0;
    if (rows->count + rows->columns <= rows->capacity)
        return true;
    if (!assay_size_mul(&capacity, rows->capacity + 16 * (int64_t)rows->columns, 2) ||
        !assay_size_mul(&bytes, capacity, (int64_t)sizeof *rows->cells))
        return ASSAY_FAIL(&rows->failure, ASSAY_NO_MEMORY, .what = "the answer is too large");
    store_cell *cells = assay_alloc(bytes, &rows->failure);
    if (cells == NULL)
        return false;
    if (rows->count > 0)
        memcpy(cells, rows->cells, (size_t)rows->count * sizeof *cells);
    assay_free(rows->cells);
    rows->cells = cells;
    rows->capacity = capacity;
    return true;
}

/* Blobs, which no table of ours has, as the literal that SQL knows them by. */
static char *copy_text(const store_cell *cell, assay_error *error)
{
    if (cell->type == STORE_TEXT)
        return assay_strdup(cell->text, error);
    char *hex = assay_alloc(cell->bytes * 2 + 4, error);
    if (hex == NULL)
        return NULL;
    char *out = stpcpy(hex, "x'");
    for (int64_t i = 0; i < cell->bytes; i++, out += 2)
        sprintf(out, "%02x", (unsigned char)cell->text[i]);
    strcpy(out, "'");
    return hex;
}

static bool keep_row(void *user, int columns, const char *const *names, const store_cell *cells)
{
    answer *rows = user;
    if (cells == NULL)
        return keep_names(rows, columns, names);
    if (!grow(rows))
        return false;
    for (int i = 0; i < columns; i++) {
        store_cell cell = cells[i];
        bool has_text = cell.type == STORE_TEXT || cell.type == STORE_BLOB;
        cell.text = has_text ? copy_text(&cells[i], &rows->failure) : NULL;
        rows->cells[rows->count++] = cell;
    }
    return rows->failure.code == ASSAY_OK;
}

answer *answer_of(const char *store, store_query_limits limits, assay_error *error, const char *sql,
                  ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, sql);
    bool ok = vasprintf(&text, sql, arguments) >= 0;
    va_end(arguments);
    if (!ok) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a query");
        return NULL;
    }
    answer *rows = assay_zalloc((int64_t)sizeof *rows, error);
    ok = rows != NULL && store_query(store, text, limits, keep_row, rows, error);
    if (ok && rows->failure.code != ASSAY_OK) {
        ok = false;
        if (error != NULL && error->code == ASSAY_OK)
            *error = rows->failure;
    }
    free(text);
    if (!ok)
        answer_free(rows);
    return ok ? rows : NULL;
}

void answer_free(answer *rows)
{
    if (rows == NULL)
        return;
    for (int64_t i = 0; i < rows->count; i++)
        assay_free((char *)rows->cells[i].text);
    for (int i = 0; rows->names != NULL && i < rows->columns; i++)
        assay_free(rows->names[i]);
    assay_free(rows->names);
    assay_free(rows->cells);
    assay_free(rows);
}

int64_t answer_count(const answer *rows)
{
    return rows->columns > 0 ? rows->count / rows->columns : 0;
}

static const store_cell *cell_at(const answer *rows, int64_t row, int column)
{
    return &rows->cells[row * rows->columns + column];
}

bool answer_has(const answer *rows, int64_t row, int column)
{
    return cell_at(rows, row, column)->type != STORE_NULL;
}

int64_t answer_integer(const answer *rows, int64_t row, int column)
{
    return cell_at(rows, row, column)->integer;
}

double answer_real(const answer *rows, int64_t row, int column)
{
    const store_cell *cell = cell_at(rows, row, column);
    if (cell->type == STORE_INTEGER)
        return (double)cell->integer;
    return cell->type == STORE_REAL ? cell->real : NAN;
}

const char *answer_text(const answer *rows, int64_t row, int column)
{
    return cell_at(rows, row, column)->text;
}

void answer_put(const answer *rows, int64_t row, int column, int digits, table *out)
{
    const store_cell *cell = cell_at(rows, row, column);
    if (cell->type == STORE_INTEGER)
        table_integer(out, cell->integer);
    else if (cell->type == STORE_REAL)
        table_number(out, cell->real, digits);
    else
        table_text(out, cell->text);
}

/* The n-th column's name, numbered when columns before it have the same. */
static char *number_name(const answer *rows, int n, assay_error *error)
{
    char *made = NULL;
    int same = 1;
    for (int i = 0; i < n; i++)
        same += strcmp(rows->names[i], rows->names[n]) == 0;
    if (same == 1)
        return assay_strdup(rows->names[n], error);
    if (asprintf(&made, "%s:%d", rows->names[n], same) < 0) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a column's name");
        return NULL;
    }
    char *copy = assay_strdup(made, error);
    free(made);
    return copy;
}

table *answer_table(const answer *rows, assay_error *error)
{
    table *made = NULL;
    char **names = assay_zalloc(rows->columns * (int64_t)sizeof *names, error);
    bool ok = names != NULL;
    for (int i = 0; i < rows->columns && ok; i++)
        ok = (names[i] = number_name(rows, i, error)) != NULL;
    if (ok)
        made = table_new(rows->columns, (const char *const *)names, error);
    for (int64_t i = 0; made != NULL && i < rows->count; i++)
        answer_put(rows, i / rows->columns, (int)(i % rows->columns), -1, made);
    for (int i = 0; names != NULL && i < rows->columns; i++)
        assay_free(names[i]);
    assay_free(names);
    return made;
}

char *sql_text(const char *text, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, (int64_t)strlen(text) + 2, 2)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a text is too long");
        return NULL;
    }
    char *quoted = assay_alloc(bytes, error), *out = quoted;
    if (quoted == NULL)
        return NULL;
    *out++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            *out++ = '\'';
        *out++ = *text;
    }
    strcpy(out, "'");
    return quoted;
}
