/* cpu/attention_backward.c - softmax attention under every mask, backward: from the gradient of the
 * output, or from that of the map.
 *
 * The fast kernel recomputes the probabilities of a tile from the scores and row_lse (Dao et al.,
 * "FlashAttention", 2022, algorithm 4): P = exp(S - lse), dP = dO V', dS = P (dP - rowsum(dO O)).
 * One task is one kv head of one batch item with all query heads that share it, so that the
 * gradients of its keys and values are summed in one place and in one order, whatever the number of
 * threads. */
#include "engine/device/cpu/kernels.h"

#include <omp.h>

#if ASSAY_PLAIN

#include "engine/device/cpu/attention_plain.h"

#include <string.h>

/* What one row needs, and the sums of the kv head at hand and of log_weight, in scratch. */
typedef struct plain_sums {
    plain_vectors vectors;
    double *p, *d_p;   /* (keys) */
    double *d_q;       /* (head width) */
    double *d_k, *d_v; /* (keys, head width) */
    double *d_cost;    /* (bias_count) or NULL */
} plain_sums;

static plain_sums sums_in_scratch(const device_attention *call)
{
    const int64_t width = call->head_width, keys = call->keys;
    double *next = call->scratch;
    plain_sums sums = {.vectors = {next, next + width, next + 2 * width}};
    sums.p = next + 3 * width;
    sums.d_p = sums.p + keys;
    sums.d_q = sums.d_p + keys;
    sums.d_k = sums.d_q + width;
    sums.d_v = sums.d_k + keys * width;
    sums.d_cost = call->d_log_weight ? sums.d_v + keys * width : NULL;
    return sums;
}

static void clear_doubles(double *x, int64_t n)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

/* y = [y +] factor R' x, or without rotation when position is negative. */
static void plain_write(const device_attention *call, int64_t position, double factor,
                        const double *x, double *rotated, float *y, bool add)
{
    memcpy(rotated, x, (size_t)call->head_width * sizeof *x);
    if (position >= 0)
        plain_rotate(call, position, true, x, rotated);
    for (int64_t t = 0; t < call->head_width; t++)
        y[t] = (float)((add ? y[t] : 0.0) + factor * rotated[t]);
}

/* Given P_i and dP_i, writes dq_i and adds to dk and to the gradient of log_weight. A pair with
 * P_ij = 0 contributes nothing, whatever stands in dP_ij. */
static void plain_row(const device_attention *call, int64_t b, int64_t h, int64_t i,
                      plain_sums *sums)
{
    const int64_t width = call->head_width, g = plain_kv_head(call, h);
    double *q = sums->vectors.q, *k = sums->vectors.k, mean = 0.0;
    for (int64_t j = 0; j < call->keys; j++)
        if (sums->p[j] != 0.0)
            mean += sums->p[j] * sums->d_p[j];
    clear_doubles(sums->d_q, width);
    for (int64_t j = 0; j < call->keys; j++) {
        if (sums->p[j] == 0.0)
            continue;
        double d_s = sums->p[j] * (sums->d_p[j] - mean);
        plain_rotate_floats(call, j, plain_key(call, b, g, j), sums->vectors.raw, k);
        for (int64_t t = 0; t < width; t++) {
            sums->d_q[t] += d_s * k[t];
            sums->d_k[j * width + t] += d_s * q[t];
        }
        if (sums->d_cost && plain_is_charged(call, b, i, j))
            sums->d_cost[plain_cost_index(call, b, h, i, j)] += d_s;
    }
    if (call->d_q)
        plain_write(call, call->query_start + i, call->scale, sums->d_q, sums->vectors.raw,
                    call->d_q + (b * call->queries + i) * call->q_stride + h * width, call->add_q);
}

/* dP_ij = dO_i . v_j and dv_j += P_ij dO_i. */
static void plain_values_row(const device_attention *call, int64_t b, int64_t h, int64_t i,
                             plain_sums *sums)
{
    const int64_t width = call->head_width;
    const float *d_out = call->d_out + (b * call->queries + i) * call->out_stride + h * width;
    clear_doubles(sums->d_p, call->keys);
    for (int64_t j = 0; j < call->keys; j++) {
        if (sums->p[j] == 0.0)
            continue;
        const float *v = plain_value(call, b, plain_kv_head(call, h), j);
        for (int64_t t = 0; t < width; t++) {
            sums->d_p[j] += (double)d_out[t] * v[t];
            sums->d_v[j * width + t] += sums->p[j] * d_out[t];
        }
    }
}

