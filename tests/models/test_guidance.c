/* test_guidance.c - masks that learn from gradients, through the real model: importance is what the
 * method really gives (user-modelling spec 3.5 and 3.6), clocks, schedules, state, series. */
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

static const char *const names[] = {"user.embedding"};
static const assay_wanted embedding = {1, names};
enum { BATCH = 3, WIDTH = 64, TOKENS = 1024 };

/* What a mask saved: tensors by name. */
typedef struct kept {
    int count;
    float values[2][TOKENS];
    char names[2][32];
    assay_stored stored[2];
} kept;

static bool put(void *user, const char *name, const assay_tensor *tensor, assay_error *error)
{
    kept *k = user;
    int n = k->count++;
    (void)error;
    assert_true(n < 2);
    assert_int_equal(assay_tensor_count(tensor), TOKENS);
    memcpy(k->values[n], assay_elements(tensor), sizeof k->values[n]);
    snprintf(k->names[n], sizeof k->names[n], "%s", name);
    k->stored[n] = (assay_stored){.name = k->names[n],
                                  .data = k->values[n],
                                  .bytes = sizeof k->values[n],
                                  .count = TOKENS,
                                  .shape = {TOKENS},
                                  .rank = 1,
                                  .dtype = ASSAY_STORED_F32};
    return true;
}

static const assay_stored *get(void *user, const char *name, assay_error *error)
{
    const kept *k = user;
    (void)error;
    for (int n = 0; n < k->count; n++)
        if (strcmp(name, k->names[n]) == 0)
            return &k->stored[n];
    fail_msg("nothing was saved as %s", name);
    return NULL;
}

static void save(rig *r, kept *k)
{
    assay_error error = {0};
    k->count = 0;
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
            assert_true(k.values[0][length - 1] > 1e-6f);
            for (int64_t j = 1; j < TOKENS; j++) {
                float expected =
                    j < length && (mean || j == length - 1) ? k.values[0][length - 1] : 0;
                if (!(fabsf(k.values[0][j] - expected) <= 1e-6f * expected))
                    fail_msg("importance of %d is %g, expected %g", (int)j, (double)k.values[0][j],
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
    for (int j = 0; j < TOKENS; j++)
        assert_true(fabsf(code.values[0][j] - 2 * paper.values[0][j]) <= 1e-6f * code.values[0][j]);
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
        assert_true(any_nonzero(first.values[0], TOKENS) == (micro == 1));
        assert_true(any_nonzero(second.values[0], TOKENS));
        if (micro) /* its warm-up of one was over */
            same_bits(second.values[0], first.values[0], TOKENS, "importance");
        rig_close(&r);
        people_close(&p);
    }
}

/* Weights of the first keys of the user's tower, as a pass at `step` uses them: one row of n keys,
 * whose history is all of it. */
static void log_weights(rig *r, int64_t step, float *out, int64_t n)
{
    assay_attention_bias bias;
    const int32_t whole[] = {0, (int32_t)n};
    const assay_clock clock = rig_training(r, step);
    rig_tape(r, true);
    const assay_tower tower = {
        .name = "user",
        .rows = 1,
        .tokens = n,
        .span = assay_tape_constant(r->tape, ASSAY_I32, 2, (int64_t[]){1, 2}, whole)};
    tape_must(r->tape,
              use_mask(&r->mask)->bias(r->opened_mask, r->tape, &clock, &tower, NULL, &bias));
    assert_non_null(bias.log_weight);
    memcpy(out, assay_elements(bias.log_weight), (size_t)n * sizeof *out);
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
static void guided_masks_resume_mid_ramp_bit_for_bit(void **state)
{
    enum { STEPS = 8, KEYS = 20 };
    static const char *const masks[] = {"ggsm", "ggsm_plus", "hybrid_mask"};
    (void)state;
    people p;
    people_open(&p, STEPS * 2, 6);
    for (int m = 0; m < 3; m++) {
        float whole[STEPS][KEYS], got[KEYS];
        for (int64_t stop = 0; stop <= STEPS; stop++) {
            rig r;
            assay_batch batch;
            rig_begin(&r, &p, masks[m]);
            if (m < 2)
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
                    must(use_mask(&r.mask)->load(r.opened_mask, &(assay_state_reader){&k, get},
                                                 &error),
                         &error);
                }
                log_weights(&r, step, stop ? got : whole[step], KEYS);
                if (stop)
                    same_bits(got, whole[step], KEYS, masks[m]);
                guide(&r, step, 2 * step, 2, &batch);
            }
            rig_close(&r);
        }
        assert_memory_not_equal(whole[1], whole[2], sizeof whole[1]);
    }
    people_close(&p);
}

