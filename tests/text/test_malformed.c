/* test_malformed.c - files that are wrong, or ask for what is not here, are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/open.h"

#include <assay/random.h>

#include <sys/stat.h>

static const char sound_bpe[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
    "{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
    "{\"Regex\":\"\\\\s+|\\\\w+\"},\"behavior\":\"Isolated\",\"invert\":false},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
    "\"use_regex\":false}]},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"byte_fallback\":false,"
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[\"a b\"]}}";

static const char sound_wordpiece[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":2,\"content\":\"[CLS]\",\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
    "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
    "\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
    "\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]}}},"
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
    "\"vocab\":{\"[UNK]\":0,\"a\":1,\"[CLS]\":2,\"##b\":3}}}";

#define SPLIT(pattern)                                                                             \
    "{\"pre_tokenizer\":{\"type\":\"Split\",\"pretokenizers\":null,\"pattern\":" pattern           \
    ",\"behavior\":\"Isolated\",\"invert\":false}}"
#define REGEX(pattern)                                                                             \
    "{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}]}}"
#define ADDED(id, content, more)                                                                   \
    "{\"added_tokens\":[{\"id\":" id ",\"content\":\"" content                                     \
    "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"             \
    "\"special\":true" more "}]}"

/* What is changed in a sound file (objects are merged into it), and a text that the error must have
 * in one of its fields. */
typedef struct wrong {
    const char *change, *says;
    assay_code code;
} wrong;

