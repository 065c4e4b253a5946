/* cpu/suffix_backward.c - attention of suffixes on constant prefixes, backward (see suffix.h).
 *
 * The probabilities come back from the scores and row_lse. One task is one row and kv head with all
 * query heads that share it, so that the gradients of its keys and values are summed in one place
 * and in one order. The prefix is packed once by a thread for neighbouring rows that share it. */
#include "engine/device/cpu/kernels.h"

#include "engine/device/cpu/suffix.h"

#include <omp.h>

#if ASSAY_PLAIN

typedef struct plain_sums {
    double *q, *k, *raw; /* (width) */
    double *p, *d_p;     /* (prefix + keys) */
    double *d_q;         /* (width) */
    double *d_k, *d_v;   /* (keys, width) */
} plain_sums;

/* y = R x, or R' x when `back`. */
static void plain_turn(const device_suffix *call, int64_t position, bool back, const double *x,
                       double *y)
{
    const int64_t half = call->head_width / 2;
    for (int64_t t = 0; t < call->head_width; t++)
        y[t] = x[t];
    for (int64_t t = 0; call->cosine && t < half; t++) {
        double c = call->cosine[position * half + t], s = call->sine[position * half + t];
        s = back ? -s : s;
        y[t] = x[t] * c - x[half + t] * s;
        y[half + t] = x[half + t] * c + x[t] * s;
    }
}

/* The rotated key j of row b into sums->k. */
static void plain_key_of(const device_suffix *call, int64_t b, int64_t g, int64_t j,
                         plain_sums *sums)
{
    const device_prefix *prefix = &call->prefix[b];
    const int64_t width = call->head_width;
    const bool own = j >= prefix->tokens;
    const float *key =
        own ? suffix_row(call->k, call->k_stride, b * call->keys + j - prefix->tokens, g, width)
            : suffix_row(prefix->keys, prefix_stride(call), j, g, width);
    for (int64_t t = 0; t < width; t++)
        sums->raw[t] = sums->k[t] = key[t];
    if (own)
        plain_turn(call, j, false, sums->raw, sums->k);
}

static const float *plain_value_of(const device_suffix *call, int64_t b, int64_t g, int64_t j)
{
    const device_prefix *prefix = &call->prefix[b];
    return j < prefix->tokens
               ? suffix_row(prefix->values, prefix_stride(call), j, g, call->head_width)
               : suffix_row(call->v, call->v_stride, b * call->keys + j - prefix->tokens, g,
                            call->head_width);
}

static double plain_dot(int64_t n, const double *a, const double *b)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += a[t] * b[t];
    return sum;
}

/* P and dP of a query over the `all` keys that it sees; returns sum P dP. */
static double plain_probabilities(const device_suffix *call, int64_t b, int64_t h, int64_t i,
                                  int64_t all, plain_sums *sums)
{
    const int64_t width = call->head_width, g = h / (call->heads / call->kv_heads);
    const float *q = suffix_row(call->q, call->q_stride, b * call->queries + i, h, width);
    const float *d_out = suffix_row(call->d_out, call->out_stride, b * call->queries + i, h, width);
    double top = -(double)INFINITY, sum = 0.0, mean = 0.0;
    for (int64_t t = 0; t < width; t++)
        sums->raw[t] = q[t];
    plain_turn(call, all - 1, false, sums->raw, sums->q);
    for (int64_t j = 0; j < all; j++) {
        plain_key_of(call, b, g, j, sums);
        sums->p[j] = call->scale * plain_dot(width, sums->q, sums->k);
        top = sums->p[j] > top ? sums->p[j] : top;
    }
    for (int64_t j = 0; j < all; j++)
        sum += sums->p[j] = exp(sums->p[j] - top);
    for (int64_t j = 0; j < all; j++) {
        const float *v = plain_value_of(call, b, g, j);
        sums->p[j] /= sum;
        sums->d_p[j] = 0.0;
        for (int64_t t = 0; t < width; t++)
            sums->d_p[j] += (double)d_out[t] * v[t];
        mean += sums->p[j] * sums->d_p[j];
    }
    return mean;
}

