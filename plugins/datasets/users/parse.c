/* parse.c - one line of users.jsonl to a checked user (user.h).
 *
 *     {"id":"u17","events":[{"time":19723,"source":"bill","text":"groceries 35.20"}],
 *      "features":[0.1,null],"split":"train","labels":{"default":{"value":1,"until":19730}},
 *      "pairs":[{"query":"Will the user repay?","answer":"repays in full","until":19730}]}
 *
 * Only `id` is required. Every message names the line; within it, events and pairs by number. */
#include "json.h"
#include "user.h"

#include <assay/hash.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the parts of reading a line share. */
typedef struct reading {
    const set_description *description;
    const char *where;
    assay_arena *arena;
    assay_error *error;
    user_counts counts; /* of this line */
} reading;

/* One failure of this line. */
static bool refuse(const reading *in, const char *what, const char *expected, const json_t *got)
{
    return ASSAY_FAIL(in->error, ASSAY_BAD_FILE, .where = in->where, .what = what,
                      .expected = expected, .got = json_kind(got));
}

/* A number that can be reckoned with: jansson lets no NaN and no infinity through. */
static bool read_number(const reading *in, json_t *value, const char *what, double *out)
{
    *out = json_number_value(value);
    return (json_is_number(value) && isfinite(*out)) || refuse(in, what, "a number", value);
}

/* A number, or infinity when there is none. */
static bool read_until(const reading *in, json_t *object, const char *what, double *out)
{
    json_t *value = json_object_get(object, "until");
    *out = INFINITY;
    return value == NULL || read_number(in, value, what, out);
}

/* ---- id and split ---- */

assay_data_split user_split_of_id(const char *id, int64_t bytes)
{
    assay_sha256 hash;
    uint8_t digest[32];
    uint64_t number = 0;
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, id, (size_t)bytes);
    assay_sha256_end(&hash, digest);
    for (int i = 0; i < 8; i++)
        number = number << 8 | digest[i];
    int percent = (int)(number % 100);
    return percent < 50   ? ASSAY_PRETRAIN
           : percent < 75 ? ASSAY_TRAIN
           : percent < 80 ? ASSAY_VALID
                          : ASSAY_TEST;
}

static bool read_id(const reading *in, json_t *root, user_history *out)
{
    json_t *id = json_object_get(root, "id");
    size_t bytes = json_string_length(id);
    if (!json_is_string(id) || bytes == 0 || bytes > USER_LONGEST_ID)
        return refuse(in, "the user has no id",
                      assay_text("a text of 1 to %d bytes", USER_LONGEST_ID),
                      bytes > USER_LONGEST_ID ? NULL : id);
    char *copy = assay_arena_alloc(in->arena, (int64_t)bytes, in->error);
    if (copy == NULL)
        return false;
    memcpy(copy, json_string_value(id), bytes);
    out->id = copy;
    out->id_bytes = (int64_t)bytes;
    return true;
}

static bool read_split(const reading *in, json_t *root, user_history *out)
{
    json_t *value = json_object_get(root, "split");
    if (value == NULL) {
        out->split = user_split_of_id(out->id, out->id_bytes);
        return true;
    }
    for (int i = 0; i < ASSAY_SPLITS; i++)
        if (json_is_string(value) &&
            strcmp(json_string_value(value), assay_split_name((assay_data_split)i)) == 0) {
            out->split = (assay_data_split)i;
            return true;
        }
    return refuse(in, "unknown split", "pretrain, train, valid or test", value);
}

/* ---- features ---- */

static bool read_features(const reading *in, json_t *root, user_history *out)
{
    int count = in->description->feature_count;
    json_t *all = json_object_get(root, "features"), *value = NULL;
    double *numbers = assay_arena_alloc(in->arena, count * (int64_t)sizeof(double), in->error);
    size_t i = 0;
    if (numbers == NULL)
        return false;
    out->features = numbers;
    for (int k = 0; k < count; k++)
        numbers[k] = NAN;
    if (all == NULL)
        return true;
    if (!json_is_array(all) || json_array_size(all) != (size_t)count)
        return refuse(in, "the features do not fit dataset.json",
                      assay_text("a list of %d numbers or nulls", count), all);
    json_array_foreach(all, i, value)
    {
        if (json_is_null(value))
            continue;
        if (!read_number(in, value, assay_text("feature %zu is no number", i + 1), &numbers[i]))
            return false;
    }
    return true;
}

