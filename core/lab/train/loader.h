/* loader.h - batches made ready on a thread of their own while the model computes.
 *
 * A loader walks positions first .. end of a set in items of `size`. Position p is sample p mod n
 * of epoch p / n (n samples in the set), in the order of the permutation that (seed, "data/order",
 * epoch) addresses, or as they lie. There is no state: where to go on is a number. */
#ifndef TRAIN_LOADER_H
#define TRAIN_LOADER_H

#include "lab/train/assembly.h"

typedef struct loader_plan {
    assembly *assembly;
    assay_data_split split;
    int benchmark;
    const assay_wanted *wanted; /* borrowed */
    assay_phase phase;
    int64_t first, end;   /* positions */
    int64_t size, pieces; /* samples of an item, and batches that it is cut into */
    uint64_t seed;
    bool shuffle, augment;
    assay_part_of part; /* of the model's towers that is collated */
    bool balance;       /* classes take turns (balance.h); the set has no benchmark then */
} loader_plan;

typedef struct loader_item {
    assay_batch whole; /* samples and labels of all; towers only with one piece */
    int64_t piece_count;
    assay_batch *pieces; /* (piece_count) */
    assay_arena *arena;  /* in which all of it is */
} loader_item;

typedef struct loader loader;

/* Starts the thread. The caller owns the loader. The set is not empty. */
loader *loader_new(const loader_plan *plan, assay_error *error);
void loader_free(loader *loader); /* ends the thread; accepts NULL */

/* The next item, waiting until it is ready; NULL with *error set when it could not be made, and
 * without one after the last. Borrowed until the following call. `waited` (or NULL) gets the
 * seconds. */
const loader_item *loader_next(loader *loader, double *waited, assay_error *error);

double train_seconds(void); /* a clock that is never set */

#endif