static void plain_write(const device_suffix *call, int64_t position, const double *x,
                        plain_sums *sums, float *y, bool add)
{
    for (int64_t t = 0; t < call->head_width; t++)
        sums->raw[t] = x[t];
    if (position >= 0)
        plain_turn(call, position, true, x, sums->raw);
    for (int64_t t = 0; t < call->head_width; t++)
        y[t] = (float)((add ? y[t] : 0.0) + sums->raw[t]);
}

static void plain_query(const device_suffix *call, int64_t b, int64_t h, int64_t i,
                        plain_sums *sums)
{
    const int64_t width = call->head_width, g = h / (call->heads / call->kv_heads);
    const int64_t before = call->prefix[b].tokens, token = suffix_token(call, b, i);
    const int64_t all = token < 0 ? 0 : before + token + 1;
    const float *d_out = suffix_row(call->d_out, call->out_stride, b * call->queries + i, h, width);
    const double mean = all ? plain_probabilities(call, b, h, i, all, sums) : 0.0;
    for (int64_t t = 0; t < width; t++)
        sums->d_q[t] = 0.0;
    for (int64_t j = 0; j < all; j++) {
        const double d_s = call->scale * sums->p[j] * (sums->d_p[j] - mean);
        plain_key_of(call, b, g, j, sums);
        for (int64_t t = 0; t < width; t++) {
            sums->d_q[t] += d_s * sums->k[t];
            if (j < before)
                continue;
            sums->d_k[(j - before) * width + t] += d_s * sums->q[t];
            sums->d_v[(j - before) * width + t] += sums->p[j] * d_out[t];
        }
    }
    if (call->d_q)
        plain_write(call, all - 1, sums->d_q, sums,
                    call->d_q + (b * call->queries + i) * call->q_stride + h * width, call->add_q);
}

void KERNEL(d_suffix_attention)(const device_suffix *call)
{
    const int64_t width = call->head_width, shared = call->heads / call->kv_heads;
    const int64_t keys = suffix_longest_prefix(call) + call->keys;
    double *next = call->scratch;
    plain_sums sums = {.q = next, .k = next + width, .raw = next + 2 * width};
    sums.p = next + 3 * width;
    sums.d_p = sums.p + keys;
    sums.d_q = sums.d_p + keys;
    sums.d_k = sums.d_q + width;
    sums.d_v = sums.d_k + call->keys * width;
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t g = 0; g < call->kv_heads; g++) {
            for (int64_t e = 0; e < 2 * call->keys * width; e++)
                sums.d_k[e] = 0.0;
            for (int64_t h = g * shared; h < (g + 1) * shared; h++)
                for (int64_t i = 0; i < call->queries; i++)
                    plain_query(call, b, h, i, &sums);
            for (int64_t j = 0; j < call->keys; j++) {
                const int64_t row = b * call->keys + j;
                if (call->d_k)
                    plain_write(call, call->prefix[b].tokens + j, sums.d_k + j * width, &sums,
                                call->d_k + row * call->k_stride + g * width, call->add_k);
                if (call->d_v)
                    plain_write(call, -1, sums.d_v + j * width, &sums,
                                call->d_v + row * call->v_stride + g * width, call->add_v);
            }
        }
}

#else

#include "engine/device/cpu/math.h"

/* One row of keys or values, packed in the two ways that products want. */
typedef struct packed_tokens {
    float *keys;              /* (tiles, TILE, stride), rotated */
    float *keys_t, *values_t; /* (tiles, width, TILE) */
} packed_tokens;

typedef struct backward_space {
    const float *packed; /* the prefix that is packed, and of which kv head */
    int64_t packed_head;
    packed_tokens prefix, own;
    float *d_keys, *d_values;     /* (own tiles, TILE, stride) */
    float *tile;                  /* (TILE, stride): values before they are transposed */
    float *q, *d_out, *d_q;       /* (TILE, stride) */
    float *probability, *d_score; /* (TILE, TILE) */
    float *lse, *delta;           /* (TILE) */
} backward_space;