/* ---- labels ---- */

static bool read_label(const reading *in, const char *name, json_t *value, user_label *out)
{
    static const char *const keys[] = {"value", "until"};
    const set_description *description = in->description;
    json_t *number = value;
    out->until = INFINITY;
    out->label = description_label(description, name);
    if (out->label < 0) {
        const char *nearest = assay_nearest(name, description->label_count, description->labels);
        return ASSAY_FAIL(in->error, ASSAY_BAD_FILE, .where = in->where,
                          .what = assay_text("unknown label '%.80s'", name),
                          .expected = "a task of a suite in dataset.json",
                          .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
    }
    if (json_is_object(value)) {
        if (!json_only_keys(value, "a label", 2, keys, in->where, in->error) ||
            !read_until(in, value, assay_text("until of label '%.80s' is no number", name),
                        &out->until))
            return false;
        number = json_object_get(value, "value");
    }
    out->value = (int32_t)json_integer_value(number);
    if (!json_is_integer(number) || json_integer_value(number) < 0 ||
        json_integer_value(number) > 1)
        return refuse(in, assay_text("label '%.80s' has no such value", name), "0 or 1", number);
    return true;
}

static int by_label(const void *a, const void *b)
{
    const user_label *x = a, *y = b;
    return (x->label > y->label) - (x->label < y->label);
}

static bool read_labels(const reading *in, json_t *root, user_history *out)
{
    json_t *all = json_object_get(root, "labels"), *value = NULL;
    const char *name = NULL;
    if (all == NULL)
        return true;
    if (!json_is_object(all))
        return refuse(in, "'labels' is no object", "{\"TASK\":1} or the like", all);
    user_label *labels =
        assay_arena_alloc(in->arena, (int64_t)(json_object_size(all) * sizeof *labels), in->error);
    if (labels == NULL)
        return false;
    json_object_foreach(all, name, value)
    {
        if (!read_label(in, name, value, &labels[out->label_count]))
            return false;
        out->label_count++;
    }
    qsort(labels, (size_t)out->label_count, sizeof *labels, by_label);
    out->labels = labels;
    return true;
}

/* ---- pairs ---- */

static bool read_pair(const reading *in, json_t *object, size_t i, user_pair *out)
{
    static const char *const keys[] = {"query", "answer", "until"};
    const char *what = assay_text("pair %zu", i + 1);
    if (!json_is_object(object))
        return refuse(in, assay_text("%s is no object", what), "{\"query\":...,\"answer\":...}",
                      object);
    if (!json_only_keys(object, what, 3, keys, in->where, in->error) ||
        json_text_of(object, "query", what, in->where, in->error) == NULL ||
        json_text_of(object, "answer", what, in->where, in->error) == NULL)
        return false;
    out->query_bytes = (uint32_t)json_string_length(json_object_get(object, "query"));
    out->answer_bytes = (uint32_t)json_string_length(json_object_get(object, "answer"));
    return read_until(in, object, assay_text("until of %s is no number", what), &out->until);
}

/* Puts the texts of the pairs one behind the other. */
static bool keep_pair_texts(const reading *in, json_t *all, user_pair *pairs, user_history *out)
{
    uint32_t at = 0;
    for (int64_t i = 0; i < out->pair_count; i++) {
        pairs[i].query_at = at;
        pairs[i].answer_at = at + pairs[i].query_bytes;
        at = pairs[i].answer_at + pairs[i].answer_bytes;
    }
    char *text = assay_arena_alloc(in->arena, at, in->error);
    if (text == NULL)
        return false;
    for (int64_t i = 0; i < out->pair_count; i++) {
        json_t *object = json_array_get(all, (size_t)i);
        memcpy(text + pairs[i].query_at, json_string_value(json_object_get(object, "query")),
               pairs[i].query_bytes);
        memcpy(text + pairs[i].answer_at, json_string_value(json_object_get(object, "answer")),
               pairs[i].answer_bytes);
    }
    out->pair_text = text;
    out->pair_text_bytes = at;
    return true;
}

static bool read_pairs(const reading *in, json_t *root, user_history *out)
{
    json_t *all = json_object_get(root, "pairs"), *object = NULL;
    size_t i = 0;
    if (all == NULL)
        return true;
    if (!json_is_array(all))
        return refuse(in, "'pairs' is no list", "[{\"query\":...,\"answer\":...}]", all);
    user_pair *pairs =
        assay_arena_alloc(in->arena, (int64_t)(json_array_size(all) * sizeof *pairs), in->error);
    if (pairs == NULL)
        return false;
    json_array_foreach(all, i, object)
    {
        if (!read_pair(in, object, i, &pairs[i]))
            return false;
    }
    out->pairs = pairs;
    out->pair_count = (int64_t)i;
    return keep_pair_texts(in, all, pairs, out);
}

/* ---- events ---- */

typedef struct raw_event {
    double time;
    const char *text;
    uint32_t bytes;
    int source;
    size_t order; /* in the line */
} raw_event;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The bytes of the first `words` words, without white space at the end. A text of overlong words is
 * cut at USER_WORD_BYTES for each, at the start of a character. */
static int64_t cut_text(const char *text, int64_t bytes, int64_t words)
{
    int64_t most = words * USER_WORD_BYTES, end = 0, seen = 0, i = 0;
    while (i < bytes && seen < words) {
        while (i < bytes && is_space(text[i]))
            i++;
        if (i == bytes)
            break;
        while (i < bytes && !is_space(text[i]))
            i++;
        end = i;
        seen++;
    }
    if (end <= most)
        return end;
    end = most;
    while (end > 0 && ((unsigned char)text[end] & 0xc0u) == 0x80u)
        end--;
    return end;
}

static bool only_space(const char *text, int64_t bytes)
{
    while (bytes > 0 && is_space(text[bytes - 1]))
        bytes--;
    return bytes == 0;
}

static bool read_event(reading *in, json_t *object, size_t i, raw_event *out)
{
    static const char *const keys[] = {"time", "source", "text"};
    const set_description *description = in->description;
    const char *what = assay_text("event %zu", i + 1);
    json_t *source = json_object_get(object, "source"), *text = json_object_get(object, "text");
    if (!json_is_object(object))
        return refuse(in, assay_text("%s is no object", what),
                      "{\"time\":...,\"source\":...,\"text\":...}", object);
    if (!json_only_keys(object, what, 3, keys, in->where, in->error) ||
        !read_number(in, json_object_get(object, "time"),
                     assay_text("the time of %s is no number", what), &out->time))
        return false;
    if (!json_is_string(source))
        return refuse(in, assay_text("the source of %s is no text", what), NULL, source);
    if (!json_is_string(text))
        return refuse(in, assay_text("the text of %s is no text", what), NULL, text);
    out->source =
        description_source(description, json_string_value(source), json_string_length(source));
    if (out->source < 0) {
        const char *name = json_string_value(source);
        const char *nearest =
            assay_nearest(name, description->source_count, description->source_names);
        return ASSAY_FAIL(in->error, ASSAY_BAD_FILE, .where = in->where,
                          .what = assay_text("unknown source '%.80s' in %s", name, what),
                          .expected = "a source of dataset.json",
                          .hint = nearest ? assay_text("did you mean '%s'?", nearest) : NULL);
    }
    int64_t bytes = (int64_t)json_string_length(text);
    out->text = json_string_value(text);
    out->bytes = (uint32_t)cut_text(out->text, bytes, description->sources[out->source].tokens);
    out->order = i;
    in->counts.texts_cut += !only_space(out->text + out->bytes, bytes - out->bytes);
    return true;
}

/* By source, then time; ties keep the line's order. */
static int by_source_and_time(const void *a, const void *b)
{
    const raw_event *x = a, *y = b;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* The events of one source: `count` of the sorted ones. */
static bool keep_source(reading *in, const raw_event *events, int64_t count, user_events *out)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; i++)
        bytes += events[i].bytes;
    double *times = assay_arena_alloc(in->arena, count * (int64_t)sizeof *times, in->error);
    uint32_t *ends = assay_arena_alloc(in->arena, count * (int64_t)sizeof *ends, in->error);
    char *text = assay_arena_alloc(in->arena, bytes, in->error);
    if (times == NULL || ends == NULL || text == NULL)
        return false;
    uint32_t end = 0;
    for (int64_t i = 0; i < count; i++) {
        memcpy(text + end, events[i].text, events[i].bytes);
        end += events[i].bytes;
        ends[i] = end;
        times[i] = events[i].time;
    }
    *out = (user_events){.count = count, .times = times, .ends = ends, .text = text};
    return true;
}

