/* test_vit.c - model `vit`: its outputs, what a mask hides, and what it refuses. The network's
 * numbers are compared with published ones by the golden tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/pictures.h"
#include "models/use.h"
#include "under_test.h"

#include <assay/blocks.h>
#include <assay/ops.h>

enum { SIDE = 16, PATCH = 4, PATCHES = 16, WIDTH = 16, LAYERS = 3, IMAGES = 4 };

typedef struct rig {
    pictures pictures;
    use model;
    assay_params *params;
    assay_tape *tape;
    assay_arena *arena;
    void *opened;
    assay_model_facts facts;
    assay_batch batch;
} rig;

static void begin(rig *r)
{
    memset(r, 0, sizeof *r);
    pictures_open(&r->pictures, IMAGES, SIDE, 1);
    r->model = use_open("model_vit");
    use_text(&r->model, "size", "custom");
    use_number(&r->model, "width", WIDTH);
    use_number(&r->model, "layers", LAYERS);
    use_number(&r->model, "heads", 2);
    use_number(&r->model, "image", SIDE);
    use_number(&r->model, "patch", PATCH);
}

static bool try_open(rig *r, assay_error *error)
{
    const assay_device *device = device_under_test(error);
    must(device != NULL, error);
    r->tape = assay_tape_new(device, ASSAY_PRECISION_FP32, error);
    r->params = assay_params_new(3, error);
    r->arena = assay_arena_new(0, error);
    must(r->tape && r->params && r->arena, error);
    const assay_model_setup setup = {
        .size = sizeof setup, .data = &r->pictures.data, .params = r->params, .seed = 3};
    r->opened = use_model(&r->model)->open(r->model.options, &setup, error);
    if (r->opened)
        use_model(&r->model)->facts(r->opened, &r->facts);
    return r->opened != NULL;
}

static void open_rig(rig *r)
{
    assay_error error = {0};
    must(try_open(r, &error), &error);
}

static void close_rig(rig *r)
{
    use_model(&r->model)->close(r->opened);
    use_close(&r->model);
    assay_params_free(r->params);
    assay_tape_free(r->tape);
    assay_arena_free(r->arena);
}

static bool collate(rig *r, int64_t first, int64_t count, assay_phase phase,
                    const assay_wanted *wanted, assay_error *error)
{
    assay_arena_reset(r->arena);
    assay_sample *samples = assay_arena_alloc(r->arena, count * (int64_t)sizeof *samples, error);
    must(samples != NULL, error);
    for (int64_t i = 0; i < count; i++)
        must(r->pictures.functions.sample(&r->pictures, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, first + i,
                                          &(assay_draw){0}, r->arena, &samples[i], error),
             error);
    r->batch = (assay_batch){.samples = count, .sample = samples};
    const assay_collation in = {
        .samples = samples, .count = count, .phase = phase, .wanted = wanted, .arena = r->arena};
    return use_model(&r->model)->collate(r->opened, &in, &r->batch, error);
}

static void pass(rig *r, int64_t first, int64_t count, assay_step step, const assay_wanted *wanted,
                 assay_outputs *out)
{
    assay_error error = {0};
    const assay_model_functions *f = use_model(&r->model);
    must(
        collate(r, first, count, step.training ? ASSAY_TRAINING : ASSAY_EVALUATION, wanted, &error),
        &error);
    assert_int_equal(r->batch.tower_count, 1);
    assay_tape_begin(r->tape, step);
    out->count = 0;
    assay_tensor *x = f->embed(r->opened, r->tape, &r->batch, 0, &(assay_insert){0});
    tape_must(r->tape, x != NULL);
    assert_int_equal(x->shape[1], r->batch.towers[0].tokens);
    tape_must(r->tape, f->forward(r->opened, r->tape, &r->batch, 0, x, NULL, wanted, out));
}

static const float *output(const assay_outputs *out, const char *name)
{
    const assay_tensor *t = assay_outputs_get(out, name);
    if (!t)
        fail_msg("there is no output %s", name);
    return assay_f32(t);
}

/* ---- every patch is seen ---- */

