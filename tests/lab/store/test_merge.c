/* test_merge.c - two stores become one: whole runs, the better of two, once and again the same. */
#include "fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The source beside the destination, in the same folder. */
static test_place beside(const test_place *place)
{
    test_place other = *place;
    snprintf(other.path, sizeof other.path, "%s/b.db", place->folder);
    return other;
}

/* One attempt at a run: `steps` rows of `value`, one file that says `value`, then the status. */
static void work(const test_place *place, int64_t id, int64_t steps, double value,
                 const char *status)
{
    char path[160];
    store_handle *store = must_open(place);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    for (int64_t step = 1; step <= steps; step++)
        store_series(writer, key, step, value);
    assert_true(store_writer_free(writer, NULL));
    snprintf(path, sizeof path, "%s.files", place->path);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s.files/run%013d", place->path, (int)id - 1);
    mkdir(path, 0755);
    strcat(path, "/value");
    FILE *file = fopen(path, "w");
    fprintf(file, "%g", value);
    fclose(file);
    assert_true(store_put_artifact(store, &lease, "value", &(store_file){"value", "00", 1}, NULL));
    assert_true(store_end(store, &lease, status, status, NULL, NULL));
    store_free(store);
}

static double value_in_file(const test_place *place, int run)
{
    char path[160];
    double value = -1;
    snprintf(path, sizeof path, "%s.files/run%013d/value", place->path, run);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    assert_int_equal(fscanf(file, "%lf", &value), 1);
    fclose(file);
    return value;
}

static store_merge_report must_merge(const test_place *place, const test_place *other)
{
    assay_error error = {0};
    store_merge_report report;
    store_handle *store = must_open(place);
    if (!store_merge(store, other->path, &report, &error))
        fail_msg("%s: %s: %s", error.where, error.what, error.got);
    store_free(store);
    return report;
}

static void plan_both(const test_place *place, const test_place *other, int n)
{
    int64_t ids[8];
    store_handle *store = must_open(place);
    must_plan(store, "e", n, ids);
    store_free(store);
    store = must_open(other);
    must_plan(store, "e", n, ids);
    store_free(store);
}

static void each_run_comes_whole_from_the_better_store(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    plan_both(place, &other, 4);
    work(place, 1, 5, 1, "done"); /* done beats a longer one that failed */
    work(&other, 1, 9, 2, "failed");
    work(place, 2, 9, 1, "failed"); /* and is taken for one */
    work(&other, 2, 5, 2, "done");
    work(place, 3, 5, 1, "failed"); /* the larger step */
    work(&other, 3, 6, 2, "failed");
    work(&other, 4, 3, 2, "done"); /* nothing here yet */
    store_merge_report report = must_merge(place, &other);
    assert_int_equal(report.taken * 10 + report.kept, 31);
    static const char *const values = "SELECT group_concat(v) FROM (SELECT run_id || ':' || "
                                      "count(*) || ':' || CAST(min(value) AS INTEGER) || ':' || "
                                      "CAST(max(value) AS INTEGER) AS v FROM series GROUP BY "
                                      "run_id)";
    assert_string_equal(ask_text(place, values), "1:5:1:1,2:5:2:2,3:6:2:2,4:3:2:2");
    for (int run = 0; run < 4; run++)
        assert_true(value_in_file(place, run) == (run == 0 ? 1 : 2));
    assert_intact(place);

    report = must_merge(place, &other); /* a second time there is nothing to take */
    assert_int_equal(report.taken, 0);
    assert_string_equal(ask_text(place, values), "1:5:1:1,2:5:2:2,3:6:2:2,4:3:2:2");
    assert_int_equal(ask(place, "SELECT count(*) FROM attempt"), 4);
    assert_int_equal(ask(place, "SELECT count(*) FROM v_run"), 4);
}

static void a_run_that_is_being_worked_on_is_left_alone(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    plan_both(place, &other, 1);
    work(&other, 1, 9, 2, "done");
    store_handle *store = must_open(place);
    store_lease lease = must_claim(store, 1);
    assert_int_equal(must_merge(place, &other).running, 1);
    assert_true(store_beat(store, &lease, NULL));
    assert_int_equal(ask(place, "SELECT count(*) FROM series"), 0);
    store_free(store);
}

