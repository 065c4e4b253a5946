/* test_stages.c - runs that start from another's weights, or learn from another's model. */
#include "fixture.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- a stage that is there ---- */

static bool stage_weights(void *user, const setting *value, char *path, int64_t size,
                          assay_error *error)
{
    assert_int_equal(value->stage, 3);
    return train_weights_path(((bench *)user)->files, path, size, error);
}

static const recipe *stage_recipe(void *user, const setting *value)
{
    assert_int_equal(value->stage, 3);
    return &((bench *)user)->recipe;
}

static setting stage_setting(void)
{
    setting value = SETTING_NONE;
    value.given = true;
    value.stage = 3;
    return value;
}

static train_sources sources_of(bench *stage)
{
    return (train_sources){.user = stage, .weights = stage_weights, .stage = stage_recipe};
}

static void read_weights(const bench *b, const char *name, int64_t n, double *out)
{
    char path[4352];
    assert_true(train_weights_path(b->files, path, sizeof path, NULL));
    assay_weights *weights = assay_weights_open(path, NULL);
    const assay_stored *stored = assay_weights_find(weights, name);
    assert_non_null(stored);
    assert_int_equal(stored->count, n);
    assay_stored_doubles(stored, out);
    assay_weights_close(weights);
}

/* ---- init ---- */

static void a_run_starts_from_a_stage(void **state)
{
    (void)state;
    bench stage, b;
    double theirs[256], ours[256];
    bench_make(&stage);
    bench_make(&b);
    set_number(&stage.recipe.losses[1], "learned", 1); /* what a loss owns is no start */
    must_run(&stage);
    b.recipe.seed = 99;
    b.recipe.init = stage_setting();
    b.sources = sources_of(&stage);
    set_number(&b.recipe.losses[1], "learned", 1);
    set_number(&b.recipe.train, "steps", 0);
    must_run(&b);
    read_weights(&stage, "model.embed_tokens.weight", 256, theirs);
    read_weights(&b, "model.embed_tokens.weight", 256, ours);
    assert_memory_equal(theirs, ours, sizeof ours);
    read_weights(&b, "loss.toy_next.scale", 1, ours);
    assert_true(ours[0] == 1.0);
    bench_remove(&b);
    bench_remove(&stage);
}

/* steps = 0 is how a finished run is evaluated once more: its mask's state and clock are its
 * own. */
static void a_stage_is_evaluated_as_it_was(void **state)
{
    (void)state;
    bench stage, b;
    bench_make(&stage);
    bench_make(&b);
    set_number(&stage.recipe.model, "layers",
               2); /* in one layer the readout sees no mask at work */
    set_number(&b.recipe.model, "layers", 2);
    must_run(&stage);
    b.recipe.init = stage_setting();
    b.sources = sources_of(&stage);
    set_number(&b.recipe.train, "steps", 0);
    must_run(&b);
    assert_true(ask(&b, "SELECT count(*) FROM score WHERE step = 0") == 2);
    outcome theirs = bench_outcome(&stage), ours = bench_outcome(&b);
    assert_string_equal(theirs.weights, ours.weights);
    char sql[] =
        "SELECT sum(unicode(substr(sha256, 1, 1)) * 65536 + unicode(substr(sha256, 2, 1)) * "
        "256 + unicode(substr(sha256, 3, 1))) FROM artifact";
    assert_true(ask(&stage, sql) == ask(&b, sql));
    bench_remove(&b);
    bench_remove(&stage);
}

static void weights_of_another_size_are_refused(void **state)
{
    (void)state;
    bench stage, b;
    bench_make(&stage);
    bench_make(&b);
    must_run(&stage);
    b.recipe.init = stage_setting();
    b.sources = sources_of(&stage);
    set_number(&b.recipe.model, "width", 8);
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_int_equal(b.error.code, ASSAY_BAD_SHAPE);
    assert_non_null(strstr(b.error.where, "model.embed_tokens.weight"));
    bench_remove(&b);
    bench_remove(&stage);
}

/* ---- a teacher ---- */

static void use_teacher(bench *b, bench *stage)
{
    static const char *const names[] = {"toy_teach"};
    set_losses(b, 1, names);
    *settings_get(&b->recipe.losses[0], "teacher") = stage_setting();
    b->sources = sources_of(stage);
    b->recipe.seed = 99;
}

/* A student that is its teacher has no distance to it, whatever acts on the student's own passes:
 * dropout, an adapter, another clock. A student that is not comes nearer. */
static void a_teacher_is_its_stage(void **state)
{
    (void)state;
    bench stage, b;
    recipe_facts facts;
    bench_make(&stage);
    bench_make(&b);
    set_number(&stage.recipe.model, "dropout", 0.3);
    set_number(&stage.recipe.model, "layers", 2);
    set_number(&b.recipe.model, "layers", 2);
    must_run(&stage);
    use_teacher(&b, &stage);
    b.recipe.init = stage_setting();
    set_number(&b.recipe.train, "steps", 12);
    set_number(&b.recipe.train, "lr", 1e-9);
    /* The student's mask stands where the teacher's ended: slowed by the gradients that it
     * remembers. */
    double importance = series_at(&stage, "mask/importance", 12);
    double end = 0.1 + 0.8 / (1 + importance);
    set_number(&b.recipe.mask, "from", end);
    set_number(&b.recipe.mask, "to", end);
    assert_true(recipe_inspect_with(&b.recipe, toy_pool(&b), &b.sources, &facts, &b.error));
    must_run(&b);
    assert_true(importance > 0.1 && series_at(&b, "loss", 1) < 1e-9);
    bench_remove(&b);

    bench_make(&b);
    use_teacher(&b, &stage);
    set_adapter(&b, "toy_scale");
    set_number(&b.recipe.adapters[0], "freeze", 0);
    set_number(&b.recipe.train, "steps", 40);
    set_number(&b.recipe.train, "evaluate_every", 40);
    must_run(&b);
    assert_true(series_at(&b, "loss", 1) > 0.1);
    assert_true(series_at(&b, "loss", 40) < 0.5 * series_at(&b, "loss", 1));
    bench_remove(&b);
    bench_remove(&stage);
}

/* The teacher's batches and passes allocate nothing of their own either, and a run that is broken
 * off ends alike. */
static void a_student_resumes_exactly(void **state)
{
    (void)state;
    bench stage, whole, broken;
    bench_make(&stage);
    must_run(&stage);
    bench_make(&whole);
    use_teacher(&whole, &stage);
    must_run(&whole);
    bench_make(&broken);
    use_teacher(&broken, &stage);
    broken.stop_at = 5;
    assert_int_equal(bench_run(&broken), TRAIN_STOPPED);
    broken.stop_at = -1;
    must_run(&broken);
    outcome a = bench_outcome(&whole), b = bench_outcome(&broken);
    assert_same_outcome(&a, &b);
    bench_remove(&whole);
    bench_remove(&broken);
    bench_remove(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_starts_from_a_stage),
        cmocka_unit_test(a_stage_is_evaluated_as_it_was),
        cmocka_unit_test(weights_of_another_size_are_refused),
        cmocka_unit_test(a_teacher_is_its_stage),
        cmocka_unit_test(a_student_resumes_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
