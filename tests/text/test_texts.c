/* test_texts.c - texts at the edges: bytes that are no UTF-8, NULs, long words, ids without
 * tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/open.h"

#include <assay/random.h>

static assay_tokenizer *bpe, *wordpiece;

static int open_both(void **state)
{
    (void)state;
    bpe = assay_tokenizer_open(tokenizer_path(NULL, "bpe.json"), NULL);
    wordpiece = assay_tokenizer_open(tokenizer_path(NULL, "wordpiece.json"), NULL);
    return bpe != NULL && wordpiece != NULL ? 0 : -1;
}

static int free_both(void **state)
{
    (void)state;
    assay_tokenizer_free(bpe);
    assay_tokenizer_free(wordpiece);
    return 0;
}

static void broken_utf8_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
        const char *got;
    } broken[] = {
        {"abc\xff", 4, "byte 0xFF at offset 3"},
        {"\x80", 1, "offset 0"},
        {"12345678\xC0\x80", 10, "0xC0 at offset 8"},
        {"\xC1\xBF", 2, "0xC1"},
        {"a\xC3", 2, "0xC3 at offset 1"},
        {"\xE0\x9F\xBF", 3, "0xE0"},
        {"\xED\xA0\x80", 3, "0xED"},
        {"\xE4\xB8", 2, "0xE4"},
        {"\xF0\x8F\xBF\xBF", 4, "0xF0"},
        {"\xF4\x90\x80\x80", 4, "0xF4"},
        {"\xF5\x80\x80\x80", 4, "0xF5"},
        {"\xF0\x9F\x98", 3, "0xF0"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assay_error error = {0};
        assay_ids ids = {0};
        assert_true(assay_tokenizer_encode(bpe, "a", 1, false, &ids, NULL));
        assert_false(
            assay_tokenizer_encode(bpe, broken[i].text, broken[i].bytes, true, &ids, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        if (strstr(error.got, broken[i].got) == NULL)
            fail_msg("row %zu: got '%s', wanted '%s'", i, error.got, broken[i].got);
        assert_int_equal(ids.count, 1);
        assay_ids_free(&ids);
    }
}

/* Ids are appended, and nothing is added to an empty text but what surrounds it. */
static void ids_are_appended(void **state)
{
    (void)state;
    assay_ids ids = {0};
    assert_true(assay_tokenizer_encode(wordpiece, "", 0, false, &ids, NULL));
    assert_int_equal(ids.count, 0);
    assert_true(assay_tokenizer_encode(wordpiece, "", 0, true, &ids, NULL));
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.items[0], assay_tokenizer_id(wordpiece, "[CLS]"));
    assert_int_equal(ids.items[1], assay_tokenizer_id(wordpiece, "[SEP]"));
    assert_true(assay_tokenizer_encode(wordpiece, "a", 1, false, &ids, NULL));
    assert_int_equal(ids.count, 3);
    assert_true(assay_tokenizer_is_special(wordpiece, ids.items[0]));
    assert_false(assay_tokenizer_is_special(wordpiece, ids.items[2]));
    assert_false(assay_tokenizer_is_special(wordpiece, -1));
    assay_ids_free(&ids);
}

/* Bytes of any kind, as the letters of byte-level tokens: the text is UTF-8, with one U+FFFD for
 * every longest beginning of a character. */
static void broken_ids_decode_to_utf8(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        int count;
        const char *text;
    } rows[] = {
        {{'a', 0xFF, 'b'}, 3, "a\uFFFDb"},
        {{0xE4, 0xB8}, 2, "\uFFFD"},
        {{0xE4, 0xB8, 'x'}, 3, "\uFFFDx"},
        {{0xF0, 0x9F, 0x98, 0xE4}, 4, "\uFFFD\uFFFD"},
        {{0xED, 0xA0, 0x80}, 3, "\uFFFD\uFFFD\uFFFD"},
        {{0xC0, 0xAF}, 2, "\uFFFD\uFFFD"},
        {{0xF4, 0x90, 0x80, 0x80}, 4, "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {{0xE4, 0xB8, 0xAD}, 3, "\u4E2D"},
        {{0xC3}, 1, "\uFFFD"},
    };
    int32_t id_of[256];
    int next = 0;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        uint32_t letter = printable ? (uint32_t)byte : 0x100u + (uint32_t)next++;
        char token[3] = {(char)letter, 0, 0};
        if (letter >= 0x80) {
            token[0] = (char)(0xC0 | letter >> 6);
            token[1] = (char)(0x80 | (letter & 0x3F));
        }
        id_of[byte] = assay_tokenizer_id(bpe, token);
        assert_true(id_of[byte] >= 0);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t ids[8];
        char *text = NULL;
        int64_t bytes = 0;
        for (int j = 0; j < rows[i].count; j++)
            ids[j] = id_of[rows[i].bytes[j]];
        assert_true(assay_tokenizer_decode(bpe, ids, rows[i].count, false, &text, &bytes, NULL));
        if (strcmp(text, rows[i].text) != 0)
            fail_msg("row %zu: '%s'", i, text);
        assay_free(text);
    }
}

