/* columns.h - sums down the columns of rows.
 *
 * A block takes as many neighbouring columns as a warp has lanes (times the pack), and its warps take
 * the rows in turn. Long columns are cut into pieces of rows, a block for each; the pieces' sums meet in
 * the workspace and are added in order. How rows are cut depends on the sizes alone. */
#ifndef ASSAY_CUDA_COLUMNS_H
#define ASSAY_CUDA_COLUMNS_H

#include "pack.h"

enum {
    CUDA_COLUMN_WARPS = 8, /* of a block */
    CUDA_COLUMN_THREADS = CUDA_COLUMN_WARPS * CUDA_WARP,
    CUDA_PIECE_ROWS = 64,     /* the fewest rows of a piece */
    CUDA_MOST_PIECES = 256,   /* their sums are added by one block */
    CUDA_COLUMN_BLOCKS = 2048 /* about as many as keep every GPU busy */
};

static __device__ inline int cuda_column_warp()
{
    return (int)threadIdx.x / CUDA_WARP;
}

/* Columns of a block of packs, and how many blocks `width` takes. */
template <int V> static __device__ inline int64_t cuda_column_of(int64_t block)
{
    return (block * CUDA_WARP + threadIdx.x % CUDA_WARP) * V;
}

static inline int64_t cuda_column_blocks(int64_t width, bool packed)
{
    int64_t columns = packed ? 4 * CUDA_WARP : CUDA_WARP;
    return (width + columns - 1) / columns;
}

static inline int64_t cuda_column_pieces(int64_t rows, int64_t width)
{
    int64_t blocks = cuda_column_blocks(width, false);
    int64_t useful = (rows + CUDA_PIECE_ROWS - 1) / CUDA_PIECE_ROWS;
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

/* Adds what the block's warps hold of the same columns, in the order of the warps. Every thread of the
 * block calls; the result is the first warp's. */
template <typename T, int V>
static __device__ inline cuda_pack<T, V> cuda_add_warps(cuda_pack<T, V> sum)
{
    static __shared__ T parts[CUDA_COLUMN_WARPS][V][CUDA_WARP];
    int warp = cuda_column_warp(), lane = (int)threadIdx.x % CUDA_WARP;
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
static __global__ void add_pieces(int64_t pieces, int64_t width, const float *partial, float *y,
                                  bool add)
{
    int64_t c = cuda_column_of<1>(blockIdx.x);
    cuda_pack<double, 1> sum = {{0.0}};
    if (c < width)
        for (int64_t piece = cuda_column_warp(); piece < pieces; piece += CUDA_COLUMN_WARPS)
            sum.at[0] += partial[piece * width + c];
    sum = cuda_add_warps(sum);
    if (c < width && cuda_column_warp() == 0)
        y[c] = (float)(add ? y[c] + sum.at[0] : sum.at[0]);
}

static inline void cuda_add_pieces(int64_t pieces, int64_t width, const float *partial, float *y,
                                   bool add)
{
    CUDA_LAUNCH(add_pieces, cuda_column_blocks(width, false), CUDA_COLUMN_THREADS, 0, pieces, width,
                partial, y, add);
}

#endif
