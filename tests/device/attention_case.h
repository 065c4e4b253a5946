/* device/attention_case.h - attention calls for tests: from a short description to arrays full of
 * numbers, and the comparison of results.
 *
 * q, k, v and out lie in wider rows than they need (fused keys and values, rows with a gap), and
 * what must never be read holds NaN. */
#ifndef ASSAY_TESTS_DEVICE_ATTENTION_CASE_H
#define ASSAY_TESTS_DEVICE_ATTENTION_CASE_H

#include "engine/device/device.h"

#include <assay/memory.h>
#include <assay/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The shape of log_weight. */
typedef enum cost_shape {
    COST_NONE,
    COST_SCALAR,    /* (1, 1, 1, 1) */
    COST_KEY,       /* (1, 1, 1, T) */
    COST_ITEM_KEY,  /* (B, 1, 1, T) */
    COST_QUERY,     /* (B, 1, T, 1) */
    COST_DENSE,     /* (1, 1, T, T) */
    COST_HEAD,      /* (1, H, T, T) */
    COST_ITEM_HEAD, /* (B, H, T, T) */
    COST_SHAPES,
} cost_shape;

typedef struct attention_shape {
    int64_t batch, kv_heads, shared; /* heads = kv_heads * shared */
    int64_t width, queries, keys;    /* queries stand at the end: query_start = keys - queries */
    cost_shape cost;
    bool open, everywhere, span, rotary, hide; /* hide: some costs are -infinity */
    const int32_t *lengths;                    /* or NULL */
    bool add;                                  /* gradients are added to what is there */
    device_precision precision;
} attention_shape;

/* One call with its arrays, which it owns. */
typedef struct attention_case {
    device_attention call;
    int64_t q_count, kv_count, out_count, lse_count; /* floats */
    float *q, *kv, *cosine, *sine, *cost, *out, *lse, *d_out, *d_q, *d_kv, *d_cost;
    int32_t span[2];
} attention_case;

static inline void *case_block(int64_t bytes)
{
    void *block =
        aligned_alloc(ASSAY_ALIGNMENT, (size_t)(bytes / ASSAY_ALIGNMENT + 1) * ASSAY_ALIGNMENT);
    assert_non_null(block);
    return block;
}

/* n numbers in [-2, 2): multiples of 1/64, so that adding a step of 1/16 is exact. */
static inline float *case_numbers(const char *name, int64_t n)
{
    float *x = case_block(n * (int64_t)sizeof *x);
    assay_random_fill_uniform(assay_stream_of(7, name, 0), 0, n, x);
    for (int64_t i = 0; i < n; i++)
        x[i] = floorf(256.0f * x[i]) / 64.0f - 2.0f;
    return x;
}

static inline int64_t case_length(const attention_case *c, int64_t b)
{
    return c->call.lengths ? c->call.lengths[b] : c->call.keys;
}

static inline void case_costs(attention_case *c, const attention_shape *shape)
{
    device_attention *call = &c->call;
    const int64_t heads = call->heads;
    const bool wide[COST_SHAPES][4] = {
        [COST_KEY] = {0, 0, 0, 1},   [COST_ITEM_KEY] = {1, 0, 0, 1},
        [COST_QUERY] = {1, 0, 1, 0}, [COST_DENSE] = {0, 0, 1, 1},
        [COST_HEAD] = {0, 1, 1, 1},  [COST_ITEM_HEAD] = {1, 1, 1, 1},
    };
    const int64_t size[4] = {call->batch, heads, call->queries, call->keys};
    int64_t count = 1;
    for (int axis = 3; axis >= 0; axis--)
        if (wide[shape->cost][axis]) {
            call->bias_stride[axis] = count;
            count *= size[axis];
        }
    if (shape->cost == COST_NONE)
        return;
    c->cost = case_numbers("cost", count);
    for (int64_t e = 3; shape->hide && e < count; e += 5)
        c->cost[e] = -INFINITY;
    c->d_cost = case_numbers("d_cost", count);
    call->log_weight = c->cost;
    call->d_log_weight = c->d_cost;
    call->bias_count = count;
}

/* Rows of batch item b at or beyond its length hold NaN. */
static inline void case_poison(attention_case *c, float *x, int64_t rows, int64_t stride,
                               int64_t first_position)
{
    for (int64_t b = 0; b < c->call.batch; b++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t t = 0; t < stride && first_position + r >= case_length(c, b); t++)
                x[(b * rows + r) * stride + t] = NAN;
}

