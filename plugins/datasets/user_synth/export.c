/* export.c - synthetic users as the files that dataset.users reads: dataset.json and users.jsonl.
 *
 * A line holds the history only, every event of the chosen sources with nothing cut, so that slots
 * may be chosen again by editing dataset.json. What lies in the window is in the file as answers:
 * the labels of train, valid and test, and the training pairs of the first epoch as pairs, all
 * `until` day 90. dataset.users { pairs = { "given" } } gives the same samples from it; features as
 * well, as long as the users that they are standardised on are all there are. */
#include "synth.h"
#include "tabular.h"
#include "telling.h"

#include <assay/file.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Words of an event's text that are kept (user-modelling spec 1.1); ours are all shorter. */
static const int token_limits[SOURCES] = {
    [BILL] = 50, [APP] = 15, [MINIPRO] = 17, [SOUSUO] = 12, [SPM] = 20};

/* ---- writing in pieces ---- */

typedef struct pen {
    assay_publisher *publisher;
    assay_error *error;
    bool failed;
    int64_t used;
    char buffer[1 << 16];
} pen;

static void flush(pen *p)
{
    if (!p->failed && p->used > 0)
        p->failed = !assay_publish_write(p->publisher, p->buffer, p->used, p->error);
    p->used = 0;
}

static void put(pen *p, const char *text, int64_t bytes)
{
    if (p->used + bytes > (int64_t)sizeof p->buffer)
        flush(p);
    if (bytes > (int64_t)sizeof p->buffer) {
        p->failed = p->failed || !assay_publish_write(p->publisher, text, bytes, p->error);
        return;
    }
    memcpy(p->buffer + p->used, text, (size_t)bytes);
    p->used += bytes;
}

static void put_text(pen *p, const char *text)
{
    put(p, text, (int64_t)strlen(text));
}

static void put_integer(pen *p, int64_t value)
{
    char text[24];
    put(p, text, snprintf(text, sizeof text, "%" PRId64, value));
}

/* The shortest of 12 and 17 digits that reads back as the same number. */
static void put_number(pen *p, double value)
{
    char text[40];
    int bytes = snprintf(text, sizeof text, "%.12g", value);
    double back = 0;
    if (sscanf(text, "%lf", &back) != 1 || back < value || back > value)
        bytes = snprintf(text, sizeof text, "%.17g", value);
    put(p, text, bytes);
}

/* A JSON string of UTF-8. */
static void put_string(pen *p, const char *text, int64_t bytes)
{
    put(p, "\"", 1);
    for (int64_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            put(p, escaped, snprintf(escaped, sizeof escaped, "\\%c", c));
        else if (c < 0x20)
            put(p, escaped, snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)c));
        else
            put(p, text + i, 1);
    }
    put(p, "\"", 1);
}

static void put_name(pen *p, const char *text)
{
    put_string(p, text, (int64_t)strlen(text));
}

/* ---- dataset.json ---- */

static void put_task(pen *p, const synth_task *task)
{
    put_name(p, task->name);
    put_text(p, ":{\"domain\":");
    put_name(p, task->domain);
    put_text(p, ",\"question\":");
    put_name(p, task->question);
    put_text(p, ",\"positive\":");
    put_name(p, task->positive);
    put_text(p, ",\"negative\":");
    put_name(p, task->negative);
    put_text(p, "}");
}

static void put_description(pen *p, const synth_data *data)
{
    put_text(p, "{\"name\":\"user_synth\",\"time_unit\":\"day\",\n \"sources\":{");
    for (int i = 0; i < data->source_count; i++) {
        int s = data->sources[i];
        put_text(p, i > 0 ? "," : "");
        put_name(p, source_names[s]);
        put_text(p, ":{\"slots\":");
        put_integer(p, data->slots[s]);
        put_text(p, ",\"tokens\":");
        put_integer(p, token_limits[s]);
        put_text(p, "}");
    }
    put_text(p, "},\n \"features\":[");
    for (int64_t f = 0; f < data->feature_count; f++) {
        char name[48];
        tabular_name(f, name);
        put_text(p, f > 0 ? "," : "");
        put_name(p, name);
    }
    put_text(p, "],\n \"suites\":{");
    for (int t = 0; t < TASKS; t++) {
        bool begins = t == 0 || strcmp(synth_tasks[t].suite, synth_tasks[t - 1].suite) != 0;
        if (begins) {
            put_text(p, t > 0 ? "},\n  " : "\n  ");
            put_name(p, synth_tasks[t].suite);
            put_text(p, ":{");
        }
        put_text(p, begins ? "\n   " : ",\n   ");
        put_task(p, &synth_tasks[t]);
    }
    put_text(p, "}}}\n");
}

/* ---- users.jsonl ---- */

typedef struct written_user {
    assay_data_split split;
    int64_t user;
    person who;
    life all;
} written_user;

