/* bodies.c - people, animals, bicycles.
 *
 * Skin is held near 305 K; clothes and fur lie between it and the air, so a body outshines the
 * ground on a cold night and is darker than a road in the sun. */
#include "noise.h"
#include "things.h"

enum { SKIN, HAIR, SHIRT, TROUSERS, FRAME };

static double skin_of(const weather *w)
{
    return 306 - 0.13 * (306 - w->air);
}

/* Between air (0) and skin (1), and what the sun adds. */
static float covered(const weather *w, double part, double sun)
{
    return (float)(w->air + (skin_of(w) - w->air) * part + sun * w->sun);
}

static void show(seen *out, double kelvin, uint8_t kind)
{
    *out = (seen){(float)kelvin, 0.97F, 0.3F, 1, kind};
}

static double cloth(const thing *t, double u, double v)
{
    return 0.5 * (double)noise_smooth(u * 9, v * 9, t->salt);
}

/* ---- people: 1.75 m at size 1; pose: stride, arm swing, lean of a rider ---- */

static void dress(thing *t, const weather *w, assay_chance *chance)
{
    t->warm[SKIN] = (float)(skin_of(w) + assay_chance_between(chance, -1, 0.5));
    t->warm[HAIR] = covered(w, assay_chance_between(chance, 0.3, 0.75), 6);
    t->warm[SHIRT] = covered(w, assay_chance_between(chance, 0.25, 0.65), 5);
    t->warm[TROUSERS] = covered(w, assay_chance_between(chance, 0.2, 0.55), 5);
}

void person_draw(thing *t, const weather *w, assay_chance *chance)
{
    t->size = assay_chance_between(chance, 0.9, 1.08);
    if (assay_chance_between(chance, 0, 1) < 0.1)
        t->size *= 0.68; /* a child */
    t->pose[0] = assay_chance_between(chance, 0, 0.2);
    t->pose[1] = assay_chance_between(chance, 0, 0.12);
    t->pose[2] = assay_chance_between(chance, 0.17, 0.24); /* half the shoulders' width */
    dress(t, w, chance);
    t->half = 0.62 * t->size;
    t->height = 1.8 * t->size;
}

bool person_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double shoulder = t->pose[2];
    u = u / t->size * t->side;
    v /= t->size;
    if (figure_ellipse(u, v, 0.02, 1.62, 0.095, 0.13)) {
        bool face = u > 0.0 && v < 1.68;
        show(out, face ? t->warm[SKIN] : t->warm[HAIR], CLASS_PERSON);
        return true;
    }
    if (figure_segment(u, v, (const double[2]){0, 1.5}, (const double[2]){0.01, 1.56}) < 0.055) {
        show(out, t->warm[SKIN], CLASS_PERSON);
        return true;
    }
    double hem = 0.88, waist = 0.75 * shoulder + 0.25 * shoulder * fabs(v - 1.1) / 0.35;
    if (v >= hem && v <= 1.5 && fabs(u) <= (v > 1.4 ? shoulder * (1.5 - v) / 0.1 + 0.04 : waist)) {
        double core = 1.2 * (1 - fabs(u) / shoulder); /* the middle of the trunk is warmer */
        show(out, t->warm[SHIRT] + core + cloth(t, u, v), CLASS_PERSON);
        return true;
    }
    for (int s = -1; s <= 1; s += 2) {
        const double top[2] = {s * shoulder, 1.42};
        const double hand[2] = {s * (shoulder + 0.05) + s * t->pose[1], 0.84 + 0.4 * t->pose[1]};
        double d = figure_segment(u, v, top, hand);
        if (d < 0.052) {
            bool bare = v < hand[1] + 0.09;
            show(out, bare ? t->warm[SKIN] - 2 : t->warm[SHIRT] + cloth(t, u, v), CLASS_PERSON);
            return true;
        }
        const double hip[2] = {s * 0.085, 0.9}, foot[2] = {s * (0.09 + t->pose[0]), 0.06};
        if (figure_segment(u, v, hip, foot) < 0.085 - 0.03 * (0.9 - v) / 0.9) {
            double shoe = v < 0.1 ? -1.5 : 0;
            show(out, t->warm[TROUSERS] + shoe + cloth(t, u, v), CLASS_PERSON);
            return true;
        }
    }
    return false;
}

/* ---- animals: shoulder height 1 m at size 1; pose: legs' length, neck, stride ---- */

void animal_draw(thing *t, const weather *w, assay_chance *chance)
{
    double sort = assay_chance_between(chance, 0, 1); /* dog, deer, cattle */
    t->size = sort < 0.45   ? assay_chance_between(chance, 0.45, 0.7)
              : sort < 0.75 ? assay_chance_between(chance, 0.85, 1.15)
                            : assay_chance_between(chance, 1.2, 1.45);
    t->pose[0] = sort < 0.45 ? 0.42 : sort < 0.75 ? 0.55 : 0.42;
    t->pose[1] = assay_chance_between(chance, sort < 0.75 ? 0.12 : -0.15, 0.45);
    t->pose[2] = assay_chance_between(chance, -0.1, 0.1);
    t->warm[HAIR] = covered(w, assay_chance_between(chance, 0.25, 0.5), 6);
    t->warm[SKIN] = covered(w, assay_chance_between(chance, 0.75, 1), 2);
    t->half = 1.35 * t->size;
    t->height = 1.75 * t->size;
}

