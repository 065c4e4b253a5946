/* plot_text.c - a plot in characters: dots of braille in colours, or a letter for each line. */
#include "lab/report/answer.h"
#include "lab/report/cells.h"
#include "lab/report/plot.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

#define LEFT 10 /* columns of the labels of y, and the axis */

/* A character of the drawing. */
typedef struct plot_cell {
    unsigned char dots; /* of braille */
    int line, band;     /* 1 + the line that is drawn here, whose band is; 0: none */
} plot_cell;

typedef struct canvas {
    const plot *of;
    const plot_terminal *on;
    plot_cell *cells;
    int width, height; /* of the drawing, in characters */
    bool letters;      /* instead of braille */
} canvas;

static const int ansi[] = {34, 33, 32, 31, 35, 36, 94, 93, 92, 91, 95, 96};

static int colour_of(int line)
{
    return ansi[line % (int)(sizeof ansi / sizeof *ansi)];
}

static char letter_of(int line)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return letters[line % (int)(sizeof letters - 1)];
}

/* One point in units of dots: 2 x 4 a character in braille, 1 x 1 else. */
static void dot(canvas *to, int line, double x, double y)
{
    static const unsigned char bits[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    int across = to->letters ? 1 : 2, down = to->letters ? 1 : 4;
    int column = (int)lround(x * (to->width * across - 1));
    int row = (int)lround((1 - y) * (to->height * down - 1));
    if (column < 0 || column >= to->width * across || row < 0 || row >= to->height * down)
        return;
    plot_cell *cell = &to->cells[row / down * to->width + column / across];
    cell->line = line + 1;
    cell->dots |= to->letters ? 0 : bits[row % 4][column % 2];
}

static void draw_line(canvas *to, int index)
{
    const plot_line *line = &to->of->lines[index];
    double x0 = 0, y0 = 0;
    for (int64_t i = 0; i < line->n; i++) {
        double x = plot_place(&to->of->x, line->points[i].step);
        double y = plot_place(&to->of->y, line->points[i].mean);
        int steps = 1;
        if (i > 0)
            steps = 1 + (int)fmax(fabs(x - x0) * to->width * 2, fabs(y - y0) * to->height * 4);
        for (int k = i > 0 ? 1 : steps; k <= steps; k++) {
            double part = (double)k / steps;
            dot(to, index, i > 0 ? x0 + (x - x0) * part : x, i > 0 ? y0 + (y - y0) * part : y);
        }
        x0 = x;
        y0 = y;
    }
}

/* The band's ends at a column between two points, as places. */
static void band_at(const canvas *to, const plot_point *a, const plot_point *b, int column,
                    double *low, double *high)
{
    const plot *of = to->of;
    double x0 = plot_place(&of->x, a->step), x1 = plot_place(&of->x, b->step);
    double part = x1 > x0 ? ((double)column / (to->width - 1) - x0) / (x1 - x0) : 0;
    double mean = a->mean + (b->mean - a->mean) * part, sd = a->sd + (b->sd - a->sd) * part;
    *low = plot_place(&of->y, mean - sd);
    *high = plot_place(&of->y, mean + sd);
}

/* Characters whose middle lies within the band. */
static void draw_band(canvas *to, int index)
{
    const plot_line *line = &to->of->lines[index];
    for (int64_t i = 0; i < line->n && line->seeds > 1; i++) {
        const plot_point *point = &line->points[i];
        const plot_point *next = i + 1 < line->n ? point + 1 : point;
        int column = (int)lround(plot_place(&to->of->x, point->step) * (to->width - 1));
        int end = (int)lround(plot_place(&to->of->x, next->step) * (to->width - 1));
        for (; column >= 0 && column <= end && column < to->width; column++) {
            double low = 0, high = 0;
            band_at(to, point, next, column, &low, &high);
            for (int row = 0; row < to->height; row++) {
                double middle = 1 - (row + 0.5) / to->height;
                if (middle >= low && middle <= high)
                    to->cells[row * to->width + column].band = index + 1;
            }
        }
    }
}

static void print_cell(const canvas *of, const plot_cell *cell, FILE *out)
{
    int line = cell->line > 0 ? cell->line : cell->band;
    if (line == 0) {
        fputc(' ', out);
        return;
    }
    if (of->on->colours)
        fprintf(out, "\x1b[%dm", colour_of(line - 1));
    if (cell->line == 0)
        fputs(of->on->unicode ? "\xe2\x96\x91" : ".", out); /* light shade */
    else if (of->letters)
        fputc(of->on->colours || of->of->n_lines > 1 ? letter_of(line - 1) : '*', out);
    else /* U+2800 + dots */
        fprintf(out, "\xe2%c%c", 0xa0 | cell->dots >> 6, 0x80 | (cell->dots & 0x3f));
    if (of->on->colours)
        fputs("\x1b[0m", out);
}

static void print_rows(const canvas *of, FILE *out)
{
    plot_tick ticks[16];
    int n = plot_ticks(&of->of->y, of->height / 4 + 1, ticks);
    for (int row = 0; row < of->height; row++) {
        const char *text = "";
        for (int i = 0; i < n; i++) {
            double y = plot_place(&of->of->y, ticks[i].value);
            if ((int)lround((1 - y) * (of->height - 1)) == row)
                text = ticks[i].text;
        }
        const char *bar = of->on->unicode ? text[0] ? "\xe2\x94\xa4" : "\xe2\x94\x82"
                          : text[0]       ? "+"
                                          : "|";
        fprintf(out, "%*.*s %s", LEFT - 2, LEFT - 2, text, bar);
        int last = of->width;
        while (last > 0 && of->cells[row * of->width + last - 1].line == 0 &&
               of->cells[row * of->width + last - 1].band == 0)
            last--;
        for (int column = 0; column < last; column++)
            print_cell(of, &of->cells[row * of->width + column], out);
        fputc('\n', out);
    }
}

/* The axis of x, and its labels beneath the marks. */
static void print_steps(const canvas *of, FILE *out)
{
    plot_tick ticks[16];
    char labels[512];
    int n = plot_ticks(&of->of->x, of->width / 14 + 1, ticks), end = 0;
    bool marked[512] = {false};
    memset(labels, ' ', sizeof labels);
    for (int i = 0; i < n; i++) {
        int column = (int)lround(plot_place(&of->of->x, ticks[i].value) * (of->width - 1));
        int length = (int)strlen(ticks[i].text);
        int at = column - length / 2 < end ? column : column - length / 2;
        if (at + length > of->width)
            at = of->width - length;
        if (at < end || at < 0)
            continue;
        memcpy(labels + at, ticks[i].text, (size_t)length);
        marked[column] = true;
        end = at + length + 1;
    }
    fprintf(out, "%*s%s", LEFT - 1, "", of->on->unicode ? "\xe2\x94\x94" : "+");
    for (int i = 0; i < of->width; i++)
        fputs(of->on->unicode ? marked[i] ? "\xe2\x94\xac" : "\xe2\x94\x80"
              : marked[i]     ? "+"
                              : "-",
              out);
    fprintf(out, "\n%*s%.*s\n%*sstep%s\n", LEFT, "", end > 0 ? end - 1 : 0, labels, LEFT, "",
            of->of->x.is_log ? " (logarithmic)" : "");
}

static void print_legend(const canvas *of, FILE *out)
{
    for (int i = 0; i < of->of->n_lines; i++) {
        const plot_line *line = &of->of->lines[i];
        if (of->on->colours)
            fprintf(out, "  \x1b[%dm%s\x1b[0m ", colour_of(i),
                    of->letters ? (char[]){letter_of(i), '\0'} : "\xe2\x94\x81\xe2\x94\x81");
        else
            fprintf(out, "  %c ", of->letters && of->of->n_lines > 1 ? letter_of(i) : '*');
        print_line(line->label, out);
        if (line->n > 0) {
            const plot_point *last = &line->points[line->n - 1];
            fprintf(out, ": %.4g", last->mean);
            if (last->seeds > 1)
                fprintf(out, " (sd %.2g, %lld seeds)", last->sd, (long long)last->seeds);
            fprintf(out, " at step %.0f", last->step);
        }
        fputc('\n', out);
    }
}

void plot_print(const plot *of, const plot_terminal *on, FILE *out)
{
    canvas to = {.of = of, .on = on, .width = on->width - LEFT, .height = on->height - 5};
    to.letters = !on->unicode || (!on->colours && of->n_lines > 1);
    to.width = to.width > 500 ? 500 : to.width < 30 ? 30 : to.width;
    to.height = to.height < 5 ? 5 : to.height;
    to.cells = assay_zalloc((int64_t)to.width * to.height * (int64_t)sizeof *to.cells, NULL);
    fputs("  ", out);
    print_line(of->series, out);
    fputs(of->y.is_log ? " (logarithmic) of " : " of ", out);
    print_line(of->title, out);
    fputc('\n', out);
    for (int i = of->n_lines - 1; i >= 0 && to.cells != NULL && of->n_lines <= 3; i--)
        draw_band(&to, i);
    for (int i = of->n_lines - 1; i >= 0 && to.cells != NULL; i--)
        draw_line(&to, i);
    if (to.cells != NULL) {
        print_rows(&to, out);
        print_steps(&to, out);
    }
    print_legend(&to, out);
    for (int i = 0; i < of->n_notes; i++) {
        fputs("  ", out);
        print_line(of->notes[i], out);
        fputc('\n', out);
    }
    assay_free(to.cells);
}
