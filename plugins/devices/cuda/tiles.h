/* tiles.h - tiles of tokens in shared memory and their products: what the attention kernels are
 * made of.
 *
 * A block has 128 threads, which stand as TILE_TY = 16 by TILE_TX = 8 before a product of two
 * tiles. The rows of one side (16 R, R rows a thread) meet 32 tokens of the other: thread (ty, tx)
 * has the rows ty, ty + 16, ... and the tokens tx, tx + 8, ..., so that the four ty and eight tx of
 * a warp read four and eight neighbouring rows. A row of a tile is `tile_stride` floats, an odd
 * number of float4: neighbouring rows then lie in different banks, and each such read is one pass
 * over shared memory. For 64 rows a thread makes 64 fused multiply-adds out of 8 reads, which is
 * what bounds these kernels where they are not bound by the few blocks of a small call (not
 * measured).
 *
 * A head width is rounded up to whole float4 with zeros. GROUPS is the number of groups of 32
 * columns that a thread's sums of whole rows are kept in: 1, 2, 4, 8 for widths up to 32, 64, 128,
 * 256. */
#ifndef ASSAY_CUDA_TILES_H
#define ASSAY_CUDA_TILES_H

#include "launch.h"

enum {
    ATTENTION_THREADS = 128,
    ATTENTION_WIDEST = 256, /* head width */
    TILE_TX = 8,
    TILE_TY = 16,
    TILE_TOKENS = 32,                  /* of the side that is walked along */
    TILE_EACH = TILE_TOKENS / TILE_TX, /* tokens of a thread */
    SCORE_STRIDE = TILE_TOKENS + 4,    /* floats of a row of scores, an odd number of float4 */
};

static __host__ __device__ inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static __host__ __device__ inline int64_t clamp_to(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : least(x, high);
}

