/* test_layer_probe.c - linear probes on the layers of a frozen vit: they learn what a layer shows,
 * alone or together, on images of any size, and leave the network as it was. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/nets.h"

#include <assay/memory.h>
#include <assay/random.h>

enum { SIDE = 16, PATCH = 4, IMAGES = 12, CLASSES = 3 };

/* Squares of one patch, each cold, warm or hot with noise; the last row of pixels is not
 * counted. */
typedef struct bench {
    photos photos;
    net net;
    use used;
    assay_host host;
    jury jury;
    float pixels[IMAGES * SIDE * SIDE];
    uint8_t truth[IMAGES * SIDE * SIDE];
} bench;

static void paint(bench *b)
{
    const assay_stream stream = assay_stream_of(4, "squares", 0);
    for (int64_t i = 0; i < IMAGES * SIDE * SIDE; i++) {
        const int64_t image = i / (SIDE * SIDE), y = i / SIDE % SIDE, x = i % SIDE;
        const uint64_t square = (uint64_t)((image * 100 + y / PATCH) * 100 + x / PATCH);
        const int class = (int)assay_random_below(stream, square, CLASSES);
        b->pixels[i] =
            (float)class - 1 + 0.1f * assay_random_uniform(stream, 1000000 + (uint64_t)i);
        b->truth[i] = y == SIDE - 1 ? 255 : (uint8_t) class;
    }
}

static void begin(bench *b)
{
    memset(b, 0, sizeof *b);
    paint(b);
    photos_open(&b->photos, IMAGES, SIDE, b->pixels, b->truth);
    net_begin(&b->net, &b->photos.data, 24, 2, 2, SIDE);
    use_number(&b->net.model, "patch", PATCH);
    use_number(&b->net.model, "layer_scale", 1);
    net_open(&b->net, 7);
    b->host = (assay_host){.size = sizeof b->host};
    b->used = use_open("evaluator_layer_probe");
    use_number(&b->used, "steps", 120);
    use_number(&b->used, "batch", 4);
    use_number(&b->used, "lr", 3e-2);
}

static void evaluate(bench *b)
{
    assay_error error = {0};
    const assay_evaluator_functions *f = use_evaluator(&b->used);
    jury_end(&b->jury);
    jury_begin(&b->jury, &b->net, &b->photos.data, &b->host);
    must(f->check(b->used.options, &b->photos.data, &b->net.facts, &error), &error);
    must(f->evaluate(b->used.options, &b->jury.evaluation, &error), &error);
}

static void end(bench *b)
{
    jury_end(&b->jury);
    use_close(&b->used);
    net_close(&b->net);
}

static double miou(const bench *b, int layer)
{
    return jury_value(&b->jury, assay_text("layer_probe/layer.%d/miou@valid", layer));
}

/* Logits of squares blur into each other where they are resized, so not every pixel can be
 * right. */
static void squares_that_tokens_show_are_named(void **state)
{
    (void)state;
    static bench b;
    begin(&b);
    evaluate(&b);
    if (miou(&b, 1) < 0.6 || miou(&b, 2) < 0.6)
        fail_msg("mIoU %g and %g", miou(&b, 1), miou(&b, 2));
    assert_true(jury_value(&b.jury, "layer_probe/layer.1/miou@test") == miou(&b, 1));
    assert_true(jury_value(&b.jury, "layer_probe//miou@valid") == fmax(miou(&b, 1), miou(&b, 2)));
    const double best = jury_value(&b.jury, "layer_probe//layer@valid");
    assert_true(best == (miou(&b, 2) > miou(&b, 1) ? 2 : 1));
    const char *table = b.jury.file_data[jury_file(&b.jury, "layer_probe.valid.csv")];
    assert_non_null(strstr(table, "\n2,1,warm,0."));
    /* Truth that has nothing to do with the image cannot be learnt: the probe looks at the
     * image. */
    const assay_stream stream = assay_stream_of(5, "nothing", 0);
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++)
        b.truth[i] = (uint8_t)assay_random_below(stream, (uint64_t)i, CLASSES);
    evaluate(&b);
    assert_true(miou(&b, 1) < 0.4);
    end(&b);
}

static void a_layer_alone_is_what_it_is_among_others(void **state)
{
    (void)state;
    static bench b;
    begin(&b);
    evaluate(&b);
    const double among = miou(&b, 2);
    use_list(&b.used, "layers", "2");
    evaluate(&b);
    assert_true(miou(&b, 2) == among);
    assert_int_equal(b.jury.count, 2 * 3 + 2);
    end(&b);
}

/* Four images in a square are judged as they are one by one where windows do not overlap: the
 * counts are the same. Where they do, other windows see other neighbours, and most pixels keep
 * their class. */
