/* test_fill.c - settings into a plugin's struct, and values as text. */
#include "common.h"
#include "lab/plugin/words.h"

#include <assay/random.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Fields in an order that leaves holes: each has to land at its own place. */
typedef struct fields {
    bool first;
    int64_t count;
    bool second;
    double rate;
    int size;
    const char *text, *file, *left_out;
    assay_curve curve;
    bool third;
    assay_texts texts;
    assay_numbers numbers;
    assay_weights_source weights, teacher, none;
} fields;

static const assay_option table[] = {
    ASSAY_BOOL(fields, third, true, "a flag"),
    ASSAY_BOOL(fields, second, false, "a flag"),
    ASSAY_BOOL(fields, first, true, "a flag"),
    ASSAY_INTEGER(fields, count, "", 9007199254740991, 0, 1e16, "a count"),
    ASSAY_NUMBER(fields, rate, "", 0.1, 0, 1, "a rate"),
    ASSAY_CHOICE(fields, size, "small", "tiny|small|base", "a size"),
    ASSAY_TEXT(fields, text, "gr\xc3\xbc\xc3\x9f", "a text"),
    ASSAY_PATH(fields, file, 0, "a file"),
    ASSAY_PATH(fields, left_out, 0, "a file"),
    ASSAY_SCHEDULE(fields, curve, "", 0.1, 0, 1, "a curve"),
    ASSAY_TEXTS(fields, texts, "auc,ks", NULL, "texts"),
    ASSAY_NUMBERS(fields, numbers, "", "1,2.5,-3", -9, 9, "numbers"),
    ASSAY_WEIGHTS(fields, weights, 0, "weights"),
    ASSAY_WEIGHTS(fields, teacher, 0, "weights"),
    ASSAY_WEIGHTS(fields, none, 0, "weights"),
};
enum { COUNT = sizeof table / sizeof table[0] };

static settings standard(void)
{
    assay_error error = {0};
    settings group = {0};
    must(settings_defaults_of(&group, "toy", COUNT, table, &error), &error);
    return group;
}

static int a_stage; /* its address stands for one */

static bool resolve(void *user, const setting *value, assay_weights_source *out, assay_error *error)
{
    (void)error;
    ++*(int *)user;
    char path[] = "/stage/weights.safetensors"; /* gone after the call: it has to be copied */
    static char kept[64];
    memset(kept, 'x', sizeof kept - 1);
    memcpy(kept, value->stage >= 0 ? path : value->resolved,
           strlen(value->stage >= 0 ? path : value->resolved) + 1);
    out->path = kept;
    out->stage = value->stage >= 0 ? &a_stage : NULL;
    return true;
}

static void every_field_is_filled(void **state)
{
    (void)state;
    assay_error error = {0};
    int64_t before = assay_memory_stats_get().live_blocks;
    settings group = standard();
    const char *const given[] = {"file", "weights"};
    for (int i = 0; i < 2; i++) {
        setting *value = settings_get(&group, given[i]);
        value->given = true;
        value->text = assay_strdup("x", &error);
        value->resolved = assay_strdup(i == 0 ? "/data/x" : "/models/x", &error);
    }
    settings_get(&group, "teacher")->given = true;
    settings_get(&group, "teacher")->stage = 2;
    int calls = 0;
    fields *f = settings_fill(&group, resolve, &calls, &error);
    must(f != NULL, &error);
    settings_clear(&group);
    assert_int_equal(assay_memory_stats_get().live_blocks, before + 1); /* one block, all inside */
    assert_int_equal(calls, 2);
    assert_true(f->first && !f->second && f->third);
    assert_true(f->count == 9007199254740991 && f->rate == 0.1 && f->size == 1);
    assert_string_equal(f->text, "gr\xc3\xbc\xc3\x9f");
    assert_string_equal(f->file, "/data/x");
    assert_null(f->left_out);
    assert_int_equal(f->curve.count, 1);
    assert_true(assay_curve_at(f->curve, 99) == 0.1f);
    assert_int_equal(f->texts.count, 2);
    assert_string_equal(f->texts.items[0], "auc");
    assert_string_equal(f->texts.items[1], "ks");
    assert_int_equal(f->numbers.count, 3);
    assert_true(f->numbers.items[2] == -3);
    assert_string_equal(f->weights.path, "/models/x");
    assert_null(f->weights.stage);
    assert_string_equal(f->teacher.path, "/stage/weights.safetensors");
    assert_ptr_equal(f->teacher.stage, &a_stage);
    assert_true(f->none.path == NULL && f->none.stage == NULL);
    assert_int_equal((uintptr_t)f->numbers.items % _Alignof(double), 0);
    assert_int_equal((uintptr_t)f->texts.items % _Alignof(char *), 0);
    assay_free(f);
    assert_int_equal(assay_memory_stats_get().live_blocks, before);
}

