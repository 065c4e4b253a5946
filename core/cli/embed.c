/* embed.c - `assay embed RUN|WEIGHTS`: vectors of users and queries. */
#include "lab/embed/embed.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/prepare.h"

#include <assay/device.h>
#include <assay/memory.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

/* Everything that is opened for one call. */
typedef struct session {
    const arguments *args;
    preparation prepared; /* of a script, or registry and pool alone */
    stored_run run;
    train_opened *opened;
    recipe other; /* the run's dataset at another place */
    embed_queries queries;
    bool from_script, published;
} session;

/* ---- what is embedded with ---- */

/* The recipe in the script's plan: the run's own, or for published weights the first of the last
 * stage. */
static const recipe *recipe_of_script(const session *s, assay_error *error)
{
    const plan *of = s->prepared.plan;
    for (int i = 0; i < of->run_count; i++)
        if (s->published ? strcmp(of->runs[i].stage, "main") == 0
                         : strcmp(of->runs[i].run_hash, s->run.run_hash) == 0)
            return &of->runs[i].recipe;
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = args_value(s->args, "script"),
               .what = "the script's plan has no such run",
               .expected = assay_text("run %.12s", s->run.run_hash),
               .hint = "give --set as it was given to assay run");
    return NULL;
}

/* A stage's weights in an option: beside the store, under the stage's hash. */
static bool find_weights(void *user, const setting *value, char *path, int64_t size,
                         assay_error *error)
{
    const session *s = user;
    char folder[PLACE_SIZE];
    if (value->stage < 0) {
        snprintf(path, (size_t)size, "%s", value->resolved ? value->resolved : "");
        return true;
    }
    snprintf(folder, sizeof folder, "%s.files/%.16s", place_of_store(s->args),
             s->prepared.plan->runs[value->stage].run_hash);
    return train_weights_path(folder, path, size, error);
}

static const recipe *find_stage(void *user, const setting *value)
{
    const session *s = user;
    return &s->prepared.plan->runs[value->stage].recipe;
}

static bool open_tools(session *s, assay_error *error)
{
    const char *script = args_value(s->args, "script");
    const preparing how = {.without_inspection = true, .stop = &stop};
    if (script) {
        s->from_script = true;
        return prepare(s->args, script, &how, &s->prepared, error);
    }
    s->prepared.registry = place_open_registry(s->args, error);
    if (s->prepared.registry)
        s->prepared.pool = dataset_pool_new(NULL, error);
    return s->prepared.pool != NULL;
}

static const recipe *read_recipe(session *s, assay_error *error)
{
    const char *operand = args_operand(s->args, 0);
    const char *folder = args_value(s->args, "from");
    int64_t run_id = 0;
    s->published = access(operand, F_OK) == 0;
    if (s->published) {
        snprintf(s->run.weights, sizeof s->run.weights, "%s", operand);
        if (s->from_script)
            return recipe_of_script(s, error);
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = operand,
                   .what = "published weights say neither which model nor which data",
                   .hint = "--script FILE.lua names them");
        return NULL;
    }
    const char *store = place_of_existing_store(s->args, error);
    if (!store || !report_find_run(store, operand, &run_id, error))
        return NULL;
    if (s->from_script)
        return stored_run_find(store, run_id, &s->run, error) ? recipe_of_script(s, error) : NULL;
    return stored_run_read(store, run_id, s->prepared.registry, folder ? folder : ".", &s->run,
                           error)
               ? &s->run.recipe
               : NULL;
}

static bool open_network(session *s, const recipe *of, const assay_device *device,
                         assay_error *error)
{
    const train_sources sources = {.user = s, .weights = find_weights, .stage = find_stage};
    const train_reopening request = {.recipe = of,
                                     .pool = s->prepared.pool,
                                     .device = device,
                                     .weights = s->run.weights,
                                     .published = s->published,
                                     .sources = s->from_script ? &sources : NULL};
    s->opened = train_reopen(&request, error);
    return s->opened != NULL;
}

/* ---- who is embedded, and what is asked ---- */

