/* user_synth.c - the dataset plugin `user_synth`: synthetic users at any scale.
 *
 * Users with latent traits live 120 days in six sources (user-modelling spec 1.1, 6.1): 90 days are
 * history, the 30 after them are what the 19 tasks of the suites `alipay10` and `cognition9` and
 * the future pairs are about. A user is a pure function of (seed, split, number) and of how users
 * live (`activity`, `noise`): every sample is generated when it is asked for, on any thread, and
 * nothing is kept, so a million users take no more memory than a hundred. Numbers made with them
 * compare with nobody else's.
 *
 * Fields, as dataset.users gives them:
 *
 *     S            u8  (events, bytes)  for each source S of bill, app, minipro, sousuo, spm: the
 *                                       newest `slots` events of the history, oldest first
 *     S.time       f32 (events)         days before the cut-off, negative
 *     features     f32 (F)              source `tabular`: 64 aggregates of the whole history and
 *                                       noise, (x - mean) / sd of the first pretrain users
 *     query        u8  (bytes)          the question
 *     answer       u8  (bytes)          present in training samples only
 *     id           u8  (bytes)          "test-17": the split, and the user's place in it
 *
 * Training samples are pairs; sample number n is pair n % k of user n / k, with k pairs a user. Of
 * "future" there is one: what the user does in the next 30 days, "nothing" of a user who is gone.
 * Of "uqa" there are `uqa_pairs`: questions about the user's life, answered from the history
 * (pairs/uqa.h); with one, batches are half futures and half questions, up to chance. Of "labels"
 * there is one for every task, of pretrain users only. Benchmarks have the users of train, valid
 * and test, never those of pretrain. With `task`, the training samples of train, valid and test are
 * the task's instead, and train is what is trained on. */
#include "synth.h"

#include "tabular.h"

#include <assay/hash.h>
#include <assay/log.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1
#define WHERE   "dataset.user_synth"

static const double most_users = (double)(INT64_C(1) << 40);

static const assay_option options[] = {
    ASSAY_INTEGER(synth_options, users, "users", 2000, 0, most_users, "of pretrain"),
    ASSAY_INTEGER(synth_options, probe_users, "users", 1000, 0, most_users,
                  "of train, on whom probes are fitted"),
    ASSAY_INTEGER(synth_options, valid_users, "users", 500, 0, most_users, "of valid"),
    ASSAY_INTEGER(synth_options, test_users, "users", 1000, 0, most_users, "of test"),
    ASSAY_INTEGER(synth_options, seed, "", 1, 0, INT64_C(1) << 53,
                  "of the users; the runs' seeds are others"),
    ASSAY_CHOICE(synth_options, slots, "tiny", "tiny|small|paper",
                 "newest events given of each source: 44, 74 or 710 in all (spec 6.2)"),
    ASSAY_TEXTS(synth_options, sources, "bill,app,minipro,sousuo,spm,tabular",
                "bill|app|minipro|sousuo|spm|tabular", "given to the model, in this order"),
    ASSAY_INTEGER(synth_options, features, "", -1, -1, 65536,
                  "of tabular: 64 aggregates, then noise; -1: 80, or 1711 with slots = \"paper\""),
    ASSAY_POSITIVE(synth_options, activity, "events/day", 3.0, 200.0, "of the median user"),
    ASSAY_NUMBER(synth_options, noise, "fraction", 0.1, 0.0, 0.9,
                 "of events whose topic is everybody's taste, not the user's"),
    ASSAY_TEXTS(synth_options, pairs, "future,uqa", "labels|future|uqa",
                "who makes the pairs that models are trained on"),
    ASSAY_CHOICE(synth_options, future_choice, "diverse", "diverse|random",
                 "which actions a future pair names: frequent and diverse ones, or any"),
    ASSAY_TEXT(synth_options, future_question, "What will the user do in the next month?",
               "question of the future pairs"),
    ASSAY_TEXT(synth_options, task, "",
               "train on this task's labels (NAME or SUITE/NAME), from split train"),
    ASSAY_BOOL(synth_options, without_questions, false,
               "benchmarks do not give their question to the model: vectors of the user alone"),
    UQA_OPTIONS(synth_options),
};

