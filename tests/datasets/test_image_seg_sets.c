/* test_image_seg_sets.c - which images a set has: published layouts in small, splits without lists,
 * thinning; and what is remembered of files, and told of them. */
#include "image_place.h"
#include "index.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t count_of(void *data, assay_data_split split)
{
    return image_functions()->count(data, split, ASSAY_NO_BENCHMARK);
}

static void must_be_called(void *data, const char *suite, int classes, const char *last)
{
    int count = 0;
    assert_string_equal(image_functions()->benchmarks(data, &count)->suite, suite);
    const char *const *names = image_functions()->classes(data, &count);
    assert_int_equal(count, classes);
    assert_string_equal(names[0], "background");
    assert_string_equal(names[count - 1], last);
}

/* The truth of the first sample of a split, every pixel of which is the same. */
static int truth_of(image_place *place, void *data, assay_data_split split)
{
    assay_sample sample = must_sample(place, data, split, 0, NULL);
    const uint8_t *truth = sample.values[1].data;
    assert_int_equal(truth[0], truth[sample.values[1].shape[0] * sample.values[1].shape[1] - 1]);
    return truth[0];
}

/* The gray of the first sample of a split. */
static int gray_of(image_place *place, void *data, assay_data_split split)
{
    assay_sample sample = must_sample(place, data, split, 0, NULL);
    double value = *(const float *)sample.values[0].data;
    return (int)lround((value * (47.8976 / 255) + 0.3801) * 255);
}

/* ---- presets ---- */

static void soda_as_published(void **state)
{
    image_place *place = *state;
    must_make_folder(place, "InfraredSemanticLabel/JPEGImages");
    must_make_folder(place, "InfraredSemanticLabel/SegmentationClassPNG");
    for (int i = 0; i < 3; i++) {
        must_put_flat(place, assay_text("InfraredSemanticLabel/JPEGImages/%d.jpg", i), 8, 6,
                      (uint8_t)(50 + i));
        uint8_t indices[48];
        memset(indices, 18 + i, sizeof indices);
        must_put_palette(place, assay_text("InfraredSemanticLabel/SegmentationClassPNG/%d.png", i),
                         8, 6, indices);
    }
    must_put_text(place, "InfraredSemanticLabel/train_infrared.txt", "0\n2\n");
    must_put_text(place, "InfraredSemanticLabel/test_infrared.txt", "1\n");
    place->options.preset = 1;
    void *data = must_open(place);
    must_be_called(data, "soda", 21, "sidewalk");
    assert_int_equal(count_of(data, ASSAY_TRAIN), 2);
    assert_int_equal(count_of(data, ASSAY_VALID), 1);
    assert_int_equal(count_of(data, ASSAY_TEST), 1);
    assert_int_equal(truth_of(place, data, ASSAY_TEST), 19);
    assert_int_equal(gray_of(place, data, ASSAY_TEST), 51);
    assert_non_null(strstr(place->warned, "valid and test share 1 images"));
    image_functions()->close(data);
}

static void mfnet_reads_the_fourth_channel(void **state)
{
    image_place *place = *state;
    uint8_t pixels[48 * 4];
    must_make_folder(place, "images");
    must_make_folder(place, "labels");
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 48; i++) {
            static const uint8_t colour[3] = {200, 150, 100};
            memcpy(pixels + 4 * i, colour, 3);
            pixels[4 * i + 3] = (uint8_t)(20 + k);
        }
        must_put_rgba(place, assay_text("images/%05dD.png", k), 8, 6, pixels);
        must_put_flat(place, assay_text("labels/%05dD.png", k), 8, 6, (uint8_t)(6 + k));
    }
    must_put_text(place, "train.txt", "00000D\n");
    must_put_text(place, "val.txt", "00001D\n");
    must_put_text(place, "test.txt", "00002D\n");
    place->options.preset = 2;
    void *data = must_open(place);
    must_be_called(data, "mfnet_t", 9, "bump");
    assert_int_equal(gray_of(place, data, ASSAY_TRAIN), 20);
    assert_int_equal(gray_of(place, data, ASSAY_TEST), 22);
    assert_int_equal(truth_of(place, data, ASSAY_VALID), 7);
    image_functions()->close(data);
    /* UNIP's measurement during training: both lists. */
    static const char *const both[] = {"val.txt", "test.txt"};
    place->options.valid = (assay_texts){2, both};
    data = must_open(place);
    assert_int_equal(count_of(data, ASSAY_VALID), 2);
    image_functions()->close(data);
    place->options.valid = (assay_texts){0};
    /* UNIP's copies of the thermal channel go first. */
    must_make_folder(place, "thermal_imgs");
    for (int k = 0; k < 3; k++)
        must_put_flat(place, assay_text("thermal_imgs/%05dD.png", k), 8, 6, (uint8_t)(70 + k));
    data = must_open(place);
    assert_int_equal(gray_of(place, data, ASSAY_TRAIN), 70);
    image_functions()->close(data);
}

