/* test_masks.c - the mask plugins through the real model: who depends on whom is exactly what each
 * mask says, no answer reaches what its user is read from, end points agree bit for bit, and
 * schedules are the spec's. What masks learn from gradients is in test_guidance.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/rig.h"

#include <assay/ops.h>

static const char *const names[] = {"user.embedding", "user.states", "user.targets"};
static const assay_wanted all = {3, names}, embedding = {1, names};
/* Every mask, with the options in which it differs most. */
static const struct {
    const char *mask, *option, *value;
} recipes[] = {
    {"causal", NULL, NULL},
    {"bidirectional", NULL, NULL},
    {"hybrid", NULL, NULL},
    {"hybrid_mask", NULL, NULL},
    {"hybrid_mask", "variant", "paper"},
    {"hybrid_mlp", NULL, NULL},
    {"hybrid_query", NULL, NULL},
    {"widening", "evaluate", "last"},
    {"widening", "growth", "cosine"},
    {"future", NULL, NULL},
    {"future", "form", "conan"},
    {"ggsm", NULL, NULL},
    {"ggsm", "guidance", "constant"},
    {"ggsm", "rounding", "bf16"},
    {"ggsm_plus", "evaluate", "last"},
};
enum { MASKS = sizeof recipes / sizeof recipes[0], BATCH = 3, WIDTH = 64 };

static void begin(rig *r, const people *p, int m)
{
    rig_begin(r, p, recipes[m].mask);
    if (recipes[m].option)
        use_text(&r->mask, recipes[m].option, recipes[m].value);
}

/* ---- dependence ---- */

/* How far widening lets a token of a sequence see ahead, in a pass of 10 steps. */
static int64_t ahead(int m, const assay_clock *clock, int64_t length)
{
    bool cosine = strcmp(recipes[m].value, "cosine") == 0;
    bool training = clock->phase == ASSAY_TRAINING;
    double t = (double)(training ? clock->step : clock->step - 1) / 10;
    double share = cosine ? (1 - cos(3.14159265358979 * t)) / 2 : t;
    if (cosine && !training) /* evaluated fully bidirectional */
        share = 1;
    return (int64_t)floor(share * (double)length + 1e-6);
}

/* Whether query i may see key j of the user's own tokens, in one layer or through a second. */
static bool allowed(int m, const assay_clock *clock, const int32_t *span, int64_t length, int64_t i,
                    int64_t j)
{
    const char *mask = recipes[m].mask;
    if (j <= i)
        return true;
    if (strcmp(mask, "causal") == 0)
        return false;
    if (strcmp(mask, "hybrid_query") == 0) /* through column 0, which sees the history */
        return j < span[1];
    if (strncmp(mask, "hybrid", 6) == 0)
        return i >= span[0] && j < span[1];
    if (strcmp(mask, "widening") == 0)
        return j <= i + 2 * ahead(m, clock, length);
    return true;
}

/* d (a random mix of the state of row b at position `at`) / d x, for a fresh pass. */
static const float *gradient_of_state(rig *r, const assay_clock *clock, int64_t b, int64_t at,
                                      assay_batch *batch)
{
    assay_outputs outputs;
    rig_pass(r, clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, batch, &outputs);
    assay_tensor *states = rig_output(&outputs, "user.states");
    float *d = test_calloc((size_t)assay_tensor_count(states), sizeof *d);
    assay_random_fill_normal(assay_stream_of(3, "mix", 0), 0, WIDTH,
                             d + (b * states->shape[1] + at) * WIDTH);
    const float *const from[] = {d};
    tape_must(r->tape, assay_tape_backward_from(r->tape, 1, &states, from));
    test_free(d);
    const assay_tensor *x = assay_tape_tapped(r->tape, "user/embeddings");
    assert_true(x && x->has_grad);
    return assay_gradient(x);
}

