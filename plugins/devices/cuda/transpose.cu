/* transpose.cu - matrices transposed, tile by tile through shared memory, so that reads and writes
 * both run along lines of memory.
 *
 * Bound by memory: one read and one write of everything. Not measured. */
#include "launch.h"

#include "kernels.h"

enum {
    TILE = 32,                      /* a tile is TILE x TILE */
    TILE_LINES = CUDA_BLOCK / TILE, /* lines of a tile that a block takes at a time */
};

/* Of a batch of (rows, columns), tiled (down, across). */
static __global__ void transpose_tiles(int64_t tiles, int64_t down, int64_t across, int64_t rows,
                                       int64_t columns, const float *x, int64_t x_stride, float *y,
                                       int64_t y_stride, bool add)
{
    static __shared__ float tile[TILE][TILE + 1]; /* one more: a column falls on different banks */
    const int lane = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    for (int64_t at = blockIdx.x; at < tiles; at += gridDim.x) {
        const int64_t c = at % across * TILE, r = at / across % down * TILE;
        const float *from = x + at / across / down * x_stride;
        float *to = y + at / across / down * y_stride;
        for (int k = line; k < TILE; k += TILE_LINES)
            if (r + k < rows && c + lane < columns)
                tile[k][lane] = from[(r + k) * columns + c + lane];
        __syncthreads();
        for (int k = line; k < TILE; k += TILE_LINES)
            if (c + k < columns && r + lane < rows) {
                float *there = &to[(c + k) * rows + r + lane];
                *there = add ? *there + tile[lane][k] : tile[lane][k];
            }
        __syncthreads();
    }
}

extern "C" void cuda_transpose(int64_t batch, int64_t rows, int64_t columns, const float *x,
                               int64_t x_stride, float *y, int64_t y_stride, bool add)
{
    int64_t down = (rows + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    int64_t tiles = batch * down * across;
    CUDA_LAUNCH(transpose_tiles, cuda_blocks(tiles, 1), CUDA_BLOCK, 0, tiles, down, across, rows,
                columns, x, x_stride, y, y_stride, add);
}
