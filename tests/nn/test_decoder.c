/* test_decoder.c - the decoder stack: its parameters, its gradients, what a token may see, and the
 * next-token loss. Values are compared with published models by the golden tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>

#include <math.h>

enum { BATCH = 2, TOKENS = 6 };

static const assay_decoder_config tiny = {
    .vocabulary = 11,
    .width = 8,
    .layers = 2,
    .heads = 4,
    .kv_heads = 2,
    .head_width = 4,
    .mlp_width = 12,
    .positions = 16,
    .rope_base = 10000,
    .norm_eps = 1e-6f,
    .qkv_bias = true,
    .tied_head = true,
    .init_sd = 0.4f,
};

static assay_decoder *new_decoder(assay_params *params, const assay_decoder_config *config)
{
    assay_error error = {0};
    assay_decoder *decoder = assay_decoder_new(params, NULL, config, &error);
    must(decoder != NULL, &error);
    return decoder;
}

static assay_tensor *new_i32(int rank, const int64_t *shape, const int32_t *values)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(ASSAY_I32, rank, shape, &error);
    must(tensor != NULL, &error);
    memcpy(assay_elements(tensor), values, (size_t)assay_tensor_bytes(tensor));
    return tensor;
}

static const int32_t some_ids[BATCH * TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};

static assay_tensor *new_ids(void)
{
    return new_i32(2, (int64_t[]){BATCH, TOKENS}, some_ids);
}

static assay_tensor *new_lengths(int32_t a, int32_t b)
{
    return new_i32(1, (int64_t[]){BATCH}, (int32_t[]){a, b});
}

static assay_tensor *forward(assay_tape *tape, const assay_decoder *decoder,
                             const assay_tensor *ids, const assay_tensor *lengths,
                             const assay_attention_bias *bias)
{
    return assay_decoder_forward(tape, decoder, assay_decoder_embed(tape, decoder, ids), lengths,
                                 bias);
}

/* ---- parameters ---- */

/* 494,032,768 numbers for a vocabulary of 151936 and 24 layers (spec 1.3). Words and layers are
 * alike, so one of each tells the count of all. */
static void qwen_has_its_published_number_of_parameters(void **state)
{
    (void)state;
    const assay_decoder_config config = {
        .vocabulary = 1,
        .width = 896,
        .layers = 1,
        .heads = 14,
        .kv_heads = 2,
        .head_width = 64,
        .mlp_width = 4864,
        .positions = 32,
        .rope_base = 1e6,
        .norm_eps = 1e-6f,
        .qkv_bias = true,
        .tied_head = true,
    };
    assay_params *params = new_params(0);
    assay_decoder *decoder = new_decoder(params, &config);
    int64_t count = assay_params_size(params, NULL, false);
    count += 151935 * assay_params_size(params, "model.embed_tokens.", false);
    count += 23 * assay_params_size(params, "model.layers.0.", false);
    assert_int_equal(count, 494032768);
    assay_decoder_free(decoder);
    assay_params_free(params);
}

static void names_are_the_published_ones(void **state)
{
    (void)state;
    static const char *const names[] = {"t.model.embed_tokens.weight",
                                        "t.model.layers.1.input_layernorm.weight",
                                        "t.model.layers.1.self_attn.q_proj.bias",
                                        "t.model.layers.0.self_attn.k_proj.weight",
                                        "t.model.layers.1.self_attn.o_proj.weight",
                                        "t.model.layers.1.post_attention_layernorm.weight",
                                        "t.model.layers.0.mlp.gate_proj.weight",
                                        "t.model.norm.weight",
                                        "t.lm_head.weight"};
    assay_error error = {0};
    assay_decoder_config config = tiny;
    config.tied_head = false;
    config.has_head = true;
    assay_params *params = new_params(0);
    assay_decoder *decoder = assay_decoder_new(params, "t.", &config, &error);
    must(decoder != NULL, &error);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!assay_params_find(params, names[i]))
            fail_msg("%s is missing", names[i]);
    assert_null(assay_params_find(params, "t.model.layers.0.self_attn.o_proj.bias"));
    assert_null(assay_params_find(params, "t.model.layers.2.input_layernorm.weight"));
    assert_ptr_equal(assay_decoder_head(decoder), assay_params_find(params, names[8])->value);
    assay_decoder_free(decoder);
    assay_params_free(params);
}

