/* test_confusion.c - counting pixels and the segmentation scores made of the counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assay/memory.h>
#include <assay/metrics.h>
#include <assay/random.h>

#include <math.h>
#include <string.h>

#define CLASSES 6
#define PIXELS  999

static void random_pixels(uint8_t *truth, uint8_t *prediction)
{
    assay_stream stream = assay_stream_of(3, "confusion", 0);
    for (int i = 0; i < PIXELS; i++) {
        bool ignored = assay_random_uniform(stream, (uint64_t)(3 * i)) < 0.1f;
        truth[i] = (uint8_t)assay_random_below(stream, (uint64_t)(3 * i + 1), CLASSES - 1);
        truth[i] = ignored ? 255 : truth[i];
        prediction[i] = (uint8_t)assay_random_below(stream, (uint64_t)(3 * i + 2), CLASSES);
    }
}

static void scores_of_a_worked_example_are_exact(void **state)
{
    (void)state;
    /* Class 0: 2 of 3 hit, predicted 3. Class 1: 1 of 1 hit, predicted 2. Class 2: absent from the
     * truth, predicted once. Class 3: absent from both. The last pixel is ignored. */
    const uint8_t truth[] = {0, 0, 0, 1, 4, 4, 9};
    const uint8_t prediction[] = {0, 0, 1, 1, 0, 2, 3};
    assay_confusion *confusion = assay_confusion_new(5, 9, NULL);
    assert_non_null(confusion);
    assert_true(assay_confusion_add(confusion, truth, prediction, 7, NULL));
    assay_segmentation scores;
    double iou[5];
    assert_true(assay_confusion_summary(confusion, &scores, iou, NULL));
    assert_true(fabs(iou[0] - 2.0 / 4) < 1e-15);
    assert_true(fabs(iou[1] - 1.0 / 2) < 1e-15);
    assert_true(iou[2] == 0);
    assert_true(iou[3] == -1);
    assert_true(iou[4] == 0);
    assert_true(fabs(scores.miou - 1.0 / 4) < 1e-15);
    assert_true(fabs(scores.macc - (2.0 / 3 + 1 + 0) / 3) < 1e-15);
    assert_true(fabs(scores.aacc - 3.0 / 6) < 1e-15);
    assert_int_equal(scores.pixels, 6);
    assert_int_equal(assay_confusion_count(confusion, 0, 1), 1);
    assert_int_equal(assay_confusion_count(confusion, 1, 0), 0);
    assert_int_equal(assay_confusion_count(confusion, 4, 2), 1);
    assay_confusion_free(confusion);
}

static void add_in_batches(assay_confusion *confusion, const uint8_t *truth,
                           const uint8_t *prediction, int64_t batch)
{
    for (int64_t first = 0; first < PIXELS; first += batch) {
        int64_t n = PIXELS - first < batch ? PIXELS - first : batch;
        assert_true(assay_confusion_add(confusion, truth + first, prediction + first, n, NULL));
    }
}

static void the_batch_size_does_not_matter_to_the_last_bit(void **state)
{
    (void)state;
    uint8_t truth[PIXELS], prediction[PIXELS];
    random_pixels(truth, prediction);
    const int64_t batches[] = {PIXELS, 1, 64, 100};
    assay_segmentation first = {0};
    for (int b = 0; b < 4; b++) {
        assay_confusion *confusion = assay_confusion_new(CLASSES, 255, NULL);
        assert_non_null(confusion);
        add_in_batches(confusion, truth, prediction, batches[b]);
        assay_segmentation scores = {0};
        assert_true(assay_confusion_summary(confusion, &scores, NULL, NULL));
        if (b == 0)
            first = scores;
        assert_true(scores.miou == first.miou && scores.macc == first.macc);
        assert_true(scores.aacc == first.aacc && scores.pixels == first.pixels);
        assert_true(scores.pixels < PIXELS && scores.pixels > 0);
        assay_confusion_free(confusion);
    }
}

