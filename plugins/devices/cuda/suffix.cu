/* suffix.cu - attention of suffixes on constant prefixes, both directions.
 *
 * As in attention.cu and attention_backward.cu, with two kinds of keys. Rows that stand side by
 * side on one prefix are a group: their queries, all heads of a kv head together, are cut into
 * tiles that meet the prefix's keys in one product each, whatever row they are of, so that twenty
 * questions about one user read the user's keys as often as one long question would. Then each
 * meets its own row's keys. Where these are few, those of several rows stand in one tile, each in a
 * slot of its own: a query sees its own slot only, and what it does not see is exactly 0, so that a
 * row's bits do not depend on who stands beside it. (A value that is no number does reach the
 * queries that share a tile with it.)
 *
 * Bound by fp32 multiply-adds, and by the prefix's keys and values where groups are small; not
 * measured. */
#include "attention.h"

#include <stdlib.h>
#include <string.h>

/* One tile of the queries of a group and kv head, which are counted row after row, head after
 * head. */
typedef struct suffix_tile {
    int64_t row;        /* the group's first */
    int64_t first, end; /* queries of the tile */
} suffix_tile;

/* A call as kernels take it: `prefix` of the suffix lies in device memory, like the tiles. */
typedef struct suffix_call {
    device_suffix suffix;
    const suffix_tile *tiles;
    int64_t tile_count;
    const float *delta; /* (B, H, queries); backward */
} suffix_call;

static __host__ __device__ inline int64_t shared_heads(const device_suffix &call)
{
    return call.heads / call.kv_heads;
}

/* ---- what goes to the device with a call ---- */

static int64_t rows_of_tile(const device_suffix *call)
{
    return call->head_width > 128 ? of_output<8>::QUERIES : of_output<4>::QUERIES;
}

static int64_t end_of_group(const device_suffix *call, int64_t b)
{
    const device_prefix *first = &call->prefix[b++];
    while (b < call->batch && call->prefix[b].keys == first->keys &&
           call->prefix[b].tokens == first->tokens)
        b++;
    return b;
}

/* Fills the tiles, unless NULL, and returns how many there are. */
static int64_t find_tiles(const device_suffix *call, suffix_tile *tiles)
{
    const int64_t size = rows_of_tile(call), of_row = shared_heads(*call) * call->queries;
    int64_t count = 0;
    for (int64_t b = 0; b < call->batch;) {
        const int64_t next = end_of_group(call, b), all = (next - b) * of_row;
        for (int64_t first = 0; first < all; first += size, count++)
            if (tiles) {
                tiles[count].row = b;
                tiles[count].first = first;
                tiles[count].end = least(first + size, all);
            }
        b = next;
    }
    return count;
}

/* Sends prefixes and tiles ahead of the next launch. False after a noted failure. */
static bool suffix_begin(const device_suffix *call, suffix_call *sent)
{
    const int64_t count = find_tiles(call, NULL);
    const size_t prefixes = (size_t)call->batch * sizeof(device_prefix);
    const size_t bytes = prefixes + (size_t)count * sizeof(suffix_tile);
    char *table = (char *)malloc(bytes);
    const char *there = NULL;
    if (!table) {
        cuda_note_failure("suffix_attention", "no memory for the table of prefixes");
        return false;
    }
    memcpy(table, call->prefix, prefixes);
    find_tiles(call, (suffix_tile *)(table + prefixes));
    there = (const char *)cuda_small(table, (int64_t)bytes);
    free(table);
    sent->suffix = *call;
    sent->suffix.prefix = (const device_prefix *)there;
    sent->tiles = there ? (const suffix_tile *)(there + prefixes) : NULL;
    sent->tile_count = count;
    sent->delta = (const float *)call->scratch;
    return there;
}

/* ---- queries and keys ---- */

static __device__ inline int64_t suffix_length(const device_suffix &call, int64_t b)
{
    return call.lengths ? clamp_to(call.lengths[b], 0, call.keys) : call.keys;
}

/* The token of row b that query i is; -1: it sees nothing. */
static __device__ inline int suffix_token(const device_suffix &call, int64_t b, int64_t i)
{
    const int64_t token = call.positions ? call.positions[b * call.queries + i] : i;
    return 0 <= token && token < suffix_length(call, b) ? (int)token : -1;
}

