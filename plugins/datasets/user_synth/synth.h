/* synth.h - an open `user_synth` dataset, between the plugin's functions and the making of
 * samples. */
#ifndef USER_SYNTH_SYNTH_H
#define USER_SYNTH_SYNTH_H

#include "maker.h"
#include "tasks.h"

#include <assay/dataset.h>

/* What a script may say (the table is in user_synth.c). */
typedef struct synth_options {
    int64_t users, probe_users, valid_users, test_users, seed;
    int slots; /* a slots preset: tiny, small, paper */
    assay_texts sources, pairs;
    int64_t features; /* -1: the preset's */
    double activity, noise;
    int future_choice; /* a future_choice */
    const char *future_question, *task;
    int64_t uqa_pairs;
    double draft_errors, hard;
    bool reflection, without_questions;
    const char *hard_scores;
} synth_options;

typedef enum synth_maker { MAKES_LABELS, MAKES_FUTURE, MAKES_UQA } synth_maker;
#define SYNTH_MAKERS 3

/* What the first users that models are trained on hold, and what of it a sample does not give. */
typedef struct synth_counts {
    int64_t users, without_events, events, over_slots;
} synth_counts;

typedef struct synth_data {
    const synth_options *options; /* borrowed: lives as long as the dataset */
    world *world;
    life_streams streams;
    assay_stream noise, choice; /* of noise features, and of random futures */
    thresholds limits;
    int64_t users[ASSAY_SPLITS];
    int source_count, sources[SOURCES]; /* chosen ones, in the script's order */
    int64_t slots[SOURCES];
    int64_t feature_count;
    double *mean, *scale; /* (features) a feature x is given as (x - mean) * scale */
    synth_counts seen;    /* of the users that mean and scale are of */
    int maker_count;
    synth_maker makers[SYNTH_MAKERS]; /* in the order of a user's samples */
    int task;                         /* training samples are those of this task; -1: the makers' */
    uqa_maker uqa;                    /* where `pairs` has uqa */
    int field_count;
    assay_field fields[2 * SOURCES + 4];
    assay_benchmark benchmarks[TASKS];
    char fingerprint[65];
} synth_data;

/* A user's number, from which all of the user follows: splits lie far apart, so that a user is the
 * same whatever the sizes of the splits are. */
static inline uint64_t synth_number(assay_data_split split, int64_t user)
{
    return (uint64_t)split << 48 | (uint64_t)user;
}

/* The other way round. */
static inline assay_data_split synth_split_of(uint64_t number)
{
    return (assay_data_split)(number >> 48);
}

static inline int64_t synth_user_of(uint64_t number)
{
    return (int64_t)(number & ((UINT64_C(1) << 48) - 1));
}

/* Samples of a set, and of each of its users. */
int64_t synth_count(const synth_data *data, assay_data_split split, int benchmark);
int64_t synth_per_user(const synth_data *data, assay_data_split split, int benchmark);

/* As uqa_reader; `dataset` is the synth_data. */
bool synth_read_calibration(void *dataset, int64_t which, assay_arena *arena, uqa_history *out,
                            uint64_t *number, assay_error *error);

/* As the functions of assay_dataset_functions. */
bool synth_sample(const synth_data *data, assay_data_split split, int benchmark, int64_t number,
                  const assay_draw *draw, assay_arena *arena, assay_sample *out,
                  assay_error *error);
bool synth_labels(const synth_data *data, assay_data_split split, int benchmark, int64_t first,
                  int64_t n, int32_t *out, assay_error *error);

/* Writes users.jsonl and dataset.json into the folder, which is made if it is not there. */
bool synth_write(const synth_data *data, const char *folder, assay_error *error);

#endif
