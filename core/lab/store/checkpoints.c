/* checkpoints.c - which checkpoints a run has, and taking one out again. */
#include "lab/store/connection.h"

#include <stdio.h>

static void read_row(sqlite3_stmt *row, store_checkpoint *out)
{
    out->step = sqlite3_column_int64(row, 0);
    snprintf(out->path, sizeof out->path, "%s", (const char *)sqlite3_column_text(row, 1));
    out->bytes = sqlite3_column_int64(row, 2);
    snprintf(out->sha256, sizeof out->sha256, "%s", (const char *)sqlite3_column_text(row, 3));
}

int64_t store_get_checkpoints(store_handle *store, int64_t run_id, int64_t n, store_checkpoint *out,
                              assay_error *error)
{
    int64_t found = 0;
    bool row = true;
    if (!store_begin(store, false, error))
        return -1;
    sqlite3_stmt *rows = connection_bind(&store->main, SQL_GET_CHECKPOINTS, error, "i", run_id);
    bool ok = rows != NULL;
    while (ok && row) {
        ok = connection_step(&store->main, rows, &row, error);
        if (ok && row) {
            if (found < n)
                read_row(rows, &out[found]);
            found++;
        }
    }
    return store_commit(store, ok, error) ? found : -1;
}

bool store_drop_checkpoint(store_handle *store, store_lease *lease, int64_t step,
                           assay_error *error)
{
    bool ok = true;
    if (!store_begin(store, false, error))
        return false;
    ok = lease_holds(&store->main, lease, error) &&
         connection_do(&store->main, SQL_DROP_CHECKPOINT, error, "ii", lease->run_id, step);
    return store_commit(store, ok, error);
}
