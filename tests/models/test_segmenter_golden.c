/* test_segmenter_golden.c - model and loss `segmenter`, `segmentation` beside values computed
 * independently in another framework: the loss with its gradients in training mode, and the logits
 * in evaluation mode, for the pyramid of several blocks and of the last one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/labelled.h"

#define VIT       "infrared/vit.safetensors"
#define IMAGES    "infrared/vit_reference.safetensors"
#define HEAD      "infrared/segmenter_head.safetensors"
#define REFERENCE "infrared/segmenter_reference.safetensors"

enum { BLOCKS = 4 };

typedef struct files {
    assay_weights *vit, *images, *head, *reference;
} files;

/* The model's name of a tensor of the file of heads. */
static const char *own_name(const char *name)
{
    if (strncmp(name, "fpn1.", 5) == 0 || strncmp(name, "fpn2.", 5) == 0)
        return name;
    if (strncmp(name, "auxiliary.", 10) == 0)
        return assay_text("auxiliary_head.%s", name + 10);
    return assay_text("decode_head.%s", name);
}

static assay_tensor *parameter(const segmenting *s, const char *name)
{
    assay_parameter *found = assay_params_find(s->params, own_name(name));
    if (!found)
        fail_msg("the model has no parameter %s", own_name(name));
    return found->value;
}

static void load(const files *f, segmenting *s)
{
    assay_error error = {0};
    int64_t loaded = 0;
    const assay_load_options lenient = {.allow_missing = true, .allow_unused = true};
    must(assay_params_load(s->params, f->vit, &lenient, &loaded, &error), &error);
    for (int64_t i = 0; i < assay_weights_count(f->head); i++) {
        const assay_stored *stored = assay_weights_at(f->head, i);
        must(assay_stored_read(stored, parameter(s, stored->name), &error), &error);
    }
    /* The final norm is the only thing of the ViT that the model has no place for. */
    assert_int_equal(loaded, assay_weights_count(f->vit) - 2);
    assert_int_equal(loaded + assay_weights_count(f->head), assay_params_count(s->params));
}

static void take_images(const files *f, labelled *to)
{
    const assay_stored *images = golden_get(f->images, "image");
    const int64_t n = images->shape[0], height = images->shape[2], width = images->shape[3];
    assay_tensor *pixels = golden_tensor(f->images, "image", ASSAY_F32);
    assay_tensor *labels = golden_tensor(f->reference, "labels", ASSAY_U8);
    labelled_open(to, (int)golden_get(f->head, "conv_seg.bias")->shape[0]);
    for (int64_t i = 0; i < n; i++) {
        labelled_image *image = labelled_add(to, height, width);
        memcpy(image->pixels, assay_f32(pixels) + i * height * width,
               (size_t)(height * width) * sizeof *image->pixels);
        memcpy(image->truth, assay_u8(labels) + i * height * width, (size_t)(height * width));
    }
    assay_tensor_free(pixels);
    assay_tensor_free(labels);
}

static int64_t count_layers(const files *f)
{
    int64_t layers = 0;
    while (assay_weights_find(f->images, assay_text("layer.%lld", (long long)layers)))
        layers++;
    return layers;
}

/* Sizes from the shapes of the files. */
static void begin(const files *f, segmenting *s, const labelled *images)
{
    segmenting_begin(s, images, golden_get(f->images, "image")->shape[2]);
    use_number(&s->model, "width", (double)golden_get(f->vit, "cls_token")->shape[2]);
    use_number(&s->model, "layers", (double)count_layers(f));
    use_number(&s->model, "heads", (double)golden_get(f->images, "attention.0")->shape[1]);
    use_number(&s->model, "mlp", (double)golden_get(f->vit, "blocks.0.mlp.fc1.bias")->shape[0]);
    use_number(&s->model, "patch", (double)golden_get(f->vit, "patch_embed.proj.weight")->shape[3]);
    use_number(&s->model, "layer_scale", assay_weights_find(f->vit, "blocks.0.gamma_1") ? 1 : 0);
}

static void choose_head(const files *f, segmenting *s, const char *mode)
{
    char blocks[64] = "";
    assay_tensor *taken = golden_tensor(f->reference, assay_text("%s.layers", mode), ASSAY_I32);
    assert_int_equal(assay_tensor_count(taken), BLOCKS);
    for (int i = 0; i < BLOCKS; i++)
        snprintf(blocks + strlen(blocks), sizeof blocks - strlen(blocks), "%s%d", i ? "," : "",
                 assay_i32(taken)[i]);
    assay_tensor_free(taken);
    use_list(&s->model, "blocks", blocks);
    use_number(&s->model, "channels", (double)golden_get(f->head, "conv_seg.weight")->shape[1]);
    use_number(&s->model, "auxiliary_channels",
               (double)golden_get(f->head, "auxiliary.conv_seg.weight")->shape[1]);
}

static void check_logits(golden_group *group, segmenting *s, const char *mode)
{
    static const char *const names[] = {"image.logits"};
    segmenting_pass(s, 0, s->dataset->count, ASSAY_EVALUATION, &(assay_wanted){1, names});
    golden_check_value(group, assay_text("%s.eval_logits", mode),
                       segmenting_output(s, "image.logits"));
}

