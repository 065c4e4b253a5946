/* fixture.c - see fixture.h. */
#include "fixture.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const store_worker worker = {
    .cpu = "test", .build_sig = "build", .threads = 1, .git_dirty = -1, .git_commit = "c0ffee"};

int place_make(void **state)
{
    test_place *made = calloc(1, sizeof *made);
    strcpy(made->folder, "/tmp/assay_store_XXXXXX");
    if (mkdtemp(made->folder) == NULL)
        return -1;
    snprintf(made->path, sizeof made->path, "%s/a.db", made->folder);
    *state = made;
    return 0;
}

int place_remove(void **state)
{
    test_place *made = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", made->folder);
    int status = system(command);
    free(made);
    return status;
}

store_handle *must_open(const test_place *place)
{
    assay_error error = {0};
    store_handle *store = store_open(place->path, STORE_READ_WRITE, &error);
    if (store == NULL)
        fail_msg("%s: %s", error.what, error.got);
    return store;
}

void must_plan(store_handle *store, const char *experiment, int n, int64_t *ids)
{
    assay_error error = {0};
    store_planned_run *runs = calloc((size_t)n, sizeof *runs);
    char(*hashes)[2][32] = calloc((size_t)n, sizeof *hashes);
    static const store_param params[] = {{"train.lr", NULL, 0.001, "default"},
                                         {"mask", "causal", 0, "axis"}};
    static const store_axis axes[] = {{"mask", "causal", false, 0}};
    static const store_plugin plugins[] = {{"mask", "causal", "1", "1", "00"}};
    for (int i = 0; i < n; i++) {
        snprintf(hashes[i][0], sizeof hashes[i][0], "run%013d", i);
        snprintf(hashes[i][1], sizeof hashes[i][1], "cell%d", i / 3);
        runs[i] = (store_planned_run){.run_hash = hashes[i][0],
                                      .cell_hash = hashes[i][1],
                                      .seed = i % 3,
                                      .total_steps = 100,
                                      .device = "cpu",
                                      .dataset = "synth",
                                      .stage = "main",
                                      .label = hashes[i][1],
                                      .n_axes = 1,
                                      .n_params = 2,
                                      .n_plugins = 1,
                                      .axes = axes,
                                      .params = params,
                                      .plugins = plugins};
    }
    if (!store_put_plan(store, experiment, n, runs, ids, &error))
        fail_msg("%s: %s", error.what, error.got);
    free(hashes);
    free(runs);
}

store_lease must_claim(store_handle *store, int64_t run_id)
{
    assay_error error = {0};
    store_lease lease = {0};
    int result = store_claim(store, run_id, &worker, &lease, NULL, 0, &error);
    if (result != STORE_CLAIMED)
        fail_msg("claim gave %d: %s %s", result, error.what, error.got);
    return lease;
}

typedef struct answer {
    int rows;
    store_cell cell;
    char text[4096];
} answer;

static bool keep_first(void *user, int columns, const char *const *names, const store_cell *cells)
{
    answer *out = user;
    (void)columns;
    (void)names;
    if (cells == NULL || out->rows++ > 0)
        return true;
    out->cell = cells[0];
    snprintf(out->text, sizeof out->text, "%s",
             cells[0].type == STORE_TEXT ? cells[0].text : "NULL");
    return true;
}

static answer must_ask(const test_place *place, const char *sql)
{
    assay_error error = {0};
    answer out = {0};
    if (!store_query(place->path, sql, (store_query_limits){0}, keep_first, &out, &error))
        fail_msg("%s: %s: %s", sql, error.what, error.got);
    if (out.rows == 0)
        fail_msg("%s: no row", sql);
    return out;
}

int64_t ask(const test_place *place, const char *sql)
{
    return must_ask(place, sql).cell.integer;
}

double ask_real(const test_place *place, const char *sql)
{
    return must_ask(place, sql).cell.real;
}

const char *ask_text(const test_place *place, const char *sql)
{
    static char text[4096];
    answer out = must_ask(place, sql);
    snprintf(text, sizeof text, "%s", out.text);
    return text;
}

void assert_intact(const test_place *place)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

void must_do(const test_place *place, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    sqlite3_close(db);
}
