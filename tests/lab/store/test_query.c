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

/* Rows by SQL, for the runs of a plan: 50 curves, 20 scores on test and one on valid each, and a
 * parameter that differs. */
static void fill(const test_place *place)
{
    static const char *const sql =
        "PRAGMA synchronous = OFF; BEGIN;"
        "UPDATE run SET status = 'done';"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        "INSERT OR IGNORE INTO series_key(name) SELECT 'loss/' || i FROM n;"
        "INSERT OR IGNORE INTO series SELECT run_id, key_id, 100, seed + key_id, NULL, 1, 0"
        " FROM run, series_key;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
        "INSERT OR IGNORE INTO score SELECT run_id, 's', 'b' || i, 'auc', 'test', 100, seed, NULL,"
        " NULL, NULL, NULL FROM run, n;"
        "INSERT OR IGNORE INTO score SELECT run_id, 's', 'b1', 'auc', 'valid', 100, seed, NULL,"
        " NULL, NULL, NULL FROM run;"
        "INSERT OR REPLACE INTO param SELECT run_id, 'differs', run_id, NULL, 'axis' FROM run;"
        "COMMIT;";
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* The steps of SQLite's machine that a whole view takes: the same on a busy machine. */
static double cost_of(const test_place *place, const char *view)
{
    char sql[64];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    snprintf(sql, sizeof sql, "SELECT * FROM %s", view);
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    int rows = 0;
    while (sqlite3_step(statement) == SQLITE_ROW)
        rows++;
    double steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(rows > 0);
    return steps;
}

/* Four times the runs cost four times as much, not sixteen; bench/store_views measures the seconds
 * of 10,000 runs. */
static void the_views_are_right_and_their_cost_grows_with_the_runs(void **state)
{
    const test_place *place = *state;
    static const char *const views[] = {"v_cell", "v_last", "v_run", "v_best", "v_diff"};
    enum { VIEWS = sizeof views / sizeof *views, FEW = 60, MANY = 240 };
    int64_t ids[MANY];
    double few[VIEWS] = {0};
    for (int n = FEW; n <= MANY; n += MANY - FEW) {
        store_handle *store = must_open(place);
        must_plan(store, "e", n, ids);
        store_free(store);
        fill(place);
        for (int i = 0; i < VIEWS; i++) {
            double cost = cost_of(place, views[i]);
            if (n == FEW)
                few[i] = cost;
            else if (cost > 4.8 * few[i])
                fail_msg("%s: %.0f steps of %d runs, %.0f of %d", views[i], few[i], FEW, cost, n);
        }
    }
    /* Seeds 0, 1, 2 are the values: mean 1, sample deviation 1. */
    assert_int_equal(ask(place, "SELECT count(*) FROM v_cell WHERE split = 'test' AND n = 3 AND "
                                "mean = 1 AND sd = 1"),
                     MANY / 3 * 20);
}

static void the_best_step_is_chosen_on_valid_alone(void **state)
{
    const test_place *place = *state;
    int64_t ids[3];
    store_handle *store = must_open(place);
    must_plan(store, "e", 3, ids);
    store_free(store);
    /* auc is best at 20 and again at 30; test would have chosen 10. The loss is best when small.
     * Run 2 is not done; run 3's best has no score on test, and a nan is never the best. */
    must_do(place, "UPDATE run SET status = 'done' WHERE run_id <> 2;"
                   "INSERT INTO score(run_id, suite, benchmark, metric, split, step, value, "
                   "nonfinite) VALUES"
                   "(1, 's', 'b', 'auc', 'valid', 10, 0.6, NULL),"
                   "(1, 's', 'b', 'auc', 'valid', 20, 0.8, NULL),"
                   "(1, 's', 'b', 'auc', 'valid', 30, 0.8, NULL),"
                   "(1, 's', 'b', 'auc', 'test', 10, 0.9, NULL),"
                   "(1, 's', 'b', 'auc', 'test', 20, 0.5, NULL),"
                   "(1, 's', 'b', 'loss', 'valid', 10, 0.6, NULL),"
                   "(1, 's', 'b', 'loss', 'valid', 20, 0.8, NULL),"
                   "(2, 's', 'b', 'auc', 'valid', 10, 0.9, NULL),"
                   "(3, 's', 'b', 'auc', 'valid', 10, 0.1, NULL),"
                   "(3, 's', 'b', 'auc', 'valid', 20, NULL, 'nan'),"
                   "(3, 's', 'b', 'auc', 'test', 20, 0.7, NULL),"
                   "(3, 's', 'b', 'dist', 'valid', 10, 3, NULL),"
                   "(3, 's', 'b', 'dist', 'valid', 20, 2, NULL);"
                   "INSERT INTO series_key(name, goal) VALUES('dist', 'min'), ('auc', 'none');");
    assert_string_equal(ask_text(place,
                                 "SELECT group_concat(line) FROM (SELECT run_id || metric || "
                                 "goal || step || '/' || coalesce(test, '-') AS line FROM "
                                 "v_best ORDER BY 1)"),
                        "1aucmax20/0.5,1lossmin10/-,3aucmax10/-,3distmin20/-");
}

static void what_differs_inside_an_experiment_is_listed(void **state)
{
    const test_place *place = *state;
    int64_t ids[6];
    store_handle *store = must_open(place);
    must_plan(store, "e", 6, ids);
    store_free(store);
    assert_int_equal(ask(place, "SELECT count(*) FROM v_diff"), 0);
    must_do(place, "UPDATE param SET num = 0.01 WHERE run_id > 3 AND key = 'train.lr';"
                   "INSERT INTO param(run_id, key, num, origin) VALUES(1, 'mask.w', 1, 'axis');"
                   "INSERT INTO param SELECT run_id, 'seed', run_id, NULL, 'script' FROM run;");
    assert_string_equal(
        ask_text(place, "SELECT group_concat(line) FROM (SELECT key || ':' || count(*) || ':' || "
                        "count(DISTINCT value) AS line FROM v_diff GROUP BY key ORDER BY key)"),
        "mask.w:6:1,train.lr:6:2");
}

/* Every view and every column of it has a line in v_help, and v_help has no others. */
static void the_views_explain_themselves(void **state)
{
    const test_place *place = *state;
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    static const char *const sql =
        "WITH here AS (SELECT v.name AS view, c.name AS item FROM sqlite_schema v, "
        "pragma_table_info(v.name) c WHERE v.type = 'view' UNION ALL SELECT name, '' FROM "
        "sqlite_schema WHERE type = 'view'), help AS (SELECT view, item FROM v_help WHERE "
        "meaning <> '') SELECT group_concat(view || '.' || item) FROM (SELECT * FROM (SELECT * "
        "FROM here EXCEPT SELECT * FROM help) UNION ALL SELECT * FROM (SELECT * FROM help EXCEPT "
        "SELECT * FROM here))";
    store_free(must_open(place));
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *missing = (const char *)sqlite3_column_text(statement, 0);
    if (missing != NULL)
        fail_msg("without a line, or without a view: %s", missing);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(ask(place, "SELECT count(*) FROM v_help") > 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cells_come_with_their_types_after_one_header),
        TEST(whatever_is_not_reading_is_refused_before_it_runs),
        TEST(limits_end_a_query_and_a_sink_may_too),
        TEST(the_views_are_right_and_their_cost_grows_with_the_runs),
        TEST(the_best_step_is_chosen_on_valid_alone),
        TEST(what_differs_inside_an_experiment_is_listed),
        TEST(the_views_explain_themselves),
    };
    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
