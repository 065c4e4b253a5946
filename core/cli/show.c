/* show.c - `assay show RUN [RUN]`: everything about a run, or what differs between two. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

static int show_run(const arguments *args, assay_error *error)
{
    table_format format;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    const char *store = place_of_existing_store(args, error);
    if (store == NULL)
        return EXIT_WRONG;
    return output_report(
        args, report_show(store, args_operand(args, 0), args_operand(args, 1), error), error);
}

static const cli_flag flags[] = {FORMAT_FLAG};

const cli_command show_command = {
    .name = "show",
    .operands = "RUN [RUN]",
    .least = 1,
    .most = 2,
    .summary = "everything about a run; of two runs only what differs",
    .details = "RUN is a number as in 'assay runs', or the beginning of a run's hash.",
    .example = "assay show 12\nassay show 3f9c 8b21",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = show_run,
};
