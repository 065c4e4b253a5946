/* users_place.h - a folder with a users dataset in it, for the tests of the plugin `users`. */
#ifndef TEST_USERS_PLACE_H
#define TEST_USERS_PLACE_H

#include <assay/dataset.h>

#include "users.h"

/* The plugin itself, linked in. */
extern const assay_plugin assay_plugin_entry;
const assay_dataset_functions *users_functions(void);

typedef struct users_place {
    char folder[64];
    char cache[96]; /* a folder for the host to offer */
    assay_host host;
    users_options options; /* defaults of the table, with `folder` as path */
    assay_arena *arena;
} users_place;

int users_place_make(void **state);
int users_place_remove(void **state);

/* Writes text to FOLDER/NAME. */
void must_write(const users_place *place, const char *name, const char *text);
/* Two sources (bill: 3 slots of 4 words; app: 2 slots of 2 words), two features, the suite "risk"
 * with tasks "default" and "fraud", time in days. */
void write_description(const users_place *place);

void *must_open(users_place *place);
/* What opening fails with. */
assay_error must_refuse(users_place *place, assay_code code);

/* The sample, in the place's arena. */
assay_sample must_sample(users_place *place, void *data, assay_data_split split, int benchmark,
                         int64_t number);

/* One line about a sample in `out`: "bill[-2 rent|-1 food x] app[] f[0.50 0.00] q[..] a[..] 1", the
 * label last. */
const char *tell(users_place *place, void *data, assay_data_split split, int benchmark,
                 int64_t number, char *out, size_t size);

/* SHA-256 of every value of every sample of all sets, except those of users that `leave_out` (a
 * split, or -1) holds. Shapes and times are in it. */
void digest(users_place *place, void *data, int leave_out, char hex[65]);

#endif
