/* test_runs.c - plans of toy runs done in this process: what is done, once, in order, and
 * recorded. */
#include "place.h"

#include "lab/train/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const plan_shape plain = {"plain", 2, 6, 3, 0, 72};
static const plan_shape stages = {"stages", 2, 6, 3, 0, 72};

#define assert_summary(sum, text)                                                                  \
    do {                                                                                           \
        run_summary summary_ = (sum);                                                              \
        assert_string_equal(summary_text(&summary_), (text));                                      \
    } while (0)

static int64_t ask_place(const test_place *place, const char *sql)
{
    return ask_store(place->store, sql);
}

static void assert_text(const test_place *place, const char *sql, const char *expected)
{
    char *text = ask_store_text(place->store, sql);
    assert_string_equal(text, expected);
    free(text);
}

/* The events as a text: "started 0, ended 0 done". */
static const char *events(void)
{
    static const char *const words[] = {"started", "", "ended", "skipped", "held", "blocked"};
    static char text[2000];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < heard.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %d%s%s", i > 0 ? ", " : "",
                                 words[heard.events[i].kind], heard.events[i].run,
                                 heard.events[i].status[0] ? " " : "", heard.events[i].status);
    return text;
}

/* ---- once ---- */

static void a_second_time_does_nothing(void **state)
{
    const test_place *place = *state;
    char first[65], second[65];
    assert_summary(run_here(place, &plain, NULL), "done 2");
    assert_string_equal(events(), "started 0, ended 0 done, started 1, ended 1 done");
    store_outcome(place->store, first);
    assert_summary(run_here(place, &plain, NULL), "skipped 2");
    assert_string_equal(events(), "skipped 0, skipped 1");
    store_outcome(place->store, second);
    assert_string_equal(first, second);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt"), 2);
}

static void a_new_seed_runs_only_itself(void **state)
{
    const test_place *place = *state;
    plan_shape more = plain;
    assert_summary(run_here(place, &plain, NULL), "done 2");
    more.seeds = 3;
    assert_summary(run_here(place, &more, NULL), "done 1 skipped 2");
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt"), 3);
    assert_summary(run_here(place, &plain, NULL), "skipped 2");
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run"), 3);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM v_run"), 2);
}

static void what_belongs_to_the_attempt_makes_no_other_run(void **state)
{
    const test_place *place = *state;
    plan_shape other = plain;
    assert_summary(run_here(place, &plain, NULL), "done 2");
    other.checkpoint_every = 5;
    assert_summary(run_here(place, &other, NULL), "skipped 2");
}

/* ---- stages ---- */

static void a_shared_stage_runs_once_and_before_what_it_feeds(void **state)
{
    const test_place *place = *state;
    assert_summary(run_here(place, &stages, NULL), "done 5");
    assert_int_equal(heard.events[0].run, 0);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE run_id = 1"), 1);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run_input WHERE input_run_id = 1"), 4);
    assert_int_equal(
        ask_place(place, "SELECT count(*) FROM v_run WHERE stage = 'main' AND status = 'done'"), 4);
    /* It began with what the stage had learned: its first loss is not that of a run from the
     * seed. */
    assert_int_equal(
        ask_place(place, "SELECT count(*) FROM series a JOIN series b USING(key_id, step) "
                         "JOIN series_key USING(key_id) WHERE name = 'loss/toy_next' AND step = 1 "
                         "AND a.run_id > 1 AND b.run_id = 1 AND a.value < b.value"),
        4);
}

static void a_failed_stage_blocks_its_consumers_and_nobody_else(void **state)
{
    const test_place *place = *state;
    static const plan_shape broken = {"broken", 1, 6, 3, 0, 72};
    assert_summary(run_here(place, &broken, NULL), "done 1 failed 1 blocked 1");
    assert_string_equal(events(), "started 0, ended 0 failed, blocked 1, started 2, ended 2 done");
    assert_non_null(strstr(heard.events[1].message, "it broke"));
    assert_non_null(strstr(heard.events[2].message, "run 1 (bad -), failed"));
    assert_text(place, "SELECT status FROM run WHERE run_id = 2", "pending");
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run WHERE error LIKE '%it broke%'"), 1);
    assert_summary(run_here(place, &broken, NULL), "skipped 1 failed 1 blocked 1");
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE run_id = 1"), 2);
}

