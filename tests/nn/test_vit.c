/* test_vit.c - the ViT: sizes, positions, patch embedding, branches, and gradients. Values are
 * compared with published models by the golden tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/blocks.h>

#include <math.h>

enum { BATCH = 2, CHANNELS = 2, SIDE = 4, PATCH = 2, WIDTH = 8, TOKENS = 5 };

static const assay_vit_config tiny = {
    .width = WIDTH,
    .layers = 2,
    .heads = 2,
    .mlp_width = 12,
    .patch = PATCH,
    .image = SIDE,
    .channels = CHANNELS,
    .norm_eps = 1e-6f,
    .final_norm = true,
    .layer_scale = true,
};

typedef struct fixture {
    assay_params *params;
    assay_vit *vit;
    assay_tape *tape;
    assay_tensor *images;
} fixture;

static fixture open_fixture(int device, const assay_vit_config *config)
{
    assay_error error = {0};
    fixture f = {.params = new_params(4), .tape = new_tape(device_at(device))};
    f.vit = assay_vit_new(f.params, NULL, config, &error);
    must(f.vit != NULL, &error);
    f.images = assay_tensor_new(ASSAY_F32, 4, (int64_t[]){BATCH, CHANNELS, SIDE, SIDE}, &error);
    must(f.images && assay_init_fill(f.images, (assay_init){ASSAY_INIT_NORMAL, 1.0f, 0}, 1,
                                     "images", &error),
         &error);
    return f;
}

static void close_fixture(fixture *f)
{
    assay_tensor_free(f->images);
    assay_tape_free(f->tape);
    assay_vit_free(f->vit);
    assay_params_free(f->params);
}

static float *values(const fixture *f, const char *name)
{
    const assay_parameter *parameter = assay_params_find(f->params, name);
    assert_non_null(parameter);
    return assay_f32(parameter->value);
}

/* ---- parameters ---- */

/* Infrared spec 1.1, table. Blocks are alike, so a stack of one block tells the count of all. */
static int64_t full_size(const char *size)
{
    assay_error error = {0};
    assay_vit_config config;
    must(assay_vit_config_named(size, 224, &config, &error), &error);
    int64_t layers = config.layers;
    config.layers = 1;
    assay_params *params = new_params(0);
    assay_vit *vit = assay_vit_new(params, "encoder.", &config, &error);
    must(vit != NULL, &error);
    int64_t count = assay_params_size(params, "encoder.", false);
    count += (layers - 1) * assay_params_size(params, "encoder.blocks.0.", false);
    assay_vit_free(vit);
    assay_params_free(params);
    return count;
}

static void named_sizes_have_their_published_numbers_of_parameters(void **state)
{
    (void)state;
    assert_int_equal(full_size("tiny"), 5524416);
    assert_int_equal(full_size("small"), 21665664);
    assert_int_equal(full_size("base"), 85798656);
    assert_int_equal(full_size("large"), 303301632);
}

/* Infrared spec section 4, item 4: D = 8, a grid of 2. */
static void positions_are_the_sines_and_cosines_of_the_specification(void **state)
{
    (void)state;
    static const double right[] = {0.841471, 0.01, 0.540302, 0.99995, 0, 0, 1, 1};
    static const double below[] = {0, 0, 1, 1, 0.841471, 0.01, 0.540302, 0.99995};
    float table[5 * 8];
    assay_sincos_positions(2, 8, table);
    for (int k = 0; k < 8; k++) {
        assert_true(table[k] == 0);
        assert_true(fabs((double)table[2 * 8 + k] - right[k]) < 1e-6);
        assert_true(fabs((double)table[3 * 8 + k] - below[k]) < 1e-6);
    }
    fixture f = open_fixture(0, &tiny);
    assert_memory_equal(values(&f, "pos_embed"), table, sizeof table);
    close_fixture(&f);
}

/* Spec 1.6: the patch convolution is drawn as the matrix (D, C P P), and the class token small. */
static void parameters_start_as_in_pre_training(void **state)
{
    (void)state;
    fixture f = open_fixture(0, &tiny);
    const assay_tensor *w = assay_params_find(f.params, "patch_embed.proj.weight")->value;
    double bound = sqrt(6.0 / (CHANNELS * PATCH * PATCH + WIDTH)), largest = 0;
    for (int64_t i = 0; i < assay_tensor_count(w); i++)
        largest = fmax(largest, fabs((double)assay_f32(w)[i]));
    assert_true(largest <= bound && largest > 0.9 * bound);
    for (int k = 0; k < WIDTH; k++) {
        assert_true(fabs((double)values(&f, "cls_token")[k]) < 0.1);
        assert_true(values(&f, "blocks.1.gamma_2")[k] == 1.0f);
        assert_true(values(&f, "blocks.0.norm1.weight")[k] == 1.0f);
        assert_true(values(&f, "blocks.0.attn.proj.bias")[k] == 0.0f);
    }
    assert_true(assay_params_find(f.params, "cls_token")->decays);
    close_fixture(&f);
}

