/* merge.c - joining another store: its rows by merge.sql, its runs' folders of files beside them.
 *
 * The folders of the runs that are taken are copied beside their places first. The commit of the
 * rows decides; then the folders take their places (settle.c). */
#include "lab/store/connection.h"
#include "lab/store/files.h"

#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

/* The folders of the runs that are taken. */
typedef struct taken_runs {
    int64_t n;
    char (*names)[17];
} taken_runs;

static bool list_taken(store_connection *db, int64_t n, taken_runs *out, assay_error *error)
{
    bool row = true, ok = true;
    out->names = assay_zalloc(n * (int64_t)sizeof *out->names, error);
    if (out->names == NULL)
        return false;
    sqlite3_stmt *taken = connection_bind(db, SQL_MERGE_TAKEN, error, "");
    while (ok && row) {
        ok = connection_step(db, taken, &row, error);
        if (row && out->n < n)
            snprintf(out->names[out->n++], sizeof *out->names, "%s",
                     (const char *)sqlite3_column_text(taken, 0));
    }
    return ok;
}

static bool name_staged(const char *path, const char *name, char out[PATH_BYTES],
                        assay_error *error)
{
    return snprintf(out, PATH_BYTES, "%s.files/%s.merge", path, name) < PATH_BYTES ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
}

/* A run without files is staged as an empty folder. */
static bool stage(const char *path, const char *source, const char *name, assay_error *error)
{
    char staged[PATH_BYTES], theirs[PATH_BYTES];
    if (!name_staged(path, name, staged, error) || !name_staged(source, name, theirs, error))
        return false;
    theirs[strlen(theirs) - strlen(".merge")] = '\0';
    files_remove(staged);
    if (!files_copy(theirs, staged, error))
        return false;
    return mkdir(staged, 0755) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = staged, .what = "the folder cannot be made",
                      .got = assay_text("%m"));
}

static bool stage_all(const char *path, const char *source, const taken_runs *taken,
                      assay_error *error)
{
    char folder[PATH_BYTES];
    if (taken->n == 0)
        return true;
    snprintf(folder, sizeof folder, "%s.files", path);
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "the folder cannot be made",
                          .got = assay_text("%m"));
    for (int64_t i = 0; i < taken->n; i++)
        if (!stage(path, source, taken->names[i], error))
            return false;
    return files_sync(folder, error);
}

/* What a merge that did not come to its commit has staged is in nobody's way, and goes. */
static void unstage(const char *path, const taken_runs *taken)
{
    char staged[PATH_BYTES];
    for (int64_t i = 0; i < taken->n; i++)
        if (name_staged(path, taken->names[i], staged, NULL))
            files_remove(staged);
}

/* The same of merges that were killed. Only where nothing is pending. */
static void clean_up(const char *path)
{
    char folder[PATH_BYTES];
    if (snprintf(folder, sizeof folder, "%s.files", path) < PATH_BYTES)
        files_remove_ending(folder, ".merge");
}

static bool count_verdicts(store_connection *db, store_merge_report *out, assay_error *error)
{
    bool ok = connection_number(db, SQL_MERGE_COUNT, &out->taken, error, "t", "taken") &&
              connection_number(db, SQL_MERGE_COUNT, &out->kept, error, "t", "kept") &&
              connection_number(db, SQL_MERGE_COUNT, &out->running, error, "t", "running");
    out->runs = out->taken + out->kept + out->running;
    return ok;
}

/* Inside the transaction: what an earlier merge left, the rows, the staged files. */
static bool join(store_handle *store, const char *source, store_merge_report *report,
                 taken_runs *taken, assay_error *error)
{
    store_connection *db = &store->main;
    if (!merge_settle(store, error) || !lease_reap(store, error))
        return false;
    clean_up(store->path);
    return connection_exec(db, store_sql_text[SQL_MERGE_CHOOSE], error) &&
           count_verdicts(db, report, error) &&
           connection_exec(db, store_sql_text[SQL_MERGE_ROWS], error) &&
           list_taken(db, report->taken, taken, error) &&
           connection_exec(db, store_sql_text[SQL_MERGE_DROP], error) &&
           stage_all(store->path, source, taken, error);
}

/* Whether `source` is a store that we can read, and another one. */
static bool check_source(const store_handle *store, const char *source, assay_error *error)
{
    struct stat ours, theirs;
    store_handle *other = store_open(source, STORE_READ_ONLY, error);
    if (other == NULL)
        return false;
    store_free(other);
    if (stat(store->path, &ours) == 0 && stat(source, &theirs) == 0 &&
        ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = source,
                          .what = "a store cannot be merged with itself");
    return true;
}

/* A source whose own merge was killed has rows of one run and files of another. */
static bool check_settled(store_connection *db, const char *source, assay_error *error)
{
    int64_t n = 0;
    return connection_number(db, SQL_MERGE_UNSETTLED, &n, error, "") &&
           (n == 0 || ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = source,
                                 .what = "a merge into this store was not finished",
                                 .hint = "open it for writing once, by a merge or a run"));
}

bool store_merge(store_handle *store, const char *source, store_merge_report *report,
                 assay_error *error)
{
    store_connection *db = &store->main;
    store_merge_report counted = {0};
    taken_runs taken = {0};
    if (!check_source(store, source, error) ||
        !connection_do(db, SQL_MERGE_ATTACH, error, "t", source))
        return false;
    bool ok = store_begin(store, true, error);
    if (ok) {
        ok = check_settled(db, source, error) && join(store, source, &counted, &taken, error);
        ok = store_commit(store, ok, error);
        if (!ok)
            unstage(store->path, &taken);
    }
    assay_free(taken.names);
    connection_do(db, SQL_MERGE_DETACH, NULL, "");
    ok = ok && merge_settle_now(store, error);
    if (ok && report != NULL)
        *report = counted;
    return ok;
}
