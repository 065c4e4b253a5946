/* cudnn_graph_run.c - a graph of cuDNN's operations, node after node: fp32 inside, rounded where a
 * tensor is bf16, as the fused engine keeps them.
 *
 * Rows and columns of a product beyond its limits are NaN here, where the real library leaves them
 * to chance: what reads them without need shows. */
#include "cudnn_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tensor's numbers by the places of its strides; ints and booleans are exact in fp32. */
typedef struct graph_value {
    const graph_part *tensor;
    float *number;
} graph_value;

typedef struct graph_state {
    const graph_job *job;
    int count;
    graph_value value[3 * GRAPH_MOST];
} graph_state;

/* ---- memory ---- */

static float bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (!isnan(x))
        bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & ~0xffffu;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void load(const graph_binding *from, float *to)
{
    const int64_t count = graph_extent(from->tensor);
    const uint16_t *narrow = from->memory;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        switch (from->tensor->is.tensor.type) {
        case CUDNN_DATA_BFLOAT16:
            bits = (uint32_t)narrow[i] << 16;
            memcpy(&to[i], &bits, sizeof bits);
            break;
        case CUDNN_DATA_INT32:
            to[i] = (float)((const int32_t *)from->memory)[i];
            break;
        default:
            to[i] = ((const float *)from->memory)[i];
        }
    }
}

static void store(const graph_binding *to, const float *from)
{
    const int64_t count = graph_extent(to->tensor);
    uint16_t *narrow = to->memory;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        if (to->tensor->is.tensor.type == CUDNN_DATA_BFLOAT16)
            narrow[i] = (uint16_t)(bits >> 16);
        else
            ((float *)to->memory)[i] = from[i];
    }
}

static const graph_binding *binding_of(const graph_state *state, const graph_part *tensor)
{
    for (int i = 0; i < state->job->count; i++)
        if (state->job->at[i].tensor->is.tensor.id == tensor->is.tensor.id)
            return &state->job->at[i];
    return NULL;
}

/* The tensor's numbers, read from memory when no node has written them; NULL for no tensor. */
static float *numbers(graph_state *state, const graph_part *tensor, bool is_result)
{
    if (tensor == NULL)
        return NULL;
    for (int i = 0; i < state->count; i++)
        if (state->value[i].tensor == tensor)
            return state->value[i].number;
    const graph_binding *bound = binding_of(state, tensor);
    float *number = standin_memory(graph_extent(tensor) * (int64_t)sizeof *number, "a tensor");
    if (state->count == (int)(sizeof state->value / sizeof *state->value))
        standin_fault("cudnnBackendExecute: a graph of more than %d tensors", state->count);
    state->value[state->count++] = (graph_value){tensor, number};
    if (tensor->is.tensor.number)
        *number = bound->number;
    else if (bound != NULL && !is_result)
        load(bound, number);
    return number;
}

/* ---- nodes ---- */

/* How far apart a tensor's elements are for neighbours of a larger one; 0 where it has one for
 * all. */
typedef struct graph_steps {
    int64_t of[4];
} graph_steps;

static graph_steps steps_of(const graph_part *tensor)
{
    graph_steps steps = {{0}};
    for (int d = 0; tensor != NULL && d < 4; d++)
        steps.of[d] = tensor->is.tensor.size[d] == 1 ? 0 : tensor->is.tensor.stride[d];
    return steps;
}

static float point(cudnnPointwiseMode_t mode, float x, float b, float t, int64_t place)
{
    switch (mode) {
    case CUDNN_POINTWISE_EXP:
        return expf(x);
    case CUDNN_POINTWISE_LOG:
        return logf(x);
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_SUB:
        return x - b;
    case CUDNN_POINTWISE_MUL:
        return x * b;
    case CUDNN_POINTWISE_DIV:
        return x / b;
    case CUDNN_POINTWISE_CMP_LT:
        return x < b;
    case CUDNN_POINTWISE_CMP_GE:
        return x >= b;
    case CUDNN_POINTWISE_LOGICAL_AND:
        return x != 0.0f && b != 0.0f;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return t != 0.0f ? x : b;
    case CUDNN_POINTWISE_GEN_INDEX:
        return (float)place;
    default:
        return x; /* identity; no other is finalized */
    }
}