static __host__ __device__ inline int64_t pieces_of(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* ---- tiles ---- */

/* A thread's place before a product of tiles. Neighbouring lanes share a token, and lanes that are
 * two apart share a row: of a read of 16 bytes a lane, a GPU serves two quarters of a warp at once
 * when the lanes are such pairs. */
static __device__ inline int tile_tx(void)
{
    return (int)threadIdx.x / 2 % TILE_TX;
}
static __device__ inline int tile_ty(void)
{
    return (int)threadIdx.x / (2 * TILE_TX) * 2 + (int)threadIdx.x % 2;
}

/* A thread's place where rows are moved: eight lanes that are neighbours have a row. */
static __device__ inline int move_lane(void)
{
    return (int)threadIdx.x % TILE_TX;
}
static __device__ inline int move_row(void)
{
    return (int)threadIdx.x / TILE_TX;
}

static __host__ __device__ inline int tile_quads(int64_t width)
{
    return (int)((width + 3) / 4);
}

/* Floats from one row of a tile to the next. */
static __host__ __device__ inline int tile_stride(int64_t width)
{
    return 4 * (tile_quads(width) | 1);
}

/* Where a row of a tile comes from or goes to: NULL for none (zeros are read), its width, and the
 * position that it is rotated to. */
typedef struct tile_row {
    float *x;
    int64_t position;
} tile_row;

/* Rotary tables, or NULL. */
typedef struct tile_turn {
    const float *cosine, *sine;
} tile_turn;

static __device__ inline tile_row tile_row_of(const float *x, int64_t position)
{
    tile_row row;
    row.x = (float *)(uintptr_t)x;
    row.position = position;
    return row;
}

/* Whether a row can be moved four floats at a time. */
static __device__ inline bool is_wide(const float *x, int64_t width)
{
    return ((uintptr_t)x | (uintptr_t)(width * 4)) % sizeof(float4) == 0;
}

static __device__ inline float4 quad_times(float4 x, float factor)
{
    x.x *= factor;
    x.y *= factor;
    x.z *= factor;
    x.w *= factor;
    return x;
}

/* (a, b) turned: a c - b s into a, b c + a s into b. */
static __device__ inline void turn(float c, float s, float *a, float *b)
{
    const float x = *a, y = *b;
    *a = x * c - y * s;
    *b = y * c + x * s;
}

static __device__ inline void turn_quads(float4 c, float4 s, float4 *a, float4 *b)
{
    turn(c.x, s.x, &a->x, &b->x);
    turn(c.y, s.y, &a->y, &b->y);
    turn(c.z, s.z, &a->z, &b->z);
    turn(c.w, s.w, &a->w, &b->w);
}

/* to (width, rounded up with zeros) = factor R x, by the eight threads of one row. */
static __device__ inline void load_row(float *to, tile_row row, int width, float factor,
                                       tile_turn tables)
{
    const int quads = tile_quads(width), half = width / 2;
    const float4 none = {0.0f, 0.0f, 0.0f, 0.0f};
    float4 *y = (float4 *)to;
    if (!row.x) {
        for (int t = move_lane(); t < quads; t += TILE_TX)
            y[t] = none;
        return;
    }
    const bool turned = tables.cosine;
    const float *c = turned ? tables.cosine + row.position * half : NULL;
    const float *s = turned ? tables.sine + row.position * half : NULL;
    const float4 *x = (const float4 *)row.x;
    if (!turned && is_wide(row.x, width)) {
        for (int t = move_lane(); t < quads; t += TILE_TX)
            y[t] = quad_times(x[t], factor);
    } else if (turned && is_wide(row.x, width) && is_wide(c, half) && is_wide(s, half)) {
        for (int t = move_lane(); t < quads / 2; t += TILE_TX) {
            float4 a = quad_times(x[t], factor), b = quad_times(x[quads / 2 + t], factor);
            turn_quads(((const float4 *)c)[t], ((const float4 *)s)[t], &a, &b);
            y[t] = a;
            y[quads / 2 + t] = b;
        }
    } else {
        for (int t = move_lane(); turned && t < half; t += TILE_TX) {
            float a = factor * row.x[t], b = factor * row.x[half + t];
            turn(c[t], s[t], &a, &b);
            to[t] = a;
            to[half + t] = b;
        }
        for (int t = (turned ? 2 * half : 0) + move_lane(); t < 4 * quads; t += TILE_TX)
            to[t] = t < width ? factor * row.x[t] : 0.0f;
    }
}

/* Rows 0 .. capacity - 1 of a tile, rows(r) each. */
template <typename Rows>
static __device__ inline void load_tile(float *tile, int capacity, int width, float factor,
                                        tile_turn tables, const Rows &rows)
{
    const int stride = tile_stride(width);
    for (int r = move_row(); r < capacity; r += TILE_TY)
        load_row(tile + r * stride, rows(r), width, factor, tables);
}

static __device__ inline void store_quad(float *to, float4 x, bool add)
{
    float4 *y = (float4 *)to;
    if (add) {
        const float4 old = *y;
        x.x += old.x;
        x.y += old.y;
        x.z += old.z;
        x.w += old.w;
    }
    *y = x;
}

/* row = [row +] factor R' x, by the eight threads of one row. */
static __device__ inline void store_row(const float *x, tile_row row, int width, float factor,
                                        tile_turn tables, bool add)
{
    const int quads = tile_quads(width), half = width / 2;
    if (!row.x)
        return;
    const bool turned = tables.cosine;
    const float *c = turned ? tables.cosine + row.position * half : NULL;
    const float *s = turned ? tables.sine + row.position * half : NULL;
    const float4 *from = (const float4 *)x;
    if (!turned && is_wide(row.x, width)) {
        for (int t = move_lane(); t < quads; t += TILE_TX)
            store_quad(row.x + 4 * t, quad_times(from[t], factor), add);
    } else if (turned && is_wide(row.x, width) && is_wide(c, half) && is_wide(s, half)) {
        for (int t = move_lane(); t < quads / 2; t += TILE_TX) {
            float4 a = quad_times(from[t], factor), b = quad_times(from[quads / 2 + t], factor);
            turn_quads(((const float4 *)c)[t], quad_times(((const float4 *)s)[t], -1.0f), &a, &b);
            store_quad(row.x + 4 * t, a, add);
            store_quad(row.x + 4 * (quads / 2 + t), b, add);
        }
    } else {
        for (int t = move_lane(); turned && t < half; t += TILE_TX) {
            float a = factor * x[t], b = factor * x[half + t];
            turn(c[t], -s[t], &a, &b);
            row.x[t] = add ? row.x[t] + a : a;
            row.x[half + t] = add ? row.x[half + t] + b : b;
        }
        for (int t = (turned ? 2 * half : 0) + move_lane(); t < width; t += TILE_TX)
            row.x[t] = add ? row.x[t] + factor * x[t] : factor * x[t];
    }
}

template <typename Rows>
static __device__ inline void store_tile(const float *tile, int capacity, int width, float factor,
                                         tile_turn tables, bool add, const Rows &rows)
{
    const int stride = tile_stride(width);
    for (int r = move_row(); r < capacity; r += TILE_TY)
        store_row(tile + r * stride, rows(r), width, factor, tables, add);
}

/* Rows first .. first + count - 1 of x (rows, stride), at positions from `position` on. */
struct plain_rows {
    const float *x;
    int64_t stride, position;
    int count;
    __device__ tile_row operator()(int r) const
    {
        return tile_row_of(r < count ? x + r * stride : NULL, position + r);
    }
};

static __device__ inline plain_rows rows_at(const float *x, int64_t stride, int64_t position,
                                            int64_t count)
{
    plain_rows rows;
    rows.x = x;
    rows.stride = stride;
    rows.position = position;
    rows.count = (int)count;
    return rows;
}

static __device__ inline tile_turn no_turn(void)
{
    tile_turn tables;
    tables.cosine = tables.sine = NULL;
    return tables;
}

static __device__ inline tile_turn turn_of(const float *cosine, const float *sine)
{
    tile_turn tables;
    tables.cosine = cosine;
    tables.sine = sine;
    return tables;
}

/* ---- products of tiles ---- */

/* a b + sum, rounded once on the GPU. The host of the stand-in has no instruction for it
 * everywhere, and a call is slow. */
static __device__ inline float multiply_add(float a, float b, float sum)
{
#ifdef ASSAY_STANDIN
    return a * b + sum;
#else
    return fmaf(a, b, sum);
#endif
}

static __device__ inline float quad_dot(float4 a, float4 b, float sum)
{
    sum = multiply_add(a.x, b.x, sum);
    sum = multiply_add(a.y, b.y, sum);
    sum = multiply_add(a.z, b.z, sum);
    return multiply_add(a.w, b.w, sum);
}

static __device__ inline void quad_add(float w, float4 x, float4 *sum)
{
    sum->x = multiply_add(w, x.x, sum->x);
    sum->y = multiply_add(w, x.y, sum->y);
    sum->z = multiply_add(w, x.z, sum->z);
    sum->w = multiply_add(w, x.w, sum->w);
}

/* sum = the thread's part of a b', a (16 R, width), b (TILE_TOKENS, width). */
template <int R>
static __device__ inline void tile_dot(float (&sum)[R][TILE_EACH], const float *a, const float *b,
                                       int width)
{
    const int stride = tile_stride(width) / 4, quads = tile_quads(width);
    const float4 *x = (const float4 *)a + tile_ty() * stride;
    const float4 *y = (const float4 *)b + tile_tx() * stride;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < TILE_EACH; j++)
            sum[i][j] = 0.0f;
    for (int t = 0; t < quads; t++) {
        float4 right[TILE_EACH];
        for (int j = 0; j < TILE_EACH; j++)
            right[j] = y[j * TILE_TX * stride + t];
        for (int i = 0; i < R; i++) {
            const float4 left = x[i * TILE_TY * stride + t];
            for (int j = 0; j < TILE_EACH; j++)
                sum[i][j] = quad_dot(left, right[j], sum[i][j]);
        }
    }
}

