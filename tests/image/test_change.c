/* test_change.c - the random changes: what they may give, how often, and that a sample of an epoch
 * is the same whoever asks for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <assay/image.h>

#define DRAWS 4000

static const double scale[2] = {0.2, 1}, ratio[2] = {0.75, 4.0 / 3};

static void boxes_have_the_areas_and_aspects_asked_for(void **state)
{
    (void)state;
    double mean = 0;
    int64_t left = 0;
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(1, "crop", 0, i);
        assay_box box = assay_random_box(640, 480, scale, ratio, &chance);
        double area = (double)(box.width * box.height) / (640.0 * 480);
        double aspect = (double)box.width / (double)box.height;
        assert_true(box.x >= 0 && box.x + box.width <= 640);
        assert_true(box.y >= 0 && box.y + box.height <= 480);
        assert_true(area > 0.198 && area <= 1);
        assert_true(aspect > 0.74 && aspect < 1.345);
        mean += area / DRAWS;
        left += 2 * box.x < 640 - box.width;
    }
    /* Uniform areas less those too high to fit: 0.4946 when the integral is worked out. */
    assert_true(mean > 0.48 && mean < 0.51);
    assert_true(left > DRAWS * 4 / 10 && left < DRAWS * 6 / 10);
}

static void an_image_that_fits_no_box_is_cut_in_its_middle(void **state)
{
    (void)state;
    assay_chance chance = assay_chance_of(1, "crop", 0, 0);
    assay_box box = assay_random_box(1000, 30, scale, ratio, &chance);
    assert_int_equal(box.height, 30);
    assert_int_equal(box.width, 40);
    assert_int_equal(box.x, 480);
}

static void fill(assay_image *image, int64_t width, int64_t height, unsigned factor)
{
    assay_error error = {0};
    assert_true(assay_image_new(image, width, height, 8, NULL, &error));
    for (int64_t i = 0; i < width * height; i++)
        ((uint8_t *)image->data)[i] = (uint8_t)((unsigned)i * factor >> 4);
}

static void a_changed_image_is_that_of_its_address(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_image in = {0}, out[4] = {{0}};
    const assay_pretrain_change change = {24, {0.2, 1}, {0.75, 4.0 / 3}, true};
    const int64_t epochs[4] = {0, 0, 1, 0}, indices[4] = {3, 3, 3, 4};
    fill(&in, 60, 40, 97);
    for (int i = 0; i < 4; i++) {
        assay_chance chance = assay_chance_of(7, "crop", epochs[i], indices[i]);
        assert_true(assay_image_change(&out[i], &in, &change, &chance, NULL, &error));
        assert_int_equal(out[i].width, 24);
    }
    assert_memory_equal(out[0].data, out[1].data, 24 * 24);
    assert_memory_not_equal(out[0].data, out[2].data, 24 * 24);
    assert_memory_not_equal(out[0].data, out[3].data, 24 * 24);
    for (int i = 0; i < 4; i++)
        assay_image_free(&out[i]);
    assay_image_free(&in);
}

static void half_of_the_images_are_flipped(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_image in = {0}, out = {0};
    const assay_pretrain_change change = {4, {1, 1}, {1, 1}, true};
    int64_t flips = 0;
    fill(&in, 4, 4, 48);
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(2, "crop", 0, i);
        assert_true(assay_image_change(&out, &in, &change, &chance, NULL, &error));
        bool same = memcmp(out.data, in.data, 16) == 0;
        flips += !same;
        if (!same)
            assay_image_flip(&out);
        assert_memory_equal(out.data, in.data, 16);
        assay_image_free(&out);
    }
    assert_true(flips > DRAWS * 46 / 100 && flips < DRAWS * 54 / 100);
    assay_image_free(&in);
}

/* ---- segmentation ---- */

