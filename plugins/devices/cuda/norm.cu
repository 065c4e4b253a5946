/* norm.cu - RMS norm and layer norm, forward and backward.
 *
 * With n = (x - mean) rstd (mean 0 for RMS norm) and y = w n + b, the gradients are
 *
 *   d_x = rstd (h - mean(h) - n mean(h n)),  h = w d_y    (no mean(h) for RMS norm)
 *   d_w = sum over rows of d_y n,  d_b = sum over rows of d_y.
 *
 * A row is taken by a warp or a block and read from memory once: later looks find it in the cache.
 * The sums over rows read x and d_y a second time. Bound by memory. Not measured. */
#include "columns.h"
#include "kernels.h"

#include <math.h>

template <int V, bool WHOLE>
static __global__ void rms_norm_rows(int64_t rows, int64_t width, const float *x, const float *w,
                                     float eps, float *y, float *rstd)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *row = x + r * width;
        float sum = 0.0f;
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> pack = cuda_load<V>(row + c);
            for (int k = 0; k < V; k++)
                sum += pack.at[k] * pack.at[k];
        }
        float scale = 1.0f / sqrtf(cuda_team_sum<WHOLE>(sum) / (float)width + eps);
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> pack = cuda_load<V>(row + c), by = cuda_load<V>(w + c);
            for (int k = 0; k < V; k++)
                pack.at[k] = by.at[k] * (pack.at[k] * scale);
            cuda_store(y + r * width + c, pack);
        }
        if (cuda_team_lane<WHOLE>() == 0)
            rstd[r] = scale;
    }
}

extern "C" void cuda_rms_norm(int64_t rows, int64_t width, const float *x, const float *w,
                              float eps, float *y, float *rstd)
{
    bool packed = width % 4 == 0 && cuda_aligned(x, w, y);
    CUDA_LAUNCH_ROWS(rms_norm, packed, rows, width, rows, width, x, w, eps, y, rstd);
}

/* The mean and 1 / the deviation of a row: of the differences from the mean, which keep their
 * digits far from zero. */
typedef struct row_moments {
    float mean, rstd;
} row_moments;

template <int V, bool WHOLE>
static __device__ inline row_moments moments_of(int64_t width, const float *row, float eps)
{
    float sum = 0.0f, squares = 0.0f;
    CUDA_TEAM_PACKS(V, WHOLE, c, width)
    {
        cuda_pack<float, V> pack = cuda_load<V>(row + c);
        for (int k = 0; k < V; k++)
            sum += pack.at[k];
    }
    row_moments m;
    m.mean = cuda_team_sum<WHOLE>(sum) / (float)width;
    CUDA_TEAM_PACKS(V, WHOLE, c, width)
    {
        cuda_pack<float, V> pack = cuda_load<V>(row + c);
        for (int k = 0; k < V; k++)
            squares += (pack.at[k] - m.mean) * (pack.at[k] - m.mean);
    }
    m.rstd = 1.0f / sqrtf(cuda_team_sum<WHOLE>(squares) / (float)width + eps);
    return m;
}

template <int V, bool WHOLE>
static __global__ void layer_norm_rows(int64_t rows, int64_t width, const float *x, const float *w,
                                       const float *b, float eps, float *y, float *mean,
                                       float *rstd)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        row_moments m = moments_of<V, WHOLE>(width, x + r * width, eps);
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> pack = cuda_load<V>(x + r * width + c);
            cuda_pack<float, V> by = w != NULL ? cuda_load<V>(w + c) : cuda_same<V>(1.0f);
            cuda_pack<float, V> plus = b != NULL ? cuda_load<V>(b + c) : cuda_same<V>(0.0f);
            for (int k = 0; k < V; k++)
                pack.at[k] = (pack.at[k] - m.mean) * m.rstd * by.at[k] + plus.at[k];
            cuda_store(y + r * width + c, pack);
        }
        if (cuda_team_lane<WHOLE>() == 0) {
            mean[r] = m.mean;
            rstd[r] = m.rstd;
        }
    }
}

extern "C" void cuda_layer_norm(int64_t rows, int64_t width, const float *x, const float *w,
                                const float *b, float eps, float *y, float *mean, float *rstd)
{
    bool packed = width % 4 == 0 && cuda_aligned(x, w, b, y);
    CUDA_LAUNCH_ROWS(layer_norm, packed, rows, width, rows, width, x, w, b, eps, y, mean, rstd);
}

/* d_x of both; mean NULL marks RMS norm, w NULL is 1. */
template <int V, bool WHOLE>
static __global__ void d_norm_rows(int64_t rows, int64_t width, const float *x, const float *w,
                                   const float *mean, const float *rstd, const float *d_y,
                                   float *d_x, bool add)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *row = x + r * width, *g = d_y + r * width;
        float middle = mean != NULL ? mean[r] : 0.0f, scale = rstd[r];
        float sum_h = 0.0f, sum_hn = 0.0f;
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> at = cuda_load<V>(row + c), h = cuda_load<V>(g + c);
            cuda_pack<float, V> by = w != NULL ? cuda_load<V>(w + c) : cuda_same<V>(1.0f);
            for (int k = 0; k < V; k++) {
                float hk = h.at[k] * by.at[k];
                sum_h += hk;
                sum_hn += hk * ((at.at[k] - middle) * scale);
            }
        }
        float mean_hn = cuda_team_sum<WHOLE>(sum_hn) / (float)width;
        float mean_h = mean != NULL ? cuda_team_sum<WHOLE>(sum_h) / (float)width : 0.0f;
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> at = cuda_load<V>(row + c), h = cuda_load<V>(g + c);
            cuda_pack<float, V> by = w != NULL ? cuda_load<V>(w + c) : cuda_same<V>(1.0f);
            for (int k = 0; k < V; k++)
                h.at[k] =
                    scale * (h.at[k] * by.at[k] - mean_h - (at.at[k] - middle) * scale * mean_hn);
            cuda_put(d_x + r * width + c, h, add);
        }
    }
}

