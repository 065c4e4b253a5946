/* test_run.c - scripts run by the real program: what is printed, recorded, skipped and stopped. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a line that must end with this status; its stdout is the caller's. */
static char *must(const char *line, int status)
{
    outcome result = shell(line);
    assert_status(&result, status);
    char *out = strdup(result.out);
    outcome_free(&result);
    return out;
}

static void must_contain(const char *line, int status, const char *part)
{
    char *out = must(line, status);
    assert_contains(out, part);
    free(out);
}

/* The rows that `line` prints as JSON; the caller owns them. */
static json_t *rows_of(const char *line)
{
    char *out = must(line, 0);
    json_t *rows = json_loads(out, 0, NULL);
    if (!json_is_array(rows))
        fail_msg("%s gives no array:\n%s", line, out);
    free(out);
    return rows;
}

static int count_rows(const char *line)
{
    json_t *rows = rows_of(line);
    int n = (int)json_array_size(rows);
    json_decref(rows);
    return n;
}

/* ---- the whole way ---- */

static void test_plan_writes_nothing(void **state)
{
    (void)state;
    must_contain("assay plan $S/walks.lua", 0, "walks: 4 runs in 2 cells; 0 done, 4 to do");
    json_t *rows = rows_of("assay plan $S/walks.lua --format json");
    assert_int_equal(json_array_size(rows), 4);
    for (size_t i = 0; i < 4; i++) {
        json_t *row = json_array_get(rows, i);
        assert_int_equal(strlen(json_string_value(json_object_get(row, "hash"))), 64);
        assert_string_equal(json_string_value(json_object_get(row, "stage")), "main");
        assert_string_equal(json_string_value(json_object_get(row, "state")), "new");
        assert_true(json_number_value(json_object_get(row, "parameters")) > 100);
        assert_true(json_number_value(json_object_get(row, "flops")) > 1000);
        assert_true(json_number_value(json_object_get(row, "seconds")) > 0);
        assert_non_null(json_object_get(row, "axis:mask"));
    }
    json_decref(rows);
    must_contain("assay plan $S/walks.lua --parts", 0, "all");
    assert_false(there_is("results"));
}

static void test_run_and_everything_after(void **state)
{
    (void)state;
    char *out = must("assay run $S/walks.lua", 0);
    assert_contains(out, "walks: 4 runs, 4 done\nnext: assay compare walks\n");
    assert_null(strchr(out, '\033'));
    free(out);
    must_contain("assay run $S/walks.lua", 0, "walks: 4 runs, 4 done before\n");
    must_contain("assay plan $S/walks.lua", 0, "4 done, 0 to do");
    must_contain("assay run $S/walks.lua --set 'seed=seeds(3)'", 0,
                 "6 runs, 2 done, 4 done before");
    assert_int_equal(count_rows("assay runs --format json"), 6);
    assert_int_equal(count_rows("assay runs walks --format json"), 6);
    must_contain("assay show 1", 0, "walks");
    must_contain("assay show 1 2", 0, "seed");
    must_contain("assay compare walks --metric auc --by mask", 0, "toy_ramp");
    must_contain("assay compare walks --wide", 0, "difference");
    must_contain("assay plot walks loss --ascii", 0, "loss of walks");
    must_contain("assay plot walks loss -o loss.svg && cat loss.svg", 0, "</svg>");
    must_contain("assay plot walks loss --format csv", 0, "cell,step,n,mean,sd");
    must_contain(
        "assay query \"SELECT value FROM v_leaderboard WHERE method = 'GG-SM' AND benchmark "
        "= 'avg'\"",
        0, "0.7745");
    assert_int_equal(count_rows("assay query --format json \"SELECT * FROM run\""), 6);
    static const char *const commands[] = {
        "runs",    "compare walks", "query 'SELECT * FROM v_cell'", "plan $S/walks.lua",
        "plugins", "doctor"};
    static const char *const formats[] = {"table", "csv", "markdown", "latex", "json"};
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 5; k++) {
            char line[200];
            snprintf(line, sizeof line, "assay %s --format %s", commands[i], formats[k]);
            char *text = must(line, 0);
            assert_true(strlen(text) > 20);
            if (k == 4) {
                json_t *data = json_loads(text, 0, NULL);
                assert_non_null(data);
                json_decref(data);
            }
            free(text);
        }
}

static void test_quiet_says_nothing(void **state)
{
    (void)state;
    outcome result = shell("assay run $S/walks.lua --quiet");
    assert_status(&result, 0);
    assert_string_equal(result.out, "");
    assert_string_equal(result.err, "");
    outcome_free(&result);
}

/* Work does not depend on a reader. */
static void test_run_outlives_its_reader(void **state)
{
    (void)state;
    outcome result = shell("assay run $S/walks.lua | head -c 1");
    assert_status(&result, 0);
    outcome_free(&result);
    assert_int_equal(
        count_rows("assay query --format json \"SELECT * FROM run WHERE status = 'done'\""), 4);
}

