/* test_image_seg_errors.c - whatever is wrong with a set is found when it is opened, and the
 * message names the file. */
#include "image_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void must_hold(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, text);
}

/* The refusal of the small set in its present state names this file and says this. */
static void must_blame(image_place *place, const char *file, const char *what)
{
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    must_hold(error.where, file);
    must_hold(error.what, what);
}

static void must_remove(const image_place *place, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    assert_int_equal(unlink(path), 0);
}

static void the_small_set_opens(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    void *data = must_open(place);
    assert_string_equal(place->warned, "");
    image_functions()->close(data);
}

static void an_image_that_is_missing(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_remove(place, "images/c.png");
    must_blame(place, "train.txt:3", "there is no image of this stem");
    place->options.image_suffix = ".png";
    must_blame(place, "images/c.png", "there is no such image");
}

static void a_label_image_that_is_missing(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_remove(place, "labels/e.png");
    must_blame(place, "labels/e.png", "missing");
}

static void labels_of_another_size(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_flat(place, "labels/b.png", 24, 17, 1);
    must_blame(place, "labels/b.png", "differ from their image in size");
}

static void a_label_that_is_no_class(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_flat(place, "labels/f.png", 24, 16, 3);
    must_blame(place, "labels/f.png", "label 3 is no class");
    place->options.ignore = 3;
    image_functions()->close(must_open(place));
}

static void without_an_ignored_value_255_is_no_class(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_flat(place, "labels/f.png", 24, 16, 255);
    image_functions()->close(must_open(place));
    place->options.ignore = -1;
    must_blame(place, "labels/f.png", "label 255 is no class");
}

static void labels_in_colour(void **state)
{
    image_place *place = *state;
    uint8_t pixels[24 * 16 * 4] = {0};
    write_small_set(place);
    must_put_rgba(place, "labels/a.png", 24, 16, pixels);
    must_blame(place, "labels/a.png", "one channel");
}

static void an_image_without_the_channel(void **state)
{
    image_place *place = *state;
    uint8_t pixels[24 * 16 * 4] = {0};
    write_small_set(place);
    place->options.channel = 3;
    for (char s = 'a'; s < 'f'; s++)
        must_put_rgba(place, assay_text("images/%c.png", s), 24, 16, pixels);
    must_blame(place, "images/f.png", "has not the channel");
}

/* Cuts a file to the share of its bytes. */
static void cut_file(const image_place *place, const char *name, double share)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    fclose(file);
    assert_int_equal(truncate(path, (off_t)((double)bytes * share)), 0);
}

static void truncated_and_empty_files(void **state)
{
    image_place *place = *state;
    static const char *const names[] = {"images/d.png", "labels/d.png"};
    static const double shares[] = {0.8, 0.4, 0.05, 0};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++) {
            write_small_set(place);
            cut_file(place, names[i], shares[k]);
            assay_error error = must_refuse(place, ASSAY_BAD_FILE);
            must_hold(error.where, names[i]);
        }
}

/* A header that promises more than is accepted is refused before anything is decoded. */
static void a_huge_image(void **state)
{
    image_place *place = *state;
    static const uint8_t huge[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,
                                   13,   'I', 'H', 'D', 'R',  0,    1,    0,    0,    0,    1,
                                   0,    0,   8,   0,   0,    0,    0,    0x7c, 0x7d, 0x5d, 0x29};
    write_small_set(place);
    must_put(place, "images/b.png", huge, sizeof huge);
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    must_hold(error.where, "images/b.png");
}

static void something_else_with_the_name_of_an_image(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "images/b.png", "not a picture");
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    must_hold(error.where, "images/b.png");
}

static void a_stem_that_is_listed_twice(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "train.txt", "a\nb\n\nc\r\nb\n");
    must_blame(place, "train.txt:", "'b' is named twice");
}