/* A query of a tile: query i of head h of row b. */
typedef struct suffix_query {
    int b, h, i;
    int token;  /* of row b; -1: sees nothing */
    bool there; /* the tile has so many */
} suffix_query;

/* Query `index` of the rows from `row` on and of kv head g, if it is below `end`. */
static __device__ inline suffix_query query_at(const device_suffix &call, int64_t row, int64_t g,
                                               int64_t index, int64_t end)
{
    const int64_t shared = shared_heads(call), of_row = shared * call.queries;
    suffix_query query = {0, 0, 0, -1, index < end};
    if (query.there) {
        query.b = (int)(row + index / of_row);
        query.h = (int)(g * shared + index % of_row / call.queries);
        query.i = (int)(index % call.queries);
        query.token = suffix_token(call, query.b, query.i);
    }
    return query;
}

static __device__ inline int64_t row_at(const device_suffix &call, const suffix_query &query)
{
    return (int64_t)query.b * call.queries + query.i;
}

/* Where a number of a query stands in row_lse and delta. */
static __device__ inline int64_t number_at(const device_suffix &call, const suffix_query &query)
{
    return ((int64_t)query.b * call.heads + query.h) * call.queries + query.i;
}

/* The rows of a tile of queries in x (B, queries, stride): those that see something, or all. */
struct query_rows {
    const device_suffix &call;
    const suffix_query *queries;
    const float *x;
    int64_t stride;
    bool all;
    __device__ tile_row operator()(int r) const
    {
        const suffix_query &query = queries[r];
        const bool sees = query.token >= 0;
        const float *at = x + row_at(call, query) * stride + query.h * call.head_width;
        return tile_row_of((all ? query.there : sees) ? at : NULL,
                           sees ? call.prefix[query.b].tokens + query.token : 0);
    }
};

/* Own tokens of neighbouring rows in one tile: `slot` tokens, from j0 on, of each of the rows `row`
 * .. `end` - 1. */
typedef struct own_tile {
    int64_t row, end, j0;
    int slot;
} own_tile;

/* The rows of such a tile in x (B, keys, stride): those that exist. */
struct token_rows {
    const device_suffix &call;
    own_tile tile;
    const float *x; /* of the kv head */
    int64_t stride;
    bool all; /* padding too */
    __device__ tile_row operator()(int c) const
    {
        const int64_t b = tile.row + c / tile.slot, j = tile.j0 + c % tile.slot;
        const bool inside = b < tile.end && j < call.keys;
        const bool exists = inside && j < suffix_length(call, b);
        return tile_row_of((all ? inside : exists) ? x + (b * call.keys + j) * stride : NULL,
                           exists ? call.prefix[b].tokens + j : 0);
    }
};

static __device__ inline int slot_of(const device_suffix &call)
{
    int slot = 1;
    while (slot < TILE_TOKENS && slot < call.keys)
        slot *= 2;
    return slot;
}

/* The tokens of a tile that a query sees: [first, end). */
typedef struct seen_tokens {
    int first, end;
} seen_tokens;

static __device__ inline bool sees_token(const seen_tokens &seen, int c)
{
    return seen.first <= c && c < seen.end;
}

static __device__ inline seen_tokens seen_of_prefix(const suffix_query &query, int64_t left)
{
    const seen_tokens seen = {0, query.token < 0 ? 0 : (int)least(TILE_TOKENS, left)};
    return seen;
}

static __device__ inline seen_tokens seen_of_own(const suffix_query &query, const own_tile &tile)
{
    seen_tokens seen = {0, 0};
    if (query.token >= 0 && tile.row <= query.b && query.b < tile.end) {
        seen.first = (int)(query.b - tile.row) * tile.slot;
        seen.end = seen.first + (int)clamp_to(query.token + 1 - tile.j0, 0, tile.slot);
    }
    return seen;
}

/* ---- the walk of a tile of queries along the prefix and its own tokens ---- */

