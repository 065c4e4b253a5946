/* test_padding.c - a sequence is the same whatever stands behind it, beside it, or in which row it
 * is; a row of no tokens is zeros and moves nothing. */
#include "leakage/fixture.h"
#include "leakage/masks.h"
#include "leakage/trial.h"

#include <assay/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { OWN = 37 }; /* tokens of the sequence that is looked at */

/* ---- a whole stack ---- */

/* How the sequence is presented: in row `row` of `batch` rows of `tokens` tokens. */
typedef struct setting {
    int64_t batch, row, tokens;
    const char *mates; /* stream of the other rows' ids */
    int32_t pad;       /* id behind the end */
    int32_t mate_length;
} setting;

static const setting alone = {1, 0, OWN, "mates", 0, OWN};
static const setting settings[] = {
    {1, 0, OWN + 1, "mates", 0, OWN}, {1, 0, 64, "mates", 0, OWN}, {1, 0, 65, "mates", 0, OWN},
    {1, 0, 130, "mates", 0, OWN},     {1, 0, 65, "mates", 9, OWN}, {3, 0, 65, "mates", 0, 50},
    {3, 0, 65, "other mates", 0, 50}, {3, 1, 65, "mates", 0, 50},  {3, 2, 65, "mates", 5, 65},
    {3, 1, OWN, "mates", 0, OWN},     {3, 1, OWN, "mates", 0, 0},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static assay_tensor *make_ids(const setting *s)
{
    assay_tensor *ids = fixture_ids(s->mates, s->batch, s->tokens);
    assay_tensor *own = fixture_ids("own", 1, OWN);
    int32_t *row = assay_i32(ids) + s->row * s->tokens;
    for (int64_t t = 0; t < s->tokens; t++)
        row[t] = t < OWN ? assay_i32(own)[t] : s->pad;
    assay_tensor_free(own);
    return ids;
}

static assay_tensor *make_lengths(const setting *s)
{
    int32_t lengths[3];
    for (int64_t b = 0; b < s->batch; b++)
        lengths[b] = b == s->row ? OWN : s->mate_length;
    return fixture_ints(s->batch, lengths);
}

/* The masks that mean the same whatever T is. */
enum { BIASES = 5 };
static assay_attention_bias bias_of(assay_tape *tape, int kind, const assay_tensor *span)
{
    switch (kind) {
    case 0:
        return assay_bias_causal();
    case 1:
        return assay_bias_full();
    case 2:
        return assay_bias_future(tape, 0.5f);
    case 3:
        return (assay_attention_bias){.span = span};
    default: {
        assay_attention_bias bias = assay_bias_future(tape, 0.25f);
        bias.span = span;
        return bias;
    }
    }
}

/* The last states of the sequence, (OWN, WIDTH), into out. */
static void run_stack(assay_tape *tape, const fixture_model *model, const setting *s, int kind,
                      const assay_tensor *span, float *out)
{
    assay_tensor *ids = make_ids(s), *lengths = make_lengths(s), *x = NULL;
    assay_attention_bias bias;
    fixture_begin(tape, false);
    bias = bias_of(tape, kind, span);
    x = assay_decoder_embed(tape, model->decoder, ids);
    x = assay_decoder_forward(tape, model->decoder, x, lengths, &bias);
    fixture_sound(tape);
    memcpy(out, assay_f32(x) + s->row * s->tokens * WIDTH, OWN * WIDTH * sizeof *out);
    for (int64_t t = OWN; t < s->tokens; t++)
        fixture_zero(assay_f32(x) + (s->row * s->tokens + t) * WIDTH, WIDTH, "padding");
    assay_tensor_free(ids);
    assay_tensor_free(lengths);
}

static void states_do_not_change_with_padding_batch_mates_or_row(void **state)
{
    float expected[OWN * WIDTH], got[OWN * WIDTH];
    assay_tensor *span = fixture_ints(2, (const int32_t[]){10, 30});
    fixture_model model = fixture_model_new(3, 1);
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        for (int kind = 0; kind < BIASES; kind++) {
            run_stack(tape, &model, &alone, kind, span, expected);
            for (int i = 0; i < SETTINGS; i++) {
                run_stack(tape, &model, &settings[i], kind, span, got);
                fixture_close(got, expected, OWN * WIDTH, 1e-6,
                              assay_text("bias %d, setting %d", kind, i));
            }
        }
        assay_tape_free(tape);
    }
    fixture_model_free(&model);
    assay_tensor_free(span);
}