static void a_stem_of_two_files(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_remove(place, "train.txt");
    must_remove(place, "valid.txt");
    must_remove(place, "test.txt");
    must_put_flat(place, "images/b.bmp", 4, 4, 0);
    for (char s = 'g'; s < 'z'; s++) { /* so that no split is empty */
        must_put_flat(place, assay_text("images/%c.png", s), 4, 4, 0);
        must_put_flat(place, assay_text("labels/%c.png", s), 4, 4, 0);
    }
    must_blame(place, "images/b.", "'b' is named twice");
}

static void a_stem_to_train_and_to_test_on(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "test.txt", "f\nd\n");
    must_blame(place, "test.txt:2", "'d' is in train and in test");
}

static void valid_and_test_may_share_images(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "test.txt", "f\ne\n");
    image_functions()->close(must_open(place));
    must_hold(place->warned, "valid and test share 1 images");
}

static void names_that_are_no_stems(void **state)
{
    image_place *place = *state;
    static const char *const lists[] = {"a\n../secret\n", "a\n/etc/passwd\n"};
    for (size_t i = 0; i < 2; i++) {
        write_small_set(place);
        must_put_text(place, "train.txt", lists[i]);
        must_blame(place, "train.txt:2", "no stem");
    }
}

static void an_empty_split(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "valid.txt", "\n\n");
    must_blame(place, "images", "split valid has no image");
}

static void folders_and_lists_that_are_missing(void **state)
{
    image_place *place = *state;
    assay_error error = must_refuse(place, ASSAY_IO);
    must_hold(error.where, "/images");
    must_make_folder(place, "images");
    error = must_refuse(place, ASSAY_IO);
    must_hold(error.where, "/labels");
    write_small_set(place);
    static const char *const names[] = {"more.txt"};
    place->options.train = (assay_texts){1, names};
    error = must_refuse(place, ASSAY_IO);
    must_hold(error.where, "/more.txt");
    place->options.path = "/nowhere/at/all";
    error = must_refuse(place, ASSAY_IO);
    must_hold(error.where, "/nowhere");
}

static void a_name_that_would_cut_a_path(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    place->options.name = "night/day";
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).where, "name");
}

static void a_folder_with_the_name_of_an_image(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_remove(place, "images/b.png");
    must_make_folder(place, "images/b.png");
    must_blame(place, "images/b.png", "there is no such image");
}

static void a_folder_without_images(void **state)
{
    image_place *place = *state;
    must_make_folder(place, "images");
    must_put_text(place, "images/a.PNG", "");
    place->options.task = SEG_TASK_PRETRAINING;
    must_blame(place, "images", "split pretrain has no image");
    must_hold(must_refuse(place, ASSAY_BAD_FILE).expected, ".png, .jpg");
}

static void classes_without_names(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_remove(place, "classes.txt");
    assay_error error = must_refuse(place, ASSAY_BAD_INPUT);
    must_hold(error.what, "no names");
    static const char *const twice[] = {"a", "b", "a"};
    place->options.classes = (assay_texts){3, twice};
    error = must_refuse(place, ASSAY_BAD_INPUT);
    must_hold(error.what, "named twice");
    place->options.classes = (assay_texts){1, twice};
    error = must_refuse(place, ASSAY_BAD_INPUT);
    must_hold(error.expected, "2 classes");
}

static void remappings_that_make_no_sense(void **state)
{
    image_place *place = *state;
    static const double odd[] = {0, 0, 1}, above[] = {0, 7}, broken[] = {0.5, 0};
    write_small_set(place);
    place->options.remap = (assay_numbers){3, odd};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).what, "pairs");
    place->options.remap = (assay_numbers){2, above};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).what, "0 becomes 7");
    place->options.remap = (assay_numbers){2, broken};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).what, "whole numbers");
}

static void a_label_without_a_pair(void **state)
{
    image_place *place = *state;
    static const double some[] = {0, 0, 1, 1};
    write_small_set(place);
    place->options.remap = (assay_numbers){4, some};
    must_blame(place, "labels/a.png", "label 2 is no class");
}

