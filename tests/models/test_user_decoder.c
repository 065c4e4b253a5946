/* test_user_decoder.c - the model as the host uses it: every parameter learns, nothing depends on
 * the neighbours in a batch, extra tokens and summaries stand where they should, counting builds
 * the same shapes, and wrong input is an error in words. */
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
#include <assay/optim.h>

static const char *const all_names[] = {"user.embedding", "answer.embedding", "user.states",
                                        "user.targets", "user.head"};
static const assay_wanted all = {5, all_names};
static const assay_wanted embedding = {1, all_names};

/* ---- learning ---- */

static assay_tensor *total_loss(assay_tape *tape, const assay_outputs *outputs)
{
    const assay_contrastive_options chosen = {ASSAY_GG_CODE, 0.07f, 0.1f};
    assay_tensor *states = rig_output(outputs, "user.states");
    const assay_tensor *targets = rig_output(outputs, "user.targets");
    int64_t rows = states->shape[0] * states->shape[1];
    assay_tensor *flat = assay_reshape(tape, states, 2, (int64_t[]){rows, states->shape[2]});
    assay_tensor *goal = assay_tape_constant(tape, ASSAY_I32, 1, &rows, targets->data);
    assay_tensor *words =
        assay_cross_entropy_head(tape, flat, rig_output(outputs, "user.head"), goal, ASSAY_MEAN);
    assay_tensor *pairs = assay_contrastive(tape, rig_output(outputs, "user.embedding"),
                                            rig_output(outputs, "answer.embedding"), &chosen, NULL);
    return assay_add(tape, words, pairs);
}

/* Mean loss of the first and the last of `steps` steps on one batch. */
static void train(rig *r, int64_t steps, double *first, double *last)
{
    assay_error error = {0};
    assay_adamw *adamw = assay_adamw_new(
        r->params, assay_tape_device(r->tape),
        (assay_adamw_options){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}, &error);
    must(adamw != NULL, &error);
    for (int64_t step = 0; step < steps; step++) {
        assay_batch batch;
        assay_outputs outputs;
        const assay_clock clock = rig_training(r, step);
        assay_params_clear_grads(r->params);
        rig_pass(r, &clock, ASSAY_NO_BENCHMARK, 0, 8, &all, &batch, &outputs);
        assay_tensor *loss = total_loss(r->tape, &outputs);
        tape_must(r->tape, loss && assay_tape_backward(r->tape, loss, 1.0f));
        *last = assay_value(loss);
        if (step == 0)
            *first = *last;
        must(assay_adamw_step(adamw, 3e-3f, 0, NULL, &error), &error);
    }
    assay_adamw_free(adamw);
}

static void every_parameter_learns_and_the_loss_falls(void **state)
{
    static const char *const readouts[] = {"user_token", "mean", "last"};
    static const char *const heads[] = {"mlp", "linear", "mlp"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        people p;
        rig r;
        double first = 0, last = 0;
        people_open(&p, 8, 3);
        rig_begin(&r, &p, "causal");
        use_text(&r.model, "readout", readouts[i]);
        use_text(&r.model, "head", heads[i]);
        use_number(&r.model, "user_summary", i == 0);
        use_number(&r.model, "source_summary", i == 0);
        rig_open(&r, 5);
        train(&r, 1, &first, &last);
        for (int64_t k = 0; k < assay_params_count(r.params); k++) {
            const assay_parameter *parameter = assay_params_at(r.params, k);
            if (!parameter->value->has_grad)
                fail_msg("readout %s: nothing reaches %s", readouts[i], parameter->name);
        }
        assert_true(assay_params_grad_norm(r.params, assay_tape_device(r.tape)) > 0);
        train(&r, 30, &first, &last);
        assert_true(isfinite(last) && last < 0.7 * first);
        rig_close(&r);
        people_close(&p);
    }
}

static void two_opens_of_one_seed_are_the_same(void **state)
{
    (void)state;
    people p;
    rig a, b;
    assay_batch batch;
    assay_outputs outputs;
    people_open(&p, 8, 3);
    rig_begin(&a, &p, "causal");
    rig_open(&a, 5);
    rig_begin(&b, &p, "causal");
    rig_open(&b, 5);
    const assay_clock clock = rig_evaluation(&a, 0);
    rig_pass(&a, &clock, 0, 0, 8, &embedding, &batch, &outputs);
    assay_tensor *x = rig_output(&outputs, "user.embedding");
    rig_pass(&b, &clock, 0, 0, 8, &embedding, &batch, &outputs);
    same_bits(assay_f32(x), assay_f32(rig_output(&outputs, "user.embedding")),
              assay_tensor_count(x), "embedding");
    rig_close(&a);
    rig_close(&b);
    people_close(&p);
}