bool animal_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double leg = t->pose[0];
    u = u / t->size * t->side;
    v /= t->size;
    const double head[2] = {0.85, 1 + t->pose[1]};
    const double muzzle[2] = {head[0] + 0.22, head[1] - 0.1};
    if (figure_segment(u, v, head, muzzle) < (u > head[0] + 0.05 ? 0.075 : 0.11) ||
        figure_segment(u, v, (const double[2]){head[0] - 0.06, head[1] + 0.05},
                       (const double[2]){head[0] - 0.12, head[1] + 0.18}) < 0.035) {
        show(out, t->warm[SKIN] + (u > head[0] + 0.15 ? -1.5F : 0), CLASS_ANIMAL);
        return true;
    }
    const double chest[2] = {0.48, 0.88};
    bool neck = figure_segment(u, v, chest, head) < 0.12;
    double thick = (1.02 - leg) * 0.5;
    bool trunk = figure_segment(u, v, (const double[2]){-0.5, 1 - thick},
                                (const double[2]){0.46, 1 - thick}) < thick;
    bool tail =
        figure_segment(u, v, (const double[2]){-0.72, 0.92}, (const double[2]){-0.86, 0.6}) < 0.03;
    if (neck || trunk || tail) {
        double belly = trunk && v < 1 - thick ? 1.2 : 0; /* shorter hair below */
        show(out, t->warm[HAIR] + belly + cloth(t, u, v), CLASS_ANIMAL);
        return true;
    }
    for (int i = 0; i < 4; i++) {
        double hip = (i < 2 ? -0.52 : 0.42) + 0.1 * (i % 2), step = (i % 2 ? 1 : -1) * t->pose[2];
        if (figure_segment(u, v, (const double[2]){hip, leg + 0.1},
                           (const double[2]){hip + step, 0.03}) < 0.055) {
            show(out, t->warm[HAIR] - 0.8F, CLASS_ANIMAL);
            return true;
        }
    }
    return false;
}

/* ---- bicycles: 1.75 m long; running: somebody rides; pose: the rider's shoulder ---- */

void bicycle_draw(thing *t, const weather *w, assay_chance *chance)
{
    t->size = assay_chance_between(chance, 0.92, 1.08);
    t->running = assay_chance_between(chance, 0, 1) < 0.55;
    t->pose[0] = assay_chance_between(chance, 0, 0.2);
    t->pose[1] = assay_chance_between(chance, -0.17, 0.17);
    dress(t, w, chance);
    t->warm[FRAME] = (float)weather_surface(w, METAL, chance);
    t->half = 1.0 * t->size;
    t->height = (t->running ? 1.85 : 1.15) * t->size;
}

static bool rider_look(const thing *t, double u, double v, seen *out)
{
    const double seat[2] = {-0.22, 0.98}, shoulder[2] = {0.02 + t->pose[0], 1.45};
    const double head[2] = {shoulder[0] + 0.08, shoulder[1] + 0.2};
    const double hand[2] = {0.4, 1.05}, pedal[2] = {0.02 + t->pose[1], 0.3 + 0.1 * t->pose[1]};
    const double knee[2] = {0.2 + 0.5 * t->pose[1], 0.72};
    if (figure_ellipse(u, v, head[0], head[1], 0.1, 0.13)) {
        show(out, u > head[0] ? t->warm[SKIN] : t->warm[HAIR], CLASS_PERSON);
        return true;
    }
    if (figure_segment(u, v, seat, shoulder) < 0.14) {
        show(out, t->warm[SHIRT] + cloth(t, u, v), CLASS_PERSON);
        return true;
    }
    if (figure_segment(u, v, shoulder, hand) < 0.05) {
        show(out, t->warm[SHIRT] - 0.5F, CLASS_PERSON);
        return true;
    }
    if (figure_segment(u, v, seat, knee) < 0.085 || figure_segment(u, v, knee, pedal) < 0.065) {
        show(out, t->warm[TROUSERS] + cloth(t, u, v), CLASS_PERSON);
        return true;
    }
    return false;
}

bool bicycle_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    u = u / t->size * t->side;
    v /= t->size;
    if (t->running && rider_look(t, u, v, out))
        return true;
    static const double lines[6][4] = {{-0.53, 0.34, -0.22, 0.92}, {-0.22, 0.92, 0.02, 0.3},
                                       {0.02, 0.3, 0.42, 0.88},    {-0.2, 0.82, 0.42, 0.86},
                                       {-0.53, 0.34, 0.02, 0.3},   {0.42, 1.02, 0.53, 0.34}};
    double tyre = 10, wheel = 10;
    for (int s = -1; s <= 1; s += 2) {
        double r = figure_distance(u, v, s * 0.53, 0.34);
        wheel = r < wheel ? r : wheel;
        tyre = fabs(r - 0.32) < tyre ? fabs(r - 0.32) : tyre;
    }
    bool solid = tyre < 0.035;
    for (int i = 0; i < 6; i++)
        solid = solid || figure_segment(u, v, lines[i], lines[i] + 2) < 0.03;
    if (!solid && wheel > 0.34)
        return false;
    show(out, t->warm[FRAME], CLASS_BICYCLE);
    out->cover = solid ? 1 : 0.2F; /* between the spokes one sees through */
    return true;
}
