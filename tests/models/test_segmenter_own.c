/* test_segmenter_own.c - the segmenter beside a reference that shares no code with it
 * (scripts/reference/segmenter_own.py, in double precision): relative position bias, layer scale
 * and the linear head by a step's values and every gradient, sliding windows by the classes of
 * pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/labelled.h"

#define OWN "infrared_own/segmenter.safetensors"

enum { LAYERS = 3, WIDE = 3 };

/* Image and truth (or NULL) of the dataset from one of the file's arrays, from `at` on. */
static void add_image(labelled *to, int64_t height, int64_t width, const assay_tensor *pixels,
                      const assay_tensor *truth, int64_t at)
{
    const size_t n = (size_t)(height * width);
    labelled_image *image = labelled_add(to, height, width);
    memcpy(image->pixels, assay_f32(pixels) + at, n * sizeof *image->pixels);
    if (truth)
        memcpy(image->truth, assay_u8(truth) + at, n);
}

/* The batch of the step, then the images that need windows. */
static void take_images(const assay_weights *file, labelled *to)
{
    labelled_open(to, (int)golden_get(file, "param.decode_head.conv_seg.bias")->shape[0]);
    assay_tensor *pixels = golden_tensor(file, "image", ASSAY_F32);
    assay_tensor *truth = golden_tensor(file, "labels", ASSAY_U8);
    const int64_t *shape = pixels->shape;
    for (int64_t i = 0; i < shape[0]; i++)
        add_image(to, shape[1], shape[2], pixels, truth, i * shape[1] * shape[2]);
    assay_tensor_free(pixels);
    assay_tensor_free(truth);
    for (int i = 0; i < WIDE; i++) {
        pixels = golden_tensor(file, assay_text("wide.%d", i), ASSAY_F32);
        add_image(to, pixels->shape[0], pixels->shape[1], pixels, NULL, 0);
        assay_tensor_free(pixels);
    }
}

static void load(const assay_weights *file, segmenting *s)
{
    assay_error error = {0};
    for (int64_t i = 0; i < assay_params_count(s->params); i++) {
        const assay_parameter *p = assay_params_at(s->params, i);
        must(assay_stored_read(golden_get(file, assay_text("param.%s", p->name)), p->value, &error),
             &error);
    }
}

static void begin(const assay_weights *file, segmenting *s, const labelled *images,
                  const assay_device *device)
{
    assay_tensor *sizes = golden_tensor(file, "sizes", ASSAY_I32);
    const int32_t *size = assay_i32(sizes);
    segmenting_begin(s, images, size[0]);
    use_number(&s->model, "stride", size[1]);
    use_number(&s->model, "fit_long", size[2]);
    use_number(&s->model, "fit_short", size[3]);
    use_number(&s->model, "width", (double)golden_get(file, "param.cls_token")->shape[2]);
    use_number(&s->model, "layers", LAYERS);
    use_number(&s->model, "heads", (double)golden_get(file, "attention.0")->shape[1]);
    use_number(&s->model, "mlp", (double)golden_get(file, "param.blocks.0.mlp.fc1.bias")->shape[0]);
    use_number(&s->model, "patch",
               (double)golden_get(file, "param.patch_embed.proj.weight")->shape[3]);
    use_number(&s->model, "layer_scale", 1);
    use_number(&s->model, "relative_bias", 1);
    use_text(&s->model, "head", "linear");
    use_list(&s->model, "blocks", "0,2");
    s->device = device;
    assay_tensor_free(sizes);
    segmenting_open(s, 1);
    load(file, s);
}

static assay_tensor *loss_of(segmenting *s, int count)
{
    assay_error error = {0};
    use of = use_open("loss_segmentation");
    const assay_loss_functions *functions = use_loss(&of);
    const assay_loss_setup setup = {.size = sizeof setup, .facts = &s->facts, .params = s->params};
    void *opened = functions->open(of.options, &setup, &error);
    must(opened != NULL, &error);
    assert_int_equal(s->batch.samples, count);
    assay_tensor *loss =
        functions->compute(opened, s->tape, &(assay_clock){0}, &s->batch, &s->outputs);
    functions->close(opened);
    use_close(&of);
    tape_must(s->tape, loss != NULL);
    return loss;
}

