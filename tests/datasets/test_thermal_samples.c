/* test_thermal_samples.c - a thermal picture is a pure function of its address; image and truth are
 * as large as the task says; classes have their share; what is asked wrongly is refused; what is
 * written to files is what was given. */
#include "thermal_place.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Into which a picture fits as it is. */
static const double as_it_is[] = {400, 64};
static const assay_draw training = {.seed = 3, .epoch = 2, .augment = true};

/* ---- purity ---- */

enum { THREADS = 4, ASKED = 20 };

typedef struct worker {
    thermal_data *data;
    int first; /* each thread asks in an order of its own */
    char hex[ASKED][65];
} worker;

static void *ask_all(void *user)
{
    worker *w = user;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(0, &error);
    for (int k = 0; k < ASKED; k++) {
        int i = (w->first + 7 * k) % ASKED;
        assay_sample s = {0};
        assay_arena_reset(arena);
        if (!thermal_sample(w->data, ASSAY_TRAIN, i, &training, arena, &s, &error))
            break;
        digest_sample(w->data, &s, w->hex[i]);
    }
    assay_arena_free(arena);
    return NULL;
}

static void threads_and_orders_give_the_same_samples(void **state)
{
    thermal_place *place = *state;
    thermal_data *data = must_open(place);
    static worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (worker){.data = data, .first = 11 * t};
        assert_int_equal(pthread_create(&threads[t], NULL, ask_all, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int t = 1; t < THREADS; t++)
        assert_memory_equal(workers[0].hex, workers[t].hex, sizeof workers[0].hex);
    assert_true(workers[0].hex[ASKED - 1][0] != '\0');
    assert_string_not_equal(workers[0].hex[0], workers[0].hex[1]);
    thermal_functions()->close(data);
}

static void digest(thermal_place *place, assay_data_split split, int64_t index, char hex[65])
{
    thermal_data *data = must_open(place);
    assay_sample s = must_sample(place, data, split, index, NULL);
    digest_sample(data, &s, hex);
    thermal_functions()->close(data);
}

static void pictures_depend_on_seed_split_and_number_only(void **state)
{
    thermal_place *place = *state;
    char first[65], other[65];
    digest(place, ASSAY_TEST, 3, first);
    place->options.train_images = 7;
    place->options.test_images = 1000000;
    digest(place, ASSAY_TEST, 3, other);
    assert_string_equal(first, other);
    digest(place, ASSAY_TEST, 4, other);
    assert_string_not_equal(first, other);
    digest(place, ASSAY_VALID, 3, other);
    assert_string_not_equal(first, other);
    place->options.seed = 2;
    digest(place, ASSAY_TEST, 3, other);
    assert_string_not_equal(first, other);
}

static void the_fingerprint_follows_the_pictures(void **state)
{
    thermal_place *place = *state;
    char first[65];
    thermal_data *data = must_open(place);
    strcpy(first, thermal_functions()->fingerprint(data));
    thermal_functions()->close(data);
    for (int i = 0; i < 4; i++) {
        thermal_options kept = place->options;
        place->options.seed += i == 0;
        place->options.netd += i == 1 ? 0.01 : 0;
        place->options.hours = i == 2 ? HOUR_NIGHT : HOUR_ANY;
        place->options.width += i == 3;
        data = must_open(place);
        assert_string_not_equal(first, thermal_functions()->fingerprint(data));
        thermal_functions()->close(data);
        place->options = kept;
    }
}

/* ---- labels ---- */

static void labels_are_those_of_the_scene_whatever_the_camera(void **state)
{
    thermal_place *place = *state;
    place->options.fit = (assay_numbers){2, as_it_is};
    thermal_data *data = must_open(place);
    assay_sample a = must_sample(place, data, ASSAY_TEST, 1, NULL);
    thermal_functions()->close(data);
    place->options.netd = 1;
    place->options.nonuniformity = 1;
    place->options.blur = 2;
    data = must_open(place);
    assay_sample b = must_sample(place, data, ASSAY_TEST, 1, NULL);
    assert_memory_equal(a.values[1].data, b.values[1].data, 96 * 64);
    assert_memory_not_equal(a.values[0].data, b.values[0].data, 96 * 64 * sizeof(float));
    thermal_functions()->close(data);
}

static void classes_have_their_share(void **state)
{
    thermal_place *place = *state;
    /* Measured over 2,000 pictures; wide enough for 120. */
    static const double least[CLASSES] = {0.12,  0.1,   0.06,  0.05,  0.06,
                                          0.006, 0.015, 0.001, 0.003, 0.002};
    static const double most[CLASSES] = {0.5, 0.4, 0.3, 0.35, 0.35, 0.06, 0.12, 0.03, 0.05, 0.03};
    double share[CLASSES] = {0}, sum = 0, squares = 0;
    const int64_t images = 120, pixels = 96 * 64;
    place->options.train_images = images;
    place->options.fit = (assay_numbers){2, as_it_is};
    thermal_data *data = must_open(place);
    for (int64_t i = 0; i < images; i++) {
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(place, data, ASSAY_TRAIN, i, NULL);
        const uint8_t *truth = s.values[1].data;
        const float *image = s.values[0].data;
        for (int64_t k = 0; k < pixels; k++) {
            assert_true(truth[k] < CLASSES);
            share[truth[k]] += 1.0 / (double)(images * pixels);
            sum += (double)image[k];
            squares += (double)image[k] * (double)image[k];
        }
    }
    for (int c = 0; c < CLASSES; c++)
        if (share[c] < least[c] || share[c] > most[c])
            fail_msg("%s has a share of %g", thermal_classes[c], share[c]);
    /* The papers' mean and spread of gray fit ours within half of that spread. */
    double mean = sum / (double)(images * pixels),
           sd = sqrt(squares / (double)(images * pixels) - mean * mean);
    assert_true(fabs(mean) < 0.5 && sd > 0.7 && sd < 1.6);
    thermal_functions()->close(data);
}

/* ---- sizes ---- */

static void segmentation_has_the_sizes_it_says(void **state)
{
    thermal_place *place = *state;
    int count = 0;
    static const double fit[] = {400, 100};
    thermal_data *data = must_open(place);
    assay_sample s = must_sample(place, data, ASSAY_TRAIN, 0, &training);
    for (int f = 0; f < 2; f++)
        assert_true(s.values[f].shape[0] == 48 && s.values[f].shape[1] == 48);
    s = must_sample(place, data, ASSAY_TEST, 0, NULL);
    assert_true(s.values[0].shape[0] == 48 && s.values[0].shape[1] == 72);
    assert_true(s.values[1].shape[0] == 64 && s.values[1].shape[1] == 96);
    assert_int_equal(thermal_functions()->count(data, ASSAY_PRETRAIN, -1), 0);
    assert_int_equal(thermal_functions()->count(data, ASSAY_TEST, 0), 20);
    assert_string_equal(thermal_functions()->benchmarks(data, &count)[0].name, "segmentation");
    assert_int_equal(count, 1);
    assert_string_equal(thermal_functions()->classes(data, &count)[CLASS_PERSON], "person");
    assert_int_equal(count, CLASSES);
    assert_int_equal(thermal_functions()->training(data), ASSAY_TRAIN);
    thermal_functions()->close(data);
    place->options.fit = (assay_numbers){2, fit};
    data = must_open(place);
    s = must_sample(place, data, ASSAY_TEST, 0, NULL);
    assert_true(s.values[0].shape[0] == 100 && s.values[0].shape[1] == 150);
    thermal_functions()->close(data);
}

static void pretraining_has_images_only(void **state)
{
    thermal_place *place = *state;
    int count = 0;
    char hex[3][65];
    assay_draw other = training;
    other.epoch++;
    place->options.task = THERMAL_PRETRAINING;
    thermal_data *data = must_open(place);
    assert_int_equal(thermal_functions()->training(data), ASSAY_PRETRAIN);
    assert_int_equal(thermal_functions()->count(data, ASSAY_TRAIN, -1), 0);
    assert_string_equal(thermal_functions()->fields(data, &count)[0].name, "image");
    assert_int_equal(count, 1);
    thermal_functions()->benchmarks(data, &count);
    assert_int_equal(count, 0);
    const assay_draw *draws[3] = {&training, &other, NULL};
    for (int i = 0; i < 3; i++) {
        assay_sample s = must_sample(place, data, ASSAY_PRETRAIN, 5, draws[i]);
        assert_true(s.values[0].shape[0] == 48 && s.values[0].shape[1] == 48);
        digest_sample(data, &s, hex[i]);
    }
    assert_string_not_equal(hex[0], hex[1]);
    assert_string_not_equal(hex[0], hex[2]);
    thermal_functions()->close(data);
}

static void crops_around_regions_are_others_and_stay(void **state)
{
    thermal_place *place = *state;
    char hex[3][65];
    place->options.task = THERMAL_PRETRAINING;
    for (int i = 0; i < 3; i++) {
        place->options.crop = i == 0 ? THERMAL_CROP_RANDOM : THERMAL_CROP_ROI;
        thermal_data *data = must_open(place);
        assay_sample s = must_sample(place, data, ASSAY_PRETRAIN, 2, &training);
        assert_true(s.values[0].shape[0] == 48 && s.values[0].shape[1] == 48);
        digest_sample(data, &s, hex[i]);
        thermal_functions()->close(data);
    }
    assert_string_not_equal(hex[0], hex[1]);
    assert_string_equal(hex[1], hex[2]);
}

/* ---- wrong options ---- */

static void refuse(thermal_place *place, const char *where)
{
    assay_error error = {0};
    if (thermal_functions()->open(&place->options, NULL, &error) != NULL)
        fail_msg("%s was accepted", where);
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, where));
}

