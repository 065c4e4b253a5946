/* test_lease.c - plans, claims, attempts, and what a process may write that lost its run. */
#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a system whose clocks the test moves ---- */

static int64_t skew_ms, up_skew_ms;

static int64_t skewed_now(void)
{
    return store_system_linux.now_ms() + skew_ms;
}

static int64_t skewed_up(void)
{
    return store_system_linux.up_ms() + up_skew_ms;
}

static void other_boot(char *out, int size)
{
    snprintf(out, (size_t)size, "another boot");
}

static store_handle *open_skewed(const test_place *place, bool another_boot)
{
    static store_system system;
    system = store_system_linux;
    system.now_ms = skewed_now;
    system.up_ms = skewed_up;
    if (another_boot)
        system.boot_id = other_boot;
    store_handle *store = store_open_with(place->path, &(store_options){.system = &system}, NULL);
    assert_non_null(store);
    return store;
}

static int reset_clocks_and_make_place(void **state)
{
    skew_ms = up_skew_ms = 0;
    return place_make(state);
}

/* Claims in a process of its own, which then ends without a word. */
static void claim_and_die(const test_place *place, int64_t run_id)
{
    if (fork() == 0) {
        store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
        store_lease lease;
        _exit(store_claim(store, run_id, &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED);
    }
    int status = 1;
    wait(&status);
    assert_int_equal(status, 0);
}

/* ---- plans ---- */

static void a_plan_written_twice_changes_nothing_and_an_edit_moves_current(void **state)
{
    const test_place *place = *state;
    int64_t first[6], second[6];
    store_handle *store = must_open(place);
    must_plan(store, "e", 6, first);
    must_plan(store, "e", 6, second);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(ask(place, "SELECT count(*) FROM run"), 6);
    assert_int_equal(ask(place, "SELECT count(*) FROM v_run"), 6);
    must_plan(store, "e", 3, second);
    assert_int_equal(ask(place, "SELECT count(*) FROM run"), 6);
    assert_int_equal(ask(place, "SELECT count(*) FROM v_run"), 3);
    assert_int_equal(ask(place, "SELECT count(*) FROM axis"), 2);
    assert_int_equal(ask(place, "SELECT count(*) FROM param WHERE num = 0.001"), 6);
    store_free(store);
}

static void a_plan_with_an_unknown_input_writes_nothing(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    store_handle *store = must_open(place);
    store_planned_run run = {.run_hash = "a",
                             .cell_hash = "b",
                             .device = "cpu",
                             .dataset = "d",
                             .stage = "main",
                             .label = "l",
                             .n_inputs = 1,
                             .inputs = &(store_input){"teacher", "nobody"}};
    assert_false(store_put_plan(store, "e", 1, &run, NULL, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_int_equal(ask(place, "SELECT count(*) FROM experiment"), 0);
    store_free(store);
}

/* ---- claims ---- */

static void a_living_holder_is_named_and_keeps_its_run(void **state)
{
    const test_place *place = *state;
    int64_t id;
    char holder[200] = "", expected[64];
    store_lease lease;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    must_claim(store, id);
    assert_int_equal(store_claim(store, id, &worker, &lease, holder, sizeof holder, NULL),
                     STORE_HELD);
    snprintf(expected, sizeof expected, "process %ld since", (long)getpid());
    assert_non_null(strstr(holder, expected));
    store_free(store);
}

static void a_dead_process_loses_its_runs_at_the_next_claim_of_any(void **state)
{
    const test_place *place = *state;
    int64_t ids[3];
    store_handle *store = must_open(place);
    must_plan(store, "e", 3, ids);
    claim_and_die(place, ids[0]);
    claim_and_die(place, ids[1]);
    store_lease lease = must_claim(store, ids[1]);
    assert_int_equal(lease.attempt, 2);
    assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'running'"), 1);
    assert_int_equal(ask(place, "SELECT count(*) FROM attempt WHERE end_reason = 'lost'"), 2);
    store_free(store);
}

static void a_done_run_is_not_claimed_and_a_failed_one_is(void **state)
{
    const test_place *place = *state;
    int64_t ids[2];
    store_handle *store = must_open(place);
    must_plan(store, "e", 2, ids);
    store_lease done = must_claim(store, ids[0]), failed = must_claim(store, ids[1]), lease;
    assert_true(store_end(store, &done, "done", "done", NULL, NULL));
    assert_true(store_end(store, &failed, "failed", "error", "no such file", NULL));
    assert_string_equal(ask_text(place, "SELECT error FROM v_run WHERE status = 'failed'"),
                        "no such file");
    assert_int_equal(store_claim(store, ids[0], &worker, &lease, NULL, 0, NULL), STORE_DONE);
    assert_int_equal(must_claim(store, ids[1]).attempt, 2);
    assert_int_equal(store_claim(store, 99, &worker, &lease, NULL, 0, NULL), STORE_REFUSED);
    store_free(store);
}

static void a_clock_that_was_set_does_not_take_runs_from_the_living(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_lease lease;
    store_handle *store = open_skewed(place, false);
    must_plan(store, "e", 1, &id);
    must_claim(store, id);
    for (int sign = -1; sign <= 1; sign += 2) {
        skew_ms = sign * INT64_C(86400000);
        assert_int_equal(store_claim(store, id, &worker, &lease, NULL, 0, NULL), STORE_HELD);
    }
    up_skew_ms = 121000; /* no beat for two minutes of the boot's own time */
    assert_int_equal(store_claim(store, id, &worker, &lease, NULL, 0, NULL), STORE_CLAIMED);
    store_free(store);
}

static void on_another_boot_the_wall_clock_decides_whatever_way_it_was_set(void **state)
{
    const test_place *place = *state;
    static const int64_t skews[] = {121000, -121000};
    int64_t ids[2];
    store_lease lease;
    store_handle *here = must_open(place), *there = open_skewed(place, true);
    must_plan(here, "e", 2, ids);
    for (int i = 0; i < 2; i++) {
        skew_ms = 0;
        must_claim(here, ids[i]);
        assert_int_equal(store_claim(there, ids[i], &worker, &lease, NULL, 0, NULL), STORE_HELD);
        skew_ms = skews[i];
        assert_int_equal(store_claim(there, ids[i], &worker, &lease, NULL, 0, NULL), STORE_CLAIMED);
    }
    store_free(there);
    store_free(here);
}

/* ---- late processes ---- */

static void a_late_process_is_told_and_writes_nothing(void **state)
{
    const test_place *place = *state;
    int64_t id;
    assay_error error = {0};
    store_file file = {"run/1.safetensors", "00", 10};
    store_handle *store = open_skewed(place, false);
    must_plan(store, "e", 1, &id);
    store_lease late = must_claim(store, id);
    up_skew_ms = 121000;
    must_claim(store, id);
    assert_false(store_put_checkpoint(store, &late, 5, &file, &error));
    assert_true(late.lost);
    assert_true(error.hint[0] != '\0');
    assert_false(store_beat(store, &late, NULL));
    assert_false(store_resume(store, &late, 0, true, NULL));
    assert_false(store_put_artifact(store, &late, "roc", &file, NULL));
    assert_false(store_put_source(store, &late, "script", "a.lua", "x", NULL));
    assert_false(store_end(store, &late, "done", "done", NULL, NULL));
    assert_int_equal(ask(place, "SELECT (SELECT count(*) FROM checkpoint) + "
                                "(SELECT count(*) FROM artifact) + (SELECT count(*) FROM source)"),
                     0);
    assert_string_equal(ask_text(place, "SELECT status FROM run"), "running");
    store_free(store);
}

/* The child writes one row a millisecond until it is told that its run is gone. */
static void write_until_lost(const test_place *place, int64_t id, int ready)
{
    store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
    store_lease lease;
    if (store_claim(store, id, &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED)
        _exit(2);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    for (int64_t step = 0; step < 20000; step++) {
        if (!store_series(writer, key, step, 1) || !store_flush(writer, NULL))
            _exit(store_writer_stats_get(writer).lost ? 0 : 3);
        if (step == 10 && write(ready, "x", 1) != 1)
            _exit(4);
        usleep(1000);
    }
    _exit(5);
}

static void a_suspended_process_that_wakes_after_its_run_was_taken_writes_nothing(void **state)
{
    const test_place *place = *state;
    int64_t id;
    int pipes[2], status = 1;
    char byte;
    store_handle *store = open_skewed(place, false);
    must_plan(store, "e", 1, &id);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        write_until_lost(place, id, pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    kill(child, SIGSTOP);
    up_skew_ms = 121000;
    store_lease lease = must_claim(store, id);
    assert_true(store_resume(store, &lease, 5, true, NULL));
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(ask(place, "SELECT max(step) FROM series"), 5);
    store_free(store);
    close(pipes[0]);
    close(pipes[1]);
}

static void a_resume_deletes_what_lies_beyond_its_step(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    for (int64_t step = 1; step <= 10; step++) {
        store_series(writer, key, step, 1.0);
        store_score score = {"s", "b", "auc", "valid", step, 0.5, NAN, NAN, -1};
        assert_true(store_put_score(writer, &score, NULL));
    }
    assert_true(store_writer_free(writer, NULL));
    for (int64_t step = 5; step <= 10; step += 5)
        assert_true(store_put_checkpoint(store, &lease, step, &(store_file){"p", "00", 1}, NULL));
    assert_true(store_resume(store, &lease, 5, false, NULL));
    assert_int_equal(ask(place, "SELECT max(step) FROM series"), 5);
    assert_int_equal(ask(place, "SELECT max(step) FROM score"), 5);
    assert_int_equal(ask(place, "SELECT max(step) FROM checkpoint"), 5);
    assert_int_equal(ask(place, "SELECT from_step * 10 + exact FROM attempt"), 50);
    store_free(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset_clocks_and_make_place, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plan_written_twice_changes_nothing_and_an_edit_moves_current),
        TEST(a_plan_with_an_unknown_input_writes_nothing),
        TEST(a_living_holder_is_named_and_keeps_its_run),
        TEST(a_dead_process_loses_its_runs_at_the_next_claim_of_any),
        TEST(a_done_run_is_not_claimed_and_a_failed_one_is),
        TEST(a_clock_that_was_set_does_not_take_runs_from_the_living),
        TEST(on_another_boot_the_wall_clock_decides_whatever_way_it_was_set),
        TEST(a_late_process_is_told_and_writes_nothing),
        TEST(a_suspended_process_that_wakes_after_its_run_was_taken_writes_nothing),
        TEST(a_resume_deletes_what_lies_beyond_its_step),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