/* One line along the last dimension; an operand that is missing is any other one. */
typedef struct pointwise_line {
    cudnnPointwiseMode_t mode;
    const float *x, *b, *t;
    float *y;
    int64_t x_step, b_step, t_step, y_step;
    int64_t place, place_step; /* along the axis of an index */
} pointwise_line;

static void run_line(const pointwise_line *line, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        line->y[i * line->y_step] =
            point(line->mode, line->x[i * line->x_step], line->b[i * line->b_step],
                  line->t[i * line->t_step], line->place + i * line->place_step);
}

static void run_pointwise(graph_state *state, const graph_part *node)
{
    const graph_part *y = node->is.node.y, *what = node->is.node.what;
    const graph_part *b = node->is.node.b ? node->is.node.b : node->is.node.x;
    const graph_part *t = node->is.node.t ? node->is.node.t : node->is.node.x;
    const float *of_x = numbers(state, node->is.node.x, false), *of_b = numbers(state, b, false);
    const float *of_t = numbers(state, t, false);
    float *to = numbers(state, y, true);
    const graph_steps sx = steps_of(node->is.node.x), sb = steps_of(b), st = steps_of(t);
    const graph_steps sy = steps_of(y);
    const int64_t *size = y->is.tensor.size, axis = what->is.what.axis;
    for (int64_t l = 0; l < size[0] * size[1] * size[2]; l++) {
        const int64_t at[3] = {l / (size[1] * size[2]), l / size[2] % size[1], l % size[2]};
        pointwise_line line = {.mode = (cudnnPointwiseMode_t)what->is.what.mode,
                               .x = of_x,
                               .b = of_b,
                               .t = of_t,
                               .y = to,
                               .x_step = sx.of[3],
                               .b_step = sb.of[3],
                               .t_step = st.of[3],
                               .y_step = sy.of[3],
                               .place = axis < 3 ? at[axis] : 0,
                               .place_step = axis == 3};
        for (int d = 0; d < 3; d++) {
            line.x += at[d] * sx.of[d];
            line.b += at[d] * sb.of[d];
            line.t += at[d] * st.of[d];
            line.y += at[d] * sy.of[d];
        }
        run_line(&line, size[3]);
    }
}

/* y has a share of x's size in some dimension: neighbours are reduced to one. */
static void run_reduction(graph_state *state, const graph_part *node)
{
    const graph_part *x = node->is.node.x, *y = node->is.node.y;
    const int64_t *size = x->is.tensor.size, *step = x->is.tensor.stride;
    const int64_t *to_size = y->is.tensor.size, *to_step = y->is.tensor.stride;
    const float *of_x = numbers(state, x, false);
    float *to = numbers(state, y, true);
    const bool add = node->is.node.what->is.what.mode == CUDNN_REDUCE_TENSOR_ADD;
    for (int64_t i = 0, n = graph_extent(y); i < n; i++)
        to[i] = add ? 0.0f : -INFINITY;
    for (int64_t l = 0; l < size[0] * size[1] * size[2]; l++) {
        const int64_t at[3] = {l / (size[1] * size[2]), l / size[2] % size[1], l % size[2]};
        const float *from = of_x;
        float *line = to;
        for (int d = 0; d < 3; d++) {
            from += at[d] * step[d];
            line += at[d] / (size[d] / to_size[d]) * to_step[d];
        }
        for (int64_t i = 0; i < size[3]; i++) {
            const float value = from[i * step[3]];
            float *one = &line[i / (size[3] / to_size[3]) * to_step[3]];
            *one = add ? *one + value : value > *one || isnan(value) ? value : *one;
        }
    }
}

