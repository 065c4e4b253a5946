/* guidance.c - gradient norms by position, and the series of guided masks. */
#include "guidance.h"

#include <math.h>
#include <string.h>

bool guidance_open(guidance *g, int64_t tokens, assay_error *error)
{
    g->tokens = tokens;
    g->norms = assay_zalloc(tokens * (int64_t)sizeof *g->norms, error);
    g->samples = assay_zalloc(tokens * (int64_t)sizeof *g->samples, error);
    return g->norms && g->samples;
}

void guidance_close(guidance *g)
{
    assay_free(g->norms);
    assay_free(g->samples);
}

static double norm_of(const float *row, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += (double)row[k] * (double)row[k];
    return sqrt(sum);
}

bool guidance_observe(guidance *g, const assay_tape *tape, const assay_tower *tower,
                      const char *tap, const char *where, assay_error *error)
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
    int64_t tokens = state->shape[1], width = state->shape[2];
    const float *d_state = assay_gradient(state);
    if (!d_state) /* no loss reads this tower: every gradient is 0 */
        return true;
    for (int64_t b = 0; b < state->shape[0]; b++) {
        int64_t valid = tower->lengths ? assay_i32(tower->lengths)[b] : tokens;
        for (int64_t j = 0; j < valid && j < g->tokens; j++) {
            g->norms[j] += norm_of(d_state + (b * tokens + j) * width, width);
            g->samples[j]++;
        }
    }
    return true;
}

void guidance_learn(const guidance *g, bool mean, double rho, float *importance)
{
    bool any = false;
    /* The first position is no query's future: it can't be what makes a pass count. */
    for (int64_t j = 1; j < g->tokens; j++)
        any = any || g->norms[j] > 0;
    for (int64_t j = 1; any && j < g->tokens; j++) {
        double now = g->norms[j];
        if (mean && g->samples[j] > 0)
            now /= (double)g->samples[j];
        importance[j] = (float)(rho * (double)importance[j] + (1 - rho) * now);
    }
}

void guidance_record(const guidance *g, const assay_host *host)
{
    double norms = 0, samples = 0;
    for (int64_t j = 0; j < g->tokens; j++) {
        norms += g->norms[j];
        samples += (double)g->samples[j];
    }
    if (host && host->series && samples > 0)
        host->series(host->user, "mask/gradient_norm", norms / samples);
}

void guidance_clear(guidance *g)
{
    memset(g->norms, 0, (size_t)g->tokens * sizeof *g->norms);
    memset(g->samples, 0, (size_t)g->tokens * sizeof *g->samples);
}

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

void key_sums_add(key_sums *sums, int64_t queries, double weight, double importance)
{
    sums->keys++;
    sums->pairs += (double)queries;
    sums->pair_weights += (double)queries * weight;
    sums->weights += weight;
    sums->squares += weight * weight;
    sums->importance += importance;
    sums->most = fmax(sums->most, importance);
}

void key_sums_record(const key_sums *sums, const assay_host *host)
{
    double n = (double)sums->keys;
    if (!host || !host->series || sums->keys == 0 || sums->pairs <= 0)
        return;
    double mean = sums->weights / n;
    host->series(host->user, "mask/weight_mean", sums->pair_weights / sums->pairs);
    host->series(host->user, "mask/weight_sd", sqrt(fmax(sums->squares / n - mean * mean, 0)));
    host->series(host->user, "mask/importance_mean", sums->importance / n);
    host->series(host->user, "mask/importance_max", sums->most);
}
