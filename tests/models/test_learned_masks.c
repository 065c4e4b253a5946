/* test_learned_masks.c - masks with parameters of their own, through the real model: their
 * gradients are those of differences, with answers behind the user and without; they learn; and no
 * history sees what follows it, however long the question is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/rig.h"

#include <assay/gradcheck.h>
#include <assay/ops.h>
#include <assay/optim.h>

static const char *const names[] = {"user.embedding", "user.states", "user.targets"};
static const assay_wanted plain = {2, names}, with_answers = {3, names};
enum { BATCH = 3, WIDTH = 64 };

/* A seeded parameter, for a gradient that is not small. */
static void spread(rig *r, const char *name, float by)
{
    assay_tensor *value = assay_params_find(r->params, name)->value;
    float *noise = test_malloc((size_t)assay_tensor_count(value) * sizeof *noise);
    assay_random_fill_normal(assay_stream_of(4, name, 0), 0, assay_tensor_count(value), noise);
    for (int64_t i = 0; i < assay_tensor_count(value); i++)
        assay_f32(value)[i] += by * noise[i];
    test_free(noise);
}

typedef struct check {
    rig *rig;
    const assay_wanted *wanted;
} check;

/* The user's states; answer words are among them when targets are wanted. */
static assay_tensor *states_of(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    const check *c = user;
    assay_batch batch;
    assay_outputs outputs;
    const assay_clock clock = rig_training(c->rig, 1);
    (void)tape;
    (void)inputs;
    (void)n;
    rig_batch(c->rig, ASSAY_NO_BENCHMARK, 0, BATCH, c->wanted, &batch);
    rig_run(c->rig, &clock, &batch, c->wanted, &outputs);
    return rig_output(&outputs, "user.states");
}

static void check_gradients(const char *mask, int n, const char *const parameters[])
{
    for (int answers = 0; answers < 2; answers++) {
        people p;
        rig r;
        assay_error error = {0};
        assay_tensor *inputs[4];
        assay_gradcheck_report report;
        /* Sums over a thousand states in fp32: differences are good to some thousandths. */
        const assay_gradcheck_options options = {
            .step = 0.0625, .tolerance = 5e-3, .seed = 3, .max_entries = 64, .training = true};
        people_open(&p, BATCH, 6);
        rig_begin(&r, &p, mask);
        if (strcmp(mask, "hybrid_mlp") == 0) {
            use_number(&r.mask, "start", 0);
            use_number(&r.mask, "width", 6);
        }
        rig_open(&r, 9);
        for (int i = 0; i < n; i++) {
            spread(&r, parameters[i], 0.3f);
            inputs[i] = assay_params_find(r.params, parameters[i])->value;
        }
        check c = {&r, answers ? &with_answers : &plain};
        must(assay_gradcheck(r.tape, states_of, &c, inputs, n, &options, &report, &error), &error);
        if (!report.passed)
            fail_msg("%s, %s: input %d, number %lld: %g, by differences %g", mask,
                     answers ? "answers" : "no answers", report.input, (long long)report.entry,
                     report.analytic, report.numeric);
        assert_true(report.compared >= 64 && report.repeatable);
        rig_close(&r);
        people_close(&p);
    }
}

static void the_network_of_hybrid_mlp_has_its_gradient(void **state)
{
    static const char *const parameters[] = {"mask.fc1.weight", "mask.fc1.bias", "mask.fc2.weight",
                                             "mask.fc2.bias"};
    (void)state;
    check_gradients("hybrid_mlp", 4, parameters);
}

static void the_vector_of_hybrid_query_has_its_gradient(void **state)
{
    static const char *const parameters[] = {"mask.query"};
    (void)state;
    check_gradients("hybrid_query", 1, parameters);
}

/* The spec's start: near causal, the same for all tokens up to the network's first numbers. */
static void hybrid_mlp_starts_near_causal(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    people_open(&p, BATCH, 6);
    rig_begin(&r, &p, "hybrid_mlp");
    rig_open(&r, 9);
    assert_int_equal(assay_params_size(r.params, "mask.", true), 64 * 128 + 128 + 128 + 1);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &plain, &batch, &outputs);
    double mean = recorder_value(&r.host, "mask/weight_mean");
    assert_true(mean > 0.01 && mean < 0.03);
    assert_true(recorder_value(&r.host, "mask/weight_sd") < 0.01);
    rig_close(&r);
    people_close(&p);
}

/* A loss that asks the first event's state for what comes after it: only a mask that opens the
 * future can lower it, so both learn to. */