static const wrong wrong_bpe[] = {
    /* the file */
    {"{\"version\":\"2.0\"}", "'2.0'", ASSAY_UNSUPPORTED},
    {"{\"version\":1}", "'version' is not a text", ASSAY_BAD_FILE},
    {"{\"normaliser\":null}", "did you mean 'normalizer'", ASSAY_UNSUPPORTED},
    {"{\"truncation\":128}", "truncation", ASSAY_BAD_FILE},
    {"{\"padding\":[]}", "padding", ASSAY_BAD_FILE},
    {"{\"model\":null}", "model", ASSAY_BAD_FILE},
    {"{\"model\":[]}", "a list", ASSAY_BAD_FILE},
    /* models */
    {"{\"model\":{\"type\":\"Unigram\"}}", "'Unigram'", ASSAY_UNSUPPORTED},
    {"{\"model\":{\"type\":\"WordLevel\"}}", "BPE or WordPiece", ASSAY_UNSUPPORTED},
    {"{\"model\":{\"type\":5}}", "'type' is not a text", ASSAY_BAD_FILE},
    {"{\"model\":{\"byte_fallback\":true}}", "byte_fallback", ASSAY_UNSUPPORTED},
    {"{\"model\":{\"dropout\":0.1}}", "dropout", ASSAY_UNSUPPORTED},
    {"{\"model\":{\"dropout\":\"none\"}}", "dropout", ASSAY_BAD_FILE},
    {"{\"model\":{\"unk_token\":\"<unk>\"}}", "'<unk>'", ASSAY_BAD_FILE},
    {"{\"model\":{\"fuse_unk\":1}}", "fuse_unk", ASSAY_BAD_FILE},
    {"{\"model\":{\"alphabet\":{}}}", "'alphabet'", ASSAY_UNSUPPORTED},
    {"{\"model\":{\"vocab\":[]}}", "no vocabulary", ASSAY_BAD_FILE},
    {"{\"model\":{\"vocab\":{\"c\":-1}}}", "'c'", ASSAY_BAD_FILE},
    {"{\"model\":{\"vocab\":{\"c\":99999999}}}", "16777215", ASSAY_BAD_FILE},
    {"{\"model\":{\"vocab\":{\"c\":1.5}}}", "1.5", ASSAY_BAD_FILE},
    {"{\"model\":{\"vocab\":{\"c\":1}}}", "two tokens have one id", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":null}}", "merges", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[\"ab\"]}}", "not a pair", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[\"a b c\"]}}", "not a pair", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[[\"a\"]]}}", "not a pair", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[[\"a\",2]]}}", "half a merge", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[7]}}", "the number 7", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[\"a x\"]}}", "'a' and 'x'", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[\"b a\"]}}", "not in the vocabulary", ASSAY_BAD_FILE},
    /* normalizers */
    {"{\"normalizer\":{\"type\":\"Nmt\"}}", "'Nmt'", ASSAY_UNSUPPORTED},
    {"{\"normalizer\":{\"type\":\"Precompiled\"}}", "'Precompiled'", ASSAY_UNSUPPORTED},
    {"{\"normalizer\":[]}", "normalizer", ASSAY_BAD_FILE},
    {"{\"normalizer\":{\"normalizers\":[{\"type\":\"NFC\",\"form\":1}]}}", "'form'",
     ASSAY_UNSUPPORTED},
    {"{\"normalizer\":{\"normalizers\":{}}}", "not a list", ASSAY_BAD_FILE},
    {"{\"normalizer\":{\"normalizers\":[{\"type\":\"Replace\",\"content\":\"\"}]}}",
     "not a pattern", ASSAY_BAD_FILE},
    {"{\"normalizer\":{\"normalizers\":[{\"type\":\"Strip\",\"strip_left\":1,"
     "\"strip_right\":true}]}}",
     "strip_left", ASSAY_BAD_FILE},
    {"{\"normalizer\":{\"normalizers\":[{\"type\":\"Prepend\"}]}}", "prepend", ASSAY_BAD_FILE},
    {"{\"normalizer\":{\"normalizers\":[{\"type\":\"BertNormalizer\",\"clean_text\":true}]}}",
     "handle_chinese_chars", ASSAY_BAD_FILE},
    /* pre-tokenizers */
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\"}}", "'Metaspace'", ASSAY_UNSUPPORTED},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"ByteLevel\"}]}}", "add_prefix_space",
     ASSAY_BAD_FILE},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":\"no\"}]}}",
     "individual_digits", ASSAY_BAD_FILE},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Punctuation\",\"behavior\":\"Merged\"}]}}",
     "'Merged'", ASSAY_UNSUPPORTED},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[7]}}", "pretokenizers[0]", ASSAY_BAD_FILE},
    {SPLIT("{\"Regex\":\"a\"}"), "'pretokenizers'", ASSAY_UNSUPPORTED},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},"
     "\"behavior\":\"Isolated\"}]}}",
     "pattern is empty", ASSAY_BAD_FILE},
    {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Glob\":\"*\"},"
     "\"behavior\":\"Isolated\"}]}}",
     "'Glob'", ASSAY_UNSUPPORTED},
    /* patterns */
    {REGEX("(a"), "cannot be read", ASSAY_BAD_FILE},
    {REGEX("[a"), "cannot be read", ASSAY_BAD_FILE},
    {REGEX("\\\\p{Klingon}"), "cannot be read", ASSAY_BAD_FILE},
    {REGEX("\\\\h"), "the escape \\h", ASSAY_UNSUPPORTED},
    {REGEX("[\\\\W]"), "\\W in a class", ASSAY_UNSUPPORTED},
    {REGEX("[a[bc]]"), "class within a class", ASSAY_UNSUPPORTED},
    {REGEX("[a-z&&[b]]"), "'&&'", ASSAY_UNSUPPORTED},
    {REGEX("(?m:.)"), "'(?m:'", ASSAY_UNSUPPORTED},
    {REGEX("a{,3}"), "interval", ASSAY_UNSUPPORTED},
    {REGEX("a{1,3}+"), "interval", ASSAY_UNSUPPORTED},
    {REGEX("\\\\pL"), "property without", ASSAY_UNSUPPORTED},
    {REGEX("\\\\xE9"), "no ASCII", ASSAY_UNSUPPORTED},
    {REGEX("\\\\u12"), "unfinished", ASSAY_UNSUPPORTED},
    {REGEX("a\\\\"), "lone", ASSAY_UNSUPPORTED},
    /* around */
    {"{\"post_processor\":{\"type\":\"Other\"}}", "'Other'", ASSAY_UNSUPPORTED},
    {"{\"decoder\":{\"type\":\"Metaspace\"}}", "'Metaspace'", ASSAY_UNSUPPORTED},
    {"{\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"}}", "add_prefix_space",
     ASSAY_UNSUPPORTED},
    /* added tokens */
    {"{\"added_tokens\":{}}", "added_tokens", ASSAY_BAD_FILE},
    {"{\"added_tokens\":[{\"content\":\"x\"}]}", "'id'", ASSAY_BAD_FILE},
    {"{\"added_tokens\":[{\"id\":4,\"content\":\"x\"}]}", "single_word", ASSAY_BAD_FILE},
    {ADDED("4", "", ""), "is empty", ASSAY_BAD_FILE},
    {ADDED("1", "a", ""), "has another id", ASSAY_BAD_FILE},
    {ADDED("1", "x", ""), "takes another's id", ASSAY_BAD_FILE},
    {ADDED("4", "x", ",\"bold\":true"), "'bold'", ASSAY_UNSUPPORTED},
};

