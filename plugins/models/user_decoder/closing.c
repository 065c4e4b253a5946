/* closing.c - answer words behind a user's tokens, closed to all that stands before them; padding
 * slots among them, hidden from everybody.
 *
 * A mask may open the future. If it opened the answer to the tokens that the user's representation
 * is read from, the contrast would compare the answer with itself and the next-word loss would see
 * what it predicts. So the price of every answer word as a future key is raised to infinity: its
 * own tower stays causal from there on, and what the mask says of all other keys is left as it
 * is.
 *
 * A padding slot is hidden as a past key too. A bias has one price, of the future or of everything;
 * where the mask's own is of the future, the two are written out as one matrix. */
#include "user_decoder.h"

#include <math.h>
#include <string.h>

/* log_weight (B|1, H|1, Q|1, T|1) + shut (B, T) -> (B, H|1, Q|1, T) or, whole, (B, H|1, T, T) with
 * the mask's price on future keys outside the span alone. */
typedef struct closing_saved {
    const float *future, *always; /* (B, T): added to a key's price when it is future; to any; or
                                     NULL */
    const int32_t *span;          /* (B, 2) or NULL */
    bool whole;
} closing_saved;

/* One row of keys: of the result, of log_weight (every `stride` numbers), and of what is shut. */
typedef struct key_row {
    int64_t to, from, stride, shut, query, sample;
} key_row;

/* Row r of the result's B H Q rows. */
static key_row row_at(const assay_tensor *y, const assay_tensor *weight, int64_t r)
{
    const int64_t *w = weight->shape, keys = y->shape[3];
    int64_t q = r % y->shape[2], h = r / y->shape[2] % y->shape[1];
    int64_t b = r / (y->shape[2] * y->shape[1]);
    int64_t from = w[0] > 1 ? b : 0;
    from = from * w[1] + (w[1] > 1 ? h : 0);
    from = from * w[2] + (w[2] > 1 ? q : 0);
    return (key_row){r * keys, from * w[3], w[3] > 1, b * keys, q, b};
}

static int64_t row_count(const assay_tensor *y)
{
    return y->shape[0] * y->shape[1] * y->shape[2];
}

/* Whether the mask's price is paid for key t of the row. */
static bool is_priced(const closing_saved *saved, const key_row *row, int64_t t)
{
    const int32_t *span = saved->span ? saved->span + 2 * row->sample : NULL;
    if (!saved->whole)
        return true;
    if (t <= row->query)
        return false;
    return !span || row->query < span[0] || t < span[0] || row->query >= span[1] || t >= span[1];
}

static float shut_price(const closing_saved *saved, const key_row *row, int64_t t)
{
    float price = saved->always ? saved->always[row->shut + t] : 0;
    if (saved->future && (!saved->whole || t > row->query))
        price += saved->future[row->shut + t];
    return price;
}

/* What a shut key costs no longer depends on the weight. */
static bool closing_backward(assay_tape *tape, const assay_node *node)
{
    const closing_saved *saved = node->saved;
    assay_tensor *weight = node->inputs[0], *y = node->outputs[0];
    const float *d_y = assay_gradient(y);
    int64_t bytes = assay_tensor_count(weight) * (int64_t)sizeof(float);
    float *d_weight = weight->needs_grad ? assay_tape_scratch(tape, bytes) : NULL;
    if (!d_weight || !d_y)
        return assay_tape_ok(tape, NULL);
    memset(d_weight, 0, (size_t)bytes);
    for (int64_t r = 0; r < row_count(y); r++) {
        key_row row = row_at(y, weight, r);
        for (int64_t t = 0; t < y->shape[3]; t++)
            if (is_priced(saved, &row, t) && shut_price(saved, &row, t) == 0)
                d_weight[row.from + t * row.stride] += d_y[row.to + t];
    }
    bool ok = assay_tape_add_grad(tape, weight, d_weight);
    assay_tape_release(tape, d_weight, bytes);
    return ok;
}

static const assay_op closing_op = {sizeof(assay_op), "close_answers", closing_backward};

