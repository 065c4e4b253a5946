/* jobs.c - runs side by side: copies of this program that are started, fed and listened to.
 *
 * A job is started when there is a run for it, and gets one run at a time. One that dies takes its
 * run with it, which is told, and another takes its place. */
#include "lab/run/session.h"
#include "lab/run/wire.h"

#include <assay/device.h>
#include <assay/log.h>
#include <assay/memory.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOB_FD = 3, LOOK_MS = 200, GRACE_MS = 10000 };

typedef struct job_process {
    pid_t pid; /* 0: none */
    wire wire;
    int run;      /* -1: free */
    bool started; /* its run is claimed: an event has come */
    bool told;    /* to stop */
} job_process;

typedef struct job_list {
    run_session *session;
    int count, threads;
    job_process *list;
} job_list;

/* ---- starting ---- */

/* The command line of a job; texts are borrowed, `numbers` holds those of its own. */
static const char **make_line(const job_list *jobs, int job, char numbers[4][24],
                              assay_error *error)
{
    const run_options *options = jobs->session->options;
    int n = 0;
    const char **line = assay_alloc((options->argument_count + 11) * (int64_t)sizeof *line, error);
    if (line == NULL)
        return NULL;
    snprintf(numbers[0], 24, "%d", jobs->threads);
    snprintf(numbers[1], 24, "%lld", (long long)getpid());
    snprintf(numbers[2], 24, "%d", JOB_FD);
    const char *device = options->device == NULL ? "cpu" : options->device;
    snprintf(numbers[3], 24, "%s", device);
    if (options->device_count > 1)
        snprintf(numbers[3], 24, "%.8s:%d", device, job % options->device_count);
    line[n++] = options->program;
    for (int i = 0; i < options->argument_count; i++)
        line[n++] = options->arguments[i];
    static const char *const words[] = {"--threads", "--job-of", "--event-fd", "--device"};
    for (int i = 0; i < 4; i++) {
        line[n++] = words[i];
        line[n++] = numbers[i];
    }
    line[n] = NULL;
    return line;
}

/* The environment with OMP_NUM_THREADS=threads; the texts are borrowed, the list is the
 * caller's. */
static char **make_environment(char *threads, assay_error *error)
{
    int n = 0, used = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    char **list = assay_alloc((n + 2) * (int64_t)sizeof *list, error);
    for (int i = 0; list != NULL && i < n; i++)
        if (strncmp(environ[i], "OMP_NUM_THREADS=", 16) != 0)
            list[used++] = environ[i];
    if (list != NULL) {
        list[used++] = threads;
        list[used] = NULL;
    }
    return list;
}

