/* attention_backward.cu - softmax attention under every mask, backward: from the gradient of the
 * output, or from that of the map.
 *
 * The probabilities of a tile come back from its scores and row_lse (Dao et al., "FlashAttention", 2022,
 * algorithm 4): P = exp(S - lse), dP = dO V', dS = P (dP - delta), delta = rowsum(dO O). From a map P
 * and dP are read. Nothing is added up by two blocks: one kernel has a tile of queries to a block and
 * walks the keys for d_q, one has a tile of keys and walks the queries of all heads that share them for
 * d_k and d_v, one has a tile of the costs. So scores are computed twice, three times where the costs
 * want a gradient, and every sum has one order. Bound by fp32 multiply-adds (attention.h); not
 * measured.
 *
 * Costs that are shared by items, heads, queries or keys: the items and heads that share a cost are
 * dealt to `pieces` blocks, each of which adds up its own in one order; then the partial sums of pieces,
 * and of tiles of queries or keys where these share, are added in order, in double. */
#include "attention.h"

/* ---- scratch: delta (B, H, queries), then the partial sums of the costs ---- */

/* How the gradient of log_weight is cut up. */
typedef struct cost_shape {
    bool each_query, each_key; /* not shared by queries, by keys */
    int64_t query_tiles, key_tiles;
    int64_t slices;        /* items and heads that do not share */
    int64_t sharing;       /* items and heads of a slice */
    int64_t heads_sharing; /* heads of a slice */
    int64_t pieces;        /* into which `sharing` is dealt */
    int64_t parts;         /* partial sums of one cost */
} cost_shape;

enum {
    COST_BLOCKS = 1024, /* that are enough for a GPU */
    SCRATCH_UNIT = 64,  /* bytes */
};

static cost_shape cost_shape_of(const device_attention *call)
{
    const int64_t *stride = call->bias_stride;
    /* as Kind::QUERIES */
    const int64_t queries = call->head_width > 128 ? TILE_TY * 2 : TILE_TY * 4;
    cost_shape shape = {};
    shape.each_query = stride[2] != 0;
    shape.each_key = stride[3] != 0;
    shape.query_tiles = pieces_of(call->queries, queries);
    shape.key_tiles = pieces_of(call->keys, TILE_TOKENS);
    shape.heads_sharing = stride[1] ? 1 : call->heads;
    shape.sharing = (stride[0] ? 1 : call->batch) * shape.heads_sharing;
    shape.slices = (stride[0] ? call->batch : 1) * (stride[1] ? call->heads : 1);
    const int64_t blocks = shape.slices * shape.query_tiles * shape.key_tiles;
    if (blocks == 0 || shape.sharing == 0)
        return shape;
    shape.pieces = clamp_to(pieces_of(COST_BLOCKS, blocks), 1, DEVICE_PARTITIONS);
    shape.pieces = least(shape.pieces, shape.sharing);
    shape.parts = shape.pieces * (shape.each_query ? 1 : shape.query_tiles) *
                  (shape.each_key ? 1 : shape.key_tiles);
    return shape;
}

static int64_t delta_bytes(const device_attention *call)
{
    const int64_t bytes = call->batch * call->heads * call->queries * (int64_t)sizeof(float);
    return pieces_of(bytes, SCRATCH_UNIT) * SCRATCH_UNIT;
}