static void pairs_of_options_in_the_wrong_order(void **state)
{
    image_place *place = *state;
    static const double down[] = {2, 0.5}, one[] = {1};
    write_small_set(place);
    place->options.resize = (assay_numbers){2, down};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).where, "resize");
    place->options.fit = (assay_numbers){1, one};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).where, "fit");
    place->options.fit = (assay_numbers){0};
    place->options.resize = (assay_numbers){1, one};
    must_hold(must_refuse(place, ASSAY_BAD_INPUT).where, "resize");
}

static void broken_images_can_be_skipped(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    must_put_text(place, "images/b.png", "not a picture");
    must_put_flat(place, "labels/d.png", 24, 16, 77);
    must_put_text(place, "train.txt", "a\nb\nc\nd\nghost\n");
    place->options.on_error = 1;
    void *data = must_open(place);
    assert_int_equal(image_functions()->count(data, ASSAY_TRAIN, 0), 2);
    must_hold(place->warned, "3 images skipped, the first: ");
    must_hold(place->warned, "images/b.png");
    image_functions()->close(data);
    must_remove(place, "images/e.png");
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    must_hold(error.what, "every image of split valid is broken");
}

static void copies_are_said_or_left_out(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    for (int i = 0; i < 2; i++) {
        must_put_flat(place, i ? "images/a(1).png" : "images/a~temp.png", 24, 16, 9);
        must_put_flat(place, i ? "labels/a(1).png" : "labels/a~temp.png", 24, 16, 1);
    }
    must_put_text(place, "train.txt", "a\na(1)\na~temp\nb\n");
    void *data = must_open(place);
    assert_int_equal(image_functions()->count(data, ASSAY_TRAIN, 0), 4);
    must_hold(place->warned, "2 names look like copies");
    image_functions()->close(data);
    place->options.copies = 1;
    data = must_open(place);
    assert_int_equal(image_functions()->count(data, ASSAY_TRAIN, 0), 2);
    image_functions()->close(data);
}

static void asked_to_end(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    place->stops = true;
    must_refuse(place, ASSAY_STOPPED);
}

static void memory_that_ends_anywhere(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    for (int64_t n = 0;; n++) {
        assay_error error = {0};
        int64_t blocks = assay_memory_stats_get().live_blocks;
        place->options.on_error = (int)(n % 2);
        assay_memory_fail_after(n);
        void *data = image_functions()->open(&place->options, n % 3 ? &place->host : NULL, &error);
        assay_memory_fail_after(-1);
        image_functions()->close(data);
        assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
        if (error.code == ASSAY_OK && n > 40)
            break;
        assert_true(n < 2000);
    }
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, image_place_make, image_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(the_small_set_opens),
        HERE(an_image_that_is_missing),
        HERE(a_label_image_that_is_missing),
        HERE(labels_of_another_size),
        HERE(a_label_that_is_no_class),
        HERE(without_an_ignored_value_255_is_no_class),
        HERE(labels_in_colour),
        HERE(an_image_without_the_channel),
        HERE(truncated_and_empty_files),
        HERE(a_huge_image),
        HERE(something_else_with_the_name_of_an_image),
        HERE(a_stem_that_is_listed_twice),
        HERE(a_stem_of_two_files),
        HERE(a_stem_to_train_and_to_test_on),
        HERE(valid_and_test_may_share_images),
        HERE(names_that_are_no_stems),
        HERE(an_empty_split),
        HERE(folders_and_lists_that_are_missing),
        HERE(a_name_that_would_cut_a_path),
        HERE(a_folder_with_the_name_of_an_image),
        HERE(a_folder_without_images),
        HERE(classes_without_names),
        HERE(remappings_that_make_no_sense),
        HERE(a_label_without_a_pair),
        HERE(pairs_of_options_in_the_wrong_order),
        HERE(broken_images_can_be_skipped),
        HERE(copies_are_said_or_left_out),
        HERE(asked_to_end),
        HERE(memory_that_ends_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
