/* test_bert.c - the BERT encoder: names, padding, token types, dropout, and gradients. Values are
 * compared with published models by the golden tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>

enum { BATCH = 2, TOKENS = 5, WIDTH = 8, STATES = BATCH * TOKENS * WIDTH };

static const assay_bert_config tiny = {
    .vocabulary = 11,
    .width = WIDTH,
    .layers = 2,
    .heads = 2,
    .mlp_width = 12,
    .positions = 7,
    .types = 2,
    .norm_eps = 1e-6f,
    .dropout = 0.5f,
    .init_sd = 0.5f,
};

typedef struct fixture {
    assay_params *params;
    assay_bert *bert;
    assay_tape *tape;
    assay_tensor *ids, *lengths;
} fixture;

static assay_tensor *new_i32(int rank, const int64_t *shape, const int32_t *values)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(ASSAY_I32, rank, shape, &error);
    must(tensor != NULL, &error);
    memcpy(assay_elements(tensor), values, (size_t)assay_tensor_bytes(tensor));
    return tensor;
}

static fixture open_fixture(int device, const char *prefix)
{
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3}, lengths[] = {5, 3};
    assay_error error = {0};
    fixture f = {.params = new_params(4), .tape = new_tape(device_at(device))};
    f.bert = assay_bert_new(f.params, prefix, &tiny, &error);
    must(f.bert != NULL, &error);
    f.ids = new_i32(2, (int64_t[]){BATCH, TOKENS}, ids);
    f.lengths = new_i32(1, (int64_t[]){BATCH}, lengths);
    return f;
}

static void close_fixture(fixture *f)
{
    assay_tensor_free(f->ids);
    assay_tensor_free(f->lengths);
    assay_tape_free(f->tape);
    assay_bert_free(f->bert);
    assay_params_free(f->params);
}

static void run(fixture *f, assay_step step, float *out)
{
    assay_tape_begin(f->tape, step);
    assay_tensor *hidden = assay_bert_forward(f->tape, f->bert, f->ids, f->lengths);
    must(hidden != NULL, assay_tape_error(f->tape));
    memcpy(out, assay_elements(hidden), (size_t)assay_tensor_bytes(hidden));
}

/* Embeddings and their norm, then a layer: four projections with biases, two norms, two MLP
 * matrices with biases. */
static void parameters_have_published_names_and_sizes(void **state)
{
    (void)state;
    static const char *const names[] = {"e.embeddings.word_embeddings.weight",
                                        "e.embeddings.position_embeddings.weight",
                                        "e.embeddings.token_type_embeddings.weight",
                                        "e.embeddings.LayerNorm.bias",
                                        "e.encoder.layer.0.attention.self.query.weight",
                                        "e.encoder.layer.1.attention.self.value.bias",
                                        "e.encoder.layer.1.attention.output.dense.weight",
                                        "e.encoder.layer.1.attention.output.LayerNorm.weight",
                                        "e.encoder.layer.0.intermediate.dense.bias",
                                        "e.encoder.layer.0.output.dense.weight",
                                        "e.encoder.layer.1.output.LayerNorm.bias"};
    const int64_t d = WIDTH, m = 12;
    fixture f = open_fixture(0, "e.");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!assay_params_find(f.params, names[i]))
            fail_msg("%s is missing", names[i]);
    assert_int_equal(assay_params_size(f.params, "e.embeddings.", false), (11 + 7 + 2 + 2) * d);
    assert_int_equal(assay_params_size(f.params, "e.encoder.layer.1.", false),
                     4 * (d * d + d) + 4 * d + 2 * d * m + m + d);
    close_fixture(&f);
}

static void padding_is_never_seen_and_stays_zero(void **state)
{
    (void)state;
    static const float zeros[2 * WIDTH] = {0};
    float before[STATES], after[STATES];
    for (int d = 0; d < DEVICES; d++) {
        fixture f = open_fixture(d, NULL);
        run(&f, (assay_step){0}, before);
        assay_i32(f.ids)[TOKENS + 4] = 0;
        run(&f, (assay_step){0}, after);
        assert_memory_equal(before, after, sizeof before);
        assert_memory_equal(before + (TOKENS + 3) * WIDTH, zeros, sizeof zeros);
        close_fixture(&f);
    }
}

static void dropout_acts_in_training_and_is_addressed(void **state)
{
    (void)state;
    float evaluated[STATES], once[STATES], again[STATES], later[STATES];
    fixture f = open_fixture(0, NULL);
    run(&f, (assay_step){.seed = 1}, evaluated);
    run(&f, (assay_step){.seed = 1, .clock = 3, .training = true}, once);
    run(&f, (assay_step){.seed = 1, .clock = 3, .training = true}, again);
    run(&f, (assay_step){.seed = 1, .clock = 4, .training = true}, later);
    assert_memory_not_equal(once, evaluated, sizeof once);
    assert_memory_equal(once, again, sizeof once);
    assert_memory_not_equal(once, later, sizeof once);
    close_fixture(&f);
}

