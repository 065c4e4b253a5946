/* sdpa.c - attention: fused by cuDNN where it takes the call (sdpa_fits), by our own kernels
 * elsewhere.
 *
 * cuDNN fuses attention for bf16 and fp16 alone, so this is for runs in bf16: q, k and v are turned
 * by their positions and rounded, the output and the gradients come back as bf16, sums are fp32.
 * Rows are copied into cuDNN's form and back by kernels of ours, but for bf16 rows that lie so
 * already: B T H D numbers each way, beside products of B H T^2 D. A shape that cuDNN has no engine
 * for is remembered and computed by our own kernels, which agree within bf16's rounding. Not
 * measured. */
#include "cuda.h"
#include "kernels.h"
#include "plans.h"
#include "sdpa_graph.h"

#include <math.h>

enum { ALIGNMENT = 256 }; /* bytes */

/* ---- graphs, one a shape ---- */

static void destroy_graph(void *graph)
{
    cuda_graph_free(graph);
}

static cuda_plans plans = {.destroy = destroy_graph};

/* NULL when cuDNN does not compute the call. */
static const cuda_graph *graph_of(const device_attention *call, bool is_backward)
{
    if (!sdpa_fits(call, is_backward) || cudnnGetVersion() < SDPA_FIRST_CUDNN)
        return NULL;
    const sdpa_shape s = sdpa_shape_of(call, is_backward);
    const cuda_plan_key key = {{s.batch, s.heads, s.kv_heads, s.width, s.tokens,
                                (s.causal ? 1 : 0) | (s.padded ? 2 : 0) | (s.backward ? 4 : 0)}};
    cuda_graph *graph = cuda_plans_find(&plans, &key);
    if (graph == NULL) {
        graph_target target = {.handle = cuda_dnn()};
        graph = target.handle != NULL ? sdpa_graph_new(&s, &target) : NULL;
        if (graph != NULL)
            cuda_plans_keep(&plans, &key, graph);
    }
    return graph != NULL && graph->plan != NULL ? graph : NULL;
}

/* ---- memory of a call ---- */

typedef struct sdpa_space {
    uint16_t *q, *k, *v, *out, *d_out, *d_q, *d_k, *d_v;
    float *lse, *delta;
    int32_t *valid;
} sdpa_space;

