/* test_losses.c - losses of known value: the head that never holds its logits against one that
 * does, and contrastive losses small enough to compute by hand. */
#include <assay/ops.h>

#include "cases.h"
#include "under_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static assay_tape *new_tape(void)
{
    assay_tape *tape = assay_tape_new(device_under_test(NULL), ASSAY_PRECISION_FP32, NULL);
    assert_non_null(tape);
    assay_tape_begin(tape, (assay_step){.seed = 1});
    return tape;
}

static assay_tensor *leaf(int64_t rows, int64_t width, const char *name)
{
    assay_tensor *x = assay_tensor_new(ASSAY_F32, 2, (int64_t[]){rows, width}, NULL);
    assert_non_null(x);
    assert_true(assay_tensor_want_grad(x, NULL));
    case_fill_tensor(x, FILL_NORMAL, name);
    return x;
}

/* ---- cross-entropy ---- */

/* With so many classes a block has 64 rows, and 138 rows that count are two blocks and a piece. */
static void a_head_in_blocks_equals_cross_entropy_of_all_logits(void **state)
{
    (void)state;
    enum { ROWS = 150, WIDTH = 2, CLASSES = 131072 };
    assay_tape *tape = new_tape();
    assay_tensor *x = leaf(ROWS, WIDTH, "x"), *w = leaf(CLASSES, WIDTH, "w");
    assay_tensor *x2 = leaf(ROWS, WIDTH, "x"), *w2 = leaf(CLASSES, WIDTH, "w");
    int32_t target[ROWS];
    for (int r = 0; r < ROWS; r++)
        target[r] = r % 13 == 5 ? ASSAY_IGNORE : (r * 7919) % CLASSES;
    assay_tensor *t = case_ints(tape, 1, SHAPE(ROWS), target);
    assay_tensor *blocks = assay_cross_entropy_head(tape, x, w, t, ASSAY_MEAN);
    assert_true(assay_tape_backward(tape, blocks, 1.0f));
    double loss = assay_value(blocks);
    assay_tape_begin(tape, (assay_step){.seed = 1});
    t = case_ints(tape, 1, SHAPE(ROWS), target);
    assay_tensor *logits = assay_linear(tape, x2, w2, NULL, ASSAY_IDENTITY);
    assay_tensor *whole = assay_cross_entropy(tape, logits, t, ASSAY_MEAN);
    assert_true(assay_tape_backward(tape, whole, 1.0f));
    assert_true(fabs(loss / assay_value(whole) - 1.0) < 1e-6);
    assert_true(relative_distance(assay_gradient(x), assay_gradient(x2), ROWS * WIDTH) < 3e-6);
    assert_true(relative_distance(assay_gradient(w), assay_gradient(w2), CLASSES * WIDTH) < 3e-6);
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tensor_free(x2);
    assay_tensor_free(w2);
    assay_tape_free(tape);
}

static void a_head_in_blocks_holds_no_more_than_one_block(void **state)
{
    (void)state;
    enum { ROWS = 300, WIDTH = 2, CLASSES = 131072, BLOCK_BYTES = 64 * CLASSES * 4 };
    assay_tape *tape = new_tape();
    assay_tensor *x = leaf(ROWS, WIDTH, "x"), *w = leaf(CLASSES, WIDTH, "w");
    assay_tensor *t = assay_tape_tensor(tape, ASSAY_I32, 1, SHAPE(ROWS));
    for (int r = 0; r < ROWS; r++)
        assay_i32(t)[r] = r < 66 ? r : ASSAY_IGNORE;
    assert_non_null(assay_cross_entropy_head(tape, x, w, t, ASSAY_MEAN));
    assert_true(assay_tape_stats_get(tape).arena.peak_bytes < BLOCK_BYTES + BLOCK_BYTES / 8);
    assay_tensor_free(x);
    assay_tensor_free(w);
    assay_tape_free(tape);
}