template <typename Kind> struct suffix_space {
    float *q, *k, *v, *scores, *keep, *d_out;
    suffix_query *queries;

    __device__ suffix_space(float *base, int width, bool backward)
    {
        const int stride = tile_stride(width);
        q = base;
        k = q + Kind::QUERIES * stride;
        v = k + TILE_TOKENS * stride;
        scores = v + TILE_TOKENS * stride;
        keep = scores + Kind::QUERIES * SCORE_STRIDE;
        queries = (suffix_query *)(keep + Kind::QUERIES);
        d_out = (float *)(queries + Kind::QUERIES);
        if (!backward)
            d_out = NULL;
    }

    static int64_t floats(int64_t width, bool backward)
    {
        return (Kind::QUERIES * (backward ? 2 : 1) + 2 * TILE_TOKENS) *
                   (int64_t)tile_stride(width) +
               Kind::QUERIES * (SCORE_STRIDE + 1) +
               Kind::QUERIES * (int64_t)(sizeof(suffix_query) / sizeof(float));
    }
};

/* What a block has. */
typedef struct suffix_block {
    suffix_tile tile;
    int64_t g;
    int64_t before;    /* tokens of the prefix */
    int64_t last_row;  /* of a query of the tile, plus one */
    int64_t first_row; /* of its first query */
} suffix_block;

static __device__ inline suffix_block block_of(const suffix_call &call)
{
    const device_suffix &suffix = call.suffix;
    const int64_t of_row = shared_heads(suffix) * suffix.queries;
    suffix_block block;
    block.tile = call.tiles[(int64_t)blockIdx.x % call.tile_count];
    block.g = (int64_t)blockIdx.x / call.tile_count;
    block.before = suffix.prefix[block.tile.row].tokens;
    block.first_row = block.tile.row + block.tile.first / of_row;
    block.last_row = block.tile.row + (block.tile.end - 1) / of_row + 1;
    return block;
}

/* Fills the tile of queries; all threads have met afterwards. */
template <typename Kind>
static __device__ inline void begin_queries(const device_suffix &call, const suffix_block &block,
                                            const suffix_space<Kind> &space)
{
    const int width = (int)call.head_width;
    for (int r = (int)threadIdx.x; r < Kind::QUERIES; r += ATTENTION_THREADS)
        space.queries[r] =
            query_at(call, block.tile.row, block.g, block.tile.first + r, block.tile.end);
    __syncthreads();
    load_tile(space.q, Kind::QUERIES, width, call.scale, turn_of(call.cosine, call.sine),
              query_rows{call, space.queries, call.q, call.q_stride, false});
    if (space.d_out)
        load_tile(space.d_out, Kind::QUERIES, width, 1.0f, no_turn(),
                  query_rows{call, space.queries, call.d_out, call.out_stride, false});
}

/* Visits the tiles of keys and values in order: step(count, seen) is called by all threads when one
 * stands in space.k and space.v, of which the first `count` tokens may count; seen(query) says
 * which ones a query sees. */
template <typename Kind, typename Step>
static __device__ inline void walk_keys(const device_suffix &call, const suffix_block &block,
                                        const suffix_space<Kind> &space, const Step &step)
{
    const int width = (int)call.head_width, slot = slot_of(call);
    const int64_t from = call.kv_heads * width, column = block.g * width;
    const device_prefix prefix = call.prefix[block.tile.row];
    for (int64_t j0 = 0; j0 < block.before; j0 += TILE_TOKENS) {
        const int64_t left = block.before - j0, count = least(TILE_TOKENS, left);
        __syncthreads(); /* the last tile has been used */
        load_tile(space.k, TILE_TOKENS, width, 1.0f, no_turn(),
                  rows_at(prefix.keys + j0 * from + column, from, 0, count));
        load_tile(space.v, TILE_TOKENS, width, 1.0f, no_turn(),
                  rows_at(prefix.values + j0 * from + column, from, 0, count));
        __syncthreads();
        step((int)count, [left](const suffix_query &query) { return seen_of_prefix(query, left); });
    }
    for (int64_t row = block.first_row; row < block.last_row; row += TILE_TOKENS / slot)
        for (int64_t j0 = 0; j0 < call.keys; j0 += slot) {
            const own_tile tile = {row, least(row + TILE_TOKENS / slot, block.last_row), j0, slot};
            if (slot == TILE_TOKENS && j0 >= suffix_length(call, row))
                break;
            __syncthreads();
            load_tile(space.k, TILE_TOKENS, width, 1.0f, turn_of(call.cosine, call.sine),
                      token_rows{call, tile, call.k + column, call.k_stride, false});
            load_tile(space.v, TILE_TOKENS, width, 1.0f, no_turn(),
                      token_rows{call, tile, call.v + column, call.v_stride, false});
            __syncthreads();
            step((int)(tile.end - tile.row) * slot,
                 [tile](const suffix_query &query) { return seen_of_own(query, tile); });
        }
}

