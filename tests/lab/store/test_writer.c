/* test_writer.c - rows reach the store: all of them, from many processes, killed or out of disk. */
#include "fixture.h"

#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void numbers_that_are_none_are_null_with_their_name(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    const double values[] = {NAN, INFINITY, -INFINITY, 0.25};
    for (int i = 0; i < 4; i++)
        assert_true(store_series(writer, key, i, values[i]));
    store_score score = {"s", "", "auc", "test", 3, NAN, 0.1, 0.2, 7};
    assert_true(store_put_score(writer, &score, NULL));
    assert_true(store_writer_free(writer, NULL));
    assert_string_equal(
        ask_text(place, "SELECT group_concat(coalesce(nonfinite, value)) FROM series"),
        "nan,+inf,-inf,0.25");
    assert_string_equal(ask_text(place, "SELECT nonfinite FROM score WHERE value IS NULL AND "
                                        "low = 0.1 AND high = 0.2 AND n = 7"),
                        "nan");
    store_free(store);
}

/* A batch is sorted before it is written, and the order of what is said twice must survive that. */
static void of_two_values_for_one_step_the_later_one_stands(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int loss = store_series_key(writer, "loss", "min", NULL);
    int rate = store_series_key(writer, "lr", NULL, NULL);
    for (int round = 0; round < 40; round++)
        for (int64_t step = 30; step > 0; step--) {
            store_series(writer, loss, step, round);
            store_series(writer, rate, step, -round);
        }
    assert_true(store_writer_free(writer, NULL));
    assert_string_equal(ask_text(place,
                                 "SELECT group_concat(line) FROM (SELECT name || count(*) || "
                                 "'/' || min(value) || '/' || max(value) AS line FROM "
                                 "series JOIN series_key USING(key_id) GROUP BY name)"),
                        "loss30/39.0/39.0,lr30/-39.0/-39.0");
    store_free(store);
}

