/* test_values.c - what the operations compute, on numbers small enough to check by eye. */
#include "under_test.h"

#include <assay/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static assay_tape *tape;

static int set_up(void **state)
{
    (void)state;
    tape = assay_tape_new(device_under_test(NULL), ASSAY_PRECISION_FP32, NULL);
    if (tape)
        assay_tape_begin(tape, (assay_step){.seed = 1});
    return tape ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    assay_tape_free(tape);
    return 0;
}

#define RANK_OF(...)  ((int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define COUNTING(...) counting(RANK_OF(__VA_ARGS__), (const int64_t[]){__VA_ARGS__})
#define INTS(...)                                                                                  \
    assay_tape_constant(tape, ASSAY_I32, 1,                                                        \
                        (const int64_t[]){sizeof((const int32_t[]){__VA_ARGS__}) / 4},             \
                        (const int32_t[]){__VA_ARGS__})
#define FLOATS(...)                                                                                \
    assay_tape_constant(tape, ASSAY_F32, 1,                                                        \
                        (const int64_t[]){sizeof((const float[]){__VA_ARGS__}) / 4},               \
                        (const float[]){__VA_ARGS__})
/* The values of y are these, to within rounding. */
#define ASSERT_VALUES(y, ...)                                                                      \
    assert_values((y), sizeof((const float[]){__VA_ARGS__}) / 4, (const float[]){__VA_ARGS__})

/* 0, 1, 2 ... in the given shape. */
static assay_tensor *counting(int rank, const int64_t *shape)
{
    assay_tensor *x = assay_tape_tensor(tape, ASSAY_F32, rank, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < assay_tensor_count(x); i++)
        assay_f32(x)[i] = (float)i;
    return x;
}

static assay_tensor *matrix(int64_t rows, int64_t width, assay_tensor *x)
{
    return assay_reshape(tape, x, 2, (const int64_t[]){rows, width});
}

static void assert_values(const assay_tensor *y, size_t n, const float *values)
{
    assert_non_null(y);
    assert_int_equal(assay_tensor_count(y), n);
    for (size_t i = 0; i < n; i++)
        assert_float_equal(assay_f32(y)[i], values[i], 1e-6);
}

static void assert_shape(const assay_tensor *y, const char *text)
{
    assert_non_null(y);
    assert_string_equal(assay_shape_text(y->rank, y->shape), text);
}

static void arithmetic_repeats_the_smaller_operand(void **state)
{
    (void)state;
    assay_tensor *x = COUNTING(2, 3), *row = FLOATS(10, 20, 30);
    ASSERT_VALUES(assay_add(tape, x, row), 10, 21, 32, 13, 24, 35);
    ASSERT_VALUES(assay_sub(tape, x, row), -10, -19, -28, -7, -16, -25);
    ASSERT_VALUES(assay_mul(tape, x, row), 0, 20, 60, 30, 80, 150);
    ASSERT_VALUES(assay_scale(tape, x, -2), 0, -2, -4, -6, -8, -10);
    ASSERT_VALUES(assay_mul(tape, x, assay_sum(tape, row)), 0, 60, 120, 180, 240, 300);
}

static void concat_joins_and_slice_and_split_part(void **state)
{
    (void)state;
    assay_tensor *a = COUNTING(2, 2), *b = COUNTING(2, 1), *parts[2] = {NULL, NULL};
    assay_tensor *y = assay_concat(tape, 2, (assay_tensor *const[]){a, b}, 1);
    assert_shape(y, "(2, 3)");
    ASSERT_VALUES(y, 0, 1, 0, 2, 3, 1);
    ASSERT_VALUES(assay_concat(tape, 2, (assay_tensor *const[]){a, a}, 0), 0, 1, 2, 3, 0, 1, 2, 3);
    ASSERT_VALUES(assay_slice(tape, y, 1, 1, 2), 1, 0, 3, 1);
    ASSERT_VALUES(assay_slice(tape, y, 0, 1, 1), 2, 3, 1);
    assert_shape(assay_slice(tape, y, 1, 3, 0), "(2, 0)");
    assert_true(assay_split(tape, y, 1, 2, (const int64_t[]){1, 2}, parts));
    ASSERT_VALUES(parts[0], 0, 2);
    ASSERT_VALUES(parts[1], 1, 0, 3, 1);
    ASSERT_VALUES(assay_slice(tape, COUNTING(2, 3, 2), 1, 1, 2), 2, 3, 4, 5, 8, 9, 10, 11);
}

static void rows_are_taken_by_index(void **state)
{
    (void)state;
    assay_tensor *x = COUNTING(3, 2), *y = NULL;
    ASSERT_VALUES(assay_gather(tape, x, INTS(2, 0, 2)), 4, 5, 0, 1, 4, 5);
    y = assay_embedding(tape, x, INTS(1));
    assert_shape(y, "(1, 2)");
    ASSERT_VALUES(y, 2, 3);
}

