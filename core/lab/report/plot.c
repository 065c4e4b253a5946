/* plot.c - the curves of an experiment: which cells, their points over seeds, and the scales they
 * need. */
#include "lab/report/plot.h"
#include "lab/report/answer.h"
#include "lab/report/cells.h"
#include "lab/report/sql.h"

#include <assay/memory.h>
#include <assay/stats.h>

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BINS 400 /* the most points of a line */

/* What the store says. */
typedef struct curves {
    const char *store;
    const plot_request *asked;
    char *the, *series, *stage; /* owned: the beginning of each statement, and two literals of it */
    answer *keys, *range, *points, *axes, *cells, *values;
    int64_t low, width; /* first step, and how many steps are a bin */
} curves;

static bool say(plot *of, assay_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool say(plot *of, assay_error *error, const char *format, ...)
{
    char line[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (of->n_notes == (int)(sizeof of->notes / sizeof *of->notes))
        return true;
    char *note = utf8_copy(line, error);
    if (note != NULL)
        of->notes[of->n_notes++] = note;
    return note != NULL;
}

static answer *ask(const curves *from, report_sql sql, assay_error *error)
{
    return answer_of(from->store, (store_query_limits){0}, error,
                     "%s, named(name, width, low) AS (VALUES(%s, %lld, %lld)) %s", from->the,
                     from->series, (long long)from->width, (long long)from->low,
                     report_sql_text[sql]);
}

static bool open_curves(curves *from, assay_error *error)
{
    int64_t id = 0;
    char *the = NULL;
    const plot_request *asked = from->asked;
    from->width = 1;
    from->low = asked->from;
    if (!report_check(from->store, error) ||
        !report_find_experiment(from->store, asked->experiment, &id, error) ||
        (from->series = sql_text(asked->series, error)) == NULL ||
        (from->stage = sql_text(asked->stage == NULL ? "main" : asked->stage, error)) == NULL)
        return false;
    if (asprintf(&the, "WITH the(id, stage) AS (VALUES(%lld, %s))", (long long)id, from->stage) < 0)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a query");
    from->the = assay_strdup(the, error);
    free(the);
    return from->the != NULL && (from->keys = ask(from, REPORT_SQL_PLOT_KEYS, error)) != NULL &&
           (from->axes = ask(from, REPORT_SQL_COMPARE_AXES, error)) != NULL &&
           (from->cells = ask(from, REPORT_SQL_COMPARE_CELLS, error)) != NULL &&
           (from->values = ask(from, REPORT_SQL_COMPARE_VALUES, error)) != NULL &&
           (from->range = ask(from, REPORT_SQL_PLOT_RANGE, error)) != NULL;
}

/* Whether there is something to draw; bins as wide as the range of steps asks for. */
static bool check_range(curves *from, assay_error *error)
{
    const plot_request *asked = from->asked;
    if (answer_count(from->keys) == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "there are no curves yet",
                          .where = assay_text("experiment %s, stage %s", asked->experiment,
                                              asked->stage == NULL ? "main" : asked->stage));
    if (!answer_has(from->range, 0, 1))
        return report_unknown("series", asked->series, from->keys, 0, error);
    int64_t last = answer_integer(from->range, 0, 1);
    if (last < asked->from)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "no steps are left", .where = "--from",
                          .expected = assay_text("at most %lld", (long long)last),
                          .got = assay_text("%lld", (long long)asked->from));
    from->width = (last - asked->from) / BINS + 1;
    from->points = ask(from, REPORT_SQL_PLOT_POINTS, error);
    return from->points != NULL;
}

/* ---- which cells, and what they are called ---- */

/* The value of the cell at the axis; NULL: it has none. */
static const char *value_at(const curves *from, int64_t cell_id, const char *axis)
{
    for (int64_t i = 0; i < answer_count(from->values); i++)
        if (answer_integer(from->values, i, 0) == cell_id &&
            strcmp(answer_text(from->values, i, 1), axis) == 0)
            return answer_text(from->values, i, 2);
    return NULL;
}

/* "axis=value" of each condition holds; *any tells that one cell meets it. */
static bool is_wanted(const curves *from, int64_t cell_id)
{
    for (int i = 0; i < from->asked->where_count; i++) {
        bool holds = false;
        for (int64_t k = 0; k < answer_count(from->axes); k++) {
            const char *axis = answer_text(from->axes, k, 0);
            const char *value = value_at(from, cell_id, axis);
            holds = holds || (value != NULL &&
                              strcmp(assay_text("%s=%s", axis, value), from->asked->where[i]) == 0);
        }
        if (!holds)
            return false;
    }
    return true;
}

static char *name_cell(const curves *from, int64_t row, assay_error *error)
{
    char label[512] = "";
    int64_t cell_id = answer_integer(from->cells, row, 0);
    for (int i = 0; i < from->asked->by_count; i++) {
        const char *value = value_at(from, cell_id, from->asked->by[i]);
        size_t length = strlen(label);
        snprintf(label + length, sizeof label - length, "%s%s", length == 0 ? "" : " ",
                 value == NULL ? "-" : value);
    }
    const char *whole = answer_text(from->cells, row, 1);
    if (from->asked->by_count > 0)
        return utf8_copy(label, error);
    return utf8_copy(whole[0] == '\0' ? from->asked->series : whole, error);
}

static bool check_axes(const curves *from, assay_error *error)
{
    for (int i = 0; i < from->asked->by_count; i++) {
        int64_t axis = 0;
        while (axis < answer_count(from->axes) &&
               strcmp(answer_text(from->axes, axis, 0), from->asked->by[i]) != 0)
            axis++;
        if (axis == answer_count(from->axes))
            return report_unknown("axis", from->asked->by[i], from->axes, 0, error);
    }
    return true;
}

/* ---- points ---- */

/* The rows first .. end - 1 are one bin's runs. Values that a logarithm cannot take are none. */
static bool add_point(const curves *from, int64_t first, int64_t end, plot_line *line,
                      assay_error *error)
{
    int64_t n = 0;
    double step = 0;
    double *values = assay_alloc((end - first) * (int64_t)sizeof *values, error);
    if (values == NULL)
        return false;
    for (int64_t i = first; i < end; i++) {
        double value = answer_real(from->points, i, 4), at = answer_real(from->points, i, 3);
        if ((from->asked->log_y && value <= 0) || (from->asked->log_x && at <= 0))
            continue;
        step += at;
        values[n++] = value;
    }
    if (n > 0) {
        plot_point *point = &line->points[line->n++];
        *point = (plot_point){.step = step / (double)n,
                              .mean = assay_stats_mean(values, n),
                              .sd = n > 1 ? assay_stats_sd(values, n) : 0,
                              .seeds = n};
        line->seeds = n > line->seeds ? n : line->seeds;
    }
    assay_free(values);
    return true;
}

static bool fill_line(const curves *from, int64_t cell_id, plot_line *line, assay_error *error)
{
    const answer *points = from->points;
    bool ok = true;
    line->points = assay_alloc((BINS + 1) * (int64_t)sizeof *line->points, error);
    if (line->points == NULL)
        return false;
    for (int64_t i = 0, end; i < answer_count(points) && ok; i = end) {
        int64_t bin = answer_integer(points, i, 1);
        for (end = i + 1; end < answer_count(points) && answer_integer(points, end, 1) == bin &&
                          answer_integer(points, end, 0) == answer_integer(points, i, 0);
             end++)
            ;
        if (answer_integer(points, i, 0) == cell_id && line->n <= BINS)
            ok = add_point(from, i, end, line, error);
    }
    return ok;
}

static bool fail_alike(const char *label, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                      .what = assay_text("several cells are called '%s'", label), .where = "--by",
                      .expected = "axes that tell the cells apart: nothing is averaged over others",
                      .hint = "name more axes, or choose by --where AXIS=VALUE");
}