/* The thread's sums of whole rows: columns 4 (tx + 8 g) .. + 3 of rows ty + 16 i. */
template <int R, int GROUPS> struct tile_sums {
    float4 at[R][GROUPS];

    __device__ void clear(void)
    {
        const float4 none = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int i = 0; i < R; i++)
            for (int g = 0; g < GROUPS; g++)
                at[i][g] = none;
    }

    /* Row r times factor[r]. */
    __device__ void scale(const float *factor)
    {
        for (int i = 0; i < R; i++)
            for (int g = 0; g < GROUPS; g++)
                at[i][g] = quad_times(at[i][g], factor[tile_ty() + TILE_TY * i]);
    }

    /* += w x, w (16 R, SCORE_STRIDE), x (TILE_TOKENS, width), of which the first `count` count. */
    __device__ void add(const float *w, const float *x, int width, int count)
    {
        const int stride = tile_stride(width) / 4, quads = tile_quads(width);
        const float4 *row = (const float4 *)x + tile_tx();
        for (int c = 0; c < count; c += 4) {
            float weight[R][4];
            for (int i = 0; i < R; i++) {
                const int at_row = (tile_ty() + TILE_TY * i) * SCORE_STRIDE + c;
                const float4 quad = *(const float4 *)(w + at_row);
                weight[i][0] = quad.x;
                weight[i][1] = quad.y;
                weight[i][2] = quad.z;
                weight[i][3] = quad.w;
            }
            for (int k = 0; k < 4; k++)
                for (int g = 0; g < GROUPS; g++)
                    if (tile_tx() + TILE_TX * g < quads) {
                        const float4 value = row[(c + k) * stride + TILE_TX * g];
                        for (int i = 0; i < R; i++)
                            quad_add(weight[i][k], value, &at[i][g]);
                    }
        }
    }

    /* Into a tile, from where store_tile takes it. */
    __device__ void put(float *tile, int width) const
    {
        const int stride = tile_stride(width) / 4, quads = tile_quads(width);
        for (int i = 0; i < R; i++)
            for (int g = 0; g < GROUPS; g++)
                if (tile_tx() + TILE_TX * g < quads)
                    ((float4 *)tile)[(tile_ty() + TILE_TY * i) * stride + tile_tx() + TILE_TX * g] =
                        at[i][g];
    }
};