static void padding_is_masked_and_left_out_of_means(void **state)
{
    (void)state;
    assay_tensor *x = COUNTING(2, 3, 2);
    ASSERT_VALUES(assay_mask_rows(tape, x, INTS(1, 2)), 0, 1, 0, 0, 0, 0, 6, 7, 8, 9, 0, 0);
    ASSERT_VALUES(assay_masked_mean(tape, x, INTS(2, 0)), 1, 2, 0, 0);
    ASSERT_VALUES(assay_masked_mean(tape, x, NULL), 2, 3, 8, 9);
    ASSERT_VALUES(assay_last_token(tape, x, INTS(1, 3)), 0, 1, 10, 11);
    ASSERT_VALUES(assay_last_token(tape, x, NULL), 4, 5, 10, 11);
}

static void patches_go_by_grid_then_channel_then_place(void **state)
{
    (void)state;
    assay_tensor *y = assay_patches(tape, COUNTING(1, 2, 2, 4), 2);
    assert_shape(y, "(1, 2, 8)");
    ASSERT_VALUES(y, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
}

static void similarities_are_of_directions(void **state)
{
    (void)state;
    assay_tensor *x = matrix(2, 2, FLOATS(3, 4, 0, 0)), *y = matrix(2, 2, FLOATS(4, 3, 1, 1));
    ASSERT_VALUES(assay_normalize(tape, x, 1e-12f), 0.6f, 0.8f, 0, 0);
    ASSERT_VALUES(assay_normalize(tape, x, 10), 0.3f, 0.4f, 0, 0);
    ASSERT_VALUES(assay_cosine(tape, x, y), 0.96f, 0);
    ASSERT_VALUES(assay_cosine_matrix(tape, x, y), 0.96f, 1.4f / sqrtf(2), 0, 0);
    ASSERT_VALUES(assay_dot(tape, x, y), 24, 0);
    ASSERT_VALUES(assay_sum(tape, x), 7);
    ASSERT_VALUES(assay_mean(tape, x), 1.75f);
    ASSERT_VALUES(assay_softmax(tape, matrix(1, 2, FLOATS(1000, 1000))), 0.5f, 0.5f);
}

static void norms_follow_their_formulas(void **state)
{
    (void)state;
    assay_tensor *x = matrix(1, 2, FLOATS(1, 3)), *w = FLOATS(2, 10), *b = FLOATS(1, -1);
    ASSERT_VALUES(assay_layer_norm(tape, x, w, b, 0), -1, 9);
    ASSERT_VALUES(assay_layer_norm(tape, x, NULL, NULL, 3), -0.5f, 0.5f);
    ASSERT_VALUES(assay_rms_norm(tape, x, w, 4), 2.0f / 3, 10);
}

static void activations_follow_their_formulas(void **state)
{
    (void)state;
    assay_tensor *x = FLOATS(-1, 2);
    const float s1 = 1 / (1 + expf(1)), s2 = 1 / (1 + expf(-2));
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_IDENTITY), -1, 2);
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_RELU), 0, 2);
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_GELU), -0.5f * erfcf(sqrtf(0.5f)),
                  1 + erff(sqrtf(2)));
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_SIGMOID), s1, s2);
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_SILU), -s1, 2 * s2);
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_TANH), tanhf(-1), tanhf(2));
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_LOG_SIGMOID), logf(s1), logf(s2));
    ASSERT_VALUES(assay_activate(tape, x, ASSAY_EXP), expf(-1), expf(2));
    ASSERT_VALUES(assay_silu_product(tape, x, FLOATS(3, 5)), -3 * s1, 10 * s2);
}

static void products_follow_their_formulas(void **state)
{
    (void)state;
    assay_tensor *x = matrix(1, 2, FLOATS(1, 2)), *w = matrix(2, 2, FLOATS(1, 2, -3, -4));
    assay_tensor *turn = matrix(2, 2, FLOATS(0, 1, 1, 0));
    const float silu5 = 5 / (1 + expf(-5)), silu11 = -11 / (1 + expf(11));
    ASSERT_VALUES(assay_linear(tape, x, w, FLOATS(1, 1), ASSAY_RELU), 6, 0);
    ASSERT_VALUES(assay_gated_mlp(tape, x, w, turn, turn), silu11 * 1, silu5 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arithmetic_repeats_the_smaller_operand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(concat_joins_and_slice_and_split_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_are_taken_by_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(padding_is_masked_and_left_out_of_means, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patches_go_by_grid_then_channel_then_place, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(similarities_are_of_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(norms_follow_their_formulas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(activations_follow_their_formulas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(products_follow_their_formulas, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
