/* sample.c - a synthetic user up to the cut-off, with a question and maybe an answer. */
#include "future.h"
#include "synth.h"
#include "tabular.h"
#include "telling.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- which samples there are ---- */

/* The task whose samples the set has, or -1. What models are pre-trained on stays pairs. */
static int task_of(const synth_data *data, assay_data_split split, int benchmark)
{
    if (benchmark != ASSAY_NO_BENCHMARK)
        return benchmark;
    return split == ASSAY_PRETRAIN ? -1 : data->task;
}

/* Labels become pairs where models are trained, and nowhere else. */
static int64_t made(const synth_data *data, assay_data_split split, synth_maker maker)
{
    switch (maker) {
    case MAKES_LABELS:
        return split == ASSAY_PRETRAIN ? TASKS : 0;
    case MAKES_FUTURE:
        return 1;
    case MAKES_UQA:
        return data->options->uqa_pairs;
    }
    return 0;
}

int64_t synth_per_user(const synth_data *data, assay_data_split split, int benchmark)
{
    int64_t count = 0;
    if (task_of(data, split, benchmark) >= 0)
        return split != ASSAY_PRETRAIN; /* nobody asks the users of pretrain */
    for (int m = 0; m < data->maker_count; m++)
        count += made(data, split, data->makers[m]);
    return count;
}

int64_t synth_count(const synth_data *data, assay_data_split split, int benchmark)
{
    return data->users[split] * synth_per_user(data, split, benchmark);
}

/* ---- a user ---- */

typedef struct subject {
    person who;
    life all;        /* DAYS days, or those of the history */
    int64_t history; /* events of it before the cut-off */
} subject;

static bool meet(const synth_data *data, uint64_t number, int days, assay_arena *arena,
                 subject *out, assay_error *error)
{
    person_make(&out->who, data->world, &data->streams, number);
    if (!person_live(&out->who, data->world, &data->streams, days, arena, &out->all, error))
        return false;
    out->history = life_from(&out->all, HISTORY);
    return true;
}

static double day_of(const life_event *e)
{
    return (double)e->time / TICKS;
}

/* Events first .. end - 1 as pair makers see them: what deed_of would find in their texts. */
static bool deeds_of(const life *l, int64_t first, int64_t end, assay_arena *arena, deeds *out,
                     assay_error *error)
{
    deed *items = assay_arena_alloc(arena, (end - first) * (int64_t)sizeof *items, error);
    if (items == NULL)
        return false;
    *out = (deeds){end - first, items, SOURCES, source_names};
    for (int64_t i = first; i < end; i++) {
        const life_event *e = &l->events[i];
        const char *word = topic_table[e->topic].name;
        *items++ =
            (deed){.time = day_of(e),
                   .amount = e->source == BILL ? (double)told_amount(e->amount) : (double)NAN,
                   .word = word,
                   .word_bytes = (int32_t)strlen(word),
                   .source = e->source};
    }
    return true;
}

/* ---- what is asked ---- */

typedef struct inquiry {
    const char *query, *answer;
    int64_t query_bytes, answer_bytes;
    bool answered;
    int32_t label;
} inquiry;

static inquiry ask(const char *query, const char *answer)
{
    return (inquiry){.query = query,
                     .query_bytes = (int64_t)strlen(query),
                     .answer = answer,
                     .answer_bytes = (int64_t)strlen(answer),
                     .answered = true,
                     .label = -1};
}

static inquiry ask_task(const synth_data *data, const subject *user, int task)
{
    uint32_t answers =
        tasks_answer(&data->limits, data->world, &data->streams, &user->who, &user->all);
    bool yes = (answers >> task & 1) != 0;
    const synth_task *asked = &synth_tasks[task];
    inquiry out = ask(asked->question, yes ? asked->positive : asked->negative);
    out.label = yes;
    return out;
}