/* ---- forward ---- */

template <typename Kind> static int64_t suffix_output_floats(int64_t width)
{
    return suffix_space<Kind>::floats(width, false);
}

template <typename Kind> static int64_t suffix_output_blocks(const device_suffix *call)
{
    return find_tiles(call, NULL) * call->kv_heads;
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS) suffix_output(const suffix_call sent)
{
    CUDA_SHARED(float, base);
    const device_suffix &call = sent.suffix;
    const int width = (int)call.head_width;
    const suffix_space<Kind> space(base, width, false);
    const suffix_block block = block_of(sent);
    const bool live = tile_ty() < block.tile.end - block.tile.first;
    row_softmax<Kind::QUERIES> softmax;
    tile_sums<Kind::R, Kind::GROUPS> out;
    softmax.start();
    out.clear();
    begin_queries(call, block, space);
    walk_keys(call, block, space, [&](int count, auto seen) {
        if (live) {
            float x[Kind::R][TILE_EACH];
            tile_dot(x, space.q, space.k, width);
            put_scores(x, space.scores);
        }
        __syncthreads();
        const seen_tokens tokens = seen(space.queries[softmax.row()]);
        softmax.take(space.scores, space.keep, true,
                     [tokens](int c, float x) { return sees_token(tokens, c) ? x : -INFINITY; });
        __syncthreads();
        if (live) {
            out.scale(space.keep);
            out.add(space.scores, space.v, width, count);
        }
    });
    __syncthreads();
    if (softmax.lane() == 0) {
        const suffix_query &query = space.queries[softmax.row()];
        space.keep[softmax.row()] = softmax.factor();
        if (query.there)
            call.row_lse[number_at(call, query)] = softmax.log_sum();
    }
    __syncthreads();
    out.scale(space.keep);
    out.put(space.q, width);
    __syncthreads();
    store_tile(space.q, Kind::QUERIES, width, 1.0f, no_turn(), false,
               query_rows{call, space.queries, call.out, call.out_stride, true});
}

extern "C" void cuda_suffix_attention(const device_suffix *call)
{
    suffix_call sent;
    if (call->batch * call->heads * call->queries == 0 || !suffix_begin(call, &sent))
        return;
    ATTENTION_LAUNCH(suffix_output, of_output, call, sent);
}

/* ---- backward ---- */

/* delta (B, H, queries) = rowsum(dO O), by a warp a row. */
static __global__ void suffix_delta(const device_suffix call, float *delta)
{
    const int64_t rows = call.batch * call.heads * call.queries;
    const int64_t warp = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / CUDA_WARP;
    const int64_t warps = (int64_t)gridDim.x * blockDim.x / CUDA_WARP;
    const int lane = (int)threadIdx.x % CUDA_WARP;
    for (int64_t r = warp; r < rows; r += warps) {
        const int64_t b = r / (call.heads * call.queries), h = r / call.queries % call.heads;
        const int64_t i = r % call.queries;
        const int64_t at = (b * call.queries + i) * call.out_stride + h * call.head_width;
        const int64_t width = suffix_token(call, b, i) < 0 ? 0 : call.head_width;
        double sum = 0.0;
        for (int64_t t = lane; t < width; t += CUDA_WARP)
            sum += (double)call.out[at + t] * call.d_out[at + t];
        sum = cuda_warp_sum(sum);
        if (lane == 0)
            delta[r] = (float)sum;
    }
}

template <typename Kind> static int64_t suffix_d_queries_floats(int64_t width)
{
    return suffix_space<Kind>::floats(width, true);
}