static bool read_events(reading *in, json_t *root, user_history *out)
{
    int source_count = in->description->source_count;
    json_t *all = json_object_get(root, "events"), *object = NULL;
    size_t count = json_array_size(all), i = 0;
    if (all != NULL && !json_is_array(all))
        return refuse(in, "'events' is no list", "[{\"time\":...,\"source\":...,\"text\":...}]",
                      all);
    raw_event *raw = assay_arena_alloc(in->arena, (int64_t)(count * sizeof *raw), in->error);
    user_events *sources =
        assay_arena_alloc(in->arena, source_count * (int64_t)sizeof *sources, in->error);
    if (raw == NULL || sources == NULL)
        return false;
    json_array_foreach(all, i, object)
    {
        if (!read_event(in, object, i, &raw[i]))
            return false;
    }
    qsort(raw, count, sizeof *raw, by_source_and_time);
    const raw_event *from = raw, *end = raw + count;
    for (int s = 0; s < source_count; s++) {
        const raw_event *to = from;
        while (to < end && to->source == s)
            to++;
        if (!keep_source(in, from, to - from, &sources[s]))
            return false;
        int64_t over = to - from - in->description->sources[s].slots;
        in->counts.over_slots += over > 0 ? over : 0;
        from = to;
    }
    in->counts.events += (int64_t)count;
    in->counts.without_events += count == 0;
    out->sources = sources;
    return true;
}

