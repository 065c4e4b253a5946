/* query_cache.c - evaluator `query_cache`: what a user's prefix cache costs and saves
 * (user-modelling spec 2.7 and 6.3, 5).
 *
 * For some users it times, all included (words to ids, passes, readout): one pass over a history, n
 * queries on what that leaves, and n whole sequences; the scores are medians over users and
 * repeats. All queries are of the same number of words, taken from the data's own questions. */
#include <assay/evaluator.h>
#include <assay/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHERE      "evaluator query_cache"
#define MOST_STEPS 16

typedef struct settings {
    assay_numbers counts;
    int64_t words, users, repeats;
} settings;

static const assay_option options[] = {
    ASSAY_NUMBERS(settings, counts, "queries", "1,2,5,10,20", 1, 1024,
                  "numbers of queries per user that are timed, ascending"),
    ASSAY_INTEGER(settings, words, "words", 8, 1, 256, "of each query"),
    ASSAY_INTEGER(settings, users, "users", 8, 1, 4096, "that are timed, the split's first"),
    ASSAY_INTEGER(settings, repeats, "", 3, 1, 1000, "of every measurement"),
};

static const char *const names[] = {"user.embedding"};
static const assay_wanted wanted = {1, names};

/* Times of one kind, all users and repeats. */
typedef struct times {
    double *ms;
    int64_t count;
} times;

typedef struct meter {
    const settings *options;
    const assay_evaluation *evaluation;
    assay_data_split split;
    int benchmark, query, fields; /* whose users; the field; how many there are */
    int64_t most, users;          /* queries at most; users there are */
    char **texts;                 /* (most) */
    assay_tape *tape;
    assay_arena *arena, *user_arena;
    times prefix, cached[MOST_STEPS], full[MOST_STEPS];
    times bytes, tokens; /* of a prefix, per user */
    double difference;   /* the largest, of any number of an embedding */
} meter;

static double now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(times *of)
{
    qsort(of->ms, (size_t)of->count, sizeof *of->ms, ascending);
    int64_t half = of->count / 2;
    return of->count % 2 ? of->ms[half] : (of->ms[half - 1] + of->ms[half]) / 2;
}

/* ---- queries: runs of words of the data's questions, joined end to end ---- */

static const char *const stand_in = "What will the user do in the next month and why would that be";

static char *join_questions(const assay_data *data, assay_error *error)
{
    int count = 0;
    int64_t bytes = (int64_t)strlen(stand_in) + 2;
    const assay_benchmark *all =
        data->functions->benchmarks ? data->functions->benchmarks(data->dataset, &count) : NULL;
    for (int i = 0; i < count; i++)
        bytes += (int64_t)strlen(all[i].question) + 1;
    char *joined = assay_zalloc(bytes, error);
    for (int i = 0; joined && i < count; i++) {
        strcat(joined, all[i].question);
        strcat(joined, " ");
    }
    if (joined && joined[strspn(joined, " ")] == '\0')
        strcat(joined, stand_in);
    return joined;
}

/* Words first .. first + n - 1 of the text, from its beginning again after its end. */
static char *take_words(const char *joined, int64_t first, int64_t n, assay_error *error)
{
    char *text = assay_zalloc(n * 64 + 1, error);
    const char *at = joined;
    int64_t taken = 0, passed = 0;
    while (text && taken < n) {
        at += strspn(at, " ");
        if (*at == '\0')
            at = joined + strspn(joined, " ");
        size_t length = strcspn(at, " ");
        if (passed++ >= first) {
            strncat(text, at, length < 62 ? length : 62);
            strcat(text, " ");
            taken++;
        }
        at += length;
    }
    return text;
}

static bool make_queries(meter *m, assay_error *error)
{
    char *joined = join_questions(m->evaluation->data, error);
    m->texts = assay_zalloc(m->most * (int64_t)sizeof *m->texts, error);
    bool ok = joined && m->texts;
    for (int64_t i = 0; i < m->most && ok; i++) {
        m->texts[i] = take_words(joined, 3 * i, m->options->words, error);
        ok = m->texts[i] != NULL;
    }
    assay_free(joined);
    return ok;
}

/* ---- passes ---- */

/* n samples of the user, each with its own query; NULL after a failure. */
static assay_sample *ask(const meter *m, const assay_sample *user, int64_t n, assay_error *error)
{
    assay_sample *asked = assay_arena_alloc(m->arena, n * (int64_t)sizeof *asked, error);
    for (int64_t i = 0; i < n && asked; i++) {
        assay_field_value *values =
            assay_arena_alloc(m->arena, m->fields * (int64_t)sizeof *values, error);
        if (!values)
            return NULL;
        memcpy(values, user->values, (size_t)m->fields * sizeof *values);
        values[m->query] = (assay_field_value){
            .data = m->texts[i], .shape = {(int64_t)strlen(m->texts[i])}, .present = true};
        asked[i] = *user;
        asked[i].values = values;
    }
    return asked;
}