static void a_run_that_runs_elsewhere_does_not_run_here(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    int64_t id;
    store_free(must_open(place));
    store_handle *store = must_open(&other);
    must_plan(store, "e", 1, &id);
    must_claim(store, id);
    must_merge(place, &other);
    assert_string_equal(ask_text(place, "SELECT status FROM run"), "lost");
    assert_int_equal(must_merge(place, &other).taken, 0);
    store_free(store);
}

static void what_cannot_be_merged_changes_nothing(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    assay_error error = {0};
    store_handle *store = must_open(place);
    assert_false(store_merge(store, other.path, NULL, NULL));
    assert_int_equal(access(other.path, F_OK), -1);
    assert_false(store_merge(store, place->path, NULL, &error));
    assert_non_null(strstr(error.what, "itself"));
    /* A file where the folder of files should be: rows and files stay as they were. */
    plan_both(place, &other, 1);
    work(&other, 1, 9, 2, "done");
    char path[160];
    snprintf(path, sizeof path, "%s.files", place->path);
    FILE *file = fopen(path, "w");
    fclose(file);
    assert_false(store_merge(store, other.path, NULL, NULL));
    assert_int_equal(ask(place, "SELECT count(*) FROM attempt"), 0);
    unlink(path);
    assert_true(store_merge(store, other.path, NULL, NULL));
    assert_true(value_in_file(place, 0) == 2);
    store_free(store);
}

static void a_copy_that_fails_half_way_leaves_every_run_as_it_was(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    char path[160];
    plan_both(place, &other, 3);
    for (int64_t id = 1; id <= 3; id++) {
        if (id != 1)
            work(place, id, 1, 1, "failed");
        work(&other, id, 9, 2, "done");
    }
    snprintf(path, sizeof path, "%s.files/run%013d/broken", other.path, 1);
    assert_int_equal(symlink("nowhere", path), 0);
    store_handle *store = must_open(place);
    assert_false(store_merge(store, other.path, NULL, NULL));
    assert_true(value_in_file(place, 0) == -1);
    assert_true(value_in_file(place, 1) == 1 && value_in_file(place, 2) == 1);
    assert_int_equal(ask(place, "SELECT count(*) FROM series WHERE value = 1"), 2);
    assert_int_equal(ask(place, "SELECT count(*) FROM series"), 2);
    unlink(path);
    assert_true(store_merge(store, other.path, NULL, NULL));
    assert_true(value_in_file(place, 1) == 2 && value_in_file(place, 2) == 2);
    store_free(store);
}

static bool is_there(const test_place *place, const char *name)
{
    char path[192];
    snprintf(path, sizeof path, "%s.files/%s", place->path, name);
    return access(path, F_OK) == 0;
}

/* As after a kill between the commit of the rows and the renaming of the second of two folders. */
static void a_folder_that_is_pending_takes_its_place_when_the_store_is_opened(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    char from[160], to[192];
    plan_both(place, &other, 1);
    work(place, 1, 5, 1, "failed");
    work(&other, 1, 5, 2, "done");
    snprintf(from, sizeof from, "%s.files/run%013d", other.path, 0);
    snprintf(to, sizeof to, "%s.files/run%013d.merge", place->path, 0);
    assert_int_equal(rename(from, to), 0);
    must_do(place, "UPDATE series SET value = 2;"
                   "INSERT INTO pending_folder VALUES('run0000000000000'), ('run0000000000001');");
    assert_true(value_in_file(place, 0) == 1);
    store_handle *reader = store_open(place->path, STORE_READ_ONLY, NULL);
    assert_non_null(reader); /* which may not settle anything */
    store_free(reader);
    assert_true(value_in_file(place, 0) == 1);
    assert_false(store_merge(reader = must_open(&other), place->path, NULL, NULL));
    store_free(reader);
    store_free(must_open(place));
    assert_true(value_in_file(place, 0) == 2);
    assert_int_equal(ask(place, "SELECT count(*) FROM pending_folder"), 0);
    assert_false(is_there(place, "run0000000000000.merge"));
    assert_false(is_there(place, "run0000000000000.old"));
}

