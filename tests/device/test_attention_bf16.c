/* device/test_attention_bf16.c - attention of a bf16 run, which a device may fuse and round:
 * against the plain twin, which stays in fp32, and what holds bit for bit whatever is rounded. */
#include "devices.h"

#include "attention_case.h"

/* bf16 has 8 significant bits: a factor is off by up to 2^-9. What is rounded once more (the
 * probabilities, the output, dS, the gradients) adds to that. */
static const double out_limit = 5e-3, lse_limit = 5e-3, gradient_limit = 1e-2;

static void compare_with_plain(const attention_shape *shape)
{
    attention_case plain = case_new(shape);
    case_run_both(&cpu_kernels_plain, &plain);
    for (int v = 0; tested_device_at(v); v++) {
        const comparison of = {tested_device_at(v)->variant, shape};
        attention_case fast = case_new(shape);
        case_run_both(tested_device_at(v)->kernels, &fast);
        compare(of, "out", fast.out_count, fast.out, plain.out, 0.0, out_limit);
        compare(of, "row_lse", fast.lse_count, fast.lse, plain.lse, 1.0, lse_limit);
        compare_gradients_within(of, &fast, &plain, gradient_limit / 2e-6);
        case_free(&fast);
    }
    case_free(&plain);
}

/* Both masks, with and without lengths, at lengths about one tile and two; the rest turns with the
 * count. */
static void a_bf16_call_agrees_with_the_plain_one(void **state)
{
    static const int64_t widths[] = {8, 24, 64, 128, 72}, sizes[] = {1, 63, 64, 90};
    int n = 0;
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int mask = 0; mask < 4; mask++, n++) {
            const int32_t keys = (int32_t)sizes[s],
                          lengths[] = {(keys + 1) / 2, n % 3 == 0 ? 0 : keys};
            const attention_shape shape = {.batch = 2,
                                           .kv_heads = 1 + n % 2,
                                           .shared = 1 + n / 2 % 3,
                                           .width = widths[n % 5],
                                           .queries = keys,
                                           .keys = keys,
                                           .open = mask & 1,
                                           .rotary = n % 3 > 0,
                                           .lengths = mask & 2 ? lengths : NULL,
                                           .add = n / 3 % 2,
                                           .precision = DEVICE_BF16};
            compare_with_plain(&shape);
        }
}

/* The output and the gradients of two calls of one shape. */
static void expect_same_bits(const attention_case *a, const attention_case *b)
{
    assert_memory_equal(a->out, b->out, (size_t)a->out_count * sizeof(float));
    assert_memory_equal(a->d_q, b->d_q, (size_t)a->q_count * sizeof(float));
    assert_memory_equal(a->d_kv, b->d_kv, (size_t)a->kv_count * sizeof(float));
}

/* Whatever costs something, or is not of all tokens on all tokens, has the kernels of fp32. */
static void costs_and_odd_shapes_stay_in_fp32(void **state)
{
    static const int32_t lengths[] = {70, 37};
    static const attention_shape shapes[] = {
        {2, 1, 2, 16, 70, 70, .cost = COST_SCALAR, .open = true, .lengths = lengths,
         .precision = DEVICE_BF16},
        {2, 2, 1, 16, 70, 70, .cost = COST_DENSE, .everywhere = true, .precision = DEVICE_BF16},
        {2, 1, 1, 16, 5, 70, .rotary = true, .precision = DEVICE_BF16},
        {2, 1, 1, 16, 70, 70, .span = true, .precision = DEVICE_BF16},
        {2, 1, 1, 20, 70, 70, .precision = DEVICE_BF16},
        {1, 1, 1, 136, 40, 40, .precision = DEVICE_BF16},
    };
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int v = 0; tested_device_at(v); v++) {
            attention_shape wide = shapes[s];
            wide.precision = DEVICE_FP32;
            attention_case a = case_new(&shapes[s]), b = case_new(&wide);
            case_use_span(&a, &shapes[s]);
            case_use_span(&b, &wide);
            case_run_both(tested_device_at(v)->kernels, &a);
            case_run_both(tested_device_at(v)->kernels, &b);
            expect_same_bits(&a, &b);
            case_free(&a);
            case_free(&b);
        }
}

/* ---- bit for bit ---- */

static const int32_t two_lengths[] = {100, 61};

static const attention_shape shape_of_leaks = {.batch = 2,
                                               .kv_heads = 1,
                                               .shared = 2,
                                               .width = 24,
                                               .queries = 100,
                                               .keys = 100,
                                               .rotary = true,
                                               .precision = DEVICE_BF16};

