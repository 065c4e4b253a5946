/* record.c - the rows of one record, for the writer and for spill files that are read in. */
#include "lab/store/writer.h"

#include <math.h>

bool record_key(store_connection *db, const char *name, const char *goal, int64_t *key_id,
                assay_error *error)
{
    return connection_do(db, SQL_PUT_SERIES_KEY, error, "tt", name, goal) &&
           connection_number(db, SQL_GET_SERIES_KEY, key_id, error, "t", name);
}

/* SQLite binds a NaN as NULL, which is what any number that is none is stored as. */
static double or_null(double value)
{
    return isfinite(value) ? value : NAN;
}

bool record_put_series(store_connection *db, int64_t run_id, int64_t attempt, int64_t key_id,
                       const store_record *record, assay_error *error)
{
    return connection_do(db, SQL_PUT_SERIES, error, "iiirtii", run_id, key_id, record->step,
                         or_null(record->value), store_nonfinite(record->value), attempt,
                         record->t_ms);
}

bool record_put_score(store_connection *db, int64_t run_id, const score_name *name,
                      const store_record *record, assay_error *error)
{
    sqlite3_stmt *row = connection_bind(
        db, SQL_PUT_SCORE, error, "ittttirtnnn", run_id, name->suite, name->benchmark, name->metric,
        name->split, record->step, or_null(record->value), store_nonfinite(record->value));
    if (row == NULL)
        return false;
    if (isfinite(record->low) && isfinite(record->high)) {
        sqlite3_bind_double(row, 9, record->low);
        sqlite3_bind_double(row, 10, record->high);
    }
    if (record->n >= 0)
        sqlite3_bind_int64(row, 11, record->n);
    return connection_finish(db, row, error);
}
