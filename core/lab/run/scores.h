/* run/scores.h - values that an earlier stage's score gives to an option of a later run. */
#ifndef LAB_RUN_SCORES_H
#define LAB_RUN_SCORES_H

#include "lab/script/plan.h"
#include "lab/store/store.h"

/* A copy of the run's recipe in which every value that waits for a score has it, read from the
 * store (run_ids: of the plan's runs) and checked against its option. With `lease`, each is
 * recorded as a parameter of that run. The caller ends *out with recipe_clear. */
bool scores_resolve(const plan *plan, int run, const int64_t *run_ids, store_handle *store,
                    store_lease *lease, recipe *out, assay_error *error);

#endif
