/* parity.c - a dataset of one's own: rows of coins, and whether the number of heads is even.
 *
 * Everything that a dataset needs is in <assay/dataset.h>. This one makes its samples up, so that
 * it needs no file; one that reads a file does that in `open`, and finds there whatever is wrong
 * with it. Its fields are those that the model user_decoder reads: events with a text, a question,
 * an answer. A script uses it as `dataset = dataset.parity { coins = 8 }`. */
#include <assay/dataset.h>
#include <assay/random.h>

#include <stdio.h>
#include <string.h>

typedef struct settings {
    int64_t coins, samples, seed;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, coins, "events", 6, 1, 1000, "coins in a row"),
    ASSAY_INTEGER(settings, samples, "samples", 256, 1, 1 << 20, "of each split"),
    ASSAY_INTEGER(settings, seed, "", 1, 0, 1 << 30, "another seed throws other coins"),
};

typedef struct parity {
    settings chosen;
    char fingerprint[65];
} parity;

static const char question[] = "Is the number of heads even?";

static void *parity_open(const void *chosen, const assay_host *host, assay_error *error)
{
    parity *data = assay_zalloc(sizeof *data, error); /* NULL with the error set when it fails */
    (void)host;
    if (data == NULL)
        return NULL;
    data->chosen = *(const settings *)chosen;
    /* Changes when the content does: it is part of what identifies a run. */
    snprintf(data->fingerprint, sizeof data->fingerprint, "parity-%lld-%lld-%lld",
             (long long)data->chosen.coins, (long long)data->chosen.samples,
             (long long)data->chosen.seed);
    return data;
}

static const char *parity_fingerprint(void *dataset)
{
    return ((const parity *)dataset)->fingerprint;
}

enum { COINS, QUERY, ANSWER, FIELDS }; /* places in a sample's values */

static const assay_field *parity_fields(void *dataset, int *count)
{
    static const assay_field fields[FIELDS] = {
        {"coins", ASSAY_U8, 2, {ASSAY_RAGGED, ASSAY_RAGGED}}, /* (events, bytes of their texts) */
        {"query", ASSAY_U8, 1, {ASSAY_RAGGED}},
        {"answer", ASSAY_U8, 1, {ASSAY_RAGGED}},
    };
    (void)dataset;
    *count = FIELDS;
    return fields;
}

static const assay_benchmark *parity_benchmarks(void *dataset, int *count)
{
    static const assay_benchmark benchmarks[] = {{"parity", "even", "coins", question, 2}};
    (void)dataset;
    *count = 1;
    return benchmarks;
}

static int64_t parity_count(void *dataset, assay_data_split split, int benchmark)
{
    const parity *data = dataset;
    return split == ASSAY_PRETRAIN && benchmark != ASSAY_NO_BENCHMARK ? 0 : data->chosen.samples;
}

/* Coin k of a sample. Random numbers have addresses (seed, name, step, index) instead of an order,
 * so samples can be asked for in any order, on any thread, any number of times. */
static bool is_head(const parity *data, assay_data_split split, int64_t index, int64_t k)
{
    assay_stream stream =
        assay_stream_of((uint64_t)data->chosen.seed, assay_split_name(split), (uint64_t)index);
    return assay_random_below(stream, (uint64_t)k, 2) == 1;
}

static int32_t is_even(const parity *data, assay_data_split split, int64_t index)
{
    int32_t even = 1;
    for (int64_t k = 0; k < data->chosen.coins; k++)
        even ^= is_head(data, split, index, k);
    return even;
}

/* Called on several threads at once: it writes to `arena` and `out` only. */
static bool parity_sample(void *dataset, assay_data_split split, int benchmark, int64_t index,
                          const assay_draw *draw, assay_arena *arena, assay_sample *out,
                          assay_error *error)
{
    const parity *data = dataset;
    int64_t coins = data->chosen.coins;
    assay_field_value *values = assay_arena_alloc(arena, FIELDS * (int64_t)sizeof *values, error);
    int64_t *offsets = assay_arena_alloc(arena, (coins + 1) * (int64_t)sizeof *offsets, error);
    char *texts = assay_arena_alloc(arena, coins * 4, error); /* "head" and "tail": 4 bytes each */
    (void)draw;                                               /* nothing is augmented */
    if (values == NULL || offsets == NULL || texts == NULL)
        return false;
    for (int64_t k = 0; k <= coins; k++)
        offsets[k] = 4 * k;
    for (int64_t k = 0; k < coins; k++)
        memcpy(texts + 4 * k, is_head(data, split, index, k) ? "head" : "tail", 4);
    int32_t even = is_even(data, split, index);
    const char *answer = even ? "yes, even" : "no, odd";
    bool shown = benchmark == ASSAY_NO_BENCHMARK; /* a benchmark's sample must not tell */
    values[COINS] = (assay_field_value){texts, offsets, {coins, ASSAY_RAGGED}, true};
    values[QUERY] = (assay_field_value){question, NULL, {sizeof question - 1}, true};
    values[ANSWER] = (assay_field_value){answer, NULL, {(int64_t)strlen(answer)}, shown};
    *out = (assay_sample){.values = values, .index = index, .label = shown ? -1 : even};
    return true;
}

static bool parity_labels(void *dataset, assay_data_split split, int benchmark, int64_t first,
                          int64_t n, int32_t *out, assay_error *error)
{
    (void)error;
    for (int64_t i = 0; i < n; i++)
        out[i] = benchmark == ASSAY_NO_BENCHMARK ? -1 : is_even(dataset, split, first + i);
    return true;
}

static const assay_dataset_functions functions = {
    .size = sizeof functions,
    .open = parity_open,
    .close = assay_free,
    .fingerprint = parity_fingerprint,
    .fields = parity_fields,
    .benchmarks = parity_benchmarks,
    .count = parity_count,
    .sample = parity_sample,
    .labels = parity_labels,
};

ASSAY_PLUGIN(ASSAY_KIND_DATASET, "parity", 1, "rows of coins: is the number of heads even?",
             settings, options, functions);
