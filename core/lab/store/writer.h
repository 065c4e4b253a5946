/* writer.h - the writer's records, and the spill file that takes them when the store cannot. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "lab/store/connection.h"

/* The name of a curve, or of a score; numbered by its place in the writer's list. */
typedef struct series_name {
    char *name, *goal; /* goal may be NULL */
} series_name;

typedef struct score_name {
    char *suite, *benchmark, *metric, *split;
} score_name;

typedef enum record_kind { RECORD_SERIES, RECORD_SCORE } record_kind;

typedef struct store_record {
    record_kind kind;
    int name;              /* of its kind */
    int64_t order;         /* in its batch, as the records came */
    int64_t step, t_ms, n; /* t_ms of a curve's point; n of a score, -1: unknown */
    double value, low, high;
} store_record;

/* Everything that a batch is written with; the names are those that its records point at. */
typedef struct store_batch {
    int64_t run_id, attempt, count;
    const store_record *records;
    const series_name *series;
    const score_name *scores;
} store_batch;

/* Writes the rows of one record, whose curve has the number key_id in the store. */
bool record_put_series(store_connection *connection, int64_t run_id, int64_t attempt,
                       int64_t key_id, const store_record *record, assay_error *error);
bool record_put_score(store_connection *connection, int64_t run_id, const score_name *name,
                      const store_record *record, assay_error *error);

/* Finds or makes the curve's row in the store. */
bool record_key(store_connection *connection, const char *name, const char *goal, int64_t *key_id,
                assay_error *error);

/* Appends a batch to STORE.spill.PID, synced. *fd is the open file, -1 before the first time; its
 * lock tells other processes that the file is in use until it is closed. */
bool spill_append(const char *store_path, const char *run_hash, const store_batch *batch, int *fd,
                  assay_error *error);

#endif
