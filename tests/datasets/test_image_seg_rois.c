/* test_image_seg_rois.c - crops around the regions that lie in files beside the images. */
#include "image_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 200, HEIGHT = 150, SIDE = 24 };

/* Two dark images with a bright block of 100 x 80 at (60, 40). */
static void write_images(const image_place *place)
{
    static uint8_t gray[WIDTH * HEIGHT];
    must_make_folder(place, "images");
    must_make_folder(place, "roi");
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            gray[y * WIDTH + x] = x >= 60 && x < 160 && y >= 40 && y < 120 ? 200 : 10;
    must_put_gray(place, "images/a.png", WIDTH, HEIGHT, gray);
    gray[0] = 11;
    must_put_gray(place, "images/b.png", WIDTH, HEIGHT, gray);
}

static void choose(image_place *place, int crop)
{
    place->options.task = SEG_TASK_PRETRAINING;
    place->options.side = SIDE;
    place->options.crop = crop;
    place->options.roi_p = 1;
}

/* Share of bright pixels in 60 crops of image a. */
static double bright(image_place *place)
{
    void *data = must_open(place);
    int64_t above = 0;
    for (int64_t epoch = 0; epoch < 60; epoch++) {
        const assay_draw draw = {.seed = 1, .epoch = epoch, .augment = true};
        assay_arena_reset(place->arena);
        assay_sample s = must_sample(place, data, ASSAY_PRETRAIN, 0, &draw);
        const float *values = s.values[0].data;
        for (int i = 0; i < SIDE * SIDE; i++)
            above += values[i] > 0;
    }
    image_functions()->close(data);
    return (double)above / (60 * SIDE * SIDE);
}

static void crops_show_the_region(void **state)
{
    image_place *place = *state;
    write_images(place);
    must_put_text(place, "roi/a.txt", "60,40,100,80\n");
    must_put_text(place, "roi/b.txt", "");
    choose(place, SEG_CROP_ROI);
    double around = bright(place);
    choose(place, SEG_CROP_RANDOM);
    double random = bright(place);
    /* A crop of 0.7 to 1.5 of the block's sides, moved by up to 0.4 of them, has about two thirds
     * of it; the block is 0.27 of the image. */
    assert_true(around > 0.5 && around < 0.85);
    assert_true(random < around - 0.1);
}

static void an_image_without_a_file_is_told(void **state)
{
    image_place *place = *state;
    write_images(place);
    choose(place, SEG_CROP_ROI);
    assay_error error = must_refuse(place, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.hint, "assay rois "));
    assert_non_null(strstr(error.hint, "/images"));
    must_put_text(place, "roi/a.txt", "60,40,100,80\n");
    image_functions()->close(must_open(place));
    assert_non_null(strstr(place->warned, "1 of 2 images have no file of regions"));
}

static void a_wrong_file_is_named_before_the_run(void **state)
{
    image_place *place = *state;
    write_images(place);
    must_put_text(place, "roi/b.txt", "60,40,100,80\n60,40,100\n");
    choose(place, SEG_CROP_ROI);
    assay_error error = must_refuse(place, ASSAY_BAD_FILE);
    assert_non_null(strstr(error.where, "/roi/b.txt:2"));
}

static void regions_are_part_of_the_fingerprint(void **state)
{
    image_place *place = *state;
    char first[65];
    write_images(place);
    must_put_text(place, "roi/a.txt", "60,40,100,80\n");
    choose(place, SEG_CROP_ROI);
    void *data = must_open(place);
    snprintf(first, sizeof first, "%s", image_functions()->fingerprint(data));
    image_functions()->close(data);
    must_put_text(place, "roi/a.txt", "60,40,100,81\n");
    data = must_open(place);
    assert_string_not_equal(first, image_functions()->fingerprint(data));
    image_functions()->close(data);
}

static void segmentation_has_no_such_crops(void **state)
{
    image_place *place = *state;
    write_small_set(place);
    place->options.crop = SEG_CROP_ROI;
    assay_error error = must_refuse(place, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, "crop"));
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, image_place_make, image_place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(crops_show_the_region),
        HERE(an_image_without_a_file_is_told),
        HERE(a_wrong_file_is_named_before_the_run),
        HERE(regions_are_part_of_the_fingerprint),
        HERE(segmentation_has_no_such_crops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
