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

/* The mask's prices, or that all is free, with the costs of closed keys. */
static assay_tensor *close_keys(assay_tape *tape, const assay_tower *tower, assay_tensor *prices,
                                const assay_closed_keys *closed)
{
    static const float free_of_cost = 0;
    if (!prices)
        prices = assay_tape_constant(tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, 1}, &free_of_cost);
    return assay_close_keys(tape, prices, tower->rows, tower->tokens, closed);
}

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
    bias->log_weight =
        close_keys(tape, tower, bias->log_weight, &(assay_closed_keys){.future = c->closed});
    return bias->log_weight != NULL;
}

/* After close_answers: hides padding slots as keys of whatever query. */
static bool hide_padding(assay_tape *tape, const assay_tower *tower, const content *c,
                         assay_attention_bias *bias)
{
    assay_closed_keys closed = {.always = c->hidden};
    bool of_future =
        bias->log_weight && bias->scope == ASSAY_BIAS_FUTURE && bias->future == ASSAY_FUTURE_OPEN;
    if (bias->future == ASSAY_FUTURE_HIDDEN && bias->scope == ASSAY_BIAS_FUTURE)
        bias->log_weight = NULL; /* nobody pays it */
    if (of_future) {
        closed.whole = true;
        closed.span = bias->span;
        bias->span = NULL;
    }
    bias->log_weight = close_keys(tape, tower, bias->log_weight, &closed);
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