static void test_jobs_share_the_work(void **state)
{
    (void)state;
    must_contain("assay run $S/walks.lua --jobs 2", 0, "walks: 4 runs, 4 done\n");
    assert_int_equal(count_rows("assay query --format json 'SELECT * FROM attempt'"), 4);
}

static void test_merge_of_two_stores(void **state)
{
    (void)state;
    free(must("assay run $S/walks.lua --quiet --db a.db --set 'seed=0'", 0));
    free(must("assay run $S/walks.lua --quiet --db b.db --set 'seed=1'", 0));
    json_t *rows = rows_of("assay merge all.db a.db b.db --format json");
    assert_int_equal(json_array_size(rows), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, i), "taken")), 2);
    json_decref(rows);
    rows = rows_of("assay merge all.db a.db b.db --format json");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "kept")), 2);
    json_decref(rows);
    assert_int_equal(count_rows("assay query --db all.db --format json 'SELECT * FROM run'"), 4);
}

static void test_stages_and_redo(void **state)
{
    (void)state;
    json_t *rows = rows_of("assay plan $S/stages.lua --format json");
    assert_int_equal(json_array_size(rows), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "stage")),
                        "pretraining");
    json_decref(rows);
    must_contain("assay run $S/stages.lua", 0, "stages: 3 runs, 3 done\n");
    must_contain("assay run $S/stages.lua", 0, "stages: 3 runs, 3 done before\n");
    must_contain("assay run $S/stages.lua --redo", 0, "stages: 3 runs, 3 done\n");
    must_contain("assay run $S/stages.lua --set pretraining.train.steps=6", 0,
                 "stages: 3 runs, 3 done\n");
    assert_int_equal(count_rows("assay query --format json 'SELECT * FROM run'"), 6);
    assert_int_equal(count_rows("assay runs stages --format json"), 3);
    must_contain(
        "assay show \"$(assay query --format csv 'SELECT substr(run_hash, 1, 12) AS h FROM "
        "run WHERE run_id = 2' | tail -1 | tr -d '\\r')\"",
        0, "stages");
}

/* Questions to a store that nobody can answer; the store is left as it is. */
static void test_questions_without_an_answer(void **state)
{
    (void)state;
    static const struct {
        const char *line, *part;
    } questions[] = {
        {"assay runs wlks", "did you mean 'walks'?"},
        {"assay compare wlks", "did you mean 'walks'?"},
        {"assay compare walks --by msk", "did you mean 'mask'?"},
        {"assay compare walks --metric auk", "did you mean 'auc'?"},
        {"assay compare walks --baseline causal", "causal"},
        {"assay compare walks --suite toi", "toi"},
        {"assay compare walks --benchmark x --wide", "one form"},
        {"assay compare walks --match a=b", "--published"},
        {"assay compare walks --published gg-sm/9", "unknown published table"},
        {"assay compare walks --published gg-sm", "no numbers for what the experiment measures"},
        {"assay plot walks los", "unknown series 'los'"},
        {"assay plot wlks loss", "did you mean 'walks'?"},
        {"assay plot walks loss --by msk", "did you mean 'mask"},
        {"assay plot walks loss -o loss.png", "ends in .svg"},
        {"assay plot walks loss --width 3", "--width"},
        {"assay show 77", "no run '77'"},
        {"assay show zz", "no run 'zz'"},
        {"assay query 'DELETE FROM run'", "a query may only read"},
        {"assay query 'SELECT nme FROM run'", "no such column: nme"},
        {"assay query 'SELECT 1; SELECT 2'", "more than one statement"},
        {"assay query 'PRAGMA user_version'", "a query may only read"},
        {"assay query --limit 3 'SELECT * FROM series'", "too many rows"},
        {"assay query --seconds 1 'WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) "
         "SELECT max(x) FROM t'",
         "too many milliseconds"},
        {"assay merge results/assay.db results/assay.db", "cannot be merged with itself"},
    };
    free(must("assay run $S/walks.lua --quiet", 0));
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        outcome result = shell(questions[i].line);
        if (result.status != 2)
            fail_msg("%s: status %d\n%s%s", questions[i].line, result.status, result.out,
                     result.err);
        assert_one_message(&result);
        assert_contains(result.err, questions[i].part);
        outcome_free(&result);
    }
    assert_int_equal(count_rows("assay query --format json 'SELECT * FROM run'"), 4);
}

/* ---- failures ---- */

static void test_failing_run_does_not_stop_the_others(void **state)
{
    (void)state;
    outcome result = shell("assay run $S/broken.lua");
    assert_status(&result, 1);
    assert_one_message(&result);
    assert_contains(result.err, "1/2");
    assert_contains(result.err, "failed: ");
    assert_contains(result.out, "broken: 2 runs, 1 done, 1 failed\n");
    outcome_free(&result);
    outcome again = shell("assay run $S/broken.lua");
    assert_status(&again, 1);
    assert_contains(again.out, "1 done before, 1 failed");
    outcome_free(&again);
    free(must("assay run $S/broken.lua --fail-fast --db fast.db", 1));
    assert_int_equal(count_rows("assay query --db fast.db --format json "
                                "\"SELECT * FROM run WHERE status = 'pending'\""),
                     1);
}