/* ---- batches ---- */

/* A client's vector is that of the client alone, whoever shares the batch. */
static void neighbours_change_nothing(void **state)
{
    static const char *const masks[] = {"causal",     "bidirectional", "hybrid",   "hybrid_mask",
                                        "hybrid_mlp", "hybrid_query",  "widening", "future",
                                        "ggsm",       "ggsm_plus"};
    (void)state;
    for (int i = 0; i < 10; i++)
        for (int summary = 0; summary < 2; summary++) {
            people p;
            rig r;
            assay_batch batch;
            assay_outputs outputs;
            float together[8 * 64];
            people_open(&p, 8, 4);
            rig_begin(&r, &p, masks[i]);
            use_number(&r.model, "user_summary", summary);
            use_number(&r.model, "source_summary", summary);
            rig_open(&r, 5);
            const assay_clock clock = rig_training(&r, 0);
            rig_pass(&r, &clock, 0, 0, 8, &embedding, &batch, &outputs);
            memcpy(together, assay_elements(rig_output(&outputs, "user.embedding")),
                   sizeof together);
            for (int64_t b = 0; b < 8; b++) {
                rig_pass(&r, &clock, 0, b, 1, &embedding, &batch, &outputs);
                const float *alone = assay_f32(rig_output(&outputs, "user.embedding"));
                for (int k = 0; k < 64; k++)
                    if (!(fabsf(alone[k] - together[b * 64 + k]) < 2e-5f))
                        fail_msg("mask %s: client %d, number %d", masks[i], (int)b, k);
            }
            rig_close(&r);
            people_close(&p);
        }
}

static void a_client_without_events_has_a_vector(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    people_open(&p, 3, 4);
    p.persons[1].events[0] = p.persons[1].events[1] = 0;
    rig_begin(&r, &p, "bidirectional");
    use_number(&r.model, "user_summary", 1);
    use_number(&r.model, "source_summary", 1);
    rig_open(&r, 5);
    const assay_clock clock = rig_evaluation(&r, 0);
    for (int64_t first = 0; first < 2; first++) { /* with others, and alone */
        rig_pass(&r, &clock, 0, first, first ? 1 : 3, &embedding, &batch, &outputs);
        const assay_tensor *x = rig_output(&outputs, "user.embedding");
        for (int64_t i = 0; i < assay_tensor_count(x); i++)
            assert_true(isfinite(assay_f32(x)[i]));
    }
    rig_close(&r);
    people_close(&p);
}

static void targets_are_the_answer_and_its_end(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    people_open(&p, 2, 4);
    strcpy(p.persons[0].answer, "well");
    strcpy(p.persons[1].answer, "Well well");
    rig_begin(&r, &p, "causal");
    rig_open(&r, 5);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 2, &all, &batch, &outputs);
    const assay_tensor *targets = rig_output(&outputs, "user.targets");
    for (int64_t b = 0; b < 2; b++) {
        const int32_t *row = assay_i32(targets) + b * targets->shape[1];
        int64_t length = assay_i32(batch.towers[0].lengths)[b];
        int32_t word = row[length - 1];
        assert_int_equal(assay_i32(batch.towers[0].readout)[b], length - 1);
        assert_true(word > 4);
        if (b == 1)
            assert_int_equal(row[length], word);
        assert_int_equal(row[length + b], 3); /* <EOS> */
        for (int64_t t = 0; t < targets->shape[1]; t++)
            if (t < length - 1 || t > length + b)
                assert_int_equal(row[t], ASSAY_IGNORE);
    }
    rig_close(&r);
    people_close(&p);
}

/* ---- a learned bias, with answers behind the user ---- */

