/* test_masks.c - the mask plugins through the real model: who depends on whom is exactly what each
 * mask says, no answer reaches what its user is read from, end points agree bit for bit, padding
 * changes nothing, and ggsm's importance is what the method really gives (user-modelling spec
 * 3.6). */
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
static const char *const masks[] = {"causal", "bidirectional", "hybrid", "future", "ggsm"};
enum { MASKS = sizeof masks / sizeof masks[0], BATCH = 3, WIDTH = 64 };

/* ---- dependence ---- */

/* Whether query i may see key j of the user's own tokens, in one layer or through several. */
static bool allowed(const char *mask, const int32_t *span, int64_t i, int64_t j)
{
    if (j <= i)
        return true;
    if (strcmp(mask, "causal") == 0)
        return false;
    if (strcmp(mask, "hybrid") == 0)
        return i >= span[0] && j < span[1];
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
    return x->grad;
}

static void check_row(rig *r, const char *mask, const assay_clock *clock, int64_t b)
{
    assay_batch batch;
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
            bool seen = j < length && allowed(mask, span, i, j);
            if (!seen)
                all_zero(cell, WIDTH, assay_text("%s: %d sees %d", mask, (int)i, (int)j));
            else if (!any_nonzero(cell, WIDTH))
                fail_msg("%s: %d does not see %d", mask, (int)i, (int)j);
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
        rig_begin(&r, &p, masks[m]);
        rig_open(&r, 9);
        tape_must(r.tape, assay_tape_tap(r.tape, "user/embeddings"));
        const assay_clock training = rig_training(&r, 3), evaluation = rig_evaluation(&r, 3);
        check_row(&r, masks[m], &training, 1);
        check_row(&r, masks[m], &evaluation, 2);
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
        rig_begin(&r, &p, masks[m]);
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
                all_zero(grad + j * WIDTH, WIDTH, masks[m]);
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
            rig_begin(&r, &p, masks[m]);
            use_text(&r.model, "readout", readouts[k]);
            snprintf(p.persons[0].answer, PEOPLE_TEXT, "well and sick");
            rig_open(&r, 9);
            const assay_clock clock = rig_training(&r, 3);
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, &batch, &outputs);
            memcpy(before, rig_output(&outputs, "user.embedding")->data, sizeof before);
            snprintf(p.persons[0].answer, PEOPLE_TEXT, "buys medicine well");
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &all, &batch, &outputs);
            same_bits(assay_f32(rig_output(&outputs, "user.embedding")), before, BATCH * WIDTH,
                      masks[m]);
            /* Without answers at all, as in evaluation, only rounding may differ. */
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &embedding, &batch, &outputs);
            const float *plain = assay_f32(rig_output(&outputs, "user.embedding"));
            for (int i = 0; i < BATCH * WIDTH; i++)
                if (!(fabsf(plain[i] - before[i]) < 2e-5f))
                    fail_msg("%s: number %d is %g with answers, %g without", masks[m], i,
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
    memcpy(out, rig_output(&outputs, "user.embedding")->data, BATCH * WIDTH * sizeof *out);
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
    static const char *const with_choice[] = {"bidirectional", "future", "ggsm"};
    for (int m = 0; m < 3; m++)
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

/* ---- ggsm ---- */

typedef struct kept {
    float values[1024];
    assay_stored stored;
} kept;

static bool put(void *user, const char *name, const assay_tensor *tensor, assay_error *error)
{
    kept *k = user;
    (void)error;
    assert_int_equal(assay_tensor_count(tensor), 1024);
    memcpy(k->values, tensor->data, sizeof k->values);
    k->stored = (assay_stored){.name = name,
                               .data = k->values,
                               .bytes = sizeof k->values,
                               .count = 1024,
                               .shape = {1024},
                               .rank = 1,
                               .dtype = ASSAY_STORED_F32};
    return true;
}

static const assay_stored *get(void *user, const char *name, assay_error *error)
{
    kept *k = user;
    (void)error;
    assert_string_equal(name, k->stored.name);
    return &k->stored;
}

static void save(rig *r, kept *k)
{
    assay_error error = {0};
    must(use_mask(&r->mask)->save(r->opened_mask, &(assay_state_writer){k, put}, &error), &error);
}

/* One training pass whose loss reads the embeddings alone. */
static void guide(rig *r, int64_t step, int64_t first, int64_t count, assay_batch *batch)
{
    assay_outputs outputs;
    const assay_clock clock = rig_training(r, step);
    rig_pass(r, &clock, ASSAY_NO_BENCHMARK, first, count, &embedding, batch, &outputs);
    assay_tensor *x = rig_output(&outputs, "user.embedding");
    assay_tensor *loss = assay_sum(r->tape, assay_mul(r->tape, x, x));
    tape_must(r->tape, loss && assay_tape_backward(r->tape, loss, 1.0f));
    rig_observe(r, &clock, batch);
}

/* Spec 3.6: with mean pooling every valid token of a sample has the same norm; with the <USER>
 * readout all but <USER> have none. */
static void importance_is_constant_with_mean_and_one_spike_with_user_token(void **state)
{
    static const char *const variants[] = {"code", "paper"};
    (void)state;
    for (int mean = 0; mean < 2; mean++)
        for (int v = 0; v < 2; v++) {
            people p;
            rig r;
            kept k;
            assay_batch batch;
            people_open(&p, BATCH, 6);
            rig_begin(&r, &p, "ggsm");
            use_text(&r.model, "readout", mean ? "mean" : "user_token");
            use_text(&r.mask, "variant", variants[v]);
            use_number(&r.mask, "warmup", 0.5);
            rig_open(&r, 9);
            guide(&r, 0, 0, 1, &batch);
            save(&r, &k);
            int64_t length = assay_i32(batch.towers[0].lengths)[0];
            assert_true(k.values[length - 1] > 1e-6f);
            for (int64_t j = 1; j < 1024; j++) {
                float expected = j < length && (mean || j == length - 1) ? k.values[length - 1] : 0;
                if (!(fabsf(k.values[j] - expected) <= 1e-6f * expected))
                    fail_msg("importance of %d is %g, expected %g", (int)j, (double)k.values[j],
                             (double)expected);
            }
            rig_close(&r);
            people_close(&p);
        }
}

/* The code sums over samples, the paper's reading takes the mean. */
static void variants_differ_by_the_number_of_samples(void **state)
{
    (void)state;
    people p;
    kept code, paper;
    people_open(&p, 2, 6);
    p.persons[1] = p.persons[0];
    for (int v = 0; v < 2; v++) {
        rig r;
        assay_batch batch;
        rig_begin(&r, &p, "ggsm");
        use_text(&r.mask, "variant", v ? "paper" : "code");
        rig_open(&r, 9);
        guide(&r, 0, 0, 2, &batch);
        save(&r, v ? &paper : &code);
        rig_close(&r);
    }
    for (int j = 0; j < 1024; j++)
        assert_true(fabsf(code.values[j] - 2 * paper.values[j]) <= 1e-6f * code.values[j]);
    people_close(&p);
}

/* Two micro-batches of a step count as one on the optimizer's clock, as two on the other. */
static void clocks_count_steps_or_micro_batches(void **state)
{
    (void)state;
    for (int micro = 0; micro < 2; micro++) {
        people p;
        rig r;
        kept first, second;
        assay_batch batch;
        people_open(&p, 4, 6);
        rig_begin(&r, &p, "ggsm");
        use_text(&r.mask, "clock", micro ? "micro" : "optimizer");
        use_number(&r.mask, "warmup_steps", 1);
        r.accumulate = 2;
        rig_open(&r, 9);
        for (int64_t m = 0; m < 2; m++) {
            assay_outputs outputs;
            assay_clock clock = rig_training(&r, 0);
            clock.micro = m;
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 2 * m, 2, &embedding, &batch, &outputs);
            assay_tensor *loss = assay_sum(r.tape, rig_output(&outputs, "user.embedding"));
            tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 0.5f));
            rig_observe(&r, &clock, &batch);
            save(&r, m ? &second : &first);
        }
        assert_true(any_nonzero(first.values, 1024) == (micro == 1));
        assert_true(any_nonzero(second.values, 1024));
        if (micro) /* its warm-up of one was over */
            same_bits(second.values, first.values, 1024, "importance");
        rig_close(&r);
        people_close(&p);
    }
}

