/* test_stored.c - stored values of every dtype arrive in tensors as promised, rounded at most once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/from_bytes.h"

#include <math.h>

static assay_tensor *new_tensor(assay_dtype dtype, int rank, const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(dtype, rank, shape, &error);
    assert_non_null(tensor);
    return tensor;
}

static assay_weights *open_valid(const char *header, const void *data, size_t data_bytes)
{
    assay_error error = {0};
    assay_weights *weights = open_made(header, data, data_bytes, &error);
    if (weights == NULL)
        fail_msg("%s: %s, %s", error.what, error.expected, error.got);
    return weights;
}

/* One tensor of every stored dtype, all at odd addresses: a byte lies before them. */
static const char all_dtypes[] =
    "{\"pad\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    "\"F64\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[1,17]},"
    "\"I64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[17,33]},"
    "\"F32\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[33,41]},"
    "\"I32\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[41,49]},"
    "\"F16\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[49,53]},"
    "\"BF16\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[53,57]},"
    "\"I16\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[57,61]},"
    "\"I8\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[61,63]},"
    "\"U8\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[63,65]},"
    "\"BOOL\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[65,67]}}";

static const uint8_t all_data[67] = {
    0,                                              /* pad */
    0,    0,    0,    0,    0,    0,    0xf8, 0x3f, /* 1.5 */
    0,    0,    0,    0,    0,    0,    0x00, 0xc0, /* -2 */
    0x80, 0,    0,    0,    0,    0,    0,    0,    /* 128 */
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* -2 */
    0,    0,    0xc0, 0x3f,                         /* 1.5 */
    0,    0,    0x00, 0xc0,                         /* -2 */
    0x80, 0,    0,    0,    0xfe, 0xff, 0xff, 0xff, /* 128, -2 */
    0x00, 0x3e, 0x00, 0xc0,                         /* 1.5, -2 */
    0xc0, 0x3f, 0x00, 0xc0,                         /* 1.5, -2 */
    0x80, 0x00, 0xfe, 0xff,                         /* 128, -2 */
    0x7f, 0xfe,                                     /* 127, -2 */
    0x80, 0xfe,                                     /* 128, 254 */
    0x00, 0x02,                                     /* false, true */
};

static void every_stored_dtype_reads_as_doubles_even_unaligned(void **state)
{
    static const struct {
        const char *name;
        double values[2];
    } cases[] = {
        {"F64", {1.5, -2}}, {"F32", {1.5, -2}}, {"F16", {1.5, -2}}, {"BF16", {1.5, -2}},
        {"I64", {128, -2}}, {"I32", {128, -2}}, {"I16", {128, -2}}, {"I8", {127, -2}},
        {"U8", {128, 254}}, {"BOOL", {0, 1}},
    };
    (void)state;
    assay_weights *weights = open_valid(all_dtypes, all_data, sizeof all_data);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const assay_stored *stored = assay_weights_find(weights, cases[i].name);
        double values[2];
        assert_non_null(stored);
        assert_string_equal(assay_stored_dtype_name(stored->dtype), cases[i].name);
        assay_stored_doubles(stored, values);
        assert_true(values[0] == cases[i].values[0] && values[1] == cases[i].values[1]);
    }
    assay_weights_close(weights);
}

static void dtypes_convert_within_their_kind_only(void **state)
{
    static const char *const floating[] = {"F64", "F32", "F16", "BF16"};
    static const char *const integer[] = {"I64", "I32", "I16", "I8", "U8", "BOOL"};
    (void)state;
    assay_weights *weights = open_valid(all_dtypes, all_data, sizeof all_data);
    for (int i = 0; i < 4; i++) {
        const assay_stored *stored = assay_weights_find(weights, floating[i]);
        assay_error error = {0};
        assay_tensor *f32 = assay_stored_tensor(stored, ASSAY_F32, &error);
        assay_tensor *bf16 = assay_stored_tensor(stored, ASSAY_BF16, &error);
        assert_true(f32 != NULL && bf16 != NULL);
        assert_true(assay_f32(f32)[0] == 1.5f && assay_f32(f32)[1] == -2.0f);
        assert_int_equal(assay_bf16(bf16)[0], 0x3fc0);
        assert_int_equal(assay_bf16(bf16)[1], 0xc000);
        assert_null(assay_stored_tensor(stored, ASSAY_I32, &error));
        assert_non_null(strstr(error.where, floating[i]));
        assay_tensor_free(f32);
        assay_tensor_free(bf16);
    }
    for (int i = 0; i < 6; i++) {
        const assay_stored *stored = assay_weights_find(weights, integer[i]);
        assay_error error = {0};
        double values[2];
        assay_tensor *i32 = assay_stored_tensor(stored, ASSAY_I32, &error);
        assert_non_null(i32);
        assay_stored_doubles(stored, values);
        assert_true(assay_i32(i32)[0] == (int32_t)values[0]);
        assert_true(assay_i32(i32)[1] == (int32_t)values[1]);
        assert_null(assay_stored_tensor(stored, ASSAY_BF16, &error));
        assert_non_null(strstr(error.where, integer[i]));
        assay_tensor_free(i32);
    }
    assay_weights_close(weights);
}

