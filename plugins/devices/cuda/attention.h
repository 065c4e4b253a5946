/* attention.h - who sees whom at what cost, and a tile of queries with the keys that it meets. */
#ifndef ASSAY_CUDA_ATTENTION_H
#define ASSAY_CUDA_ATTENTION_H

#include "kernels.h"
#include "tiles.h"

/* ---- who sees whom ----
 * As in cpu/attention_mask.h: the keys before `free_end` are seen by a query for nothing, those up
 * to `visible_end` if the future is open, none beyond. Neither end falls from one query to the
 * next. */
typedef struct mask_view {
    int64_t start;           /* position of query 0 */
    int64_t rows;            /* queries that stand before the length; the others see nothing */
    int64_t length;          /* keys that exist */
    int64_t first, end;      /* the span; empty unless first < end */
    bool open, everywhere;   /* future_open, bias_everywhere */
    const float *log_weight; /* of this item and head; NULL where no visible pair is charged */
    int64_t query_stride, key_stride;
} mask_view;

static __device__ inline mask_view mask_of(const device_attention &call, int64_t b, int64_t h)
{
    const int32_t *span = call.span ? call.span + b * call.span_stride : NULL;
    const bool charged = call.log_weight && (call.future_open || call.bias_everywhere);
    mask_view mask;
    mask.start = call.query_start;
    mask.length = call.lengths ? clamp_to(call.lengths[b], 0, call.keys) : call.keys;
    mask.rows = clamp_to(mask.length - mask.start, 0, call.queries);
    mask.first = span ? span[0] : 0;
    mask.end = span ? span[1] : 0;
    mask.open = call.future_open;
    mask.everywhere = call.bias_everywhere;
    mask.log_weight =
        charged ? call.log_weight + b * call.bias_stride[0] + h * call.bias_stride[1] : NULL;
    mask.query_stride = call.bias_stride[2];
    mask.key_stride = call.bias_stride[3];
    return mask;
}

static __device__ inline int64_t mask_free_end(const mask_view &mask, int64_t i)
{
    const int64_t position = mask.start + i;
    return mask.first <= position && position < mask.end ? mask.end : position + 1;
}

/* The keys [0, visible_end) are seen by query i; none from mask.rows on. */
static __device__ inline int64_t mask_visible_end(const mask_view &mask, int64_t i)
{
    if (i >= mask.rows)
        return 0;
    return mask.open ? mask.length : least(mask_free_end(mask, i), mask.length);
}

/* The keys [cost_start, visible_end) are charged with log_weight, if there is one. */
static __device__ inline int64_t mask_cost_start(const mask_view &mask, int64_t i)
{
    return mask.everywhere ? 0 : mask_free_end(mask, i);
}

/* The cost of keys that query i sees, from key j0 on; NULL without costs. */
static __device__ inline const float *mask_costs(const mask_view &mask, int64_t i, int64_t j0)
{
    return mask.log_weight ? mask.log_weight + i * mask.query_stride + j0 * mask.key_stride : NULL;
}

/* One query's mask against keys that are counted from some j0: it sees those below `seen`, and pays
 * cost[j * step] from `charged` on. */
typedef struct row_mask {
    int seen, charged, step;
    const float *cost; /* or NULL */
} row_mask;

static __device__ inline row_mask mask_row(const mask_view &mask, int64_t i, int64_t j0, int keys)
{
    row_mask row;
    row.seen = (int)clamp_to(mask_visible_end(mask, i) - j0, 0, keys);
    row.charged = (int)clamp_to(mask_cost_start(mask, i) - j0, 0, keys);
    row.step = (int)mask.key_stride;
    row.cost = mask_costs(mask, i, j0);
    return row;
}

/* Score x of key j with its cost, -infinity where it is hidden. */
static __device__ inline float mask_score(const row_mask &row, int j, float x)
{
    if (j >= row.seen)
        return -INFINITY;
    return row.cost && j >= row.charged ? x + row.cost[(int64_t)j * row.step] : x;
}

/* ---- one tile of queries of a head, and the keys it meets ---- */

typedef struct query_tile {
    int64_t b, h, i0;
    int all, rows; /* queries of the tile, and those of them that stand before the length */
    mask_view mask;
} query_tile;

/* The tiles of a head are neighbours, and so are heads that share keys. Under a causal mask later
 * tiles are dearer: they start first, so that none is waited for. */
template <typename Kind>
static __device__ inline query_tile tile_of_block(const device_attention &call)
{
    const int64_t tiles = pieces_of(call.queries, Kind::QUERIES);
    const int64_t index = (int64_t)blockIdx.x, head = index / tiles;
    query_tile tile;
    tile.i0 = (tiles - 1 - index % tiles) * Kind::QUERIES;
    tile.b = head / call.heads;
    tile.h = head % call.heads;
    tile.mask = mask_of(call, tile.b, tile.h);
    tile.all = (int)least(Kind::QUERIES, call.queries - tile.i0);
    tile.rows = (int)clamp_to(tile.mask.rows - tile.i0, 0, tile.all);
    return tile;
}

template <typename Kind> static inline int64_t query_blocks(const device_attention *call)
{
    return call->batch * call->heads * pieces_of(call->queries, Kind::QUERIES);
}

static __device__ inline int64_t end_of(const query_tile &tile)
{
    return tile.rows ? mask_visible_end(tile.mask, tile.i0 + tile.rows - 1) : 0;
}

template <typename Kind>
static __device__ inline void load_queries(const device_attention &call, const query_tile &tile,
                                           float *q)
{
    load_tile(q, Kind::QUERIES, (int)call.head_width, call.scale, turn_of(call.cosine, call.sine),
              rows_at(call.q + (tile.b * call.queries + tile.i0) * call.q_stride +
                          tile.h * call.head_width,
                      call.q_stride, call.query_start + tile.i0, tile.rows));
}

static __device__ inline void load_keys(const device_attention &call, const query_tile &tile,
                                        int64_t j0, float *k)
{
    const int64_t g = tile.h / (call.heads / call.kv_heads);
    load_tile(k, TILE_TOKENS, (int)call.head_width, 1.0f, turn_of(call.cosine, call.sine),
              rows_at(call.k + (tile.b * call.keys + j0) * call.k_stride + g * call.head_width,
                      call.k_stride, j0, least(TILE_TOKENS, tile.mask.length - j0)));
}

static __device__ inline void load_values(const device_attention &call, const query_tile &tile,
                                          int64_t j0, float *v)
{
    const int64_t g = tile.h / (call.heads / call.kv_heads);
    load_tile(v, TILE_TOKENS, (int)call.head_width, 1.0f, no_turn(),
              rows_at(call.v + (tile.b * call.keys + j0) * call.v_stride + g * call.head_width,
                      call.v_stride, 0, least(TILE_TOKENS, tile.mask.length - j0)));
}

#endif
