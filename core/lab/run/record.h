/* run/record.h - the plan into the store. */
#ifndef LAB_RUN_RECORD_H
#define LAB_RUN_RECORD_H

#include "lab/script/plan.h"
#include "lab/store/store.h"

/* Writes every run of the plan with what describes it, in one transaction; run_ids (one per run)
 * get the store's numbers. */
bool record_plan(const plan *plan, const char *device, store_handle *store, int64_t *run_ids,
                 assay_error *error);

/* The same numbers, of a plan that the store knows; done (NULL or one per run) tells which are. */
bool record_read(const plan *plan, const char *store_path, int64_t *run_ids, bool *done,
                 assay_error *error);

#endif