static void wrong_options_are_named(void **state)
{
    thermal_place *place = *state;
    static const double one[] = {3}, falling[] = {3, 1};
    const thermal_options good = place->options;
    place->options.air = (assay_numbers){2, falling};
    refuse(place, "air");
    place->options = good;
    place->options.fit = (assay_numbers){1, one};
    refuse(place, "fit");
    place->options = good;
    place->options.resize = (assay_numbers){1, one};
    refuse(place, "resize");
    place->options = good;
    place->options.crop_scale = (assay_numbers){2, falling};
    refuse(place, "crop_scale");
    place->options = good;
    place->options.train_images = 0;
    refuse(place, "train_images");
    place->options = good;
    place->options.task = THERMAL_PRETRAINING;
    place->options.images = 0;
    refuse(place, "images");
    place->options = good;
    place->options.crop = THERMAL_CROP_ROI;
    refuse(place, "crop");
}

/* ---- files ---- */

static void files_hold_the_same_pictures(void **state)
{
    thermal_place *place = *state;
    assay_error error = {0};
    char folder[64] = "/tmp/assay_thermal_XXXXXX", path[128], command[128];
    assert_non_null(mkdtemp(folder));
    place->options.train_images = 3;
    place->options.valid_images = 1;
    place->options.test_images = 2;
    thermal_data *data = must_open(place);
    assert_true(thermal_functions()->write(data, folder, &error));
    for (int64_t i = 0; i < 2; i++) {
        assay_image image = {0}, truth = {0}, read = {0};
        assert_true(thermal_picture(data, thermal_number(ASSAY_TEST, i), &image, &truth, &error));
        snprintf(path, sizeof path, "%s/images/test_%06d.png", folder, (int)i);
        assert_true(assay_image_read(&read, path, 0, NULL, &error));
        assert_memory_equal(read.data, image.data, 96 * 64);
        assay_image_free(&read);
        snprintf(path, sizeof path, "%s/labels/test_%06d.png", folder, (int)i);
        assert_true(assay_image_read_labels(&read, path, NULL, &error));
        assert_memory_equal(read.data, truth.data, 96 * 64);
        assay_image_free(&read);
        assay_image_free(&image);
        assay_image_free(&truth);
    }
    snprintf(command, sizeof command, "test $(cat %s/train.txt | wc -l) = 3 && rm -r %s", folder,
             folder);
    assert_int_equal(system(command), 0);
    thermal_functions()->close(data);
}

int main(void)
{
#define IN_PLACE(test)                                                                             \
    cmocka_unit_test_setup_teardown(test, thermal_place_make, thermal_place_remove)
    const struct CMUnitTest tests[] = {
        IN_PLACE(threads_and_orders_give_the_same_samples),
        IN_PLACE(pictures_depend_on_seed_split_and_number_only),
        IN_PLACE(the_fingerprint_follows_the_pictures),
        IN_PLACE(labels_are_those_of_the_scene_whatever_the_camera),
        IN_PLACE(classes_have_their_share),
        IN_PLACE(segmentation_has_the_sizes_it_says),
        IN_PLACE(pretraining_has_images_only),
        IN_PLACE(crops_around_regions_are_others_and_stay),
        IN_PLACE(wrong_options_are_named),
        IN_PLACE(files_hold_the_same_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
