/* connection.h - one SQLite connection with its prepared statements, and the store that owns
 * one. */
#ifndef STORE_CONNECTION_H
#define STORE_CONNECTION_H

#include "lab/store/sql.h"
#include "lab/store/store.h"

#include <pthread.h>
#include <sqlite3.h>

typedef struct store_connection {
    sqlite3 *db;
    sqlite3_stmt *cached[SQL_COUNT]; /* prepared at first use */
    const char *path;                /* borrowed from the store or the caller */
    int64_t patience_ms;
} store_connection;

struct store_handle {
    char *path;
    const store_system *system;
    store_connection main;
    pthread_mutex_t turn; /* one transaction of `main` at a time */
    int64_t patience_ms;
    bool has_turn; /* the mutex was made */
    bool synced;   /* the transaction under way ends on the disk */
};

/* Settings that every connection shares; one thread at a time uses it. On failure it is closed. */
bool connection_open(store_connection *connection, const char *path, store_mode mode, bool create,
                     int64_t patience_ms, assay_error *error);
void connection_close(store_connection *connection);

/* The failure that SQLite has just reported, with a hint where there is one. Returns false. */
bool connection_fail(const store_connection *connection, const char *what, assay_error *error);

/* Runs SQL that gives no rows. */
bool connection_exec(store_connection *connection, const char *sql, assay_error *error);

/* The statement with its values bound: `types` has one letter per value, i (int64_t), r (double),
 * t (const char *, NULL is NULL) or n (NULL, no argument). Texts are borrowed until the statement's
 * next use. NULL on failure. */
sqlite3_stmt *connection_bind(store_connection *connection, store_sql id, assay_error *error,
                              const char *types, ...);

/* The next row: *row tells whether there is one. After the last row and on failure the statement is
 * reset. */
bool connection_step(store_connection *connection, sqlite3_stmt *statement, bool *row,
                     assay_error *error);

/* Binds and runs a bound statement to its end. Takes what connection_bind gave, NULL too. */
bool connection_finish(store_connection *connection, sqlite3_stmt *statement, assay_error *error);
#define connection_do(connection, id, error, ...)                                                  \
    connection_finish((connection), connection_bind((connection), (id), (error), __VA_ARGS__),     \
                      (error))

/* The first column of the first row; *out is -1 without a row or for NULL. */
bool connection_first(store_connection *connection, sqlite3_stmt *statement, int64_t *out,
                      assay_error *error);
#define connection_number(connection, id, out, error, ...)                                         \
    connection_first((connection), connection_bind((connection), (id), (error), __VA_ARGS__),      \
                     (out), (error))

/* The store's own connection, for one transaction. `synced`: the commit is on the disk when it
 * returns, for rows that must be there when the caller goes on. commit ends it either way and gives
 * the turn back: with `ok` false, or when the commit fails, everything is rolled back. Returns
 * whether it is committed. */
bool store_begin(store_handle *store, bool synced, assay_error *error);
bool store_commit(store_handle *store, bool ok, assay_error *error);

/* Inside a transaction: whether `lease` still has its run. Sets lease->lost if not. */
bool lease_holds(store_connection *connection, store_lease *lease, assay_error *error);

/* Inside a transaction: runs whose holders are dead become lost. */
bool lease_reap(store_handle *store, assay_error *error);

/* Inside a transaction, after the dead are reaped: whether a process holds the run. `out` (NULL or
 * `size` bytes) gets its name. */
bool lease_holder(store_connection *connection, int64_t run_id, char *out, int size, bool *held,
                  assay_error *error);

/* Inside a transaction: folders of files that a merge has committed to take their places, also when
 * that merge was killed. merge_settle_now begins the transaction itself, if there are any. */
bool merge_settle(store_handle *store, assay_error *error);
bool merge_settle_now(store_handle *store, assay_error *error);

/* Views and published numbers are those of this program: reads in what the store does not have, or
 * has otherwise. A store that has them is not written. */
bool texts_refresh(store_handle *store, assay_error *error);

/* Reads in and removes the spill files beside the store whose writers have ended. */
bool spill_import(store_handle *store, assay_error *error);

#endif
