/* users.c - the dataset plugin `users`: event histories with questions, answers and labels.
 *
 * Reads users.jsonl (or .jsonl.gz) with dataset.json beside it; parse.c and description.h say what
 * they hold, index.h how they are kept. Two samples stand side by side:
 *
 * - Training samples, one for every pair of every user of a split. The option `pairs` names who
 *   makes pairs, in order: "given" (the file's), "labels" (a task's question with its word for the
 *   user's answer; only of users on whom models are trained: pretrain, or train in a set without
 *   pretrain), "future" (what the user did in the last window of time, asked of the history before
 *   it; only events before the earliest `until` of the user's labels count, so that nothing a label
 *   asks for is trained on). "auto" is given and labels, or, when no user that models are trained
 *   on has a pair or a label, future. With `task`, the training samples of train, valid and test
 *   are the task's instead, with its label and the answer's word, and train is what is trained on:
 *   for tuning a model whose pretrain samples, and so whose words, stay what they were.
 * - Benchmark samples, one for every user of the split with that label.
 *
 * The input of a sample is the events before its `until`, of which each source gives the newest
 * `slots`. Fields, in this order:
 *
 *     S            u8  (events, bytes)  for each source S, texts oldest first
 *     S.time       f32 (events)         time - cut-off, in time units, at most 0; the cut-off is
 *                                       the sample's `until`, or without one the newest event's
 *                                       time
 *     features     f32 (F)              (x - mean) / sd, both of the split that models are trained
 *                                       on; null and constant columns are 0. Absent when F is 0
 *     query        u8  (bytes)          the question
 *     answer       u8  (bytes)          present in training samples only
 *
 * A source that the script leaves out is not given to the model; which training samples there are,
 * and what the answers of "future" say, stays the same, so that sources can be compared.
 *
 * What the data's user may leave to us: a user without events is a user with an empty history
 * (counted), a split without users or without a label is an empty set, a task whose labels are all
 * equal is handed on, and refused by the evaluator that needs two classes. Counts are logged when
 * the index is made. */
#include "users.h"

#include <assay/hash.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const assay_option options[] = {
    ASSAY_PATH(users_options, path, ASSAY_OPTION_REQUIRED,
               "folder with users.jsonl (or .gz) and dataset.json, or the file itself"),
    ASSAY_TEXTS(users_options, sources, "", NULL,
                "sources given to the model, in this order; none named: all of dataset.json"),
    ASSAY_TEXTS(
        users_options, pairs, "auto", "auto|given|labels|future|uqa",
        "who makes the pairs that models are trained on; auto: given and labels, or future in "
        "data without either"),
    ASSAY_CHOICE(users_options, on_error, "stop", "stop|skip",
                 "what a broken line does: an error, or it is left out and counted"),
    ASSAY_NUMBER(users_options, future, "time units", 0, 0, 1e12,
                 "window of the future pairs; 0: 30 days"),
    ASSAY_TEXT(users_options, future_question, "What will the user do next?",
               "question of the future pairs"),
    ASSAY_CHOICE(users_options, future_choice, "diverse", "diverse|random",
                 "which actions a future pair names: frequent and diverse ones, or any"),
    UQA_OPTIONS(users_options),
    ASSAY_TEXT(users_options, task, "",
               "train on this task's labels (NAME or SUITE/NAME), from split train"),
    ASSAY_BOOL(users_options, without_questions, false,
               "benchmarks do not give their question to the model: vectors of the user alone"),
    ASSAY_INTEGER(users_options, limit, "users", 0, 0, INT64_C(1) << 53,
                  "only the first so many users of each split; 0: all"),
};

/* ---- files ---- */

typedef struct users_paths {
    char lines[4096], description[4096];
} users_paths;

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* PATH is a folder with users.jsonl or users.jsonl.gz, or such a file. */
static bool find_files(const users_options *chosen, users_paths *out, assay_error *error)
{
    const char *path = chosen->path;
    struct stat status;
    if (strlen(path) > sizeof out->lines - 64)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
    if (stat(path, &status) != 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "there is no such folder or file",
                          .got = assay_text("%m"));
    const char *slash = strrchr(path, '/');
    if (S_ISDIR(status.st_mode)) {
        snprintf(out->lines, sizeof out->lines, "%s/users.jsonl", path);
        if (!is_file(out->lines))
            snprintf(out->lines, sizeof out->lines, "%s/users.jsonl.gz", path);
        snprintf(out->description, sizeof out->description, "%s/dataset.json", path);
    } else {
        snprintf(out->lines, sizeof out->lines, "%s", path);
        snprintf(out->description, sizeof out->description, "%.*sdataset.json",
                 slash != NULL ? (int)(slash - path) + 1 : 0, path);
    }
    if (!is_file(out->lines))
        return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "there are no users here",
                          .expected = "a file users.jsonl or users.jsonl.gz");
    if (!is_file(out->description))
        return ASSAY_FAIL(error, ASSAY_IO, .where = out->description,
                          .what = "there is no description of the data",
                          .expected = "a file dataset.json beside the users",
                          .hint = "{\"sources\":{\"NAME\":{\"slots\":12,\"tokens\":8}}} is enough");
    return true;
}