static void a_second_stack_of_the_same_names_adds_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = new_params(0);
    assert_non_null(assay_params_add(params, "model.layers.1.mlp.up_proj.weight", 1, (int64_t[]){1},
                                     (assay_init){0}, &error));
    assert_null(assay_decoder_new(params, NULL, &tiny, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "model.layers.1.mlp.up_proj.weight");
    assert_int_equal(assay_params_count(params), 1);
    assert_null(assay_decoder_new(params, NULL, &tiny, NULL));
    assert_int_equal(assay_params_count(params), 1);
    assay_params_free(params);
}

static void short_memory_builds_nothing_and_leaks_nothing(void **state)
{
    (void)state;
    assay_decoder *decoder = NULL;
    assay_params *params = new_params(0);
    int64_t before = assay_memory_stats_get().live_blocks;
    for (int64_t n = 0; !decoder; n++) {
        assay_error error = {0};
        assert_in_range(n, 0, 1000);
        assay_memory_fail_after(n);
        decoder = assay_decoder_new(params, NULL, &tiny, &error);
        assay_memory_fail_after(-1);
        if (decoder)
            break;
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
        assert_int_equal(assay_params_count(params), 0);
        assert_in_range(assay_memory_stats_get().live_blocks - before, 0, 1);
    }
    assay_decoder_free(decoder);
    assay_params_free(params);
}

static void a_configuration_that_is_no_model_is_refused(void **state)
{
    (void)state;
    assay_params *params = new_params(0);
    assay_decoder_config wrong[4] = {tiny, tiny, tiny, tiny};
    static const char *const words[] = {"kv_heads", "head_width", "layers", "norm_eps"};
    wrong[0].kv_heads = 3;
    wrong[1].head_width = 3;
    wrong[2].layers = 0;
    wrong[3].norm_eps = NAN;
    for (int i = 0; i < 4; i++) {
        assay_error error = {0};
        assert_null(assay_decoder_new(params, NULL, &wrong[i], &error));
        assert_failed(&error, ASSAY_BAD_INPUT, words[i]);
    }
    assay_params_free(params);
}

/* ---- the forward pass ---- */

typedef struct fixture {
    assay_params *params;
    assay_decoder *decoder;
    assay_tape *tape;
} fixture;

static fixture open_fixture(int device)
{
    fixture f = {.params = new_params(4), .tape = new_tape(device_at(device))};
    f.decoder = new_decoder(f.params, &tiny);
    return f;
}

static void close_fixture(fixture *f)
{
    assay_tape_free(f->tape);
    assay_decoder_free(f->decoder);
    assay_params_free(f->params);
}

/* Values of the forward pass, copied out of the step. */
static void run(fixture *f, const assay_tensor *ids, const assay_tensor *lengths,
                const assay_attention_bias *bias, float *out)
{
    assay_tape_begin(f->tape, (assay_step){.no_gradient = true});
    assay_tensor *hidden = forward(f->tape, f->decoder, ids, lengths, bias);
    must(hidden != NULL, assay_tape_error(f->tape));
    memcpy(out, assay_elements(hidden), (size_t)assay_tensor_bytes(hidden));
}

enum { ROW = TOKENS * 8, STATES = BATCH * ROW };

/* Token 4 of every row becomes another one. */
static void change_a_token(assay_tensor *ids)
{
    for (int b = 0; b < BATCH; b++)
        assay_i32(ids)[b * TOKENS + 4] = 10;
}

static void a_causal_state_does_not_see_the_future(void **state)
{
    (void)state;
    float before[STATES], after[STATES];
    for (int d = 0; d < DEVICES; d++) {
        fixture f = open_fixture(d);
        assay_tensor *ids = new_ids();
        run(&f, ids, NULL, NULL, before);
        change_a_token(ids);
        run(&f, ids, NULL, NULL, after);
        for (int b = 0; b < BATCH; b++) {
            assert_memory_equal(before + b * ROW, after + b * ROW, 4 * 8 * sizeof(float));
            assert_memory_not_equal(before + b * ROW + 32, after + b * ROW + 32, 32);
            assert_memory_not_equal(before + b * ROW + 40, after + b * ROW + 40, 32);
        }
        assay_tensor_free(ids);
        close_fixture(&f);
    }
}

