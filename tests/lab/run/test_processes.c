/* test_processes.c - several processes on one plan: jobs, commands side by side, and what becomes
 * of runs whose process is suspended, killed, or loses its parent. */
#include "place.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const plan_shape stages = {"stages", 2, 8, 4, 0, 72};
static const plan_shape many = {"plain", 12, 6, 3, 0, 72};
/* Long enough to be met at work; it is stopped or killed, never awaited. */
static const plan_shape endless = {"plain", 2, 1000000, 50, 0, 72};

#define RUNNING "SELECT count(*) FROM run WHERE status = 'running'"
#define STEPS   "SELECT max(step) FROM series"

static const char *const one_thread[] = {"--threads", "1", NULL};
static const char *const two_jobs[] = {"--jobs", "2", NULL};

/* Runs the program to its end, which must be `status`. */
static void must_end(const test_place *place, const plan_shape *shape, const char *const *words,
                     int status)
{
    int got = program_wait(program_start(place, place->store, shape, words, "log"));
    if (got != status) {
        char *log = program_log(place, "log");
        fail_msg("status %d instead of %d: %s", got, status, log);
    }
}

static void must_print(const test_place *place, const char *name, const char *text)
{
    char *log = program_log(place, name);
    if (strstr(log, text) == NULL)
        fail_msg("no '%s' in: %s", text, log);
    free(log);
}

static int64_t ask_place(const test_place *place, const char *sql)
{
    return ask_store(place->store, sql);
}

/* Nothing of what was started is left behind. */
static bool is_gone(int64_t pid)
{
    for (int waited = 0; waited < 5000; waited += 10) {
        if (store_system_linux.pid_start(pid) < 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

/* ---- jobs ---- */

static void two_jobs_share_the_work_and_come_to_the_same_bits(void **state)
{
    const test_place *place = *state;
    char apart[128], one[65], two[65];
    snprintf(apart, sizeof apart, "%s2", place->store);
    must_end(place, &stages, (const char *const[]){"--jobs", "2", "--threads", "1", NULL}, 0);
    must_print(place, "log", "total 5 done 5 skipped 0");
    assert_int_equal(program_wait(program_start(place, apart, &stages, one_thread, "log")), 0);
    store_outcome(place->store, two);
    store_outcome(apart, one);
    assert_string_equal(one, two);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt"), 5);
    assert_int_equal(ask_place(place, "SELECT count(DISTINCT pid) FROM attempt"), 2);
    assert_int_equal(ask_place(place, "SELECT max(threads) FROM attempt"), 1);
    /* The stage was over before any run that it feeds began. */
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt a JOIN attempt b ON b.run_id = "
                                      "1 WHERE a.run_id > 1 AND a.start_ms < b.end_ms"),
                     0);
    must_end(place, &stages, two_jobs, 0);
    must_print(place, "log", "total 5 done 0 skipped 5");
}

static void a_job_that_is_killed_takes_one_run_with_it(void **state)
{
    const test_place *place = *state;
    pid_t pid = program_start(place, place->store, &endless, two_jobs, "log");
    wait_until(place->store, RUNNING " AND run_id = 1");
    wait_until(place->store, STEPS);
    int64_t victim = ask_place(place, "SELECT pid FROM attempt WHERE run_id = 1");
    kill((pid_t)victim, SIGKILL);
    wait_until(place->store, "SELECT count(*) FROM run WHERE run_id = 1 AND status = 'lost'");
    wait_until(place->store, "SELECT count(*) FROM run WHERE run_id = 2 AND status = 'running'");
    kill(pid, SIGTERM);
    assert_int_equal(program_wait(pid), 75);
    must_print(place, "log", "lost its job, process");
    must_print(place, "log", "signal 9");
    must_print(place, "log", "failed 1 blocked 0 held 0 preempted 1");
    assert_int_equal(ask_place(place, RUNNING), 0);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM checkpoint WHERE run_id = 2") > 0, 1);
}

static void jobs_die_with_the_first_process(void **state)
{
    const test_place *place = *state;
    pid_t pid = program_start(place, place->store, &endless, two_jobs, "log");
    wait_until(place->store, "SELECT count(*) = 2 FROM run WHERE status = 'running'");
    int64_t first = ask_place(place, "SELECT min(pid) FROM attempt"),
            second = ask_place(place, "SELECT max(pid) FROM attempt");
    kill(pid, SIGKILL);
    assert_int_equal(program_wait(pid), -SIGKILL);
    assert_true(is_gone(first) && is_gone(second));
}

static void a_stop_reaches_every_job(void **state)
{
    const test_place *place = *state;
    pid_t pid = program_start(place, place->store, &endless, two_jobs, "log");
    wait_until(place->store, "SELECT count(*) = 2 FROM run WHERE status = 'running'");
    wait_until(place->store, STEPS);
    kill(pid, SIGTERM);
    assert_int_equal(program_wait(pid), 75);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run WHERE status = 'preempted'"), 2);
}

static void a_failing_run_of_a_job_is_told_and_blocks_its_consumers(void **state)
{
    const test_place *place = *state;
    static const plan_shape broken = {"broken", 1, 6, 3, 0, 72};
    must_end(place, &broken, two_jobs, 1);
    must_print(place, "log", "ended 0 step 0 failed it broke");
    must_print(place, "log", "blocked 1 step 0  its input");
    must_print(place, "log", "done 1 skipped 0 failed 1 blocked 1");
}

static void a_program_that_is_no_job_fails_its_run(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    run_summary sum = {0};
    char kind[16];
    plan_shape shape;
    assert_true(plan_shape_read("plain 1 6 3 0 72", kind, &shape));
    plan *of = plan_make(&shape);
    run_options options = {.store_path = place->store, .jobs = 2, .program = "/bin/false"};
    assert_true(run_plan(of, NULL, NULL, &options, &sum, &error));
    assert_int_equal(sum.failed, 1);
    options.program = "/nowhere/at/all";
    assert_false(run_plan(of, NULL, NULL, &options, &sum, &error));
    assert_non_null(strstr(error.what, "cannot be started"));
    plan_free(of);
}

/* ---- commands side by side ---- */

static void eight_commands_share_a_store_and_lose_nothing(void **state)
{
    const test_place *place = *state;
    char apart[128], one[65], shared[65];
    pid_t pids[8];
    snprintf(apart, sizeof apart, "%s2", place->store);
    assert_int_equal(program_wait(program_start(place, apart, &many, one_thread, "log")), 0);
    for (int i = 0; i < 8; i++)
        pids[i] = program_start(place, place->store, &many, one_thread, assay_text("log%d", i));
    for (int i = 0; i < 8; i++) {
        int status = program_wait(pids[i]);
        if (status != 0 && status != 75)
            fail_msg("status %d: %s", status, program_log(place, assay_text("log%d", i)));
    }
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run WHERE status = 'done'"), 12);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt"), 12); /* none twice */
    assert_true(ask_place(place, "SELECT count(DISTINCT pid) FROM attempt") > 1);
    assert_store_intact(place->store);
    assert_int_equal(store_outcome(place->store, shared), store_outcome(apart, one));
    assert_string_equal(shared, one);
}

