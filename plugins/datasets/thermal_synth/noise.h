/* noise.h - smooth random textures that are functions of a place: value noise on a lattice. */
#ifndef THERMAL_NOISE_H
#define THERMAL_NOISE_H

#include <stdint.h>

/* 32 well mixed bits of two whole coordinates and a salt. */
uint32_t noise_bits(int32_t x, int32_t y, uint32_t salt);
/* The same as a number in [-1, 1). */
float noise_at(int32_t x, int32_t y, uint32_t salt);
/* Smooth in between, period of the lattice 1; about [-1, 1], standard deviation about 0.4. */
float noise_smooth(double x, double y, uint32_t salt);
/* Sum of `octaves`, each of half the wavelength and half the weight of the one before. */
float noise_fractal(double x, double y, uint32_t salt, int octaves);

#endif