/* The loss under `weight` as the price of the future; with `walk` its gradient is left behind. */
static double loss_under(rig *r, assay_tensor *weight, bool walk)
{
    assay_batch batch;
    assay_outputs outputs = {.count = 0};
    const assay_attention_bias bias = {.future = ASSAY_FUTURE_OPEN, .log_weight = weight};
    rig_tape(r, true);
    rig_batch(r, ASSAY_NO_BENCHMARK, 0, 4, &all, &batch);
    for (int t = 0; t < batch.tower_count; t++) {
        assay_tensor *x = use_model(&r->model)->embed(r->opened, r->tape, &batch, t, NULL);
        tape_must(r->tape,
                  x && use_model(&r->model)->forward(r->opened, r->tape, &batch, t, x,
                                                     t == 0 ? &bias : NULL, &all, &outputs));
    }
    assay_tensor *loss = total_loss(r->tape, &outputs);
    tape_must(r->tape, loss && (!walk || assay_tape_backward(r->tape, loss, 1.0f)));
    return assay_value(loss);
}

/* The slope along a random direction, from the gradient and from differences. */
static void check_slope(rig *r, int64_t heads, int64_t queries, int64_t keys, int64_t rows)
{
    const float step = 2e-2f;
    assay_error error = {0};
    assay_tensor *weight =
        assay_tensor_new(ASSAY_F32, 4, (int64_t[]){rows, heads, queries, keys}, &error);
    must(weight && assay_tensor_want_grad(weight, &error), &error);
    int64_t n = assay_tensor_count(weight);
    float *direction = test_malloc((size_t)n * sizeof *direction);
    double slope = 0, difference = 0;
    assay_random_fill_normal(assay_stream_of(2, "direction", 0), 0, n, direction);
    for (int64_t i = 0; i < n; i++)
        assay_f32(weight)[i] = -0.7f;
    loss_under(r, weight, true);
    assert_true(weight->has_grad);
    for (int64_t i = 0; i < n; i++) {
        slope += (double)assay_gradient(weight)[i] * (double)direction[i];
        assay_f32(weight)[i] = -0.7f + step * direction[i];
    }
    difference = loss_under(r, weight, false);
    for (int64_t i = 0; i < n; i++)
        assay_f32(weight)[i] = -0.7f - step * direction[i];
    difference = (difference - loss_under(r, weight, false)) / (2 * (double)step);
    if (!(fabs(slope - difference) < 2e-2 * fabs(difference) + 2e-4))
        fail_msg("%s: slope %g, by differences %g", assay_tensor_text(weight), slope, difference);
    assert_true(fabs(slope) > 1e-3);
    assay_tensor_free(weight);
    test_free(direction);
}

static void a_learned_price_of_the_future_has_its_gradient(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    people_open(&p, 4, 4);
    rig_begin(&r, &p, "causal");
    rig_open(&r, 5);
    rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 4, &all, &batch);
    int64_t tokens = batch.towers[0].tokens;
    check_slope(&r, 1, 1, 1, 1);
    check_slope(&r, 1, 1, tokens, 1);
    check_slope(&r, 1, tokens, 1, 4);
    check_slope(&r, 4, tokens, tokens, 1);
    check_slope(&r, 1, tokens, tokens, 4);
    rig_close(&r);
    people_close(&p);
}

static void a_price_that_acts_everywhere_is_refused_with_answers(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs = {.count = 0};
    float zero = 0;
    people_open(&p, 4, 4);
    rig_begin(&r, &p, "causal");
    rig_open(&r, 5);
    for (int with_answers = 0; with_answers < 2; with_answers++) {
        const assay_wanted *wanted = with_answers ? &all : &embedding;
        rig_tape(&r, true);
        rig_batch(&r, ASSAY_NO_BENCHMARK, 0, 4, wanted, &batch);
        const assay_attention_bias bias = {
            .future = ASSAY_FUTURE_OPEN,
            .scope = ASSAY_BIAS_EVERYWHERE,
            .log_weight =
                assay_tape_constant(r.tape, ASSAY_F32, 4, (int64_t[]){1, 1, 1, 1}, &zero)};
        assay_tensor *x = use_model(&r.model)->embed(r.opened, r.tape, &batch, 0, NULL);
        bool ok =
            use_model(&r.model)->forward(r.opened, r.tape, &batch, 0, x, &bias, wanted, &outputs);
        assert_int_equal(ok, !with_answers);
    }
    assert_int_equal(assay_tape_error(r.tape)->code, ASSAY_UNSUPPORTED);
    rig_close(&r);
    people_close(&p);
}

/* ---- extra tokens ---- */

