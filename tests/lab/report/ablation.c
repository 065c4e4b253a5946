/* ablation.c - see ablation.h. */
#include "ablation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct planned_texts {
    char run_hash[72], cell_hash[72];
} planned_texts;

void plan_cells(const test_place *place, const char *experiment, int n, const test_cell *cells,
                int n_seeds)
{
    assay_error error = {0};
    int n_runs = n * n_seeds;
    store_planned_run *runs = calloc((size_t)n_runs, sizeof *runs);
    planned_texts *texts = calloc((size_t)n_runs, sizeof *texts);
    store_axis(*axes)[3] = calloc((size_t)n, sizeof *axes);
    for (int i = 0; i < n_runs; i++) {
        const test_cell *cell = &cells[i / n_seeds];
        int seed = i % n_seeds + 1;
        for (int axis = 0; axis < cell->n_axes; axis++)
            axes[i / n_seeds][axis] =
                (store_axis){.name = cell->axes[axis].name, .value = cell->axes[axis].value};
        snprintf(texts[i].cell_hash, sizeof texts[i].cell_hash, "cell-%s", cell->label);
        snprintf(texts[i].run_hash, sizeof texts[i].run_hash, "%02d%s", seed, cell->label);
        runs[i] = (store_planned_run){.run_hash = texts[i].run_hash,
                                      .cell_hash = texts[i].cell_hash,
                                      .seed = seed,
                                      .total_steps = 100,
                                      .device = "cpu",
                                      .dataset = "synth",
                                      .stage = "main",
                                      .label = cell->label,
                                      .n_axes = cell->n_axes,
                                      .axes = axes[i / n_seeds]};
    }
    store_handle *store = must_open(place);
    if (!store_put_plan(store, experiment, n_runs, runs, NULL, &error))
        fail_msg("%s: %s", error.what, error.got);
    store_free(store);
    free(axes);
    free(texts);
    free(runs);
}

void put_score(const test_place *place, int64_t run_id, const char *benchmark, const char *metric,
               const char *split, int64_t step, double value)
{
    char sql[512], number[32] = "NULL";
    const char *nonfinite = "NULL";
    if (isfinite(value))
        snprintf(number, sizeof number, "%.17g", value);
    else
        nonfinite = isnan(value) ? "'nan'" : value > 0 ? "'+inf'" : "'-inf'";
    snprintf(sql, sizeof sql,
             "UPDATE run SET status = 'done' WHERE run_id = %lld; INSERT INTO score VALUES(%lld, "
             "'credit', '%s', '%s', '%s', %lld, %s, %s, NULL, NULL, NULL)",
             (long long)run_id, (long long)run_id, benchmark, metric, split, (long long)step,
             number, nonfinite);
    must_do(place, sql);
}

void put_scores(const test_place *place, int64_t first_run, int n, const double *values)
{
    for (int i = 0; i < n; i++)
        put_score(place, first_run + i, "default", "auc", "test", 100, values[i]);
}

char *print_report(report *made, table_format format, char **notes)
{
    char *text = NULL;
    size_t bytes = 0, note_bytes = 0;
    assay_error error = {0};
    FILE *out = open_memstream(&text, &bytes);
    FILE *said = notes == NULL ? NULL : open_memstream(notes, &note_bytes);
    if (!report_print(made, format, out, said, &error))
        fail_msg("%s", error.what);
    fclose(out);
    if (said != NULL)
        fclose(said);
    return text;
}

static bool is_noted(const report *made, const char *part)
{
    for (int i = 0; i < report_notes(made); i++)
        if (strstr(report_note(made, i), part) != NULL)
            return true;
    return false;
}

void assert_noted(const report *made, const char *part)
{
    if (is_noted(made, part))
        return;
    for (int i = 0; i < report_notes(made); i++)
        print_error("%s\n", report_note(made, i));
    fail_msg("no note says: %s", part);
}

void assert_not_noted(const report *made, const char *part)
{
    if (is_noted(made, part))
        fail_msg("a note says: %s", part);
}