/* Slots of bill, app, minipro, sousuo, spm; tabular's tokens are the model's business. */
static const int64_t slot_presets[3][SOURCES] = {
    {16, 6, 8, 4, 8}, {24, 10, 16, 4, 16}, {250, 100, 150, 10, 150}};
static const int64_t feature_presets[3] = {80, 80, 1711};

/* ---- options ---- */

static bool choose_sources(synth_data *data, assay_error *error)
{
    const assay_texts *named = &data->options->sources;
    bool tabular = false;
    for (int64_t i = 0; i < named->count; i++) {
        bool again = false;
        for (int64_t k = 0; k < i; k++)
            again = again || strcmp(named->items[k], named->items[i]) == 0;
        if (again)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": sources",
                              .what = assay_text("source '%.20s' is named twice", named->items[i]));
        tabular = tabular || strcmp(named->items[i], "tabular") == 0;
        for (int s = 0; s < SOURCES; s++)
            if (strcmp(named->items[i], source_names[s]) == 0)
                data->sources[data->source_count++] = s;
    }
    memcpy(data->slots, slot_presets[data->options->slots], sizeof data->slots);
    data->feature_count = data->options->features >= 0 ? data->options->features
                                                       : feature_presets[data->options->slots];
    if (!tabular)
        data->feature_count = 0;
    if (data->source_count == 0 && data->feature_count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": sources",
                          .what = "nothing of a user is left to see",
                          .expected = "at least one of bill, app, minipro, sousuo, spm, tabular");
    return true;
}

static bool choose_makers(synth_data *data, assay_error *error)
{
    static const char *const names[SYNTH_MAKERS] = {"labels", "future", "uqa"};
    const assay_texts *named = &data->options->pairs;
    for (int64_t i = 0; i < named->count; i++) {
        int maker = 0;
        bool again = false;
        while (maker < SYNTH_MAKERS - 1 && strcmp(names[maker], named->items[i]) != 0)
            maker++;
        for (int k = 0; k < data->maker_count; k++)
            again = again || data->makers[k] == (synth_maker)maker;
        if (again)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": pairs",
                              .what = assay_text("'%.20s' is named twice", named->items[i]));
        data->makers[data->maker_count++] = (synth_maker)maker;
    }
    return true;
}

static bool choose_task(synth_data *data, assay_error *error)
{
    const char *wanted = data->options->task, *names[TASKS];
    data->task = -1;
    if (wanted == NULL || wanted[0] == '\0')
        return true;
    for (int t = 0; t < TASKS; t++) {
        names[t] = synth_tasks[t].name;
        if (data->task < 0 &&
            (strcmp(wanted, names[t]) == 0 ||
             strcmp(wanted, assay_text("%s/%s", synth_tasks[t].suite, names[t])) == 0))
            data->task = t;
    }
    if (data->task >= 0)
        return true;
    const char *nearest = assay_nearest(wanted, TASKS, names);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE ": task",
                      .what = assay_text("unknown task '%.80s'", wanted),
                      .expected = "NAME or SUITE/NAME of alipay10 or cognition9",
                      .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
}

/* ---- what is worked out once ---- */