static void check_row(rig *r, int m, const assay_clock *clock, int64_t b)
{
    assay_batch batch;
    const char *name = recipes[m].mask;
    const float *grad = gradient_of_state(r, clock, b, 0, &batch);
    int64_t tokens = batch.towers[0].tokens;
    int64_t length = assay_i32(batch.towers[0].lengths)[b];
    assert_true(length < tokens); /* the answer stands behind */
    for (int64_t i = 0; i < length; i++) {
        grad = gradient_of_state(r, clock, b, i, &batch);
        const int32_t *span = assay_i32(batch.towers[0].span) + 2 * b;
        for (int64_t other = 0; other < BATCH; other++)
            if (other != b)
                all_zero(grad + other * tokens * WIDTH, tokens * WIDTH, "another client");
        for (int64_t j = 0; j < tokens; j++) {
            const float *cell = grad + (b * tokens + j) * WIDTH;
            bool seen = j < length && allowed(m, clock, span, length, i, j);
            if (!seen)
                all_zero(cell, WIDTH, assay_text("%s: %d sees %d", name, (int)i, (int)j));
            else if (!any_nonzero(cell, WIDTH))
                fail_msg("%s: %d does not see %d", name, (int)i, (int)j);
        }
    }
}

/* In training and in evaluation; two layers, so that paths through other tokens count. */
static void states_depend_on_what_the_mask_opens_and_never_on_answers(void **state)
{
    (void)state;
    for (int m = 0; m < MASKS; m++) {
        people p;
        rig r;
        people_open(&p, BATCH, 6);
        for (int64_t b = 0; b < BATCH; b++)
            snprintf(p.persons[b].answer, PEOPLE_TEXT, "well and sick");
        begin(&r, &p, m);
        rig_open(&r, 9);
        tape_must(r.tape, assay_tape_tap(r.tape, "user/embeddings"));
        const assay_clock training = rig_training(&r, 3), evaluation = rig_evaluation(&r, 3);
        check_row(&r, m, &training, 1);
        check_row(&r, m, &evaluation, 2);
        rig_close(&r);
        people_close(&p);
    }
}

/* An answer word sees the user and the words before it, and no later one, under every mask. */
static void answer_words_are_causal(void **state)
{
    (void)state;
    for (int m = 0; m < MASKS; m++) {
        people p;
        rig r;
        assay_batch batch;
        people_open(&p, BATCH, 6);
        for (int64_t b = 0; b < BATCH; b++)
            snprintf(p.persons[b].answer, PEOPLE_TEXT, "well and sick today");
        begin(&r, &p, m);
        rig_open(&r, 9);
        tape_must(r.tape, assay_tape_tap(r.tape, "user/embeddings"));
        const assay_clock clock = rig_training(&r, 3);
        gradient_of_state(&r, &clock, 0, 0, &batch);
        int64_t tokens = batch.towers[0].tokens, at = assay_i32(batch.towers[0].lengths)[0] + 1;
        const float *grad = gradient_of_state(&r, &clock, 0, at, &batch);
        for (int64_t j = 0; j < tokens; j++)
            if (j <= at)
                assert_true(any_nonzero(grad + j * WIDTH, WIDTH));
            else
                all_zero(grad + j * WIDTH, WIDTH, recipes[m].mask);
        rig_close(&r);
        people_close(&p);
    }
}

