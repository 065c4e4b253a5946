/* pools.cu - maxima and means over windows of maps, plane by plane, and their gradients.
 *
 * The gradients ask, for every pixel, which windows gave it something: no two threads write one
 * place. Bound by memory. Not measured. */
#include "planes.h"

#include "kernels.h"

/* ---- maxima ---- */

/* The first largest cell of a window; a NaN counts as larger than any number. */
static __device__ inline int64_t largest_of(const float *x, int64_t width, int64_t side)
{
    int64_t best = 0;
    float there = x[0];
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            const float here = x[i * width + j];
            if (here > there || (isnan(here) && !isnan(there))) {
                best = i * width + j;
                there = here;
            }
        }
    return best;
}

static __global__ void max_windows(int64_t planes, int64_t height, int64_t width, int64_t side,
                                   const float *x, float *y)
{
    const int64_t rows = height / side, columns = width / side, windows = rows * columns;
    CUDA_EACH(at, windows)
    {
        const int64_t corner = at / columns * side * width + at % columns * side;
        CUDA_EACH_PLANE(p, planes)
        {
            const float *window = x + p * height * width + corner;
            y[p * windows + at] = window[largest_of(window, width, side)];
        }
    }
}

extern "C" void cuda_max_pool(int64_t planes, int64_t height, int64_t width, int64_t side,
                              const float *x, float *y)
{
    CUDA_LAUNCH(max_windows, cuda_plane_blocks((height / side) * (width / side), planes),
                CUDA_BLOCK, 0, planes, height, width, side, x, y);
}

/* Windows and, when overwriting, what is left of one at the lower and right edge, which gets 0. */
static __global__ void d_max_windows(int64_t planes, int64_t height, int64_t width, int64_t side,
                                     const float *x, const float *d_y, float *d_x, bool add)
{
    const int64_t rows = height / side, columns = width / side;
    const int64_t all_columns = (width + side - 1) / side;
    CUDA_EACH(at, (height + side - 1) / side * all_columns)
    {
        const int64_t i = at / all_columns, j = at % all_columns;
        const int64_t corner = i * side * width + j * side;
        const bool whole = i < rows && j < columns;
        const int64_t down = whole ? side : height - i * side < side ? height - i * side : side;
        const int64_t across = whole ? side : width - j * side < side ? width - j * side : side;
        CUDA_EACH_PLANE(p, planes)
        {
            const float *window = x + p * height * width + corner;
            float *to = d_x + p * height * width + corner;
            const int64_t best = whole ? largest_of(window, width, side) : -1;
            const float d = whole ? d_y[(p * rows + i) * columns + j] : 0.0f;
            if (add) {
                if (whole)
                    to[best] += d;
                continue;
            }
            for (int64_t r = 0; r < down; r++)
                for (int64_t c = 0; c < across; c++)
                    to[r * width + c] = r * width + c == best ? d : 0.0f;
        }
    }
}

extern "C" void cuda_d_max_pool(int64_t planes, int64_t height, int64_t width, int64_t side,
                                const float *x, const float *d_y, float *d_x, bool add)
{
    int64_t windows = (height + side - 1) / side * ((width + side - 1) / side);
    CUDA_LAUNCH(d_max_windows, cuda_plane_blocks(windows, planes), CUDA_BLOCK, 0, planes, height,
                width, side, x, d_y, d_x, add);
}

/* ---- means ---- */

enum {
    LARGE_WINDOW = 64, /* cells on average: a warp shares such a window */
};

/* LANES threads take a window: 1, or a warp. */
template <int LANES>
static __global__ void mean_windows(int64_t planes, int64_t height, int64_t width,
                                    int64_t to_height, int64_t to_width, const float *x, float *y)
{
    const int64_t windows = to_height * to_width;
    const int lane = LANES > 1 ? (int)threadIdx.x % LANES : 0;
    CUDA_EACH(item, windows * LANES) /* a warp's threads have the same window */
    {
        const int64_t at = item / LANES, i = at / to_width, j = at % to_width;
        const int64_t top = window_first(i, height, to_height);
        const int64_t left = window_first(j, width, to_width);
        const int64_t across = window_end(j, width, to_width) - left;
        const int64_t down = window_end(i, height, to_height) - top;
        const int64_t first_r = lane / across, first_c = lane % across;
        const int64_t step_r = LANES / across, step_c = LANES % across;
        CUDA_EACH_PLANE(p, planes)
        {
            const float *window = x + (p * height + top) * width + left;
            double sum = 0.0;
            for (int64_t r = first_r, c = first_c; r < down;) {
                sum += window[r * width + c];
                r += step_r;
                c += step_c;
                if (c >= across) {
                    c -= across;
                    r++;
                }
            }
            if (LANES > 1)
                sum = cuda_warp_sum(sum);
            if (lane == 0)
                y[p * windows + at] = (float)(sum / (double)(down * across));
        }
    }
}

extern "C" void cuda_average_pool(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                                  int64_t to_width, const float *x, float *y)
{
    int64_t windows = to_height * to_width;
    if (height * width >= windows * LARGE_WINDOW)
        CUDA_LAUNCH(mean_windows<CUDA_WARP>,
                    cuda_plane_blocks_of(windows, CUDA_WARP, planes, CUDA_BLOCK), CUDA_BLOCK, 0,
                    planes, height, width, to_height, to_width, x, y);
    else
        CUDA_LAUNCH(mean_windows<1>, cuda_plane_blocks(windows, planes), CUDA_BLOCK, 0, planes,
                    height, width, to_height, to_width, x, y);
}

/* Windows [first, end) of one axis that cover a cell. */
typedef struct covering {
    int64_t first, end;
} covering;

static __device__ inline covering covering_of(int64_t cell, int64_t cells, int64_t windows)
{
    covering w = {window_first(cell, windows, cells), window_end(cell, windows, cells)};
    return w;
}

static __device__ inline int64_t window_length(int64_t i, int64_t cells, int64_t windows)
{
    return window_end(i, cells, windows) - window_first(i, cells, windows);
}

static __global__ void d_mean_windows(int64_t planes, int64_t height, int64_t width,
                                      int64_t to_height, int64_t to_width, const float *d_y,
                                      float *d_x, bool add)
{
    const int64_t pixels = height * width, windows = to_height * to_width;
    CUDA_EACH(at, pixels)
    {
        const covering rows = covering_of(at / width, height, to_height);
        const covering columns = covering_of(at % width, width, to_width);
        const bool one = rows.end - rows.first == 1 && columns.end - columns.first == 1;
        int64_t cells = one ? window_length(rows.first, height, to_height) *
                                  window_length(columns.first, width, to_width)
                            : 0;
        CUDA_EACH_PLANE(p, planes)
        {
            double sum = add ? d_x[p * pixels + at] : 0.0;
            for (int64_t i = rows.first; i < rows.end; i++)
                for (int64_t j = columns.first; j < columns.end; j++) {
                    if (!one) /* divisions that cost more than the rest */
                        cells =
                            window_length(i, height, to_height) * window_length(j, width, to_width);
                    sum += d_y[p * windows + i * to_width + j] / (float)cells;
                }
            d_x[p * pixels + at] = (float)sum;
        }
    }
}

extern "C" void cuda_d_average_pool(int64_t planes, int64_t height, int64_t width,
                                    int64_t to_height, int64_t to_width, const float *d_y,
                                    float *d_x, bool add)
{
    CUDA_LAUNCH(d_mean_windows, cuda_plane_blocks(height * width, planes), CUDA_BLOCK, 0, planes,
                height, width, to_height, to_width, d_y, d_x, add);
}
