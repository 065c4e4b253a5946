/* place.c - see place.h. */
#include "place.h"

#include "lab/train/fixture.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
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

/* ---- the folder ---- */

int place_make(void **state)
{
    test_place *made = calloc(1, sizeof *made);
    strcpy(made->folder, "/tmp/assay_run_XXXXXX");
    if (mkdtemp(made->folder) == NULL)
        return -1;
    snprintf(made->store, sizeof made->store, "%s/a.db", made->folder);
    *state = made;
    stop_at_step = -1;
    stop_at_run = -1;
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

/* ---- in this process ---- */

told heard;
int stop_at_run = -1;
int64_t stop_at_step = -1;
static volatile sig_atomic_t stop;

static void hear(void *user, const run_event *event)
{
    (void)user;
    if (stop_at_step >= 0 && event->progress.step >= stop_at_step &&
        (stop_at_run < 0 || event->run == stop_at_run) && event->kind == RUN_PROGRESS)
        stop = 1;
    if (event->kind == RUN_PROGRESS || heard.count == 64)
        return;
    int i = heard.count++;
    heard.events[i].kind = event->kind;
    heard.events[i].run = event->run;
    heard.events[i].step = event->progress.step;
    snprintf(heard.events[i].status, sizeof heard.events[i].status, "%s",
             event->status ? event->status : "");
    snprintf(heard.events[i].message, sizeof heard.events[i].message, "%s",
             event->message ? event->message : "");
}

static bool run_with(const test_place *place, const plan_shape *shape,
                     void (*change)(run_options *), run_summary *out, assay_error *error)
{
    static dataset_pool *pool;
    if (pool == NULL)
        pool = dataset_pool_new("/nowhere", error);
    assert_non_null(pool);
    plan *of = plan_make(shape);
    run_options options = {
        .store_path = place->store, .folder = place->folder, .event = hear, .stop = &stop};
    stop = 0;
    heard.count = 0;
    if (change)
        change(&options);
    bool ok = run_plan(of, toy_registry(), pool, &options, out, error);
    plan_free(of);
    return ok;
}

run_summary run_here(const test_place *place, const plan_shape *shape,
                     void (*change)(run_options *))
{
    run_summary sum = {0};
    assay_error error = {0};
    char line[2048];
    if (!run_with(place, shape, change, &sum, &error))
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return sum;
}

void must_refuse(const test_place *place, const plan_shape *shape, void (*change)(run_options *),
                 assay_error *error)
{
    run_summary sum = {0};
    assert_false(run_with(place, shape, change, &sum, error));
    assert_true(error->code != ASSAY_OK);
}

const char *summary_text(const run_summary *sum)
{
    static char text[200];
    const struct {
        const char *word;
        int count;
    } parts[] = {
        {"done", sum->done},       {"skipped", sum->skipped}, {"failed", sum->failed},
        {"blocked", sum->blocked}, {"held", sum->held},       {"preempted", sum->preempted},
        {"lost", sum->lost},       {"waiting", sum->waiting},
    };
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].count > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %d",
                                     used > 0 ? " " : "", parts[i].word, parts[i].count);
    return text;
}

/* ---- in another process ---- */

pid_t line_start(const test_place *place, const char *const *line, const char *name)
{
    char log[128];
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    assert_non_null(line[0]);
    snprintf(log, sizeof log, "%s/%s.log", place->folder, name);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int result = posix_spawn(&pid, line[0], &actions, NULL, (char *const *)line, environ);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(result, 0);
    return pid;
}

pid_t program_start(const test_place *place, const char *store, const plan_shape *shape,
                    const char *const *words, const char *name)
{
    char text[64];
    const char *line[16] = {getenv("ASSAY_TOY_PROGRAM"), store, text};
    int n = 3;
    plan_shape_write(shape, text, sizeof text);
    for (int i = 0; words != NULL && words[i] != NULL && n < 15; i++)
        line[n++] = words[i];
    return line_start(place, line, name);
}

int program_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

char *program_log(const test_place *place, const char *name)
{
    char path[128];
    int64_t bytes = 0;
    snprintf(path, sizeof path, "%s/%s.log", place->folder, name);
    char *text = assay_read_file(path, 1 << 20, &bytes, NULL);
    assert_non_null(text);
    char *mine = strdup(text);
    assay_free(text);
    return mine;
}

