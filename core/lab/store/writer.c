/* writer.c - one thread that takes records from a bounded ring and commits them in batches. */
#include "lab/store/writer.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY   65536
#define BATCH_ROWS 16384
#define BATCH_MS   500
#define BEAT_MS    10000
#define NAME_BYTES 200
#define NAMES      4096 /* of curves, and of scores; a fixed list, so that the thread may read it */

struct store_writer {
    store_handle *store;
    store_lease lease;
    store_writer_options options;
    store_connection connection; /* the thread's own */
    char run_hash[80];
    int spill; /* the open spill file, -1 before it is needed */
    pthread_t thread;
    int64_t beat_up_ms; /* when the thread beat last */
    int64_t *key_ids;   /* the curves' numbers in the store; -1: not yet asked for */

    pthread_mutex_t guard; /* of all that follows */
    pthread_cond_t news, room, quiet;
    store_record *ring, *taken; /* taken: the batch that the thread is writing */
    int64_t first, count;       /* the ring's content */
    int64_t entered, settled;   /* records handed over; committed, spilled or given up */
    int hurry;                  /* so many wait for quiet */
    bool ending;
    series_name *series;
    score_name *scores;
    int n_series, n_scores;
    store_writer_stats stats;
    assay_error failure; /* why nothing more is written */
};

/* ---- the thread ---- */

/* Curves by name, each by step, and then the scores. Records that are equal to it keep their order:
 * of two values of one step the later one stands in the store. */
