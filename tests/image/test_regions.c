/* test_regions.c - segments and regions against scikit-image and selectivesearch, whose values
 * scripts/reference/roi.py wrote, and on images small enough to be seen through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <assay/regions.h>
#include <assay/weights.h>

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

/* ---- against the published packages ---- */

static const assay_stored *get(const assay_weights *file, const char *name, const char *part)
{
    char full[64];
    assay_error error = {0};
    snprintf(full, sizeof full, "%s.%s", name, part);
    const assay_stored *stored = assay_weights_get(file, full, &error);
    if (stored == NULL)
        fail_msg("%s %s", error.where, error.what);
    return stored;
}

static int32_t *integers(const assay_stored *stored, assay_arena *arena)
{
    assay_error error = {0};
    double *values = assay_arena_alloc(arena, (stored->count + 1) * 8, &error);
    int32_t *out = assay_arena_alloc(arena, (stored->count + 1) * 4, &error);
    assay_stored_doubles(stored, values);
    for (int64_t i = 0; i < stored->count; i++)
        out[i] = (int32_t)values[i];
    return out;
}

static void check_case(const assay_weights *file, const char *name, assay_arena *arena)
{
    assay_error error = {0};
    const assay_stored *stored = get(file, name, "image"), *wanted = get(file, name, "regions");
    const assay_stored *kept = get(file, name, "rois");
    assay_image image = {stored->shape[1], stored->shape[0], 8, (void *)(uintptr_t)stored->data,
                         false};
    double numbers[3];
    assay_stored_doubles(get(file, name, "numbers"), numbers);
    assay_roi_rule rule = assay_roi_rule_of(1);
    rule.search = (assay_search){numbers[0], numbers[1], (int64_t)numbers[2], false};
    int32_t *labels = assay_arena_alloc(arena, stored->count * 4, &error);
    int64_t count = 0;
    assert_true(assay_segments(&image, &rule.search, labels, &count, arena, &error));
    assert_memory_equal(labels, integers(get(file, name, "segments"), arena),
                        (size_t)stored->count * 4);
    assay_region *regions = NULL;
    assert_true(assay_regions_find(&image, &rule.search, &regions, &count, arena, &error));
    assert_int_equal(count, wanted->shape[0]);
    const int32_t *r = integers(wanted, arena);
    for (int64_t i = 0; i < count; i++, r += 5) {
        const assay_box *b = &regions[i].box;
        assert_true(b->x == r[0] && b->y == r[1] && b->width == r[2] && b->height == r[3]);
        assert_int_equal(regions[i].pixels, r[4]);
    }
    assay_rois rois = {0};
    assert_true(assay_rois_find(&image, &rule, &rois, arena, &error));
    assert_int_equal(rois.count, kept->shape[0]);
    const int32_t *k = integers(kept, arena);
    for (int64_t i = 0; i < rois.count; i++, k += 4) {
        const assay_box *b = &rois.items[i];
        assert_true(b->x == k[0] && b->y == k[1] && b->width == k[2] && b->height == k[3]);
    }
}

static void regions_are_those_of_the_published_packages(void **state)
{
    static const char *const cases[] = {"published", "noisy", "fine"};
    char path[4096];
    assay_error error = {0};
    snprintf(path, sizeof path, "%s/golden/infrared/roi.safetensors", getenv("ASSAY_TEST_DATA"));
    assay_weights *file = assay_weights_open(path, &error);
    assert_non_null(file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(file, cases[i], *state);
    assay_weights_close(file);
}

/* ---- small images ---- */

enum { WIDTH = 24, HEIGHT = 10 };

/* Left half `left`, right half `right`, and in the left one a speck of 2 x 2. */
static assay_image halves(uint8_t *data, int left, int right, int speck)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            bool in_speck = x >= 4 && x < 6 && y >= 4 && y < 6;
            data[y * WIDTH + x] = (uint8_t)(in_speck ? speck : x < WIDTH / 2 ? left : right);
        }
    return (assay_image){WIDTH, HEIGHT, 8, data, false};
}