/* A single part is added to the gradient at once. */
extern "C" int64_t cuda_attention_scratch(const device_attention *call, bool backward)
{
    if (!backward)
        return SCRATCH_UNIT;
    const int64_t parts = call->d_log_weight ? cost_shape_of(call).parts : 0;
    return delta_bytes(call) + SCRATCH_UNIT +
           (parts > 1 ? parts * call->bias_count * (int64_t)sizeof(float) : 0);
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

/* dS of queries i0 .. i0 + rows - 1 and keys j0 .. j0 + columns - 1 of the map into scores, of the shape
 * (QUERIES, SCORE_STRIDE), or (KEYS, SCORE_STRIDE) when TURNED; 0 elsewhere. A pair whose P is 0 gives 0,
 * whatever stands in dP. */
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

/* ---- the gradient of log_weight ---- */

/* Sums of the block's tile by what shares a cost: d (QUERIES, SCORE_STRIDE) in shared memory, in which
 * uncharged pairs are 0. to(i, j, sum) takes the results. */
template <int QUERIES, typename To>
static __device__ inline void reduce_costs(const cost_shape &shape, float *d, const To &to)
{
    const int thread = (int)threadIdx.x;
    if (shape.each_query && shape.each_key) {
        for (int e = thread; e < QUERIES * TILE_TOKENS; e += ATTENTION_THREADS)
            to(e / TILE_TOKENS, e % TILE_TOKENS,
               d[e / TILE_TOKENS * SCORE_STRIDE + e % TILE_TOKENS]);
    } else if (shape.each_key) {
        double sum = 0.0;
        for (int i = 0; i < QUERIES && thread < TILE_TOKENS; i++)
            sum += d[i * SCORE_STRIDE + thread];
        if (thread < TILE_TOKENS)
            to(0, thread, (float)sum);
    } else {
        double sum = 0.0;
        for (int j = 0; j < TILE_TOKENS && thread < QUERIES; j++)
            sum += d[thread * SCORE_STRIDE + j];
        if (!shape.each_query)
            sum = cuda_block_sum(sum);
        if (shape.each_query ? thread < QUERIES : thread == 0)
            to(thread, 0, (float)sum);
    }
}

typedef struct cost_call {
    device_attention attention;
    cost_shape shape;
    const float *delta;
    float *partial; /* (parts, bias_count), or d_log_weight itself when there is one part */
    bool add;
} cost_call;

/* One block: a piece of what shares a slice, a tile of queries, a tile of keys. */
template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS) attention_d_costs(const cost_call costs)
{
    CUDA_SHARED(float, base);
    const device_attention &call = costs.attention;
    const cost_shape &shape = costs.shape;
    const int width = (int)call.head_width;
    const query_space<Kind> space(base, width);
    int64_t index = (int64_t)blockIdx.x;
    const int64_t key_tile = index % shape.key_tiles;
    index /= shape.key_tiles;
    const int64_t query_tile_at = index % shape.query_tiles;
    index /= shape.query_tiles;
    const int64_t slice = index % shape.slices, piece = index / shape.slices;
    const int64_t own_heads = call.bias_stride[1] ? call.heads : 1;
    const int64_t first_b = slice / own_heads, first_h = slice % own_heads;
    const int64_t i0 = query_tile_at * Kind::QUERIES, j0 = key_tile * TILE_TOKENS;
    float sum[Kind::R][TILE_EACH];
    for (int i = 0; i < Kind::R; i++)
        for (int j = 0; j < TILE_EACH; j++)
            sum[i][j] = 0.0f;
    for (int64_t n = piece * shape.sharing / shape.pieces;
         n < (piece + 1) * shape.sharing / shape.pieces; n++) {
        query_tile tile;
        own_queries<Kind> own;
        tile.b = first_b + n / shape.heads_sharing;
        tile.h = first_h + n % shape.heads_sharing;
        tile.i0 = i0;
        tile.mask = mask_of(call, tile.b, tile.h);
        tile.all = (int)least(Kind::QUERIES, call.queries - i0);
        tile.rows = (int)clamp_to(tile.mask.rows - i0, 0, tile.all);
        if (!tile.mask.log_weight || j0 >= end_of(tile) ||
            j0 + TILE_TOKENS <= mask_cost_start(tile.mask, i0))
            continue;
        const int count = (int)least(TILE_TOKENS, end_of(tile) - j0);
        float d_score[Kind::R][TILE_EACH];
        __syncthreads(); /* the last tiles have been used */
        if (Kind::MAP) {
            map_scores<Kind::QUERIES, TILE_TOKENS, false>(call, costs.delta, tile.b, tile.h, i0,
                                                          tile.rows, j0, count, space.scores);
        } else {
            load_query_side<Kind>(call, tile, space);
            load_key_side<Kind>(call, tile, j0, space);
            own.read(call, costs.delta, tile);
        }
        __syncthreads();
        if (tile_ty() >= tile.rows)
            continue;
        if (!Kind::MAP)
            own.d_scores(tile, j0, width, space, d_score);
        for (int i = 0; i < Kind::R; i++) {
            const int r = tile_ty() + TILE_TY * i;
            const row_mask row = mask_row(tile.mask, i0 + r, j0, TILE_TOKENS);
            for (int j = 0; j < TILE_EACH; j++) {
                const int c = tile_tx() + TILE_TX * j;
                if (row.charged <= c && c < row.seen)
                    sum[i][j] += Kind::MAP ? space.scores[r * SCORE_STRIDE + c] : d_score[i][j];
            }
        }
    }
    __syncthreads();
    put_scores(sum, space.scores);
    __syncthreads();
    const int64_t part = (piece * (shape.each_query ? 1 : shape.query_tiles) +
                          (shape.each_query ? 0 : query_tile_at)) *
                             (shape.each_key ? 1 : shape.key_tiles) +
                         (shape.each_key ? 0 : key_tile);
    float *to = costs.partial + part * call.bias_count + first_b * call.bias_stride[0] +
                first_h * call.bias_stride[1];
    const bool add = costs.add;
    reduce_costs<Kind::QUERIES>(shape, space.scores, [&](int i, int j, float x) {
        if (i0 + i < call.queries && j0 + j < call.keys) {
            float *y = to + (i0 + i) * call.bias_stride[2] + (j0 + j) * call.bias_stride[3];
            *y = add ? *y + x : x;
        }
    });
}

