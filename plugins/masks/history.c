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

/* Everything hidden. */
static assay_tensor *hidden(assay_tape *tape, const assay_tower *tower)
{
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4,
                                        (int64_t[]){tower->rows, 1, tower->tokens, tower->tokens});
    float *numbers = y ? assay_f32(y) : NULL;
    for (int64_t i = 0; numbers && i < assay_tensor_count(y); i++)
        numbers[i] = -INFINITY;
    return y;
}

static bool finish(assay_tape *tape, assay_tensor *weights, assay_attention_bias *out)
{
    *out = assay_bias_causal();
    out->future = ASSAY_FUTURE_OPEN;
    out->log_weight = weights;
    out->history_only = true;
    return weights && assay_tape_ok(tape, NULL);
}

/* Row i of batch item b. */
static float *row_of(const assay_tensor *weights, int64_t b, int64_t i)
{
    int64_t tokens = weights->shape[3];
    return assay_f32(weights) + (b * tokens + i) * tokens;
}

bool history_by_key(assay_tape *tape, const assay_tower *tower, const float *of_key,
                    assay_attention_bias *out)
{
    assay_tensor *y = hidden(tape, tower);
    for (int64_t b = 0; y && b < tower->rows; b++) {
        history h = history_at(tower, b);
        for (int64_t i = h.first; i < h.end; i++)
            for (int64_t j = i + 1; j < h.end; j++)
                row_of(y, b, i)[j] = of_key[j];
    }
    return finish(tape, y, out);
}

bool history_for_first(assay_tape *tape, const assay_tower *tower, assay_attention_bias *out)
{
    assay_tensor *y = hidden(tape, tower);
    for (int64_t b = 0; y && b < tower->rows; b++) {
        history h = history_at(tower, b);
        for (int64_t j = h.first; j < h.end; j++)
            row_of(y, b, 0)[j] = 0;
    }
    return finish(tape, y, out);
}

/* ---- by query: (B, T) -> (B, 1, T, T), with its gradient ---- */

/* The span of each row. */
typedef struct spread_saved {
    const history *rows;
} spread_saved;

/* What a query's price changes is the sum over the keys that it prices. */
static bool spread_backward(assay_tape *tape, const assay_node *node)
{
    const spread_saved *saved = node->saved;
    assay_tensor *x = node->inputs[0], *y = node->outputs[0];
    int64_t tokens = x->shape[1];
    const float *d_y = assay_gradient(y);
    int64_t bytes = assay_tensor_count(x) * (int64_t)sizeof(float);
    float *d_x = x->needs_grad ? assay_tape_scratch(tape, bytes) : NULL;
    if (!d_x || !d_y)
        return assay_tape_ok(tape, NULL);
    memset(d_x, 0, (size_t)bytes);
    for (int64_t b = 0; b < x->shape[0]; b++) {
        history h = saved->rows[b];
        for (int64_t i = h.first; i < h.end; i++) {
            const float *row = d_y + (b * tokens + i) * tokens;
            double sum = 0;
            for (int64_t j = i + 1; j < h.end; j++)
                sum += (double)row[j];
            d_x[b * tokens + i] = (float)sum;
        }
    }
    bool ok = assay_tape_add_grad(tape, x, d_x);
    assay_tape_release(tape, d_x, bytes);
    return ok;
}

static const assay_op spread_op = {sizeof(assay_op), "spread_over_history", spread_backward};

bool history_by_query(assay_tape *tape, const assay_tower *tower, assay_tensor *of_query,
                      assay_attention_bias *out)
{
    spread_saved *saved = assay_tape_scratch(tape, (int64_t)sizeof *saved);
    history *rows = assay_tape_scratch(tape, tower->rows * (int64_t)sizeof *rows);
    assay_tensor *y = hidden(tape, tower);
    if (!of_query || !saved || !rows || !y)
        return false;
    saved->rows = rows;
    for (int64_t b = 0; b < tower->rows; b++) {
        rows[b] = history_at(tower, b);
        for (int64_t i = rows[b].first; i < rows[b].end; i++)
            for (int64_t j = i + 1; j < rows[b].end; j++)
                row_of(y, b, i)[j] = assay_f32(of_query)[b * tower->tokens + i];
    }
    if (!assay_tape_record(tape, &spread_op, 1, (assay_tensor *[]){of_query}, 1,
                           (assay_tensor *[]){y}, saved))
        return false;
    return finish(tape, y, out);
}

void history_record_gradient(const assay_host *host, int n, assay_tensor *const parameters[])
{
    double sum = 0;
    if (!host || !host->series)
        return;
    for (int p = 0; p < n; p++) {
        const float *d = assay_gradient(parameters[p]);
        for (int64_t i = 0; d && i < assay_tensor_count(parameters[p]); i++)
            sum += (double)d[i] * (double)d[i];
    }
    host->series(host->user, "mask/gradient_norm", sqrt(sum));
}
