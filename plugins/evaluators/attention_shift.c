/* attention_shift.c - evaluator `attention_shift`: which source the token that is read looks at,
 * for each benchmark's question, and how that differs from another network (user-modelling spec
 * 2.9, Fig. 7; how the paper measured it is not known, the spec's proposal is followed).
 *
 * The share of a source is the attention of the read token that falls on the source's event tokens:
 * the mean over users, layers and heads. What falls on anything else (the question, markers,
 * summaries) belongs to no source, so shares do not add up to 1. With `base` (the network before
 * tuning) the shift is share / share of the base - 1. */
#include <assay/evaluator.h>
#include <assay/memory.h>

#include <math.h>
#include <string.h>

#define WHERE        "evaluator attention_shift"
#define MOST_SOURCES 64

typedef struct settings {
    const char *suite;
    assay_weights_source base;
    int64_t users, batch;
} settings;

static const assay_option options[] = {
    ASSAY_TEXT(settings, suite, "", "of benchmarks; empty: the dataset's first suite"),
    ASSAY_WEIGHTS(settings, base, 0, "of the network that shifts are told against"),
    ASSAY_INTEGER(settings, users, "users", 100, 1, 1 << 30, "of each benchmark, its first"),
    ASSAY_INTEGER(settings, batch, "users", 8, 1, 4096,
                  "a pass; the maps of a pass are held at once"),
};

/* One network under inspection. */
typedef struct watcher {
    const settings *options;
    const assay_evaluation *evaluation;
    const assay_network *network;
    assay_tape *tape;
    assay_arena *arena;
    assay_data_split split;
    int count;                 /* of wanted outputs: sources, then the layers' maps */
    const char *names[1 + 62]; /* kept in `texts` */
    char texts[1 + 62][32];
} watcher;

typedef struct shares {
    double of[MOST_SOURCES]; /* summed over users, layers and heads */
    int64_t users;
} shares;

/* ---- what a pass shows ---- */

/* Adds what the read token of row b attends to in one layer's map (B, H, T, T). */
static void add_row(const assay_tensor *map, const assay_tensor *sources, int64_t b, int64_t read,
                    double factor, shares *to)
{
    const int64_t heads = map->shape[1], tokens = map->shape[3];
    const int32_t *source = assay_i32(sources) + b * tokens;
    for (int64_t h = 0; h < heads; h++) {
        const float *p = assay_f32(map) + ((b * heads + h) * tokens + read) * tokens;
        for (int64_t t = 0; t < tokens; t++)
            if (source[t] >= 0 && source[t] < MOST_SOURCES)
                to->of[source[t]] += factor * (double)p[t];
    }
}

static bool add_batch(const watcher *w, const assay_batch *batch, const assay_outputs *outputs,
                      shares *to, assay_error *error)
{
    const assay_tower *tower = &batch->towers[0];
    const assay_tensor *sources = assay_outputs_get(outputs, w->names[0]);
    for (int64_t b = 0; b < batch->samples; b++) {
        const int64_t read = tower->readout ? assay_i32(tower->readout)[b] : -1;
        if (read < 0)
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                              .what = "the model reads no single token",
                              .hint = "readout = \"user_token\" does");
        for (int i = 1; i < w->count; i++) {
            const assay_tensor *map = assay_outputs_get(outputs, w->names[i]);
            const double pairs = (double)(w->count - 1) * (double)map->shape[1];
            add_row(map, sources, b, read, 1 / pairs, to);
        }
        to->users++;
    }
    return true;
}

static bool run_batch(watcher *w, int benchmark, int64_t first, int64_t count, shares *to,
                      assay_error *error)
{
    const assay_data *data = w->evaluation->data;
    const assay_draw as_it_is = {.seed = w->evaluation->seed};
    const assay_wanted wanted = {w->count, w->names};
    assay_outputs outputs = {0};
    assay_arena_reset(w->arena);
    assay_sample *samples = assay_arena_alloc(w->arena, count * (int64_t)sizeof *samples, error);
    for (int64_t i = 0; i < count; i++)
        if (!samples || !data->functions->sample(data->dataset, w->split, benchmark, first + i,
                                                 &as_it_is, w->arena, &samples[i], error))
            return false;
    const assay_collation in = {.samples = samples,
                                .count = count,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = w->arena};
    assay_batch batch = {.samples = count, .sample = samples};
    if (!w->network->collate(w->network->user, &in, &batch, error))
        return false;
    assay_tape_begin(w->tape, (assay_step){.seed = w->evaluation->seed, .no_gradient = true});
    return (w->network->run(w->network->user, w->tape, &batch, &wanted, &outputs) ||
            assay_tape_failed(w->tape, error)) &&
           add_batch(w, &batch, &outputs, to, error);
}

static bool watch(watcher *w, int benchmark, shares *out, assay_error *error)
{
    const assay_data *data = w->evaluation->data;
    int64_t users = data->functions->count(data->dataset, w->split, benchmark);
    if (users > w->options->users)
        users = w->options->users;
    *out = (shares){0};
    for (int64_t first = 0; first < users; first += w->options->batch) {
        const int64_t left = users - first;
        if (!run_batch(w, benchmark, first, left < w->options->batch ? left : w->options->batch,
                       out, error))
            return false;
    }
    for (int s = 0; s < MOST_SOURCES && out->users > 0; s++)
        out->of[s] /= (double)out->users;
    return true;
}

