/* test_tape_memory.c - what a step costs in memory, and what happens when there is none: the small
 * decoder of net.h, with allocations that fail on purpose. */
#include "net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static assay_tape *new_tape(assay_error *error)
{
    return assay_tape_new(assay_device_cpu(error), ASSAY_PRECISION_FP32, error);
}

/* ---- a step that has run before allocates nothing ---- */

static void after_the_first_steps_a_step_allocates_nothing(void **state)
{
    (void)state;
    assay_tape *tape = new_tape(NULL);
    net *n = net_new(NULL);
    int64_t allocations = 0, peak = 0, held = 0;
    assert_true(tape && n);
    for (uint64_t step = 0; step < 13; step++) {
        assay_tape_begin(tape, (assay_step){.clock = step, .training = true});
        net_clear(n);
        assert_true(assay_tape_backward(tape, net_loss(tape, n), 1.0f));
        if (step == 2) {
            allocations = assay_memory_stats_get().allocations;
            peak = assay_tape_stats_get(tape).arena.peak_bytes;
            held = assay_tape_stats_get(tape).arena.chunk_bytes;
        }
    }
    assert_int_equal(assay_memory_stats_get().allocations, allocations);
    assert_int_equal(assay_tape_stats_get(tape).arena.peak_bytes, peak);
    assert_int_equal(assay_tape_stats_get(tape).arena.chunk_bytes, held);
    net_free(n);
    assay_tape_free(tape);
}

/* ---- a failed allocation ---- */

typedef enum stage { IN_SETUP, IN_FORWARD, IN_BACKWARD, STAGES } stage;

static bool step_on(assay_tape *tape, const net *n, stage *reached, double *loss,
                    assay_error *error)
{
    assay_tensor *y = NULL;
    *reached = IN_FORWARD;
    if (!assay_tape_tap(tape, "layers.1") || !(y = net_loss(tape, n)))
        return assay_tape_failed(tape, error);
    *reached = IN_BACKWARD;
    *loss = assay_value(y);
    return assay_tape_backward(tape, y, 1.0f) || assay_tape_failed(tape, error);
}

/* A tape, a model and a step from nothing. */
static bool step_from_nothing(stage *reached, assay_error *error)
{
    double loss = 0.0;
    bool ok = false;
    assay_tape *tape = new_tape(error);
    net *n = tape ? net_new(error) : NULL;
    *reached = IN_SETUP;
    if (n) {
        assay_tape_begin(tape, (assay_step){.training = true});
        ok = step_on(tape, n, reached, &loss, error);
    }
    net_free(n);
    assay_tape_free(tape);
    return ok;
}

static void every_allocation_may_fail_and_nothing_leaks(void **state)
{
    (void)state;
    stage reached = IN_SETUP;
    int failures[STAGES] = {0};
    assay_error error = {0};
    int64_t allocations = assay_memory_stats_get().allocations;
    int64_t live = assay_memory_stats_get().live_blocks;
    assert_true(step_from_nothing(&reached, &error));
    allocations = assay_memory_stats_get().allocations - allocations;
    for (int64_t n = 0; n < allocations; n++) {
        error = (assay_error){0};
        assay_memory_fail_after(n);
        bool ok = step_from_nothing(&reached, &error);
        assay_memory_fail_after(-1);
        assert_false(ok);
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
        assert_int_equal(assay_memory_stats_get().live_blocks, live);
        failures[reached]++;
    }
    assert_true(failures[IN_SETUP] > 0 && failures[IN_FORWARD] > 0);
}

/* One pass with `room` bytes in the arena and none to be had beyond them. */
static bool step_in_room(assay_tape *tape, net *n, int64_t room, stage *reached, assay_error *error)
{
    double loss = 0.0;
    bool ok = false;
    assay_tape_begin(tape, (assay_step){.training = true});
    net_clear(n);
    /* The first piece makes the arena join its chunks; the second fills the one. */
    if (!assay_tape_scratch(tape, 1) ||
        !assay_tape_scratch(tape, assay_tape_stats_get(tape).arena.chunk_bytes - room))
        return assay_tape_failed(tape, error);
    assay_memory_fail_after(0);
    ok = step_on(tape, n, reached, &loss, error);
    assay_memory_fail_after(-1);
    return ok;
}

static double whole_step(assay_tape *tape, net *n)
{
    stage reached = IN_SETUP;
    double loss = 0.0;
    assay_tape_begin(tape, (assay_step){.training = true});
    net_clear(n);
    assert_true(step_on(tape, n, &reached, &loss, NULL));
    return loss;
}

static void memory_may_run_out_anywhere_in_a_step_and_the_next_one_is_sound(void **state)
{
    (void)state;
    enum { PLACES = 80, HEADER = 4096 /* more than what an arena chunk keeps for itself */ };
    net *n = net_new(NULL);
    int failures[STAGES] = {0}, successes = 0;
    assert_non_null(n);
    for (int place = 0; place <= PLACES; place++) {
        assay_error error = {0};
        stage reached = IN_SETUP;
        assay_tape *tape = new_tape(&error);
        assert_non_null(tape);
        double loss = whole_step(tape, n);
        int64_t need = assay_tape_stats_get(tape).arena.peak_bytes;
        if (step_in_room(tape, n, HEADER + need * place / PLACES, &reached, &error)) {
            successes++;
        } else {
            assert_int_equal(error.code, ASSAY_NO_MEMORY);
            failures[reached]++;
        }
        assert_true(whole_step(tape, n) == loss);
        assay_tape_free(tape);
    }
    assert_true(failures[IN_FORWARD] > 10 && failures[IN_BACKWARD] > 10 && successes > 0);
    net_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_the_first_steps_a_step_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail_and_nothing_leaks),
        cmocka_unit_test(memory_may_run_out_anywhere_in_a_step_and_the_next_one_is_sound),
    };
    return cmocka_run_group_tests_name("tape memory", tests, NULL, NULL);
}
