/* sample.c - a user up to a cut-off, with a question and maybe an answer, as a sample's fields. */
#include "future.h"
#include "history.h"
#include "users.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- fields ---- */

bool users_make_fields(users_data *data, assay_error *error)
{
    int64_t name_bytes = 80; /* a source's name has at most 64, and ".time" follows */
    int count = 2 * data->source_count + 4;
    data->fields = assay_zalloc(count * (int64_t)sizeof *data->fields, error);
    data->field_names = assay_alloc(data->source_count * name_bytes, error);
    if (data->fields == NULL || data->field_names == NULL)
        return false;
    assay_field *next = data->fields;
    for (int i = 0; i < data->source_count; i++) {
        const char *name = data->description.sources[data->sources[i]].name;
        char *time = data->field_names + i * name_bytes;
        snprintf(time, (size_t)name_bytes, "%s.time", name);
        *next++ = (assay_field){name, ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}};
        *next++ = (assay_field){time, ASSAY_F32, 1, {ASSAY_RAGGED}};
    }
    if (data->description.feature_count > 0)
        *next++ = (assay_field){"features", ASSAY_F32, 1, {data->description.feature_count}};
    *next++ = (assay_field){"query", ASSAY_U8, 1, {ASSAY_RAGGED}};
    *next++ = (assay_field){"answer", ASSAY_U8, 1, {ASSAY_RAGGED}};
    *next++ = (assay_field){"id", ASSAY_U8, 1, {ASSAY_RAGGED}};
    data->field_count = (int)(next - data->fields);
    return true;
}

/* ---- what is asked about which part of the history ---- */

typedef struct sample_inquiry {
    double until;  /* events before this are the input */
    double cutoff; /* what times are told relative to */
    const char *query, *answer;
    int64_t query_bytes, answer_bytes;
    bool answered;
    int32_t label;
} sample_inquiry;

/* Without a cut-off of its own, a history is told relative to its newest event. */
static double cutoff_of(const user_history *user, int source_count, double until)
{
    double last = 0;
    bool any = false;
    if (isfinite(until))
        return until;
    for (int s = 0; s < source_count; s++) {
        const user_events *events = &user->sources[s];
        if (events->count > 0 && (!any || events->times[events->count - 1] > last)) {
            last = events->times[events->count - 1];
            any = true;
        }
    }
    return last;
}

static const user_label *find_label(const user_history *user, int label)
{
    for (int64_t i = 0; i < user->label_count; i++)
        if (user->labels[i].label == label)
            return &user->labels[i];
    return NULL;
}

static void ask_task(const users_data *data, const user_history *user, const user_label *label,
                     int task, bool answered, sample_inquiry *out)
{
    const task_words *words = &data->description.words[task];
    const char *question = data->description.benchmarks[task].question;
    const char *answer = label->value != 0 ? words->positive : words->negative;
    *out = (sample_inquiry){.until = label->until,
                            .cutoff = cutoff_of(user, data->description.source_count, label->until),
                            .query = question,
                            .query_bytes = (int64_t)strlen(question),
                            .answer = answer,
                            .answer_bytes = (int64_t)strlen(answer),
                            .answered = answered,
                            .label = -1};
}

static void ask_pair(const users_data *data, const user_history *user, const user_pair *pair,
                     sample_inquiry *out)
{
    *out = (sample_inquiry){.until = pair->until,
                            .cutoff = cutoff_of(user, data->description.source_count, pair->until),
                            .query = user->pair_text + pair->query_at,
                            .query_bytes = pair->query_bytes,
                            .answer = user->pair_text + pair->answer_at,
                            .answer_bytes = pair->answer_bytes,
                            .answered = true,
                            .label = -1};
}

static bool ask_future(const users_data *data, const user_history *user, int64_t number,
                       assay_arena *arena, sample_inquiry *out, assay_error *error)
{
    double from = sets_future_from(&data->sets, number);
    const char *question = data->options->future_question;
    double to = data->index.rows[number].last;
    future_rules rules = {.part = "part", .choice = (future_choice)data->options->future_choice};
    future_text told;
    deeds done;
    rules.stream = assay_stream_of(0, "users/future", (uint64_t)number);
    if (!history_deeds(user, &data->description, from, to, arena, &done, error) ||
        !future_tell(&done, from, to, &rules, arena, &told, error))
        return false;
    *out = (sample_inquiry){.until = nextafter(from, INFINITY),
                            .cutoff = from,
                            .query = question,
                            .query_bytes = (int64_t)strlen(question),
                            .answer = told.text,
                            .answer_bytes = told.bytes,
                            .answered = true,
                            .label = -1};
    return true;
}

bool users_read_uqa(const users_data *data, const user_history *user, assay_arena *arena,
                    uqa_history *out, assay_error *error)
{
    const set_description *description = &data->description;
    double horizon = user_horizon(user), from = INFINITY;
    double until = cutoff_of(user, description->source_count, horizon);
    deeds done;
    if (!history_deeds(user, description, -INFINITY, nextafter(horizon, -INFINITY), arena, &done,
                       error))
        return false;
    for (int64_t i = 0; i < done.count; i++)
        from = fmin(from, done.items[i].time);
    return uqa_read(&done, from, until, description->time_unit, arena, out, error);
}

