/* cpu/attention.c - softmax attention under every mask, forward: the output, and the map itself.
 *
 * The fast kernel is the tiled online softmax of Dao et al., "FlashAttention" (2022), algorithm 1:
 * for a tile of 64 queries the key tiles are visited in order, each row keeps its running maximum
 * and sum, and what was summed under an older maximum is scaled when the maximum rises. Only the
 * output and the log of each row's sum are kept. Masks cost what they let through; see
 * attention_mask.h.
 *
 * Determinism: a row depends on its own query, the keys it sees and the place of the key tiles,
 * which start at position 0; never on other rows, on padding or on the thread that computes it. */
#include "engine/device/cpu/kernels.h"

#include <omp.h>

#if ASSAY_PLAIN

#include "engine/device/cpu/attention_plain.h"

/* Doubles: three vectors and two rows of keys; backwards also the sums of one query, of the keys
 * and values of one head, and of log_weight. The maps use the same. */
int64_t KERNEL(attention_scratch)(const device_attention *call, bool backward)
{
    int64_t count = 3 * call->head_width + 2 * call->keys;
    if (backward)
        count +=
            (1 + 2 * call->keys) * call->head_width + (call->d_log_weight ? call->bias_count : 0);
    return count * (int64_t)sizeof(double);
}

static plain_vectors vectors_in_scratch(const device_attention *call)
{
    double *first = call->scratch;
    return (plain_vectors){first, first + call->head_width, first + 2 * call->head_width};
}

static void plain_output(const device_attention *call, int64_t b, int64_t h, const double *p,
                         float *out)
{
    for (int64_t t = 0; t < call->head_width; t++) {
        double sum = 0.0;
        for (int64_t j = 0; j < call->keys; j++)
            if (p[j] != 0.0)
                sum += p[j] * plain_value(call, b, plain_kv_head(call, h), j)[t];
        out[t] = (float)sum;
    }
}

void KERNEL(attention)(const device_attention *call)
{
    plain_vectors vectors = vectors_in_scratch(call);
    double *p = vectors.k + call->head_width;
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t h = 0; h < call->heads; h++)
            for (int64_t i = 0; i < call->queries; i++) {
                float *out =
                    call->out + (b * call->queries + i) * call->out_stride + h * call->head_width;
                call->row_lse[(b * call->heads + h) * call->queries + i] =
                    (float)plain_probabilities(call, b, h, i, vectors, p);
                plain_output(call, b, h, p, out);
            }
}

void KERNEL(attention_map)(const device_attention *call)
{
    plain_vectors vectors = vectors_in_scratch(call);
    double *p = vectors.k + call->head_width;
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t h = 0; h < call->heads; h++)
            for (int64_t i = 0; i < call->queries; i++) {
                float *out = call->out + ((b * call->heads + h) * call->queries + i) * call->keys;
                plain_probabilities(call, b, h, i, vectors, p);
                for (int64_t j = 0; j < call->keys; j++)
                    out[j] = (float)p[j];
            }
}

#else

#include "engine/device/cpu/attention_space.h"
#include "engine/device/cpu/math.h"

/* Each thread has a space of its own, and packs the keys and values of one (batch item, kv head) at
 * a time into it: what a call needs grows with the threads, not with the batch. */
int64_t KERNEL(attention_scratch)(const device_attention *call, bool backward)
{
    int64_t bytes =
        backward ? backward_space_of(call, NULL, NULL) : forward_space_of(call, NULL, NULL);
    bytes *= omp_get_max_threads();
    if (backward)
        bytes += bias_space_of(call);
    return bytes;
}

/* ---- tasks: one tile of queries of one head ----
 * Tasks are ordered so that those that share keys and values follow each other. */
typedef struct forward_task {
    int64_t group; /* b * kv_heads + kv head */
    int64_t b, h, i0;
    int64_t all;  /* queries of the tile */
    int64_t rows; /* those before the length; the others see nothing */
    mask_view mask;
} forward_task;

static int64_t tasks_per_group(const device_attention *call)
{
    return call->heads / call->kv_heads * attention_tiles(call->queries);
}

/* The query tiles of a head are taken from both ends in turn: under a causal mask later ones are
 * dearer, and equal ranges of tasks shall be equal work. */
static forward_task task_of(const device_attention *call, int64_t index)
{
    const int64_t tiles = attention_tiles(call->queries), group = index / tasks_per_group(call);
    const int64_t member = index % tasks_per_group(call), turn = member % tiles;
    const int64_t tile = turn % 2 == 0 ? turn / 2 : tiles - 1 - turn / 2;
    forward_task task = {.group = group, .b = group / call->kv_heads, .i0 = tile * TILE};
    task.h = group % call->kv_heads * (call->heads / call->kv_heads) + member / tiles;
    task.mask = mask_of(call, task.b, task.h);
    task.all = mask_min(TILE, call->queries - task.i0);
    task.rows = mask_clamp(task.mask.rows - task.i0, 0, task.all);
    return task;
}

