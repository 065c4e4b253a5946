/* test_probe.c - the logistic regression reaches its minimum, and says so when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/memory.h>
#include <assay/metrics.h>
#include <assay/random.h>

#include <math.h>
#include <omp.h>
#include <string.h>

/* Rows drawn from a logistic model with given weights; columns of very different scale. */
typedef struct sample {
    int64_t n, d;
    double *x;
    int32_t *label;
} sample;

static sample new_sample(uint64_t seed, int64_t n, int64_t d)
{
    sample s = {n, d, test_malloc((size_t)(n * d) * sizeof(double)),
                test_malloc((size_t)n * sizeof(int32_t))};
    assay_stream values = assay_stream_of(seed, "values", 0),
                 labels = assay_stream_of(seed, "y", 0);
    for (int64_t i = 0; i < n; i++) {
        double logit = -0.5;
        for (int64_t j = 0; j < d; j++) {
            double z = (double)assay_random_normal(values, (uint64_t)(i * d + j));
            logit += z * (double)(j % 3 - 1);
            s.x[i * d + j] = 100 * (double)j + pow(10, (double)(j % 5) - 2) * z;
        }
        s.label[i] = (double)assay_random_uniform(labels, (uint64_t)i) < 1 / (1 + exp(-logit));
    }
    return s;
}

static void free_sample(sample *s)
{
    test_free(s->x);
    test_free(s->label);
}

static assay_probe *fit(const sample *s, double l2)
{
    assay_error error = {0};
    char text[1024];
    assay_probe *probe =
        assay_probe_fit(s->x, s->label, s->n, s->d, &(assay_probe_options){.l2 = l2}, &error);
    if (!probe)
        fail_msg("%s", assay_error_format(&error, text, sizeof text));
    return probe;
}

/* Standardised value of row i, column j, by the definition. */
static double standardised(const sample *s, int64_t i, int64_t j)
{
    double mean = 0, variance = 0;
    for (int64_t k = 0; k < s->n; k++)
        mean += s->x[k * s->d + j] / (double)s->n;
    for (int64_t k = 0; k < s->n; k++)
        variance += pow(s->x[k * s->d + j] - mean, 2) / (double)s->n;
    return (s->x[i * s->d + j] - mean) / (variance > 0 ? sqrt(variance) : 1);
}

/* The largest entry of the gradient of the objective at the probe, by the definition. */
static double gradient_at(const sample *s, const assay_probe *probe, double l2)
{
    double worst = 0, bias_sum = 0;
    double *error_of = test_malloc((size_t)s->n * sizeof(double));
    assay_probe_score(probe, s->x, s->n, error_of);
    for (int64_t i = 0; i < s->n; i++) {
        error_of[i] = 1 / (1 + exp(-error_of[i])) - s->label[i];
        bias_sum += error_of[i];
    }
    worst = fabs(bias_sum / (double)s->n);
    for (int64_t j = 0; j < s->d; j++) {
        double sum = 0;
        for (int64_t i = 0; i < s->n; i++)
            sum += error_of[i] * standardised(s, i, j);
        worst = fmax(worst, fabs(sum / (double)s->n + l2 * assay_probe_weights(probe)[j]));
    }
    test_free(error_of);
    return worst;
}

static void the_gradient_vanishes_at_the_solution(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 3, 4, 11}; /* around the panel of four columns, bias included */
    const double ridges[] = {0, 1e-4, 0.1};
    for (int w = 0; w < 4; w++) {
        for (int r = 0; r < 3; r++) {
            sample s = new_sample(11, 300, widths[w]);
            assay_probe *probe = fit(&s, ridges[r]);
            assert_int_equal(assay_probe_width(probe), widths[w]);
            assert_true(assay_probe_iterations(probe) > 0);
            assert_true(gradient_at(&s, probe, ridges[r]) < 1e-9);
            assay_probe_free(probe);
            free_sample(&s);
        }
    }
}

static void a_binary_column_has_the_closed_form(void **state)
{
    (void)state;
    /* x = 0: 3 of 10 positive; x = 1: 8 of 10. Unpenalised, the two logits are the log odds. The
     * column's mean and sd are both 1/2, so weight = half their difference, bias = their mean. */
    double x[20];
    int32_t label[20];
    for (int i = 0; i < 20; i++) {
        x[i] = i / 10;
        label[i] = i % 10 < (i < 10 ? 3 : 8);
    }
    sample s = {20, 1, x, label};
    assay_probe *probe = fit(&s, 0);
    double low = log(3.0 / 7), high = log(8.0 / 2);
    assert_true(fabs(assay_probe_weights(probe)[0] - (high - low) / 2) < 1e-9);
    assert_true(fabs(assay_probe_bias(probe) - (high + low) / 2) < 1e-9);
    const double query[] = {0, 1, 2};
    double score[3];
    assay_probe_score(probe, query, 3, score);
    assert_true(fabs(score[0] - low) < 1e-9);
    assert_true(fabs(score[1] - high) < 1e-9);
    assert_true(fabs(score[2] - (2 * high - low)) < 1e-9);
    assay_probe_free(probe);
}