/* ---- ggsm_plus ---- */

/* The gradients' norms of one pass, read beside the mask: z = n / mean n, w as the spec says. */
static void ggsm_plus_weighs_by_normalised_gradients(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        people p;
        rig r;
        assay_batch batch;
        float got[64];
        double n[64] = {0}, mean = 0;
        people_open(&p, 2, 6);
        p.persons[1] = p.persons[0]; /* of one length: every position is seen by both */
        rig_begin(&r, &p, "ggsm_plus");
        use_number(&r.mask, "layer", half ? -1 : 0);
        rig_open(&r, 9);
        guide(&r, 0, 0, 2, &batch);
        const assay_tensor *state_at =
            assay_tape_tapped(r.tape, half ? "user/layers.0" : "user/embeddings");
        assert_true(state_at && state_at->has_grad);
        int64_t tokens = batch.towers[0].tokens;
        assert_true(tokens <= 64);
        for (int64_t j = 0; j < tokens; j++) {
            double sum = 0;
            for (int k = 0; k < WIDTH; k++)
                sum += pow((double)assay_gradient(state_at)[j * WIDTH + k], 2);
            n[j] = sqrt(sum);
            mean += n[j] / (double)tokens;
        }
        log_weights(&r, 0, got, tokens);
        for (int64_t j = 0; j < tokens; j++) {
            double z = n[j] / mean, w = 1 / (1 + exp(-(2 * (z - 1) + log(0.05 / 0.95))));
            assert_true(fabs(exp((double)got[j]) - w) < 1e-5 * w + 1e-7);
        }
        rig_close(&r);
        people_close(&p);
    }
}

/* Positions that no sample had count as average; the others' averages do not change there. */
static void ggsm_plus_leaves_unseen_positions_average(void **state)
{
    (void)state;
    people p;
    rig r;
    kept k;
    assay_batch batch;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "ggsm_plus");
    rig_open(&r, 9);
    guide(&r, 0, 0, BATCH, &batch);
    save(&r, &k);
    int64_t tokens = batch.towers[0].tokens;
    float weights[TOKENS];
    log_weights(&r, 0, weights, TOKENS);
    for (int64_t j = 0; j < TOKENS; j++) {
        assert_true(k.values[1][j] == (j < tokens ? 1.0f : 0.0f));
        if (j >= tokens)
            assert_true(fabs(exp((double)weights[j]) - 0.05) < 1e-6);
    }
    rig_close(&r);
    people_close(&p);
}

/* A block that is not there, and a state that no gradient reaches, are errors in words. */
static void what_cannot_guide_is_an_error(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    assay_error error = {0};
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "ggsm_plus");
    rig_open(&r, 9);
    rig_mask(&r, "ggsm_plus");
    use_number(&r.mask, "layer", 2);
    const assay_mask_setup setup = {
        .size = sizeof setup, .facts = &r.facts, .params = r.params, .total = 1, .total_micro = 1};
    assert_null(use_mask(&r.mask)->open(r.mask.options, &setup, &error));
    assert_non_null(strstr(error.what, "no such block"));
    /* Frozen below the first block: embeddings have no gradient. */
    rig_mask(&r, "ggsm_plus");
    rig_open_mask(&r);
    assert_true(assay_params_train(r.params, NULL, false, &error) > 0);
    assert_true(assay_params_train(r.params, "projector.", true, &error) > 0);
    error = (assay_error){0};
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &embedding, &batch, &outputs);
    assay_tensor *loss = assay_sum(r.tape, rig_output(&outputs, "user.embedding"));
    tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
    assert_false(
        use_mask(&r.mask)->observe(r.opened_mask, r.tape, &clock, &batch.towers[0], &error));
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    rig_close(&r);
    people_close(&p);
}