/* Tasks that a thread takes at a time: a group, which is packed once, when there are many groups;
 * an equal share otherwise. */
static int64_t task_chunk(const device_attention *call)
{
    const int64_t group = tasks_per_group(call), groups = call->batch * call->kv_heads;
    const int64_t threads = omp_get_max_threads();
    const int64_t chunk = groups >= 4 * threads ? group : groups * group / threads;
    return chunk > 1 ? chunk : 1;
}

/* Packs the key tiles before position `end` that the space does not hold yet. */
static void prepare_keys(const device_attention *call, const forward_task *task, int64_t end,
                         forward_space *space)
{
    const int64_t width = call->head_width, stride = attention_stride(call);
    const int64_t first = task->b * call->keys, g = task->group % call->kv_heads;
    const float *k = call->k + first * call->k_stride + g * width;
    if (space->group != task->group) {
        space->group = task->group;
        space->packed = 0;
    }
    for (; space->packed * TILE < end; space->packed++) {
        const int64_t j0 = space->packed * TILE;
        const int64_t count = mask_min(TILE, task->mask.length - j0);
        pack_keys(call, k, j0, count, space->tile);
        transpose_tile(call, space->tile, space->keys_t + space->packed * TILE * width);
        if (call->v) {
            const float *v = call->v + first * call->v_stride + g * width;
            pack_values(call, v, j0, count, space->values + space->packed * TILE * stride);
        }
    }
}

static void prepare_queries(const device_attention *call, const forward_task *task,
                            forward_space *space)
{
    const float *q =
        call->q + task->b * call->queries * call->q_stride + task->h * call->head_width;
    pack_queries(call, q, call->q_stride, task->i0, task->rows, true, space->q);
}

/* score (rows, TILE) = Q K' of key tile `tile`. */
static void multiply_scores(const device_attention *call, const forward_task *task, int64_t tile,
                            int64_t columns, const forward_space *space)
{
    tile_multiply(&(tile_product){
        .rows = task->rows,
        .columns = columns,
        .depth = call->head_width,
        .a = space->q,
        .a_row = attention_stride(call),
        .a_step = 1,
        .b = space->keys_t + tile * TILE * call->head_width,
        .b_row = TILE,
        .c = space->score,
        .c_row = TILE,
    });
}

/* Row maximum of x + cost, which is left in x; cost may be NULL. Not less than `top`. */
static float add_cost(float *restrict x, const float *restrict cost, int64_t columns, float top)
{
    if (cost) {
#pragma omp simd reduction(max : top)
        for (int64_t c = 0; c < columns; c++) {
            x[c] += cost[c];
            top = x[c] > top ? x[c] : top;
        }
    } else {
#pragma omp simd reduction(max : top)
        for (int64_t c = 0; c < columns; c++)
            top = x[c] > top ? x[c] : top;
    }
    return top;
}

/* x = exp(x - top); returns the sum. A row that has seen nothing has top -infinity, and 0 stands in
 * for it so that hidden pairs give exp(-infinity) = 0. */
static float exponentiate(float *x, int64_t columns, float top)
{
    const float shift = top == -INFINITY ? 0.0f : top;
#pragma omp simd
    for (int64_t c = 0; c < columns; c++)
        x[c] = fast_exp(x[c] - shift);
    return row_total(x, columns);
}

/* Turns scores into unnormalised probabilities and brings the rows' running maxima and sums up to
 * date; keep becomes the factor of what was summed before. */
static void soften_tile(int64_t rows, int64_t columns, const float *cost, forward_space *space)
{
    for (int64_t r = 0; r < rows; r++) {
        float *x = space->score + r * TILE;
        float top = add_cost(x, cost ? cost + r * TILE : NULL, columns, space->top[r]);
        float sum = exponentiate(x, columns, top);
        float keep = fast_exp(space->top[r] - (top == -INFINITY ? 0.0f : top));
        space->keep[r] = keep;
        space->sum[r] = keep * space->sum[r] + sum;
        space->top[r] = top;
    }
}

