/* canvas.h - the view that a scene is painted on, far things first.
 *
 * The camera looks along z (metres) from height `eye` above flat ground; what lies at (x, z) and
 * height v appears at column centre + focal x / z and row horizon - focal (v - eye) / z. Every
 * pixel is four samples, two by two; a sample holds a radiance, the class of what is seen and its
 * distance. */
#ifndef THERMAL_CANVAS_H
#define THERMAL_CANVAS_H

#include "physics.h"

enum {
    CLASS_BACKGROUND,
    CLASS_ROAD,
    CLASS_BUILDING,
    CLASS_VEGETATION,
    CLASS_SKY,
    CLASS_PERSON,
    CLASS_CAR,
    CLASS_BICYCLE,
    CLASS_ANIMAL,
    CLASS_LAMP,
    CLASSES
};

#define SAMPLES 2 /* along a side of a pixel */

typedef struct canvas {
    int64_t width, height;          /* of the picture; samples are SAMPLES times as many */
    double focal, horizon;          /* samples */
    double eye;                     /* m */
    float *radiance;                /* SAMPLES height x SAMPLES width */
    float *distance;                /* m */
    uint8_t *kind;                  /* class */
    float *skyline, *grain, *green; /* scratch of the ground: of a sample row, of pixel rows */
    const band *table;
    const weather *w;
} canvas;

/* Room for the samples, in the arena. */
bool canvas_make(canvas *c, int64_t width, int64_t height, assay_arena *arena, assay_error *error);

/* What a thing shows at a place of it. */
typedef struct seen {
    float kelvin, emissivity;
    float sky; /* 0 .. 1: how much of what it mirrors is sky; the rest has the air's temperature */
    float cover; /* 1: hides what is behind; less: lets some of it through (spokes) */
    uint8_t kind;
} seen;

/* What a thing shows `u` metres right of its middle and `v` metres above the ground; false: nothing
 * is there. */
typedef bool seen_at(const void *thing, const weather *w, double u, double v, seen *out);

/* A flat thing that faces the camera: u within -half .. half, v within 0 .. height. */
void canvas_board(canvas *c, double x, double z, double half, double height, seen_at *look,
                  const void *thing);
/* An upright wall on the ground from (x1, z1) to (x2, z2); u counts from its first end. */
void canvas_wall(canvas *c, const double from[2], const double to[2], double height, seen_at *look,
                 const void *thing);

/* Radiance of a surface, without the air in between. */
float canvas_radiance(const canvas *c, const seen *s);
/* What z metres of air let through. */
float canvas_through(const canvas *c, double z);
/* One sample is covered by what is `z` metres away; `through` is canvas_through of it. */
void canvas_put(canvas *c, int64_t at, const seen *s, double z, float through);
/* Means of the samples' radiances, and the class that most samples of a pixel have, the nearer one
 * if there are as many of two. Both height x width. */
void canvas_resolve(const canvas *c, float *radiance, uint8_t *truth);

#endif
