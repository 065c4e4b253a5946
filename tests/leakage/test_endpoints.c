/* test_endpoints.c - the ends of every soft mask: a future of weight 0 is causal and one of weight
 * 1 is full, bit for bit, forward and back, however the weight is said. */
#include "leakage/fixture.h"
#include "leakage/trial.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { BATCH = 3 };

/* The plain device is slow, and has no tiles whose edges could matter. */
static const int64_t token_counts[DEVICES][7] = {{1, 2, 7, 64, 65, 130}, {1, 2, 7, 33}};

/* One device and one sequence length, with padding or without, and what the two ends give there. */
typedef struct stage {
    assay_tape *tape;
    trial t;
    assay_tensor *lengths;
    float *causal, *full;
    char text[80];
} stage;

static float *run(stage *s, assay_attention_bias bias)
{
    fixture_begin(s->tape, true);
    return trial_run(&s->t, s->tape, s->lengths, bias);
}

static float *run_weight(stage *s, float weight)
{
    fixture_begin(s->tape, true);
    return trial_run(&s->t, s->tape, s->lengths, assay_bias_future(s->tape, weight));
}

static stage stage_new(const assay_device *device, int64_t tokens, bool padded)
{
    const int32_t n = (int32_t)tokens, lengths[BATCH] = {n, (n + 1) / 2, 0};
    stage s = {.tape = fixture_tape(device), .t = trial_new(BATCH, tokens)};
    s.lengths = padded ? fixture_ints(BATCH, lengths) : NULL;
    s.causal = run(&s, assay_bias_causal());
    s.full = run(&s, assay_bias_full());
    snprintf(s.text, sizeof s.text, "%s, T %" PRId64 "%s", assay_device_name(device), tokens,
             padded ? ", padded" : "");
    return s;
}

static void stage_free(stage *s)
{
    assay_free(s->causal);
    assay_free(s->full);
    assay_tensor_free(s->lengths);
    trial_free(&s->t);
    assay_tape_free(s->tape);
}

/* Takes `got`. */
static void expect_same(const stage *s, float *got, const float *expected, const char *what)
{
    fixture_equal(got, expected, trial_size(&s->t), assay_text("%s: %s", s->text, what));
    assay_free(got);
}

static void on_every_stage(void (*check)(stage *s))
{
    for (int device = 0; device < DEVICES; device++)
        for (const int64_t *tokens = token_counts[device]; *tokens; tokens++)
            for (int padded = 0; padded < 2; padded++) {
                stage s = stage_new(fixture_device(device), *tokens, padded);
                check(&s);
                stage_free(&s);
            }
}

/* ---- the two ends ---- */

static void check_constant(stage *s)
{
    expect_same(s, run_weight(s, 0.0f), s->causal, "weight 0");
    expect_same(s, run_weight(s, 1.0f), s->full, "weight 1");
}

static void a_constant_weight_ends_in_causal_and_full(void **state)
{
    (void)state;
    on_every_stage(check_constant);
}

/* A future at the price `cost` everywhere, said by a tensor with the given axes of full extent. */
static float *run_price(stage *s, const bool full[4], float cost, bool learned)
{
    const int64_t extents[4] = {BATCH, HEADS, s->t.tokens, s->t.tokens};
    int64_t shape[4];
    assay_tensor *price = NULL;
    float *result = NULL;
    for (int axis = 0; axis < 4; axis++)
        shape[axis] = full[axis] ? extents[axis] : 1;
    price = fixture_normal("price", 4, shape);
    price->needs_grad = learned;
    for (int64_t i = 0; i < assay_tensor_count(price); i++)
        assay_f32(price)[i] = cost;
    result = run(s, (assay_attention_bias){.future = ASSAY_FUTURE_OPEN, .log_weight = price});
    assay_tensor_free(price);
    return result;
}