template <typename Kind> static int64_t attention_d_costs_floats(int64_t width)
{
    return query_space<Kind>::floats(width);
}

/* d_log_weight = [d_log_weight +] the parts of each cost, in order: by a thread each, or by a block
 * each where there are few costs of many parts. */
static __global__ void join_costs(int64_t count, int64_t parts, const float *partial, float *y,
                                  bool add)
{
    CUDA_EACH(e, count)
    {
        double sum = add ? y[e] : 0.0;
        for (int64_t part = 0; part < parts; part++)
            sum += partial[part * count + e];
        y[e] = (float)sum;
    }
}

static __global__ void join_costs_of_block(int64_t count, int64_t parts, const float *partial,
                                           float *y, bool add)
{
    for (int64_t e = (int64_t)blockIdx.x; e < count; e += gridDim.x) {
        double sum = 0.0;
        for (int64_t part = threadIdx.x; part < parts; part += blockDim.x)
            sum += partial[part * count + e];
        sum = cuda_block_sum(sum);
        if (threadIdx.x == 0)
            y[e] = (float)((add ? y[e] : 0.0) + sum);
    }
}

/* The blocks do not follow from the call alone. */
template <typename Kind> static int64_t attention_d_costs_blocks(const device_attention *call)
{
    const cost_shape shape = cost_shape_of(call);
    return shape.pieces * shape.slices * shape.query_tiles * shape.key_tiles;
}

template <template <int> class Kind> static void d_costs(const device_attention *call)
{
    cost_call costs = {};
    costs.attention = *call;
    costs.shape = cost_shape_of(call);
    costs.delta = (const float *)call->scratch;
    const int64_t parts = costs.shape.parts, count = call->bias_count;
    costs.partial =
        parts == 1 ? call->d_log_weight : (float *)((char *)call->scratch + delta_bytes(call));
    costs.add = parts == 1 && call->add_bias;
    ATTENTION_LAUNCH(attention_d_costs, Kind, call, costs);
    if (parts != 1 && parts <= 2 * CUDA_WARP)
        CUDA_LAUNCH(join_costs, cuda_blocks(count, CUDA_BLOCK), CUDA_BLOCK, 0, count, parts,
                    costs.partial, call->d_log_weight, call->add_bias);
    else if (parts != 1)
        CUDA_LAUNCH(join_costs_of_block, cuda_blocks(count, 1), CUDA_ROW_BLOCK, 0, count, parts,
                    costs.partial, call->d_log_weight, call->add_bias);
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
        d_costs<Kind>(call);
}

extern "C" void cuda_d_attention(const device_attention *call)
{
    backward<of_output>(call);
}

extern "C" void cuda_d_attention_map(const device_attention *call)
{
    backward<of_map>(call);
}
