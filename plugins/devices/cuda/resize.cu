/* resize.cu - bilinear resizing of maps with half-pixel centres, and its gradient.
 *
 * The gradient is gathered: for each line and column of x a table says which results it went into
 * and with what weight, and every cell of x adds up its own. No two threads write one place. Bound
 * by memory; the gradient reads every d_y four times, through the cache. Not measured. */
#include "planes.h"

#include "kernels.h"

/* Where cell i of `to` lies between two cells of `from`: (1 - part) of `low`, `part` of `high`.
 * Cells are 1 / count wide and compared by their centres; beyond the outer centres the outer cell
 * counts alone. */
typedef struct between {
    int64_t low, high;
    float part;
} between;

static __device__ inline between between_of(int64_t i, int64_t from, int64_t to)
{
    between b;
    double at = ((double)i + 0.5) * (double)from / (double)to - 0.5;
    at = at < 0.0 ? 0.0 : at;
    b.low = (int64_t)at;
    b.low = b.low < from - 1 ? b.low : from - 1;
    b.high = b.low + (b.low < from - 1);
    b.part = b.low < from - 1 ? (float)(at - (double)b.low) : 0.0f;
    return b;
}

static __global__ void resize_planes(int64_t planes, int64_t height, int64_t width,
                                     int64_t to_height, int64_t to_width, const float *x, float *y)
{
    const int64_t pixels = to_height * to_width;
    CUDA_EACH(at, pixels)
    {
        const between r = between_of(at / to_width, height, to_height);
        const between c = between_of(at % to_width, width, to_width);
        CUDA_EACH_PLANE(p, planes)
        {
            const float *low = x + (p * height + r.low) * width;
            const float *high = x + (p * height + r.high) * width;
            const float left = low[c.low] + r.part * (high[c.low] - low[c.low]);
            const float right = low[c.high] + r.part * (high[c.high] - low[c.high]);
            y[p * pixels + at] = left + c.part * (right - left);
        }
    }
}

extern "C" void cuda_resize(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                            int64_t to_width, const float *x, float *y)
{
    CUDA_LAUNCH(resize_planes, cuda_plane_blocks(to_height * to_width, planes), CUDA_BLOCK, 0,
                planes, height, width, to_height, to_width, x, y);
}

/* ---- the gradient ---- */

/* Of each cell of an axis: it went into the results first .. first + count - 1, with weight[0 ..
 * count - 1] of its `most`. */
typedef struct axis {
    int64_t cells, results, most;
    int64_t *first, *count; /* (cells) */
    float *weight;          /* (cells, most) */
} axis;

/* What cell `cell` weighs in result i. */
static __device__ inline float share_of(int64_t cell, int64_t i, axis a)
{
    const between b = between_of(i, a.cells, a.results);
    return (cell == b.low ? 1.0f - b.part : 0.0f) + (cell == b.high ? b.part : 0.0f);
}

/* Result i lies at (i + 1/2) cells / results - 1/2, and less than one cell away from those it is
 * made of: the bounds are a result too wide on either side, and cut back to where weights are. */
static __global__ void fill_axis(axis a)
{
    const double per_cell = (double)a.results / (double)a.cells;
    CUDA_EACH(cell, a.cells)
    {
        int64_t first = (int64_t)(((double)cell - 0.5) * per_cell - 0.5) - 1;
        int64_t end = (int64_t)(((double)cell + 1.5) * per_cell - 0.5) + 2;
        first = first > 0 ? first : 0;
        end = end < a.results ? end : a.results;
        while (first < end && share_of(cell, first, a) == 0.0f)
            first++;
        while (first < end && share_of(cell, end - 1, a) == 0.0f)
            end--;
        a.first[cell] = first;
        a.count[cell] = end - first < a.most ? end - first : a.most;
        for (int64_t k = 0; k < a.count[cell]; k++)
            a.weight[cell * a.most + k] = share_of(cell, first + k, a);
    }
}

