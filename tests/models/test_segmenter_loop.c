/* test_segmenter_loop.c - the segmenter in whole runs, on generated thermal pictures, through the
 * training room and a real store: a run that is broken off goes on with the same bits, running
 * statistics included; a pre-trained vit of another image size starts it; what the training room
 * offers (pieces, an early stop, adapters, layer-wise rates) works with it. */
#include "lab/train/fixture.h"

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

enum { SIDE = 32, PATCH = 8, WIDTH = 16, LAYERS = 3 };

static void set_pictures(bench *b, const char *task)
{
    set_plugin(&b->recipe.dataset, ASSAY_KIND_DATASET, "thermal_synth");
    set_text(&b->recipe.dataset, "task", task);
    set_number(&b->recipe.dataset, "width", 48);
    set_number(&b->recipe.dataset, "height", 32);
    set_number(&b->recipe.dataset, "side", SIDE);
    set_number(&b->recipe.dataset, "train_images", 12);
    set_number(&b->recipe.dataset, "images", 12);
    set_number(&b->recipe.dataset, "valid_images", 3);
    set_number(&b->recipe.dataset, "test_images", 3);
}

static void set_vit(settings *model, int64_t side)
{
    set_text(model, "size", "custom");
    set_number(model, "width", WIDTH);
    set_number(model, "layers", LAYERS);
    set_number(model, "heads", 2);
    set_number(model, "patch", PATCH);
    set_number(model, "image", (double)side);
}

static void set_train(bench *b, double steps)
{
    set_number(&b->recipe.train, "steps", steps);
    set_number(&b->recipe.train, "batch", 4);
    set_number(&b->recipe.train, "checkpoint_every", 2);
}