/* P_i from the map, and dP_i from its gradient. */
static void plain_map_row(const device_attention *call, int64_t b, int64_t h, int64_t i,
                          plain_sums *sums)
{
    const int64_t row = ((b * call->heads + h) * call->queries + i) * call->keys;
    plain_rotate_floats(call, call->query_start + i, plain_query(call, b, h, i), sums->vectors.raw,
                        sums->vectors.q);
    for (int64_t j = 0; j < call->keys; j++) {
        sums->p[j] = call->out[row + j];
        sums->d_p[j] = call->d_out[row + j];
    }
}

static void plain_backward(const device_attention *call, bool map)
{
    const int64_t width = call->head_width, shared = call->heads / call->kv_heads;
    plain_sums sums = sums_in_scratch(call);
    if (sums.d_cost)
        clear_doubles(sums.d_cost, call->bias_count);
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t g = 0; g < call->kv_heads; g++) {
            clear_doubles(sums.d_k, 2 * call->keys * width);
            for (int64_t h = g * shared; h < (g + 1) * shared; h++)
                for (int64_t i = 0; i < call->queries; i++) {
                    if (map) {
                        plain_map_row(call, b, h, i, &sums);
                    } else {
                        plain_probabilities(call, b, h, i, sums.vectors, sums.p);
                        plain_values_row(call, b, h, i, &sums);
                    }
                    plain_row(call, b, h, i, &sums);
                }
            for (int64_t j = 0; j < call->keys; j++) {
                int64_t row = b * call->keys + j;
                if (call->d_k)
                    plain_write(call, j, call->scale, sums.d_k + j * width, sums.vectors.raw,
                                call->d_k + row * call->k_stride + g * width, call->add_k);
                if (call->d_v && !map)
                    plain_write(call, -1, 1.0, sums.d_v + j * width, sums.vectors.raw,
                                call->d_v + row * call->v_stride + g * width, call->add_v);
            }
        }
    for (int64_t e = 0; sums.d_cost && e < call->bias_count; e++)
        call->d_log_weight[e] =
            (float)((call->add_bias ? call->d_log_weight[e] : 0.0) + sums.d_cost[e]);
}

void KERNEL(d_attention)(const device_attention *call)
{
    plain_backward(call, false);
}

void KERNEL(d_attention_map)(const device_attention *call)
{
    plain_backward(call, true);
}

#else

#include "engine/device/cpu/attention_space.h"
#include "engine/device/cpu/math.h"

/* One task under way: a kv head of a batch item. */
typedef struct backward_task {
    const device_attention *call;
    bool map; /* d_out and out are maps; there are no values */
    int64_t b, g;
    int64_t h, i0, rows; /* the query tile at hand: `rows` of it stand before the length */
    mask_view mask;      /* of head h */
    float *d_log_weight; /* sums of head h, or NULL */
    backward_space space;
} backward_task;

/* ---- packing ---- */

/* Packs the key tiles before position `end` and clears their sums. */
static void prepare_keys(backward_task *task, int64_t end)
{
    const device_attention *call = task->call;
    const backward_space *space = &task->space;
    const int64_t width = call->head_width, stride = attention_stride(call);
    const int64_t first = task->b * call->keys, tokens = attention_tiles(end) * TILE;
    const float *k = call->k + first * call->k_stride + task->g * width;
    for (int64_t j0 = 0; j0 < end; j0 += TILE) {
        const int64_t count = mask_min(TILE, task->mask.length - j0);
        pack_keys(call, k, j0, count, space->keys + j0 * stride);
        if (task->map)
            continue;
        const float *v = call->v + first * call->v_stride + task->g * width;
        transpose_tile(call, space->keys + j0 * stride, space->keys_t + j0 * width);
        pack_values(call, v, j0, count, space->tile);
        transpose_tile(call, space->tile, space->values_t + j0 * width);
    }
    clear_floats(space->d_keys, tokens * stride);
    clear_floats(space->d_values, tokens * stride);
}

/* Where row i of the map of the task's head starts. */
static int64_t map_row(const backward_task *task, int64_t i)
{
    const device_attention *call = task->call;
    return ((task->b * call->heads + task->h) * call->queries + i) * call->keys;
}

