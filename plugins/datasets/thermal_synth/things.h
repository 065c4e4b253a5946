/* things.h - what stands about in a scene: bodies, vehicles, plants, posts, boxes.
 *
 * A thing is a flat figure that faces the camera. Its figure is drawn in metres by functions of
 * (u, v), so it is as sharp at every distance as the picture allows. */
#ifndef THERMAL_THINGS_H
#define THERMAL_THINGS_H

#include "canvas.h"

#include <math.h>

typedef enum thing_kind {
    PERSON,
    CAR_SIDE,
    CAR_END, /* seen from the front or from behind */
    BICYCLE, /* with or without a rider */
    ANIMAL,
    LAMP,
    TREE,
    BUSH,
    BOX, /* bins, cabinets, stones: as warm as bodies may be, and background */
    THINGS
} thing_kind;

#define THING_PARTS 14

typedef struct thing {
    thing_kind kind;
    double x, z;                 /* m, of the middle of its foot */
    double half, height;         /* m: nothing of it lies outside */
    double size;                 /* of its figure; 1 is usual */
    double side;                 /* -1 or 1: which way it looks */
    double pose[6];              /* what the figure needs */
    double blob[THING_PARTS][3]; /* of plants: middle and 1 / radius of the round parts */
    float warm[6];               /* K, of its parts; which, each figure says */
    bool running;                /* of cars, bicycles with riders, lamps that are lit */
    uint32_t salt;               /* of its texture */
} thing;

/* A thing of the kind at (x, z); everything else is drawn. */
void thing_draw(thing *t, thing_kind kind, double x, double z, const weather *w,
                assay_chance *chance);
void thing_paint(canvas *c, const thing *t);

/* Bodies: bodies.c. */
void person_draw(thing *t, const weather *w, assay_chance *chance);
void animal_draw(thing *t, const weather *w, assay_chance *chance);
void bicycle_draw(thing *t, const weather *w, assay_chance *chance);
seen_at person_look, animal_look, bicycle_look;
/* Vehicles, posts and boxes: objects.c. */
void car_draw(thing *t, const weather *w, assay_chance *chance);
void lamp_draw(thing *t, const weather *w, assay_chance *chance);
void box_draw(thing *t, const weather *w, assay_chance *chance);
seen_at car_side_look, car_end_look, lamp_look, box_look;
/* Plants: plants.c. */
void tree_draw(thing *t, const weather *w, assay_chance *chance);
void bush_draw(thing *t, const weather *w, assay_chance *chance);
seen_at plant_look;

/* Figures' helpers: distances to a point and to a line between two. */
static inline double figure_distance(double u, double v, double x, double y)
{
    return sqrt((u - x) * (u - x) + (v - y) * (v - y));
}
double figure_segment(double u, double v, const double from[2], const double to[2]);
static inline bool figure_ellipse(double u, double v, double x, double y, double rx, double ry)
{
    double a = (u - x) / rx, b = (v - y) / ry;
    return a * a + b * b <= 1;
}

#endif
