/* plan.c - `assay plan SCRIPT.lua`: every run that the script asks for, and what it costs. */
#include "cli/commands.h"
#include "cli/estimate.h"
#include "cli/known.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/prepare.h"

#include <assay/memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_SHOWN = 12, MOST_AXES = 64 };

typedef struct overview {
    const preparation *prepared;
    known_run *known; /* per run */
    double *seconds;  /* per run: measured or estimated; 0: unknown */
    bool for_people;  /* short quantities, else plain numbers */
    int axis_count;
    const char *axes[MOST_AXES]; /* the names of all axes, for programs */
} overview;

/* ---- what a run costs ---- */

static bool is_measured(const known_run *known)
{
    return known->own_seconds > 0 || known->cell_seconds > 0;
}

static bool find_seconds(overview *out, assay_error *error)
{
    const preparation *prepared = out->prepared;
    double speed = 0;
    for (int i = 0; i < prepared->plan->run_count; i++) {
        const known_run *known = &out->known[i];
        double flops = prepared->facts[prepared->facts_of[i]].flops;
        if (is_measured(known)) {
            out->seconds[i] = known->own_seconds > 0 ? known->own_seconds : known->cell_seconds;
        } else if (flops > 0) {
            if (speed == 0)
                speed = estimate_speed(error);
            if (speed == 0)
                return false;
            out->seconds[i] = flops / speed;
        }
    }
    return true;
}

/* ---- the table of runs ---- */

static void collect_axes(overview *out)
{
    const plan *of = out->prepared->plan;
    for (int i = 0; i < of->run_count; i++)
        for (int k = 0; k < of->runs[i].axis_count; k++) {
            int at = 0;
            while (at < out->axis_count && strcmp(out->axes[at], of->runs[i].axes[k].name) != 0)
                at++;
            if (at == out->axis_count && at < MOST_AXES)
                out->axes[out->axis_count++] = of->runs[i].axes[k].name;
        }
}

static void add_amount(const overview *in, table *cells, double value, const char *unit)
{
    if (in->for_people)
        table_text(cells, assay_text("%s%s", output_quantity(value), unit));
    else
        table_number(cells, value, 0);
}

static void add_axis(table *cells, const plan_run *run, const char *axis)
{
    for (int i = 0; i < run->axis_count; i++)
        if (strcmp(run->axes[i].name, axis) == 0) {
            if (run->axes[i].is_number)
                table_number(cells, run->axes[i].number, -1);
            else
                table_text(cells, run->axes[i].value);
            return;
        }
    table_text(cells, NULL);
}

static void add_run(const overview *in, table *cells, int i)
{
    const plan_run *run = &in->prepared->plan->runs[i];
    const recipe_facts *facts = &in->prepared->facts[in->prepared->facts_of[i]];
    const known_run *known = &in->known[i];
    table_integer(cells, i + 1);
    table_text(cells, run->stage);
    table_text(cells, run->label);
    table_integer(cells, run->recipe.seed);
    table_text(cells,
               in->for_people ? assay_text("%.*s", HASH_SHOWN, run->run_hash) : run->run_hash);
    add_amount(in, cells, (double)facts->parameters, "");
    add_amount(in, cells, (double)facts->trainable, "");
    add_amount(in, cells, (double)facts->samples, "");
    add_amount(in, cells, facts->flops, "");
    add_amount(in, cells, facts->memory_bytes, "B");
    bool unknown = in->seconds[i] <= 0; /* nothing is trained, and evaluation is not counted */
    if (in->for_people)
        table_text(cells, unknown ? "-"
                                  : assay_text("%s%s", is_measured(known) ? "" : "~",
                                               output_duration(in->seconds[i])));
    else
        table_number(cells, unknown ? (double)NAN : in->seconds[i], 3);
    table_text(cells, unknown ? "unknown" : is_measured(known) ? "measured" : "estimated");
    table_text(cells, known->status[0] != '\0' ? known->status : "new");
    for (int k = 0; k < in->axis_count; k++)
        add_axis(cells, run, in->axes[k]);
}

static table *make_runs(const overview *in, assay_error *error)
{
    const char *columns[13 + MOST_AXES] = {"run",
                                           "stage",
                                           "cell",
                                           "seed",
                                           "hash",
                                           "parameters",
                                           "trainable",
                                           "samples",
                                           "flops",
                                           "memory",
                                           in->for_people ? "time" : "seconds",
                                           "basis",
                                           "state"};
    char names[MOST_AXES][128];
    for (int i = 0; i < in->axis_count; i++) {
        snprintf(names[i], sizeof names[i], "axis:%s", in->axes[i]);
        columns[13 + i] = names[i];
    }
    table *cells = table_new(13 + in->axis_count, columns, error);
    for (int i = 0; cells != NULL && i < in->prepared->plan->run_count; i++)
        add_run(in, cells, i);
    return cells;
}

/* ---- the table of parts: one block per different model ---- */

static bool same_parts(const recipe_facts *a, const recipe_facts *b)
{
    if (a->part_count != b->part_count || a->parameters != b->parameters ||
        a->trainable != b->trainable)
        return false;
    for (int i = 0; i < a->part_count; i++)
        if (strcmp(a->parts[i].name, b->parts[i].name) != 0 ||
            a->parts[i].total != b->parts[i].total ||
            a->parts[i].trainable != b->parts[i].trainable)
            return false;
    return true;
}

/* Whether an earlier run has the same parts, so that they are listed already. */
static bool is_repeated(const preparation *prepared, int facts)
{
    for (int i = 0; i < facts; i++)
        if (same_parts(&prepared->facts[i], &prepared->facts[facts]))
            return true;
    return false;
}