/* delta_i = sum_j P_ij dP_ij of the rows of the tile, over the map. */
static void prepare_map_rows(const backward_task *task)
{
    for (int64_t r = 0; r < task->rows; r++) {
        const int64_t row = map_row(task, task->i0 + r);
        const float *p = task->call->out + row, *d_p = task->call->d_out + row;
        const int64_t end = mask_visible_end(&task->mask, task->i0 + r);
        double sum = 0.0;
        for (int64_t j = 0; j < end; j++)
            sum += p[j] != 0.0f ? (double)p[j] * d_p[j] : 0.0;
        task->space.delta[r] = (float)sum;
    }
}

/* delta_i = dO_i . O_i, which is the same sum, and the rows' log sums. */
static void prepare_output_rows(const backward_task *task)
{
    const device_attention *call = task->call;
    const backward_space *space = &task->space;
    const int64_t width = call->head_width;
    const int64_t first = task->b * call->queries * call->out_stride + task->h * width;
    const float *lse = call->row_lse + (task->b * call->heads + task->h) * call->queries;
    pack_queries(call, call->d_out + first, call->out_stride, task->i0, task->rows, false,
                 space->d_out);
    for (int64_t r = 0; r < task->rows; r++) {
        const float *out = call->out + first + (task->i0 + r) * call->out_stride;
        const float *d_out = space->d_out + r * attention_stride(call);
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t t = 0; t < width; t++)
            sum += d_out[t] * out[t];
        space->delta[r] = sum;
        space->lse[r] = lse[task->i0 + r];
    }
}

static void prepare_queries(const backward_task *task)
{
    const device_attention *call = task->call;
    const float *q =
        call->q + task->b * call->queries * call->q_stride + task->h * call->head_width;
    pack_queries(call, q, call->q_stride, task->i0, task->rows, true, task->space.q);
    clear_floats(task->space.d_q, TILE * attention_stride(call));
    if (task->map)
        prepare_map_rows(task);
    else
        prepare_output_rows(task);
}

/* ---- the gradient of a tile's scores ---- */

/* y (rows, TILE) = x (rows, head width) times a transposed tile of keys or values. */
static void multiply_transposed(const backward_task *task, int64_t columns, const float *x,
                                const float *tile_t, float *y)
{
    tile_multiply(&(tile_product){
        .rows = task->rows,
        .columns = columns,
        .depth = task->call->head_width,
        .a = x,
        .a_row = attention_stride(task->call),
        .a_step = 1,
        .b = tile_t,
        .b_row = TILE,
        .c = y,
        .c_row = TILE,
    });
}

/* sum (TILE, stride) += x' y: x (rows, TILE) is transposed, y (rows, stride) is a tile of
 * queries. */
static void add_over_queries(const backward_task *task, int64_t columns, const float *x,
                             const float *y, float *sum)
{
    const int64_t stride = attention_stride(task->call);
    tile_multiply(&(tile_product){
        .rows = columns,
        .columns = task->call->head_width,
        .depth = task->rows,
        .a = x,
        .a_row = 1,
        .a_step = TILE,
        .b = y,
        .b_row = stride,
        .c = sum,
        .c_row = stride,
        .add = true,
    });
}

/* Probabilities from scores: P = exp(S + cost - lse); cost may be NULL. */
static void restore_probabilities(const backward_task *task, int64_t columns, const float *cost)
{
    for (int64_t r = 0; r < task->rows; r++) {
        float *restrict p = task->space.probability + r * TILE;
        const float lse = task->space.lse[r];
        if (cost) {
            const float *restrict row = cost + r * TILE;
#pragma omp simd
            for (int64_t c = 0; c < columns; c++)
                p[c] = fast_exp(p[c] + row[c] - lse);
        } else {
#pragma omp simd
            for (int64_t c = 0; c < columns; c++)
                p[c] = fast_exp(p[c] - lse);
        }
    }
}

static void output_tile(const backward_task *task, int64_t j0, int64_t columns, tile_kind kind)
{
    const backward_space *space = &task->space;
    const int64_t width = task->call->head_width, stride = attention_stride(task->call);
    multiply_transposed(task, columns, space->q, space->keys_t + j0 * width, space->probability);
    restore_probabilities(task, columns, kind == TILE_PARTIAL ? space->cost : NULL);
    if (task->call->d_v)
        add_over_queries(task, columns, space->probability, space->d_out,
                         space->d_values + j0 * stride);
    multiply_transposed(task, columns, space->d_out, space->values_t + j0 * width, space->d_score);
    for (int64_t r = 0; r < task->rows; r++) {
        const float *restrict p = space->probability + r * TILE;
        float *restrict d_score = space->d_score + r * TILE;
        const float delta = space->delta[r];
#pragma omp simd
        for (int64_t c = 0; c < columns; c++)
            d_score[c] = p[c] * (d_score[c] - delta);
    }
}