static void an_integer_that_does_not_fit_leaves_the_tensor_as_it_was(void **state)
{
    static const int64_t data[] = {7, 255, 2147483647, -2147483648, 2147483648, 256, -1};
    /* Elements first, first + 1 of `data` as one tensor; whether they fit i32 and u8. */
    static const struct {
        int first;
        bool i32, u8;
    } cases[] = {
        {0, true, true}, {1, true, false}, {2, true, false}, {3, false, false}, {5, true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_weights *weights =
            open_valid("{\"ids\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
                       data + cases[i].first, 16);
        const assay_stored *stored = assay_weights_find(weights, "ids");
        assay_tensor *i32 = new_tensor(ASSAY_I32, 1, stored->shape);
        assay_tensor *u8 = new_tensor(ASSAY_U8, 1, stored->shape);
        assay_error error = {0};
        memset(i32->data, 99, 8);
        memset(u8->data, 99, 2);
        assert_int_equal(assay_stored_read(stored, i32, NULL), cases[i].i32);
        assert_int_equal(assay_stored_read(stored, u8, &error), cases[i].u8);
        if (cases[i].i32)
            assert_int_equal(assay_i32(i32)[1], data[cases[i].first + 1]);
        else
            assert_int_equal(assay_i32(i32)[0], 0x63636363);
        assert_int_equal(assay_u8(u8)[0], cases[i].u8 ? data[cases[i].first] : 99);
        assert_string_equal(error.where, cases[i].u8 ? "" : "tensor ids");
        assay_tensor_free(i32);
        assay_tensor_free(u8);
        assay_weights_close(weights);
    }
}

static void all_half_precision_numbers_convert_exactly(void **state)
{
    static uint16_t bits[65536];
    static double values[65536];
    (void)state;
    for (int i = 0; i < 65536; i++)
        bits[i] = (uint16_t)i;
    assay_weights *weights =
        open_valid("{\"h\":{\"dtype\":\"F16\",\"shape\":[65536],\"data_offsets\":[0,131072]}}",
                   bits, sizeof bits);
    assay_stored_doubles(assay_weights_find(weights, "h"), values);
    /* Known numbers first, then every gap: neighbours of one exponent are 2^(e-10) apart. */
    assert_true(values[0x0001] == 0x1p-24 && values[0x03ff] == 0x3ffp-24);
    assert_true(values[0x0400] == 0x1p-14 && values[0x3c00] == 1.0 && values[0x7bff] == 65504.0);
    assert_true(isinf(values[0x7c00]) && isinf(values[0xfc00]) && values[0xfc00] < 0);
    assert_true(values[0] == 0.0 && !signbit(values[0]) && signbit(values[0x8000]));
    for (int i = 0; i < 0x7c00; i++) {
        int exponent = i < 0x0400 ? -14 : (i >> 10) - 15;
        assert_true(values[i + 0x8000] == -values[i]);
        if (i + 1 < 0x7c00)
            assert_true(values[i + 1] - values[i] == ldexp(1.0, exponent - 10));
    }
    for (int i = 0x7c01; i < 0x8000; i++)
        assert_true(isnan(values[i]) && isnan(values[i + 0x8000]));
    assay_weights_close(weights);
}

static void doubles_round_once_to_nearest_even(void **state)
{
    /* The third and fourth lie beside a tie of bf16 by less than a float can tell. */
    static const double data[] = {1.0 + 0x1p-8,
                                  1.0 + 0x3p-8,
                                  1.0 + 0x1p-8 + 0x1p-40,
                                  1.0 + 0x3p-8 - 0x1p-40,
                                  -(1.0 + 0x1p-8 + 0x1p-40),
                                  1e300,
                                  -1e-300,
                                  (double)INFINITY,
                                  (double)NAN,
                                  0x1.fep127,
                                  0x1.fefffffffffffp127};
    static const uint16_t expected[] = {0x3f80, 0x3f82, 0x3f81, 0x3f81, 0xbf81, 0x7f80,
                                        0x8000, 0x7f80, 0x7fc0, 0x7f7f, 0x7f7f};
    (void)state;
    assay_weights *weights = open_valid(
        "{\"d\":{\"dtype\":\"F64\",\"shape\":[11],\"data_offsets\":[0,88]}}", data, sizeof data);
    assay_error error = {0};
    const assay_stored *stored = assay_weights_find(weights, "d");
    assay_tensor *bf16 = assay_stored_tensor(stored, ASSAY_BF16, &error);
    assay_tensor *f32 = assay_stored_tensor(stored, ASSAY_F32, &error);
    assert_true(bf16 != NULL && f32 != NULL);
    for (int i = 0; i < 11; i++) {
        float rounded = (float)data[i];
        assert_int_equal(assay_bf16(bf16)[i], expected[i]);
        assert_true(isnan(data[i]) ? isnan(assay_f32(f32)[i]) : assay_f32(f32)[i] == rounded);
    }
    assay_tensor_free(bf16);
    assay_tensor_free(f32);
    assay_weights_close(weights);
}

static void shapes_must_match_rank_included(void **state)
{
    (void)state;
    assay_weights *weights = open_valid("{\"x\":{\"dtype\":\"U8\",\"shape\":[2,1,1,1,1,1,1,1],"
                                        "\"data_offsets\":[0,2]},"
                                        "\"y\":{\"dtype\":\"U8\",\"shape\":[2],"
                                        "\"data_offsets\":[2,4]}}",
                                        "\x05\x06\x07\x08", 4);
    const assay_stored *x = assay_weights_find(weights, "x");
    const assay_stored *y = assay_weights_find(weights, "y");
    assay_tensor *column = new_tensor(ASSAY_U8, 2, (const int64_t[]){2, 1});
    assay_tensor *longer = new_tensor(ASSAY_U8, 1, (const int64_t[]){3});
    assay_error error = {0};
    double values[2];
    assert_false(assay_stored_read(y, column, &error));
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assert_string_equal(error.where, "tensor y");
    assert_false(assay_stored_read(y, longer, NULL));
    assert_int_equal(x->rank, 8);
    assay_stored_doubles(x, values);
    assert_true(values[0] == 5.0 && values[1] == 6.0);
    assay_error_clear(&error);
    assert_null(assay_stored_tensor(x, ASSAY_U8, &error));
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assay_tensor_free(column);
    assay_tensor_free(longer);
    assay_weights_close(weights);
}

static void a_scalar_is_one_element_of_any_rank(void **state)
{
    (void)state;
    assay_weights *weights =
        open_valid("{\"a\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[0,2]},"
                   "\"b\":{\"dtype\":\"I16\",\"shape\":[1,1],\"data_offsets\":[2,4]},"
                   "\"c\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[4,6]},"
                   "\"d\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[6,6]}}",
                   "\xff\xff\x09\x00\x01\x02", 6);
    assay_error error = {0};
    double value = 0.0;
    assert_true(assay_stored_scalar(assay_weights_find(weights, "a"), &value, &error));
    assert_true(value == -1.0);
    assert_true(assay_stored_scalar(assay_weights_find(weights, "b"), &value, &error));
    assert_true(value == 9.0);
    assert_false(assay_stored_scalar(assay_weights_find(weights, "c"), &value, &error));
    assert_string_equal(error.where, "tensor c");
    assert_false(assay_stored_scalar(assay_weights_find(weights, "d"), &value, NULL));
    assert_true(value == 9.0);
    assay_weights_close(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stored_dtype_reads_as_doubles_even_unaligned),
        cmocka_unit_test(dtypes_convert_within_their_kind_only),
        cmocka_unit_test(an_integer_that_does_not_fit_leaves_the_tensor_as_it_was),
        cmocka_unit_test(all_half_precision_numbers_convert_exactly),
        cmocka_unit_test(doubles_round_once_to_nearest_even),
        cmocka_unit_test(shapes_must_match_rank_included),
        cmocka_unit_test(a_scalar_is_one_element_of_any_rank),
    };
    return cmocka_run_group_tests_name("stored", tests, NULL, NULL);
}