static void fail_fast(run_options *options)
{
    options->fail_fast = true;
}

static void fail_fast_starts_nothing_more(void **state)
{
    const test_place *place = *state;
    static const plan_shape broken = {"broken", 1, 6, 3, 0, 72};
    run_summary sum = run_here(place, &broken, fail_fast);
    assert_summary(sum, "failed 1 blocked 2");
    assert_int_equal(run_status(&sum), 1);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt"), 1);
}

/* ---- scores of stages ---- */

static void a_score_becomes_an_option(void **state)
{
    const test_place *place = *state;
    static const plan_shape score = {"score", 1, 6, 3, 0, 72};
    assert_summary(run_here(place, &score, NULL), "done 2");
    assert_int_equal(
        ask_place(place,
                  "SELECT count(*) FROM param JOIN score s ON s.run_id = 1 WHERE param.run_id = 2 "
                  "AND key = 'loss.toy_contrast.margin' AND origin = 'stage' AND num = s.value "
                  "AND metric = 'auc' AND split = 'valid'"),
        1);
    assert_summary(run_here(place, &score, NULL), "skipped 2"); /* and it is still there */
    assert_int_equal(ask_place(place, "SELECT count(*) FROM param WHERE origin = 'stage'"), 1);
}

static void a_score_that_is_no_value_of_the_option_fails_the_run(void **state)
{
    const test_place *place = *state;
    static const struct {
        const char *kind, *what;
    } cases[] = {{"nowhere", "has no such score"}, {"large", "model.toy_encoder"}};
    for (int i = 0; i < 2; i++) {
        const plan_shape shape = {cases[i].kind, 1, 6, 3, 0, 72};
        run_summary sum = run_here(place, &shape, NULL);
        assert_int_equal(sum.failed, 1);
        const char *message = heard.events[heard.count - 1].message;
        if (strstr(message, cases[i].what) == NULL || strstr(message, "stage 'base'") == NULL)
            fail_msg("%s", message);
    }
}

/* ---- stopping, starting over ---- */

static void a_stopped_run_goes_on_to_the_same_bits(void **state)
{
    const test_place *place = *state;
    test_place apart = *place;
    char whole[65], resumed[65];
    strcat(apart.store, "2");
    assert_summary(run_here(&apart, &stages, NULL), "done 5");
    store_outcome(apart.store, whole);
    stop_at_run = 1;
    stop_at_step = 4;
    run_summary sum = run_here(place, &stages, NULL);
    assert_summary(sum, "done 1 preempted 1 waiting 3");
    assert_int_equal(run_status(&sum), 75);
    assert_text(place, "SELECT status FROM run WHERE run_id = 2", "preempted");
    stop_at_step = -1;
    assert_summary(run_here(place, &stages, NULL), "done 4 skipped 1");
    assert_int_equal(heard.events[1].kind, RUN_STARTED);
    assert_int_equal(heard.events[1].step, 4);
    assert_int_equal(
        ask_place(place, "SELECT from_step * 10 + exact FROM attempt WHERE run_id = 2 AND n = 2"),
        41);
    store_outcome(place->store, resumed);
    assert_string_equal(whole, resumed);
}

static void on_one_thread(run_options *options)
{
    options->threads = 1;
}

static void on_two_threads(run_options *options)
{
    options->threads = 2;
}

static void going_on_with_other_threads_is_marked_inexact(void **state)
{
    const test_place *place = *state;
    stop_at_run = 0;
    stop_at_step = 3;
    run_here(place, &plain, on_one_thread);
    stop_at_step = -1;
    assert_summary(run_here(place, &plain, on_two_threads), "done 2");
    assert_int_equal(ask_place(place, "SELECT exact FROM attempt WHERE run_id = 1 AND n = 2"), 0);
    assert_int_equal(ask_place(place, "SELECT exact FROM attempt WHERE run_id = 2 AND n = 1"), 1);
}

