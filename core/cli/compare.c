/* compare.c - `assay compare EXPERIMENT`: the ablation table, with what it can and cannot show. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

enum { MOST_AXES = 32, MOST_MATCHES = 128 };

static int compare_run(const arguments *args, assay_error *error)
{
    table_format format;
    const char *by[MOST_AXES], *where[MOST_AXES], *match[MOST_MATCHES], *join[MOST_AXES];
    int by_count = args_values(args, "by"), where_count = args_values(args, "where");
    int join_count = args_values(args, "join");
    int match_count = args_values(args, "match");
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    if (by_count > MOST_AXES || where_count > MOST_AXES || join_count > MOST_AXES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay compare",
                   .what = "too many axes to compare by",
                   .expected = assay_text("at most %d", MOST_AXES));
        return EXIT_WRONG;
    }
    if (match_count > MOST_MATCHES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay compare", .what = "too many matches",
                   .expected = assay_text("at most %d", MOST_MATCHES));
        return EXIT_WRONG;
    }
    if (match_count > 0 && !args_has(args, "published")) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay compare",
                   .what = "--match says what published numbers belong to a cell",
                   .expected = "--published beside it");
        return EXIT_WRONG;
    }
    if (args_has(args, "wide") + args_has(args, "each") + args_has(args, "benchmark") > 1 ||
        (args_has(args, "wide") && args_has(args, "published"))) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay compare",
                   .what = "the table has one form",
                   .expected = "one of --wide, --each and --benchmark, or --published with one of "
                               "the last two");
        return EXIT_WRONG;
    }
    for (int i = 0; i < match_count; i++)
        match[i] = args_value_at(args, "match", i);
    for (int i = 0; i < join_count; i++)
        join[i] = args_value_at(args, "join", i);
    for (int i = 0; i < by_count; i++)
        by[i] = args_value_at(args, "by", i);
    for (int i = 0; i < where_count; i++)
        where[i] = args_value_at(args, "where", i);
    const char *store = place_of_existing_store(args, error);
    if (store == NULL)
        return EXIT_WRONG;
    report_comparison asked = {
        .experiment = args_operand(args, 0),
        .by_count = by_count,
        .by = by,
        .where_count = where_count,
        .where = where,
        .join_count = join_count,
        .join = join,
        .metric = args_value(args, "metric"),
        .suite = args_value(args, "suite"),
        .split = args_value(args, "split"),
        .stage = args_value(args, "stage"),
        .baseline = args_value(args, "baseline"),
        .benchmark = args_value(args, "benchmark"),
        .each = args_has(args, "each"),
        .wide = args_has(args, "wide"),
        .published = args_value(args, "published"),
        .match_count = match_count,
        .match = match,
    };
    return output_report(args, report_compare(store, &asked, error), error);
}

static const cli_flag flags[] = {
    {.name = "by",
     .argument = "AXIS",
     .repeatable = true,
     .meaning = "compare the values of this axis, at equal values of the others (all axes); "
                "repeatable"},
    {.name = "where",
     .argument = "AXIS=VALUE",
     .repeatable = true,
     .meaning = "only cells with this value (all cells); repeatable"},
    {.name = "join",
     .argument = "AXIS",
     .repeatable = true,
     .meaning =
         "cells that differ in this axis alone are one row, with the benchmarks that each has "
         "(a model trained for each of them); repeatable"},
    {.name = "metric", .argument = "METRIC", .meaning = "auc, ks ... (the first by name)"},
    {.name = "suite", .argument = "SUITE", .meaning = "one suite (every one with the metric)"},
    {.name = "benchmark",
     .argument = "NAME",
     .meaning = "one benchmark (the mean over each suite's, seed by seed)"},
    {.name = "each", .meaning = "every benchmark in rows of its own, instead of the mean"},
    {.name = "wide",
     .meaning = "a row a cell, a column a benchmark and one for the mean, as papers print it"},
    {.name = "split", .argument = "SPLIT", .meaning = "valid or test (test, where there is one)"},
    {.name = "stage", .argument = "STAGE", .meaning = "the runs of this stage (main)"},
    {.name = "baseline",
     .argument = "VALUE",
     .meaning = "what the others are compared with: a value of an axis, AXIS=VALUE, or a cell "
                "(the first in the plan)"},
    {.name = "published",
     .argument = "PAPER[/PLACE]",
     .meaning = "what a paper's table has to the same beside ours: gg-sm/2, \"Q-Anchor/Table 3\""},
    {.name = "match",
     .argument = "CELL=METHOD",
     .repeatable = true,
     .meaning = "the paper's row that belongs to a cell (by what is known of the row, or equal "
                "names); repeatable"},
    FORMAT_FLAG,
};

const cli_command compare_command = {
    .name = "compare",
    .operands = "EXPERIMENT",
    .least = 1,
    .most = 1,
    .summary = "the ablation table: mean, spread and paired differences over seeds",
    .details = "Each row is a cell: mean and standard deviation over its seeds, the difference to "
               "the baseline paired by seed with a 95 % interval, and the exact two-sided "
               "sign-flip p, also after Holm's correction. The notes say what so few seeds cannot "
               "show.",
    .example = "assay compare mask_ablation\n"
               "assay compare mask_ablation --wide --metric ks\n"
               "assay compare mask_ablation --published gg-sm/2 --baseline causal\n"
               "assay compare mask_ablation --by mask --where model.size=tiny --baseline causal",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = compare_run,
};
