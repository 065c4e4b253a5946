/* host_tables.c - the options of `experiment` and `train` (lab/plugin/host_tables.h). */
#include "lab/plugin/host_tables.h"

#include <assay/memory.h>

#include <math.h>
#include <string.h>

#define MOST_STEPS   1e12
#define MOST_SAMPLES (1 << 20)

/* ---- train ---- */

const assay_option train_table[] = {
    ASSAY_INTEGER(train_options, steps, "steps", 400, 0, MOST_STEPS,
                  "optimizer steps; 0 evaluates only"),
    ASSAY_INTEGER(train_options, batch, "samples", 64, 1, MOST_SAMPLES,
                  "samples per optimizer step, over all its micro-batches"),
    ASSAY_INTEGER(train_options, accumulate, "micro-batches", 1, 1, MOST_SAMPLES,
                  "micro-batches per step, each with losses of its own"),
    ASSAY_INTEGER(train_options, pieces, "pieces", 1, 1, MOST_SAMPLES,
                  "parts that a micro-batch is run in, to bound memory; losses see it whole"),
    ASSAY_CHOICE(train_options, optimizer, "adamw", "adamw", "how gradients become steps"),
    ASSAY_POSITIVE(train_options, lr, "", 1e-3, 100, "peak learning rate"),
    ASSAY_CHOICE(
        train_options, schedule, "cosine", "constant|linear|cosine|poly",
        "how the learning rate goes from its peak to its floor; poly: (1 - step / steps), as "
        "mmcv has it"),
    ASSAY_NUMBER(
        train_options, warmup, "fraction", 0.0, 0.0, 1.0,
        "of the steps, in which the learning rate rises to its peak; poly's falls on beneath "
        "it"),
    ASSAY_NUMBER(train_options, floor, "fraction", 0.0, 0.0, 1.0,
                 "of the peak, where the schedule ends"),
    {ASSAY_OPTION_AT(train_options, beta1, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_BELOW_HIGH,
     .unit = "", .meaning = "decay of AdamW's mean of gradients", .number = 0.9, .high = 1},
    {ASSAY_OPTION_AT(train_options, beta2, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_BELOW_HIGH,
     .unit = "", .meaning = "decay of AdamW's mean of squared gradients", .number = 0.999,
     .high = 1},
    ASSAY_POSITIVE(train_options, eps, "", 1e-8, 1, "added to AdamW's denominator"),
    ASSAY_NUMBER(train_options, weight_decay, "", 0.01, 0.0, 10.0,
                 "decoupled decay of matrices; norms and biases have none"),
    {ASSAY_OPTION_AT(train_options, layer_decay, ASSAY_OPTION_NUMBER),
     .flags = ASSAY_OPTION_ABOVE_LOW, .unit = "",
     .meaning = "factor on the learning rate from each block to the one before it; 1: all alike",
     .number = 1, .high = 1},
    ASSAY_NUMBER(train_options, clip, "", 1.0, 0.0, 1e6,
                 "largest norm of all gradients together; 0: not clipped"),
    ASSAY_CHOICE(train_options, precision, "fp32", "fp32|bf16|tf32",
                 "of products and activations; parameters and losses stay fp32. tf32 on cuda only"),
    ASSAY_BOOL(train_options, shuffle, true, "another order of the samples every epoch"),
    ASSAY_BOOL(train_options, balance, false,
               "classes of a labelled training set take turns, whatever their numbers"),
    ASSAY_CHOICE(
        train_options, split, "auto", "auto|pretrain|train",
        "what is trained on; auto: pretrain, or train when the dataset has none or a task"),
    ASSAY_INTEGER(train_options, checkpoint_every, "steps", 200, 0, MOST_STEPS,
                  "between checkpoints; 0: at the end only. Not part of a run's identity"),
    ASSAY_INTEGER(train_options, keep, "checkpoints", 2, 1, 1000,
                  "newest checkpoints that are kept. Not part of a run's identity"),
    ASSAY_INTEGER(train_options, evaluate_every, "steps", 0, 0, MOST_STEPS,
                  "between evaluations on train and valid; 0: at the end only"),
    ASSAY_CHOICE(train_options, cache_prefix, "auto", "auto|on|off",
                 "histories are run once and kept when only what follows them learns; auto: where "
                 "nothing of them learns or is drawn, and model and mask can"),
    ASSAY_INTEGER(
        train_options, cache_mb, "MiB", 1024, 0, 1 << 24,
        "of kept histories; further ones are run every time. Not part of a run's identity"),
    ASSAY_INTEGER(train_options, early_stop, "evaluations", 0, 0, 1000000,
                  "without a better loss on valid, after which training ends; 0: never"),
};
const int train_table_count = sizeof train_table / sizeof train_table[0];

bool train_option_is_attempt(const char *name)
{
    return strcmp(name, "checkpoint_every") == 0 || strcmp(name, "keep") == 0 ||
           strcmp(name, "cache_mb") == 0;
}

bool train_options_check(const train_options *train, const char *device, const char *where,
                         assay_error *error)
{
    int64_t parts = 0;
    if (!assay_size_mul(&parts, train->accumulate, train->pieces) || parts < 1 ||
        train->batch % parts != 0)
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .where = where,
            .what = "train.batch cannot be divided into equal parts",
            .expected = assay_text("a multiple of accumulate * pieces = %lld", (long long)parts),
            .got = assay_text("%lld", (long long)train->batch));
    if (train->precision == TRAIN_TF32 && strncmp(device, "cuda", 4) != 0)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                          .what = "train.precision tf32 is there on cuda only",
                          .expected = "fp32 or bf16", .got = assay_text("tf32 on %s", device));
    if (train->early_stop > 0 && train->evaluate_every == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "train.early_stop needs evaluations during training",
                          .expected = "train.evaluate_every above 0", .got = "0");
    return true;
}

