/* plot_svg.c - a plot as SVG: lines, bands, axes with round values, and a legend beneath. */
#include "lab/report/cells.h"
#include "lab/report/plot.h"

#include <math.h>
#include <string.h>

/* Sizes in pixels. */
#define WIDTH   760
#define LEFT    74
#define RIGHT   20
#define TOP     44
#define DRAWING 330 /* height of the drawing */
#define ENTRY   20  /* height of a line of the legend */

/* Colours that people with any sight tell apart (Okabe and Ito); later lines are dashed. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#a08a00"};
static const char *const dashes[] = {"", "7 3", "2 3", "9 3 2 3"};
#define COLOURS ((int)(sizeof colours / sizeof *colours))

/* A text of the document: markup escaped, controls by name. */
static void put_text(const char *text, FILE *out)
{
    char name[CONTROL_BYTES];
    while (*text != '\0') {
        const char *start = text;
        unsigned code = next_code_point(&text);
        const char *control = control_name(code, name);
        if (control != NULL)
            fputs(control, out);
        else if (code == '&')
            fputs("&amp;", out);
        else if (code == '<')
            fputs("&lt;", out);
        else if (code == '>')
            fputs("&gt;", out);
        else if (code == '"')
            fputs("&quot;", out);
        else if (code == 0xfffe || code == 0xffff) /* no characters of XML */
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(start, 1, (size_t)(text - start), out);
    }
}

static double x_of(const plot *of, double step)
{
    return LEFT + plot_place(&of->x, step) * (WIDTH - LEFT - RIGHT);
}

/* A value that the scale cannot show stands at its end. */
static double y_of(const plot *of, double value)
{
    double place = fmin(fmax(plot_place(&of->y, value), 0), 1);
    return TOP + (1 - place) * DRAWING;
}

static void draw_axes(const plot *of, FILE *out)
{
    plot_tick ticks[16];
    int n = plot_ticks(&of->y, 6, ticks);
    for (int i = 0; i < n; i++) {
        double y = y_of(of, ticks[i].value);
        fprintf(out,
                "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT, y, WIDTH - RIGHT, y, LEFT - 8, y + 4, ticks[i].text);
    }
    n = plot_ticks(&of->x, 8, ticks);
    for (int i = 0; i < n; i++) {
        double x = x_of(of, ticks[i].value);
        fprintf(out,
                "<line class=\"axis\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                x, TOP + DRAWING, x, TOP + DRAWING + 5, x, TOP + DRAWING + 19, ticks[i].text);
    }
    fprintf(out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, TOP + DRAWING,
            WIDTH - RIGHT);
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step%s</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, TOP + DRAWING + 38, of->x.is_log ? " (logarithmic)" : "");
    fprintf(out, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">",
            TOP + DRAWING / 2);
    put_text(of->series, out);
    fputs(of->y.is_log ? " (logarithmic)</text>\n" : "</text>\n", out);
}

static void draw_band(const plot *of, const plot_line *line, const char *colour, FILE *out)
{
    if (line->seeds < 2 || line->n < 2)
        return;
    fprintf(out, "<path fill=\"%s\" fill-opacity=\"0.13\" d=\"", colour);
    for (int64_t i = 0; i < line->n; i++)
        fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(of, line->points[i].step),
                y_of(of, line->points[i].mean + line->points[i].sd));
    for (int64_t i = line->n - 1; i >= 0; i--)
        fprintf(out, "L%.1f %.1f", x_of(of, line->points[i].step),
                y_of(of, line->points[i].mean - line->points[i].sd));
    fputs("Z\"/>\n", out);
}

static void draw_line(const plot *of, const plot_line *line, const char *colour, const char *dash,
                      FILE *out)
{
    if (line->n == 1) {
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                x_of(of, line->points[0].step), y_of(of, line->points[0].mean), colour);
        return;
    }
    if (line->n == 0)
        return;
    fprintf(out, "<path class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"", colour,
            dash[0] == '\0' ? "none" : dash);
    for (int64_t i = 0; i < line->n; i++)
        fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(of, line->points[i].step),
                y_of(of, line->points[i].mean));
    fputs("\"/>\n", out);
}

/* The legend's columns: as many as the longest label leaves room for. */
static int legend_columns(const plot *of)
{
    size_t longest = 1;
    for (int i = 0; i < of->n_lines; i++)
        if (strlen(of->lines[i].label) > longest)
            longest = strlen(of->lines[i].label);
    int columns = (WIDTH - LEFT) / (int)(longest * 8 + 50);
    return columns < 1 ? 1 : columns > of->n_lines ? of->n_lines : columns;
}

static void draw_legend(const plot *of, int top, FILE *out)
{
    int columns = legend_columns(of), rows = (of->n_lines + columns - 1) / columns;
    for (int i = 0; i < of->n_lines; i++) {
        int x = LEFT + i / rows * ((WIDTH - LEFT - RIGHT) / columns), y = top + i % rows * ENTRY;
        const char *dash = dashes[i / COLOURS % 4];
        fprintf(out,
                "<path class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"M%d %dh28\"/>"
                "<text x=\"%d\" y=\"%d\">",
                colours[i % COLOURS], dash[0] == '\0' ? "none" : dash, x, y, x + 36, y + 4);
        put_text(of->lines[i].label, out);
        fputs("</text>\n", out);
    }
}

bool plot_svg(const plot *of, FILE *out, assay_error *error)
{
    int columns = legend_columns(of), rows = (of->n_lines + columns - 1) / columns;
    int legend = TOP + DRAWING + 64, notes = legend + rows * ENTRY + 8;
    int height = notes + of->n_notes * 17 + 8;
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" role=\"img\">\n"
            "<style>text{font:13px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}"
            ".note{font-size:12px;fill:#666}.grid{stroke:#e2e2e2}"
            ".axis{stroke:#444;fill:none}.line{fill:none;stroke-width:1.8;"
            "stroke-linejoin:round}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text class=\"title\" x=\"%d\" y=\"26\">",
            WIDTH, height, WIDTH, height, LEFT);
    put_text(of->title, out);
    fputs(": ", out);
    put_text(of->series, out);
    fputs("</text>\n", out);
    draw_axes(of, out);
    for (int i = of->n_lines - 1; i >= 0; i--)
        draw_band(of, &of->lines[i], colours[i % COLOURS], out);
    for (int i = of->n_lines - 1; i >= 0; i--)
        draw_line(of, &of->lines[i], colours[i % COLOURS], dashes[i / COLOURS % 4], out);
    draw_legend(of, legend, out);
    for (int i = 0; i < of->n_notes; i++) {
        fprintf(out, "<text class=\"note\" x=\"%d\" y=\"%d\">", LEFT, notes + 8 + i * 17);
        put_text(of->notes[i], out);
        fputs("</text>\n", out);
    }
    fputs("</svg>\n", out);
    return (fflush(out) == 0 && ferror(out) == 0) ||
           ASSAY_FAIL(error, ASSAY_IO, .what = "the drawing could not be written",
                      .got = assay_text("%m"));
}
