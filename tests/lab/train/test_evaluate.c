/* test_evaluate.c - evaluators, what they may look at and when, and what a recipe comes to. */
#include "fixture.h"

#include <assay/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int make(void **state)
{
    static bench b;
    bench_make(&b);
    *state = &b;
    return 0;
}

static int unmake(void **state)
{
    bench_remove(*state);
    return 0;
}

/* ---- when and what ---- */

static void valid_is_scored_in_between_and_test_at_the_end(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.train, "evaluate_every", 4);
    must_run(b);
    assert_int_equal(ask(b, "SELECT count(*) FROM score WHERE split = 'valid'"), 3);
    assert_int_equal(ask(b, "SELECT count(*) FROM score WHERE split = 'test'"), 1);
    assert_int_equal(ask(b, "SELECT step FROM score WHERE split = 'test'"), 12);
    assert_int_equal(ask(b, "SELECT count(*) FROM series JOIN series_key USING(key_id) WHERE name "
                            "= 'valid/loss'"),
                     3);
    assert_int_equal(ask(b, "SELECT bytes > 100 FROM artifact WHERE name = 'probe.csv'"), 1);
}

static void test_is_refused_before_the_end(void **state)
{
    (void)state;
    static const char *const ways[] = {"look", "tell"};
    for (int i = 0; i < 2; i++) {
        bench b;
        bench_make(&b);
        set_number(&b.recipe.train, "evaluate_every", 4);
        set_text(&b.recipe.evaluators[0], "hasty", ways[i]);
        assert_int_equal(bench_run(&b), TRAIN_FAILED);
        assert_non_null(strstr(b.error.what, "test split"));
        assert_string_equal(b.error.where, "evaluator toy_probe");
        assert_int_equal(ask(&b, "SELECT count(*) FROM score WHERE split = 'test'"), 0);
        bench_remove(&b);
    }
}

static void without_steps_it_only_evaluates(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.train, "steps", 0);
    must_run(b);
    assert_int_equal(ask(b, "SELECT count(*) FROM series"), 0);
    assert_int_equal(ask(b, "SELECT count(*) FROM score WHERE step = 0"), 2);
}

static void evaluation_does_not_change_training(void **state)
{
    bench *b = *state, other;
    must_run(b);
    bench_make(&other);
    set_number(&other.recipe.train, "evaluate_every", 1);
    must_run(&other);
    outcome a = bench_outcome(b), c = bench_outcome(&other);
    assert_string_equal(a.weights, c.weights);
    bench_remove(&other);
}

static void the_rows_of_a_set_come_in_order(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.train, "steps", 0);
    set_number(&b->recipe.train, "batch", 1);
    must_run(b);
    double one = ask(b, "SELECT value FROM score WHERE split = 'test'");
    bench other;
    bench_make(&other);
    set_number(&other.recipe.train, "steps", 0);
    set_number(&other.recipe.train, "batch", 5);
    must_run(&other);
    assert_true(fabs(ask(&other, "SELECT value FROM score WHERE split = 'test'") - one) < 1e-9);
    bench_remove(&other);
}

/* ---- what a recipe comes to ---- */

static recipe_facts facts;

static bool inspect(bench *b)
{
    assay_error_clear(&b->error);
    return recipe_inspect(&b->recipe, toy_pool(b), &facts, &b->error);
}

static void a_recipe_is_counted(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.mask, "query", 1);
    set_number(&b->recipe.losses[1], "learned", 1);
    assert_true(inspect(b));
    int64_t total = 0;
    for (int i = 0; i < facts.part_count; i++)
        total += facts.parts[i].total;
    assert_int_equal(total, facts.parameters);
    assert_int_equal(facts.trainable, facts.parameters);
    assert_string_equal(facts.parts[0].name, "embeddings");
    assert_int_equal(facts.parts[0].total, 16 * 16);
    assert_int_equal(facts.samples, 72);
    assert_true(facts.flops > 0 && facts.memory_bytes > 16.0 * (double)facts.parameters);
    int64_t all = facts.parameters;
    set_adapter(b, "toy_scale");
    assert_true(inspect(b));
    assert_int_equal(facts.parameters, all + 16);
    assert_int_equal(facts.trainable, 16 + 16 + 1); /* the adapter's, the mask's, the loss's */
    must_run(b);
    assert_int_equal(facts.parameters, all + 16);
}