static bool refuse(void *user, const setting *value, assay_weights_source *out, assay_error *error)
{
    (void)user, (void)value, (void)out;
    return ASSAY_FAIL(error, ASSAY_IO, .what = "the stage has no weights");
}

static void what_cannot_be_filled_is_an_error(void **state)
{
    (void)state;
    assay_error error = {0};
    settings group = standard();
    settings_get(&group, "teacher")->given = true;
    settings_get(&group, "teacher")->stage = 2;
    assert_null(settings_fill(&group, NULL, NULL, &error));
    assert_string_equal(text_of(&error), "'teacher' is a stage that nobody resolves (toy)");
    assay_error_clear(&error);
    assert_null(settings_fill(&group, refuse, NULL, &error));
    assert_string_equal(text_of(&error), "the stage has no weights");
    assay_error_clear(&error);
    settings_clear(&group);
    group = standard();
    settings_get(&group, "rate")->score_run = 1;
    settings_get(&group, "rate")->number = NAN;
    settings_get(&group, "rate")->score_path = assay_strdup("credit/auc@valid", &error);
    assert_null(settings_fill(&group, NULL, NULL, &error));
    assert_string_equal(text_of(&error),
                        "'rate' waits for the score of another run (toy); got credit/auc@valid");
    assay_error_clear(&error);
    settings_get(&group, "rate")->number = 0.75;
    fields *f = settings_fill(&group, NULL, NULL, &error);
    must(f != NULL, &error);
    assert_true(f->rate == 0.75);
    assay_free(f);
    settings_clear(&group);
}

/* ---- text ---- */

static void expect_text(const char *name, const setting *value, const char *expected)
{
    assay_error error = {0};
    for (int i = 0; i < COUNT; i++)
        if (strcmp(table[i].name, name) == 0) {
            char *text = setting_text(&table[i], value, &error);
            must(text != NULL, &error);
            assert_string_equal(text, expected);
            assay_free(text);
        }
}

static void values_have_a_text(void **state)
{
    (void)state;
    assay_error error = {0};
    settings group = standard();
    static const char *const expected[][2] = {{"first", "true"},
                                              {"second", "false"},
                                              {"count", "9007199254740991"},
                                              {"rate", "0.1"},
                                              {"size", "small"},
                                              {"text", "gr\xc3\xbc\xc3\x9f"},
                                              {"file", "none"},
                                              {"curve", "0.10000000149011612"},
                                              {"texts", "auc,ks"},
                                              {"numbers", "1,2.5,-3"},
                                              {"weights", "none"}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        expect_text(expected[i][0], settings_get(&group, expected[i][0]), expected[i][1]);
    setting *texts = settings_get(&group, "texts");
    assay_free(texts->texts[0]);
    texts->texts[0] = assay_strdup("a,b\\c", &error);
    expect_text("texts", texts, "a\\,b\\\\c,ks");
    setting *teacher = settings_get(&group, "teacher");
    teacher->given = true;
    teacher->stage = 2;
    expect_text("teacher", teacher, "stage 2");
    settings_clear(&group);
}

/* Lists that are longer than any first guess of the text's size. */
static void long_lists_are_whole(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = SETTING_NONE;
    char expected[4096] = "";
    value.given = true;
    value.count = 500;
    value.numbers = assay_alloc(500 * (int64_t)sizeof(double), &error);
    for (int i = 0; i < 500; i++) {
        value.numbers[i] = i % 10;
        strcat(expected, i == 0 ? "" : ",");
        strcat(expected, (char[]){(char)('0' + i % 10), '\0'});
    }
    expect_text("numbers", &value, expected);
    setting_clear(&value);
}

/* SHA-256 of the fp32 bits 0x00000000 0x3F800000, low bytes first, by another program:
 * printf '\0\0\0\0\0\0\200\77' | sha256sum */
static void a_function_is_known_by_its_values(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.given = true;
    value.count = 2;
    value.numbers = assay_alloc(2 * (int64_t)sizeof(double), &error);
    value.numbers[0] = 0;
    value.numbers[1] = 1;
    expect_text("curve", &value,
                "function of 2 values, sha256 "
                "22b6f43bd8d27738d3213f29e96b62d01d9d6c0ab4f9732aaae803186f51eab7");
    setting_clear(&value);
}

static int significant_digits(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        bool zero = *text == '0', digit = *text >= '1' && *text <= '9';
        zeros = zero && digits > 0 ? zeros + 1 : digit ? 0 : zeros;
        digits += digit || (zero && digits > 0);
    }
    return digits - zeros;
}

