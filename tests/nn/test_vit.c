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
    assert_memory_equal(assay_elements(x), assay_elements(y), (size_t)assay_tensor_bytes(x));
    assert_memory_not_equal(assay_elements(x), assay_elements(z), (size_t)assay_tensor_bytes(x));
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
        memcpy(kept, assay_elements(layers[layer]), sizeof kept);
        assay_tape_begin(f->tape,
                         (assay_step){.clock = clock, .training = true, .no_gradient = true});
        must(assay_vit_forward(f->tape, f->vit, f->images, layers, NULL) != NULL,
             assay_tape_error(f->tape));
        if (memcmp(kept, assay_elements(layers[layer]), sizeof kept) != 0)
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

/* ---- what infrared pre-training adds ---- */

static assay_vit_config with_bias(void)
{
    assay_vit_config config = tiny;
    config.relative_bias = true;
    config.last_heads = 4;
    return config;
}

static void the_last_block_may_have_heads_of_its_own(void **state)
{
    (void)state;
    assay_vit_config config = with_bias();
    assay_vit_trace trace = {.blocks = 2, .want_map = {true, true}, .want_scores = {true, true}};
    fixture f = open_fixture(0, &config);
    assert_int_equal(
        assay_params_find(f.params, "blocks.0.attn.relative_position_bias_table")->value->shape[1],
        2);
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
    x = assay_vit_traced(f.tape, f.vit, x, NULL, &trace);
    must(x != NULL, assay_tape_error(f.tape));
    assert_ptr_equal(x, trace.layers[1]);
    for (int layer = 0; layer < 2; layer++) {
        assert_int_equal(trace.maps[layer]->shape[1], layer == 0 ? 2 : 4);
        assert_true(assay_tensor_same_shape(trace.maps[layer], trace.scores[layer]));
    }
    close_fixture(&f);
}

/* Spec 1.4, on a grid of 2: the entry of every pair, written out. */
static int entry(int i, int j)
{
    static const int of_patches[4][4] = {{4, 3, 1, 0}, {5, 4, 2, 1}, {7, 6, 4, 3}, {8, 7, 5, 4}};
    if (i == 0)
        return j == 0 ? 11 : 9;
    return j == 0 ? 10 : of_patches[i - 1][j - 1];
}

/* Scores are q k' / sqrt(d) plus the bias, and their softmax is the map. */
static void scores_are_the_logits_of_the_map(void **state)
{
    (void)state;
    assay_vit_config config = with_bias();
    fixture f = open_fixture(0, &config);
    float *table = values(&f, "blocks.0.attn.relative_position_bias_table");
    for (int k = 0; k < 12 * 2; k++)
        table[k] = (float)(k % 7) - 3;
    assay_vit_trace plain = {.want_scores = {true}},
                    biased = {.want_map = {true}, .want_scores = {true}};
    const assay_attention_bias full = assay_bias_full();
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
    must(assay_vit_traced(f.tape, f.vit, x, &full, &plain) == x &&
             assay_vit_traced(f.tape, f.vit, x, NULL, &biased) == x,
         assay_tape_error(f.tape));
    const float *without = assay_f32(plain.scores[0]), *with = assay_f32(biased.scores[0]);
    for (int b = 0; b < BATCH; b++)
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < TOKENS; i++) {
                int64_t row = ((b * 2 + h) * TOKENS + i) * TOKENS;
                double sum = 0;
                for (int j = 0; j < TOKENS; j++) {
                    assert_true(fabs((double)(with[row + j] - without[row + j] -
                                              table[entry(i, j) * 2 + h])) < 1e-5);
                    sum += exp((double)with[row + j]);
                }
                for (int j = 0; j < TOKENS; j++)
                    assert_true(fabs((double)assay_f32(biased.maps[0])[row + j] -
                                     exp((double)with[row + j]) / sum) < 1e-5);
            }
    close_fixture(&f);
}

