/* test_sha256.c - the digests of FIPS 180-4's examples, at every length around a block. */
#include <assay/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_standards_examples_hold(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char hex[65];
        assay_sha256_of(pairs[i][0], strlen(pairs[i][0]), hex);
        assert_string_equal(hex, pairs[i][1]);
    }
}

static void a_million_letters_hash_in_pieces_of_any_size(void **state)
{
    (void)state;
    char letters[1000], hex[65];
    memset(letters, 'a', sizeof letters);
    assay_sha256 hash;
    uint8_t digest[32];
    assay_sha256_begin(&hash);
    size_t left = 1000000;
    for (size_t piece = 1; left > 0; piece = piece % sizeof letters + 1) {
        size_t bytes = piece < left ? piece : left;
        assay_sha256_add(&hash, letters, bytes);
        left -= bytes;
    }
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The digest of the digests of all prefixes of 0 to 299 bytes of (7 i + 3) mod 256, computed with
 * another implementation: covers every position of the padding in a block. */
static void every_length_around_a_block_is_padded_rightly(void **state)
{
    (void)state;
    uint8_t text[300], digest[32];
    char hex[65];
    assay_sha256 all, one;
    for (int i = 0; i < 300; i++)
        text[i] = (uint8_t)(7 * i + 3);
    assay_sha256_begin(&all);
    for (size_t bytes = 0; bytes < 300; bytes++) {
        assay_sha256_begin(&one);
        assay_sha256_add(&one, text, bytes);
        assay_sha256_end(&one, digest);
        assay_sha256_add(&all, digest, sizeof digest);
    }
    assay_sha256_end(&all, digest);
    assay_sha256_hex(digest, hex);
    assert_string_equal(hex, "7b074096cabb18dd0d1b468a173cb2f97f80e952525bca29542e606fd6d0753a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_examples_hold),
        cmocka_unit_test(a_million_letters_hash_in_pieces_of_any_size),
        cmocka_unit_test(every_length_around_a_block_is_padded_rightly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
