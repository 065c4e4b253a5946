/* test_prefix.c - a decoder in two parts: what the first tokens leave behind serves any number of
 * continuations, which come out as in one piece, with gradients of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>
#include <assay/ops.h>

#include <math.h>

enum { ROWS = 3, TOKENS = 90, WIDTH = 16, MOST = 8 };

static const assay_decoder_config small = {
    .vocabulary = 11,
    .width = WIDTH,
    .layers = 3,
    .heads = 4,
    .kv_heads = 2,
    .head_width = 4,
    .mlp_width = 24,
    .positions = 96,
    .rope_base = 10000,
    .norm_eps = 1e-6f,
    .qkv_bias = true,
    .tied_head = true,
    .init_sd = 0.3f,
};

/* Row b: `before[b]` tokens of a history and `after[b]` of a question. */
static const int32_t before[ROWS] = {70, 1, 64}, after[ROWS] = {5, 8, 1};

typedef struct rig {
    assay_params *params;
    assay_decoder *decoder;
    assay_tape *tape;
    assay_tensor *whole;                   /* (ROWS, TOKENS, WIDTH) */
    assay_tensor *lengths, *first, *later; /* (ROWS): all, of the history, of the question */
    assay_tensor *read;                    /* (ROWS): the question's last token */
    assay_tensor *histories, *questions;   /* (ROWS, 70, WIDTH), (ROWS, MOST, WIDTH) */
    assay_prefix *prefix[ROWS];
} rig;

static assay_tensor *tensor(assay_dtype dtype, int rank, const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *t = assay_tensor_new(dtype, rank, shape, &error);
    must(t != NULL, &error);
    memset(assay_elements(t), 0, (size_t)assay_tensor_bytes(t));
    return t;
}

static assay_tensor *lengths_of(const int32_t *a, const int32_t *b)
{
    assay_tensor *t = tensor(ASSAY_I32, 1, (int64_t[]){ROWS});
    for (int i = 0; i < ROWS; i++)
        assay_i32(t)[i] = a[i] + (b ? b[i] : 0);
    return t;
}

static void copy_tokens(assay_tensor *to, const assay_tensor *from, int row, int64_t first,
                        int64_t count)
{
    memcpy(assay_f32(to) + row * to->shape[1] * WIDTH,
           assay_f32(from) + (row * from->shape[1] + first) * WIDTH,
           (size_t)(count * WIDTH) * sizeof(float));
}

static rig rig_new(const assay_device *device, assay_precision precision)
{
    assay_error error = {0};
    rig r = {.params = new_params(3)};
    r.decoder = assay_decoder_new(r.params, NULL, &small, &error);
    r.tape = assay_tape_new(device, precision, &error);
    must(r.decoder && r.tape, &error);
    r.whole = tensor(ASSAY_F32, 3, (int64_t[]){ROWS, TOKENS, WIDTH});
    assay_random_fill_normal(assay_stream_of(1, "x", 0), 0, ROWS * TOKENS * WIDTH,
                             assay_f32(r.whole));
    r.lengths = lengths_of(before, after);
    r.first = lengths_of(before, NULL);
    r.later = lengths_of(after, NULL);
    r.read = lengths_of(after, NULL);
    for (int b = 0; b < ROWS; b++)
        assay_i32(r.read)[b]--;
    r.histories = tensor(ASSAY_F32, 3, (int64_t[]){ROWS, 70, WIDTH});
    r.questions = tensor(ASSAY_F32, 3, (int64_t[]){ROWS, MOST, WIDTH});
    for (int b = 0; b < ROWS; b++) {
        copy_tokens(r.histories, r.whole, b, 0, before[b]);
        copy_tokens(r.questions, r.whole, b, before[b], after[b]);
    }
    return r;
}

static void rig_free(rig *r)
{
    for (int b = 0; b < ROWS; b++)
        assay_prefix_free(r->prefix[b]);
    assay_tensor_free(r->whole);
    assay_tensor_free(r->lengths);
    assay_tensor_free(r->first);
    assay_tensor_free(r->later);
    assay_tensor_free(r->read);
    assay_tensor_free(r->histories);
    assay_tensor_free(r->questions);
    assay_tape_free(r->tape);
    assay_decoder_free(r->decoder);
    assay_params_free(r->params);
}