static void units_and_offsets_of_the_columns_do_not_matter(void **state)
{
    (void)state;
    sample s = new_sample(5, 400, 6);
    assay_probe *before = fit(&s, 1e-2);
    for (int64_t i = 0; i < s.n * s.d; i++)
        s.x[i] = 8 * s.x[i] - 3;
    assay_probe *after = fit(&s, 1e-2);
    for (int64_t j = 0; j < s.d; j++)
        assert_true(fabs(assay_probe_weights(before)[j] - assay_probe_weights(after)[j]) < 1e-8);
    assert_true(fabs(assay_probe_bias(before) - assay_probe_bias(after)) < 1e-8);
    assay_probe_free(before);
    assay_probe_free(after);
    free_sample(&s);
}

static void a_strong_ridge_leaves_the_bias_free(void **state)
{
    (void)state;
    sample s = new_sample(6, 500, 3);
    double positives = 0;
    for (int64_t i = 0; i < s.n; i++)
        positives += s.label[i];
    assay_probe *probe = fit(&s, 1e6);
    for (int64_t j = 0; j < s.d; j++)
        assert_true(fabs(assay_probe_weights(probe)[j]) < 1e-6);
    double odds = log(positives / ((double)s.n - positives));
    assert_true(fabs(assay_probe_bias(probe) - odds) < 1e-6);
    assay_probe_free(probe);
    free_sample(&s);
}

static void a_constant_column_gets_no_weight_and_harms_no_other(void **state)
{
    (void)state;
    /* Values whose mean, when summed, is not exactly the value. */
    const double values[] = {0.1, 1.0 / 3, -1e15 / 7, 1e-300, 0};
    const double ridges[] = {0, 1e-4};
    sample s = new_sample(8, 299, 4), without = new_sample(8, 299, 3);
    for (int64_t i = 0; i < s.n; i++) {
        memcpy(without.x + i * 3, s.x + i * 4, 3 * sizeof(double));
        without.label[i] = s.label[i];
    }
    for (int k = 0; k < 10; k++) {
        for (int64_t i = 0; i < s.n; i++)
            s.x[i * 4 + 3] = values[k / 2];
        assay_probe *wide = fit(&s, ridges[k % 2]), *narrow = fit(&without, ridges[k % 2]);
        assert_true(assay_probe_weights(wide)[3] == 0);
        for (int64_t j = 0; j < 3; j++)
            assert_true(fabs(assay_probe_weights(wide)[j] - assay_probe_weights(narrow)[j]) < 1e-9);
        const double next[] = {0, 0, 0, values[k / 2] + 2}; /* one sd is 1 */
        double score[2];
        assay_probe_score(wide, next, 1, score);
        assay_probe_score(narrow, next, 1, score + 1);
        assert_true(fabs(score[0] - score[1]) < 1e-6);
        assay_probe_free(wide);
        assay_probe_free(narrow);
    }
    free_sample(&s);
    free_sample(&without);
}

/* Eight rows each on which a full Newton step overshoots: the first raises the loss, the second
 * has to come back against the log-loss, led by the ridge. */
static void steps_that_overshoot_are_taken_back(void **state)
{
    (void)state;
    double x[2][8] = {{-4, 0, 2, 3, 2, 40, -4, 2}, {-3, 2, 0, 0, 10, 4, -30, 20}};
    int32_t label[2][8] = {{0, 0, 0, 0, 0, 1, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0}};
    for (int k = 0; k < 2; k++) {
        sample s = {8, 1, x[k], label[k]};
        assay_probe *probe = fit(&s, 1e-2);
        assert_true(gradient_at(&s, probe, 1e-2) < 1e-9);
        assay_probe_free(probe);
    }
}

static void a_copied_column_still_reaches_the_minimum(void **state)
{
    (void)state;
    sample s = new_sample(9, 300, 4);
    for (int64_t i = 0; i < s.n; i++)
        s.x[i * 4 + 3] = s.x[i * 4];
    assay_probe *probe = fit(&s, 0);
    assert_true(gradient_at(&s, probe, 0) < 1e-9);
    assay_probe_free(probe);
    /* The ridge shares the weight between the two. */
    probe = fit(&s, 1e-3);
    assert_true(fabs(assay_probe_weights(probe)[0] - assay_probe_weights(probe)[3]) < 1e-6);
    assay_probe_free(probe);
    free_sample(&s);
}