static void another_answer_changes_no_bit_of_the_embedding(void **state)
{
    static const char *const readouts[] = {"user_token", "mean", "last"};
    (void)state;
    for (int m = 0; m < MASKS; m++)
        for (int k = 0; k < 3; k++) {
            people p;
            rig r;
            assay_batch batch;
            assay_outputs outputs;
            float before[BATCH * WIDTH];
            people_open(&p, BATCH, 6);
            begin(&r, &p, m);
            use_text(&r.model, "readout", readouts[k]);
            snprintf(p.persons[0].answer, PEOPLE_TEXT, "well and sick");
            rig_open(&r, 9);
            const assay_clock clock = rig_training(&r, 3);
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, &batch, &outputs);
            memcpy(before, assay_elements(rig_output(&outputs, "user.embedding")), sizeof before);
            snprintf(p.persons[0].answer, PEOPLE_TEXT, "buys medicine well");
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, &batch, &outputs);
            same_bits(assay_f32(rig_output(&outputs, "user.embedding")), before, BATCH * WIDTH,
                      recipes[m].mask);
            /* Without answers at all, as in evaluation, only rounding may differ. */
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &embedding, &batch, &outputs);
            const float *plain = assay_f32(rig_output(&outputs, "user.embedding"));
            for (int i = 0; i < BATCH * WIDTH; i++)
                if (!(fabsf(plain[i] - before[i]) < 2e-5f))
                    fail_msg("%s: number %d is %g with answers, %g without", recipes[m].mask, i,
                             (double)before[i], (double)plain[i]);
            rig_close(&r);
            people_close(&p);
        }
}

/* ---- end points ---- */

static void embed(rig *r, const assay_clock *clock, float *out)
{
    assay_batch batch;
    assay_outputs outputs;
    rig_pass(r, clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, &batch, &outputs);
    memcpy(out, assay_elements(rig_output(&outputs, "user.embedding")),
           BATCH * WIDTH * sizeof *out);
}

static void future_0_is_causal_and_1_is_bidirectional(void **state)
{
    (void)state;
    people p;
    rig r;
    float causal[BATCH * WIDTH], full[BATCH * WIDTH], half[BATCH * WIDTH], got[BATCH * WIDTH];
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "causal");
    rig_open(&r, 9);
    const assay_clock training = rig_training(&r, 4), evaluation = rig_evaluation(&r, 4);
    embed(&r, &training, causal);
    rig_mask(&r, "bidirectional");
    rig_open_mask(&r);
    embed(&r, &training, full);
    for (int w = 0; w < 3; w++) {
        rig_mask(&r, "future");
        use_number(&r.mask, "weight", 0.5 * w);
        rig_open_mask(&r);
        embed(&r, &training, w == 1 ? half : got);
        if (w != 1)
            same_bits(got, w ? full : causal, BATCH * WIDTH, "future, training");
        embed(&r, &evaluation, got);
        same_bits(got, w == 0 ? causal : w == 1 ? half : full, BATCH * WIDTH, "future, evaluation");
    }
    assert_memory_not_equal(half, causal, sizeof half);
    assert_memory_not_equal(half, full, sizeof half);
    rig_close(&r);
    people_close(&p);
}

static void future_is_evaluated_with_the_last_weight_that_was_trained(void **state)
{
    static const float ramp[] = {0, 0.25f, 0.5f, 1};
    (void)state;
    people p;
    rig r;
    float trained[BATCH * WIDTH], evaluated[BATCH * WIDTH], full[BATCH * WIDTH];
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "future");
    use_curve(&r.mask, "weight", 4, ramp);
    r.total = 4;
    rig_open(&r, 9);
    for (int64_t step = 0; step < 4; step++) {
        const assay_clock training = rig_training(&r, step);
        const assay_clock evaluation = rig_evaluation(&r, step + 1);
        embed(&r, &training, trained);
        embed(&r, &evaluation, evaluated);
        same_bits(evaluated, trained, BATCH * WIDTH, "f(s - 1)");
    }
    memcpy(full, trained, sizeof full);
    const assay_clock untrained = rig_evaluation(&r, 0), early = rig_evaluation(&r, 1);
    embed(&r, &untrained, evaluated);
    embed(&r, &early, trained);
    same_bits(evaluated, trained, BATCH * WIDTH, "before the first step");
    rig_mask(&r, "future");
    use_curve(&r.mask, "weight", 4, ramp);
    use_text(&r.mask, "evaluate", "full");
    rig_open_mask(&r);
    embed(&r, &early, evaluated);
    same_bits(evaluated, full, BATCH * WIDTH, "evaluate = full");
    assert_true(recorder_value(&r.host, "mask/weight_mean") == 1.0);
    rig_close(&r);
    people_close(&p);
}

