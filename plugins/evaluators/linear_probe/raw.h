/* raw.h - a benchmark's samples as columns that any table of data would have, for baselines. */
#ifndef LINEAR_PROBE_RAW_H
#define LINEAR_PROBE_RAW_H

#include "probing.h"

/* Which columns. One-hot columns are (source, place from the newest event, word): 1 when that event
 * has that word. They are found on the train split: words of at least RAW_LEAST rows, the RAW_MOST
 * most frequent. Counts pool all events, wherever they stand: log(1 + how often) of (source, word)
 * and of (source), found likewise, the RAW_MOST_COUNTS most frequent. */
enum { RAW_COLUMNS = 1, RAW_ONEHOT = 2, RAW_COUNTS = 4 };
enum { RAW_LEAST = 3, RAW_MOST = 256, RAW_MOST_COUNTS = 256, RAW_PLACES = 32 };

typedef struct raw raw;

/* Finds the columns of a choice. The caller owns the result. */
raw *raw_new(const probing *p, int choice, assay_error *error);
void raw_free(raw *columns); /* accepts NULL */
/* Columns of a choice, one or several together; 0: the dataset has no such fields. */
int64_t raw_width(const raw *columns, int choice);
/* The rows of a split; the caller owns the arrays. */
bool raw_set(const raw *columns, const probing *p, int choice, assay_data_split split,
             labelled *out, assay_error *error);

#endif
