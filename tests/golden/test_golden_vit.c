/* test_golden_vit.c - the ViT's block outputs, attention maps and all its gradients, against values
 * computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/blocks.h>

#include <jansson.h>

#define CONFIG    "infrared/vit.json"
#define WEIGHTS   "infrared/vit.safetensors"
#define REFERENCE "infrared/vit_reference.safetensors"

enum { MAX_LAYERS = 64, MAX_CHANNELS = 16 };

static int64_t field(const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);
    if (!json_is_integer(value))
        fail_msg("%s lacks the field %s", CONFIG, name);
    return json_integer_value(value);
}

/* Sizes from the configuration; what it leaves open from the shapes of the weights. */
static assay_vit_config read_config(const assay_weights *weights)
{
    char path[4096];
    json_error_t why;
    golden_path(CONFIG, path, sizeof path);
    json_t *root = json_load_file(path, 0, &why);
    if (!root)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    assay_vit_config config = {
        .width = field(root, "dim"),
        .layers = field(root, "depth"),
        .heads = field(root, "heads"),
        .patch = field(root, "patch"),
        .image = field(root, "image"),
        .mlp_width = golden_get(weights, "blocks.0.mlp.fc1.weight")->shape[0],
        .channels = golden_get(weights, "patch_embed.proj.weight")->shape[1],
        .norm_eps = 1e-6f,
        .final_norm = assay_weights_find(weights, "norm.weight") != NULL,
        .layer_scale = assay_weights_find(weights, "blocks.0.gamma_1") != NULL,
    };
    json_decref(root);
    return config;
}

/* One channel replicated to all that the model takes. */
static assay_tensor *replicate(assay_tape *tape, assay_tensor *image, int64_t channels)
{
    assay_tensor *same[MAX_CHANNELS];
    assert_in_range(channels, 1, MAX_CHANNELS);
    for (int64_t i = 0; i < channels; i++)
        same[i] = image;
    return assay_concat(tape, (int)channels, same, 1);
}

static void check_layers(golden_group *group, int64_t n, assay_tensor *const layers[],
                         assay_tensor *const maps[])
{
    for (int64_t i = 0; i < n; i++) {
        golden_check_value(group, assay_text("layer.%lld", (long long)i), layers[i]);
        golden_check_value(group, assay_text("attention.%lld", (long long)i), maps[i]);
    }
}

static void check_vit(const assay_vit *vit, const assay_params *params,
                      const assay_weights *reference, const assay_device *device)
{
    const assay_vit_config *config = assay_vit_config_get(vit);
    assay_tensor *layers[MAX_LAYERS], *maps[MAX_LAYERS];
    assay_tensor *image = golden_tensor(reference, "image", ASSAY_F32);
    assay_tensor *cotangent = golden_tensor(reference, "cotangent", ASSAY_F32);
    assay_tape *tape = golden_tape(device);
    golden_group group = golden_begin("vit", reference, device);
    assert_in_range(config->layers, 1, MAX_LAYERS);
    assay_tape_begin(tape, (assay_step){0});
    assay_tensor *x = replicate(tape, image, config->channels);
    x = assay_vit_forward(tape, vit, x, layers, maps);
    assay_tensor *loss = assay_sum(tape, assay_mul(tape, x, cotangent));
    golden_tape_must(tape, loss != NULL);
    golden_check_value(&group, "final_norm", x);
    check_layers(&group, config->layers, layers, maps);
    golden_tape_must(tape, assay_tape_backward(tape, loss, 1.0f));
    golden_check_gradients(&group, "grad.", params);
    golden_end(&group);
    assay_tape_free(tape);
    assay_tensor_free(image);
    assay_tensor_free(cotangent);
}

static void layers_maps_and_gradients_agree(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_weights *weights = golden_open(WEIGHTS), *reference = golden_open(REFERENCE);
    assay_vit_config config = read_config(weights);
    assay_weights_close(weights);
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        assay_params *params = assay_params_new(0, &error);
        golden_must(params != NULL, &error);
        assay_vit *vit = assay_vit_new(params, NULL, &config, &error);
        golden_must(vit != NULL, &error);
        golden_load(params, WEIGHTS);
        check_vit(vit, params, reference, golden_device(d));
        assay_vit_free(vit);
        assay_params_free(params);
    }
    assay_weights_close(reference);
}

int main(void)
{
    static const char *const files[] = {CONFIG, WEIGHTS, REFERENCE, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(layers_maps_and_gradients_agree), files},
    };
    return golden_run("golden vit", sizeof tests / sizeof tests[0], tests);
}