static void numbers_read_back_as_themselves(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } known[] = {
        {0.1, "0.1"},       {1e-3, "0.001"},   {3e-5, "3e-05"}, {100000, "100000"},
        {1e15, "1e+15"},    {1e300, "1e+300"}, {-2.5, "-2.5"},  {1.0 / 3, "0.3333333333333333"},
        {5e-324, "5e-324"}, {0, "0"}};
    char text[NUMBER_TEXT];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(number_text(known[i].number, text), known[i].text);
    assay_stream stream = assay_stream_of(11, "test/numbers", 0);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)assay_random_bits(stream, 2 * i) << 32;
        bits |= assay_random_bits(stream, 2 * i + 1);
        double number, back;
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number))
            continue;
        back = strtod(number_text(number, text), NULL);
        assert_memory_equal(&back, &number, sizeof back);
        assert_true(strlen(text) < NUMBER_TEXT - 1);
        /* One digit less would be another number. */
        int digits = significant_digits(text);
        char shorter[NUMBER_TEXT];
        snprintf(shorter, sizeof shorter, "%.*e", digits > 1 ? digits - 2 : 0, number);
        if (digits > 1)
            assert_true(strtod(shorter, NULL) != number);
    }
}

static void ranges_and_defaults_have_a_text(void **state)
{
    (void)state;
    static const struct {
        assay_option option;
        const char *range, *standard;
    } rows[] = {
        {{.type = ASSAY_OPTION_NUMBER, .low = 0, .high = 1, .number = 0.1}, "0 .. 1", "0.1"},
        {{.type = ASSAY_OPTION_NUMBER, .flags = ASSAY_OPTION_ABOVE_LOW, .high = 1e9, .number = 1},
         "above 0, at most 1000000000",
         "1"},
        {{.type = ASSAY_OPTION_NUMBER, .flags = ASSAY_OPTION_ABOVE_LOW, .high = INFINITY},
         "above 0",
         "0"},
        {{.type = ASSAY_OPTION_INTEGER, .low = 1, .high = INFINITY, .number = 3},
         "at least 1",
         "3"},
        {{.type = ASSAY_OPTION_NUMBER, .low = -INFINITY, .high = 0}, "at most 0", "0"},
        {{.type = ASSAY_OPTION_NUMBER, .low = -INFINITY, .high = INFINITY}, "", "0"},
        {{.type = ASSAY_OPTION_BOOL, .number = 1}, "", "true"},
        {{.type = ASSAY_OPTION_CHOICE, .choices = "a|b", .text = "b"}, "a|b", "b"},
        {{.type = ASSAY_OPTION_TEXTS, .text = "a,b"}, "", "a,b"},
        {{.type = ASSAY_OPTION_PATH, .flags = ASSAY_OPTION_REQUIRED}, "", "required"},
        {{.type = ASSAY_OPTION_PATH}, "", "none"},
        {{.type = ASSAY_OPTION_WEIGHTS}, "", "none"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(option_range_text(&rows[i].option), rows[i].range);
        assert_string_equal(option_default_text(&rows[i].option), rows[i].standard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_filled),
        cmocka_unit_test(what_cannot_be_filled_is_an_error),
        cmocka_unit_test(values_have_a_text),
        cmocka_unit_test(long_lists_are_whole),
        cmocka_unit_test(a_function_is_known_by_its_values),
        cmocka_unit_test(numbers_read_back_as_themselves),
        cmocka_unit_test(ranges_and_defaults_have_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