static bool ask_uqa(const users_data *data, const user_history *user, const sample_source *source,
                    int64_t epoch, assay_arena *arena, sample_inquiry *out, assay_error *error)
{
    uqa_history history;
    uqa_pair pair;
    if (!users_read_uqa(data, user, arena, &history, error) ||
        !uqa_maker_ask(&data->uqa, &history, (uint64_t)source->user, source->item, epoch, arena,
                       &pair, error))
        return false;
    *out = (sample_inquiry){.until = user_horizon(user),
                            .cutoff = history.until,
                            .query = pair.query,
                            .query_bytes = pair.query_bytes,
                            .answer = pair.answer,
                            .answer_bytes = pair.answer_bytes,
                            .answered = true,
                            .label = -1};
    return true;
}

static bool make_inquiry(const users_data *data, const user_history *user,
                         const sample_source *source, bool training, int64_t epoch,
                         assay_arena *arena, sample_inquiry *out, assay_error *error)
{
    const set_description *description = &data->description;
    if (source->task >= 0) {
        const user_label *label = find_label(user, description->words[source->task].label);
        if (label == NULL)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = data->index.path,
                              .what = "a user's record and the labels differ",
                              .hint = "remove the index; it is made again");
        ask_task(data, user, label, source->task, training, out);
        out->label = label->value;
        return true;
    }
    if (source->maker == PAIRS_FUTURE)
        return ask_future(data, user, source->user, arena, out, error);
    if (source->maker == PAIRS_UQA)
        return ask_uqa(data, user, source, epoch, arena, out, error);
    if (source->item >= (source->maker == PAIRS_GIVEN ? user->pair_count : user->label_count))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = data->index.path,
                          .what = "a user's record and its row differ",
                          .hint = "remove the index; it is made again");
    if (source->maker == PAIRS_GIVEN) {
        ask_pair(data, user, &user->pairs[source->item], out);
    } else {
        const user_label *label = &user->labels[source->item];
        ask_task(data, user, label, description->first_task[label->label], true, out);
    }
    return true;
}

/* ---- values ---- */

/* The newest `slots` events before the cut-off: texts and times. */
static bool put_source(const user_events *events, int64_t slots, const sample_inquiry *inquiry,
                       assay_arena *arena, assay_field_value *texts, assay_field_value *times,
                       assay_error *error)
{
    int64_t end = user_events_before(events, inquiry->until);
    int64_t from = end > slots ? end - slots : 0, count = end - from;
    int64_t *offsets = assay_arena_alloc(arena, (count + 1) * (int64_t)sizeof *offsets, error);
    float *relative = assay_arena_alloc(arena, count * (int64_t)sizeof *relative, error);
    if (offsets == NULL || relative == NULL)
        return false;
    uint32_t begin = from > 0 ? events->ends[from - 1] : 0;
    offsets[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        offsets[i + 1] = (int64_t)events->ends[from + i] - begin;
        relative[i] = (float)(events->times[from + i] - inquiry->cutoff);
    }
    *texts = (assay_field_value){.data = events->text + begin,
                                 .offsets = offsets,
                                 .shape = {count, ASSAY_RAGGED},
                                 .present = true};
    *times = (assay_field_value){.data = relative, .shape = {count}, .present = true};
    return true;
}

static bool put_features(const users_data *data, const user_history *user, assay_arena *arena,
                         assay_field_value *out, assay_error *error)
{
    int count = data->description.feature_count;
    float *values = assay_arena_alloc(arena, count * (int64_t)sizeof *values, error);
    if (values == NULL)
        return false;
    for (int f = 0; f < count; f++) {
        double x = user->features[f];
        values[f] = isnan(x) ? 0 : (float)((x - data->index.mean[f]) * data->index.scale[f]);
    }
    *out = (assay_field_value){.data = values, .shape = {count}, .present = true};
    return true;
}

static bool put_fields(const users_data *data, const user_history *user,
                       const sample_inquiry *inquiry, assay_arena *arena, assay_field_value *next,
                       assay_error *error)
{
    for (int i = 0; i < data->source_count; i++, next += 2) {
        int s = data->sources[i];
        if (!put_source(&user->sources[s], data->description.sources[s].slots, inquiry, arena, next,
                        next + 1, error))
            return false;
    }
    if (data->description.feature_count > 0 && !put_features(data, user, arena, next++, error))
        return false;
    *next++ =
        (assay_field_value){.data = inquiry->query,
                            .shape = {inquiry->query_bytes},
                            .present = inquiry->answered || !data->options->without_questions};
    if (inquiry->answered)
        *next++ = (assay_field_value){
            .data = inquiry->answer, .shape = {inquiry->answer_bytes}, .present = true};
    else
        *next++ = (assay_field_value){.data = "", .present = false};
    *next = (assay_field_value){.data = user->id, .shape = {user->id_bytes}, .present = true};
    return true;
}

bool users_sample(users_data *data, assay_data_split split, int benchmark, int64_t number,
                  int64_t epoch, assay_arena *arena, assay_sample *out, assay_error *error)
{
    user_history user;
    sample_inquiry inquiry;
    const sample_set *set = sets_get(&data->sets, split, benchmark);
    if (number < 0 || number >= set->count)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "dataset.users",
                          .what = "there is no such sample",
                          .expected = assay_text("0 to %lld", (long long)set->count - 1),
                          .got = assay_text("%lld", (long long)number));
    sample_source source = sets_find(&data->sets, split, benchmark, number);
    bool training = benchmark == ASSAY_NO_BENCHMARK;
    assay_field_value *values =
        assay_arena_alloc(arena, data->field_count * (int64_t)sizeof *values, error);
    if (values == NULL || !index_read(&data->index, source.user, arena, &user, error) ||
        !make_inquiry(data, &user, &source, training, epoch, arena, &inquiry, error) ||
        !put_fields(data, &user, &inquiry, arena, values, error))
        return false;
    *out = (assay_sample){.values = values, .index = number, .label = inquiry.label};
    return true;
}
