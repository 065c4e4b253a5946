/* test_pretraining.c - infrared pre-training in whole runs: model vit on synthetic thermal images,
 * MAE's loss, PAD's adapter, through the training room and a real store. */
#include "lab/train/fixture.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* 64 images of 32 pixels, a ViT of two blocks, a decoder of one; no evaluation. */
static void make(bench *b, bool adapted)
{
    static const char *const losses[] = {"masked_image"};
    static const struct {
        const char *name;
        double value;
    } data[] = {{"images", 64}, {"width", 48}, {"height", 40}, {"side", 32}, {"test_images", 0}},
      model[] = {{"width", 32}, {"layers", 2}, {"heads", 2},
                 {"image", 32}, {"patch", 8},  {"mask_ratio", 0.75}},
      loss[] = {{"width", 16}, {"layers", 1}, {"heads", 2}},
      train[] = {{"steps", 10}, {"batch", 8}, {"checkpoint_every", 2}, {"lr", 0.003}};
    bench_make(b);
    recipe *r = &b->recipe;
    set_plugin(&r->dataset, ASSAY_KIND_DATASET, "thermal_synth");
    set_text(&r->dataset, "task", "pretraining");
    set_plugin(&r->model, ASSAY_KIND_MODEL, "vit");
    set_text(&r->model, "size", "custom");
    no_mask(b);
    set_losses(b, 1, losses);
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        set_number(&r->dataset, data[i].name, data[i].value);
    for (size_t i = 0; i < sizeof model / sizeof model[0]; i++)
        set_number(&r->model, model[i].name, model[i].value);
    for (size_t i = 0; i < sizeof loss / sizeof loss[0]; i++)
        set_number(&r->losses[0], loss[i].name, loss[i].value);
    for (size_t i = 0; i < sizeof train / sizeof train[0]; i++)
        set_number(&r->train, train[i].name, train[i].value);
    for (int i = 0; i < r->evaluator_count; i++)
        settings_clear(&r->evaluators[i]);
    r->evaluator_count = 0;
    if (!adapted)
        return;
    set_adapter(b, "patch_scale");
    set_number(&r->adapters[0], "rank", 4);
    set_number(&r->losses[0], "freeze_embed", 1);
}

static assay_weights *weights_of(const bench *b)
{
    char path[4352];
    assay_error error = {0};
    assert_true(train_weights_path(b->files, path, sizeof path, &error));
    assay_weights *weights = assay_weights_open(path, &error);
    assert_non_null(weights);
    return weights;
}

/* Which patches are hidden, dropout in the adapter, and the start of the scales' learning are
 * addressed: a run that is broken off before and after it (step 6 of 10) goes on with the same
 * bits. */
static void broken_off_runs_go_on_with_the_same_bits(void **state)
{
    (void)state;
    for (int adapted = 0; adapted < 2; adapted++) {
        outcome whole = {0};
        for (int64_t stop = -1; stop < 8; stop += stop < 0 ? 5 : 3) {
            bench b;
            make(&b, adapted);
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
            bench_remove(&b);
        }
    }
}

static bool same(const assay_stored *a, const assay_stored *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, (size_t)a->bytes) == 0;
}

/* Infrared spec 3.4: what PAD trains, and that nothing else moves by a bit. */
static void pad_trains_adapters_and_decoder_alone(void **state)
{
    (void)state;
    bench start, end;
    make(&start, true);
    make(&end, true);
    set_number(&start.recipe.train, "steps", 0);
    must_run(&start);
    must_run(&end);
    assay_weights *before = weights_of(&start), *after = weights_of(&end);
    int learned = 0;
    for (int64_t i = 0; i < assay_weights_count(before); i++) {
        const assay_stored *a = assay_weights_at(before, i);
        const assay_stored *b = assay_weights_find(after, a->name);
        bool learns = strncmp(a->name, "adapter.", 8) == 0 ||
                      (strncmp(a->name, "loss.", 5) == 0 && !strstr(a->name, "decoder_embed") &&
                       !strstr(a->name, "decoder_pos_embed"));
        assert_non_null(b);
        if (same(a, b) == learns)
            fail_msg("%s %s", a->name, learns ? "did not learn" : "moved");
        learned += learns;
    }
    assert_true(learned > 2 * 7);
    assay_weights_close(before);
    assay_weights_close(after);
    bench_remove(&start);
    bench_remove(&end);
}

