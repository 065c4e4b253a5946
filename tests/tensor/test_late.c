/* test_late.c - numbers that are read late are those of the time when they were asked for. */
#include "under_test.h"

#include <assay/late.h>
#include <assay/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 5 };

/* What was read, in order. */
typedef struct readings {
    int count;
    int64_t counts[4];
    float first[4];
    int notes[4];
} readings;

static void remember(void *user, const void *note, const void *numbers, int64_t count)
{
    readings *r = user;
    assert_true(r->count < 4);
    r->counts[r->count] = count;
    r->first[r->count] = count > 0 ? ((const float *)numbers)[count - 1] : 0.0f;
    r->notes[r->count++] = note ? *(const int *)note : -1;
}

static assay_tensor *parameter(void)
{
    assay_tensor *w = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){WIDTH}, NULL);
    assert_true(w && assay_tensor_want_grad(w, NULL));
    for (int i = 0; i < WIDTH; i++)
        assay_f32(w)[i] = (float)i + 1;
    return w;
}

static void ask(assay_late *late, const assay_tensor *tensor, bool gradient, int *note,
                readings *got)
{
    assert_true(assay_late_add(late,
                               &(assay_reading){.tensor = tensor,
                                                .gradient = gradient,
                                                .read = remember,
                                                .user = got,
                                                .note = note,
                                                .note_bytes = note ? (int64_t)sizeof *note : 0},
                               NULL));
}

/* The square of w, its gradient and w itself, while all of them are gone when they are read. */
static void what_is_read_late_is_as_it_was(void **state)
{
    (void)state;
    const assay_device *device = device_under_test(NULL);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assay_late *late = assay_late_new(device, NULL);
    assay_tensor *w = parameter();
    readings got = {0};
    int note = 7;
    assert_true(tape && late);
    for (int pass = 0; pass < 2; pass++) {
        assay_tape_begin(tape, (assay_step){.training = true});
        assay_tensor *square = assay_mul(tape, w, w);
        assert_true(square && assay_tape_backward(tape, assay_sum(tape, square), 1.0f));
        if (pass == 0) {
            ask(late, square, false, &note, &got);
            ask(late, w, true, NULL, &got);
            ask(late, w, false, NULL, &got);
        }
        note = 8;
        for (int i = 0; i < WIDTH; i++)
            assay_f32(w)[i] = -3.0f;
    }
    assay_late_read(late);
    assert_int_equal(got.count, 3);
    assert_true(got.first[0] == 25.0f && got.first[1] == 10.0f && got.first[2] == 5.0f);
    assert_true(got.notes[0] == 7 && got.notes[1] == -1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(got.counts[i], WIDTH);
    assay_late_read(late);
    assert_int_equal(got.count, 3);
    assay_tensor_free(w);
    assay_late_free(late);
    assay_tape_free(tape);
}

/* A group is read without what was added behind it, and the older of two first. */
static void groups_are_read_in_turn(void **state)
{
    (void)state;
    const assay_device *device = device_under_test(NULL);
    bool host = strcmp(assay_device_name(device), "cpu") == 0;
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assay_late *late = assay_late_new(device, NULL);
    assay_tensor *w = parameter();
    readings got = {0};
    assert_true(tape && late);
    for (int i = 0; i < 2; i++) {
        assay_tape_begin(tape, (assay_step){.training = true});
        ask(late, assay_scale(tape, w, (float)(i + 1)), false, NULL, &got);
        assay_late_close(late);
    }
    for (int i = 0; i < 2; i++) {
        if (!host)
            assert_int_equal(got.count, i);
        assay_late_read(late);
        assert_true(got.first[i] == 5.0f * (float)(i + 1));
    }
    assert_int_equal(got.count, 2);
    ask(late, assay_scale(tape, w, 3.0f), false, NULL, &got);
    assay_late_read(late);
    assert_true(got.count == 3 && got.first[2] == 15.0f);
    assay_tensor_free(w);
    assay_late_free(late);
    assay_tape_free(tape);
}

static void a_gradient_that_never_came_has_no_numbers(void **state)
{
    (void)state;
    assay_late *late = assay_late_new(device_under_test(NULL), NULL);
    assay_tensor *w = parameter();
    readings got = {0};
    ask(late, w, true, NULL, &got);
    assay_late_read(late);
    assert_true(got.count == 1 && got.counts[0] == 0);
    assay_tensor_free(w);
    assay_late_free(late);
}

/* On the host it was read at once: there is nothing left to forget. */
static void what_is_dropped_is_not_read(void **state)
{
    (void)state;
    const assay_device *device = device_under_test(NULL);
    bool host = strcmp(assay_device_name(device), "cpu") == 0;
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assay_late *late = assay_late_new(device, NULL);
    assay_tensor *w = parameter();
    readings got = {0};
    assay_tape_begin(tape, (assay_step){.training = true});
    ask(late, assay_mul(tape, w, w), false, NULL, &got);
    assay_late_drop(late);
    assay_late_read(late);
    assert_int_equal(got.count, host ? 1 : 0);
    ask(late, w, false, NULL, &got);
    assay_late_free(late);
    assay_tensor_free(w);
    assay_tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_late_is_as_it_was),
        cmocka_unit_test(groups_are_read_in_turn),
        cmocka_unit_test(a_gradient_that_never_came_has_no_numbers),
        cmocka_unit_test(what_is_dropped_is_not_read),
    };
    return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
