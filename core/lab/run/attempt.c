/* attempt.c - one attempt at one run (attempt.h). */
#include "lab/run/attempt.h"
#include "lab/run/scores.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MESSAGE_BYTES = 1200 };

/* ---- the process ---- */

/* The file of --device's device; NULL: the CPU. */
static const char *device_file(const run_options *options)
{
    bool cpu = options->device == NULL || strcmp(options->device, "cpu") == 0;
    return cpu ? NULL : options->device_plugin;
}

static const assay_device *open_device(const run_options *options, assay_error *error)
{
    const char *file = device_file(options);
    return file == NULL ? assay_device_cpu(error)
                        : assay_device_load(file, options->device_number, error);
}

bool attempter_open(run_attempter *attempter, assay_error *error)
{
    char here[PATH_BYTES] = "", path[2 * PATH_BYTES];
    const char *store = attempter->options->store_path;
    attempter->device = open_device(attempter->options, error);
    if (attempter->device == NULL)
        return false;
    if (attempter->options->threads > 0 && !assay_threads_set(attempter->options->threads, error))
        return false;
    if (store[0] != '/' && getcwd(here, sizeof here) == NULL)
        return ASSAY_FAIL(error, ASSAY_IO, .what = "the current folder has no path",
                          .got = assay_text("%m"));
    snprintf(path, sizeof path, "%s%s%s.files", here, here[0] != '\0' ? "/" : "", store);
    attempter->files = assay_strdup(path, error);
    return attempter->files != NULL;
}

void attempter_close(run_attempter *attempter)
{
    assay_free(attempter->files);
    attempter->files = NULL;
    provenance_clear(&attempter->provenance);
}

void run_folder(const char *store_path, const char *run_hash, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s.files/%.16s", store_path, run_hash);
}

/* ---- where the weights of stages lie ---- */

typedef struct attempt {
    run_attempter *by;
    int run;
    store_lease lease;
    recipe recipe;           /* scores in place */
    recipe *stages;          /* one per input, of those that give weights */
    char folder[PATH_BYTES]; /* absolute */
    char relative[17];
} attempt;

static void folder_of(const run_attempter *by, int run, char *out, int64_t size)
{
    snprintf(out, (size_t)size, "%s/%.16s", by->files, by->plan->runs[run].run_hash);
}

static bool find_weights(void *user, const setting *value, char *path, int64_t size,
                         assay_error *error)
{
    const attempt *a = user;
    char folder[PATH_BYTES];
    if (value->stage < 0) {
        snprintf(path, (size_t)size, "%s", value->resolved == NULL ? "" : value->resolved);
        return true;
    }
    folder_of(a->by, value->stage, folder, sizeof folder);
    return train_weights_path(folder, path, size, error);
}

static const recipe *find_stage(void *user, const setting *value)
{
    const attempt *a = user;
    const plan_run *of = &a->by->plan->runs[a->run];
    for (int i = 0; i < of->input_count; i++)
        if (!of->inputs[i].is_score && of->inputs[i].run == value->stage)
            return &a->stages[i];
    return NULL;
}

/* The recipe with scores in place, and those of the stages whose weights it takes. */
static bool resolve(attempt *a, assay_error *error)
{
    const run_attempter *by = a->by;
    const plan_run *of = &by->plan->runs[a->run];
    if (!scores_resolve(by->plan, a->run, by->run_ids, by->store, &a->lease, &a->recipe, error))
        return false;
    a->stages = assay_zalloc(of->input_count * (int64_t)sizeof *a->stages, error);
    bool ok = a->stages != NULL;
    for (int i = 0; i < of->input_count && ok; i++)
        if (!of->inputs[i].is_score)
            ok = scores_resolve(by->plan, of->inputs[i].run, by->run_ids, by->store, NULL,
                                &a->stages[i], error);
    return ok;
}

static void clear(attempt *a)
{
    for (int i = 0; a->stages != NULL && i < a->by->plan->runs[a->run].input_count; i++)
        recipe_clear(&a->stages[i]);
    assay_free(a->stages);
    recipe_clear(&a->recipe);
}

/* ---- getting ready ---- */

static bool make_folder(const char *path, assay_error *error)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST ||
           ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "the folder cannot be made",
                      .got = assay_text("%m"), .hint = "check who may write beside the store");
}

static bool put_sources(attempt *a, assay_error *error)
{
    const run_attempter *by = a->by;
    const run_provenance *from = &by->provenance;
    bool ok = store_put_source(by->store, &a->lease, "environment", "environment",
                               from->environment, error);
    for (int i = 0; i < by->plan->source_count && ok; i++) {
        const plan_source *source = &by->plan->sources[i];
        ok = store_put_source(by->store, &a->lease, source->is_script ? "script" : "module",
                              source->name, source->text, error);
    }
    if (ok && from->diff != NULL)
        ok = store_put_source(by->store, &a->lease, "diff", "git diff HEAD", from->diff, error);
    return ok;
}

