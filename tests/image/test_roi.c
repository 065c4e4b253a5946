/* test_roi.c - candidates for crops: their files, and the crops that are drawn around them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <assay/file.h>
#include <assay/regions.h>

#define DRAWS 4000

static int make_arena(void **state)
{
    assay_error error = {0};
    *state = assay_arena_new(0, &error);
    return *state != NULL ? 0 : -1;
}

static int free_arena(void **state)
{
    assay_arena_free(*state);
    return 0;
}

/* ---- files ---- */

static void files_give_back_what_was_written(void **state)
{
    assay_error error = {0};
    const char *path = "/tmp/assay_roi_test.txt";
    const assay_box boxes[] = {{0, 1, 40, 50}, {123456, 7, 8, 999999999}};
    for (int64_t count = 0; count <= 2; count++) {
        assay_rois read = {NULL, -1};
        assert_true(assay_rois_write(path, &(assay_rois){boxes, count}, &error));
        assert_true(assay_rois_read(path, &read, *state, &error));
        assert_int_equal(read.count, count);
        for (int64_t i = 0; i < count; i++)
            assert_memory_equal(&read.items[i], &boxes[i], sizeof boxes[i]);
    }
    /* Without a newline at the end. */
    assay_rois read = {0};
    assert_true(assay_publish(path, "1,2,3,4\n5,6,7,8", 15, &error));
    assert_true(assay_rois_read(path, &read, *state, &error));
    assert_true(read.count == 2 && read.items[1].height == 8);
    unlink(path);
}

static void a_wrong_line_is_named(void **state)
{
    static const char *const wrong[] = {"1,2,3,4\n5,6,7\n",          "1,2,3,4\n1,2,3,4,5\n",
                                        "1,2,3,4\n-1,2,3,4\n",       "1,2,3,4\n\n1,2,3,4\n",
                                        "1,2,3,4\n1,2,3,1234567890", "1,2,3,4\na,b,c,d\n",
                                        "1,2,3,4\n1 2 3 4\n"};
    const char *path = "/tmp/assay_roi_wrong.txt";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assay_error error = {0};
        assay_rois read = {0};
        assert_true(assay_publish(path, wrong[i], (int64_t)strlen(wrong[i]), &error));
        assert_false(assay_rois_read(path, &read, *state, &error));
        assert_int_equal(error.code, ASSAY_BAD_FILE);
        assert_string_equal(error.where, "/tmp/assay_roi_wrong.txt:2");
    }
    unlink(path);
}

static void candidates_lie_beside_the_images_folder(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"MSIP/LLVIP/thermal/0000012.jpg", "MSIP/LLVIP/roi/0000012.txt"},
        {"/data/thermal/a.b.png", "/data/roi/a.b.txt"},
        {"thermal/x.png", "./roi/x.txt"},
        {"/thermal/x.png", "//roi/x.txt"},
        {"x.png", "../roi/x.txt"},
        {"d.e/images/name", "d.e/roi/name.txt"}};
    char path[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(assay_rois_path(cases[i][0], path, sizeof path));
        assert_string_equal(path, cases[i][1]);
    }
    assert_false(assay_rois_path(cases[0][0], path, 20));
}

/* ---- crops ---- */

static bool is_in(assay_box b, int64_t width, int64_t height)
{
    return b.x >= 0 && b.y >= 0 && b.width > 0 && b.height > 0 && b.x + b.width <= width &&
           b.y + b.height <= height;
}

static void crops_stay_near_their_candidate(void **state)
{
    (void)state;
    const assay_box box = {300, 200, 100, 80};
    const assay_rois rois = {&box, 1};
    const assay_roi_crop crop = assay_roi_crop_of(1);
    double x = 0, y = 0, narrowest = 1e9, widest = 0;
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(1, "roi", 0, i);
        /* Without large crops, so that no random box stands in. */
        assay_roi_crop any = crop;
        any.p = 1;
        assay_box b = assay_roi_box(640, 480, &rois, &any, &chance);
        assert_true(is_in(b, 640, 480));
        assert_true(b.width >= 60 && b.width <= 151 && b.height >= 60 && b.height <= 121);
        double cx = (double)b.x + (double)b.width / 2, cy = (double)b.y + (double)b.height / 2;
        assert_true(fabs(cx - 350) <= 41 && fabs(cy - 240) <= 33);
        x += cx / DRAWS;
        y += cy / DRAWS;
        narrowest = fmin(narrowest, (double)b.width);
        widest = fmax(widest, (double)b.width);
    }
    assert_true(fabs(x - 350) < 1.5 && fabs(y - 240) < 1.5);
    assert_true(narrowest < 72 && widest > 147);
}