static void without_an_ignored_label_every_pixel_counts(void **state)
{
    (void)state;
    const uint8_t truth[] = {0, 255}, prediction[] = {0, 255};
    assay_confusion *confusion = assay_confusion_new(256, -1, NULL);
    assert_non_null(confusion);
    assert_true(assay_confusion_add(confusion, truth, prediction, 2, NULL));
    assay_segmentation scores;
    assert_true(assay_confusion_summary(confusion, &scores, NULL, NULL));
    assert_int_equal(scores.pixels, 2);
    assert_true(scores.miou == 1 && scores.macc == 1 && scores.aacc == 1);
    assay_confusion_free(confusion);
}

static void a_class_may_be_the_ignored_label(void **state)
{
    (void)state;
    const uint8_t truth[] = {0, 1, 1, 2}, prediction[] = {0, 1, 0, 1};
    assay_confusion *confusion = assay_confusion_new(3, 1, NULL);
    assert_non_null(confusion);
    assert_true(assay_confusion_add(confusion, truth, prediction, 4, NULL));
    assert_int_equal(assay_confusion_count(confusion, 1, 1), 0);
    assert_int_equal(assay_confusion_count(confusion, 1, 0), 0);
    assert_int_equal(assay_confusion_count(confusion, 2, 1), 1);
    assay_confusion_free(confusion);
}

static void a_label_out_of_range_adds_nothing(void **state)
{
    (void)state;
    const uint8_t fine[] = {0, 1, 2}, high[] = {0, 1, 3};
    assay_confusion *confusion = assay_confusion_new(3, 255, NULL);
    assert_non_null(confusion);
    assay_error error = {0};
    assert_false(assay_confusion_add(confusion, high, fine, 3, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.what, "true label"));
    assay_error_clear(&error);
    assert_false(assay_confusion_add(confusion, fine, high, 3, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.what, "predicted label"));
    assert_non_null(strstr(error.got, "pixel 2"));
    for (int64_t t = 0; t < 3; t++) {
        for (int64_t p = 0; p < 3; p++)
            assert_int_equal(assay_confusion_count(confusion, t, p), 0);
    }
    assay_confusion_free(confusion);
}

static void an_ignored_pixel_may_carry_any_prediction(void **state)
{
    (void)state;
    const uint8_t truth[] = {255, 1}, prediction[] = {200, 1};
    assay_confusion *confusion = assay_confusion_new(3, 255, NULL);
    assert_non_null(confusion);
    assert_true(assay_confusion_add(confusion, truth, prediction, 2, NULL));
    assert_int_equal(assay_confusion_count(confusion, 1, 1), 1);
    assay_confusion_free(confusion);
}

static void a_summary_of_no_pixel_is_an_error(void **state)
{
    (void)state;
    const uint8_t ignored[] = {255, 255}, prediction[] = {0, 0};
    assay_confusion *confusion = assay_confusion_new(3, 255, NULL);
    assert_non_null(confusion);
    assay_segmentation scores = {.miou = 42};
    assay_error error = {0};
    assert_true(assay_confusion_add(confusion, ignored, prediction, 2, NULL));
    assert_false(assay_confusion_summary(confusion, &scores, NULL, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_true(scores.miou == 42);
    assay_confusion_free(confusion);
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    const int64_t bad[][2] = {{0, -1}, {-3, -1}, {257, -1}, {3, 256}, {3, -2}};
    for (int i = 0; i < 5; i++) {
        assay_error error = {0};
        assert_null(assay_confusion_new(bad[i][0], bad[i][1], &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
    }
}

static void a_failed_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    int64_t live = assay_memory_stats_get().live_blocks;
    for (int64_t n = 0; n < 2; n++) {
        assay_error error = {0};
        assay_memory_fail_after(n);
        assert_null(assay_confusion_new(3, 255, &error));
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
        assert_int_equal(assay_memory_stats_get().live_blocks, live);
    }
    assay_memory_fail_after(-1);
    assay_confusion_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_of_a_worked_example_are_exact),
        cmocka_unit_test(the_batch_size_does_not_matter_to_the_last_bit),
        cmocka_unit_test(without_an_ignored_label_every_pixel_counts),
        cmocka_unit_test(a_class_may_be_the_ignored_label),
        cmocka_unit_test(a_label_out_of_range_adds_nothing),
        cmocka_unit_test(an_ignored_pixel_may_carry_any_prediction),
        cmocka_unit_test(a_summary_of_no_pixel_is_an_error),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(a_failed_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("metrics/confusion", tests, NULL, NULL);
}
