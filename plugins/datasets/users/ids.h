/* ids.h - the ids seen so far, on disk, so that a duplicate is found at its line in bounded
 * memory. */
#ifndef USERS_IDS_H
#define USERS_IDS_H

#include <assay/error.h>

#include <stdint.h>

typedef struct id_set id_set;

/* Keeps its table in a nameless file of `folder`. The caller owns it. */
id_set *id_set_new(const char *folder, assay_error *error);
void id_set_free(id_set *set); /* accepts NULL */

/* Adds the id of `line` (from 1). *first is 0 when it is new, else the line that has it already. */
bool id_set_add(id_set *set, const char *id, int64_t bytes, int64_t line, int64_t *first,
                assay_error *error);

#endif
