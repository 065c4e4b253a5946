/* sensor.h - an uncooled thermal camera: optics, detector, converter, and the picture people
 * see. */
#ifndef THERMAL_SENSOR_H
#define THERMAL_SENSOR_H

#include "physics.h"

#define SENSOR_TOP    16383 /* of 14 bits */
#define SENSOR_KELVIN 100   /* counts per kelvin, near 300 K, which is 8192 */
#define SENSOR_MODELS 4     /* cameras; each has its fixed pattern */

typedef struct sensor {
    uint64_t seed;
    double netd;          /* K: noise of a pixel from frame to frame, in temperature differences */
    double nonuniformity; /* K: spread of what stays the same from frame to frame */
    double blur;          /* pixels: spread of a point's image; 0: none */
    bool equalise;        /* the picture is made by histogram, else by two percentiles */
    int model;
} sensor;

/* The camera that takes the frame of a number. */
void sensor_choose(sensor *s, uint64_t seed, double netd, double nonuniformity, double blur,
                   uint64_t frame);
/* Radiances (height, width), which become the blurred ones, to counts. */
bool sensor_expose(const sensor *s, const band *table, uint64_t frame, int64_t width,
                   int64_t height, float *radiance, uint16_t *counts, assay_arena *arena,
                   assay_error *error);
/* Counts to gray: what the camera's automatic gain shows. */
void sensor_gain(const sensor *s, const uint16_t *counts, int64_t n, uint8_t *gray);

#endif
