/* test_stats.c - statistics against values worked out by hand or by another program. */
#include <assay/memory.h>
#include <assay/stats.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const double sample[] = {2.5, -1.0, 4.25, 3.0, 0.5, 7.75, 1.5};

static void assert_close(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-12 * fmax(1.0, fabs(expected))))
        fail_msg("got %.17g, expected %.17g", got, expected);
}

/* ---- moments ---- */

static void mean_and_sd_match_the_reference(void **state)
{
    (void)state;
    assert_close(assay_stats_mean(sample, 7), 2.642857142857143);
    assert_close(assay_stats_sd(sample, 7), 2.827900954687736);
}

static void the_mean_keeps_what_a_plain_sum_loses(void **state)
{
    (void)state;
    const double x[] = {1.0, 1e100, 1.0, -1e100};
    assert_true(assay_stats_mean(x, 4) == 0.5);
    const double with_infinity[] = {1.0, INFINITY, 2.0};
    assert_true(assay_stats_mean(with_infinity, 3) == INFINITY);
}

static void the_sd_does_not_cancel_far_from_zero(void **state)
{
    (void)state;
    const double x[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
    assert_close(assay_stats_sd(x, 4), sqrt(30.0));
}

static void equal_numbers_have_an_sd_of_exactly_zero(void **state)
{
    (void)state;
    double x[49];
    for (int i = 0; i < 49; i++) {
        x[i] = 0.1;
        assert_true(i < 1 || assay_stats_sd(x, i + 1) == 0.0);
    }
}

static void answers_that_do_not_exist_are_nan(void **state)
{
    (void)state;
    const double with_nan[] = {1.0, NAN, 2.0};
    assert_true(isnan(assay_stats_mean(NULL, 0)));
    assert_true(isnan(assay_stats_sd(sample, 1)));
    assert_true(isnan(assay_stats_median(NULL, 0)));
    assert_true(isnan(assay_stats_quantile(sample, 7, -0.01)));
    assert_true(isnan(assay_stats_quantile(sample, 7, 1.01)));
    assert_true(isnan(assay_stats_quantile(sample, 7, NAN)));
    assert_true(isnan(assay_stats_mean(with_nan, 3)));
    assert_true(isnan(assay_stats_sd(with_nan, 3)));
    assert_true(isnan(assay_stats_median(with_nan, 3)));
    assert_true(isnan(assay_sign_flip_floor(0)));
    assay_memory_fail_after(0);
    assert_true(isnan(assay_stats_median(sample, 7)));
}

/* ---- order statistics ---- */

static void quantiles_interpolate_between_order_statistics(void **state)
{
    (void)state;
    assert_true(assay_stats_quantile(sample, 7, 0.0) == -1.0);
    assert_close(assay_stats_quantile(sample, 7, 0.1), -0.1);
    assert_close(assay_stats_quantile(sample, 7, 0.25), 1.0);
    assert_true(assay_stats_quantile(sample, 7, 0.5) == 2.5);
    assert_close(assay_stats_quantile(sample, 7, 0.9), 5.65);
    assert_true(assay_stats_quantile(sample, 7, 1.0) == 7.75);
    assert_true(assay_stats_quantile(sample, 1, 0.3) == 2.5);
}

static void the_median_of_an_even_count_is_the_middle_twos_mean(void **state)
{
    (void)state;
    const double x[] = {4.0, 1.0, 3.0, 10.0};
    assert_true(assay_stats_median(x, 4) == 3.5);
    assert_true(assay_stats_median(sample, 7) == 2.5);
    const double infinite[] = {INFINITY, 1.0, INFINITY, -INFINITY, INFINITY, 0.0};
    assert_true(assay_stats_median(infinite + 1, 2) == INFINITY);
    assert_true(assay_stats_quantile(infinite, 6, 0.9) == INFINITY);
    assert_true(assay_stats_quantile(infinite, 6, 0.1) == -INFINITY);
}

/* ---- bootstrap ---- */

static double lowest_but_not_of_equals(const double *x, int64_t n, void *user)
{
    ++*(int *)user;
    return assay_stats_sd(x, n) > 0.0 ? assay_stats_quantile(x, n, 0.0) : NAN;
}

static void the_bootstrap_matches_the_reference(void **state)
{
    (void)state;
    assay_interval interval;
    assay_stream stream = assay_stream_of(11, "bootstrap", 0);
    assert_true(assay_bootstrap(sample, 7, NULL, NULL, 500, 0.9, stream, &interval, NULL));
    assert_close(interval.low, 1.0714285714285714);
    assert_close(interval.high, 4.357142857142857);
    assay_interval again;
    assert_true(assay_bootstrap(sample, 7, NULL, NULL, 500, 0.9, stream, &again, NULL));
    assert_true(again.low == interval.low && again.high == interval.high);
}

static void resamples_without_an_answer_are_left_out(void **state)
{
    (void)state;
    const double x[] = {1.0, 2.0};
    int calls = 0;
    assay_interval interval;
    assay_stream stream = assay_stream_of(1, "bootstrap", 0);
    assert_true(
        assay_bootstrap(x, 2, lowest_but_not_of_equals, &calls, 50, 0.95, stream, &interval, NULL));
    assert_int_equal(calls, 50);
    assert_true(interval.low == 1.0 && interval.high == 1.0);
    assert_true(
        assay_bootstrap(x, 1, lowest_but_not_of_equals, &calls, 50, 0.95, stream, &interval, NULL));
    assert_true(isnan(interval.low) && isnan(interval.high));
}

static void the_bootstrap_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    static const double with_nan[] = {1.0, NAN};
    static const struct {
        const double *x;
        int64_t n, resamples;
        double level;
        assay_code code;
    } cases[] = {
        {sample, 0, 100, 0.95, ASSAY_BAD_INPUT},       {sample, 7, 0, 0.95, ASSAY_BAD_INPUT},
        {sample, 7, INT64_MAX, 0.95, ASSAY_BAD_INPUT}, {sample, 7, 100, 0.0, ASSAY_BAD_INPUT},
        {sample, 7, 100, 1.0, ASSAY_BAD_INPUT},        {sample, 7, 100, NAN, ASSAY_BAD_INPUT},
        {with_nan, 2, 100, 0.95, ASSAY_NOT_FINITE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assay_error error = {0};
        assay_interval interval = {5.0, 6.0};
        assert_false(assay_bootstrap(cases[i].x, cases[i].n, NULL, NULL, cases[i].resamples,
                                     cases[i].level, (assay_stream){0}, &interval, &error));
        assert_int_equal(error.code, cases[i].code);
        assert_true(interval.low == 5.0 && interval.high == 6.0);
    }
}

static void a_bootstrap_without_memory_leaks_nothing(void **state)
{
    (void)state;
    int64_t blocks = assay_memory_stats_get().live_blocks;
    for (int n = 0; n < 2; n++) {
        assay_error error = {0};
        assay_interval interval;
        assay_memory_fail_after(n);
        assert_false(
            assay_bootstrap(sample, 7, NULL, NULL, 10, 0.95, (assay_stream){0}, &interval, &error));
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
    }
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

/* ---- sign-flip test ---- */

static double sign_flip(const double *x, int64_t n)
{
    double p = -1.0;
    assert_true(assay_sign_flip(x, n, &p, NULL));
    return p;
}

static void six_wins_of_six_reach_the_floor(void **state)
{
    (void)state;
    const double x[] = {0.3, 0.1, 0.7, 0.2, 0.5, 0.9};
    assert_true(sign_flip(x, 6) == 0.03125);
    assert_true(assay_sign_flip_floor(6) == 0.03125);
    assert_true(assay_sign_flip_floor(1) == 1.0);
    assert_true(assay_sign_flip_floor(5000) == 0.0);
}

static void the_sign_flip_test_matches_full_enumeration(void **state)
{
    (void)state;
    const double a[] = {1, 2, 3, -1}, b[] = {0.3, -0.1, 0.5, 0.2, 0.4, -0.05, 0.7};
    const double c[] = {0.1, 0.2, -0.3, 0.1}, zeros[] = {0, 0, 0}, one[] = {-2.0};
    assert_true(sign_flip(a, 4) == 6.0 / 16);
    assert_true(sign_flip(b, 7) == 8.0 / 128);
    assert_true(sign_flip(c, 4) == 1.0); /* a tie that rounding would miss: 0.1 + 0.2 - 0.3 */
    assert_true(sign_flip(zeros, 3) == 1.0);
    assert_true(sign_flip(one, 1) == 1.0);
}

static void size_and_sign_of_the_differences_do_not_matter(void **state)
{
    (void)state;
    const double x[] = {1, 2, 4, -1}, expected = sign_flip(x, 4);
    const double scales[] = {-1.0, 1e-310, 1e300, -4e307, 0.1};
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        double scaled[4];
        for (int i = 0; i < 4; i++)
            scaled[i] = x[i] * scales[s];
        assert_true(sign_flip(scaled, 4) == expected);
    }
}

static void twenty_four_pairs_are_the_limit(void **state)
{
    (void)state;
    double x[25], p = -1.0;
    for (int i = 0; i < 25; i++)
        x[i] = 1.0 + i;
    assert_true(sign_flip(x, 24) == assay_sign_flip_floor(24));
    assay_error error = {0};
    assert_false(assay_sign_flip(x, 25, &p, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_false(assay_sign_flip(x, 0, &p, NULL));
    x[2] = INFINITY;
    assay_error_clear(&error);
    assert_false(assay_sign_flip(x, 5, &p, &error));
    assert_int_equal(error.code, ASSAY_NOT_FINITE);
    assert_true(p == -1.0);
}

/* ---- Holm ---- */

static void holm_steps_down_and_stays_monotone(void **state)
{
    (void)state;
    const double p[] = {0.04, 0.01, 0.03, 0.005}, expected[] = {0.06, 0.03, 0.06, 0.02};
    double adjusted[4];
    assert_true(assay_holm(p, 4, adjusted, NULL));
    for (int i = 0; i < 4; i++)
        assert_close(adjusted[i], expected[i]);
    const double large[] = {0.6, 0.9, 0.7};
    assert_true(assay_holm(large, 3, adjusted, NULL));
    for (int i = 0; i < 3; i++)
        assert_true(adjusted[i] == 1.0);
}

static void absent_comparisons_do_not_count(void **state)
{
    (void)state;
    double p[] = {NAN, 0.02, NAN, 0.5};
    assert_true(assay_holm(p, 4, p, NULL)); /* in place */
    assert_true(isnan(p[0]) && isnan(p[2]));
    assert_close(p[1], 0.04);
    assert_close(p[3], 0.5);
    assert_true(assay_holm(NULL, 0, NULL, NULL));
}

static void holm_refuses_what_is_not_a_probability(void **state)
{
    (void)state;
    const double bad[] = {-0.1, 1.5, INFINITY};
    for (int i = 0; i < 3; i++) {
        assay_error error = {0};
        double adjusted = 7.0;
        assert_false(assay_holm(&bad[i], 1, &adjusted, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_true(adjusted == 7.0);
    }
    assert_false(assay_holm(bad, -1, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_sd_match_the_reference),
        cmocka_unit_test(the_mean_keeps_what_a_plain_sum_loses),
        cmocka_unit_test(the_sd_does_not_cancel_far_from_zero),
        cmocka_unit_test(equal_numbers_have_an_sd_of_exactly_zero),
        cmocka_unit_test(answers_that_do_not_exist_are_nan),
        cmocka_unit_test(quantiles_interpolate_between_order_statistics),
        cmocka_unit_test(the_median_of_an_even_count_is_the_middle_twos_mean),
        cmocka_unit_test(the_bootstrap_matches_the_reference),
        cmocka_unit_test(resamples_without_an_answer_are_left_out),
        cmocka_unit_test(the_bootstrap_refuses_what_it_cannot_do),
        cmocka_unit_test(a_bootstrap_without_memory_leaks_nothing),
        cmocka_unit_test(six_wins_of_six_reach_the_floor),
        cmocka_unit_test(the_sign_flip_test_matches_full_enumeration),
        cmocka_unit_test(size_and_sign_of_the_differences_do_not_matter),
        cmocka_unit_test(twenty_four_pairs_are_the_limit),
        cmocka_unit_test(holm_steps_down_and_stays_monotone),
        cmocka_unit_test(absent_comparisons_do_not_count),
        cmocka_unit_test(holm_refuses_what_is_not_a_probability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