static int64_t count_segments(const assay_image *image, assay_search how, int32_t *labels,
                              assay_arena *arena)
{
    assay_error error = {0};
    int64_t count = 0;
    assert_true(assay_segments(image, &how, labels, &count, arena, &error));
    return count;
}

static void segments_end_where_the_step_is_high(void **state)
{
    uint8_t data[WIDTH * HEIGHT];
    int32_t labels[WIDTH * HEIGHT];
    /* Halves of 120 pixels, 100 of 255 apart: the step costs sqrt(3) 100 / 255 = 0.679, a half
     * bears scale / 255 / 120, which is as much at scale 20785. */
    assay_image image = halves(data, 50, 150, 50);
    assert_int_equal(count_segments(&image, (assay_search){20700, 0, 1, false}, labels, *state), 2);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal(labels[i], i % WIDTH >= WIDTH / 2);
    assert_int_equal(count_segments(&image, (assay_search){20900, 0, 1, false}, labels, *state), 1);
    /* A speck of 4 pixels stays alone until segments have to be larger. */
    image = halves(data, 50, 150, 90);
    assert_int_equal(count_segments(&image, (assay_search){10, 0, 4, false}, labels, *state), 3);
    assert_int_equal(labels[4 * WIDTH + 4], 2);
    assert_int_equal(count_segments(&image, (assay_search){10, 0, 5, false}, labels, *state), 2);
}

static void the_corrected_search_joins_what_touches(void **state)
{
    assay_error error = {0};
    uint8_t data[WIDTH * HEIGHT];
    assay_region *regions = NULL;
    int64_t count = 0;
    assay_image image = halves(data, 50, 150, 90);
    assay_search how = {10, 0, 4, false};
    /* As published the halves have no corner inside each other, and boxes lack a row and a
     * column. */
    assert_true(assay_regions_find(&image, &how, &regions, &count, *state, &error));
    assert_int_equal(count, 4);
    assert_true(regions[0].box.width == 11 && regions[0].box.height == 9);
    assert_int_equal(regions[0].pixels, 116);
    how.corrected = true;
    assert_true(assay_regions_find(&image, &how, &regions, &count, *state, &error));
    assert_int_equal(count, 5);
    assert_true(regions[0].box.width == 12 && regions[0].box.height == 10);
    assert_true(regions[4].box.width == WIDTH && regions[4].box.height == HEIGHT);
    assert_int_equal(regions[4].pixels, WIDTH * HEIGHT);
}

static void one_pixel_and_one_gray_are_one_region(void **state)
{
    assay_error error = {0};
    uint8_t data[64 * 64] = {0};
    assay_region *regions = NULL;
    int64_t count = 0;
    const assay_search how = {600, 0.9, 30, false};
    assay_image one = {1, 1, 8, data, false}, even = {64, 64, 8, data, false};
    assert_true(assay_regions_find(&one, &how, &regions, &count, *state, &error));
    assert_int_equal(count, 1);
    assert_true(assay_regions_find(&even, &how, &regions, &count, *state, &error));
    assert_int_equal(count, 1);
    assert_int_equal(regions[0].pixels, 64 * 64);
}

static void too_many_segments_are_refused(void **state)
{
    assay_error error = {0};
    assay_region *regions = NULL;
    int64_t count = 0;
    assay_image image = {0};
    const assay_search how = {0, 0, 1, false};
    assert_true(assay_image_new(&image, 260, 260, 8, *state, &error));
    for (int i = 0; i < 260 * 260; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i * 37 + i / 260 * 11);
    assert_false(assay_regions_find(&image, &how, &regions, &count, *state, &error));
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    assert_non_null(strstr(error.what, "segments"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_those_of_the_published_packages),
        cmocka_unit_test(segments_end_where_the_step_is_high),
        cmocka_unit_test(the_corrected_search_joins_what_touches),
        cmocka_unit_test(one_pixel_and_one_gray_are_one_region),
        cmocka_unit_test(too_many_segments_are_refused),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