static void equal_logits_cost_the_log_of_their_number(void **state)
{
    (void)state;
    static const float zeros[3 * 7] = {0};
    static const int32_t target[] = {6, ASSAY_IGNORE, 0};
    assay_tape *tape = new_tape();
    assay_tensor *x = assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(3, 7), zeros);
    assay_tensor *w = assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(3, 7), zeros);
    assay_tensor *t = case_ints(tape, 1, SHAPE(3), target);
    assert_float_equal(assay_value(assay_cross_entropy(tape, x, t, ASSAY_MEAN)), logf(7.0f), 1e-6);
    assert_float_equal(assay_value(assay_cross_entropy(tape, x, t, ASSAY_SUM)), 2 * logf(7.0f),
                       1e-6);
    t = case_ints(tape, 1, SHAPE(3), (const int32_t[]){0, ASSAY_IGNORE, 2});
    assert_float_equal(assay_value(assay_cross_entropy_head(tape, x, w, t, ASSAY_MEAN)), logf(3.0f),
                       1e-6);
    assay_tape_free(tape);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    static const float large[] = {1e4f, -1e4f, 0.0f};
    assay_tape *tape = new_tape();
    assay_tensor *x = assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(1, 3), large);
    assay_tensor *t = case_ints(tape, 1, SHAPE(1), (const int32_t[]){1});
    assert_float_equal(assay_value(assay_cross_entropy(tape, x, t, ASSAY_MEAN)), 2e4, 0.0);
    assay_tape_free(tape);
}

static void a_loss_of_ignored_rows_is_zero_and_so_is_its_gradient(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = leaf(3, 5, "x");
    assay_tensor *t = case_ints(tape, 1, SHAPE(3), (const int32_t[]){-100, -100, -100});
    for (int reduction = ASSAY_MEAN; reduction <= ASSAY_SUM; reduction++) {
        assay_tape_begin(tape, (assay_step){.seed = 1});
        t = case_ints(tape, 1, SHAPE(3), (const int32_t[]){-100, -100, -100});
        assay_tensor *loss = assay_cross_entropy(tape, x, t, (assay_reduction)reduction);
        assert_true(assay_value(loss) == 0.0);
        assert_true(assay_tape_backward(tape, loss, 1.0f));
        for (int i = 0; i < 15; i++)
            assert_true(assay_gradient(x)[i] == 0.0f);
    }
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- a student's softmax against a teacher's (infrared spec, section 4, item 3) ---- */

static void a_divergence_is_that_of_the_spec_and_reaches_the_student_alone(void **state)
{
    (void)state;
    static const float of_teacher[] = {1, 2, 3}, of_student[] = {0.5f, 0.5f, 2};
    assay_tape *tape = new_tape();
    assay_tensor *teacher = leaf(1, 3, "teacher"), *student = leaf(1, 3, "student");
    double p[3], q[3], sum_p = 0, sum_q = 0, entropy = 0;
    memcpy(assay_elements(teacher), of_teacher, sizeof of_teacher);
    memcpy(assay_elements(student), of_student, sizeof of_student);
    for (int j = 0; j < 3; j++) {
        sum_p += p[j] = exp((double)of_teacher[j]);
        sum_q += q[j] = exp((double)of_student[j]);
    }
    assay_tensor *loss = assay_softmax_divergence(tape, student, teacher, ASSAY_KL);
    assert_float_equal(assay_value(loss), 0.038724120, 2e-8);
    assert_true(assay_tape_backward(tape, loss, 1.0f));
    assert_false(teacher->has_grad);
    for (int j = 0; j < 3; j++) {
        assert_float_equal(assay_gradient(student)[j], q[j] / sum_q - p[j] / sum_p, 1e-7);
        entropy -= p[j] / sum_p * log(p[j] / sum_p);
    }
    assay_tape_begin(tape, (assay_step){.seed = 1});
    loss = assay_softmax_divergence(tape, student, teacher, ASSAY_SOFT_CROSS_ENTROPY);
    assert_float_equal(assay_value(loss), 0.038724120 + entropy, 2e-7);
    assay_tensor_free(teacher);
    assay_tensor_free(student);
    assay_tape_free(tape);
}

static void a_divergence_of_other_shapes_is_an_error_that_shows_both(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = leaf(2, 3, "x"), *y = leaf(3, 2, "y");
    assert_null(assay_softmax_divergence(tape, x, y, ASSAY_KL));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_SHAPE);
    assert_non_null(strstr(assay_tape_error(tape)->expected, "(2, 3)"));
    assert_non_null(strstr(assay_tape_error(tape)->got, "(3, 2)"));
    assay_tensor_free(x);
    assay_tensor_free(y);
    assay_tape_free(tape);
}