static void *take(char *base, int64_t *used, int64_t bytes)
{
    void *piece = base == NULL ? NULL : base + *used;
    *used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

/* Lays a call's arrays out from `base` on, which may be NULL; returns the bytes. */
static int64_t lay_out(const sdpa_shape *s, void *base, sdpa_space *space)
{
    const int64_t tokens = s->batch * s->tokens * (int64_t)sizeof(uint16_t);
    const int64_t rows = tokens * s->heads * s->width, kv_rows = tokens * s->kv_heads * s->width;
    const int64_t sums = s->batch * s->heads * s->tokens * (int64_t)sizeof(float);
    int64_t used = 0;
    space->q = take(base, &used, rows);
    space->k = take(base, &used, kv_rows);
    space->v = take(base, &used, kv_rows);
    space->out = take(base, &used, rows);
    space->lse = take(base, &used, sums);
    space->valid = take(base, &used, s->batch * (int64_t)sizeof(int32_t));
    if (!s->backward)
        return used;
    space->d_out = take(base, &used, rows);
    space->d_q = take(base, &used, rows);
    space->d_k = take(base, &used, kv_rows);
    space->d_v = take(base, &used, kv_rows);
    space->delta = take(base, &used, sums);
    return used;
}

/* For either way: which one it will be is known when the kernel is called. */
int64_t cuda_attention_scratch(const device_attention *call, bool backward)
{
    sdpa_space space = {.q = NULL};
    const int64_t own = own_attention_scratch(call, backward);
    if (!sdpa_fits(call, backward))
        return own;
    const sdpa_shape shape = sdpa_shape_of(call, backward);
    const int64_t fused = lay_out(&shape, NULL, &space) + ALIGNMENT;
    return own > fused ? own : fused;
}

static sdpa_space space_of(const device_attention *call, const sdpa_shape *shape)
{
    sdpa_space space = {.q = NULL};
    const uintptr_t misfit = (uintptr_t)call->scratch % ALIGNMENT;
    lay_out(shape, (char *)call->scratch + (misfit ? ALIGNMENT - misfit : 0), &space);
    return space;
}

static sdpa_rows rows_of(const device_attention *call, const sdpa_shape *shape, int64_t heads,
                         int64_t stride, bool turned)
{
    return (sdpa_rows){.batch = shape->batch,
                       .rows = call->queries,
                       .tokens = shape->tokens,
                       .heads = heads,
                       .width = shape->width,
                       .stride = stride,
                       .cosine = turned ? call->cosine : NULL,
                       .sine = turned ? call->sine : NULL,
                       .lengths = call->lengths};
}

/* Whether bf16 rows lie in memory as cuDNN is told, and no hidden token is among them: no copy is
 * needed. */
static bool lies_packed(const sdpa_rows *at, const uint16_t *narrow)
{
    return narrow != NULL && at->stride == at->heads * at->width && at->rows == at->tokens &&
           at->lengths == NULL && at->cosine == NULL &&
           (uintptr_t)narrow % CUDA_GRAPH_ALIGNMENT == 0;
}

/* Makes *packed the rows in cuDNN's form: a copy there, or themselves. */
static void bring_rows(const sdpa_rows *at, const float *rows, const uint16_t *narrow,
                       uint16_t **packed)
{
    if (lies_packed(at, narrow))
        *packed = (uint16_t *)narrow; /* only read by the graph */
    else if (narrow != NULL)
        sdpa_pack_narrow(at, narrow, *packed);
    else
        sdpa_pack(at, rows, *packed);
}

/* q, k, v and the lengths: what both ways read. */
static void bring(const device_attention *call, const sdpa_shape *shape, sdpa_space *space)
{
    const sdpa_rows q = rows_of(call, shape, call->heads, call->q_stride, true);
    const sdpa_rows k = rows_of(call, shape, call->kv_heads, call->k_stride, true);
    const sdpa_rows v = rows_of(call, shape, call->kv_heads, call->v_stride, false);
    bring_rows(&q, call->q, call->narrow_q, &space->q);
    bring_rows(&k, call->k, call->narrow_k, &space->k);
    bring_rows(&v, call->v, call->narrow_v, &space->v);
    sdpa_lengths(call->batch, call->queries, call->lengths, space->valid);
}

/* False after a noted failure. */
static bool compute(const cuda_graph *graph, const device_attention *call, const sdpa_shape *shape,
                    const sdpa_space *space)
{
    static float hidden = -INFINITY, one = 1.0f;
    float scale = call->scale;
    void *const all[SDPA_IDS + 1] = {[SDPA_Q] = space->q,         [SDPA_K] = space->k,
                                     [SDPA_V] = space->v,         [SDPA_OUT] = space->out,
                                     [SDPA_D_OUT] = space->d_out, [SDPA_D_Q] = space->d_q,
                                     [SDPA_D_K] = space->d_k,     [SDPA_D_V] = space->d_v,
                                     [SDPA_LSE] = space->lse,     [SDPA_DELTA] = space->delta,
                                     [SDPA_ROWS] = space->valid,  [SDPA_COLUMNS] = space->valid,
                                     [SDPA_SCALE] = &scale,       [SDPA_HIDDEN] = &hidden,
                                     [SDPA_FUTURE] = &hidden,     [SDPA_ONE] = &one};
    void *pointer[SDPA_IDS], *workspace = NULL;
    int64_t id[SDPA_IDS];
    int count = 0;
    for (int i = 1; i <= SDPA_IDS; i++)
        if (sdpa_graph_has(shape, (sdpa_id)i)) {
            id[count] = i;
            pointer[count++] = all[i];
        }
    if (graph->workspace > 0 && (workspace = cuda_workspace(graph->workspace)) == NULL)
        return false;
    return cuda_graph_run(graph, cuda_dnn(), count, id, pointer, workspace);
}

/* ---- the table's entries ---- */

bool sdpa_fuses(const device_attention *call, bool backward)
{
    return graph_of(call, backward) != NULL;
}

/* For a call that is not fused. */
static void compute_ourselves(const device_attention *call,
                              void (*kernel)(const device_attention *))
{
    if (call->narrow_q != NULL)
        cuda_note_failure("cuda_attention", "the plan for bf16 tensors is gone");
    else
        kernel(call);
}

void cuda_attention(const device_attention *call)
{
    const cuda_graph *graph = graph_of(call, false);
    if (graph == NULL) {
        compute_ourselves(call, own_attention);
        return;
    }
    const sdpa_shape shape = sdpa_shape_of(call, false);
    const sdpa_rows out = rows_of(call, &shape, call->heads, call->out_stride, false);
    const bool in_place = lies_packed(&out, call->narrow_out);
    sdpa_space space = space_of(call, &shape);
    bring(call, &shape, &space);
    if (in_place)
        space.out = call->narrow_out;
    if (!compute(graph, call, &shape, &space))
        return;
    if (call->narrow_out != NULL && !in_place)
        sdpa_unpack_narrow(&out, space.out, call->narrow_out);
    else if (!in_place)
        sdpa_unpack(&out, space.out, call->out, false);
    sdpa_sums(call->batch, call->heads, shape.tokens, call->queries, space.valid, space.lse,
              call->row_lse);
}

void cuda_d_attention(const device_attention *call)
{
    const cuda_graph *graph = graph_of(call, true);
    if (graph == NULL) {
        compute_ourselves(call, own_d_attention);
        return;
    }
    const sdpa_shape shape = sdpa_shape_of(call, true);
    const sdpa_rows out = rows_of(call, &shape, call->heads, call->out_stride, false);
    const sdpa_rows q = rows_of(call, &shape, call->heads, call->q_stride, true);
    const sdpa_rows k = rows_of(call, &shape, call->kv_heads, call->k_stride, true);
    const sdpa_rows v = rows_of(call, &shape, call->kv_heads, call->v_stride, false);
    sdpa_space space = space_of(call, &shape);
    bring(call, &shape, &space);
    bring_rows(&out, call->out, call->narrow_out, &space.out);
    sdpa_pack(&out, call->d_out, space.d_out);
    sdpa_sums(call->batch, call->heads, call->queries, shape.tokens, space.valid, call->row_lse,
              space.lse);
    if (!compute(graph, call, &shape, &space))
        return;
    if (call->d_q != NULL)
        sdpa_unpack(&q, space.d_q, call->d_q, call->add_q);
    if (call->d_k != NULL)
        sdpa_unpack(&k, space.d_k, call->d_k, call->add_k);
    if (call->d_v != NULL)
        sdpa_unpack(&v, space.d_v, call->d_v, call->add_v);
}