/* Weights of the first keys of the user's tower, as a pass at `step` uses them. */
static void log_weights(rig *r, int64_t step, float *out, int64_t n)
{
    assay_attention_bias bias;
    const assay_tower tower = {.name = "user", .rows = 1, .tokens = n};
    const assay_clock clock = rig_training(r, step);
    rig_tape(r, true);
    tape_must(r->tape,
              use_mask(&r->mask)->bias(r->opened_mask, r->tape, &clock, &tower, NULL, &bias));
    assert_non_null(bias.log_weight);
    memcpy(out, bias.log_weight->data, (size_t)n * sizeof *out);
}

static void ggsm_follows_the_spec_s_schedule(void **state)
{
    /* Spec 3.5's golden: no importance, T_warm 2000, T_total 70000. */
    static const struct {
        int64_t step;
        double weight;
    } rows[] = {{0, 0.5}, {1999, 0.5}, {2000, 0.5}, {36000, 0.75}, {69999, 0.999993}};
    (void)state;
    people p;
    rig r;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "ggsm");
    use_number(&r.mask, "warmup_steps", 2000);
    r.total = 70000;
    rig_open(&r, 9);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float got[8];
        log_weights(&r, rows[i].step, got, 8);
        for (int j = 0; j < 8; j++)
            assert_true(fabs((double)got[j] - log(rows[i].weight)) < 1e-6);
    }
    rig_close(&r);
    people_close(&p);
}