/* ---- options ---- */

/* "auto": the file's pairs and the labels', or where models are trained on users without either,
 * what users did next. */
static void choose_makers_from_data(const users_index *index, set_rules *out)
{
    bool asked = false;
    for (int64_t user = 0; user < index->counts.users && !asked; user++)
        asked = index->rows[user].split == index->home &&
                (index->rows[user].pairs > 0 || index->rows[user].labels > 0);
    out->maker_count = 0;
    if (asked) {
        out->makers[out->maker_count++] = PAIRS_GIVEN;
        out->makers[out->maker_count++] = PAIRS_LABELS;
    } else {
        out->makers[out->maker_count++] = PAIRS_FUTURE;
    }
}

static bool choose_sources(users_data *data, assay_error *error)
{
    const set_description *description = &data->description;
    const assay_texts *named = &data->options->sources;
    for (int64_t i = 0; i < named->count; i++) {
        const char *name = named->items[i];
        int place = description_source(description, name, strlen(name));
        bool again = false;
        for (int k = 0; k < data->source_count; k++)
            again = again || data->sources[k] == place;
        if (place < 0) {
            const char *nearest =
                assay_nearest(name, description->source_count, description->source_names);
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.users: sources",
                              .what = assay_text("unknown source '%.80s'", name),
                              .expected = "a source of dataset.json",
                              .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
        }
        if (again)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.users: sources",
                              .what = assay_text("source '%.80s' is named twice", name));
        data->sources[data->source_count++] = place;
    }
    if (named->count == 0)
        for (int s = 0; s < description->source_count; s++)
            data->sources[data->source_count++] = s;
    return true;
}

static bool choose_makers(const users_data *data, set_rules *out, assay_error *error)
{
    static const char *const names[PAIR_MAKERS] = {"given", "labels", "future", "uqa"};
    const assay_texts *named = &data->options->pairs;
    if (named->count == 1 && strcmp(named->items[0], "auto") == 0) {
        choose_makers_from_data(&data->index, out);
        return true;
    }
    for (int64_t i = 0; i < named->count; i++) {
        int maker = 0;
        while (maker < PAIR_MAKERS && strcmp(names[maker], named->items[i]) != 0)
            maker++;
        bool again = false;
        for (int k = 0; k < out->maker_count; k++)
            again = again || out->makers[k] == (pair_maker)maker;
        if (maker == PAIR_MAKERS || again)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = "dataset.users: pairs",
                .what = assay_text(again ? "'%.80s' is named twice" : "'%.80s' makes no pairs",
                                   named->items[i]),
                .expected = "auto alone, or given, labels, future, uqa, each at most once");
        out->makers[out->maker_count++] = (pair_maker)maker;
    }
    return true;
}

static bool choose_task(const users_data *data, set_rules *out, assay_error *error)
{
    const set_description *description = &data->description;
    const char *wanted = data->options->task;
    out->task = -1;
    if (wanted == NULL || wanted[0] == '\0')
        return true;
    for (int i = 0; i < description->task_count && out->task < 0; i++) {
        const assay_benchmark *task = &description->benchmarks[i];
        if (strcmp(wanted, task->name) == 0 ||
            strcmp(wanted, assay_text("%s/%s", task->suite, task->name)) == 0)
            out->task = i;
    }
    if (out->task >= 0)
        return true;
    const char *nearest = assay_nearest(wanted, description->label_count, description->labels);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.users: task",
                      .what = assay_text("unknown task '%.80s'", wanted),
                      .expected = "NAME or SUITE/NAME of dataset.json",
                      .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
}

/* ---- question-and-answer pairs ---- */

/* The users of calibration are the first with events that models are trained on. */
typedef struct calibration {
    const users_data *data;
    int64_t next; /* to look at in the index */
} calibration;

static bool is_calibration(const users_data *data, int64_t user)
{
    const index_row *row = &data->index.rows[user];
    return row->split == data->index.home && row->first <= row->last;
}

static bool read_calibration(void *user, int64_t which, assay_arena *arena, uqa_history *out,
                             uint64_t *number, assay_error *error)
{
    (void)which; /* they are asked for in order */
    calibration *at = user;
    user_history history;
    while (!is_calibration(at->data, at->next))
        at->next++;
    *number = (uint64_t)at->next++;
    return index_read(&at->data->index, (int64_t)*number, arena, &history, error) &&
           users_read_uqa(at->data, &history, arena, out, error);
}

