/* cli/export.h - what `assay export` writes into a folder. */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "lab/report/report.h"

#include <assay/weights.h>

typedef struct export_run {
    int64_t run_id;
    char hash[65];
    bool done;
} export_run;

typedef struct export_request {
    const char *store;
    int count;
    const export_run *runs;
    bool each; /* the weights of every run in a folder run_N of its own */
    bool weights, scores, series;
    bool merge;
    assay_stored_dtype dtype;
    int64_t shard_bytes;
} export_request;

/* The runs that `word` means: an experiment's newest plan (*each is true), or one run. Owned by the
 * caller (assay_free); NULL with the error. */
export_run *export_find(const char *store, const char *word, int *count, bool *each,
                        assay_error *error);

/* Writes what is asked for into `folder`, which is there and empty. */
bool export_write(const export_request *request, const char *folder, assay_error *error);

#endif
