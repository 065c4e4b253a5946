/* sensor.c - see sensor.h. */
#include "sensor.h"

#include <math.h>
#include <string.h>

void sensor_choose(sensor *s, uint64_t seed, double netd, double nonuniformity, double blur,
                   uint64_t frame)
{
    static const double sharpness[SENSOR_MODELS] = {0.8, 1, 1.25, 0.9};
    assay_stream stream = assay_stream_of(seed, "thermal_synth/camera", frame);
    int model = (int)assay_random_below(stream, 0, SENSOR_MODELS);
    *s = (sensor){seed, netd, nonuniformity, blur * sharpness[model], model % 2 == 1, model};
}

/* ---- optics ---- */

#define MOST_TAPS 33

static void blur_line(const float *in, int64_t n, int64_t stride, const float *taps, int reach,
                      float *out)
{
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int k = -reach; k <= reach; k++) {
            int64_t at = i + k < 0 ? 0 : i + k >= n ? n - 1 : i + k;
            sum += taps[k + reach] * in[at * stride];
        }
        out[i] = sum;
    }
}

static void blur(double spread, int64_t width, int64_t height, float *plane, float *line)
{
    int reach = (int)ceil(3 * spread);
    float taps[MOST_TAPS], sum = 0;
    reach = reach > MOST_TAPS / 2 ? MOST_TAPS / 2 : reach;
    for (int k = -reach; k <= reach; k++)
        sum += taps[k + reach] = (float)exp(-0.5 * k * k / (spread * spread));
    for (int k = 0; k <= 2 * reach; k++)
        taps[k] /= sum;
    for (int64_t y = 0; y < height; y++) {
        blur_line(plane + y * width, width, 1, taps, reach, line);
        memcpy(plane + y * width, line, (size_t)width * sizeof *line);
    }
    for (int64_t x = 0; x < width; x++) {
        blur_line(plane + x, height, width, taps, reach, line);
        for (int64_t y = 0; y < height; y++)
            plane[y * width + x] = line[y];
    }
}

/* ---- detector ---- */

/* What stays of a camera from frame to frame, as numbers of spread 1: of every column, and of the
 * row of pixels under way. */
typedef struct pattern {
    float *columns, *gains, *pixels;
    double row;
} pattern;

/* Kelvins that pixel x of the row at `down` (-1 top .. 1 bottom) is off by: every pixel, every
 * column and every row by itself. Their variances are 0.5, 0.3 and 0.1 of the whole; what is left
 * is a shade towards the corners. */
static double offset_at(const pattern *p, double spread, int64_t x, int64_t width, double down)
{
    double across = 2.0 * (double)x / (double)width - 1;
    double shade = 1.2 * (0.5 * (across * across + down * down) - 0.33);
    return spread *
           (0.707 * (double)p->pixels[x] + 0.548 * (double)p->columns[x] + 0.316 * p->row + shade);
}

static uint16_t count_of(double kelvin)
{
    double count = nearbyint(8192 + SENSOR_KELVIN * kelvin);
    return (uint16_t)(count < 0 ? 0 : count > SENSOR_TOP ? SENSOR_TOP : count);
}

bool sensor_expose(const sensor *s, const band *table, uint64_t frame, int64_t width,
                   int64_t height, float *radiance, uint16_t *counts, assay_arena *arena,
                   assay_error *error)
{
    int64_t side = width > height ? width : height, bytes = 5 * side * (int64_t)sizeof(float);
    float *line = assay_arena_alloc(arena, bytes, error);
    if (line == NULL)
        return false;
    float *noise = line + 4 * side, middle = band_of(table, 300);
    pattern p = {line + side, line + 2 * side, line + 3 * side, 0};
    uint64_t model = (uint64_t)s->model;
    const assay_stream temporal = assay_stream_of(s->seed, "thermal_synth/noise", frame);
    const assay_stream rows = assay_stream_of(s->seed, "thermal_synth/rows", model);
    const assay_stream pixels = assay_stream_of(s->seed, "thermal_synth/pixels", model);
    assay_random_fill_normal(assay_stream_of(s->seed, "thermal_synth/columns", model), 0, width,
                             p.columns);
    assay_random_fill_uniform(assay_stream_of(s->seed, "thermal_synth/gains", model), 0, width,
                              p.gains);
    if (s->blur > 0.05)
        blur(s->blur, width, height, radiance, line);
    for (int64_t y = 0; y < height; y++) {
        double down = 2.0 * (double)y / (double)height - 1;
        p.row = (double)assay_random_normal(rows, (uint64_t)y);
        assay_random_fill_normal(pixels, (uint64_t)(y * width), width, p.pixels);
        assay_random_fill_normal(temporal, (uint64_t)(y * width), width, noise);
        for (int64_t x = 0; x < width; x++) {
            double kelvin = (double)((radiance[y * width + x] - middle) / table->slope);
            kelvin += offset_at(&p, s->nonuniformity, x, width, down);
            kelvin *= 1 + 0.02 * s->nonuniformity * (double)p.gains[x];
            counts[y * width + x] = count_of(kelvin + s->netd * (double)noise[x]);
        }
    }
    assay_arena_release(arena, line, bytes);
    return true;
}

/* ---- automatic gain ---- */

/* The count that `share` of the pixels lie below. */
static int percentile(const int32_t *histogram, int64_t n, double share)
{
    int64_t wanted = (int64_t)(share * (double)n), seen = 0;
    int count = 0;
    while (count < SENSOR_TOP && seen + histogram[count] <= wanted)
        seen += histogram[count++];
    return count;
}

/* Gray in proportion to the count. The median and what is warmer than it (to one pixel in 200) set
 * the range, so that a cold sky turns black instead of taking all grays from the ground. */
static void stretch(const int32_t *histogram, int64_t n, uint8_t *table)
{
    double low = percentile(histogram, n, 0.005), middle = percentile(histogram, n, 0.5);
    double reach = percentile(histogram, n, 0.995) - middle;
    reach = reach < 3 * SENSOR_KELVIN ? 3 * SENSOR_KELVIN : reach;
    low = low < middle - 0.7 * reach ? middle - 0.7 * reach : low;
    double scale = 245 / (middle + 1.05 * reach - low);
    for (int count = 0; count <= SENSOR_TOP; count++) {
        double v = 5 + scale * (count - low);
        table[count] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
    }
}

/* Histogram equalisation in which no count weighs more than a plateau, which keeps large even areas
 * from taking all grays. */
static void equalise(const int32_t *histogram, int64_t n, uint8_t *table)
{
    double plateau = 0.0004 * (double)n + 1, sum = 0, all = 0;
    for (int count = 0; count <= SENSOR_TOP; count++)
        all += fmin(histogram[count], plateau);
    for (int count = 0; count <= SENSOR_TOP; count++) {
        double weight = fmin(histogram[count], plateau);
        table[count] = (uint8_t)(8 + 230 * (sum + 0.5 * weight) / all);
        sum += weight;
    }
}

void sensor_gain(const sensor *s, const uint16_t *counts, int64_t n, uint8_t *gray)
{
    int32_t histogram[SENSOR_TOP + 1] = {0};
    uint8_t table[SENSOR_TOP + 1];
    for (int64_t i = 0; i < n; i++)
        histogram[counts[i]]++;
    if (s->equalise)
        equalise(histogram, n, table);
    else
        stretch(histogram, n, table);
    for (int64_t i = 0; i < n; i++)
        gray[i] = table[counts[i]];
}
