/* description.c - reading and checking dataset.json (description.h). */
#include "description.h"

#include "json.h"

#include <assay/file.h>
#include <assay/hash.h>

#include <string.h>

#define LARGEST_DESCRIPTION (16 << 20) /* bytes */
#define STANDARD_SLOTS      64
#define STANDARD_TOKENS     32
#define MOST_OF_A_RULE      (1 << 20) /* slots and tokens */
#define MOST_FEATURES       65536
#define MOST_TASKS          4096

/* ---- time ---- */

static bool read_time_unit(set_description *out, const char *path, assay_error *error)
{
    static const char *const names[] = {"second", "minute", "hour", "day", "week", "month", "year"};
    static const double thirty_days[] = {30 * 86400.0, 30 * 1440.0, 30 * 24.0,   30.0,
                                         30.0 / 7.0,   1.0,         30.0 / 365.0};
    json_t *value = json_object_get(out->root, "time_unit");
    const char *name = value == NULL ? "day" : json_string_value(value);
    for (int i = 0; name != NULL && i < 7; i++)
        if (strcmp(name, names[i]) == 0) {
            out->time_unit = names[i];
            out->thirty_days = thirty_days[i];
            return true;
        }
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "unknown time_unit",
                      .expected = "second, minute, hour, day, week, month or year",
                      .got = json_kind(value));
}

/* ---- sources ---- */

/* The other fields of a sample have these names (users.c). */
static bool name_is_free(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= 64 && strcmp(name, "features") != 0 &&
           strcmp(name, "query") != 0 && strcmp(name, "answer") != 0 &&
           (length < 5 || strcmp(name + length - 5, ".time") != 0);
}

static bool read_limit(json_t *rule, const char *key, int64_t standard, int64_t *out,
                       const char *where, assay_error *error)
{
    json_t *value = json_object_get(rule, key);
    *out = value == NULL ? standard : json_integer_value(value);
    if ((value == NULL || json_is_integer(value)) && *out >= 1 && *out <= MOST_OF_A_RULE)
        return true;
    return ASSAY_FAIL(
        error, ASSAY_BAD_FILE, .where = where, .what = assay_text("'%s' is no such number", key),
        .expected = assay_text("an integer of 1 to %d", MOST_OF_A_RULE), .got = json_kind(value));
}

static bool read_source(source_rule *out, const char *name, json_t *rule, const char *path,
                        assay_error *error)
{
    static const char *const keys[] = {"slots", "tokens"};
    const char *where = assay_text("%.150s: source '%.64s'", path, name);
    out->name = name;
    if (!name_is_free(name))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where,
                          .what = "this is no name for a source",
                          .expected = "1 to 64 bytes, not features, query, answer or NAME.time");
    if (!json_is_object(rule))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where, .what = "a source is an object",
                          .expected = "{\"slots\":12,\"tokens\":8}", .got = json_kind(rule));
    return json_only_keys(rule, "a source", 2, keys, where, error) &&
           read_limit(rule, "slots", STANDARD_SLOTS, &out->slots, where, error) &&
           read_limit(rule, "tokens", STANDARD_TOKENS, &out->tokens, where, error);
}

static bool read_sources(set_description *out, const char *path, assay_error *error)
{
    json_t *all = json_object_get(out->root, "sources"), *rule = NULL;
    const char *name = NULL;
    int64_t count = (int64_t)json_object_size(all);
    if (!json_is_object(all) || count < 1 || count > DESCRIPTION_MAX_SOURCES)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "'sources' is missing",
                          .expected = assay_text("an object of 1 to %d sources, each like "
                                                 "\"bill\":{\"slots\":12,\"tokens\":8}",
                                                 DESCRIPTION_MAX_SOURCES),
                          .got = json_is_object(all) ? assay_text("%lld sources", (long long)count)
                                                     : json_kind(all));
    out->sources = assay_zalloc(count * (int64_t)sizeof *out->sources, error);
    out->source_names = assay_zalloc(count * (int64_t)sizeof *out->source_names, error);
    if (out->sources == NULL || out->source_names == NULL)
        return false;
    json_object_foreach(all, name, rule)
    {
        if (!read_source(&out->sources[out->source_count], name, rule, path, error))
            return false;
        out->source_names[out->source_count++] = name;
    }
    return true;
}

/* Feature names only tell people what the numbers are; their count is what lines are held to. */
static bool read_features(set_description *out, const char *path, assay_error *error)
{
    json_t *all = json_object_get(out->root, "features"), *name = NULL;
    size_t i = 0;
    if (all == NULL)
        return true;
    if (!json_is_array(all) || json_array_size(all) > MOST_FEATURES)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "'features' is no list",
                          .expected = assay_text("a list of at most %d names", MOST_FEATURES),
                          .got = json_kind(all));
    json_array_foreach(all, i, name)
    {
        if (!json_is_string(name))
            return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                              .what = assay_text("feature %zu is no name", i + 1),
                              .expected = "a text", .got = json_kind(name));
    }
    out->feature_count = (int)json_array_size(all);
    return true;
}

/* ---- suites ---- */

static int label_place(set_description *out, const char *name)
{
    int place = description_label(out, name);
    if (place >= 0)
        return place;
    out->labels[out->label_count] = name;
    out->first_task[out->label_count] = out->task_count;
    return out->label_count++;
}

