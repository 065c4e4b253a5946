/* sets.h - which samples there are: every (split, benchmark) is a numbered set.
 *
 * A set's samples come in the order of the users in the file, a user's own in the order of the pair
 * makers. A number is found by a table of how many samples stand before each block of users, then
 * by a walk through one block; the table has at most SETS_BLOCKS entries. */
#ifndef USERS_SETS_H
#define USERS_SETS_H

#include "index.h"

#define SETS_BLOCKS 2048

typedef enum pair_maker { PAIRS_GIVEN, PAIRS_LABELS, PAIRS_FUTURE, PAIRS_UQA } pair_maker;
#define PAIR_MAKERS 4

typedef struct set_rules {
    int maker_count;
    pair_maker makers[PAIR_MAKERS]; /* in the order of a user's samples */
    int task;                       /* samples of all splits but pretrain are this task's; -1: the
                                       makers' everywhere */
    double window;                  /* of the future pairs, in time units */
    int64_t limit;                  /* users of each split; 0: all */
    int64_t uqa_pairs;              /* of a user with events */
} set_rules;

typedef struct sample_set {
    int64_t count;
    int64_t end;     /* users before this one belong to it */
    int64_t *before; /* (blocks) samples before each block */
} sample_set;

typedef struct sample_sets {
    const users_index *index; /* borrowed */
    set_rules rules;
    int set_count; /* (ASSAY_SPLITS, 1 + tasks) */
    int64_t block; /* users of a block */
    int64_t blocks;
    sample_set *sets;
} sample_sets;

/* Counts every set. sets_clear ends it, also after a failure. */
bool sets_make(sample_sets *out, const users_index *index, const set_rules *rules,
               assay_error *error);
void sets_clear(sample_sets *sets); /* accepts a zeroed value */

/* `benchmark` as in assay/dataset.h: ASSAY_NO_BENCHMARK for training samples. */
const sample_set *sets_get(const sample_sets *sets, assay_data_split split, int benchmark);

/* What a sample is made from. */
typedef struct sample_source {
    int64_t user;     /* its number in the index */
    pair_maker maker; /* of a training sample */
    int64_t item;     /* pair or label of the user, or uqa pair of an epoch, from 0 */
    int task;         /* the sample is this task's; -1: the maker's */
} sample_source;

/* Sample `number` (0 .. count-1) of a set. */
sample_source sets_find(const sample_sets *sets, assay_data_split split, int benchmark,
                        int64_t number);

/* The labels of samples first .. first + n - 1 of a benchmark's set, in order. */
void sets_labels(const sample_sets *sets, assay_data_split split, int benchmark, int64_t first,
                 int64_t n, int32_t *out);

/* Where the future of a user's next-period pair begins: its events have time > this. */
double sets_future_from(const sample_sets *sets, int64_t user);

#endif