static void put_events(pen *p, const synth_data *data, const written_user *u)
{
    int64_t end = life_from(&u->all, HISTORY);
    bool chosen[SOURCES] = {false}, first = true;
    for (int i = 0; i < data->source_count; i++)
        chosen[data->sources[i]] = true;
    put_text(p, "\"events\":[");
    for (int64_t i = 0; i < end; i++) {
        const life_event *e = &u->all.events[i];
        char text[LONGEST_TEXT];
        if (!chosen[e->source])
            continue;
        put_text(p, first ? "{\"time\":" : ",{\"time\":");
        put_number(p, (double)e->time / TICKS);
        put_text(p, ",\"source\":");
        put_name(p, source_names[e->source]);
        put_text(p, ",\"text\":");
        put_string(p, text, tell_event(e, data->world, text));
        put_text(p, "}");
        first = false;
    }
    put_text(p, "]");
}

static bool put_features(pen *p, const synth_data *data, const written_user *u, assay_arena *arena)
{
    double *raw = assay_arena_alloc(arena, data->feature_count * (int64_t)sizeof *raw, p->error);
    if (raw == NULL)
        return false;
    tabular_of(&u->all, data->noise, u->who.number, data->feature_count, raw);
    put_text(p, ",\"features\":[");
    for (int64_t f = 0; f < data->feature_count; f++) {
        put_text(p, f > 0 ? "," : "");
        put_number(p, raw[f]);
    }
    put_text(p, "]");
    return true;
}

static void put_labels(pen *p, const synth_data *data, const written_user *u)
{
    uint32_t answers = tasks_answer(&data->limits, data->world, &data->streams, &u->who, &u->all);
    put_text(p, ",\"labels\":{");
    for (int t = 0, n = 0; t < TASKS; t++) {
        bool again = false; /* a task of both suites is one label */
        for (int k = 0; k < t; k++)
            again = again || strcmp(synth_tasks[k].name, synth_tasks[t].name) == 0;
        if (again)
            continue;
        put_text(p, n++ > 0 ? "," : "");
        put_name(p, synth_tasks[t].name);
        put_text(p, (answers >> t & 1) != 0 ? ":{\"value\":1" : ":{\"value\":0");
        put_text(p, ",\"until\":90}");
    }
    put_text(p, "}");
}

static bool put_pairs(pen *p, const synth_data *data, const written_user *u, assay_arena *arena)
{
    int64_t pairs = synth_per_user(data, u->split, ASSAY_NO_BENCHMARK);
    put_text(p, ",\"pairs\":[");
    for (int64_t k = 0; k < pairs; k++) {
        assay_sample sample;
        if (!synth_sample(data, u->split, ASSAY_NO_BENCHMARK, u->user * pairs + k, NULL, arena,
                          &sample, p->error))
            return false;
        const assay_field_value *query = &sample.values[data->field_count - 3];
        const assay_field_value *answer = query + 1;
        put_text(p, k > 0 ? ",{\"query\":" : "{\"query\":");
        put_string(p, query->data, query->shape[0]);
        put_text(p, ",\"answer\":");
        put_string(p, answer->data, answer->shape[0]);
        put_text(p, ",\"until\":90}");
    }
    put_text(p, "]");
    return true;
}

static bool put_user(pen *p, const synth_data *data, assay_data_split split, int64_t user,
                     assay_arena *arena)
{
    written_user u = {.split = split, .user = user};
    person_make(&u.who, data->world, &data->streams, synth_number(split, user));
    if (!person_live(&u.who, data->world, &data->streams, DAYS, arena, &u.all, p->error))
        return false;
    put_text(p, "{\"id\":\"");
    put_text(p, assay_split_name(split));
    put_text(p, "-");
    put_integer(p, user);
    put_text(p, "\",\"split\":\"");
    put_text(p, assay_split_name(split));
    put_text(p, "\",");
    put_events(p, data, &u);
    if (data->feature_count > 0 && !put_features(p, data, &u, arena))
        return false;
    if (split != ASSAY_PRETRAIN)
        put_labels(p, data, &u);
    if (data->task < 0 && !put_pairs(p, data, &u, arena))
        return false;
    put_text(p, "}\n");
    return !p->failed;
}

static bool put_users(pen *p, const synth_data *data)
{
    assay_arena *arena = assay_arena_new(0, p->error);
    bool done = arena != NULL;
    for (int split = 0; done && split < ASSAY_SPLITS; split++)
        for (int64_t user = 0; done && user < data->users[split]; user++) {
            assay_arena_reset(arena);
            done = put_user(p, data, (assay_data_split)split, user, arena);
        }
    assay_arena_free(arena);
    return done;
}

/* ---- files ---- */

static bool write_file(const synth_data *data, const char *folder, const char *name, bool users,
                       assay_error *error)
{
    char path[4096];
    bool done = false;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    pen *p = assay_alloc(sizeof *p, error);
    if (p == NULL)
        return false;
    p->failed = false;
    p->used = 0;
    p->error = error;
    p->publisher = assay_publish_begin(path, error);
    if (p->publisher != NULL) {
        done = !users || put_users(p, data);
        if (!users)
            put_description(p, data);
        flush(p);
        done = done && !p->failed;
        if (done)
            done = assay_publish_commit(p->publisher, error);
        else
            assay_publish_abandon(p->publisher);
    }
    assay_free(p);
    return done;
}

bool synth_write(const synth_data *data, const char *folder, assay_error *error)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return ASSAY_FAIL(error, ASSAY_IO, .where = folder, .what = "cannot make this folder",
                          .got = assay_text("%m"));
    return write_file(data, folder, "users.jsonl", true, error) &&
           write_file(data, folder, "dataset.json", false, error);
}
