/* compare_cells.c - what is compared with what: axes, cells, blocks and baselines. */
#include "lab/report/compare.h"
#include "lab/report/sql.h"

#include <assay/memory.h>

#include <stdlib.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static answer *ask(const comparison *of, report_sql sql, assay_error *error)
{
    return answer_of(of->store, (store_query_limits){0}, error, "%s%s", of->where,
                     report_sql_text[sql]);
}

/* The experiment and the stage, as the statements want them. */
static bool find_place(comparison *of, assay_error *error)
{
    int64_t id = 0;
    char *where = NULL;
    of->stage = of->asked->stage == NULL ? "main" : of->asked->stage;
    if (!report_check(of->store, error) ||
        !report_find_experiment(of->store, of->asked->experiment, &id, error))
        return false;
    char *stage = sql_text(of->stage, error);
    if (stage == NULL)
        return false;
    bool ok =
        asprintf(&where, "WITH the(id, stage) AS (VALUES(%lld, %s)) ", (long long)id, stage) >= 0;
    assay_free(stage);
    if (!ok)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a query");
    of->where = assay_strdup(where, error);
    free(where);
    return of->where != NULL;
}

/* ---- axes and cells ---- */

static bool fill_cells(comparison *of, assay_error *error)
{
    int64_t bytes = 0;
    of->n_axes = (int)answer_count(of->axes);
    of->n_cells = of->n_parts = (int)answer_count(of->cell_rows);
    if (!assay_size_mul(&bytes, (int64_t)of->n_cells * of->n_axes, (int64_t)sizeof *of->all_values))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the experiment is too large");
    of->all_values = assay_zalloc(bytes, error);
    of->cells = assay_zalloc(of->n_cells * (int64_t)sizeof *of->cells, error);
    of->blocks = assay_zalloc(of->n_cells * (int64_t)sizeof *of->blocks, error);
    of->is_by = assay_zalloc(of->n_axes * (int64_t)sizeof *of->is_by, error);
    of->is_joined = assay_zalloc(of->n_axes * (int64_t)sizeof *of->is_joined, error);
    of->labels = assay_zalloc(of->n_cells * (int64_t)sizeof *of->labels, error);
    if (of->all_values == NULL || of->cells == NULL || of->blocks == NULL || of->is_by == NULL ||
        of->is_joined == NULL || of->labels == NULL)
        return false;
    for (int i = 0; i < of->n_cells; i++)
        of->cells[i] = (compare_cell){.cell_id = answer_integer(of->cell_rows, i, 0),
                                      .label = answer_text(of->cell_rows, i, 1),
                                      .runs = answer_integer(of->cell_rows, i, 2),
                                      .done = answer_integer(of->cell_rows, i, 3),
                                      .row = i,
                                      .values = of->all_values + (int64_t)i * of->n_axes};
    return true;
}

int compare_cell_of(const comparison *of, int64_t cell_id)
{
    int i = 0;
    while (i < of->n_parts && of->cells[i].cell_id != cell_id)
        i++;
    return i;
}

static int axis_of(const comparison *of, const char *name)
{
    int i = 0;
    while (i < of->n_axes && strcmp(answer_text(of->axes, i, 0), name) != 0)
        i++;
    return i;
}

static void fill_values(comparison *of)
{
    for (int64_t i = 0; i < answer_count(of->values); i++) {
        int cell = compare_cell_of(of, answer_integer(of->values, i, 0));
        int axis = axis_of(of, answer_text(of->values, i, 1));
        if (cell < of->n_cells && axis < of->n_axes)
            of->cells[cell].values[axis] = answer_text(of->values, i, 2);
    }
}

/* Whether "axis=value" is said of the cell. */
static bool is_at(const comparison *of, const compare_cell *cell, const char *condition)
{
    for (int axis = 0; axis < of->n_axes; axis++) {
        const char *name = answer_text(of->axes, axis, 0), *value = cell->values[axis];
        size_t length = strlen(name);
        if (value != NULL && strncmp(condition, name, length) == 0 && condition[length] == '=' &&
            strcmp(condition + length + 1, value) == 0)
            return true;
    }
    return false;
}

/* A condition that no cell meets names an axis that is not there, or a value that it does not
 * have. */
static bool fail_where(const comparison *of, const char *condition, assay_error *error)
{
    const char *known[256] = {NULL};
    char *made[256];
    int n = 0;
    for (int i = 0; i < of->n_cells; i++)
        for (int axis = 0; axis < of->n_axes && n < 256; axis++)
            if (of->cells[i].values[axis] != NULL &&
                asprintf(&made[n], "%s=%s", answer_text(of->axes, axis, 0),
                         of->cells[i].values[axis]) >= 0) {
                known[n] = made[n];
                n++;
            }
    const char *near = assay_nearest(condition, n, known);
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = assay_text("no cell has %s", condition),
               .where = assay_text("experiment %s", of->asked->experiment),
               .expected = "AXIS=VALUE of this experiment",
               .hint = near == NULL ? NULL : assay_text("did you mean '%s'?", near));
    for (int i = 0; i < n; i++)
        free(made[i]);
    return false;
}

