/* test_golden_distill.c - the divergence of a student's attention from a teacher's layer, and every
 * gradient of the student, against values computed independently in another framework. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <assay/blocks.h>
#include <assay/ops.h>

#include <jansson.h>

#define CONFIG    "infrared/vit.json"
#define TEACHER   "infrared/vit.safetensors"
#define STUDENT   "infrared/student.safetensors"
#define IMAGES    "infrared/vit_reference.safetensors"
#define REFERENCE "infrared/distill_reference.safetensors"

enum { CHANNELS = 3 };

/* A ViT of a file's sizes with its weights. */
typedef struct network {
    assay_params *params;
    assay_vit *vit;
} network;

static int64_t field(const char *name)
{
    char path[4096];
    json_error_t why;
    golden_path(CONFIG, path, sizeof path);
    json_t *root = json_load_file(path, 0, &why);
    if (!root)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    const json_t *value = json_object_get(root, name);
    if (!json_is_integer(value))
        fail_msg("%s lacks the field %s", CONFIG, name);
    const int64_t number = json_integer_value(value);
    json_decref(root);
    return number;
}

static int64_t layers_of(const assay_weights *file)
{
    int64_t layers = 0;
    while (assay_weights_find(file, assay_text("blocks.%lld.norm1.weight", (long long)layers)))
        layers++;
    return layers;
}

static network open_network(const char *name, int64_t heads, int64_t last_heads)
{
    network n = {0};
    assay_error error = {0};
    assay_weights *file = golden_open(name);
    const assay_vit_config config = {
        .width = golden_get(file, "norm.weight")->shape[0],
        .layers = layers_of(file),
        .heads = heads,
        .last_heads = last_heads,
        .patch = field("patch"),
        .image = field("image"),
        .mlp_width = golden_get(file, "blocks.0.mlp.fc1.weight")->shape[0],
        .channels = CHANNELS,
        .norm_eps = 1e-6f,
        .final_norm = true,
    };
    assay_weights_close(file);
    n.params = assay_params_new(0, &error);
    golden_must(n.params != NULL, &error);
    n.vit = assay_vit_new(n.params, NULL, &config, &error);
    golden_must(n.vit != NULL, &error);
    golden_load(n.params, name);
    return n;
}

static void close_network(network *n)
{
    assay_vit_free(n->vit);
    assay_params_free(n->params);
}

/* The scores (B, H, T, T) of block `layer` from 0, and nothing behind it. */
static assay_tensor *scores_of(assay_tape *tape, const network *n, assay_tensor *image,
                               int64_t layer)
{
    static assay_vit_trace trace;
    trace = (assay_vit_trace){.blocks = layer};
    trace.want_scores[layer] = true;
    assay_tensor *x = assay_concat(tape, CHANNELS, (assay_tensor *[]){image, image, image}, 1);
    x = assay_vit_traced(tape, n->vit, assay_vit_embed(tape, n->vit, x), NULL, &trace);
    golden_tape_must(tape, x != NULL && trace.scores[layer] != NULL);
    return trace.scores[layer];
}

static void check_gradients(golden_group *group, const assay_params *params)
{
    for (int64_t i = 0; i < assay_weights_count(group->file); i++) {
        const char *name = assay_weights_at(group->file, i)->name;
        if (strncmp(name, "grad.", 5) != 0)
            continue;
        const assay_parameter *parameter = assay_params_find(params, name + 5);
        if (!parameter)
            fail_msg("the student has no %s", name + 5);
        golden_check_gradient(group, name, parameter->value);
    }
}

static void check_distillation(const assay_weights *reference, const assay_device *device)
{
    assay_weights *images = golden_open(IMAGES);
    assay_tensor *image = golden_tensor(images, "image", ASSAY_F32);
    assay_tensor *heads = golden_tensor(reference, "student_heads", ASSAY_I32);
    const int64_t layers = assay_tensor_count(heads);
    const int64_t taught = (int64_t)golden_scalar(reference, "teacher_layer") - 1;
    network teacher = open_network(TEACHER, field("heads"), 0);
    network student =
        open_network(STUDENT, assay_i32(heads)[0], layers > 1 ? assay_i32(heads)[layers - 1] : 0);
    assay_tape *tape = golden_tape(device);
    golden_group group = golden_begin("distill", reference, device);
    assert_int_equal(assay_vit_config_get(student.vit)->layers, layers);
    assay_tape_begin(tape, (assay_step){0});
    assay_tape_pause(tape, true);
    assay_tensor *theirs = scores_of(tape, &teacher, image, taught);
    assay_tape_pause(tape, false);
    assay_tensor *loss = assay_softmax_divergence(
        tape, scores_of(tape, &student, image, layers - 1), theirs, ASSAY_KL);
    golden_tape_must(tape, loss != NULL && assay_tape_backward(tape, loss, 1.0f));
    golden_check_value(&group, "loss", loss);
    check_gradients(&group, student.params);
    golden_end(&group);
    for (int64_t i = 0; i < assay_params_count(teacher.params); i++)
        assert_false(assay_params_at(teacher.params, i)->value->has_grad);
    assay_tape_free(tape);
    close_network(&teacher);
    close_network(&student);
    assay_tensor_free(heads);
    assay_tensor_free(image);
    assay_weights_close(images);
}

static void the_loss_and_its_gradients_agree(void **state)
{
    (void)state;
    assay_weights *reference = golden_open(REFERENCE);
    for (int d = 0; d < GOLDEN_DEVICES; d++)
        check_distillation(reference, golden_device(d));
    assay_weights_close(reference);
}

int main(void)
{
    static const char *const files[] = {CONFIG, TEACHER, STUDENT, IMAGES, REFERENCE, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(the_loss_and_its_gradients_agree), files},
    };
    return golden_run("golden distill", sizeof tests / sizeof tests[0], tests);
}
