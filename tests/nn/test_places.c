/* test_places.c - the names by which others reach into a stack: scopes set the states of two towers
 * apart, adapters act at the decoder's places, and a set for counting builds any size at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>

enum { BATCH = 2, TOKENS = 5 };

static const assay_decoder_config tiny = {.vocabulary = 7,
                                          .width = 8,
                                          .layers = 2,
                                          .heads = 2,
                                          .kv_heads = 1,
                                          .head_width = 4,
                                          .mlp_width = 12,
                                          .positions = 8,
                                          .rope_base = 10000,
                                          .norm_eps = 1e-6f,
                                          .tied_head = true,
                                          .init_sd = 0.4f};

typedef struct bench {
    assay_params *params;
    assay_decoder *decoder;
    assay_tape *tape;
    assay_tensor *ids;
} bench;

static bench bench_open(void)
{
    assay_error error = {0};
    bench b = {.params = new_params(1)};
    b.decoder = assay_decoder_new(b.params, NULL, &tiny, &error);
    must(b.decoder != NULL, &error);
    b.tape = assay_tape_new(device_at(0), ASSAY_PRECISION_FP32, &error);
    must(b.tape != NULL, &error);
    b.ids = assay_tensor_new(ASSAY_I32, 2, (int64_t[]){BATCH, TOKENS}, &error);
    must(b.ids != NULL, &error);
    for (int i = 0; i < BATCH * TOKENS; i++)
        assay_i32(b.ids)[i] = i * 3 % 7;
    assay_tape_begin(b.tape, (assay_step){.seed = 1, .training = true});
    return b;
}

static void bench_close(bench *b)
{
    assay_tensor_free(b->ids);
    assay_tape_free(b->tape);
    assay_decoder_free(b->decoder);
    assay_params_free(b->params);
}

static assay_tensor *run(bench *b)
{
    assay_tensor *x = assay_decoder_embed(b->tape, b->decoder, b->ids);
    return assay_decoder_forward(b->tape, b->decoder, x, NULL, NULL);
}

/* ---- scopes ---- */

static void a_scope_sets_the_states_of_two_towers_apart(void **state)
{
    (void)state;
    bench b = bench_open();
    assert_true(assay_tape_tap(b.tape, "user/final_norm"));
    assert_true(assay_tape_tap(b.tape, "answer/layers.1"));
    assert_true(assay_tape_tap(b.tape, "final_norm"));
    assert_true(assay_tape_scope(b.tape, "user"));
    assay_tensor *user = run(&b);
    assert_ptr_equal(assay_tape_tapped(b.tape, "user/final_norm"), user);
    assert_null(assay_tape_tapped(b.tape, "answer/layers.1"));
    assert_true(assay_tape_scope(b.tape, "answer"));
    run(&b);
    assert_ptr_equal(assay_tape_tapped(b.tape, "user/final_norm"), user);
    assert_non_null(assay_tape_tapped(b.tape, "answer/layers.1"));
    assert_null(assay_tape_tapped(b.tape, "final_norm"));
    assert_true(assay_tape_scope(b.tape, NULL));
    assay_tensor *bare = run(&b);
    assert_ptr_equal(assay_tape_tapped(b.tape, "final_norm"), bare);
    bench_close(&b);
}

static void a_new_pass_has_no_scope(void **state)
{
    (void)state;
    bench b = bench_open();
    assert_true(assay_tape_tap(b.tape, "final_norm"));
    assert_true(assay_tape_scope(b.tape, "user"));
    assay_tape_begin(b.tape, (assay_step){.seed = 1});
    assay_tensor *states = run(&b);
    assert_ptr_equal(assay_tape_tapped(b.tape, "final_norm"), states);
    bench_close(&b);
}

static void a_scope_that_is_too_long_is_a_failure(void **state)
{
    (void)state;
    bench b = bench_open();
    char name[ASSAY_SCOPE_LIMIT + 2];
    memset(name, 'a', sizeof name);
    name[ASSAY_SCOPE_LIMIT] = '\0';
    assert_true(assay_tape_scope(b.tape, name));
    name[ASSAY_SCOPE_LIMIT] = 'a';
    name[ASSAY_SCOPE_LIMIT + 1] = '\0';
    assert_false(assay_tape_scope(b.tape, name));
    assert_failed(assay_tape_error(b.tape), ASSAY_BAD_INPUT, "too long");
    bench_close(&b);
}