static packed_tokens carve_tokens(char *base, int64_t *bytes, int64_t tokens, int64_t width,
                                  int64_t stride)
{
    packed_tokens p;
    p.keys = carve_floats(base, bytes, tokens * stride);
    p.keys_t = carve_floats(base, bytes, tokens * width);
    p.values_t = carve_floats(base, bytes, tokens * width);
    return p;
}

static int64_t space_of(const device_suffix *call, char *base, backward_space *space)
{
    const device_attention shape = suffix_shape(call);
    const int64_t stride = attention_stride(&shape), width = call->head_width;
    const int64_t own = attention_tiles(call->keys) * TILE;
    int64_t bytes = 0;
    backward_space s = {.packed_head = -1};
    s.prefix = carve_tokens(base, &bytes, attention_tiles(suffix_longest_prefix(call)) * TILE,
                            width, stride);
    s.own = carve_tokens(base, &bytes, own, width, stride);
    s.d_keys = carve_floats(base, &bytes, own * stride);
    s.d_values = carve_floats(base, &bytes, own * stride);
    s.tile = carve_floats(base, &bytes, TILE * stride);
    s.q = carve_floats(base, &bytes, TILE * stride);
    s.d_out = carve_floats(base, &bytes, TILE * stride);
    s.d_q = carve_floats(base, &bytes, TILE * stride);
    s.probability = carve_floats(base, &bytes, TILE * TILE);
    s.d_score = carve_floats(base, &bytes, TILE * TILE);
    s.lse = carve_floats(base, &bytes, TILE);
    s.delta = carve_floats(base, &bytes, TILE);
    if (space)
        *space = s;
    return bytes;
}

int64_t KERNEL(d_suffix_scratch)(const device_suffix *call)
{
    return space_of(call, NULL, NULL) * omp_get_max_threads();
}

/* A row and kv head under way, and the tile of its queries at hand: numbers first .. first + rows -
 * 1, head after head. */
typedef struct backward_task {
    const device_suffix *call;
    int64_t b, g, first, rows, stride;
    int64_t token[TILE];
    backward_space space;
} backward_task;

static int64_t query_of(const backward_task *task, int64_t r, int64_t *head)
{
    const device_suffix *call = task->call;
    const int64_t index = task->first + r, shared = call->heads / call->kv_heads;
    *head = task->g * shared + index / call->queries;
    return index % call->queries;
}

/* ---- packing ---- */

static void pack_prefix(backward_task *task)
{
    const device_suffix *call = task->call;
    const device_prefix *prefix = &call->prefix[task->b];
    const int64_t width = call->head_width, from = prefix_stride(call);
    packed_tokens *to = &task->space.prefix;
    if (task->space.packed == prefix->keys && task->space.packed_head == task->g)
        return;
    task->space.packed = prefix->keys;
    task->space.packed_head = task->g;
    for (int64_t j0 = 0; j0 < prefix->tokens; j0 += TILE) {
        const int64_t count = mask_min(TILE, prefix->tokens - j0);
        const float *keys = suffix_row(prefix->keys, from, j0, task->g, width);
        const float *values = suffix_row(prefix->values, from, j0, task->g, width);
        pack_rows(width, task->stride, count, keys, from, to->keys + j0 * task->stride);
        transpose_rows(width, count, keys, from, to->keys_t + j0 * width);
        transpose_rows(width, count, values, from, to->values_t + j0 * width);
    }
}

