/* lab/store/store.h - the store: one SQLite file that holds every run, curve and score.
 *
 * Tables are in schema.sql. Processes of one machine share a file; across machines each writes its
 * own and store_merge joins them. Every write is one BEGIN IMMEDIATE transaction that waits for its
 * turn, so "database is locked" is nobody's business but the store's. A run is worked on under a
 * lease (one attempt); every write of an attempt first checks, inside its transaction, that no
 * newer attempt exists. A process that was taken for dead and wakes writes nothing. */
#ifndef STORE_H
#define STORE_H

#include <assay/error.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct store_handle store_handle;

typedef enum store_mode { STORE_READ_WRITE, STORE_READ_ONLY } store_mode;

/* ---- what the store asks of the operating system ----
 * Tests replace single answers. Each function may be called on any thread. */
typedef struct store_system {
    int64_t (*now_ms)(void);                /* wall clock, ms since 1970 */
    int64_t (*up_ms)(void);                 /* a clock of this boot that is never set */
    void (*boot_id)(char *out, int size);   /* kernel boot and pid namespace, as text */
    int64_t (*pid_start)(int64_t pid);      /* start time in clock ticks; -1: no such process */
    bool (*is_network)(const char *folder); /* whether a network file system holds it */
} store_system;

extern const store_system store_system_linux;

/* One step of the schema's history: `sql` leads from version - 1 to `version`. */
typedef struct store_migration {
    int version;
    const char *sql;
} store_migration;

typedef struct store_options {
    store_mode mode;
    const store_system *system;        /* NULL: store_system_linux */
    const store_migration *migrations; /* NULL: the program's own; else n_migrations, ascending */
    int n_migrations;
    int64_t patience_ms; /* longest wait for another process's transaction; 0: 60 s */
} store_options;

/* Opens `path`, and for writing makes it when it is not there (its folder must be) and brings an
 * older schema up to date, all under one lock. Refused and left as they are: a file that is no
 * database, another program's database, a store newer than this program. On a network file system
 * the store works without WAL and logs a warning. Spill files whose writers have ended are read
 * in. The caller owns the store; it may be shared between threads and must not cross a fork. */
store_handle *store_open(const char *path, store_mode mode, assay_error *error);
store_handle *store_open_with(const char *path, const store_options *options, assay_error *error);
void store_free(store_handle *store); /* accepts NULL; writers must be gone */

/* ---- the plan ---- */
typedef struct store_param {
    const char *key;
    const char *text; /* NULL: the value is `number` */
    double number;
    const char *origin; /* default, script, command line, axis, stage */
} store_param;

typedef struct store_axis {
    const char *name, *value;
    bool is_number;
    double number; /* the value once more, when it is one */
} store_axis;

typedef struct store_input {
    const char *name, *run_hash; /* a run of this plan or of the store */
} store_input;

typedef struct store_plugin {
    const char *kind, *name, *version, *abi, *sha256;
} store_plugin;

typedef struct store_planned_run {
    const char *run_hash, *cell_hash;
    int64_t seed, total_steps;
    const char *device, *dataset, *stage, *label;
    int n_axes, n_params, n_inputs, n_plugins;
    const store_axis *axes;
    const store_param *params;
    const store_input *inputs;
    const store_plugin *plugins;
} store_planned_run;

/* Writes the plan of one experiment in one transaction: rows are found again by name and hash, so
 * the same plan twice changes nothing. Exactly these runs are `current` in the experiment then;
 * those of older plans stay in the store. run_ids (n_runs of them) may be NULL. */
bool store_put_plan(store_handle *store, const char *experiment, int n_runs,
                    const store_planned_run *runs, int64_t *run_ids, assay_error *error);

/* ---- leases ---- */
typedef struct store_lease {
    int64_t run_id, attempt;
    bool lost; /* set by a refused write: a newer attempt has the run; end, and write nothing */
} store_lease;

/* Who works on a run. Borrowed for the call; job and git_commit may be NULL, git_dirty -1. */
typedef struct store_worker {
    const char *job, *cpu, *build_sig, *git_commit;
    int threads, git_dirty;
} store_worker;

typedef enum store_claim_result {
    STORE_REFUSED, /* an error */
    STORE_CLAIMED,
    STORE_HELD, /* another process works on it; `holder` names it */
    STORE_DONE, /* nothing is left to do */
} store_claim_result;

