/* cpu/attention_mask.h - which keys a query sees, and at what cost, for whole tiles at once.
 *
 * Every mask of device_attention has the same shape from the side of one query: the keys before
 * `free_end` are seen, those up to `visible_end` are seen if the future is open, and nothing
 * beyond. free_end is the query's own position plus one, or the end of the span when the query
 * stands in it. Neither end ever falls from one query to the next, so the first and the last row of
 * a tile tell whether it is EMPTY (skipped) or FULL (no mask arithmetic); only a PARTIAL tile gets
 * a cost per pair. */
#ifndef ASSAY_DEVICE_CPU_ATTENTION_MASK_H
#define ASSAY_DEVICE_CPU_ATTENTION_MASK_H

#include "engine/device/device.h"

#include <math.h>

/* Queries and keys of a tile. */
#define TILE 64

/* The mask of one batch item and head. */
typedef struct mask_view {
    int64_t start;           /* position of query 0 */
    int64_t rows;            /* queries that stand before the length; the others see nothing */
    int64_t length;          /* keys that exist */
    int64_t first, end;      /* the span; empty unless first < end */
    bool open, everywhere;   /* future_open, bias_everywhere */
    const float *log_weight; /* of this item and head; NULL where no visible pair is charged */
    int64_t query_stride, key_stride;
} mask_view;

typedef enum tile_kind { TILE_EMPTY, TILE_FULL, TILE_PARTIAL } tile_kind;

static inline int64_t mask_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t mask_clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : mask_min(x, high);
}

static inline mask_view mask_of(const device_attention *call, int64_t b, int64_t h)
{
    const int32_t *span = call->span ? call->span + b * call->span_stride : NULL;
    const bool charged = call->log_weight && (call->future_open || call->bias_everywhere);
    const int64_t *stride = call->bias_stride;
    mask_view mask = {
        .start = call->query_start,
        .length = call->lengths ? mask_clamp(call->lengths[b], 0, call->keys) : call->keys,
        .first = span ? span[0] : 0,
        .end = span ? span[1] : 0,
        .open = call->future_open,
        .everywhere = call->bias_everywhere,
        .log_weight = charged ? call->log_weight + b * stride[0] + h * stride[1] : NULL,
        .query_stride = stride[2],
        .key_stride = stride[3],
    };
    mask.rows = mask_clamp(mask.length - mask.start, 0, call->queries);
    return mask;
}

/* The keys [0, free_end) are seen by query i for being in its past or in its span. */
static inline int64_t mask_free_end(const mask_view *mask, int64_t i)
{
    int64_t position = mask->start + i;
    bool inside = mask->first <= position && position < mask->end;
    return inside ? mask->end : position + 1;
}

/* The keys [0, visible_end) are seen by query i < rows. */
static inline int64_t mask_visible_end(const mask_view *mask, int64_t i)
{
    return mask->open ? mask->length : mask_min(mask_free_end(mask, i), mask->length);
}

/* The keys [cost_start, visible_end) are charged with log_weight, if there is one. */
static inline int64_t mask_cost_start(const mask_view *mask, int64_t i)
{
    return mask->everywhere ? 0 : mask_free_end(mask, i);
}

/* Writes the costs of query i at keys j0 .. j0 + columns - 1: 0, log_weight or -infinity. */
static inline void mask_row(const mask_view *mask, int64_t i, int64_t j0, int64_t columns,
                            float *restrict cost)
{
    const int32_t hidden = (int32_t)mask_clamp(mask_visible_end(mask, i) - j0, 0, columns);
#pragma omp simd
    for (int32_t c = 0; c < (int32_t)columns; c++)
        cost[c] = c < hidden ? 0.0f : -INFINITY;
    if (!mask->log_weight)
        return;
    const int64_t charged = mask_clamp(mask_cost_start(mask, i) - j0, 0, hidden);
    const int64_t step = mask->key_stride;
    const float *restrict weight = mask->log_weight + i * mask->query_stride + j0 * step;
    if (step == 1)
        for (int64_t c = charged; c < hidden; c++)
            cost[c] = weight[c];
    else
        for (int64_t c = charged; c < hidden; c++)
            cost[c] = weight[c * step];
}

/* The kind of the tile of queries i0 .. i0 + rows - 1 (all before mask->rows, rows > 0) and keys
 * j0 .. j0 + columns - 1, which may reach beyond the length. Fills cost (rows, TILE) when PARTIAL.
 *
 * A tile whose costs all turn out to be -infinity, or all 0, is EMPTY or FULL like one that has no
 * costs: a soft schedule costs no more at its ends than the masks it ends in, and gives their very
 * bits. */
static inline tile_kind mask_tile(const mask_view *mask, int64_t i0, int64_t rows, int64_t j0,
                                  int64_t columns, float *cost)
{
    if (j0 >= mask_visible_end(mask, i0 + rows - 1))
        return TILE_EMPTY;
    bool charged = mask->log_weight && mask_cost_start(mask, i0) < j0 + columns;
    if (!charged && j0 + columns <= mask_visible_end(mask, i0))
        return TILE_FULL;
    bool costly = !charged, seen = !charged;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = cost + r * TILE;
        mask_row(mask, i0 + r, j0, columns, cost + r * TILE);
        for (int64_t c = 0; c < columns && !(costly && seen); c++) {
            costly = costly || !(row[c] == 0.0f);
            seen = seen || !(row[c] == -INFINITY);
        }
    }
    return !seen ? TILE_EMPTY : costly ? TILE_PARTIAL : TILE_FULL;
}

#endif
