/* run.c - `assay run SCRIPT.lua`: does what the script asks for and the store lacks. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/prepare.h"
#include "cli/progress.h"

#include <assay/device.h>
#include <assay/memory.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- signals ---- */

static volatile sig_atomic_t stop;

/* SIGTERM, SIGUSR1 and the first SIGINT: checkpoint now and end. */
static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

/* A second SIGINT ends at once, as a kill would; what is on the disk is good for going on. */
static void ask_or_end(int signal_number)
{
    (void)signal_number;
    if (stop)
        _exit(128 + SIGINT);
    stop = 1;
}

static void listen_to(int signal_number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

/* A run goes on when nobody reads what it prints. A job is asked by the process that started it,
 * and dies with that. */
static void listen_to_signals(bool is_job)
{
    listen_to(SIGTERM, ask_to_stop);
    listen_to(SIGUSR1, ask_to_stop);
    listen_to(SIGINT, is_job ? ask_to_stop : ask_or_end);
    listen_to(SIGPIPE, SIG_IGN);
}

/* ---- the summary ---- */

static const char *add_count(char *text, size_t size, int count, const char *what)
{
    size_t used = strlen(text);
    if (count > 0 && used < size)
        snprintf(text + used, size - used, ", %d %s", count, what);
    return text;
}

/* What came of it, and what to type next. */
static void print_summary(const arguments *args, const plan *of, const run_summary *sum)
{
    char text[300] = "";
    const char *db = args_value(args, "db");
    const char *with = db == NULL ? "" : assay_text(" --db %s", db);
    add_count(text, sizeof text, sum->done, "done");
    add_count(text, sizeof text, sum->skipped, "done before");
    add_count(text, sizeof text, sum->failed, "failed");
    add_count(text, sizeof text, sum->blocked, "not started after a failure");
    add_count(text, sizeof text, sum->held, "with another process");
    add_count(text, sizeof text, sum->preempted, "stopped, to go on later");
    add_count(text, sizeof text, sum->waiting, "not started");
    add_count(text, sizeof text, sum->lost, "lost to another process");
    add_count(text, sizeof text, sum->waiting, "not started");
    printf("%s: %d %s%s\n", of->name, sum->total, sum->total == 1 ? "run" : "runs", text);
    int status = run_status(sum);
    if (status == EXIT_DONE)
        printf("next: assay compare %s%s\n", of->name, with);
    else if (status == EXIT_FAILED)
        printf("next: assay runs %s%s shows the errors; the same command again tries again\n",
               of->name, with);
    else
        puts("next: the same command again goes on");
    fflush(stdout);
}

/* ---- the command ---- */

/* The command line of a job: this one without what only the first process does. Borrowed texts;
 * *out is the caller's. */
static int job_arguments(const arguments *args, const char ***out, assay_error *error)
{
    static const char *const passed[] = {"db", "plugins", "set"};
    int n = 0, room = 4;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        room += 2 * args_values(args, passed[i]);
    const char **list = assay_alloc(room * (int64_t)sizeof *list, error);
    if (list == NULL)
        return -1;
    list[n++] = "run";
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        for (int k = 0; k < args_values(args, passed[i]); k++) {
            static const char *const dashed[] = {"--db", "--plugins", "--set"};
            list[n++] = dashed[i];
            list[n++] = args_value_at(args, passed[i], k);
        }
    if (args_has(args, "fail-fast"))
        list[n++] = "--fail-fast";
    list[n++] = args_operand(args, 0);
    *out = list;
    return n;
}

static int perform(const arguments *args, const preparation *prepared, run_options *options,
                   assay_error *error)
{
    run_summary summary = {0};
    bool quiet = args_has(args, "quiet");
    progress_view *progress = progress_new(prepared->plan, stdout, quiet, error);
    if (progress == NULL)
        return EXIT_FAILED;
    options->event = progress_event;
    options->user = progress;
    bool ok =
        run_plan(prepared->plan, prepared->registry, prepared->pool, options, &summary, error);
    progress_free(progress);
    /* A place where no file can be made was the user's choice; a file that could not be filled was
     * not. */
    if (!ok && error->code == ASSAY_IO)
        return access(options->store_path, F_OK) == 0 ? EXIT_FAILED : EXIT_WRONG;
    if (!ok)
        return output_status(error);
    if (!quiet)
        print_summary(args, prepared->plan, &summary);
    return run_status(&summary);
}

/* A job that another process of this program started: --job-of and --event-fd say whose. */
static int perform_job(const arguments *args, const preparation *prepared, run_options *options,
                       assay_error *error)
{
    int64_t parent = 0, event_fd = 0;
    if (!args_integer(args, "job-of", 1, INT32_MAX, 0, &parent, error) ||
        !args_integer(args, "event-fd", 3, INT32_MAX, 0, &event_fd, error))
        return EXIT_WRONG;
    bool ok = run_worker(prepared->plan, prepared->pool, options, parent, (int)event_fd, error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

static int run_command_run(const arguments *args, assay_error *error)
{
    preparation prepared;
    char folder[PLACE_SIZE];
    int64_t jobs = 0, threads = 0;
    const char **list = NULL;
    const char *store = place_of_store(args), *script = args_operand(args, 0);
    bool is_job = args_has(args, "job-of") && args_has(args, "event-fd");
    int status = EXIT_WRONG;
    if (!args_integer(args, "jobs", 1, 256, 1, &jobs, error) ||
        !args_integer(args, "threads", 1, 1024, 0, &threads, error))
        return EXIT_WRONG;
    listen_to_signals(is_job);
    preparing how = {.without_inspection = is_job, .stop = &stop};
    if (!place_check_store(store, error) || !prepare(args, script, &how, &prepared, error))
        return output_status(error);
    if (!place_make_store_folder(store, error))
        goto done;
    int n = job_arguments(args, &list, error);
    if (n < 0) {
        status = EXIT_FAILED;
        goto done;
    }
    place_folder_of(script, folder, sizeof folder);
    run_options options = {
        .store_path = store,
        .folder = folder,
        .jobs = (int)jobs,
        .threads = (int)threads,
        .device = prepared.device.word,
        .device_plugin = prepared.device.plugin,
        .device_number = prepared.device.number,
        .device_count = prepared.device.count,
        .redo = args_has(args, "redo"),
        .fail_fast = args_has(args, "fail-fast"),
        .program = "/proc/self/exe",
        .argument_count = n,
        .arguments = list,
        .stop = &stop,
    };
    status = is_job ? perform_job(args, &prepared, &options, error)
                    : perform(args, &prepared, &options, error);
done:
    assay_free(list);
    prepared_clear(&prepared);
    return status;
}

static const cli_flag flags[] = {
    SET_FLAG,
    {.name = "jobs", .argument = "N", .meaning = "so many runs side by side, as processes (1)"},
    {.name = "threads", .argument = "N", .meaning = "of each job (the cores, shared by the jobs)"},
    DEVICE_FLAG,
    {.name = "redo", .meaning = "clear and rerun the script's runs and all that depend on them"},
    {.name = "fail-fast", .meaning = "start no further run once one has failed"},
    {.name = "job-of", .argument = "PID", .hidden = true, .meaning = "the process whose job it is"},
    {.name = "event-fd", .argument = "FD", .hidden = true, .meaning = "where that listens"},
};

const cli_command run_command = {
    .name = "run",
    .operands = "SCRIPT.lua",
    .least = 1,
    .most = 1,
    .summary = "do the runs that a script asks for and the store lacks",
    .details =
        "Everything is checked first: the script, the plugins' options, the data. Then what was "
        "never started, failed, was lost or stopped is done; what is done already is left alone. "
        "SIGTERM, SIGUSR1 and Ctrl-C stop at the next step with a checkpoint (exit status 75), and "
        "the same command goes on from there; a second Ctrl-C ends at once.",
    .example = "assay run experiments/quickstart.lua\n"
               "assay run sweep.lua --set train.steps=100 --jobs 2 --db /tmp/try.db",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = run_command_run,
};
