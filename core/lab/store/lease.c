/* lease.c - who works on a run: claims, attempts, beats, and what an attempt may write. */
#include "lab/store/connection.h"

#include <assay/hash.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STALE_MS 120000

/* ---- who holds a run ---- */

typedef struct run_holder {
    int64_t run_id, attempt, pid, pid_start, start_ms, beat_ms, beat_up_ms;
    char host[128], boot_id[160];
    bool has_up; /* the beat is known by the boot's clock too */
} run_holder;

static void read_holder(sqlite3_stmt *row, run_holder *out)
{
    *out = (run_holder){.run_id = sqlite3_column_int64(row, 0),
                        .attempt = sqlite3_column_int64(row, 1),
                        .pid = sqlite3_column_int64(row, 4),
                        .pid_start = sqlite3_column_int64(row, 5),
                        .start_ms = sqlite3_column_int64(row, 6),
                        .beat_ms = sqlite3_column_int64(row, 7),
                        .beat_up_ms = sqlite3_column_int64(row, 8),
                        .has_up = sqlite3_column_type(row, 8) != SQLITE_NULL};
    snprintf(out->host, sizeof out->host, "%s", (const char *)sqlite3_column_text(row, 2));
    snprintf(out->boot_id, sizeof out->boot_id, "%s", (const char *)sqlite3_column_text(row, 3));
}

static bool is_dead(const store_system *system, const run_holder *holder)
{
    char boot[160];
    system->boot_id(boot, sizeof boot);
    bool same_boot = strcmp(boot, holder->boot_id) == 0;
    if (same_boot && system->pid_start(holder->pid) != holder->pid_start)
        return true;
    if (same_boot && holder->has_up)
        return system->up_ms() - holder->beat_up_ms > STALE_MS;
    return llabs(system->now_ms() - holder->beat_ms) > STALE_MS;
}

/* The first dead holder of a running run, if any. Rows are not changed while they are read. */
static bool find_dead(store_handle *store, run_holder *out, bool *found, assay_error *error)
{
    store_connection *db = &store->main;
    bool row = true;
    *found = false;
    sqlite3_stmt *open = connection_bind(db, SQL_OPEN_ATTEMPTS, error, "");
    while (row && !*found) {
        if (!connection_step(db, open, &row, error))
            return false;
        if (row) {
            read_holder(open, out);
            *found = is_dead(store->system, out);
        }
    }
    if (open != NULL)
        sqlite3_reset(open);
    return true;
}

bool lease_reap(store_handle *store, assay_error *error)
{
    store_connection *db = &store->main;
    bool found = true, ok = true;
    while (ok && found) {
        run_holder dead;
        ok = find_dead(store, &dead, &found, error);
        if (ok && found)
            ok = connection_do(db, SQL_LOSE_ATTEMPTS, error, "i", dead.run_id) &&
                 connection_do(db, SQL_SET_STATUS, error, "itn", dead.run_id, "lost");
    }
    return ok;
}

bool store_reap(store_handle *store, assay_error *error)
{
    return store_begin(store, false, error) && store_commit(store, lease_reap(store, error), error);
}

static void name_holder(const run_holder *holder, char *out, int size)
{
    time_t start = (time_t)(holder->start_ms / 1000);
    struct tm local;
    char date[32] = "";
    if (localtime_r(&start, &local) != NULL)
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", &local);
    snprintf(out, (size_t)size, "%s process %lld since %s", holder->host, (long long)holder->pid,
             date);
}

bool lease_holder(store_connection *db, int64_t run_id, char *out, int size, bool *held,
                  assay_error *error)
{
    bool row = true;
    *held = false;
    sqlite3_stmt *open = connection_bind(db, SQL_OPEN_ATTEMPTS, error, "");
    while (row && !*held) {
        if (!connection_step(db, open, &row, error))
            return false;
        if (row && sqlite3_column_int64(open, 0) == run_id) {
            run_holder holder;
            read_holder(open, &holder);
            *held = true;
            if (out != NULL)
                name_holder(&holder, out, size);
        }
    }
    if (open != NULL)
        sqlite3_reset(open);
    return true;
}

/* ---- claims ---- */

static bool start_attempt(store_handle *store, int64_t run_id, const store_worker *worker,
                          store_lease *lease, assay_error *error)
{
    const store_system *system = store->system;
    store_connection *db = &store->main;
    char host[128] = "", boot[160];
    int64_t newest = 0, pid = getpid();
    gethostname(host, sizeof host - 1);
    system->boot_id(boot, sizeof boot);
    if (!connection_number(db, SQL_NEWEST_ATTEMPT, &newest, error, "i", run_id))
        return false;
    int64_t attempt = newest < 0 ? 1 : newest + 1;
    /* A git_dirty that is not known is NULL, as text that is not there. */
    const char *dirty = worker->git_dirty < 0 ? NULL : worker->git_dirty > 0 ? "1" : "0";
    bool ok = connection_do(db, SQL_PUT_ATTEMPT, error, "iittiitiitttti", run_id, attempt, host,
                            boot, pid, system->pid_start(pid), worker->job, system->now_ms(),
                            (int64_t)worker->threads, worker->cpu, worker->build_sig,
                            worker->git_commit, dirty, system->up_ms());
    ok = ok && connection_do(db, SQL_SET_STATUS, error, "itn", run_id, "running");
    if (ok)
        *lease = (store_lease){.run_id = run_id, .attempt = attempt};
    return ok;
}