/* The steps of the specification, one crop from given numbers; false: the next try. */
static bool spelled_out(const assay_box *r, const double u[4], assay_box *out)
{
    double cx = rint((double)r->x + (double)r->width / 2.0) + rint((double)r->width * u[0]);
    double cy = rint((double)r->y + (double)r->height / 2.0) + rint((double)r->height * u[1]);
    double w = (double)r->width * u[2], h = (double)r->height * u[3];
    w = w > 60 ? w : 60;
    h = h > 60 ? h : 60;
    double x1 = rint(cx - w / 2), x2 = rint(cx + w / 2), y1 = rint(cy - h / 2),
           y2 = rint(cy + h / 2);
    x1 = x1 > 0 ? x1 : 0;
    y1 = y1 > 0 ? y1 : 0;
    x2 = x2 < 319 ? x2 : 319;
    y2 = y2 < 239 ? y2 : 239;
    *out = (assay_box){(int64_t)x1, (int64_t)y1, (int64_t)(x2 - x1), (int64_t)(y2 - y1)};
    return x2 - x1 >= 60 && y2 - y1 >= 60;
}

static void crops_round_as_specified(void **state)
{
    (void)state;
    /* Odd sides have middles at halves, which go to the even neighbour. */
    const assay_box boxes[] = {{0, 0, 41, 45}, {200, 150, 119, 89}, {33, 60, 43, 161}};
    assay_roi_crop crop = assay_roi_crop_of(1);
    int64_t first_tries = 0;
    crop.p = 1;
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(2, "roi", 0, i), again = chance;
        assay_box expected = {0};
        const assay_rois rois = {&boxes[i % 3], 1};
        assay_box got = assay_roi_box(320, 240, &rois, &crop, &chance);
        double u[4];
        assay_chance_between(&again, 0, 1);
        assay_chance_below(&again, 1);
        for (int k = 0; k < 4; k++)
            u[k] = assay_chance_between(&again, k < 2 ? -0.4 : 0.7, k < 2 ? 0.4 : 1.5);
        if (!spelled_out(&boxes[i % 3], u, &expected))
            continue;
        first_tries++;
        assert_memory_equal(&got, &expected, sizeof got);
    }
    assert_true(first_tries > DRAWS / 2);
}

static void large_crops_have_their_share_of_the_image(void **state)
{
    (void)state;
    const assay_box boxes[] = {{100, 100, 240, 200}, {300, 300, 60, 60}};
    const assay_rois rois = {boxes, 2};
    assay_roi_crop crop = assay_roi_crop_of(1);
    int64_t small = 0;
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(3, "roi", 0, i);
        assay_box b = assay_roi_box(640, 480, &rois, &crop, &chance);
        small += (double)(b.width * b.height) < 0.15 * 640 * 480;
    }
    /* 0.85 of the crops may be small; those of the small box always are, of the large one about
     * half. */
    assert_true(small > DRAWS * 0.85 * 0.6 && small < DRAWS * 0.85 * 0.9);
    crop.p = 0;
    for (int64_t i = 0; i < DRAWS; i++) {
        assay_chance chance = assay_chance_of(4, "roi", 0, i);
        assay_box b = assay_roi_box(640, 480, &rois, &crop, &chance);
        assert_true((double)(b.width * b.height) >= 0.15 * 640 * 480);
    }
}

static void without_a_fit_candidate_the_crop_is_random(void **state)
{
    (void)state;
    const assay_box outside[] = {
        {600, 10, 60, 60}, {10, 470, 60, 60}, {5, 5, 39, 200}, {5, 5, 200, 39}};
    const assay_roi_crop crop = assay_roi_crop_of(1);
    const assay_rois none = {NULL, 0}, useless = {outside, 4};
    for (int64_t i = 0; i < 50; i++) {
        assay_chance chance = assay_chance_of(5, "roi", 0, i), again = chance;
        assay_box a = assay_random_box(640, 480, crop.scale, crop.ratio, &again);
        assay_box b = assay_roi_box(640, 480, &none, &crop, &chance);
        assert_memory_equal(&a, &b, sizeof a);
        chance = assay_chance_of(5, "roi", 0, i);
        b = assay_roi_box(640, 480, &useless, &crop, &chance);
        assert_true(is_in(b, 640, 480) && b.width * b.height > 640 * 480 / 6);
        assert_true(chance.index - assay_chance_of(5, "roi", 0, i).index <= 141);
    }
}

static void a_candidate_can_be_the_crop(void **state)
{
    (void)state;
    const assay_box box = {10, 20, 50, 45};
    const assay_rois rois = {&box, 1};
    assay_roi_crop crop = assay_roi_crop_of(1);
    crop.as_it_is = true;
    assay_chance chance = assay_chance_of(6, "roi", 0, 0);
    assay_box got = assay_roi_box(640, 480, &rois, &crop, &chance);
    assert_memory_equal(&got, &box, sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_give_back_what_was_written),
        cmocka_unit_test(a_wrong_line_is_named),
        cmocka_unit_test(candidates_lie_beside_the_images_folder),
        cmocka_unit_test(crops_stay_near_their_candidate),
        cmocka_unit_test(crops_round_as_specified),
        cmocka_unit_test(large_crops_have_their_share_of_the_image),
        cmocka_unit_test(without_a_fit_candidate_the_crop_is_random),
        cmocka_unit_test(a_candidate_can_be_the_crop),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