static int by_place(const void *a, const void *b)
{
    const store_record *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind == RECORD_SERIES ? -1 : 1;
    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* Rows go in by the table's own order: many rows to one page, instead of a page for every row. */
static bool put_batch(store_writer *writer, const store_batch *batch, assay_error *error)
{
    bool ok = true;
    qsort(writer->taken, (size_t)batch->count, sizeof *writer->taken, by_place);
    for (int64_t i = 0; i < batch->count && ok; i++) {
        const store_record *record = &batch->records[i];
        if (record->kind == RECORD_SCORE) {
            ok = record_put_score(&writer->connection, batch->run_id, &batch->scores[record->name],
                                  record, error);
            continue;
        }
        const series_name *name = &batch->series[record->name];
        int64_t *key_id = &writer->key_ids[record->name];
        if (*key_id < 0)
            ok = record_key(&writer->connection, name->name, name->goal, key_id, error);
        ok = ok && record_put_series(&writer->connection, batch->run_id, batch->attempt, *key_id,
                                     record, error);
    }
    return ok;
}

static bool beat(store_writer *writer, assay_error *error)
{
    const store_system *system = writer->store->system;
    writer->beat_up_ms = system->up_ms();
    return connection_do(&writer->connection, SQL_BEAT, error, "iiii", writer->lease.run_id,
                         writer->lease.attempt, system->now_ms(), writer->beat_up_ms);
}

/* One transaction: the lease, the beat, the rows. Curves that it made are unknown again when it is
 * rolled back. */
static bool commit_batch(store_writer *writer, const store_batch *batch, assay_error *error)
{
    store_connection *db = &writer->connection;
    if (!connection_do(db, SQL_BEGIN, error, ""))
        return false;
    bool ok = lease_holds(db, &writer->lease, error) && beat(writer, error) &&
              put_batch(writer, batch, error) && connection_do(db, SQL_COMMIT, error, "");
    if (ok)
        return true;
    if (!sqlite3_get_autocommit(db->db))
        connection_do(db, SQL_ROLLBACK, NULL, "");
    for (int i = 0; i < NAMES; i++)
        writer->key_ids[i] = -1;
    return false;
}

/* Commits, or spills what cannot be committed. Called without the guard; `stats` and `failure` are
 * the thread's until it takes the guard again. */
static void settle(store_writer *writer, const store_batch *batch, store_writer_stats *stats,
                   assay_error *failure)
{
    assay_error refused = {0};
    char line[768];
    if (commit_batch(writer, batch, &refused)) {
        stats->committed += batch->count;
        stats->batches += batch->count > 0;
    } else if (writer->lease.lost) {
        stats->lost = true;
        *failure = refused;
    } else if (batch->count > 0 && spill_append(writer->store->path, writer->run_hash, batch,
                                                &writer->spill, failure)) {
        if (stats->spilled == 0)
            assay_log(ASSAY_LOG_WARNING, "rows go to a spill file beside the store: %s",
                      assay_error_format(&refused, line, sizeof line));
        stats->spilled += batch->count;
    }
}

static bool beat_due(const store_writer *writer)
{
    return writer->store->system->up_ms() - writer->beat_up_ms >= writer->options.beat_ms;
}

/* Waits for a batch's worth of records, or of time. Holds the guard on return. */
static void await_news(store_writer *writer)
{
    struct timespec until;
    int64_t wait = writer->options.batch_ms;
    if (wait > writer->options.beat_ms)
        wait = writer->options.beat_ms;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + wait % 1000 * 1000000;
    until.tv_sec += wait / 1000 + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    int result = 0;
    while (result != ETIMEDOUT && writer->count < writer->options.batch_rows && !writer->ending &&
           (writer->hurry == 0 || writer->count == 0))
        result = pthread_cond_timedwait(&writer->news, &writer->guard, &until);
}

/* Moves the oldest records out of the ring. */
static int64_t take(store_writer *writer)
{
    int64_t n = writer->count, capacity = writer->options.capacity;
    if (n > writer->options.batch_rows)
        n = writer->options.batch_rows;
    for (int64_t i = 0; i < n; i++) {
        writer->taken[i] = writer->ring[(writer->first + i) % capacity];
        writer->taken[i].order = i;
    }
    writer->first = (writer->first + n) % capacity;
    writer->count -= n;
    pthread_cond_broadcast(&writer->room);
    return n;
}

static void *write_all(void *user)
{
    store_writer *writer = user;
    pthread_mutex_lock(&writer->guard);
    while (!writer->ending || writer->count > 0) {
        await_news(writer);
        store_batch batch = {.run_id = writer->lease.run_id,
                             .attempt = writer->lease.attempt,
                             .count = take(writer),
                             .records = writer->taken,
                             .series = writer->series,
                             .scores = writer->scores};
        store_writer_stats stats = writer->stats;
        assay_error failure = writer->failure;
        bool due = batch.count > 0 || beat_due(writer);
        pthread_mutex_unlock(&writer->guard);
        if (failure.code == ASSAY_OK && due)
            settle(writer, &batch, &stats, &failure);
        pthread_mutex_lock(&writer->guard);
        stats.stalls = writer->stats.stalls;
        stats.stall_us = writer->stats.stall_us;
        writer->stats = stats;
        writer->failure = failure;
        writer->settled += batch.count;
        pthread_cond_broadcast(&writer->quiet);
    }
    pthread_mutex_unlock(&writer->guard);
    return NULL;
}

/* ---- producers ---- */

static void stall(store_writer *writer)
{
    struct timespec from, to;
    writer->stats.stalls++;
    clock_gettime(CLOCK_MONOTONIC, &from);
    while (writer->count == writer->options.capacity)
        pthread_cond_wait(&writer->room, &writer->guard);
    clock_gettime(CLOCK_MONOTONIC, &to);
    writer->stats.stall_us +=
        (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static bool hand_over(store_writer *writer, const store_record *record)
{
    pthread_mutex_lock(&writer->guard);
    if (writer->count == writer->options.capacity)
        stall(writer);
    bool ok = writer->failure.code == ASSAY_OK;
    if (ok) {
        writer->ring[(writer->first + writer->count) % writer->options.capacity] = *record;
        writer->count++;
        writer->entered++;
        if (writer->count == writer->options.batch_rows)
            pthread_cond_signal(&writer->news);
    }
    pthread_mutex_unlock(&writer->guard);
    return ok;
}

static bool check_name(const char *name, bool may_be_empty, assay_error *error)
{
    bool ok = strlen(name) <= NAME_BYTES && (may_be_empty || name[0] != '\0');
    for (const char *c = name; *c != '\0'; c++)
        ok = ok && (unsigned char)*c >= 0x20;
    return ok || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "bad name of a curve or score",
                            .expected = "1 to 200 bytes without control characters", .got = name);
}

static bool check_goal(const char *goal, assay_error *error)
{
    return goal == NULL || strcmp(goal, "min") == 0 || strcmp(goal, "max") == 0 ||
           strcmp(goal, "none") == 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "bad goal of a curve",
                      .expected = "min, max or none", .got = goal);
}

static bool list_is_full(int n, assay_error *error)
{
    return n == NAMES && !ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "too many names",
                                     .expected = assay_text("at most %d", NAMES));
}

