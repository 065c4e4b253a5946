/* test_tokenize.c - `assay tokenize`: text to ids and back, and what it says of wrong input. */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define GPT2 "--tokenizer $ASSAY_TEST_DATA/golden/tokenizers/gpt2.json"
#define BERT "--tokenizer $ASSAY_TEST_DATA/golden/tokenizers/wordpiece.json"

/* A command line and all that it prints. */
static const struct {
    const char *line, *out;
} right[] = {
    {"echo 'Hello, world!' | assay tokenize " GPT2, "15496 11 995 0\n"},
    {"echo 'Hello, world!' | assay tokenize --tokens " GPT2, "Hello , \u0120world !\n"},
    {"printf 'a\\n\\nHello, world!' | assay tokenize " GPT2, "64\n\n15496 11 995 0\n"},
    {"echo '15496 11,995 0' | assay tokenize --decode " GPT2, "Hello, world!\n"},
    {"printf '64\\n\\n 64  64\\n' | assay tokenize --decode " GPT2, "a\n\naa\n"},
    {"echo '64 50256' | assay tokenize --decode " GPT2, "a\n"},
    {"echo '64 50256' | assay tokenize --decode --special " GPT2, "a<|endoftext|>\n"},
    {"echo 'The user paid' | assay tokenize --tokens --special " BERT,
     "[CLS] the user paid [SEP]\n"},
    {"printf '' | assay tokenize " GPT2, ""},
    {"cp $ASSAY_TEST_DATA/golden/tokenizers/wordpiece.json tokenizer.json; "
     "echo 'The user paid' | assay tokenize --tokens --tokenizer .",
     "the user paid\n"},
};

static void lines_become_ids_and_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        outcome result = shell(right[i].line);
        assert_status(&result, 0);
        assert_string_equal(result.out, right[i].out);
        assert_string_equal(result.err, "");
        outcome_free(&result);
    }
}

static void every_line_comes_back(void **state)
{
    (void)state;
    outcome result = shell("cp $ASSAY_TEST_DATA/cli/test_tokenize.c text; assay tokenize " GPT2
                           " <text | assay tokenize --decode --special " GPT2 " | cmp - text");
    assert_status(&result, 0);
    outcome_free(&result);
}

static const struct {
    const char *line, *parts[3];
} wrong[] = {
    {"echo a | assay tokenize", {"no tokenizer is named", "--tokenizer"}},
    {"echo a | assay tokenize --tokenizer none.json", {"none.json", "cannot be read"}},
    {"echo a | assay tokenize --tokenizer .", {"./tokenizer.json"}},
    {"echo '{\"model\":{\"type\":\"Unigram\"}}' >u.json; echo a | assay tokenize --tokenizer "
     "u.json",
     {"u.json: model", "Unigram", "BPE or WordPiece"}},
    {"printf 'a\\n\\377\\n' | assay tokenize " GPT2, {"stdin:2", "not UTF-8", "0xFF"}},
    {"echo '64 x' | assay tokenize --decode " GPT2, {"stdin:1", "'x'", "not a token id"}},
    {"printf '64\\n64 50257\\n' | assay tokenize --decode " GPT2,
     {"stdin:2", "50257", "0 .. 50256"}},
    {"echo '-1' | assay tokenize --decode " GPT2, {"stdin:1", "'-1'"}},
    {"echo 1 | assay tokenize --decode --tokens " GPT2, {"--tokens"}},
    {"echo 1 | assay tokenize --tokeniser x", {"--tokenizer"}},
};

static void wrong_input_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome result = shell(wrong[i].line);
        assert_status(&result, 2);
        assert_one_message(&result);
        for (int part = 0; part < 3 && wrong[i].parts[part] != NULL; part++)
            assert_contains(result.err, wrong[i].parts[part]);
        outcome_free(&result);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_become_ids_and_text, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(every_line_comes_back, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_input_is_named, folder_make, folder_remove),
    };
    if (argc < 2)
        return 2;
    program_is_at(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