static void larger_images_are_seen_through_windows(void **state)
{
    (void)state;
    static bench b;
    static float pixels[IMAGES * SIDE * SIDE];
    static uint8_t truth[IMAGES * SIDE * SIDE];
    photos large;
    begin(&b);
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++) {
        const int image = i / (4 * SIDE * SIDE), y = i / (2 * SIDE) % (2 * SIDE);
        const int x = i % (2 * SIDE), part = y / SIDE * 2 + x / SIDE;
        const int from = (4 * image + part) * SIDE * SIDE + y % SIDE * SIDE + x % SIDE;
        pixels[i] = b.pixels[from];
        truth[i] = b.truth[from];
    }
    photos_open(&large, IMAGES / 4, 2 * SIDE, pixels, truth);
    b.photos.valid = &large;
    use_number(&b.used, "stride", SIDE);
    evaluate(&b);
    const double one_by_one = jury_value(&b.jury, "layer_probe/layer.1/miou@test");
    if (!(one_by_one > 0.6 && miou(&b, 1) == one_by_one))
        fail_msg("%.9g one by one, %.9g as windows", one_by_one, miou(&b, 1));
    use_number(&b.used, "stride", SIDE / 2);
    evaluate(&b);
    if (!(miou(&b, 1) != one_by_one && fabs(miou(&b, 1) - one_by_one) < 0.1))
        fail_msg("%.9g one by one, %.9g overlapping", one_by_one, miou(&b, 1));
    end(&b);
}

/* What is added to an image smaller than the model is not judged. */
static void smaller_images_are_padded(void **state)
{
    (void)state;
    enum { SMALL = 8 };
    static bench b;
    static float pixels[IMAGES * SMALL * SMALL];
    static uint8_t truth[IMAGES * SMALL * SMALL];
    photos small;
    begin(&b);
    for (int i = 0; i < IMAGES * SMALL * SMALL; i++) {
        const int from = i / (SMALL * SMALL) * SIDE * SIDE + i / SMALL % SMALL * SIDE + i % SMALL;
        pixels[i] = b.pixels[from];
        truth[i] = b.truth[from];
    }
    photos_open(&small, IMAGES, SMALL, pixels, truth);
    b.photos.valid = &small;
    evaluate(&b);
    assert_true(miou(&b, 1) > 0.6);
    end(&b);
}

static void the_network_stays_as_it_was(void **state)
{
    (void)state;
    static bench b;
    begin(&b);
    const assay_tensor *weight = assay_params_find(b.net.params, "blocks.0.attn.qkv.weight")->value;
    float *before = test_malloc((size_t)assay_tensor_bytes(weight));
    memcpy(before, assay_elements(weight), (size_t)assay_tensor_bytes(weight));
    evaluate(&b);
    assert_memory_equal(before, assay_elements(weight), (size_t)assay_tensor_bytes(weight));
    for (int64_t i = 0; i < assay_params_count(b.net.params); i++)
        assert_false(assay_params_at(b.net.params, i)->value->has_grad);
    test_free(before);
    end(&b);
}

/* With these of the network's numbers at 0 a classifier sees nothing in layer 1 or in layer 2 and
 * names one class everywhere; with all of them as they are, it sees the squares. */
static void features_are_what_their_name_says(void **state)
{
    (void)state;
    static const struct {
        const char *features, *silent; /* parameters that begin so are 0 */
        bool sees[2];
    } rows[] = {
        {"block", "blocks.1.attn.proj.", {true, true}},
        {"attn", "blocks.1.attn.proj.", {true, false}},
        {"attn", "blocks.0.gamma_1", {false, true}},
        {"norm", "norm.", {false, false}},
        {"plain_norm", "norm.", {true, true}},
        {"next_norm", "norm.", {true, false}},
        {"next_norm", "blocks.1.norm1.", {false, true}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static bench b;
        begin(&b);
        for (int64_t k = 0; k < assay_params_count(b.net.params); k++) {
            const assay_parameter *each = assay_params_at(b.net.params, k);
            if (strncmp(each->name, rows[i].silent, strlen(rows[i].silent)) == 0)
                memset(assay_elements(each->value), 0, (size_t)assay_tensor_bytes(each->value));
        }
        use_text(&b.used, "features", rows[i].features);
        evaluate(&b);
        for (int layer = 0; layer < 2; layer++)
            if ((miou(&b, 1 + layer) > 0.25) != rows[i].sees[layer])
                fail_msg("%s without %s: layer %d has mIoU %g", rows[i].features, rows[i].silent,
                         1 + layer, miou(&b, 1 + layer));
        end(&b);
    }
}

static void layers_and_data_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"3", "1,1", "1.5"};
    static bench b;
    begin(&b);
    const assay_evaluator_functions *f = use_evaluator(&b.used);
    for (int i = 0; i < 3; i++) {
        assay_error error = {0};
        use_list(&b.used, "layers", wrong[i]);
        assert_false(f->check(b.used.options, &b.photos.data, &b.net.facts, &error));
        assert_string_equal(error.expected, "1 to 2");
    }
    assay_error error = {0};
    b.photos.truth = NULL;
    assert_false(f->check(b.used.options, &b.photos.data, &b.net.facts, &error));
    assert_non_null(strstr(error.what, "no classes of pixels"));
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_that_tokens_show_are_named),
        cmocka_unit_test(a_layer_alone_is_what_it_is_among_others),
        cmocka_unit_test(larger_images_are_seen_through_windows),
        cmocka_unit_test(smaller_images_are_padded),
        cmocka_unit_test(the_network_stays_as_it_was),
        cmocka_unit_test(features_are_what_their_name_says),
        cmocka_unit_test(layers_and_data_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("layer_probe", tests, NULL, NULL);
}
