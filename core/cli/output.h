/* cli/output.h - what commands print, and with which status they end. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/args.h"
#include "lab/report/report.h"

/* For the table of flags of a command that prints tables. */
#define FORMAT_FLAG                                                                                \
    {                                                                                              \
        .name = "format", .argument = "FORMAT",                                                    \
        .meaning = "table (the default), json, csv, markdown or latex"                             \
    }

/* The format asked for. */
bool output_format(const arguments *args, table_format *out, assay_error *error);

/* Prints to stdout. EXIT_DONE, or another status with the error set. */
int output_table(const arguments *args, const table *table, assay_error *error);
/* The same for a report, which may be NULL: then *error says why. Frees the report. */
int output_report(const arguments *args, report *answer, assay_error *error);

/* Prints the error on stderr as one line, "assay: ...". */
void output_error(const assay_error *error);
/* Shows warnings of the libraries on stderr, or, quiet, errors only. */
void output_listen(bool quiet);

/* What an error before any work means: EXIT_WRONG for everything that the user chose, EXIT_FAILED
 * for what the machine could not do, EXIT_REMAINS for a request to stop. */
int output_status(const assay_error *error);

/* "9 s", "12 min", "3.4 h", "2.1 d"; "12.3 k", "1.20 G": texts for people, borrowed like
 * assay_text. */
const char *output_duration(double seconds);
const char *output_quantity(double value);

#endif