static void add_part(const overview *in, table *cells, const char *cell, const char *name,
                     int64_t total, int64_t trainable)
{
    table_text(cells, cell);
    table_text(cells, name);
    add_amount(in, cells, (double)total, "");
    add_amount(in, cells, (double)trainable, "");
}

/* A number that not every part has. */
static void add_or_leave(const overview *in, table *cells, double value)
{
    if (value > 0)
        add_amount(in, cells, value, "");
    else
        table_text(cells, NULL);
}

static void add_parts(const overview *in, table *cells, const char *cell, const recipe_facts *facts)
{
    for (int k = 0; k < facts->part_count; k++) {
        add_part(in, cells, cell, facts->parts[k].name, facts->parts[k].total,
                 facts->parts[k].trainable);
        add_or_leave(in, cells, 0);
        add_or_leave(in, cells, 0);
    }
    add_part(in, cells, cell, "all", facts->parameters, facts->trainable);
    add_or_leave(in, cells, facts->sample_flops);
    add_or_leave(in, cells, facts->counted);
}

static table *make_parts(const overview *in, assay_error *error)
{
    /* Of one sample's forward pass: operations, and what published tables count. */
    static const char *const columns[] = {"first cell", "part",         "parameters",
                                          "trainable",  "sample flops", "published MACs"};
    const preparation *prepared = in->prepared;
    table *cells = table_new(6, columns, error);
    int listed = 0;
    for (int i = 0; cells != NULL && i < prepared->plan->run_count; i++) {
        int which = prepared->facts_of[i];
        if (which < listed)
            continue;
        listed = which + 1;
        if (is_repeated(prepared, which))
            continue;
        const recipe_facts *facts = &prepared->facts[which];
        add_parts(in, cells, prepared->plan->runs[i].label, facts);
    }
    return cells;
}

/* ---- the command ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* -1 without the memory to count them. */
static int count_cells(const plan *of, assay_error *error)
{
    int cells = 0, n = of->run_count;
    const char **hashes = assay_alloc((n + 1) * (int64_t)sizeof *hashes, error);
    if (hashes == NULL)
        return -1;
    for (int i = 0; i < n; i++)
        hashes[i] = of->runs[i].cell_hash;
    qsort(hashes, (size_t)n, sizeof *hashes, by_text);
    for (int i = 0; i < n; i++)
        cells += i == 0 || strcmp(hashes[i], hashes[i - 1]) != 0;
    assay_free(hashes);
    return cells;
}

static bool print_sums(const overview *in, assay_error *error)
{
    const plan *of = in->prepared->plan;
    int done = 0, cells = count_cells(of, error);
    double seconds = 0;
    if (cells < 0)
        return false;
    for (int i = 0; i < of->run_count; i++) {
        if (strcmp(in->known[i].status, "done") == 0)
            done++;
        else
            seconds += in->seconds[i];
    }
    printf("\n%s: %d %s in %d %s; %d done, %d to do", of->name, of->run_count,
           of->run_count == 1 ? "run" : "runs", cells, cells == 1 ? "cell" : "cells", done,
           of->run_count - done);
    if (done < of->run_count)
        printf(", about %s one after another", output_duration(seconds));
    puts("");
    return true;
}

static int print_plan(const arguments *args, overview *view, assay_error *error)
{
    table *cells = args_has(args, "parts") ? make_parts(view, error) : make_runs(view, error);
    if (cells == NULL)
        return EXIT_FAILED;
    int status = output_table(args, cells, error);
    bool sums = view->for_people && !args_has(args, "parts") && !args_has(args, "quiet");
    if (status == EXIT_DONE && sums && !print_sums(view, error))
        status = EXIT_FAILED;
    table_free(cells);
    return status;
}

static int plan_run_command(const arguments *args, assay_error *error)
{
    preparation prepared;
    overview view = {.prepared = &prepared};
    table_format format;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    if (!prepare(args, args_operand(args, 0), &(preparing){0}, &prepared, error))
        return output_status(error);
    int status = EXIT_FAILED;
    int n = prepared.plan->run_count;
    view.for_people = format == TABLE_TEXT || format == TABLE_MARKDOWN || format == TABLE_LATEX;
    view.known = assay_zalloc((n + 1) * (int64_t)sizeof *view.known, error);
    view.seconds = assay_zalloc((n + 1) * (int64_t)sizeof *view.seconds, error);
    if (view.known == NULL || view.seconds == NULL)
        goto done;
    if (!known_read(place_of_store(args), prepared.plan, view.known, error)) {
        status = output_status(error);
        goto done;
    }
    if (!find_seconds(&view, error))
        goto done;
    if (!view.for_people)
        collect_axes(&view);
    status = print_plan(args, &view, error);
done:
    assay_free(view.known);
    assay_free(view.seconds);
    prepared_clear(&prepared);
    return status;
}

static const cli_flag flags[] = {
    SET_FLAG,
    {.name = "parts", .meaning = "parameters by part of the model instead of the runs"},
    DEVICE_FLAG,
    FORMAT_FLAG,
};

const cli_command plan_command = {
    .name = "plan",
    .operands = "SCRIPT.lua",
    .least = 1,
    .most = 1,
    .summary = "every run that a script asks for, and its cost; trains nothing",
    .details = "Listed are axes, seed, parameters (all, trainable), samples of the training split, "
               "floating-point operations and memory of the training, and its time: measured, when "
               "the store has a finished run of the same cell; else estimated from a short "
               "measurement of this machine's speed, evaluation not counted. The state is the "
               "store's. Data is indexed if it was not; nothing is written to the store.",
    .example = "assay plan experiments/quickstart.lua\n"
               "assay plan sweep.lua --set train.steps=10 --parts",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = plan_run_command,
};
