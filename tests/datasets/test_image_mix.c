/* test_image_mix.c - a mixture of folders: which images, in which order, how many of each part;
 * what is wrong with them; samples. */
#include "image_place.h"
#include "index.h"
#include "mix.h"

#include <assay/device.h>
#include <assay/log.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WIDTH = 40, HEIGHT = 30, SIDE = 16 };

static const double scale[2] = {0.2, 1}, ratio[2] = {0.75, 4.0 / 3};
static const char *const all_parts[] = {"infpre", "in1k", "coco"};
static const char *const msip[] = {"msip"};

static mix_options standard(const image_place *place)
{
    return (mix_options){.path = place->folder,
                         .parts = {3, all_parts},
                         .per_class = 2,
                         .data_ratio = 1,
                         .mean = 0.3801,
                         .sd = 0.1871,
                         .side = SIDE,
                         .crop_scale = {2, scale},
                         .crop_ratio = {2, ratio},
                         .flip = true,
                         .roi_p = 0.85,
                         .roi_unit = 1};
}

static void put(const image_place *place, const char *folder, const char *name, uint8_t gray)
{
    char path[256];
    must_make_folder(place, folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    must_put_flat(place, path, WIDTH, HEIGHT, gray);
}

/* Two infrared sets, one with numbers, two classes of three, two of COCO; and what is not read. */
static void write_mixture(const image_place *place)
{
    static const char *const numbers[] = {"10.png", "9.png", "100.png", "2.png"};
    for (int i = 0; i < 4; i++)
        put(place, "infpre/bravo/thermal", numbers[i], (uint8_t)(10 + i));
    put(place, "infpre/alpha/thermal", "10.png", 20);
    put(place, "infpre/alpha/thermal", "9b.png", 21);
    put(place, "infpre/alpha/rgb", "1.png", 99);
    must_put_text(place, "infpre/alpha/thermal/readme.txt", "no image");
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c.png", "cab"[i]);
        put(place, "in1k/n02", name, (uint8_t)(30 + i));
        put(place, "in1k/n01", name, (uint8_t)(40 + i));
    }
    put(place, "coco/train2017", "000000000009.png", 50);
    put(place, "coco/train2017", "000000000025.png", 51);
    put(place, "coco/val2017", "000000000001.png", 98);
}

static mix_data *must_open_mix(image_place *place, const mix_options *options)
{
    assay_error error = {0};
    char line[1400];
    mix_data *data = image_functions()->open(options, &place->host, &error);
    if (data == NULL)
        fail_msg("%s", assay_error_format(&error, line, sizeof line));
    return data;
}

static assay_error must_refuse_mix(image_place *place, const mix_options *options, assay_code code)
{
    assay_error error = {0};
    if (image_functions()->open(options, &place->host, &error) != NULL)
        fail_msg("this was opened");
    assert_int_equal(error.code, code);
    return error;
}

static assay_sample must_sample_mix(image_place *place, mix_data *data, int64_t number,
                                    const assay_draw *draw)
{
    assay_error error = {0};
    assay_sample sample = {0};
    if (!image_functions()->sample(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK, number, draw,
                                   place->arena, &sample, &error))
        fail_msg("%s %s", error.where, error.what);
    return sample;
}

/* The gray of a flat image, back from its first value. */
static int gray_of(image_place *place, mix_data *data, int64_t number)
{
    assay_sample s = must_sample_mix(place, data, number, NULL);
    double value = (double)((const float *)s.values[0].data)[0];
    return (int)lround((value * 0.1871 + 0.3801) * 255);
}

static void check_grays(image_place *place, const mix_options *options, const int *grays, int count)
{
    mix_data *data = must_open_mix(place, options);
    assert_int_equal(image_functions()->count(data, ASSAY_PRETRAIN, ASSAY_NO_BENCHMARK), count);
    for (int i = 0; i < count; i++)
        assert_int_equal(gray_of(place, data, i), grays[i]);
    image_functions()->close(data);
}

/* ---- which images ---- */