static void make_segmenter(bench *b)
{
    static const char *const losses[] = {"segmentation"};
    bench_make(b);
    set_pictures(b, "segmentation");
    set_plugin(&b->recipe.model, ASSAY_KIND_MODEL, "segmenter");
    set_vit(&b->recipe.model, SIDE);
    set_number(&b->recipe.model, "channels", 8);
    set_number(&b->recipe.model, "auxiliary_channels", 8);
    no_mask(b);
    set_losses(b, 1, losses);
    set_plugin(&b->recipe.evaluators[0], ASSAY_KIND_EVALUATOR, "segmentation");
    set_train(b, 6);
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

static float first_of(const assay_weights *weights, const char *name)
{
    assay_error error = {0};
    assay_tensor *tensor =
        assay_stored_tensor(assay_weights_get(weights, name, &error), ASSAY_F32, &error);
    assert_non_null(tensor);
    const float value = assay_f32(tensor)[0];
    assay_tensor_free(tensor);
    return value;
}

/* ---- tests ---- */

static void broken_off_runs_go_on_with_the_same_bits(void **state)
{
    (void)state;
    outcome whole;
    for (int64_t stop = -1; stop < 6; stop += stop < 0 ? 4 : 3) {
        bench b;
        make_segmenter(&b);
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
        assert_true(got.score_rows >= 2 * 3);
        const double miou = ask(&b, "SELECT value FROM score WHERE metric = 'miou' AND split = "
                                    "'test' AND suite = 'thermal_synth'");
        assert_true(miou >= 0 && miou <= 1);
        /* Every pixel of three pictures. */
        assert_true(ask(&b, "SELECT n FROM score WHERE metric = 'aacc' AND split = 'test'") ==
                    3 * 48 * 32);
        assay_weights *weights = weights_of(&b);
        assert_true(first_of(weights, "decode_head.bottleneck.bn.running_mean") != 0);
        assay_weights_close(weights);
        bench_remove(&b);
    }
}

static void a_vit_of_another_image_size_starts_it(void **state)
{
    static const char *const losses[] = {"masked_image"};
    (void)state;
    bench vit, segmenter;
    char path[4352];
    bench_make(&vit);
    set_pictures(&vit, "pretraining");
    set_number(&vit.recipe.dataset, "side", 16);
    set_plugin(&vit.recipe.model, ASSAY_KIND_MODEL, "vit");
    set_vit(&vit.recipe.model, 16);
    set_number(&vit.recipe.model, "mask_ratio", 0.5);
    no_mask(&vit);
    set_losses(&vit, 1, losses);
    vit.recipe.evaluator_count = 0;
    set_train(&vit, 2);
    must_run(&vit);
    assert_true(train_weights_path(vit.files, path, sizeof path, NULL));

    make_segmenter(&segmenter);
    segmenter.recipe.init.given = true;
    segmenter.recipe.init.text = assay_strdup(path, NULL);
    set_number(&segmenter.recipe.train, "steps", 0);
    must_run(&segmenter);
    assay_weights *a = weights_of(&vit), *b = weights_of(&segmenter);
    assert_true(first_of(a, "blocks.1.attn.qkv.weight") == first_of(b, "blocks.1.attn.qkv.weight"));
    assert_true(assay_weights_find(a, "pos_embed")->shape[1] == 1 + 2 * 2);
    assert_true(assay_weights_find(b, "pos_embed")->shape[1] == 1 + 4 * 4);
    assay_weights_close(a);
    assay_weights_close(b);
    vit.recipe.evaluator_count = 1;
    bench_remove(&vit);
    bench_remove(&segmenter);
}

/* The parameters as mmsegmentation saves them: what is no head belongs to the backbone. */
static void write_as_published(const assay_weights *from, const char *path)
{
    enum { MOST = 512 };
    static char names[MOST][ASSAY_NAME_LIMIT + 16];
    assay_weights_item items[MOST];
    assay_error error = {0};
    const int64_t n = assay_weights_count(from);
    assert_true(n <= MOST);
    for (int64_t i = 0; i < n; i++) {
        const assay_stored *stored = assay_weights_at(from, i);
        const bool head = strncmp(stored->name, "decode_head.", 12) == 0 ||
                          strncmp(stored->name, "auxiliary_head.", 15) == 0;
        snprintf(names[i], sizeof names[i], "%s%s", head ? "" : "backbone.", stored->name);
        items[i] = (assay_weights_item){names[i], assay_stored_tensor(stored, ASSAY_F32, &error)};
        assert_non_null(items[i].tensor);
    }
    assert_true(assay_weights_write(path, n, items, 0, NULL, &error));
    for (int64_t i = 0; i < n; i++)
        assay_tensor_free((assay_tensor *)(uintptr_t)items[i].tensor);
}

static void a_published_segmenter_is_read_whole(void **state)
{
    static const char *const miou =
        "SELECT value FROM score WHERE metric = 'miou' AND split = 'test'";
    (void)state;
    bench first, second;
    char path[192];
    make_segmenter(&first);
    must_run(&first);
    assay_weights *a = weights_of(&first);
    snprintf(path, sizeof path, "%s/published.safetensors", first.folder);
    write_as_published(a, path);
    make_segmenter(&second);
    second.recipe.init.given = true;
    second.recipe.init.text = assay_strdup(path, NULL);
    second.recipe.seed = 5;
    set_number(&second.recipe.train, "steps", 0);
    must_run(&second);
    assay_weights *b = weights_of(&second);
    assert_int_equal(assay_weights_count(a), assay_weights_count(b));
    for (int64_t i = 0; i < assay_weights_count(a); i++) {
        const assay_stored *stored = assay_weights_at(a, i);
        const assay_stored *read = assay_weights_find(b, stored->name);
        assert_non_null(read);
        if (read->bytes != stored->bytes ||
            memcmp(read->data, stored->data, (size_t)stored->bytes) != 0)
            fail_msg("%s was not read", stored->name);
    }
    assert_true(ask(&first, miou) == ask(&second, miou));
    assay_weights_close(a);
    assay_weights_close(b);
    bench_remove(&first);
    bench_remove(&second);
}

/* Steps of all ways end with finite losses and scores. */
static void the_ways_of_training_work(void **state)
{
    enum { PIECES, EARLY_STOP, ADAPTER, DECAY, LINEAR, BFLOAT, WAYS };
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        bench b;
        make_segmenter(&b);
        settings *model = &b.recipe.model, *train = &b.recipe.train;
        if (way == PIECES) {
            set_number(train, "batch", 8);
            set_number(train, "pieces", 2);
            set_number(train, "accumulate", 2);
        } else if (way == EARLY_STOP) {
            set_number(train, "evaluate_every", 2);
            set_number(train, "early_stop", 1);
        } else if (way == ADAPTER) {
            set_adapter(&b, "patch_scale");
            set_number(&b.recipe.adapters[0], "rank", 4);
            set_number(&b.recipe.adapters[0], "freeze", 0);
            set_number(model, "relative_bias", 1);
        } else if (way == DECAY) {
            set_number(train, "layer_decay", 0.65);
            set_text(train, "schedule", "poly");
            set_text(model, "neck", "ll_fpn");
        } else if (way == LINEAR) {
            set_text(model, "head", "linear");
            set_number(model, "freeze", 1);
            set_number(model, "drop_path", 0.3);
        } else if (way == BFLOAT) {
            set_text(train, "precision", "bf16");
        }
        must_run(&b);
        assert_true(isfinite(series_at(&b, "loss", way == EARLY_STOP ? 2 : 6)));
        assert_true(ask(&b, "SELECT count(*) FROM score WHERE metric = 'miou'") >= 2);
        bench_remove(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_off_runs_go_on_with_the_same_bits),
        cmocka_unit_test(a_vit_of_another_image_size_starts_it),
        cmocka_unit_test(a_published_segmenter_is_read_whole),
        cmocka_unit_test(the_ways_of_training_work),
    };
    return cmocka_run_group_tests_name("segmenter in runs", tests, NULL, NULL);
}