static void scut_is_remapped_when_it_is_raw(void **state)
{
    image_place *place = *state;
    static const uint8_t raw[10] = {0, 7, 24, 25, 26, 27, 13, 21, 28, 17};
    char list[128] = "";
    must_make_folder(place, "images");
    must_make_folder(place, "labels");
    for (int k = 0; k < 10; k++) {
        must_put_flat(place, assay_text("images/%d.jpg", k), 8, 6, 99);
        must_put_flat(place, assay_text("labels/%d_labelIds.png", k), 8, 6, raw[k]);
        if (k > 0)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%d\n", k);
    }
    must_put_text(place, "train.txt", "0\n");
    must_put_text(place, "val.txt", list);
    place->options.preset = 3;
    void *data = must_open(place);
    must_be_called(data, "scut_seg", 10, "pole");
    for (int k = 1; k < 10; k++) {
        assay_sample sample = must_sample(place, data, ASSAY_TEST, k - 1, NULL);
        assert_int_equal(*(const uint8_t *)sample.values[1].data, k);
    }
    image_functions()->close(data);
    /* A raw label that the preset does not know. */
    must_put_flat(place, "labels/3_labelIds.png", 8, 6, 3);
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.where, "labels/3_labelIds.png"));
    assert_non_null(strstr(error.what, "label 3 is no class"));
    /* Labels that were remapped off-line, as UNIP's are, have plain names. */
    for (int k = 0; k < 10; k++) {
        char path[512];
        snprintf(path, sizeof path, "%s/labels/%d_labelIds.png", place->folder, k);
        assert_int_equal(unlink(path), 0);
        must_put_flat(place, assay_text("labels/%d.png", k), 8, 6, (uint8_t)(9 - k));
    }
    data = must_open(place);
    assert_int_equal(truth_of(place, data, ASSAY_TRAIN), 9);
    image_functions()->close(data);
}

/* ---- splits ---- */

static void write_many(const image_place *place, int first, int last)
{
    for (int i = first; i < last; i++) {
        must_put_flat(place, assay_text("images/n%04d.png", i), 2, 2, (uint8_t)i);
        must_put_flat(place, assay_text("labels/n%04d.png", i), 2, 2, (uint8_t)(i % 3));
    }
}

static void without_lists_a_hash_decides(void **state)
{
    image_place *place = *state;
    enum { MANY = 400 };
    must_make_folder(place, "images");
    must_make_folder(place, "labels");
    must_put_text(place, "classes.txt", "a\nb\nc\n");
    write_many(place, 0, MANY);
    void *data = must_open(place);
    int64_t train = count_of(data, ASSAY_TRAIN), valid = count_of(data, ASSAY_VALID),
            test = count_of(data, ASSAY_TEST);
    image_functions()->close(data);
    assert_int_equal(train + valid + test, MANY);
    assert_true(train > MANY * 62 / 100 && train < MANY * 78 / 100);
    assert_true(valid > MANY * 10 / 100 && valid < MANY * 20 / 100);
    /* Others that come do not move those that were there. */
    write_many(place, MANY, MANY + 20);
    data = must_open(place);
    assert_true(count_of(data, ASSAY_TRAIN) >= train);
    assert_true(count_of(data, ASSAY_VALID) >= valid);
    assert_true(count_of(data, ASSAY_TEST) >= test);
    image_functions()->close(data);
}

static void stems_may_lie_in_folders(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_make_folder(place, "images/day");
    must_make_folder(place, "labels/day");
    must_put_flat(place, "images/day/a.png", 8, 6, 33);
    must_put_flat(place, "labels/day/a.png", 8, 6, 2);
    must_put_text(place, "test.txt", "day/a\n");
    void *data = must_open(place);
    assert_int_equal(gray_of(place, data, ASSAY_TEST), 33);
    assert_int_equal(truth_of(place, data, ASSAY_TEST), 2);
    image_functions()->close(data);
}

static void what_is_trained_on_can_be_thinned(void **state)
{
    image_place *place = *state;
    static const double same[2] = {24, 16};
    write_small_set(place);
    place->options.fit = (assay_numbers){2, same};
    place->options.data_ratio = 0.4; /* every second: a, c */
    void *data = must_open(place);
    assert_int_equal(count_of(data, ASSAY_TRAIN), 2);
    assert_int_equal(count_of(data, ASSAY_TEST), 1);
    assay_sample sample = must_sample(place, data, ASSAY_TRAIN, 1, NULL);
    double gray = (*(const float *)sample.values[0].data * (47.8976 / 255) + 0.3801) * 255;
    assert_int_equal(lround(gray), 20);
    image_functions()->close(data);
    place->options.data_ratio = 1;
    place->options.limit = 3;
    data = must_open(place);
    assert_int_equal(count_of(data, ASSAY_TRAIN), 3);
    assert_int_equal(count_of(data, ASSAY_VALID), 1);
    image_functions()->close(data);
}

