/* guidance.c - what guided masks share: the state that guides, and the series. */
#include "guidance.h"

#include <math.h>
#include <string.h>

bool guidance_open(guidance *g, int64_t tokens, assay_importance_rule rule, const assay_host *host,
                   assay_error *error)
{
    int64_t bytes = tokens * (int64_t)sizeof *g->importance;
    g->tokens = tokens;
    g->rule = rule;
    g->host = host;
    g->learned = assay_importance_new(tokens, rule, error);
    g->importance = assay_zalloc(bytes, error);
    g->updates = assay_zalloc(bytes, error);
    return g->learned && g->importance && g->updates;
}

void guidance_close(guidance *g)
{
    assay_importance_free(g->learned);
    assay_free(g->importance);
    assay_free(g->updates);
}

/* ---- what is learned ---- */

bool guidance_observe(guidance *g, assay_tape *tape, const assay_tower *tower, const char *tap,
                      const char *where, assay_error *error)
{
    if (!assay_same_text(tower->name, "user"))
        return true;
    const assay_tensor *state = assay_tape_tapped(tape, tap);
    if (!state || state->rank != 3)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                          .what = "the model does not mark the state that guides the mask",
                          .expected = assay_text("a state %s", tap),
                          .hint = "the mask needs a model with a tower named user");
    if (!state->needs_grad)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                          .what = "no gradient reaches the state that guides the mask",
                          .expected = "something trained before it", .got = tap,
                          .hint = "let something below that state learn, or guide by a later one");
    return assay_importance_observe(g->learned, tape, state, tower->lengths) ||
           assay_tape_failed(tape, error);
}

static void record_norms(void *user, const void *note, const void *numbers, int64_t count)
{
    const guidance *g = user;
    const double *sums = numbers;
    double norms = 0, samples = *(const double *)note;
    for (int64_t j = 0; count > 0 && j < g->tokens; j++)
        norms += sums[j];
    if (samples > 0)
        g->host->series(g->host->user, "mask/gradient_norm", norms / samples);
}

bool guidance_end(guidance *g, bool learn, assay_error *error)
{
    double samples = 0;
    for (int64_t j = 0; j < g->tokens; j++)
        samples += assay_importance_samples(g->learned)[j];
    if (learn && !assay_importance_learn(g->learned, error))
        return false;
    if (g->host && g->host->series)
        assay_read_later(g->host, &(assay_reading){.tensor = assay_importance_norms(g->learned),
                                                   .read = record_norms,
                                                   .user = g,
                                                   .note = &samples,
                                                   .note_bytes = sizeof samples});
    return assay_importance_clear(g->learned, error);
}

/* ---- towers ---- */

bool guidance_fits(assay_tape *tape, const assay_tower *tower, int64_t tokens, const char *where)
{
    if (tower->tokens <= tokens)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                    (assay_failure){.where = where,
                                    .what = "a tower is longer than the model said",
                                    .expected = assay_text("%lld tokens", (long long)tokens),
                                    .got = assay_text("%lld", (long long)tower->tokens)});
    return false;
}

int64_t guidance_longest(const assay_tower *tower)
{
    int64_t most = tower->lengths ? 0 : tower->tokens;
    for (int64_t b = 0; tower->lengths && b < tower->rows; b++)
        if (assay_i32(tower->lengths)[b] > most)
            most = assay_i32(tower->lengths)[b];
    return most;
}

/* ---- series ---- */

typedef struct key_note {
    assay_weighing weighing;
    int64_t first, end;
} key_note;

static double importance_of(const guidance *g, int64_t key)
{
    double n = (double)g->updates[key];
    if (!g->rule.relative)
        return (double)g->importance[key];
    return n > 0 ? (double)g->importance[key] / (1 - pow(g->rule.rho, n)) : 1;
}

/* A key counts among the pairs as often as there are queries before it. */
static void record_keys(const guidance *g, const key_note *note)
{
    double n = 0, pairs = 0, pair_weights = 0, weights = 0, squares = 0, importance = 0, most = 0;
    for (int64_t j = note->first + 1; j < note->end; j++, n++) {
        double queries = (double)(j - note->first), importance_now = importance_of(g, j);
        double weight = assay_weight(&note->weighing, importance_now);
        pairs += queries;
        pair_weights += queries * weight;
        weights += weight;
        squares += weight * weight;
        importance += importance_now;
        most = fmax(most, importance_now);
    }
    if (pairs <= 0)
        return;
    double mean = weights / n;
    g->host->series(g->host->user, "mask/weight_mean", pair_weights / pairs);
    g->host->series(g->host->user, "mask/weight_sd", sqrt(fmax(squares / n - mean * mean, 0)));
    g->host->series(g->host->user, "mask/importance_mean", importance / n);
    g->host->series(g->host->user, "mask/importance_max", most);
}

static void take_importance(void *user, const void *note, const void *numbers, int64_t count)
{
    guidance *g = user;
    if (count != g->tokens)
        return;
    memcpy(g->importance, numbers, (size_t)count * sizeof *g->importance);
    if (!g->rule.relative)
        record_keys(g, note);
}

static void take_updates(void *user, const void *note, const void *numbers, int64_t count)
{
    guidance *g = user;
    if (count != g->tokens)
        return;
    memcpy(g->updates, numbers, (size_t)count * sizeof *g->updates);
    record_keys(g, note);
}

void guidance_record(guidance *g, const assay_weighing *weighing, int64_t first, int64_t end)
{
    const key_note note = {*weighing, first, end};
    assay_reading reading = {.tensor = assay_importance_values(g->learned),
                             .read = take_importance,
                             .user = g,
                             .note = &note,
                             .note_bytes = sizeof note};
    if (!g->host || !g->host->series)
        return;
    assay_read_later(g->host, &reading);
    reading.tensor = assay_importance_updates(g->learned);
    reading.read = take_updates;
    if (reading.tensor)
        assay_read_later(g->host, &reading);
}

/* ---- state ---- */

bool guidance_save(const guidance *g, const assay_state_writer *out, const char *values,
                   const char *updates, assay_error *error)
{
    const assay_tensor *counted = assay_importance_updates(g->learned);
    return out->put(out->user, values, assay_importance_values(g->learned), error) &&
           (!counted || out->put(out->user, updates, counted, error));
}

static bool load_one(const assay_state_reader *in, const char *name, assay_tensor *into,
                     assay_error *error)
{
    const assay_stored *stored = in->get(in->user, name, error);
    return stored && assay_stored_read(stored, into, error);
}

bool guidance_load(guidance *g, const assay_state_reader *in, const char *values,
                   const char *updates, assay_error *error)
{
    assay_tensor *counted = assay_importance_updates(g->learned);
    return load_one(in, values, assay_importance_values(g->learned), error) &&
           (!counted || load_one(in, updates, counted, error));
}
