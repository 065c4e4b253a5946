/* test_maps.c - what operations on maps compute, by hand: values, running statistics, messages. */
#include "under_test.h"

#include <assay/maps.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static assay_tape *tape_begun(const assay_device *device, assay_step step)
{
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assert_non_null(tape);
    assay_tape_begin(tape, step);
    return tape;
}

static assay_tensor *leaf(int rank, const int64_t *shape, const float *values, bool wants)
{
    assay_tensor *t = assay_tensor_new(ASSAY_F32, rank, shape, NULL);
    assert_non_null(t);
    memcpy(assay_elements(t), values, (size_t)assay_tensor_bytes(t));
    if (wants)
        assert_true(assay_tensor_want_grad(t, NULL));
    return t;
}

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

static void expect(const assay_tensor *t, const float *want, double tolerance)
{
    assert_non_null(t);
    for (int64_t i = 0; i < assay_tensor_count(t); i++)
        if (!(fabs((double)assay_f32(t)[i] - want[i]) <= tolerance))
            fail_msg("element %lld is %g, not %g", (long long)i, assay_f32(t)[i], want[i]);
}

/* ---- running statistics ---- */

typedef struct norm_case {
    assay_tensor *x, *weight, *bias;
    assay_batch_stats stats;
} norm_case;

/* Two images of one channel: 1, 3, 5, 7, whose mean is 4, biased variance 5, unbiased 20 / 3. */
static norm_case norm_case_new(void)
{
    return (norm_case){leaf(4, SHAPE(2, 1, 1, 2), (const float[]){1, 3, 5, 7}, false),
                       leaf(1, SHAPE(1), (const float[]){2}, true),
                       leaf(1, SHAPE(1), (const float[]){0.5f}, true),
                       {leaf(1, SHAPE(1), (const float[]){1}, false),
                        leaf(1, SHAPE(1), (const float[]){3}, false), 0.1f}};
}

static void norm_case_free(norm_case *n)
{
    assay_tensor_free(n->x);
    assay_tensor_free(n->weight);
    assay_tensor_free(n->bias);
    assay_tensor_free(n->stats.mean);
    assay_tensor_free(n->stats.variance);
}

static void expect_stats(const norm_case *n, double mean, double variance)
{
    assert_true(fabs(assay_value(n->stats.mean) - mean) < 1e-6);
    assert_true(fabs(assay_value(n->stats.variance) - variance) < 1e-6);
}

static void a_training_pass_moves_the_running_statistics_once(void **state)
{
    (void)state;
    norm_case n = norm_case_new();
    assay_tape *tape = tape_begun(device_under_test(NULL), (assay_step){.training = true});
    assay_tensor *y = assay_batch_norm(tape, n.x, n.weight, n.bias, &n.stats, 0.0f);
    const double unit = 2.0 / sqrt(5.0);
    const float want[] = {(float)(0.5 - 3 * unit), (float)(0.5 - unit), (float)(0.5 + unit),
                          (float)(0.5 + 3 * unit)};
    expect(y, want, 1e-6);
    expect_stats(&n, 0.9 * 1 + 0.1 * 4, 0.9 * 3 + 0.1 * 20.0 / 3.0);
    assert_true(assay_tape_backward(tape, assay_sum(tape, y), 1.0f));
    expect_stats(&n, 1.3, 2.7 + 2.0 / 3.0);
    assay_tape_free(tape);
    norm_case_free(&n);
}

static void passes_that_do_not_learn_leave_the_statistics_alone(void **state)
{
    (void)state;
    const assay_step steps[] = {{.training = true, .no_gradient = true}, {.training = false}};
    norm_case n = norm_case_new();
    assay_tape *tape = tape_begun(device_under_test(NULL), steps[0]);
    assert_non_null(assay_batch_norm(tape, n.x, n.weight, n.bias, &n.stats, 0.0f));
    expect_stats(&n, 1, 3);
    assay_tape_begin(tape, steps[1]);
    assert_non_null(assay_batch_norm_relu(tape, n.x, n.weight, n.bias, &n.stats, 0.0f));
    expect_stats(&n, 1, 3);
    assay_tape_begin(tape, (assay_step){.training = true});
    assay_tape_pause(tape, true);
    assert_non_null(assay_batch_norm(tape, n.x, n.weight, n.bias, &n.stats, 0.0f));
    assert_true(assay_tape_pause(tape, false));
    expect_stats(&n, 1, 3);
    assay_tape_free(tape);
    norm_case_free(&n);
}

static void evaluation_uses_the_running_statistics(void **state)
{
    (void)state;
    norm_case n = norm_case_new();
    assay_tape *tape = tape_begun(device_under_test(NULL), (assay_step){0});
    const float want[] = {0.5f, 2.5f, 4.5f, 6.5f};
    expect(assay_batch_norm(tape, n.x, n.weight, n.bias, &n.stats, 1.0f), want, 1e-6);
    assay_f32(n.bias)[0] = -3.0f;
    const float shut[] = {0.0f, 0.0f, 1.0f, 3.0f};
    expect(assay_batch_norm_relu(tape, n.x, n.weight, n.bias, &n.stats, 1.0f), shut, 1e-6);
    assay_tape_free(tape);
    norm_case_free(&n);
}