/* Numbers of the thread into scores (16 R, SCORE_STRIDE). */
template <int R>
static __device__ inline void put_scores(const float (&x)[R][TILE_EACH], float *scores)
{
    for (int i = 0; i < R; i++)
        for (int j = 0; j < TILE_EACH; j++)
            scores[(tile_ty() + TILE_TY * i) * SCORE_STRIDE + tile_tx() + TILE_TX * j] = x[i][j];
}

/* ---- the softmax of rows of scores ----
 * The threads of a block share out the rows, 128 / rows neighbouring lanes to each. */
template <int ROWS> struct row_softmax {
    static constexpr int LANES = ATTENTION_THREADS / ROWS, SPAN = TILE_TOKENS / LANES;
    float top, sum; /* running, the same in all lanes of a row */

    static __device__ int row(void)
    {
        return (int)threadIdx.x / LANES;
    }
    static __device__ int lane(void)
    {
        return (int)threadIdx.x % LANES;
    }

    __device__ void start(void)
    {
        top = -INFINITY;
        sum = 0.0f;
    }

    /* Takes a tile of scores in; mask(j, x) gives score x of token j with its cost. When `soften`,
     * the scores become exp(score - top) and keep[row] the factor of what was summed before; else
     * they are left with their costs. */
    template <typename Mask>
    __device__ void take(float *scores, float *keep, bool soften, const Mask &mask)
    {
        float4 *at = (float4 *)(scores + row() * SCORE_STRIDE + lane() * SPAN);
        float x[SPAN], highest = top, total = 0.0f;
        for (int c = 0; c < SPAN; c += 4) {
            const float4 quad = at[c / 4];
            x[c] = quad.x;
            x[c + 1] = quad.y;
            x[c + 2] = quad.z;
            x[c + 3] = quad.w;
        }
        for (int c = 0; c < SPAN; c++) {
            x[c] = mask(lane() * SPAN + c, x[c]);
            highest = x[c] > highest ? x[c] : highest;
        }
        for (int lanes = 1; lanes < LANES; lanes *= 2) {
            const float other = __shfl_xor_sync(0xffffffffu, highest, lanes);
            highest = other > highest ? other : highest;
        }
        /* A row that has seen nothing yet: hidden pairs give exp(-infinity) = 0. */
        const float shift = highest == -INFINITY ? 0.0f : highest;
        for (int c = 0; c < SPAN; c++) {
            const float e = expf(x[c] - shift);
            total += e;
            x[c] = soften ? e : x[c];
        }
        for (int lanes = 1; lanes < LANES; lanes *= 2)
            total += __shfl_xor_sync(0xffffffffu, total, lanes);
        const float kept = expf(top - shift);
        sum = multiply_add(kept, sum, total);
        top = highest;
        if (soften && lane() == 0)
            keep[row()] = kept;
        for (int c = 0; c < SPAN; c += 4)
            at[c / 4] = make_float4(x[c], x[c + 1], x[c + 2], x[c + 3]);
    }

    /* 1 / sum, 0 for a row that sees nothing. */
    __device__ float factor(void) const
    {
        return sum == 0.0f ? 0.0f : 1.0f / sum;
    }
    /* The log of the sum of exp, +infinity for a row that sees nothing. */
    __device__ float log_sum(void) const
    {
        return sum == 0.0f ? INFINITY : top + logf(sum);
    }
};

