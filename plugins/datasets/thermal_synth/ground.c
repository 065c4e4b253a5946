/* ground.c - sky, ground, and the trees at the horizon: everything behind the things. */
#include "noise.h"
#include "scene.h"

static double smooth_step(double low, double high, double v)
{
    double t = (v - low) / (high - low);
    t = t <= 0 ? 0 : t >= 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

/* ---- sky ---- */

/* Colder the steeper one looks; clouds are nearly as warm as the air. */
static float sky_at(const scene *s, double across, double up)
{
    double clear = s->w.sky + (s->w.air - 3 - s->w.sky) * exp(-7 * up);
    double shape = (double)noise_fractal(across * 4, up * 9, s->salt + 11, 4);
    double veil = smooth_step(0.9 - 1.3 * s->w.cloud, 1.6 - 1.3 * s->w.cloud, shape + 0.5);
    return (float)(clear + veil * (s->w.air - 9 - clear) * 0.8);
}

/* ---- ground ---- */

/* How far right of the middle of the lane, m; the pavement's outer edge is at half + walk. */
static double off_lane(const scene *s, double x, double z)
{
    return x - s->lane.at - s->lane.slope * z - s->lane.bend * z * z;
}

/* Noise of some wavelengths (m), those left out that the samples there cannot show. */
static float grain_at(const scene *s, double x, double z, double footprint)
{
    float sum = 0, weight = 1;
    double wave = 3;
    for (uint32_t o = 0; o < 4; o++, wave *= 0.45, weight *= 0.7F) {
        double kept = wave / footprint - 1;
        if (kept <= 0)
            break;
        sum +=
            weight * (float)(kept < 1 ? kept : 1) * noise_smooth(x / wave, z / wave, s->salt + o);
    }
    return (float)s->grain * sum;
}

static float road_kelvin(const scene *s, double off, double along, double footprint)
{
    double t = (double)s->asphalt, track = fabs(fabs(off) - s->lane.half * 0.45);
    if (fabs(track - 0.75) < 0.25 && footprint < 1)
        t += 0.7; /* where wheels run */
    if (fabs(off) < 0.09 && along - 6 * floor(along / 6) < 3 && footprint < 2)
        t -= s->w.day ? 2.5 * s->w.sun : -0.4; /* paint */
    return (float)t;
}

/* Temperature and class of the ground at (x, z). */
static float ground_at(const scene *s, double x, double z, double footprint, float grain,
                       float green, uint8_t *kind)
{
    double off = off_lane(s, x, z), aside = fabs(off) - s->lane.half, walk = s->lane.walk;
    bool crosses = s->crossing[1] > 0;
    *kind = CLASS_ROAD;
    if (crosses && z > s->crossing[0] && z < s->crossing[1])
        return road_kelvin(s, z - 0.5 * (s->crossing[0] + s->crossing[1]), x, footprint) +
               0.5F * grain;
    if (s->lane.present && aside < 0)
        return road_kelvin(s, off, z, footprint) + 0.5F * grain;
    *kind = CLASS_BACKGROUND;
    bool beside = crosses && z > s->crossing[0] - walk && z < s->crossing[1] + walk;
    if ((s->lane.present && aside < walk) || beside) {
        double kerb = s->lane.present && aside < 0.2 ? -0.8 : 0;
        double slab = footprint < 0.5 && (x - floor(x) < 0.06 || z - floor(z) < 0.06) ? -0.3 : 0;
        return s->pavement + (float)(kerb + slab) + 0.5F * grain;
    }
    return green * s->grass + (1 - green) * s->soil + grain * (0.8F + 0.6F * green);
}

/* Grain and greenness of a row of pixels, in the middle of each. */
static void texture_row(const scene *s, canvas *c, double z, double footprint)
{
    double step = z * SAMPLES / c->focal, left = -0.5 * (double)(c->width - 1) * step;
    for (int64_t i = 0; i < c->width; i++) {
        double x = left + (double)i * step;
        double mixed = (double)noise_fractal(x / 9, z / 9, s->salt + 7, 2) * 0.8 + s->meadow;
        c->grain[i] = grain_at(s, x, z, footprint);
        c->green[i] = (float)smooth_step(0.3, 0.7, mixed);
    }
}

/* ---- spots ---- */

static void add_patch(const patch *p, canvas *c)
{
    int64_t columns = c->width * SAMPLES, rows = c->height * SAMPLES;
    double near_z = p->z - p->rz > 0.5 ? p->z - p->rz : 0.5, far_z = p->z + p->rz;
    double top = c->horizon + c->focal * c->eye / far_z;
    double bottom = c->horizon + c->focal * c->eye / near_z;
    int64_t first = top < 0 ? 0 : (int64_t)top,
            last = bottom > (double)rows ? rows : (int64_t)bottom;
    for (int64_t row = first; row < last; row++) {
        double below = (double)row + 0.5 - c->horizon;
        if (below <= 0)
            continue;
        double z = c->focal * c->eye / below, dz = (z - p->z) / p->rz;
        double middle = 0.5 * (double)columns + c->focal * p->x / z, reach = c->focal * p->rx / z;
        int64_t left = middle - reach < 0 ? 0 : (int64_t)(middle - reach);
        int64_t right = middle + reach > (double)columns ? columns : (int64_t)(middle + reach) + 1;
        float step = p->kelvin * c->table->slope * canvas_through(c, z);
        for (int64_t column = left; column < right && column < columns; column++) {
            double dx = ((double)column + 0.5 - middle) / reach, d = dx * dx + dz * dz;
            int64_t at = row * columns + column;
            if (d >= 1 || (c->kind[at] != CLASS_ROAD && c->kind[at] != CLASS_BACKGROUND))
                continue;
            c->radiance[at] += step * (float)(p->sharp ? 1 : (1 - d) * (1 - d));
        }
    }
}

/* ---- everything ---- */

/* Tops of the trees at the horizon, in rows of samples. */
static void find_skyline(const scene *s, canvas *c)
{
    int64_t columns = c->width * SAMPLES;
    for (int64_t column = 0; column < columns; column++) {
        double at = ((double)column + 0.5 - 0.5 * (double)columns) / c->focal * s->edge;
        double crown = 0.75 + 0.5 * (double)noise_fractal(at / 9, 0.5, s->salt + 21, 5);
        c->skyline[column] =
            s->edge > 0
                ? (float)(c->horizon + c->focal * (s->eye - s->edge_height * crown) / s->edge)
                : 1e9F;
    }
}

static void paint_row(const scene *s, canvas *c, int64_t row, double z, double footprint)
{
    int64_t columns = c->width * SAMPLES;
    double foot = s->edge > 0 ? c->horizon + c->focal * c->eye / s->edge : -1;
    double middle = (double)row + 0.5, up = (c->horizon - middle) / c->focal;
    float through = canvas_through(c, z), woods = canvas_through(c, s->edge);
    for (int64_t column = 0; column < columns; column++) {
        double across = ((double)column + 0.5 - 0.5 * (double)columns) / c->focal;
        int64_t at = row * columns + column;
        bool forest = middle < foot && middle > (double)c->skyline[column];
        seen look = {0, 0.96F, 0.8F, 1, CLASS_VEGETATION};
        if (forest) {
            double shown = (foot - middle) * s->edge / c->focal;
            float leaf = noise_fractal(across * s->edge / 2, shown / 2, s->salt + 31, 2);
            look.kelvin = s->forest + leaf * (float)(0.5 + s->w.sun);
            canvas_put(c, at, &look, s->edge, woods);
        } else if (up >= 0) {
            c->kind[at] = CLASS_SKY;
            c->distance[at] = 1e5F;
            c->radiance[at] = band_of(c->table, sky_at(s, across, up));
        } else {
            int64_t pixel = column / SAMPLES;
            look.kelvin = ground_at(s, across * z, z, footprint, c->grain[pixel], c->green[pixel],
                                    &look.kind);
            canvas_put(c, at, &look, z, through);
        }
    }
}

void scene_ground(const scene *s, canvas *c)
{
    int64_t rows = c->height * SAMPLES;
    find_skyline(s, c);
    for (int64_t row = 0; row < rows; row++) {
        double below = (double)row + 0.5 - c->horizon;
        double z = below > 0 ? fmin(c->focal * c->eye / below, 1e4) : 1e4;
        if (row % SAMPLES == 0 && c->horizon < (double)(row + SAMPLES)) {
            double under = (double)row + 0.5 * SAMPLES - c->horizon;
            double pixel_z = under > 0 ? fmin(c->focal * c->eye / under, 1e4) : 1e4;
            texture_row(s, c, pixel_z, pixel_z * pixel_z / (c->focal * c->eye));
        }
        paint_row(s, c, row, z, z * z / (c->focal * c->eye));
    }
    for (int p = 0; p < s->patch_count; p++)
        add_patch(&s->patches[p], c);
}
