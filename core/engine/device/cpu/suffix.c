/* cpu/suffix.c - attention of suffixes on constant prefixes, forward (see suffix.h).
 *
 * Rows that share a prefix stand side by side: their queries, all heads of a kv head together, are
 * cut into tiles of 64 that meet the prefix's key tiles in one product each, whatever row they are
 * of. Then each row's queries meet the row's own keys, and the two parts join as the tiles of an
 * online softmax do, by the running maximum and sum of each row. So twenty questions about one user
 * read the user's keys as often as one long question would.
 *
 * Determinism: a query's result depends on its own row and prefix alone; which tile it stands in,
 * and who stands beside it, changes no bit. */
#include "engine/device/cpu/kernels.h"

#include "engine/device/cpu/suffix.h"

#include <omp.h>

#if ASSAY_PLAIN

/* Doubles: a rotated query and key, probabilities of prefix and suffix; backwards also their
 * gradient and those of q, k and v. */
int64_t KERNEL(suffix_scratch)(const device_suffix *call, bool backward)
{
    const int64_t keys = suffix_longest_prefix(call) + call->keys, width = call->head_width;
    int64_t count = 3 * width + keys;
    if (backward)
        count += keys + width + 2 * call->keys * width;
    return count * (int64_t)sizeof(double);
}

static void plain_turn(const device_suffix *call, int64_t position, const float *x, double *y)
{
    const int64_t half = call->head_width / 2;
    for (int64_t t = 0; t < call->head_width; t++)
        y[t] = x[t];
    for (int64_t t = 0; call->cosine && t < half; t++) {
        double c = call->cosine[position * half + t], s = call->sine[position * half + t];
        y[t] = x[t] * c - x[half + t] * s;
        y[half + t] = x[half + t] * c + x[t] * s;
    }
}

/* Softmax over prefix tokens and own tokens 0 .. token, into p; the log of the sum of exp. */
static double plain_scores(const device_suffix *call, int64_t b, int64_t h, int64_t i,
                           double *scratch, double *p)
{
    const int64_t width = call->head_width, g = h / (call->heads / call->kv_heads);
    const device_prefix *prefix = &call->prefix[b];
    const int64_t token = suffix_token(call, b, i), all = prefix->tokens + token + 1;
    double *q = scratch, *k = scratch + width, top = -(double)INFINITY, sum = 0.0;
    plain_turn(call, prefix->tokens + token,
               suffix_row(call->q, call->q_stride, b * call->queries + i, h, width), q);
    for (int64_t j = 0; j < all; j++) {
        const float *key = j < prefix->tokens
                               ? suffix_row(prefix->keys, prefix_stride(call), j, g, width)
                               : suffix_row(call->k, call->k_stride,
                                            b * call->keys + j - prefix->tokens, g, width);
        for (int64_t t = 0; t < width && j < prefix->tokens; t++)
            k[t] = key[t];
        if (j >= prefix->tokens)
            plain_turn(call, j, key, k);
        p[j] = 0.0;
        for (int64_t t = 0; t < width; t++)
            p[j] += q[t] * k[t];
        p[j] *= call->scale;
        top = p[j] > top ? p[j] : top;
    }
    for (int64_t j = 0; j < all; j++)
        sum += p[j] = exp(p[j] - top);
    for (int64_t j = 0; j < all; j++)
        p[j] /= sum;
    return top + log(sum);
}

void KERNEL(suffix_attention)(const device_suffix *call)
{
    const int64_t width = call->head_width;
    double *scratch = call->scratch, *p = scratch + 3 * width;
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t h = 0; h < call->heads; h++)
            for (int64_t i = 0; i < call->queries; i++) {
                const device_prefix *prefix = &call->prefix[b];
                const int64_t g = h / (call->heads / call->kv_heads);
                const int64_t token = suffix_token(call, b, i);
                const int64_t all = token < 0 ? 0 : prefix->tokens + token + 1;
                float *out = call->out + (b * call->queries + i) * call->out_stride + h * width;
                call->row_lse[(b * call->heads + h) * call->queries + i] =
                    all ? (float)plain_scores(call, b, h, i, scratch, p) : INFINITY;
                for (int64_t t = 0; t < width; t++) {
                    double sum = 0.0;
                    for (int64_t j = 0; j < all; j++)
                        sum += p[j] *
                               (j < prefix->tokens
                                    ? suffix_row(prefix->values, prefix_stride(call), j, g, width)
                                    : suffix_row(call->v, call->v_stride,
                                                 b * call->keys + j - prefix->tokens, g, width))[t];
                    out[t] = (float)sum;
                }
            }
}