static void wrong_ids_are_named(void **state)
{
    (void)state;
    const int32_t wrong[] = {-1, INT32_MIN, (int32_t)assay_tokenizer_size(bpe), INT32_MAX};
    for (int i = 0; i < 4; i++) {
        assay_error error = {0};
        char *text = NULL;
        int64_t bytes = 0;
        const int32_t ids[] = {0, wrong[i]};
        assert_false(assay_tokenizer_decode(bpe, ids, 2, false, &text, &bytes, &error));
        assert_int_equal(error.code, ASSAY_BAD_INPUT);
        assert_int_equal(atoll(error.got), wrong[i]);
        assert_null(text);
    }
}

static void special_tokens_are_left_out(void **state)
{
    (void)state;
    assay_ids ids = {0};
    static const char text[] = "the user paid";
    for (int skip_special = 0; skip_special < 2; skip_special++) {
        char *back = NULL;
        int64_t bytes = 0;
        ids.count = 0;
        assert_true(assay_tokenizer_encode(wordpiece, text, sizeof text - 1, true, &ids, NULL));
        assert_true(assay_tokenizer_decode(wordpiece, ids.items, ids.count, skip_special, &back,
                                           &bytes, NULL));
        assert_string_equal(back, skip_special ? text : "[CLS] the user paid [SEP]");
        assert_int_equal(bytes, strlen(back));
        assay_free(back);
    }
    assay_ids_free(&ids);
}

/* A word of any length, joined by search or by heap, comes back whole, of tokens that each are
 * joined from their own letters too. The ids of long words are the reference's business. */
static void long_words_join_in_order(void **state)
{
    (void)state;
    static const char letters[] = "theuserpaidbon";
    char text[2000];
    for (int round = 0; round < 200; round++) {
        assay_stream stream = assay_stream_of(3, "tokenizer/words", (uint64_t)round);
        int64_t bytes = 1 + assay_random_below(stream, 0, round < 150 ? 90 : 1999);
        for (int64_t i = 0; i < bytes; i++)
            text[i] = letters[assay_random_below(stream, (uint64_t)i + 1, sizeof letters - 1)];
        assay_ids ids = {0}, alone = {0};
        char *back = NULL;
        int64_t back_bytes = 0;
        assert_true(assay_tokenizer_encode(bpe, text, bytes, false, &ids, NULL));
        assert_true(
            assay_tokenizer_decode(bpe, ids.items, ids.count, false, &back, &back_bytes, NULL));
        assert_int_equal(back_bytes, bytes);
        assert_memory_equal(back, text, (size_t)bytes);
        for (int64_t i = 0; i < ids.count; i++) {
            const char *token = assay_tokenizer_token(bpe, ids.items[i]);
            alone.count = 0;
            assert_true(
                assay_tokenizer_encode(bpe, token, (int64_t)strlen(token), false, &alone, NULL));
            assert_int_equal(alone.count, 1);
            assert_int_equal(alone.items[0], ids.items[i]);
        }
        assay_free(back);
        assay_ids_free(&ids);
        assay_ids_free(&alone);
    }
}

/* Byte-level BPE without loss: what is normal already comes back as it was. */
static void texts_come_back(void **state)
{
    (void)state;
    char text[256];
    for (int round = 0; round < 3000; round++) {
        assay_stream stream = assay_stream_of(4, "tokenizer/back", (uint64_t)round);
        int64_t bytes = assay_random_below(stream, 0, sizeof text);
        for (int64_t i = 0; i < bytes; i++)
            text[i] = (char)assay_random_below(stream, (uint64_t)i + 1, 128);
        assay_ids ids = {0};
        char *back = NULL;
        int64_t back_bytes = 0;
        assert_true(assay_tokenizer_encode(bpe, text, bytes, false, &ids, NULL));
        assert_true(
            assay_tokenizer_decode(bpe, ids.items, ids.count, false, &back, &back_bytes, NULL));
        assert_int_equal(back_bytes, bytes);
        assert_memory_equal(back, text, (size_t)bytes);
        assert_int_equal(back[bytes], 0);
        assay_free(back);
        assay_ids_free(&ids);
    }
}

/* A call on words that were seen before takes nothing from the allocator but the ids. */
static void known_words_allocate_nothing(void **state)
{
    (void)state;
    static const char text[] = "the user paid the bill in the morning";
    assay_ids ids = {0};
    assert_true(assay_tokenizer_encode(bpe, text, sizeof text - 1, true, &ids, NULL));
    int64_t before = assay_memory_stats_get().allocations;
    ids.count = 0;
    assert_true(assay_tokenizer_encode(bpe, text, sizeof text - 1, true, &ids, NULL));
    assert_int_equal(assay_memory_stats_get().allocations, before);
    assay_ids_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_utf8_is_refused),
        cmocka_unit_test(ids_are_appended),
        cmocka_unit_test(broken_ids_decode_to_utf8),
        cmocka_unit_test(wrong_ids_are_named),
        cmocka_unit_test(special_tokens_are_left_out),
        cmocka_unit_test(long_words_join_in_order),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(known_words_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, open_both, free_both);
}
