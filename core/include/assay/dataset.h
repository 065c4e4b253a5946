/* assay/dataset.h - the functions of a dataset plugin, and what a sample is.
 *
 * A dataset provides named fields, splits, and suites of benchmarks. It gives samples by index, so
 * the order, the shuffling and the threads are the host's. Two kinds of samples stand side by side:
 * those a model is trained on (benchmark ASSAY_NO_BENCHMARK: for users, a history with a question
 * and an answer) and those of a benchmark (a history up to its cut-off with the benchmark's
 * question, and a label). */
#ifndef ASSAY_DATASET_H
#define ASSAY_DATASET_H

#include <assay/memory.h>
#include <assay/plugin.h>

/* pretrain: models; train: probes and fine-tuning; valid: choices; test: the report, at the end. A
 * dataset without pretrain samples is trained on `train`. */
typedef enum assay_data_split {
    ASSAY_PRETRAIN,
    ASSAY_TRAIN,
    ASSAY_VALID,
    ASSAY_TEST
} assay_data_split;
#define ASSAY_SPLITS 4

/* "pretrain", "train", "valid", "test". */
static inline const char *assay_split_name(assay_data_split split)
{
    static const char *const names[ASSAY_SPLITS] = {"pretrain", "train", "valid", "test"};
    return names[split];
}

/* ---- fields and samples ---- */

#define ASSAY_RAGGED (-1) /* an extent that differs from sample to sample */

/* A field's shape may begin with one or two ragged axes: (T) ids; (events, bytes) texts of a
 * source; the rest is fixed. Text is u8, UTF-8, without a closing NUL. */
typedef struct assay_field {
    const char *name;
    assay_dtype dtype; /* ASSAY_U8, ASSAY_I32 or ASSAY_F32 */
    int rank;
    int64_t shape[ASSAY_MAX_RANK];
} assay_field;

/* One field of one sample. With two ragged axes row r is elements offsets[r] .. offsets[r+1] - 1,
 * and shape[1] is ASSAY_RAGGED still. Lives in the arena that the sample was made in, or as long as
 * the dataset. */
typedef struct assay_field_value {
    const void *data;
    const int64_t *offsets; /* shape[0] + 1 of them, or NULL */
    int64_t shape[ASSAY_MAX_RANK];
    bool present; /* false: this sample has no such field (a benchmark's sample has no answer) */
} assay_field_value;

typedef struct assay_sample {
    const assay_field_value *values; /* in the order of the dataset's fields */
    int64_t index;                   /* in its set */
    int32_t label;                   /* of a benchmark's class, from 0; -1: none */
} assay_sample;

/* ---- suites ---- */
#define ASSAY_NO_BENCHMARK (-1)

typedef struct assay_benchmark {
    const char *suite, *name; /* "alipay10", "fraud" */
    const char *domain;       /* "risk"; "" if none */
    const char *question;     /* what is asked; "" if nothing is */
    int32_t classes;          /* 2: binary, class 1 is the positive one; 0: labels are a field */
} assay_benchmark;

/* How a sample is drawn. Random cropping and the like address their numbers by (seed, NAME, epoch)
 * at `index`, so that a sample of an epoch is the same whoever asks for it. */
typedef struct assay_draw {
    uint64_t seed;
    int64_t epoch;
    bool augment; /* training; false: as it is */
} assay_draw;

typedef struct assay_dataset_functions {
    uint32_t size;
    /* Opens, checks and, the first time, indexes the data; everything that can be wrong with it is
     * found here, before a run starts. `options` is the filled struct. */
    void *(*open)(const void *options, const assay_host *host, assay_error *error);
    void (*close)(void *dataset);
    /* 1 to 64 characters that change when the content does; not where it lies. Borrowed. */
    const char *(*fingerprint)(void *dataset);
    /* Borrowed as long as the dataset. */
    const assay_field *(*fields)(void *dataset, int *count);
    /* All benchmarks of all suites, suites together; NULL function: none. Borrowed. */
    const assay_benchmark *(*benchmarks)(void *dataset, int *count);
    /* Samples of the set (split, benchmark). */
    int64_t (*count)(void *dataset, assay_data_split split, int benchmark);
    /* Sample `index` of a set, values in `arena`. Called on several threads at once. */
    bool (*sample)(void *dataset, assay_data_split split, int benchmark, int64_t index,
                   const assay_draw *draw, assay_arena *arena, assay_sample *out,
                   assay_error *error);
    /* The labels of samples first .. first + n - 1 of a set, without making samples; NULL: no class
     * labels. */
    bool (*labels)(void *dataset, assay_data_split split, int benchmark, int64_t first, int64_t n,
                   int32_t *out, assay_error *error);
    /* Optional: rows that a field with two ragged axes has at most in any sample (a source's event
     * slots); 0: no limit is known. */
    int64_t (*slots)(void *dataset, int field);
    /* Writes the data into a folder (made if it is not there) as files that another dataset plugin
     * reads; NULL: it does not. */
    bool (*write)(void *dataset, const char *folder, assay_error *error);
    /* Optional: the split that is trained on unless the script says which; NULL: pretrain, or train
     * in data without pretrain samples. A dataset that was told a task to tune for says train. */
    assay_data_split (*training)(void *dataset);
    /* Optional: the names of the classes that the field `truth` (of pixels) counts from 0; NULL:
     * there are none. Borrowed. */
    const char *const *(*classes)(void *dataset, int *count);
} assay_dataset_functions;

/* An open dataset as the host hands it to models and evaluators. Borrowed. */
typedef struct assay_data {
    uint32_t size;
    const char *name; /* of the plugin */
    const assay_dataset_functions *functions;
    void *dataset;
} assay_data;

/* The place of a field in assay_sample.values; -1 without it. */
static inline int assay_data_field(const assay_data *data, const char *name)
{
    int count = 0;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    for (int i = 0; i < count; i++)
        if (assay_same_text(fields[i].name, name))
            return i;
    return -1;
}

/* What was seen of a set's labels; those below 0 are none. */
typedef struct assay_label_mix {
    int32_t first;         /* the first label; -1: there is none */
    int64_t count, others; /* samples of that label, and of any other */
} assay_label_mix;

/* n more labels. */
static inline void assay_label_mix_add(assay_label_mix *mix, const int32_t *label, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (label[i] < 0)
            continue;
        mix->first = mix->first < 0 ? label[i] : mix->first;
        mix->count += label[i] == mix->first;
        mix->others += label[i] != mix->first;
    }
}

/* Reads the labels of a set, of a dataset that has labels, piece by piece until two different ones
 * were seen (`others` above 0) or all: to label a million generated users takes long. */
static inline bool assay_labels_mix(const assay_data *data, assay_data_split split, int benchmark,
                                    assay_label_mix *out, assay_error *error)
{
    int32_t label[256];
    int64_t most = (int64_t)(sizeof label / sizeof *label), here = 0;
    int64_t n = data->functions->count(data->dataset, split, benchmark);
    out->first = -1;
    out->count = out->others = 0;
    for (int64_t at = 0; at < n && out->others == 0; at += here) {
        here = n - at < most ? n - at : most;
        if (!data->functions->labels(data->dataset, split, benchmark, at, here, label, error))
            return false;
        assay_label_mix_add(out, label, here);
    }
    return true;
}

#endif