/* ---- contrastive: two anchors that are one, and positives at 60 degrees on either side ----
 * a_i.b_j = 1/2 for all i, j; a_1.a_2 = 1; b_1.b_2 = -1/2. */

#define TEMPERATURE 0.5f

static double contrastive(assay_contrastive_variant variant, float margin, int64_t *masked)
{
    const float side = 0.5f * sqrtf(3.0f);
    const float anchors[] = {2, 0, 3, 0}, positives[] = {0.5f, side, 5, -10 * side};
    const assay_contrastive_options options = {variant, TEMPERATURE, margin};
    assay_tape *tape = new_tape();
    assay_tensor *x = assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(2, 2), anchors);
    assay_tensor *y = assay_tape_constant(tape, ASSAY_F32, 2, SHAPE(2, 2), positives);
    assay_tensor *count = NULL;
    double loss = assay_value(assay_contrastive(tape, x, y, &options, &count));
    if (masked)
        *masked = (int64_t)assay_value(count);
    assay_tape_free(tape);
    return loss;
}

/* At margin 0.1 the limit is 0.6: the two anchors, of cosine 1, are false negatives of each other.
 */
static void false_negatives_are_left_out_and_counted(void **state)
{
    (void)state;
    int64_t masked = -1;
    assert_float_equal(contrastive(ASSAY_QA_CODE, 0.1f, &masked), log(3.0), 1e-6);
    assert_int_equal(masked, 2);
    assert_float_equal(contrastive(ASSAY_QA_PAPER, 0.1f, &masked), 0.0, 1e-6);
    assert_int_equal(masked, 6);
    assert_float_equal(contrastive(ASSAY_GG_PAPER, 0.1f, &masked), log(2.0 + exp(-2.0)), 1e-6);
    assert_int_equal(masked, 2);
    assert_float_equal(contrastive(ASSAY_GG_CODE, 0.1f, &masked), log(2.0), 1e-6);
    assert_int_equal(masked, 0);
}

static void a_wide_margin_leaves_nothing_out(void **state)
{
    (void)state;
    int64_t masked = -1;
    assert_float_equal(contrastive(ASSAY_QA_CODE, 1.0f, &masked), log(3.0 + exp(1.0)), 1e-6);
    assert_int_equal(masked, 0);
    assert_float_equal(contrastive(ASSAY_QA_PAPER, 1.0f, &masked), log(2.0 + exp(1.0) + exp(-2.0)),
                       1e-6);
    assert_int_equal(masked, 0);
    assert_float_equal(contrastive(ASSAY_GG_PAPER, 1.0f, NULL), log(2.0 + exp(1.0) + exp(-2.0)),
                       1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_in_blocks_equals_cross_entropy_of_all_logits),
        cmocka_unit_test(a_head_in_blocks_holds_no_more_than_one_block),
        cmocka_unit_test(equal_logits_cost_the_log_of_their_number),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(a_loss_of_ignored_rows_is_zero_and_so_is_its_gradient),
        cmocka_unit_test(a_divergence_is_that_of_the_spec_and_reaches_the_student_alone),
        cmocka_unit_test(a_divergence_of_other_shapes_is_an_error_that_shows_both),
        cmocka_unit_test(false_negatives_are_left_out_and_counted),
        cmocka_unit_test(a_wide_margin_leaves_nothing_out),
    };
    return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