static bool read_task(set_description *out, const char *suite, const char *name, json_t *task,
                      const char *path, assay_error *error)
{
    static const char *const keys[] = {"domain", "question", "positive", "negative"};
    const char *where = assay_text("%.120s: task '%.60s' of suite '%.60s'", path, name, suite);
    json_t *domain = json_object_get(task, "domain");
    if (!json_is_object(task))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where, .what = "a task is an object",
                          .expected = "{\"question\":...,\"positive\":...,\"negative\":...}",
                          .got = json_kind(task));
    if (!json_only_keys(task, "a task", 4, keys, where, error))
        return false;
    if (domain != NULL && !json_is_string(domain))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = where, .what = "'domain' is no text",
                          .got = json_kind(domain));
    const char *question = json_text_of(task, "question", "the task", where, error);
    const char *positive = json_text_of(task, "positive", "the task", where, error);
    const char *negative = json_text_of(task, "negative", "the task", where, error);
    if (question == NULL || positive == NULL || negative == NULL)
        return false;
    out->words[out->task_count] = (task_words){positive, negative, label_place(out, name)};
    out->benchmarks[out->task_count++] =
        (assay_benchmark){.suite = suite,
                          .name = name,
                          .domain = domain != NULL ? json_string_value(domain) : "",
                          .question = question,
                          .classes = 2};
    return true;
}

static bool count_tasks(const set_description *in, int64_t *out, const char *path,
                        assay_error *error)
{
    json_t *all = json_object_get(in->root, "suites"), *suite = NULL;
    const char *name = NULL;
    *out = 0;
    if (all != NULL && !json_is_object(all))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "'suites' is no object",
                          .got = json_kind(all));
    json_object_foreach(all, name, suite)
    {
        if (!json_is_object(suite) || json_object_size(suite) == 0)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                              .where = assay_text("%.180s: suite '%.60s'", path, name),
                              .what = "a suite is an object of tasks", .got = json_kind(suite));
        *out += (int64_t)json_object_size(suite);
    }
    if (*out > MOST_TASKS)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "too many tasks",
                          .expected = assay_text("at most %d", MOST_TASKS),
                          .got = assay_text("%lld", (long long)*out));
    return true;
}

static bool read_suites(set_description *out, const char *path, assay_error *error)
{
    json_t *suite = NULL, *task = NULL;
    const char *suite_name = NULL, *name = NULL;
    int64_t count = 0;
    if (!count_tasks(out, &count, path, error))
        return false;
    out->benchmarks = assay_zalloc(count * (int64_t)sizeof *out->benchmarks, error);
    out->words = assay_zalloc(count * (int64_t)sizeof *out->words, error);
    out->labels = assay_zalloc(count * (int64_t)sizeof *out->labels, error);
    out->first_task = assay_zalloc(count * (int64_t)sizeof *out->first_task, error);
    if (out->benchmarks == NULL || out->words == NULL || out->labels == NULL ||
        out->first_task == NULL)
        return false;
    json_object_foreach(json_object_get(out->root, "suites"), suite_name, suite)
    {
        json_object_foreach(suite, name, task)
        {
            if (!read_task(out, suite_name, name, task, path, error))
                return false;
        }
    }
    if (out->label_count > DESCRIPTION_MAX_LABELS)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "too many labels",
                          .expected = assay_text("at most %d", DESCRIPTION_MAX_LABELS),
                          .got = assay_text("%d", out->label_count));
    return true;
}

/* ---- the whole file ---- */

static bool parse(set_description *out, const char *text, int64_t bytes, const char *path,
                  assay_error *error)
{
    json_error_t problem;
    out->root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &problem);
    if (out->root == NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = json_place(path, problem.line),
                          .what = "this is no JSON", .got = problem.text);
    if (!json_is_object(out->root))
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                          .what = "the description is no object", .got = json_kind(out->root));
    return true;
}

bool description_read(set_description *out, const char *path, assay_error *error)
{
    static const char *const keys[] = {"name", "time_unit", "sources", "features", "suites"};
    int64_t bytes = 0;
    *out = (set_description){0};
    char *text = assay_read_file(path, LARGEST_DESCRIPTION, &bytes, error);
    if (text == NULL)
        return false;
    assay_sha256_of(text, (size_t)bytes, out->sha256);
    bool good = parse(out, text, bytes, path, error) &&
                json_only_keys(out->root, "dataset.json", 5, keys, path, error) &&
                read_time_unit(out, path, error) && read_sources(out, path, error) &&
                read_features(out, path, error) && read_suites(out, path, error);
    json_t *name = json_object_get(out->root, "name");
    if (good && name != NULL && !json_is_string(name))
        good = ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path, .what = "'name' is no text",
                          .got = json_kind(name));
    assay_free(text);
    return good;
}

void description_clear(set_description *description)
{
    assay_free(description->sources);
    assay_free(description->source_names);
    assay_free(description->labels);
    assay_free(description->first_task);
    assay_free(description->benchmarks);
    assay_free(description->words);
    json_decref(description->root);
    memset(description, 0, sizeof *description);
}

int description_source(const set_description *description, const char *name, size_t bytes)
{
    for (int i = 0; i < description->source_count; i++)
        if (strlen(description->sources[i].name) == bytes &&
            memcmp(description->sources[i].name, name, bytes) == 0)
            return i;
    return -1;
}

int description_label(const set_description *description, const char *name)
{
    for (int i = 0; i < description->label_count; i++)
        if (strcmp(description->labels[i], name) == 0)
            return i;
    return -1;
}
