/* cpu/attention_space.h - the scratch of the fast attention kernels, and how it is cut.
 *
 * The scratch holds one space per thread and, backwards, the partial sums of the gradient of
 * log_weight. A space holds the packed keys and values of one kv head of one batch item: its size
 * follows keys x head width. */
#ifndef ASSAY_DEVICE_CPU_ATTENTION_SPACE_H
#define ASSAY_DEVICE_CPU_ATTENTION_SPACE_H

#include "engine/device/cpu/attention_tile.h"

/* Partial sums of a gradient of log_weight that several tasks share, at most. */
#define BIAS_PIECES 8

typedef struct forward_space {
    int64_t group;           /* b * kv_heads + kv head that is packed, -1 for none */
    int64_t packed;          /* its key tiles that are ready */
    float *keys_t;           /* (tiles, head width, TILE), rotated */
    float *values;           /* (tiles, TILE, stride) */
    float *tile;             /* (TILE, stride): keys before they are transposed */
    float *q, *out;          /* (TILE, stride) */
    float *score;            /* (TILE, TILE): scores, then probabilities */
    float *cost;             /* (TILE, TILE) */
    float *top, *sum, *keep; /* (TILE): running maximum, running sum, factor of the older sum */
} forward_space;

/* Lays a space out at `base` and returns its bytes; with base NULL it only measures. */
static inline int64_t forward_space_of(const device_attention *call, char *base,
                                       forward_space *space)
{
    const int64_t stride = attention_stride(call), tokens = attention_tiles(call->keys) * TILE;
    int64_t bytes = 0;
    forward_space s = {.group = -1};
    s.keys_t = carve_floats(base, &bytes, tokens * call->head_width);
    s.values = carve_floats(base, &bytes, tokens * stride);
    s.tile = carve_floats(base, &bytes, TILE * stride);
    s.q = carve_floats(base, &bytes, TILE * stride);
    s.out = carve_floats(base, &bytes, TILE * stride);
    s.score = carve_floats(base, &bytes, TILE * TILE);
    s.cost = carve_floats(base, &bytes, TILE * TILE);
    s.top = carve_floats(base, &bytes, TILE);
    s.sum = carve_floats(base, &bytes, TILE);
    s.keep = carve_floats(base, &bytes, TILE);
    if (space)
        *space = s;
    return bytes;
}

typedef struct backward_space {
    float *keys;              /* (tiles, TILE, stride), rotated */
    float *keys_t, *values_t; /* (tiles, head width, TILE) */
    float *d_keys, *d_values; /* (tiles, TILE, stride): sums over the queries of all heads */
    float *tile;              /* (TILE, stride): values before they are transposed */
    float *q, *d_out, *d_q;   /* (TILE, stride) */
    float *probability;       /* (TILE, TILE): scores, then probabilities */
    float *d_score;           /* (TILE, TILE): their gradient, then that of the scores */
    float *cost;              /* (TILE, TILE) */
    float *lse, *delta;       /* (TILE): row_lse; row sums of probability times its gradient */
} backward_space;

static inline int64_t backward_space_of(const device_attention *call, char *base,
                                        backward_space *space)
{
    const int64_t stride = attention_stride(call), tokens = attention_tiles(call->keys) * TILE;
    int64_t bytes = 0;
    backward_space s;
    s.keys = carve_floats(base, &bytes, tokens * stride);
    s.keys_t = carve_floats(base, &bytes, tokens * call->head_width);
    s.values_t = carve_floats(base, &bytes, tokens * call->head_width);
    s.d_keys = carve_floats(base, &bytes, tokens * stride);
    s.d_values = carve_floats(base, &bytes, tokens * stride);
    s.tile = carve_floats(base, &bytes, TILE * stride);
    s.q = carve_floats(base, &bytes, TILE * stride);
    s.d_out = carve_floats(base, &bytes, TILE * stride);
    s.d_q = carve_floats(base, &bytes, TILE * stride);
    s.probability = carve_floats(base, &bytes, TILE * TILE);
    s.d_score = carve_floats(base, &bytes, TILE * TILE);
    s.cost = carve_floats(base, &bytes, TILE * TILE);
    s.lse = carve_floats(base, &bytes, TILE);
    s.delta = carve_floats(base, &bytes, TILE);
    if (space)
        *space = s;
    return bytes;
}

/* ---- the gradient of log_weight ----
 * The backward's tasks are the (batch item, kv head) pairs, in order, and its units of work are
 * fixed ranges of tasks. Units that would add to the same element get a partial sum each; when
 * every batch item has elements of its own the units are the batch items, and add to the gradient
 * itself. */

static inline bool bias_is_per_item(const device_attention *call)
{
    return call->batch > 1 && call->bias_stride[0] != 0;
}

static inline int64_t backward_units(const device_attention *call)
{
    const int64_t tasks = call->batch * call->kv_heads;
    if (!call->d_log_weight)
        return tasks;
    return bias_is_per_item(call) ? call->batch : mask_min(tasks, BIAS_PIECES);
}

/* Bytes of the partial sums: one array of bias_count per unit, or none. */
static inline int64_t bias_space_of(const device_attention *call)
{
    if (!call->d_log_weight || bias_is_per_item(call))
        return 0;
    return backward_units(call) * call->bias_count * (int64_t)sizeof(float);
}

#endif