static void begin(rig *r)
{
    assay_tape_begin(r->tape, (assay_step){.seed = 1});
}

static void prefill(rig *r, const assay_attention_bias *bias)
{
    assay_error error = {0};
    begin(r);
    assay_decoder_prefill(r->tape, r->decoder, r->histories, r->first, bias, r->prefix);
    must(assay_tape_ok(r->tape, &error), &error);
    for (int b = 0; b < ROWS; b++)
        assert_int_equal(r->prefix[b]->tokens, before[b]);
}

static const assay_prefix *const *prefixes(const rig *r)
{
    return (const assay_prefix *const *)r->prefix;
}

static double number(const assay_tensor *t, int64_t i)
{
    return t->dtype == ASSAY_F32 ? (double)assay_f32(t)[i]
                                 : (double)assay_from_bf16(assay_bf16(t)[i]);
}

/* The largest difference between the continuations' states and those of the whole sequences. */
static double difference(rig *r, const assay_attention_bias *bias)
{
    double worst = 0;
    assay_error error = {0};
    prefill(r, bias);
    begin(r);
    assay_tensor *whole = assay_decoder_forward(r->tape, r->decoder, r->whole, r->lengths, bias);
    assay_tensor *parts =
        assay_decoder_resume(r->tape, r->decoder, r->questions, r->later, prefixes(r), NULL);
    must(assay_tape_ok(r->tape, &error), &error);
    for (int b = 0; b < ROWS; b++)
        for (int64_t j = 0; j < MOST; j++)
            for (int64_t t = 0; t < WIDTH; t++) {
                double got = number(parts, (b * MOST + j) * WIDTH + t), want = 0;
                if (j < after[b])
                    want = number(whole, (b * TOKENS + before[b] + j) * WIDTH + t);
                worst = fmax(worst, fabs(got - want));
            }
    for (int b = 0; b < ROWS; b++) {
        assay_prefix_free(r->prefix[b]);
        r->prefix[b] = NULL;
    }
    return worst;
}

static void continuations_are_those_of_the_whole_sequence(void **state)
{
    (void)state;
    const int32_t spans[2 * ROWS] = {2, 60, 0, 1, 0, 64};
    for (int d = 0; d < DEVICES; d++) {
        rig r = rig_new(device_at(d), ASSAY_PRECISION_FP32);
        assay_tensor *span = tensor(ASSAY_I32, 2, (int64_t[]){ROWS, 2});
        memcpy(assay_elements(span), spans, sizeof spans);
        assay_attention_bias causal = assay_bias_causal(), open = assay_bias_causal();
        open.span = span;
        assert_true(difference(&r, &causal) < 5e-6);
        assert_true(difference(&r, &open) < 5e-6);
        assay_tensor_free(span);
        rig_free(&r);
    }
}

static void in_bf16_they_agree_as_far_as_it_goes(void **state)
{
    (void)state;
    rig r = rig_new(device_at(0), ASSAY_PRECISION_BF16);
    assay_attention_bias causal = assay_bias_causal();
    prefill(&r, NULL);
    assert_int_equal(r.prefix[0]->keys->dtype, ASSAY_BF16);
    assert_int_equal(assay_prefix_bytes(r.prefix[0]), 3 * 70 * 8 * 2 * 2);
    for (int b = 0; b < ROWS; b++)
        assay_prefix_free(r.prefix[b]);
    memset(r.prefix, 0, sizeof r.prefix);
    double worst = difference(&r, &causal);
    assert_true(worst > 0 && worst < 0.15);
    rig_free(&r);
}

static assay_tensor *read_last(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    rig *r = user;
    (void)inputs, (void)n;
    return assay_decoder_resume(tape, r->decoder, r->questions, r->later, prefixes(r), r->read);
}

