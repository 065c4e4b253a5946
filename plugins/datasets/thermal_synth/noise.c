/* noise.c - see noise.h. */
#include "noise.h"

#include <math.h>

/* Two rounds of multiply and shift, constants of Wellons' "lowbias32". */
static uint32_t mix(uint32_t v)
{
    v ^= v >> 16;
    v *= 0x7feb352dU;
    v ^= v >> 15;
    v *= 0x846ca68bU;
    return v ^ v >> 16;
}

uint32_t noise_bits(int32_t x, int32_t y, uint32_t salt)
{
    return mix((uint32_t)x + mix((uint32_t)y + mix(salt)));
}

float noise_at(int32_t x, int32_t y, uint32_t salt)
{
    return (float)noise_bits(x, y, salt) * 0x1p-31F - 1;
}

float noise_smooth(double x, double y, uint32_t salt)
{
    double fx = floor(x), fy = floor(y);
    int32_t ix = (int32_t)fx, iy = (int32_t)fy;
    float u = (float)(x - fx), v = (float)(y - fy);
    uint32_t upper = mix((uint32_t)iy + mix(salt)), lower = mix((uint32_t)iy + 1U + mix(salt));
    float a = (float)mix((uint32_t)ix + upper), b = (float)mix((uint32_t)ix + 1U + upper);
    float c = (float)mix((uint32_t)ix + lower), d = (float)mix((uint32_t)ix + 1U + lower);
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    float top = a + (b - a) * u, bottom = c + (d - c) * u;
    return (top + (bottom - top) * v) * 0x1p-31F - 1;
}

float noise_fractal(double x, double y, uint32_t salt, int octaves)
{
    float sum = 0, weight = 1;
    for (int o = 0; o < octaves; o++) {
        sum += weight * noise_smooth(x, y, salt + (uint32_t)o);
        x *= 2;
        y *= 2;
        weight *= 0.5F;
    }
    return sum;
}
