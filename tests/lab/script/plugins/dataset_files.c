/* dataset_files.c - a dataset with a path that has to be given. */
#include "plan_only.h"

#include <assay/dataset.h>

typedef struct options {
    const char *path;
    assay_texts sources;
    int64_t limit;
} options;

static const assay_option table[] = {
    ASSAY_PATH(options, path, ASSAY_OPTION_REQUIRED, "a folder of files"),
    ASSAY_TEXTS(options, sources, NULL, NULL, "which of its parts are read; none: all"),
    ASSAY_INTEGER(options, limit, "samples", 0, 0, 1 << 20, "most that are read; 0: all"),
};

static void *files_open(const void *settings, const assay_host *host, assay_error *error)
{
    (void)settings;
    (void)host;
    PLAN_ONLY(error);
    return NULL;
}

static void files_close(void *dataset)
{
    (void)dataset;
}

static const char *files_fingerprint(void *dataset)
{
    (void)dataset;
    return "";
}

static const assay_field *files_fields(void *dataset, int *count)
{
    (void)dataset;
    *count = 0;
    return NULL;
}

static int64_t files_count(void *dataset, assay_data_split split, int benchmark)
{
    (void)dataset;
    (void)split;
    (void)benchmark;
    return 0;
}

static bool files_sample(void *dataset, assay_data_split split, int benchmark, int64_t index,
                         const assay_draw *draw, assay_arena *arena, assay_sample *out,
                         assay_error *error)
{
    (void)dataset;
    (void)split;
    (void)benchmark;
    (void)index;
    (void)draw;
    (void)arena;
    (void)out;
    return PLAN_ONLY(error);
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = files_open,
    .close = files_close,
    .fingerprint = files_fingerprint,
    .fields = files_fields,
    .count = files_count,
    .sample = files_sample,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "files", 1, "files of a folder", options, table, functions);