static bool collate(const meter *m, const assay_sample *samples, int64_t n, assay_part_of part,
                    assay_batch *out, assay_error *error)
{
    const assay_network *network = m->evaluation->network;
    const assay_collation in = {.samples = samples,
                                .count = n,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = m->arena,
                                .part = part};
    *out = (assay_batch){.samples = n, .sample = samples};
    assay_tape_begin(m->tape, (assay_step){.seed = m->evaluation->seed, .no_gradient = true});
    return network->collate(network->user, &in, out, error);
}

static bool prefill(const meter *m, const assay_sample *user, assay_prefix **out,
                    assay_error *error)
{
    assay_batch batch;
    const assay_network *network = m->evaluation->network;
    assay_arena_reset(m->arena);
    return collate(m, user, 1, ASSAY_HISTORY, &batch, error) &&
           (network->prefill(network->user, m->tape, &batch, out) ||
            assay_tape_failed(m->tape, error));
}

/* Embeddings of n queries, on a prefix or, NULL, whole; borrowed from the step. */
static const assay_tensor *embed(const meter *m, const assay_sample *user, int64_t n,
                                 const assay_prefix *prefix, assay_error *error)
{
    assay_batch batch;
    assay_outputs outputs = {0};
    const assay_network *network = m->evaluation->network;
    assay_arena_reset(m->arena);
    const assay_prefix **rows =
        assay_arena_alloc(m->arena, n * (int64_t)sizeof(assay_prefix *), error);
    const assay_sample *asked = ask(m, user, n, error);
    if (!rows || !asked ||
        !collate(m, asked, n, prefix ? ASSAY_QUESTION : ASSAY_WHOLE, &batch, error))
        return NULL;
    for (int64_t i = 0; i < n; i++)
        rows[i] = prefix;
    bool ok = prefix ? network->resume(network->user, m->tape, &batch, rows, &wanted, &outputs)
                     : network->run(network->user, m->tape, &batch, &wanted, &outputs);
    if (ok)
        return assay_outputs_get(&outputs, names[0]);
    assay_tape_failed(m->tape, error);
    return NULL;
}

/* ---- measuring ---- */

static void note(times *to, double value)
{
    to->ms[to->count++] = value;
}

/* All queries both ways: how far the embeddings are apart. */
static bool compare(meter *m, const assay_sample *user, const assay_prefix *prefix,
                    assay_error *error)
{
    const assay_tensor *x = embed(m, user, m->most, prefix, error);
    float *cached = x ? assay_alloc(assay_tensor_bytes(x), error) : NULL;
    if (!cached)
        return false;
    memcpy(cached, assay_f32(x), (size_t)assay_tensor_bytes(x));
    x = embed(m, user, m->most, NULL, error);
    for (int64_t i = 0; x && i < assay_tensor_count(x); i++)
        m->difference = fmax(m->difference, fabs((double)cached[i] - assay_f32(x)[i]));
    assay_free(cached);
    return x != NULL;
}

/* One repeat of every measurement of one user. */
static bool measure(meter *m, const assay_sample *user, bool first, assay_error *error)
{
    assay_prefix *prefix = NULL;
    double begun = now_ms();
    if (!prefill(m, user, &prefix, error))
        return false;
    const double of_prefix = now_ms() - begun;
    bool ok = true;
    note(&m->prefix, of_prefix);
    if (first) {
        note(&m->bytes, (double)assay_prefix_bytes(prefix));
        note(&m->tokens, (double)prefix->tokens);
        ok = compare(m, user, prefix, error);
    }
    for (int64_t c = 0; c < m->options->counts.count && ok; c++) {
        const int64_t n = (int64_t)m->options->counts.items[c];
        begun = now_ms();
        ok = embed(m, user, n, prefix, error) != NULL;
        note(&m->cached[c], of_prefix + now_ms() - begun);
        begun = now_ms();
        ok = ok && embed(m, user, n, NULL, error) != NULL;
        note(&m->full[c], now_ms() - begun);
    }
    assay_prefix_free(prefix);
    return ok;
}

static bool measure_all(meter *m, assay_error *error)
{
    const assay_data *data = m->evaluation->data;
    const assay_draw as_it_is = {.seed = m->evaluation->seed};
    for (int64_t u = 0; u < m->users; u++) {
        assay_sample user;
        assay_arena_reset(m->user_arena);
        if (!data->functions->sample(data->dataset, m->split, m->benchmark, u, &as_it_is,
                                     m->user_arena, &user, error))
            return false;
        for (int64_t k = 0; k < m->options->repeats; k++)
            if (!measure(m, &user, k == 0, error))
                return false;
    }
    return true;
}

/* ---- scores ---- */

static bool put(const meter *m, const char *metric, double value, assay_error *error)
{
    const assay_score score = {.metric = metric,
                               .split = m->split,
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .n = m->users};
    return m->evaluation->score(m->evaluation->user, &score, error);
}