/* The run's dataset, or with --data another of the same kind. */
static const assay_data *open_data(session *s, const recipe *of, assay_error *error)
{
    const char *path = args_value(s->args, "data");
    if (!path)
        return train_opened_data(s->opened);
    if (!settings_copy(&s->other.dataset, &of->dataset, error))
        return NULL;
    settings *dataset = &s->other.dataset;
    setting *value = settings_get(dataset, "path");
    if (!value) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--data",
                   .what = assay_text("%s has no option 'path'", settings_owner(dataset)));
        return NULL;
    }
    setting_clear(value);
    *value = SETTING_NONE;
    value->given = true;
    value->text = assay_strdup(path, error);
    if (!value->text || !setting_check(&dataset->options[value - dataset->values], value,
                                       settings_owner(dataset), ".", "--data", error))
        return NULL;
    return dataset_pool_get(s->prepared.pool, dataset, error);
}

static bool choose_split(const arguments *args, assay_data_split *out, assay_error *error)
{
    const char *word = args_value(args, "split"), *names[ASSAY_SPLITS];
    *out = ASSAY_TEST;
    for (int i = 0; i < ASSAY_SPLITS; i++) {
        names[i] = assay_split_name((assay_data_split)i);
        if (word && strcmp(word, names[i]) == 0) {
            *out = (assay_data_split)i;
            return true;
        }
    }
    const char *near = word ? assay_nearest(word, ASSAY_SPLITS, names) : NULL;
    return !word || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--split",
                               .what = assay_text("unknown split '%.60s'", word),
                               .expected = "pretrain, train, valid or test",
                               .hint = near ? assay_text("did you mean '%s'?", near) : NULL);
}

/* "SUITE/BENCHMARK": whose users; the first of the data without it. */
static bool choose_benchmark(const arguments *args, const assay_data *data, int *out,
                             assay_error *error)
{
    const char *word = args_value(args, "of");
    int count = 0;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    *out = count > 0 ? 0 : ASSAY_NO_BENCHMARK;
    if (word && strcmp(word, "training") == 0)
        *out = ASSAY_NO_BENCHMARK;
    if (!word || strcmp(word, "training") == 0)
        return true;
    for (int i = 0; i < count; i++)
        if (strcmp(word, assay_text("%s/%s", all[i].suite, all[i].name)) == 0) {
            *out = i;
            return true;
        }
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "--of",
                      .what = assay_text("the data has no benchmark '%.100s'", word),
                      .expected = count > 0 ? assay_text("'training', or a benchmark such as %s/%s",
                                                         all[0].suite, all[0].name)
                                            : "'training'");
}

static bool choose_queries(session *s, const assay_data *data, int benchmark, assay_error *error)
{
    const char *file = args_value(s->args, "queries");
    int count = 0;
    for (int i = 0; i < args_values(s->args, "query"); i++)
        if (!queries_add(&s->queries, args_value_at(s->args, "query", i), error))
            return false;
    if (file && !queries_read(&s->queries, file, error))
        return false;
    if (s->queries.count > 0)
        return true;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    return queries_of_suites(&s->queries, data, benchmark >= 0 ? all[benchmark].suite : NULL,
                             error);
}

/* ---- the command ---- */

static void show_progress(void *user, int64_t done, int64_t all)
{
    (void)user;
    if (isatty(STDERR_FILENO) == 1)
        fprintf(stderr, "\r%lld of %lld users\033[K", (long long)done, (long long)all);
}

static void tell(const session *s, const embed_report *made, const char *path)
{
    if (args_has(s->args, "quiet"))
        return;
    if (isatty(STDERR_FILENO) == 1)
        fputs("\r\033[K", stderr);
    double time = made->seconds > 0 ? made->seconds : 1e-9;
    fprintf(stderr,
            "%s: %lld users, %lld vectors of %lld numbers in %.1f s%s; %.1f users/s, %.1f "
            "vectors/s\n",
            path, (long long)made->users, (long long)made->vectors, (long long)made->width,
            made->seconds, made->cached ? "" : ", without prefix cache", (double)made->users / time,
            (double)made->vectors / time);
}

static bool perform(session *s, const char *path, vectors_format format, int64_t batch,
                    int64_t limit, assay_error *error)
{
    embed_report made = {0};
    assay_data_split split;
    int benchmark;
    const assay_device *device = assay_device_cpu(error);
    if (!device || !choose_split(s->args, &split, error) || !open_tools(s, error))
        return false;
    const recipe *of = read_recipe(s, error);
    if (!of || !open_network(s, of, device, error))
        return false;
    const assay_data *data = open_data(s, of, error);
    if (!data || !choose_benchmark(s->args, data, &benchmark, error) ||
        !choose_queries(s, data, benchmark, error))
        return false;
    const embed_request request = {
        .network = train_opened_network(s->opened),
        .tape = train_opened_tape(s->opened),
        .model_data = train_opened_data(s->opened),
        .data = data,
        .split = split,
        .benchmark = benchmark,
        .limit = limit,
        .queries = &s->queries,
        .batch = batch,
        .normalize = args_has(s->args, "normalize"),
        .without_cache = args_has(s->args, "no-cache"),
        .seed = (uint64_t)of->seed,
        .stop = &stop,
        .progress = args_has(s->args, "quiet") ? NULL : show_progress,
    };
    if (!embed_run(&request, path, format, &made, error))
        return false;
    tell(s, &made, path);
    return true;
}