static void check_prices(stage *s)
{
    const bool axes[][4] = {{0, 0, 0, 0}, {0, 0, 0, 1}, {1, 0, 0, 1}, {0, 0, 1, 0},
                            {0, 0, 1, 1}, {0, 1, 1, 1}, {1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++)
        for (int learned = 0; learned < 2; learned++) {
            const char *how = learned ? "a learned price" : "a price";
            expect_same(s, run_price(s, axes[i], -INFINITY, learned), s->causal,
                        assay_text("%s of -inf, shape %zu", how, i));
            expect_same(s, run_price(s, axes[i], 0.0f, learned), s->full,
                        assay_text("%s of 0, shape %zu", how, i));
        }
}

static void a_price_of_any_shape_ends_in_causal_and_full(void **state)
{
    (void)state;
    on_every_stage(check_prices);
}

static float *run_span(stage *s, int64_t first, int64_t end)
{
    assay_tensor *span = fixture_ints(2, (const int32_t[]){(int32_t)first, (int32_t)end});
    float *result = run(s, (assay_attention_bias){.span = span});
    assay_tensor_free(span);
    return result;
}

static void check_spans(stage *s)
{
    int64_t n = s->t.tokens, middle = n / 2;
    expect_same(s, run_span(s, 0, n), s->full, "a span over all");
    expect_same(s, run_span(s, 0, n + 5), s->full, "a span beyond the end");
    expect_same(s, run_span(s, middle, middle), s->causal, "an empty span");
    expect_same(s, run_span(s, middle, middle + 1), s->causal, "a span of one");
    expect_same(s, run_span(s, middle + 1, 0), s->causal, "a span turned round");
}

static void a_span_ends_in_causal_and_full(void **state)
{
    (void)state;
    on_every_stage(check_spans);
}

/* ---- a whole stack ---- */

/* Leaves the last states tapped on the tape and gradients at x and at every parameter. */
static void stack_pass(assay_tape *tape, const fixture_model *model, assay_tensor *x,
                       const assay_tensor *cotangent, const assay_attention_bias *bias)
{
    assay_tensor *y = NULL;
    assay_params_clear_grads(model->params);
    x->has_grad = false;
    y = assay_decoder_forward(tape, model->decoder, x, NULL, bias);
    fixture_sound(tape);
    assay_tape_backward_from(tape, 1, &y, (const float *const[]){assay_f32(cotangent)});
    fixture_sound(tape);
}

static void same_stack_bits(const assay_device *device, float weight, assay_attention_bias end)
{
    const int64_t shape[] = {2, 65, WIDTH};
    assay_tape *tapes[2] = {fixture_tape(device), fixture_tape(device)};
    fixture_model models[2] = {fixture_model_new(3, 1), fixture_model_new(3, 1)};
    assay_tensor *x[2] = {fixture_normal("x", 3, shape), fixture_normal("x", 3, shape)};
    assay_tensor *cotangent = fixture_normal("d_y", 3, shape);
    for (int i = 0; i < 2; i++) {
        assay_attention_bias bias = end;
        assert_true(assay_tape_tap(tapes[i], "final_norm"));
        fixture_begin(tapes[i], true);
        if (i == 0)
            bias = assay_bias_future(tapes[i], weight);
        stack_pass(tapes[i], &models[i], x[i], cotangent, &bias);
    }
    fixture_equal(assay_f32(assay_tape_tapped(tapes[0], "final_norm")),
                  assay_f32(assay_tape_tapped(tapes[1], "final_norm")), 2 * 65 * WIDTH, "states");
    fixture_equal(assay_gradient(x[0]), assay_gradient(x[1]), 2 * 65 * WIDTH,
                  "gradient of the input");
    for (int64_t i = 0; i < assay_params_count(models[0].params); i++) {
        const assay_tensor *a = assay_params_at(models[0].params, i)->value;
        const assay_tensor *b = assay_params_at(models[1].params, i)->value;
        assert_int_equal(a->has_grad, b->has_grad);
        if (a->has_grad)
            fixture_equal(assay_gradient(a), assay_gradient(b), assay_tensor_count(a),
                          assay_params_at(models[0].params, i)->name);
    }
    for (int i = 0; i < 2; i++) {
        assay_tensor_free(x[i]);
        fixture_model_free(&models[i]);
        assay_tape_free(tapes[i]);
    }
    assay_tensor_free(cotangent);
}

static void a_stack_ends_in_causal_and_full_with_all_its_gradients(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        same_stack_bits(fixture_device(device), 0.0f, assay_bias_causal());
        same_stack_bits(fixture_device(device), 1.0f, assay_bias_full());
    }
}

/* ---- near the ends ---- */

static void check_tiny_weight(stage *s)
{
    float *got = run_weight(s, 1e-30f);
    fixture_close(got, s->causal, trial_size(&s->t), 1e-5, s->text);
    assay_free(got);
}

static void a_tiny_weight_is_nearly_causal(void **state)
{
    (void)state;
    on_every_stage(check_tiny_weight);
}

/* Softmax does not see what is added to a whole row. */
static void check_shifted_rows(stage *s)
{
    const int64_t n = s->t.tokens, shape[] = {1, 1, n, n};
    assay_tensor *price = fixture_normal("price", 4, shape);
    const assay_attention_bias bias = {
        .future = ASSAY_FUTURE_OPEN, .scope = ASSAY_BIAS_EVERYWHERE, .log_weight = price};
    float *expected = NULL, *got = NULL;
    price->needs_grad = false;
    expected = run(s, bias);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            assay_f32(price)[i * n + j] += 0.25f * (float)(i % 9 - 4);
    got = run(s, bias);
    fixture_close(got, expected, trial_size(&s->t), 1e-6, s->text);
    assay_free(got);
    assay_free(expected);
    assay_tensor_free(price);
}

static void a_constant_added_to_whole_rows_changes_nothing(void **state)
{
    (void)state;
    on_every_stage(check_shifted_rows);
}

/* The comparisons above would hold of a kernel that ignores its mask. */
static void the_two_ends_differ_and_the_middle_lies_elsewhere(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        stage s = stage_new(fixture_device(device), 7, false);
        float *half = run_weight(&s, 0.5f);
        assert_true(s.causal[0] != s.full[0] && s.causal[0] != half[0] && s.full[0] != half[0]);
        assay_free(half);
        stage_free(&s);
    }
}

static void a_weight_outside_0_to_1_is_an_error(void **state)
{
    const float weights[] = {-0.1f, 1.1f, NAN, INFINITY};
    assay_tape *tape = fixture_tape(fixture_device(0));
    (void)state;
    for (int i = 0; i < 4; i++) {
        fixture_begin(tape, true);
        assay_bias_future(tape, weights[i]);
        assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_INPUT);
    }
    assay_tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_weight_ends_in_causal_and_full),
        cmocka_unit_test(a_price_of_any_shape_ends_in_causal_and_full),
        cmocka_unit_test(a_span_ends_in_causal_and_full),
        cmocka_unit_test(a_stack_ends_in_causal_and_full_with_all_its_gradients),
        cmocka_unit_test(a_tiny_weight_is_nearly_causal),
        cmocka_unit_test(a_constant_added_to_whole_rows_changes_nothing),
        cmocka_unit_test(the_two_ends_differ_and_the_middle_lies_elsewhere),
        cmocka_unit_test(a_weight_outside_0_to_1_is_an_error),
    };
    return cmocka_run_group_tests_name("endpoints", tests, NULL, NULL);
}
