/* sdpa_graph.c - see sdpa_graph.h.
 *
 * Forward: S = scale Q K', hidden pairs -infinity, O = softmax(S) V and the rows' log-sum-exp.
 * Backward: P = exp(S - lse), dV = P' dO, dS = P (dO V' - delta) scale, dK = dS' Q, dQ = dS K,
 * delta = rowsum(dO O). The order of the nodes, and where scale, mask and subtraction stand, is
 * what cuDNN 9 recognises as attention (the composite of matrix products, pointwise operations and
 * reductions in its "Scaled Dot-Product Attention" documentation); any other order has no engine.
 * dQ is written by its product: so the engine keeps dS in its workspace and adds in a fixed order,
 * where a sum in fp32 beside it would be added to as blocks finish. Bound by tensor cores at the
 * sizes of models. Not measured. */
#include "sdpa_graph.h"
#include "cuda.h"

/* ---- what it takes ---- */

static int64_t rounded_up(int64_t tokens)
{
    return (tokens + SDPA_TILE - 1) / SDPA_TILE * SDPA_TILE;
}

/* (B, H, T, T) numbers of bf16, rounded up to the engine's tiles: a lower bound of its
 * workspace. */
static bool is_too_long(const device_attention *call)
{
    const int64_t tile = 2 * SDPA_TILE, tokens = (call->queries + tile - 1) / tile * tile;
    const int64_t most = SDPA_MOST_WORKSPACE / (int64_t)sizeof(uint16_t);
    return tokens > most / tokens || call->batch * call->heads > most / (tokens * tokens);
}

bool sdpa_fits(const device_attention *call, bool backward)
{
    return call->precision == DEVICE_BF16 && call->batch > 0 && call->queries > 0 &&
           call->queries == call->keys && call->query_start == 0 && call->head_width > 0 &&
           call->head_width % 8 == 0 && call->head_width <= SDPA_MOST_WIDTH && call->span == NULL &&
           call->log_weight == NULL && !(backward && is_too_long(call));
}

/* Backwards, cuDNN up to 9.15 is wrong about keys that do not fill a tile of 128 unless it is told
 * how many there are (its frontend says the same to it). */
sdpa_shape sdpa_shape_of(const device_attention *call, bool backward)
{
    const int64_t tokens = rounded_up(call->queries);
    const bool gap = tokens != call->queries || (backward && tokens % (2 * SDPA_TILE) != 0);
    return (sdpa_shape){.batch = call->batch,
                        .heads = call->heads,
                        .kv_heads = call->kv_heads,
                        .width = call->head_width,
                        .tokens = tokens,
                        .causal = !call->future_open,
                        .padded = call->lengths != NULL || gap,
                        .backward = backward};
}

bool sdpa_graph_has(const sdpa_shape *shape, sdpa_id id)
{
    switch (id) {
    case SDPA_D_OUT:
    case SDPA_D_Q:
    case SDPA_D_K:
    case SDPA_D_V:
    case SDPA_DELTA:
    case SDPA_ONE:
        return shape->backward;
    case SDPA_ROWS:
    case SDPA_COLUMNS:
    case SDPA_HIDDEN:
        return shape->padded;
    case SDPA_FUTURE:
        return shape->causal;
    default:
        return true;
    }
}

/* ---- the parts of both graphs ---- */

typedef struct sdpa_form {
    graph_shape rows, kv_rows, kv_columns; /* (B, H, T, D) as stored (B, T, H, D), and K' */
    graph_shape pairs, turned_pairs;       /* (B, H, T, T) */
    graph_shape sums, item;                /* (B, H, T, 1), (B, 1, 1, 1) */
    graph_object q, k, v, out, lse, rows_valid, columns_valid, scale;
} sdpa_form;

static graph_shape rows_of(const sdpa_shape *s, int64_t heads)
{
    const int64_t row = heads * s->width;
    return (graph_shape){{s->batch, heads, s->tokens, s->width},
                         {s->tokens * row, s->width, row, 1}};
}

static graph_shape turned(graph_shape shape)
{
    const int64_t size = shape.size[2], stride = shape.stride[2];
    shape.size[2] = shape.size[3], shape.stride[2] = shape.stride[3];
    shape.size[3] = size, shape.stride[3] = stride;
    return shape;
}

/* (B, H, T, last) without gaps. */
static graph_shape dense(const sdpa_shape *s, int64_t last)
{
    return (graph_shape){{s->batch, s->heads, s->tokens, last},
                         {s->heads * s->tokens * last, s->tokens * last, last, 1}};
}

