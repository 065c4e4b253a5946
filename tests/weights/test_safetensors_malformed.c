/* test_safetensors_malformed.c - files that are wrong are refused with a reason, and never crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/from_bytes.h"

#include <assay/random.h>

#include <stdlib.h>

#define ENTRY(name, dtype, shape, begin, end)                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end   \
    "]}"

/* A header over 12 bytes of data and a text that the error must have in one of its fields. */
static const struct {
    const char *header, *says;
} malformed[] = {
    /* not a header */
    {"", "empty header"},
    {" {}", "not a JSON object"},
    {"[]", "not a JSON object"},
    {"{", "not valid JSON"},
    {"{}{}", "not valid JSON"},
    {"{\"x\":NaN}", "not valid JSON"},
    {"{\"\\u0000\":1}", "not valid JSON"},
    {"{\"\xff\":1}", "not valid JSON"},
    {"{" ENTRY("x", "F32", "[3]", "0", "12") "," ENTRY("x", "F32", "[3]", "0", "12") "}",
     "duplicate"},
    /* names and metadata */
    {"{" ENTRY("", "F32", "[3]", "0", "12") "}", "no name"},
    {"{\"__metadata__\":1," ENTRY("x", "F32", "[3]", "0", "12") "}", "not an object"},
    {"{\"__metadata__\":null," ENTRY("x", "F32", "[3]", "0", "12") "}", "not an object"},
    {"{\"__metadata__\":{\"step\":1}," ENTRY("x", "F32", "[3]", "0", "12") "}", "value step"},
    {"{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}," ENTRY("x", "F32", "[3]", "0", "12") "}",
     "duplicate"},
    /* entries */
    {"{\"x\":[]}", "tensor x"},
    {"{\"x\":null}", "null"},
    {"{\"x\":{}}", "dtype"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3]}}", "data_offsets"},
    {"{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,12]}}", "shape"},
    {"{\"x\":{\"shape\":[3],\"data_offsets\":[0,12]}}", "dtype"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12],\"stride\":1}}",
     "unknown keys"},
    /* dtypes */
    {"{\"x\":{\"dtype\":5,\"shape\":[3],\"data_offsets\":[0,12]}}", "dtype is not a name"},
    {"{" ENTRY("x", "F8_E4M3", "[12]", "0", "12") "}", "F8_E4M3"},
    {"{" ENTRY("x", "f32", "[3]", "0", "12") "}", "unknown dtype"},
    {"{" ENTRY("x", "", "[3]", "0", "12") "}", "unknown dtype"},
    /* shapes */
    {"{" ENTRY("x", "F32", "3", "0", "12") "}", "shape is not a list"},
    {"{" ENTRY("x", "F32", "{}", "0", "12") "}", "shape is not a list"},
    {"{" ENTRY("x", "F32", "[3.0]", "0", "12") "}", "an extent"},
    {"{" ENTRY("x", "F32", "[\"3\"]", "0", "12") "}", "an extent"},
    {"{" ENTRY("x", "F32", "[-3]", "0", "12") "}", "-3"},
    {"{" ENTRY("x", "F32", "[-3,-1]", "0", "12") "}", "an extent"},
    {"{" ENTRY("x", "F32", "[3,1,1,1,1,1,1,1,1]", "0", "12") "}", "rank 9"},
    {"{" ENTRY("x", "F32", "[4294967296,4294967296]", "0", "12") "}", "overflows"},
    {"{" ENTRY("x", "F32", "[4611686018427387904]", "0", "0") "}", "do not match"},
    {"{" ENTRY("x", "F32", "[4611686018427387907]", "0", "12") "}", "do not match"},
    {"{" ENTRY("x", "F32", "[18446744073709551619]", "0", "12") "}", "not valid JSON"},
    /* offsets */
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":12}}", "not a range"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[]}}", "not a range"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12]}}", "not a range"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12,12]}}", "not a range"},
    {"{" ENTRY("x", "F32", "[3]", "0", "12.0") "}", "not a range"},
    {"{" ENTRY("x", "F32", "[3]", "0", "\"12\"") "}", "not a range"},
    {"{" ENTRY("x", "F32", "[3]", "0", "1e1") "}", "not a range"},
    {"{" ENTRY("x", "F32", "[3]", "-12", "0") "}", "outside"},
    {"{" ENTRY("x", "F32", "[3]", "12", "0") "}", "outside"},
    {"{" ENTRY("x", "F32", "[4]", "0", "16") "}", "outside"},
    {"{" ENTRY("x", "F32", "[3]", "9223372036854775795", "9223372036854775807") "}", "outside"},
    {"{" ENTRY("x", "F32", "[3]", "0", "18446744073709551616") "}", "not valid JSON"},
    {"{" ENTRY("x", "F32", "[2]", "0", "12") "}", "do not match"},
    {"{" ENTRY("x", "F64", "[]", "0", "12") "}", "do not match"},
    {"{" ENTRY("x", "F32", "[0]", "0", "12") "}", "do not match"},
    /* tiling */
    {"{}", "follow the last"},
    {"{" ENTRY("x", "F32", "[2]", "0", "8") "}", "follow the last"},
    {"{" ENTRY("x", "F32", "[2]", "4", "12") "}", "before the tensor"},
    {"{" ENTRY("x", "F32", "[1]", "0", "4") "," ENTRY("y", "F32", "[1]", "8", "12") "}",
     "tensor y"},
    {"{" ENTRY("x", "F32", "[2]", "0", "8") "," ENTRY("y", "F32", "[2]", "4", "12") "}",
     "overlaps"},
    {"{" ENTRY("x", "F32", "[3]", "0", "12") "," ENTRY("y", "F32", "[3]", "0", "12") "}",
     "overlaps"},
    {"{" ENTRY("x", "F32", "[3]", "0", "12") "," ENTRY("y", "F32", "[0]", "4", "4") "}",
     "overlaps"},
};