static void under_a_full_bias_every_state_sees_every_token(void **state)
{
    (void)state;
    float before[STATES], after[STATES];
    assay_attention_bias full = assay_bias_full();
    fixture f = open_fixture(0);
    assay_tensor *ids = new_ids();
    run(&f, ids, NULL, &full, before);
    change_a_token(ids);
    run(&f, ids, NULL, &full, after);
    for (int t = 0; t < BATCH * TOKENS; t++)
        assert_memory_not_equal(before + t * 8, after + t * 8, 32);
    assay_tensor_free(ids);
    close_fixture(&f);
}

static void padding_is_never_seen_and_stays_zero(void **state)
{
    (void)state;
    static const float zeros[2 * 8] = {0};
    float before[STATES], after[STATES];
    assay_attention_bias full = assay_bias_full();
    for (int d = 0; d < DEVICES; d++) {
        fixture f = open_fixture(d);
        assay_tensor *ids = new_ids(), *lengths = new_lengths(4, 4);
        run(&f, ids, lengths, &full, before);
        change_a_token(ids);
        run(&f, ids, lengths, &full, after);
        assert_memory_equal(before, after, sizeof before);
        assert_memory_equal(before + 32, zeros, sizeof zeros);
        assay_tensor_free(ids);
        assay_tensor_free(lengths);
        close_fixture(&f);
    }
}

static void states_are_found_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"embeddings", "layers.0", "layers.1", "final_norm"};
    fixture f = open_fixture(0);
    assay_tensor *ids = new_ids();
    for (int i = 0; i < 4; i++)
        assert_true(assay_tape_tap(f.tape, names[i]));
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *hidden = forward(f.tape, f.decoder, ids, NULL, NULL);
    assay_tensor *loss = assay_sum(f.tape, assay_mul(f.tape, hidden, hidden));
    must(loss && assay_tape_backward(f.tape, loss, 1.0f), assay_tape_error(f.tape));
    for (int i = 0; i < 4; i++) {
        const assay_tensor *tapped = assay_tape_tapped(f.tape, names[i]);
        assert_true(tapped && tapped->has_grad && tapped->shape[2] == 8);
    }
    assert_ptr_equal(assay_tape_tapped(f.tape, "final_norm"), hidden);
    assay_tensor_free(ids);
    close_fixture(&f);
}

/* ---- gradients ---- */

typedef struct checked {
    const assay_decoder *decoder;
    const assay_tensor *ids, *lengths;
} checked;

static assay_tensor *next_token(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    (void)inputs;
    (void)n;
    const checked *c = user;
    assay_tensor *hidden = forward(tape, c->decoder, c->ids, c->lengths, NULL);
    return assay_next_token_loss(tape, c->decoder, hidden, c->ids, c->lengths, ASSAY_MEAN);
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    fixture f = open_fixture(1);
    assay_tensor *ids = new_ids(), *lengths = new_lengths(6, 4);
    checked c = {f.decoder, ids, lengths};
    check_gradients(f.tape, next_token, &c, f.params, NULL,
                    &(assay_gradcheck_options){.max_entries = 12});
    assay_tensor_free(ids);
    assay_tensor_free(lengths);
    close_fixture(&f);
}

/* ---- next-token loss ---- */

static double row_loss(const float *logits, int64_t classes, int32_t target)
{
    double sum = 0;
    for (int64_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - (double)logits[target]);
    return log(sum);
}

