/* channels.cu - sums, moments and batch norm of maps (B, C, pixels), channel by channel.
 *
 * The numbers of a channel are cut into pieces of one size, a block each, whose sums (in double)
 * are added in their order: how many there are depends on the sizes alone.
 *
 * Bound by memory: the sums read x once, the moments twice, the gradient of batch norm x and d_y
 * twice. Not measured. */
#include "launch.h"

#include "kernels.h"

enum {
    PIECE = 8192,      /* numbers of a piece; more where that gives more than MOST_PIECES */
    MOST_PIECES = 256, /* of a channel */
    FINISH_BLOCK = 32, /* threads that put the pieces of a channel together */
};

/* How the batch x pixels numbers of a channel are shared out. They are counted in units that a
 * thread reads at once: one number, or four. */
typedef struct pieces {
    int64_t batch, channels, pixels;
    int64_t count, each; /* pieces of a channel, and units of one */
    double numbers;      /* of a channel */
} pieces;

static pieces pieces_of(int64_t batch, int64_t channels, int64_t pixels, bool fours)
{
    const int64_t unit = fours ? 4 : 1, n = batch * (pixels / unit);
    pieces p = {batch, channels, pixels / unit, 1, 0, (double)(batch * pixels)};
    p.count = (n * unit + PIECE - 1) / PIECE;
    p.count = p.count < 1 ? 1 : p.count > MOST_PIECES ? (int64_t)MOST_PIECES : p.count;
    p.each = (n + p.count - 1) / p.count;
    return p;
}

/* One thread's walk through a piece of a channel: `at` is where its next unit lies. */
typedef struct channel_walk {
    int64_t left; /* units to come, one of `stride` threads */
    int64_t at, pixel;
    int64_t step, step_pixels, wrap; /* of one stride; `wrap` more when it leaves a plane */
    int64_t pixels, stride;
} channel_walk;

static __device__ inline channel_walk channel_walk_of(pieces p, int64_t channel, int64_t piece)
{
    channel_walk w;
    const int64_t image = p.channels * p.pixels, n = p.batch * p.pixels;
    int64_t first = piece * p.each, end = first + p.each < n ? first + p.each : n;
    first += threadIdx.x;
    w.stride = blockDim.x;
    w.left = end - first;
    w.at = w.pixel = w.step = w.step_pixels = w.wrap = 0;
    w.pixels = p.pixels;
    if (w.left <= 0)
        return w;
    w.pixel = first % p.pixels;
    w.at = first / p.pixels * image + channel * p.pixels + w.pixel;
    w.step_pixels = w.stride % p.pixels;
    w.step = w.stride / p.pixels * image + w.step_pixels;
    w.wrap = image - p.pixels;
    return w;
}

static __device__ inline void channel_walk_on(channel_walk *w)
{
    w->left -= w->stride;
    w->at += w->step;
    w->pixel += w->step_pixels;
    if (w->pixel >= w->pixels) {
        w->pixel -= w->pixels;
        w->at += w->wrap;
    }
}

/* for each place w.at of this thread's units in the piece of block (channel, piece) */
#define EACH_OF_PIECE(w, p, channel)                                                               \
    for (channel_walk w = channel_walk_of(p, channel, blockIdx.y); w.left > 0; channel_walk_on(&w))

static dim3 piece_blocks(pieces p)
{
    return dim3((unsigned)p.channels, (unsigned)p.count, 1);
}

/* The sum of a channel's pieces. Every thread of the block calls and gets it. */
static __device__ inline double sum_pieces(int64_t count, const double *partial)
{
    double sum = 0.0;
    for (int64_t k = threadIdx.x; k < count; k += blockDim.x)
        sum += partial[k];
    return cuda_block_sum(sum);
}

static bool by_fours(const void *a, const void *b, const void *c, int64_t pixels)
{
    return ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) % 16 == 0 && pixels % 4 == 0;
}

/* ---- sums and moments ---- */

static __device__ inline double sum_of(float x)
{
    return x;
}

static __device__ inline double sum_of(float4 x)
{
    return ((double)x.x + x.y) + ((double)x.z + x.w);
}

static __device__ inline double squares_about(double mean, float x)
{
    return (x - mean) * (x - mean);
}

