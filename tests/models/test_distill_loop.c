/* test_distill_loop.c - UNIP's distillation in whole runs, through the training room and a real
 * store: a teacher that was pre-trained by another run, a student that learns its attention or its
 * features, and a student that is broken off and goes on. */
#include "lab/train/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEPS = 8, STAGE = 2 };

typedef struct option_value {
    const char *name;
    double value;
} option_value;

/* 64 thermal pictures and a ViT on 32 pixels of them; nothing is evaluated. */
static void make(bench *b, const char *loss, int64_t width)
{
    static const option_value data[] = {
        {"images", 64}, {"width", 48}, {"height", 40}, {"side", 32}, {"test_images", 0}};
    static const option_value train[] = {
        {"steps", STEPS}, {"batch", 8}, {"checkpoint_every", 2}, {"lr", 0.003}};
    const option_value model[] = {
        {"width", (double)width}, {"layers", 2}, {"heads", 2}, {"image", 32}, {"patch", 8}};
    bench_make(b);
    recipe *r = &b->recipe;
    set_plugin(&r->dataset, ASSAY_KIND_DATASET, "thermal_synth");
    set_text(&r->dataset, "task", "pretraining");
    set_plugin(&r->model, ASSAY_KIND_MODEL, "vit");
    set_text(&r->model, "size", "custom");
    no_mask(b);
    set_losses(b, 1, &loss);
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        set_number(&r->dataset, data[i].name, data[i].value);
    for (size_t i = 0; i < sizeof model / sizeof model[0]; i++)
        set_number(&r->model, model[i].name, model[i].value);
    for (size_t i = 0; i < sizeof train / sizeof train[0]; i++)
        set_number(&r->train, train[i].name, train[i].value);
    for (int i = 0; i < r->evaluator_count; i++)
        settings_clear(&r->evaluators[i]);
    r->evaluator_count = 0;
}

/* ---- the teacher's run, as a stage ---- */

static void make_teacher(bench *b)
{
    make(b, "masked_image", 32);
    set_number(&b->recipe.model, "heads", 4);
    set_number(&b->recipe.model, "mask_ratio", 0.75);
    set_number(&b->recipe.losses[0], "width", 16);
    set_number(&b->recipe.losses[0], "layers", 1);
    set_number(&b->recipe.losses[0], "heads", 2);
    must_run(b);
}

static bool stage_weights(void *user, const setting *value, char *path, int64_t size,
                          assay_error *error)
{
    assert_int_equal(value->stage, STAGE);
    return train_weights_path(((bench *)user)->files, path, size, error);
}

static const recipe *stage_recipe(void *user, const setting *value)
{
    assert_int_equal(value->stage, STAGE);
    return &((bench *)user)->recipe;
}

static void make_student(bench *b, const char *loss, bench *teacher)
{
    make(b, loss, 24);
    set_number(&b->recipe.model, "last_heads", 4); /* the teacher's */
    set_number(&b->recipe.model, "drop_path", 0.1);
    set_number(&b->recipe.losses[0], "teacher_layer", 1);
    setting *named = settings_get(&b->recipe.losses[0], "teacher");
    *named = SETTING_NONE;
    named->given = true;
    named->stage = STAGE;
    b->sources = (train_sources){.user = teacher, .weights = stage_weights, .stage = stage_recipe};
    b->recipe.seed = 7;
}

/* ---- tests ---- */

/* Crops, drop path and the passes of the teacher are addressed by the step: a student that is
 * broken off ends with the bits of one that was not. */
static void check(const char *loss, bench *teacher)
{
    outcome whole = {0};
    for (int64_t stop = -1; stop < STEPS; stop += 3) {
        bench b;
        make_student(&b, loss, teacher);
        if (stop >= 0) {
            b.stop_at = stop;
            assert_int_equal(bench_run(&b), TRAIN_STOPPED);
            b.stop_at = -1;
        }
        must_run(&b);
        outcome got = bench_outcome(&b);
        if (stop < 0)
            whole = got;
        else
            assert_same_outcome(&got, &whole);
        assert_true(series_at(&b, "loss", STEPS) < series_at(&b, "loss", 1));
        bench_remove(&b);
    }
}

static void a_student_of_attention_resumes_exactly(void **state)
{
    check("attention_distill", *state);
}

static void a_student_of_features_resumes_exactly(void **state)
{
    check("feature_distill", *state);
}

static int begin(void **state)
{
    static bench teacher;
    make_teacher(&teacher);
    *state = &teacher;
    return 0;
}

static int end(void **state)
{
    bench_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_student_of_attention_resumes_exactly),
        cmocka_unit_test(a_student_of_features_resumes_exactly),
    };
    return cmocka_run_group_tests_name("distillation in runs", tests, begin, end);
}
