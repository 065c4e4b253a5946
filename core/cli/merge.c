/* merge.c - `assay merge DEST SRC...`: stores of several machines become one. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

/* Every source is a store, which is found out before the destination is touched. */
static bool check_sources(const arguments *args, assay_error *error)
{
    for (int i = 1; i < args_operands(args); i++)
        if (!place_check_existing_store(args_operand(args, i), error))
            return false;
    return true;
}

static bool merge_all(store_handle *store, const arguments *args, table *cells, assay_error *error)
{
    for (int i = 1; i < args_operands(args); i++) {
        store_merge_report sum = {0};
        if (!store_merge(store, args_operand(args, i), &sum, error))
            return false;
        table_text(cells, args_operand(args, i));
        table_integer(cells, sum.runs);
        table_integer(cells, sum.taken);
        table_integer(cells, sum.kept);
        table_integer(cells, sum.running);
    }
    return true;
}

static int merge_run(const arguments *args, assay_error *error)
{
    static const char *const columns[] = {"source", "runs", "taken", "kept", "running"};
    table_format format;
    store_handle *store = NULL;
    table *cells = NULL;
    int status = EXIT_WRONG;
    if (!output_format(args, &format, error) || !place_check_store(args_operand(args, 0), error) ||
        !check_sources(args, error) || !place_make_store_folder(args_operand(args, 0), error))
        return EXIT_WRONG;
    cells = table_new(5, columns, error);
    if (cells != NULL)
        store = store_open(args_operand(args, 0), STORE_READ_WRITE, error);
    if (store == NULL)
        goto done;
    if (merge_all(store, args, cells, error))
        status = output_table(args, cells, error);
    else
        status = error->code == ASSAY_IO ? EXIT_FAILED : output_status(error);
done:
    store_free(store);
    table_free(cells);
    return status;
}

static const cli_flag flags[] = {FORMAT_FLAG};

const cli_command merge_command = {
    .name = "merge",
    .operands = "DEST SRC...",
    .least = 2,
    .most = -1,
    .summary = "join stores into DEST, which is made if it is not there",
    .details = "Runs are matched by their hashes. Of a run that both have, rows and files come "
               "whole from one: done first, then the larger last step, then the newer end. Twice "
               "is once; the sources are not changed.",
    .example = "assay merge results/all.db node1.db node2.db",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = merge_run,
};
