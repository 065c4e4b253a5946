/* reduce.cu - sums over whole arrays and over rows, the search for numbers that are none, and the
 * factor that clips a gradient.
 *
 * Blocks leave what they found in the workspace and one block combines it in a fixed order. How the
 * work is cut depends on the sizes alone. Bound by memory. Not measured. */
#include "columns.h"
#include "kernels.h"

#include <math.h>

enum {
    SHARE = 16,         /* packs or numbers that a thread takes before another block is worth it */
    MOST_BLOCKS = 1024, /* what one block combines at the end */
};

/* The blocks that share n elements: at least one, which writes the sum of nothing. */
static int64_t blocks_for(int64_t n, bool packed)
{
    int64_t each = (int64_t)CUDA_BLOCK * SHARE * (packed ? 4 : 1);
    int64_t blocks = (n + each - 1) / each;
    return blocks < 1 ? 1 : blocks < MOST_BLOCKS ? blocks : (int64_t)MOST_BLOCKS;
}

/* ---- sums ---- */

/* Where a sum goes: y (1) = factor sum, or exact (1) = [exact +] sum. */
typedef struct sum_goal {
    double factor;
    float *y;
    double *exact;
    bool add;
} sum_goal;

static __device__ inline void deliver(sum_goal goal, double sum)
{
    if (goal.y != NULL)
        *goal.y = (float)(goal.factor * sum);
    else
        *goal.exact = goal.add ? *goal.exact + sum : sum;
}

/* partial (blocks): sums of x or of its squares. An only block delivers. */
template <int V>
static __global__ void sum_packs(int64_t n, const float *x, bool squares, double *partial,
                                 sum_goal goal)
{
    double sum = 0.0;
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V);
        for (int k = 0; k < V; k++)
            sum += squares ? (double)pack.at[k] * pack.at[k] : (double)pack.at[k];
    }
    sum = cuda_block_sum(sum);
    if (threadIdx.x > 0)
        return;
    if (gridDim.x > 1)
        partial[blockIdx.x] = sum;
    else
        deliver(goal, sum);
}

static __global__ void add_sums(int64_t count, const double *partial, sum_goal goal)
{
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += partial[i];
    sum = cuda_block_sum(sum);
    if (threadIdx.x == 0)
        deliver(goal, sum);
}

static void sum_of(int64_t n, const float *x, bool squares, sum_goal goal)
{
    bool packed = n % 4 == 0 && cuda_aligned(x);
    int64_t blocks = blocks_for(n, packed);
    double *partial = NULL;
    if (blocks > 1 &&
        (partial = (double *)cuda_workspace(blocks * (int64_t)sizeof *partial)) == NULL)
        return;
    auto sum = packed ? sum_packs<4> : sum_packs<1>;
    CUDA_LAUNCH(sum, blocks, CUDA_BLOCK, 0, n, x, squares, partial, goal);
    if (blocks > 1)
        CUDA_LAUNCH(add_sums, 1, CUDA_BLOCK, 0, blocks, partial, goal);
}

extern "C" void cuda_sum(int64_t n, const float *x, double factor, float *y)
{
    sum_goal goal = {factor, y, NULL, false};
    sum_of(n, x, false, goal);
}

extern "C" void cuda_sum_squares(int64_t n, const float *x, double *y, bool add)
{
    sum_goal goal = {1.0, NULL, y, add};
    sum_of(n, x, true, goal);
}

/* ---- sums down the columns ---- */

/* partial (pieces, D): a block's piece of the rows and its columns of x, or of x times w. */
template <int V>
static __global__ void sum_rows_pieces(int64_t rows, int64_t width, int span, const float *x,
                                       const float *w, float *partial)
{
    int64_t piece = blockIdx.y, end = cuda_piece_start(rows, gridDim.y, piece + 1);
    cuda_column_place at = cuda_column_of<V>(blockIdx.x, span);
    cuda_pack<float, V> sum = cuda_same<V>(0.0f);
    if (at.column < width)
        for (int64_t r = cuda_piece_start(rows, gridDim.y, piece) + at.row; r < end; r += at.step) {
            cuda_pack<float, V> from = cuda_load<V>(x + r * width + at.column);
            cuda_pack<float, V> by =
                w != NULL ? cuda_load<V>(w + r * width + at.column) : cuda_same<V>(1.0f);
            for (int k = 0; k < V; k++)
                sum.at[k] += from.at[k] * by.at[k];
        }
    sum = cuda_add_rows(sum, span);
    if (at.column < width && (int)threadIdx.x < span)
        cuda_store(partial + piece * width + at.column, sum);
}