static void images_come_in_the_order_of_the_paper(void **state)
{
    image_place *place = *state;
    mix_options options = standard(place);
    /* alpha by name (9b is no number), bravo by number, n01 and n02 the first two by name, COCO. */
    static const int grays[] = {20, 21, 13, 11, 10, 12, 41, 42, 31, 32, 50, 51};
    static const char *const backwards[] = {"coco", "infpre"};
    static const int reversed[] = {50, 51, 20, 21, 13, 11, 10, 12};
    write_mixture(place);
    check_grays(place, &options, grays, 12);
    options.parts = (assay_texts){2, backwards};
    check_grays(place, &options, reversed, 8);
}

static void a_ratio_keeps_every_nth_of_the_whole_list(void **state)
{
    image_place *place = *state;
    mix_options options = standard(place);
    static const int fifth[] = {20, 12, 50}, limited[] = {20, 12};
    write_mixture(place);
    options.data_ratio = 0.18; /* floor(1 / 0.18) = 5 */
    check_grays(place, &options, fifth, 3);
    options.limit = 2;
    check_grays(place, &options, limited, 2);
    options.data_ratio = 0.6; /* floor(1.67) = 1: all, as published */
    options.limit = 0;
    options.per_class = 0;
    mix_data *data = must_open_mix(place, &options);
    assert_int_equal(data->count, 14);
    image_functions()->close(data);
}

static void keep_line(assay_log_level level, const char *line, void *user)
{
    char *kept = user;
    (void)level;
    if (strlen(kept) + strlen(line) + 2 < 2048)
        strcat(strcat(kept, line), "\n");
}

static void every_source_is_counted(void **state)
{
    image_place *place = *state;
    mix_options options = standard(place);
    static char lines[2048];
    write_mixture(place);
    options.data_ratio = 0.5;
    lines[0] = '\0';
    assay_log_to(keep_line, lines, ASSAY_LOG_INFO);
    image_functions()->close(must_open_mix(place, &options));
    assay_log_to(NULL, NULL, ASSAY_LOG_ERROR);
    assert_non_null(strstr(lines, "infpre/alpha: 2 images, 1 taken"));
    assert_non_null(strstr(lines, "infpre/bravo: 4 images, 2 taken"));
    assert_non_null(strstr(lines, "in1k: 4 images, 2 taken"));
    assert_non_null(strstr(lines, "coco/train2017: 2 images, 1 taken"));
    assert_non_null(strstr(lines, "6 images in all"));
}

static void msip_is_sets_alone(void **state)
{
    image_place *place = *state;
    mix_options options = standard(place);
    static const int grays[] = {61, 60};
    put(place, "LLVIP/thermal", "0000000.png", 60);
    put(place, "Aerial/thermal", "0000000.png", 61);
    must_make_folder(place, "notes");
    options.parts = (assay_texts){1, msip};
    check_grays(place, &options, grays, 2);
}

static void the_fingerprint_is_of_contents(void **state)
{
    image_place *place = *state;
    mix_options options = standard(place);
    char first[65];
    write_mixture(place);
    mix_data *data = must_open_mix(place, &options);
    strcpy(first, image_functions()->fingerprint(data));
    image_functions()->close(data);
    data = must_open_mix(place, &options);
    assert_string_equal(first, image_functions()->fingerprint(data));
    image_functions()->close(data);
    put(place, "coco/train2017", "000000000025.png", 52);
    data = must_open_mix(place, &options);
    assert_string_not_equal(first, image_functions()->fingerprint(data));
    image_functions()->close(data);
}

/* ---- what is wrong ---- */

