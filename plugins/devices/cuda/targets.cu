/* targets.cu - what a masked autoencoder predicts. A block takes a patch, whose mean and deviation
 * are in double. Bound by memory. Not measured. */
#include "kernels.h"
#include "launch.h"

#include <math.h>

static __global__ void patch_targets(int64_t rows, int64_t pixels, int64_t channels,
                                     const float *patches, const int32_t *index, bool normalise,
                                     float *targets)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *x = patches + index[r] * pixels;
        float *y = targets + r * pixels * channels;
        double mean = 0.0, squares = 0.0;
        if (normalise) {
            for (int64_t i = threadIdx.x; i < pixels; i += blockDim.x)
                mean += x[i];
            mean = cuda_block_sum(mean) / (double)pixels;
            for (int64_t i = threadIdx.x; i < pixels; i += blockDim.x)
                squares += (x[i] - mean) * (x[i] - mean);
            squares = cuda_block_sum(squares);
        }
        double spread = sqrt((double)channels * squares / (double)(pixels * channels - 1) + 1e-6);
        for (int64_t k = threadIdx.x; k < pixels * channels; k += blockDim.x) {
            float value = x[k / channels];
            y[k] = normalise ? (float)((value - mean) / spread) : value;
        }
    }
}

extern "C" void cuda_patch_targets(int64_t rows, int64_t pixels, int64_t channels,
                                   const float *patches, const int32_t *index, bool normalise,
                                   float *targets)
{
    CUDA_LAUNCH(patch_targets, cuda_blocks(rows, 1), CUDA_ROW_BLOCK, 0, rows, pixels, channels,
                patches, index, normalise, targets);
}