static void columns_that_sum_to_a_constant_still_reach_the_minimum(void **state)
{
    (void)state;
    sample s = new_sample(16, 400, 5);
    for (int64_t i = 0; i < s.n; i++) {
        for (int64_t j = 0; j < 4; j++)
            s.x[i * 5 + j] = i * 7 % 4 == j; /* one of four groups */
    }
    assay_probe *probe = fit(&s, 0);
    assert_true(gradient_at(&s, probe, 0) < 1e-9);
    assay_probe_free(probe);
    free_sample(&s);
}

/* A fit that must fail with `code`; `says` is part of its message. */
static void refused(const sample *s, const assay_probe_options *options, assay_code code,
                    const char *says)
{
    assay_error error = {0};
    char text[1024];
    int64_t live = assay_memory_stats_get().live_blocks;
    assert_null(assay_probe_fit(s->x, s->label, s->n, s->d, options, &error));
    assert_int_equal(error.code, code);
    assert_non_null(strstr(assay_error_format(&error, text, sizeof text), says));
    assert_int_equal(assay_memory_stats_get().live_blocks, live);
}

static void separable_rows_need_a_ridge(void **state)
{
    (void)state;
    double x[] = {-2, -1, 1, 2, 5, 7};
    int32_t label[] = {0, 0, 0, 1, 1, 1};
    sample s = {6, 1, x, label};
    refused(&s, &(assay_probe_options){.l2 = 0}, ASSAY_BAD_INPUT, "labels are separable");
    refused(&s, &(assay_probe_options){.l2 = 0}, ASSAY_BAD_INPUT, "hint: set l2 > 0");
    assay_probe *probe = fit(&s, 1e-4);
    assert_true(gradient_at(&s, probe, 1e-4) < 1e-9);
    assay_probe_free(probe);
}

/* One value of a rare column decides its label: the gradient fades, the weight grows for ever. */
static void partly_separable_rows_need_a_ridge_too(void **state)
{
    (void)state;
    sample s = new_sample(10, 500, 2);
    for (int64_t i = 0; i < s.n; i++) {
        s.x[i * 2 + 1] = i % 100 == 0;
        s.label[i] = i % 100 == 0 ? 1 : s.label[i];
    }
    refused(&s, &(assay_probe_options){.l2 = 0}, ASSAY_BAD_INPUT, "may be separable");
    assay_probe *probe = fit(&s, 1e-4);
    assert_true(gradient_at(&s, probe, 1e-4) < 1e-9);
    assay_probe_free(probe);
    free_sample(&s);
}

static void more_columns_than_rows_fit_with_a_ridge_only(void **state)
{
    (void)state;
    sample s = new_sample(12, 20, 50);
    refused(&s, &(assay_probe_options){.l2 = 0}, ASSAY_BAD_INPUT, "l2 > 0");
    assay_probe *probe = fit(&s, 1e-3);
    assert_true(gradient_at(&s, probe, 1e-3) < 1e-9);
    assay_probe_free(probe);
    free_sample(&s);
}

static void logits_far_beyond_exp_do_not_overflow(void **state)
{
    (void)state;
    /* Two clusters 1e6 sd apart from the rest of a heavy-tailed column, almost unpenalised. */
    double x[40];
    int32_t label[40];
    for (int i = 0; i < 40; i++) {
        x[i] = i < 38 ? 1e-3 * i : (i == 38 ? -1e6 : 1e6);
        label[i] = i < 38 ? i % 2 : i == 39;
    }
    sample s = {40, 1, x, label};
    assay_probe *probe = fit(&s, 1e-9);
    assert_true(isfinite(assay_probe_weights(probe)[0]));
    assert_true(gradient_at(&s, probe, 1e-9) < 1e-9);
    const double far[] = {1e300, -1e300};
    double score[2];
    assay_probe_score(probe, far, 2, score);
    assert_true(isfinite(score[0]) && score[0] > 1e200 && score[1] < -1e200);
    assay_probe_free(probe);
}

static void too_few_steps_are_an_error(void **state)
{
    (void)state;
    sample s = new_sample(13, 200, 3);
    refused(&s, &(assay_probe_options){.l2 = 1e-4, .max_iterations = 1}, ASSAY_BAD_INPUT,
            "max_iterations");
    free_sample(&s);
}

