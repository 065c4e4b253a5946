/* physics.h - what bodies radiate between 8 and 14 micrometres, and how warm things are outdoors.
 *
 * Temperatures are kelvins, radiances W / (m^2 sr) of the whole band. Everything that a camera sees
 * is a radiance: of a body of temperature T and emissivity e in front of surroundings of
 * temperature R it is e B(T) + (1 - e) B(R), seen through t of air of temperature A it is t L + (1
 * - t) B(A), B being Planck's law integrated over the band. */
#ifndef THERMAL_PHYSICS_H
#define THERMAL_PHYSICS_H

#include <assay/image.h>

#define BAND_LOW  1.8e2 /* K, the table's ends; temperatures beyond are clamped to them */
#define BAND_HIGH 4.2e2
#define BAND_ROWS 481 /* every half kelvin */

/* B(T) at every half kelvin, and how much it grows with a kelvin at 300 K. */
typedef struct band {
    float radiance[BAND_ROWS];
    float slope;
} band;

void band_fill(band *table);
/* Planck's law integrated from 8 to 14 micrometres, by itself. */
double band_exact(double kelvin);

static inline float band_of(const band *table, float kelvin)
{
    float at = (kelvin - (float)BAND_LOW) * 2;
    if (!(at > 0))
        return table->radiance[0];
    if (at >= BAND_ROWS - 1)
        return table->radiance[BAND_ROWS - 1];
    int row = (int)at;
    return table->radiance[row] +
           (table->radiance[row + 1] - table->radiance[row]) * (at - (float)row);
}

typedef enum hour { HOUR_ANY, HOUR_DAY, HOUR_NIGHT } hour;

/* What all bodies of a scene share. */
typedef struct weather {
    bool day;
    double air;        /* K */
    double sun;        /* 0 .. 1: how much of what the sun can heat it has heated */
    double cloud;      /* 0 .. 1 */
    double sky;        /* K, apparent, overhead */
    double extinction; /* 1 / m of the air */
    double light;      /* -1 .. 1: where the sun stands, left to right */
} weather;

/* `low` and `high` bound the air's temperature in degrees Celsius. */
void weather_draw(weather *w, hour when, double low, double high, assay_chance *chance);

/* Mean temperatures of surfaces before anything that is special to one of them. */
typedef enum surface_kind {
    GRASS,
    SOIL,
    ASPHALT,
    PAVEMENT,
    WALL,
    FOLIAGE,
    METAL, /* of poles and frames */
    SURFACES
} surface_kind;
double weather_surface(const weather *w, surface_kind kind, assay_chance *chance);

#endif
