/* loop.c - one run: from its newest checkpoint, step by step, to its scores. */
#include "lab/train/checkpoint.h"
#include "lab/train/datasets.h"
#include "lab/train/evaluate.h"
#include "lab/train/network.h"
#include "lab/train/walk.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct training {
    const train_job *job;
    train_options *options;
    train_host host;
    recorder recorder;
    networks networks;
    assembly *assembly;
    stepper *stepper;
    store_writer *writer;
    loader *loader;
    assay_wanted wanted;
    checkpoint_setup checkpoint;
    loop_state state;
    int64_t saved; /* step of the newest checkpoint; -1: none */
    train_progress progress;
    double step_seconds, reported;
    double begun; /* when the step that is read next began, or the one before it was read */
} training;

/* ---- progress ---- */

/* Tells whoever listens, at most ten times a second unless something else begins. */
static void report(training *t, const char *doing)
{
    double now = train_seconds();
    double apart = t->job->progress_ms == 0 ? 0.1 : 1e-3 * (double)t->job->progress_ms;
    bool other = t->progress.doing != doing;
    t->progress.step = t->state.step;
    t->progress.total = t->options->steps;
    t->progress.seconds_left = t->step_seconds * (double)(t->options->steps - t->state.step);
    t->progress.doing = doing;
    if (!t->job->progress || (!other && now - t->reported < apart))
        return;
    t->reported = now;
    t->job->progress(t->job->user, &t->progress);
}

static void report_evaluator(void *user, const char *name)
{
    training *t = user;
    t->progress.doing = NULL;
    report(t, assay_text("evaluating %s", name));
    t->progress.doing = NULL;
}

/* ---- checkpoints ---- */

static bool save(training *t, assay_error *error)
{
    if (t->saved == t->state.step)
        return true;
    report(t, "saving");
    if (!checkpoint_save(&t->checkpoint, &t->state, error))
        return false;
    t->saved = t->state.step;
    return true;
}

/* Asked to end: keeps what was done, and says so. */
static bool stop_here(training *t, assay_error *error)
{
    recorder_drop(&t->recorder);
    return save(t, error) &&
           ASSAY_FAIL(error, ASSAY_STOPPED, .where = assay_text("step %" PRId64, t->state.step),
                      .what = "asked to end");
}

/* ---- evaluation between steps ---- */

/* Valid loss, and what it says about going on. A loss that is no number is no improvement. */
static bool watch_valid(training *t, assay_error *error)
{
    double loss = 0;
    loop_state *s = &t->state;
    assembly *a = t->assembly;
    if (data_count(a->data, ASSAY_VALID, ASSAY_NO_BENCHMARK) == 0)
        return true;
    if (!stepper_valid(t->stepper, s->step, t->job->stop, &loss, error))
        return false;
    recorder_add(&t->recorder, "valid/loss", "min", loss);
    for (int i = 0; i < a->loss_count && a->loss_count > 1; i++)
        recorder_add(&t->recorder, a->losses[i].valid, "min", t->stepper->values[i]);
    if (isfinite(loss) && (!s->has_best || loss < s->best)) {
        s->has_best = true;
        s->best = loss;
        s->best_step = s->step;
        s->waited = 0;
    } else {
        s->waited++;
    }
    if (t->options->early_stop > 0) {
        s->stopped = s->waited >= t->options->early_stop;
        recorder_add(&t->recorder, "early_stop", NULL, (double)s->waited);
    }
    return true;
}

static bool run_evaluators(training *t, bool final, assay_error *error)
{
    const evaluation_setup setup = {
        .assembly = t->assembly,
        .options = t->options,
        .job = t->job,
        .host = &t->host.host,
        .writer = t->writer,
        .step = t->state.step,
        .final = final,
        .doing = report_evaluator,
        .user = t,
    };
    t->recorder.muted = true;
    bool ok = evaluate_all(&setup, error);
    t->recorder.muted = false;
    return ok;
}