static void a_configuration_that_is_no_model_is_refused(void **state)
{
    (void)state;
    assay_params *params = new_params(0);
    assay_vit_config wrong[4] = {tiny, tiny, tiny, tiny};
    static const char *const words[] = {"heads", "width", "patch", "drop_path"};
    wrong[0].heads = 3;
    wrong[1].width = 6;
    wrong[2].patch = 3;
    wrong[3].drop_path = 1.0f;
    for (int i = 0; i < 4; i++) {
        assay_error error = {0};
        assert_null(assay_vit_new(params, NULL, &wrong[i], &error));
        assert_failed(&error, ASSAY_BAD_INPUT, words[i]);
        assert_int_equal(assay_params_count(params), 0);
    }
    assay_params_free(params);
}

/* ---- embedding ---- */

/* The convolution of patch (py, px), output k, written out. */
static double patch_output(const fixture *f, int b, int py, int px, int k)
{
    const float *w = values(f, "patch_embed.proj.weight"), *image = assay_f32(f->images);
    double sum = (double)values(f, "patch_embed.proj.bias")[k];
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < PATCH; y++)
            for (int x = 0; x < PATCH; x++)
                sum +=
                    (double)w[((k * CHANNELS + c) * PATCH + y) * PATCH + x] *
                    (double)
                        image[((b * CHANNELS + c) * SIDE + py * PATCH + y) * SIDE + px * PATCH + x];
    return sum;
}

static void embedding_is_a_convolution_plus_positions(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICES; d++) {
        fixture f = open_fixture(d, &tiny);
        const float *positions = values(&f, "pos_embed"), *cls = values(&f, "cls_token");
        assay_tape_begin(f.tape, (assay_step){0});
        assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
        must(x != NULL, assay_tape_error(f.tape));
        for (int b = 0; b < BATCH; b++)
            for (int t = 0; t < TOKENS; t++)
                for (int k = 0; k < WIDTH; k++) {
                    double want =
                        t == 0 ? (double)cls[k] : patch_output(&f, b, (t - 1) / 2, (t - 1) % 2, k);
                    want += (double)positions[t * WIDTH + k];
                    double got = (double)assay_f32(x)[(b * TOKENS + t) * WIDTH + k];
                    assert_true(fabs(got - want) < 1e-5);
                }
        close_fixture(&f);
    }
}

static void images_of_another_size_are_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    fixture f = open_fixture(0, &tiny);
    assay_tensor *wide = assay_tensor_new(ASSAY_F32, 4, (int64_t[]){1, CHANNELS, 4, 6}, &error);
    must(wide != NULL, &error);
    assay_tape_begin(f.tape, (assay_step){0});
    assert_null(assay_vit_embed(f.tape, f.vit, wide));
    assert_failed(assay_tape_error(f.tape), ASSAY_BAD_SHAPE, "(B, 2, 4, 4)");
    assay_tensor_free(wide);
    close_fixture(&f);
}

/* ---- blocks ---- */

static void a_block_scaled_to_nothing_is_the_identity(void **state)
{
    (void)state;
    fixture f = open_fixture(0, &tiny);
    memset(values(&f, "blocks.1.gamma_1"), 0, WIDTH * sizeof(float));
    memset(values(&f, "blocks.1.gamma_2"), 0, WIDTH * sizeof(float));
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
    assay_tensor *y = assay_vit_block(f.tape, f.vit, 1, x, NULL, NULL);
    assay_tensor *z = assay_vit_block(f.tape, f.vit, 0, x, NULL, NULL);
    must(y && z, assay_tape_error(f.tape));
    assert_memory_equal(x->data, y->data, (size_t)assay_tensor_bytes(x));
    assert_memory_not_equal(x->data, z->data, (size_t)assay_tensor_bytes(x));
    assert_null(assay_vit_block(f.tape, f.vit, 2, x, NULL, NULL));
    assert_failed(assay_tape_error(f.tape), ASSAY_BAD_INPUT, "0 to 1");
    close_fixture(&f);
}