static assay_tensor *shut_keys(assay_tape *tape, assay_tensor *weight, const assay_tower *tower,
                               closing_saved saved)
{
    closing_saved *kept = assay_tape_scratch(tape, (int64_t)sizeof *kept);
    const int64_t shape[] = {tower->rows, weight->shape[1],
                             saved.whole ? tower->tokens : weight->shape[2], tower->tokens};
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 4, shape);
    if (!kept || !y)
        return NULL;
    *kept = saved;
    const float *w = assay_f32(weight);
    float *to = assay_f32(y);
    for (int64_t r = 0; r < row_count(y); r++) {
        key_row row = row_at(y, weight, r);
        for (int64_t t = 0; t < y->shape[3]; t++)
            to[row.to + t] = shut_price(kept, &row, t) +
                             (is_priced(kept, &row, t) ? w[row.from + t * row.stride] : 0);
    }
    return assay_tape_record(tape, &closing_op, 1, (assay_tensor *[]){weight}, 1,
                             (assay_tensor *[]){y}, kept)
               ? y
               : NULL;
}

/* A span that ends with the row's own tokens, one per row. */
static assay_tensor *clip_span(assay_tape *tape, const assay_tensor *span, const assay_tower *tower)
{
    int64_t rows = tower->rows;
    assay_tensor *clipped = assay_tape_tensor(tape, ASSAY_I32, 2, (int64_t[]){rows, 2});
    for (int64_t b = 0; clipped && b < rows; b++) {
        const int32_t *from = assay_i32(span) + (span->rank == 2 ? 2 * b : 0);
        int32_t end = assay_i32(tower->lengths)[b];
        assay_i32(clipped)[2 * b] = from[0] < end ? from[0] : end;
        assay_i32(clipped)[2 * b + 1] = from[1] < end ? from[1] : end;
    }
    return clipped;
}

static float free_of_cost = 0;
static assay_tensor no_price = {.data = &free_of_cost, .shape = {1, 1, 1, 1}, .rank = 4};

static bool close_answers(assay_tape *tape, const assay_tower *tower, const content *c,
                          assay_attention_bias *bias)
{
    if (!c->closed || bias->future == ASSAY_FUTURE_HIDDEN)
        return true;
    if (bias->scope == ASSAY_BIAS_EVERYWHERE && bias->log_weight) {
        assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                        (assay_failure){.where = MODEL_WHERE,
                                        .what = "next-word targets need a mask whose cost is that "
                                                "of the future alone",
                                        .hint = "leave out loss.next_token, or use another mask"});
        return false;
    }
    bias->scope = ASSAY_BIAS_FUTURE;
    bias->log_weight = shut_keys(tape, bias->log_weight ? bias->log_weight : &no_price, tower,
                                 (closing_saved){.future = assay_f32(c->closed)});
    return bias->log_weight != NULL;
}

/* After close_answers: hides padding slots as keys of whatever query. */
static bool hide_padding(assay_tape *tape, const assay_tower *tower, const content *c,
                         assay_attention_bias *bias)
{
    closing_saved saved = {.always = assay_f32(c->hidden)};
    bool of_future =
        bias->log_weight && bias->scope == ASSAY_BIAS_FUTURE && bias->future == ASSAY_FUTURE_OPEN;
    if (bias->future == ASSAY_FUTURE_HIDDEN && bias->scope == ASSAY_BIAS_FUTURE)
        bias->log_weight = NULL; /* nobody pays it */
    if (of_future) {
        saved.whole = true;
        saved.span = bias->span ? assay_i32(bias->span) : NULL;
        bias->span = NULL;
    }
    bias->log_weight =
        shut_keys(tape, bias->log_weight ? bias->log_weight : &no_price, tower, saved);
    bias->scope = ASSAY_BIAS_EVERYWHERE;
    return bias->log_weight != NULL;
}

bool closing_apply(assay_tape *tape, const assay_tower *tower, const content *c,
                   assay_attention_bias *bias)
{
    if (bias->span && (c->closed || c->hidden)) {
        bias->span = clip_span(tape, bias->span, tower);
        if (!bias->span)
            return false;
    }
    return close_answers(tape, tower, c, bias) &&
           (!c->hidden || hide_padding(tape, tower, c, bias));
}