/* By whatever program the file is written. */
static void the_store_itself_refuses_a_number_that_is_half_there(void **state)
{
    const test_place *place = *state;
    static const char *const refused[] = {
        "INSERT INTO series VALUES(1, 1, 1, NULL, NULL, 1, 0)",
        "INSERT INTO series VALUES(1, 1, 1, NULL, 'inf', 1, 0)",
        "INSERT INTO series VALUES(1, 1, 1, 0.5, 'nan', 1, 0)",
        "INSERT INTO score VALUES(1, 's', '', 'auc', 'test', 1, NULL, 'NaN', NULL, NULL, NULL)",
    };
    sqlite3 *db = NULL;
    store_free(must_open(place));
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_int_equal(sqlite3_exec(db, refused[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO series VALUES(1, 1, 1, NULL, '-inf', 1, 0)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
}

static void bad_names_are_refused_where_they_are_given(void **state)
{
    const test_place *place = *state;
    int64_t id;
    assay_error error = {0};
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    assert_int_equal(store_series_key(writer, "a\tb", NULL, NULL), -1);
    assert_int_equal(store_series_key(writer, "", NULL, NULL), -1);
    assert_int_equal(store_series_key(writer, "loss", "upwards", &error), -1);
    assert_string_equal(error.expected, "min, max or none");
    int key = store_series_key(writer, "loss", "min", NULL);
    assert_int_equal(store_series_key(writer, "loss", NULL, NULL), key);
    assert_true(store_writer_free(writer, NULL));
    store_free(store);
}

static void a_full_ring_makes_producers_wait_and_says_so(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer_options small = {.capacity = 16, .batch_rows = 16};
    store_writer *writer = store_writer_new(store, &lease, &small, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    for (int64_t step = 0; step < 2000; step++)
        assert_true(store_series(writer, key, step, 1));
    assert_true(store_flush(writer, NULL));
    store_writer_stats stats = store_writer_stats_get(writer);
    assert_true(stats.stalls > 0 && stats.stall_us > 0);
    assert_int_equal(stats.committed, 2000);
    assert_int_equal(ask(place, "SELECT count(*) FROM series"), 2000);
    assert_true(store_writer_free(writer, NULL));
    store_free(store);
}

static void rows_are_committed_by_time_and_the_writer_beats_by_itself(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer_options fast = {.batch_ms = 10, .beat_ms = 20};
    store_writer *writer = store_writer_new(store, &lease, &fast, NULL);
    int64_t before = ask(place, "SELECT beat_ms FROM attempt");
    assert_true(store_series(writer, store_series_key(writer, "loss", NULL, NULL), 0, 1));
    for (int i = 0; i < 200 && (ask(place, "SELECT count(*) FROM series") == 0 ||
                                ask(place, "SELECT beat_ms FROM attempt") < before + 60);
         i++)
        usleep(10000);
    assert_int_equal(ask(place, "SELECT count(*) FROM series"), 1);
    assert_true(ask(place, "SELECT beat_ms FROM attempt") >= before + 60);
    assert_true(store_writer_free(writer, NULL));
    store_free(store);
}

/* A process that writes `rows` rows under its own lease, then ends its run. */
static void write_rows(const test_place *place, int64_t id, int64_t rows)
{
    store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
    store_lease lease;
    if (store == NULL || store_claim(store, id, &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED)
        _exit(2);
    store_writer_options options = {.batch_rows = 50};
    store_writer *writer = store_writer_new(store, &lease, &options, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    for (int64_t step = 0; step < rows; step++)
        if (!store_series(writer, key, step, (double)step))
            _exit(3);
    bool ok = store_writer_stats_get(writer).spilled == 0 && store_writer_free(writer, NULL) &&
              store_end(store, &lease, "done", "done", NULL, NULL);
    store_free(store);
    _exit(ok ? 0 : 4);
}

static void eight_processes_share_a_store_and_lose_no_row(void **state)
{
    const test_place *place = *state;
    int64_t ids[8];
    store_handle *store = must_open(place);
    must_plan(store, "e", 8, ids);
    store_free(store);
    for (int i = 0; i < 8; i++)
        if (fork() == 0)
            write_rows(place, ids[i], 2000);
    for (int i = 0; i < 8; i++) {
        int status = 1;
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_int_equal(ask(place, "SELECT count(*) FROM series WHERE value = step"), 16000);
    assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'done'"), 8);
    assert_intact(place);
}

static void a_writer_killed_at_any_moment_leaves_whole_batches_and_no_running_run(void **state)
{
    const test_place *place = *state;
    const char *asked = getenv("ASSAY_TEST_KILLS");
    int kills = asked != NULL ? atoi(asked) : 20;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    for (int i = 0; i < kills; i++) {
        pid_t child = fork();
        if (child == 0)
            write_rows(place, id, INT64_MAX);
        usleep((useconds_t)(1000 + i * 7919 % 40000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_intact(place);
        /* Rows of one attempt are a prefix: no batch is half there. */
        assert_int_equal(ask(place, "SELECT count(*) % 50 FROM series"), 0);
        store_lease lease = must_claim(store, id);
        assert_int_equal(ask(place, "SELECT count(*) FROM attempt WHERE end_ms IS NULL"), 1);
        assert_true(store_resume(store, &lease, -1, true, NULL));
        assert_true(store_end(store, &lease, "preempted", "test", NULL, NULL));
        assert_int_equal(ask(place, "SELECT count(*) FROM run WHERE status = 'running'"), 0);
    }
    store_free(store);
}

static size_t count_spills(const test_place *place)
{
    char pattern[128];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.spill.*", place->path);
    size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return n;
}

/* Files may not grow beyond what the journal has: to SQLite that is a full disk. The spill file is
 * smaller and still fits. */
static void write_on_a_full_disk(const test_place *place, int64_t id)
{
    store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
    store_lease lease;
    if (store_claim(store, id, &worker, &lease, NULL, 0, NULL) != STORE_CLAIMED)
        _exit(2);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    int key = store_series_key(writer, "loss", "min", NULL);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){65536, 65536});
    for (int64_t step = 0; step < 500; step++)
        store_series(writer, key, step, (double)step / 3);
    store_score score = {"s", "b", "auc", "valid", 499, 0.75, NAN, NAN, -1};
    bool ok = store_put_score(writer, &score, NULL) && store_flush(writer, NULL);
    _exit(ok && store_writer_stats_get(writer).spilled == 501 ? 0 : 3);
}

static void on_a_full_disk_rows_are_spilled_and_the_next_open_reads_them_in_once(void **state)
{
    const test_place *place = *state;
    int64_t id;
    int status = 1;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    pid_t child = fork();
    if (child == 0)
        write_on_a_full_disk(place, id);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(ask(place, "SELECT count(*) FROM series"), 0);
    assert_int_equal(count_spills(place), 1);
    store_free(must_open(place));
    assert_int_equal(count_spills(place), 0);
    assert_int_equal(ask(place, "SELECT count(*) FROM series WHERE value = step / 3.0"), 500);
    assert_true(ask_real(place, "SELECT value FROM score WHERE low IS NULL") == 0.75);
    assert_intact(place);
    store_free(store);
}

static void write_text(const test_place *place, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s.spill.1", place->path);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void a_spill_file_counts_whole_batches_of_attempts_that_are_not_superseded(void **state)
{
    const test_place *place = *state;
    int64_t id;
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    assert_true(store_end(store, &lease, "preempted", "signal", NULL, NULL));
    lease = must_claim(store, id);
    assert_true(store_resume(store, &lease, 1, true, NULL));
    write_text(place, "attempt\trun0000000000000\t1\n"
                      "series\tloss\tmin\t1\t0x1p+0\t5\nseries\tloss\tmin\t2\t0x1p+0\t5\nend\n"
                      "attempt\tunknown\t1\nseries\tloss\tmin\t1\t0x1p+4\t5\nend\n"
                      "attempt\trun0000000000000\t2\nseries\tloss\tmin\t3\t0x1p+0\t5\nser");
    store_free(must_open(place));
    assert_int_equal(ask(place, "SELECT count(*) * 100 + max(step) FROM series"), 101);
    assert_int_equal(count_spills(place), 0);
    write_text(place, "attempt\trun0000000000000\t2\nnonsense\nend\n");
    store_free(must_open(place));
    assert_int_equal(count_spills(place), 1);
    store_free(store);
}

/* Rows a second, far below what a quiet machine does. Instrumented code is several times slower. */
#if defined(__SANITIZE_ADDRESS__)
#define LOWEST_RATE 10000.0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOWEST_RATE 10000.0
#endif
#endif
#ifndef LOWEST_RATE
#define LOWEST_RATE 50000.0
#endif

/* Generous: other tests may have the machine. */
static void many_rows_a_second_go_into_the_store(void **state)
{
    const test_place *place = *state;
    enum { ROWS = 200000, CURVES = 50 };
    int64_t id;
    int keys[CURVES];
    store_handle *store = must_open(place);
    must_plan(store, "e", 1, &id);
    store_lease lease = must_claim(store, id);
    store_writer *writer = store_writer_new(store, &lease, NULL, NULL);
    for (int i = 0; i < CURVES; i++) {
        char name[32];
        snprintf(name, sizeof name, "loss/%d", i);
        keys[i] = store_series_key(writer, name, "min", NULL);
    }
    double start = seconds();
    for (int64_t i = 0; i < ROWS; i++)
        store_series(writer, keys[i % CURVES], i / CURVES, (double)i);
    assert_true(store_flush(writer, NULL));
    double rate = ROWS / (seconds() - start);
    assert_true(rate > LOWEST_RATE);
    assert_true(store_writer_free(writer, NULL));
    store_free(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_that_are_none_are_null_with_their_name),
        TEST(of_two_values_for_one_step_the_later_one_stands),
        TEST(the_store_itself_refuses_a_number_that_is_half_there),
        TEST(bad_names_are_refused_where_they_are_given),
        TEST(a_full_ring_makes_producers_wait_and_says_so),
        TEST(rows_are_committed_by_time_and_the_writer_beats_by_itself),
        TEST(eight_processes_share_a_store_and_lose_no_row),
        TEST(a_writer_killed_at_any_moment_leaves_whole_batches_and_no_running_run),
        TEST(on_a_full_disk_rows_are_spilled_and_the_next_open_reads_them_in_once),
        TEST(a_spill_file_counts_whole_batches_of_attempts_that_are_not_superseded),
        TEST(many_rows_a_second_go_into_the_store),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
