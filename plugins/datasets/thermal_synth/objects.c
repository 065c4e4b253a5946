/* objects.c - cars, lamps, boxes. */
#include "noise.h"
#include "things.h"

enum { BODY, GLASS, ENGINE, TYRE, LIGHT };

/* ---- cars: 4.5 m long, 1.8 m wide; running: the engine is warm; pose: van (1) or saloon (0),
 * length, cabin's ends ---- */

void car_draw(thing *t, const weather *w, assay_chance *chance)
{
    bool van = assay_chance_between(chance, 0, 1) < 0.25;
    double paint = assay_chance_between(chance, 0.4, 1); /* how dark */
    t->running = assay_chance_between(chance, 0, 1) < 0.55;
    t->pose[0] = van;
    t->pose[1] =
        van ? assay_chance_between(chance, 2.3, 2.9) : assay_chance_between(chance, 1.95, 2.4);
    t->pose[2] =
        van ? assay_chance_between(chance, 1.9, 2.6) : assay_chance_between(chance, 1.4, 1.65);
    t->warm[BODY] = (float)(w->air + 17 * paint * w->sun -
                            (w->day ? 0.3 : assay_chance_between(chance, 1, 4)) * (1 - w->cloud));
    t->warm[GLASS] = (float)(w->air + 6 * w->sun + (t->running ? 2 : -1));
    t->warm[ENGINE] = t->warm[BODY] + (t->running ? (float)assay_chance_between(chance, 5, 18) : 0);
    t->warm[TYRE] =
        (float)(w->air + 6 * w->sun + (t->running ? assay_chance_between(chance, 6, 20) : 0));
    t->warm[LIGHT] =
        t->warm[BODY] + (t->running && !w->day ? (float)assay_chance_between(chance, 8, 25) : 2);
    t->half = t->kind == CAR_SIDE ? t->pose[1] + 0.05 : 0.98;
    t->height = t->pose[2] + 0.02;
}

static void show_body(seen *out, double kelvin, double sky)
{
    *out = (seen){(float)kelvin, 0.9F, (float)sky, 1, CLASS_CAR};
}

static void show_glass(const thing *t, seen *out)
{
    *out = (seen){t->warm[GLASS], 0.82F, 0.8F, 1, CLASS_CAR};
}

bool car_side_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double half = t->pose[1], roof = t->pose[2], belt = 0.55 * roof + (t->pose[0] > 0 ? 0 : 0.08);
    u *= t->side;
    for (int s = -1; s <= 1; s += 2) {
        double r = figure_distance(u, v, s * 0.62 * half, 0.32);
        if (r < 0.33) {
            double hub = r < 0.17 && t->running ? 5 : 0; /* the brakes */
            *out = (seen){t->warm[TYRE] + (float)hub, 0.95F, 0.2F, 1, CLASS_CAR};
            return true;
        }
    }
    if (v < 0.24)
        return false;
    double end = half - 0.12 * fabs(v - 0.6);
    if (v <= belt && fabs(u) <= end) {
        double hood = t->pose[0] > 0 ? half - 0.7 : 0.45 * half;
        double warm = u > hood ? t->warm[ENGINE] : t->warm[BODY];
        bool light = u > half - 0.3 && v > 0.55 && v < 0.75;
        bool seam = fabs(u - 0.05) < 0.02 || fabs(u + 0.25 * half) < 0.02;
        show_body(out, light ? t->warm[LIGHT] : warm - (seam ? 1 : 0) + 0.8 * (belt - v),
                  0.25 + 0.35 * v / roof);
        return true;
    }
    if (v > roof)
        return false;
    double up = (v - belt) / (roof - belt);
    double front = t->pose[0] > 0 ? half - 0.25 - 0.45 * up : 0.5 * half - 0.55 * up;
    double back = t->pose[0] > 0 ? -half + 0.05 : -0.88 * half + 0.5 * up * half * 0.5;
    if (u < back || u > front)
        return false;
    bool pane = up > 0.1 && up < 0.8 && u > back + 0.12 && u < front - 0.12 &&
                fabs(u - 0.05) > 0.05 && (t->pose[0] < 1 || u > 0.3 * half);
    if (pane)
        show_glass(t, out);
    else
        show_body(out, t->warm[BODY], up > 0.8 ? 0.95 : 0.5);
    return true;
}

