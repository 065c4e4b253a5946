/* pairs.c - prices of pairs of a query and a key that masks and models make of simpler ones: inside
 * a history alone, and of keys that are closed (assay/attention.h). */
#include <assay/attention.h>

#include "engine/tensor/operand.h"

#include <inttypes.h>

/* Extents of the prices, and their strides: 0 where an axis is shared. */
static void strides_of(const assay_tensor *prices, int64_t extent[4], int64_t stride[4])
{
    int64_t next = 1;
    for (int i = 3; i >= 0; i--) {
        extent[i] = prices->shape[i];
        stride[i] = extent[i] > 1 ? next : 0;
        next *= extent[i];
    }
}

static bool takes_prices(assay_tape *tape, const char *op, const assay_tensor *prices)
{
    if (!op_takes(tape, op, 1, &prices))
        return false;
    if (prices->dtype == ASSAY_F32 && prices->rank == 4)
        return true;
    op_mismatch(tape, op, "prices are f32 of rank 4", "(B|1, H|1, Q|1, T|1)", prices);
    return false;
}

/* An extent that is the whole or 1. */
static bool spreads(int64_t extent, int64_t all)
{
    return extent == all || extent == 1;
}

/* span: i32 (B, 2), 0 <= first <= end <= tokens. */
static bool takes_spans(assay_tape *tape, const char *op, const assay_tensor *span, int64_t tokens)
{
    if (!op_takes_ints(tape, op, span))
        return false;
    if (span->rank != 2 || span->shape[1] != 2) {
        op_mismatch(tape, op, "a span has a first token and an end", "(B, 2)", span);
        return false;
    }
    const int32_t *s = op_ints(span);
    for (int64_t b = 0; b < span->shape[0]; b++)
        if (s[2 * b] < 0 || s[2 * b] > s[2 * b + 1] || s[2 * b + 1] > tokens) {
            assay_tape_fail(
                tape, ASSAY_BAD_INPUT,
                (assay_failure){
                    .where = op,
                    .what = assay_text("the span of row %" PRId64 " is out of range", b),
                    .expected = assay_text("0 <= first <= end <= %" PRId64, tokens),
                    .got = assay_text("%" PRId32 " and %" PRId32, s[2 * b], s[2 * b + 1])});
            return false;
        }
    return true;
}

/* ---- inside a history ---- */

static bool history_backward(assay_tape *tape, const assay_node *node)
{
    device_history call = *(const device_history *)node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    call.d_y = node->outputs[0]->grad;
    call.d_price = to.data;
    call.add = to.add;
    if (to.data)
        op_kernels(tape)->d_history_prices(&call);
    return op_sound(tape);
}

static const assay_op history_op = {sizeof(assay_op), "history_prices", history_backward};

assay_tensor *assay_history_prices(assay_tape *tape, assay_tensor *prices, const assay_tensor *span,
                                   int64_t tokens)
{
    if (!takes_prices(tape, "history_prices", prices) ||
        !takes_spans(tape, "history_prices", span, tokens))
        return NULL;
    const int64_t *w = prices->shape, batch = span->shape[0];
    if (!spreads(w[0], batch) || w[1] != 1 || !spreads(w[2], tokens) || !spreads(w[3], tokens))
        return op_mismatch(
            tape, "history_prices", "prices do not fit the pairs",
            assay_text("(%" PRId64 "|1, 1, %" PRId64 "|1, %" PRId64 "|1)", batch, tokens, tokens),
            prices);
    device_history *call = assay_tape_scratch(tape, (int64_t)sizeof *call);
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){batch, 1, tokens, tokens});
    if (!call || !y)
        return NULL;
    int64_t extent[4], stride[4];
    strides_of(prices, extent, stride);
    *call = (device_history){.batch = batch,
                             .tokens = tokens,
                             .span = op_in(tape, span),
                             .extent = {extent[0], extent[2], extent[3]},
                             .stride = {stride[0], stride[2], stride[3]},
                             .price = op_in(tape, prices),
                             .y = op_out(tape, y)};
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->history_prices(call);
    return assay_tape_record(tape, &history_op, 1, &prices, 1, &y, call) ? y : NULL;
}