static void a_loose_tolerance_stops_early(void **state)
{
    (void)state;
    sample s = new_sample(13, 200, 3);
    assay_probe *tight = fit(&s, 1e-4);
    assay_probe *loose = assay_probe_fit(
        s.x, s.label, s.n, s.d, &(assay_probe_options){.l2 = 1e-4, .tolerance = 1e-2}, NULL);
    assert_non_null(loose);
    assert_true(assay_probe_iterations(loose) < assay_probe_iterations(tight));
    assert_true(gradient_at(&s, loose, 1e-4) <= 1.0001e-2);
    assay_probe_free(tight);
    assay_probe_free(loose);
    free_sample(&s);
}

static void bad_rows_and_options_are_refused(void **state)
{
    (void)state;
    const assay_probe_options fine = {.l2 = 1e-4};
    double x[] = {1, 2, 3, 4}, with_nan[] = {1, NAN, 3, 4}, huge[] = {-1e308, 1e308, 1e308, -1e308};
    int32_t label[] = {0, 1, 0, 1}, ones[] = {1, 1, 1, 1}, two[] = {0, 1, 2, 1};
    sample s = {4, 1, x, label};
    refused(&(sample){4, 1, with_nan, label}, &fine, ASSAY_NOT_FINITE, "");
    refused(&(sample){4, 1, huge, label}, &fine, ASSAY_NOT_FINITE, "scale");
    refused(&(sample){4, 1, x, ones}, &fine, ASSAY_BAD_INPUT, "");
    refused(&(sample){4, 1, x, two}, &fine, ASSAY_BAD_INPUT, "");
    refused(&(sample){0, 1, x, label}, &fine, ASSAY_BAD_SHAPE, "");
    refused(&(sample){4, 0, x, label}, &fine, ASSAY_BAD_SHAPE, "");
    refused(&s, &(assay_probe_options){.l2 = -1}, ASSAY_BAD_INPUT, "");
    refused(&s, &(assay_probe_options){.l2 = NAN}, ASSAY_BAD_INPUT, "");
    refused(&s, &(assay_probe_options){.tolerance = -1}, ASSAY_BAD_INPUT, "");
    refused(&s, &(assay_probe_options){.max_iterations = -1}, ASSAY_BAD_INPUT, "");
}

static void the_number_of_threads_does_not_change_a_bit(void **state)
{
    (void)state;
    sample s = new_sample(14, 300, 66); /* wide enough for the threads to be used; two blocks */
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    assay_probe *alone = fit(&s, 1e-2);
    omp_set_num_threads(2);
    assay_probe *shared = fit(&s, 1e-2);
    omp_set_num_threads(threads);
    assert_memory_equal(assay_probe_weights(alone), assay_probe_weights(shared),
                        66 * sizeof(double));
    assert_true(assay_probe_bias(alone) == assay_probe_bias(shared));
    assert_true(gradient_at(&s, alone, 1e-2) < 1e-9);
    assay_probe_free(alone);
    assay_probe_free(shared);
    free_sample(&s);
}

static void every_failed_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    sample s = new_sample(15, 50, 2);
    const assay_probe_options options = {.l2 = 1e-2};
    int64_t before = assay_memory_stats_get().allocations;
    assay_probe_free(fit(&s, options.l2));
    int64_t taken = assay_memory_stats_get().allocations - before;
    assert_true(taken > 0);
    for (int64_t n = 0; n < taken; n++) {
        assay_memory_fail_after(n);
        refused(&s, &options, ASSAY_NO_MEMORY, "");
    }
    assay_memory_fail_after(-1);
    assay_probe_free(NULL);
    free_sample(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_vanishes_at_the_solution),
        cmocka_unit_test(a_binary_column_has_the_closed_form),
        cmocka_unit_test(units_and_offsets_of_the_columns_do_not_matter),
        cmocka_unit_test(a_strong_ridge_leaves_the_bias_free),
        cmocka_unit_test(a_constant_column_gets_no_weight_and_harms_no_other),
        cmocka_unit_test(steps_that_overshoot_are_taken_back),
        cmocka_unit_test(a_copied_column_still_reaches_the_minimum),
        cmocka_unit_test(columns_that_sum_to_a_constant_still_reach_the_minimum),
        cmocka_unit_test(separable_rows_need_a_ridge),
        cmocka_unit_test(partly_separable_rows_need_a_ridge_too),
        cmocka_unit_test(more_columns_than_rows_fit_with_a_ridge_only),
        cmocka_unit_test(logits_far_beyond_exp_do_not_overflow),
        cmocka_unit_test(too_few_steps_are_an_error),
        cmocka_unit_test(a_loose_tolerance_stops_early),
        cmocka_unit_test(bad_rows_and_options_are_refused),
        cmocka_unit_test(the_number_of_threads_does_not_change_a_bit),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("metrics/probe", tests, NULL, NULL);
}
