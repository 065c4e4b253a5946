/* attention.cu - softmax attention under every mask, forward.
 *
 * The tiled online softmax of Dao et al., "FlashAttention" (2022), algorithm 1: a block has a tile
 * of queries of one head, and visits the tiles of 32 keys that any of them sees in order; each row
 * keeps its running maximum and sum, and what was summed under an older maximum is scaled when the
 * maximum rises. Bound by fp32 multiply-adds where there are many tokens (tiles.h); not measured.
 *
 * A row depends on its own query, the keys that it sees and the place of the key tiles, which start
 * at position 0; never on other rows or on padding. */
#include "attention.h"
#include "sdpa.h"

/* Takes the tile's scores at keys j0 .. j0 + 31 into the rows' softmax. */
template <typename Kind>
static __device__ inline void soften(const query_tile &tile, int64_t j0, float *scores, float *keep,
                                     bool write, row_softmax<Kind::QUERIES> *softmax)
{
    const row_mask row = mask_row(tile.mask, tile.i0 + softmax->row(), j0, TILE_TOKENS);
    softmax->take(scores, keep, write, [&row](int j, float x) { return mask_score(row, j, x); });
}

/* ---- the output ---- */

template <typename Kind> static int64_t attention_output_blocks(const device_attention *call)
{
    return query_blocks<Kind>(call);
}

/* Queries, keys, values, scores, and a factor a row. */
template <typename Kind> static int64_t attention_output_floats(int64_t width)
{
    return (Kind::QUERIES + 2 * TILE_TOKENS) * (int64_t)tile_stride(width) +
           Kind::QUERIES * (SCORE_STRIDE + 1);
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_output(const device_attention call)
{
    CUDA_SHARED(float, q);
    const int width = (int)call.head_width, stride = tile_stride(width);
    float *k = q + Kind::QUERIES * stride, *v = k + TILE_TOKENS * stride;
    float *scores = v + TILE_TOKENS * stride, *keep = scores + Kind::QUERIES * SCORE_STRIDE;
    const query_tile tile = tile_of_block<Kind>(call);
    const int64_t end = end_of(tile);
    const bool live = tile_ty() < tile.rows;
    row_softmax<Kind::QUERIES> softmax;
    tile_sums<Kind::R, Kind::GROUPS> out;
    softmax.start();
    out.clear();
    load_queries<Kind>(call, tile, q);
    for (int64_t j0 = 0; j0 < end; j0 += TILE_TOKENS) {
        __syncthreads(); /* the last tile has been used */
        load_keys(call, tile, j0, k);
        load_values(call, tile, j0, v);
        __syncthreads();
        if (live) {
            float x[Kind::R][TILE_EACH];
            tile_dot(x, q, k, width);
            put_scores(x, scores);
        }
        __syncthreads();
        soften<Kind>(tile, j0, scores, keep, true, &softmax);
        __syncthreads();
        if (live) {
            out.scale(keep);
            out.add(scores, v, width, (int)least(TILE_TOKENS, end - j0));
        }
    }
    __syncthreads();
    if (softmax.lane() == 0) {
        const int r = softmax.row();
        keep[r] = softmax.factor();
        if (r < tile.all)
            call.row_lse[(tile.b * call.heads + tile.h) * call.queries + tile.i0 + r] =
                softmax.log_sum();
    }
    __syncthreads();
    out.scale(keep);
    out.put(q, width);
    __syncthreads();
    store_tile(
        q, Kind::QUERIES, width, 1.0f, no_turn(), false,
        rows_at(call.out + (tile.b * call.queries + tile.i0) * call.out_stride + tile.h * width,
                call.out_stride, 0, tile.all));
}

extern "C" void own_attention(const device_attention *call)
{
    ATTENTION_LAUNCH(attention_output, of_output, call, *call);
}

/* ---- the map ---- */

template <typename Kind> static int64_t attention_rows_blocks(const device_attention *call)
{
    return query_blocks<Kind>(call);
}

/* Queries, keys, scores, and two numbers a row. */
template <typename Kind> static int64_t attention_rows_floats(int64_t width)
{
    return (Kind::QUERIES + TILE_TOKENS) * (int64_t)tile_stride(width) +
           Kind::QUERIES * (SCORE_STRIDE + 2);
}

/* Scores with their costs straight into the rows of the map, then the softmax of each row, whose
 * maximum and sum were kept on the way. */
template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_rows(const device_attention call)
{
    CUDA_SHARED(float, q);
    const int width = (int)call.head_width, stride = tile_stride(width);
    float *k = q + Kind::QUERIES * stride, *scores = k + TILE_TOKENS * stride;
    float *top = scores + Kind::QUERIES * SCORE_STRIDE, *factor = top + Kind::QUERIES;
    const int warp = (int)threadIdx.x / CUDA_WARP, lane = (int)threadIdx.x % CUDA_WARP;
    const int warps = ATTENTION_THREADS / CUDA_WARP;
    const query_tile tile = tile_of_block<Kind>(call);
    const int64_t end = end_of(tile);
    float *map = call.out + ((tile.b * call.heads + tile.h) * call.queries + tile.i0) * call.keys;
    row_softmax<Kind::QUERIES> softmax;
    softmax.start();
    load_queries<Kind>(call, tile, q);
    for (int64_t j0 = 0; j0 < end; j0 += TILE_TOKENS) {
        __syncthreads();
        load_keys(call, tile, j0, k);
        __syncthreads();
        if (tile_ty() < tile.rows) {
            float x[Kind::R][TILE_EACH];
            tile_dot(x, q, k, width);
            put_scores(x, scores);
        }
        __syncthreads();
        soften<Kind>(tile, j0, scores, NULL, false, &softmax);
        __syncthreads();
        for (int r = warp; r < tile.rows && j0 + lane < end; r += warps)
            map[r * call.keys + j0 + lane] = scores[r * SCORE_STRIDE + lane];
    }
    if (softmax.lane() == 0) {
        top[softmax.row()] = softmax.top == -INFINITY ? 0.0f : softmax.top;
        factor[softmax.row()] = softmax.factor();
    }
    __syncthreads();
    for (int r = warp; r < tile.all; r += warps) {
        const int64_t seen = mask_visible_end(tile.mask, tile.i0 + r);
        for (int64_t j = lane; j < call.keys; j += CUDA_WARP) {
            float *x = map + r * call.keys + j;
            *x = j < seen ? expf(*x - top[r]) * factor[r] : 0.0f;
        }
    }
}

extern "C" void cuda_attention_map(const device_attention *call)
{
    ATTENTION_LAUNCH(attention_rows, of_map, call, *call);
}
