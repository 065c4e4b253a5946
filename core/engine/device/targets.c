/* targets.c - what a masked autoencoder predicts: the body of all CPUs. Bound by memory. */
#include "engine/device/cpu/variants.h"

#include <math.h>

/* One patch (N) to its target (N C). */
static void target_of(int64_t n, int64_t channels, const float *pixels, bool normalise, float *out)
{
    double mean = 0, squares = 0, count = (double)(n * channels);
    for (int64_t i = 0; i < n; i++)
        mean += (double)pixels[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += ((double)pixels[i] - mean) * ((double)pixels[i] - mean);
    double spread = sqrt((double)channels * squares / (count - 1) + 1e-6);
    for (int64_t i = 0; i < n; i++) {
        double value = (double)pixels[i];
        if (normalise)
            value = (value - mean) / spread;
        for (int64_t c = 0; c < channels; c++)
            out[i * channels + c] = (float)value;
    }
}

void cpu_patch_targets(int64_t rows, int64_t pixels, int64_t channels, const float *patches,
                       const int32_t *index, bool normalise, float *targets)
{
#pragma omp parallel for schedule(static) if (rows * pixels >= 1 << 15)
    for (int64_t r = 0; r < rows; r++)
        target_of(pixels, channels, patches + index[r] * pixels, normalise,
                  targets + r * pixels * channels);
}