/* What is due at this step: the valid loss, and the evaluators unless the end is here, where they
 * run for good. The state is changed only when all of it is done. */
static bool evaluate(training *t, assay_error *error)
{
    const loop_state before = t->state;
    double begun = train_seconds();
    report(t, "evaluating");
    t->recorder.muted = true;
    bool ok = watch_valid(t, error);
    t->recorder.muted = false;
    if (ok && t->state.step < t->options->steps && !t->state.stopped)
        ok = run_evaluators(t, false, error);
    if (!ok) {
        t->state = before;
        return false;
    }
    t->state.evaluated = t->state.step;
    recorder_add(&t->recorder, "time/evaluate_ms", NULL, 1e3 * (train_seconds() - begun));
    return recorder_end_step(&t->recorder, t->state.step, error);
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step > 0 && step % every == 0;
}

/* ---- steps ---- */

/* The failure of a step, with the checkpoint to go back to. */
static bool fail_step(training *t, const assay_error *own, assay_error *error)
{
    char hint[192];
    if (own->code != ASSAY_NOT_FINITE)
        return ASSAY_FAIL(error, own->code, .where = own->where, .what = own->what,
                          .expected = own->expected, .got = own->got, .hint = own->hint);
    recorder_end_step(&t->recorder, t->state.step + 1, NULL);
    if (t->saved >= 0)
        snprintf(hint, sizeof hint, "the last good checkpoint is %s/step_%08" PRId64 "; %.90s",
                 t->job->relative, t->saved, own->hint);
    else
        snprintf(hint, sizeof hint, "there is no checkpoint before it; %.120s", own->hint);
    return ASSAY_FAIL(error, own->code, .where = own->where, .what = own->what,
                      .expected = own->expected, .got = own->got, .hint = hint);
}

static void record_costs(training *t, const step_report *report, double seconds)
{
    recorder_add(&t->recorder, "time/step_ms", NULL, 1e3 * seconds);
    recorder_add(&t->recorder, "time/wait_ms", NULL, 1e3 * report->waited);
    recorder_add(&t->recorder, "time/tokens_per_s", NULL, (double)report->tokens / seconds);
    recorder_add(&t->recorder, "memory/step_mb", NULL, (double)report->bytes / 1048576.0);
    t->step_seconds = t->step_seconds > 0 ? 0.9 * t->step_seconds + 0.1 * seconds : seconds;
    t->progress.loss = report->loss;
    t->progress.tokens_per_s = (double)report->tokens / seconds;
}

/* Waits for the oldest step that was asked for. */
static bool read_step(training *t, assay_error *error)
{
    step_report result;
    assay_error own = {0};
    recorder_turn(&t->recorder, t->state.step);
    if (!stepper_read(t->stepper, &t->recorder, &result, &own))
        return fail_step(t, &own, error);
    double now = train_seconds();
    record_costs(t, &result, now - t->begun);
    t->begun = now;
    t->state.step++;
    report(t, "training");
    return recorder_end_step(&t->recorder, t->state.step, error);
}

/* Waits until no step is under way. */
static bool read_steps(training *t, assay_error *error)
{
    while (stepper_unread(t->stepper) > 0)
        if (!read_step(t, error))
            return false;
    return true;
}

/* Asks for the next step. Where a device computes it, only then the one before is waited for, so
 * that the device has work while the host records and prepares. A step that cannot be asked for
 * fails after the one before it, which may have failed as well. */
static bool take_step(training *t, assay_error *error)
{
    assay_error own = {0};
    int64_t before = stepper_unread(t->stepper);
    if (before == 0)
        t->begun = train_seconds();
    recorder_turn(&t->recorder, t->state.step + before);
    if (!stepper_ask(t->stepper, t->state.step + before, t->loader, &t->recorder, &own)) {
        if (!read_steps(t, error))
            return false;
        recorder_turn(&t->recorder, t->state.step);
        return fail_step(t, &own, error);
    }
    if (before == 0 && assay_device_is_apart(t->job->device))
        return true;
    return read_step(t, error);
}