#else

#include "engine/device/cpu/math.h"

/* Rows first .. end - 1 have one prefix; their tasks are `task` .. next - 1. */
typedef struct suffix_group {
    int64_t first, end, task;
} suffix_group;

typedef struct suffix_space {
    const float *packed; /* the prefix that is packed, and of which kv head */
    int64_t packed_head;
    float *keys_t, *values;                    /* (tiles, width, TILE), (tiles, TILE, stride) */
    float *own_keys, *own_keys_t, *own_values; /* one tile of a row's own */
    float *q, *out, *part;                     /* (SUFFIX_ROWS, stride) */
    float *score;                              /* (SUFFIX_ROWS, TILE) */
    float *top, *sum, *keep;                   /* (SUFFIX_ROWS) */
} suffix_space;

static int64_t space_of(const device_suffix *call, char *base, suffix_space *space)
{
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape), width = call->head_width;
    const int64_t tokens = attention_tiles(suffix_longest_prefix(call)) * TILE;
    int64_t bytes = 0;
    suffix_space s = {.packed_head = -1};
    s.keys_t = carve_floats(base, &bytes, tokens * width);
    s.values = carve_floats(base, &bytes, tokens * stride);
    s.own_keys = carve_floats(base, &bytes, TILE * stride);
    s.own_keys_t = carve_floats(base, &bytes, TILE * width);
    s.own_values = carve_floats(base, &bytes, TILE * stride);
    s.q = carve_floats(base, &bytes, SUFFIX_ROWS * stride);
    s.out = carve_floats(base, &bytes, SUFFIX_ROWS * stride);
    s.part = carve_floats(base, &bytes, SUFFIX_ROWS * stride);
    s.score = carve_floats(base, &bytes, SUFFIX_ROWS * TILE);
    s.top = carve_floats(base, &bytes, SUFFIX_ROWS);
    s.sum = carve_floats(base, &bytes, SUFFIX_ROWS);
    s.keep = carve_floats(base, &bytes, SUFFIX_ROWS);
    if (space)
        *space = s;
    return bytes;
}

static int64_t groups_bytes(const device_suffix *call)
{
    return round_up((call->batch + 1) * (int64_t)sizeof(suffix_group), ASSAY_ALIGNMENT);
}

int64_t KERNEL(suffix_scratch)(const device_suffix *call, bool backward)
{
    if (backward)
        return KERNEL(d_suffix_scratch)(call);
    return groups_bytes(call) + space_of(call, NULL, NULL) * omp_get_max_threads();
}

/* One tile of queries: those number first .. first + rows - 1 of a group and kv head, counted row
 * after row, head after head. */
typedef struct suffix_task {
    const device_suffix *call;
    const suffix_group *group;
    int64_t g, first, rows;
    int64_t token[TILE]; /* which token of its row each is */
} suffix_task;

typedef struct suffix_query {
    int64_t b, h, i;
} suffix_query;

static suffix_query query_at(const suffix_task *task, int64_t r)
{
    const device_suffix *call = task->call;
    const int64_t shared = call->heads / call->kv_heads, index = task->first + r;
    const int64_t row = index / (shared * call->queries), rest = index % (shared * call->queries);
    return (suffix_query){task->group->first + row, task->g * shared + rest / call->queries,
                          rest % call->queries};
}

static int64_t tiles_of(const device_suffix *call, const suffix_group *group)
{
    return attention_tiles((group->end - group->first) * (call->heads / call->kv_heads) *
                           call->queries);
}

