/* test_image_seg_samples.c - what samples hold: sizes, values, and that a sample of an epoch is the
 * same whoever asks for it. */
#include "image_place.h"

#include <assay/hash.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SD (47.8976 / 255)

static const float *image_of(const assay_sample *sample)
{
    return sample->values[0].data;
}

static const uint8_t *truth_of(const assay_sample *sample)
{
    return sample->values[1].data;
}

static void must_have_shape(const assay_field_value *value, int64_t height, int64_t width)
{
    assert_true(value->present);
    assert_null(value->offsets);
    assert_int_equal(value->shape[0], height);
    assert_int_equal(value->shape[1], width);
}

static void must_be_gray(float value, int gray, double sd)
{
    assert_true(fabs(value - (gray / 255.0 - 0.3801) / sd) < 1e-5);
}

static void says_what_it_is(void **state)
{
    image_place *place = *state;
    int count = 0;
    write_small_set(place);
    void *data = must_open(place);
    const assay_field *fields = image_functions()->fields(data, &count);
    assert_int_equal(count, 2);
    assert_string_equal(fields[0].name, "image");
    assert_int_equal(fields[0].dtype, ASSAY_F32);
    assert_string_equal(fields[1].name, "truth");
    assert_int_equal(fields[1].dtype, ASSAY_U8);
    const assay_benchmark *benchmarks = image_functions()->benchmarks(data, &count);
    assert_int_equal(count, 1);
    assert_string_equal(benchmarks[0].suite, "image_seg");
    assert_string_equal(benchmarks[0].name, "segmentation");
    assert_int_equal(benchmarks[0].classes, 0);
    const char *const *classes = image_functions()->classes(data, &count);
    assert_int_equal(count, 3);
    assert_string_equal(classes[2], "man");
    assert_int_equal(image_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 0);
    assert_int_equal(image_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 4);
    assert_int_equal(image_functions()->count(data, ASSAY_VALID, 0), 1);
    assert_int_equal(image_functions()->count(data, ASSAY_TEST, 0), 1);
    image_functions()->close(data);
}

/* The image is fitted, the truth is as stored. */
static void in_evaluation(void **state)
{
    image_place *place = *state;
    static const double same[2] = {24, 16};
    write_small_set(place);
    void *data = must_open(place);
    assay_sample sample = must_sample(place, data, ASSAY_TEST, 0, NULL);
    must_have_shape(&sample.values[0], 512, 768);
    must_have_shape(&sample.values[1], 16, 24);
    image_functions()->close(data);

    place->options.side = 32; /* 128, 32 */
    data = must_open(place);
    sample = must_sample(place, data, ASSAY_TEST, 0, NULL);
    must_have_shape(&sample.values[0], 32, 48);
    image_functions()->close(data);

    place->options.fit = (assay_numbers){2, same};
    data = must_open(place);
    const assay_draw draw = {.seed = 3, .epoch = 5};
    sample = must_sample(place, data, ASSAY_TEST, 0, &draw);
    must_have_shape(&sample.values[0], 16, 24);
    for (int i = 0; i < 24 * 16; i++) {
        must_be_gray(image_of(&sample)[i], 50 + 8 * (i % 24) + i / 24, SD);
        assert_int_equal(truth_of(&sample)[i], i % 24 / 8);
    }
    image_functions()->close(data);
}

static void indices_of_a_palette_are_the_classes(void **state)
{
    image_place *place = *state;
    uint8_t indices[24 * 16];
    write_small_set(place);
    for (int i = 0; i < 24 * 16; i++)
        indices[i] = (uint8_t)(i % 5 == 4 ? 255 : i % 5 % 3);
    must_put_palette(place, "labels/f.png", 24, 16, indices);
    void *data = must_open(place);
    assay_sample sample = must_sample(place, data, ASSAY_TEST, 0, NULL);
    assert_memory_equal(truth_of(&sample), indices, sizeof indices);
    image_functions()->close(data);
}

static void stored_labels_are_remapped(void **state)
{
    image_place *place = *state;
    static const double remap[] = {0, 2, 1, 7, 2, 0};
    write_small_set(place);
    place->options.remap = (assay_numbers){6, remap};
    place->options.ignore = 7;
    void *data = must_open(place);
    assay_sample sample = must_sample(place, data, ASSAY_TEST, 0, NULL);
    for (int i = 0; i < 24 * 16; i++) {
        static const uint8_t expected[3] = {2, 255, 0};
        assert_int_equal(truth_of(&sample)[i], expected[i % 24 / 8]);
    }
    image_functions()->close(data);
}

