/* walk.h - a set of samples through the network in order, as evaluators and starting losses see
 * it. */
#ifndef TRAIN_WALK_H
#define TRAIN_WALK_H

#include "lab/train/loader.h"

typedef struct set_walk {
    assembly *assembly;
    assay_tape *tape; /* of the assembly */
    const train_options *options;
    const volatile sig_atomic_t *stop;
    const char *who; /* "evaluator linear_probe", for messages; a passing text */
    assay_data_split split;
    int benchmark;
    int64_t most; /* samples; 0: all */
    const assay_wanted *wanted;
} set_walk;

/* Shows every batch to `visit`, in evaluation, by the clock of assembly_network. An empty set is
 * none. Ends with ASSAY_STOPPED when `stop` is set. */
bool walk_set(const set_walk *walk, assay_visitor visit, void *visitor, assay_error *error);

/* Lets every loss that has a `prepare` look at the training set before the first step. */
bool walk_prepare(assembly *assembly, const train_options *options,
                  const volatile sig_atomic_t *stop, assay_error *error);

#endif