/* Fills the groups and returns the number of tasks. */
static int64_t find_groups(const device_suffix *call, suffix_group *groups, int64_t *count)
{
    int64_t tasks = 0;
    *count = 0;
    for (int64_t b = 0; b < call->batch;) {
        suffix_group *group = &groups[(*count)++];
        *group = (suffix_group){b, b + 1, tasks};
        while (group->end < call->batch && call->prefix[group->end].keys == call->prefix[b].keys &&
               call->prefix[group->end].tokens == call->prefix[b].tokens)
            group->end++;
        tasks += call->kv_heads * tiles_of(call, group);
        b = group->end;
    }
    groups[*count] = (suffix_group){call->batch, call->batch, tasks};
    return tasks;
}

static void pack_prefix(const suffix_task *task, suffix_space *space)
{
    const device_suffix *call = task->call;
    const device_prefix *prefix = &call->prefix[task->group->first];
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape), width = call->head_width;
    if (space->packed == prefix->keys && space->packed_head == task->g)
        return;
    space->packed = prefix->keys;
    space->packed_head = task->g;
    for (int64_t j0 = 0; j0 < prefix->tokens; j0 += TILE) {
        const int64_t count = mask_min(TILE, prefix->tokens - j0), from = prefix_stride(call);
        transpose_rows(width, count, suffix_row(prefix->keys, from, j0, task->g, width), from,
                       space->keys_t + j0 * width);
        pack_rows(width, stride, count, suffix_row(prefix->values, from, j0, task->g, width), from,
                  space->values + j0 * stride);
    }
}

static void pack_queries_of(suffix_task *task, suffix_space *space)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape);
    clear_floats(space->q, SUFFIX_ROWS * stride);
    clear_floats(space->out, SUFFIX_ROWS * stride);
    for (int64_t r = 0; r < task->rows; r++) {
        const suffix_query query = query_at(task, r);
        task->token[r] = suffix_token(call, query.b, query.i);
        space->top[r] = -INFINITY;
        space->sum[r] = 0.0f;
        if (task->token[r] >= 0)
            rotate_row(&shape, call->prefix[query.b].tokens + task->token[r], call->scale,
                       suffix_row(call->q, call->q_stride, query.b * call->queries + query.i,
                                  query.h, call->head_width),
                       space->q + r * stride);
    }
}

/* Turns row r's scores into unnormalised probabilities: the first `seen` of `columns` count. Brings
 * its running maximum and sum up to date. */
static void soften_row(suffix_space *space, int64_t r, float *restrict x, int64_t seen,
                       int64_t columns)
{
    float top = space->top[r];
    for (int64_t c = seen; c < columns; c++)
        x[c] = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int64_t c = 0; c < columns; c++)
        top = x[c] > top ? x[c] : top;
    const float shift = top == -INFINITY ? 0.0f : top;
#pragma omp simd
    for (int64_t c = 0; c < columns; c++)
        x[c] = fast_exp(x[c] - shift);
    space->keep[r] = fast_exp(space->top[r] - shift);
    space->sum[r] = space->keep[r] * space->sum[r] + row_total(x, columns);
    space->top[r] = top;
}

/* score (rows, TILE) = Q K' of the queries from r0 on. */
static void score_rows(const suffix_task *task, const suffix_space *space, int64_t r0, int64_t rows,
                       int64_t columns, const float *keys_t)
{
    const device_attention shape = suffix_shape(task->call);
    tile_multiply(&(tile_product){
        .rows = rows,
        .columns = columns,
        .depth = shape.head_width,
        .a = space->q + r0 * attention_stride(&shape),
        .a_row = attention_stride(&shape),
        .a_step = 1,
        .b = keys_t,
        .b_row = TILE,
        .c = space->score,
        .c_row = TILE,
    });
}

