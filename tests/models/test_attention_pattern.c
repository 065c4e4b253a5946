/* test_attention_pattern.c - the evaluator reproduces the reference's NMI and distance by layer and
 * head, chooses the layer nearest to its target, and draws what it measured. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "models/nets.h"

#include <assay/image.h>

enum { SIDE = 64, IMAGES = 3, LAYERS = 3, HEADS = 3, GRID = 4 };

typedef struct bench {
    assay_weights *reference;
    assay_tensor *image;
    photos photos;
    net net;
    use used;
    assay_host host;
    jury jury;
    double nmi[LAYERS][HEADS], distance[LAYERS][HEADS], mean[LAYERS]; /* of the reference */
} bench;

static void begin(bench *b)
{
    memset(b, 0, sizeof *b);
    b->reference = golden_open("infrared/vit_reference.safetensors");
    b->image = golden_tensor(b->reference, "image", ASSAY_F32);
    assay_stored_doubles(golden_get(b->reference, "nmi"), &b->nmi[0][0]);
    assay_stored_doubles(golden_get(b->reference, "attention_distance"), &b->distance[0][0]);
    for (int i = 0; i < LAYERS * HEADS; i++)
        b->mean[i / HEADS] += b->nmi[i / HEADS][i % HEADS] / HEADS;
    photos_open(&b->photos, IMAGES, SIDE, assay_f32(b->image), NULL);
    net_begin(&b->net, &b->photos.data, 48, LAYERS, HEADS, SIDE);
    net_open(&b->net, 1);
    golden_load(b->net.params, "infrared/vit.safetensors");
    b->host = nets_host(&b->net);
    b->used = use_open("evaluator_attention_pattern");
}

static void evaluate(bench *b)
{
    assay_error error = {0};
    jury_end(&b->jury);
    jury_begin(&b->jury, &b->net, &b->photos.data, &b->host);
    const assay_evaluator_functions *f = use_evaluator(&b->used);
    must(f->check(b->used.options, &b->photos.data, &b->net.facts, &error), &error);
    must(f->evaluate(b->used.options, &b->jury.evaluation, &error), &error);
}

static void end(bench *b)
{
    jury_end(&b->jury);
    use_close(&b->used);
    net_close(&b->net);
    assay_tensor_free(b->image);
    assay_weights_close(b->reference);
}

static void expect_near(double got, double want, double most, const char *what)
{
    if (!(fabs(got - want) <= most * fabs(want)))
        fail_msg("%s is %.9g, expected %.9g", what, got, want);
}

/* ---- figures ---- */

static void the_figures_are_the_references_whatever_the_batch(void **state)
{
    (void)state;
    bench b;
    begin(&b);
    for (int batch = 1; batch <= 3; batch++) {
        int layer = 0, head = 0, used = 0, rows = 0;
        double nmi = 0, distance = 0;
        char word[16];
        use_number(&b.used, "batch", batch);
        evaluate(&b);
        const char *at = b.jury.file_data[jury_file(&b.jury, "attention_pattern.csv")];
        at = strchr(at, '\n') + 1;
        for (;
             sscanf(at, "%d,%d,%lf,%lf,%15s\n%n", &layer, &head, &nmi, &distance, word, &used) == 5;
             at += used, rows++) {
            if (head == 0) {
                expect_near(nmi, b.mean[layer - 1], 1e-4, "a layer's NMI");
                expect_near(
                    jury_value(&b.jury, assay_text("attention_pattern/layer.%d/nmi@valid", layer)),
                    nmi, 1e-8, "its score");
                assert_string_equal(word, nmi > 0.12 ? "local" : nmi < 0.06 ? "global" : "hybrid");
            } else {
                expect_near(nmi, b.nmi[layer - 1][head - 1], 1e-4, "a head's NMI");
                expect_near(distance, b.distance[layer - 1][head - 1], 1e-4, "its distance");
            }
        }
        assert_int_equal(rows, LAYERS * (1 + HEADS));
    }
    end(&b);
}

static void fewer_images_are_the_first(void **state)
{
    (void)state;
    bench b;
    begin(&b);
    use_number(&b.used, "images", 1);
    evaluate(&b);
    double one = jury_value(&b.jury, "attention_pattern/layer.2/nmi@valid");
    b.photos.count = 1;
    use_number(&b.used, "images", 1000);
    evaluate(&b);
    assert_true(jury_value(&b.jury, "attention_pattern/layer.2/nmi@valid") == one);
    assert_true(fabs(one - b.mean[1]) > 1e-6);
    end(&b);
}

static void the_layer_nearest_to_the_target_is_chosen_and_counted_from_one(void **state)
{
    (void)state;
    bench b;
    begin(&b);
    for (int layer = 0; layer < LAYERS; layer++) {
        use_number(&b.used, "target", b.mean[layer]);
        evaluate(&b);
        assert_true(jury_value(&b.jury, "attention_pattern//layer@valid") == layer + 1);
        assert_true(jury_value(&b.jury, "attention_pattern//nmi_gap@valid") < 1e-5);
        expect_near(jury_value(&b.jury, "attention_pattern//nmi@valid"), b.mean[layer], 1e-4,
                    "the chosen layer's NMI");
    }
    end(&b);
}