static const wrong wrong_wordpiece[] = {
    {"{\"model\":{\"unk_token\":\"<unk>\"}}", "'<unk>'", ASSAY_BAD_FILE},
    {"{\"model\":{\"unk_token\":null}}", "unk_token", ASSAY_BAD_FILE},
    {"{\"model\":{\"max_input_chars_per_word\":-1}}", "max_input_chars_per_word", ASSAY_BAD_FILE},
    {"{\"model\":{\"merges\":[]}}", "'merges'", ASSAY_UNSUPPORTED},
    {"{\"normalizer\":{\"strip_accents\":\"no\"}}", "strip_accents", ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"special_tokens\":null}}", "unknown special token '[CLS]'",
     ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"special_tokens\":{\"[CLS]\":{\"ids\":[99]}}}}", "has no token",
     ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"special_tokens\":{\"[CLS]\":{\"ids\":[\"2\"]}}}}", "'2'",
     ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"single\":[]}}", "no place for the text", ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}}", "not for one text",
     ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"single\":[{\"Sequence\":{\"id\":\"A\"}},{\"Sequence\":{\"id\":\"A\"}}]"
     "}}",
     "single[1]", ASSAY_BAD_FILE},
    {"{\"post_processor\":{\"single\":[{\"SpecialToken\":{\"id\":\"[SEP]\"}},{\"Sequence\":"
     "{\"id\":\"A\"}}]}}",
     "unknown special token '[SEP]'", ASSAY_BAD_FILE},
    {"{\"decoder\":{\"cleanup\":0}}", "cleanup", ASSAY_BAD_FILE},
};

static void check_wrong(const char *sound, const wrong *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assay_error error = {0};
        char line[1200];
        json_t *whole = json_loads(sound, 0, NULL),
               *change = json_loads(changes[i].change, 0, NULL);
        assert_non_null(whole);
        if (change == NULL)
            fail_msg("row %zu is not JSON: %s", i, changes[i].change);
        assert_int_equal(json_object_update_recursive(whole, change), 0);
        assay_tokenizer *of = open_value(whole, &error);
        if (of != NULL)
            fail_msg("opened with %s", changes[i].change);
        assay_error_format(&error, line, sizeof line);
        if (error.code != changes[i].code || strstr(line, changes[i].says) == NULL ||
            error.where[0] == '\0')
            fail_msg("%s:\n  %s\n  says nothing of %s, or is another kind: %s", changes[i].change,
                     line, changes[i].says, assay_code_name(error.code));
        json_decref(whole);
        json_decref(change);
    }
}

static void wrong_parts_are_named(void **state)
{
    (void)state;
    check_wrong(sound_bpe, wrong_bpe, sizeof wrong_bpe / sizeof *wrong_bpe);
    check_wrong(sound_wordpiece, wrong_wordpiece, sizeof wrong_wordpiece / sizeof *wrong_wordpiece);
}

static void sound_files_open(void **state)
{
    (void)state;
    static const char *const sound[] = {sound_bpe, sound_wordpiece};
    for (int i = 0; i < 2; i++) {
        assay_error error = {0};
        assay_tokenizer *of = open_text(sound[i], (int64_t)strlen(sound[i]), &error);
        if (of == NULL)
            fail_msg("%s (%s) %s", error.what, error.where, error.got);
        assert_int_equal(assay_tokenizer_size(of), 4);
        assert_int_equal(assay_tokenizer_id(of, "a"), 1 * i);
        assert_int_equal(assay_tokenizer_id(of, "nothing"), -1);
        assert_null(assay_tokenizer_token(of, 4));
        assert_null(assay_tokenizer_token(of, -1));
        assay_tokenizer_free(of);
    }
}