/* Masks of the user's tower alone leave the answer causal. */
static void towers_chooses_whose_mask_it_is(void **state)
{
    (void)state;
    people p;
    rig r;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "causal");
    rig_open(&r, 9);
    static const char *const with_choice[] = {"bidirectional", "future", "ggsm", "ggsm_plus",
                                              "widening"};
    for (int m = 0; m < 5; m++)
        for (int user = 0; user < 2; user++) {
            assay_attention_bias bias;
            const assay_tower answer = {.name = "answer", .rows = 2, .tokens = 4};
            const assay_clock clock = rig_training(&r, 0);
            rig_mask(&r, with_choice[m]);
            use_text(&r.mask, "towers", user ? "user" : "all");
            rig_open_mask(&r);
            rig_tape(&r, true);
            tape_must(r.tape,
                      use_mask(&r.mask)->bias(r.opened_mask, r.tape, &clock, &answer, NULL, &bias));
            assert_int_equal(bias.future, user ? ASSAY_FUTURE_HIDDEN : ASSAY_FUTURE_OPEN);
        }
    rig_close(&r);
    people_close(&p);
}

/* ---- schedules ---- */

/* The user's bias for rows of the given lengths, in a training pass. */
static assay_attention_bias bias_of(rig *r, int64_t step, int64_t rows, int64_t tokens,
                                    const int32_t *lengths)
{
    assay_attention_bias bias;
    const assay_clock clock = rig_training(r, step);
    rig_tape(r, true);
    const assay_tower tower = {.name = "user",
                               .rows = rows,
                               .tokens = tokens,
                               .lengths =
                                   assay_tape_constant(r->tape, ASSAY_I32, 1, &rows, lengths)};
    tape_must(r->tape,
              use_mask(&r->mask)->bias(r->opened_mask, r->tape, &clock, &tower, NULL, &bias));
    return bias;
}

/* min(weight l / i, 1), i from 1 (spec 3.4 C). */
static void conan_opens_early_tokens_first(void **state)
{
    (void)state;
    people p;
    rig r;
    static const int32_t lengths[] = {8, 4};
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "future");
    use_text(&r.mask, "form", "conan");
    use_number(&r.mask, "weight", 0.25);
    rig_open(&r, 9);
    const assay_attention_bias bias = bias_of(&r, 0, 2, 8, lengths);
    assert_int_equal(bias.log_weight->shape[2], 8);
    assert_int_equal(bias.log_weight->shape[3], 1);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < lengths[b]; i++) {
            double expected = fmin(0.25 * lengths[b] / (i + 1), 1);
            assert_true(fabs(exp((double)assay_f32(bias.log_weight)[8 * b + i]) - expected) < 1e-6);
        }
    /* Row 0: queries of 7 .. 1 future keys; row 1: of 3 .. 1. */
    double sum = 7 + 6 + 5 * 2. / 3 + 4 * .5 + 3 * .4 + 2 / 3. + 2 / 7. + 3 + 2 * .5 + 1 / 3.;
    assert_true(fabs(recorder_value(&r.host, "mask/weight_mean") - sum / 34) < 1e-6);
    rig_close(&r);
    people_close(&p);
}