/* A store that was open all the time settles before it gives a run away. */
static void a_claim_settles_first(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    char from[160], to[192];
    plan_both(place, &other, 1);
    work(place, 1, 5, 1, "failed");
    work(&other, 1, 5, 2, "failed");
    store_handle *store = must_open(place);
    snprintf(from, sizeof from, "%s.files/run%013d", other.path, 0);
    snprintf(to, sizeof to, "%s.files/run%013d.merge", place->path, 0);
    assert_int_equal(rename(from, to), 0);
    must_do(place, "INSERT INTO pending_folder VALUES('run0000000000000')");
    must_claim(store, 1);
    assert_true(value_in_file(place, 0) == 2);
    store_free(store);
}

static void what_a_killed_merge_staged_without_a_commit_is_removed_by_the_next(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    char path[192];
    plan_both(place, &other, 1);
    work(place, 1, 5, 1, "done");
    snprintf(path, sizeof path, "%s.files/run%013d.merge", place->path, 0);
    assert_int_equal(mkdir(path, 0755), 0);
    store_free(must_open(place));
    assert_true(value_in_file(place, 0) == 1);
    assert_int_equal(must_merge(place, &other).taken, 0);
    assert_false(is_there(place, "run0000000000000.merge"));
    assert_true(value_in_file(place, 0) == 1);
}

/* Every run of the source says `value`, and has ended later than before. */
static void renew(const test_place *place, int n, int value)
{
    char text[192];
    snprintf(text, sizeof text,
             "UPDATE series SET value = %d; UPDATE attempt SET end_ms = 4000000000000 + %d", value,
             value);
    must_do(place, text);
    for (int run = 0; run < n; run++) {
        snprintf(text, sizeof text, "%s.files/run%013d/value", place->path, run);
        FILE *file = fopen(text, "w");
        fprintf(file, "%d", value);
        fclose(file);
    }
}

/* Rows and files of each run are of one store; returns how many runs say `value`. */
static int check_whole(const test_place *place, int n, int value)
{
    int new = 0;
    for (int run = 0; run < n; run++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT min(value) FROM series WHERE run_id = %d", run + 1);
        double in_rows = ask_real(place, sql);
        if (value_in_file(place, run) != in_rows)
            fail_msg("run %d: %g in rows, %g in its file", run, in_rows, value_in_file(place, run));
        new += in_rows == value;
    }
    return new;
}

static void a_merge_killed_at_any_moment_leaves_rows_and_files_of_one_store(void **state)
{
    const test_place *place = *state;
    test_place other = beside(place);
    enum { RUNS = 4, KILLS = 24 };
    plan_both(place, &other, RUNS);
    for (int64_t id = 1; id <= RUNS; id++)
        work(&other, id, 3, 0, "done");
    must_merge(place, &other);
    for (int i = 1; i <= KILLS; i++) {
        renew(&other, RUNS, i);
        pid_t child = fork();
        if (child == 0) {
            store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
            _exit(store != NULL && store_merge(store, other.path, NULL, NULL) ? 0 : 1);
        }
        usleep((useconds_t)(500 + i * 7919 % 12000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        store_free(must_open(place));
        int new = check_whole(place, RUNS, i);
        assert_true(new == 0 || new == RUNS);
        assert_int_equal(must_merge(place, &other).taken, RUNS - new);
        assert_int_equal(check_whole(place, RUNS, i), RUNS);
        assert_intact(place);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_run_comes_whole_from_the_better_store),
        TEST(a_run_that_is_being_worked_on_is_left_alone),
        TEST(a_run_that_runs_elsewhere_does_not_run_here),
        TEST(what_cannot_be_merged_changes_nothing),
        TEST(a_copy_that_fails_half_way_leaves_every_run_as_it_was),
        TEST(a_folder_that_is_pending_takes_its_place_when_the_store_is_opened),
        TEST(a_claim_settles_first),
        TEST(what_a_killed_merge_staged_without_a_commit_is_removed_by_the_next),
        TEST(a_merge_killed_at_any_moment_leaves_rows_and_files_of_one_store),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