static bool report(meter *m, assay_error *error)
{
    const int64_t steps = m->options->counts.count;
    const double *counts = m->options->counts.items;
    double cached[MOST_STEPS], full[MOST_STEPS];
    for (int64_t c = 0; c < steps; c++) {
        cached[c] = median(&m->cached[c]);
        full[c] = median(&m->full[c]);
    }
    bool ok = put(m, "prefix_ms", median(&m->prefix), error) &&
              put(m, "prefix_bytes", median(&m->bytes), error) &&
              put(m, "prefix_tokens", median(&m->tokens), error) &&
              put(m, "largest_difference", m->difference, error);
    if (ok && steps > 1)
        ok = put(m, "added_query_ms",
                 (cached[steps - 1] - cached[0]) / (counts[steps - 1] - counts[0]), error);
    for (int64_t c = 0; c < steps && ok; c++) {
        const int n = (int)counts[c];
        ok = put(m, assay_text("cached_ms:%d", n), cached[c], error) &&
             put(m, assay_text("full_ms:%d", n), full[c], error) &&
             put(m, assay_text("speedup:%d", n), full[c] / cached[c], error) &&
             put(m, assay_text("times_one_query:%d", n), cached[c] / full[0], error);
    }
    return ok;
}

/* ---- the plugin's functions ---- */

static bool query_cache_check(const void *chosen, const assay_data *data,
                              const assay_model_facts *facts, assay_error *error)
{
    const settings *o = chosen;
    if (!facts->prefix)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the model has no prefix cache", .hint = facts->no_prefix);
    if (assay_data_field(data, "query") < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "the dataset has no field 'query'");
    bool good = o->counts.count >= 1 && o->counts.count <= MOST_STEPS && o->counts.items[0] == 1;
    for (int64_t i = 0; i < o->counts.count && good; i++)
        good = o->counts.items[i] == floor(o->counts.items[i]) &&
               (i == 0 || o->counts.items[i] > o->counts.items[i - 1]);
    return good || ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                              .what = "option 'counts' is no list of numbers of queries",
                              .expected = "1 to 16 whole numbers, 1 first, ascending");
}

static bool open_times(times *of, int64_t room, assay_error *error)
{
    of->ms = assay_alloc(room * (int64_t)sizeof *of->ms, error);
    return of->ms != NULL;
}

static bool open_meter(meter *m, assay_error *error)
{
    const assay_data *data = m->evaluation->data;
    const int64_t steps = m->options->counts.count, repeats = m->options->repeats;
    int count = 0;
    data->functions->fields(data->dataset, &m->fields);
    m->query = assay_data_field(data, "query");
    if (data->functions->benchmarks)
        data->functions->benchmarks(data->dataset, &count);
    m->benchmark = count > 0 ? 0 : ASSAY_NO_BENCHMARK;
    m->users = data->functions->count(data->dataset, m->split, m->benchmark);
    m->users = m->users < m->options->users ? m->users : m->options->users;
    m->most = (int64_t)m->options->counts.items[steps - 1];
    if (m->users == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what =
                              assay_text("the %s split has no users", assay_split_name(m->split)));
    m->tape = assay_tape_new(m->evaluation->device, ASSAY_PRECISION_FP32, error);
    m->arena = assay_arena_new(0, error);
    m->user_arena = assay_arena_new(0, error);
    bool ok = m->tape && m->arena && m->user_arena &&
              open_times(&m->prefix, m->users * repeats, error) &&
              open_times(&m->bytes, m->users, error) && open_times(&m->tokens, m->users, error);
    for (int64_t c = 0; c < steps && ok; c++)
        ok = open_times(&m->cached[c], m->users * repeats, error) &&
             open_times(&m->full[c], m->users * repeats, error);
    return ok && make_queries(m, error);
}

static void close_meter(meter *m)
{
    for (int64_t i = 0; m->texts && i < m->most; i++)
        assay_free(m->texts[i]);
    assay_free(m->texts);
    assay_free(m->prefix.ms);
    assay_free(m->bytes.ms);
    assay_free(m->tokens.ms);
    for (int c = 0; c < MOST_STEPS; c++) {
        assay_free(m->cached[c].ms);
        assay_free(m->full[c].ms);
    }
    assay_arena_free(m->user_arena);
    assay_arena_free(m->arena);
    assay_tape_free(m->tape);
}

static bool query_cache_evaluate(const void *chosen, const assay_evaluation *evaluation,
                                 assay_error *error)
{
    meter m = {.options = chosen,
               .evaluation = evaluation,
               .split = evaluation->final ? ASSAY_TEST : ASSAY_VALID};
    bool ok = open_meter(&m, error) && measure_all(&m, error) && report(&m, error);
    close_meter(&m);
    return ok;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = query_cache_check,
    .evaluate = query_cache_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "query_cache", 1,
             "what a user's prefix cache costs and saves: times, memory, differences", settings,
             options, functions);