static void attend_prefix(const suffix_task *task, suffix_space *space)
{
    const device_attention shape = suffix_shape(task->call);
    const int64_t stride = attention_stride(&shape), width = shape.head_width;
    const int64_t tokens = task->call->prefix[task->group->first].tokens;
    for (int64_t j0 = 0; j0 < tokens; j0 += TILE) {
        const int64_t count = mask_min(TILE, tokens - j0), columns = tile_columns(count);
        score_rows(task, space, 0, task->rows, columns, space->keys_t + j0 * width);
        for (int64_t r = 0; r < task->rows; r++)
            soften_row(space, r, space->score + r * TILE, count, columns);
        tile_multiply(&(tile_product){
            .rows = task->rows,
            .columns = width,
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
}

/* Queries r0 .. r0 + rows - 1, all of row b, and one tile of that row's own tokens. */
static void attend_own_tile(const suffix_task *task, suffix_space *space, int64_t b, int64_t r0,
                            int64_t rows, int64_t j0)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape), width = shape.head_width;
    const int64_t count = mask_min(TILE, suffix_length(call, b) - j0);
    const int64_t columns = tile_columns(count);
    pack_own_keys(call, b, task->g, j0, count, space->own_keys);
    transpose_rows(width, count, space->own_keys, stride, space->own_keys_t);
    pack_own_values(call, b, task->g, j0, count, space->own_values);
    score_rows(task, space, r0, rows, columns, space->own_keys_t);
    for (int64_t r = 0; r < rows; r++)
        soften_row(space, r0 + r, space->score + r * TILE,
                   mask_clamp(task->token[r0 + r] + 1 - j0, 0, count), columns);
    tile_multiply(&(tile_product){
        .rows = rows,
        .columns = width,
        .depth = columns,
        .a = space->score,
        .a_row = TILE,
        .a_step = 1,
        .b = space->own_values,
        .b_row = stride,
        .c = space->part,
        .c_row = stride,
    });
    for (int64_t r = 0; r < rows; r++) {
        float *restrict out = space->out + (r0 + r) * stride;
        const float *part = space->part + r * stride, keep = space->keep[r0 + r];
        for (int64_t t = 0; t < width; t++)
            out[t] = keep * out[t] + part[t];
    }
}

static void attend_own(const suffix_task *task, suffix_space *space)
{
    for (int64_t r0 = 0; r0 < task->rows;) {
        const int64_t b = query_at(task, r0).b;
        int64_t rows = 0, end = 0;
        for (; r0 + rows < task->rows && query_at(task, r0 + rows).b == b; rows++)
            end = task->token[r0 + rows] + 1 > end ? task->token[r0 + rows] + 1 : end;
        for (int64_t j0 = 0; j0 < end; j0 += TILE)
            attend_own_tile(task, space, b, r0, rows, j0);
        r0 += rows;
    }
}

static void finish_rows(const suffix_task *task, const suffix_space *space)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    for (int64_t r = 0; r < task->rows; r++) {
        const suffix_query query = query_at(task, r);
        const bool empty = task->token[r] < 0;
        const float factor = empty ? 0.0f : 1.0f / space->sum[r];
        const float *sum = space->out + r * attention_stride(&shape);
        float *out = call->out + (query.b * call->queries + query.i) * call->out_stride +
                     query.h * call->head_width;
        for (int64_t t = 0; t < call->head_width; t++)
            out[t] = factor * sum[t];
        call->row_lse[(query.b * call->heads + query.h) * call->queries + query.i] =
            empty ? INFINITY : space->top[r] + logf(space->sum[r]);
    }
}

static void attend(const device_suffix *call, const suffix_group *groups, int64_t count,
                   int64_t index, suffix_space *space)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (groups[middle].task <= index)
            low = middle;
        else
            high = middle - 1;
    }
    const suffix_group *group = &groups[low];
    const int64_t tiles = tiles_of(call, group), member = index - group->task;
    const int64_t all =
        (group->end - group->first) * (call->heads / call->kv_heads) * call->queries;
    suffix_task task = {call, group, member / tiles, member % tiles * TILE, 0, {0}};
    task.rows = mask_min(TILE, all - task.first);
    pack_prefix(&task, space);
    pack_queries_of(&task, space);
    attend_prefix(&task, space);
    attend_own(&task, space);
    finish_rows(&task, space);
}

void KERNEL(suffix_attention)(const device_suffix *call)
{
    suffix_group *groups = call->scratch;
    int64_t count = 0;
    if (call->batch * call->heads * call->queries == 0)
        return;
    const int64_t tasks = find_groups(call, groups, &count), bytes = space_of(call, NULL, NULL);
    char *spaces = (char *)call->scratch + groups_bytes(call);
#pragma omp parallel if (suffix_is_large(call))
    {
        suffix_space space;
        space_of(call, spaces + omp_get_thread_num() * bytes, &space);
#pragma omp for schedule(static)
        for (int64_t index = 0; index < tasks; index++)
            attend(call, groups, count, index, &space);
    }
}

#endif