/* Scores of the first block are there when no block is run, and nothing behind them is. */
static void a_pass_stops_where_nothing_more_is_wanted(void **state)
{
    (void)state;
    fixture f = open_fixture(0, &tiny);
    assay_vit_trace all = {.blocks = 2, .want_scores = {false, true}},
                    some = {.blocks = 1, .want_scores = {false, true}}, none = {.blocks = 3};
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
    must(assay_vit_traced(f.tape, f.vit, x, NULL, &all) != NULL, assay_tape_error(f.tape));
    int64_t nodes = assay_tape_stats_get(f.tape).nodes;
    assay_tape_begin(f.tape, (assay_step){0});
    x = assay_vit_embed(f.tape, f.vit, f.images);
    float kept[BATCH * 2 * TOKENS * TOKENS];
    assay_tensor *y = assay_vit_traced(f.tape, f.vit, x, NULL, &some);
    must(y != NULL, assay_tape_error(f.tape));
    assert_ptr_equal(y, some.layers[0]);
    assert_null(some.layers[1]);
    assert_true(assay_tape_stats_get(f.tape).nodes < nodes);
    memcpy(kept, assay_elements(some.scores[1]), sizeof kept);
    assay_tape_begin(f.tape, (assay_step){0});
    x = assay_vit_embed(f.tape, f.vit, f.images);
    must(assay_vit_traced(f.tape, f.vit, x, NULL, &all) != NULL, assay_tape_error(f.tape));
    assert_memory_equal(kept, assay_elements(all.scores[1]), sizeof kept);
    assert_null(assay_vit_traced(f.tape, f.vit, x, NULL, &none));
    assert_failed(assay_tape_error(f.tape), ASSAY_BAD_INPUT, "no such block");
    close_fixture(&f);
}

static void a_relative_bias_needs_every_token(void **state)
{
    (void)state;
    assay_vit_config config = with_bias();
    fixture f = open_fixture(0, &config);
    assay_tape_begin(f.tape, (assay_step){0});
    assay_tensor *x = assay_vit_embed(f.tape, f.vit, f.images);
    assert_null(assay_vit_block(f.tape, f.vit, 0, assay_slice(f.tape, x, 1, 0, 3), NULL, NULL));
    assert_failed(assay_tape_error(f.tape), ASSAY_BAD_SHAPE, "(B, 5, 8)");
    close_fixture(&f);
}

/* Spec 1.6: N(0, 0.02) for linear layers; the convolution as PyTorch draws one, with its bias. */
static void parameters_start_as_in_segmentation(void **state)
{
    (void)state;
    assay_vit_config config = tiny;
    config.start = ASSAY_VIT_SEGMENTATION;
    config.width = 64;
    fixture f = open_fixture(0, &config);
    const assay_tensor *w = assay_params_find(f.params, "blocks.0.attn.qkv.weight")->value;
    double sum = 0, bound = 1 / sqrt(CHANNELS * PATCH * PATCH), largest = 0;
    int64_t n = assay_tensor_count(w);
    for (int64_t i = 0; i < n; i++)
        sum += (double)assay_f32(w)[i] * (double)assay_f32(w)[i];
    assert_true(fabs(sqrt(sum / (double)n) - 0.02) < 0.001);
    for (int k = 0; k < 64; k++)
        largest = fmax(largest, fabs((double)values(&f, "patch_embed.proj.bias")[k]));
    assert_true(largest > 0.8 * bound && largest <= bound);
    close_fixture(&f);
}

/* Spec section 4, item 7: the factors of layer-wise decay. */
static void depths_give_the_published_factors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double decay, factor;
    } expected[] = {{"cls_token", 0.65, 0.003697},
                    {"blocks.0.norm1.weight", 0.65, 0.005688},
                    {"blocks.11.mlp.fc2.bias", 0.65, 0.65},
                    {"norm.weight", 0.65, 1},
                    {"patch_embed.proj.weight", 0.85, 0.120905},
                    {"blocks.11.gamma_1", 0.85, 0.85},
                    {"blocks.12.norm1.weight", 0.85, 1},
                    {"pos_embed", 0.85, 0.120905}};
    assay_error error = {0};
    assay_vit_config base;
    must(assay_vit_config_named("base", 224, &base, &error), &error);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int64_t depth = assay_vit_depth(&base, expected[i].name);
        double factor = pow(expected[i].decay, (double)(base.layers + 1 - depth));
        assert_true(fabs(factor - expected[i].factor) < 5e-7);
    }
}