static void check_step(golden_group *group, segmenting *s, int count)
{
    static const char *const names[] = {
        "image.logits",   "image.truth",       "image.layers.0",    "image.layers.1",
        "image.layers.2", "image.attention.0", "image.attention.1", "image.attention.2"};
    segmenting_pass(s, 0, count, ASSAY_TRAINING, &(assay_wanted){2 + 2 * LAYERS, names});
    assay_tensor *loss = loss_of(s, count);
    golden_check_value(group, "loss", loss);
    golden_check_value(group, "logits", segmenting_output(s, "image.logits"));
    for (int i = 2; i < 2 + LAYERS; i++)
        golden_check_value(group, assay_text("layer.%d", i - 2), segmenting_output(s, names[i]));
    for (int i = 2 + LAYERS; i < 2 + 2 * LAYERS; i++)
        golden_check_value(group, assay_text("attention.%d", i - 2 - LAYERS),
                           segmenting_output(s, names[i]));
    tape_must(s->tape, assay_tape_backward(s->tape, loss, 1.0f));
    golden_check_gradients(group, "grad.", s->params);
}

static void a_step_with_bias_scale_and_linear_head_agrees(void **state)
{
    (void)state;
    assay_weights *file = golden_open(OWN);
    const int count = (int)golden_get(file, "image")->shape[0];
    labelled images;
    take_images(file, &images);
    for (int d = 0; d < GOLDEN_DEVICES; d++) {
        segmenting s;
        golden_group group = golden_begin("linear segmenter", file, golden_device(d));
        begin(file, &s, &images, golden_device(d));
        check_step(&group, &s, count);
        /* A loss, logits, layers and maps, and every parameter. */
        assert_int_equal(group.compared, 2 + 2 * LAYERS + assay_params_count(s.params));
        golden_end(&group);
        segmenting_close(&s);
    }
    labelled_close(&images);
    assay_weights_close(file);
}

/* Every pixel has the class with the largest of the reference's mean logits; returns the classes
 * met. */
static unsigned check_classes(const assay_weights *file, int image, const int32_t *classes)
{
    const assay_stored *stored = golden_get(file, assay_text("scores.%d", image));
    const int64_t count = stored->shape[0], pixels = stored->shape[1] * stored->shape[2];
    double *scores = golden_doubles(stored);
    unsigned met = 0;
    for (int64_t i = 0; i < pixels; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < count; c++)
            if (scores[c * pixels + i] > scores[best * pixels + i])
                best = c;
        if (classes[i] != best)
            fail_msg("image %d, pixel %lld is of class %d, not %lld", image, (long long)i,
                     classes[i], (long long)best);
        met |= 1U << best;
    }
    test_free(scores);
    return met;
}

static void sliding_windows_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"image.prediction"};
    assay_weights *file = golden_open(OWN);
    const int64_t first = golden_get(file, "image")->shape[0];
    labelled images;
    segmenting s;
    unsigned met = 0;
    take_images(file, &images);
    begin(file, &s, &images, golden_device(0));
    segmenting_pass(&s, first, WIDE, ASSAY_EVALUATION, &(assay_wanted){1, names});
    const assay_tensor *predicted = segmenting_output(&s, names[0]);
    int64_t at = 0;
    for (int i = 0; i < WIDE; i++) {
        met |= check_classes(file, i, assay_i32(predicted) + at);
        at += images.images[first + i].height * images.images[first + i].width;
    }
    assert_int_equal(at, assay_tensor_count(predicted));
    assert_int_equal(met, (1U << images.classes) - 1); /* every class is somewhere */
    segmenting_close(&s);
    labelled_close(&images);
    assay_weights_close(file);
}

int main(void)
{
    static const char *const needed[] = {OWN, NULL};
    const golden_test tests[] = {
        {cmocka_unit_test(a_step_with_bias_scale_and_linear_head_agrees), needed},
        {cmocka_unit_test(sliding_windows_agree), needed},
    };
    return golden_run("own segmenter", sizeof tests / sizeof tests[0], tests);
}
