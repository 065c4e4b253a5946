/* runs.c - `assay runs [EXPERIMENT]`: the runs with state, progress and last values. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

#include <time.h>

static int runs_run(const arguments *args, assay_error *error)
{
    table_format format;
    struct timespec now = {0};
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    const char *store = place_of_existing_store(args, error);
    if (store == NULL)
        return EXIT_WRONG;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return output_report(args, report_runs(store, args_operand(args, 0), now_ms, error), error);
}

static const cli_flag flags[] = {FORMAT_FLAG};

const cli_command runs_command = {
    .name = "runs",
    .operands = "[EXPERIMENT]",
    .most = 1,
    .summary = "runs with state, progress and last values",
    .details = "Shown are the runs that the newest plan of an experiment has.",
    .example = "assay runs\nassay runs mask_ablation --format csv",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = runs_run,
};
