/* users.h - an open `users` dataset, between the plugin's functions and the making of samples. */
#ifndef USERS_USERS_H
#define USERS_USERS_H

#include "maker.h"
#include "sets.h"

/* What a script may say (the table is in users.c). */
typedef struct users_options {
    const char *path;
    assay_texts sources, pairs;
    int on_error; /* 0 stop, 1 skip */
    double future;
    const char *future_question, *task;
    int64_t limit;
    int future_choice; /* a future_choice */
    int64_t uqa_pairs;
    double draft_errors, hard;
    bool reflection, without_questions;
    const char *hard_scores;
} users_options;

typedef struct users_data {
    set_description description;
    users_index index;
    sample_sets sets;
    uqa_maker uqa;                        /* where `pairs` has uqa */
    char fingerprint[65];                 /* the index's, with what else a sample depends on */
    const users_options *options;         /* borrowed: lives as long as the dataset */
    int source_count;                     /* chosen ones */
    int sources[DESCRIPTION_MAX_SOURCES]; /* their places in the description, in order */
    int field_count;
    assay_field *fields;
    char *field_names; /* of the ".time" fields */
} users_data;

/* The fields of a sample, in order: for each chosen source its texts and times; features, where the
 * description has any; query; answer; id, for people and files alone. */
bool users_make_fields(users_data *data, assay_error *error);

/* What the uqa pairs of a user are made of: the events before the earliest `until` of a label. */
bool users_read_uqa(const users_data *data, const user_history *user, assay_arena *arena,
                    uqa_history *out, assay_error *error);

/* As assay_dataset_functions.sample. */
bool users_sample(users_data *data, assay_data_split split, int benchmark, int64_t number,
                  int64_t epoch, assay_arena *arena, assay_sample *out, assay_error *error);

#endif