/* Takes the run for this process as its next attempt, unless it is done or held. Runs whose holders
 * are dead become `lost` on the way. A holder is dead when its process is gone (same boot) or when
 * it has not beaten for 120 s: on the same boot by the boot's own clock, on another by the wall
 * clock, where a beat more than 120 s in the future counts as old, for the clock was set back.
 * `holder` (NULL or holder_size bytes) gets "HOST process PID since DATE". */
store_claim_result store_claim(store_handle *store, int64_t run_id, const store_worker *worker,
                               store_lease *lease, char *holder, int holder_size,
                               assay_error *error);

/* The following fail with lease->lost set, and write nothing, once a newer attempt exists. */

bool store_beat(store_handle *store, store_lease *lease, assay_error *error);

/* The attempt goes on from `step`: series, scores and checkpoints beyond it are deleted. `exact` is
 * false when threads, CPU or build differ from the attempt before. */
bool store_resume(store_handle *store, store_lease *lease, int64_t step, bool exact,
                  assay_error *error);

/* Ends the attempt and gives the run `status` (done, failed, preempted, pending). `reason` is the
 * attempt's end_reason, `message` the run's error text or NULL. */
bool store_end(store_handle *store, store_lease *lease, const char *status, const char *reason,
               const char *message, assay_error *error);

/* A text that the attempt ran with; kind is script, module, diff or environment. */
bool store_put_source(store_handle *store, store_lease *lease, const char *kind, const char *name,
                      const char *text, assay_error *error);

/* A file that is complete on the disk; `path` is relative to STORE.files. The row is synced. */
typedef struct store_file {
    const char *path, *sha256;
    int64_t bytes;
} store_file;
bool store_put_checkpoint(store_handle *store, store_lease *lease, int64_t step,
                          const store_file *file, assay_error *error);
bool store_put_artifact(store_handle *store, store_lease *lease, const char *name,
                        const store_file *file, assay_error *error);

/* Runs whose holders are dead become `lost` now, rather than at the next claim. */
bool store_reap(store_handle *store, assay_error *error);

/* Whether the attempts before this one, since the run was last cleared, ran with the same threads,
 * CPU and build: then going on from their checkpoint is exact. */
bool store_same_build(store_handle *store, const store_lease *lease, bool *same,
                      assay_error *error);

/* ---- what runs hand to each other ---- */

/* Step of the run's newest recorded checkpoint; -1: none. */
bool store_newest_checkpoint(store_handle *store, int64_t run_id, int64_t *step,
                             assay_error *error);

/* The score of the largest step. *found is false when there is none; a value that is not finite
 * comes as what it is. */
typedef struct store_score_name {
    const char *suite, *benchmark, *metric, *split;
} store_score_name;
bool store_last_score(store_handle *store, int64_t run_id, const store_score_name *name,
                      double *value, bool *found, assay_error *error);

/* One more row of the run's parameters, or another value for one: what a stage has found. */
bool store_put_param(store_handle *store, store_lease *lease, const store_param *param,
                     assay_error *error);

/* ---- starting over ----
 * Clears these runs and, through inputs, every run that depends on them, in this experiment or
 * another: series, scores, checkpoints and artifacts go, then their files; the runs are pending
 * again; attempts stay, and one more, with end_reason cleared, says who did it. All or nothing:
 * refused with ASSAY_STOPPED, naming the holder, while a living process works on any of them.
 * *cleared (may be NULL) is how many runs there were. */
bool store_redo(store_handle *store, int n, const int64_t *run_ids, int64_t *cleared,
                assay_error *error);

/* A row that store_put_checkpoint made. */
typedef struct store_checkpoint {
    int64_t step, bytes;
    char path[256];
    char sha256[65];
} store_checkpoint;

/* The run's checkpoints, the newest first, into out[n]. Returns how many there are, which may be
 * more than n; -1 on failure. */
int64_t store_get_checkpoints(store_handle *store, int64_t run_id, int64_t n, store_checkpoint *out,
                              assay_error *error);
/* Takes the row of one checkpoint out, under the lease. Its files are the caller's. */
bool store_drop_checkpoint(store_handle *store, store_lease *lease, int64_t step,
                           assay_error *error);

