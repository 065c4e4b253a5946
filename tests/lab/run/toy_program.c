/* toy_program.c - a small `assay run` for toy plans: what the tests start, stop and kill.
 *
 *     toy_program STORE SHAPE [--jobs N] [--redo] [--fail-fast] [--threads N --job-of PID
 *     --event-fd FD]
 *
 * Prints a line per event (of progress only with TOY_PROGRESS in the environment), then the
 * summary; ends with the run's status. */
#include "plans.h"

#include "lab/run/run.h"
#include "lab/train/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void show(void *user, const run_event *event)
{
    static const char *const words[] = {"started", "", "ended", "skipped", "held", "blocked"};
    (void)user;
    if (event->kind == RUN_PROGRESS) {
        if (getenv("TOY_PROGRESS") != NULL) {
            printf("doing %s\n", event->progress.doing);
            fflush(stdout);
        }
        return;
    }
    printf("%s %d step %lld %s %s\n", words[event->kind], event->run,
           (long long)event->progress.step, event->status ? event->status : "",
           event->message ? event->message : "");
    fflush(stdout);
}

static int fail(const assay_error *error)
{
    char line[2048];
    fprintf(stderr, "toy_program: %s\n", assay_error_format(error, line, sizeof line));
    return 2;
}

typedef struct request {
    run_options options;
    long long parent, fd;
} request;

static request read_request(int argc, char **argv)
{
    request r = {.options = {.store_path = argv[1], .stop = &stop, .event = show}};
    for (int i = 3; i < argc; i++) {
        long long value = i + 1 < argc ? atoll(argv[i + 1]) : 0;
        if (strcmp(argv[i], "--redo") == 0)
            r.options.redo = true;
        else if (strcmp(argv[i], "--fail-fast") == 0)
            r.options.fail_fast = true;
        else if (strcmp(argv[i], "--jobs") == 0)
            r.options.jobs = (int)value;
        else if (strcmp(argv[i], "--threads") == 0)
            r.options.threads = (int)value;
        else if (strcmp(argv[i], "--job-of") == 0)
            r.parent = value;
        else if (strcmp(argv[i], "--event-fd") == 0)
            r.fd = value;
    }
    r.options.program = "/proc/self/exe";
    r.options.argument_count = 2;
    r.options.arguments = (const char *const *)argv + 1;
    return r;
}

int main(int argc, char **argv)
{
    char kind[16];
    plan_shape shape;
    assay_error error = {0};
    run_summary sum = {0};
    int status = 2;
    if (argc < 3 || !plan_shape_read(argv[2], kind, &shape))
        return 2;
    signal(SIGTERM, ask_to_stop);
    request r = read_request(argc, argv);
    dataset_pool *pool = dataset_pool_new("/nowhere", &error);
    plan *of = plan_make(&shape);
    if (pool == NULL)
        return fail(&error);
    if (r.parent > 0)
        status = run_worker(of, pool, &r.options, r.parent, (int)r.fd, &error) ? 0 : fail(&error);
    else if (!run_plan(of, toy_registry(), pool, &r.options, &sum, &error))
        status = error.code == ASSAY_STOPPED ? (fail(&error), 75) : fail(&error);
    else {
        printf("total %d done %d skipped %d failed %d blocked %d held %d preempted %d lost %d "
               "waiting %d\n",
               sum.total, sum.done, sum.skipped, sum.failed, sum.blocked, sum.held, sum.preempted,
               sum.lost, sum.waiting);
        status = run_status(&sum);
    }
    plan_free(of);
    dataset_pool_free(pool);
    return status;
}
