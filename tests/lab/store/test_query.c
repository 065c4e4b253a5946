/* test_query.c - queries read, within limits, and the views stay fast over many runs. */
#include "fixture.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

typedef struct seen {
    int headers, rows, columns, stop_after;
    store_cell_type types[8];
} seen;

static bool look(void *user, int columns, const char *const *names, const store_cell *cells)
{
    seen *out = user;
    assert_non_null(names[0]);
    out->columns = columns;
    out->headers += cells == NULL;
    if (cells == NULL)
        return true;
    for (int i = 0; i < columns && i < 8; i++)
        out->types[i] = cells[i].type;
    return ++out->rows != out->stop_after;
}

static void cells_come_with_their_types_after_one_header(void **state)
{
    const test_place *place = *state;
    seen out = {0};
    store_free(must_open(place));
    assert_true(store_query(place->path, "SELECT 1, 2.5, 'x', NULL, x'00' ;  ",
                            (store_query_limits){0}, look, &out, NULL));
    const store_cell_type expected[] = {STORE_INTEGER, STORE_REAL, STORE_TEXT, STORE_NULL,
                                        STORE_BLOB};
    assert_memory_equal(out.types, expected, sizeof expected);
    assert_int_equal(out.headers * 100 + out.rows * 10 + out.columns, 115);
}

static void whatever_is_not_reading_is_refused_before_it_runs(void **state)
{
    const test_place *place = *state;
    static const char *const refused[] = {
        "DELETE FROM run",
        "CREATE TABLE t(x)",
        "CREATE TEMP TABLE t(x)",
        "ATTACH 'other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM run",
        "INSERT INTO run(run_id) VALUES(1) RETURNING run_id",
        "BEGIN",
        "SELEKT 1",
        "",
    };
    store_free(must_open(place));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assay_error error = {0};
        seen out = {0};
        assert_false(
            store_query(place->path, refused[i], (store_query_limits){0}, look, &out, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_int_equal(out.headers + out.rows, 0);
    }
}

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"

static void limits_end_a_query_and_a_sink_may_too(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    seen out = {0};
    store_free(must_open(place));
    assert_false(
        store_query(place->path, ENDLESS, (store_query_limits){.rows = 10}, look, &out, &error));
    assert_int_equal(out.rows, 10);
    assert_non_null(strstr(error.what, "rows"));
    assay_error_clear(&error);
    assert_false(store_query(place->path, ENDLESS " WHERE i < 0", (store_query_limits){.ms = 30},
                             look, &out, &error));
    assert_non_null(strstr(error.what, "milliseconds"));
    out = (seen){.stop_after = 3};
    assert_true(store_query(place->path, ENDLESS, (store_query_limits){0}, look, &out, NULL));
    assert_int_equal(out.rows, 3);
}

/* Rows by SQL, for the runs of a plan: 50 curves and 20 scores each. */
static void fill(const test_place *place)
{
    static const char *const sql =
        "PRAGMA synchronous = OFF; BEGIN;"
        "UPDATE run SET status = 'done';"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        "INSERT INTO series_key(name) SELECT 'loss/' || i FROM n;"
        "INSERT INTO series SELECT run_id, key_id, 100, seed + key_id, NULL, 1, 0"
        " FROM run, series_key;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
        "INSERT INTO score SELECT run_id, 's', 'b' || i, 'auc', 'test', 100, seed, NULL,"
        " NULL, NULL, NULL FROM run, n;"
        "COMMIT;";
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* 300 runs; ASSAY_TEST_RUNS=10000 for what the views are measured by. */
static void the_views_are_right_and_fast_over_many_runs(void **state)
{
    const test_place *place = *state;
    static const char *const views[] = {"v_cell", "v_last", "v_run"};
    const char *asked = getenv("ASSAY_TEST_RUNS");
    int n = asked != NULL ? atoi(asked) : 300;
    int64_t *ids = calloc((size_t)n, sizeof *ids);
    store_handle *store = must_open(place);
    must_plan(store, "e", n, ids);
    store_free(store);
    fill(place);
    for (int i = 0; i < 3; i++) {
        char sql[64];
        seen out = {0};
        struct timespec from, to;
        snprintf(sql, sizeof sql, "SELECT * FROM %s", views[i]);
        clock_gettime(CLOCK_MONOTONIC, &from);
        assert_true(store_query(place->path, sql, (store_query_limits){0}, look, &out, NULL));
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ms =
            (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
        print_message("# %s: %d rows of %d runs in %.0f ms\n", views[i], out.rows, n, ms);
        assert_true(ms < 3000);
    }
    /* Seeds 0, 1, 2 are the values: mean 1, sample deviation 1. */
    assert_int_equal(ask(place, "SELECT count(*) FROM v_cell WHERE n = 3 AND mean = 1 AND sd = 1"),
                     n / 3 * 20);
    free(ids);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cells_come_with_their_types_after_one_header),
        TEST(whatever_is_not_reading_is_refused_before_it_runs),
        TEST(limits_end_a_query_and_a_sink_may_too),
        TEST(the_views_are_right_and_fast_over_many_runs),
    };
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
