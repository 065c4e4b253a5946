/* run.c - a plan's runs: recorded, cleared on demand, done by this process or its jobs (run.h). */
#include "lab/run/attempt.h"
#include "lab/run/record.h"
#include "lab/run/session.h"

#include <assay/memory.h>

#include <stdio.h>
#include <string.h>

int run_status(const run_summary *summary)
{
    if (summary->preempted + summary->held + summary->lost + summary->waiting > 0)
        return 75;
    return summary->failed + summary->blocked > 0 ? 1 : 0;
}

/* ---- the session ---- */

void session_tell(run_session *session, const run_event *event)
{
    if (session->options->event != NULL)
        session->options->event(session->options->user, event);
}

static void tell(run_session *session, run_event_kind kind, int run, const char *message)
{
    session_tell(session, &(run_event){.kind = kind,
                                       .run = run,
                                       .run_id = session->run_ids[run],
                                       .message = message});
}

static bool may_start(const run_session *session)
{
    if (session->options->stop != NULL && *session->options->stop)
        return false;
    return !(session->options->fail_fast && session->schedule.failed);
}

static void tell_blocked(run_session *session, int run, int input)
{
    const plan_run *by = &session->plan->runs[input];
    tell(session, RUN_BLOCKED, run,
         assay_text("its input, run %lld (%s %s), %s", (long long)session->run_ids[input],
                    by->stage, by->label,
                    session->schedule.states[input] == STATE_FAILED ? "failed" : "is blocked"));
}

schedule_step session_next(run_session *session, int *run)
{
    int input = -1;
    *run = -1;
    if (!may_start(session))
        return session->schedule.active > 0 ? SCHEDULE_WAIT : SCHEDULE_END;
    schedule_step step;
    while ((step = schedule_next(&session->schedule, run, &input)) == SCHEDULE_BLOCKED)
        tell_blocked(session, *run, input);
    return step;
}

void session_end(run_session *session, int run, run_state state, const char *message)
{
    schedule_set(&session->schedule, run, state);
    if (state == STATE_SKIPPED)
        tell(session, RUN_SKIPPED, run, NULL);
    if (state == STATE_HELD) {
        assay_free(session->holders[run]);
        session->holders[run] = assay_strdup(message, NULL);
    }
}

/* ---- before and after ---- */

/* Before the store is touched. */
static bool check_device(const run_options *options, assay_error *error)
{
    const char *device = options->device, *file = options->device_plugin;
    return device == NULL || strcmp(device, "cpu") == 0 || (file != NULL && file[0] != '\0') ||
           ASSAY_FAIL(error, ASSAY_UNSUPPORTED,
                      .what = assay_text("this build has no device '%s'", device),
                      .expected = "cpu");
}

static bool open_session(run_session *session, assay_error *error)
{
    const plan *of = session->plan;
    const char *word = session->options->device == NULL ? "cpu" : session->options->device;
    char device[16]; /* its kind, as in the run's hash: which GPU it was is the attempt's */
    snprintf(device, sizeof device, "%.*s", (int)strcspn(word, ":"), word);
    session->store = store_open(session->options->store_path, STORE_READ_WRITE, error);
    session->run_ids = assay_zalloc(of->run_count * (int64_t)sizeof *session->run_ids, error);
    session->holders = assay_zalloc(of->run_count * (int64_t)sizeof *session->holders, error);
    if (session->store == NULL || session->run_ids == NULL || session->holders == NULL ||
        !schedule_open(&session->schedule, of, error))
        return false;
    if (!record_plan(of, device, session->store, session->run_ids, error))
        return false;
    return !session->options->redo ||
           store_redo(session->store, of->run_count, session->run_ids, NULL, error);
}

static void close_session(run_session *session)
{
    for (int i = 0; session->holders != NULL && i < session->plan->run_count; i++)
        assay_free(session->holders[i]);
    assay_free(session->holders);
    assay_free(session->run_ids);
    schedule_close(&session->schedule);
    store_free(session->store);
}

/* What was done before needs no claim. */
static bool skip_done(run_session *session, assay_error *error)
{
    int n = session->plan->run_count;
    bool *done = assay_zalloc(n * (int64_t)sizeof *done, error);
    if (done == NULL)
        return false;
    bool ok =
        record_read(session->plan, session->options->store_path, session->run_ids, done, error);
    for (int i = 0; i < n && ok; i++)
        if (done[i])
            session_end(session, i, STATE_SKIPPED, NULL);
    assay_free(done);
    return ok;
}

static void sum_up(run_session *session, run_summary *out)
{
    bool stopped = session->options->stop != NULL && *session->options->stop;
    for (int i = 0; i < session->plan->run_count; i++)
        if (session->schedule.states[i] == STATE_HELD)
            tell(session, RUN_HELD, i, session->holders[i]);
    schedule_count(&session->schedule, out);
    if (session->options->fail_fast && session->schedule.failed && !stopped) {
        out->blocked += out->waiting;
        out->waiting = 0;
    }
}

/* ---- in this process ---- */

static void emit(void *user, const run_event *event)
{
    session_tell(user, event);
}

static bool run_here(run_session *session, assay_error *error)
{
    run_attempter by = {.plan = session->plan,
                        .pool = session->pool,
                        .options = session->options,
                        .run_ids = session->run_ids,
                        .store = session->store,
                        .emit = emit,
                        .user = session};
    char message[1200];
    int run = -1;
    bool ok = attempter_open(&by, error);
    while (ok && session_next(session, &run) == SCHEDULE_RUN)
        session_end(session, run, attempt_run(&by, run, message, sizeof message), message);
    attempter_close(&by);
    return ok;
}

bool run_plan(const plan *of, const plugin_registry *registry, dataset_pool *pool,
              const run_options *options, run_summary *out, assay_error *error)
{
    run_session session = {.plan = of, .pool = pool, .options = options};
    (void)registry; /* the recipes have their plugins */
    *out = (run_summary){0};
    bool ok = check_device(options, error) && open_session(&session, error) &&
              skip_done(&session, error) &&
              (options->jobs > 1 ? session_run_jobs(&session, options->jobs, error)
                                 : run_here(&session, error));
    if (ok)
        sum_up(&session, out);
    close_session(&session);
    return ok;
}