/* ---- the line ---- */

static json_t *parse_json(const reading *in, const char *text, int64_t bytes)
{
    json_error_t problem;
    json_t *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        ASSAY_FAIL(in->error, ASSAY_BAD_FILE, .where = in->where,
                   .what = assay_text("this line is no JSON, from column %d on", problem.column),
                   .got = problem.text);
    else if (!json_is_object(root))
        refuse(in, "this line is no object", "one user as an object", root);
    return root;
}

bool user_parse(user_history *out, const set_description *description, const char *text,
                int64_t bytes, const char *where, assay_arena *arena, user_counts *counts,
                assay_error *error)
{
    static const char *const keys[] = {"id", "events", "features", "split", "labels", "pairs"};
    reading in = {.description = description, .where = where, .arena = arena, .error = error};
    *out = (user_history){0};
    json_t *root = parse_json(&in, text, bytes);
    bool good = json_is_object(root) && json_only_keys(root, "a user", 6, keys, where, error) &&
                read_id(&in, root, out) && read_split(&in, root, out) &&
                read_features(&in, root, out) && read_labels(&in, root, out) &&
                read_pairs(&in, root, out) && read_events(&in, root, out);
    if (good) {
        counts->events += in.counts.events;
        counts->without_events += in.counts.without_events;
        counts->texts_cut += in.counts.texts_cut;
        counts->over_slots += in.counts.over_slots;
    }
    json_decref(root);
    return good;
}