static bool make_uqa(users_data *data, assay_error *error)
{
    const users_options *o = data->options;
    calibration at = {.data = data};
    int64_t users = 0;
    bool wanted = false;
    for (int m = 0; m < data->sets.rules.maker_count; m++)
        wanted = wanted || data->sets.rules.makers[m] == PAIRS_UQA;
    if (!wanted)
        return true;
    for (int64_t u = 0; u < data->index.counts.users && users < UQA_CALIBRATION_USERS; u++)
        users += is_calibration(data, u);
    return uqa_maker_make(&data->uqa,
                          &(uqa_settings){.pairs = o->uqa_pairs,
                                          .draft_errors = o->draft_errors,
                                          .hard = o->hard,
                                          .reflection = o->reflection,
                                          .scores = o->hard_scores},
                          0, "dataset.users", users, read_calibration, &at, error);
}

/* The data's own, unless scores of a file decide on pairs too. */
static void make_fingerprint(users_data *data)
{
    memcpy(data->fingerprint, data->index.fingerprint, sizeof data->fingerprint);
    if (!data->uqa.scored)
        return;
    char scores[65], text[160];
    assay_sha256_of(data->uqa.scores, sizeof data->uqa.scores, scores);
    snprintf(text, sizeof text, "%.64s scores %.64s", data->index.fingerprint, scores);
    assay_sha256_of(text, strlen(text), data->fingerprint);
}

/* ---- the plugin's functions ---- */

static void users_close(void *dataset)
{
    users_data *data = dataset;
    if (data == NULL)
        return;
    sets_clear(&data->sets);
    index_close(&data->index);
    description_clear(&data->description);
    assay_free(data->fields);
    assay_free(data->field_names);
    assay_free(data);
}

static void *users_open(const void *given, const assay_host *host, assay_error *error)
{
    const users_options *chosen = given;
    users_paths paths;
    set_rules rules = {.limit = chosen->limit};
    users_data *data = assay_zalloc(sizeof *data, error);
    if (data == NULL)
        return NULL;
    data->options = chosen;
    if (!find_files(chosen, &paths, error) ||
        !description_read(&data->description, paths.description, error) ||
        !choose_sources(data, error) || !choose_task(data, &rules, error) ||
        !users_make_fields(data, error) ||
        !index_open(&data->index, &data->description, paths.lines, host, chosen->on_error == 1,
                    error) ||
        !choose_makers(data, &rules, error))
        goto failed;
    rules.uqa_pairs = chosen->uqa_pairs;
    rules.window = chosen->future > 0 ? chosen->future : data->description.thirty_days;
    if (!sets_make(&data->sets, &data->index, &rules, error) || !make_uqa(data, error))
        goto failed;
    make_fingerprint(data);
    return data;
failed:
    users_close(data);
    return NULL;
}

static const char *users_fingerprint(void *dataset)
{
    return ((users_data *)dataset)->fingerprint;
}

static const assay_field *users_fields(void *dataset, int *count)
{
    const users_data *data = dataset;
    *count = data->field_count;
    return data->fields;
}

static const assay_benchmark *users_benchmarks(void *dataset, int *count)
{
    const users_data *data = dataset;
    *count = data->description.task_count;
    return data->description.benchmarks;
}

static int64_t users_count(void *dataset, assay_data_split split, int benchmark)
{
    return sets_get(&((users_data *)dataset)->sets, split, benchmark)->count;
}

static bool users_draw(void *dataset, assay_data_split split, int benchmark, int64_t index,
                       const assay_draw *draw, assay_arena *arena, assay_sample *out,
                       assay_error *error)
{
    return users_sample(dataset, split, benchmark, index, draw != NULL ? draw->epoch : 0, arena,
                        out, error);
}

static bool users_labels(void *dataset, assay_data_split split, int benchmark, int64_t first,
                         int64_t n, int32_t *out, assay_error *error)
{
    const users_data *data = dataset;
    if (benchmark == ASSAY_NO_BENCHMARK && (data->sets.rules.task < 0 || split == ASSAY_PRETRAIN))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.users",
                          .what = "training pairs have no labels",
                          .hint = "the option `task` trains on a task's labels");
    sets_labels(&data->sets, split, benchmark, first, n, out);
    return true;
}

/* A source's texts are followed by its times. */
static int64_t users_slots(void *dataset, int field)
{
    const users_data *data = dataset;
    bool of_texts = field % 2 == 0 && field / 2 < data->source_count;
    return of_texts ? data->description.sources[data->sources[field / 2]].slots : 0;
}

static assay_data_split users_training(void *dataset)
{
    const users_data *data = dataset;
    if (data->sets.rules.task >= 0)
        return ASSAY_TRAIN;
    return users_count(dataset, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) > 0 ? ASSAY_PRETRAIN
                                                                        : ASSAY_TRAIN;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = users_open,
    .close = users_close,
    .fingerprint = users_fingerprint,
    .fields = users_fields,
    .benchmarks = users_benchmarks,
    .count = users_count,
    .sample = users_draw,
    .labels = users_labels,
    .slots = users_slots,
    .training = users_training,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "users", 1,
             "event histories with questions, answers and labels, from JSON lines", users_options,
             options, functions);