/* Not JSON, or nothing at all. */
static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "tokenizer",
        "{} {}",
        "{\"version\":\"1.0\"}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xff\":0},\"merges\":[]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assay_error error = {0};
        assert_null(open_text(texts[i], (int64_t)strlen(texts[i]), &error));
        if (error.code != ASSAY_BAD_FILE || error.what[0] == '\0')
            fail_msg("'%s': %s", texts[i], assay_code_name(error.code));
    }
}

static void absent_files_are_named(void **state)
{
    (void)state;
    assay_error error = {0};
    char folder[] = "/tmp/tokenizer.XXXXXX";
    assert_null(assay_tokenizer_open("no/such/tokenizer.json", &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.where, "no/such/tokenizer.json");
    assert_non_null(mkdtemp(folder));
    assay_error_clear(&error);
    assert_null(assay_tokenizer_open(folder, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_non_null(strstr(error.where, "/tokenizer.json"));
    assert_int_equal(rmdir(folder), 0);
    assay_tokenizer_free(NULL);
}

/* Every allocation of opening and encoding fails once: no crash, no leak, no ids. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    static const char *const sound[] = {sound_bpe, sound_wordpiece};
    static const char text[] = "ab a\xCC\x81 abab [CLS] \xE4\xB8\xAD";
    for (int i = 0; i < 2; i++) {
        bool whole = false;
        for (int n = 0; !whole; n++) {
            assay_error error = {0};
            assay_ids ids = {0};
            char *back = NULL;
            int64_t bytes = 0, before = assay_memory_stats_get().live_blocks;
            assert_in_range(n, 0, 2000);
            assay_memory_fail_after(n);
            assay_tokenizer *of = open_text(sound[i], (int64_t)strlen(sound[i]), &error);
            bool ok = of != NULL && assay_tokenizer_encode(of, text, (int64_t)sizeof text - 1, true,
                                                           &ids, &error);
            assert_true(ok || ids.count == 0);
            whole = ok &&
                    assay_tokenizer_decode(of, ids.items, ids.count, false, &back, &bytes, &error);
            assay_memory_fail_after(-1);
            assert_true(whole || error.code == ASSAY_NO_MEMORY);
            assay_free(back);
            assay_ids_free(&ids);
            assay_tokenizer_free(of);
            assert_int_equal(assay_memory_stats_get().live_blocks, before);
        }
    }
}

/* Sound files with bytes changed: they open or are refused with a reason; what opens encodes. More
 * rounds with ASSAY_FUZZ_ROUNDS. */
static void changed_files_never_crash(void **state)
{
    (void)state;
    static const char *const sound[] = {sound_bpe, sound_wordpiece};
    static const char pieces[] = "{}[]\",:\\ab01 #-+*?()^$.|";
    const char *wanted = getenv("ASSAY_FUZZ_ROUNDS");
    int rounds = wanted != NULL ? atoi(wanted) : 4000, opened = 0;
    for (int round = 0; round < rounds; round++) {
        assay_stream stream = assay_stream_of(11, "tokenizer/fuzz", (uint64_t)round);
        char text[4096];
        const char *from = sound[round % 2];
        int64_t bytes = (int64_t)strlen(from);
        memcpy(text, from, (size_t)bytes + 1);
        int64_t changes = 1 + assay_random_below(stream, 0, 3);
        for (int64_t i = 0; i < changes; i++) {
            int64_t at = assay_random_below(stream, 2 * (uint64_t)i + 1, bytes);
            text[at] = pieces[assay_random_below(stream, 2 * (uint64_t)i + 2, sizeof pieces - 1)];
        }
        assay_error error = {0};
        assay_tokenizer *of = open_text(text, bytes, &error);
        if (of == NULL) {
            assert_true(error.code != ASSAY_OK && error.what[0] != '\0');
            continue;
        }
        assay_ids ids = {0};
        opened++;
        assert_true(assay_tokenizer_encode(of, text, bytes, true, &ids, &error));
        for (int64_t i = 0; i < ids.count; i++)
            assert_non_null(assay_tokenizer_token(of, ids.items[i]));
        assay_ids_free(&ids);
        assay_tokenizer_free(of);
    }
    assert_true(opened > 0 && opened < rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_open),        cmocka_unit_test(wrong_parts_are_named),
        cmocka_unit_test(other_files_are_refused), cmocka_unit_test(absent_files_are_named),
        cmocka_unit_test(memory_may_end_anywhere), cmocka_unit_test(changed_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