/* A file that may not grow further stands for a disk that is full. */
static void test_full_disk_is_a_failure(void **state)
{
    (void)state;
    outcome result = shell("ulimit -f 80; assay run $S/walks.lua");
    assert_status(&result, 1);
    assert_contains(result.err, "assay: ");
    outcome_free(&result);
    must_contain("assay run $S/walks.lua", 0, "walks: 4 runs");
    must_contain("assay query 'SELECT count(*) AS n FROM run'", 0, "4");
}

/* ---- signals ---- */

/* Waits in the shell until the store has a running attempt. */
#define WHEN_RUNNING                                                                               \
    "i=0; until assay query --db results/assay.db "                                                \
    "\"SELECT 1 AS yes FROM run WHERE status='running'\" 2>/dev/null | grep -q 1; do "             \
    "i=$((i+1)); [ $i -lt 200 ] || exit 98; sleep 0.1; done; "

static void test_signals_stop_with_a_checkpoint(void **state)
{
    (void)state;
    static const char *const names[] = {"TERM", "USR1", "INT"};
    for (int i = 0; i < 3; i++) {
        char line[700];
        snprintf(line, sizeof line,
                 "rm -rf results; assay run $S/long.lua >log & " WHEN_RUNNING
                 "kill -%s $!; wait $!; status=$?; cat log; exit $status",
                 names[i]);
        char *out = must(line, 75);
        assert_contains(out, "long: 1 run, 1 stopped, to go on later\nnext: the same command");
        free(out);
    }
    assert_int_equal(count_rows("assay query --format json \"SELECT * FROM checkpoint\"") > 0, 1);
    must_contain("assay runs", 0, "preempted");
}

static void test_second_interrupt_ends_at_once(void **state)
{
    (void)state;
    free(must("assay run $S/long.lua >log & " WHEN_RUNNING
              "kill -STOP $!; kill -INT $!; kill -CONT $!; kill -INT $!; kill -INT $!; kill -INT "
              "$!; wait $!; s=$?; [ $s = 130 ] || [ $s = 75 ]",
              0));
}

static void test_run_that_another_process_has(void **state)
{
    (void)state;
    outcome result = shell("assay run $S/long.lua >first & " WHEN_RUNNING
                           "assay run $S/long.lua; s=$?; kill -TERM $!; wait $!; exit $s");
    assert_status(&result, 75);
    assert_contains(result.out, "another process works on it: ");
    assert_contains(result.out, "long: 1 run, 1 with another process\n");
    outcome_free(&result);
}

/* ---- a terminal ---- */

/* What the program prints on a terminal of 60 columns. */
static char *on_a_terminal(const char *line)
{
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    int master = -1;
    size_t used = 0, room = 1 << 20;
    char *text = malloc(room);
    assert_non_null(text);
    pid_t child = forkpty(&master, NULL, NULL, &size);
    assert_true(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(99);
    }
    for (ssize_t n = 0; used + 1 < room; used += (size_t)n) {
        n = read(master, text + used, room - used - 1);
        if (n <= 0)
            break;
    }
    text[used] = '\0';
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(master);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %d: %s", status, text);
    return text;
}

static void test_lines_are_redrawn_on_a_terminal(void **state)
{
    (void)state;
    char *text = on_a_terminal("assay run $S/walks.lua");
    assert_contains(text, "\033[");
    assert_contains(text, "0 of 4 runs ended");
    assert_contains(text, "walks: 4 runs, 4 done");
    assert_null(strstr(strstr(text, "walks: 4 runs, 4 done"), "\033["));
    free(text);
}

/* ---- speed ---- */

/* The best of several: what the machine does beside is not the program's. */
static void test_thousand_runs_are_planned_at_once(void **state)
{
    (void)state;
    const double bound = 0.4 * SLOWER;
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        outcome result = shell("assay plan $S/thousand.lua --format csv");
        assert_status(&result, 0);
        if (result.seconds < best)
            best = result.seconds;
        outcome_free(&result);
    }
    if (best > bound)
        fail_msg("planning 1000 runs takes %.0f ms", best * 1e3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_plan_writes_nothing),
        CASE(test_run_and_everything_after),
        CASE(test_quiet_says_nothing),
        CASE(test_run_outlives_its_reader),
        CASE(test_jobs_share_the_work),
        CASE(test_merge_of_two_stores),
        CASE(test_stages_and_redo),
        CASE(test_questions_without_an_answer),
        CASE(test_failing_run_does_not_stop_the_others),
        CASE(test_full_disk_is_a_failure),
        CASE(test_signals_stop_with_a_checkpoint),
        CASE(test_second_interrupt_ends_at_once),
        CASE(test_run_that_another_process_has),
        CASE(test_lines_are_redrawn_on_a_terminal),
        CASE(test_thousand_runs_are_planned_at_once),
    };
    program_is_at(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