/* Stopped at any step of the warm-up or the ramp and loaded into a new mask: the same bits
 * follow. */
static void ggsm_resumes_mid_ramp_bit_for_bit(void **state)
{
    enum { STEPS = 8, KEYS = 20 };
    float whole[STEPS][KEYS], got[KEYS];
    (void)state;
    people p;
    people_open(&p, STEPS * 2, 6);
    for (int64_t stop = 0; stop <= STEPS; stop++) {
        rig r;
        assay_batch batch;
        rig_begin(&r, &p, "ggsm");
        use_number(&r.mask, "warmup_steps", 4);
        use_number(&r.mask, "rho", 0.9);
        r.total = STEPS;
        rig_open(&r, 9);
        for (int64_t step = 0; step < STEPS; step++) {
            if (stop > 0 && step == stop) {
                kept k;
                assay_error error = {0};
                save(&r, &k);
                use_mask(&r.mask)->close(r.opened_mask);
                rig_open_mask(&r);
                must(use_mask(&r.mask)->load(r.opened_mask, &(assay_state_reader){&k, get}, &error),
                     &error);
            }
            log_weights(&r, step, stop ? got : whole[step], KEYS);
            if (stop)
                same_bits(got, whole[step], KEYS, "weights after a restart");
            guide(&r, step, 2 * step, 2, &batch);
        }
        rig_close(&r);
    }
    people_close(&p);
    assert_memory_not_equal(whole[1], whole[2], sizeof whole[1]);
}

static void ggsm_is_evaluated_bidirectional_or_as_it_was_trained(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    float full[BATCH * WIDTH], got[BATCH * WIDTH], trained[BATCH * WIDTH];
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "bidirectional");
    rig_open(&r, 9);
    const assay_clock evaluation = rig_evaluation(&r, 6), training = rig_training(&r, 5);
    embed(&r, &evaluation, full);
    for (int last = 0; last < 2; last++) {
        rig_mask(&r, "ggsm");
        use_text(&r.mask, "evaluate", last ? "last" : "full");
        use_number(&r.mask, "warmup_steps", 2);
        rig_open_mask(&r);
        guide(&r, 0, 0, BATCH, &batch);
        embed(&r, &training, trained);
        embed(&r, &evaluation, got);
        same_bits(got, last ? trained : full, BATCH * WIDTH, "ggsm in evaluation");
    }
    assert_memory_not_equal(trained, full, sizeof full);
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
        cmocka_unit_test(importance_is_constant_with_mean_and_one_spike_with_user_token),
        cmocka_unit_test(variants_differ_by_the_number_of_samples),
        cmocka_unit_test(clocks_count_steps_or_micro_batches),
        cmocka_unit_test(ggsm_follows_the_spec_s_schedule),
        cmocka_unit_test(ggsm_resumes_mid_ramp_bit_for_bit),
        cmocka_unit_test(ggsm_is_evaluated_bidirectional_or_as_it_was_trained),
    };
    return cmocka_run_group_tests_name("masks", tests, NULL, NULL);
}
