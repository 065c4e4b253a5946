/* schedule.c - the order of runs (schedule.h). */
#include "lab/run/schedule.h"

#include <assay/memory.h>

bool schedule_open(run_schedule *out, const plan *of, assay_error *error)
{
    *out = (run_schedule){.plan = of};
    out->states = assay_zalloc(of->run_count * (int64_t)sizeof *out->states, error);
    return out->states != NULL;
}

void schedule_close(run_schedule *schedule)
{
    assay_free(schedule->states);
    schedule->states = NULL;
}

static bool is_done(run_state state)
{
    return state == STATE_DONE || state == STATE_SKIPPED;
}

/* What an open run is, given its inputs: RUN, BLOCKED or, for it waits, WAIT. */
static schedule_step judge(const run_schedule *schedule, int run, int *input)
{
    const plan_run *of = &schedule->plan->runs[run];
    schedule_step verdict = SCHEDULE_RUN;
    for (int i = 0; i < of->input_count; i++) {
        run_state state = schedule->states[of->inputs[i].run];
        if (state == STATE_FAILED || state == STATE_BLOCKED) {
            *input = of->inputs[i].run;
            return SCHEDULE_BLOCKED;
        }
        if (!is_done(state))
            verdict = SCHEDULE_WAIT;
    }
    return verdict;
}

/* Held runs are open again; false when there are none or when they had their look. */
static bool reopen_held(run_schedule *schedule)
{
    bool any = false;
    if (schedule->looked)
        return false;
    for (int i = 0; i < schedule->plan->run_count; i++)
        if (schedule->states[i] == STATE_HELD) {
            schedule->states[i] = STATE_OPEN;
            schedule->first_open = i < schedule->first_open ? i : schedule->first_open;
            any = true;
        }
    schedule->looked = true;
    return any;
}

static schedule_step find_next(run_schedule *schedule, int *run, int *input)
{
    bool seen_open = false;
    for (int i = schedule->first_open; i < schedule->plan->run_count; i++) {
        if (schedule->states[i] != STATE_OPEN)
            continue;
        if (!seen_open)
            schedule->first_open = i;
        seen_open = true;
        schedule_step step = judge(schedule, i, input);
        if (step == SCHEDULE_WAIT)
            continue;
        schedule_set(schedule, i, step == SCHEDULE_RUN ? STATE_ACTIVE : STATE_BLOCKED);
        *run = i;
        return step;
    }
    return schedule->active > 0 ? SCHEDULE_WAIT : SCHEDULE_END;
}

schedule_step schedule_next(run_schedule *schedule, int *run, int *input)
{
    schedule_step step = find_next(schedule, run, input);
    if (step == SCHEDULE_END && reopen_held(schedule))
        step = find_next(schedule, run, input);
    return step;
}

void schedule_set(run_schedule *schedule, int run, run_state state)
{
    run_state before = schedule->states[run];
    schedule->active += (state == STATE_ACTIVE) - (before == STATE_ACTIVE);
    schedule->states[run] = state;
    schedule->failed |= state == STATE_FAILED;
    if (state != STATE_ACTIVE && state != STATE_HELD)
        schedule->looked = false; /* time has passed, or something has become possible */
}

void schedule_count(const run_schedule *schedule, run_summary *out)
{
    *out = (run_summary){.total = schedule->plan->run_count};
    for (int i = 0; i < out->total; i++)
        switch (schedule->states[i]) {
        case STATE_OPEN:
        case STATE_ACTIVE:
            out->waiting++;
            break;
        case STATE_SKIPPED:
            out->skipped++;
            break;
        case STATE_DONE:
            out->done++;
            break;
        case STATE_FAILED:
            out->failed++;
            break;
        case STATE_BLOCKED:
            out->blocked++;
            break;
        case STATE_HELD:
            out->held++;
            break;
        case STATE_PREEMPTED:
            out->preempted++;
            break;
        case STATE_LOST:
            out->lost++;
            break;
        }
}