/* ---- the writer: series and scores ----
 * One thread with a connection of its own takes fixed-size records from a bounded ring and commits
 * them by count or by time. It beats for the lease as long as the process runs. When the store
 * cannot be written, its batches go to STORE.spill.PID, whole lines only, and the next open reads
 * them in; that is logged and counted. */
typedef struct store_writer store_writer;

typedef struct store_writer_options { /* 0: the default */
    int64_t capacity;                 /* records in the ring: 65536 */
    int64_t batch_rows;               /* a commit at the latest after so many: 16384 */
    int64_t batch_ms;                 /* and after so many milliseconds: 500 */
    int64_t beat_ms;                  /* between two beats: 10,000 */
} store_writer_options;

typedef struct store_writer_stats {
    int64_t committed; /* records in the store */
    int64_t spilled;   /* records in the spill file */
    int64_t batches;
    int64_t stalls;   /* times a producer found the ring full */
    int64_t stall_us; /* and how long they waited, together */
    bool lost;        /* a newer attempt exists; nothing more is written */
} store_writer_stats;

/* Starts the thread for `lease`, which is copied. The store must outlive the writer. `options` may
 * be NULL. The caller owns the writer. */
store_writer *store_writer_new(store_handle *store, const store_lease *lease,
                               const store_writer_options *options, assay_error *error);

/* The number of a curve for store_series, the same for the same name; -1 on failure. `goal` is min,
 * max, none or NULL. Names are not empty, without control characters, at most
 * 200 bytes; at most 4096 of them. */
int store_series_key(store_writer *writer, const char *name, const char *goal, assay_error *error);

/* Hands over one point of a curve, and waits while the ring is full. A non-finite value is stored
 * as NULL with its kind in `nonfinite`. False once the writer has failed or lost its lease: the
 * reason comes from store_flush. */
bool store_series(store_writer *writer, int key, int64_t step, double value);

typedef struct store_score {
    const char *suite, *benchmark, *metric, *split; /* copied; benchmark may be "" */
    int64_t step;
    double value, low, high; /* low and high: an interval, NaN for none */
    int64_t n;               /* samples behind it; -1: unknown */
} store_score;
bool store_put_score(store_writer *writer, const store_score *score, assay_error *error);

/* Waits until every record handed over is committed or, synced, in the spill file. */
bool store_flush(store_writer *writer, assay_error *error);

store_writer_stats store_writer_stats_get(store_writer *writer);

/* Flushes, ends the thread and frees. False when records could not be kept. Accepts NULL. */
bool store_writer_free(store_writer *writer, assay_error *error);

/* "nan", "+inf", "-inf", or NULL for a finite value. Static storage. */
const char *store_nonfinite(double value);

/* ---- reading ---- */
typedef enum store_cell_type {
    STORE_NULL,
    STORE_INTEGER,
    STORE_REAL,
    STORE_TEXT,
    STORE_BLOB
} store_cell_type;

typedef struct store_cell {
    store_cell_type type;
    int64_t integer;
    double real;
    const char *text; /* text or blob, borrowed for the call; NUL-terminated for text */
    int64_t bytes;
} store_cell;

typedef struct store_query_limits { /* 0: no limit */
    int64_t rows, ms;
} store_query_limits;

/* Called for the header (cells NULL) and then for each row; false ends the query, without error. */
typedef bool (*store_row_sink)(void *user, int columns, const char *const *names,
                               const store_cell *cells);

/* Runs one SELECT on a connection of its own that can only read: writing, ATTACH, PRAGMA and
 * extensions are refused before anything runs. More rows than the limit, and more time, are errors
 * after the rows that were in time. */
bool store_query(const char *path, const char *sql, store_query_limits limits, store_row_sink sink,
                 void *user, assay_error *error);

/* ---- merging ---- */
typedef struct store_merge_report {
    int64_t runs;    /* in the source */
    int64_t taken;   /* came whole from the source */
    int64_t kept;    /* the destination's was as good or better */
    int64_t running; /* left alone: a process works on the destination's */
} store_merge_report;

/* Joins the store at `source` into `store`, matching by names and hashes. A run's rows and its
 * folder of files come whole from one side: done first, then the larger last step, then the newer
 * end; never mixed. Twice is once. All or nothing. `report` may be NULL. */
bool store_merge(store_handle *store, const char *source, store_merge_report *report,
                 assay_error *error);

#endif
