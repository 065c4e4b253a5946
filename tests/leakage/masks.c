/* masks.c - the kinds of attention bias, and the rules of visibility written out for one pair. */
#include "leakage/masks.h"

#include "leakage/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OPEN        .future = ASSAY_FUTURE_OPEN
#define EVERYWHERE  .scope = ASSAY_BIAS_EVERYWHERE
#define PRICED(...) .priced = true, .full = {__VA_ARGS__}

static const mask_kind kinds[] = {
    {"causal", .future = ASSAY_FUTURE_HIDDEN},
    {"full", OPEN},
    {"span, shared", .span = SPAN_SHARED},
    {"span, one per row", .span = SPAN_PER_ROW},
    {"constant weight", OPEN, .constant = 0.3f},
    {"scalar price", OPEN, PRICED(0, 0, 0, 0)},
    {"price per key", OPEN, PRICED(0, 0, 0, 1)},
    {"price per row and key", OPEN, PRICED(1, 0, 0, 1)},
    {"price per query", OPEN, PRICED(0, 0, 1, 0)},
    {"price per row and query", OPEN, PRICED(1, 0, 1, 0)},
    {"price per pair", OPEN, PRICED(0, 0, 1, 1)},
    {"price per head and pair", OPEN, PRICED(0, 1, 1, 1)},
    {"price per row, head and pair", OPEN, PRICED(1, 1, 1, 1)},
    {"price behind a closed future", PRICED(0, 0, 1, 1)},
    {"span, and a price outside", OPEN, .span = SPAN_PER_ROW, PRICED(0, 0, 0, 1)},
    {"everywhere, open", OPEN, EVERYWHERE, PRICED(0, 1, 1, 1)},
    {"everywhere, closed", EVERYWHERE, PRICED(0, 1, 1, 1)},
    {"everywhere, span", EVERYWHERE, .span = SPAN_SHARED, PRICED(1, 0, 1, 1)},
    {"learned scalar", OPEN, PRICED(0, 0, 0, 0), .learned = true},
    {"learned per pair", OPEN, PRICED(0, 0, 1, 1), .learned = true},
    {"learned everywhere, closed", EVERYWHERE, PRICED(0, 1, 1, 1), .learned = true},
    {"keys at weight 0", OPEN, PRICED(1, 0, 0, 1), .hidden = 0.5f},
    {"queries at weight 0", OPEN, PRICED(0, 0, 1, 0), .hidden = 0.5f},
    {"pairs at weight 0", OPEN, PRICED(0, 1, 1, 1), .hidden = 0.5f},
    {"pairs at weight 0, learned", OPEN, PRICED(0, 0, 1, 1), .hidden = 0.5f, .learned = true},
    {"pairs of a row at weight 0", OPEN, PRICED(1, 0, 1, 1), .hidden = 0.6f},
    {"pairs of a row at weight 0, learned", OPEN, PRICED(1, 0, 1, 1), .hidden = 0.6f,
     .learned = true},
    {"learned per row and pair", OPEN, PRICED(1, 0, 1, 1), .learned = true},
    {"queries of a row at weight 0", OPEN, PRICED(1, 0, 1, 0), .hidden = 0.5f},
    {"all at weight 0", OPEN, PRICED(0, 0, 1, 1), .hidden = 1.0f},
    {"everywhere, pairs hidden", OPEN, EVERYWHERE, PRICED(0, 0, 1, 1), .hidden = 0.7f},
    {"everywhere, queries blind", OPEN, EVERYWHERE, PRICED(1, 0, 1, 0), .hidden = 0.5f},
    {"everywhere, all hidden", OPEN, EVERYWHERE, PRICED(0, 0, 1, 1), .hidden = 1.0f},
};

int mask_kind_count(void)
{
    return (int)(sizeof kinds / sizeof kinds[0]);
}

const mask_kind *mask_kind_at(int index)
{
    return &kinds[index];
}

/* Row 0's span begins half way and ends with the row, the next ones move to the left and grow; the
 * third is empty. */
static assay_tensor *make_span(mask_span span, int64_t batch, int64_t tokens)
{
    const int32_t t = (int32_t)tokens;
    const int32_t rows[4][2] = {{t / 2, t}, {t / 4, t / 4 + (t + 1) / 2}, {t / 3, t / 3}, {0, t}};
    int32_t values[16];
    assay_tensor *tensor = NULL;
    if (span == SPAN_SHARED)
        return fixture_ints(2, rows[1]);
    assert_true(batch <= 8);
    for (int64_t b = 0; b < batch; b++)
        for (int k = 0; k < 2; k++)
            values[2 * b + k] = rows[b % 4][k];
    tensor = fixture_ints(2 * batch, values);
    tensor->rank = 2;
    tensor->shape[0] = batch;
    tensor->shape[1] = 2;
    return tensor;
}

static assay_tensor *make_price(const mask_kind *kind, const int64_t full[4])
{
    int64_t shape[4];
    assay_stream choice = assay_stream_of(5, kind->name, 0);
    assay_tensor *price = NULL;
    for (int axis = 0; axis < 4; axis++)
        shape[axis] = kind->full[axis] ? full[axis] : 1;
    price = fixture_normal(kind->name, 4, shape);
    price->needs_grad = kind->learned;
    for (int64_t i = 0; i < assay_tensor_count(price); i++)
        if (assay_random_uniform(choice, (uint64_t)i) < kind->hidden)
            assay_f32(price)[i] = -INFINITY;
    return price;
}

mask mask_new(const mask_kind *kind, int64_t batch, int64_t heads, int64_t tokens)
{
    mask m = {kind, NULL, NULL};
    if (kind->span != SPAN_NONE)
        m.span = make_span(kind->span, batch, tokens);
    if (kind->priced)
        m.log_weight = make_price(kind, (int64_t[]){batch, heads, tokens, tokens});
    return m;
}

void mask_free(mask *m)
{
    assay_tensor_free(m->span);
    assay_tensor_free(m->log_weight);
}

assay_attention_bias mask_bias(const mask *m, assay_tape *tape)
{
    if (m->kind->constant > 0.0f)
        return assay_bias_future(tape, m->kind->constant);
    return (assay_attention_bias){.future = m->kind->future,
                                  .scope = m->kind->scope,
                                  .span = m->span,
                                  .log_weight = m->log_weight};
}

static float price_of(const mask *m, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const int64_t *shape = m->log_weight->shape, at[4] = {b, h, i, j};
    int64_t offset = 0;
    for (int axis = 0; axis < 4; axis++)
        offset = offset * shape[axis] + (shape[axis] > 1 ? at[axis] : 0);
    return assay_f32(m->log_weight)[offset];
}

bool mask_allows(const mask *m, const int32_t *lengths, int64_t b, int64_t h, int64_t i, int64_t j)
{
    bool future = j > i;
    if (lengths && (i >= lengths[b] || j >= lengths[b]))
        return false;
    if (m->span) {
        const int32_t *span = assay_i32(m->span) + (m->span->rank == 2 ? 2 * b : 0);
        bool both = i >= span[0] && i < span[1] && j >= span[0] && j < span[1];
        future = future && !both;
    }
    if (future && m->kind->future == ASSAY_FUTURE_HIDDEN)
        return false;
    if (m->log_weight && (future || m->kind->scope == ASSAY_BIAS_EVERYWHERE))
        return price_of(m, b, h, i, j) > -INFINITY;
    return true;
}