/* A question on a kept prefix holds no history, and leaves what was learned of it alone. */
static void hybrid_mask_learns_nothing_from_questions_alone(void **state)
{
    (void)state;
    people p;
    people_open(&p, BATCH, 6);
    for (int question = 0; question < 2; question++) {
        rig r;
        kept k;
        assay_batch batch;
        assay_outputs outputs;
        rig_begin(&r, &p, "hybrid_mask");
        use_text(&r.model, "readout", "mean");
        rig_open(&r, 9);
        const assay_clock clock = rig_training(&r, 0);
        rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &embedding, &batch, &outputs);
        assay_tensor *loss = assay_sum(r.tape, rig_output(&outputs, "user.embedding"));
        tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
        const int32_t none[2 * BATCH] = {0};
        if (question)
            batch.towers[0].span =
                assay_tape_constant(r.tape, ASSAY_I32, 2, (int64_t[]){BATCH, 2}, none);
        rig_observe(&r, &clock, &batch);
        save(&r, &k);
        assert_int_equal(any_nonzero(k.values[0], TOKENS), !question);
        rig_close(&r);
    }
    people_close(&p);
}

/* ---- series and controls ---- */

static void guided_masks_record_alike(void **state)
{
    static const char *const masks[] = {"ggsm", "ggsm_plus", "hybrid_mask"};
    static const char *const series[] = {"mask/weight_mean", "mask/weight_sd",
                                         "mask/importance_mean", "mask/importance_max",
                                         "mask/gradient_norm"};
    (void)state;
    people p;
    people_open(&p, BATCH, 6);
    for (int m = 0; m < 3; m++) {
        rig r;
        assay_batch batch;
        rig_begin(&r, &p, masks[m]);
        rig_open(&r, 9);
        for (int64_t step = 0; step < 3; step++)
            guide(&r, step, 0, BATCH, &batch);
        for (int s = 0; s < 5; s++)
            assert_true(recorder_value(&r.host, series[s]) > 0);
        rig_close(&r);
    }
    people_close(&p);
}

/* The control is ggsm without importance: 0.5, then linear; it still records gradients. */
static void the_control_is_half_then_linear(void **state)
{
    (void)state;
    people p;
    rig r;
    kept k;
    assay_batch batch;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "ggsm");
    use_text(&r.mask, "guidance", "constant");
    use_text(&r.mask, "variant", "paper");
    use_number(&r.mask, "warmup_steps", 4);
    rig_open(&r, 9);
    for (int64_t step = 0; step < 10; step++) {
        float got[8];
        double alpha = step < 4 ? 0 : (double)(step - 4) / 6;
        guide(&r, step, 0, BATCH, &batch);
        log_weights(&r, step, got, 8);
        for (int j = 0; j < 8; j++)
            assert_true(fabs(exp((double)got[j]) - (0.5 + 0.5 * alpha)) < 1e-6);
    }
    save(&r, &k);
    all_zero(k.values[0], TOKENS, "importance of the control");
    assert_true(recorder_value(&r.host, "mask/gradient_norm") > 0);
    rig_close(&r);
    people_close(&p);
}

/* Spec 3.6-4: near one half, bf16 knows one number; only the user's bias is rounded. */
static void bf16_rounds_guidance_away(void **state)
{
    (void)state;
    people p;
    rig r;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "ggsm");
    use_text(&r.mask, "rounding", "bf16");
    rig_open(&r, 9);
    kept k = {.count = 0};
    assay_error error = {0};
    save(&r, &k);
    for (int j = 0; j < TOKENS; j++) /* the figure's range, and five times it */
        k.values[0][j] = 5e-4f * 5 * (float)j / TOKENS;
    must(use_mask(&r.mask)->load(r.opened_mask, &(assay_state_reader){&k, get}, &error), &error);
    float got[TOKENS];
    log_weights(&r, 0, got, TOKENS);
    for (int j = 0; j < TOKENS; j++)
        assert_true(got[j] == -0.69140625f);
    rig_close(&r);
    people_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importance_is_constant_with_mean_and_one_spike_with_user_token),
        cmocka_unit_test(variants_differ_by_the_number_of_samples),
        cmocka_unit_test(clocks_count_steps_or_micro_batches),
        cmocka_unit_test(ggsm_follows_the_spec_s_schedule),
        cmocka_unit_test(guided_masks_resume_mid_ramp_bit_for_bit),
        cmocka_unit_test(ggsm_plus_weighs_by_normalised_gradients),
        cmocka_unit_test(ggsm_plus_leaves_unseen_positions_average),
        cmocka_unit_test(what_cannot_guide_is_an_error),
        cmocka_unit_test(hybrid_mask_learns_nothing_from_questions_alone),
        cmocka_unit_test(guided_masks_record_alike),
        cmocka_unit_test(the_control_is_half_then_linear),
        cmocka_unit_test(bf16_rounds_guidance_away),
    };
    return cmocka_run_group_tests_name("guidance", tests, NULL, NULL);
}