/* LANES threads take a cell of x: 1, or a warp where many results ask for it. */
template <int LANES>
static __global__ void d_resize_planes(int64_t planes, axis rows, axis columns, const float *d_y,
                                       float *d_x, bool add)
{
    const int64_t pixels = rows.cells * columns.cells, results = rows.results * columns.results;
    const int lane = LANES > 1 ? (int)threadIdx.x % LANES : 0;
    CUDA_EACH(item, pixels * LANES) /* a warp's threads have the same cell */
    {
        const int64_t at = item / LANES, r = at / columns.cells, c = at % columns.cells;
        const float *of_row = rows.weight + r * rows.most;
        const float *of_column = columns.weight + c * columns.most;
        const int64_t down = rows.count[r], across = columns.count[c];
        const int64_t corner = rows.first[r] * columns.results + columns.first[c];
        const int64_t wide = across > 0 ? across : 1;
        const int64_t step_i = LANES / wide, step_j = LANES % wide;
        CUDA_EACH_PLANE(p, planes)
        {
            const float *from = d_y + p * results + corner;
            double sum = 0.0;
            if (LANES == 1) {
                for (int64_t i = 0; i < down; i++) {
                    float line = 0.0f;
                    for (int64_t j = 0; j < across; j++)
                        line += of_column[j] * from[i * columns.results + j];
                    sum += (double)of_row[i] * line;
                }
            } else {
                int64_t i = lane / wide, j = lane % wide;
                while (i < down && across > 0) {
                    sum += (double)of_row[i] * of_column[j] * from[i * columns.results + j];
                    i += step_i;
                    j += step_j;
                    if (j >= across) {
                        j -= across;
                        i++;
                    }
                }
                sum = cuda_warp_sum(sum);
            }
            if (lane == 0)
                d_x[p * pixels + at] = (float)(add ? d_x[p * pixels + at] + sum : sum);
        }
    }
}

enum {
    MANY_RESULTS = 256, /* of one cell */
};

/* Most results that a cell goes into: those less than a cell away on either side. */
static axis axis_of(int64_t cells, int64_t results)
{
    axis a = {cells, results, cells > 0 ? 2 * results / cells + 4 : 1, NULL, NULL, NULL};
    return a;
}

static int64_t axis_bytes(axis a)
{
    return a.cells * (16 + (a.most + 1) / 2 * 8);
}

static void place_axis(axis *a, void *space)
{
    a->first = (int64_t *)space;
    a->count = a->first + a->cells;
    a->weight = (float *)(a->count + a->cells);
}

extern "C" void cuda_d_resize(int64_t planes, int64_t height, int64_t width, int64_t to_height,
                              int64_t to_width, const float *d_y, float *d_x, bool add)
{
    axis rows = axis_of(height, to_height), columns = axis_of(width, to_width);
    if (planes == 0 || height == 0 || width == 0)
        return;
    char *space = (char *)cuda_workspace(axis_bytes(rows) + axis_bytes(columns));
    if (space == NULL)
        return;
    place_axis(&rows, space);
    place_axis(&columns, space + axis_bytes(rows));
    CUDA_LAUNCH(fill_axis, cuda_blocks(height, CUDA_WARP), CUDA_WARP, 0, rows);
    CUDA_LAUNCH(fill_axis, cuda_blocks(width, CUDA_WARP), CUDA_WARP, 0, columns);
    if (rows.most * columns.most >= MANY_RESULTS)
        CUDA_LAUNCH(d_resize_planes<CUDA_WARP>,
                    cuda_plane_blocks_of(height * width, CUDA_WARP, planes, CUDA_BLOCK), CUDA_BLOCK,
                    0, planes, rows, columns, d_y, d_x, add);
    else
        CUDA_LAUNCH(d_resize_planes<1>, cuda_plane_blocks(height * width, planes), CUDA_BLOCK, 0,
                    planes, rows, columns, d_y, d_x, add);
}