static bool fill_lines(const curves *from, plot *of, assay_error *error)
{
    int64_t n = answer_count(from->cells);
    of->lines = assay_zalloc((n + 1) * (int64_t)sizeof *of->lines, error);
    if (of->lines == NULL)
        return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t cell_id = answer_integer(from->cells, i, 0);
        if (!is_wanted(from, cell_id))
            continue;
        plot_line *line = &of->lines[of->n_lines++];
        line->label = name_cell(from, i, error);
        if (line->label == NULL || !fill_line(from, cell_id, line, error))
            return false;
        for (int k = 0; k < of->n_lines - 1; k++)
            if (strcmp(of->lines[k].label, line->label) == 0)
                return fail_alike(line->label, error);
    }
    if (of->n_lines > 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "no cell meets the conditions",
                      .where = "--where", .expected = "AXIS=VALUE of this experiment");
}

/* ---- scales ---- */

static void widen(plot_scale *scale, double value)
{
    if (isnan(value) || (scale->is_log && value <= 0))
        return;
    scale->low = fmin(scale->low, value);
    scale->high = fmax(scale->high, value);
}

/* A scale of one value, or none, gets room on both sides. */
static void settle(plot_scale *scale)
{
    if (!(scale->low <= scale->high))
        *scale = (plot_scale){scale->is_log ? 1 : 0, scale->is_log ? 10 : 1, scale->is_log};
    if (scale->high > scale->low)
        return;
    double room = scale->low == 0 ? 1 : fabs(scale->low) * 0.1;
    scale->high += room;
    scale->low -= room;
}

