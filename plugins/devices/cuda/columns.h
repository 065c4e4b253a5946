/* columns.h - sums down the columns of rows.
 *
 * A block takes as many neighbouring columns as a warp has lanes (times the pack), and its warps
 * take the rows in turn. Where rows are narrow, a warp takes several rows at a time: `span` lanes,
 * a power of two, stand side by side in a row. Long columns are cut into pieces of rows, a block
 * for each; the pieces' sums meet in the workspace and are added in order. How rows are cut depends
 * on the sizes alone. */
#ifndef ASSAY_CUDA_COLUMNS_H
#define ASSAY_CUDA_COLUMNS_H

#include "pack.h"

enum {
    CUDA_COLUMN_WARPS = 8, /* of a block */
    CUDA_COLUMN_THREADS = CUDA_COLUMN_WARPS * CUDA_WARP,
    CUDA_COLUMN_ROUNDS = 8,   /* the fewest rows that a lane is worth starting for */
    CUDA_MOST_PIECES = 256,   /* their sums are added by one block */
    CUDA_COLUMN_BLOCKS = 2048 /* about as many as keep every GPU busy */
};

/* A thread's place: its first column, and its first row of a piece; it goes on by `step` rows. */
typedef struct cuda_column_place {
    int64_t column, row, step;
} cuda_column_place;

template <int V> static __device__ inline cuda_column_place cuda_column_of(int64_t block, int span)
{
    int lane = (int)threadIdx.x % CUDA_WARP, warp = (int)threadIdx.x / CUDA_WARP;
    cuda_column_place place;
    place.column = (block * span + lane % span) * V;
    place.step = CUDA_COLUMN_THREADS / span;
    place.row = warp * (CUDA_WARP / span) + lane / span;
    return place;
}

static inline int cuda_column_span(int64_t width, bool packed)
{
    int span = 1;
    while (span < CUDA_WARP && span < (packed ? width / 4 : width))
        span *= 2;
    return span;
}

/* How many blocks `width` takes. */
static inline int64_t cuda_column_blocks(int64_t width, bool packed)
{
    int64_t columns = (int64_t)cuda_column_span(width, packed) * (packed ? 4 : 1);
    return (width + columns - 1) / columns;
}

static inline int64_t cuda_column_pieces(int64_t rows, int64_t width)
{
    int64_t blocks = cuda_column_blocks(width, false);
    int64_t fewest =
        (int64_t)CUDA_COLUMN_ROUNDS * CUDA_COLUMN_THREADS / cuda_column_span(width, false);
    int64_t useful = (rows + fewest - 1) / fewest;
    int64_t most = blocks > 0 ? CUDA_COLUMN_BLOCKS / blocks : 1;
    most = most < DEVICE_PARTITIONS  ? (int64_t)DEVICE_PARTITIONS
           : most > CUDA_MOST_PIECES ? (int64_t)CUDA_MOST_PIECES
                                     : most;
    return useful < most ? useful : most;
}

/* First of `rows` rows that piece `piece` takes; it ends where the next one starts. */
static __device__ inline int64_t cuda_piece_start(int64_t rows, int64_t pieces, int64_t piece)
{
    int64_t each = rows / pieces, rest = rows % pieces;
    return each * piece + (piece < rest ? piece : rest);
}

/* Adds what the block's threads hold of the same columns: lanes in pairs, then warps in their
 * order. Every thread of the block calls; the result is that of the first `span` threads. */
template <typename T, int V>
static __device__ inline cuda_pack<T, V> cuda_add_rows(cuda_pack<T, V> sum, int span)
{
    static __shared__ T parts[CUDA_COLUMN_WARPS][V][CUDA_WARP];
    int warp = (int)threadIdx.x / CUDA_WARP, lane = (int)threadIdx.x % CUDA_WARP;
    for (int lanes = span; lanes < CUDA_WARP; lanes *= 2)
        for (int k = 0; k < V; k++)
            sum.at[k] += __shfl_xor_sync(0xffffffffu, sum.at[k], lanes);
    __syncthreads(); /* the last call's parts have been read */
    for (int k = 0; k < V; k++)
        parts[warp][k][lane] = sum.at[k];
    __syncthreads();
    if (warp == 0)
        for (int w = 1; w < CUDA_COLUMN_WARPS; w++)
            for (int k = 0; k < V; k++)
                sum.at[k] += parts[w][k][lane];
    return sum;
}

/* y (D) = [y +] the pieces' sums (pieces, D). */
static __global__ void add_pieces(int64_t pieces, int64_t width, int span, const float *partial,
                                  float *y, bool add)
{
    cuda_column_place at = cuda_column_of<1>(blockIdx.x, span);
    cuda_pack<double, 1> sum = {{0.0}};
    if (at.column < width)
        for (int64_t piece = at.row; piece < pieces; piece += at.step)
            sum.at[0] += partial[piece * width + at.column];
    sum = cuda_add_rows(sum, span);
    if (at.column < width && (int)threadIdx.x < span)
        y[at.column] = (float)(add ? y[at.column] + sum.at[0] : sum.at[0]);
}

static inline void cuda_add_pieces(int64_t pieces, int64_t width, const float *partial, float *y,
                                   bool add)
{
    CUDA_LAUNCH(add_pieces, cuda_column_blocks(width, false), CUDA_COLUMN_THREADS, 0, pieces, width,
                cuda_column_span(width, false), partial, y, add);
}

#endif