static void one_value_per_channel_cannot_be_trained_on(void **state)
{
    (void)state;
    norm_case n = norm_case_new();
    assay_tensor *one = leaf(4, SHAPE(1, 1, 1, 1), (const float[]){1}, false);
    assay_tape *tape = tape_begun(device_under_test(NULL), (assay_step){.training = true});
    assert_null(assay_batch_norm(tape, one, n.weight, n.bias, &n.stats, 0.0f));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_SHAPE);
    expect_stats(&n, 1, 3);
    assay_tape_free(tape);
    assay_tensor_free(one);
    norm_case_free(&n);
}

/* ---- values ---- */

static const assay_device *const *both_devices(void)
{
    static const assay_device *devices[2];
    devices[0] = device_under_test(NULL);
    devices[1] = assay_device_plain();
    return devices;
}

static void a_transposed_convolution_stamps_its_weight(void **state)
{
    (void)state;
    assay_tensor *x = leaf(4, SHAPE(1, 1, 1, 2), (const float[]){1, 10}, false);
    assay_tensor *w = leaf(4, SHAPE(1, 1, 2, 2), (const float[]){1, 2, 3, 4}, false);
    assay_tensor *b = leaf(1, SHAPE(1), (const float[]){100}, false);
    const float want[] = {101, 102, 110, 120, 103, 104, 130, 140};
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = tape_begun(both_devices()[d], (assay_step){0});
        expect(assay_conv_transpose2d(tape, x, w, b), want, 0.0);
        assay_tape_free(tape);
    }
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tensor_free(b);
}

static void windows_are_those_of_pytorch(void **state)
{
    (void)state;
    const float numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    assay_tensor *x = leaf(4, SHAPE(1, 1, 3, 5), numbers, false);
    /* Rows 0-1 and 1-2; columns 0-1, 1-3, 3-4. */
    const float means[] = {4, 5.5f, 7, 9, 10.5f, 12};
    const float maxima[] = {7, 9};
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = tape_begun(both_devices()[d], (assay_step){0});
        expect(assay_adaptive_average_pool2d(tape, x, 2, 3), means, 1e-6);
        expect(assay_max_pool2d(tape, x, 2), maxima, 0.0);
        assay_tape_free(tape);
    }
    assay_tensor_free(x);
}

static void the_gradient_of_equals_goes_to_the_first(void **state)
{
    (void)state;
    assay_tensor *x = leaf(4, SHAPE(1, 1, 2, 2), (const float[]){1, 3, 3, 3}, true);
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = tape_begun(both_devices()[d], (assay_step){.training = true});
        x->has_grad = false;
        assert_true(assay_tape_backward(tape, assay_sum(tape, assay_max_pool2d(tape, x, 2)), 2.0f));
        assert_true(assay_gradient(x)[0] == 0 && assay_gradient(x)[1] == 2 &&
                    assay_gradient(x)[2] == 0 && assay_gradient(x)[3] == 0);
        assay_tape_free(tape);
    }
    assay_tensor_free(x);
}

static void resizing_keeps_the_outer_cells(void **state)
{
    (void)state;
    assay_tensor *x = leaf(4, SHAPE(1, 1, 1, 2), (const float[]){0, 4}, false);
    const float want[] = {0, 1, 3, 4};
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = tape_begun(both_devices()[d], (assay_step){0});
        expect(assay_resize_bilinear(tape, x, 1, 4), want, 1e-6);
        assay_tape_free(tape);
    }
    assay_tensor_free(x);
}

/* d of sum(y * weight) by x0 and x1, and y, for the operation alone and for its parts. */
typedef struct meeting {
    float y[512], d_x[2][256];
} meeting;

static assay_tensor *met(assay_tape *tape, assay_tensor *const x[2], bool join, bool in_parts)
{
    if (!in_parts)
        return join ? assay_join_maps(tape, 2, x) : assay_add_resized(tape, x[0], x[1]);
    assay_tensor *brought = assay_resize_bilinear(tape, x[1], x[0]->shape[2], x[0]->shape[3]);
    return join ? assay_concat(tape, 2, (assay_tensor *[]){x[0], brought}, 1)
                : assay_add(tape, x[0], brought);
}

static void meet(assay_tensor *const x[2], const assay_device *device, bool join, bool in_parts,
                 meeting *out)
{
    assay_tape *tape = tape_begun(device, (assay_step){.training = true});
    assay_tensor *y = met(tape, x, join, in_parts);
    assert_non_null(y);
    assay_tensor *weight = assay_tape_tensor(tape, ASSAY_F32, y->rank, y->shape);
    for (int64_t i = 0; i < assay_tensor_count(weight); i++)
        assay_f32(weight)[i] = (float)(i % 13) / 7.0f - 0.8f;
    memset(out, 0, sizeof *out);
    memcpy(out->y, assay_f32(y), (size_t)assay_tensor_bytes(y));
    assert_true(assay_tape_backward(tape, assay_sum(tape, assay_mul(tape, y, weight)), 1.0f));
    for (int i = 0; i < 2; i++) {
        memcpy(out->d_x[i], assay_gradient(x[i]), (size_t)assay_tensor_bytes(x[i]));
        x[i]->has_grad = false;
    }
    assay_tape_free(tape);
}