static void large_models_are_counted_without_memory(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.model, "width", 4096);
    set_number(&b->recipe.model, "heads", 32);
    set_number(&b->recipe.model, "layers", 64);
    int64_t before = assay_memory_stats_get().peak_bytes;
    assert_true(inspect(b));
    assert_true(facts.parameters > 10000000000);
    assert_true(assay_memory_stats_get().peak_bytes - before < 16 << 20);
}

static void read_nothing(bench *b)
{
    set_text(&b->recipe.losses[1], "output", "user.embeding");
}
static void too_many_pieces(bench *b)
{
    set_number(&b->recipe.train, "pieces", 5);
}
static void no_suite(bench *b)
{
    set_text(&b->recipe.evaluators[0], "suite", "alipay");
}
static void no_losses(bench *b)
{
    set_losses(b, 0, NULL);
}
static void no_samples(bench *b)
{
    set_number(&b->recipe.dataset, "pretrain", 0);
    set_text(&b->recipe.train, "split", "pretrain");
}
static void no_such_weights(bench *b)
{
    b->recipe.init.given = true;
    b->recipe.init.text = assay_strdup("/nowhere/model.safetensors", NULL);
}
static void what_does_not_fit_is_found_before(void **state)
{
    (void)state;
    static const char *const broken[] = {"toy_contrast", "toy_broken"};
    static const struct {
        void (*change)(bench *bench);
        const char *what, *hint;
    } cases[] = {
        {read_nothing, "has no output 'user.embeding'", "user.embedding"},
        {too_many_pieces, "cannot be divided", ""},
        {no_suite, "no suite 'alipay'", ""},
        {no_losses, "no loss", "steps = 0"},
        {no_samples, "pretrain split is empty", "split"},
        {no_such_weights, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b;
        bench_make(&b);
        set_losses(&b, 2, broken);
        cases[i].change(&b);
        if (inspect(&b))
            fail_msg("case %d passed", (int)i);
        if (!strstr(b.error.what, cases[i].what) || !strstr(b.error.hint, cases[i].hint))
            fail_msg("case %d: %s; hint: %s", (int)i, b.error.what, b.error.hint);
        assert_true(b.error.where[0] != '\0');
        bench_remove(&b);
    }
}

static void without_a_pretrain_split_it_trains_on_train(void **state)
{
    bench *b = *state;
    set_number(&b->recipe.dataset, "pretrain", 0);
    assert_true(inspect(b));
    assert_int_equal(facts.samples, 36);
    must_run(b);
}

/* ---- the pool ---- */

static void a_dataset_is_opened_once(void **state)
{
    bench *b = *state, other;
    bench_make(&other);
    const assay_data *one = dataset_pool_get(toy_pool(b), &b->recipe.dataset, NULL);
    assert_ptr_equal(one, dataset_pool_get(toy_pool(b), &other.recipe.dataset, NULL));
    set_number(&other.recipe.dataset, "seed", 2);
    assert_ptr_not_equal(one, dataset_pool_get(toy_pool(b), &other.recipe.dataset, NULL));
    bench_remove(&other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(valid_is_scored_in_between_and_test_at_the_end),
        TEST(test_is_refused_before_the_end),
        TEST(without_steps_it_only_evaluates),
        TEST(evaluation_does_not_change_training),
        TEST(the_rows_of_a_set_come_in_order),
        TEST(a_recipe_is_counted),
        TEST(large_models_are_counted_without_memory),
        TEST(what_does_not_fit_is_found_before),
        TEST(without_a_pretrain_split_it_trains_on_train),
        TEST(a_dataset_is_opened_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