static const char valid_header[] = "{\"__metadata__\":{\"k\":\"v\"}," ENTRY(
    "x", "F32", "[2]", "0", "8") "," ENTRY("y", "I16", "[1,2]", "8", "12") "}";

static size_t valid_file(uint8_t *out, size_t capacity)
{
    size_t bytes = file_bytes(valid_header, "0123456789ab", 12, out, capacity);
    assert_true(bytes > 0);
    return bytes;
}

/* Opens the bytes: true when they open and keep every promise, false when they are refused with a
 * reason; anything else fails the test. */
static bool opens(const uint8_t *bytes, size_t count)
{
    assay_error error = {0};
    assay_weights *weights = open_bytes(bytes, count, &error);
    if (weights == NULL) {
        assert_int_equal(error.code, ASSAY_BAD_FILE);
        assert_true(error.what[0] != '\0' && error.where[0] != '\0');
        return false;
    }
    assert_true(is_consistent(weights));
    assay_weights_close(weights);
    return true;
}

static bool mentions(const assay_error *error, const char *text)
{
    return strstr(error->where, text) != NULL || strstr(error->what, text) != NULL ||
           strstr(error->expected, text) != NULL || strstr(error->got, text) != NULL;
}

static void each_malformed_header_is_refused_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        uint8_t file[1024];
        assay_error error = {0};
        size_t count = file_bytes(malformed[i].header, "0123456789ab", 12, file, sizeof file);
        assert_true(count > 0);
        assay_weights *weights = open_bytes(file, count, &error);
        if (weights != NULL || error.code != ASSAY_BAD_FILE ||
            strstr(error.where, "/proc/self/fd/") == NULL || !mentions(&error, malformed[i].says))
            fail_msg("%s: wanted '%s', got '%s' (%s; expected %s, got %s)", malformed[i].header,
                     malformed[i].says, error.what, error.where, error.expected, error.got);
    }
}

static void header_lengths_that_lie_are_refused(void **state)
{
    uint8_t file[1024];
    size_t count = valid_file(file, sizeof file);
    const struct {
        uint64_t length;
        const char *what;
    } cases[] = {
        {count - 7, "the header is longer than the file"},
        {100000000, "the header is longer than the file"},
        {100000001, "the header is too long"},
        {UINT64_MAX, "the header is too long"},
        {(uint64_t)INT64_MAX + 1, "the header is too long"},
        {0, "the header is not a JSON object"},
        {1, "the header is not valid JSON"},
    };
    (void)state;
    assert_true(opens(file, count));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        memcpy(file, &cases[i].length, 8);
        assert_null(open_bytes(file, count, &error));
        assert_string_equal(error.what, cases[i].what);
    }
}

static void a_file_without_room_for_a_length_is_refused(void **state)
{
    (void)state;
    for (size_t count = 0; count < 8; count++) {
        assay_error error = {0};
        assert_null(open_bytes((const uint8_t *)"\0\0\0\0\0\0\0", count, &error));
        assert_string_equal(error.what, "the file is too short for a header length");
    }
}

