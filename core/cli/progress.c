/* progress.c - lines about runs at work (progress.h). */
#include "cli/progress.h"
#include "cli/output.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_S 0.1 /* between two pictures on a terminal */
#define LINE_S   10. /* between two plain lines of one run */

typedef struct watched { /* a run of the plan */
    bool active;
    double began, told; /* seconds: when it started, when a plain line was last printed */
    train_progress now;
    char doing[64];
} watched;

struct progress_view {
    pthread_mutex_t lock;
    const plan *plan;
    FILE *out;
    bool quiet, terminal;
    int drawn; /* lines of the picture that stand on the terminal */
    double drawn_at;
    int ended, failed;
    watched *runs; /* (plan->run_count) */
};

static double seconds_now(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- texts ---- */

/* "3/24 mask=ggsm seed 2" */
static const char *name_of(const progress_view *progress, int run)
{
    const plan_run *r = &progress->plan->runs[run];
    const char *stage = strcmp(r->stage, "main") == 0 ? "" : assay_text("%.60s: ", r->stage);
    return assay_text("%d/%d %s%.140s%sseed %lld", run + 1, progress->plan->run_count, stage,
                      strcmp(r->label, "-") == 0 ? "" : r->label,
                      strcmp(r->label, "-") == 0 ? "" : " ", (long long)r->recipe.seed);
}

/* "120/400, loss 2.134, 8.1 k tokens/s, 45 s left" */
static const char *state_of(const watched *run)
{
    const train_progress *now = &run->now;
    char text[200];
    size_t used = 0;
    bool training = run->doing[0] == '\0' || strcmp(run->doing, "training") == 0;
    if (!training)
        used = (size_t)snprintf(text, sizeof text, "%s, ", run->doing);
    used += (size_t)snprintf(text + used, sizeof text - used, "step %lld/%lld",
                             (long long)now->step, (long long)now->total);
    if (now->step > 0 && isfinite(now->loss))
        used += (size_t)snprintf(text + used, sizeof text - used, ", loss %.4g", now->loss);
    if (training && now->tokens_per_s > 0)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %s tokens/s",
                                 output_quantity(now->tokens_per_s));
    if (training && now->seconds_left > 0 && isfinite(now->seconds_left))
        snprintf(text + used, sizeof text - used, ", %s left", output_duration(now->seconds_left));
    return assay_text("%s", text);
}

/* ---- the picture on a terminal ---- */

static void wipe(progress_view *progress)
{
    if (progress->drawn > 0)
        fprintf(progress->out, "\033[%dA\r\033[J", progress->drawn);
    progress->drawn = 0;
}

/* At most `columns` characters of `text`, cut between two of them. */
static void draw_line(progress_view *progress, const char *text, int columns)
{
    size_t end = 0;
    for (int shown = 0; text[end] != '\0' && shown < columns; shown++)
        do
            end++;
        while ((text[end] & 0xC0) == 0x80);
    fprintf(progress->out, "%.*s\n", (int)end, text);
    progress->drawn++;
}