static __device__ inline double squares_about(double mean, float4 x)
{
    return (squares_about(mean, x.x) + squares_about(mean, x.y)) +
           (squares_about(mean, x.z) + squares_about(mean, x.w));
}

/* partial (C, pieces); UNIT is float or float4 */
template <typename UNIT>
static __global__ void sum_of_pieces(pieces p, const UNIT *x, double *partial)
{
    const int64_t c = blockIdx.x;
    double sum = 0.0;
    EACH_OF_PIECE(w, p, c)
    sum += sum_of(x[w.at]);
    sum = cuda_block_sum(sum);
    if (threadIdx.x == 0)
        partial[c * p.count + blockIdx.y] = sum;
}

static void launch_sums(pieces p, const float *x, bool fours, double *partial)
{
    if (fours)
        CUDA_LAUNCH(sum_of_pieces<float4>, piece_blocks(p), CUDA_BLOCK, 0, p, (const float4 *)x,
                    partial);
    else
        CUDA_LAUNCH(sum_of_pieces<float>, piece_blocks(p), CUDA_BLOCK, 0, p, x, partial);
}

static __global__ void finish_sums(pieces p, const double *partial, float *y, bool add)
{
    const int64_t c = blockIdx.x;
    const double sum = sum_pieces(p.count, partial + c * p.count);
    if (threadIdx.x == 0)
        y[c] = (float)((add ? y[c] : 0.0) + sum);
}

extern "C" void cuda_sum_channels(int64_t batch, int64_t channels, int64_t pixels, const float *x,
                                  float *y, bool add)
{
    const bool fours = by_fours(x, NULL, NULL, pixels);
    pieces p = pieces_of(batch, channels, pixels, fours);
    double *partial = channels > 0 ? (double *)cuda_workspace(channels * p.count * 8) : NULL;
    if (partial == NULL)
        return;
    launch_sums(p, x, fours, partial);
    CUDA_LAUNCH(finish_sums, channels, FINISH_BLOCK, 0, p, partial, y, add);
}

/* The second pass: squares (C, pieces) about the means that the sums give. */
template <typename UNIT>
static __global__ void squares_of_pieces(pieces p, const UNIT *x, const double *partial,
                                         double *squares)
{
    const int64_t c = blockIdx.x;
    const double mean = sum_pieces(p.count, partial + c * p.count) / p.numbers;
    double sum = 0.0;
    EACH_OF_PIECE(w, p, c)
    sum += squares_about(mean, x[w.at]);
    sum = cuda_block_sum(sum);
    if (threadIdx.x == 0)
        squares[c * p.count + blockIdx.y] = sum;
}

static __global__ void finish_moments(pieces p, const double *partial, const double *squares,
                                      float *mean, float *variance)
{
    const int64_t c = blockIdx.x;
    const double sum = sum_pieces(p.count, partial + c * p.count);
    const double sum_squares = sum_pieces(p.count, squares + c * p.count);
    if (threadIdx.x == 0) {
        mean[c] = (float)(sum / p.numbers);
        variance[c] = (float)(sum_squares / p.numbers);
    }
}

extern "C" void cuda_channel_moments(int64_t batch, int64_t channels, int64_t pixels,
                                     const float *x, float *mean, float *variance)
{
    const bool fours = by_fours(x, NULL, NULL, pixels);
    pieces p = pieces_of(batch, channels, pixels, fours);
    double *partial = channels > 0 ? (double *)cuda_workspace(channels * p.count * 16) : NULL;
    if (partial == NULL)
        return;
    double *squares = partial + channels * p.count;
    launch_sums(p, x, fours, partial);
    if (fours)
        CUDA_LAUNCH(squares_of_pieces<float4>, piece_blocks(p), CUDA_BLOCK, 0, p, (const float4 *)x,
                    partial, squares);
    else
        CUDA_LAUNCH(squares_of_pieces<float>, piece_blocks(p), CUDA_BLOCK, 0, p, x, partial,
                    squares);
    CUDA_LAUNCH(finish_moments, channels, FINISH_BLOCK, 0, p, partial, squares, mean, variance);
}

/* ---- batch norm ---- */

/* What a channel does to its numbers: z = (x - mean) scale + shift. */
typedef struct channel_map {
    float mean, scale, shift;
} channel_map;

