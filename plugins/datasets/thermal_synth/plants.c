/* plants.c - trees and bushes: round parts with ragged edges, leaves of many small temperatures. */
#include "noise.h"
#include "things.h"

enum { LEAVES, TRUNK };
enum { TRUNK_HALF, LEAF, CROWN_FOOT, PARTS };

void tree_draw(thing *t, const weather *w, assay_chance *chance)
{
    double height = assay_chance_between(chance, 3.5, 10),
           crown = height * assay_chance_between(chance, 0.22, 0.36);
    bool slim = assay_chance_between(chance, 0, 1) < 0.3; /* a conifer's outline */
    t->pose[TRUNK_HALF] = 0.02 * height + 0.03;
    t->pose[LEAF] = assay_chance_between(chance, 1.5, 3);
    t->pose[CROWN_FOOT] = height * assay_chance_between(chance, 0.2, 0.4);
    t->pose[PARTS] = THING_PARTS;
    for (int i = 0; i < THING_PARTS; i++) {
        double up = (i + 0.5) / THING_PARTS,
               r = slim ? crown * (1.05 - up) * 0.75
                        : crown * assay_chance_between(chance, 0.35, 0.6);
        double wide =
            slim ? 0.25 * crown * (1 - up) : crown * 0.75 * sin(3.14159265 * (0.12 + 0.8 * up));
        t->blob[i][0] = wide * assay_chance_between(chance, -1, 1);
        t->blob[i][1] = t->pose[CROWN_FOOT] + up * (height - t->pose[CROWN_FOOT] - r);
        t->blob[i][2] = 1 / r;
    }
    t->warm[LEAVES] = (float)weather_surface(w, FOLIAGE, chance);
    t->warm[TRUNK] = (float)(weather_surface(w, METAL, chance) + (w->day ? 0 : 1.5));
    t->half = crown * 1.9;
    t->height = height * 1.1;
}

void bush_draw(thing *t, const weather *w, assay_chance *chance)
{
    double height = assay_chance_between(chance, 0.6, 2),
           half = assay_chance_between(chance, 0.6, 2.4);
    t->pose[LEAF] = assay_chance_between(chance, 2.5, 5);
    t->pose[PARTS] = 8;
    for (int i = 0; i < 8; i++) {
        t->blob[i][0] = half * assay_chance_between(chance, -0.75, 0.75);
        t->blob[i][1] = height * assay_chance_between(chance, 0.05, 0.5);
        t->blob[i][2] = 1 / (height * assay_chance_between(chance, 0.35, 0.55));
    }
    t->warm[LEAVES] = (float)weather_surface(w, FOLIAGE, chance);
    t->half = half * 0.75 + height * 0.75;
    t->height = height * 1.2;
}

bool plant_look(const void *what, const weather *w, double u, double v, seen *out)
{
    const thing *t = what;
    double least = 4; /* square of the distance from a middle, in radii */
    for (int i = 0; i < (int)t->pose[PARTS]; i++) {
        double du = (u - t->blob[i][0]) * t->blob[i][2], dv = (v - t->blob[i][1]) * t->blob[i][2];
        double square = du * du + dv * dv;
        least = square < least ? square : least;
    }
    double inside = 1.25 - sqrt(least); /* the part that reaches farthest over this place */
    if (inside > 0) {
        double leaf = (double)noise_fractal(u * t->pose[LEAF], v * t->pose[LEAF], t->salt, 3);
        if (inside + 0.45 * leaf > 0.3) {
            /* The outer leaves see the sky by night and the sun by day. */
            double shade = (inside - 0.6) * (w->day ? -1.5 * w->sun : 1.0);
            *out = (seen){t->warm[LEAVES] + (float)(shade + (0.5 + 1.2 * w->sun) * leaf), 0.97F,
                          0.5F, 1, CLASS_VEGETATION};
            return true;
        }
    }
    if (t->kind != TREE || fabs(u) > t->pose[TRUNK_HALF] || v > t->pose[CROWN_FOOT] + 0.8)
        return false;
    double bark = 0.5 * (double)noise_smooth(u * 20, v * 3, t->salt);
    *out = (seen){t->warm[TRUNK] + (float)bark, 0.95F, 0.3F, 1, CLASS_VEGETATION};
    return true;
}
