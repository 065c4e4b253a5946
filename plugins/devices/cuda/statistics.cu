/* statistics.cu - what batch norm keeps of a pass: a few numbers for each channel, in double. */
#include "launch.h"

extern "C" {
#include "kernels.h"
}

static __global__ void update_statistics(int64_t channels, double n, double momentum, float eps,
                                         const float *mean, float *variance, float *running_mean,
                                         float *running_variance)
{
    CUDA_EACH(c, channels)
    {
        double m = mean[c], v = variance[c];
        if (momentum != 0.0) {
            running_mean[c] = (float)((1.0 - momentum) * running_mean[c] + momentum * m);
            running_variance[c] =
                (float)((1.0 - momentum) * running_variance[c] + momentum * (v * n / (n - 1.0)));
        }
        variance[c] = (float)(1.0 / sqrt(v + (double)eps));
    }
}

extern "C" void cuda_batch_statistics(int64_t channels, double n, double momentum, float eps,
                                      const float *mean, float *variance, float *running_mean,
                                      float *running_variance)
{
    CUDA_LAUNCH(update_statistics, cuda_blocks(channels, CUDA_BLOCK), CUDA_BLOCK, 0, channels, n,
                momentum, eps, mean, variance, running_mean, running_variance);
}
