/* cpu/suffix.h - what the two directions of attention on a constant prefix share: which token a
 * query is, and, for the fast twins, the packing and the scratch.
 *
 *   S_ij = scale (R q_i) . k_j over the prefix's keys, which are rotated already, and over the own
 *          tokens j <= token of i, rotated to their positions
 *   P, O, dP, dS as in attention_plain.h; the gradients of the prefix's keys and values are not
 *   wanted by anybody. */
#ifndef ASSAY_DEVICE_CPU_SUFFIX_H
#define ASSAY_DEVICE_CPU_SUFFIX_H

#include "engine/device/cpu/attention_tile.h"

static inline int64_t suffix_length(const device_suffix *call, int64_t b)
{
    return call->lengths ? mask_clamp(call->lengths[b], 0, call->keys) : call->keys;
}

/* The token of row b that query i is; -1: it sees nothing. */
static inline int64_t suffix_token(const device_suffix *call, int64_t b, int64_t i)
{
    const int64_t token = call->positions ? call->positions[b * call->queries + i] : i;
    return token < suffix_length(call, b) ? (token < 0 ? -1 : token) : -1;
}

static inline int64_t suffix_longest_prefix(const device_suffix *call)
{
    int64_t most = 0;
    for (int64_t b = 0; b < call->batch; b++)
        most = call->prefix[b].tokens > most ? call->prefix[b].tokens : most;
    return most;
}

/* Floats from one token of a prefix to the next. */
static inline int64_t prefix_stride(const device_suffix *call)
{
    return call->kv_heads * call->head_width;
}

/* Width and rotation, in the terms of the packing functions. */
static inline device_attention suffix_shape(const device_suffix *call)
{
    return (device_attention){
        .head_width = call->head_width, .cosine = call->cosine, .sine = call->sine};
}

static inline const float *suffix_row(const float *x, int64_t stride, int64_t row, int64_t head,
                                      int64_t width)
{
    return x + row * stride + head * width;
}

#if !ASSAY_PLAIN

/* Rows of a tile and those that a register block may write beyond its end. */
#define SUFFIX_ROWS (TILE + 8)

static inline bool suffix_is_large(const device_suffix *call)
{
    return (double)call->batch * (double)call->heads * (double)call->queries *
               (double)(suffix_longest_prefix(call) + call->keys) * (double)call->head_width >
           1 << 18;
}

/* Tokens j0 .. j0 + count - 1 of row b's own keys, rotated, as (TILE, stride); zeros behind
 * them. */
static inline void pack_own_keys(const device_suffix *call, int64_t b, int64_t g, int64_t j0,
                                 int64_t count, float *packed)
{
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape);
    clear_floats(packed, round_up(count, 16) * stride);
    for (int64_t r = 0; r < count; r++)
        rotate_row(
            &shape, call->prefix[b].tokens + j0 + r, 1.0f,
            suffix_row(call->k, call->k_stride, b * call->keys + j0 + r, g, call->head_width),
            packed + r * stride);
}

/* The same of the values. */
static inline void pack_own_values(const device_suffix *call, int64_t b, int64_t g, int64_t j0,
                                   int64_t count, float *packed)
{
    const device_attention shape = suffix_shape(call);
    const int64_t width = call->head_width, stride = attention_stride(&shape);
    clear_floats(packed, round_up(count, 16) * stride);
    for (int64_t r = 0; r < count; r++)
        memcpy(packed + r * stride,
               suffix_row(call->v, call->v_stride, b * call->keys + j0 + r, g, width),
               (size_t)width * sizeof *packed);
}

/* `count` rows of x (stride x_stride) as columns of y (width, TILE); zeros in the other columns up
 * to the next multiple of 16. */
static inline void transpose_rows(int64_t width, int64_t count, const float *x, int64_t x_stride,
                                  float *restrict y)
{
    const int64_t columns = round_up(count, 16);
    for (int64_t t = 0; t < width; t++) {
        for (int64_t r = 0; r < count; r++)
            y[t * TILE + r] = x[r * x_stride + t];
        for (int64_t r = count; r < columns; r++)
            y[t * TILE + r] = 0.0f;
    }
}

/* `count` rows of x as rows of y (TILE, stride), zeros behind them up to the next multiple of
 * 16. */
static inline void pack_rows(int64_t width, int64_t stride, int64_t count, const float *x,
                             int64_t x_stride, float *restrict y)
{
    clear_floats(y, round_up(count, 16) * stride);
    for (int64_t r = 0; r < count; r++)
        memcpy(y + r * stride, x + r * x_stride, (size_t)width * sizeof *y);
}

/* Bytes of scratch backwards (suffix_backward.c). */
int64_t KERNEL(d_suffix_scratch)(const device_suffix *call);

#endif

#endif