static void the_loss_is_the_mean_over_valid_next_tokens(void **state)
{
    (void)state;
    static const int lengths_of[BATCH] = {6, 3};
    fixture f = open_fixture(0);
    assay_tensor *ids = new_ids(), *lengths = new_lengths(lengths_of[0], lengths_of[1]);
    assay_tape_begin(f.tape, (assay_step){.no_gradient = true});
    assay_tensor *hidden = forward(f.tape, f.decoder, ids, lengths, NULL);
    assay_tensor *logits =
        assay_linear(f.tape, hidden, assay_decoder_head(f.decoder), NULL, ASSAY_IDENTITY);
    assay_tensor *mean = assay_next_token_loss(f.tape, f.decoder, hidden, ids, lengths, ASSAY_MEAN);
    assay_tensor *sum = assay_next_token_loss(f.tape, f.decoder, hidden, ids, lengths, ASSAY_SUM);
    must(logits && mean && sum, assay_tape_error(f.tape));
    double want = 0;
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t + 1 < lengths_of[b]; t++)
            want += row_loss(assay_f32(logits) + (b * TOKENS + t) * 11, 11,
                             some_ids[b * TOKENS + t + 1]);
    assert_true(fabs(assay_value(sum) - want) < 1e-5 * want);
    assert_true(fabs(assay_value(mean) - want / 7) < 1e-5 * want);
    assay_tensor_free(ids);
    assay_tensor_free(lengths);
    close_fixture(&f);
}

static void a_loss_without_a_head_is_refused(void **state)
{
    (void)state;
    assay_decoder_config config = tiny;
    config.tied_head = false;
    assay_params *params = new_params(0);
    assay_decoder *decoder = new_decoder(params, &config);
    assay_tape *tape = new_tape(device_at(0));
    assay_tensor *ids = new_ids();
    assert_null(assay_decoder_head(decoder));
    assay_tape_begin(tape, (assay_step){0});
    assay_tensor *hidden = forward(tape, decoder, ids, NULL, NULL);
    assert_non_null(hidden);
    assert_null(assay_next_token_loss(tape, decoder, hidden, ids, NULL, ASSAY_MEAN));
    assert_failed(assay_tape_error(tape), ASSAY_BAD_SHAPE, "without a head");
    assay_tensor_free(ids);
    assay_tape_free(tape);
    assay_decoder_free(decoder);
    assay_params_free(params);
}

static void ids_and_lengths_must_fit_the_states(void **state)
{
    (void)state;
    fixture f = open_fixture(0);
    assay_tensor *ids = new_ids();
    assay_tensor *short_ids = new_i32(2, (int64_t[]){BATCH, 5}, some_ids);
    assay_tensor *three = new_i32(1, (int64_t[]){3}, some_ids);
    const struct {
        const assay_tensor *ids, *lengths;
        const char *word;
    } cases[] = {{short_ids, NULL, "(2, 6) i32"}, {ids, three, "(3) i32"}};
    for (int i = 0; i < 2; i++) {
        assay_tape_begin(f.tape, (assay_step){0});
        assay_tensor *hidden = forward(f.tape, f.decoder, ids, NULL, NULL);
        assert_null(assay_next_token_loss(f.tape, f.decoder, hidden, cases[i].ids, cases[i].lengths,
                                          ASSAY_MEAN));
        assert_failed(assay_tape_error(f.tape), ASSAY_BAD_SHAPE, cases[i].word);
    }
    assay_tensor_free(ids);
    assay_tensor_free(short_ids);
    assay_tensor_free(three);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen_has_its_published_number_of_parameters),
        cmocka_unit_test(names_are_the_published_ones),
        cmocka_unit_test(a_second_stack_of_the_same_names_adds_nothing),
        cmocka_unit_test(short_memory_builds_nothing_and_leaks_nothing),
        cmocka_unit_test(a_configuration_that_is_no_model_is_refused),
        cmocka_unit_test(a_causal_state_does_not_see_the_future),
        cmocka_unit_test(under_a_full_bias_every_state_sees_every_token),
        cmocka_unit_test(padding_is_never_seen_and_stays_zero),
        cmocka_unit_test(states_are_found_by_name),
        cmocka_unit_test(gradients_match_central_differences),
        cmocka_unit_test(the_loss_is_the_mean_over_valid_next_tokens),
        cmocka_unit_test(a_loss_without_a_head_is_refused),
        cmocka_unit_test(ids_and_lengths_must_fit_the_states),
    };
    return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