int store_series_key(store_writer *writer, const char *name, const char *goal, assay_error *error)
{
    if (!check_name(name, false, error) || !check_goal(goal, error))
        return -1;
    pthread_mutex_lock(&writer->guard);
    int key = 0;
    while (key < writer->n_series && strcmp(writer->series[key].name, name) != 0)
        key++;
    if (key == writer->n_series) {
        series_name made = {0};
        bool ok = !list_is_full(key, error) && (made.name = assay_strdup(name, error)) != NULL &&
                  (goal == NULL || (made.goal = assay_strdup(goal, error)) != NULL);
        if (ok)
            writer->series[writer->n_series++] = made;
        else
            assay_free(made.name);
        key = ok ? key : -1;
    }
    pthread_mutex_unlock(&writer->guard);
    return key;
}

bool store_series(store_writer *writer, int key, int64_t step, double value)
{
    return hand_over(writer, &(store_record){.kind = RECORD_SERIES,
                                             .name = key,
                                             .step = step,
                                             .t_ms = writer->store->system->now_ms(),
                                             .value = value});
}

static void free_score_name(score_name *name)
{
    assay_free(name->suite);
    assay_free(name->benchmark);
    assay_free(name->metric);
    assay_free(name->split);
}

static bool same_score(const score_name *name, const store_score *score)
{
    return strcmp(name->suite, score->suite) == 0 && strcmp(name->metric, score->metric) == 0 &&
           strcmp(name->benchmark, score->benchmark) == 0 && strcmp(name->split, score->split) == 0;
}

/* The number of a score's names; -1 on failure. */
static int score_key(store_writer *writer, const store_score *score, assay_error *error)
{
    pthread_mutex_lock(&writer->guard);
    int key = 0;
    while (key < writer->n_scores && !same_score(&writer->scores[key], score))
        key++;
    if (key == writer->n_scores) {
        score_name made = {0};
        bool ok = !list_is_full(key, error) &&
                  (made.suite = assay_strdup(score->suite, error)) != NULL &&
                  (made.benchmark = assay_strdup(score->benchmark, error)) != NULL &&
                  (made.metric = assay_strdup(score->metric, error)) != NULL &&
                  (made.split = assay_strdup(score->split, error)) != NULL;
        if (ok)
            writer->scores[writer->n_scores++] = made;
        else
            free_score_name(&made);
        key = ok ? key : -1;
    }
    pthread_mutex_unlock(&writer->guard);
    return key;
}

bool store_put_score(store_writer *writer, const store_score *score, assay_error *error)
{
    if (!check_name(score->suite, false, error) || !check_name(score->benchmark, true, error) ||
        !check_name(score->metric, false, error) || !check_name(score->split, false, error))
        return false;
    int key = score_key(writer, score, error);
    if (key < 0)
        return false;
    if (hand_over(writer, &(store_record){.kind = RECORD_SCORE,
                                          .name = key,
                                          .step = score->step,
                                          .n = score->n,
                                          .value = score->value,
                                          .low = score->low,
                                          .high = score->high}))
        return true;
    return store_flush(writer, error);
}

bool store_flush(store_writer *writer, assay_error *error)
{
    pthread_mutex_lock(&writer->guard);
    int64_t until = writer->entered;
    writer->hurry++;
    pthread_cond_signal(&writer->news);
    while (writer->settled < until)
        pthread_cond_wait(&writer->quiet, &writer->guard);
    writer->hurry--;
    bool ok = writer->failure.code == ASSAY_OK;
    if (!ok && error != NULL && error->code == ASSAY_OK)
        *error = writer->failure;
    pthread_mutex_unlock(&writer->guard);
    return ok;
}

store_writer_stats store_writer_stats_get(store_writer *writer)
{
    pthread_mutex_lock(&writer->guard);
    store_writer_stats stats = writer->stats;
    pthread_mutex_unlock(&writer->guard);
    return stats;
}

/* ---- its life ---- */

