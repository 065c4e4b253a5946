/* importance.cu - what positions weigh for their gradients: norms by position, their moving
 * average, and the prices of keys, in double.
 *
 * A block takes a position and walks over the samples in order; the average is one block's work.
 * Bound by reading the gradients. Not measured. */
#include "kernels.h"
#include "launch.h"

#include <math.h>

/* norms (seen) += the norms of x (B, T, D) at a position, over the rows that have it. */
static __global__ void position_norms(int64_t batch, int64_t tokens, int64_t seen, int64_t width,
                                      const float *x, const int32_t *lengths, double *norms)
{
    for (int64_t t = blockIdx.x; t < seen; t += gridDim.x) {
        double norm = threadIdx.x == 0 ? norms[t] : 0.0;
        for (int64_t b = 0; b < batch; b++) {
            if (lengths != NULL && t >= lengths[b])
                continue; /* of the whole block */
            const float *row = x + (b * tokens + t) * width;
            double sum = 0.0;
            for (int64_t k = threadIdx.x; k < width; k += blockDim.x)
                sum += (double)row[k] * row[k];
            norm += sqrt(cuda_block_sum(sum));
        }
        if (threadIdx.x == 0)
            norms[t] = norm;
    }
}

extern "C" void cuda_position_norms(int64_t batch, int64_t tokens, int64_t seen, int64_t width,
                                    const float *x, const int32_t *lengths, double *norms)
{
    CUDA_LAUNCH(position_norms, cuda_blocks(seen, 1), CUDA_ROW_BLOCK, 0, batch, tokens, seen, width,
                x, lengths, norms);
}

static __global__ void learn_absolute(device_importance d)
{
    double found = 0.0;
    for (int64_t j = 1 + threadIdx.x; j < d.tokens; j += blockDim.x)
        found += d.norms[j] > 0.0 ? 1.0 : 0.0;
    if (cuda_block_sum(found) == 0.0)
        return;
    for (int64_t j = 1 + threadIdx.x; j < d.tokens; j += blockDim.x) {
        double now = d.norms[j];
        if (d.mean && d.samples[j] > 0.0)
            now /= d.samples[j];
        d.importance[j] = (float)(d.rho * d.importance[j] + (1.0 - d.rho) * now);
    }
}

static __global__ void learn_relative(device_importance d)
{
    double sum = 0.0, positions = 0.0;
    for (int64_t j = threadIdx.x; j < d.tokens; j += blockDim.x)
        if (d.samples[j] > 0.0) {
            sum += d.norms[j] / d.samples[j];
            positions += 1.0;
        }
    sum = cuda_block_sum(sum);
    positions = cuda_block_sum(positions);
    if (!(sum > 0.0))
        return;
    for (int64_t j = threadIdx.x; j < d.tokens; j += blockDim.x)
        if (d.samples[j] > 0.0) {
            double z = d.norms[j] / d.samples[j] * positions / sum;
            d.importance[j] = (float)(d.rho * d.importance[j] + (1.0 - d.rho) * z);
            d.updates[j] += 1.0f;
        }
}

extern "C" void cuda_learn_importance(const device_importance *importance)
{
    if (importance->relative)
        CUDA_LAUNCH(learn_relative, 1, CUDA_BLOCK, 0, *importance);
    else
        CUDA_LAUNCH(learn_absolute, 1, CUDA_BLOCK, 0, *importance);
}

static __global__ void key_prices(device_key_prices d)
{
    CUDA_EACH(j, d.keys)
    {
        double importance = d.importance[j];
        if (d.updates != NULL)
            importance =
                d.updates[j] > 0.0f ? importance / (1.0 - pow(d.rho, (double)d.updates[j])) : 1.0;
        double guided = 1.0 / (1.0 + exp(-(d.gain * (importance - d.centre) + d.offset)));
        d.price[j] = (float)log((1.0 - d.rise) * guided + d.rise + d.floor);
    }
}

extern "C" void cuda_key_prices(const device_key_prices *prices)
{
    CUDA_LAUNCH(key_prices, cuda_blocks(prices->keys, CUDA_BLOCK), CUDA_BLOCK, 0, *prices);
}
