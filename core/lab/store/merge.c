/* merge.c - joining another store: its rows by merge.sql, its runs' folders of files beside them. */
#include "lab/store/connection.h"
#include "lab/store/files.h"

#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The paths of one run that is taken. New files are staged, then change places with the old. */
typedef struct run_folders {
    char theirs[PATH_BYTES], ours[PATH_BYTES], staged[PATH_BYTES], before[PATH_BYTES];
} run_folders;

typedef bool (*folder_step)(const run_folders *run, assay_error *error);

static bool stage(const run_folders *run, assay_error *error)
{
    files_remove(run->staged);
    return files_copy(run->theirs, run->staged, error);
}

static bool move(const char *from, const char *to, assay_error *error)
{
    return rename(from, to) == 0 || errno == ENOENT ||
           ASSAY_FAIL(error, ASSAY_IO, .where = from, .what = "a run's folder cannot be renamed",
                      .got = assay_text("%m"));
}

/* A folder that is not there yet is made, so that `before` tells whether the swap has begun. */
static bool swap_in(const run_folders *run, assay_error *error)
{
    mkdir(run->ours, 0755);
    return move(run->ours, run->before, error) && move(run->staged, run->ours, error);
}

static bool swap_back(const run_folders *run, assay_error *error)
{
    files_remove(run->staged);
    if (access(run->before, F_OK) != 0)
        return true;
    files_remove(run->ours);
    bool ok = move(run->before, run->ours, error);
    rmdir(run->ours); /* goes only if it is empty: then it was made for the swap */
    return ok;
}

static bool forget_before(const run_folders *run, assay_error *error)
{
    (void)error;
    files_remove(run->before);
    return true;
}

static bool name_folders(const char *ours, const char *theirs, const char *hash, run_folders *out,
                         assay_error *error)
{
    long pid = (long)getpid();
    int longest = snprintf(out->before, PATH_BYTES, "%s.files/%s.before.%ld", ours, hash, pid);
    snprintf(out->staged, PATH_BYTES, "%s.files/%s.merge.%ld", ours, hash, pid);
    snprintf(out->ours, PATH_BYTES, "%s.files/%s", ours, hash);
    int other = snprintf(out->theirs, PATH_BYTES, "%s.files/%s", theirs, hash);
    return (longest < PATH_BYTES && other < PATH_BYTES) ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = ours, .what = "the path is too long");
}

/* The folders of the runs that are taken, kept outside the database: they are needed when it has
 * rolled everything back. */
typedef struct taken_runs {
    int64_t n;
    char (*hashes)[17];
} taken_runs;

static bool list_taken(store_connection *db, int64_t n, taken_runs *out, assay_error *error)
{
    bool row = true, ok = true;
    out->hashes = assay_zalloc(n * (int64_t)sizeof *out->hashes, error);
    if (out->hashes == NULL)
        return false;
    sqlite3_stmt *taken = connection_bind(db, SQL_MERGE_TAKEN, error, "");
    while (ok && row) {
        ok = connection_step(db, taken, &row, error);
        if (row && out->n < n)
            snprintf(out->hashes[out->n++], sizeof *out->hashes, "%s",
                     (const char *)sqlite3_column_text(taken, 0));
    }
    return ok;
}

/* One step for every run that is taken; with `error`, as long as it goes well. */
static bool each_taken(const store_handle *store, const char *source, const taken_runs *taken,
                       folder_step step, assay_error *error)
{
    run_folders run;
    bool ok = true;
    for (int64_t i = 0; i < taken->n && (ok || error == NULL); i++)
        ok = name_folders(store->path, source, taken->hashes[i], &run, error) && step(&run, error);
    return ok;
}

static bool count_verdicts(store_connection *db, store_merge_report *out, assay_error *error)
{
    bool ok = connection_number(db, SQL_MERGE_COUNT, &out->taken, error, "t", "taken") &&
              connection_number(db, SQL_MERGE_COUNT, &out->kept, error, "t", "kept") &&
              connection_number(db, SQL_MERGE_COUNT, &out->running, error, "t", "running");
    out->runs = out->taken + out->kept + out->running;
    return ok;
}

static bool make_files_folder(const char *path, assay_error *error)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s.files", path);
    return mkdir(folder, 0755) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "the folder cannot be made",
                      .got = assay_text("%m"));
}

/* Inside the transaction: the rows, then the files. */
static bool join(store_handle *store, const char *source, store_merge_report *report,
                 taken_runs *taken, assay_error *error)
{
    store_connection *db = &store->main;
    assay_error failure = {0};
    if (!lease_reap(store, error) ||
        !connection_exec(db, store_sql_text[SQL_MERGE_CHOOSE], error) ||
        !count_verdicts(db, report, error))
        return false;
    if (report->taken > 0 && !make_files_folder(store->path, error))
        return false;
    if (!connection_exec(db, store_sql_text[SQL_MERGE_ROWS], error) ||
        !list_taken(db, report->taken, taken, error) ||
        !connection_exec(db, store_sql_text[SQL_MERGE_DROP], error))
        return false;
    if (each_taken(store, source, taken, stage, &failure) &&
        each_taken(store, source, taken, swap_in, &failure))
        return true;
    if (error != NULL && error->code == ASSAY_OK)
        *error = failure;
    return false;
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
        ok = join(store, source, &counted, &taken, error);
        ok = store_commit(store, ok, error);
        each_taken(store, source, &taken, ok ? forget_before : swap_back, NULL);
    }
    assay_free(taken.hashes);
    connection_do(db, SQL_MERGE_DETACH, NULL, "");
    if (ok && report != NULL)
        *report = counted;
    return ok;
}