static int64_t given(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void free_parts(store_writer *writer)
{
    for (int i = 0; i < writer->n_series; i++) {
        assay_free(writer->series[i].name);
        assay_free(writer->series[i].goal);
    }
    for (int i = 0; i < writer->n_scores; i++)
        free_score_name(&writer->scores[i]);
    if (writer->spill >= 0)
        close(writer->spill);
    connection_close(&writer->connection);
    assay_free(writer->series);
    assay_free(writer->scores);
    assay_free(writer->key_ids);
    assay_free(writer->ring);
    assay_free(writer->taken);
    assay_free(writer);
}

static bool make_parts(store_writer *writer, assay_error *error)
{
    const store_writer_options *options = &writer->options;
    int64_t ring = 0, taken = 0;
    int64_t record_bytes = (int64_t)sizeof(store_record);
    if (!assay_size_mul(&ring, options->capacity, record_bytes) ||
        !assay_size_mul(&taken, options->batch_rows, record_bytes))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the ring is too large");
    writer->ring = assay_alloc(ring, error);
    writer->taken = assay_alloc(taken, error);
    writer->series = assay_zalloc(NAMES * (int64_t)sizeof *writer->series, error);
    writer->scores = assay_zalloc(NAMES * (int64_t)sizeof *writer->scores, error);
    writer->key_ids = assay_alloc(NAMES * (int64_t)sizeof *writer->key_ids, error);
    if (writer->ring == NULL || writer->taken == NULL || writer->series == NULL ||
        writer->scores == NULL || writer->key_ids == NULL)
        return false;
    for (int i = 0; i < NAMES; i++)
        writer->key_ids[i] = -1;
    return true;
}

/* The run's hash, by which a spill file names it. */
static bool read_hash(store_writer *writer, assay_error *error)
{
    bool row = false;
    sqlite3_stmt *statement =
        connection_bind(&writer->connection, SQL_GET_RUN_HASH, error, "i", writer->lease.run_id);
    if (!connection_step(&writer->connection, statement, &row, error))
        return false;
    if (!row)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = writer->store->path,
                          .what = "the lease's run is not in the store");
    snprintf(writer->run_hash, sizeof writer->run_hash, "%s",
             (const char *)sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    return true;
}

static bool start_thread(store_writer *writer, assay_error *error)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&writer->guard, NULL);
    pthread_cond_init(&writer->news, &monotonic);
    pthread_cond_init(&writer->room, NULL);
    pthread_cond_init(&writer->quiet, NULL);
    pthread_condattr_destroy(&monotonic);
    return pthread_create(&writer->thread, NULL, write_all, writer) == 0 ||
           ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no thread for the store's writer");
}

store_writer *store_writer_new(store_handle *store, const store_lease *lease,
                               const store_writer_options *options, assay_error *error)
{
    store_writer_options asked = {0};
    if (options != NULL)
        asked = *options;
    store_writer *writer = assay_zalloc((int64_t)sizeof *writer, error);
    if (writer == NULL)
        return NULL;
    writer->store = store;
    writer->lease = *lease;
    writer->spill = -1;
    writer->beat_up_ms = store->system->up_ms();
    writer->options.batch_rows = given(asked.batch_rows, BATCH_ROWS);
    writer->options.capacity = given(asked.capacity, CAPACITY);
    writer->options.batch_ms = given(asked.batch_ms, BATCH_MS);
    writer->options.beat_ms = given(asked.beat_ms, BEAT_MS);
    if (writer->options.batch_rows > writer->options.capacity)
        writer->options.batch_rows = writer->options.capacity;
    if (make_parts(writer, error) &&
        connection_open(&writer->connection, store->path, STORE_READ_WRITE, false,
                        store->patience_ms, error) &&
        read_hash(writer, error) && start_thread(writer, error))
        return writer;
    free_parts(writer);
    return NULL;
}

bool store_writer_free(store_writer *writer, assay_error *error)
{
    if (writer == NULL)
        return true;
    bool ok = store_flush(writer, error);
    pthread_mutex_lock(&writer->guard);
    writer->ending = true;
    pthread_cond_signal(&writer->news);
    pthread_mutex_unlock(&writer->guard);
    pthread_join(writer->thread, NULL);
    pthread_cond_destroy(&writer->quiet);
    pthread_cond_destroy(&writer->room);
    pthread_cond_destroy(&writer->news);
    pthread_mutex_destroy(&writer->guard);
    free_parts(writer);
    return ok;
}