/* ---- fingerprint ---- */

static void fingerprint(image_place *place, char out[65])
{
    void *data = must_open(place);
    snprintf(out, 65, "%s", image_functions()->fingerprint(data));
    assert_int_equal(strlen(out), 64);
    image_functions()->close(data);
}

static void the_fingerprint_is_of_contents(void **state)
{
    image_place *place = *state, *other = NULL;
    char first[65], second[65];
    void *more = NULL;
    write_small_set(place);
    fingerprint(place, first);
    assert_int_equal(image_place_make(&more), 0);
    other = more;
    write_small_set(other);
    fingerprint(other, second);
    assert_string_equal(first, second);

    static const char *const changed[] = {"images/b.png", "labels/b.png", "images/f.png"};
    for (size_t i = 0; i < 3; i++) {
        must_put_flat(other, changed[i], 24, 16, 1);
        fingerprint(other, second);
        assert_string_not_equal(first, second);
        write_small_set(other);
        fingerprint(other, second);
        assert_string_equal(first, second);
    }
    must_put_text(other, "classes.txt", "ground\nhouse\nwoman\n");
    fingerprint(other, second);
    assert_string_not_equal(first, second);
    must_put_text(other, "classes.txt", "ground\nhouse\nman\n");
    must_put_text(other, "train.txt", "a\nb\nc\n");
    fingerprint(other, second);
    assert_string_not_equal(first, second);
    assert_int_equal(image_place_remove(&more), 0);
}

/* ---- the index ---- */

/* Files that were read to know the small set's `names`. */
static int64_t read_again(image_place *place)
{
    assay_error error = {0};
    image_index index = {0};
    assert_true(image_index_open(&index, place->folder, &place->host, &error));
    for (char s = 'a'; s <= 'f'; s++)
        for (int kind = 0; kind < 2; kind++) {
            char path[128];
            const char *name = assay_text("%s/%c.png", kind ? "labels" : "images", s);
            snprintf(path, sizeof path, "%s/%s", place->folder, name);
            const image_facts *facts =
                image_index_get(&index, (image_file_kind)kind, name, path, &error);
            assert_non_null(facts);
            assert_int_equal(facts->height, 16);
            assert_int_equal(facts->values[0], kind ? 7 : 0);
        }
    int64_t read = index.read;
    image_index_keep(&index);
    image_index_clear(&index);
    return read;
}

static void unchanged_files_are_not_read_again(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    usleep(60000); /* file times tick */
    assert_int_equal(read_again(place), 12);
    assert_int_equal(read_again(place), 0);
    must_put_flat(place, "images/c.png", 24, 16, 200);
    usleep(60000);
    assert_int_equal(read_again(place), 1);
    assert_int_equal(read_again(place), 0);
}

/* Whoever is quick looks within the tick of the change; a busy machine may be late at times. */
static void a_file_that_changed_just_now_is_not_believed(void **state)
{
    image_place *place = *state;
    int64_t again = 0;
    write_small_set(place);
    usleep(60000);
    assert_int_equal(read_again(place), 12);
    for (int attempt = 0; attempt < 50 && again == 0; attempt++) {
        must_put_flat(place, "images/c.png", 24, 16, 200);
        assert_int_equal(read_again(place), 1);
        usleep(60000);
        again = read_again(place);
    }
    assert_int_equal(again, 1);
    assert_int_equal(read_again(place), 0);
}

static void a_damaged_index_knows_nothing(void **state)
{
    image_place *place = *state;
    char command[256];
    write_small_set(place);
    usleep(60000);
    assert_int_equal(read_again(place), 12);
    static const char *const damages[] = {
        "for f in '%s'/*; do head -c 500 \"$f\" >\"$f\".x; mv \"$f\".x \"$f\"; done",
        "for f in '%s'/*; do printf x | dd of=\"$f\" bs=1 seek=300 conv=notrunc 2>/dev/null; done",
        "for f in '%s'/*; do : >\"$f\"; done"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(command, sizeof command, damages[i], place->cache);
        assert_int_equal(system(command), 0);
        assert_int_equal(read_again(place), 12);
        assert_int_equal(read_again(place), 0);
    }
}

static void without_a_cache_everything_is_read(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    place->host.cache_path = NULL;
    usleep(60000);
    assert_int_equal(read_again(place), 12);
    assert_int_equal(read_again(place), 12);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, image_place_make, image_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(soda_as_published),
        HERE(mfnet_reads_the_fourth_channel),
        HERE(scut_is_remapped_when_it_is_raw),
        HERE(without_lists_a_hash_decides),
        HERE(stems_may_lie_in_folders),
        HERE(what_is_trained_on_can_be_thinned),
        HERE(the_fingerprint_is_of_contents),
        HERE(unchanged_files_are_not_read_again),
        HERE(a_file_that_changed_just_now_is_not_believed),
        HERE(a_damaged_index_knows_nothing),
        HERE(without_a_cache_everything_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