bool car_end_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double roof = t->pose[2], belt = 0.55 * roof + (t->pose[0] > 0 ? 0 : 0.1), across = fabs(u);
    bool front = t->side > 0;
    if (v < 0.36 && across > 0.58 && across < 0.82) {
        *out = (seen){t->warm[TYRE], 0.95F, 0.2F, 1, CLASS_CAR};
        return true;
    }
    if (v < 0.22)
        return false;
    if (v <= belt && across <= 0.9 - 0.1 * fabs(v - 0.6)) {
        bool grille = front && across < 0.55 && v > 0.35 && v < 0.75;
        bool light = across > 0.6 && v > 0.55 && v < 0.75;
        bool pipe = !front && t->running && figure_distance(u, v, 0.5, 0.27) < 0.09;
        double warm = grille || (front && v > 0.8) ? t->warm[ENGINE] : t->warm[BODY];
        warm = light ? (double)t->warm[LIGHT] : pipe ? (double)t->warm[ENGINE] + 25 : warm;
        show_body(out, warm + (v < 0.35 && t->running ? 3 : 0), 0.2 + 0.4 * v / roof);
        return true;
    }
    double up = (v - belt) / (roof - belt), edge = t->pose[0] > 0 ? 0.88 : 0.82 - 0.22 * up;
    if (v > roof || across > edge)
        return false;
    if (up > 0.08 && up < 0.82 && across < edge - 0.07)
        show_glass(t, out);
    else
        show_body(out, t->warm[BODY], 0.9);
    return true;
}

/* ---- lamps: running: lit; pose: arm's length, pole's half width ---- */

void lamp_draw(thing *t, const weather *w, assay_chance *chance)
{
    t->height = assay_chance_between(chance, 4.5, 8);
    t->pose[0] =
        assay_chance_between(chance, 0, 1) < 0.35 ? 0 : assay_chance_between(chance, 0.8, 1.8);
    t->pose[1] = assay_chance_between(chance, 0.06, 0.11);
    t->running = !w->day && assay_chance_between(chance, 0, 1) < 0.85;
    t->warm[BODY] = (float)weather_surface(w, METAL, chance);
    t->warm[LIGHT] = t->warm[BODY] + (t->running ? (float)assay_chance_between(chance, 12, 55) : 1);
    t->half = t->pose[0] + 0.6;
}

bool lamp_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double top = t->height - 0.2, arm = t->pose[0];
    bool head = arm > 0 ? figure_ellipse(u * t->side, v, arm, top, 0.42, 0.14)
                        : figure_ellipse(u, v, 0, top - 0.1, 0.3, 0.28);
    bool pole = fabs(u) < t->pose[1] * (1.3 - 0.5 * v / t->height) && v < top;
    bool held = arm > 0 && u * t->side > 0 && u * t->side < arm && fabs(v - top) < 0.06;
    if (!head && !pole && !held)
        return false;
    *out = (seen){head ? t->warm[LIGHT] : t->warm[BODY], 0.92F, 0.5F, 1, CLASS_LAMP};
    return true;
}

/* ---- boxes: pose: half width, round (stones) or square ---- */

void box_draw(thing *t, const weather *w, assay_chance *chance)
{
    bool stone = assay_chance_between(chance, 0, 1) < 0.35;
    double inner = assay_chance_between(chance, 0, 1);
    t->pose[0] = assay_chance_between(chance, 0.2, 0.65);
    t->pose[1] = stone;
    t->height =
        stone ? assay_chance_between(chance, 0.3, 0.8) : assay_chance_between(chance, 0.6, 1.7);
    t->warm[BODY] = (float)(weather_surface(w, stone ? SOIL : PAVEMENT, chance) +
                            (inner > 0.6 ? (inner - 0.6) * 30 : 0)); /* a cabinet that is on */
    t->half = t->pose[0] + 0.02;
}

bool box_look(const void *what, const weather *w, double u, double v, seen *out)
{
    (void)w;
    const thing *t = what;
    double rough = t->pose[1] > 0 ? 0.12 * (double)noise_smooth(u * 4, v * 4, t->salt) : 0;
    if (t->pose[1] > 0 && !figure_ellipse(u, v, 0, 0, t->pose[0] - rough, t->height - rough))
        return false;
    if (t->pose[1] < 1 && fabs(u) > t->pose[0])
        return false;
    double lid = t->pose[1] < 1 && v > t->height - 0.12 ? -1.5 : 0;
    double grain = (double)noise_fractal(u * 6, v * 6, t->salt, 2);
    *out = (seen){t->warm[BODY] + (float)(lid + 0.6 * grain), 0.94F, 0.4F, 1, CLASS_BACKGROUND};
    return true;
}
