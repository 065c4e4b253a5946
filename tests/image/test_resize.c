/* test_resize.c - sizes: exact cases, and what every kind keeps. Values of PyTorch and Pillow are
 * compared in the golden tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <assay/image.h>

static const assay_resize kinds[] = {ASSAY_NEAREST, ASSAY_BILINEAR, ASSAY_BICUBIC};

static assay_image must_resize(const assay_image *in, int64_t width, int64_t height,
                               assay_resize how)
{
    assay_image out = {0};
    assay_error error = {0};
    if (!assay_image_resize(&out, in, width, height, how, NULL, &error))
        fail_msg("%s", error.what);
    assert_int_equal(out.width, width);
    assert_int_equal(out.height, height);
    return out;
}

static void the_same_size_is_the_same_image(void **state)
{
    (void)state;
    uint8_t data[35];
    assay_image in = {7, 5, 8, data, false};
    for (int i = 0; i < 35; i++)
        data[i] = (uint8_t)(i * 97);
    for (int k = 0; k < 3; k++) {
        assay_image out = must_resize(&in, 7, 5, kinds[k]);
        assert_memory_equal(out.data, data, sizeof data);
        assay_image_free(&out);
    }
}

static void an_even_image_stays_even(void **state)
{
    (void)state;
    uint8_t data[12];
    assay_image in = {3, 4, 8, data, false};
    memset(data, 201, sizeof data);
    for (int k = 0; k < 3; k++)
        for (int64_t side = 1; side < 12; side++) {
            assay_image out = must_resize(&in, side, 12 - side, kinds[k]);
            for (int64_t i = 0; i < side * (12 - side); i++)
                assert_int_equal(((uint8_t *)out.data)[i], 201);
            assay_image_free(&out);
        }
}

static void bilinear_lies_between_neighbours(void **state)
{
    (void)state;
    uint8_t data[2] = {10, 110};
    assay_image in = {2, 1, 8, data, false};
    assay_image out = must_resize(&in, 4, 1, ASSAY_BILINEAR);
    const uint8_t expected[4] = {10, 35, 85, 110};
    assert_memory_equal(out.data, expected, 4);
    assay_image_free(&out);
}

static void nearest_takes_the_floor(void **state)
{
    (void)state;
    uint8_t data[5] = {0, 1, 2, 3, 4};
    assay_image in = {5, 1, 8, data, false};
    assay_image out = must_resize(&in, 3, 1, ASSAY_NEAREST);
    const uint8_t expected[3] = {0, 1, 3};
    assert_memory_equal(out.data, expected, 3);
    assay_image_free(&out);
}

static void wide_images_are_not_resized(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_image in = {0}, out = {0};
    assert_true(assay_image_new(&in, 3, 2, 16, NULL, &error));
    memset(in.data, 0x5a, 12);
    assert_false(assay_image_resize(&out, &in, 2, 2, ASSAY_BILINEAR, NULL, &error));
    assert_int_equal(error.code, ASSAY_UNSUPPORTED);
    assert_null(out.data);
    assay_image_narrow(&in);
    assert_int_equal(in.bits, 8);
    assert_int_equal(((uint8_t *)in.data)[5], 0x5a);
    assay_image_free(&in);
    assert_int_equal(assay_memory_stats_get().live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_size_is_the_same_image),
        cmocka_unit_test(an_even_image_stays_even),
        cmocka_unit_test(bilinear_lies_between_neighbours),
        cmocka_unit_test(nearest_takes_the_floor),
        cmocka_unit_test(wide_images_are_not_resized),
    };
    return cmocka_run_group_tests_name("image_resize", tests, NULL, NULL);
}
