/* description.h - dataset.json: what the lines of users.jsonl may hold, and what is asked of them.
 *
 *     {"name":"credit","time_unit":"day","sources":{"bill":{"slots":12,"tokens":8}},
 *      "features":["limit","age"],
 *      "suites":{"credit":{"default":{"domain":"risk","question":"Will the client default?",
 *                                     "positive":"defaults","negative":"repays"}}}}
 *
 * `sources` is required; an event's source must be one of them. `slots` (default 64): the newest so
 * many events are given to a model. `tokens` (default 32): an event's text is cut after so many
 * words, a word being what white space separates. A task's name is the label's name; two suites may
 * share it. `domain` may be left out, the other three texts not. `time_unit` is second, minute,
 * hour, day (the default), week, month or year. */
#ifndef USERS_DESCRIPTION_H
#define USERS_DESCRIPTION_H

#include <assay/dataset.h>

#include <jansson.h>

#define DESCRIPTION_MAX_SOURCES 64
#define DESCRIPTION_MAX_LABELS  1024

typedef struct source_rule {
    const char *name;
    int64_t slots, tokens;
} source_rule;

/* What the answer to a task is called, beside what assay_benchmark says of it. */
typedef struct task_words {
    const char *positive, *negative;
    int label; /* its place in description.labels */
} task_words;

typedef struct set_description {
    json_t *root; /* owns the texts */
    int source_count, feature_count, label_count, task_count;
    source_rule *sources;        /* in the file's order */
    const char **source_names;   /* the same, for messages */
    const char **labels;         /* every task's name once, in the order of first mention */
    int *first_task;             /* (label_count) the first task of each label */
    assay_benchmark *benchmarks; /* (task_count), suites together */
    task_words *words;           /* (task_count) */
    const char *time_unit;       /* "day" */
    double thirty_days;          /* in time units */
    char sha256[65];             /* of the file's bytes */
} set_description;

/* Reads and checks the file. description_clear ends it, also after a failure. */
bool description_read(set_description *out, const char *path, assay_error *error);
void description_clear(set_description *description); /* accepts a zeroed value */

/* The place of a source or label by name (`bytes` long); -1 without it. */
int description_source(const set_description *description, const char *name, size_t bytes);
int description_label(const set_description *description, const char *name);

#endif