static void extra_tokens_stand_in_front_and_before_what_is_read(void **state)
{
    static const char *const readouts[] = {"user_token", "last", "mean"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        people p;
        rig r;
        assay_batch batch;
        assay_outputs outputs;
        people_open(&p, 2, 4);
        rig_begin(&r, &p, "causal");
        use_text(&r.model, "readout", readouts[i]);
        r.extra = (assay_extra_tokens){.front = 2, .readout = 3};
        rig_open(&r, 5);
        assay_tensor *front = assay_params_add(r.params, "test.front", 2, (int64_t[]){2, 64},
                                               (assay_init){ASSAY_INIT_NORMAL, .a = 1}, NULL);
        assay_tensor *readout = assay_params_add(r.params, "test.readout", 2, (int64_t[]){3, 64},
                                                 (assay_init){ASSAY_INIT_NORMAL, .a = 1}, NULL);
        assert_true(front && readout);
        r.insert = (assay_insert){.front = front, .readout = readout};
        const assay_clock clock = rig_training(&r, 0);
        assay_params_clear_grads(r.params);
        rig_pass(&r, &clock, 0, 0, 2, &embedding, &batch, &outputs);
        const assay_tower *tower = &batch.towers[0];
        for (int64_t b = 0; b < 2; b++) {
            const float *x = assay_f32(r.embedded[0]) + b * tower->tokens * 64;
            int64_t end = assay_i32(tower->lengths)[b] - (i == 2 ? 0 : 1);
            assert_int_equal(assay_i32(tower->span)[2 * b], 2);
            /* The rank table's row 0 is added to every token that is no event. */
            const float *rank = assay_f32(assay_params_find(r.params, "when.rank.weight")->value);
            const float *age = assay_f32(assay_params_find(r.params, "when.age.weight")->value);
            for (int k = 0; k < 64; k++) {
                assert_true(fabsf(x[k] - (assay_f32(front)[k] + age[k] + rank[k])) < 1e-6f);
                assert_true(fabsf(x[(end - 1) * 64 + k] -
                                  (assay_f32(readout)[2 * 64 + k] + age[k] + rank[k])) < 1e-6f);
            }
        }
        assay_tensor *sum = assay_sum(r.tape, rig_output(&outputs, "user.embedding"));
        tape_must(r.tape, sum && assay_tape_backward(r.tape, sum, 1.0f));
        assert_true(front->has_grad && any_nonzero(assay_gradient(front), 128));
        assert_true(readout->has_grad && any_nonzero(assay_gradient(readout), 192));
        rig_close(&r);
        people_close(&p);
    }
}

/* ---- counting, precision ---- */

static void counting_gives_the_same_shapes(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_error error = {0};
    people_open(&p, 4, 4);
    rig_begin(&r, &p, "causal");
    use_number(&r.model, "user_summary", 1);
    use_number(&r.model, "source_summary", 1);
    rig_open(&r, 5);
    assay_params *counted = assay_params_new_counting(&error);
    must(counted != NULL, &error);
    const assay_model_setup setup = {.size = sizeof setup,
                                     .data = &p.data,
                                     .params = counted,
                                     .host = &r.host.host,
                                     .counting = true};
    void *model = use_model(&r.model)->open(r.model.options, &setup, &error);
    must(model != NULL, &error);
    assert_int_equal(assay_params_count(counted), assay_params_count(r.params));
    assert_int_equal(assay_params_size(counted, NULL, false),
                     assay_params_size(r.params, NULL, false));
    int64_t in_parts = 0;
    for (int i = 0; i < r.facts.part_count; i++)
        in_parts += assay_params_size(r.params, r.facts.parts[i].prefix, false);
    assert_int_equal(in_parts, assay_params_size(r.params, NULL, false));
    assert_true(r.facts.flops > 1e5 && r.facts.activation_bytes > 1e4);
    use_model(&r.model)->close(model);
    assay_params_free(counted);
    rig_close(&r);
    people_close(&p);
}

