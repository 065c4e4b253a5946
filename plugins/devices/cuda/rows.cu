/* rows.cu - kernels over the last axis: scaling, dot products and L2 normalisation.
 *
 * A row is taken by a warp or a block (teams.h), whose threads add up their own numbers in fp32 and
 * then each other's in pairs. Bound by memory; the second look at a row finds it in the cache. Not
 * measured. */
#include "kernels.h"
#include "pack.h"

#include <math.h>

template <int V>
static __global__ void scale_rows_packs(int64_t n, int64_t width, const float *x,
                                        const float *factor, float *y, bool add)
{
    CUDA_EACH(p, n / V)
    {
        float by = factor[cuda_divide(p * V, width).whole];
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V);
        for (int k = 0; k < V; k++)
            pack.at[k] *= by;
        cuda_put(y + p * V, pack, add);
    }
}

extern "C" void cuda_scale_rows(int64_t rows, int64_t width, const float *x, const float *factor,
                                float *y, bool add)
{
    int64_t n = rows * width;
    bool packed = width % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_PACKS(scale_rows, packed, n, n, width, x, factor, y, add);
}

/* The team's sum of a b over a row. */
template <int V, bool WHOLE>
static __device__ inline float dot(int64_t width, const float *a, const float *b)
{
    float sum = 0.0f;
    CUDA_TEAM_PACKS(V, WHOLE, c, width)
    {
        cuda_pack<float, V> left = cuda_load<V>(a + c), right = cuda_load<V>(b + c);
        for (int k = 0; k < V; k++)
            sum += left.at[k] * right.at[k];
    }
    return cuda_team_sum<WHOLE>(sum);
}

template <int V, bool WHOLE>
static __global__ void dot_rows_rows(int64_t rows, int64_t width, const float *a, const float *b,
                                     float *y)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        float sum = dot<V, WHOLE>(width, a + r * width, b + r * width);
        if (cuda_team_lane<WHOLE>() == 0)
            y[r] = sum;
    }
}

extern "C" void cuda_dot_rows(int64_t rows, int64_t width, const float *a, const float *b, float *y)
{
    bool packed = width % 4 == 0 && cuda_aligned(a, b);
    CUDA_LAUNCH_ROWS(dot_rows, packed, rows, width, rows, width, a, b, y);
}

/* |x| of a row. Squares overflow beyond 1e19 and vanish below 1e-19, so that a row whose sum leaves
 * the middle of fp32's range is summed again in double. */
template <int V, bool WHOLE> static __device__ inline float length_of(int64_t width, const float *x)
{
    float sum = dot<V, WHOLE>(width, x, x);
    if (sum > 1e-30f && sum < 1e30f) /* the same in every thread of the team */
        return sqrtf(sum);
    double exact = 0.0;
    CUDA_TEAM_PACKS(V, WHOLE, c, width)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + c);
        for (int k = 0; k < V; k++)
            exact += (double)pack.at[k] * pack.at[k];
    }
    return (float)sqrt(cuda_team_sum<WHOLE>(exact));
}

template <int V, bool WHOLE>
static __global__ void normalize_rows_rows(int64_t rows, int64_t width, const float *x, float eps,
                                           float *y, float *norm)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        float length = length_of<V, WHOLE>(width, x + r * width);
        length = length < eps ? eps : length;
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> pack = cuda_load<V>(x + r * width + c);
            for (int k = 0; k < V; k++)
                pack.at[k] /= length;
            cuda_store(y + r * width + c, pack);
        }
        if (cuda_team_lane<WHOLE>() == 0)
            norm[r] = length;
    }
}

extern "C" void cuda_normalize_rows(int64_t rows, int64_t width, const float *x, float eps,
                                    float *y, float *norm)
{
    bool packed = width % 4 == 0 && cuda_aligned(x, y);
    CUDA_LAUNCH_ROWS(normalize_rows, packed, rows, width, rows, width, x, eps, y, norm);
}

template <int V, bool WHOLE>
static __global__ void d_normalize_rows_rows(int64_t rows, int64_t width, const float *y,
                                             const float *norm, float eps, const float *d_y,
                                             float *d_x, bool add)
{
    CUDA_TEAM_ROWS(WHOLE, r, rows)
    {
        const float *unit = y + r * width, *g = d_y + r * width;
        float length = norm[r], along = 0.0f;
        if (length > eps)
            along = dot<V, WHOLE>(width, unit, g);
        CUDA_TEAM_PACKS(V, WHOLE, c, width)
        {
            cuda_pack<float, V> u = cuda_load<V>(unit + c), d = cuda_load<V>(g + c);
            for (int k = 0; k < V; k++)
                d.at[k] = (d.at[k] - u.at[k] * along) / length;
            cuda_put(d_x + r * width + c, d, add);
        }
    }
}

extern "C" void cuda_d_normalize_rows(int64_t rows, int64_t width, const float *y,
                                      const float *norm, float eps, const float *d_y, float *d_x,
                                      bool add)
{
    bool packed = width % 4 == 0 && cuda_aligned(y, d_y, d_x);
    CUDA_LAUNCH_ROWS(d_normalize_rows, packed, rows, width, rows, width, y, norm, eps, d_y, d_x,
                     add);
}
