/* cpu/attention_tile.h - the parts that the attention kernels are made of: a register-blocked
 * product of packed tiles, and the packing, which pads, transposes and rotates.
 *
 * A packed array of tokens has rows of attention_stride() floats and is padded with zeros, so that
 * the products run over whole vectors. Tokens that do not exist (at or beyond the length) are
 * packed as zeros and never read: nothing that stands there, not even a NaN, can reach a result. */
#ifndef ASSAY_DEVICE_CPU_ATTENTION_TILE_H
#define ASSAY_DEVICE_CPU_ATTENTION_TILE_H

#include "engine/device/cpu/attention_mask.h"

#include <assay/memory.h>

#include <string.h>

/* Floats of a vector, and rows of a register block of two vectors: as many sums as hide the latency
 * of the multiply-add units and leave registers for the operands. */
#if defined(__AVX512F__)
#define LANES      16
#define BLOCK_ROWS 8
#elif defined(__AVX2__)
#define LANES      8
#define BLOCK_ROWS 4
#else
#define LANES      4
#define BLOCK_ROWS 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
/* Vectors as they stand in arrays of floats. */
typedef float vec_in_memory __attribute__((vector_size(4 * LANES), may_alias));

static inline int64_t round_up(int64_t n, int64_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Floats from one packed token to the next: every row starts at a cache line. */
static inline int64_t attention_stride(const device_attention *call)
{
    return round_up(call->head_width, 16);
}

static inline int64_t attention_tiles(int64_t tokens)
{
    return (tokens + TILE - 1) / TILE;
}

/* Columns that are computed of a tile when `left` keys are left: multiples of 16 in every
 * variant. */
static inline int64_t tile_columns(int64_t left)
{
    return round_up(mask_min(left, TILE), 16);
}

/* Whether a call is large enough to wake the other threads. */
static inline bool attention_is_large(const device_attention *call)
{
    return (double)call->batch * (double)call->heads * (double)call->queries * (double)call->keys *
               (double)call->head_width >
           1 << 18;
}

/* ---- products ----
 * C (rows, columns) = keep C + A (rows, depth) B (depth, columns). A's element (r, k) stands at
 * a[r * a_row + k * a_step], so that a stored tile serves transposed too. Rows are rounded up to
 * BLOCK_ROWS and columns to LANES, which the arrays must have room for; B and C are aligned. Each
 * element is summed over the depth in order, whatever the tile's other sizes. */
typedef struct tile_product {
    int64_t rows, columns, depth;
    const float *a;
    int64_t a_row, a_step;
    const float *b;
    int64_t b_row;
    float *c;
    int64_t c_row;
    bool add;          /* false: C is overwritten */
    const float *keep; /* (rows) factor of what C held, when adding; NULL for 1 */
} tile_product;

/* One block of BLOCK_ROWS rows and `vectors` (1 or 2, a constant) vectors of columns. */
static inline __attribute__((always_inline)) void tile_block(const tile_product *product,
                                                             int64_t row, int64_t column,
                                                             int vectors)
{
    const int64_t a_row = product->a_row, a_step = product->a_step, b_row = product->b_row;
    const float *a = product->a + row * a_row, *b = product->b + column;
    vec sum[BLOCK_ROWS][2] = {{{0}}};
    for (int64_t k = 0; k < product->depth; k++) {
        vec operand[2];
        for (int v = 0; v < vectors; v++)
            operand[v] = *(const vec_in_memory *)(b + k * b_row + v * LANES);
        for (int r = 0; r < BLOCK_ROWS; r++) {
            const float factor = a[r * a_row + k * a_step];
            for (int v = 0; v < vectors; v++)
                sum[r][v] += factor * operand[v];
        }
    }
    for (int r = 0; r < BLOCK_ROWS; r++) {
        float *c = product->c + (row + r) * product->c_row + column;
        const float keep = product->add && product->keep ? product->keep[row + r] : 1.0f;
        for (int v = 0; v < vectors; v++) {
            vec_in_memory *out = (vec_in_memory *)(c + v * LANES);
            if (product->add)
                sum[r][v] += keep * *out;
            *out = sum[r][v];
        }
    }
}

static inline void tile_multiply(const tile_product *product)
{
    int64_t column = 0;
    for (; column + LANES < product->columns; column += 2 * LANES)
        for (int64_t row = 0; row < product->rows; row += BLOCK_ROWS)
            tile_block(product, row, column, 2);
    if (column < product->columns)
        for (int64_t row = 0; row < product->rows; row += BLOCK_ROWS)
            tile_block(product, row, column, 1);
}

/* ---- packing ---- */

static inline void clear_floats(float *x, int64_t n)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

/* y = factor x, rotated to its position when the call has rotary tables. */
static inline void rotate_row(const device_attention *call, int64_t position, float factor,
                              const float *x, float *restrict y)
{
    const int64_t width = call->head_width, half = width / 2;
    if (!call->cosine) {
        for (int64_t t = 0; t < width; t++)
            y[t] = factor * x[t];
        return;
    }
    const float *cosine = call->cosine + position * half, *sine = call->sine + position * half;
    for (int64_t t = 0; t < half; t++) {
        y[t] = factor * (x[t] * cosine[t] - x[half + t] * sine[t]);
        y[half + t] = factor * (x[half + t] * cosine[t] + x[t] * sine[t]);
    }
}

/* y = [y +] factor times the gradient of rotate_row's input, given that of its output. */
static inline void rotate_row_back(const device_attention *call, int64_t position, float factor,
                                   const float *x, float *restrict y, bool add)
{
    const int64_t width = call->head_width, half = width / 2;
    if (!add)
        clear_floats(y, width);
    if (!call->cosine) {
        for (int64_t t = 0; t < width; t++)
            y[t] += factor * x[t];
        return;
    }
    const float *cosine = call->cosine + position * half, *sine = call->sine + position * half;
    for (int64_t t = 0; t < half; t++) {
        y[t] += factor * (x[t] * cosine[t] + x[half + t] * sine[t]);
        y[half + t] += factor * (x[half + t] * cosine[t] - x[t] * sine[t]);
    }
}

/* Packs rows of q (or, without rotation, of d_out) from query i0 on: (TILE, stride). */
static inline void pack_queries(const device_attention *call, const float *x, int64_t x_stride,
                                int64_t i0, int64_t rows, bool is_query, float *packed)
{
    const int64_t width = call->head_width, stride = attention_stride(call);
    clear_floats(packed, TILE * stride);
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + (i0 + r) * x_stride;
        if (is_query)
            rotate_row(call, call->query_start + i0 + r, call->scale, row, packed + r * stride);
        else
            memcpy(packed + r * stride, row, (size_t)width * sizeof *row);
    }
}