/* V stands as K' does where its product wants it turned. */
static sdpa_form form_of(cuda_graph *graph, const sdpa_shape *s)
{
    sdpa_form f = {.rows = rows_of(s, s->heads), .kv_rows = rows_of(s, s->kv_heads)};
    f.kv_columns = turned(f.kv_rows);
    f.pairs = dense(s, s->tokens);
    f.turned_pairs = turned(f.pairs);
    f.sums = dense(s, 1);
    f.item = (graph_shape){{s->batch, 1, 1, 1}, {1, 1, 1, 1}};
    f.q = cuda_graph_given(graph, SDPA_Q, CUDNN_DATA_BFLOAT16, &f.rows);
    f.k = cuda_graph_given(graph, SDPA_K, CUDNN_DATA_BFLOAT16, &f.kv_columns);
    f.v = cuda_graph_given(graph, SDPA_V, CUDNN_DATA_BFLOAT16,
                           s->backward ? &f.kv_columns : &f.kv_rows);
    f.out = cuda_graph_given(graph, SDPA_OUT, CUDNN_DATA_BFLOAT16, &f.rows);
    f.lse = cuda_graph_given(graph, SDPA_LSE, CUDNN_DATA_FLOAT, &f.sums);
    f.scale = cuda_graph_number(graph, SDPA_SCALE);
    if (s->padded) {
        f.rows_valid = cuda_graph_given(graph, SDPA_ROWS, CUDNN_DATA_INT32, &f.item);
        f.columns_valid = cuda_graph_given(graph, SDPA_COLUMNS, CUDNN_DATA_INT32, &f.item);
    }
    return f;
}

static graph_object new_pairs(cuda_graph *graph, const sdpa_form *f, cudnnDataType_t type)
{
    return cuda_graph_between(graph, type, &f->pairs);
}

static graph_object new_sums(cuda_graph *graph, const sdpa_form *f)
{
    return cuda_graph_between(graph, CUDNN_DATA_FLOAT, &f->sums);
}

static graph_object pairwise(cuda_graph *graph, const sdpa_form *f, cudnnPointwiseMode_t mode,
                             graph_object x, graph_object b)
{
    graph_object y = new_pairs(graph, f, CUDNN_DATA_FLOAT);
    cuda_graph_pointwise(graph, mode, CUDNN_DATA_FLOAT, x, b, y);
    return y;
}

/* The place of each pair along an axis of (B, H, query, key). */
static graph_object places(cuda_graph *graph, const sdpa_form *f, int64_t axis,
                           cudnnDataType_t type, graph_object x)
{
    graph_object y = new_pairs(graph, f, CUDNN_DATA_INT32);
    cuda_graph_index(graph, axis, type, x, y);
    return y;
}

static graph_object whether(cuda_graph *graph, const sdpa_form *f, cudnnPointwiseMode_t mode,
                            graph_object x, graph_object b)
{
    graph_object y = new_pairs(graph, f, CUDNN_DATA_BOOLEAN);
    cuda_graph_pointwise(graph, mode, CUDNN_DATA_BOOLEAN, x, b, y);
    return y;
}

static graph_object keep(cuda_graph *graph, const sdpa_form *f, graph_object x, graph_object where,
                         sdpa_id otherwise)
{
    graph_object y = new_pairs(graph, f, CUDNN_DATA_FLOAT);
    cuda_graph_select(graph, x, cuda_graph_number(graph, otherwise), where, y);
    return y;
}

/* x where query and key are valid and the key is not in the future, -infinity elsewhere. */
static graph_object visible(cuda_graph *graph, const sdpa_shape *s, const sdpa_form *f,
                            graph_object x)
{
    if (s->padded) {
        graph_object query = places(graph, f, 2, CUDNN_DATA_INT32, x);
        graph_object key = places(graph, f, 3, CUDNN_DATA_INT32, x);
        query = whether(graph, f, CUDNN_POINTWISE_CMP_LT, query, f->rows_valid);
        key = whether(graph, f, CUDNN_POINTWISE_CMP_LT, key, f->columns_valid);
        x = keep(graph, f, x, whether(graph, f, CUDNN_POINTWISE_LOGICAL_AND, query, key),
                 SDPA_HIDDEN);
    }
    if (s->causal) {
        graph_object query = places(graph, f, 2, CUDNN_DATA_FLOAT, x);
        graph_object key = places(graph, f, 3, CUDNN_DATA_FLOAT, x);
        x = keep(graph, f, x, whether(graph, f, CUDNN_POINTWISE_CMP_GE, query, key), SDPA_FUTURE);
    }
    return x;
}

/* scale Q K' */
static graph_object scores(cuda_graph *graph, const sdpa_form *f)
{
    graph_object s = new_pairs(graph, f, CUDNN_DATA_FLOAT);
    cuda_graph_product(graph, f->q, f->k, s, f->rows_valid, f->columns_valid, NULL);
    return pairwise(graph, f, CUDNN_POINTWISE_MUL, s, f->scale);
}

/* ---- forward ---- */

