/* device/test_suffix.c - attention on constant prefixes: the fast twins against the plain one, and
 * what is promised bit for bit. The plain twin is held to central differences, and both to the
 * attention of whole sequences, by the tests of the decoder. */
#include "devices.h"

#include <assay/device.h>
#include <assay/memory.h>
#include <assay/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 6 };

typedef struct suffix_shape_of_test {
    int64_t batch, kv_heads, shared, width, keys, queries;
    int64_t prefix[MOST_ROWS];     /* tokens */
    int32_t lengths[MOST_ROWS];    /* of the suffixes */
    bool one_prefix, rotary, read; /* rows share prefix 0; read: one query, the row's last token */
    bool add;
} shape_of;

typedef struct suffix_case {
    device_suffix call;
    device_prefix prefix[MOST_ROWS];
    int32_t lengths[MOST_ROWS], positions[MOST_ROWS];
    int64_t q_count, kv_count, out_count, lse_count;
    float *q, *kv, *out, *lse, *d_out, *d_q, *d_kv, *cosine, *sine, *kept[MOST_ROWS];
} suffix_case;

static float *numbers(const char *name, uint64_t step, int64_t n)
{
    float *x =
        aligned_alloc(ASSAY_ALIGNMENT, (size_t)(n * 4 / ASSAY_ALIGNMENT + 1) * ASSAY_ALIGNMENT);
    assert_non_null(x);
    assay_random_fill_normal(assay_stream_of(5, name, step), 0, n, x);
    return x;
}

/* Tokens beyond a row's length hold NaN: nobody may read them. */
static void poison(suffix_case *c, float *x, int64_t stride)
{
    const device_suffix *call = &c->call;
    for (int64_t b = 0; b < call->batch; b++)
        for (int64_t e = c->lengths[b] * stride; e < call->keys * stride; e++)
            x[b * call->keys * stride + e] = NAN;
}

static suffix_case case_new(const shape_of *shape)
{
    suffix_case c = {0};
    device_suffix *call = &c.call;
    const int64_t heads = shape->kv_heads * shape->shared, half = shape->width / 2;
    *call = (device_suffix){.batch = shape->batch,
                            .heads = heads,
                            .kv_heads = shape->kv_heads,
                            .head_width = shape->width,
                            .queries = shape->read ? 1 : shape->queries,
                            .keys = shape->keys,
                            .q_stride = heads * shape->width + 3,
                            .k_stride = 2 * shape->kv_heads * shape->width,
                            .v_stride = 2 * shape->kv_heads * shape->width,
                            .out_stride = heads * shape->width + 2,
                            .scale = 1.0f / sqrtf((float)shape->width),
                            .add_q = shape->add,
                            .add_k = shape->add,
                            .add_v = shape->add};
    int64_t longest = 0;
    for (int64_t b = 0; b < shape->batch; b++) {
        int64_t source = shape->one_prefix ? 0 : b, tokens = shape->prefix[source];
        longest = tokens > longest ? tokens : longest;
        c.lengths[b] = shape->lengths[b];
        c.positions[b] = shape->lengths[b] - 1; /* -1 for an empty suffix */
        if (source == b)
            c.kept[b] = numbers("prefix", (uint64_t)b, 2 * tokens * shape->kv_heads * shape->width);
        c.prefix[b] = (device_prefix){tokens, c.kept[source],
                                      c.kept[source] + tokens * shape->kv_heads * shape->width};
    }
    c.q_count = call->batch * call->queries * call->q_stride;
    c.kv_count = call->batch * call->keys * call->k_stride;
    c.out_count = call->batch * call->queries * call->out_stride;
    c.lse_count = call->batch * heads * call->queries;
    c.q = numbers("q", 0, c.q_count), c.kv = numbers("kv", 0, c.kv_count);
    c.out = numbers("out", 0, c.out_count), c.lse = numbers("lse", 0, c.lse_count);
    c.d_out = numbers("d_out", 0, c.out_count);
    c.d_q = numbers("d_q", 0, c.q_count), c.d_kv = numbers("d_kv", 0, c.kv_count);
    poison(&c, c.kv, call->k_stride);
    if (shape->rotary) {
        int64_t n = (longest + shape->keys) * half;
        c.cosine = numbers("angle", 0, n), c.sine = numbers("angle", 0, n);
        for (int64_t i = 0; i < n; i++)
            c.sine[i] = sinf(c.cosine[i]), c.cosine[i] = cosf(c.cosine[i]);
    }
    return c;
}

