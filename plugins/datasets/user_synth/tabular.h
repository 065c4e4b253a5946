/* tabular.h - the tabular source: aggregates of the history, then noise. */
#ifndef USER_SYNTH_TABULAR_H
#define USER_SYNTH_TABULAR_H

#include "person.h"

enum { AGGREGATES = 64 };

/* The first `count` features of a user as they are, before any standardising: the aggregates, each
 * as log(1 + x), then standard normals that say nothing. */
void tabular_of(const life *l, assay_stream noise, uint64_t number, int64_t count, double *out);

/* A name for people, in `out` (48 bytes): "games 7d", "noise 3". */
void tabular_name(int64_t feature, char out[48]);

#endif