/* ---- places ---- */

typedef struct doubler {
    const char *place; /* acts here */
    float factor;
    int calls;
    int64_t input_width;
    bool narrows;
} doubler;

static bool attaches(void *user, const char *place)
{
    return strcmp(((doubler *)user)->place, place) == 0;
}

static assay_tensor *apply(void *user, assay_tape *tape, const char *place, assay_tensor *input,
                           assay_tensor *output)
{
    doubler *d = user;
    assert_string_equal(place, d->place);
    d->calls++;
    d->input_width = input->shape[2];
    if (d->narrows)
        return assay_slice(tape, output, 2, 0, 1);
    return assay_scale(tape, output, d->factor);
}

static void attach(bench *b, doubler *d)
{
    assert_true(assay_tape_attach(b->tape, (assay_attachment){d, attaches, apply}));
}

/* Every place of the decoder, with the width of what goes in; doubling what comes out changes the
 * result, and doubling the branch's last weight instead gives the same. */
static void adapters_act_at_every_place_of_the_decoder(void **state)
{
    (void)state;
    static const struct {
        const char *place, *weight;
        int64_t input_width;
    } cases[] = {
        {"layers.1.self_attn.q_proj", "model.layers.1.self_attn.q_proj.weight", 8},
        {"layers.0.self_attn.k_proj", "model.layers.0.self_attn.k_proj.weight", 8},
        {"layers.0.self_attn.v_proj", "model.layers.0.self_attn.v_proj.weight", 8},
        {"layers.0.self_attn.o_proj", "model.layers.0.self_attn.o_proj.weight", 8},
        {"layers.1.mlp.gate_proj", "model.layers.1.mlp.gate_proj.weight", 8},
        {"layers.1.mlp.up_proj", "model.layers.1.mlp.up_proj.weight", 8},
        {"layers.0.mlp.down_proj", "model.layers.0.mlp.down_proj.weight", 12},
        {"layers.0.self_attn", "model.layers.0.self_attn.o_proj.weight", 8},
        {"layers.1.mlp", "model.layers.1.mlp.down_proj.weight", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench adapted = bench_open(), scaled = bench_open();
        doubler d = {.place = cases[i].place, .factor = 2};
        attach(&adapted, &d);
        assay_tensor *weight = assay_params_find(scaled.params, cases[i].weight)->value;
        for (int64_t k = 0; k < assay_tensor_count(weight); k++)
            assay_f32(weight)[k] *= 2;
        assay_tensor *a = run(&adapted), *s = run(&scaled);
        assert_non_null(a);
        assert_int_equal(d.calls, 1);
        assert_int_equal(d.input_width, cases[i].input_width);
        for (int64_t k = 0; k < assay_tensor_count(a); k++)
            assert_float_equal(assay_f32(a)[k], assay_f32(s)[k], 1e-5f);
        bench_close(&adapted);
        bench_close(&scaled);
    }
}

static void attachments_act_in_order_and_gradients_flow_through_them(void **state)
{
    (void)state;
    bench b = bench_open();
    doubler first = {.place = "layers.0.mlp.down_proj", .factor = 2};
    doubler second = {.place = "layers.0.mlp.down_proj", .factor = 0.5f};
    attach(&b, &first);
    attach(&b, &second);
    assay_tensor *loss = assay_mean(b.tape, assay_mul(b.tape, run(&b), run(&b)));
    assert_non_null(loss);
    assert_true(assay_tape_backward(b.tape, loss, 1.0f));
    assert_int_equal(first.calls, 2);
    assert_int_equal(second.calls, 2);
    assert_true(assay_params_find(b.params, "model.layers.0.mlp.up_proj.weight")->value->has_grad);
    bench_close(&b);
}

static void a_sibling_has_the_attachments_and_a_memory_of_its_own(void **state)
{
    (void)state;
    assay_error error = {0};
    bench b = bench_open();
    doubler d = {.place = "layers.0.mlp", .factor = 3};
    attach(&b, &d);
    assert_true(assay_tape_scope(b.tape, "user"));
    bench other = b;
    other.tape = assay_tape_sibling(b.tape, &error);
    must(other.tape != NULL, &error);
    assert_string_equal(assay_tape_scope_get(other.tape), "user");
    assay_tensor *x = run(&b);
    const float kept = assay_f32(x)[0];
    for (int i = 0; i < 2; i++) {
        assay_tape_begin(other.tape, assay_tape_step(b.tape));
        assay_tensor *y = run(&other);
        assert_non_null(y);
        assert_memory_equal(assay_elements(y), assay_elements(x), (size_t)assay_tensor_bytes(x));
    }
    assert_int_equal(d.calls, 3);
    assay_tape_free(other.tape);
    assert_true(assay_f32(x)[0] == kept);
    bench_close(&b);
}

static void an_adapter_that_changes_the_shape_is_a_failure_naming_the_place(void **state)
{
    (void)state;
    bench b = bench_open();
    doubler d = {.place = "layers.0.mlp", .narrows = true};
    attach(&b, &d);
    assert_null(run(&b));
    assert_failed(assay_tape_error(b.tape), ASSAY_BAD_SHAPE, "layers.0.mlp");
    bench_close(&b);
}

/* ---- sets for counting ---- */

static void a_set_for_counting_builds_any_size_at_once(void **state)
{
    (void)state;
    assay_error error = {0};
    const assay_decoder_config qwen = {.vocabulary = 151936,
                                       .width = 896,
                                       .layers = 24,
                                       .heads = 14,
                                       .kv_heads = 2,
                                       .head_width = 64,
                                       .mlp_width = 4864,
                                       .positions = 64,
                                       .rope_base = 1e6,
                                       .norm_eps = 1e-6f,
                                       .qkv_bias = true,
                                       .tied_head = true,
                                       .init_sd = 0.02f};
    int64_t before = assay_memory_stats_get().live_bytes;
    assay_params *params = assay_params_new_counting(&error);
    must(params != NULL, &error);
    assert_true(assay_params_counting(params));
    assay_decoder *decoder = assay_decoder_new(params, NULL, &qwen, &error);
    must(decoder != NULL, &error);
    assert_int_equal(assay_params_size(params, NULL, true), 494032768);
    assert_true(assay_memory_stats_get().live_bytes - before < 1 << 20);
    assert_true(assay_params_train(params, "model.embed", false, &error) == 1);
    assert_int_equal(assay_params_size(params, NULL, true), 494032768 - 151936 * 896);
    assert_true(assay_params_train(params, NULL, true, &error) > 0);
    assert_int_equal(assay_params_size(params, NULL, true), 494032768);
    assay_decoder_free(decoder);
    assay_params_free(params);
    assert_int_equal(assay_memory_stats_get().live_bytes, before);
}

static void a_tensor_in_an_arena_lives_and_dies_with_it(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    must(arena != NULL, &error);
    assay_tensor *x = assay_tensor_in(arena, ASSAY_I32, 2, (int64_t[]){3, 5}, &error);
    must(x != NULL, &error);
    assert_int_equal(assay_tensor_bytes(x), 60);
    assert_int_equal((uintptr_t)x->data % ASSAY_ALIGNMENT, 0);
    assert_null(assay_tensor_in(arena, ASSAY_I32, 1, (int64_t[]){-1}, &error));
    assert_failed(&error, ASSAY_BAD_SHAPE, "negative");
    assay_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_sets_the_states_of_two_towers_apart),
        cmocka_unit_test(a_new_pass_has_no_scope),
        cmocka_unit_test(a_scope_that_is_too_long_is_a_failure),
        cmocka_unit_test(adapters_act_at_every_place_of_the_decoder),
        cmocka_unit_test(attachments_act_in_order_and_gradients_flow_through_them),
        cmocka_unit_test(a_sibling_has_the_attachments_and_a_memory_of_its_own),
        cmocka_unit_test(an_adapter_that_changes_the_shape_is_a_failure_naming_the_place),
        cmocka_unit_test(a_set_for_counting_builds_any_size_at_once),
        cmocka_unit_test(a_tensor_in_an_arena_lives_and_dies_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