extern "C" void cuda_sum_rows(int64_t rows, int64_t width, const float *x, const float *w, float *y,
                              bool add)
{
    int64_t pieces = cuda_column_pieces(rows, width), size = pieces * width;
    float *partial = NULL;
    if (size > 0 && (partial = (float *)cuda_workspace(size * (int64_t)sizeof *partial)) == NULL)
        return;
    bool packed = width % 4 == 0 && cuda_aligned(x, w);
    auto sum_rows = packed ? sum_rows_pieces<4> : sum_rows_pieces<1>;
    dim3 blocks((unsigned)cuda_column_blocks(width, packed), (unsigned)pieces, 1);
    CUDA_LAUNCH(sum_rows, blocks, CUDA_COLUMN_THREADS, 0, rows, width,
                cuda_column_span(width, packed), x, w, partial);
    cuda_add_pieces(pieces, width, partial, y, add);
}

/* ---- numbers that are none ---- */

/* The smallest of the block's, in every thread. */
static __device__ inline int64_t block_least(int64_t x)
{
    static __shared__ int64_t parts[CUDA_BLOCK / CUDA_WARP];
    for (int lanes = CUDA_WARP / 2; lanes > 0; lanes /= 2) {
        int64_t other = __shfl_xor_sync(0xffffffffu, x, lanes);
        x = other < x ? other : x;
    }
    if (threadIdx.x % CUDA_WARP == 0)
        parts[threadIdx.x / CUDA_WARP] = x;
    __syncthreads();
    for (int w = 0; w < CUDA_BLOCK / CUDA_WARP; w++)
        x = parts[w] < x ? parts[w] : x;
    return x;
}

/* found (blocks): the first place of each block's share, INT64_MAX if there is none. An only block
 * writes the index. */
template <int V>
static __global__ void first_nonfinite_packs(int64_t n, const float *x, int64_t *found,
                                             int64_t *index)
{
    int64_t first = INT64_MAX;
    CUDA_EACH(p, n / V)
    {
        cuda_pack<float, V> pack = cuda_load<V>(x + p * V);
        for (int k = V - 1; k >= 0; k--)
            if (!isfinite(pack.at[k]) && p * V + k < first)
                first = p * V + k;
    }
    first = block_least(first);
    if (threadIdx.x > 0)
        return;
    if (gridDim.x > 1)
        found[blockIdx.x] = first;
    else
        *index = first < INT64_MAX ? first : -1;
}

static __global__ void least_found(int64_t count, const int64_t *found, int64_t *index)
{
    int64_t first = INT64_MAX;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        first = found[i] < first ? found[i] : first;
    first = block_least(first);
    if (threadIdx.x == 0)
        *index = first < INT64_MAX ? first : -1;
}

extern "C" void cuda_first_nonfinite(int64_t n, const float *x, int64_t *index)
{
    bool packed = n % 4 == 0 && cuda_aligned(x);
    int64_t blocks = blocks_for(n, packed), *found = NULL;
    if (blocks > 1 && (found = (int64_t *)cuda_workspace(blocks * (int64_t)sizeof *found)) == NULL)
        return;
    auto first_nonfinite = packed ? first_nonfinite_packs<4> : first_nonfinite_packs<1>;
    CUDA_LAUNCH(first_nonfinite, blocks, CUDA_BLOCK, 0, n, x, found, index);
    if (blocks > 1)
        CUDA_LAUNCH(least_found, 1, CUDA_BLOCK, 0, blocks, found, index);
}

/* ---- the factor of a clipped gradient ---- */

static __global__ void clip_factor(int64_t count, const double *squares, float limit, float *factor)
{
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += squares[i];
    double norm = sqrt(cuda_block_sum(sum));
    if (threadIdx.x != 0)
        return;
    if (!isfinite(norm))
        *factor = NAN;
    else
        *factor = limit > 0.0f && norm > limit ? (float)(limit / norm) : 1.0f;
}

extern "C" void cuda_clip(int64_t count, const double *squares, float limit, float *factor)
{
    CUDA_LAUNCH(clip_factor, 1, CUDA_BLOCK, 0, count, squares, limit, factor);
}