template <typename Kind> static int64_t suffix_d_queries_blocks(const device_suffix *call)
{
    return find_tiles(call, NULL) * call->kv_heads;
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS) suffix_d_queries(const suffix_call sent)
{
    CUDA_SHARED(float, base);
    const device_suffix &call = sent.suffix;
    const int width = (int)call.head_width;
    const suffix_space<Kind> space(base, width, true);
    const suffix_block block = block_of(sent);
    const bool live = tile_ty() < block.tile.end - block.tile.first;
    float lse[Kind::R], delta[Kind::R];
    tile_sums<Kind::R, Kind::GROUPS> d_q;
    d_q.clear();
    begin_queries(call, block, space);
    for (int i = 0; i < Kind::R; i++) {
        const suffix_query &query = space.queries[tile_ty() + TILE_TY * i];
        const bool sees = query.token >= 0;
        lse[i] = sees ? call.row_lse[number_at(call, query)] : INFINITY;
        delta[i] = sees ? sent.delta[number_at(call, query)] : 0.0f;
    }
    walk_keys(call, block, space, [&](int count, auto seen) {
        if (live) {
            float score[Kind::R][TILE_EACH], d_score[Kind::R][TILE_EACH];
            tile_dot(score, space.q, space.k, width);
            tile_dot(d_score, space.d_out, space.v, width);
            for (int i = 0; i < Kind::R; i++) {
                const seen_tokens tokens = seen(space.queries[tile_ty() + TILE_TY * i]);
                for (int j = 0; j < TILE_EACH; j++)
                    d_score[i][j] = sees_token(tokens, tile_tx() + TILE_TX * j)
                                        ? expf(score[i][j] - lse[i]) * (d_score[i][j] - delta[i])
                                        : 0.0f;
            }
            put_scores(d_score, space.scores);
        }
        __syncthreads();
        if (live)
            d_q.add(space.scores, space.k, width, count);
    });
    __syncthreads();
    d_q.put(space.q, width);
    __syncthreads();
    store_tile(space.q, Kind::QUERIES, width, call.scale, turn_of(call.cosine, call.sine),
               call.add_q, query_rows{call, space.queries, call.d_q, call.q_stride, true});
}

/* Own keys of a row in a block: fewer where the two sums of a row are long. */
template <typename Kind> struct key_side {
    static constexpr int R = Kind::GROUPS > 2 ? 2 : 4, KEYS = TILE_TY * R;
};

template <typename Kind> static int64_t suffix_d_keys_blocks(const device_suffix *call)
{
    return call->batch * call->kv_heads * pieces_of(call->keys, key_side<Kind>::KEYS);
}

template <typename Kind> static int64_t suffix_d_keys_floats(int64_t width)
{
    const int64_t keys = key_side<Kind>::KEYS;
    return 2 * ((keys + TILE_TOKENS) * tile_stride(width) + keys * SCORE_STRIDE) +
           TILE_TOKENS * (int64_t)(2 + sizeof(suffix_query) / sizeof(float));
}

/* The last token among the queries first .. first + 31 of a row, or more. */
static __device__ inline int64_t last_token(const device_suffix &call, int64_t first, int64_t end)
{
    const int64_t last = least(first + TILE_TOKENS, end) - 1;
    return !call.positions && first / call.queries == last / call.queries ? last % call.queries
                                                                          : call.keys;
}