static void check_training(golden_group *group, segmenting *s, const files *f, const char *mode)
{
    assay_error error = {0};
    const char *names[ASSAY_MAX_OUTPUTS];
    char prefix[32];
    int count = 0;
    use of = use_open("loss_segmentation");
    const assay_loss_functions *functions = use_loss(&of);
    const assay_loss_setup setup = {.size = sizeof setup, .facts = &s->facts, .params = s->params};
    must(functions->wants(of.options, names, &count, &error), &error);
    void *opened = functions->open(of.options, &setup, &error);
    must(opened != NULL, &error);
    segmenting_pass(s, 0, s->dataset->count, ASSAY_TRAINING, &(assay_wanted){count, names});
    assay_tensor *loss =
        functions->compute(opened, s->tape, &(assay_clock){0}, &s->batch, &s->outputs);
    tape_must(s->tape, loss != NULL);
    golden_check_value(group, assay_text("%s.loss", mode), loss);
    tape_must(s->tape, assay_tape_backward(s->tape, loss, 1.0f));
    snprintf(prefix, sizeof prefix, "%s.grad.", mode);
    for (int64_t i = 0; i < assay_weights_count(f->reference); i++) {
        const char *name = assay_weights_at(f->reference, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            golden_check_gradient(group, name, parameter(s, name + strlen(prefix)));
    }
    functions->close(opened);
    use_close(&of);
}

static void check_mode(const char *mode)
{
    files f = {golden_open(VIT), golden_open(IMAGES), golden_open(HEAD), golden_open(REFERENCE)};
    labelled images;
    take_images(&f, &images);
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        segmenting s;
        golden_group group = golden_begin(mode, f.reference, golden_device(d));
        begin(&f, &s, &images);
        choose_head(&f, &s, mode);
        s.device = golden_device(d);
        segmenting_open(&s, 1);
        load(&f, &s);
        check_logits(&group, &s, mode); /* before training moves the running statistics */
        check_training(&group, &s, &f, mode);
        golden_end(&group);
        segmenting_close(&s);
    }
    labelled_close(&images);
    assay_weights_close(f.vit);
    assay_weights_close(f.images);
    assay_weights_close(f.head);
    assay_weights_close(f.reference);
}

static void several_blocks_agree(void **state)
{
    (void)state;
    check_mode("multi");
}

static void the_last_block_agrees(void **state)
{
    (void)state;
    check_mode("last");
}

/* Every block through the linear head: weight (C, layers D) times the other framework's outputs. */
static void check_linear(const files *f, segmenting *s, int64_t layers)
{
    static const char *const names[] = {"image.logits"};
    segmenting_pass(s, 0, s->dataset->count, ASSAY_EVALUATION, &(assay_wanted){1, names});
    const assay_tensor *logits = segmenting_output(s, names[0]);
    const assay_tensor *weight = assay_params_find(s->params, "decode_head.conv_seg.weight")->value;
    const assay_stored *first = golden_get(f->images, "layer.0");
    const int64_t images = first->shape[0], tokens = first->shape[1], width = first->shape[2];
    const int64_t classes = weight->shape[0], patches = tokens - 1;
    double distance = 0, norm = 0;
    assert_int_equal(assay_tensor_count(logits), images * classes * patches);
    double *expected = test_calloc((size_t)(images * classes * patches), sizeof *expected);
    for (int64_t l = 0; l < layers; l++) {
        double *x = golden_doubles(golden_get(f->images, assay_text("layer.%lld", (long long)l)));
        for (int64_t i = 0; i < images * classes * patches; i++) {
            const int64_t image = i / (classes * patches), c = i / patches % classes;
            const double *token = x + (image * tokens + 1 + i % patches) * width;
            for (int64_t d = 0; d < width; d++)
                expected[i] += token[d] * (double)assay_f32(weight)[(c * layers + l) * width + d];
        }
        test_free(x);
    }
    for (int64_t i = 0; i < images * classes * patches; i++) {
        distance += pow((double)assay_f32(logits)[i] - expected[i], 2);
        norm += pow(expected[i], 2);
    }
    test_free(expected);
    assert_true(norm > 0 && sqrt(distance) <= GOLDEN_AGREEMENT * sqrt(norm));
}

static void the_linear_head_reads_every_block(void **state)
{
    (void)state;
    files f = {golden_open(VIT), golden_open(IMAGES), golden_open(HEAD), golden_open(REFERENCE)};
    const assay_load_options lenient = {.allow_missing = true, .allow_unused = true};
    const int64_t layers = count_layers(&f);
    char blocks[64] = "";
    labelled images;
    segmenting s;
    assay_error error = {0};
    take_images(&f, &images);
    begin(&f, &s, &images);
    for (int64_t l = 0; l < layers; l++)
        snprintf(blocks + strlen(blocks), sizeof blocks - strlen(blocks), "%s%lld", l ? "," : "",
                 (long long)l);
    use_list(&s.model, "blocks", blocks);
    use_text(&s.model, "head", "linear");
    segmenting_open(&s, 1);
    must(assay_params_load(s.params, f.vit, &lenient, NULL, &error), &error);
    check_linear(&f, &s, layers);
    segmenting_close(&s);
    labelled_close(&images);
    assay_weights_close(f.vit);
    assay_weights_close(f.images);
    assay_weights_close(f.head);
    assay_weights_close(f.reference);
}

int main(void)
{
    static const char *const needed[] = {VIT, IMAGES, HEAD, REFERENCE, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(several_blocks_agree), needed},
        {cmocka_unit_test(the_last_block_agrees), needed},
        {cmocka_unit_test(the_linear_head_reads_every_block), needed},
    };
    return golden_run("golden segmenter", sizeof tests / sizeof tests[0], tests);
}