static inline attention_case case_new(const attention_shape *shape)
{
    attention_case c = {.span = {1, (int32_t)(shape->keys * 2 / 3)}};
    device_attention *call = &c.call;
    const int64_t heads = shape->kv_heads * shape->shared, half = shape->width / 2;
    call->batch = shape->batch, call->heads = heads, call->kv_heads = shape->kv_heads;
    call->head_width = shape->width, call->queries = shape->queries, call->keys = shape->keys;
    call->query_start = shape->keys - shape->queries;
    call->q_stride = heads * shape->width + 3;
    call->k_stride = call->v_stride = 2 * shape->kv_heads * shape->width;
    call->out_stride = heads * shape->width + 2;
    call->scale = 1.0f / sqrtf((float)shape->width);
    call->lengths = shape->lengths;
    call->precision = shape->precision;
    call->future_open = shape->open, call->bias_everywhere = shape->everywhere;
    c.q_count = shape->batch * shape->queries * call->q_stride;
    c.kv_count = shape->batch * shape->keys * call->k_stride;
    c.out_count = shape->batch * shape->queries * call->out_stride;
    c.lse_count = shape->batch * heads * shape->queries;
    c.q = case_numbers("q", c.q_count), c.kv = case_numbers("kv", c.kv_count);
    c.out = case_numbers("out", c.out_count), c.lse = case_numbers("lse", c.lse_count);
    c.d_out = case_numbers("d_out", c.out_count);
    c.d_q = case_numbers("d_q", c.q_count), c.d_kv = case_numbers("d_kv", c.kv_count);
    c.cosine = case_numbers("angle", shape->keys * half);
    c.sine = case_numbers("angle", shape->keys * half);
    for (int64_t e = 0; e < shape->keys * half; e++)
        c.cosine[e] = cosf(c.cosine[e]), c.sine[e] = sinf(c.sine[e]);
    case_poison(&c, c.q, shape->queries, call->q_stride, call->query_start);
    case_poison(&c, c.d_out, shape->queries, call->out_stride, call->query_start);
    case_poison(&c, c.kv, shape->keys, call->k_stride, 0);
    case_costs(&c, shape);
    call->q = c.q, call->k = c.kv, call->v = c.kv + shape->kv_heads * shape->width;
    call->cosine = shape->rotary ? c.cosine : NULL, call->sine = shape->rotary ? c.sine : NULL;
    call->out = c.out, call->row_lse = c.lse, call->d_out = c.d_out;
    call->d_q = c.d_q, call->d_k = c.d_kv, call->d_v = c.d_kv + shape->kv_heads * shape->width;
    call->add_q = call->add_k = call->add_v = call->add_bias = shape->add;
    return c;
}

/* The span points into the case, and so is set where the case has come to rest. */
static inline void case_use_span(attention_case *c, const attention_shape *shape)
{
    c->call.span = shape->span ? c->span : NULL;
}

static inline void case_free(attention_case *c)
{
    float *blocks[] = {c->q,   c->kv,    c->cosine, c->sine, c->cost,  c->out,
                       c->lse, c->d_out, c->d_q,    c->d_kv, c->d_cost};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
}

/* Runs a kernel with scratch of exactly the size it asks for, so that a sanitizer sees any overrun.
 * The scratch starts out as NaN: what a kernel has not written it must not use. */
static inline void case_run(const assay_kernels *kernels, attention_case *c, bool backward,
                            void (*kernel)(const device_attention *))
{
    int64_t bytes = kernels->attention_scratch(&c->call, backward);
    void *scratch = NULL;
    assert_int_equal(posix_memalign(&scratch, ASSAY_ALIGNMENT, (size_t)bytes), 0);
    memset(scratch, 0xff, (size_t)bytes);
    c->call.scratch = scratch;
    kernel(&c->call);
    free(scratch);
}

static inline void case_run_both(const assay_kernels *kernels, attention_case *c)
{
    case_run(kernels, c, false, kernels->attention);
    case_run(kernels, c, true, kernels->d_attention);
}

/* |a - b| / |b| over n numbers, 0 / 0 being 0; infinite when a NaN stands in one of them only. Each
 * b counts as at least about `unit`, for numbers that may cancel to next to nothing. */
static inline double case_distance(int64_t n, const float *a, const float *b, double unit)
{
    double difference = 0.0, norm = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(a[i]) != isnan(b[i]))
            return INFINITY;
        if (!isnan(a[i]) && a[i] != b[i])
            difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += isfinite(b[i]) ? (double)b[i] * b[i] + unit * unit : 0.0;
    }
    return difference == 0.0 ? 0.0 : sqrt(difference / norm);
}

/* What is compared, and of what. */
typedef struct comparison {
    const char *variant;
    const attention_shape *shape;
} comparison;

static inline void compare(comparison of, const char *what, int64_t n, const float *fast,
                           const float *plain, double unit, double limit)
{
    const attention_shape *shape = of.shape;
    double distance = case_distance(n, fast, plain, unit);
    if (distance <= limit)
        return;
    fail_msg("%s of %s is off by %.3g: T %d of %d, d %d, heads %d x %d, cost %d%s%s%s%s%s%s", what,
             of.variant, distance, (int)shape->queries, (int)shape->keys, (int)shape->width,
             (int)shape->kv_heads, (int)shape->shared, (int)shape->cost,
             shape->open ? ", open" : "", shape->everywhere ? ", everywhere" : "",
             shape->span ? ", span" : "", shape->rotary ? ", rotary" : "",
             shape->hide ? ", hide" : "", shape->lengths ? ", lengths" : "");
}

/* `slack`: how many times the limits of fp32 are allowed. */
static inline void compare_gradients_within(comparison of, const attention_case *fast,
                                            const attention_case *plain, double slack)
{
    /* A score's gradient is a difference of numbers of the size of d_out . v, and those of a cost
     * that many pairs share are summed; those of a cost that all keys of a row pay alike, which
     * changes nothing, cancel, and only rounding is left. */
    const cost_shape cost = of.shape->cost;
    const bool cancels = of.shape->everywhere && (cost == COST_SCALAR || cost == COST_QUERY);
    const double terms = cancels ? 30.0 : cost == COST_SCALAR ? 1.0 : 0.1;
    compare(of, "d_q", fast->q_count, fast->d_q, plain->d_q, 0.1, slack * 2e-6);
    compare(of, "d_k, d_v", fast->kv_count, fast->d_kv, plain->d_kv, 0.1, slack * 2e-6);
    compare(of, "d_log_weight", fast->call.bias_count, fast->d_cost, plain->d_cost,
            terms * sqrt((double)of.shape->width), slack * 3e-6);
}

static inline void compare_gradients(comparison of, const attention_case *fast,
                                     const attention_case *plain)
{
    compare_gradients_within(of, fast, plain, 1.0);
}

#endif