static void a_run_that_a_dead_process_had_is_taken_up_from_its_checkpoint(void **state)
{
    const test_place *place = *state;
    pid_t pid = program_start(place, place->store, &endless, NULL, "log");
    wait_until(place->store, "SELECT max(step) FROM checkpoint");
    kill(pid, SIGKILL);
    assert_int_equal(program_wait(pid), -SIGKILL);
    assert_int_equal(ask_place(place, RUNNING), 1); /* nobody has looked yet */
    pid = program_start(place, place->store, &endless, NULL, "log");
    assert_int_equal(wait_until(place->store, "SELECT from_step FROM attempt WHERE n = 2") % 50, 0);
    kill(pid, SIGTERM);
    assert_int_equal(program_wait(pid), 75);
    assert_int_equal(ask_place(place, RUNNING), 0);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE end_reason = 'lost'"), 1);
}

/* Stops the process where it holds no lock of the store, and then makes its last beat so old that
 * it counts as dead. */
static void suspend_for_long(const test_place *place, pid_t pid)
{
    for (int i = 0; i < 1000; i++) {
        kill(pid, SIGSTOP);
        if (store_execute(place->store,
                          "UPDATE attempt SET beat_up_ms = beat_up_ms - 200000 WHERE n = 1"))
            return;
        kill(pid, SIGCONT);
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    }
    fail_msg("the process never lets go of the store");
}

/* Every file of run 1 with its content, as one hash. */
static char *files_of_first(const test_place *place)
{
    char command[400], line[200] = "";
    char *hash = ask_store_text(place->store, "SELECT substr(run_hash, 1, 16) FROM run LIMIT 1");
    snprintf(command, sizeof command,
             "cd '%s.files/%s' && find . -type f | sort | xargs sha256sum | sha256sum",
             place->store, hash);
    free(hash);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof line, out));
    assert_int_equal(pclose(out), 0);
    return strdup(line);
}

/* It finds its run in other hands when it wakes: no row and no file is written any more. */
static void a_suspended_process_whose_run_was_taken_writes_nothing(void **state)
{
    const test_place *place = *state;
    pid_t late = program_start(place, place->store, &endless, NULL, "late");
    wait_until(place->store, "SELECT max(step) FROM checkpoint");
    suspend_for_long(place, late);
    pid_t other = program_start(place, place->store, &endless, NULL, "other");
    wait_until(place->store, "SELECT max(step) FROM series WHERE attempt = 2");
    kill(other, SIGTERM);
    assert_int_equal(program_wait(other), 75);
    char *before = files_of_first(place);
    int64_t rows = ask_place(place, "SELECT count(*) FROM series WHERE run_id = 1");
    kill(late, SIGCONT);
    wait_until(place->store, "SELECT count(*) FROM attempt WHERE run_id = 2"); /* it went on */
    assert_int_equal(ask_place(place, "SELECT count(*) FROM series WHERE run_id = 1"), rows);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run WHERE status = 'preempted'"), 1);
    char *after = files_of_first(place);
    assert_string_equal(before, after);
    must_print(place, "late", "ended 0 step 0 lost");
    kill(late, SIGKILL);
    program_wait(late);
    free(before);
    free(after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_jobs_share_the_work_and_come_to_the_same_bits),
        TEST(a_job_that_is_killed_takes_one_run_with_it),
        TEST(jobs_die_with_the_first_process),
        TEST(a_stop_reaches_every_job),
        TEST(a_failing_run_of_a_job_is_told_and_blocks_its_consumers),
        TEST(a_program_that_is_no_job_fails_its_run),
        TEST(eight_commands_share_a_store_and_lose_nothing),
        TEST(a_run_that_a_dead_process_had_is_taken_up_from_its_checkpoint),
        TEST(a_suspended_process_whose_run_was_taken_writes_nothing),
    };
    return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