static void outputs_are_those_of_the_stack(void **state)
{
    (void)state;
    static const char *const names[] = {"image.embedding",   "image.states",   "image.layers.0",
                                        "image.attention.2", "image.scores.1", "image.patches"};
    const assay_wanted wanted = {6, names};
    static rig r;
    assay_outputs out = {0};
    assay_error error = {0};
    begin(&r);
    open_rig(&r);
    pass(&r, 0, 2, (assay_step){0}, &wanted, &out);
    assert_int_equal(out.count, 6);
    static float states[2 * (1 + PATCHES) * WIDTH], first[sizeof states / sizeof states[0]];
    memcpy(states, output(&out, "image.states"), sizeof states);
    memcpy(first, output(&out, "image.layers.0"), sizeof first);
    for (int b = 0; b < 2; b++)
        assert_memory_equal(output(&out, "image.embedding") + b * WIDTH,
                            states + b * (1 + PATCHES) * WIDTH, WIDTH * sizeof(float));
    /* Patch 5 of image 1 lies in row 1, column 1 of the grid. */
    for (int y = 0; y < PATCH; y++)
        assert_memory_equal(
            output(&out, "image.patches") + ((PATCHES + 5) * PATCH * PATCH + y * PATCH),
            r.pictures.pixels[1] + (PATCH + y) * SIDE + PATCH, PATCH * sizeof(float));
    /* The same by the stack itself, on three equal channels. */
    assay_vit_config config;
    must(assay_vit_config_named("small", 224, &config, &error), &error);
    config.width = WIDTH, config.layers = LAYERS, config.heads = 2, config.mlp_width = 4 * WIDTH;
    config.image = SIDE, config.patch = PATCH;
    assay_params *params = assay_params_new(3, &error);
    assay_vit *vit = assay_vit_new(params, NULL, &config, &error);
    must(vit != NULL, &error);
    assay_tape_begin(r.tape, (assay_step){0});
    assay_tensor *images = assay_tape_tensor(r.tape, ASSAY_F32, 4, (int64_t[]){2, 3, SIDE, SIDE});
    assay_tensor *layers[LAYERS];
    tape_must(r.tape, images != NULL);
    for (int k = 0; k < 6; k++)
        memcpy(assay_f32(images) + k * SIDE * SIDE, r.pictures.pixels[k / 3],
               SIDE * SIDE * sizeof(float));
    assay_tensor *x = assay_vit_forward(r.tape, vit, images, layers, NULL);
    tape_must(r.tape, x != NULL);
    assert_memory_equal(assay_elements(x), states, sizeof states);
    assert_memory_equal(assay_elements(layers[0]), first, sizeof first);
    assay_vit_free(vit);
    assay_params_free(params);
    close_rig(&r);
}

/* What is listed can be had, and what costs nothing more is not computed. */
static void every_listed_output_is_given(void **state)
{
    (void)state;
    static rig r;
    begin(&r);
    use_number(&r.model, "mask_ratio", 0.5);
    open_rig(&r);
    assert_int_equal(r.facts.output_count, 5 + 3 * (LAYERS + 1));
    for (int i = 0; i < r.facts.output_count; i++) {
        const assay_wanted wanted = {1, &r.facts.outputs[i]};
        assay_outputs out = {0};
        pass(&r, 0, 1, (assay_step){.training = true}, &wanted, &out);
        assert_int_equal(out.count, 1);
        assert_string_equal(out.names[0], r.facts.outputs[i]);
    }
    static const char *const scores[] = {"image.scores.1"}, *const states[] = {"image.states"};
    assay_outputs out = {0};
    pass(&r, 0, 1, (assay_step){0}, &(assay_wanted){1, scores}, &out);
    int64_t some = assay_tape_stats_get(r.tape).nodes;
    pass(&r, 0, 1, (assay_step){0}, &(assay_wanted){1, states}, &out);
    assert_true(3 * some < 2 * assay_tape_stats_get(r.tape).nodes);
    close_rig(&r);
}

/* ---- some are hidden ---- */

static const char *const masked_names[] = {"image.visible", "image.order"};
static const assay_wanted masked_wanted = {2, masked_names};

static void a_mask_shows_the_first_patches_of_an_order(void **state)
{
    (void)state;
    static rig r;
    assay_outputs out = {0};
    begin(&r);
    use_number(&r.model, "mask_ratio", 0.75);
    open_rig(&r);
    pass(&r, 0, 3, (assay_step){.seed = 7, .clock = 2, .training = true}, &masked_wanted, &out);
    const assay_tensor *order = assay_outputs_get(&out, "image.order");
    const assay_tensor *visible = assay_outputs_get(&out, "image.visible");
    assert_int_equal(visible->shape[1], 1 + PATCHES / 4);
    for (int b = 0; b < 3; b++) {
        bool seen[PATCHES] = {false};
        for (int i = 0; i < PATCHES; i++)
            seen[assay_i32(order)[b * PATCHES + i]] = true;
        for (int i = 0; i < PATCHES; i++)
            assert_true(seen[i]);
    }
    /* A hidden patch can't be noticed; a visible one is. */
    float before[3 * (1 + PATCHES / 4) * WIDTH];
    memcpy(before, assay_elements(visible), sizeof before);
    for (int k = 0; k < 2; k++) {
        int patch = assay_i32(order)[k == 0 ? PATCHES - 1 : 0];
        int at = patch / 4 * PATCH * SIDE + patch % 4 * PATCH;
        r.pictures.pixels[0][at] += 1;
        pass(&r, 0, 3, (assay_step){.seed = 7, .clock = 2, .training = true}, &masked_wanted, &out);
        visible = assay_outputs_get(&out, "image.visible");
        order = assay_outputs_get(&out, "image.order");
        assert_int_equal(memcmp(before, assay_elements(visible), sizeof before) != 0, k);
    }
    close_rig(&r);
}

/* Another pass or seed hides others; who stands beside an image does not matter; evaluation is
 * fixed. */