static void a_header_above_the_limit_is_refused_though_the_file_is_large_enough(void **state)
{
    const uint64_t length = 100000001;
    char path[64];
    assay_error error = {0};
    (void)state;
    int fd = memfd_create("weights", MFD_CLOEXEC);
    assert_true(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(ftruncate(fd, 200000000), 0);
    assert_int_equal(write(fd, &length, 8), 8);
    assert_null(assay_weights_open(path, &error));
    assert_string_equal(error.what, "the header is too long");
    close(fd);
}

static void deep_nesting_is_refused(void **state)
{
    static uint8_t file[1 << 20];
    static char header[500001] = "{\"x\":";
    (void)state;
    memset(header + 5, '[', sizeof header - 6);
    size_t count = file_bytes(header, NULL, 0, file, sizeof file);
    assert_true(count > 0);
    assert_false(opens(file, count));
}

static void a_file_cut_at_any_length_is_refused(void **state)
{
    uint8_t file[1024];
    size_t count = valid_file(file, sizeof file);
    (void)state;
    assert_true(opens(file, count));
    for (size_t length = 0; length < count; length++)
        assert_false(opens(file, length));
}

static void a_byte_too_many_is_refused(void **state)
{
    uint8_t file[1024] = {0};
    size_t count = valid_file(file, sizeof file);
    (void)state;
    assert_false(opens(file, count + 1));
}

static void every_flipped_bit_of_the_header_is_survived(void **state)
{
    uint8_t file[1024];
    size_t count = valid_file(file, sizeof file);
    int opened = 0;
    int refused = 0;
    (void)state;
    for (size_t bit = 0; bit < (count - 12) * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (opens(file, count))
            opened++;
        else
            refused++;
        file[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    /* A flip inside a name or between dtypes of one size still opens; both kinds must occur. */
    assert_true(opened > 0 && refused > opened);
}

/* Changes, drops or doubles a few bytes, favouring those that mean something in a header. */
static size_t mutate(uint8_t *file, size_t count, assay_stream stream)
{
    static const char tokens[] = "{}[]\",:0123456789-+.eEFIU\\ \xff";
    uint64_t draw = 0;
    int64_t changes = 1 + assay_random_below(stream, draw++, 4);
    for (int64_t i = 0; i < changes && count > 1; i++) {
        size_t at = (size_t)assay_random_below(stream, draw++, (int64_t)count);
        switch (assay_random_below(stream, draw++, 4)) {
        case 0:
            file[at] = (uint8_t)assay_random_bits(stream, draw++);
            break;
        case 1:
            file[at] = (uint8_t)tokens[assay_random_below(stream, draw++, sizeof tokens - 1)];
            break;
        case 2:
            memmove(file + at, file + at + 1, count - at - 1);
            count--;
            break;
        default:
            memmove(file + at + 1, file + at, count - at);
            count++;
        }
    }
    return count;
}

static void mutated_files_never_crash_the_reader(void **state)
{
    const char *wanted = getenv("ASSAY_FUZZ_ROUNDS");
    long long rounds = wanted != NULL ? atoll(wanted) : 4000;
    int64_t opened = 0;
    (void)state;
    for (long long round = 0; round < rounds; round++) {
        uint8_t file[1024];
        size_t count = valid_file(file, sizeof file);
        count = mutate(file, count, assay_stream_of(1, "weights/fuzz", (uint64_t)round));
        opened += opens(file, count);
    }
    /* The mutations must be gentle enough for some files to get through the header. */
    assert_true(rounds < 1000 || (opened > 0 && opened < rounds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_malformed_header_is_refused_with_its_reason),
        cmocka_unit_test(header_lengths_that_lie_are_refused),
        cmocka_unit_test(a_file_without_room_for_a_length_is_refused),
        cmocka_unit_test(a_header_above_the_limit_is_refused_though_the_file_is_large_enough),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_file_cut_at_any_length_is_refused),
        cmocka_unit_test(a_byte_too_many_is_refused),
        cmocka_unit_test(every_flipped_bit_of_the_header_is_survived),
        cmocka_unit_test(mutated_files_never_crash_the_reader),
    };
    return cmocka_run_group_tests_name("safetensors_malformed", tests, NULL, NULL);
}