static void broken_images_are_named(void **state)
{
    image_place *place = *state;
    static const char *const bad = "infpre/bravo/thermal/9.png";
    mix_options options = standard(place);
    char path[256], content[4096];
    write_mixture(place);
    snprintf(path, sizeof path, "%s/%s", place->folder, bad);
    FILE *file = fopen(path, "rb");
    size_t bytes = fread(content, 1, sizeof content, file);
    fclose(file);
    /* Empty; truncated; a header that promises 100000 x 30; no image. */
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            memcpy(content + 16, "\0\1\x86\xa0", 4);
        unlink(path);
        must_put(place, bad, i == 3 ? "hello, world" : content,
                 i == 0   ? 0
                 : i == 1 ? bytes / 2
                 : i == 2 ? bytes
                          : 12);
        assay_error error = must_refuse_mix(place, &options, ASSAY_BAD_FILE);
        assert_non_null(strstr(error.where, bad));
    }
    options.on_error = 1;
    place->warned[0] = '\0';
    mix_data *data = must_open_mix(place, &options);
    assert_int_equal(data->count, 11);
    assert_int_equal(data->broken, 1);
    assert_non_null(strstr(place->warned, "1 images skipped"));
    assert_non_null(strstr(place->warned, bad));
    image_functions()->close(data);
}

/* More images than are read ahead at once, two of them broken: whatever the threads, it is the
 * first in the set's order that is named, and the rest is the same set. */
static void threads_that_read_ahead_find_the_same(void **state)
{
    enum { HALF = IMAGE_AHEAD + 10, MANY = 2 * HALF, FIRST = HALF + 9, SECOND = MANY - 4 };
    image_place *place = *state;
    mix_options options = standard(place);
    char name[64], fingerprint[65] = "";
    int before = assay_threads();
    options.parts = (assay_texts){1, msip};
    place->host.cache_path = NULL; /* everything is read every time */
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%03d.png", i);
        put(place, i < HALF ? "alpha/thermal" : "bravo/thermal", name, (uint8_t)(i % 256));
    }
    must_put_text(place, assay_text("bravo/thermal/%03d.png", FIRST), "no image");
    must_put_text(place, assay_text("bravo/thermal/%03d.png", SECOND), "no image");
    for (int threads = 1; threads <= 5; threads += 2) {
        assert_true(assay_threads_set(threads, NULL));
        options.on_error = 0;
        assay_error error = must_refuse_mix(place, &options, ASSAY_BAD_FILE);
        assert_non_null(strstr(error.where, assay_text("bravo/thermal/%03d.png", FIRST)));
        options.on_error = 1;
        mix_data *data = must_open_mix(place, &options);
        assert_int_equal(data->count, MANY - 2);
        assert_int_equal(data->broken, 2);
        assert_int_equal(gray_of(place, data, FIRST - 1), (FIRST - 1) % 256);
        assert_int_equal(gray_of(place, data, FIRST), (FIRST + 1) % 256);
        assert_int_equal(gray_of(place, data, MANY - 3), (MANY - 1) % 256);
        if (threads > 1)
            assert_string_equal(fingerprint, image_functions()->fingerprint(data));
        snprintf(fingerprint, sizeof fingerprint, "%s", image_functions()->fingerprint(data));
        image_functions()->close(data);
    }
    assert_true(assay_threads_set(before, NULL));
}

static void missing_parts_are_named(void **state)
{
    image_place *place = *state;
    static const char *const twice[] = {"coco", "coco"};
    mix_options options = standard(place);
    put(place, "infpre/alpha/thermal", "1.png", 1);
    put(place, "in1k/n01", "1.png", 1);
    assay_error error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, "coco/train2017"));
    assert_non_null(strstr(error.hint, "parts"));
    must_make_folder(place, "coco/train2017");
    error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.what, "no image"));
    put(place, "coco/train2017", "1.png", 1);
    put(place, "infpre/omega/rgb", "1.png", 1);
    error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, "infpre/omega"));
    options.parts = (assay_texts){2, twice};
    error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.what, "twice"));
    options.parts = (assay_texts){0, NULL};
    must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    options = standard(place);
    options.crop_scale = (assay_numbers){1, scale};
    error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, "crop_scale"));
    place->stops = true;
    options = standard(place);
    options.parts = (assay_texts){1, all_parts + 1};
    must_refuse_mix(place, &options, ASSAY_STOPPED);
}

/* ---- samples ---- */

