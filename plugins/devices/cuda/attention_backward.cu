/* attention_backward.cu - softmax attention under every mask, backward: from the gradient of the
 * output, or from that of the map.
 *
 * The probabilities of a tile come back from its scores and row_lse (Dao et al., "FlashAttention",
 * 2022, algorithm 4): P = exp(S - lse), dP = dO V', dS = P (dP - delta), delta = rowsum(dO O). From
 * a map P and dP are read. Nothing is added up by two blocks: one kernel has a tile of queries to a
 * block and walks the keys for d_q, one has a tile of keys and walks the queries of all heads that
 * share them for d_k and d_v, one has a tile of the costs (attention_costs.cu). So scores are
 * computed twice, three times where the costs want a gradient, and every sum has one order. Bound
 * by fp32 multiply-adds (tiles.h); not measured. */
#include "attention_gradient.h"
#include "sdpa.h"

/* ---- scratch: delta (B, H, queries), then what the costs take ---- */

enum {
    SCRATCH_UNIT = 64, /* bytes */
};

static int64_t delta_bytes(const device_attention *call)
{
    const int64_t bytes = call->batch * call->heads * call->queries * (int64_t)sizeof(float);
    return pieces_of(bytes, SCRATCH_UNIT) * SCRATCH_UNIT;
}

/* Never nothing. */
extern "C" int64_t own_attention_scratch(const device_attention *call, bool backward)
{
    if (!backward)
        return SCRATCH_UNIT;
    return delta_bytes(call) + SCRATCH_UNIT +
           (call->d_log_weight ? cuda_attention_costs_bytes(call) : 0);
}

/* ---- delta, by a warp a row ---- */

template <typename Kind>
static __global__ void attention_delta(const device_attention call, float *delta)
{
    const int64_t rows = call.batch * call.heads * call.queries;
    const int64_t warp = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / CUDA_WARP;
    const int64_t warps = (int64_t)gridDim.x * blockDim.x / CUDA_WARP;
    const int lane = (int)threadIdx.x % CUDA_WARP;
    for (int64_t r = warp; r < rows; r += warps) {
        const int64_t b = r / (call.heads * call.queries), h = r / call.queries % call.heads;
        const int64_t i = r % call.queries;
        const int64_t seen = mask_visible_end(mask_of(call, b, h), i);
        const int64_t at = Kind::MAP
                               ? r * call.keys
                               : (b * call.queries + i) * call.out_stride + h * call.head_width;
        const int64_t width = seen == 0 ? 0 : Kind::MAP ? seen : call.head_width;
        double sum = 0.0;
        for (int64_t t = lane; t < width; t += CUDA_WARP) {
            const float y = call.out[at + t];
            if (!Kind::MAP || y != 0.0f) /* see map_scores */
                sum += (double)y * call.d_out[at + t];
        }
        sum = cuda_warp_sum(sum);
        if (lane == 0)
            delta[r] = (float)sum;
    }
}

/* ---- d_q ---- */

template <typename Kind> static int64_t attention_d_queries_blocks(const device_attention *call)
{
    return query_blocks<Kind>(call);
}