static void case_run(const assay_kernels *kernels, suffix_case *c)
{
    device_suffix call = c->call;
    call.prefix = c->prefix;
    call.lengths = c->lengths;
    call.positions = call.queries == call.keys ? NULL : c->positions;
    call.q = c->q, call.k = c->kv, call.v = c->kv + call.kv_heads * call.head_width;
    call.cosine = c->cosine, call.sine = c->sine;
    call.out = c->out, call.row_lse = c->lse;
    for (int backward = 0; backward < 2; backward++) {
        int64_t bytes = kernels->suffix_scratch(&call, backward);
        call.scratch = numbers("scratch", 0, bytes / 4 + 1);
        if (backward) {
            call.d_out = c->d_out, call.d_q = c->d_q, call.d_k = c->d_kv;
            call.d_v = c->d_kv + call.kv_heads * call.head_width;
            kernels->d_suffix_attention(&call);
        } else {
            kernels->suffix_attention(&call);
        }
        free(call.scratch);
    }
}

static void case_free(suffix_case *c)
{
    float *all[] = {c->q, c->kv, c->out, c->lse, c->d_out, c->d_q, c->d_kv, c->cosine, c->sine};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    for (int b = 0; b < MOST_ROWS; b++)
        free(c->kept[b]);
}

static void compare(const char *variant, const char *what, int64_t n, const float *got,
                    const float *want)
{
    double square = 0.0;
    int64_t finite = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want[i]))
            square += (double)want[i] * want[i], finite++;
    const double rms = sqrt(square / (double)(finite ? finite : 1));
    for (int64_t i = 0; i < n; i++)
        if (!(got[i] == want[i] || fabs((double)got[i] - want[i]) <= 4e-6 * (fabs(want[i]) + rms)))
            fail_msg("%s: %s[%lld] is %g, not %g", variant, what, (long long)i, (double)got[i],
                     (double)want[i]);
}