static __device__ inline channel_map channel_map_of(device_batch_norm g, int64_t c)
{
    channel_map m = {g.mean[c], g.w[c] * g.rstd[c], g.b[c]};
    return m;
}

/* One rounding of z everywhere, so that a ReLU is shut to the gradient just where it gave 0. */
static __device__ inline float mapped(channel_map m, float x)
{
    return fmaf(x - m.mean, m.scale, m.shift);
}

/* Of element `at` of (B, C, pixels). Division of 64 bits takes several times as long. */
static __device__ inline int64_t channel_at(int64_t at, int64_t pixels, int64_t channels)
{
    if (at <= UINT32_MAX && pixels <= UINT32_MAX && channels <= UINT32_MAX)
        return (uint32_t)at / (uint32_t)pixels % (uint32_t)channels;
    return at / pixels % channels;
}

static __device__ inline float normalized(channel_map m, float x, bool relu)
{
    const float z = mapped(m, x);
    return relu && z < 0.0f ? 0.0f : z;
}

static __global__ void normalize(int64_t n, device_batch_norm g)
{
    CUDA_EACH(i, n)
    {
        const channel_map m = channel_map_of(g, channel_at(i, g.pixels, g.channels));
        g.y[i] = normalized(m, g.x[i], g.relu);
    }
}

/* By fours, which lie in one channel: n of them, `pixels` of them a plane. */
static __global__ void normalize_fours(int64_t n, int64_t pixels, device_batch_norm g)
{
    const float4 *x = (const float4 *)g.x;
    float4 *y = (float4 *)g.y;
    CUDA_EACH(i, n)
    {
        const channel_map m = channel_map_of(g, channel_at(i, pixels, g.channels));
        float4 v = x[i];
        v.x = normalized(m, v.x, g.relu);
        v.y = normalized(m, v.y, g.relu);
        v.z = normalized(m, v.z, g.relu);
        v.w = normalized(m, v.w, g.relu);
        y[i] = v;
    }
}

extern "C" void cuda_batch_norm(const device_batch_norm *norm)
{
    const device_batch_norm g = *norm;
    int64_t n = g.batch * g.channels * g.pixels;
    if (by_fours(g.x, g.y, NULL, g.pixels))
        CUDA_LAUNCH(normalize_fours, cuda_blocks(n / 4, CUDA_BLOCK), CUDA_BLOCK, 0, n / 4,
                    g.pixels / 4, g);
    else
        CUDA_LAUNCH(normalize, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, g);
}

/* Adds to the sums of the gradient of z and of it times (x - mean). */
static __device__ inline void add_gradient(channel_map m, bool relu, float x, float d_y,
                                           double *sum, double *along)
{
    const float d = relu && mapped(m, x) <= 0.0f ? 0.0f : d_y;
    *sum += d;
    *along += (double)d * (x - m.mean);
}

static __device__ inline void add_gradient(channel_map m, bool relu, float4 x, float4 d_y,
                                           double *sum, double *along)
{
    add_gradient(m, relu, x.x, d_y.x, sum, along);
    add_gradient(m, relu, x.y, d_y.y, sum, along);
    add_gradient(m, relu, x.z, d_y.z, sum, along);
    add_gradient(m, relu, x.w, d_y.w, sum, along);
}

/* partial (C, pieces) of the gradient of z, which is d_y where the ReLU is open, and along (C,
 * pieces) of it times (x - mean). */
template <typename UNIT>
static __global__ void sum_gradients(pieces p, device_batch_norm g, double *partial, double *along)
{
    const int64_t c = blockIdx.x;
    const channel_map m = channel_map_of(g, c);
    double sum = 0.0, sum_along = 0.0;
    EACH_OF_PIECE(w, p, c)
    add_gradient(m, g.relu, ((const UNIT *)g.x)[w.at], ((const UNIT *)g.d_y)[w.at], &sum,
                 &sum_along);
    sum = cuda_block_sum(sum);
    sum_along = cuda_block_sum(sum_along);
    if (threadIdx.x == 0) {
        partial[c * p.count + blockIdx.y] = sum;
        along[c * p.count + blockIdx.y] = sum_along;
    }
}

/* d_w and d_b, and what a statistic of the batch sends back to every x: offset (C) and slope
 * (C). */