static void listen_to_signals(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int embed_command_run(const arguments *args, assay_error *error)
{
    const char *path = args_value(args, "output");
    session s = {.args = args};
    vectors_format format;
    int64_t batch = 0, threads = 0, limit = 0;
    if (!args_integer(args, "batch", 1, 65536, 64, &batch, error) ||
        !args_integer(args, "limit", 1, INT64_MAX / 2, 0, &limit, error) ||
        !args_integer(args, "threads", 1, 1024, 0, &threads, error))
        return EXIT_WRONG;
    path = path ? path : "embeddings.safetensors";
    if (!vectors_format_of(path, &format)) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                   .what = "the file's ending says no format",
                   .expected = ".safetensors, .npy or .jsonl");
        return EXIT_WRONG;
    }
    if (threads > 0 && !assay_threads_set((int)threads, error))
        return EXIT_WRONG;
    listen_to_signals();
    s.run.recipe.init = SETTING_NONE;
    bool ok = perform(&s, path, format, batch, limit, error);
    queries_clear(&s.queries);
    train_opened_free(s.opened);
    settings_clear(&s.other.dataset);
    stored_run_clear(&s.run);
    prepared_clear(&s.prepared);
    return ok ? EXIT_DONE : output_status(error);
}

static const cli_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     .argument = "FILE",
     .meaning = "FILE.safetensors, FILE.npy or FILE.jsonl (embeddings.safetensors)"},
    {.name = "query", .argument = "TEXT", .repeatable = true, .meaning = "asked of every user"},
    {.name = "queries", .argument = "FILE", .meaning = "the same, one query a line"},
    {.name = "split",
     .argument = "SPLIT",
     .meaning = "whose users: pretrain, train, valid, test "
                "(test)"},
    {.name = "of",
     .argument = "SUITE/BENCHMARK",
     .meaning =
         "the benchmark whose users and cut-offs are taken (the data's first), or 'training' "
         "for the samples that models are trained on"},
    {.name = "data",
     .argument = "FOLDER",
     .meaning = "other users than the run's: its dataset with this path"},
    {.name = "limit", .argument = "N", .meaning = "the first N users"},
    {.name = "normalize", .meaning = "vectors of length 1"},
    {.name = "batch", .argument = "N", .meaning = "users a pass (64)"},
    {.name = "no-cache", .meaning = "run every query with its whole history"},
    {.name = "script",
     .argument = "FILE.lua",
     .meaning =
         "the script that made the run, where the store does not hold it whole; for published "
         "weights, one that names model and data"},
    SET_FLAG,
    {.name = "from", .argument = "DIR", .meaning = "the folder that the run's paths begin at (.)"},
    {.name = "threads", .argument = "N", .meaning = "to compute with (the cores)"},
    DEVICE_FLAG,
};

const cli_command embed_command = {
    .name = "embed",
    .operands = "RUN|WEIGHTS",
    .least = 1,
    .most = 1,
    .summary = "vectors of users and queries, from a run or from published weights",
    .details =
        "RUN is a number as in 'assay runs', or the beginning of a run's hash; it is opened from "
        "the "
        "store with its mask and adapters. WEIGHTS is a file or folder of safetensors; --script "
        "names "
        "the model.\nWithout --query and --queries the questions of the benchmark's suite are "
        "asked. "
        "Each user's history runs once, and every query on what it leaves (its prefix cache); "
        "under a "
        "mask that lets the history see the question, whole sequences run.\nThe vectors are "
        "(users, "
        "queries, width). A .jsonl file has a line per vector; beside a .safetensors (tensor "
        "'embedding') or .npy file, FILE.rows.jsonl tells the queries and, line by line, the "
        "users.",
    .example = "assay embed 12 -o vectors.npy --normalize\n"
               "assay embed 3f9c --query 'Will the user repay?' --split valid -o answers.jsonl",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = embed_command_run,
};