static void forward(cuda_graph *graph, const sdpa_shape *shape)
{
    const sdpa_form f = form_of(graph, shape);
    graph_object s = visible(graph, shape, &f, scores(graph, &f));
    graph_object top = new_sums(graph, &f), sum = new_sums(graph, &f), log = new_sums(graph, &f);
    graph_object p = new_pairs(graph, &f, CUDNN_DATA_BFLOAT16), e;
    cuda_graph_reduce(graph, CUDNN_REDUCE_TENSOR_MAX, s, top);
    e = pairwise(graph, &f, CUDNN_POINTWISE_SUB, s, top);
    e = pairwise(graph, &f, CUDNN_POINTWISE_EXP, e, NULL);
    cuda_graph_reduce(graph, CUDNN_REDUCE_TENSOR_ADD, e, sum);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_LOG, CUDNN_DATA_FLOAT, sum, NULL, log);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, top, log, f.lse);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_DIV, CUDNN_DATA_FLOAT, e, sum, p);
    cuda_graph_product(graph, p, f.v, f.out, f.rows_valid, NULL, f.columns_valid);
}

/* ---- backward ---- */

/* x' rows for keys and values: of each query head, then added up over the heads that share one. */
static void turned_product(cuda_graph *graph, const sdpa_shape *s, const sdpa_form *f,
                           graph_object x, graph_object rows, sdpa_id id)
{
    graph_object xt = cuda_graph_between(graph, CUDNN_DATA_BFLOAT16, &f->turned_pairs);
    graph_object to = cuda_graph_given(graph, id, CUDNN_DATA_BFLOAT16, &f->kv_rows), each = to;
    const graph_shape all = dense(s, s->width);
    if (s->heads != s->kv_heads)
        each = cuda_graph_between(graph, CUDNN_DATA_BFLOAT16, &all);
    cuda_graph_reshape(graph, x, xt);
    cuda_graph_product(graph, xt, rows, each, f->columns_valid, NULL, f->rows_valid);
    if (each != to)
        cuda_graph_reduce(graph, CUDNN_REDUCE_TENSOR_ADD, each, to);
}

static void backward(cuda_graph *graph, const sdpa_shape *shape)
{
    const sdpa_form f = form_of(graph, shape);
    graph_object d_out = cuda_graph_given(graph, SDPA_D_OUT, CUDNN_DATA_BFLOAT16, &f.rows);
    graph_object d_q = cuda_graph_given(graph, SDPA_D_Q, CUDNN_DATA_BFLOAT16, &f.rows);
    graph_object delta = cuda_graph_given(graph, SDPA_DELTA, CUDNN_DATA_FLOAT, &f.sums);
    graph_object both = cuda_graph_between(graph, CUDNN_DATA_FLOAT, &f.rows);
    graph_object sum = new_sums(graph, &f), s, p, d_p, k;
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_MUL, CUDNN_DATA_FLOAT, d_out, f.out, both);
    cuda_graph_reduce(graph, CUDNN_REDUCE_TENSOR_ADD, both, sum);
    cuda_graph_pointwise(graph, CUDNN_POINTWISE_MUL, CUDNN_DATA_FLOAT, sum,
                         cuda_graph_number(graph, SDPA_ONE), delta);
    s = pairwise(graph, &f, CUDNN_POINTWISE_SUB, scores(graph, &f), f.lse);
    p = pairwise(graph, &f, CUDNN_POINTWISE_EXP, visible(graph, shape, &f, s), NULL);
    turned_product(graph, shape, &f, p, d_out, SDPA_D_V);
    d_p = new_pairs(graph, &f, CUDNN_DATA_FLOAT);
    cuda_graph_product(graph, d_out, f.v, d_p, f.rows_valid, f.columns_valid, NULL);
    s = pairwise(graph, &f, CUDNN_POINTWISE_SUB, d_p, delta);
    s = pairwise(graph, &f, CUDNN_POINTWISE_MUL, s, p);
    s = pairwise(graph, &f, CUDNN_POINTWISE_MUL, s, f.scale);
    turned_product(graph, shape, &f, s, f.q, SDPA_D_K);
    k = cuda_graph_between(graph, CUDNN_DATA_BFLOAT16, &f.kv_rows);
    cuda_graph_reshape(graph, f.k, k);
    cuda_graph_product(graph, s, k, d_q, f.rows_valid, NULL, f.columns_valid);
}

cuda_graph *sdpa_graph_new(const sdpa_shape *shape, const graph_target *target)
{
    cuda_graph *graph = cuda_graph_new();
    if (graph == NULL)
        return NULL;
    if (shape->backward)
        backward(graph, shape);
    else
        forward(graph, shape);
    if (cuda_graph_plan(graph, target, SDPA_MOST_WORKSPACE))
        return graph;
    cuda_graph_free(graph);
    return NULL;
}
