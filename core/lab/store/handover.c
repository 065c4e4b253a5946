/* handover.c - what earlier attempts and other runs hand to a run: checkpoints, scores,
 * sameness. */
#include "lab/store/connection.h"

#include <math.h>
#include <string.h>

/* One transaction that only reads, so that it sees one state of the store. */
static bool read_one(store_handle *store, store_sql id, int64_t *out, assay_error *error,
                     int64_t run_id, int64_t attempt)
{
    if (!store_begin(store, false, error))
        return false;
    bool ok = attempt < 0 ? connection_number(&store->main, id, out, error, "i", run_id)
                          : connection_number(&store->main, id, out, error, "ii", run_id, attempt);
    return store_commit(store, ok, error);
}

bool store_newest_checkpoint(store_handle *store, int64_t run_id, int64_t *step, assay_error *error)
{
    return read_one(store, SQL_NEWEST_CHECKPOINT, step, error, run_id, -1);
}

bool store_same_build(store_handle *store, const store_lease *lease, bool *same, assay_error *error)
{
    int64_t others = 0;
    bool ok = read_one(store, SQL_OTHER_WAYS, &others, error, lease->run_id, lease->attempt);
    *same = ok && others == 0;
    return ok;
}

/* The number behind a NULL. */
static double nonfinite_of(const char *kind)
{
    if (kind != NULL && strcmp(kind, "+inf") == 0)
        return INFINITY;
    return kind != NULL && strcmp(kind, "-inf") == 0 ? -INFINITY : NAN;
}

bool store_last_score(store_handle *store, int64_t run_id, const store_score_name *name,
                      double *value, bool *found, assay_error *error)
{
    store_connection *db = &store->main;
    *found = false;
    if (!store_begin(store, false, error))
        return false;
    sqlite3_stmt *row = connection_bind(db, SQL_LAST_SCORE, error, "itttt", run_id, name->suite,
                                        name->benchmark, name->metric, name->split);
    bool ok = connection_step(db, row, found, error);
    if (ok && *found) {
        *value = sqlite3_column_type(row, 0) != SQLITE_NULL
                     ? sqlite3_column_double(row, 0)
                     : nonfinite_of((const char *)sqlite3_column_text(row, 1));
        sqlite3_reset(row);
    }
    return store_commit(store, ok, error);
}
