/* test_prefix.c - a suffix of queries over cached keys is the end of the full call: query i of Tq
 * stands at position Tk - Tq + i, for the mask and for the rotary angles alike. */
#include "leakage/fixture.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 3, Q_WIDTH = HEADS * HEAD_WIDTH, KV_WIDTH = KV_HEADS * HEAD_WIDTH };

typedef enum bias_name { CAUSAL, FULL, SPAN, SPAN_EACH, PRICED, BIAS_NAMES } bias_name;

/* One call with all queries and its gradients, or with the last ones only. */
typedef struct call {
    int64_t queries, keys;
    assay_tensor *q, *k, *v, *cotangent;
    float *out; /* (B, queries, Q_WIDTH) */
} call;

static call call_new(int64_t queries, int64_t keys)
{
    call c = {.queries = queries, .keys = keys};
    c.q = fixture_normal("q", 3, (int64_t[]){BATCH, queries, Q_WIDTH});
    c.k = fixture_normal("k", 3, (int64_t[]){BATCH, keys, KV_WIDTH});
    c.v = fixture_normal("v", 3, (int64_t[]){BATCH, keys, KV_WIDTH});
    c.cotangent = fixture_normal("d_out", 3, (int64_t[]){BATCH, queries, Q_WIDTH});
    c.out = assay_alloc(BATCH * queries * Q_WIDTH * (int64_t)sizeof(float), NULL);
    assert_non_null(c.out);
    return c;
}

static void call_free(call *c)
{
    assay_tensor_free(c->q);
    assay_tensor_free(c->k);
    assay_tensor_free(c->v);
    assay_tensor_free(c->cotangent);
    assay_free(c->out);
}

static void run(call *c, assay_tape *tape, const assay_rotary *rotary, const assay_tensor *lengths,
                assay_attention_bias bias)
{
    assay_tensor *y = NULL;
    fixture_begin(tape, true);
    c->q->has_grad = c->k->has_grad = c->v->has_grad = false;
    y = assay_attention(tape, &(assay_attention_args){.q = c->q,
                                                      .k = c->k,
                                                      .v = c->v,
                                                      .heads = HEADS,
                                                      .kv_heads = KV_HEADS,
                                                      .rotary = rotary,
                                                      .lengths = lengths,
                                                      .bias = bias});
    fixture_sound(tape);
    memcpy(c->out, assay_elements(y), (size_t)assay_tensor_bytes(y));
    assay_tape_backward_from(tape, 1, &y, (const float *const[]){assay_f32(c->cotangent)});
    fixture_sound(tape);
}

/* Rows [T - n, T) of every batch item of x (B, T, W), into out (B, n, W). */
static void copy_ends(const float *x, int64_t tokens, int64_t n, int64_t width, float *out)
{
    for (int64_t b = 0; b < BATCH; b++)
        memcpy(out + b * n * width, x + ((b + 1) * tokens - n) * width,
               (size_t)(n * width) * sizeof *out);
}

/* The suffix takes its queries and cotangent from the full call, whose other rows get none. */
static void share_queries(call *full, call *suffix)
{
    int64_t before = full->keys - suffix->queries;
    copy_ends(assay_f32(full->q), full->keys, suffix->queries, Q_WIDTH, assay_f32(suffix->q));
    copy_ends(assay_f32(full->cotangent), full->keys, suffix->queries, Q_WIDTH,
              assay_f32(suffix->cotangent));
    for (int64_t b = 0; b < BATCH; b++)
        memset(assay_f32(full->cotangent) + b * full->keys * Q_WIDTH, 0,
               (size_t)(before * Q_WIDTH) * sizeof(float));
}

/* A bias for the last `queries` of `keys` positions; what it points to is in span and price. */
static assay_attention_bias make_bias(bias_name name, int64_t queries, int64_t keys,
                                      assay_tensor **span, assay_tensor **price)
{
    const int32_t t = (int32_t)keys, each[] = {t / 2, t, t / 4, t - 1, 0, t / 3};
    assay_tensor *all = NULL;
    if (name == SPAN || name == PRICED)
        *span = fixture_ints(2, each);
    if (name == SPAN_EACH) {
        *span = fixture_ints(2 * BATCH, each);
        (*span)->rank = 2;
        (*span)->shape[0] = BATCH;
        (*span)->shape[1] = 2;
    }
    if (name == PRICED) {
        all = fixture_normal("price", 4, (int64_t[]){1, 1, keys, keys});
        *price = fixture_normal("price", 4, (int64_t[]){1, 1, queries, keys});
        memcpy(assay_f32(*price), assay_f32(all) + (keys - queries) * keys,
               (size_t)(queries * keys) * sizeof(float));
        (*price)->needs_grad = false;
        assay_tensor_free(all);
    }
    return (assay_attention_bias){.future = name == FULL || name == PRICED ? ASSAY_FUTURE_OPEN
                                                                           : ASSAY_FUTURE_HIDDEN,
                                  .span = *span,
                                  .log_weight = *price};
}

