/* run/attempt.h - one attempt at one run: claimed, made ready, trained, ended. */
#ifndef LAB_RUN_ATTEMPT_H
#define LAB_RUN_ATTEMPT_H

#include "lab/run/provenance.h"
#include "lab/run/schedule.h"

/* What a process needs for its attempts, one after the other. */
typedef struct run_attempter {
    const plan *plan;
    dataset_pool *pool;
    const run_options *options;
    const int64_t *run_ids; /* of the plan's runs; those that are used are right */
    store_handle *store;
    void (*emit)(void *user, const run_event *event); /* RUN_STARTED, RUN_PROGRESS, RUN_ENDED */
    void *user;
    char *files; /* STORE.files, absolute */
    const assay_device *device;
    run_provenance provenance; /* looked up at the first attempt */
    bool has_provenance;
} run_attempter;

/* Fills files and device, and sets the threads; the other members are the caller's. */
bool attempter_open(run_attempter *attempter, assay_error *error);
void attempter_close(run_attempter *attempter);

/* Works on the run until it has ended in one way or another. `message` (size bytes) gets the holder
 * of a run that is held, and the failure of one that failed; an event has told the latter. */
run_state attempt_run(run_attempter *attempter, int run, char *message, int64_t size);

#endif
