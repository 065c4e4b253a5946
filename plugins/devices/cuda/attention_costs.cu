/* attention_costs.cu - the gradient of attention's costs, which items, heads, queries and keys may
 * share.
 *
 * A block has a tile of pairs and computes dS there once more (attention_gradient.h). The items and
 * heads that share a cost are dealt to `pieces` blocks, each of which adds up its own in one order;
 * where queries or keys share, the block adds up its tile. Then the partial sums of pieces, and of
 * tiles where queries or keys share, are added in order, in double. Bound by fp32 multiply-adds
 * (tiles.h); not measured. */
#include "attention_gradient.h"

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

/* A single part is the gradient itself. */
int64_t cuda_attention_costs_bytes(const device_attention *call)
{
    const int64_t parts = cost_shape_of(call).parts;
    return parts > 1 ? parts * call->bias_count * (int64_t)sizeof(float) : 0;
}

/* Sums of the block's tile by what shares a cost: d (QUERIES, SCORE_STRIDE) in shared memory, in
 * which uncharged pairs are 0. to(i, j, sum) takes the results. */
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

void cuda_attention_costs(const device_attention *call, bool map, const float *delta,
                          float *partial)
{
    cost_call costs = {};
    costs.attention = *call;
    costs.shape = cost_shape_of(call);
    costs.delta = delta;
    const int64_t parts = costs.shape.parts, count = call->bias_count;
    costs.partial = parts == 1 ? call->d_log_weight : partial;
    costs.add = parts == 1 && call->add_bias;
    if (map)
        ATTENTION_LAUNCH(attention_d_costs, of_map, call, costs);
    else
        ATTENTION_LAUNCH(attention_d_costs, of_output, call, costs);
    if (parts != 1 && parts <= 2 * CUDA_WARP)
        CUDA_LAUNCH(join_costs, cuda_blocks(count, CUDA_BLOCK), CUDA_BLOCK, 0, count, parts,
                    partial, call->d_log_weight, call->add_bias);
    else if (parts != 1)
        CUDA_LAUNCH(join_costs_of_block, cuda_blocks(count, 1), CUDA_ROW_BLOCK, 0, count, parts,
                    partial, call->d_log_weight, call->add_bias);
}
