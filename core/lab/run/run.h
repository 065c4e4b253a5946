/* lab/run/run.h - which runs to do, and doing them: the plan into the store, claims, stages in order,
 * jobs side by side.
 *
 * Running a plan again does what is missing and nothing else. Jobs are processes: `jobs` copies of
 * this program claim runs from the same store, so that a crash takes one run with it. */
#ifndef LAB_RUN_RUN_H
#define LAB_RUN_RUN_H

#include "lab/script/plan.h"
#include "lab/store/store.h"
#include "lab/train/train.h"

typedef enum run_event_kind {
    RUN_STARTED, /* or resumed: step > 0 */
    RUN_PROGRESS,
    RUN_ENDED,   /* done, failed, preempted, lost */
    RUN_SKIPPED, /* done before */
    RUN_HELD,    /* another process works on it: message names it */
    RUN_BLOCKED, /* an input failed: message names it */
} run_event_kind;

typedef struct run_event {
    run_event_kind kind;
    int run; /* index in the plan */
    int64_t run_id;
    const char *status; /* of RUN_ENDED */
    const char *message;
    train_progress progress;
} run_event;

typedef struct run_options {
    const char *store_path; /* --db, ASSAY_DB, results/assay.db */
    const char *cache;
    int jobs, threads; /* 0: one job; all cores shared among the jobs */
    const char *device;
    bool redo, fail_fast;
    const char *program; /* how to start this program again for a job: /proc/self/exe */
    int argument_count;  /* the command line of a job, without --jobs, --redo, --threads */
    const char *const *arguments;
    volatile sig_atomic_t *stop;
    void (*event)(void *user, const run_event *event);
    void *user;
} run_options;

typedef struct run_summary {
    int total, done, skipped, failed, blocked, held, preempted, lost;
} run_summary;

/* The exit status of the design: 0, 1 or 75. */
int run_status(const run_summary *summary);

/* Writes the plan and does what is missing. False only when nothing could be done at all (*error);
 * failures of runs are in the summary and the store. */
bool run_plan(const plan *plan, const plugin_registry *registry, dataset_pool *pool,
              const run_options *options, run_summary *out, assay_error *error);

/* The folder of a run's files: STORE.files/HASH16. */
void run_folder(const char *store_path, const char *run_hash, char *out, int64_t size);

#endif
