/* test_ahead.c - batches that are sent ahead arrive as they were, and overwrite nothing that is
 * still to be read. */
#include "under_test.h"

#include <assay/ahead.h>
#include <assay/late.h>
#include <assay/memory.h>
#include <assay/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A batch is larger than half of what may be on its way, so that copies are done while earlier work
 * waits. */
enum { BATCHES = 5, ROWS = 5200, WIDTH = 1024 };

static void put_number(void *user, const void *note, const void *numbers, int64_t count)
{
    float *sums = user;
    assert_int_equal(count, 1);
    sums[*(const int *)note] = *(const float *)numbers;
}

/* The sum of the last row, and half of the first one's. */
static void ask(assay_tape *tape, assay_late *late, assay_tensor *batch, int number, float *sums)
{
    assay_tape_begin(tape, (assay_step){.training = true});
    assay_tensor *last = assay_sum(tape, assay_slice(tape, batch, 0, ROWS - 1, 1));
    assay_tensor *first = assay_sum(tape, assay_slice(tape, batch, 0, 0, 1));
    assay_tensor *sum = assay_add(tape, last, assay_scale(tape, first, 0.5f));
    assert_non_null(sum);
    assert_true(assay_late_add(late,
                               &(assay_reading){.tensor = sum,
                                                .read = put_number,
                                                .user = sums,
                                                .note = &number,
                                                .note_bytes = (int64_t)sizeof number},
                               NULL));
}

static void fill(const assay_tensor *batch, float value)
{
    float *to = batch->data;
    for (int64_t i = 0; i < assay_tensor_count(batch); i++)
        to[i] = value;
}

/* Batch k is sent, and its memory on the host taken for another, while the work on those before it
 * waits. */
static void batches_go_beside_the_work(void **state)
{
    (void)state;
    const assay_device *device = device_under_test(NULL);
    bool apart = assay_device_is_apart(device);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assay_late *late = assay_late_new(device, NULL);
    assay_ahead *ahead = assay_ahead_new(device, NULL);
    assay_arena *arena = assay_arena_new(0, NULL);
    float sums[BATCHES] = {0};
    assert_true(tape && late && ahead && arena);
    for (int k = 0; k < BATCHES; k++) {
        assay_arena_reset(arena);
        assay_tensor *batch = assay_tensor_in(arena, ASSAY_F32, 2, (int64_t[]){ROWS, WIDTH}, NULL);
        assert_non_null(batch);
        fill(batch, (float)(k + 1));
        assay_ahead_send(ahead, arena);
        assert_true((batch->side.there != NULL) == apart);
        if (apart)
            fill(batch, -1.0f);
        ask(tape, late, batch, k, sums);
    }
    assay_late_read(late);
    for (int k = 0; k < BATCHES; k++)
        assert_true(sums[k] == 1.5f * WIDTH * (float)(k + 1));
    assay_ahead_free(ahead);
    assay_late_free(late);
    assay_tape_free(tape);
    assay_arena_free(arena);
}

/* What the host writes after it was sent still reaches the device, as it does with every tensor. */
static void what_is_written_later_counts(void **state)
{
    (void)state;
    const assay_device *device = device_under_test(NULL);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL);
    assay_ahead *ahead = assay_ahead_new(device, NULL);
    assay_arena *arena = assay_arena_new(0, NULL);
    assert_true(tape && ahead && arena);
    assay_tensor *batch = assay_tensor_in(arena, ASSAY_F32, 1, (int64_t[]){3}, NULL);
    assay_tensor *none = assay_tensor_in(arena, ASSAY_F32, 1, (int64_t[]){0}, NULL);
    assert_true(batch && none);
    fill(batch, 1.0f);
    assay_ahead_send(ahead, arena);
    assay_f32(batch)[1] = 5.0f;
    assay_tape_begin(tape, (assay_step){.training = true});
    assert_true(assay_value(assay_sum(tape, batch)) == 7.0);
    assert_true(assay_value(assay_sum(tape, none)) == 0.0);
    assay_ahead_free(ahead);
    assay_tape_free(tape);
    assay_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_go_beside_the_work),
        cmocka_unit_test(what_is_written_later_counts),
    };
    return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
