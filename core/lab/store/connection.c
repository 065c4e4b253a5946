/* connection.c - one SQLite connection: settings, waiting for turns, statements, failures. */
#include "lab/store/connection.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LONGEST_NAP_MS 20

static void nap(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* The n-th wait for another process: naps grow to LONGEST_NAP_MS, until patience is used up. */
static int wait_for_turn(void *user, int n)
{
    const store_connection *connection = user;
    if ((int64_t)n * LONGEST_NAP_MS > connection->patience_ms)
        return 0;
    nap(n + 1 < LONGEST_NAP_MS ? n + 1 : LONGEST_NAP_MS);
    return 1;
}

bool connection_fail(const store_connection *connection, const char *what, assay_error *error)
{
    int code = connection->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(connection->db);
    assay_code kind = ASSAY_IO;
    const char *hint = NULL;
    switch (code) {
    case SQLITE_FULL:
        hint = "free some disk space";
        break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        hint = "check that the folder exists and who may write there";
        break;
    case SQLITE_BUSY:
        hint = "another process has been writing all the time; look for one that hangs";
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        kind = ASSAY_BAD_FILE;
        hint = "this is no store, or it is damaged";
        break;
    case SQLITE_NOMEM:
        kind = ASSAY_NO_MEMORY;
        break;
    case SQLITE_CONSTRAINT:
        kind = ASSAY_BAD_INPUT;
        break;
    }
    return ASSAY_FAIL(error, kind, .where = connection->path, .what = what,
                      .got = connection->db == NULL ? NULL : sqlite3_errmsg(connection->db),
                      .hint = hint);
}

bool connection_exec(store_connection *connection, const char *sql, assay_error *error)
{
    if (sqlite3_exec(connection->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    return connection_fail(connection, "the store refused a statement", error);
}

bool connection_open(store_connection *connection, const char *path, store_mode mode, bool create,
                     int64_t patience_ms, assay_error *error)
{
    *connection = (struct store_connection){.path = path, .patience_ms = patience_ms};
    int flags = mode == STORE_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    bool ok = sqlite3_open_v2(path, &connection->db, flags, NULL) == SQLITE_OK;
    if (!ok)
        connection_fail(connection, "the store cannot be opened", error);
    if (ok) {
        sqlite3_busy_handler(connection->db, wait_for_turn, connection);
        ok = connection_exec(connection,
                             "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;"
                             "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
                             error);
    }
    if (ok && mode == STORE_READ_WRITE && sqlite3_db_readonly(connection->db, "main") == 1)
        ok = ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "the store cannot be written",
                        .hint = "check who may write the file");
    if (!ok)
        connection_close(connection);
    return ok;
}

void connection_close(store_connection *connection)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(connection->cached[i]);
    sqlite3_close(connection->db);
    *connection = (struct store_connection){0};
}

static bool bind_all(sqlite3_stmt *statement, const char *types, va_list values)
{
    int result = SQLITE_OK;
    for (int i = 0; types[i] != '\0' && result == SQLITE_OK; i++) {
        if (types[i] == 'i')
            result = sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
        else if (types[i] == 'r')
            result = sqlite3_bind_double(statement, i + 1, va_arg(values, double));
        else if (types[i] == 't')
            result = sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1,
                                       SQLITE_STATIC);
        else
            result = sqlite3_bind_null(statement, i + 1);
    }
    return result == SQLITE_OK;
}

sqlite3_stmt *connection_bind(store_connection *connection, store_sql id, assay_error *error,
                              const char *types, ...)
{
    sqlite3_stmt **slot = &connection->cached[id];
    if (*slot == NULL && sqlite3_prepare_v3(connection->db, store_sql_text[id], -1,
                                            SQLITE_PREPARE_PERSISTENT, slot, NULL) != SQLITE_OK) {
        connection_fail(connection, "the store refused a statement", error);
        return NULL;
    }
    sqlite3_reset(*slot);
    va_list values;
    va_start(values, types);
    bool ok = bind_all(*slot, types, values);
    va_end(values);
    if (!ok)
        connection_fail(connection, "the store refused a value", error);
    return ok ? *slot : NULL;
}

bool connection_step(store_connection *connection, sqlite3_stmt *statement, bool *row,
                     assay_error *error)
{
    *row = false;
    if (statement == NULL)
        return false;
    int result = sqlite3_step(statement);
    *row = result == SQLITE_ROW;
    if (*row)
        return true;
    if (result != SQLITE_DONE)
        connection_fail(connection, "the store could not be read or written", error);
    sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

bool connection_finish(store_connection *connection, sqlite3_stmt *statement, assay_error *error)
{
    bool row = true, ok = true;
    while (ok && row)
        ok = connection_step(connection, statement, &row, error);
    return ok;
}

bool connection_first(store_connection *connection, sqlite3_stmt *statement, int64_t *out,
                      assay_error *error)
{
    bool row = false;
    *out = -1;
    bool ok = connection_step(connection, statement, &row, error);
    if (row) {
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
            *out = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    return ok;
}

/* Called outside of transactions, where SQLite allows the change. */
static bool set_synced(store_handle *store, bool synced, assay_error *error)
{
    if (store->synced == synced)
        return true;
    store->synced = synced;
    return connection_exec(&store->main,
                           synced ? "PRAGMA synchronous = FULL;" : "PRAGMA synchronous = NORMAL;",
                           error);
}

bool store_begin(store_handle *store, bool synced, assay_error *error)
{
    pthread_mutex_lock(&store->turn);
    if (set_synced(store, synced, error) && connection_do(&store->main, SQL_BEGIN, error, ""))
        return true;
    pthread_mutex_unlock(&store->turn);
    return false;
}

bool store_commit(store_handle *store, bool ok, assay_error *error)
{
    ok = ok && connection_do(&store->main, SQL_COMMIT, error, "");
    /* Some failures (a full disk) have rolled back already. */
    if (!ok && !sqlite3_get_autocommit(store->main.db))
        connection_do(&store->main, SQL_ROLLBACK, NULL, "");
    pthread_mutex_unlock(&store->turn);
    return ok;
}