/* An image whose crops differ: a slope. */
static void put_slope(const image_place *place, const char *name)
{
    static uint8_t gray[WIDTH * HEIGHT];
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        gray[i] = (uint8_t)(2 * (i % WIDTH) + 4 * (i / WIDTH));
    must_put_gray(place, name, WIDTH, HEIGHT, gray);
}

enum { THREADS = 4, DRAWN = 24 };

typedef struct worker {
    mix_data *data;
    int first;
    float values[DRAWN][SIDE * SIDE];
} worker;

static void *draw_all(void *user)
{
    worker *w = user;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    for (int k = 0; k < DRAWN; k++) {
        int i = (w->first + 7 * k) % DRAWN;
        const assay_draw draw = {.seed = 4, .epoch = i / 2, .augment = true};
        assay_sample s = {0};
        assay_arena_reset(arena);
        if (!mix_sample(w->data, i % 2, &draw, arena, &s, &error))
            break;
        memcpy(w->values[i], s.values[0].data, sizeof w->values[i]);
    }
    assay_arena_free(arena);
    return NULL;
}

static void threads_and_orders_give_the_same_samples(void **state)
{
    image_place *place = *state;
    static worker workers[THREADS];
    pthread_t threads[THREADS];
    mix_options options = standard(place);
    options.parts = (assay_texts){1, msip};
    must_make_folder(place, "set/thermal");
    put_slope(place, "set/thermal/1.png");
    put_slope(place, "set/thermal/2.png");
    mix_data *data = must_open_mix(place, &options);
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (worker){.data = data, .first = 5 * t};
        assert_int_equal(pthread_create(&threads[t], NULL, draw_all, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int t = 1; t < THREADS; t++)
        assert_memory_equal(workers[0].values, workers[t].values, sizeof workers[0].values);
    /* Another image, another epoch: another crop. */
    assert_memory_not_equal(workers[0].values[0], workers[0].values[1],
                            sizeof workers[0].values[0]);
    assert_memory_not_equal(workers[0].values[0], workers[0].values[2],
                            sizeof workers[0].values[0]);
    image_functions()->close(data);
}

static void regions_are_cropped_around(void **state)
{
    image_place *place = *state;
    float values[2][SIDE * SIDE];
    const assay_draw draw = {.seed = 4, .epoch = 1, .augment = true};
    mix_options options = standard(place);
    options.parts = (assay_texts){1, msip};
    must_make_folder(place, "set/thermal");
    put_slope(place, "set/thermal/1.png");
    put_slope(place, "set/thermal/2.png");
    options.crop = MIX_CROP_ROI;
    options.roi_unit = 0.1;
    assay_error error = must_refuse_mix(place, &options, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.hint, "assay rois"));
    must_make_folder(place, "set/roi");
    must_put_text(place, "set/roi/1.txt", "10,10,8,8\n");
    mix_data *data = must_open_mix(place, &options);
    for (int i = 0; i < 2; i++) {
        assay_sample s = must_sample_mix(place, data, i, &draw);
        memcpy(values[i], s.values[0].data, sizeof values[i]);
    }
    /* A crop of at most 12 x 12 around (14, 14) has grays of about 48 to 130 only; the other image
     * has no file and a random box. */
    for (int k = 0; k < SIDE * SIDE; k++) {
        double gray = ((double)values[0][k] * 0.1871 + 0.3801) * 255;
        assert_true(gray > 25 && gray < 150);
    }
    assert_memory_not_equal(values[0], values[1], sizeof values[0]);
    image_functions()->close(data);
    must_put_text(place, "set/roi/2.txt", "10,10\n");
    error = must_refuse_mix(place, &options, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.where, "set/roi/2.txt:1"));
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, image_place_make, image_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(images_come_in_the_order_of_the_paper),
        HERE(a_ratio_keeps_every_nth_of_the_whole_list),
        HERE(every_source_is_counted),
        HERE(msip_is_sets_alone),
        HERE(the_fingerprint_is_of_contents),
        HERE(broken_images_are_named),
        HERE(threads_that_read_ahead_find_the_same),
        HERE(missing_parts_are_named),
        HERE(threads_and_orders_give_the_same_samples),
        HERE(regions_are_cropped_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