static double mean_loss(const bench *b, int64_t first, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += series_at(b, "loss", first + i) / (double)count;
    return sum;
}

static void the_loss_falls(void **state)
{
    (void)state;
    bench b;
    make(&b, false);
    set_number(&b.recipe.train, "steps", 60);
    set_number(&b.recipe.losses[0], "norm_pix", 0);
    must_run(&b);
    assert_true(mean_loss(&b, 51, 10) < 0.7 * mean_loss(&b, 1, 5));
    bench_remove(&b);
}

/* Other roundings, and a step in two micro-batches of two pieces (which hide other patches), learn
 * nearly the same. */
static void bf16_and_pieces_learn_nearly_the_same(void **state)
{
    (void)state;
    double loss[3];
    for (int k = 0; k < 3; k++) {
        bench b;
        make(&b, true);
        set_number(&b.recipe.train, "steps", 20);
        set_number(&b.recipe.adapters[0], "freeze", 0);
        set_number(&b.recipe.adapters[0], "freeze_fraction", 0);
        if (k == 1)
            set_text(&b.recipe.train, "precision", "bf16");
        if (k == 2) {
            set_number(&b.recipe.train, "accumulate", 2);
            set_number(&b.recipe.train, "pieces", 2);
        }
        must_run(&b);
        loss[k] = mean_loss(&b, 16, 5);
        bench_remove(&b);
    }
    assert_true(loss[1] != loss[0] && fabs(loss[1] - loss[0]) < 0.01 * loss[0]);
    assert_true(loss[2] != loss[0] && fabs(loss[2] - loss[0]) < 0.1 * loss[0]);
}

/* Infrared spec 3.4 and section 4: what `assay plan` says of PAD on ViT-B. */
static void the_plan_counts_what_pad_trains(void **state)
{
    (void)state;
    bench b;
    recipe_facts facts;
    assay_error error = {0};
    make(&b, true);
    set_plugin(&b.recipe.model, ASSAY_KIND_MODEL, "vit");
    set_text(&b.recipe.model, "size", "base");
    set_number(&b.recipe.model, "mask_ratio", 0.75);
    set_number(&b.recipe.dataset, "side", 224);
    set_adapter(&b, "patch_scale");
    static const char *const losses[] = {"masked_image"};
    set_losses(&b, 1, losses);
    set_number(&b.recipe.losses[0], "freeze_embed", 1);
    assert_true(recipe_inspect(&b.recipe, toy_pool(&b), &facts, &error));
    assert_int_equal(facts.trainable, 1226496 + 25614592);
    int found = 0;
    for (int i = 0; i < facts.part_count; i++) {
        if (strcmp(facts.parts[i].name, "adapter patch_scale") == 0) {
            assert_int_equal(facts.parts[i].trainable, 1226496);
            found++;
        } else if (strcmp(facts.parts[i].name, "loss masked_image") == 0) {
            assert_int_equal(facts.parts[i].total, 26109184);
            assert_int_equal(facts.parts[i].trainable, 25614592);
            found++;
        } else {
            assert_int_equal(facts.parts[i].trainable, 0);
        }
    }
    assert_int_equal(found, 2);
    bench_remove(&b);
}

/* A run that hides nothing has no hidden patch to predict: said by name, before it is trained. */
static void what_does_not_fit_is_said(void **state)
{
    (void)state;
    bench b;
    make(&b, false);
    set_number(&b.recipe.dataset, "side", 24);
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_non_null(strstr(b.error.what, "size is not the model's"));
    bench_remove(&b);
    make(&b, false);
    set_number(&b.recipe.model, "mask_ratio", 0);
    assert_int_equal(bench_run(&b), TRAIN_FAILED);
    assert_non_null(strstr(b.error.hint, "mask_ratio"));
    bench_remove(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_off_runs_go_on_with_the_same_bits),
        cmocka_unit_test(pad_trains_adapters_and_decoder_alone),
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(bf16_and_pieces_learn_nearly_the_same),
        cmocka_unit_test(the_plan_counts_what_pad_trains),
        cmocka_unit_test(what_does_not_fit_is_said),
    };
    return cmocka_run_group_tests_name("pre-training", tests, NULL, NULL);
}