/* ---- windows ---- */

assay_tensor *assay_window_prices(assay_tape *tape, const assay_tensor *window)
{
    if (!op_takes_ints(tape, "window_prices", window))
        return NULL;
    if (window->rank != 3 || window->shape[2] != 2)
        return op_mismatch(tape, "window_prices", "a query's window has a first key and an end",
                           "(B, T, 2)", window);
    int64_t batch = window->shape[0], tokens = window->shape[1];
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){batch, 1, tokens, tokens});
    const int32_t *sent = y ? op_in(tape, window) : NULL;
    float *to = y ? op_out(tape, y) : NULL;
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->window_prices(batch, tokens, sent, to);
    return y;
}

/* ---- closed keys ---- */

static bool closing_backward(assay_tape *tape, const assay_node *node)
{
    device_closing call = *(const device_closing *)node->saved;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    call.d_y = node->outputs[0]->grad;
    call.d_price = to.data;
    call.add = to.add;
    if (to.data)
        op_kernels(tape)->d_close_keys(&call);
    return op_sound(tape);
}

static const assay_op closing_op = {sizeof(assay_op), "close_keys", closing_backward};

/* NULL, or f32 (B, T). */
static bool takes_closed(assay_tape *tape, const assay_tensor *closed, int64_t batch,
                         int64_t tokens)
{
    if (!closed || (closed->dtype == ASSAY_F32 && closed->rank == 2 && closed->shape[0] == batch &&
                    closed->shape[1] == tokens))
        return true;
    op_mismatch(tape, "close_keys", "what closed keys cost does not fit the batch",
                assay_text("(%" PRId64 ", %" PRId64 ") f32", batch, tokens), closed);
    return false;
}

assay_tensor *assay_close_keys(assay_tape *tape, assay_tensor *prices, int64_t batch,
                               int64_t tokens, const assay_closed_keys *closed)
{
    if (!takes_prices(tape, "close_keys", prices) ||
        !takes_closed(tape, closed->future, batch, tokens) ||
        !takes_closed(tape, closed->always, batch, tokens) ||
        (closed->span && !takes_spans(tape, "close_keys", closed->span, tokens)))
        return NULL;
    const int64_t *w = prices->shape;
    int64_t queries = closed->whole ? tokens : w[2];
    if (!spreads(w[0], batch) || !spreads(w[2], tokens) || !spreads(w[3], tokens) ||
        (closed->span && closed->span->shape[0] != batch))
        return op_mismatch(
            tape, "close_keys", "prices or spans do not fit the pairs",
            assay_text("(%" PRId64 "|1, H, %" PRId64 "|1, %" PRId64 "|1)", batch, tokens, tokens),
            prices);
    device_closing *call = assay_tape_scratch(tape, (int64_t)sizeof *call);
    assay_tensor *y =
        assay_tape_tensor(tape, ASSAY_F32, 4, (int64_t[]){batch, w[1], queries, tokens});
    if (!call || !y)
        return NULL;
    *call = (device_closing){.batch = batch,
                             .heads = w[1],
                             .queries = queries,
                             .keys = tokens,
                             .whole = closed->whole,
                             .future = closed->future ? op_in(tape, closed->future) : NULL,
                             .always = closed->always ? op_in(tape, closed->always) : NULL,
                             .span = closed->span ? op_in(tape, closed->span) : NULL,
                             .price = op_in(tape, prices),
                             .y = op_out(tape, y)};
    strides_of(prices, call->extent, call->stride);
    if (!op_sound(tape))
        return NULL;
    op_kernels(tape)->close_keys(call);
    return assay_tape_record(tape, &closing_op, 1, &prices, 1, &y, call) ? y : NULL;
}