/* Whether a training pass changed what an evaluation pass gives after block `layer`. */
static bool drops(fixture *f, int64_t layer)
{
    float kept[BATCH * TOKENS * WIDTH];
    assay_tensor *layers[2];
    for (uint64_t clock = 0; clock < 8; clock++) {
        assay_tape_begin(f->tape, (assay_step){.no_gradient = true});
        must(assay_vit_forward(f->tape, f->vit, f->images, layers, NULL) != NULL,
             assay_tape_error(f->tape));
        memcpy(kept, layers[layer]->data, sizeof kept);
        assay_tape_begin(f->tape,
                         (assay_step){.clock = clock, .training = true, .no_gradient = true});
        must(assay_vit_forward(f->tape, f->vit, f->images, layers, NULL) != NULL,
             assay_tape_error(f->tape));
        if (memcmp(kept, layers[layer]->data, sizeof kept) != 0)
            return true;
    }
    return false;
}

static void drop_path_is_constant_or_grows_from_nothing(void **state)
{
    (void)state;
    assay_vit_config config = tiny;
    config.drop_path = 0.7f;
    fixture constant = open_fixture(0, &config);
    config.drop_path_grows = true;
    fixture grows = open_fixture(0, &config);
    assert_true(drops(&constant, 0));
    assert_false(drops(&grows, 0));
    assert_true(drops(&grows, 1));
    close_fixture(&constant);
    close_fixture(&grows);
}

static void maps_are_distributions_and_states_are_named(void **state)
{
    (void)state;
    assay_tensor *layers[2], *maps[2];
    fixture f = open_fixture(0, &tiny);
    assert_true(assay_tape_tap(f.tape, "layers.1"));
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_forward(f.tape, f.vit, f.images, layers, maps);
    must(x != NULL, assay_tape_error(f.tape));
    assert_ptr_equal(assay_tape_tapped(f.tape, "layers.1"), layers[1]);
    for (int layer = 0; layer < 2; layer++)
        for (int row = 0; row < BATCH * 2 * TOKENS; row++) {
            double sum = 0;
            for (int key = 0; key < TOKENS; key++)
                sum += (double)assay_f32(maps[layer])[row * TOKENS + key];
            assert_true(fabs(sum - 1) < 1e-5);
        }
    close_fixture(&f);
}

static void the_last_block_is_the_output_without_a_final_norm(void **state)
{
    (void)state;
    assay_tensor *layers[2];
    assay_vit_config config = tiny;
    config.final_norm = false;
    fixture f = open_fixture(0, &config);
    assert_null(assay_params_find(f.params, "norm.weight"));
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_forward(f.tape, f.vit, f.images, layers, NULL);
    must(x != NULL, assay_tape_error(f.tape));
    assert_ptr_equal(x, layers[1]);
    close_fixture(&f);
}

static assay_tensor *encode(assay_tape *tape, assay_tensor *const inputs[], int n, void *user)
{
    (void)inputs;
    (void)n;
    const fixture *f = user;
    return assay_vit_forward(tape, f->vit, f->images, NULL, NULL);
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_vit_config config = tiny;
    config.drop_path = 0.3f;
    fixture f = open_fixture(1, &config);
    must(assay_tensor_want_grad(f.images, &error), &error);
    /* A class token as small as it starts makes the first norm too curved for differences. */
    for (int k = 0; k < WIDTH; k++)
        values(&f, "cls_token")[k] *= 50;
    check_gradients(f.tape, encode, &f, f.params, f.images,
                    &(assay_gradcheck_options){.max_entries = 8, .training = true});
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_sizes_have_their_published_numbers_of_parameters),
        cmocka_unit_test(positions_are_the_sines_and_cosines_of_the_specification),
        cmocka_unit_test(parameters_start_as_in_pre_training),
        cmocka_unit_test(a_configuration_that_is_no_model_is_refused),
        cmocka_unit_test(embedding_is_a_convolution_plus_positions),
        cmocka_unit_test(images_of_another_size_are_refused),
        cmocka_unit_test(a_block_scaled_to_nothing_is_the_identity),
        cmocka_unit_test(drop_path_is_constant_or_grows_from_nothing),
        cmocka_unit_test(maps_are_distributions_and_states_are_named),
        cmocka_unit_test(the_last_block_is_the_output_without_a_final_norm),
        cmocka_unit_test(gradients_match_central_differences),
    };
    return cmocka_run_group_tests_name("vit", tests, NULL, NULL);
}