static void redo(run_options *options)
{
    options->redo = true;
}

static void redo_clears_runs_and_descendants_and_comes_to_the_same(void **state)
{
    const test_place *place = *state;
    char first[65], second[65];
    run_here(place, &stages, NULL);
    store_outcome(place->store, first);
    assert_summary(run_here(place, &stages, redo), "done 5");
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE end_reason = 'done'"),
                     10);
    assert_int_equal(ask_place(place, "SELECT max(step) FROM series WHERE attempt = 1"), -1);
    store_outcome(place->store, second);
    assert_string_equal(first, second);
}

/* ---- other processes ---- */

/* Claims the run as another process would, and keeps it. */
static store_handle *hold(const test_place *place, int64_t run_id)
{
    static const store_worker worker = {.cpu = "c", .build_sig = "b", .threads = 1};
    store_lease lease;
    store_handle *store = store_open(place->store, STORE_READ_WRITE, NULL);
    assert_int_equal(store_claim(store, run_id, &worker, &lease, NULL, 0, NULL), STORE_CLAIMED);
    return store;
}

static void a_run_that_another_process_has_is_named_and_left(void **state)
{
    const test_place *place = *state;
    char pid[32];
    run_here(place, &plain, NULL);
    store_handle *store = store_open(place->store, STORE_READ_WRITE, NULL);
    assert_true(store_redo(store, 1, (int64_t[]){1}, NULL, NULL));
    store_free(store);
    store = hold(place, 1);
    plan_shape more = plain;
    more.seeds = 3;
    run_summary sum = run_here(place, &more, NULL);
    assert_summary(sum, "done 1 skipped 1 held 1");
    assert_int_equal(run_status(&sum), 75);
    assert_string_equal(events(), "skipped 1, started 2, ended 2 done, held 0");
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(heard.events[3].message, pid));
    store_free(store);
}

static void what_waits_for_a_held_stage_is_neither_run_nor_blocked(void **state)
{
    const test_place *place = *state;
    stop_at_step = 1;
    assert_summary(run_here(place, &stages, NULL), "preempted 1 waiting 4");
    stop_at_step = -1;
    store_handle *store = hold(place, 1);
    assert_summary(run_here(place, &stages, NULL), "held 1 waiting 4");
    store_free(store);
}

static void runs_at_work_are_not_cleared(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    stop_at_step = 1;
    run_here(place, &stages, NULL);
    stop_at_step = -1;
    store_handle *store = hold(place, 3);
    must_refuse(place, &stages, redo, &error);
    assert_int_equal(error.code, ASSAY_STOPPED);
    store_free(store);
}

/* ---- what is written down ---- */