static void pack_own(backward_task *task)
{
    const device_suffix *call = task->call;
    const int64_t width = call->head_width, length = suffix_length(call, task->b);
    packed_tokens *to = &task->space.own;
    for (int64_t j0 = 0; j0 < length; j0 += TILE) {
        const int64_t count = mask_min(TILE, length - j0);
        pack_own_keys(call, task->b, task->g, j0, count, to->keys + j0 * task->stride);
        transpose_rows(width, count, to->keys + j0 * task->stride, task->stride,
                       to->keys_t + j0 * width);
        pack_own_values(call, task->b, task->g, j0, count, task->space.tile);
        transpose_rows(width, count, task->space.tile, task->stride, to->values_t + j0 * width);
    }
    clear_floats(task->space.d_keys, attention_tiles(call->keys) * TILE * task->stride);
    clear_floats(task->space.d_values, attention_tiles(call->keys) * TILE * task->stride);
}

/* The queries of a tile, the gradient of what they gave, and delta = dO . O. */
static void pack_queries_of(backward_task *task)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    const int64_t width = call->head_width, stride = task->stride;
    backward_space *space = &task->space;
    clear_floats(space->q, TILE * stride);
    clear_floats(space->d_out, TILE * stride);
    clear_floats(space->d_q, TILE * stride);
    for (int64_t r = 0; r < task->rows; r++) {
        int64_t h, i = query_of(task, r, &h), row = task->b * call->queries + i;
        const float *d_out = suffix_row(call->d_out, call->out_stride, row, h, width);
        const float *out = suffix_row(call->out, call->out_stride, row, h, width);
        float sum = 0.0f;
        task->token[r] = suffix_token(call, task->b, i);
        space->lse[r] = INFINITY;
        space->delta[r] = 0.0f;
        if (task->token[r] < 0)
            continue;
        rotate_row(&shape, call->prefix[task->b].tokens + task->token[r], call->scale,
                   suffix_row(call->q, call->q_stride, row, h, width), space->q + r * stride);
        memcpy(space->d_out + r * stride, d_out, (size_t)width * sizeof *d_out);
#pragma omp simd reduction(+ : sum)
        for (int64_t t = 0; t < width; t++)
            sum += d_out[t] * out[t];
        space->lse[r] = call->row_lse[(task->b * call->heads + h) * call->queries + i];
        space->delta[r] = sum;
    }
}

/* ---- one tile ---- */

/* y (rows, TILE) = x (rows, width) times a transposed tile. */
static void multiply_transposed(const backward_task *task, int64_t columns, const float *x,
                                const float *tile_t, float *y)
{
    tile_multiply(&(tile_product){
        .rows = task->rows,
        .columns = columns,
        .depth = task->call->head_width,
        .a = x,
        .a_row = task->stride,
        .a_step = 1,
        .b = tile_t,
        .b_row = TILE,
        .c = y,
        .c_row = TILE,
    });
}

/* sum (columns, stride) += x' y over the queries of the tile. */
static void add_over_queries(const backward_task *task, int64_t columns, const float *x,
                             const float *y, float *sum)
{
    tile_multiply(&(tile_product){
        .rows = columns,
        .columns = task->call->head_width,
        .depth = task->rows,
        .a = x,
        .a_row = 1,
        .a_step = TILE,
        .b = y,
        .b_row = task->stride,
        .c = sum,
        .c_row = task->stride,
        .add = true,
    });
}

/* P and dS of the tile's queries at `count` tokens from j0 on, own ones or the prefix's, and what
 * they add to the gradient of q. */