/* Packs one tile of keys, rotated: (TILE, stride), of which `count` exist. */
static inline void pack_keys(const device_attention *call, const float *k, int64_t j0,
                             int64_t count, float *packed)
{
    const int64_t stride = attention_stride(call);
    clear_floats(packed, TILE * stride);
    for (int64_t r = 0; r < count; r++)
        rotate_row(call, j0 + r, 1.0f, k + (j0 + r) * call->k_stride, packed + r * stride);
}

/* Packs one tile of values: (TILE, stride), of which `count` exist. */
static inline void pack_values(const device_attention *call, const float *v, int64_t j0,
                               int64_t count, float *packed)
{
    const int64_t width = call->head_width, stride = attention_stride(call);
    clear_floats(packed, TILE * stride);
    for (int64_t r = 0; r < count; r++)
        memcpy(packed + r * stride, v + (j0 + r) * call->v_stride, (size_t)width * sizeof *v);
}

/* (TILE, stride) -> (head width, TILE). */
static inline void transpose_tile(const device_attention *call, const float *x, float *restrict y)
{
    const int64_t width = call->head_width, stride = attention_stride(call);
    for (int64_t r = 0; r < TILE; r++)
        for (int64_t t = 0; t < width; t++)
            y[t * TILE + r] = x[r * stride + t];
}

/* The sum of a row of whole vectors: lane by lane and then over the lanes, so that zeros at its end
 * change nothing. */
static inline float row_total(const float *x, int64_t columns)
{
    vec sum = {0};
    for (int64_t c = 0; c < columns; c += LANES)
        sum += *(const vec_in_memory *)(x + c);
    float lane[LANES], total = 0.0f;
    memcpy(lane, &sum, sizeof lane);
#pragma omp simd reduction(+ : total)
    for (int l = 0; l < LANES; l++)
        total += lane[l];
    return total;
}

/* The next `floats` of a scratch area that starts at `base`, aligned; NULL while only measuring. */
static inline float *carve_floats(char *base, int64_t *offset, int64_t floats)
{
    float *piece = base ? (float *)(base + *offset) : NULL;
    *offset += round_up(floats * (int64_t)sizeof(float), ASSAY_ALIGNMENT);
    return piece;
}

#endif