/* ---- the loss ---- */

/* Leaves in the parameters the gradients of the next-token loss of one sequence of OWN tokens and
 * one of five, in rows of `tokens`. */
static void run_loss(assay_tape *tape, const fixture_model *model, int64_t tokens, int32_t pad)
{
    assay_tensor *own = fixture_ids("own", 2, OWN), *ids = fixture_ids("pad", 2, tokens);
    assay_tensor *lengths = fixture_ints(2, (const int32_t[]){OWN, 5}), *x = NULL;
    for (int64_t i = 0; i < 2 * tokens; i++)
        assay_i32(ids)[i] = i % tokens < assay_i32(lengths)[i / tokens]
                                ? assay_i32(own)[i / tokens * OWN + i % tokens]
                                : pad;
    assay_params_clear_grads(model->params);
    fixture_begin(tape, true);
    x = assay_decoder_embed(tape, model->decoder, ids);
    x = assay_decoder_forward(tape, model->decoder, x, lengths, NULL);
    x = assay_next_token_loss(tape, model->decoder, x, ids, lengths, ASSAY_MEAN);
    assay_tape_backward(tape, x, 1.0f);
    fixture_sound(tape);
    assay_tensor_free(own);
    assay_tensor_free(ids);
    assay_tensor_free(lengths);
}

static void parameter_gradients_of_the_loss_do_not_change_with_padding(void **state)
{
    const struct {
        int64_t tokens;
        int32_t pad;
    } runs[] = {{OWN, 7}, {OWN + 1, 0}, {64, 0}, {65, 3}, {130, 0}};
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        fixture_model first = fixture_model_new(3, 1), other = fixture_model_new(3, 1);
        run_loss(tape, &first, OWN, 0);
        for (size_t run = 0; run < sizeof runs / sizeof runs[0]; run++) {
            run_loss(tape, &other, runs[run].tokens, runs[run].pad);
            for (int64_t i = 0; i < assay_params_count(first.params); i++) {
                const assay_parameter *a = assay_params_at(first.params, i);
                const assay_parameter *b = assay_params_at(other.params, i);
                assert_true(a->value->has_grad && b->value->has_grad);
                fixture_close(assay_gradient(b->value), assay_gradient(a->value),
                              assay_tensor_count(a->value), 1e-6, a->name);
            }
        }
        fixture_model_free(&first);
        fixture_model_free(&other);
        assay_tape_free(tape);
    }
}

/* ---- attention alone: bit for bit ---- */

/* Copies row `row` of x (B, T, W), or what exists of it, into row `to` of y. */
static void copy_row(const assay_tensor *x, int64_t row, assay_tensor *y, int64_t to,
                     int64_t tokens)
{
    int64_t width = x->shape[2];
    memcpy(assay_f32(y) + to * y->shape[1] * width, assay_f32(x) + row * x->shape[1] * width,
           (size_t)(tokens * width) * sizeof(float));
}

static void fill_rest(assay_tensor *x, int64_t row, int64_t from, float value)
{
    int64_t tokens = x->shape[1], width = x->shape[2];
    for (int64_t i = (row * tokens + from) * width; i < (row + 1) * tokens * width; i++)
        assay_f32(x)[i] = value;
}

/* The four parts of a trial's result: where row `row` of each begins, and its width. */
static const float *part(const trial *t, const float *all, int which, int64_t row, int64_t *width)
{
    const int64_t wide = HEADS * HEAD_WIDTH, narrow = KV_HEADS * HEAD_WIDTH;
    const int64_t rows = t->batch * t->tokens, before[] = {0, wide, 2 * wide, 2 * wide + narrow};
    *width = which < 2 ? wide : narrow;
    return all + rows * before[which] + row * t->tokens * *width;
}

/* The sequence of `own` sits in row 2 of `big` with `rest` in all its padding: q, k, v and the
 * cotangent alike. Row 0 has no tokens at all. */
static void plant(const trial *own, trial *big, float rest)
{
    const assay_tensor *from[] = {own->q, own->k, own->v, own->cotangent};
    assay_tensor *to[] = {big->q, big->k, big->v, big->cotangent};
    for (int i = 0; i < 4; i++) {
        copy_row(from[i], 0, to[i], 2, OWN);
        fill_rest(to[i], 2, OWN, rest);
        fill_rest(to[i], 0, 0, rest);
    }
}