static bool ask_future(const synth_data *data, const subject *user, assay_arena *arena,
                       inquiry *out, assay_error *error)
{
    future_rules rules = {.part = "week",
                          .choice = (future_choice)data->options->future_choice,
                          .stream = data->choice};
    future_text told;
    deeds done;
    rules.stream.step[0] = (uint32_t)user->who.number;
    rules.stream.step[1] = (uint32_t)(user->who.number >> 32);
    if (!deeds_of(&user->all, user->history, user->all.count, arena, &done, error) ||
        !future_tell(&done, HISTORY, DAYS, &rules, arena, &told, error))
        return false;
    *out = ask(data->options->future_question, "nothing"); /* of a user who is gone */
    if (told.bytes > 0) {
        out->answer = told.text;
        out->answer_bytes = told.bytes;
    }
    return true;
}

static bool read_uqa(const subject *user, assay_arena *arena, uqa_history *out, assay_error *error)
{
    deeds done;
    return deeds_of(&user->all, 0, user->history, arena, &done, error) &&
           uqa_read(&done, 0, HISTORY, "day", arena, out, error);
}

bool synth_read_calibration(void *dataset, int64_t which, assay_arena *arena, uqa_history *out,
                            uint64_t *number, assay_error *error)
{
    subject user;
    *number = CALIBRATION_BASE + (uint64_t)which;
    return meet(dataset, *number, HISTORY, arena, &user, error) &&
           read_uqa(&user, arena, out, error);
}

static bool ask_uqa(const synth_data *data, const subject *user, int64_t slot, int64_t epoch,
                    assay_arena *arena, inquiry *out, assay_error *error)
{
    uqa_history history;
    uqa_pair pair;
    if (!read_uqa(user, arena, &history, error) ||
        !uqa_maker_ask(&data->uqa, &history, user->who.number, slot, epoch, arena, &pair, error))
        return false;
    *out = (inquiry){.query = pair.query,
                     .query_bytes = pair.query_bytes,
                     .answer = pair.answer,
                     .answer_bytes = pair.answer_bytes,
                     .answered = true,
                     .label = -1};
    return true;
}

/* Who makes training sample *item of a user; *item becomes its place among that maker's. */
static synth_maker maker_of(const synth_data *data, assay_data_split split, int64_t *item)
{
    int m = 0;
    while (*item >= made(data, split, data->makers[m]))
        *item -= made(data, split, data->makers[m++]);
    return data->makers[m];
}

static bool ask_pair(const synth_data *data, synth_maker maker, const subject *user, int64_t item,
                     int64_t epoch, assay_arena *arena, inquiry *out, assay_error *error)
{
    if (maker == MAKES_FUTURE)
        return ask_future(data, user, arena, out, error);
    if (maker == MAKES_UQA)
        return ask_uqa(data, user, item, epoch, arena, out, error);
    *out = ask_task(data, user, (int)item);
    out->label = -1;
    return true;
}

/* ---- values ---- */

/* The newest `slots` events of a source before the cut-off, rendered. */
static bool put_source(const synth_data *data, const subject *user, int source, assay_arena *arena,
                       assay_field_value *texts, assay_field_value *times, assay_error *error)
{
    const life_event *events = user->all.events;
    int64_t first = user->history, count = 0;
    while (first > 0 && count < data->slots[source])
        count += events[--first].source == source;
    int64_t *offsets = assay_arena_alloc(arena, (count + 1) * (int64_t)sizeof *offsets, error);
    float *relative = assay_arena_alloc(arena, count * (int64_t)sizeof *relative, error);
    char *text = assay_arena_alloc(arena, count * LONGEST_TEXT, error);
    if (offsets == NULL || relative == NULL || text == NULL)
        return false;
    int64_t at = 0, n = 0;
    offsets[0] = 0;
    for (int64_t i = first; i < user->history; i++) {
        if (events[i].source != source)
            continue;
        at += tell_event(&events[i], data->world, text + at);
        relative[n++] = (float)(day_of(&events[i]) - HISTORY);
        offsets[n] = at;
    }
    *texts = (assay_field_value){
        .data = text, .offsets = offsets, .shape = {count, ASSAY_RAGGED}, .present = true};
    *times = (assay_field_value){.data = relative, .shape = {count}, .present = true};
    return true;
}

