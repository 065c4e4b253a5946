/* prefixes.h - training on kept histories (train.cache_prefix): when only what follows a history
 * learns, each history is run once per sample and its keys and values serve every later step. */
#ifndef TRAIN_PREFIXES_H
#define TRAIN_PREFIXES_H

#include "lab/train/assembly.h"

/* Whether this run trains on kept histories. `auto` is: where it can be done. `on` where it can't
 * is an error that says what stands in the way. */
bool prefixes_chosen(const assembly *assembly, const train_options *options, bool *chosen,
                     assay_error *error);

typedef struct prefixes prefixes;

/* Keeps up to options->cache_mb of them, each history's first come first. The caller owns the
 * result. `samples`: of the training set. */
prefixes *prefixes_new(assembly *assembly, const train_options *options, int64_t samples,
                       assay_error *error);
void prefixes_free(prefixes *prefixes); /* accepts NULL */

/* A training pass of a batch of questions (part ASSAY_QUESTION) on its samples' histories, which
 * are run first where they are not kept. Outputs as of assembly_forward. False after a failure,
 * which is on the tape. */
bool prefixes_forward(prefixes *prefixes, assay_tape *tape, const assay_batch *batch,
                      const assay_clock *clock, const assay_wanted *wanted, assay_outputs *out);

/* After a walk back: what was not to be kept goes. */
void prefixes_end(prefixes *prefixes);
int64_t prefixes_bytes(const prefixes *prefixes); /* that are kept */

#endif