static bool start_loader(training *t, assay_error *error)
{
    const train_options *o = t->options;
    t->wanted = (assay_wanted){t->assembly->wanted.count, t->assembly->wanted.names};
    loader_plan plan = {
        .assembly = t->assembly,
        .split = data_training_split(t->assembly->data, o),
        .benchmark = ASSAY_NO_BENCHMARK,
        .wanted = &t->wanted,
        .phase = ASSAY_TRAINING,
        .first = t->state.step * o->batch,
        .end = o->steps * o->batch,
        .size = o->batch / o->accumulate,
        .pieces = o->pieces,
        .seed = (uint64_t)t->assembly->recipe->seed,
        .shuffle = o->shuffle,
        .balance = o->balance,
        .part = t->stepper->prefixes ? ASSAY_QUESTION : ASSAY_WHOLE,
        .augment = true,
    };
    t->loader = loader_new(&plan, error);
    return t->loader != NULL;
}

/* Whether something has to be done before step number `step`, or in its place. */
static bool is_halt(const training *t, int64_t step)
{
    const train_options *o = t->options;
    return step >= o->steps || t->state.stopped || train_stopping(t->job->stop) ||
           is_due(step, o->evaluate_every) || is_due(step, o->checkpoint_every);
}

/* A step that is under way when the stop comes is taken to its end: half of it would be lost, for
 * the mask has seen its micro-batches. */
static bool train(training *t, assay_error *error)
{
    const train_options *o = t->options;
    for (;;) {
        int64_t step = t->state.step + stepper_unread(t->stepper);
        bool halt = is_halt(t, step);
        if (halt && !read_steps(t, error))
            return false;
        if (halt && is_due(step, o->evaluate_every) && t->state.evaluated < step) {
            assay_error own = {0};
            if (!evaluate(t, &own)) {
                if (own.code == ASSAY_STOPPED)
                    return stop_here(t, error);
                if (error && error->code == ASSAY_OK)
                    *error = own;
                return false;
            }
        }
        if (t->state.stopped || step >= o->steps)
            return true;
        if (halt && is_due(step, o->checkpoint_every) && !save(t, error))
            return false;
        if (halt && train_stopping(t->job->stop))
            return stop_here(t, error);
        if ((!t->loader && !start_loader(t, error)) || !take_step(t, error))
            return false;
    }
}

/* The final checkpoint comes before the evaluators, whose failure or interruption loses nothing. */
static bool finish(training *t, assay_error *error)
{
    loader_free(t->loader);
    t->loader = NULL;
    if (t->state.stopped)
        assay_log(ASSAY_LOG_INFO,
                  "stopped early at step %" PRId64 ": no better valid loss since step %" PRId64,
                  t->state.step, t->state.best_step);
    return save(t, error) && run_evaluators(t, true, error) && store_flush(t->writer, error);
}

/* ---- opening ---- */

static bool check_device(const training *t, assay_error *error)
{
    return train_options_check(t->options, assay_device_name(t->job->device), "train", error);
}

/* A run without steps that starts from a stage shows that stage as it was: with its clock. */
static bool take_over_clock(const train_job *job, assembly_setup *setup, assay_error *error)
{
    char path[4096];
    const setting *init = &job->recipe->init;
    if (!init->given || init->stage < 0 || !job->sources.stage)
        return true;
    const recipe *stage = job->sources.stage(job->sources.user, init);
    if (!stage || !weights_of_setting(&job->sources, init, path, sizeof path, error))
        return stage == NULL;
    train_options *options = assembly_train_options(stage, error);
    if (!options)
        return false;
    int64_t step = checkpoint_step_at(path);
    setup->total = options->steps;
    setup->total_micro = options->steps * options->accumulate;
    setup->trained = step >= 0 ? step : options->steps;
    assay_free(options);
    return true;
}