static void both_learn_to_look_ahead(void **state)
{
    static const char *const masks[] = {"hybrid_mlp", "hybrid_query"};
    (void)state;
    for (int m = 0; m < 2; m++) {
        people p;
        rig r;
        assay_error error = {0};
        people_open(&p, 8, 6);
        rig_begin(&r, &p, masks[m]);
        rig_open(&r, 9);
        assay_params_train(r.params, "model.", false, &error);
        assay_adamw *adamw = assay_adamw_new(
            r.params, assay_tape_device(r.tape),
            (assay_adamw_options){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}, &error);
        must(adamw != NULL, &error);
        double first = 0, last = 0;
        for (int step = 0; step < 25; step++) {
            assay_batch batch;
            assay_outputs outputs;
            const assay_clock clock = rig_training(&r, 0);
            assay_params_clear_grads(r.params);
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 8, &plain, &batch, &outputs);
            assay_tensor *early = assay_slice(r.tape, rig_output(&outputs, "user.states"), 1, 0, 3);
            assay_tensor *late = rig_output(&outputs, "user.embedding");
            int64_t flat[] = {8 * 3 * WIDTH};
            assay_tensor *mean = assay_mean(r.tape, assay_mul(r.tape, late, late));
            assay_tensor *loss =
                assay_add(r.tape, mean, assay_mean(r.tape, assay_reshape(r.tape, early, 1, flat)));
            tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
            rig_observe(&r, &clock, &batch);
            last = assay_value(loss);
            first = step == 0 ? last : first;
            must(assay_adamw_step(adamw, 1e-2f, 0, NULL, &error), &error);
        }
        assert_true(last < first);
        assert_true(recorder_value(&r.host, "mask/gradient_norm") > 0);
        assay_adamw_free(adamw);
        rig_close(&r);
        people_close(&p);
    }
}

/* States of the history are the same whatever is asked: what a prefix cache rests on. */
static void history_does_not_see_the_question(void **state)
{
    static const char *const masks[] = {"causal", "hybrid", "hybrid_mask", "hybrid_mlp",
                                        "hybrid_query"};
    static const char *const questions[] = {"sick?", "Is the person sick or rich or neither?",
                                            "What comes next and then what and then what else?"};
    (void)state;
    for (int m = 0; m < 5; m++) {
        people p;
        rig r;
        float kept[64 * WIDTH];
        people_open(&p, 1, 6);
        rig_begin(&r, &p, masks[m]);
        rig_open(&r, 9);
        for (int q = 0; q < 3; q++) {
            assay_batch batch;
            assay_outputs outputs;
            snprintf(p.persons[0].question, PEOPLE_TEXT, "%s", questions[q]);
            const assay_clock clock = rig_evaluation(&r, 3);
            rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 1, &plain, &batch, &outputs);
            int64_t end = assay_i32(batch.towers[0].span)[1];
            const float *now = assay_f32(rig_output(&outputs, "user.states"));
            assert_true(end > 4 && end <= 64);
            assert_int_equal(assay_i32(batch.towers[0].span)[0], m == 4 ? 1 : 0);
            for (int64_t i = 0; q > 0 && i < end * WIDTH; i++)
                if (!(fabsf(now[i] - kept[i]) < 1e-5f))
                    fail_msg("%s: number %d of the history follows the question", masks[m], (int)i);
            memcpy(kept, now, (size_t)(end * WIDTH) * sizeof *kept);
        }
        rig_close(&r);
        people_close(&p);
    }
}

/* Everything that was learned is a parameter: loaded into a new model, the same bits. */
static void learned_masks_are_their_parameters(void **state)
{
    static const char *const masks[] = {"hybrid_mlp", "hybrid_query"};
    (void)state;
    for (int m = 0; m < 2; m++) {
        people p;
        rig a, b;
        assay_batch batch;
        assay_outputs outputs;
        float one[BATCH * WIDTH];
        people_open(&p, BATCH, 6);
        rig_begin(&a, &p, masks[m]);
        rig_open(&a, 9);
        rig_begin(&b, &p, masks[m]);
        rig_open(&b, 10);
        const assay_clock clock = rig_evaluation(&a, 1);
        for (int64_t i = 0; i < assay_params_count(a.params); i++) {
            const assay_parameter *from = assay_params_at(a.params, i);
            assay_tensor *to = assay_params_find(b.params, from->name)->value;
            memcpy(assay_elements(to), assay_elements(from->value), (size_t)assay_tensor_bytes(to));
        }
        rig_pass(&a, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &plain, &batch, &outputs);
        memcpy(one, assay_elements(rig_output(&outputs, "user.embedding")), sizeof one);
        rig_pass(&b, &clock, ASSAY_NO_BENCHMARK, 0, BATCH, &plain, &batch, &outputs);
        same_bits(assay_f32(rig_output(&outputs, "user.embedding")), one, BATCH * WIDTH, masks[m]);
        rig_close(&a);
        rig_close(&b);
        people_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_network_of_hybrid_mlp_has_its_gradient),
        cmocka_unit_test(the_vector_of_hybrid_query_has_its_gradient),
        cmocka_unit_test(hybrid_mlp_starts_near_causal),
        cmocka_unit_test(both_learn_to_look_ahead),
        cmocka_unit_test(history_does_not_see_the_question),
        cmocka_unit_test(learned_masks_are_their_parameters),
    };
    return cmocka_run_group_tests_name("learned masks", tests, NULL, NULL);
}
