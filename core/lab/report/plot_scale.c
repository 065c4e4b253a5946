/* plot_scale.c - scales of a plot: places on them, and round values to mark. */
#include "lab/report/plot.h"

#include <math.h>

double plot_place(const plot_scale *scale, double value)
{
    if (!scale->is_log)
        return (value - scale->low) / (scale->high - scale->low);
    if (value <= 0)
        return -1;
    return log(value / scale->low) / log(scale->high / scale->low);
}

static void put(plot_tick out[16], int *n, double value)
{
    if (*n == 16)
        return;
    out[*n].value = value;
    snprintf(out[*n].text, sizeof out[*n].text, "%.6g", value);
    (*n)++;
}

/* 1, 2 or 5 times a power of ten. */
static double round_step(double range, int wanted)
{
    double raw = range / wanted, ten = pow(10, floor(log10(raw)));
    double digit = raw / ten;
    return ten * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static int linear_ticks(const plot_scale *scale, int wanted, plot_tick out[16])
{
    int n = 0;
    double step = round_step(scale->high - scale->low, wanted), slack = step * 1e-9;
    for (double k = ceil((scale->low - slack) / step); k * step <= scale->high + slack; k++) {
        if (n == 16)
            break;
        put(out, &n, fabs(k * step) < slack ? 0 : k * step);
    }
    return n;
}

/* Powers of ten, every so many; with others between them where there are few. */
static int log_ticks(const plot_scale *scale, int wanted, plot_tick out[16])
{
    static const double between[2][5] = {{1, 2, 5}, {1, 2, 3, 5, 7}};
    int n = 0;
    double first = floor(log10(scale->low)), last = ceil(log10(scale->high));
    double every = fmax(1, ceil((last - first) / fmax(wanted, 1)));
    bool few = scale->high / scale->low < 30;
    int digits = few ? 5 : last - first <= 3 ? 3 : 1;
    for (double k = first; k <= last; k += every)
        for (int digit = 0; digit < digits; digit++) {
            double value = between[few][digit] * pow(10, k);
            if (value >= scale->low * (1 - 1e-9) && value <= scale->high * (1 + 1e-9))
                put(out, &n, value);
        }
    return n;
}

int plot_ticks(const plot_scale *scale, int wanted, plot_tick out[16])
{
    int n = scale->is_log ? log_ticks(scale, wanted, out) : linear_ticks(scale, wanted, out);
    if (n >= 2 || !scale->is_log)
        return n;
    return linear_ticks(scale, wanted, out); /* a range within 1, 2, 5 has no round logarithms */
}
