/* query.c - one SELECT on a connection that can only read, within limits. */
#include "lab/store/connection.h"

#include <assay/memory.h>

#include <string.h>
#include <time.h>

#define STEPS_BETWEEN_LOOKS 10000 /* of SQLite's machine, between two looks at the clock */
#define PATIENCE_MS         10000

/* Reading tables, calling functions, recursive queries; nothing else. */
static int authorize(void *user, int action, const char *first, const char *second,
                     const char *schema, const char *trigger)
{
    (void)user;
    (void)first;
    (void)schema;
    (void)trigger;
    if (action == SQLITE_FUNCTION)
        return strcmp(second, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_RECURSIVE
               ? SQLITE_OK
               : SQLITE_DENY;
}

static int64_t up_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int look_at_clock(void *user)
{
    const int64_t *until = user;
    return up_ms() > *until;
}

static store_cell read_cell(sqlite3_stmt *row, int column)
{
    store_cell cell = {.type = STORE_NULL};
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        cell.type = STORE_INTEGER;
        cell.integer = sqlite3_column_int64(row, column);
        break;
    case SQLITE_FLOAT:
        cell.type = STORE_REAL;
        cell.real = sqlite3_column_double(row, column);
        break;
    case SQLITE_TEXT:
        cell.type = STORE_TEXT;
        cell.text = (const char *)sqlite3_column_text(row, column);
        cell.bytes = sqlite3_column_bytes(row, column);
        break;
    case SQLITE_BLOB:
        cell.type = STORE_BLOB;
        cell.text = sqlite3_column_blob(row, column);
        cell.bytes = sqlite3_column_bytes(row, column);
        break;
    }
    return cell;
}

static bool fail_limit(const store_connection *db, const char *what, int64_t limit,
                       assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = db->path, .what = what,
                      .expected = assay_text("at most %lld", (long long)limit),
                      .hint = "ask for less, or raise the limit");
}

/* Header, then rows. names and cells have room for the statement's columns. */
static bool deliver(store_connection *db, sqlite3_stmt *statement, store_query_limits limits,
                    store_row_sink sink, void *user, const char **names, store_cell *cells,
                    assay_error *error)
{
    int columns = sqlite3_column_count(statement);
    for (int i = 0; i < columns; i++)
        names[i] = sqlite3_column_name(statement, i);
    bool more = sink(user, columns, names, NULL);
    int result = SQLITE_DONE;
    for (int64_t rows = 0; more && (result = sqlite3_step(statement)) == SQLITE_ROW; rows++) {
        if (limits.rows > 0 && rows == limits.rows)
            return fail_limit(db, "the query gives too many rows", limits.rows, error);
        for (int i = 0; i < columns; i++)
            cells[i] = read_cell(statement, i);
        more = sink(user, columns, names, cells);
    }
    if (result == SQLITE_INTERRUPT)
        return fail_limit(db, "the query takes too many milliseconds", limits.ms, error);
    return !more || result == SQLITE_DONE ||
           connection_fail(db, "the query could not be finished", error);
}

/* Compiles exactly one statement that gives rows. NULL on failure. */
static sqlite3_stmt *compile(store_connection *db, const char *sql, assay_error *error)
{
    sqlite3_stmt *statement = NULL;
    const char *rest = NULL;
    const char *what = NULL;
    if (sqlite3_prepare_v2(db->db, sql, -1, &statement, &rest) != SQLITE_OK)
        what = sqlite3_errcode(db->db) == SQLITE_AUTH ? "a query may only read"
                                                      : "the query is not understood";
    else if (statement == NULL || sqlite3_column_count(statement) == 0)
        what = "the query gives no rows";
    else if (rest[strspn(rest, " \t\r\n;")] != '\0')
        what = "more than one statement";
    if (what == NULL)
        return statement;
    bool from_sqlite = statement == NULL && sqlite3_errcode(db->db) != SQLITE_OK;
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = sql, .what = what, .expected = "one SELECT",
               .got = from_sqlite ? sqlite3_errmsg(db->db) : NULL);
    sqlite3_finalize(statement);
    return NULL;
}

bool store_query(const char *path, const char *sql, store_query_limits limits, store_row_sink sink,
                 void *user, assay_error *error)
{
    store_connection db;
    const char **names = NULL;
    store_cell *cells = NULL;
    bool ok = false;
    int64_t until = up_ms() + limits.ms;
    if (!connection_open(&db, path, STORE_READ_ONLY, false, PATIENCE_MS, error))
        return false;
    sqlite3_set_authorizer(db.db, authorize, NULL);
    if (limits.ms > 0)
        sqlite3_progress_handler(db.db, STEPS_BETWEEN_LOOKS, look_at_clock, &until);
    sqlite3_stmt *statement = compile(&db, sql, error);
    if (statement == NULL)
        goto done;
    int columns = sqlite3_column_count(statement);
    names = assay_alloc(columns * (int64_t)sizeof *names, error);
    cells = assay_alloc(columns * (int64_t)sizeof *cells, error);
    ok = names != NULL && cells != NULL &&
         deliver(&db, statement, limits, sink, user, names, cells, error);
done:
    sqlite3_finalize(statement);
    assay_free(names);
    assay_free(cells);
    connection_close(&db);
    return ok;
}