static void the_order_is_addressed_by_pass_and_sample(void **state)
{
    (void)state;
    static rig r;
    int32_t orders[6][PATCHES];
    const struct {
        int64_t first, count, row;
        assay_step step;
    } passes[6] = {{0, 3, 2, {.seed = 7, .clock = 2, .training = true}},
                   {2, 1, 0, {.seed = 7, .clock = 2, .training = true}},
                   {2, 1, 0, {.seed = 7, .clock = 3, .training = true}},
                   {2, 1, 0, {.seed = 8, .clock = 2, .training = true}},
                   {2, 1, 0, {.seed = 7, .clock = 2}},
                   {1, 2, 1, {.seed = 9, .clock = 5}}};
    begin(&r);
    use_number(&r.model, "mask_ratio", 0.75);
    open_rig(&r);
    for (int i = 0; i < 6; i++) {
        assay_outputs out = {0};
        pass(&r, passes[i].first, passes[i].count, passes[i].step, &masked_wanted, &out);
        memcpy(orders[i],
               assay_i32(assay_outputs_get(&out, "image.order")) + passes[i].row * PATCHES,
               sizeof orders[i]);
    }
    assert_memory_equal(orders[0], orders[1], sizeof orders[0]);
    assert_memory_not_equal(orders[0], orders[2], sizeof orders[0]);
    assert_memory_not_equal(orders[0], orders[3], sizeof orders[0]);
    assert_memory_equal(orders[4], orders[5], sizeof orders[0]);
    close_rig(&r);
}

/* Of the published base model 49 of 196 patches are seen (spec 3.5). */
static void tokens_are_counted_as_published(void **state)
{
    (void)state;
    static rig r;
    begin(&r);
    use_text(&r.model, "size", "base");
    use_number(&r.model, "width", 0);
    use_number(&r.model, "layers", 1);
    use_number(&r.model, "heads", 0);
    use_number(&r.model, "image", PICTURES_SIDE);
    use_number(&r.model, "patch", 16);
    use_number(&r.model, "mask_ratio", 0.75);
    open_rig(&r);
    assert_int_equal(r.facts.width, 768);
    assert_int_equal(r.facts.tokens, 10);
    assay_error error = {0};
    pictures_open(&r.pictures, 1, PICTURES_SIDE, 1);
    must(collate(&r, 0, 1, ASSAY_TRAINING, &masked_wanted, &error), &error);
    assert_int_equal(r.batch.towers[0].tokens, 1 + 2); /* int(9 / 4) */
    /* Positions stay as they are; everything else learns. */
    assert_false(assay_params_find(r.params, "pos_embed")->trainable);
    assert_true(assay_params_find(r.params, "cls_token")->trainable);
    close_rig(&r);
}

/* ---- sizes ---- */

static void images_of_another_size_are_refused_in_training_and_resized_in_evaluation(void **state)
{
    (void)state;
    static const char *const names[] = {"image.embedding"};
    const assay_wanted wanted = {1, names};
    static rig r;
    char text[1200];
    assay_outputs out = {0};
    assay_error error = {0};
    begin(&r);
    open_rig(&r);
    r.pictures.height[1] = 8;
    assert_false(collate(&r, 0, 2, ASSAY_TRAINING, &wanted, &error));
    assay_error_format(&error, text, sizeof text);
    assert_non_null(strstr(text, "sample 1"));
    assert_non_null(strstr(text, "expected 16 x 16, got 8 x 16"));
    pass(&r, 0, 2, (assay_step){0}, &wanted, &out);
    close_rig(&r);
    begin(&r);
    use_number(&r.model, "resize", 0);
    open_rig(&r);
    r.pictures.height[1] = 8;
    assay_error_clear(&error);
    assert_false(collate(&r, 0, 2, ASSAY_EVALUATION, &wanted, &error));
    close_rig(&r);
}

static void options_that_make_no_model_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *option, *word;
        double value;
    } wrong[] = {
        {"patch", "patch does not divide image", 5},
        {"heads", "heads does not divide width", 3},
        {"width", "custom size", 0},
        {"last_heads", "last_heads", 3},
        {"mask_ratio", "no patch to see", 0.97},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        static rig r;
        char text[1200];
        assay_error error = {0};
        begin(&r);
        use_number(&r.model, wrong[i].option, wrong[i].value);
        assert_false(try_open(&r, &error));
        assay_error_format(&error, text, sizeof text);
        if (!strstr(text, wrong[i].word))
            fail_msg("%s: %s", wrong[i].option, text);
        r.opened = NULL;
        close_rig(&r);
    }
    static rig r;
    assay_error error = {0};
    begin(&r);
    use_number(&r.model, "mask_ratio", 0.5);
    use_number(&r.model, "relative_bias", 1);
    assert_false(try_open(&r, &error));
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_those_of_the_stack),
        cmocka_unit_test(every_listed_output_is_given),
        cmocka_unit_test(a_mask_shows_the_first_patches_of_an_order),
        cmocka_unit_test(the_order_is_addressed_by_pass_and_sample),
        cmocka_unit_test(tokens_are_counted_as_published),
        cmocka_unit_test(images_of_another_size_are_refused_in_training_and_resized_in_evaluation),
        cmocka_unit_test(options_that_make_no_model_are_refused),
    };
    return cmocka_run_group_tests_name("model vit", tests, NULL, NULL);
}