/* A block's piece of the rows and its columns of d_w and d_b (pieces, D each, or NULL). */
template <int V>
static __global__ void d_norm_pieces(int64_t rows, int64_t width, int span, const float *x,
                                     const float *mean, const float *rstd, const float *d_y,
                                     float *d_w, float *d_b)
{
    int64_t piece = blockIdx.y, end = cuda_piece_start(rows, gridDim.y, piece + 1);
    cuda_column_place at = cuda_column_of<V>(blockIdx.x, span);
    cuda_pack<float, V> sum_w = cuda_same<V>(0.0f), sum_b = sum_w;
    if (at.column < width)
        for (int64_t r = cuda_piece_start(rows, gridDim.y, piece) + at.row; r < end; r += at.step) {
            cuda_pack<float, V> g = cuda_load<V>(d_y + r * width + at.column);
            for (int k = 0; k < V; k++)
                sum_b.at[k] += g.at[k];
            if (d_w == NULL)
                continue;
            cuda_pack<float, V> from = cuda_load<V>(x + r * width + at.column);
            float middle = mean != NULL ? mean[r] : 0.0f, scale = rstd[r];
            for (int k = 0; k < V; k++)
                sum_w.at[k] += g.at[k] * ((from.at[k] - middle) * scale);
        }
    if (d_w != NULL)
        sum_w = cuda_add_rows(sum_w, span);
    if (d_b != NULL)
        sum_b = cuda_add_rows(sum_b, span);
    if (at.column >= width || (int)threadIdx.x >= span)
        return;
    if (d_w != NULL)
        cuda_store(d_w + piece * width + at.column, sum_w);
    if (d_b != NULL)
        cuda_store(d_b + piece * width + at.column, sum_b);
}

/* d_w and d_b of both, each or NULL. */
static void d_parameters(int64_t rows, int64_t width, const float *x, const float *mean,
                         const float *rstd, const float *d_y, float *d_w, bool add_w, float *d_b,
                         bool add_b)
{
    int64_t pieces = cuda_column_pieces(rows, width), size = pieces * width;
    size = (size + 3) / 4 * 4; /* so that both parts can be packed */
    float *parts = NULL;
    if (size > 0 && (parts = (float *)cuda_workspace(2 * size * (int64_t)sizeof *parts)) == NULL)
        return;
    float *parts_w = d_w != NULL ? parts : NULL, *parts_b = d_b != NULL ? parts + size : NULL;
    bool packed = width % 4 == 0 && cuda_aligned(x, d_y);
    auto d_norm_parameters = packed ? d_norm_pieces<4> : d_norm_pieces<1>;
    dim3 blocks((unsigned)cuda_column_blocks(width, packed), (unsigned)pieces, 1);
    CUDA_LAUNCH(d_norm_parameters, blocks, CUDA_COLUMN_THREADS, 0, rows, width,
                cuda_column_span(width, packed), x, mean, rstd, d_y, parts_w, parts_b);
    if (d_w != NULL)
        cuda_add_pieces(pieces, width, parts_w, d_w, add_w);
    if (d_b != NULL)
        cuda_add_pieces(pieces, width, parts_b, d_b, add_b);
}

static void d_input(int64_t rows, int64_t width, const float *x, const float *w, const float *mean,
                    const float *rstd, const float *d_y, float *d_x, bool add)
{
    bool packed = width % 4 == 0 && cuda_aligned(x, w, d_y, d_x);
    CUDA_LAUNCH_ROWS(d_norm, packed, rows, width, rows, width, x, w, mean, rstd, d_y, d_x, add);
}

extern "C" void cuda_d_rms_norm(int64_t rows, int64_t width, const float *x, const float *w,
                                const float *rstd, const float *d_y, float *d_x, bool add_x,
                                float *d_w, bool add_w)
{
    if (d_w != NULL)
        d_parameters(rows, width, x, NULL, rstd, d_y, d_w, add_w, NULL, false);
    if (d_x != NULL)
        d_input(rows, width, x, w, NULL, rstd, d_y, d_x, add_x);
}

extern "C" void cuda_d_layer_norm(int64_t rows, int64_t width, const float *x, const float *w,
                                  const float *mean, const float *rstd, const float *d_y,
                                  float *d_x, bool add_x, float *d_w, bool add_w, float *d_b,
                                  bool add_b)
{
    if (d_w != NULL || d_b != NULL)
        d_parameters(rows, width, x, mean, rstd, d_y, d_w, add_w, d_b, add_b);
    if (d_x != NULL)
        d_input(rows, width, x, w, mean, rstd, d_y, d_x, add_x);
}