/* STORE_CLAIMED stands for "nothing is in the way". */
static store_claim_result judge(store_handle *store, int64_t run_id, char *out, int size,
                                assay_error *error)
{
    store_connection *db = &store->main;
    bool row = false, held = false;
    sqlite3_stmt *statement = connection_bind(db, SQL_RUN_STATUS, error, "i", run_id);
    if (!connection_step(db, statement, &row, error))
        return STORE_REFUSED;
    if (!row) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = db->path, .what = "no such run",
                   .got = assay_text("run %lld", (long long)run_id));
        return STORE_REFUSED;
    }
    bool done = strcmp((const char *)sqlite3_column_text(statement, 0), "done") == 0;
    sqlite3_reset(statement);
    if (done)
        return STORE_DONE;
    if (!lease_holder(db, run_id, out, size, &held, error))
        return STORE_REFUSED;
    return held ? STORE_HELD : STORE_CLAIMED;
}

store_claim_result store_claim(store_handle *store, int64_t run_id, const store_worker *worker,
                               store_lease *lease, char *holder, int holder_size,
                               assay_error *error)
{
    store_claim_result result = STORE_REFUSED;
    if (!store_begin(store, false, error))
        return STORE_REFUSED;
    bool ok = merge_settle(store, error) && lease_reap(store, error);
    if (ok)
        result = judge(store, run_id, holder, holder_size, error);
    ok = ok && result != STORE_REFUSED;
    if (result == STORE_CLAIMED)
        ok = start_attempt(store, run_id, worker, lease, error);
    return store_commit(store, ok, error) ? result : STORE_REFUSED;
}

/* ---- writing under a lease ---- */

bool lease_holds(store_connection *db, store_lease *lease, assay_error *error)
{
    int64_t newest = -1;
    if (!connection_number(db, SQL_NEWEST_ATTEMPT, &newest, error, "i", lease->run_id))
        return false;
    if (newest == lease->attempt)
        return true;
    lease->lost = true;
    return ASSAY_FAIL(error, ASSAY_IO, .where = db->path,
                      .what = assay_text("run %lld was taken over", (long long)lease->run_id),
                      .expected = assay_text("attempt %lld", (long long)lease->attempt),
                      .got = assay_text("attempt %lld", (long long)newest),
                      .hint = "this process was taken for dead; nothing more is written");
}

/* A transaction of a lease's holder, begun; false when there is none to end. */
static bool begin_held(store_handle *store, store_lease *lease, bool synced, assay_error *error)
{
    if (!store_begin(store, synced, error))
        return false;
    return lease_holds(&store->main, lease, error) || store_commit(store, false, error);
}

bool store_beat(store_handle *store, store_lease *lease, assay_error *error)
{
    if (!begin_held(store, lease, false, error))
        return false;
    bool ok = connection_do(&store->main, SQL_BEAT, error, "iiii", lease->run_id, lease->attempt,
                            store->system->now_ms(), store->system->up_ms());
    return store_commit(store, ok, error);
}

bool store_resume(store_handle *store, store_lease *lease, int64_t step, bool exact,
                  assay_error *error)
{
    store_connection *db = &store->main;
    if (!begin_held(store, lease, false, error))
        return false;
    bool ok = connection_do(db, SQL_CUT_SERIES, error, "ii", lease->run_id, step) &&
              connection_do(db, SQL_CUT_SCORE, error, "ii", lease->run_id, step) &&
              connection_do(db, SQL_CUT_CHECKPOINT, error, "ii", lease->run_id, step) &&
              connection_do(db, SQL_SET_RESUME, error, "iiii", lease->run_id, lease->attempt, step,
                            (int64_t)exact);
    return store_commit(store, ok, error);
}

bool store_end(store_handle *store, store_lease *lease, const char *status, const char *reason,
               const char *message, assay_error *error)
{
    store_connection *db = &store->main;
    if (!begin_held(store, lease, false, error))
        return false;
    bool ok = connection_do(db, SQL_END_ATTEMPT, error, "iiit", lease->run_id, lease->attempt,
                            store->system->now_ms(), reason) &&
              connection_do(db, SQL_SET_STATUS, error, "itt", lease->run_id, status, message);
    return store_commit(store, ok, error);
}

bool store_put_source(store_handle *store, store_lease *lease, const char *kind, const char *name,
                      const char *text, assay_error *error)
{
    store_connection *db = &store->main;
    char sha256[65];
    assay_sha256_of(text, strlen(text), sha256);
    if (!begin_held(store, lease, false, error))
        return false;
    bool ok = connection_do(db, SQL_PUT_SOURCE, error, "tt", sha256, text) &&
              connection_do(db, SQL_PUT_ATTEMPT_SOURCE, error, "iittt", lease->run_id,
                            lease->attempt, kind, name, sha256);
    return store_commit(store, ok, error);
}

bool store_put_checkpoint(store_handle *store, store_lease *lease, int64_t step,
                          const store_file *file, assay_error *error)
{
    if (!begin_held(store, lease, true, error))
        return false;
    bool ok = connection_do(&store->main, SQL_PUT_CHECKPOINT, error, "iitit", lease->run_id, step,
                            file->path, file->bytes, file->sha256);
    return store_commit(store, ok, error);
}

bool store_put_artifact(store_handle *store, store_lease *lease, const char *name,
                        const store_file *file, assay_error *error)
{
    if (!begin_held(store, lease, true, error))
        return false;
    bool ok = connection_do(&store->main, SQL_PUT_ARTIFACT, error, "ittit", lease->run_id, name,
                            file->path, file->bytes, file->sha256);
    return store_commit(store, ok, error);
}
