/* test_schedule.c - the order of runs: inputs first, failures block, what is held comes again. */
#include "lab/run/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* 0 -> 1 -> 3, 0 -> 2, and 4 alone. */
static plan_input of_0[] = {{.name = (char *)"init", .run = 0}};
static plan_input of_1[] = {{.name = (char *)"init", .run = 1}};
static plan_run runs[] = {
    {.input_count = 0},
    {.input_count = 1, .inputs = of_0},
    {.input_count = 1, .inputs = of_0},
    {.input_count = 1, .inputs = of_1},
    {.input_count = 0},
};
static const plan five = {.run_count = 5, .runs = runs};

static run_schedule must_open(void)
{
    run_schedule s;
    assert_true(schedule_open(&s, &five, NULL));
    return s;
}

/* The next step as text: "run 3", "blocked 3 by 1", "wait", "end". */
static const char *next(run_schedule *s)
{
    int run = -1, input = -1;
    switch (schedule_next(s, &run, &input)) {
    case SCHEDULE_RUN:
        return assay_text("run %d", run);
    case SCHEDULE_BLOCKED:
        return assay_text("blocked %d by %d", run, input);
    case SCHEDULE_WAIT:
        return "wait";
    case SCHEDULE_END:
        break;
    }
    return "end";
}

static void inputs_come_first_and_what_is_free_need_not_wait(void **state)
{
    (void)state;
    run_schedule s = must_open();
    assert_string_equal(next(&s), "run 0");
    assert_string_equal(next(&s), "run 4");
    assert_string_equal(next(&s), "wait");
    schedule_set(&s, 0, STATE_DONE);
    assert_string_equal(next(&s), "run 1");
    assert_string_equal(next(&s), "run 2");
    schedule_set(&s, 4, STATE_DONE);
    schedule_set(&s, 1, STATE_SKIPPED);
    assert_string_equal(next(&s), "run 3");
    schedule_set(&s, 3, STATE_DONE);
    assert_string_equal(next(&s), "wait");
    schedule_set(&s, 2, STATE_DONE);
    assert_string_equal(next(&s), "end");
    schedule_close(&s);
}

static void a_failure_blocks_all_that_follow_from_it_and_nothing_else(void **state)
{
    (void)state;
    run_summary sum;
    run_schedule s = must_open();
    assert_string_equal(next(&s), "run 0");
    schedule_set(&s, 0, STATE_DONE);
    assert_string_equal(next(&s), "run 1");
    schedule_set(&s, 1, STATE_FAILED);
    assert_string_equal(next(&s), "run 2");
    assert_string_equal(next(&s), "blocked 3 by 1");
    assert_string_equal(next(&s), "run 4");
    schedule_set(&s, 2, STATE_DONE);
    schedule_set(&s, 4, STATE_DONE);
    assert_string_equal(next(&s), "end");
    schedule_count(&s, &sum);
    assert_int_equal(sum.done, 3);
    assert_int_equal(sum.blocked, 1);
    assert_int_equal(run_status(&sum), 1);
    schedule_close(&s);
}

static void blocking_goes_down_the_whole_chain(void **state)
{
    (void)state;
    run_schedule s = must_open();
    assert_string_equal(next(&s), "run 0");
    schedule_set(&s, 0, STATE_FAILED);
    assert_string_equal(next(&s), "blocked 1 by 0");
    assert_string_equal(next(&s), "blocked 2 by 0");
    assert_string_equal(next(&s), "blocked 3 by 1");
    assert_string_equal(next(&s), "run 4");
    schedule_close(&s);
}

static void held_runs_get_another_look_when_nothing_else_is_left(void **state)
{
    (void)state;
    run_summary sum;
    run_schedule s = must_open();
    assert_string_equal(next(&s), "run 0");
    schedule_set(&s, 0, STATE_HELD);
    assert_string_equal(next(&s), "run 4");
    assert_string_equal(next(&s), "wait");
    schedule_set(&s, 4, STATE_DONE);
    assert_string_equal(next(&s), "run 0"); /* again, at the end */
    schedule_set(&s, 0, STATE_HELD);
    assert_string_equal(next(&s), "end");
    schedule_count(&s, &sum);
    assert_int_equal(sum.held, 1);
    assert_int_equal(sum.waiting, 3);
    assert_int_equal(run_status(&sum), 75);
    schedule_close(&s);
}

static void work_meanwhile_is_worth_a_further_look(void **state)
{
    (void)state;
    run_schedule s = must_open();
    assert_string_equal(next(&s), "run 0");
    schedule_set(&s, 0, STATE_DONE);
    for (int i = 1; i <= 2; i++) {
        next(&s);
        schedule_set(&s, i, STATE_HELD);
    }
    assert_string_equal(next(&s), "run 4");
    schedule_set(&s, 4, STATE_DONE);
    assert_string_equal(next(&s), "run 1");
    schedule_set(&s, 1, STATE_HELD);
    assert_string_equal(next(&s), "run 2");
    schedule_set(&s, 2, STATE_DONE); /* it was free at last, and took its time */
    assert_string_equal(next(&s), "run 1");
    schedule_set(&s, 1, STATE_SKIPPED);
    assert_string_equal(next(&s), "run 3");
    schedule_close(&s);
}

static void the_status_says_what_can_go_on(void **state)
{
    (void)state;
    static const struct {
        run_summary sum;
        int status;
    } cases[] = {
        {{.total = 2, .done = 1, .skipped = 1}, 0},
        {{.total = 0}, 0},
        {{.total = 2, .done = 1, .failed = 1}, 1},
        {{.total = 2, .failed = 1, .blocked = 1}, 1},
        {{.total = 2, .failed = 1, .preempted = 1}, 75},
        {{.total = 1, .held = 1}, 75},
        {{.total = 1, .lost = 1}, 75},
        {{.total = 2, .done = 1, .waiting = 1}, 75},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(run_status(&cases[i].sum), cases[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_come_first_and_what_is_free_need_not_wait),
        cmocka_unit_test(a_failure_blocks_all_that_follow_from_it_and_nothing_else),
        cmocka_unit_test(blocking_goes_down_the_whole_chain),
        cmocka_unit_test(held_runs_get_another_look_when_nothing_else_is_left),
        cmocka_unit_test(work_meanwhile_is_worth_a_further_look),
        cmocka_unit_test(the_status_says_what_can_go_on),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