/* Delta is a share of each row's own length; jumps of epochs hold it between. */
static void widening_grows_from_causal_to_full(void **state)
{
    static const struct {
        const char *growth;
        double until, stages, tokens;
        int64_t step;
        int deltas[2];
    } rows[] = {
        {"linear", 1, 0, 0, 0, {0, 0}},  {"linear", 1, 0, 0, 3, {3, 1}},
        {"linear", 1, 0, 0, 9, {9, 4}},  {"linear", .5, 0, 0, 3, {6, 3}},
        {"linear", 1, 2, 0, 4, {0, 0}},  {"linear", 1, 2, 0, 7, {5, 2}},
        {"linear", 1, 0, 4, 5, {2, 2}},  {"cosine", 1, 0, 0, 5, {5, 2}},
        {"cosine", 1, 0, 0, 2, {0, 0}},  {"cosine", 1, 0, 0, 8, {9, 4}},
        {"linear", .5, 0, 0, 5, {9, 4}}, {"linear", 1, 0, 3, 9, {2, 2}},
    };
    static const int32_t lengths[] = {10, 5};
    (void)state;
    people p;
    rig r;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "widening");
    rig_open(&r, 9);
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        rig_mask(&r, "widening");
        use_text(&r.mask, "growth", rows[k].growth);
        use_number(&r.mask, "until", rows[k].until);
        use_number(&r.mask, "stages", rows[k].stages);
        use_number(&r.mask, "tokens", rows[k].tokens);
        rig_open_mask(&r);
        const assay_attention_bias bias = bias_of(&r, rows[k].step, 2, 10, lengths);
        double open = 0, pairs = 0;
        for (int b = 0; b < 2; b++)
            for (int i = 0; i < lengths[b]; i++)
                for (int j = i + 1; j < lengths[b]; j++) {
                    float w =
                        bias.log_weight ? assay_f32(bias.log_weight)[100 * b + 10 * i + j] : 0.0f;
                    bool seen = j <= i + rows[k].deltas[b];
                    if (!(w == (seen ? 0.0f : -INFINITY)))
                        fail_msg("row %d: %d sees %d at %g", (int)k, i, j, (double)w);
                    open += seen;
                    pairs++;
                }
        assert_true(fabs(recorder_value(&r.host, "mask/weight_mean") - open / pairs) < 1e-9);
    }
    rig_close(&r);
    people_close(&p);
}

/* Evaluation is declared by each: fully open, as last trained, or as always. */
static void masks_are_evaluated_as_they_say(void **state)
{
    static const char *const full[] = {"widening", "ggsm", "ggsm_plus"};
    (void)state;
    people p;
    rig r;
    float open[BATCH * WIDTH], trained[BATCH * WIDTH], got[BATCH * WIDTH];
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "bidirectional");
    rig_open(&r, 9);
    const assay_clock training = rig_training(&r, 4), evaluation = rig_evaluation(&r, 5);
    embed(&r, &evaluation, open);
    for (int m = 0; m < 3; m++)
        for (int last = 0; last < 2; last++) {
            rig_mask(&r, full[m]);
            use_text(&r.mask, "evaluate", last ? "last" : "full");
            rig_open_mask(&r);
            embed(&r, &training, trained);
            embed(&r, &evaluation, got);
            same_bits(got, last ? trained : open, BATCH * WIDTH, full[m]);
            assert_memory_not_equal(trained, open, sizeof open);
        }
    static const char *const always[] = {"causal", "hybrid", "hybrid_mask", "hybrid_mlp"};
    for (int m = 0; m < 4; m++) {
        rig_mask(&r, always[m]);
        rig_open_mask(&r);
        embed(&r, &training, trained);
        embed(&r, &evaluation, got);
        same_bits(got, trained, BATCH * WIDTH, always[m]);
    }
    rig_close(&r);
    people_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_depend_on_what_the_mask_opens_and_never_on_answers),
        cmocka_unit_test(answer_words_are_causal),
        cmocka_unit_test(another_answer_changes_no_bit_of_the_embedding),
        cmocka_unit_test(future_0_is_causal_and_1_is_bidirectional),
        cmocka_unit_test(future_is_evaluated_with_the_last_weight_that_was_trained),
        cmocka_unit_test(towers_chooses_whose_mask_it_is),
        cmocka_unit_test(conan_opens_early_tokens_first),
        cmocka_unit_test(widening_grows_from_causal_to_full),
        cmocka_unit_test(masks_are_evaluated_as_they_say),
    };
    return cmocka_run_group_tests_name("masks", tests, NULL, NULL);
}
