/* worker.c - the life of a job: takes runs from its parent, one after the other (run.h). */
#include "lab/run/attempt.h"
#include "lab/run/record.h"
#include "lab/run/wire.h"

#include <assay/log.h>
#include <assay/memory.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef struct listener { /* the first process */
    int fd;
} listener;

static void send_event(void *user, const run_event *event)
{
    const listener *to = user;
    wire_event(to->fd, event);
}

static void send_log(assay_log_level level, const char *line, void *user)
{
    const listener *to = user;
    wire_write(to->fd, "log\t%d\t%s", (int)level, line);
}

/* One line: "run INDEX HASH". A plan that this process reads differently is no plan to work by: the
 * script was changed meanwhile. */
static bool obey(run_attempter *by, char *line, assay_error *error)
{
    char *fields[WIRE_FIELDS], message[1200];
    const listener *to = by->user;
    int64_t run = -1;
    int n = wire_split(line, fields);
    if (n != 3 || strcmp(fields[0], "run") != 0 || !wire_integer(fields[1], 0, INT32_MAX, &run))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "job",
                          .what = "the first process says what no job understands", .got = line);
    if (run >= by->plan->run_count || strcmp(by->plan->runs[run].run_hash, fields[2]) != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "job",
                          .what = "the script has changed since the first process read it",
                          .hint = "run it again");
    run_state state = attempt_run(by, (int)run, message, sizeof message);
    return wire_write(to->fd, "result\t%lld\t%d\t%s", (long long)run, (int)state, message) ||
           ASSAY_FAIL(error, ASSAY_IO, .where = "job", .what = "the first process is gone");
}

/* Until the other side closes. */
static bool serve(run_attempter *by, wire *from, assay_error *error)
{
    char *line;
    while (wire_fill(from))
        while ((line = wire_line(from)) != NULL)
            if (!obey(by, line, error))
                return false;
    return true;
}

static bool prepare(int64_t parent, int fd, assay_error *error)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != (pid_t)parent)
        return ASSAY_FAIL(error, ASSAY_STOPPED, .where = "job",
                          .what = "the process that started this job has ended");
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "job",
                      .what = "there is no connection to the first process",
                      .got = assay_text("%m"));
}

bool run_worker(const plan *of, dataset_pool *pool, const run_options *options, int64_t parent,
                int event_fd, assay_error *error)
{
    listener to = {.fd = event_fd};
    wire from = {.fd = event_fd};
    store_handle *store = NULL;
    run_attempter by = {
        .plan = of, .pool = pool, .options = options, .emit = send_event, .user = &to};
    int64_t *run_ids = NULL;
    bool ok = false;
    if (!prepare(parent, event_fd, error))
        return false;
    assay_log_to(send_log, &to, ASSAY_LOG_WARNING);
    run_ids = assay_zalloc(of->run_count * (int64_t)sizeof *run_ids, error);
    store = store_open(options->store_path, STORE_READ_WRITE, error);
    by.run_ids = run_ids;
    by.store = store;
    ok = run_ids != NULL && store != NULL && attempter_open(&by, error) &&
         record_read(of, options->store_path, run_ids, NULL, error) && serve(&by, &from, error);
    attempter_close(&by);
    store_free(store);
    assay_free(run_ids);
    assay_log_to(NULL, NULL, ASSAY_LOG_ERROR);
    return ok;
}