static __global__ void finish_gradients(pieces p, device_batch_norm g, const double *partial,
                                        const double *along, float *offset, float *slope)
{
    const int64_t c = blockIdx.x;
    const double n = p.numbers, rstd = g.rstd[c];
    const double sum = sum_pieces(p.count, partial + c * p.count);
    const double sum_along = sum_pieces(p.count, along + c * p.count);
    if (threadIdx.x != 0)
        return;
    if (g.d_b != NULL)
        g.d_b[c] = (float)((g.add_b ? g.d_b[c] : 0.0) + sum);
    if (g.d_w != NULL)
        g.d_w[c] = (float)((g.add_w ? g.d_w[c] : 0.0) + sum_along * rstd);
    offset[c] = g.of_batch ? (float)(sum / n) : 0.0f;
    slope[c] = g.of_batch ? (float)(sum_along * rstd * rstd / n) : 0.0f;
}

/* scale (d_y - offset - (x - mean) slope) */
static __device__ inline float spread(channel_map m, float x, float d_y, float offset, float slope,
                                      bool relu)
{
    const float d = relu && mapped(m, x) <= 0.0f ? 0.0f : d_y;
    return m.scale * (d - offset - (x - m.mean) * slope);
}

static __global__ void spread_gradients(int64_t n, device_batch_norm g, const float *offset,
                                        const float *slope)
{
    CUDA_EACH(i, n)
    {
        const int64_t c = channel_at(i, g.pixels, g.channels);
        const channel_map m = channel_map_of(g, c);
        const float d = spread(m, g.x[i], g.d_y[i], offset[c], slope[c], g.relu);
        g.d_x[i] = g.add_x ? g.d_x[i] + d : d;
    }
}

static __global__ void spread_fours(int64_t n, int64_t pixels, device_batch_norm g,
                                    const float *offset, const float *slope)
{
    const float4 *x = (const float4 *)g.x, *d_y = (const float4 *)g.d_y;
    float4 *d_x = (float4 *)g.d_x;
    CUDA_EACH(i, n)
    {
        const int64_t c = channel_at(i, pixels, g.channels);
        const channel_map m = channel_map_of(g, c);
        const float4 from = x[i], d = d_y[i];
        float4 to = {0.0f, 0.0f, 0.0f, 0.0f};
        if (g.add_x)
            to = d_x[i];
        to.x += spread(m, from.x, d.x, offset[c], slope[c], g.relu);
        to.y += spread(m, from.y, d.y, offset[c], slope[c], g.relu);
        to.z += spread(m, from.z, d.z, offset[c], slope[c], g.relu);
        to.w += spread(m, from.w, d.w, offset[c], slope[c], g.relu);
        d_x[i] = to;
    }
}

extern "C" void cuda_d_batch_norm(const device_batch_norm *norm)
{
    const device_batch_norm g = *norm;
    const bool fours = by_fours(g.x, g.d_y, NULL, g.pixels);
    const pieces p = pieces_of(g.batch, g.channels, g.pixels, fours);
    int64_t n = g.batch * g.channels * g.pixels, parts = g.channels * p.count;
    double *partial = g.channels > 0 ? (double *)cuda_workspace(parts * 16 + g.channels * 8) : NULL;
    if (partial == NULL)
        return;
    double *along = partial + parts;
    float *offset = (float *)(along + parts), *slope = offset + g.channels;
    if (fours)
        CUDA_LAUNCH(sum_gradients<float4>, piece_blocks(p), CUDA_BLOCK, 0, p, g, partial, along);
    else
        CUDA_LAUNCH(sum_gradients<float>, piece_blocks(p), CUDA_BLOCK, 0, p, g, partial, along);
    CUDA_LAUNCH(finish_gradients, g.channels, FINISH_BLOCK, 0, p, g, partial, along, offset, slope);
    if (g.d_x == NULL)
        return;
    if (fours && (uintptr_t)g.d_x % 16 == 0)
        CUDA_LAUNCH(spread_fours, cuda_blocks(n / 4, CUDA_BLOCK), CUDA_BLOCK, 0, n / 4,
                    g.pixels / 4, g, offset, slope);
    else
        CUDA_LAUNCH(spread_gradients, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, g, offset,
                    slope);
}
