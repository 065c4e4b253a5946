/* user.h - one user, as a line says and as the index keeps it. */
#ifndef USERS_USER_H
#define USERS_USER_H

#include "description.h"

/* The events of one source, oldest first; texts stand one behind the other. */
typedef struct user_events {
    int64_t count;
    const double *times;
    const uint32_t *ends; /* text i is bytes ends[i-1] (0 for the first) .. ends[i] - 1 */
    const char *text;
} user_events;

/* A user's answer to a task: what is asked is about the events before `until`. */
typedef struct user_label {
    double until;  /* infinite: all events */
    int32_t label; /* its place in description.labels */
    int32_t value; /* 0 or 1 */
} user_label;

/* A question and its answer as the file gives them, with the same `until`. Texts lie in
 * user.pair_text. */
typedef struct user_pair {
    double until;
    uint32_t query_at, query_bytes, answer_at, answer_bytes;
} user_pair;

/* Everything is borrowed from the arena that the user was read in. */
typedef struct user_history {
    const char *id;
    int64_t id_bytes;
    assay_data_split split;
    const double *features; /* (description.feature_count) raw; NaN: null */
    int64_t label_count, pair_count, pair_text_bytes;
    const user_label *labels; /* by label */
    const user_pair *pairs;   /* in the file's order */
    const char *pair_text;
    const user_events *sources; /* (description.source_count) */
} user_history;

/* What was cut or passed over while reading; sums over the file. */
typedef struct user_counts {
    int64_t events, without_events; /* users without any */
    int64_t texts_cut;              /* events whose text was longer than the source's `tokens` */
    int64_t over_slots;             /* events beyond the source's `slots`, before any cut-off */
} user_counts;

/* Longer than this many bytes per allowed word, a text is cut within a word. */
#define USER_WORD_BYTES 64
#define USER_LONGEST_ID 256 /* bytes */

/* Reads one line. `where` is its place for messages. Adds to `counts` only on success. */
bool user_parse(user_history *out, const set_description *description, const char *text,
                int64_t bytes, const char *where, assay_arena *arena, user_counts *counts,
                assay_error *error);

/* The split of an id that has none: the first 8 bytes of its SHA-256 as a big-endian number, modulo
 * 100: below 50 pretrain, below 75 train, below 80 valid, else test. */
assay_data_split user_split_of_id(const char *id, int64_t bytes);

/* The number of events before `until`, the oldest first. */
int64_t user_events_before(const user_events *events, double until);

/* The end of what a training pair may be made of: the earliest `until` of a label, so that what a
 * label asks for cannot come back as a training text; infinite without one. */
double user_horizon(const user_history *user);

/* ---- the same as bytes, for the index ---- */

/* In `arena`, aligned to 8; *out is borrowed from it. */
bool user_pack(const user_history *user, const set_description *description, assay_arena *arena,
               const uint8_t **out, int64_t *bytes, assay_error *error);
/* The other way round: *out borrows from `data` (aligned to 8) and `arena`. Fails when the bytes do
 * not fit the description; `where` is for the message. */
bool user_unpack(user_history *out, const set_description *description, const uint8_t *data,
                 int64_t bytes, const char *where, assay_arena *arena, assay_error *error);

#endif