static void make_fields(synth_data *data)
{
    static const char *const time_names[SOURCES] = {"bill.time", "app.time", "minipro.time",
                                                    "sousuo.time", "spm.time"};
    assay_field *next = data->fields;
    for (int i = 0; i < data->source_count; i++) {
        int s = data->sources[i];
        *next++ = (assay_field){source_names[s], ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
        *next++ = (assay_field){time_names[s], ASSAY_F32, 1, {ASSAY_RAGGED}};
    }
    if (data->feature_count > 0)
        *next++ = (assay_field){"features", ASSAY_F32, 1, {data->feature_count}};
    *next++ = (assay_field){"query", ASSAY_U8, 1, {ASSAY_RAGGED}};
    *next++ = (assay_field){"answer", ASSAY_U8, 1, {ASSAY_RAGGED}};
    *next++ = (assay_field){"id", ASSAY_U8, 1, {ASSAY_RAGGED}};
    data->field_count = (int)(next - data->fields);
}

static void make_benchmarks(synth_data *data)
{
    for (int t = 0; t < TASKS; t++) {
        const synth_task *task = &synth_tasks[t];
        data->benchmarks[t] =
            (assay_benchmark){task->suite, task->name, task->domain, task->question, 2};
    }
}

static void count_life(synth_data *data, const life *l)
{
    int64_t of_source[SOURCES] = {0};
    for (int64_t i = 0; i < l->count; i++)
        of_source[l->events[i].source]++;
    for (int i = 0; i < data->source_count; i++) {
        int s = data->sources[i];
        if (of_source[s] > data->slots[s])
            data->seen.over_slots += of_source[s] - data->slots[s];
    }
    data->seen.users++;
    data->seen.events += l->count;
    data->seen.without_events += l->count == 0;
}

static void tell_counts(const synth_data *data)
{
    const synth_counts *seen = &data->seen;
    assay_log(ASSAY_LOG_INFO,
              WHERE ": pretrain %lld, train %lld, valid %lld, test %lld users; the first %lld have "
                    "%lld events, %lld of them beyond the slots; %lld users are without events",
              (long long)data->users[ASSAY_PRETRAIN], (long long)data->users[ASSAY_TRAIN],
              (long long)data->users[ASSAY_VALID], (long long)data->users[ASSAY_TEST],
              (long long)seen->users, (long long)seen->events, (long long)seen->over_slots,
              (long long)seen->without_events);
}

/* Mean and spread of every feature over the first users that models are trained on, by Welford's
 * recurrence; a constant feature becomes 0. */
static bool make_spread(synth_data *data, assay_error *error)
{
    enum { SEEN = 4096 };
    assay_data_split split = data->users[ASSAY_PRETRAIN] > 0 ? ASSAY_PRETRAIN : ASSAY_TRAIN;
    int64_t seen = data->users[split] < SEEN ? data->users[split] : SEEN;
    int64_t bytes = data->feature_count * (int64_t)sizeof(double);
    assay_arena *arena = NULL;
    double *raw = assay_zalloc(bytes, error);
    bool done = false;
    data->mean = assay_zalloc(bytes, error);
    data->scale = assay_zalloc(bytes, error);
    if (raw == NULL || data->mean == NULL || data->scale == NULL)
        goto done;
    arena = assay_arena_new(0, error);
    done = arena != NULL;
    for (int64_t i = 0; done && i < seen; i++) {
        person p;
        life l;
        assay_arena_reset(arena);
        person_make(&p, data->world, &data->streams, synth_number(split, i));
        done = person_live(&p, data->world, &data->streams, HISTORY, arena, &l, error);
        if (!done)
            break;
        count_life(data, &l);
        tabular_of(&l, data->noise, p.number, data->feature_count, raw);
        for (int64_t f = 0; f < data->feature_count; f++) {
            double off = raw[f] - data->mean[f];
            data->mean[f] += off / (double)(i + 1);
            data->scale[f] += off * (raw[f] - data->mean[f]); /* squares, until the end */
        }
    }
    for (int64_t f = 0; f < data->feature_count; f++) {
        double sd = seen > 0 ? sqrt(data->scale[f] / (double)seen) : 0;
        data->scale[f] = sd > 0 ? 1 / sd : 0;
    }
done:
    assay_arena_free(arena);
    assay_free(raw);
    return done;
}

static bool make_uqa(synth_data *data, assay_error *error)
{
    const synth_options *o = data->options;
    bool wanted = false;
    for (int m = 0; m < data->maker_count; m++)
        wanted = wanted || data->makers[m] == MAKES_UQA;
    return !wanted || uqa_maker_make(&data->uqa,
                                     &(uqa_settings){.pairs = o->uqa_pairs,
                                                     .draft_errors = o->draft_errors,
                                                     .hard = o->hard,
                                                     .reflection = o->reflection,
                                                     .scores = o->hard_scores},
                                     (uint64_t)o->seed, WHERE, UQA_CALIBRATION_USERS,
                                     synth_read_calibration, data, error);
}

/* What changes a sample beside the options, which are part of a run's identity themselves. */
static void make_fingerprint(synth_data *data)
{
    const synth_options *o = data->options;
    char text[448], scores[65] = "none";
    if (data->uqa.scored)
        assay_sha256_of(data->uqa.scores, sizeof data->uqa.scores, scores);
    snprintf(text, sizeof text,
             "user_synth %d seed %" PRId64 " users %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
             " slots %d features %" PRId64 " activity %a noise %a scores %s",
             VERSION, o->seed, o->users, o->probe_users, o->valid_users, o->test_users, o->slots,
             data->feature_count, o->activity, o->noise, scores);
    assay_sha256_of(text, strlen(text), data->fingerprint);
}

/* ---- the plugin's functions ---- */

static void synth_close(void *dataset)
{
    synth_data *data = dataset;
    if (data == NULL)
        return;
    assay_free(data->world);
    assay_free(data->mean);
    assay_free(data->scale);
    assay_free(data);
}

static void *synth_open(const void *given, const assay_host *host, assay_error *error)
{
    (void)host;
    const synth_options *chosen = given;
    synth_data *data = assay_zalloc(sizeof *data, error);
    if (data == NULL)
        return NULL;
    data->options = chosen;
    data->users[ASSAY_PRETRAIN] = chosen->users;
    data->users[ASSAY_TRAIN] = chosen->probe_users;
    data->users[ASSAY_VALID] = chosen->valid_users;
    data->users[ASSAY_TEST] = chosen->test_users;
    data->streams = life_streams_of((uint64_t)chosen->seed);
    data->noise = assay_stream_of((uint64_t)chosen->seed, "user_synth/noise", 0);
    data->choice = assay_stream_of((uint64_t)chosen->seed, "user_synth/future", 0);
    if (!choose_sources(data, error) || !choose_makers(data, error) || !choose_task(data, error))
        goto failed;
    data->world = world_new(&(world_knobs){chosen->activity, chosen->noise}, error);
    if (data->world == NULL ||
        !thresholds_make(&data->limits, data->world, &data->streams, error) ||
        !make_spread(data, error) || !make_uqa(data, error))
        goto failed;
    tell_counts(data);
    make_fields(data);
    make_benchmarks(data);
    make_fingerprint(data);
    return data;
failed:
    synth_close(data);
    return NULL;
}

static const char *synth_fingerprint(void *dataset)
{
    return ((synth_data *)dataset)->fingerprint;
}

static const assay_field *synth_fields(void *dataset, int *count)
{
    const synth_data *data = dataset;
    *count = data->field_count;
    return data->fields;
}

static const assay_benchmark *synth_benchmarks(void *dataset, int *count)
{
    *count = TASKS;
    return ((synth_data *)dataset)->benchmarks;
}

static int64_t synth_size(void *dataset, assay_data_split split, int benchmark)
{
    return synth_count(dataset, split, benchmark);
}

static bool synth_draw(void *dataset, assay_data_split split, int benchmark, int64_t index,
                       const assay_draw *draw, assay_arena *arena, assay_sample *out,
                       assay_error *error)
{
    return synth_sample(dataset, split, benchmark, index, draw, arena, out, error);
}

static bool synth_answers(void *dataset, assay_data_split split, int benchmark, int64_t first,
                          int64_t n, int32_t *out, assay_error *error)
{
    return synth_labels(dataset, split, benchmark, first, n, out, error);
}

/* The slots of the source that the field's texts are of; 0 of other fields. */
static int64_t synth_slots(void *dataset, int field)
{
    const synth_data *data = dataset;
    bool texts = field >= 0 && field < 2 * data->source_count && field % 2 == 0;
    return texts ? data->slots[data->sources[field / 2]] : 0;
}

static bool synth_publish(void *dataset, const char *folder, assay_error *error)
{
    return synth_write(dataset, folder, error);
}

static assay_data_split synth_training(void *dataset)
{
    const synth_data *data = dataset;
    bool tuned = data->task >= 0 || synth_count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK) == 0;
    return tuned ? ASSAY_TRAIN : ASSAY_PRETRAIN;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = synth_open,
    .close = synth_close,
    .fingerprint = synth_fingerprint,
    .fields = synth_fields,
    .benchmarks = synth_benchmarks,
    .count = synth_size,
    .sample = synth_draw,
    .labels = synth_answers,
    .slots = synth_slots,
    .write = synth_publish,
    .training = synth_training,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "user_synth", VERSION,
             "synthetic users with latent traits, generated on demand: 6 sources, 19 tasks",
             synth_options, options, functions);