static void sizes_keep_the_aspect(void **state)
{
    (void)state;
    static const int64_t cases[][6] = {{640, 480, 2048, 512, 683, 512},
                                       {720, 576, 2048, 512, 640, 512},
                                       {480, 640, 2048, 512, 512, 683},
                                       {4000, 10, 2048, 512, 2048, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t width = 0, height = 0;
        assay_image_fit(cases[i][0], cases[i][1], cases[i][2], cases[i][3], &width, &height);
        assert_int_equal(width, cases[i][4]);
        assert_int_equal(height, cases[i][5]);
    }
}

/* Class = gray / 64 in every pixel before; all changes but the photometric one keep it where
 * nearest and bilinear agree, so image and labels are known to have moved together. */
static void image_and_labels_move_together(void **state)
{
    (void)state;
    assay_error error = {0};
    const assay_segment_change change = {64, 32, 32, {1, 1}, 0.75, true, false, 255};
    for (int64_t i = 0; i < 64; i++) {
        assay_image image = {0}, truth = {0};
        fill(&image, 64, 32, 53);
        fill(&truth, 64, 32, 53);
        assay_chance chance = assay_chance_of(5, "segment", 0, i);
        assert_true(assay_segment_change_apply(&image, &truth, &change, &chance, NULL, &error));
        assert_int_equal(image.width, 32);
        assert_memory_equal(image.data, truth.data, 32 * 32);
        assay_image_free(&image);
        assay_image_free(&truth);
    }
    assert_int_equal(assay_memory_stats_get().live_blocks, 0);
}

static void a_small_image_is_padded_with_ignore(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_image image = {0}, truth = {0};
    float out[64];
    const assay_segment_change change = {8, 4, 8, {0.5, 0.5}, 0.75, false, false, 255};
    fill(&image, 8, 8, 16);
    fill(&truth, 8, 8, 1);
    assay_chance chance = assay_chance_of(5, "segment", 0, 0);
    assert_true(assay_segment_change_apply(&image, &truth, &change, &chance, NULL, &error));
    assert_int_equal(image.width, 2);
    assert_int_equal(truth.width, 8);
    assay_image_pad(&image, 0.5, 0.25, 8, 8, out);
    for (int i = 0; i < 64; i++) {
        bool inside = i / 8 < 2 && i % 8 < 2;
        assert_int_equal(((uint8_t *)truth.data)[i] == 255, !inside);
        assert_int_equal(out[i] == 0, !inside);
    }
    assay_image_free(&image);
    assay_image_free(&truth);
}

/* A window in seven (7 of 49 places) shows two classes well enough: 57 of 400 by one draw, 327 by
 * eleven. */
static void windows_of_one_class_are_drawn_again(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t mixed[2] = {0, 0};
    for (int redraws = 0; redraws < 2; redraws++)
        for (int64_t i = 0; i < 400; i++) {
            assay_image image = {0}, truth = {0};
            const assay_segment_change change = {64,    64,    16, {1, 1}, redraws ? 0.75 : 1.0,
                                                 false, false, 255};
            fill(&image, 64, 64, 0);
            fill(&truth, 64, 64, 0);
            for (int64_t y = 0; y < 64; y++)
                memset((uint8_t *)truth.data + y * 64 + 32, 1, 32);
            assay_chance chance = assay_chance_of(5, "segment", 0, i);
            assert_true(assay_segment_change_apply(&image, &truth, &change, &chance, NULL, &error));
            int64_t ones = 0;
            for (int64_t k = 0; k < 256; k++)
                ones += ((uint8_t *)truth.data)[k];
            mixed[redraws] += ones > 64 && ones < 192;
            assay_image_free(&image);
            assay_image_free(&truth);
        }
    assert_true(mixed[0] > 20 && mixed[0] < 120);
    assert_true(mixed[1] > 290 && mixed[1] < 360);
}

static void light_changes_half_of_the_time_and_within_its_bounds(void **state)
{
    (void)state;
    int64_t kept = 0;
    for (int64_t i = 0; i < DRAWS; i++) {
        uint8_t data[3] = {0, 100, 255};
        assay_image image = {3, 1, 8, data, false};
        assay_chance chance = assay_chance_of(5, "segment", 0, i);
        assay_image_distort(&image, &chance);
        kept += data[0] == 0 && data[1] == 100 && data[2] == 255;
        assert_true(data[0] <= 47 && data[1] >= 34 && data[1] <= 197);
        assert_true(data[0] <= data[1] && data[1] <= data[2]);
    }
    assert_true(kept > DRAWS * 22 / 100 && kept < DRAWS * 29 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_have_the_areas_and_aspects_asked_for),
        cmocka_unit_test(an_image_that_fits_no_box_is_cut_in_its_middle),
        cmocka_unit_test(a_changed_image_is_that_of_its_address),
        cmocka_unit_test(half_of_the_images_are_flipped),
        cmocka_unit_test(sizes_keep_the_aspect),
        cmocka_unit_test(image_and_labels_move_together),
        cmocka_unit_test(a_small_image_is_padded_with_ignore),
        cmocka_unit_test(windows_of_one_class_are_drawn_again),
        cmocka_unit_test(light_changes_half_of_the_time_and_within_its_bounds),
    };
    return cmocka_run_group_tests_name("image_change", tests, NULL, NULL);
}
