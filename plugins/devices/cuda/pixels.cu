/* pixels.cu - cross-entropy over the channels of a pixel, and moving pixels between layouts.
 *
 * A thread takes a pixel of every channel in turn: neighbouring threads read neighbouring pixels.
 * All of it is bound by memory: one read of the logits for the loss, one read and one write of them
 * for the gradient. Not measured. */
#include "planes.h"
#include "teams.h"

#include "kernels.h"

/* ---- cross-entropy ---- */

enum {
    LOSS_BLOCKS = 1024,  /* most partial sums of a loss */
    CLASSES_AT_ONCE = 8, /* classes whose gradients one thread writes for its pixel */
};

/* partial[block] = sum over its pixels of lse - x[truth] */
static __global__ void pixel_losses(int64_t batch, int64_t classes, int64_t pixels, const float *x,
                                    const uint8_t *truth, int64_t ignore, float *lse,
                                    double *partial)
{
    double loss = 0.0;
    CUDA_EACH(at, batch * pixels)
    {
        const float *logit = x + at / pixels * classes * pixels + at % pixels;
        cuda_exp_sum all = cuda_exp_sum_none();
        for (int64_t c = 0; c < classes; c++)
            cuda_exp_sum_meet(&all, logit[c * pixels]);
        const float log_sum = logf(all.sum);
        lse[at] = all.largest + log_sum;
        if (truth[at] != ignore)
            loss += (double)all.largest - logit[truth[at] * pixels] + log_sum;
    }
    loss = cuda_block_sum(loss);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = loss;
}

/* One block: loss = factor times the sum of the partial sums. */
static __global__ void sum_losses(int64_t count, const double *partial, double factor, float *loss)
{
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += partial[i];
    sum = cuda_block_sum(sum);
    if (threadIdx.x == 0)
        loss[0] = (float)(factor * sum);
}

extern "C" void cuda_pixel_cross_entropy(int64_t batch, int64_t classes, int64_t pixels,
                                         const float *x, const uint8_t *truth, int64_t ignore,
                                         double factor, float *lse, float *loss)
{
    int64_t blocks = cuda_blocks(batch * pixels, CUDA_BLOCK);
    blocks = blocks < LOSS_BLOCKS ? blocks : (int64_t)LOSS_BLOCKS;
    double *partial = (double *)cuda_workspace((blocks + 1) * (int64_t)sizeof *partial);
    if (partial == NULL)
        return;
    CUDA_LAUNCH(pixel_losses, blocks, CUDA_BLOCK, 0, batch, classes, pixels, x, truth, ignore, lse,
                partial);
    CUDA_LAUNCH(sum_losses, 1, CUDA_BLOCK, 0, blocks, partial, factor, loss);
}

static __global__ void d_pixel_losses(int64_t batch, int64_t classes, int64_t pixels,
                                      const float *x, const uint8_t *truth, int64_t ignore,
                                      const float *lse, float factor, const float *times,
                                      float *d_x, bool add)
{
    const float k = times != NULL ? factor * times[0] : factor;
    CUDA_EACH(at, batch * pixels)
    {
        const int64_t first = at / pixels * classes * pixels + at % pixels, one = truth[at];
        const bool ignored = one == ignore;
        const float shift = lse[at];
        for (int64_t part = (int64_t)blockIdx.y * CLASSES_AT_ONCE; part < classes;
             part += (int64_t)gridDim.y * CLASSES_AT_ONCE)
            for (int64_t c = part; c < part + CLASSES_AT_ONCE && c < classes; c++) {
                const int64_t i = first + c * pixels;
                const float d =
                    ignored ? 0.0f : k * (expf(x[i] - shift) - (c == one ? 1.0f : 0.0f));
                d_x[i] = add ? d_x[i] + d : d;
            }
    }
}

extern "C" void cuda_d_pixel_cross_entropy(int64_t batch, int64_t classes, int64_t pixels,
                                           const float *x, const uint8_t *truth, int64_t ignore,
                                           const float *lse, float factor, const float *times,
                                           float *d_x, bool add)
{
    int64_t parts = (classes + CLASSES_AT_ONCE - 1) / CLASSES_AT_ONCE;
    dim3 blocks((unsigned)cuda_blocks(batch * pixels, CUDA_BLOCK),
                (unsigned)(parts < CUDA_MOST_BLOCKS_Y ? parts : (int64_t)CUDA_MOST_BLOCKS_Y), 1);
    CUDA_LAUNCH(d_pixel_losses, blocks, CUDA_BLOCK, 0, batch, classes, pixels, x, truth, ignore,
                lse, factor, times, d_x, add);
}

/* ---- layouts ---- */

/* Pixel (i, j) of y (C, k H, k W) is that of x (C, k, k, H, W) at the same place below, `inside` a
 * plane's group of k k planes. */
static __device__ inline int64_t woven_at(int64_t pixel, int64_t side, int64_t height,
                                          int64_t width)
{
    const int64_t i = pixel / (width * side), j = pixel % (width * side);
    return ((i % side * side + j % side) * height + i / side) * width + j / side;
}

static __global__ void weave(int64_t planes, int64_t channels, int64_t side, int64_t height,
                             int64_t width, const float *x, const float *bias, float *y)
{
    const int64_t pixels = height * width * side * side;
    CUDA_EACH(pixel, pixels)
    {
        const int64_t from = woven_at(pixel, side, height, width);
        CUDA_EACH_PLANE(p, planes)
        y[p * pixels + pixel] = x[p * pixels + from] + (bias != NULL ? bias[p % channels] : 0.0f);
    }
}

extern "C" void cuda_depth_to_space(int64_t batch, int64_t channels, int64_t side, int64_t height,
                                    int64_t width, const float *x, const float *bias, float *y)
{
    int64_t planes = batch * channels;
    CUDA_LAUNCH(weave, cuda_plane_blocks(height * width * side * side, planes), CUDA_BLOCK, 0,
                planes, channels, side, height, width, x, bias, y);
}

static __global__ void unweave(int64_t channels, int64_t side, int64_t height, int64_t width,
                               const float *y, float *x)
{
    const int64_t pixels = height * width * side * side;
    CUDA_EACH(pixel, pixels)
    {
        const int64_t to = woven_at(pixel, side, height, width);
        CUDA_EACH_PLANE(c, channels)
        x[c * pixels + to] = y[c * pixels + pixel];
    }
}

extern "C" void cuda_space_to_depth(int64_t channels, int64_t side, int64_t height, int64_t width,
                                    const float *y, float *x)
{
    CUDA_LAUNCH(unweave, cuda_plane_blocks(height * width * side * side, channels), CUDA_BLOCK, 0,
                channels, side, height, width, y, x);
}
