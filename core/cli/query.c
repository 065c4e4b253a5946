/* query.c - `assay query "SQL"`: one SELECT on the store, read-only. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

enum { USUAL_ROWS = 1000000, USUAL_SECONDS = 60 };

static int query_run(const arguments *args, assay_error *error)
{
    int64_t rows = 0, seconds = 0;
    table_format format;
    if (!args_integer(args, "limit", 1, 1000000000, USUAL_ROWS, &rows, error) ||
        !args_integer(args, "seconds", 1, 86400, USUAL_SECONDS, &seconds, error) ||
        !output_format(args, &format, error))
        return EXIT_WRONG;
    const char *store = place_of_existing_store(args, error);
    if (store == NULL)
        return EXIT_WRONG;
    store_query_limits limits = {.rows = rows, .ms = seconds * 1000};
    return output_report(args, report_query(store, args_operand(args, 0), limits, error), error);
}

static const cli_flag flags[] = {
    FORMAT_FLAG,
    {.name = "limit",
     .argument = "ROWS",
     .meaning = "the most rows (1000000); a query that gives more is an error"},
    {.name = "seconds", .argument = "N", .meaning = "the longest time (60)"},
};

const cli_command query_command = {
    .name = "query",
    .operands = "\"SQL\"",
    .least = 1,
    .most = 1,
    .summary = "one SELECT on the store, read-only",
    .details = "The views for people are v_run, v_last, v_score, v_cell, v_pair, v_best and "
               "v_leaderboard; \"SELECT * FROM v_help\" explains their columns.",
    .example = "assay query \"SELECT * FROM v_cell\"\n"
               "assay query --format json \"SELECT status, count(*) AS runs FROM run GROUP BY 1\"",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = query_run,
};
