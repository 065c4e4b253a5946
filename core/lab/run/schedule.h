/* run/schedule.h - which run may start next: inputs first, what others hold later, nothing twice.
 *
 * The schedule knows the plan's graph and how runs ended in this process, and neither store nor
 * process. */
#ifndef LAB_RUN_SCHEDULE_H
#define LAB_RUN_SCHEDULE_H

#include "lab/run/run.h"

typedef enum run_state {
    STATE_OPEN, /* not tried, or waiting for inputs */
    STATE_ACTIVE,
    STATE_SKIPPED, /* done before, or by another process meanwhile */
    STATE_DONE,
    STATE_FAILED,
    STATE_BLOCKED,
    STATE_HELD, /* by another process; it gets another look when there is nothing else to do */
    STATE_PREEMPTED,
    STATE_LOST,
} run_state;

typedef struct run_schedule {
    const plan *plan;
    run_state *states;
    int active;
    int first_open; /* no open run before this one */
    bool looked;    /* held runs got their look, and nothing has changed since */
    bool failed;    /* some run has failed */
} run_schedule;

bool schedule_open(run_schedule *out, const plan *plan, assay_error *error);
void schedule_close(run_schedule *schedule); /* accepts a zeroed value */

typedef enum schedule_step {
    SCHEDULE_RUN,     /* *run may start; it is active now */
    SCHEDULE_BLOCKED, /* *run never can: its input *input failed or is blocked */
    SCHEDULE_WAIT,    /* only when an active run has ended */
    SCHEDULE_END,     /* nothing is left that this process can do */
} schedule_step;
schedule_step schedule_next(run_schedule *schedule, int *run, int *input);

/* An active run, or before the first step any, has come to `state`. */
void schedule_set(run_schedule *schedule, int run, run_state state);

void schedule_count(const run_schedule *schedule, run_summary *out);

#endif