static void everything_that_defines_and_explains_a_run_is_recorded(void **state)
{
    const test_place *place = *state;
    setenv("OMP_TEST_WORD", "seen", 1);
    setenv("SLURM_TEST_TOKEN", "secret", 1);
    setenv("TEST_PASSWORD", "secret", 1);
    setenv("SLURM_JOB_ID", "4711", 1);
    run_here(place, &stages, NULL);
    unsetenv("SLURM_JOB_ID");
    static const struct {
        const char *sql;
        int64_t value;
    } cases[] = {
        {"SELECT count(*) FROM plugin_used WHERE run_id = 2", 6},
        {"SELECT count(*) FROM plugin_used WHERE length(sha256) = 64 AND abi = '1.0'", 30},
        {"SELECT count(*) FROM axis WHERE name = 'train.warmup' AND num = 0.4", 1},
        {"SELECT count(*) FROM param WHERE key = 'train.lr' AND num = 0.01", 5},
        {"SELECT count(*) FROM attempt WHERE job = '4711' AND cpu <> '' AND length(build_sig) = 32",
         5},
        {"SELECT count(*) FROM attempt_source WHERE kind = 'script' AND name = 'toy.lua'", 5},
        {"SELECT count(*) FROM source WHERE text = '-- toy'", 1},
        {"SELECT count(*) FROM source WHERE text LIKE '%OMP_TEST_WORD=seen%glibc%'", 1},
        {"SELECT count(*) FROM source WHERE text LIKE '%secret%'", 0},
        {"SELECT count(*) FROM run WHERE total_steps = 6 AND device = 'cpu'", 5},
        {"SELECT count(*) FROM artifact", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ask_place(place, cases[i].sql) != cases[i].value)
            fail_msg("%s: %lld", cases[i].sql, (long long)ask_place(place, cases[i].sql));
}

static void must_shell(const test_place *place, const char *format)
{
    char line[400], command[600];
    snprintf(line, sizeof line, "%s", format);
    snprintf(command, sizeof command, "cd '%s' && { %s; } >/dev/null 2>&1", place->folder, line);
    assert_int_equal(system(command), 0);
}

static void version_control_is_asked_and_may_have_no_answer(void **state)
{
    const test_place *place = *state;
    plan_shape more = plain;
    more.seeds = 1;
    if (system("git --version >/dev/null 2>&1") != 0)
        skip();
    run_here(place, &more, NULL);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE git_commit IS NULL AND "
                                      "git_dirty IS NULL"),
                     1);
    must_shell(place, "git init -q . && echo one >tracked && git add tracked && git -c user.name=a "
                      "-c user.email=a@b commit -qm first");
    more.seeds = 2;
    run_here(place, &more, NULL);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE length(git_commit) = 40 "
                                      "AND git_dirty = 0"),
                     1);
    must_shell(place, "echo two >>tracked; printf '\\377\\n' >>tracked");
    more.seeds = 3;
    run_here(place, &more, NULL);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt WHERE git_dirty = 1"), 1);
    assert_int_equal(ask_place(place, "SELECT count(*) FROM attempt_source JOIN source "
                                      "USING(sha256) WHERE kind = 'diff' AND text LIKE "
                                      "'%+two%+?%'"),
                     1);
}

/* ---- wrong places ---- */

static void below_a_file(run_options *options)
{
    options->store_path = "/proc/version/a.db";
}

static void on_a_device_that_is_not_there(run_options *options)
{
    options->device = "cuda";
}

static void what_cannot_be_done_at_all_is_refused(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    must_refuse(place, &plain, below_a_file, &error);
    assay_error_clear(&error);
    must_refuse(place, &plain, on_a_device_that_is_not_there, &error);
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    assert_int_equal(access(place->store, F_OK), -1);
}

/* A file stands where the folder of files should be: every run fails, and says so. */
static void runs_whose_files_have_no_place_fail_with_the_reason(void **state)
{
    const test_place *place = *state;
    must_shell(place, "echo x >a.db.files");
    run_summary sum = run_here(place, &plain, NULL);
    assert_summary(sum, "failed 2");
    assert_non_null(strstr(heard.events[1].message, "the folder cannot be made"));
    assert_int_equal(ask_place(place, "SELECT count(*) FROM run WHERE status = 'failed'"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_time_does_nothing),
        TEST(a_new_seed_runs_only_itself),
        TEST(what_belongs_to_the_attempt_makes_no_other_run),
        TEST(a_shared_stage_runs_once_and_before_what_it_feeds),
        TEST(a_failed_stage_blocks_its_consumers_and_nobody_else),
        TEST(fail_fast_starts_nothing_more),
        TEST(a_score_becomes_an_option),
        TEST(a_score_that_is_no_value_of_the_option_fails_the_run),
        TEST(a_stopped_run_goes_on_to_the_same_bits),
        TEST(going_on_with_other_threads_is_marked_inexact),
        TEST(redo_clears_runs_and_descendants_and_comes_to_the_same),
        TEST(a_run_that_another_process_has_is_named_and_left),
        TEST(what_waits_for_a_held_stage_is_neither_run_nor_blocked),
        TEST(runs_at_work_are_not_cleared),
        TEST(everything_that_defines_and_explains_a_run_is_recorded),
        TEST(version_control_is_asked_and_may_have_no_answer),
        TEST(what_cannot_be_done_at_all_is_refused),
        TEST(runs_whose_files_have_no_place_fail_with_the_reason),
    };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
