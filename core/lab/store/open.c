/* open.c - opening a store: whose file it is, its journal, and the history of its schema. */
#include "lab/store/connection.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <string.h>
#include <time.h>

#define APPLICATION_ID  1634956665 /* "assy" */
#define PATIENCE_MS     60000
#define PRAGMA_VERSION  "PRAGMA user_version;"
#define PRAGMA_APP      "PRAGMA application_id;"
#define COUNT_OF_TABLES "SELECT count(*) FROM sqlite_schema;"

typedef struct schema_history {
    const store_migration *steps;
    int n;
} schema_history;

/* The steps that lead from `version` to the program's: a new store gets the schema as it is, an
 * older one is upgraded version by version. */
static schema_history history_of(const store_options *options, int64_t version,
                                 store_migration own[1])
{
    if (options->migrations != NULL)
        return (schema_history){options->migrations, options->n_migrations};
    own[0] = (store_migration){.version = 2,
                               .sql = store_sql_text[version == 0 ? SQL_SCHEMA : SQL_UPGRADE_2]};
    return (schema_history){own, 1};
}

static bool read_number(store_connection *connection, const char *sql, int64_t *out,
                        assay_error *error)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *out = sqlite3_column_int64(statement, 0);
    else
        connection_fail(connection, "the file cannot be read as a store", error);
    sqlite3_finalize(statement);
    return ok;
}

/* Whether the file is a store of a version that we can read; *version is 0 for an empty file. */
static bool check_identity(store_connection *connection, int newest, int64_t *version,
                           assay_error *error)
{
    int64_t application = 0, tables = 0;
    if (!read_number(connection, PRAGMA_APP, &application, error) ||
        !read_number(connection, PRAGMA_VERSION, version, error) ||
        !read_number(connection, COUNT_OF_TABLES, &tables, error))
        return false;
    bool empty = application == 0 && *version == 0 && tables == 0;
    if (application != APPLICATION_ID && !empty)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = connection->path,
                          .what = "a database of another program",
                          .expected = "a store, or no file",
                          .hint = "choose another file for the store");
    if (*version > newest)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = connection->path,
                          .what = "the store is newer than this program",
                          .expected = assay_text("schema version %d or older", newest),
                          .got = assay_text("version %lld", (long long)*version),
                          .hint = "use the newer program");
    return true;
}

static bool apply(store_connection *connection, const store_migration *step, assay_error *error)
{
    return connection_exec(connection, step->sql, error) &&
           connection_exec(connection,
                           assay_text("PRAGMA application_id = %d; PRAGMA user_version = %d;",
                                      APPLICATION_ID, step->version),
                           error);
}

/* Brings the schema up to date. Processes that open together meet at the lock: the second finds the
 * work done, for it reads the version again inside. */
static bool migrate(store_connection *connection, const store_options *options, int newest,
                    assay_error *error)
{
    store_migration own[1];
    int64_t version = 0;
    if (!connection_exec(connection, "BEGIN EXCLUSIVE;", error))
        return false;
    bool ok = check_identity(connection, newest, &version, error);
    schema_history history = history_of(options, version, own);
    for (int i = 0; i < history.n && ok; i++)
        if (history.steps[i].version > version)
            ok = apply(connection, &history.steps[i], error);
    ok = ok && connection_exec(connection, "COMMIT;", error);
    if (!ok && !sqlite3_get_autocommit(connection->db))
        connection_exec(connection, "ROLLBACK;", NULL);
    return ok;
}

/* The change of journal does not ask the busy handler, so the waiting is here. */
static bool set_journal(store_connection *connection, const char *sql, assay_error *error)
{
    int result = SQLITE_BUSY;
    for (int64_t waited = 0; waited <= connection->patience_ms; waited += 5) {
        result = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
        if (result != SQLITE_BUSY && result != SQLITE_LOCKED)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return result == SQLITE_OK || connection_fail(connection, "the journal cannot be set", error);
}

static bool choose_journal(store_handle *store, assay_error *error)
{
    char *folder = assay_strdup(store->path, error);
    if (folder == NULL)
        return false;
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder ? 1 : 0] = '\0';
    bool network = store->system->is_network(slash != NULL ? folder : ".");
    assay_free(folder);
    if (!network)
        return set_journal(&store->main, "PRAGMA journal_mode = WAL;", error);
    assay_log(ASSAY_LOG_WARNING,
              "%s is on a network file system: one process at a time, and slower; "
              "a store on a local disk can be merged later",
              store->path);
    return set_journal(&store->main, "PRAGMA journal_mode = DELETE;", error);
}

static bool prepare(store_handle *store, const store_options *options, assay_error *error)
{
    store_migration own[1];
    schema_history history = history_of(options, 0, own);
    int newest = history.steps[history.n - 1].version;
    int64_t version = 0;
    if (!check_identity(&store->main, newest, &version, error))
        return false;
    if (options->mode == STORE_READ_ONLY)
        return version == newest ||
               ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = store->path,
                          .what = "the store is empty or older than this program",
                          .hint = "open it once for writing");
    if (!choose_journal(store, error))
        return false;
    if (version < newest && !migrate(&store->main, options, newest, error))
        return false;
    /* A program of another history has its own tables, and nothing unfinished of ours. */
    return options->migrations != NULL ||
           (texts_refresh(store, error) && merge_settle_now(store, error) &&
            spill_import(store, error));
}

store_handle *store_open_with(const char *path, const store_options *options, assay_error *error)
{
    bool ok = false;
    struct store_handle *store = assay_zalloc((int64_t)sizeof *store, error);
    if (store == NULL)
        return NULL;
    store->system = options->system != NULL ? options->system : &store_system_linux;
    store->patience_ms = options->patience_ms > 0 ? options->patience_ms : PATIENCE_MS;
    store->path = assay_strdup(path, error);
    if (store->path == NULL)
        goto done;
    store->has_turn = pthread_mutex_init(&store->turn, NULL) == 0;
    if (!store->has_turn) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no mutex");
        goto done;
    }
    ok = connection_open(&store->main, store->path, options->mode,
                         options->mode == STORE_READ_WRITE, store->patience_ms, error) &&
         prepare(store, options, error);
done:
    if (!ok)
        store_free(store);
    return ok ? store : NULL;
}

store_handle *store_open(const char *path, store_mode mode, assay_error *error)
{
    return store_open_with(path, &(store_options){.mode = mode}, error);
}

void store_free(store_handle *store)
{
    if (store == NULL)
        return;
    connection_close(&store->main);
    if (store->has_turn)
        pthread_mutex_destroy(&store->turn);
    assay_free(store->path);
    assay_free(store);
}
