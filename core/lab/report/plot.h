/* lab/report/plot.h - curves over steps: a line for each cell, its mean over seeds and a band of
 * one sample standard deviation; drawn for a terminal, as SVG, or given as a table. */
#ifndef LAB_REPORT_PLOT_H
#define LAB_REPORT_PLOT_H

#include "lab/report/report.h"

typedef struct plot_request {
    const char *experiment, *series;
    const char *stage; /* NULL: main */
    int by_count;      /* axes that name the lines; 0: all */
    const char *const *by;
    int where_count; /* only cells with these values, "axis=value" */
    const char *const *where;
    bool log_x, log_y;
    int64_t from; /* the first step that is shown */
} plot_request;

typedef struct plot_point {
    double step, mean, sd; /* sd 0: one seed */
    int64_t seeds;
} plot_point;

typedef struct plot_line {
    char *label;        /* owned */
    plot_point *points; /* owned, steps ascending */
    int64_t n;
    int64_t seeds; /* the most of any point */
} plot_line;

typedef struct plot_scale {
    double low, high; /* low < high; positive where is_log */
    bool is_log;
} plot_scale;

typedef struct plot {
    char *title, *series; /* owned */
    plot_line *lines;
    int n_lines, n_notes;
    plot_scale x, y;
    char *notes[8]; /* owned: what was left out, what the points are */
} plot;

/* Reads the curves of the experiment's newest plan, of runs that go on too. Long ones are put into
 * bins of equal numbers of steps, each run by its mean. Cells that would be named alike are an
 * error. The caller owns the plot. NULL on failure. */
plot *plot_new(const char *store, const plot_request *asked, assay_error *error);
void plot_free(plot *of); /* accepts NULL */

/* The points as a report: line, step, seeds, mean, sd. */
report *plot_report(const plot *of, assay_error *error);

typedef struct plot_terminal {
    int width, height; /* in characters, all in all; at least 40 x 10 */
    bool unicode;      /* else plain ASCII */
    bool colours;      /* else each of several lines is drawn by a letter of its own */
} plot_terminal;
void plot_print(const plot *of, const plot_terminal *on, FILE *out);

/* A whole SVG file. False when `out` cannot be written. */
bool plot_svg(const plot *of, FILE *out, assay_error *error);

/* ---- for the files that draw ---- */

/* Where `value` lies between low (0) and high (1). */
double plot_place(const plot_scale *scale, double value);

typedef struct plot_tick {
    double value;
    char text[24];
} plot_tick;

/* Round values within the scale, about `wanted` of them, at most 16. Returns how many. */
int plot_ticks(const plot_scale *scale, int wanted, plot_tick out[16]);

#endif
