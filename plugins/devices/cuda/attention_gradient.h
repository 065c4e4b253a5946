/* attention_gradient.h - dS, the gradient of a tile's scores, from the gradient of the output or of
 * the map (see attention_backward.cu). */
#ifndef ASSAY_CUDA_ATTENTION_GRADIENT_H
#define ASSAY_CUDA_ATTENTION_GRADIENT_H

#include "attention.h"

/* ---- the gradient of log_weight: attention_costs.cu ---- */

/* Bytes of memory that it takes. */
int64_t cuda_attention_costs_bytes(const device_attention *call);
/* d_log_weight, given delta of each row, from the gradient of the output or of the map. */
void cuda_attention_costs(const device_attention *call, bool map, const float *delta,
                          float *partial);

/* ---- the gradient of a tile's scores ---- */

/* What a query brings to its probabilities and their gradient. */
typedef struct query_terms {
    float lse, delta;
} query_terms;

static __device__ inline query_terms terms_of(const device_attention &call, const float *delta,
                                              const mask_view &mask, int64_t b, int64_t h,
                                              int64_t i)
{
    query_terms terms = {INFINITY, 0.0f};
    if (i < mask.rows) {
        terms.lse = call.row_lse[(b * call.heads + h) * call.queries + i];
        terms.delta = delta[(b * call.heads + h) * call.queries + i];
    }
    return terms;
}

/* P of a score, given what mask_row says of it. */
static __device__ inline float probability(const row_mask &row, int j, float score, float lse)
{
    return expf(mask_score(row, j, score) - lse);
}

/* dS of queries i0 .. i0 + rows - 1 and keys j0 .. j0 + columns - 1 of the map into scores, of the
 * shape (QUERIES, SCORE_STRIDE), or (KEYS, SCORE_STRIDE) when TURNED; 0 elsewhere. A pair whose P
 * is 0 gives 0, whatever stands in dP. */
template <int QUERIES, int KEYS, bool TURNED>
static __device__ inline void map_scores(const device_attention &call, const float *delta,
                                         int64_t b, int64_t h, int64_t i0, int rows, int64_t j0,
                                         int columns, float *scores)
{
    const int64_t first = (b * call.heads + h) * call.queries + i0;
    for (int e = (int)threadIdx.x; e < QUERIES * KEYS; e += ATTENTION_THREADS) {
        const int i = e / KEYS, j = e % KEYS;
        const int64_t at = (first + i) * call.keys + j0 + j;
        float d_score = 0.0f;
        if (i < rows && j < columns) {
            const float p = call.out[at];
            d_score = p != 0.0f ? p * (call.d_out[at] - delta[first + i]) : 0.0f;
        }
        scores[TURNED ? j * SCORE_STRIDE + i : i * SCORE_STRIDE + j] = d_score;
    }
}

static __device__ inline void load_d_out(const device_attention &call, int64_t b, int64_t h,
                                         int64_t i0, int rows, int capacity, float *tile)
{
    load_tile(tile, capacity, (int)call.head_width, 1.0f, no_turn(),
              rows_at(call.d_out + (b * call.queries + i0) * call.out_stride + h * call.head_width,
                      call.out_stride, 0, rows));
}

/* The tiles of a block that has 16 R queries and walks along keys. */
template <typename Kind> struct query_space {
    float *q, *d_out, *k, *v, *scores;

    __device__ query_space(float *base, int width)
    {
        const int stride = tile_stride(width);
        q = base;
        k = q + Kind::QUERIES * stride;
        scores = k + TILE_TOKENS * stride;
        d_out = scores + Kind::QUERIES * SCORE_STRIDE;
        v = d_out + Kind::QUERIES * stride;
    }

    static int64_t floats(int64_t width)
    {
        return (Kind::QUERIES + TILE_TOKENS) * (int64_t)tile_stride(width) * (Kind::MAP ? 1 : 2) +
               Kind::QUERIES * SCORE_STRIDE;
    }
};

template <typename Kind>
static __device__ inline void load_query_side(const device_attention &call, const query_tile &tile,
                                              const query_space<Kind> &space)
{
    load_queries<Kind>(call, tile, space.q);
    load_d_out(call, tile.b, tile.h, tile.i0, tile.rows, Kind::QUERIES, space.d_out);
}

template <typename Kind>
static __device__ inline void load_key_side(const device_attention &call, const query_tile &tile,
                                            int64_t j0, const query_space<Kind> &space)
{
    load_keys(call, tile, j0, space.k);
    if (!Kind::MAP)
        load_values(call, tile, j0, space.v);
}

/* The thread's own queries of a tile. */
template <typename Kind> struct own_queries {
    query_terms at[Kind::R];

    __device__ void read(const device_attention &call, const float *delta, const query_tile &tile)
    {
        for (int i = 0; i < Kind::R; i++)
            at[i] =
                terms_of(call, delta, tile.mask, tile.b, tile.h, tile.i0 + tile_ty() + TILE_TY * i);
    }

    /* dS at keys j0 .. j0 + 31 of the thread's pairs, out of tiles in shared memory. */
    __device__ void d_scores(const query_tile &tile, int64_t j0, int width,
                             const query_space<Kind> &space, float (&d_score)[Kind::R][TILE_EACH])
    {
        float score[Kind::R][TILE_EACH];
        tile_dot(score, space.q, space.k, width);
        tile_dot(d_score, space.d_out, space.v, width);
        for (int i = 0; i < Kind::R; i++) {
            const row_mask row =
                mask_row(tile.mask, tile.i0 + tile_ty() + TILE_TY * i, j0, TILE_TOKENS);
            for (int j = 0; j < TILE_EACH; j++)
                d_score[i][j] = probability(row, tile_tx() + TILE_TX * j, score[i][j], at[i].lse) *
                                (d_score[i][j] - at[i].delta);
        }
    }
};

#endif
