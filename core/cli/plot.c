/* plot.c - `assay plot EXPERIMENT SERIES`: curves over steps, in the terminal or as an SVG file. */
#include "lab/report/plot.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"

#include <assay/file.h>

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MOST_AXES = 32, USUAL_WIDTH = 80, USUAL_HEIGHT = 24 };

/* Whether the locale's texts are UTF-8: its own, not the C locale that the program computes in. */
static bool is_utf8(void)
{
    locale_t own = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (own == (locale_t)0)
        return false;
    bool is = strcmp(nl_langinfo_l(CODESET, own), "UTF-8") == 0;
    freelocale(own);
    return is;
}

static plot_terminal find_terminal(int64_t width, int64_t height, bool ascii)
{
    struct winsize window = {0};
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    bool is_terminal = isatty(STDOUT_FILENO) == 1;
    if (is_terminal && width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 &&
        window.ws_col >= 40)
        width = window.ws_col > 160 ? 160 : window.ws_col;
    return (plot_terminal){
        .width = width == 0 ? USUAL_WIDTH : (int)width,
        .height = height == 0 ? USUAL_HEIGHT : (int)height,
        .unicode = !ascii && is_utf8(),
        .colours = is_terminal && term != NULL && strcmp(term, "dumb") != 0 &&
                   (no_colour == NULL || no_colour[0] == '\0'),
    };
}

/* The whole drawing, then the file: there is never a part of one. */
static int write_svg(const plot *of, const char *path, assay_error *error)
{
    char *text = NULL;
    size_t bytes = 0, length = strlen(path);
    if (length < 4 || strcmp(path + length - 4, ".svg") != 0) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay plot -o", .what = "a drawing is SVG",
                   .expected = "a name that ends in .svg", .got = path);
        return EXIT_WRONG;
    }
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for a drawing");
        return EXIT_FAILED;
    }
    bool ok = plot_svg(of, out, error);
    fclose(out);
    ok = ok && assay_publish(path, text, (int64_t)bytes, error);
    free(text);
    return ok ? EXIT_DONE : output_status(error);
}

static int show(const arguments *args, const plot *of, assay_error *error)
{
    int64_t width = 0, height = 0;
    if (args_has(args, "output"))
        return write_svg(of, args_value(args, "output"), error);
    if (args_has(args, "format"))
        return output_report(args, plot_report(of, error), error);
    if (!args_integer(args, "width", 40, 500, 0, &width, error) ||
        !args_integer(args, "height", 10, 200, 0, &height, error))
        return EXIT_WRONG;
    plot_terminal on = find_terminal(width, height, args_has(args, "ascii"));
    plot_print(of, &on, stdout);
    return EXIT_DONE;
}

static int plot_run(const arguments *args, assay_error *error)
{
    table_format format;
    const char *by[MOST_AXES], *where[MOST_AXES];
    plot_request asked = {.experiment = args_operand(args, 0),
                          .series = args_operand(args, 1),
                          .stage = args_value(args, "stage"),
                          .by_count = args_values(args, "by"),
                          .by = by,
                          .where_count = args_values(args, "where"),
                          .where = where,
                          .log_x = args_has(args, "log-x"),
                          .log_y = args_has(args, "log")};
    if (!output_format(args, &format, error) ||
        !args_integer(args, "from", 0, INT64_MAX, 0, &asked.from, error))
        return EXIT_WRONG;
    if (asked.by_count > MOST_AXES || asked.where_count > MOST_AXES) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "assay plot", .what = "too many axes",
                   .expected = assay_text("at most %d", MOST_AXES));
        return EXIT_WRONG;
    }
    for (int i = 0; i < asked.by_count; i++)
        by[i] = args_value_at(args, "by", i);
    for (int i = 0; i < asked.where_count; i++)
        where[i] = args_value_at(args, "where", i);
    const char *store = place_of_existing_store(args, error);
    if (store == NULL)
        return EXIT_WRONG;
    plot *of = plot_new(store, &asked, error);
    int status = of == NULL ? output_status(error) : show(args, of, error);
    plot_free(of);
    return status;
}

static const cli_flag flags[] = {
    {.name = "by",
     .argument = "AXIS",
     .repeatable = true,
     .meaning = "name the lines by the values of this axis (all axes); repeatable"},
    {.name = "where",
     .argument = "AXIS=VALUE",
     .repeatable = true,
     .meaning = "only cells with this value (all cells); repeatable"},
    {.name = "stage", .argument = "STAGE", .meaning = "the runs of this stage (main)"},
    {.name = "from", .argument = "STEP", .meaning = "the first step that is shown (0)"},
    {.name = "log", .meaning = "the values on a logarithmic scale"},
    {.name = "log-x", .meaning = "the steps on a logarithmic scale"},
    {.name = "output", .letter = 'o', .argument = "FILE.svg", .meaning = "draw into a file"},
    {.name = "width", .argument = "N", .meaning = "characters across (the terminal's, or 80)"},
    {.name = "height", .argument = "N", .meaning = "lines of text for the drawing (24)"},
    {.name = "ascii", .meaning = "plain characters (where the locale is not UTF-8)"},
    FORMAT_FLAG,
};

const cli_command plot_command = {
    .name = "plot",
    .operands = "EXPERIMENT SERIES",
    .least = 2,
    .most = 2,
    .summary = "curves over steps: mean and spread over seeds, a line for each cell",
    .details =
        "In a terminal the lines have colours; without colours each of several has a letter, "
        "and where lines meet the first is seen. --format prints the points instead. Several "
        "cells are never averaged: --by must tell them apart, or --where choose among them.",
    .example = "assay plot mask_ablation loss\n"
               "assay plot mask_ablation mask/weight_mean --log-x -o weights.svg\n"
               "assay plot mask_ablation loss --format csv > loss.csv",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = plot_run,
};
