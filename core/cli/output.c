/* output.c - tables, errors and warnings of every command (output.h). */
#include "cli/output.h"

#include <assay/log.h>

#include <errno.h>
#include <math.h>
#include <string.h>

bool output_format(const arguments *args, table_format *out, assay_error *error)
{
    const char *word = args_value(args, "format");
    return table_format_of(word == NULL ? "table" : word, out, error);
}

int output_table(const arguments *args, const table *cells, assay_error *error)
{
    table_format format = TABLE_TEXT;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    return table_print(cells, format, stdout, error) ? EXIT_DONE : EXIT_FAILED;
}

int output_report(const arguments *args, report *answer, assay_error *error)
{
    table_format format = TABLE_TEXT;
    int status = EXIT_DONE;
    if (answer == NULL)
        return output_status(error);
    if (!output_format(args, &format, error))
        status = EXIT_WRONG;
    else if (!report_print(answer, format, stdout, args_has(args, "quiet") ? NULL : stderr, error))
        status = EXIT_FAILED;
    report_free(answer);
    return status;
}

void output_error(const assay_error *error)
{
    char line[2048];
    fflush(stdout);
    fprintf(stderr, "assay: %s\n", assay_error_format(error, line, sizeof line));
}

static void show_log(assay_log_level level, const char *line, void *user)
{
    (void)user;
    fflush(stdout);
    fprintf(stderr, "assay: %s: %s\n", assay_log_level_name(level), line);
}

void output_listen(bool quiet)
{
    assay_log_to(show_log, NULL, quiet ? ASSAY_LOG_ERROR : ASSAY_LOG_WARNING);
}

int output_status(const assay_error *error)
{
    switch (error->code) {
    case ASSAY_OK:
        return EXIT_DONE;
    case ASSAY_STOPPED:
        return EXIT_REMAINS;
    case ASSAY_NO_MEMORY:
    case ASSAY_NOT_FINITE:
        return EXIT_FAILED;
    case ASSAY_BAD_INPUT:
    case ASSAY_BAD_SHAPE:
    case ASSAY_BAD_FILE:
    case ASSAY_IO:
    case ASSAY_UNSUPPORTED:
        return EXIT_WRONG;
    }
    return EXIT_FAILED;
}

const char *output_duration(double seconds)
{
    if (!isfinite(seconds) || seconds < 0)
        return "-";
    if (seconds < 0.95)
        return assay_text("%.0f ms", seconds * 1e3);
    if (seconds < 99.5)
        return assay_text("%.0f s", seconds);
    if (seconds < 99.5 * 60)
        return assay_text("%.0f min", seconds / 60);
    if (seconds < 48 * 3600)
        return assay_text("%.1f h", seconds / 3600);
    return assay_text("%.1f d", seconds / 86400);
}

const char *output_quantity(double value)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    int unit = 0;
    if (!isfinite(value))
        return "-";
    if (fabs(value) < 1000)
        return assay_text("%.0f", value);
    while (fabs(value) >= 999.5 && unit < 6) {
        value /= 1000;
        unit++;
    }
    return assay_text("%.*f%s",
                      fabs(value) < 10    ? 2
                      : fabs(value) < 100 ? 1
                                          : 0,
                      value, units[unit]);
}