static void walk_tile(const backward_task *task, const packed_tokens *tokens, int64_t j0,
                      int64_t count, bool own)
{
    const backward_space *space = &task->space;
    const int64_t columns = tile_columns(count), width = task->call->head_width;
    multiply_transposed(task, columns, space->q, tokens->keys_t + j0 * width, space->probability);
    multiply_transposed(task, columns, space->d_out, tokens->values_t + j0 * width, space->d_score);
    for (int64_t r = 0; r < task->rows; r++) {
        float *restrict p = space->probability + r * TILE;
        float *restrict d_score = space->d_score + r * TILE;
        const float lse = space->lse[r], delta = space->delta[r];
        const int64_t seen = own ? mask_clamp(task->token[r] + 1 - j0, 0, count) : count;
#pragma omp simd
        for (int64_t c = 0; c < columns; c++)
            p[c] = fast_exp(p[c] - lse);
        for (int64_t c = seen; c < columns; c++)
            p[c] = 0.0f;
#pragma omp simd
        for (int64_t c = 0; c < columns; c++)
            d_score[c] = p[c] * (d_score[c] - delta);
    }
    tile_multiply(&(tile_product){
        .rows = task->rows,
        .columns = width,
        .depth = columns,
        .a = space->d_score,
        .a_row = TILE,
        .a_step = 1,
        .b = tokens->keys + j0 * task->stride,
        .b_row = task->stride,
        .c = space->d_q,
        .c_row = task->stride,
        .add = true,
    });
    if (!own)
        return;
    add_over_queries(task, columns, space->d_score, space->q, space->d_keys + j0 * task->stride);
    add_over_queries(task, columns, space->probability, space->d_out,
                     space->d_values + j0 * task->stride);
}

/* ---- writing ---- */

static void write_queries(const backward_task *task)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    for (int64_t r = 0; r < task->rows && call->d_q; r++) {
        int64_t h, i = query_of(task, r, &h);
        float *d_q =
            call->d_q + (task->b * call->queries + i) * call->q_stride + h * call->head_width;
        if (task->token[r] >= 0)
            rotate_row_back(&shape, call->prefix[task->b].tokens + task->token[r], call->scale,
                            task->space.d_q + r * task->stride, d_q, call->add_q);
        else if (!call->add_q)
            clear_floats(d_q, call->head_width);
    }
}

/* The queries are packed times the scale, which the gradient of the keys therefore holds
 * already. */
static void write_keys(const backward_task *task)
{
    const device_suffix *call = task->call;
    const device_attention shape = suffix_shape(call);
    const int64_t width = call->head_width;
    for (int64_t j = 0; j < call->keys; j++) {
        const int64_t row = task->b * call->keys + j;
        float *d_k = call->d_k ? call->d_k + row * call->k_stride + task->g * width : NULL;
        float *d_v = call->d_v ? call->d_v + row * call->v_stride + task->g * width : NULL;
        const float *sum = task->space.d_values + j * task->stride;
        if (d_k)
            rotate_row_back(&shape, call->prefix[task->b].tokens + j, 1.0f,
                            task->space.d_keys + j * task->stride, d_k, call->add_k);
        if (d_v && !call->add_v)
            clear_floats(d_v, width);
        for (int64_t t = 0; t < width && d_v; t++)
            d_v[t] += sum[t];
    }
}

static void backward_row(backward_task *task)
{
    const device_suffix *call = task->call;
    const int64_t before = call->prefix[task->b].tokens, length = suffix_length(call, task->b);
    const int64_t all = call->heads / call->kv_heads * call->queries;
    pack_prefix(task);
    pack_own(task);
    for (task->first = 0; task->first < all; task->first += TILE) {
        task->rows = mask_min(TILE, all - task->first);
        pack_queries_of(task);
        for (int64_t j0 = 0; j0 < before; j0 += TILE)
            walk_tile(task, &task->space.prefix, j0, mask_min(TILE, before - j0), false);
        for (int64_t j0 = 0; j0 < length; j0 += TILE)
            walk_tile(task, &task->space.own, j0, mask_min(TILE, length - j0), true);
        write_queries(task);
    }
    write_keys(task);
}

void KERNEL(d_suffix_attention)(const device_suffix *call)
{
    const int64_t tasks = call->batch * call->kv_heads, bytes = space_of(call, NULL, NULL);
#pragma omp parallel if (suffix_is_large(call))
    {
        const device_attention shape = suffix_shape(call);
        backward_task task = {.call = call, .stride = attention_stride(&shape)};
        space_of(call, (char *)call->scratch + omp_get_thread_num() * bytes, &task.space);
#pragma omp for schedule(static)
        for (int64_t index = 0; index < tasks; index++) {
            task.g = index / call->batch;
            task.b = index % call->batch;
            backward_row(&task);
        }
    }
}

#endif