/* A pair with P = 0 contributes nothing, whatever stands in dP. */
static void map_tile(const backward_task *task, int64_t j0)
{
    clear_floats(task->space.d_score, TILE * TILE);
    for (int64_t r = 0; r < task->rows; r++) {
        const int64_t row = map_row(task, task->i0 + r) + j0;
        const float *p = task->call->out + row, *d_p = task->call->d_out + row;
        const float delta = task->space.delta[r];
        float *restrict d_score = task->space.d_score + r * TILE;
        const int64_t end = mask_visible_end(&task->mask, task->i0 + r);
        const int64_t columns = mask_clamp(end - j0, 0, TILE);
        for (int64_t c = 0; c < columns; c++)
            d_score[c] = p[c] != 0.0f ? p[c] * (d_p[c] - delta) : 0.0f;
    }
}

/* ---- the gradient of log_weight ---- */

static void add_cost_row(float *sum, int64_t step, int64_t columns, const float *x)
{
    if (step == 0) {
        float total = 0.0f;
        for (int64_t c = 0; c < columns; c++)
            total += x[c];
        *sum += total;
    } else {
        for (int64_t c = 0; c < columns; c++)
            sum[c * step] += x[c];
    }
}

/* Adds the tile's score gradients at charged pairs. What is broadcast over queries is summed over
 * the tile first, so that the long sums are sums of sums. */
static void add_cost_gradient(const backward_task *task, int64_t j0)
{
    const mask_view *mask = &task->mask;
    const int64_t last = task->i0 + task->rows - 1, step = mask->key_stride;
    const int64_t columns = mask_min(TILE, mask->length - j0);
    float column[TILE] = {0};
    for (int64_t i = task->i0; i <= last; i++) {
        const float *d_score = task->space.d_score + (i - task->i0) * TILE;
        const int64_t end = mask_clamp(mask_visible_end(mask, i) - j0, 0, columns);
        const int64_t start = mask_clamp(mask_cost_start(mask, i) - j0, 0, end);
        if (mask->query_stride)
            add_cost_row(task->d_log_weight + i * mask->query_stride + (j0 + start) * step, step,
                         end - start, d_score + start);
        else
            for (int64_t c = start; c < end; c++)
                column[c] += d_score[c];
    }
    if (!mask->query_stride)
        add_cost_row(task->d_log_weight + j0 * step, step, columns, column);
}

/* ---- writing ---- */

static void write_queries(const backward_task *task)
{
    const device_attention *call = task->call;
    const int64_t width = call->head_width, all = mask_min(TILE, call->queries - task->i0);
    for (int64_t r = 0; r < all; r++) {
        const int64_t i = task->i0 + r;
        float *d_q = call->d_q + (task->b * call->queries + i) * call->q_stride + task->h * width;
        if (r < task->rows)
            rotate_row_back(call, call->query_start + i, call->scale,
                            task->space.d_q + r * attention_stride(call), d_q, call->add_q);
        else if (!call->add_q)
            clear_floats(d_q, width);
    }
}

/* The keys and values before `end` have sums; the gradient of the others is 0. */
static void write_keys(const backward_task *task, int64_t end)
{
    const device_attention *call = task->call;
    const int64_t width = call->head_width, stride = attention_stride(call);
    for (int64_t j = 0; j < call->keys && call->d_k; j++) {
        float *d_k = call->d_k + (task->b * call->keys + j) * call->k_stride + task->g * width;
        if (j < end)
            rotate_row_back(call, j, 1.0f, task->space.d_keys + j * stride, d_k, call->add_k);
        else if (!call->add_k)
            clear_floats(d_k, width);
    }
    for (int64_t j = 0; j < call->keys && call->d_v && !task->map; j++) {
        float *d_v = call->d_v + (task->b * call->keys + j) * call->v_stride + task->g * width;
        const float *sum = task->space.d_values + j * stride;
        if (!call->add_v)
            clear_floats(d_v, width);
        for (int64_t t = 0; t < width && j < end; t++)
            d_v[t] += sum[t];
    }
}

/* ---- the walk ---- */

/* One key tile against the query tile at hand. The queries are packed times the scale, which the
 * gradient of the keys therefore holds already; that of the queries gets it when written. */