static bool open_assembly(training *t, assay_error *error)
{
    const train_job *job = t->job;
    assembly_setup setup = {
        .recipe = job->recipe,
        .device = job->device,
        .host = &t->host.host,
        .sources = &job->sources,
        .total = t->options->steps,
        .total_micro = t->options->steps * t->options->accumulate,
    };
    setup.data = dataset_pool_get(job->pool, &job->recipe->dataset, error);
    if (!setup.data || (t->options->steps == 0 && !take_over_clock(job, &setup, error)))
        return false;
    networks_init(&t->networks, &t->host, &setup, assembly_precision(t->options));
    t->assembly = assembly_open(&setup, error);
    return t->assembly != NULL;
}

/* A run that begins: losses may want to see what they begin with. */
static bool prepare_losses(training *t, assay_error *error)
{
    if (t->saved >= 0 || t->options->steps == 0)
        return true;
    report(t, "preparing");
    return walk_prepare(t->assembly, t->options, t->job->stop, error);
}

/* From the newest good checkpoint, or from the seed: what lies beyond it goes out of the store. */
static bool resume(training *t, assay_error *error)
{
    const train_job *job = t->job;
    bool found = false;
    if (!checkpoint_load(&t->checkpoint, &t->state, &found, error))
        return false;
    t->saved = found ? t->state.step : -1;
    return store_resume(job->store, job->lease, t->state.step, !found || job->same_build, error) &&
           checkpoint_sweep(job, error);
}

static bool open_training(training *t, const train_job *job, assay_error *error)
{
    *t = (training){.job = job, .state = {.evaluated = -1}, .saved = -1};
    t->recorder.muted = true;
    train_host_init(&t->host, dataset_pool_cache(job->pool), job->stop, &t->recorder);
    t->options = assembly_train_options(job->recipe, error);
    if (!t->options || !check_device(t, error))
        return false;
    /* Its thread beats for the lease from here on: opening a large model may take minutes. */
    t->writer = store_writer_new(job->store, job->lease, NULL, error);
    if (!t->writer || !open_assembly(t, error))
        return false;
    t->stepper = stepper_new(t->assembly, t->options, t->options->steps > 0, error);
    if (!t->stepper)
        return false;
    t->checkpoint = (checkpoint_setup){
        .job = job, .assembly = t->assembly, .adamw = t->stepper->adamw, .options = t->options};
    if (!resume(t, error) || !prepare_losses(t, error))
        return false;
    t->recorder.late = assay_late_new(t->assembly->device, error);
    if (!t->recorder.late)
        return false;
    t->checkpoint.writer = t->recorder.writer = t->writer;
    t->recorder.muted = false;
    return true;
}

/* Ends everything; false when records could not be kept. */
static bool close_training(training *t, assay_error *error)
{
    loader_free(t->loader);
    bool kept = store_writer_free(t->writer, error);
    stepper_free(t->stepper);
    assembly_close(t->assembly);
    networks_clear(&t->networks);
    recorder_clear(&t->recorder);
    assay_free(t->options);
    return kept;
}

train_result train_run(const train_job *job, assay_error *error)
{
    training t;
    assay_error own = {0}, late = {0};
    bool ok = open_training(&t, job, &own) && train(&t, &own) && finish(&t, &own);
    bool lost = t.writer && store_writer_stats_get(t.writer).lost;
    if (!close_training(&t, ok ? &own : &late))
        ok = false;
    if (lost || job->lease->lost)
        job->lease->lost = true;
    else if (ok)
        return TRAIN_DONE;
    else if (own.code == ASSAY_STOPPED && late.code == ASSAY_OK)
        return TRAIN_STOPPED;
    if (error && error->code == ASSAY_OK)
        *error = own.code == ASSAY_STOPPED || own.code == ASSAY_OK ? late : own;
    return job->lease->lost ? TRAIN_LOST : TRAIN_FAILED;
}