static bool get_ready(attempt *a, bool *same_build, assay_error *error)
{
    const run_attempter *by = a->by;
    snprintf(a->relative, sizeof a->relative, "%.16s", by->plan->runs[a->run].run_hash);
    folder_of(by, a->run, a->folder, sizeof a->folder);
    return put_sources(a, error) && make_folder(by->files, error) &&
           make_folder(a->folder, error) &&
           store_same_build(by->store, &a->lease, same_build, error) && resolve(a, error);
}

/* ---- telling ---- */

static void tell(const attempt *a, run_event event)
{
    event.run = a->run;
    event.run_id = a->lease.run_id;
    a->by->emit(a->by->user, &event);
}

static void tell_progress(void *user, const train_progress *progress)
{
    tell(user, (run_event){.kind = RUN_PROGRESS, .progress = *progress});
}

/* Started anew, or resumed from its newest checkpoint. */
static bool tell_start(const attempt *a, assay_error *error)
{
    int64_t step = -1;
    const setting *steps = settings_get(&a->by->plan->runs[a->run].recipe.train, "steps");
    if (!store_newest_checkpoint(a->by->store, a->lease.run_id, &step, error))
        return false;
    tell(a, (run_event){.kind = RUN_STARTED,
                        .progress = {.step = step < 0 ? 0 : step,
                                     .total = steps == NULL ? 0 : (int64_t)steps->number,
                                     .doing = "starting"}});
    return true;
}

/* ---- the attempt ---- */

static train_result train(attempt *a, assay_error *error)
{
    run_attempter *by = a->by;
    bool same_build = false;
    if (!tell_start(a, error) || !get_ready(a, &same_build, error))
        return a->lease.lost ? TRAIN_LOST : TRAIN_FAILED;
    train_job job = {
        .recipe = &a->recipe,
        .run_hash = by->plan->runs[a->run].run_hash,
        .pool = by->pool,
        .device = by->device,
        .store = by->store,
        .lease = &a->lease,
        .folder = a->folder,
        .relative = a->relative,
        .same_build = same_build,
        .sources = {.user = a, .weights = find_weights, .stage = find_stage},
        .stop = by->options->stop,
        .progress = tell_progress,
        .user = a,
    };
    return train_run(&job, error);
}

/* Writes down how it ended, and tells. The state that the run has come to. */
static run_state finish(attempt *a, train_result result, const assay_error *failure, char *message,
                        int64_t size)
{
    static const char *const words[] = {"done", "preempted", "lost", "failed"};
    static const run_state states[] = {STATE_DONE, STATE_PREEMPTED, STATE_LOST, STATE_FAILED};
    store_handle *store = a->by->store;
    assay_error late = {0};
    message[0] = '\0';
    if (result == TRAIN_FAILED && failure->code == ASSAY_STOPPED)
        result = TRAIN_STOPPED;
    if (result == TRAIN_FAILED)
        assay_error_format(failure, message, (size_t)size);
    if (result != TRAIN_LOST && !store_end(store, &a->lease, words[result], words[result],
                                           result == TRAIN_FAILED ? message : NULL, &late)) {
        if (!a->lease.lost && result != TRAIN_FAILED)
            assay_error_format(&late, message, (size_t)size);
        result = a->lease.lost ? TRAIN_LOST : TRAIN_FAILED;
    }
    if (result == TRAIN_LOST)
        snprintf(message, (size_t)size, "another process has the run; nothing more was written");
    tell(a, (run_event){.kind = RUN_ENDED,
                        .status = words[result],
                        .message = message[0] == '\0' ? NULL : message});
    return states[result];
}

/* STORE_REFUSED is a failure of the run, told here. */
static store_claim_result claim(attempt *a, char *holder, int64_t size, assay_error *error)
{
    run_attempter *by = a->by;
    char build[33];
    if (!by->has_provenance) {
        const char *folder = by->options->folder == NULL ? "." : by->options->folder;
        if (!provenance_look(&by->provenance, folder, device_file(by->options),
                             by->options->device_number, error))
            return STORE_REFUSED;
        by->has_provenance = true;
    }
    const run_provenance *from = &by->provenance;
    provenance_build(from, &by->plan->runs[a->run].recipe, build);
    store_worker worker = {.job = from->job,
                           .cpu = from->cpu,
                           .build_sig = build,
                           .git_commit = from->commit[0] == '\0' ? NULL : from->commit,
                           .threads = assay_threads(),
                           .git_dirty = from->dirty};
    return store_claim(by->store, by->run_ids[a->run], &worker, &a->lease, holder, (int)size,
                       error);
}

run_state attempt_run(run_attempter *attempter, int run, char *message, int64_t size)
{
    attempt a = {.by = attempter, .run = run, .lease = {.run_id = attempter->run_ids[run]}};
    assay_error error = {0};
    run_state state = STATE_FAILED;
    message[0] = '\0';
    switch (claim(&a, message, size, &error)) {
    case STORE_HELD:
        return STATE_HELD;
    case STORE_DONE:
        return STATE_SKIPPED;
    case STORE_REFUSED:
        assay_error_format(&error, message, (size_t)size);
        tell(&a, (run_event){.kind = RUN_ENDED, .status = "failed", .message = message});
        return STATE_FAILED;
    case STORE_CLAIMED:
        state = finish(&a, train(&a, &error), &error, message, size);
        clear(&a);
    }
    return state;
}