/* Two encoders of one set drop different numbers: their addresses carry the prefix. */
static void two_encoders_of_one_set_do_not_share_dropout(void **state)
{
    (void)state;
    float one[STATES], two[STATES];
    fixture f = open_fixture(0, "one."), g = open_fixture(0, "two.");
    for (int64_t i = 0; i < assay_params_count(f.params); i++) {
        assay_tensor *to = assay_params_at(g.params, i)->value;
        memcpy(assay_elements(to), assay_elements(assay_params_at(f.params, i)->value),
               (size_t)assay_tensor_bytes(to));
    }
    run(&f, (assay_step){0}, one);
    run(&g, (assay_step){0}, two);
    assert_memory_equal(one, two, sizeof one);
    run(&f, (assay_step){.training = true}, one);
    run(&g, (assay_step){.training = true}, two);
    assert_memory_not_equal(one, two, sizeof one);
    close_fixture(&f);
    close_fixture(&g);
}

static void only_type_zero_and_used_positions_get_gradients(void **state)
{
    (void)state;
    static const float zeros[2 * WIDTH] = {0};
    fixture f = open_fixture(0, NULL);
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *hidden = assay_bert_forward(f.tape, f.bert, f.ids, f.lengths);
    assay_tensor *loss = assay_sum(f.tape, assay_activate(f.tape, hidden, ASSAY_TANH));
    must(loss && assay_tape_backward(f.tape, loss, 1.0f), assay_tape_error(f.tape));
    const float *types = assay_gradient(
        assay_params_find(f.params, "embeddings.token_type_embeddings.weight")->value);
    const float *positions =
        assay_gradient(assay_params_find(f.params, "embeddings.position_embeddings.weight")->value);
    assert_memory_not_equal(types, zeros, WIDTH * sizeof(float));
    assert_memory_equal(types + WIDTH, zeros, WIDTH * sizeof(float));
    assert_memory_not_equal(positions + 4 * WIDTH, zeros, WIDTH * sizeof(float));
    assert_memory_equal(positions + 5 * WIDTH, zeros, sizeof zeros);
    close_fixture(&f);
}

static void states_carry_the_prefix(void **state)
{
    (void)state;
    fixture f = open_fixture(0, "e.");
    assert_true(assay_tape_tap(f.tape, "e.embeddings"));
    assert_true(assay_tape_tap(f.tape, "e.layers.1"));
    assay_tape_begin(f.tape, (assay_step){0});
    assert_non_null(assay_bert_forward(f.tape, f.bert, f.ids, NULL));
    assert_non_null(assay_tape_tapped(f.tape, "e.embeddings"));
    assert_non_null(assay_tape_tapped(f.tape, "e.layers.1"));
    close_fixture(&f);
}

static void rows_longer_than_the_positions_are_refused(void **state)
{
    (void)state;
    static const int32_t zeros[8] = {0};
    fixture f = open_fixture(0, NULL);
    assay_tensor *ids = new_i32(2, (int64_t[]){1, 8}, zeros);
    assay_tape_begin(f.tape, (assay_step){0});
    assert_null(assay_bert_forward(f.tape, f.bert, ids, NULL));
    assert_failed(assay_tape_error(f.tape), ASSAY_BAD_SHAPE, "up to 7");
    assay_tensor_free(ids);
    close_fixture(&f);
}

static assay_tensor *encode(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    (void)inputs;
    (void)n;
    const fixture *f = user;
    return assay_bert_forward(tape, f->bert, f->ids, f->lengths);
}

/* Dropout is on: its addresses make it the same function each time. */
static void gradients_match_central_differences(void **state)
{
    (void)state;
    fixture f = open_fixture(1, NULL);
    check_gradients(f.tape, encode, &f, f.params, NULL,
                    &(assay_gradcheck_options){.max_entries = 8, .training = true});
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_have_published_names_and_sizes),
        cmocka_unit_test(padding_is_never_seen_and_stays_zero),
        cmocka_unit_test(dropout_acts_in_training_and_is_addressed),
        cmocka_unit_test(two_encoders_of_one_set_do_not_share_dropout),
        cmocka_unit_test(only_type_zero_and_used_positions_get_gradients),
        cmocka_unit_test(states_carry_the_prefix),
        cmocka_unit_test(rows_longer_than_the_positions_are_refused),
        cmocka_unit_test(gradients_match_central_differences),
    };
    return cmocka_run_group_tests_name("bert", tests, NULL, NULL);
}