template <typename Kind> static int64_t attention_d_queries_floats(int64_t width)
{
    return query_space<Kind>::floats(width);
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_d_queries(const device_attention call, const float *delta)
{
    CUDA_SHARED(float, base);
    const int width = (int)call.head_width;
    const query_space<Kind> space(base, width);
    const query_tile tile = tile_of_block<Kind>(call);
    const int64_t end = end_of(tile);
    const bool live = tile_ty() < tile.rows;
    own_queries<Kind> own;
    tile_sums<Kind::R, Kind::GROUPS> d_q;
    d_q.clear();
    if (!Kind::MAP) {
        load_query_side<Kind>(call, tile, space);
        own.read(call, delta, tile);
    }
    for (int64_t j0 = 0; j0 < end; j0 += TILE_TOKENS) {
        const int count = (int)least(TILE_TOKENS, end - j0);
        __syncthreads(); /* the last tile has been used */
        load_key_side<Kind>(call, tile, j0, space);
        if (Kind::MAP)
            map_scores<Kind::QUERIES, TILE_TOKENS, false>(call, delta, tile.b, tile.h, tile.i0,
                                                          tile.rows, j0, count, space.scores);
        __syncthreads();
        if (!Kind::MAP) {
            if (live) {
                float d_score[Kind::R][TILE_EACH];
                own.d_scores(tile, j0, width, space, d_score);
                put_scores(d_score, space.scores);
            }
            __syncthreads();
        }
        if (live)
            d_q.add(space.scores, space.k, width, count);
    }
    __syncthreads();
    d_q.put(space.q, width);
    __syncthreads();
    store_tile(
        space.q, Kind::QUERIES, width, call.scale, turn_of(call.cosine, call.sine), call.add_q,
        rows_at(call.d_q + (tile.b * call.queries + tile.i0) * call.q_stride + tile.h * width,
                call.q_stride, call.query_start + tile.i0, tile.all));
}

/* ---- d_k and d_v ---- */

/* Rows of a thread in a tile of keys, which has two sums. */
template <typename Kind> struct key_side {
    static constexpr int R = Kind::GROUPS > 2 ? 2 : 4, KEYS = TILE_TY * R;
};

template <typename Kind> static int64_t attention_d_keys_blocks(const device_attention *call)
{
    return call->batch * call->kv_heads * pieces_of(call->keys, key_side<Kind>::KEYS);
}

/* Keys, queries and dS; of the output also values, its gradient, and P; and a query's terms. */
template <typename Kind> static int64_t attention_d_keys_floats(int64_t width)
{
    const int64_t keys = key_side<Kind>::KEYS;
    const int64_t tiles = (keys + TILE_TOKENS) * tile_stride(width) + keys * SCORE_STRIDE;
    return Kind::MAP ? tiles : 2 * tiles + 2 * TILE_TOKENS;
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_d_keys(const device_attention call, const float *delta)
{
    constexpr int R = key_side<Kind>::R, KEYS = key_side<Kind>::KEYS;
    CUDA_SHARED(float, k);
    const int width = (int)call.head_width, stride = tile_stride(width);
    float *q = k + KEYS * stride, *d_scores = q + TILE_TOKENS * stride;
    float *v = d_scores + KEYS * SCORE_STRIDE, *d_out = v + KEYS * stride;
    float *p_scores = d_out + TILE_TOKENS * stride;
    query_terms *terms = (query_terms *)(p_scores + KEYS * SCORE_STRIDE);
    const int64_t tiles = pieces_of(call.keys, KEYS), group = (int64_t)blockIdx.x / tiles;
    const int64_t j0 = (int64_t)blockIdx.x % tiles * KEYS, all = least(KEYS, call.keys - j0);
    const int64_t b = group / call.kv_heads, g = group % call.kv_heads;
    const int64_t shared = call.heads / call.kv_heads, at = b * call.keys + j0;
    mask_view mask = mask_of(call, b, g * shared);
    const int count = (int)clamp_to(mask.length - j0, 0, all);
    tile_sums<R, Kind::GROUPS> d_k, d_v;
    d_k.clear();
    d_v.clear();
    if (count && mask.rows) {
        load_tile(k, KEYS, width, 1.0f, turn_of(call.cosine, call.sine),
                  rows_at(call.k + at * call.k_stride + g * width, call.k_stride, j0, count));
        if (!Kind::MAP)
            load_tile(v, KEYS, width, 1.0f, no_turn(),
                      rows_at(call.v + at * call.v_stride + g * width, call.v_stride, 0, count));
    }
    for (int64_t h = g * shared; h < (g + 1) * shared && count; h++) {
        mask = mask_of(call, b, h);
        for (int64_t i0 = 0; i0 < mask.rows; i0 += TILE_TOKENS) {
            const int rows = (int)least(TILE_TOKENS, mask.rows - i0);
            if (mask_visible_end(mask, i0 + rows - 1) <= j0)
                continue;
            __syncthreads(); /* the last tile has been used */
            load_tile(q, TILE_TOKENS, width, call.scale, turn_of(call.cosine, call.sine),
                      rows_at(call.q + (b * call.queries + i0) * call.q_stride + h * width,
                              call.q_stride, call.query_start + i0, rows));
            if (Kind::MAP) {
                map_scores<TILE_TOKENS, KEYS, true>(call, delta, b, h, i0, rows, j0, count,
                                                    d_scores);
            } else {
                load_d_out(call, b, h, i0, rows, TILE_TOKENS, d_out);
                if (threadIdx.x < TILE_TOKENS)
                    terms[threadIdx.x] =
                        terms_of(call, delta, mask, b, h, i0 + (int64_t)threadIdx.x);
            }
            __syncthreads();
            if (!Kind::MAP) {
                if (tile_ty() < count) {
                    float p[R][TILE_EACH], d_score[R][TILE_EACH];
                    tile_dot(p, k, q, width);
                    tile_dot(d_score, v, d_out, width);
                    for (int j = 0; j < TILE_EACH; j++) {
                        const int i = tile_tx() + TILE_TX * j;
                        const row_mask row = mask_row(mask, i0 + i, j0, KEYS);
                        for (int r = 0; r < R; r++) {
                            p[r][j] =
                                probability(row, tile_ty() + TILE_TY * r, p[r][j], terms[i].lse);
                            d_score[r][j] = p[r][j] * (d_score[r][j] - terms[i].delta);
                        }
                    }
                    put_scores(p, p_scores);
                    put_scores(d_score, d_scores);
                }
                __syncthreads();
            }
            if (tile_ty() < count) {
                d_k.add(d_scores, q, width, rows);
                if (!Kind::MAP)
                    d_v.add(p_scores, d_out, width, rows);
            }
        }
    }
    __syncthreads();
    d_k.put(k, width);
    if (!Kind::MAP)
        d_v.put(v, width);
    __syncthreads();
    /* The queries were taken times the scale, which d_k therefore holds already. */
    if (call.d_k)
        store_tile(k, KEYS, width, 1.0f, turn_of(call.cosine, call.sine), call.add_k,
                   rows_at(call.d_k + at * call.k_stride + g * width, call.k_stride, j0, all));
    if (call.d_v && !Kind::MAP)
        store_tile(v, KEYS, width, 1.0f, no_turn(), call.add_v,
                   rows_at(call.d_v + at * call.v_stride + g * width, call.v_stride, 0, all));
}

/* ---- both ---- */

template <template <int> class Kind> static void backward(const device_attention *call)
{
    float *delta = (float *)call->scratch;
    const int64_t rows = call->batch * call->heads * call->queries;
    CUDA_LAUNCH(attention_delta<Kind<1>>, cuda_blocks(rows * CUDA_WARP, CUDA_BLOCK), CUDA_BLOCK, 0,
                *call, delta);
    if (call->d_q)
        ATTENTION_LAUNCH(attention_d_queries, Kind, call, *call, delta);
    if (call->d_k || call->d_v)
        ATTENTION_LAUNCH(attention_d_keys, Kind, call, *call, delta);
    if (call->d_log_weight)
        cuda_attention_costs(call, Kind<1>::MAP, delta,
                             (float *)((char *)call->scratch + delta_bytes(call)));
}

extern "C" void own_d_attention(const device_attention *call)
{
    backward<of_output>(call);
}

extern "C" void cuda_d_attention_map(const device_attention *call)
{
    backward<of_map>(call);
}