static void compare_planted(const trial *own, const float *expected, const trial *big,
                            const float *got)
{
    int64_t width;
    for (int which = 0; which < 4; which++) {
        const float *a = part(own, expected, which, 0, &width);
        const float *b = part(big, got, which, 2, &width);
        fixture_equal(b, a, OWN * width, assay_text("part %d of the planted row", which));
        fixture_zero(b + OWN * width, (big->tokens - OWN) * width, "padding");
        fixture_zero(part(big, got, which, 0, &width), big->tokens * width, "a row of no tokens");
    }
}

static void check_planted(assay_tape *tape, int64_t tokens, float rest)
{
    trial own = trial_new(1, OWN), big = trial_new(4, tokens);
    assay_tensor *lengths = fixture_ints(4, (const int32_t[]){0, 1, OWN, (int32_t)tokens});
    assay_tensor *span = fixture_ints(2, (const int32_t[]){10, 30});
    plant(&own, &big, rest);
    for (int kind = 0; kind < BIASES; kind++) {
        float *expected = NULL, *got = NULL;
        fixture_begin(tape, true);
        expected = trial_run(&own, tape, NULL, bias_of(tape, kind, span));
        fixture_begin(tape, true);
        got = trial_run(&big, tape, lengths, bias_of(tape, kind, span));
        compare_planted(&own, expected, &big, got);
        assay_free(expected);
        assay_free(got);
    }
    trial_free(&own);
    trial_free(&big);
    assay_tensor_free(lengths);
    assay_tensor_free(span);
}

static void attention_gives_the_same_bits_with_and_without_padding(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        for (const int64_t *tokens = (const int64_t[]){OWN, OWN + 1, 64, 65, 130, 0}; *tokens;
             tokens++)
            check_planted(tape, *tokens, 0.5f);
        assay_tape_free(tape);
    }
}

static void not_even_a_nan_in_the_padding_reaches_attention(void **state)
{
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        for (const int64_t *tokens = (const int64_t[]){OWN + 1, 64, 130, 0}; *tokens; tokens++) {
            check_planted(tape, *tokens, NAN);
            check_planted(tape, *tokens, INFINITY);
        }
        assay_tape_free(tape);
    }
}

/* ---- a row of no tokens in a stack ---- */

static void check_empty_row(assay_tape *tape, const fixture_model *model, int kind)
{
    const int64_t shape[] = {3, 9, WIDTH}, row = 9 * WIDTH;
    mask m = mask_new(mask_kind_at(kind), 3, HEADS, 9);
    assay_tensor *x = fixture_normal("x", 3, shape), *d_y = fixture_normal("d_y", 3, shape);
    assay_tensor *lengths = fixture_ints(3, (const int32_t[]){9, 0, 4}), *y = NULL;
    assay_attention_bias bias;
    assay_params_clear_grads(model->params);
    fixture_begin(tape, true);
    bias = mask_bias(&m, tape);
    y = assay_decoder_forward(tape, model->decoder, x, lengths, &bias);
    fixture_sound(tape);
    fixture_zero(assay_f32(y) + row, row, mask_kind_at(kind)->name);
    assay_tape_backward_from(tape, 1, &y, (const float *const[]){assay_f32(d_y)});
    fixture_sound(tape);
    fixture_zero(assay_gradient(x) + row, row, mask_kind_at(kind)->name);
    assert_null(assay_params_nonfinite(model->params, assay_tape_device(tape), false));
    mask_free(&m);
    assay_tensor_free(x);
    assay_tensor_free(d_y);
    assay_tensor_free(lengths);
}

static void a_row_of_no_tokens_is_zeros_with_zero_gradients(void **state)
{
    fixture_model model = fixture_model_new(3, 1);
    (void)state;
    for (int device = 0; device < DEVICES; device++) {
        assay_tape *tape = fixture_tape(fixture_device(device));
        for (int kind = 0; kind < mask_kind_count(); kind++)
            check_empty_row(tape, &model, kind);
        assay_tape_free(tape);
    }
    fixture_model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_do_not_change_with_padding_batch_mates_or_row),
        cmocka_unit_test(parameter_gradients_of_the_loss_do_not_change_with_padding),
        cmocka_unit_test(attention_gives_the_same_bits_with_and_without_padding),
        cmocka_unit_test(not_even_a_nan_in_the_padding_reaches_attention),
        cmocka_unit_test(a_row_of_no_tokens_is_zeros_with_zero_gradients),
    };
    return cmocka_run_group_tests_name("padding", tests, NULL, NULL);
}
