/* compare_table.c - the ablation table: a row for each cell and measure, or a row for each cell and
 * a column for each benchmark. */
#include "lab/report/compare.h"

#include <assay/memory.h>

#include <string.h>

#define DIGITS 4

static const char *const number_names[] = {
    "n", "mean", "sd", "difference", "diff_sd", "low", "high", "effect", "pairs", "p", "p_holm"};
#define NUMBERS ((int)(sizeof number_names / sizeof *number_names))

/* The axes in the table's order: those that make blocks, then those that are compared. */
static int order_axes(const comparison *of, int *out)
{
    int n = 0;
    for (int by = 0; by < 2; by++)
        for (int axis = 0; axis < of->n_axes; axis++)
            if (!of->is_joined[axis] && of->is_by[axis] == (by == 1))
                out[n++] = axis;
    return n;
}

static void put_row(const comparison *of, const compare_row *row, const int *axes, table *out)
{
    const compare_cell *cell = &of->cells[row->cell];
    if (of->n_measures > 1) {
        table_text(out, of->measures[row->measure].suite);
        table_text(out, of->measures[row->measure].benchmark);
    }
    if (of->n_shown == 0)
        table_text(out, cell->label);
    for (int i = 0; i < of->n_shown; i++)
        table_text(out, cell->values[axes[i]]);
    table_integer(out, row->n);
    table_number(out, row->mean, DIGITS);
    table_number(out, row->sd, DIGITS);
    if (cell->is_baseline) { /* nothing to compare it with: empty, not n/a */
        for (int i = 3; i < NUMBERS; i++)
            table_text(out, NULL);
        return;
    }
    const double numbers[] = {row->difference, row->difference_sd, row->interval.low,
                              row->interval.high, row->effect};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        table_number(out, numbers[i], i == 4 ? 2 : DIGITS);
    table_integer(out, row->pairs);
    table_number(out, row->p, DIGITS);
    table_number(out, row->p_holm, DIGITS);
}

table *compare_table(const comparison *of, assay_error *error)
{
    int n = 0, wanted = of->n_axes + NUMBERS + 3;
    table *made = NULL;
    int *axes = assay_alloc((of->n_axes + 1) * (int64_t)sizeof *axes, error);
    const char **names = assay_alloc(wanted * (int64_t)sizeof *names, error);
    if (axes == NULL || names == NULL)
        goto done;
    if (of->n_measures > 1) {
        names[n++] = "suite";
        names[n++] = "benchmark";
    }
    if (of->n_shown == 0)
        names[n++] = "cell";
    order_axes(of, axes);
    for (int i = 0; i < of->n_shown; i++)
        names[n++] = answer_text(of->axes, axes[i], 0);
    for (int i = 0; i < NUMBERS; i++)
        names[n++] = number_names[i];
    made = table_new(n, names, error);
    for (int i = 0; made != NULL && i < of->n_rows; i++)
        put_row(of, &of->rows[i], axes, made);
done:
    assay_free(axes);
    assay_free(names);
    return made;
}

/* ---- wide ---- */

/* The columns after the benchmarks: of the measure that is compared, the suite's mean. */
static const char *const wide_names[] = {"sd", "difference", "p_holm"};
#define WIDE_NUMBERS ((int)(sizeof wide_names / sizeof *wide_names))

/* The row of a cell by a measure. */
static const compare_row *row_of(const comparison *of, int cell, int measure)
{
    for (int i = 0; i < of->n_rows; i++)
        if (of->rows[i].cell == cell && of->rows[i].measure == measure)
            return &of->rows[i];
    return NULL;
}

static void put_wide(const comparison *of, int cell, int first, int end, const int *axes,
                     table *out)
{
    const compare_cell *shown = &of->cells[cell];
    const compare_row *last = row_of(of, cell, end - 1);
    if (of->n_shown == 0)
        table_text(out, shown->label);
    for (int i = 0; i < of->n_shown; i++)
        table_text(out, shown->values[axes[i]]);
    table_integer(out, last->n);
    for (int measure = first; measure < end; measure++)
        table_number(out, row_of(of, cell, measure)->mean, DIGITS);
    table_number(out, last->sd, DIGITS);
    if (shown->is_baseline) {
        table_text(out, NULL);
        table_text(out, NULL);
        return;
    }
    table_number(out, last->difference, DIGITS);
    table_number(out, last->p_holm, DIGITS);
}

/* The measures first .. end - 1, which are of one suite. */
static table *suite_table(const comparison *of, int first, int end, assay_error *error)
{
    int n = 0;
    table *made = NULL;
    int *axes = assay_alloc((of->n_axes + 1) * (int64_t)sizeof *axes, error);
    const char **names =
        assay_alloc((of->n_axes + end - first + WIDE_NUMBERS + 2) * (int64_t)sizeof *names, error);
    if (axes == NULL || names == NULL)
        goto done;
    if (of->n_shown == 0)
        names[n++] = "cell";
    order_axes(of, axes);
    for (int i = 0; i < of->n_shown; i++)
        names[n++] = answer_text(of->axes, axes[i], 0);
    names[n++] = "n";
    for (int i = first; i < end; i++)
        names[n++] = of->measures[i].benchmark[0] == '\0' ? of->metric : of->measures[i].benchmark;
    for (int i = 0; i < WIDE_NUMBERS; i++)
        names[n++] = wide_names[i];
    made = table_new(n, names, error);
    for (int block = 0; made != NULL && block < of->n_blocks; block++)
        for (int cell = 0; cell < of->n_cells; cell++)
            if (of->cells[cell].block == block)
                put_wide(of, cell, first, end, axes, made);
done:
    assay_free(axes);
    assay_free(names);
    return made;
}

bool compare_add_wide(const comparison *of, report *to, assay_error *error)
{
    bool ok = true;
    for (int first = 0, end; first < of->n_measures && ok; first = end) {
        const char *suite = of->measures[first].suite;
        for (end = first; end < of->n_measures && strcmp(of->measures[end].suite, suite) == 0;
             end++)
            ;
        bool all = first == 0 && end == of->n_measures;
        ok = report_add(to, all ? "" : suite, suite_table(of, first, end, error), error);
    }
    return ok;
}
