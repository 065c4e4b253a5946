/* index.h - the index of a users file: made by one checking pass, read without the file.
 *
 * It lies beside the file as NAME.index or, where that folder cannot be written, in the cache
 * folder. It holds every user as a packed record, a table with a row for each, the labels as a
 * matrix, and the features' mean and spread, so that a sample costs one read and no JSON. It is
 * valid as long as the file's size, times and inode, and the bytes of dataset.json, are what they
 * were, and its checksums hold; else it is made again. It is published whole: a reader meets the
 * old one or the new one, two processes may make it at once, an interrupted one was never there.
 *
 * The table and the labels are mapped (48 bytes a user and one a label, which the system takes back
 * when it needs them); records are read when asked for. Nothing else grows with the number of
 * users. */
#ifndef USERS_INDEX_H
#define USERS_INDEX_H

#include "user.h"

#include <assay/plugin.h>

/* One user. Kept as it is in the file. */
typedef struct index_row {
    int64_t offset;           /* of the record */
    double first, last;       /* time of the first and last event before the horizon; NaN: none */
    uint32_t bytes, checksum; /* of the record; CRC-32 */
    uint32_t pairs;
    uint16_t labels;
    uint8_t split, spare;
} index_row;

typedef struct index_counts {
    int64_t users, in_split[ASSAY_SPLITS];
    int64_t skipped; /* broken lines and duplicates */
    user_counts cut;
} index_counts;

typedef struct index_footer index_footer;

typedef struct users_index {
    const set_description *description; /* borrowed */
    char *path;                         /* of the index */
    int fd;
    void *map; /* rows to the end */
    int64_t map_bytes;
    const index_row *rows;      /* (users) in the file's order */
    const int8_t *labels;       /* (users, labels): 0, 1, or -1 for none */
    const double *mean, *scale; /* (features) a feature x is given as (x - mean) * scale */
    const index_footer *footer;
    index_counts counts;
    char fingerprint[65];
    assay_data_split home; /* where models are trained: pretrain, or train without it */
    bool made;             /* by this call of index_open, not found */
} users_index;

/* Finds or makes the index of `users_path`. A broken line is an error; with `skip`, it is left out
 * and counted. `host` may lack a cache folder. index_close ends it, also after a failure. */
bool index_open(users_index *out, const set_description *description, const char *users_path,
                const assay_host *host, bool skip, assay_error *error);
void index_close(users_index *index); /* accepts a zeroed value */

/* User number `user`, borrowed from `arena`. Any thread. */
bool index_read(const users_index *index, int64_t user, assay_arena *arena,
                struct user_history *out, assay_error *error);

#endif