static void run_reshape(graph_state *state, const graph_part *node)
{
    const float *from = numbers(state, node->is.node.x, false);
    float *to = numbers(state, node->is.node.y, true);
    memcpy(to, from, (size_t)graph_extent(node->is.node.y) * sizeof *to);
}

/* A limit of item b, or all. */
static int64_t limit_of(const float *limit, int64_t b, int64_t all)
{
    return limit == NULL ? all : limit[b] < (float)all ? (int64_t)limit[b] : all;
}

/* Of one head: C is written where rows and columns are within the limits. */
static void multiply(const graph_part *const tensor[3], const float *a, const float *b, float *c,
                     int64_t m, int64_t n, int64_t k)
{
    const int64_t *sa = tensor[0]->is.tensor.stride, *sb = tensor[1]->is.tensor.stride;
    const int64_t *sc = tensor[2]->is.tensor.stride;
    standin_product product = {.transpose_a = sa[3] != 1,
                               .transpose_b = sb[3] != 1,
                               .m = m,
                               .n = n,
                               .k = k,
                               .lda = sa[3] != 1 ? sa[3] : sa[2],
                               .ldb = sb[3] != 1 ? sb[3] : sb[2],
                               .ldc = sc[2],
                               .alpha = 1.0f,
                               .a = a,
                               .b = b,
                               .c = c};
    if (m == 0 || n == 0)
        return;
    for (int64_t i = 0; i < m; i++)
        memset(c + i * sc[2], 0, (size_t)n * sizeof *c);
    if (k > 0)
        standin_multiply(&product);
}

static void run_product(graph_state *state, const graph_part *node)
{
    const graph_part *const tensor[3] = {node->is.node.x, node->is.node.b, node->is.node.y};
    const int64_t *size = tensor[2]->is.tensor.size, inner = tensor[0]->is.tensor.size[3];
    const float *a = numbers(state, tensor[0], false), *b = numbers(state, tensor[1], false);
    const float *rows = numbers(state, node->is.node.rows, false);
    const float *columns = numbers(state, node->is.node.columns, false);
    const float *limit = numbers(state, node->is.node.inner, false);
    float *c = numbers(state, tensor[2], true);
    for (int64_t i = 0, n = graph_extent(tensor[2]); i < n; i++)
        c[i] = NAN;
    for (int64_t i = 0; i < size[0] * size[1]; i++) {
        const int64_t item = i / size[1], head = i % size[1];
        const int64_t shared = head / (size[1] / tensor[1]->is.tensor.size[1]);
        const int64_t *sa = tensor[0]->is.tensor.stride, *sb = tensor[1]->is.tensor.stride;
        const int64_t *sc = tensor[2]->is.tensor.stride;
        multiply(tensor, a + item * sa[0] + head * sa[1], b + item * sb[0] + shared * sb[1],
                 c + item * sc[0] + head * sc[1], limit_of(rows, item, size[2]),
                 limit_of(columns, item, size[3]), limit_of(limit, item, inner));
    }
}

static void run_node(graph_state *state, const graph_part *node)
{
    switch (node->type) {
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        run_product(state, node);
        break;
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        run_reduction(state, node);
        break;
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
        run_reshape(state, node);
        break;
    default:
        run_pointwise(state, node);
    }
}

void graph_run(void *data)
{
    const graph_job *job = data;
    graph_state state = {.job = job};
    memset(job->workspace, 0xff, (size_t)job->workspace_bytes);
    for (int64_t i = 0; i < job->graph->is.graph.nodes; i++) {
        const graph_part *node = job->graph->is.graph.node[i], *y = node->is.node.y;
        run_node(&state, node);
        float *to = numbers(&state, y, true);
        if (y->is.tensor.type == CUDNN_DATA_BFLOAT16)
            for (int64_t k = 0, n = graph_extent(y); k < n; k++)
                to[k] = bf16_of(to[k]);
        if (!y->is.tensor.between)
            store(binding_of(&state, y), to);
    }
    for (int i = 0; i < state.count; i++)
        free(state.value[i].number);
}
