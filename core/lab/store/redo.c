/* redo.c - runs started over, with all that depend on them: rows in one transaction, then files. */
#include "lab/store/connection.h"
#include "lab/store/files.h"

#include <assay/memory.h>

#include <stdio.h>
#include <unistd.h>

typedef char run_hash[17]; /* as far as a folder's name has it */

static bool choose(store_connection *db, int n, const int64_t *run_ids, assay_error *error)
{
    bool ok = connection_exec(db, store_sql_text[SQL_REDO_BEGIN], error);
    for (int i = 0; i < n && ok; i++)
        ok = connection_do(db, SQL_REDO_ADD, error, "i", run_ids[i]);
    return ok && connection_do(db, SQL_REDO_DESCENDANTS, error, "");
}

/* Nobody that lives works on any of them. */
static bool check_free(store_connection *db, assay_error *error)
{
    char holder[256] = "";
    int64_t run_id = -1;
    bool held = false;
    if (!connection_number(db, SQL_REDO_HELD, &run_id, error, ""))
        return false;
    if (run_id < 0)
        return true;
    if (!lease_holder(db, run_id, holder, sizeof holder, &held, error))
        return false;
    return ASSAY_FAIL(
        error, ASSAY_STOPPED, .where = db->path,
        .what = assay_text("run %lld cannot be cleared: a process works on it", (long long)run_id),
        .got = holder, .hint = "end that process, or wait for its end");
}

/* An attempt that only says who cleared the run, when. It is newer than those before, so that a
 * process that was taken for dead and wakes now writes nothing into the cleared run. */
static bool fence(store_handle *store, assay_error *error)
{
    const store_system *system = store->system;
    char host[128] = "", boot[160];
    int64_t pid = getpid();
    gethostname(host, sizeof host - 1);
    system->boot_id(boot, sizeof boot);
    return connection_do(&store->main, SQL_REDO_FENCE, error, "ttiii", host, boot, pid,
                         system->pid_start(pid), system->now_ms());
}

/* The folders of the chosen runs, kept for after the commit. */
static run_hash *list_folders(store_connection *db, int64_t n, assay_error *error)
{
    bool row = true, ok = true;
    int64_t used = 0;
    run_hash *hashes = assay_zalloc(n * (int64_t)sizeof *hashes, error);
    sqlite3_stmt *list = hashes == NULL ? NULL : connection_bind(db, SQL_REDO_LIST, error, "");
    ok = list != NULL;
    while (ok && row) {
        ok = connection_step(db, list, &row, error);
        if (row && used < n)
            snprintf(hashes[used++], sizeof *hashes, "%s",
                     (const char *)sqlite3_column_text(list, 0));
    }
    if (ok)
        return hashes;
    assay_free(hashes);
    return NULL;
}

/* A process that dies before all is removed leaves folders that no row speaks of, which do not
 * count. */
static void remove_folders(const store_handle *store, int64_t n, run_hash *hashes)
{
    for (int64_t i = 0; i < n; i++) {
        char folder[4096];
        int length =
            snprintf(folder, sizeof folder, "%s.files/%s", store->path, (const char *)hashes[i]);
        if (length < (int)sizeof folder && hashes[i][0] != '\0')
            files_remove(folder);
    }
}

bool store_redo(store_handle *store, int n, const int64_t *run_ids, int64_t *cleared,
                assay_error *error)
{
    store_connection *db = &store->main;
    run_hash *hashes = NULL;
    int64_t count = 0;
    if (!store_begin(store, true, error))
        return false;
    bool ok = merge_settle(store, error) && lease_reap(store, error) &&
              choose(db, n, run_ids, error) && check_free(db, error) &&
              connection_number(db, SQL_REDO_COUNT, &count, error, "");
    hashes = ok ? list_folders(db, count, error) : NULL;
    ok = hashes != NULL && connection_exec(db, store_sql_text[SQL_REDO_ROWS], error) &&
         fence(store, error) && connection_exec(db, store_sql_text[SQL_REDO_END], error);
    ok = store_commit(store, ok, error);
    if (ok)
        remove_folders(store, count, hashes);
    if (ok && cleared != NULL)
        *cleared = count;
    assay_free(hashes);
    return ok;
}