/* Leaves the cells that meet every condition. */
static bool keep_cells(comparison *of, assay_error *error)
{
    for (int k = 0; k < of->asked->where_count; k++) {
        const char *condition = of->asked->where[k];
        int kept = 0;
        for (int i = 0; i < of->n_cells; i++)
            kept += is_at(of, &of->cells[i], condition);
        if (kept == 0)
            return fail_where(of, condition, error);
        kept = 0;
        for (int i = 0; i < of->n_cells; i++)
            if (is_at(of, &of->cells[i], condition))
                of->cells[kept++] = of->cells[i];
        of->n_cells = of->n_parts = kept;
    }
    return true;
}

/* ---- cells that are joined ---- */

/* Whether the cells agree in every axis that is not joined over. */
static bool is_one(const comparison *of, const compare_cell *a, const compare_cell *b)
{
    for (int axis = 0; axis < of->n_axes; axis++)
        if (!of->is_joined[axis] && !same(a->values[axis], b->values[axis]))
            return false;
    return true;
}

/* "axis=value ..." of the axes that are left. */
static char *name_joined(const comparison *of, const compare_cell *cell, assay_error *error)
{
    char label[1000] = "";
    for (int axis = 0; axis < of->n_axes; axis++) {
        size_t length = strlen(label);
        if (!of->is_joined[axis] && cell->values[axis] != NULL)
            snprintf(label + length, sizeof label - length, "%s%s=%s", length == 0 ? "" : " ",
                     answer_text(of->axes, axis, 0), cell->values[axis]);
    }
    return assay_strdup(label[0] == '\0' ? "all" : label, error);
}

/* Puts behind the cells those that are joined to one before them. The owner of several has the
 * seeds that all of them have. */
static bool join_cells(comparison *of, assay_error *error)
{
    int n = of->n_cells, kept = 0, parts = 0;
    compare_cell *joined = assay_alloc(n * (int64_t)sizeof *joined, error);
    if (joined == NULL)
        return false;
    for (int i = 0; i < n; i++) {
        int owner = 0;
        while (owner < kept && !is_one(of, &of->cells[owner], &of->cells[i]))
            owner++;
        if (owner == kept) {
            of->cells[kept++] = of->cells[i];
            continue;
        }
        joined[parts] = of->cells[i];
        joined[parts++].owner = owner;
        compare_cell *to = &of->cells[owner];
        to->runs = to->runs > of->cells[i].runs ? to->runs : of->cells[i].runs;
        to->done = to->done < of->cells[i].done ? to->done : of->cells[i].done;
    }
    memcpy(of->cells + kept, joined, (size_t)parts * sizeof *joined);
    of->n_cells = kept;
    assay_free(joined);
    for (int i = 0; i < kept; i++) {
        of->labels[i] = name_joined(of, &of->cells[i], error);
        if (of->labels[i] == NULL)
            return false;
        of->cells[i].label = of->labels[i];
    }
    return true;
}

/* Whether the two axes move together, as those of a zip do: equal at one is equal at the other. */
static bool move_together(const comparison *of, int a, int b)
{
    for (int i = 0; i < of->n_cells; i++)
        for (int k = 0; k < i; k++)
            if (same(of->cells[i].values[a], of->cells[k].values[a]) !=
                same(of->cells[i].values[b], of->cells[k].values[b]))
                return false;
    return true;
}

static bool choose_joins(comparison *of, assay_error *error)
{
    of->n_shown = of->n_axes;
    for (int i = 0; i < of->asked->join_count; i++) {
        int axis = axis_of(of, of->asked->join[i]);
        if (axis == of->n_axes)
            return report_unknown("axis", of->asked->join[i], of->axes, 0, error);
        for (int other = 0; other < of->n_axes; other++)
            if (!of->is_joined[other] && move_together(of, axis, other)) {
                of->is_joined[other] = true;
                of->n_shown--;
            }
    }
    if (of->asked->join_count == 0)
        return true;
    if (!join_cells(of, error))
        return false;
    for (int i = 0; i < of->n_parts; i++)
        for (int axis = 0; axis < of->n_axes; axis++)
            if (of->is_joined[axis])
                of->cells[i].values[axis] = NULL;
    return true;
}

/* The axes that are compared: those that are named, and what exists only inside of their values
 * ("mask.warmup" of "mask"), for it cannot be held equal. */
static bool choose_axes(comparison *of, assay_error *error)
{
    for (int i = 0; i < of->n_axes; i++)
        of->is_by[i] = of->asked->by_count == 0;
    for (int i = 0; i < of->asked->by_count; i++) {
        const char *name = of->asked->by[i];
        size_t length = strlen(name);
        if (axis_of(of, name) == of->n_axes)
            return report_unknown("axis", name, of->axes, 0, error);
        for (int axis = 0; axis < of->n_axes; axis++) {
            const char *other = answer_text(of->axes, axis, 0);
            if (strncmp(other, name, length) == 0 &&
                (other[length] == '\0' || other[length] == '.'))
                of->is_by[axis] = true;
        }
    }
    return true;
}

