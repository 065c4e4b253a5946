/* settle.c - folders that a merge has brought take their places.
 *
 * A merge cannot commit rows and rename folders at once, and it may be killed in between. So it
 * puts each run's folder beside its place as NAME.merge, whole and synced, and names it in the
 * table pending_folder in the transaction that takes the rows. With that commit the merge has
 * happened; renaming can be done by whoever comes next, any number of times. Until then nobody gets
 * the run: a claim settles first. */
#include "lab/store/connection.h"
#include "lab/store/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

static bool move(const char *from, const char *to, assay_error *error)
{
    return rename(from, to) == 0 || errno == ENOENT ||
           ASSAY_FAIL(error, ASSAY_IO, .where = from, .what = "a run's folder cannot be renamed",
                      .got = assay_text("%m"));
}

/* The staged folder is there until it has taken its place, so that a second time does no harm. An
 * empty one stands for a run without files. */
static bool put_in_place(const char *store_path, const char *name, assay_error *error)
{
    char staged[PATH_BYTES], ours[PATH_BYTES], before[PATH_BYTES];
    if (snprintf(staged, sizeof staged, "%s.files/%s.merge", store_path, name) >= PATH_BYTES)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store_path,
                          .what = "the path is too long");
    snprintf(ours, sizeof ours, "%s.files/%s", store_path, name);
    snprintf(before, sizeof before, "%s.files/%s.old", store_path, name);
    if (access(staged, F_OK) == 0) {
        files_remove(before);
        if (!move(ours, before, error) || !move(staged, ours, error))
            return false;
        rmdir(ours); /* goes only if it is empty */
    }
    files_remove(before);
    return true;
}

static bool first_pending(store_connection *db, char *name, int size, bool *found,
                          assay_error *error)
{
    sqlite3_stmt *statement = connection_bind(db, SQL_PENDING_FOLDER, error, "");
    if (!connection_step(db, statement, found, error))
        return false;
    if (*found) {
        snprintf(name, (size_t)size, "%s", (const char *)sqlite3_column_text(statement, 0));
        sqlite3_reset(statement);
    }
    return true;
}

bool merge_settle(store_handle *store, assay_error *error)
{
    store_connection *db = &store->main;
    char name[64];
    bool found = true, ok = true;
    while (ok && found) {
        ok = first_pending(db, name, sizeof name, &found, error);
        if (ok && found)
            ok = put_in_place(store->path, name, error) &&
                 connection_do(db, SQL_DROP_PENDING_FOLDER, error, "t", name);
    }
    return ok;
}

bool merge_settle_now(store_handle *store, assay_error *error)
{
    int64_t n = 0;
    if (!connection_number(&store->main, SQL_PENDING_FOLDERS, &n, error, ""))
        return false;
    if (n == 0)
        return true;
    if (!store_begin(store, true, error))
        return false;
    return store_commit(store, merge_settle(store, error), error);
}
