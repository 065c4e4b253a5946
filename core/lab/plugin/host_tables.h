/* lab/plugin/host_tables.h - the options of `experiment` and `train`: tables of the host's own. */
#ifndef LAB_PLUGIN_HOST_TABLES_H
#define LAB_PLUGIN_HOST_TABLES_H

#include <assay/error.h>
#include <assay/option.h>

typedef enum train_optimizer { TRAIN_ADAMW } train_optimizer;
typedef enum train_precision { TRAIN_FP32, TRAIN_BF16, TRAIN_TF32 } train_precision;
typedef enum train_cache { TRAIN_CACHE_AUTO, TRAIN_CACHE_ON, TRAIN_CACHE_OFF } train_cache;
typedef enum train_schedule {
    TRAIN_CONSTANT,
    TRAIN_LINEAR,
    TRAIN_COSINE,
    TRAIN_POLY
} train_schedule;

/* What `train = { ... }` fills. */
typedef struct train_options {
    int64_t steps;      /* optimizer steps; 0: evaluate only */
    int64_t batch;      /* samples per optimizer step, over all its micro-batches */
    int64_t accumulate; /* micro-batches per step, each with losses of its own */
    int64_t pieces;     /* parts that a micro-batch is run in, to bound memory (assay/loss.h) */
    int optimizer;      /* train_optimizer */
    double lr;
    int schedule;             /* train_schedule */
    double warmup;            /* fraction of the steps */
    double floor;             /* of the peak, where the schedule ends */
    double beta1, beta2, eps; /* of AdamW */
    double weight_decay;
    double layer_decay; /* of the learning rate, from the last block to the first; 1: none */
    double clip;        /* of the global gradient norm; 0: none */
    int precision;      /* train_precision */
    bool shuffle;
    bool balance;             /* classes take turns in the order of samples */
    int split;                /* 0 auto (pretrain, or train without it), 1 pretrain, 2 train */
    int64_t checkpoint_every; /* steps; 0: at the end only. Not part of a run's identity */
    int64_t keep;             /* checkpoints kept. Not part of a run's identity */
    int64_t evaluate_every;   /* steps; 0: at the end only */
    int cache_prefix;         /* train_cache */
    int64_t cache_mb;         /* MiB of kept histories. Not part of a run's identity */
    int64_t early_stop;       /* evaluations without a better valid loss; 0: never */
} train_options;

extern const assay_option train_table[];
extern const int train_table_count;

/* What the values depend on of each other and of the device ("cpu", "cuda"): a batch of equal
 * parts, tf32 on cuda only, early_stop with evaluate_every. */
bool train_options_check(const train_options *train, const char *device, const char *where,
                         assay_error *error);

/* Types of values that only the script's own keys have, beyond assay_option_type. Listings know
 * them (option_type_name, option_default_text), settings do not: such values are the script's
 * business. */
enum {
    HOST_OPTION_PLUGIN = 100, /* one constructor KIND.NAME { ... }; the unit says which kind */
    HOST_OPTION_PLUGINS,      /* one or a list of them */
    HOST_OPTION_TABLE,        /* a table of named options: train */
    HOST_OPTION_SEEDS,        /* a number, a list, seeds(n) */
};

/* The keys of `experiment` and `run`, for listing and messages; nothing is filled from this
 * table. */
extern const assay_option experiment_table[];
extern const int experiment_table_count;

/* Whether the option belongs to the attempt rather than to the run (checkpoint_every, keep). */
bool train_option_is_attempt(const char *name);

#endif