static void sixteen_bits_give_their_upper_byte(void **state)
{
    image_place *place = *state;
    static const double same[2] = {24, 16};
    assay_image image = {0};
    assay_error error = {0};
    char path[128];
    write_small_set(place);
    assert_true(assay_image_new(&image, 24, 16, 16, NULL, &error));
    for (int i = 0; i < 24 * 16; i++)
        ((uint16_t *)image.data)[i] = (uint16_t)(i * 97);
    snprintf(path, sizeof path, "%s/images/f.png", place->folder);
    assert_true(assay_image_write(&image, path, &error));
    assay_image_free(&image);
    place->options.fit = (assay_numbers){2, same};
    void *data = must_open(place);
    assay_sample sample = must_sample(place, data, ASSAY_TEST, 0, NULL);
    for (int i = 0; i < 24 * 16; i++)
        must_be_gray(image_of(&sample)[i], i * 97 >> 8, SD);
    image_functions()->close(data);
}

/* ---- training ---- */

/* Stripes of three classes, each of one gray. */
static void write_stripes(const image_place *place)
{
    uint8_t gray[60 * 40], labels[60 * 40];
    write_small_set(place);
    for (int i = 0; i < 60 * 40; i++) {
        labels[i] = (uint8_t)(i % 60 < 30 ? 0 : i / 60 < 20 ? 1 : 2);
        gray[i] = (uint8_t)(40 + 80 * labels[i]);
    }
    must_put_gray(place, "images/a.png", 60, 40, gray);
    must_put_gray(place, "labels/a.png", 60, 40, labels);
}

/* Whether all labels within two pixels are those of (x, y); the border counts as another. */
static bool is_inner(const uint8_t *truth, int side, int x, int y)
{
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++)
            if (x + dx < 0 || x + dx >= side || y + dy < 0 || y + dy >= side ||
                truth[(y + dy) * side + x + dx] != truth[y * side + x])
                return false;
    return true;
}

static void image_and_truth_change_together(void **state)
{
    image_place *place = *state;
    enum { SIDE = 48 };
    static const double fit[2] = {60, 40};
    int64_t inner[4] = {0};
    write_stripes(place);
    place->options.side = SIDE;
    place->options.fit = (assay_numbers){2, fit};
    place->options.photometric = false;
    void *data = must_open(place);
    for (int64_t epoch = 0; epoch < 40; epoch++) {
        const assay_draw draw = {.seed = 11, .epoch = epoch, .augment = true};
        assay_arena_reset(place->arena);
        assay_sample sample = must_sample(place, data, ASSAY_TRAIN, 0, &draw);
        const uint8_t *truth = truth_of(&sample);
        must_have_shape(&sample.values[0], SIDE, SIDE);
        must_have_shape(&sample.values[1], SIDE, SIDE);
        for (int i = 0; i < SIDE * SIDE; i++) {
            int class = truth[i];
            assert_true(class < 3 || class == 255);
            if (!is_inner(truth, SIDE, i % SIDE, i / SIDE))
                continue;
            inner[class < 3 ? class : 3]++;
            if (class == 255)
                assert_true(image_of(&sample)[i] == 0);
            else
                must_be_gray(image_of(&sample)[i], 40 + 80 * class, SD);
        }
    }
    for (int c = 0; c < 4; c++)
        assert_true(inner[c] > 1000);
    image_functions()->close(data);
}

static void hash_sample(const assay_sample *sample, int fields, char hex[65])
{
    uint8_t sum[32];
    assay_sha256 hash;
    assay_sha256_begin(&hash);
    for (int f = 0; f < fields; f++)
        assay_sha256_add(&hash, sample->values[f].data,
                         (size_t)(sample->values[f].shape[0] * sample->values[f].shape[1]) *
                             (f == 0 ? sizeof(float) : 1));
    assay_sha256_end(&hash, sum);
    assay_sha256_hex(sum, hex);
}