static void draw(progress_view *progress)
{
    struct winsize size = {0};
    int active = 0, columns = 80, rows = 24;
    if (!progress->terminal || progress->quiet)
        return;
    if (ioctl(fileno(progress->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20 &&
        size.ws_row > 5) {
        columns = size.ws_col;
        rows = size.ws_row;
    }
    wipe(progress);
    for (int i = 0; i < progress->plan->run_count; i++) {
        if (!progress->runs[i].active || ++active > rows - 3)
            continue;
        draw_line(progress,
                  assay_text("%s: %s", name_of(progress, i), state_of(&progress->runs[i])),
                  columns - 1);
    }
    draw_line(progress,
              assay_text("%d of %d runs ended, %d failed", progress->ended,
                         progress->plan->run_count, progress->failed),
              columns - 1);
    fflush(progress->out);
    progress->drawn_at = seconds_now();
}

/* ---- lines that stay ---- */

static void say(progress_view *progress, int run, const char *what)
{
    if (progress->quiet)
        return;
    wipe(progress);
    fprintf(progress->out, "%s: %s\n", name_of(progress, run), what);
    fflush(progress->out);
}

static void say_failure(progress_view *progress, int run, const char *status, const char *message)
{
    wipe(progress);
    fflush(progress->out);
    fprintf(stderr, "assay: run %s %s%s%s\n", name_of(progress, run), status,
            message != NULL && message[0] != '\0' ? ": " : "", message != NULL ? message : "");
}

static void started(progress_view *progress, const run_event *event, double now)
{
    watched *run = &progress->runs[event->run];
    *run = (watched){.active = true, .began = now, .told = now, .now = event->progress};
    if (!progress->terminal)
        say(progress, event->run,
            event->progress.step > 0
                ? assay_text("goes on from step %lld", (long long)event->progress.step)
                : "started");
}

static void moved(progress_view *progress, const run_event *event, double now)
{
    watched *run = &progress->runs[event->run];
    run->active = true;
    run->now = event->progress;
    run->now.doing = NULL;
    snprintf(run->doing, sizeof run->doing, "%s",
             event->progress.doing != NULL ? event->progress.doing : "");
    if (!progress->terminal && now - run->told >= LINE_S) {
        say(progress, event->run, state_of(run));
        run->told = now;
    }
}

static void ended(progress_view *progress, const run_event *event, double now)
{
    watched *run = &progress->runs[event->run];
    const char *status = event->status != NULL ? event->status : "ended";
    bool failed = strcmp(status, "failed") == 0;
    progress->ended++;
    progress->failed += failed;
    run->active = false;
    if (failed || strcmp(status, "lost") == 0)
        say_failure(progress, event->run, status, event->message);
    else
        say(progress, event->run,
            assay_text("%s after %s%s%s", status, output_duration(now - run->began),
                       event->message != NULL && event->message[0] != '\0' ? ": " : "",
                       event->message != NULL ? event->message : ""));
}

void progress_event(void *user, const run_event *event)
{
    progress_view *progress = user;
    double now = seconds_now();
    if (event->run < 0 || event->run >= progress->plan->run_count)
        return;
    pthread_mutex_lock(&progress->lock);
    switch (event->kind) {
    case RUN_STARTED:
        started(progress, event, now);
        break;
    case RUN_PROGRESS:
        moved(progress, event, now);
        break;
    case RUN_ENDED:
        ended(progress, event, now);
        break;
    case RUN_SKIPPED:
        progress->ended++;
        break;
    case RUN_HELD:
        say(progress, event->run,
            assay_text("another process works on it%s%s", event->message != NULL ? ": " : "",
                       event->message != NULL ? event->message : ""));
        break;
    case RUN_BLOCKED:
        say_failure(progress, event->run, "cannot start", event->message);
        break;
    }
    if (event->kind != RUN_PROGRESS || now - progress->drawn_at >= REDRAW_S)
        draw(progress);
    pthread_mutex_unlock(&progress->lock);
}

/* A warning stands above the picture. */
static void show_log(assay_log_level level, const char *line, void *user)
{
    progress_view *progress = user;
    pthread_mutex_lock(&progress->lock);
    wipe(progress);
    fflush(progress->out);
    fprintf(stderr, "assay: %s: %s\n", assay_log_level_name(level), line);
    draw(progress);
    pthread_mutex_unlock(&progress->lock);
}

progress_view *progress_new(const plan *of, FILE *out, bool quiet, assay_error *error)
{
    progress_view *progress = assay_zalloc(sizeof *progress, error);
    if (progress == NULL)
        return NULL;
    progress->runs = assay_zalloc((of->run_count + 1) * (int64_t)sizeof *progress->runs, error);
    if (progress->runs == NULL) {
        assay_free(progress);
        return NULL;
    }
    pthread_mutex_init(&progress->lock, NULL);
    progress->plan = of;
    progress->out = out;
    progress->quiet = quiet;
    progress->terminal = isatty(fileno(out)) == 1;
    assay_log_to(show_log, progress, quiet ? ASSAY_LOG_ERROR : ASSAY_LOG_WARNING);
    return progress;
}

void progress_free(progress_view *progress)
{
    if (progress == NULL)
        return;
    output_listen(progress->quiet);
    wipe(progress);
    fflush(progress->out);
    pthread_mutex_destroy(&progress->lock);
    assay_free(progress->runs);
    assay_free(progress);
}