static void layers_are_counted_by_class(void **state)
{
    (void)state;
    bench b;
    begin(&b);
    double low = fmin(b.mean[0], fmin(b.mean[1], b.mean[2]));
    double high = fmax(b.mean[0], fmax(b.mean[1], b.mean[2]));
    use_number(&b.used, "global_below", low * 1.001);
    use_number(&b.used, "local_above", high * 0.999);
    evaluate(&b);
    assert_true(jury_value(&b.jury, "attention_pattern//local_layers@valid") == 1);
    assert_true(jury_value(&b.jury, "attention_pattern//hybrid_layers@valid") == 1);
    assert_true(jury_value(&b.jury, "attention_pattern//global_layers@valid") == 1);
    end(&b);
}

/* ---- pictures ---- */

static void sheets_show_the_query_and_where_it_looks(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    assay_image sheet = {0};
    const int tile = 64, step = tile + 2, cell = tile / GRID;
    begin(&b);
    use_number(&b.used, "target", b.mean[1]);
    use_number(&b.used, "maps", 2);
    evaluate(&b);
    assert_int_equal(b.jury.files, 1 + 2 * 2);
    int at = jury_file(&b.jury, "attention_2_layer2.png");
    must(assay_image_decode(&sheet, b.jury.file_data[at], b.jury.file_bytes[at], "sheet", 0, NULL,
                            &error),
         &error);
    assert_int_equal(sheet.width, (1 + HEADS) * step - 2);
    assert_int_equal(sheet.height, 4 * step - 2);
    const uint8_t *pixels = sheet.data;
    /* Query 1 of a grid of 4 is patch (1, 2): its frame's corner in the second row's picture. */
    assert_int_equal(pixels[(step + cell) * sheet.width + 2 * cell], 255);
    /* Every map has a brightest patch, and head 1's is where the reference's attention is. */
    assay_tensor *map = golden_tensor(b.reference, "attention.1", ASSAY_F32);
    const float *row = assay_f32(map) + ((1 * HEADS + 0) * 17 + 1 + 1 * GRID + 2) * 17 + 1;
    int best = 0;
    for (int i = 1; i < GRID * GRID; i++)
        best = row[i] > row[best] ? i : best;
    const int y = step + best / GRID * cell + cell / 2, x = step + best % GRID * cell + cell / 2;
    assert_int_equal(pixels[y * sheet.width + x], 255);
    assay_tensor_free(map);
    assay_image_free(&sheet);
    at = jury_file(&b.jury, "attention_1_layers.png");
    must(assay_image_decode(&sheet, b.jury.file_data[at], b.jury.file_bytes[at], "sheet", 0, NULL,
                            &error),
         &error);
    assert_int_equal(sheet.width, (1 + LAYERS) * step - 2);
    assay_image_free(&sheet);
    end(&b);
}

/* ---- refusals ---- */

static void what_cannot_be_looked_at_is_refused(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    begin(&b);
    const assay_evaluator_functions *f = use_evaluator(&b.used);
    assay_model_facts blind = b.net.facts;
    blind.output_count = 1;
    assert_false(f->check(b.used.options, &b.photos.data, &blind, &error));
    assert_non_null(strstr(error.expected, "image.attention"));
    error = (assay_error){0};
    b.photos.count = 0;
    assert_false(f->check(b.used.options, &b.photos.data, &b.net.facts, &error));
    assert_non_null(strstr(error.what, "no train images"));
    end(&b);
}

static void a_test_split_waits_for_the_end(void **state)
{
    (void)state;
    bench b;
    assay_error error = {0};
    begin(&b);
    use_text(&b.used, "split", "test");
    jury_begin(&b.jury, &b.net, &b.photos.data, &b.host);
    b.jury.evaluation.final = false;
    must(use_evaluator(&b.used)->evaluate(b.used.options, &b.jury.evaluation, &error), &error);
    assert_int_equal(b.jury.count, 0);
    evaluate(&b);
    assert_true(b.jury.count > 0);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_figures_are_the_references_whatever_the_batch),
        cmocka_unit_test(fewer_images_are_the_first),
        cmocka_unit_test(the_layer_nearest_to_the_target_is_chosen_and_counted_from_one),
        cmocka_unit_test(layers_are_counted_by_class),
        cmocka_unit_test(sheets_show_the_query_and_where_it_looks),
        cmocka_unit_test(what_cannot_be_looked_at_is_refused),
        cmocka_unit_test(a_test_split_waits_for_the_end),
    };
    /* The sizes here are those of the files beside the tests; the golden suite takes any. */
    unsetenv("ASSAY_GOLDEN");
    return cmocka_run_group_tests_name("attention_pattern", tests, NULL, NULL);
}