static bool put_features(const synth_data *data, const subject *user, assay_arena *arena,
                         assay_field_value *out, assay_error *error)
{
    int64_t count = data->feature_count;
    double *raw = assay_arena_alloc(arena, count * (int64_t)sizeof *raw, error);
    float *values = assay_arena_alloc(arena, count * (int64_t)sizeof *values, error);
    if (raw == NULL || values == NULL)
        return false;
    tabular_of(&user->all, data->noise, user->who.number, count, raw);
    for (int64_t f = 0; f < count; f++)
        values[f] = (float)((raw[f] - data->mean[f]) * data->scale[f]);
    *out = (assay_field_value){.data = values, .shape = {count}, .present = true};
    return true;
}

/* What the user is called in files, too. */
static bool put_id(const subject *user, assay_arena *arena, assay_field_value *out,
                   assay_error *error)
{
    enum { LONGEST = 32 };
    assay_data_split split = synth_split_of(user->who.number);
    char *id = assay_arena_alloc(arena, LONGEST, error);
    if (id == NULL)
        return false;
    int bytes = snprintf(id, LONGEST, "%s-%" PRId64, assay_split_name(split),
                         synth_user_of(user->who.number));
    *out = (assay_field_value){.data = id, .shape = {bytes}, .present = true};
    return true;
}

static bool put_fields(const synth_data *data, const subject *user, const inquiry *asked,
                       assay_arena *arena, assay_field_value *next, assay_error *error)
{
    for (int i = 0; i < data->source_count; i++, next += 2)
        if (!put_source(data, user, data->sources[i], arena, next, next + 1, error))
            return false;
    if (data->feature_count > 0 && !put_features(data, user, arena, next++, error))
        return false;
    *next++ = (assay_field_value){.data = asked->query,
                                  .shape = {asked->query_bytes},
                                  .present = asked->answered || !data->options->without_questions};
    *next++ = (assay_field_value){.data = asked->answered ? asked->answer : "",
                                  .shape = {asked->answered ? asked->answer_bytes : 0},
                                  .present = asked->answered};
    return put_id(user, arena, next, error);
}

bool synth_sample(const synth_data *data, assay_data_split split, int benchmark, int64_t number,
                  const assay_draw *draw, assay_arena *arena, assay_sample *out, assay_error *error)
{
    subject user;
    inquiry asked;
    int64_t count = synth_count(data, split, benchmark);
    if (number < 0 || number >= count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.user_synth",
                          .what = "there is no such sample",
                          .expected = assay_text("0 to %lld", (long long)count - 1),
                          .got = assay_text("%lld", (long long)number));
    int64_t per_user = synth_per_user(data, split, benchmark);
    int task = task_of(data, split, benchmark);
    assay_field_value *values =
        assay_arena_alloc(arena, data->field_count * (int64_t)sizeof *values, error);
    int64_t item = number % per_user;
    synth_maker maker = task >= 0 ? MAKES_LABELS : maker_of(data, split, &item);
    int days = maker == MAKES_UQA ? HISTORY : DAYS; /* only labels and futures look ahead */
    if (values == NULL ||
        !meet(data, synth_number(split, number / per_user), days, arena, &user, error))
        return false;
    if (task >= 0) {
        asked = ask_task(data, &user, task);
        asked.answered = benchmark == ASSAY_NO_BENCHMARK;
    } else if (!ask_pair(data, maker, &user, item, draw != NULL ? draw->epoch : 0, arena, &asked,
                         error)) {
        return false;
    }
    if (!put_fields(data, &user, &asked, arena, values, error))
        return false;
    *out = (assay_sample){.values = values, .index = number, .label = asked.label};
    return true;
}

bool synth_labels(const synth_data *data, assay_data_split split, int benchmark, int64_t first,
                  int64_t n, int32_t *out, assay_error *error)
{
    int task = task_of(data, split, benchmark);
    if (task < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.user_synth",
                          .what = "training pairs have no labels",
                          .hint = "the option `task` trains on a task's labels");
    assay_arena *arena = assay_arena_new(0, error);
    bool done = arena != NULL;
    for (int64_t i = 0; done && i < n; i++) {
        subject user;
        assay_arena_reset(arena);
        done = meet(data, synth_number(split, first + i), DAYS, arena, &user, error);
        if (done)
            out[i] = ask_task(data, &user, task).label;
    }
    assay_arena_free(arena);
    return done;
}
