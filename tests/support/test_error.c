/* test_error.c - the first failure wins, and every text arrives cut but whole. */
#include <assay/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_first_failure_wins(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_false(ASSAY_FAIL(&error, ASSAY_BAD_SHAPE, .what = "cause"));
    assert_false(ASSAY_FAIL(&error, ASSAY_IO, .what = "consequence", .hint = "none"));
    assert_int_equal(error.code, ASSAY_BAD_SHAPE);
    assert_string_equal(error.what, "cause");
    assert_string_equal(error.hint, "");
}

static void a_cleared_value_takes_another_failure(void **state)
{
    (void)state;
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_IO, .what = "old", .where = "place", .hint = "hint");
    assay_error_clear(&error);
    assert_int_equal(error.code, ASSAY_OK);
    ASSAY_FAIL(&error, ASSAY_BAD_FILE, .what = "new");
    assert_int_equal(error.code, ASSAY_BAD_FILE);
    assert_string_equal(error.what, "new");
    assert_string_equal(error.where, "");
}

static void a_caller_may_want_the_verdict_only(void **state)
{
    (void)state;
    assert_false(ASSAY_FAIL(NULL, ASSAY_IO, .what = "nobody listens"));
    assay_error_clear(NULL);
}

static void a_whole_failure_reads_as_one_line(void **state)
{
    (void)state;
    char line[512];
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_BAD_SHAPE, .where = "linear", .what = "widths differ",
               .expected = "(..., 64)", .got = "(3, 65)", .hint = "stored as (out, in)");
    assert_ptr_equal(assay_error_format(&error, line, sizeof line), line);
    assert_string_equal(line, "widths differ (linear); expected (..., 64), got (3, 65); "
                              "hint: stored as (out, in)");
}

static void absent_parts_are_left_out(void **state)
{
    (void)state;
    static const struct {
        assay_failure failure;
        const char *line;
    } cases[] = {
        {{.what = "a"}, "a"},
        {{.what = "a", .where = "b"}, "a (b)"},
        {{.what = "a", .expected = "b"}, "a; expected b"},
        {{.what = "a", .got = "b"}, "a; got b"},
        {{.what = "a", .hint = "b"}, "a; hint: b"},
        {{.where = "b", .got = "c"}, "i/o (b); got c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64];
        assay_error error = {0};
        assay_fail(&error, ASSAY_IO, cases[i].failure);
        assert_string_equal(assay_error_format(&error, line, sizeof line), cases[i].line);
    }
}

static void control_characters_do_not_break_the_line(void **state)
{
    (void)state;
    char line[64];
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_IO, .what = "no\nnew\tline", .where = "\033[2Jname\x7f");
    assert_string_equal(assay_error_format(&error, line, sizeof line), "no new line ( [2Jname )");
}

static void a_small_buffer_is_never_overrun(void **state)
{
    (void)state;
    char line[8];
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_IO, .what = "0123456789");
    memset(line, '#', sizeof line);
    assay_error_format(&error, line, 0);
    assert_int_equal(line[0], '#');
    assay_error_format(&error, line, 1);
    assert_string_equal(line, "");
    assert_int_equal(line[1], '#');
    assay_error_format(&error, line, 5);
    assert_string_equal(line, "0123");
    assert_int_equal(line[5], '#');
}

static void long_texts_are_cut_between_two_characters(void **state)
{
    (void)state;
    char text[400];
    /* Euro signs of three bytes: 255 bytes hold 85 of them exactly; one letter before moves the cut
     * into a sign, and the whole sign has to go. */
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        size_t kept = shift == 0 ? 255 : 252 + shift;
        assay_error error = {0};
        ASSAY_FAIL(&error, ASSAY_IO, .what = text);
        assert_int_equal(strlen(error.what), kept);
        assert_memory_equal(error.what, text, kept);
        const char *formatted = assay_text("%s", text);
        assert_int_equal(strlen(formatted), kept);
        assert_memory_equal(formatted, text, kept);
    }
}

static void a_text_of_the_exact_size_is_kept(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'x', 253);
    memcpy(text + 253, "\xC3\xA4", 3);
    assay_error error = {0};
    ASSAY_FAIL(&error, ASSAY_IO, .what = text);
    assert_string_equal(error.what, text);
    assert_string_equal(assay_text("%s", text), text);
}

static void sixteen_formatted_texts_live_together(void **state)
{
    (void)state;
    const char *texts[16];
    char expected[16];
    for (int i = 0; i < 16; i++)
        texts[i] = assay_text("text %d", i);
    for (int i = 0; i < 16; i++) {
        snprintf(expected, sizeof expected, "text %d", i);
        assert_string_equal(texts[i], expected);
    }
    assert_ptr_equal(assay_text("again"), texts[0]);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = ASSAY_OK; i <= ASSAY_STOPPED; i++)
        for (int j = ASSAY_OK; j < i; j++)
            assert_string_not_equal(assay_code_name((assay_code)i), assay_code_name((assay_code)j));
    assert_string_equal(assay_code_name(ASSAY_BAD_SHAPE), "bad shape");
    assert_string_equal(assay_code_name(ASSAY_IO), "i/o");
    assert_string_equal(assay_code_name((assay_code)99), "unknown");
}

static void the_nearest_word_is_the_one_that_was_meant(void **state)
{
    (void)state;
    static const char *const words[] = {"temperature", "margin", "weight", "auc", "ks"};
    static const char *const cases[][2] = {
        {"tempreature", "temperature"}, {"margn", "margin"}, {"wieght", "weight"}, {"acu", "auc"},
        {"weight", "weight"},           {"k", "ks"},         {"banana", NULL},     {"miou", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *near = assay_nearest(cases[i][0], 5, words);
        if (cases[i][1] == NULL)
            assert_null(near);
        else
            assert_string_equal(near, cases[i][1]);
    }
    assert_null(assay_nearest("auc", 0, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_wins),
        cmocka_unit_test(a_cleared_value_takes_another_failure),
        cmocka_unit_test(a_caller_may_want_the_verdict_only),
        cmocka_unit_test(a_whole_failure_reads_as_one_line),
        cmocka_unit_test(absent_parts_are_left_out),
        cmocka_unit_test(control_characters_do_not_break_the_line),
        cmocka_unit_test(a_small_buffer_is_never_overrun),
        cmocka_unit_test(long_texts_are_cut_between_two_characters),
        cmocka_unit_test(a_text_of_the_exact_size_is_kept),
        cmocka_unit_test(sixteen_formatted_texts_live_together),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(the_nearest_word_is_the_one_that_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
