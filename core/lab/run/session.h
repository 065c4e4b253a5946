/* run/session.h - one command's work on a plan: its schedule, and what is told of it. */
#ifndef LAB_RUN_SESSION_H
#define LAB_RUN_SESSION_H

#include "lab/run/schedule.h"

typedef struct run_session {
    const plan *plan;
    dataset_pool *pool;
    const run_options *options;
    store_handle *store;
    int64_t *run_ids;
    run_schedule schedule;
    char **holders; /* of held runs: who has them */
} run_session;

/* Hands an event to the caller. */
void session_tell(run_session *session, const run_event *event);

/* The next run to start, which is active then; -1 when there is none now or (schedule_step END) at
 * all. Runs that never can are told as blocked on the way. */
schedule_step session_next(run_session *session, int *run);

/* An active run has come to `state`; `message` names the holder of a held one. */
void session_end(run_session *session, int run, run_state state, const char *message);

/* Does what is left with so many jobs (jobs.c). False when no job can be started at all. */
bool session_run_jobs(run_session *session, int jobs, assay_error *error);

#endif