int64_t wait_until(const char *store, const char *sql)
{
    for (int waited = 0; waited < 20000; waited += 5) {
        int64_t found = ask_store(store, sql);
        if (found > 0)
            return found;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    fail_msg("it never came to: %s", sql);
    return -1;
}

/* ---- the store ---- */

typedef struct answer {
    int64_t number;
    char *text;
    bool any;
} answer;

static bool keep_first(void *user, int columns, const char *const *names, const store_cell *cells)
{
    answer *out = user;
    (void)columns;
    (void)names;
    if (cells == NULL || out->any)
        return true;
    out->any = true;
    out->number = cells[0].type == STORE_NULL ? -1 : cells[0].integer;
    out->text = cells[0].type == STORE_TEXT ? strdup(cells[0].text) : NULL;
    return true;
}

int64_t ask_store(const char *store, const char *sql)
{
    answer out = {.number = -1};
    if (!store_query(store, sql, (store_query_limits){0}, keep_first, &out, NULL))
        return -1;
    free(out.text);
    return out.number;
}

char *ask_store_text(const char *store, const char *sql)
{
    answer out = {0};
    assay_error error = {0};
    if (!store_query(store, sql, (store_query_limits){0}, keep_first, &out, &error))
        fail_msg("%s: %s: %s", sql, error.what, error.got);
    return out.text == NULL ? strdup("NULL") : out.text;
}

void assert_store_intact(const char *store)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    if (access(store, F_OK) != 0)
        return; /* killed before it was made */
    assert_int_equal(sqlite3_open(store, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 0), "ok");
    sqlite3_finalize(row);
    sqlite3_close(db);
}

bool store_execute(const char *store, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(store, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 200);
    int result = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    assert_true(result == SQLITE_OK || result == SQLITE_BUSY);
    return result == SQLITE_OK;
}

/* ---- outcomes ---- */

typedef struct digest {
    assay_sha256 hash;
    const char *store;
    int64_t rows;
    bool of_files; /* rows name folders of runs, whose weights are added */
} digest;

static void add_weights(digest *to, const char *run_hash)
{
    char folder[256], path[4096];
    assay_mapping weights;
    assay_error error = {0};
    run_folder(to->store, run_hash, folder, sizeof folder);
    if (!train_weights_path(folder, path, sizeof path, &error) ||
        !assay_map(path, &weights, &error))
        fail_msg("%s: %s (%s)", run_hash, error.what, error.where);
    assay_sha256_add(&to->hash, weights.data, (size_t)weights.bytes);
    assay_unmap(&weights);
}

static bool add_row(void *user, int columns, const char *const *names, const store_cell *cells)
{
    digest *to = user;
    char text[64];
    (void)names;
    if (cells == NULL)
        return true;
    for (int i = 0; i < columns; i++) {
        snprintf(text, sizeof text, "%d %lld %a ", (int)cells[i].type, (long long)cells[i].integer,
                 cells[i].type == STORE_REAL ? cells[i].real : 0.0);
        assay_sha256_add(&to->hash, text, strlen(text));
        if (cells[i].type == STORE_TEXT)
            assay_sha256_add(&to->hash, cells[i].text, strlen(cells[i].text));
    }
    if (to->of_files)
        add_weights(to, cells[0].text);
    to->rows++;
    return true;
}

int64_t store_outcome(const char *store, char hex[65])
{
    static const char *const questions[] = {
        "SELECT run_hash, status FROM run ORDER BY run_hash",
        "SELECT run_hash, suite, benchmark, metric, split, step, value, score.nonfinite, low, "
        "high, n "
        "FROM score JOIN run USING(run_id) ORDER BY 1, 2, 3, 4, 5, 6",
        "SELECT run_hash, name, step, value, nonfinite FROM series JOIN series_key USING(key_id) "
        "JOIN run USING(run_id) WHERE name NOT LIKE 'time/%' AND name NOT LIKE 'memory/%' "
        "ORDER BY 1, 2, 3",
    };
    digest to = {.store = store};
    uint8_t bytes[32];
    assay_error error = {0};
    assay_sha256_begin(&to.hash);
    for (int i = 0; i < 3; i++) {
        to.of_files = i == 0;
        to.rows = 0;
        if (!store_query(store, questions[i], (store_query_limits){0}, add_row, &to, &error))
            fail_msg("%s: %s", error.what, error.got);
    }
    assay_sha256_end(&to.hash, bytes);
    assay_sha256_hex(bytes, hex);
    return to.rows;
}