static void blocks_stand_alone(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_vit_config config = {.width = 6, .layers = 1, .heads = 3, .mlp_width = 8};
    config.norm_eps = 1e-6f;
    config.final_norm = config.blocks_only = true;
    assay_params *params = new_params(0);
    assay_vit *vit = assay_vit_new(params, "decoder_", &config, &error);
    must(vit != NULL, &error);
    assert_string_equal(assay_params_at(params, 0)->name, "decoder_blocks.0.norm1.weight");
    assert_null(assay_params_find(params, "decoder_pos_embed"));
    assert_non_null(assay_params_find(params, "decoder_norm.bias"));
    assay_vit_free(vit);
    config.relative_bias = true;
    assert_null(assay_vit_new(params, "other_", &config, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "exclude");
    assay_params_free(params);
}

/* Doubles what an adapter is given at one place, and counts. */
typedef struct doubler {
    const char *place;
    int times;
    bool same_input;
    assay_tensor *inputs[2];
} doubler;

static bool doubles(void *user, const char *name)
{
    doubler *d = user;
    return strcmp(name, d->place) == 0 ||
           (d->same_input && strncmp(name, d->place, strlen(d->place)) == 0);
}

static assay_tensor *twice(void *user, assay_tape *tape, const char *name, assay_tensor *input,
                           assay_tensor *output)
{
    doubler *d = user;
    (void)name;
    d->inputs[d->times++ % 2] = input;
    return assay_scale(tape, output, 2);
}

static void adapters_act_at_every_linear_layer_and_beside_the_mlp(void **state)
{
    (void)state;
    static const char *const places[] = {"blocks.1.attn.qkv", "blocks.1.attn.proj",
                                         "blocks.1.mlp.fc1",  "blocks.1.mlp.fc2",
                                         "blocks.1.mlp",      "blocks.1.mlp.scaled"};
    float before[BATCH * TOKENS * WIDTH];
    for (int p = 0; p < 6; p++) {
        fixture f = open_fixture(0, &tiny);
        doubler d = {.place = places[p]};
        assay_tape_begin(f.tape, (assay_step){0});
        assay_tensor *x = assay_vit_forward(f.tape, f.vit, f.images, NULL, NULL);
        must(x != NULL, assay_tape_error(f.tape));
        memcpy(before, assay_elements(x), sizeof before);
        assert_true(assay_tape_attach(f.tape, (assay_attachment){&d, doubles, twice}));
        assay_tape_begin(f.tape, (assay_step){0});
        x = assay_vit_forward(f.tape, f.vit, f.images, NULL, NULL);
        must(x != NULL, assay_tape_error(f.tape));
        assert_int_equal(d.times, 1);
        assert_memory_not_equal(before, assay_elements(x), sizeof before);
        close_fixture(&f);
    }
    /* The two branch places of a block are given the same stream. */
    fixture f = open_fixture(0, &tiny);
    doubler d = {.place = "blocks.0.mlp", .same_input = true};
    assert_true(assay_tape_attach(f.tape, (assay_attachment){&d, doubles, twice}));
    assay_tape_begin(f.tape, (assay_step){0});
    must(assay_vit_forward(f.tape, f.vit, f.images, NULL, NULL) != NULL, assay_tape_error(f.tape));
    assert_int_equal(d.times, 4); /* fc1, fc2, the branch, and the branch as it is added */
    assert_ptr_equal(d.inputs[0], d.inputs[1]);
    close_fixture(&f);
}

static void gradients_of_biases_and_last_heads_match_differences(void **state)
{
    (void)state;
    assay_vit_config config = with_bias();
    fixture f = open_fixture(1, &config);
    for (int k = 0; k < WIDTH; k++)
        values(&f, "cls_token")[k] *= 50;
    check_gradients(f.tape, encode, &f, f.params, NULL,
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
        cmocka_unit_test(the_last_block_may_have_heads_of_its_own),
        cmocka_unit_test(scores_are_the_logits_of_the_map),
        cmocka_unit_test(a_pass_stops_where_nothing_more_is_wanted),
        cmocka_unit_test(a_relative_bias_needs_every_token),
        cmocka_unit_test(parameters_start_as_in_segmentation),
        cmocka_unit_test(depths_give_the_published_factors),
        cmocka_unit_test(blocks_stand_alone),
        cmocka_unit_test(adapters_act_at_every_linear_layer_and_beside_the_mlp),
        cmocka_unit_test(gradients_of_biases_and_last_heads_match_differences),
    };
    return cmocka_run_group_tests_name("vit", tests, NULL, NULL);
}