static void a_sample_is_that_of_its_address(void **state)
{
    image_place *place = *state;
    static const assay_draw draws[4] = {{7, 0, true}, {7, 0, true}, {7, 1, true}, {8, 0, true}};
    char hex[2][4][65];
    write_stripes(place);
    for (int task = 0; task < 2; task++) {
        place->options.task = task;
        place->options.side = 32;
        for (int i = 0; i < 4; i++) {
            void *data = must_open(place); /* another one each time */
            assay_sample sample =
                must_sample(place, data, task ? ASSAY_PRETRAIN : ASSAY_TRAIN, 0, &draws[i]);
            hash_sample(&sample, task ? 1 : 2, hex[task][i]);
            image_functions()->close(data);
        }
        assert_string_equal(hex[task][0], hex[task][1]);
        assert_string_not_equal(hex[task][0], hex[task][2]);
        assert_string_not_equal(hex[task][0], hex[task][3]);
    }
}

typedef struct asker {
    void *data;
    char hex[4][65];
    bool good;
} asker;

static void *ask(void *user)
{
    asker *of = user;
    assay_arena *arena = assay_arena_new(0, NULL);
    of->good = arena != NULL;
    for (int round = 0; round < 5; round++)
        for (int64_t i = 0; i < 4 && of->good; i++) {
            const assay_draw draw = {.seed = 5, .epoch = 2, .augment = true};
            assay_sample sample = {0};
            assay_arena_reset(arena);
            of->good = image_functions()->sample(of->data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK, i,
                                                 &draw, arena, &sample, NULL);
            if (of->good)
                hash_sample(&sample, 2, of->hex[i]);
        }
    assay_arena_free(arena);
    return NULL;
}

static void several_threads_ask_at_once(void **state)
{
    image_place *place = *state;
    enum { THREADS = 4 };
    asker askers[THREADS];
    pthread_t threads[THREADS];
    write_stripes(place);
    place->options.side = 32;
    void *data = must_open(place);
    for (int t = 0; t < THREADS; t++) {
        askers[t] = (asker){.data = data};
        assert_int_equal(pthread_create(&threads[t], NULL, ask, &askers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_true(askers[t].good);
        assert_memory_equal(askers[t].hex, askers[0].hex, sizeof askers[t].hex);
    }
    assert_string_not_equal(askers[0].hex[0], askers[0].hex[1]);
    image_functions()->close(data);
}

/* ---- pre-training ---- */

static void pretraining_has_images_alone(void **state)
{
    image_place *place = *state;
    int count = 0;
    uint8_t pixels[40 * 20];
    must_make_folder(place, "images");
    for (int i = 0; i < 40 * 20; i++)
        pixels[i] = (uint8_t)(i % 40 >= 10 && i % 40 < 30 ? 200 : 0);
    must_put_gray(place, "images/one.png", 40, 20, pixels);
    must_put_gray(place, "images/two.bmp", 40, 20, pixels);
    place->options.task = SEG_TASK_PRETRAINING;
    place->options.side = 10;
    void *data = must_open(place);
    image_functions()->fields(data, &count);
    assert_int_equal(count, 1);
    image_functions()->benchmarks(data, &count);
    assert_int_equal(count, 0);
    assert_int_equal(image_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 2);
    /* As it is: the square in the middle, which is bright all over. */
    assay_sample sample = must_sample(place, data, ASSAY_PRETRAIN, 1, NULL);
    must_have_shape(&sample.values[0], 10, 10);
    for (int i = 0; i < 100; i++)
        must_be_gray(image_of(&sample)[i], 200, 0.1871);
    image_functions()->close(data);
}

static void lists_keep_test_out_of_pretraining(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    place->options.task = SEG_TASK_PRETRAINING;
    void *data = must_open(place);
    assert_int_equal(image_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), 4);
    assert_int_equal(image_functions()->count(data, ASSAY_TRAIN, ASSAY_NO_BENCHMARK), 0);
    assert_int_equal(image_functions()->count(data, ASSAY_TEST, ASSAY_NO_BENCHMARK), 1);
    image_functions()->close(data);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, image_place_make, image_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(says_what_it_is),
        HERE(in_evaluation),
        HERE(indices_of_a_palette_are_the_classes),
        HERE(stored_labels_are_remapped),
        HERE(sixteen_bits_give_their_upper_byte),
        HERE(image_and_truth_change_together),
        HERE(a_sample_is_that_of_its_address),
        HERE(several_threads_ask_at_once),
        HERE(pretraining_has_images_alone),
        HERE(lists_keep_test_out_of_pretraining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