/* Other numbers at all tokens of all items from `first` on. */
static void change_from(float *x, int64_t stride, int64_t first)
{
    for (int64_t b = 0; b < 2; b++)
        for (int64_t e = first * stride; e < 100 * stride; e++)
            x[b * 100 * stride + e] = -3.0f * x[b * 100 * stride + e] + 1.0f;
}

static void assert_same_rows(const float *a, const float *b, int64_t stride, int64_t from,
                             int64_t to)
{
    for (int64_t item = 0; item < 2; item++)
        assert_memory_equal(a + (item * 100 + from) * stride, b + (item * 100 + from) * stride,
                            (size_t)((to - from) * stride) * sizeof(float));
}

/* A token's output is made of itself and what came before; its gradient, of itself and what comes
 * after. */
static void the_future_does_not_leak(void **state)
{
    static const int64_t firsts[] = {1, 64};
    (void)state;
    for (int v = 0; tested_device_at(v); v++)
        for (size_t s = 0; s < sizeof firsts / sizeof *firsts; s++) {
            const int64_t first = firsts[s];
            attention_case a = case_new(&shape_of_leaks), b = case_new(&shape_of_leaks);
            change_from(b.q, b.call.q_stride, first);
            change_from(b.kv, b.call.k_stride, first);
            case_run(tested_device_at(v)->kernels, &a, false,
                     tested_device_at(v)->kernels->attention);
            case_run(tested_device_at(v)->kernels, &b, false,
                     tested_device_at(v)->kernels->attention);
            assert_same_rows(a.out, b.out, a.call.out_stride, 0, first);
            assert_true(memcmp(a.out + first * a.call.out_stride, b.out + first * a.call.out_stride,
                               24 * sizeof(float)) != 0);
            case_free(&b);
            b = case_new(&shape_of_leaks);
            for (int64_t item = 0; item < 2; item++) /* the gradient of earlier outputs */
                for (int64_t e = 0; e < first * b.call.out_stride; e++)
                    b.d_out[item * 100 * b.call.out_stride + e] *= -2.0f;
            case_run_both(tested_device_at(v)->kernels, &a);
            case_run_both(tested_device_at(v)->kernels, &b);
            assert_same_rows(a.d_q, b.d_q, a.call.q_stride, first, 100);
            assert_same_rows(a.d_kv, b.d_kv, a.call.k_stride, first, 100);
            case_free(&a);
            case_free(&b);
        }
}

/* What is hidden holds NaN from the start (case_poison). Its rows come out as zeros, and its sums
 * as infinity. */
static void hidden_tokens_give_zeros(void **state)
{
    attention_shape shape = shape_of_leaks;
    shape.lengths = two_lengths;
    (void)state;
    for (int v = 0; tested_device_at(v); v++)
        for (int open = 0; open < 2; open++) {
            shape.open = open;
            attention_case c = case_new(&shape);
            case_run_both(tested_device_at(v)->kernels, &c);
            for (int64_t i = 61; i < 100; i++) {
                for (int64_t t = 0; t < 48; t++) {
                    assert_true(c.out[(100 + i) * c.call.out_stride + t] == 0.0f);
                    assert_true(c.d_q[(100 + i) * c.call.q_stride + t] == 0.0f);
                    assert_true(c.d_kv[(100 + i) * c.call.k_stride + t] == 0.0f);
                }
                assert_true(c.lse[2 * 100 + i] == INFINITY);
            }
            case_free(&c);
        }
}

static void every_run_has_the_same_bits(void **state)
{
    attention_shape shape = shape_of_leaks;
    shape.lengths = two_lengths;
    (void)state;
    for (int v = 0; tested_device_at(v); v++) {
        attention_case a = case_new(&shape), b = case_new(&shape);
        case_run_both(tested_device_at(v)->kernels, &a);
        case_run_both(tested_device_at(v)->kernels, &b);
        expect_same_bits(&a, &b);
        case_free(&a);
        case_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bf16_call_agrees_with_the_plain_one),
        cmocka_unit_test(costs_and_odd_shapes_stay_in_fp32),
        cmocka_unit_test(the_future_does_not_leak),
        cmocka_unit_test(hidden_tokens_give_zeros),
        cmocka_unit_test(every_run_has_the_same_bits),
    };
    return cmocka_run_group_tests_name("attention_bf16", tests, NULL, NULL);
}