static void run_with(bias_name name, call *c, assay_tape *tape, const assay_rotary *rotary,
                     const assay_tensor *lengths)
{
    assay_tensor *span = NULL, *price = NULL;
    assay_attention_bias bias = make_bias(name, c->queries, c->keys, &span, &price);
    run(c, tape, rotary, lengths, bias);
    assay_tensor_free(span);
    assay_tensor_free(price);
}

static void expect_end(const call *full, const call *suffix, const char *text)
{
    const int64_t n = suffix->queries, numbers = BATCH * n * Q_WIDTH, keys = full->keys;
    float *end = assay_alloc(numbers * (int64_t)sizeof *end, NULL);
    assert_non_null(end);
    copy_ends(full->out, keys, n, Q_WIDTH, end);
    fixture_close(suffix->out, end, numbers, 1e-6, assay_text("%s: output", text));
    copy_ends(assay_gradient(full->q), keys, n, Q_WIDTH, end);
    fixture_close(assay_gradient(suffix->q), end, numbers, 2e-6, assay_text("%s: d q", text));
    fixture_close(assay_gradient(suffix->k), assay_gradient(full->k), BATCH * keys * KV_WIDTH, 2e-6,
                  assay_text("%s: d k", text));
    fixture_close(assay_gradient(suffix->v), assay_gradient(full->v), BATCH * keys * KV_WIDTH, 2e-6,
                  assay_text("%s: d v", text));
    assay_free(end);
}

static void compare(assay_tape *tape, const assay_rotary *rotary, int64_t queries, int64_t keys,
                    bool padded)
{
    const int32_t t = (int32_t)keys;
    assay_tensor *lengths = padded ? fixture_ints(BATCH, (int32_t[]){t, t - 1, t / 2}) : NULL;
    for (bias_name name = CAUSAL; name < BIAS_NAMES; name++) {
        call full = call_new(keys, keys), suffix = call_new(queries, keys);
        share_queries(&full, &suffix);
        run_with(name, &full, tape, rotary, lengths);
        run_with(name, &suffix, tape, rotary, lengths);
        expect_end(&full, &suffix,
                   assay_text("%s, bias %d, %" PRId64 " of %" PRId64 "%s",
                              assay_device_name(assay_tape_device(tape)), (int)name, queries, keys,
                              padded ? ", padded" : ""));
        call_free(&full);
        call_free(&suffix);
    }
    assay_tensor_free(lengths);
}

static void suffix_queries_over_cached_keys_are_the_end_of_the_full_call(void **state)
{
    const int64_t shapes[][2] = {{1, 2},  {3, 7},  {6, 7},   {7, 7},    {1, 33},
                                 {1, 64}, {1, 65}, {40, 65}, {64, 128}, {100, 130}};
    const size_t counts[DEVICES] = {sizeof shapes / sizeof shapes[0], 5};
    assay_rotary *rotary = assay_rotary_new(POSITIONS, HEAD_WIDTH, 10000.0, NULL);
    (void)state;
    assert_non_null(rotary);
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        for (size_t i = 0; i < counts[device]; i++)
            for (int variant = 0; variant < 4; variant++)
                compare(tape, variant & 1 ? rotary : NULL, shapes[i][0], shapes[i][1], variant & 2);
        assay_tape_free(tape);
    }
    assay_rotary_free(rotary);
}

static void more_queries_than_keys_are_an_error(void **state)
{
    call c = call_new(5, 4);
    assay_tape *tape = fixture_tape(fixture_device(0));
    (void)state;
    fixture_begin(tape, true);
    assert_null(assay_attention(
        tape, &(assay_attention_args){
                  .q = c.q, .k = c.k, .v = c.v, .heads = HEADS, .kv_heads = KV_HEADS}));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_SHAPE);
    assay_tape_free(tape);
    call_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suffix_queries_over_cached_keys_are_the_end_of_the_full_call),
        cmocka_unit_test(more_queries_than_keys_are_an_error),
    };
    return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
