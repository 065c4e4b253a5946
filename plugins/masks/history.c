/* history.c - log-weights (B, 1, T, T) that open a span and nothing else. */
#include "history.h"

#include <assay/ops.h>

#include <math.h>
#include <string.h>

history history_at(const assay_tower *tower, int64_t b)
{
    const int32_t *span = assay_i32(tower->span) + (tower->span->rank == 2 ? 2 * b : 0);
    int64_t valid = tower->lengths ? assay_i32(tower->lengths)[b] : tower->tokens;
    int64_t end = span[1] < valid ? span[1] : valid;
    return (history){span[0] < end ? span[0] : end, end};
}

static bool finish(assay_tape *tape, assay_tensor *weights, assay_attention_bias *out)
{
    *out = assay_bias_causal();
    out->future = ASSAY_FUTURE_OPEN;
    out->log_weight = weights;
    out->history_only = true;
    return weights && assay_tape_ok(tape, NULL);
}

/* The spans of the rows within their valid tokens, i32 (B, 2). */
static assay_tensor *spans(assay_tape *tape, const assay_tower *tower)
{
    assay_tensor *made = assay_tape_tensor(tape, ASSAY_I32, 2, (int64_t[]){tower->rows, 2});
    for (int64_t b = 0; made && b < tower->rows; b++) {
        history h = history_at(tower, b);
        assay_i32(made)[2 * b] = (int32_t)h.first;
        assay_i32(made)[2 * b + 1] = (int32_t)h.end;
    }
    return made;
}

bool history_prices(assay_tape *tape, const assay_tower *tower, assay_tensor *prices,
                    assay_attention_bias *out)
{
    return finish(tape, assay_history_prices(tape, prices, spans(tape, tower), tower->tokens), out);
}

bool history_for_first(assay_tape *tape, const assay_tower *tower, assay_attention_bias *out)
{
    assay_tensor *window =
        assay_tape_tensor(tape, ASSAY_I32, 3, (int64_t[]){tower->rows, tower->tokens, 2});
    if (!window)
        return false;
    memset(assay_i32(window), 0, (size_t)assay_tensor_bytes(window));
    for (int64_t b = 0; b < tower->rows && tower->tokens > 0; b++) {
        history h = history_at(tower, b);
        assay_i32(window)[2 * b * tower->tokens] = (int32_t)h.first;
        assay_i32(window)[2 * b * tower->tokens + 1] = (int32_t)h.end;
    }
    return finish(tape, assay_window_prices(tape, window), out);
}

/* ---- series ---- */

static void add_squares(void *user, const void *note, const void *numbers, int64_t count)
{
    history_gradient *g = user;
    const float *d = numbers;
    bool last = *(const bool *)note;
    for (int64_t i = 0; i < count; i++)
        g->squares += (double)d[i] * (double)d[i];
    if (!last)
        return;
    g->host->series(g->host->user, "mask/gradient_norm", sqrt(g->squares));
    g->squares = 0;
}

void history_record_gradient(history_gradient *g, int n, assay_tensor *const parameters[])
{
    if (!g->host || !g->host->series)
        return;
    for (int p = 0; p < n; p++) {
        bool last = p + 1 == n;
        assay_read_later(g->host, &(assay_reading){.tensor = parameters[p],
                                                   .gradient = true,
                                                   .read = add_squares,
                                                   .user = g,
                                                   .note = &last,
                                                   .note_bytes = sizeof last});
    }
}
