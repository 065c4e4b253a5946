/* test_parts.c - every normalizer and pre-tokenizer alone does what Hugging Face's does.
 *
 * parts.json has a tokenizer for each, whose ids are the bytes of its pieces with a mark at each
 * piece's end, so that nothing that a part does is hidden. Besides a few texts it knows digests of
 * the ids for every code point that Unicode 14 assigns: alone, and between a letter and a mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/open.h"

#include <assay/hash.h>

/* Instrumented code is slow: every fourth part has all code points there. */
#if defined(__SANITIZE_ADDRESS__)
#define STRIDE 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRIDE 4
#else
#define STRIDE 1
#endif
#else
#define STRIDE 1
#endif

enum { GROUP = 64, BLOCK = 4096, MOST_CODES = 1 << 18 };

static json_t *file;
static uint32_t *codes; /* those that are tested, ascending */
static int code_count;

static int load(void **state)
{
    (void)state;
    file = load_json(tokenizer_path(NULL, "parts.json"));
    codes = calloc(MOST_CODES, sizeof *codes);
    if (file == NULL || codes == NULL)
        return -1;
    const json_t *ranges = json_object_get(file, "codes");
    for (size_t i = 0; i + 1 < json_array_size(ranges); i += 2) {
        uint32_t last = (uint32_t)json_integer_value(json_array_get(ranges, i + 1));
        uint32_t code = (uint32_t)json_integer_value(json_array_get(ranges, i));
        for (; code <= last && code_count < MOST_CODES; code++)
            codes[code_count++] = code;
    }
    return code_count > 140000 ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(file);
    free(codes);
    return 0;
}

/* The case's tokenizer; its vocabulary is the file's. */
static assay_tokenizer *open_case(const json_t *entry)
{
    assay_error error = {0};
    json_t *whole = json_deep_copy(json_object_get(entry, "tokenizer"));
    json_object_set(json_object_get(whole, "model"), "vocab", json_object_get(file, "vocab"));
    assay_tokenizer *of = open_value(whole, &error);
    if (of == NULL)
        fail_msg("%s: %s (%s), got %s", json_string_value(json_object_get(entry, "name")),
                 error.what, error.where, error.got);
    json_decref(whole);
    return of;
}

static void texts_come_out_the_same(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(file, "cases");
    assert_true(json_array_size(cases) >= 60);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *entry = json_array_get(cases, i), *texts = json_object_get(entry, "texts");
        const json_t *expected = json_object_get(entry, "ids");
        assay_tokenizer *of = open_case(entry);
        if (json_is_null(texts))
            texts = json_object_get(file, "texts");
        assert_true(json_array_size(texts) == json_array_size(expected) &&
                    json_array_size(texts) >= 30);
        for (size_t j = 0; j < json_array_size(texts); j++) {
            const json_t *text = json_array_get(texts, j);
            assay_ids ids = {0};
            assert_true(assay_tokenizer_encode(
                of, json_string_value(text), (int64_t)json_string_length(text), false, &ids, NULL));
            if (!same_ids(&ids, json_array_get(expected, j)))
                fail_msg("%s: text %zu '%s'", json_string_value(json_object_get(entry, "name")), j,
                         json_string_value(text));
            assay_ids_free(&ids);
        }
        assay_tokenizer_free(of);
    }
}

/* ---- every code point ---- */

static int put_code(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(first[bytes] | code);
    return bytes;
}

/* Adds the ids of one group's text to the digest. */
static void add_group(const assay_tokenizer *of, const uint32_t *group, int count,
                      const char *before, const char *after, assay_sha256 *digest)
{
    char text[GROUP * 16];
    assay_ids ids = {0};
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += snprintf(text + bytes, 8, "%s", before);
        bytes += put_code(group[i], text + bytes);
        bytes += snprintf(text + bytes, 8, "%s", after);
    }
    assert_true(assay_tokenizer_encode(of, text, bytes, false, &ids, NULL));
    assay_sha256_add(digest, ids.items, (size_t)ids.count * sizeof *ids.items);
    assay_ids_free(&ids);
}

/* Compares with the digests under `key`, block by block. */
static void check_codes(const json_t *entry, const char *key, const char *before, const char *after)
{
    const json_t *expected = json_object_get(entry, key);
    if (expected == NULL)
        return;
    assay_tokenizer *of = open_case(entry);
    size_t blocks = 0;
    for (int begin = 0, end; begin < code_count; begin = end, blocks++) {
        uint32_t block = codes[begin] / BLOCK;
        uint8_t raw[32];
        char hex[65], name[16];
        assay_sha256 digest;
        for (end = begin; end < code_count && codes[end] / BLOCK == block;)
            end++;
        assay_sha256_begin(&digest);
        for (int at = begin; at < end; at += GROUP)
            add_group(of, codes + at, end - at < GROUP ? end - at : GROUP, before, after, &digest);
        assay_sha256_end(&digest, raw);
        assay_sha256_hex(raw, hex);
        snprintf(name, sizeof name, "%x", block);
        const char *wanted = json_string_value(json_object_get(expected, name));
        if (wanted == NULL || strncmp(hex, wanted, 12) != 0)
            fail_msg("%s: code points U+%X.. %s", json_string_value(json_object_get(entry, "name")),
                     block * BLOCK, key);
    }
    assert_int_equal(blocks, json_object_size(expected));
    assay_tokenizer_free(of);
}

static void every_code_point_is_as_there(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(file, "cases");
    for (size_t i = 0; i < json_array_size(cases); i += STRIDE) {
        check_codes(json_array_get(cases, i), "alone", "x", " ");
        check_codes(json_array_get(cases, i), "beside", "e", "\xCC\xA3");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_out_the_same),
        cmocka_unit_test(every_code_point_is_as_there),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