/* ---- experiment ---- */

#define KEY(key, of_type, of_unit, what)                                                           \
    {                                                                                              \
        .name = (key), .type = (assay_option_type)(of_type), .unit = (of_unit), .meaning = (what)  \
    }
#define REQUIRED_KEY(key, of_type, of_unit, what)                                                  \
    {                                                                                              \
        .name = (key), .type = (assay_option_type)(of_type), .flags = ASSAY_OPTION_REQUIRED,       \
        .unit = (of_unit), .meaning = (what)                                                       \
    }
#define DEFAULT_KEY(key, of_type, of_unit, standard, what)                                         \
    {                                                                                              \
        .name = (key), .type = (assay_option_type)(of_type), .unit = (of_unit), .meaning = (what), \
        .text = (standard)                                                                         \
    }

const assay_option experiment_table[] = {
    REQUIRED_KEY("name", ASSAY_OPTION_TEXT, "",
                 "letters, digits, '_', '-' and '.': what the store and the commands call it"),
    REQUIRED_KEY("dataset", HOST_OPTION_PLUGIN, "dataset", "dataset.NAME { ... }"),
    REQUIRED_KEY("model", HOST_OPTION_PLUGIN, "model", "model.NAME { ... }"),
    DEFAULT_KEY("adapter", HOST_OPTION_PLUGINS, "adapter", "none",
                "adapter.NAME { ... } or a list of them: small trainable parts in a frozen model"),
    KEY("init", ASSAY_OPTION_WEIGHTS, "",
        "a stage (run { ... }), or a safetensors file or folder of published weights; left out: "
        "drawn from the seed"),
    DEFAULT_KEY("mask", HOST_OPTION_PLUGIN, "mask", "the model's own",
                "mask.NAME { ... }: who attends to whom"),
    DEFAULT_KEY("loss", HOST_OPTION_PLUGINS, "loss", "the model's own",
                "loss.NAME { ... } or a list of them, which are added by their weights"),
    DEFAULT_KEY("train", HOST_OPTION_TABLE, "", "{}",
                "{ steps = ..., batch = ... }: 'assay plugins train' lists its keys"),
    DEFAULT_KEY("evaluate", HOST_OPTION_PLUGINS, "evaluator", "the model's own",
                "evaluator.NAME { ... } or a list of them"),
    DEFAULT_KEY("seed", HOST_OPTION_SEEDS, "", "seeds(6)",
                "a number, a list of numbers, or seeds(n); in a stage without it, its consumer's"),
    {.name = "trials",
     .type = ASSAY_OPTION_INTEGER,
     .unit = "trials",
     .meaning = "samples drawn of log_uniform, uniform and choice; of an experiment only",
     .number = 1,
     .low = 1,
     .high = 1000000},
};
const int experiment_table_count = sizeof experiment_table / sizeof experiment_table[0];