static bool open_watcher(watcher *w, const assay_network *network, assay_error *error)
{
    const assay_model_facts *facts = network->facts;
    w->network = network;
    w->split = w->evaluation->final ? ASSAY_TEST : ASSAY_VALID;
    w->count = 0;
    w->names[w->count++] = "user.sources";
    for (int64_t i = 0; i < facts->layers && w->count < 63; i++) {
        strncpy(w->texts[w->count], assay_text("user.attention.%lld", (long long)i), 31);
        w->names[w->count] = w->texts[w->count];
        w->count++;
    }
    w->tape = assay_tape_new(w->evaluation->device, ASSAY_PRECISION_FP32, error);
    w->arena = assay_arena_new(0, error);
    return w->tape && w->arena;
}

static void close_watcher(watcher *w)
{
    assay_tape_free(w->tape);
    assay_arena_free(w->arena);
}

/* ---- scores ---- */

static bool put(const watcher *w, const char *benchmark, const char *metric, double value,
                int64_t users, assay_error *error)
{
    const assay_score score = {.suite = "attention_shift",
                               .benchmark = benchmark,
                               .metric = metric,
                               .split = w->split,
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .n = users};
    return w->evaluation->score(w->evaluation->user, &score, error);
}

static bool report(const watcher *w, const char *benchmark, const shares *own, const shares *base,
                   assay_error *error)
{
    const assay_model_facts *facts = w->network->facts;
    bool ok = true;
    for (int s = 0; s < facts->source_count && s < MOST_SOURCES && ok; s++) {
        ok = put(w, benchmark, assay_text("share:%s", facts->sources[s]), own->of[s], own->users,
                 error);
        if (ok && base && base->of[s] > 0)
            ok = put(w, benchmark, assay_text("base_share:%s", facts->sources[s]), base->of[s],
                     base->users, error) &&
                 put(w, benchmark, assay_text("shift:%s", facts->sources[s]),
                     own->of[s] / base->of[s] - 1, own->users, error);
    }
    return ok;
}

/* ---- the plugin's functions ---- */

static const assay_benchmark *benchmarks_of(const assay_data *data, int *count)
{
    *count = 0;
    return data->functions->benchmarks ? data->functions->benchmarks(data->dataset, count) : NULL;
}

static bool is_asked(const settings *o, const assay_benchmark *all, int i)
{
    return assay_same_text(all[i].suite, o->suite[0] == '\0' ? all[0].suite : o->suite);
}

static bool gives(const assay_model_facts *facts, const char *name)
{
    for (int i = 0; i < facts->output_count; i++)
        if (assay_same_text(facts->outputs[i], name))
            return true;
    return false;
}

static bool shift_check(const void *chosen, const assay_data *data, const assay_model_facts *facts,
                        assay_error *error)
{
    const settings *o = chosen;
    int count = 0, asked = 0;
    const assay_benchmark *all = benchmarks_of(data, &count);
    if (!gives(facts, "user.sources") || !gives(facts, "user.attention.0") ||
        facts->source_count < 1)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                          .what = "the model does not tell its attention to sources",
                          .expected = "outputs user.sources and user.attention.L");
    for (int i = 0; i < count; i++)
        asked += is_asked(o, all, i);
    return asked > 0 ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                      .what = count == 0 ? "the dataset has no benchmarks"
                                         : assay_text("the dataset has no suite '%.60s'", o->suite),
                      .expected = count == 0 ? NULL : all[0].suite);
}

static bool shift_evaluate(const void *chosen, const assay_evaluation *evaluation,
                           assay_error *error)
{
    const settings *o = chosen;
    const assay_network *other = NULL;
    watcher own = {.options = o, .evaluation = evaluation};
    watcher base = {.options = o, .evaluation = evaluation};
    shares mine, theirs;
    int count = 0;
    const assay_benchmark *all = benchmarks_of(evaluation->data, &count);
    bool ok = open_watcher(&own, evaluation->network, error);
    if (ok && o->base.path) {
        other = evaluation->host->network(evaluation->host->user, &o->base, error);
        ok = other && open_watcher(&base, other, error);
    }
    for (int i = 0; i < count && ok; i++) {
        if (!is_asked(o, all, i))
            continue;
        ok = watch(&own, i, &mine, error) && (!other || watch(&base, i, &theirs, error)) &&
             (mine.users == 0 || report(&own, all[i].name, &mine, other ? &theirs : NULL, error));
    }
    close_watcher(&base);
    close_watcher(&own);
    return ok;
}

static const assay_evaluator_functions functions = {
    .size = sizeof functions,
    .check = shift_check,
    .evaluate = shift_evaluate,
};

ASSAY_PLUGIN(ASSAY_KIND_EVALUATOR, "attention_shift", 1,
             "which source the read token attends to, and how that shifts from another network",
             settings, options, functions);