static void bf16_passes_agree_roughly(void **state)
{
    (void)state;
    people p;
    rig r;
    assay_batch batch;
    assay_outputs outputs;
    float exact[4 * 64];
    assay_error error = {0};
    people_open(&p, 4, 4);
    rig_begin(&r, &p, "bidirectional");
    use_number(&r.model, "user_summary", 1);
    use_number(&r.model, "source_summary", 1);
    rig_open(&r, 5);
    const assay_clock clock = rig_training(&r, 0);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 4, &all, &batch, &outputs);
    memcpy(exact, assay_elements(rig_output(&outputs, "user.embedding")), sizeof exact);
    const assay_device *device = assay_tape_device(r.tape);
    assay_tape_free(r.tape);
    r.tape = assay_tape_new(device, ASSAY_PRECISION_BF16, &error);
    must(r.tape != NULL, &error);
    assay_params_clear_grads(r.params);
    rig_pass(&r, &clock, ASSAY_NO_BENCHMARK, 0, 4, &all, &batch, &outputs);
    const assay_tensor *x = rig_output(&outputs, "user.embedding");
    assert_int_equal(x->dtype, ASSAY_F32);
    for (int i = 0; i < 4 * 64; i++)
        assert_true(fabsf(assay_f32(x)[i] - exact[i]) < 0.05f);
    assay_tensor *loss = total_loss(r.tape, &outputs);
    tape_must(r.tape, loss && assay_tape_backward(r.tape, loss, 1.0f));
    rig_close(&r);
    people_close(&p);
}

/* ---- wrong input ---- */

static void wrong_shapes_are_refused(void **state)
{
    static const struct {
        const char *option;
        double value;
        const char *what;
    } rows[] = {{"width", 66, "even number of numbers per head"},
                {"heads", 64, "even number of numbers per head"},
                {"kv_heads", 3, "share key and value heads"}};
    (void)state;
    people p;
    people_open(&p, 4, 4);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new(1, &error);
        must(params != NULL, &error);
        use_number(&used, rows[i].option, rows[i].value);
        const assay_model_setup setup = {.size = sizeof setup, .data = &p.data, .params = params};
        assert_null(use_model(&used)->open(used.options, &setup, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_non_null(strstr(error.what, rows[i].what));
        assay_params_free(params);
        use_close(&used);
    }
    people_close(&p);
}

static void collate_expecting(rig *r, const char *what)
{
    assay_error error = {0};
    assay_sample sample;
    assay_batch batch = {.samples = 1, .sample = &sample};
    assay_arena_reset(r->arena);
    must(r->data->functions->sample(r->data->dataset, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, 0,
                                    &(assay_draw){0}, r->arena, &sample, &error),
         &error);
    const assay_collation in = {.samples = &sample, .count = 1, .wanted = &all, .arena = r->arena};
    assert_false(use_model(&r->model)->collate(r->opened, &in, &batch, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    if (!strstr(error.what, what))
        fail_msg("%s; expected %s", error.what, what);
}

static void samples_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    people p;
    rig r;
    people_open(&p, 4, 4);
    rig_begin(&r, &p, "causal");
    use_number(&r.model, "tokens", 8);
    rig_open(&r, 5);
    collate_expecting(&r, "too long");
    rig_close(&r);
    rig_begin(&r, &p, "causal");
    rig_open(&r, 5);
    p.no_answers = true;
    collate_expecting(&r, "has no answer");
    rig_close(&r);
    people_close(&p);
}

static int64_t none(void *user, assay_data_split split, int benchmark)
{
    (void)user;
    (void)split;
    (void)benchmark;
    return 0;
}

static const assay_field *no_fields(void *user, int *count)
{
    (void)user;
    *count = 0;
    return NULL;
}

static void datasets_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        people p;
        people_open(&p, 4, 4);
        use used = use_open("model_user_decoder");
        assay_error error = {0};
        assay_params *params = assay_params_new(1, &error);
        must(params != NULL, &error);
        if (i == 0)
            p.functions.fields = no_fields;
        else
            p.functions.count = none;
        const assay_model_setup setup = {.size = sizeof setup, .data = &p.data, .params = params};
        assert_null(use_model(&used)->open(used.options, &setup, &error));
        assert_non_null(strstr(error.what, i == 0 ? "neither events nor features" : "no samples"));
        assay_params_free(params);
        use_close(&used);
        people_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_learns_and_the_loss_falls),
        cmocka_unit_test(two_opens_of_one_seed_are_the_same),
        cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(a_client_without_events_has_a_vector),
        cmocka_unit_test(targets_are_the_answer_and_its_end),
        cmocka_unit_test(a_learned_price_of_the_future_has_its_gradient),
        cmocka_unit_test(a_price_that_acts_everywhere_is_refused_with_answers),
        cmocka_unit_test(extra_tokens_stand_in_front_and_before_what_is_read),
        cmocka_unit_test(counting_gives_the_same_shapes),
        cmocka_unit_test(bf16_passes_agree_roughly),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(samples_that_do_not_fit_are_refused),
        cmocka_unit_test(datasets_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("user_decoder", tests, NULL, NULL);
}