/* Cells are in one block when they agree in every axis that is not compared. */
static void make_blocks(comparison *of)
{
    for (int i = 0; i < of->n_cells; i++) {
        compare_cell *cell = &of->cells[i];
        for (cell->block = 0; cell->block < of->n_blocks; cell->block++) {
            const compare_cell *other = &of->cells[of->blocks[cell->block].first];
            bool agree = true;
            for (int axis = 0; axis < of->n_axes; axis++)
                agree = agree && (of->is_by[axis] || same(cell->values[axis], other->values[axis]));
            if (agree)
                break;
        }
        if (cell->block == of->n_blocks)
            of->blocks[of->n_blocks++] = (compare_block){-1, cell->label, i};
    }
}

/* ---- the baseline ---- */

bool compare_is_meant(const comparison *of, const compare_cell *cell, const char *word)
{
    if (strcmp(cell->label, word) == 0 || is_at(of, cell, word))
        return true;
    for (int axis = 0; axis < of->n_axes; axis++)
        if (of->is_by[axis] && cell->values[axis] != NULL && strcmp(cell->values[axis], word) == 0)
            return true;
    return false;
}

static bool fail_baseline(const comparison *of, const char *word, assay_error *error)
{
    const char *known[256];
    int n = 0;
    for (int i = 0; i < of->n_cells; i++) {
        if (n < 256)
            known[n++] = of->cells[i].label;
        for (int axis = 0; axis < of->n_axes && n < 256; axis++)
            if (of->is_by[axis] && of->cells[i].values[axis] != NULL)
                known[n++] = of->cells[i].values[axis];
    }
    const char *near = assay_nearest(word, n, known);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                      .what = assay_text("no cell is meant by baseline '%s'", word),
                      .where = assay_text("experiment %s", of->asked->experiment),
                      .expected = "a cell's label, axis=value, or a value of a compared axis",
                      .hint = near == NULL ? NULL : assay_text("did you mean '%s'?", near));
}

static bool choose_baselines(comparison *of, assay_error *error)
{
    const char *word = of->asked->baseline;
    bool any = of->n_cells == 0;
    for (int i = 0; i < of->n_cells; i++) {
        compare_block *block = &of->blocks[of->cells[i].block];
        if (word == NULL ? block->baseline >= 0 : !compare_is_meant(of, &of->cells[i], word))
            continue;
        if (block->baseline >= 0)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT,
                .what = assay_text("baseline '%s' means several cells", word),
                .got = assay_text("%s; %s", of->cells[block->baseline].label, of->cells[i].label),
                .hint = "give the whole label of one, or compare by one axis (--by)");
        block->baseline = i;
        of->cells[i].is_baseline = any = true;
    }
    return any || fail_baseline(of, word, error);
}

static bool fail_stage(const comparison *of, assay_error *error)
{
    answer *stages = ask(of, REPORT_SQL_COMPARE_STAGES, error);
    bool none = stages != NULL && answer_count(stages) == 0;
    if (none)
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "the experiment has no runs in its newest plan",
                   .where = assay_text("experiment %s", of->asked->experiment));
    else if (stages != NULL)
        report_unknown("stage", of->stage, stages, 0, error);
    answer_free(stages);
    return false;
}

bool compare_choose(comparison *of, assay_error *error)
{
    if (!find_place(of, error) || (of->axes = ask(of, REPORT_SQL_COMPARE_AXES, error)) == NULL ||
        (of->cell_rows = ask(of, REPORT_SQL_COMPARE_CELLS, error)) == NULL)
        return false;
    if (answer_count(of->cell_rows) == 0)
        return fail_stage(of, error);
    if ((of->values = ask(of, REPORT_SQL_COMPARE_VALUES, error)) == NULL ||
        (of->metrics = ask(of, REPORT_SQL_COMPARE_METRICS, error)) == NULL ||
        (of->scores = ask(of, REPORT_SQL_COMPARE_SCORES, error)) == NULL || !fill_cells(of, error))
        return false;
    fill_values(of);
    if (!keep_cells(of, error) || !choose_axes(of, error) || !choose_joins(of, error))
        return false;
    make_blocks(of);
    return choose_baselines(of, error) &&
           (of->asked->published == NULL || answer_count(of->metrics) == 0 ||
            compare_choose_published(of, error)) &&
           compare_choose_metric(of, error) && compare_find_measures(of, error);
}

void compare_release(comparison *of)
{
    answer_free(of->axes);
    answer_free(of->cell_rows);
    answer_free(of->values);
    answer_free(of->metrics);
    answer_free(of->scores);
    answer_free(of->places);
    assay_free(of->where);
    assay_free(of->all_values);
    assay_free(of->cells);
    assay_free(of->blocks);
    assay_free(of->is_by);
    assay_free(of->is_joined);
    for (int i = 0; of->labels != NULL && i < of->n_parts; i++)
        assay_free(of->labels[i]);
    assay_free(of->labels);
    assay_free(of->measures);
    assay_free(of->rows);
}