/* A group of its own keeps the terminal's signals away: the first process passes them on once. */
static int spawn(pid_t *pid, const char *program, const char **line, char **environment, int end)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawnattr_init(&how);
    if (result != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    result = posix_spawn_file_actions_adddup2(&actions, end, JOB_FD);
    if (result == 0)
        result = posix_spawn(pid, program, &actions, &how, (char *const *)line, environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

static bool start_job(job_list *jobs, job_process *job, assay_error *error)
{
    char numbers[4][24], threads[48];
    int ends[2] = {-1, -1}, result = 0;
    const char *program = jobs->session->options->program;
    snprintf(threads, sizeof threads, "OMP_NUM_THREADS=%d", jobs->threads);
    const char **line = make_line(jobs, (int)(job - jobs->list), numbers, error);
    char **environment = make_environment(threads, error);
    bool ok = line != NULL && environment != NULL;
    if (ok && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        ok =
            ASSAY_FAIL(error, ASSAY_IO, .what = "no connection for a job", .got = assay_text("%m"));
    if (ok)
        result = spawn(&job->pid, program, line, environment, ends[1]);
    if (result != 0)
        ok = ASSAY_FAIL(error, ASSAY_IO, .where = program, .what = "a job cannot be started",
                        .got = strerror(result));
    if (ends[1] >= 0)
        close(ends[1]);
    if (!ok && ends[0] >= 0)
        close(ends[0]);
    job->pid = ok ? job->pid : 0;
    job->wire = (wire){.fd = ok ? ends[0] : -1};
    job->told = false;
    assay_free(line);
    assay_free(environment);
    return ok;
}

/* ---- listening ---- */

/* How a process ended, in words; "" for one that ended well. */
static const char *describe_end(int status)
{
    if (WIFSIGNALED(status))
        return assay_text("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return assay_text("ended with status %d", WEXITSTATUS(status));
    return "ended early";
}

/* The job is gone, whatever the reason; its run, if it has one, with it. */
static void bury(job_list *jobs, job_process *job)
{
    run_session *session = jobs->session;
    int status = 0;
    pid_t pid = job->pid;
    close(job->wire.fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    job->pid = 0;
    int run = job->run;
    job->run = -1;
    if (run < 0)
        return;
    assay_error late = {0};
    char message[400];
    bool ours = job->told && !job->started; /* asked to stop before it could begin */
    snprintf(message, sizeof message, "its job, process %lld, %s", (long long)pid,
             describe_end(status));
    if (!store_reap(session->store, &late))
        assay_log(ASSAY_LOG_WARNING, "the store cannot be told of a job's end: %s", late.what);
    if (!ours)
        session_tell(session, &(run_event){.kind = RUN_ENDED,
                                           .run = run,
                                           .run_id = session->run_ids[run],
                                           .status = job->started ? "lost" : "failed",
                                           .message = message});
    session_end(session, run, ours ? STATE_OPEN : STATE_FAILED, message);
}

/* False for a line that no job of ours writes. */
static bool hear(job_list *jobs, job_process *job, char *line)
{
    char *fields[WIRE_FIELDS];
    int n = wire_split(line, fields);
    int64_t number = -1, state = -1;
    run_event event;
    if (strcmp(fields[0], "event") == 0) {
        if (!wire_read_event(n, fields, jobs->session->plan->run_count, &event) ||
            event.run != job->run)
            return false;
        job->started = true;
        session_tell(jobs->session, &event);
        return true;
    }
    if (strcmp(fields[0], "log") == 0) {
        if (n != 3 || !wire_integer(fields[1], ASSAY_LOG_DEBUG, ASSAY_LOG_ERROR, &number))
            return false;
        assay_log((assay_log_level)number, "%s", fields[2]);
        return true;
    }
    if (strcmp(fields[0], "result") != 0 || n != 4 ||
        !wire_integer(fields[1], job->run, job->run, &number) || job->run < 0 ||
        !wire_integer(fields[2], STATE_SKIPPED, STATE_LOST, &state))
        return false;
    job->run = -1;
    session_end(jobs->session, (int)number, (run_state)state, fields[3]);
    return true;
}

static void listen_to(job_list *jobs, job_process *job)
{
    char *line;
    bool ok = wire_fill(&job->wire);
    while (ok && (line = wire_line(&job->wire)) != NULL)
        ok = hear(jobs, job, line);
    if (!ok) {
        kill(job->pid, SIGKILL); /* it is gone, or it is not what it should be */
        bury(jobs, job);
    }
}

/* Waits a while for any of the jobs to say something. */
static bool listen_to_all(job_list *jobs, assay_error *error)
{
    struct pollfd *ready = assay_alloc(jobs->count * (int64_t)sizeof *ready, error);
    if (ready == NULL)
        return false;
    for (int i = 0; i < jobs->count; i++)
        ready[i] = (struct pollfd){.fd = jobs->list[i].pid > 0 ? jobs->list[i].wire.fd : -1,
                                   .events = POLLIN};
    if (poll(ready, (nfds_t)jobs->count, LOOK_MS) > 0)
        for (int i = 0; i < jobs->count; i++)
            if (ready[i].revents != 0)
                listen_to(jobs, &jobs->list[i]);
    assay_free(ready);
    return true;
}

/* ---- the life of all jobs ---- */

static job_process *find_free(job_list *jobs)
{
    job_process *empty = NULL;
    for (int i = 0; i < jobs->count; i++) {
        job_process *job = &jobs->list[i];
        if (job->pid > 0 && job->run < 0)
            return job;
        if (job->pid == 0 && empty == NULL)
            empty = job;
    }
    return empty;
}

/* Hands runs to free jobs as long as there are both. */
static bool hand_out(job_list *jobs, schedule_step *step, assay_error *error)
{
    run_session *session = jobs->session;
    job_process *job;
    *step = SCHEDULE_WAIT;
    while ((job = find_free(jobs)) != NULL) {
        int run = -1;
        *step = session_next(session, &run);
        if (*step != SCHEDULE_RUN)
            break;
        if (job->pid == 0 && !start_job(jobs, job, error)) {
            session_end(session, run, STATE_OPEN, NULL);
            return false;
        }
        job->run = run;
        job->started = false;
        if (!wire_write(job->wire.fd, "run\t%d\t%s", run, session->plan->runs[run].run_hash))
            bury(jobs, job);
    }
    return true;
}

/* SIGTERM asks for a checkpoint and an end. */
static void pass_on_stop(job_list *jobs)
{
    const volatile sig_atomic_t *stop = jobs->session->options->stop;
    if (stop == NULL || !*stop)
        return;
    for (int i = 0; i < jobs->count; i++) {
        job_process *job = &jobs->list[i];
        if (job->pid > 0 && !job->told)
            kill(job->pid, SIGTERM);
        job->told = job->pid > 0;
    }
}

/* The jobs see their line closed and end; one that does not is ended. */
static void dismiss(job_list *jobs)
{
    for (int i = 0; i < jobs->count; i++)
        if (jobs->list[i].pid > 0)
            shutdown(jobs->list[i].wire.fd, SHUT_WR);
    for (int waited = 0; waited < GRACE_MS; waited += 10) {
        int alive = 0;
        for (int i = 0; i < jobs->count; i++) {
            job_process *job = &jobs->list[i];
            if (job->pid > 0 && waitpid(job->pid, NULL, WNOHANG) == job->pid) {
                close(job->wire.fd);
                job->pid = 0;
            }
            alive += job->pid > 0;
        }
        if (alive == 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    for (int i = 0; i < jobs->count; i++)
        if (jobs->list[i].pid > 0) {
            kill(jobs->list[i].pid, SIGKILL);
            bury(jobs, &jobs->list[i]);
        }
}

bool session_run_jobs(run_session *session, int count, assay_error *error)
{
    int wanted = session->options->threads;
    int cores = assay_threads();
    job_list jobs = {.session = session,
                     .count = count,
                     .threads = wanted > 0      ? wanted
                                : cores > count ? cores / count
                                                : 1};
    schedule_step step = SCHEDULE_WAIT;
    jobs.list = assay_zalloc(count * (int64_t)sizeof *jobs.list, error);
    bool ok = jobs.list != NULL;
    for (int i = 0; i < count && ok; i++)
        jobs.list[i].run = -1;
    while (ok) {
        pass_on_stop(&jobs);
        ok = hand_out(&jobs, &step, error);
        if (!ok || step == SCHEDULE_END)
            break;
        ok = listen_to_all(&jobs, error);
    }
    if (jobs.list != NULL)
        dismiss(&jobs);
    assay_free(jobs.list);
    return ok;
}