static void walk_key_tile(const backward_task *task, int64_t j0)
{
    const device_attention *call = task->call;
    const backward_space *space = &task->space;
    const int64_t stride = attention_stride(call);
    const int64_t columns = tile_columns(task->mask.length - j0);
    const tile_kind kind = mask_tile(&task->mask, task->i0, task->rows, j0, columns, space->cost);
    if (kind == TILE_EMPTY)
        return;
    if (task->map)
        map_tile(task, j0);
    else
        output_tile(task, j0, columns, kind);
    if (call->d_q)
        tile_multiply(&(tile_product){
            .rows = task->rows,
            .columns = call->head_width,
            .depth = columns,
            .a = space->d_score,
            .a_row = TILE,
            .a_step = 1,
            .b = space->keys + j0 * stride,
            .b_row = stride,
            .c = space->d_q,
            .c_row = stride,
            .add = true,
        });
    if (call->d_k)
        add_over_queries(task, columns, space->d_score, space->q, space->d_keys + j0 * stride);
    if (task->d_log_weight && task->mask.log_weight)
        add_cost_gradient(task, j0);
}

/* `sums` gathers the gradient of log_weight, or is NULL. */
static void backward_group(backward_task *task, int64_t index, float *sums)
{
    const device_attention *call = task->call;
    const int64_t shared = call->heads / call->kv_heads, *stride = call->bias_stride;
    task->b = index / call->kv_heads;
    task->g = index % call->kv_heads;
    task->mask = mask_of(call, task->b, task->g * shared);
    const int64_t rows = task->mask.rows;
    const int64_t end = rows ? mask_visible_end(&task->mask, rows - 1) : 0;
    prepare_keys(task, end);
    for (task->h = task->g * shared; task->h < (task->g + 1) * shared; task->h++) {
        task->mask = mask_of(call, task->b, task->h);
        task->d_log_weight = sums ? sums + task->b * stride[0] + task->h * stride[1] : NULL;
        for (task->i0 = 0; task->i0 < call->queries; task->i0 += TILE) {
            task->rows = mask_clamp(rows - task->i0, 0, TILE);
            if (task->rows) {
                prepare_queries(task);
                const int64_t last = task->i0 + task->rows - 1;
                for (int64_t j0 = 0; j0 < mask_visible_end(&task->mask, last); j0 += TILE)
                    walk_key_tile(task, j0);
            }
            if (call->d_q)
                write_queries(task);
        }
    }
    write_keys(task, end);
}

/* Adds the units' partial sums of the gradient of log_weight in order. */
static void join_cost_sums(const device_attention *call, const float *partial)
{
    const int64_t units = backward_units(call), count = call->bias_count;
#pragma omp parallel for schedule(static) if (units * count > KERNEL_PARALLEL_MIN)
    for (int64_t e = 0; e < count; e++) {
        float sum = call->add_bias ? call->d_log_weight[e] : 0.0f;
        for (int64_t u = 0; u < units; u++)
            sum += partial[u * count + e];
        call->d_log_weight[e] = sum;
    }
}

static void backward(const device_attention *call, bool map)
{
    const int64_t tasks = call->batch * call->kv_heads, units = backward_units(call);
    const int64_t bytes = backward_space_of(call, NULL, NULL), count = call->bias_count;
    const bool direct = bias_is_per_item(call);
    char *scratch = call->scratch;
    float *partial = (float *)(scratch + bytes * omp_get_max_threads());
    if (call->d_log_weight && direct && !call->add_bias)
        clear_floats(call->d_log_weight, count);
#pragma omp parallel if (attention_is_large(call))
    {
        backward_task task = {.call = call, .map = map};
        backward_space_of(call, scratch + omp_get_thread_num() * bytes, &task.space);
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < units; unit++) {
            float *sums = direct ? call->d_log_weight : partial + unit * count;
            if (!call->d_log_weight)
                sums = NULL;
            else if (!direct)
                clear_floats(sums, count);
            for (int64_t t = unit * tasks / units; t < (unit + 1) * tasks / units; t++)
                backward_group(&task, t, sums);
        }
    }
    if (call->d_log_weight && !direct)
        join_cost_sums(call, partial);
}

void KERNEL(d_attention)(const device_attention *call)
{
    backward(call, false);
}

void KERNEL(d_attention_map)(const device_attention *call)
{
    backward(call, true);
}

#endif