template <typename Kind>
static __global__ void __launch_bounds__(ATTENTION_THREADS) suffix_d_keys(const suffix_call sent)
{
    constexpr int R = key_side<Kind>::R, KEYS = key_side<Kind>::KEYS;
    CUDA_SHARED(float, k);
    const device_suffix &call = sent.suffix;
    const int width = (int)call.head_width, stride = tile_stride(width);
    float *v = k + KEYS * stride, *q = v + KEYS * stride, *d_out = q + TILE_TOKENS * stride;
    float *p_scores = d_out + TILE_TOKENS * stride, *d_scores = p_scores + KEYS * SCORE_STRIDE;
    float *lse = d_scores + KEYS * SCORE_STRIDE, *delta = lse + TILE_TOKENS;
    suffix_query *queries = (suffix_query *)(delta + TILE_TOKENS);
    const int64_t tiles = pieces_of(call.keys, KEYS), group = (int64_t)blockIdx.x / tiles;
    const int64_t b = group / call.kv_heads, g = group % call.kv_heads;
    const int64_t j0 = (int64_t)blockIdx.x % tiles * KEYS, column = g * width;
    const own_tile own = {b, b + 1, j0, KEYS};
    const int64_t count = clamp_to(suffix_length(call, b) - j0, 0, KEYS);
    const int64_t all = count ? shared_heads(call) * call.queries : 0;
    tile_sums<R, Kind::GROUPS> d_k, d_v;
    d_k.clear();
    d_v.clear();
    load_tile(k, KEYS, width, 1.0f, turn_of(call.cosine, call.sine),
              token_rows{call, own, call.k + column, call.k_stride, false});
    load_tile(v, KEYS, width, 1.0f, no_turn(),
              token_rows{call, own, call.v + column, call.v_stride, false});
    for (int64_t first = 0; first < all; first += TILE_TOKENS) {
        if (last_token(call, first, all) < j0)
            continue;
        __syncthreads(); /* the last tile has been used */
        if (threadIdx.x < TILE_TOKENS) {
            const suffix_query query = query_at(call, b, g, first + (int64_t)threadIdx.x, all);
            const bool sees = query.token >= 0;
            queries[threadIdx.x] = query;
            lse[threadIdx.x] = sees ? call.row_lse[number_at(call, query)] : INFINITY;
            delta[threadIdx.x] = sees ? sent.delta[number_at(call, query)] : 0.0f;
        }
        __syncthreads();
        load_tile(q, TILE_TOKENS, width, call.scale, turn_of(call.cosine, call.sine),
                  query_rows{call, queries, call.q, call.q_stride, false});
        load_tile(d_out, TILE_TOKENS, width, 1.0f, no_turn(),
                  query_rows{call, queries, call.d_out, call.out_stride, false});
        __syncthreads();
        if (tile_ty() < count) {
            float p[R][TILE_EACH], d_score[R][TILE_EACH];
            tile_dot(p, k, q, width);
            tile_dot(d_score, v, d_out, width);
            for (int j = 0; j < TILE_EACH; j++) {
                const int c = tile_tx() + TILE_TX * j;
                for (int r = 0; r < R; r++) {
                    const bool sees = j0 + tile_ty() + TILE_TY * r <= queries[c].token;
                    p[r][j] = sees ? expf(p[r][j] - lse[c]) : 0.0f;
                    d_score[r][j] = p[r][j] * (d_score[r][j] - delta[c]);
                }
            }
            put_scores(p, p_scores);
            put_scores(d_score, d_scores);
        }
        __syncthreads();
        if (tile_ty() < count) {
            const int rows = (int)least(TILE_TOKENS, all - first);
            d_k.add(d_scores, q, width, rows);
            d_v.add(p_scores, d_out, width, rows);
        }
    }
    __syncthreads();
    d_k.put(k, width);
    d_v.put(v, width);
    __syncthreads();
    /* The queries were taken times the scale, which d_k therefore holds already. */
    if (call.d_k)
        store_tile(k, KEYS, width, 1.0f, turn_of(call.cosine, call.sine), call.add_k,
                   token_rows{call, own, call.d_k + column, call.k_stride, true});
    if (call.d_v)
        store_tile(v, KEYS, width, 1.0f, no_turn(), call.add_v,
                   token_rows{call, own, call.d_v + column, call.v_stride, true});
}

/* Backward: delta. Never nothing. */
extern "C" int64_t cuda_suffix_scratch(const device_suffix *call, bool backward)
{
    const int64_t count = backward ? call->batch * call->heads * call->queries : 0;
    return (count + 1) * (int64_t)sizeof(float);
}

extern "C" void cuda_d_suffix_attention(const device_suffix *call)
{
    const int64_t rows = call->batch * call->heads * call->queries;
    suffix_call sent;
    device_suffix alone = *call;
    alone.prefix = NULL; /* the host's, and not looked at */
    CUDA_LAUNCH(suffix_delta, cuda_blocks(rows * CUDA_WARP, CUDA_BLOCK), CUDA_BLOCK, 0, alone,
                (float *)call->scratch);
    if (call->d_q && rows > 0 && suffix_begin(call, &sent))
        ATTENTION_LAUNCH(suffix_d_queries, of_output, call, sent);
    if ((call->d_k || call->d_v) && call->batch > 0 && suffix_begin(call, &sent))
        ATTENTION_LAUNCH(suffix_d_keys, of_output, call, sent);
}