/* Only what is read of the last layer, and the same prefix in many rows. */
static void what_is_read_alone_is_what_all_give_there(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICES; d++) {
        rig r = rig_new(device_at(d), ASSAY_PRECISION_FP32);
        const assay_prefix *one[ROWS];
        prefill(&r, NULL);
        for (int b = 0; b < ROWS; b++)
            one[b] = r.prefix[0];
        begin(&r);
        assay_tensor *all =
            assay_decoder_resume(r.tape, r.decoder, r.questions, r.later, one, NULL);
        assay_tensor *few =
            assay_decoder_resume(r.tape, r.decoder, r.questions, r.later, one, r.read);
        assert_true(assay_tape_ok(r.tape, NULL));
        assert_int_equal(few->shape[1], 1);
        for (int b = 0; b < ROWS; b++)
            for (int64_t t = 0; t < WIDTH; t++)
                assert_float_equal(number(few, b * WIDTH + t),
                                   number(all, (b * MOST + after[b] - 1) * WIDTH + t), 2e-6);
        rig_free(&r);
    }
}

/* A row's state has the same bits whatever stands in the other rows. */
static void rows_do_not_mix(void **state)
{
    (void)state;
    float first[WIDTH];
    rig r = rig_new(device_at(0), ASSAY_PRECISION_FP32);
    prefill(&r, NULL);
    const assay_prefix *other[ROWS] = {r.prefix[0], r.prefix[0], r.prefix[1]};
    begin(&r);
    memcpy(first, assay_elements(read_last(r.tape, NULL, 0, &r)), sizeof first);
    for (int64_t i = MOST * WIDTH; i < ROWS * MOST * WIDTH; i++)
        assay_f32(r.questions)[i] += 1.0f;
    begin(&r);
    assay_tensor *y = assay_decoder_resume(r.tape, r.decoder, r.questions, r.later, other, r.read);
    assert_memory_equal(assay_elements(y), first, sizeof first);
    rig_free(&r);
}

/* ---- gradients ---- */

static assay_tensor *read_all(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    rig *r = user;
    (void)inputs, (void)n;
    return assay_decoder_resume(tape, r->decoder, r->questions, r->later, prefixes(r), NULL);
}

/* Parameters act through the suffix alone: the prefix is constant, whatever made it. */
static void gradients_flow_through_the_suffix(void **state)
{
    (void)state;
    assay_error error = {0};
    const assay_gradcheck_options options = {.max_entries = 12};
    for (int d = 0; d < DEVICES; d++) {
        rig r = rig_new(device_at(d), ASSAY_PRECISION_FP32);
        must(assay_tensor_want_grad(r.questions, &error), &error);
        prefill(&r, NULL);
        check_gradients(r.tape, read_last, &r, r.params, r.questions, &options);
        check_gradients(r.tape, read_all, &r, r.params, r.questions, &options);
        rig_free(&r);
    }
}

/* ---- wrong use ---- */

static void assert_refused(rig *r, assay_code code, const char *word)
{
    assay_error error = {0};
    assert_false(assay_tape_ok(r->tape, &error));
    assert_failed(&error, code, word);
}

static void what_cannot_be_cached_is_refused(void **state)
{
    (void)state;
    rig r = rig_new(device_at(0), ASSAY_PRECISION_FP32);
    assay_attention_bias full = assay_bias_full();
    begin(&r);
    assert_false(assay_decoder_prefill(r.tape, r.decoder, r.histories, r.first, &full, r.prefix));
    assert_refused(&r, ASSAY_UNSUPPORTED, "see what follows");
    assert_null(r.prefix[0]);
    prefill(&r, NULL);
    const assay_prefix *missing[ROWS] = {r.prefix[0], NULL, r.prefix[1]};
    begin(&r);
    assert_null(assay_decoder_resume(r.tape, r.decoder, r.questions, r.later, missing, NULL));
    assert_refused(&r, ASSAY_UNSUPPORTED, "no prefix");
    begin(&r);
    assert_null(assay_decoder_resume(r.tape, r.decoder, r.whole, NULL, prefixes(&r), NULL));
    assert_refused(&r, ASSAY_BAD_SHAPE, "positions");
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(continuations_are_those_of_the_whole_sequence),
        cmocka_unit_test(in_bf16_they_agree_as_far_as_it_goes),
        cmocka_unit_test(what_is_read_alone_is_what_all_give_there),
        cmocka_unit_test(rows_do_not_mix),
        cmocka_unit_test(gradients_flow_through_the_suffix),
        cmocka_unit_test(what_cannot_be_cached_is_refused),
    };
    return assay_threads_set(1, NULL) ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
