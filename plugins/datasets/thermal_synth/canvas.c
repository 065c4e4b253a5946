/* canvas.c - see canvas.h. */
#include "canvas.h"

#include <math.h>

bool canvas_make(canvas *c, int64_t width, int64_t height, assay_arena *arena, assay_error *error)
{
    const int64_t per_pixel = SAMPLES * SAMPLES;
    int64_t n = 0;
    c->width = width;
    c->height = height;
    if (!assay_size_count(&n, 3,
                          (const int64_t[]){width, height, per_pixel * (int64_t)sizeof(float)}))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "dataset.thermal_synth",
                          .what = "a scene is too large");
    c->radiance = assay_arena_alloc(arena, n, error);
    c->distance = assay_arena_alloc(arena, n, error);
    c->kind = assay_arena_alloc(arena, n / (int64_t)sizeof(float), error);
    c->skyline = assay_arena_alloc(arena, (SAMPLES + 2) * width * (int64_t)sizeof(float), error);
    if (c->skyline == NULL)
        return false;
    c->grain = c->skyline + SAMPLES * width;
    c->green = c->grain + width;
    return c->radiance != NULL && c->distance != NULL && c->kind != NULL;
}

float canvas_radiance(const canvas *c, const seen *s)
{
    float around = (float)(c->w->air + (c->w->sky - c->w->air) * (double)s->sky);
    return s->emissivity * band_of(c->table, s->kelvin) +
           (1 - s->emissivity) * band_of(c->table, around);
}

float canvas_through(const canvas *c, double z)
{
    return (float)exp(-c->w->extinction * z);
}

void canvas_put(canvas *c, int64_t at, const seen *s, double z, float through)
{
    float own =
        through * canvas_radiance(c, s) + (1 - through) * band_of(c->table, (float)c->w->air);
    c->radiance[at] = s->cover < 1 ? c->radiance[at] + s->cover * (own - c->radiance[at]) : own;
    c->distance[at] = (float)z;
    c->kind[at] = s->kind;
}

static int64_t clamp(double at, int64_t n)
{
    return at <= 0 ? 0 : at >= (double)n ? n : (int64_t)at;
}

void canvas_board(canvas *c, double x, double z, double half, double height, seen_at *look,
                  const void *thing)
{
    int64_t columns = c->width * SAMPLES, rows = c->height * SAMPLES;
    double scale = c->focal / z, middle = 0.5 * (double)columns + scale * x;
    double ground = c->horizon + scale * c->eye;
    int64_t left = clamp(floor(middle - half * scale), columns);
    int64_t right = clamp(ceil(middle + half * scale), columns);
    int64_t top = clamp(floor(ground - height * scale), rows);
    int64_t bottom = clamp(ceil(ground), rows);
    float through = canvas_through(c, z);
    for (int64_t row = top; row < bottom; row++) {
        double v = (ground - ((double)row + 0.5)) / scale;
        for (int64_t column = left; column < right; column++) {
            seen s = {0};
            double u = ((double)column + 0.5 - middle) / scale;
            if (v >= 0 && look(thing, c->w, u, v, &s))
                canvas_put(c, row * columns + column, &s, z, through);
        }
    }
}

void canvas_wall(canvas *c, const double from[2], const double to[2], double height, seen_at *look,
                 const void *thing)
{
    int64_t columns = c->width * SAMPLES, rows = c->height * SAMPLES;
    double dx = to[0] - from[0], dz = to[1] - from[1], length = sqrt(dx * dx + dz * dz);
    for (int64_t column = 0; column < columns; column++) {
        /* The ray x = slope z meets the wall at from + t (dx, dz). */
        double slope = ((double)column + 0.5 - 0.5 * (double)columns) / c->focal;
        double across = dx - slope * dz;
        double t = fabs(across) < 1e-9 ? -1 : (slope * from[1] - from[0]) / across;
        double z = from[1] + t * dz;
        if (!(t >= 0 && t <= 1 && z > 0.5))
            continue;
        double scale = c->focal / z, ground = c->horizon + scale * c->eye;
        int64_t top = clamp(floor(ground - height * scale), rows);
        int64_t bottom = clamp(ceil(ground), rows);
        float through = canvas_through(c, z);
        for (int64_t row = top; row < bottom; row++) {
            seen s = {0};
            double v = (ground - ((double)row + 0.5)) / scale;
            if (v >= 0 && look(thing, c->w, t * length, v, &s))
                canvas_put(c, row * columns + column, &s, z, through);
        }
    }
}

/* The class of a pixel of `n` samples. */
static uint8_t most_seen(const uint8_t *kinds, const float *distances, int n)
{
    int best = 0, best_count = 0;
    for (int i = 0; i < n; i++) {
        int count = 0;
        for (int k = 0; k < n; k++)
            count += kinds[k] == kinds[i];
        bool nearer = count == best_count && distances[i] < distances[best];
        if (count > best_count || nearer) {
            best = i;
            best_count = count;
        }
    }
    return kinds[best];
}

void canvas_resolve(const canvas *c, float *radiance, uint8_t *truth)
{
    enum { N = SAMPLES * SAMPLES };
    for (int64_t y = 0; y < c->height; y++)
        for (int64_t x = 0; x < c->width; x++) {
            uint8_t kinds[N];
            float distances[N], sum = 0;
            for (int i = 0; i < N; i++) {
                int64_t row = y * SAMPLES + i / SAMPLES, column = x * SAMPLES + i % SAMPLES;
                int64_t at = row * c->width * SAMPLES + column;
                kinds[i] = c->kind[at];
                distances[i] = c->distance[at];
                sum += c->radiance[at];
            }
            radiance[y * c->width + x] = sum / N;
            truth[y * c->width + x] = most_seen(kinds, distances, N);
        }
}
