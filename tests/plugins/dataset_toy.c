/* dataset_toy.c - sequences that walk up or down through a small vocabulary, made up on the spot:
 * the dataset of the lab's tests.
 *
 * A sample begins in its direction's half of the vocabulary, walks one token per step in it, and
 * now and then jumps to another token of that half. Its label (suite "toy", benchmark "sign") is
 * the direction, its answer the walk's continuation. */
#include <assay/dataset.h>
#include <assay/random.h>

#include <stdio.h>

#define ANSWER 3

typedef struct options {
    int64_t size, length, vocabulary, seed, broken;
    double stray;
    bool crop, pretrain;
} options;

static const assay_option table[] = {
    ASSAY_INTEGER(options, size, "samples", 96, 4, 1 << 20,
                  "pretrain samples; train has half, valid and test a quarter"),
    ASSAY_INTEGER(options, length, "tokens", 8, 2, 4096, "of the longest walk"),
    ASSAY_INTEGER(options, vocabulary, "tokens", 16, 4, 1 << 20, "tokens 1 .. vocabulary - 1"),
    ASSAY_INTEGER(options, seed, "", 1, 0, 1 << 30, "another seed is other data"),
    ASSAY_INTEGER(options, broken, "", -1, -1, 1 << 20, "the pretrain sample that cannot be read"),
    ASSAY_NUMBER(options, stray, "fraction", 0.2, 0.0, 1.0, "of the steps that jump"),
    ASSAY_BOOL(options, crop, false, "training draws begin at a random token"),
    ASSAY_BOOL(options, pretrain, true, "there is a pretrain split"),
};

typedef struct toy {
    options o;
    char fingerprint[65];
} toy;

static void *toy_open(const void *settings, const assay_host *host, assay_error *error)
{
    (void)host;
    toy *t = assay_zalloc((int64_t)sizeof *t, error);
    if (!t)
        return NULL;
    t->o = *(const options *)settings;
    snprintf(t->fingerprint, sizeof t->fingerprint, "toy%lld_%lld_%lld_%lld_%d_%d%d",
             (long long)t->o.size, (long long)t->o.length, (long long)t->o.vocabulary,
             (long long)t->o.seed, (int)(t->o.stray * 1000), t->o.crop, t->o.pretrain);
    return t;
}

static void toy_close(void *dataset)
{
    assay_free(dataset);
}

static const char *toy_fingerprint(void *dataset)
{
    return ((toy *)dataset)->fingerprint;
}

static const assay_field *toy_fields(void *dataset, int *count)
{
    static const assay_field fields[] = {
        {.name = "ids", .dtype = ASSAY_I32, .rank = 1, .shape = {ASSAY_RAGGED}},
        {.name = "answer", .dtype = ASSAY_I32, .rank = 1, .shape = {ASSAY_RAGGED}},
    };
    (void)dataset;
    *count = 2;
    return fields;
}

static const assay_benchmark *toy_benchmarks(void *dataset, int *count)
{
    static const assay_benchmark benchmarks[] = {
        {.suite = "toy", .name = "sign", .domain = "walk", .question = "Up?", .classes = 2},
    };
    (void)dataset;
    *count = 1;
    return benchmarks;
}

static int64_t toy_count(void *dataset, assay_data_split split, int benchmark)
{
    const options *o = &((toy *)dataset)->o;
    switch (split) {
    case ASSAY_PRETRAIN:
        return benchmark == ASSAY_NO_BENCHMARK && o->pretrain ? o->size : 0;
    case ASSAY_TRAIN:
        return o->size / 2;
    default:
        return o->size / 4;
    }
}

/* Numbers of one sample of a split: its direction at 0, length at 1, start at 2, then two a
 * step. */
static assay_stream stream_of(const toy *t, assay_data_split split, int64_t index)
{
    static const char *const names[ASSAY_SPLITS] = {"toy/pretrain", "toy/train", "toy/valid",
                                                    "toy/test"};
    return assay_stream_of((uint64_t)t->o.seed, names[split], (uint64_t)index);
}

static int32_t direction(assay_stream stream)
{
    return assay_random_uniform(stream, 0) < 0.5f;
}

/* A token of the direction's half of 1 .. vocabulary - 1. */
static int32_t any_token(const options *o, assay_stream stream, uint64_t address)
{
    int64_t half = (o->vocabulary - 1) / 2;
    int64_t token = assay_random_below(stream, address, half);
    return (int32_t)(1 + token + (direction(stream) ? half : 0));
}

/* Token `now` moved one step: tokens 1 .. vocabulary - 1 form a ring. */
static int32_t move(const options *o, assay_stream stream, int64_t step, int32_t now)
{
    int64_t ring = o->vocabulary - 1;
    uint64_t address = 3 + 2 * (uint64_t)step;
    if (assay_random_uniform(stream, address) < (float)o->stray)
        return any_token(o, stream, address + 1);
    return (int32_t)(1 + (now - 1 + (direction(stream) ? 1 : ring - 1)) % ring);
}

static bool toy_sample(void *dataset, assay_data_split split, int benchmark, int64_t index,
                       const assay_draw *draw, assay_arena *arena, assay_sample *out,
                       assay_error *error)
{
    const toy *t = dataset;
    const options *o = &t->o;
    assay_stream stream = stream_of(t, split, index);
    int64_t length = o->length - assay_random_below(stream, 1, o->length / 2), first = 0;
    if (split == ASSAY_PRETRAIN && index == o->broken)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                          .where = assay_text("toy.jsonl:%lld", (long long)index + 1),
                          .what = "the line is broken");
    if (draw->augment && o->crop)
        first = assay_random_below(assay_stream_of(draw->seed, "toy/crop", (uint64_t)draw->epoch),
                                   (uint64_t)index, length - 1);
    int32_t *ids = assay_arena_alloc(arena, (length + ANSWER) * (int64_t)sizeof *ids, error);
    assay_field_value *values =
        assay_arena_alloc(arena, 2 * (int64_t)sizeof(assay_field_value), error);
    if (!ids || !values)
        return false;
    ids[0] = any_token(o, stream, 2);
    for (int64_t i = 1; i < length + ANSWER; i++)
        ids[i] = move(o, stream, i, ids[i - 1]);
    values[0] = (assay_field_value){
        .data = ids + first, .shape = {length - first, 1, 1, 1}, .present = true};
    values[1] = (assay_field_value){.data = ids + length,
                                    .shape = {ANSWER, 1, 1, 1},
                                    .present = benchmark == ASSAY_NO_BENCHMARK};
    *out = (assay_sample){.values = values,
                          .index = index,
                          .label = benchmark == ASSAY_NO_BENCHMARK ? -1 : direction(stream)};
    return true;
}

static bool toy_labels(void *dataset, assay_data_split split, int benchmark, int64_t first,
                       int64_t n, int32_t *out, assay_error *error)
{
    (void)error;
    for (int64_t i = 0; i < n; i++)
        out[i] =
            benchmark == ASSAY_NO_BENCHMARK ? -1 : direction(stream_of(dataset, split, first + i));
    return true;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = toy_open,
    .close = toy_close,
    .fingerprint = toy_fingerprint,
    .fields = toy_fields,
    .benchmarks = toy_benchmarks,
    .count = toy_count,
    .sample = toy_sample,
    .labels = toy_labels,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "toy", 1, "walks up or down a small vocabulary, made up", options,
             table, functions);