static void maps_meet_as_their_parts_do(void **state)
{
    (void)state;
    float values[2 * 3 * 6 * 5];
    for (int i = 0; i < 180; i++)
        values[i] = (float)((i * 37) % 101) / 17.0f - 3.0f;
    assay_tensor *const x[] = {leaf(4, SHAPE(2, 3, 6, 5), values, true),
                               leaf(4, SHAPE(2, 3, 3, 2), values + 40, true)};
    for (int i = 0; i < 4; i++) {
        meeting whole, parts;
        meet(x, both_devices()[i / 2], i % 2, false, &whole);
        meet(x, both_devices()[i / 2], i % 2, true, &parts);
        assert_memory_equal(&whole, &parts, sizeof whole);
        assert_true(whole.y[7] != 0 && whole.d_x[1][5] != 0);
    }
    assay_tensor_free(x[0]);
    assay_tensor_free(x[1]);
}

static void channels_are_dropped_whole(void **state)
{
    (void)state;
    enum { CHANNELS = 64, PIXELS = 12 };
    assay_tape *tape = tape_begun(device_under_test(NULL), (assay_step){.training = true});
    assay_tensor *x = assay_tape_tensor(tape, ASSAY_F32, 4, SHAPE(2, CHANNELS / 2, 3, 4));
    for (int i = 0; i < CHANNELS * PIXELS; i++)
        assay_f32(x)[i] = 1.0f;
    assay_tensor *y = assay_dropout2d(tape, x, 0.5f, "here");
    int dropped = 0;
    assert_non_null(y);
    for (int c = 0; c < CHANNELS; c++) {
        float first = assay_f32(y)[c * PIXELS];
        assert_true(first == 0.0f || first == 2.0f);
        dropped += first == 0.0f;
        for (int i = 1; i < PIXELS; i++)
            assert_true(assay_f32(y)[c * PIXELS + i] == first);
    }
    assert_true(dropped > CHANNELS / 4 && dropped < CHANNELS * 3 / 4);
    assay_tape_free(tape);
}

/* ---- the loss of pixels ---- */

static void ignored_pixels_count_in_the_mean_if_asked(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        assay_tape *tape = tape_begun(both_devices()[d], (assay_step){0});
        const float zeros[2 * 4] = {0};
        const uint8_t truth[] = {0, 255, 1, 255}, none[] = {255, 255, 255, 255};
        assay_tensor *x = assay_tape_constant(tape, ASSAY_F32, 4, SHAPE(1, 2, 2, 2), zeros);
        assay_tensor *t = assay_tape_constant(tape, ASSAY_U8, 3, SHAPE(1, 2, 2), truth);
        double of_two = assay_value(assay_pixel_cross_entropy(tape, x, t, 255, false));
        double of_four = assay_value(assay_pixel_cross_entropy(tape, x, t, 255, true));
        assert_true(fabs(of_two - log(2.0)) < 1e-6 && fabs(of_four - log(2.0) / 2) < 1e-6);
        t = assay_tape_constant(tape, ASSAY_U8, 3, SHAPE(1, 2, 2), none);
        assert_true(assay_value(assay_pixel_cross_entropy(tape, x, t, 255, false)) == 0.0);
        assay_tape_free(tape);
    }
}

static void a_truth_that_is_no_class_is_named(void **state)
{
    (void)state;
    assay_tape *tape = tape_begun(device_under_test(NULL), (assay_step){0});
    const float zeros[2 * 4] = {0};
    const uint8_t truth[] = {0, 255, 9, 9};
    assay_tensor *x = assay_tape_constant(tape, ASSAY_F32, 4, SHAPE(1, 2, 2, 2), zeros);
    assay_tensor *t = assay_tape_constant(tape, ASSAY_U8, 3, SHAPE(1, 2, 2), truth);
    assert_null(assay_pixel_cross_entropy(tape, x, t, 255, true));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_INPUT);
    assert_non_null(strstr(assay_tape_error(tape)->got, "9 (2 pixels)"));
    assay_tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_pass_moves_the_running_statistics_once),
        cmocka_unit_test(passes_that_do_not_learn_leave_the_statistics_alone),
        cmocka_unit_test(evaluation_uses_the_running_statistics),
        cmocka_unit_test(one_value_per_channel_cannot_be_trained_on),
        cmocka_unit_test(a_transposed_convolution_stamps_its_weight),
        cmocka_unit_test(windows_are_those_of_pytorch),
        cmocka_unit_test(the_gradient_of_equals_goes_to_the_first),
        cmocka_unit_test(resizing_keeps_the_outer_cells),
        cmocka_unit_test(maps_meet_as_their_parts_do),
        cmocka_unit_test(channels_are_dropped_whole),
        cmocka_unit_test(ignored_pixels_count_in_the_mean_if_asked),
        cmocka_unit_test(a_truth_that_is_no_class_is_named),
    };
    return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