static void finish_rows(const device_attention *call, const forward_task *task,
                        const forward_space *space)
{
    const int64_t width = call->head_width, stride = attention_stride(call);
    for (int64_t r = 0; r < task->all; r++) {
        const int64_t i = task->i0 + r;
        const bool empty = r >= task->rows || space->sum[r] == 0.0f;
        const float factor = empty ? 0.0f : 1.0f / space->sum[r];
        const float *sum = space->out + r * stride;
        float *out = call->out + (task->b * call->queries + i) * call->out_stride + task->h * width;
        for (int64_t t = 0; t < width; t++)
            out[t] = factor * sum[t];
        call->row_lse[(task->b * call->heads + task->h) * call->queries + i] =
            empty ? INFINITY : space->top[r] + logf(space->sum[r]);
    }
}

static void attend(const device_attention *call, int64_t index, forward_space *space)
{
    const forward_task task = task_of(call, index);
    const int64_t stride = attention_stride(call);
    const int64_t end = task.rows ? mask_visible_end(&task.mask, task.i0 + task.rows - 1) : 0;
    prepare_keys(call, &task, end, space);
    prepare_queries(call, &task, space);
    clear_floats(space->out, TILE * stride);
    for (int64_t r = 0; r < TILE; r++) {
        space->top[r] = -INFINITY;
        space->sum[r] = space->keep[r] = 0.0f;
    }
    for (int64_t j0 = 0; j0 < end; j0 += TILE) {
        const int64_t columns = tile_columns(task.mask.length - j0);
        const tile_kind kind = mask_tile(&task.mask, task.i0, task.rows, j0, columns, space->cost);
        if (kind == TILE_EMPTY)
            continue;
        multiply_scores(call, &task, j0 / TILE, columns, space);
        soften_tile(task.rows, columns, kind == TILE_PARTIAL ? space->cost : NULL, space);
        tile_multiply(&(tile_product){
            .rows = task.rows,
            .columns = call->head_width,
            .depth = columns,
            .a = space->score,
            .a_row = TILE,
            .a_step = 1,
            .b = space->values + j0 * stride,
            .b_row = stride,
            .c = space->out,
            .c_row = stride,
            .add = true,
            .keep = space->keep,
        });
    }
    finish_rows(call, &task, space);
}

/* One tile of the map: scores and costs straight into the rows of out, then the softmax of each. */
static void map_rows(const device_attention *call, int64_t index, forward_space *space)
{
    const forward_task task = task_of(call, index);
    const int64_t keys = call->keys;
    const int64_t end = task.rows ? mask_visible_end(&task.mask, task.i0 + task.rows - 1) : 0;
    float *out = call->out + ((task.b * call->heads + task.h) * call->queries + task.i0) * keys;
    prepare_keys(call, &task, end, space);
    prepare_queries(call, &task, space);
    for (int64_t j0 = 0; j0 < end; j0 += TILE) {
        const int64_t count = mask_min(TILE, keys - j0);
        multiply_scores(call, &task, j0 / TILE, tile_columns(task.mask.length - j0), space);
        for (int64_t r = 0; r < task.rows; r++) {
            mask_row(&task.mask, task.i0 + r, j0, count, space->cost);
            for (int64_t c = 0; c < count; c++)
                out[r * keys + j0 + c] = space->score[r * TILE + c] + space->cost[c];
        }
    }
    for (int64_t r = 0; r < task.all; r++) {
        float *row = out + r * keys;
        const int64_t used = r < task.rows ? mask_visible_end(&task.mask, task.i0 + r) : 0;
        const float top = add_cost(row, NULL, used, -INFINITY);
        const float shift = top == -INFINITY ? 0.0f : top;
        double sum = 0.0;
#pragma omp simd
        for (int64_t c = 0; c < used; c++)
            row[c] = fast_exp(row[c] - shift);
        for (int64_t c = 0; c < used; c++)
            sum += row[c];
        const float factor = sum == 0.0 ? 0.0f : (float)(1.0 / sum);
        for (int64_t c = 0; c < used; c++)
            row[c] *= factor;
        clear_floats(row + used, keys - used);
    }
}

static void run_tasks(const device_attention *call,
                      void (*task)(const device_attention *, int64_t, forward_space *))
{
    const int64_t tasks = call->batch * call->kv_heads * tasks_per_group(call);
    const int64_t chunk = task_chunk(call);
#pragma omp parallel if (attention_is_large(call))
    {
        forward_space space;
        int64_t bytes = forward_space_of(call, NULL, NULL);
        forward_space_of(call, (char *)call->scratch + omp_get_thread_num() * bytes, &space);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < tasks; first += chunk)
            for (int64_t index = first; index < mask_min(first + chunk, tasks); index++)
                task(call, index, &space);
    }
}

void KERNEL(attention)(const device_attention *call)
{
    run_tasks(call, attend);
}

void KERNEL(attention_map)(const device_attention *call)
{
    run_tasks(call, map_rows);
}

#endif