static void find_scales(plot *of, const plot_request *asked)
{
    of->x = (plot_scale){INFINITY, -INFINITY, asked->log_x};
    of->y = (plot_scale){INFINITY, -INFINITY, asked->log_y};
    for (int i = 0; i < of->n_lines; i++)
        for (int64_t k = 0; k < of->lines[i].n; k++) {
            const plot_point *point = &of->lines[i].points[k];
            widen(&of->x, point->step);
            widen(&of->y, point->mean);
            widen(&of->y, point->mean + point->sd);
            widen(&of->y, point->mean - point->sd);
        }
    settle(&of->x);
    settle(&of->y);
}

/* ---- the whole ---- */

static bool explain(const curves *from, plot *of, assay_error *error)
{
    int64_t runs = 0, done = 0, nonfinite = answer_integer(from->range, 0, 2);
    bool several = false, ok = true;
    for (int i = 0; i < of->n_lines; i++)
        several = several || of->lines[i].seeds > 1;
    for (int64_t i = 0; i < answer_count(from->cells); i++) {
        runs += answer_integer(from->cells, i, 2);
        done += answer_integer(from->cells, i, 3);
    }
    if (several)
        ok = say(of, error, "Lines are means over seeds, bands one sample sd to each side.");
    if (ok && from->width > 1)
        ok = say(of, error, "Each point is a run's mean over %lld steps.", (long long)from->width);
    if (ok && nonfinite > 0)
        ok = say(of, error, "%lld points are not finite and left out.", (long long)nonfinite);
    if (ok && done < runs)
        ok = say(of, error, "%lld of %lld runs are done; the others are drawn as far as they are.",
                 (long long)done, (long long)runs);
    for (int i = 0; i < of->n_lines && ok; i++)
        if (of->lines[i].n == 0)
            ok = say(of, error, "%s has no points.", of->lines[i].label);
    return ok;
}

static void close_curves(curves *from)
{
    answer_free(from->keys);
    answer_free(from->range);
    answer_free(from->points);
    answer_free(from->axes);
    answer_free(from->cells);
    answer_free(from->values);
    assay_free(from->the);
    assay_free(from->series);
    assay_free(from->stage);
}

plot *plot_new(const char *store, const plot_request *asked, assay_error *error)
{
    curves from = {.store = store, .asked = asked};
    plot *of = assay_zalloc((int64_t)sizeof *of, error);
    bool ok = of != NULL && (of->title = utf8_copy(asked->experiment, error)) != NULL &&
              (of->series = utf8_copy(asked->series, error)) != NULL && open_curves(&from, error) &&
              check_range(&from, error) && check_axes(&from, error) &&
              fill_lines(&from, of, error) && explain(&from, of, error);
    if (ok)
        find_scales(of, asked);
    close_curves(&from);
    if (!ok)
        plot_free(of);
    return ok ? of : NULL;
}

void plot_free(plot *of)
{
    if (of == NULL)
        return;
    for (int i = 0; of->lines != NULL && i < of->n_lines; i++) {
        assay_free(of->lines[i].label);
        assay_free(of->lines[i].points);
    }
    for (int i = 0; i < of->n_notes; i++)
        assay_free(of->notes[i]);
    assay_free(of->lines);
    assay_free(of->title);
    assay_free(of->series);
    assay_free(of);
}

report *plot_report(const plot *of, assay_error *error)
{
    static const char *const names[] = {"cell", "step", "n", "mean", "sd"};
    report *made = report_new(error);
    table *points = made == NULL ? NULL : table_new(5, names, error);
    for (int i = 0; points != NULL && i < of->n_lines; i++)
        for (int64_t k = 0; k < of->lines[i].n; k++) {
            const plot_point *point = &of->lines[i].points[k];
            table_text(points, of->lines[i].label);
            table_number(points, point->step, -1);
            table_integer(points, point->seeds);
            table_number(points, point->mean, -1);
            table_number(points, point->seeds > 1 ? point->sd : NAN, -1);
        }
    bool ok = made != NULL && report_add(made, "", points, error);
    for (int i = 0; i < of->n_notes && ok; i++)
        ok = report_say(made, error, "%s", of->notes[i]);
    if (!ok)
        report_free(made);
    return ok ? made : NULL;
}