static const shape_of shapes[] = {
    {.batch = 1,
     .kv_heads = 1,
     .shared = 1,
     .width = 4,
     .keys = 1,
     .queries = 1,
     .prefix = {1},
     .lengths = {1}},
    {.batch = 3,
     .kv_heads = 2,
     .shared = 2,
     .width = 16,
     .keys = 9,
     .queries = 9,
     .prefix = {70, 1, 128},
     .lengths = {9, 4, 7},
     .rotary = true},
    {.batch = 5,
     .kv_heads = 2,
     .shared = 2,
     .width = 16,
     .keys = 10,
     .queries = 10,
     .prefix = {137},
     .lengths = {10, 8, 1, 10, 3},
     .one_prefix = true,
     .rotary = true,
     .add = true},
    {.batch = 5,
     .kv_heads = 2,
     .shared = 3,
     .width = 24,
     .keys = 7,
     .queries = 7,
     .prefix = {64},
     .lengths = {7, 0, 7, 5, 6},
     .one_prefix = true,
     .rotary = true,
     .read = true},
    {.batch = 2,
     .kv_heads = 1,
     .shared = 2,
     .width = 64,
     .keys = 70,
     .queries = 70,
     .prefix = {0, 5},
     .lengths = {70, 66},
     .rotary = true},
    {.batch = 6,
     .kv_heads = 2,
     .shared = 7,
     .width = 80,
     .keys = 3,
     .queries = 3,
     .prefix = {65, 65, 2, 2, 190, 3},
     .lengths = {3, 3, 3, 2, 1, 3},
     .add = true},
    {.batch = 3,
     .kv_heads = 1,
     .shared = 2,
     .width = 202,
     .keys = 35,
     .queries = 35,
     .prefix = {33},
     .lengths = {35, 34, 2},
     .one_prefix = true,
     .rotary = true},
    {.batch = 3,
     .kv_heads = 2,
     .shared = 1,
     .width = 6,
     .keys = 17,
     .queries = 17,
     .prefix = {40, 3, 3},
     .lengths = {17, 4, 16},
     .rotary = true,
     .add = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void fast_kernels_agree_with_the_plain_one(void **state)
{
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        suffix_case plain = case_new(&shapes[s]);
        case_run(&cpu_kernels_plain, &plain);
        for (int v = 0; tested_device_at(v); v++) {
            const char *name = tested_device_at(v)->variant;
            suffix_case fast = case_new(&shapes[s]);
            case_run(tested_device_at(v)->kernels, &fast);
            compare(name, "out", fast.out_count, fast.out, plain.out);
            compare(name, "row_lse", fast.lse_count, fast.lse, plain.lse);
            compare(name, "d_q", fast.q_count, fast.d_q, plain.d_q);
            compare(name, "d_kv", fast.kv_count, fast.d_kv, plain.d_kv);
            case_free(&fast);
        }
        case_free(&plain);
    }
}

static void results_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    shape_of shape = shapes[2];
    shape.prefix[0] = 700; /* large enough to wake the others */
    for (int v = 0; tested_device_at(v); v++) {
        assert_true(assay_threads_set(1, NULL));
        suffix_case one = case_new(&shape);
        case_run(tested_device_at(v)->kernels, &one);
        for (int threads = 2; threads <= 3; threads++) {
            suffix_case more = case_new(&shape);
            assert_true(assay_threads_set(threads, NULL));
            case_run(tested_device_at(v)->kernels, &more);
            assert_memory_equal(more.out, one.out, (size_t)one.out_count * 4);
            assert_memory_equal(more.d_q, one.d_q, (size_t)one.q_count * 4);
            assert_memory_equal(more.d_kv, one.d_kv, (size_t)one.kv_count * 4);
            case_free(&more);
        }
        case_free(&one);
    }
    assert_true(assay_threads_set(1, NULL));
}

/* Row 3 of five on one prefix gives the bits that it gives alone. */
static void a_row_does_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    enum { ROW = 3 };
    shape_of alone = shapes[2];
    alone.batch = 1;
    alone.lengths[0] = shapes[2].lengths[ROW];
    for (int v = 0; tested_device_at(v); v++) {
        suffix_case all = case_new(&shapes[2]), one = case_new(&alone);
        const int64_t q = one.q_count, kv = one.kv_count, out = one.out_count;
        memcpy(one.q, all.q + ROW * q, (size_t)q * 4);
        memcpy(one.kv, all.kv + ROW * kv, (size_t)kv * 4);
        memcpy(one.out, all.out + ROW * out, (size_t)out * 4);
        memcpy(one.d_out, all.d_out + ROW * out, (size_t)out * 4);
        memcpy(one.d_q, all.d_q + ROW * q, (size_t)q * 4);
        memcpy(one.d_kv, all.d_kv + ROW * kv, (size_t)kv * 4);
        case_run(tested_device_at(v)->kernels, &all);
        case_run(tested_device_at(v)->kernels, &one);
        assert_memory_equal(one.out, all.out + ROW * out, (size_t)out * 4);
        assert_memory_equal(one.d_q, all.d_q + ROW * q, (size_t)q * 4);
        assert_memory_equal(one.d_kv, all.d_kv + ROW * kv, (size_t)kv * 4);
        case_free(&all);
        case_free(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_kernels_agree_with_the_plain_one),
        cmocka_unit_test(results_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(a_row_does_not_depend_on_its_neighbours),
    };
    return assay_threads_set(1, NULL) ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