/* ---- launching ----
 * A kernel is a template of what it works on: of_output<GROUPS> or of_map<GROUPS>. */

template <int WIDTHS> struct of_output {
    static constexpr int GROUPS = WIDTHS;
    /* Rows of a thread in a tile of queries: fewer where the sums of a row are long. */
    static constexpr int R = WIDTHS > 4 ? 2 : 4, QUERIES = TILE_TY * R;
    static constexpr bool MAP = false;
};

template <int WIDTHS> struct of_map : of_output<WIDTHS> {
    static constexpr bool MAP = true; /* out and d_out are maps; there are no values */
};

/* Lets a kernel have more shared memory than the 48 KiB that every kernel may. GPUs for data
 * centres have enough for all widths (sm_80: 163 KiB a block, sm_90: 227), others not (99). */
static inline bool allow_shared(const char *name, const void *kernel, int64_t bytes)
{
    if (bytes <= 48 * 1024)
        return true;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) ==
        cudaSuccess)
        return true;
    (void)cudaGetLastError();
    cuda_note_failure(name, "heads so wide want more shared memory than this GPU gives a block");
    return false;
}

#define ATTENTION_LAUNCH_KIND(kernel, kind, call, ...)                                             \
    do {                                                                                           \
        const int64_t shared_bytes =                                                               \
            kernel##_floats<kind>((call)->head_width) * (int64_t)sizeof(float);                    \
        const int64_t blocks_of_kind = kernel##_blocks<kind>(call);                                \
        if (allow_shared(#kernel, (const void *)kernel<kind>, shared_bytes))                       \
            CUDA_LAUNCH(kernel<kind>, blocks_of_kind, ATTENTION_THREADS, shared_bytes,             \
                        __VA_ARGS__);                                                              \
    } while (0)

/* Launches kernel<kind<GROUPS>> for the call's head width: kernel_blocks<kind<GROUPS>>(call) blocks
 * with kernel_floats<kind<GROUPS>>(head_width) floats of shared memory. */
#define ATTENTION_LAUNCH(kernel, kind, call, ...)                                                  \
    do {                                                                                           \
        if ((call)->head_width > ATTENTION_WIDEST)                                                 \
            cuda_note_failure(#kernel, "a head is wider than 256");                                \
        else if ((call)->head_width > 128)                                                         \
            ATTENTION_LAUNCH_KIND(kernel, kind<8>, call, __VA_ARGS__);                             \
        else if ((call)->head_width > 64)                                                          \
            ATTENTION_LAUNCH_KIND(kernel, kind<4>, call, __VA_ARGS__);                             \
        else if ((call)->head_width > 32)                                                          \
            ATTENTION_LAUNCH_KIND(kernel, kind<2>, call, __VA_ARGS__);                             \
        else                                                                                       \
            ATTENTION_LAUNCH_KIND(kernel, kind<1>, call, __VA_ARGS__);                             \
    } while (0)

#endif
