/* lab/run/run.h - which runs to do, and doing them: the plan into the store, claims, stages in
 * order, jobs side by side.
 *
 * Running a plan again does what is missing and nothing else. Jobs are processes: copies of this
 * program that the first process starts, hands runs to one at a time, and listens to, so that a
 * crash takes one run with it. */
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
    const char *status;  /* of RUN_ENDED */
    const char *message; /* NULL: nothing to say */
    train_progress progress;
} run_event;

typedef struct run_options {
    const char *store_path;    /* --db, ASSAY_DB, results/assay.db */
    const char *folder;        /* of the script, where git is asked; NULL: the current one */
    int jobs, threads;         /* 0: one job; all cores shared among the jobs */
    const char *device;        /* "cpu" (or NULL), "cuda", "cuda:1" */
    const char *device_plugin; /* the file that has it; unused for the cpu */
    int device_number;         /* which of its devices */
    int device_count;          /* GPUs that jobs are spread over; 1 where the word names one */
    bool redo, fail_fast;
    /* How to start this program again for a job: its file (/proc/self/exe) and command line without
     * --jobs, --redo, --threads, --device. Added to it are `--device WORD --threads N --job-of PID
     * --event-fd FD`; a program
     * that finds these makes the same plan and calls run_worker instead of run_plan. */
    const char *program;
    int argument_count;
    const char *const *arguments;
    volatile sig_atomic_t *stop; /* set: checkpoint, end, start nothing more */
    void (*event)(void *user, const run_event *event); /* on the calling thread of run_plan or, for
                                                          progress, on one of the run's */
    void *user;
} run_options;

typedef struct run_summary {
    int total, done;
    int skipped; /* done before, or by another process meanwhile */
    int failed;
    int blocked; /* not started: an input failed, or --fail-fast */
    int held;    /* by another process */
    int preempted, lost;
    int waiting; /* not started: asked to stop, or an input is with another process */
} run_summary;

/* The exit status of the design: 75 when something remains that can go on later, else 1 when a run
 * failed, else 0. */
int run_status(const run_summary *summary);

/* Writes the plan and does what is missing. False only when nothing could be done at all (*error;
 * with ASSAY_STOPPED: --redo of runs that a process works on); failures of runs are in the summary
 * and the store. */
bool run_plan(const plan *plan, const plugin_registry *registry, dataset_pool *pool,
              const run_options *options, run_summary *out, assay_error *error);

/* The life of a job, in the process that run_plan started: does the runs that it is handed over
 * `event_fd` by the process `parent`, one after the other, until there are none. Of the options,
 * store_path, folder, threads, device and stop are used. The process dies with its parent. False
 * when it cannot do its work at all. */
bool run_worker(const plan *plan, dataset_pool *pool, const run_options *options, int64_t parent,
                int event_fd, assay_error *error);

/* The folder of a run's files: STORE.files/HASH16. */
void run_folder(const char *store_path, const char *run_hash, char *out, int64_t size);

#endif
