/* test_open.c - whose file it is, what version it has, and what opening leaves behind. */
#include "fixture.h"

#include <assay/log.h>

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static assay_error must_refuse(const char *path, store_mode mode, assay_code code)
{
    assay_error error = {0};
    assert_null(store_open(path, mode, &error));
    assert_int_equal(error.code, code);
    assert_true(error.hint[0] != '\0');
    return error;
}

static void a_new_store_has_the_schema_and_views_that_answer(void **state)
{
    const test_place *place = *state;
    store_free(must_open(place));
    static const char *views[] = {"v_run",  "v_last", "v_score",
                                  "v_cell", "v_pair", "v_leaderboard"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", views[i]);
        assert_int_equal(ask(place, sql), i < 5 ? 0 : ask(place, "SELECT count(*) FROM published"));
    }
    store_free(must_open(place)); /* a second time finds nothing to do */
    assert_intact(place);
}

static void a_foreign_database_is_refused_and_stays_as_it_is(void **state)
{
    const test_place *place = *state;
    struct stat before, after;
    run_sql(place->path, "CREATE TABLE theirs(x); PRAGMA application_id = 7;");
    assert_int_equal(stat(place->path, &before), 0);
    must_refuse(place->path, STORE_READ_WRITE, ASSAY_BAD_FILE);
    assert_int_equal(stat(place->path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    const test_place *place = *state;
    FILE *file = fopen(place->path, "w");
    for (int i = 0; i < 200; i++)
        fprintf(file, "this is a diary, not a store\n");
    fclose(file);
    must_refuse(place->path, STORE_READ_WRITE, ASSAY_BAD_FILE);
}

static void a_newer_store_is_refused_with_both_versions(void **state)
{
    const test_place *place = *state;
    store_free(must_open(place));
    run_sql(place->path, "PRAGMA user_version = 9;");
    assay_error error = must_refuse(place->path, STORE_READ_WRITE, ASSAY_UNSUPPORTED);
    assert_non_null(strstr(error.got, "9"));
    must_refuse(place->path, STORE_READ_ONLY, ASSAY_UNSUPPORTED);
}

static void a_missing_folder_is_refused_with_a_hint(void **state)
{
    const test_place *place = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/none/a.db", place->folder);
    must_refuse(path, STORE_READ_WRITE, ASSAY_IO);
    must_refuse(place->path, STORE_READ_ONLY, ASSAY_IO);
    assert_int_equal(access(place->path, F_OK), -1);
}

static const store_migration history[] = {
    {1, "CREATE TABLE first(x); INSERT INTO first VALUES(1);"},
    {2, "ALTER TABLE first ADD COLUMN y; UPDATE first SET y = x + 1;"},
    {3, "CREATE TABLE broken(; "},
};

static void an_older_store_is_migrated_and_a_failed_step_changes_nothing(void **state)
{
    const test_place *place = *state;
    assay_error error = {0};
    for (int n = 1; n <= 2; n++) {
        store_free(store_open_with(
            place->path, &(store_options){.migrations = history, .n_migrations = n}, &error));
        assert_int_equal(error.code, ASSAY_OK);
    }
    assert_int_equal(ask(place, "SELECT y FROM first"), 2);
    assert_null(store_open_with(
        place->path, &(store_options){.migrations = history, .n_migrations = 3}, &error));
    assay_error_clear(&error);
    store_free(store_open_with(place->path,
                               &(store_options){.migrations = history, .n_migrations = 2}, &error));
    assert_int_equal(error.code, ASSAY_OK);
}

static void processes_that_open_together_make_one_store(void **state)
{
    const test_place *place = *state;
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            store_handle *store = store_open(place->path, STORE_READ_WRITE, NULL);
            _exit(store == NULL);
        }
    for (int i = 0; i < 8; i++) {
        int status = 1;
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_intact(place);
}

static bool always_network(const char *folder)
{
    (void)folder;
    return true;
}

static void count_warnings(assay_log_level level, const char *line, void *user)
{
    (void)line;
    *(int *)user += level == ASSAY_LOG_WARNING;
}

static void on_a_network_file_system_there_is_no_wal_and_a_warning(void **state)
{
    const test_place *place = *state;
    store_system system = store_system_linux;
    system.is_network = always_network;
    int warnings = 0;
    char wal[128];
    assay_log_to(count_warnings, &warnings, ASSAY_LOG_WARNING);
    store_handle *store = store_open_with(place->path, &(store_options){.system = &system}, NULL);
    assay_log_to(NULL, NULL, ASSAY_LOG_WARNING);
    assert_non_null(store);
    assert_int_equal(warnings, 1);
    snprintf(wal, sizeof wal, "%s-wal", place->path);
    assert_int_equal(access(wal, F_OK), -1);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_store_has_the_schema_and_views_that_answer,
                                        place_make, place_remove),
        cmocka_unit_test_setup_teardown(a_foreign_database_is_refused_and_stays_as_it_is,
                                        place_make, place_remove),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_refused, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(a_newer_store_is_refused_with_both_versions, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(a_missing_folder_is_refused_with_a_hint, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(
            an_older_store_is_migrated_and_a_failed_step_changes_nothing, place_make, place_remove),
        cmocka_unit_test_setup_teardown(processes_that_open_together_make_one_store, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(on_a_network_file_system_there_is_no_wal_and_a_warning,
                                        place_make, place_remove),
    };
    return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
