/* test_settings.c - values against their options, look-up, required options, the host's own
 * tables. */
#include "common.h"
#include "lab/plugin/host_tables.h"
#include "lab/plugin/recipe.h"

#include <assay/weights.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fields {
    bool flag;
    int64_t count;
    double rate, share;
    const char *text, *file;
    int size;
    assay_curve curve;
    assay_texts texts;
    assay_numbers numbers;
    assay_weights_source weights;
} fields;

static const assay_option table[] = {
    ASSAY_BOOL(fields, flag, true, "a flag"),
    ASSAY_INTEGER(fields, count, "steps", 3, 0, 1e300, "a count"),
    ASSAY_POSITIVE(fields, rate, "", 0.1, 10, "a rate"),
    {ASSAY_OPTION_AT(fields, share, ASSAY_OPTION_NUMBER), .flags = ASSAY_OPTION_BELOW_HIGH,
     .unit = "", .meaning = "a share", .high = 1},
    ASSAY_TEXT(fields, text, "x", "a text"),
    ASSAY_PATH(fields, file, ASSAY_OPTION_REQUIRED, "a file"),
    ASSAY_CHOICE(fields, size, "tiny", "tiny|small|base", "a size"),
    ASSAY_SCHEDULE(fields, curve, "", 0.5, 0, 1, "a curve"),
    ASSAY_TEXTS(fields, texts, "auc,ks", "auc|ks|ap", "texts"),
    ASSAY_NUMBERS(fields, numbers, "", "1,2.5", 0, 3, "numbers"),
    ASSAY_WEIGHTS(fields, weights, 0, "weights"),
};
enum { COUNT = sizeof table / sizeof table[0] };

static const assay_option *option_of(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    fail_msg("no option '%s'", name);
    return NULL;
}

/* ---- values ---- */

typedef struct check {
    const char *option;
    double number;
    const char *text;    /* NULL: a number */
    const char *message; /* NULL: accepted */
} check;

static const check checks[] = {
    {"flag", 1, NULL, NULL},
    {"flag", 0, NULL, NULL},
    {"flag", 2, NULL, "m.k.flag has the wrong type (s.lua:7); expected boolean, got 2"},
    {"flag", 0, "yes", "m.k.flag has the wrong type (s.lua:7); expected boolean, got text 'yes'"},
    {"count", 8, NULL, NULL},
    {"count", 9007199254740992.0, NULL, NULL},
    {"count", 9007199254740994.0, NULL, "m.k.count is out of range"},
    {"count", 8.5, NULL, "m.k.count takes whole numbers (s.lua:7); expected integer, 0 .."},
    {"count", -1, NULL, "m.k.count is out of range (s.lua:7); expected 0 .. 1e+300, got -1"},
    {"count", NAN, NULL, "m.k.count takes whole numbers"},
    {"count", INFINITY, NULL, "m.k.count takes whole numbers"},
    {"count", 0, "8", "m.k.count has the wrong type"},
    {"rate", 10, NULL, NULL},
    {"rate", 0, NULL, "m.k.rate is out of range (s.lua:7); expected above 0, at most 10, got 0"},
    {"rate", -0.0, NULL, "m.k.rate is out of range (s.lua:7); expected above 0, at most 10, got 0"},
    {"rate", 10.1, NULL, "expected above 0, at most 10, got 10.1"},
    {"rate", NAN, NULL, "m.k.rate is not finite"},
    {"rate", -INFINITY, NULL, "m.k.rate is not finite"},
    {"share", 0, NULL, NULL},
    {"share", 1, NULL, "m.k.share is out of range (s.lua:7); expected at least 0, below 1, got 1"},
    {"text", 0, "", NULL},
    {"text", 0, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8d", NULL},
    {"text", 0, "\xff", "m.k.text is not well-formed UTF-8 (s.lua:7)"},
    {"text", 0, "\xc0\xaf", "m.k.text is not well-formed UTF-8"},         /* overlong */
    {"text", 0, "\xe0\x80\x80", "m.k.text is not well-formed UTF-8"},     /* overlong */
    {"text", 0, "\xed\xa0\x80", "m.k.text is not well-formed UTF-8"},     /* surrogate */
    {"text", 0, "\xf4\x90\x80\x80", "m.k.text is not well-formed UTF-8"}, /* too large */
    {"text", 0, "a\xe2\x82", "m.k.text is not well-formed UTF-8"},        /* cut */
    {"text", 3, NULL, "m.k.text has the wrong type (s.lua:7); expected text, got 3"},
    {"size", 0, "base", NULL},
    {"size", 0, "tinny",
     "unknown value 'tinny' of m.k.size (s.lua:7); expected tiny|small|base, got 'tinny'; "
     "hint: did you mean 'tiny'?"},
    {"size", 0, "tin", "did you mean 'tiny'?"},
    {"size", 0, "tiny|small", "unknown value 'tiny|small'"},
    {"size", 0, "", "unknown value '' of m.k.size"},
    {"size", 1, NULL, "m.k.size has the wrong type"},
    {"file", 0, "/dev/null", NULL},
    {"file", 0, "no/such.csv",
     "the path of m.k.file does not exist (s.lua:7); got 'no/such.csv'; hint: paths are beside "
     "the script or in the current folder"},
    {"file", 0, "/no/such.csv", "does not exist (s.lua:7); got '/no/such.csv'"},
    {"file", 0, "", "the path of m.k.file does not exist"},
    {"weights", 0, "no/model", "the path of m.k.weights does not exist"},
    {"weights", 0, NULL, "m.k.weights has the wrong type (s.lua:7); expected weights, got 0"},
};

static void values_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const check *c = &checks[i];
        assay_error error = {0};
        setting value = SETTING_NONE;
        value.given = true;
        value.number = c->number;
        if (c->text != NULL)
            value.text = assay_strdup(c->text, &error);
        bool ok = setting_check(option_of(c->option), &value, "m.k", NULL, "s.lua:7", &error);
        if (ok != (c->message == NULL))
            fail_msg("%s, row %zu: %s", c->option, i, ok ? "accepted" : text_of(&error));
        if (!ok && strstr(text_of(&error), c->message) == NULL)
            fail_msg("expected '%s', got '%s'", c->message, text_of(&error));
        if (!ok)
            assert_int_equal(error.code, ASSAY_BAD_INPUT);
        setting_clear(&value);
    }
}

static void numbers_are_normalised(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.number = -0.0;
    must(setting_check(option_of("share"), &value, "m", NULL, NULL, &error), &error);
    assert_false(signbit(value.number));
    value.number = -0.0;
    must(setting_check(option_of("count"), &value, "m", NULL, NULL, &error), &error);
    assert_false(signbit(value.number));
}

/* A setting with a list of numbers, or of texts when `texts` is given. Ends at count. */
static setting list_of(int64_t count, const double *numbers, const char *const *texts)
{
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.given = true;
    value.count = count;
    if (texts == NULL)
        value.numbers = assay_alloc(count * (int64_t)sizeof(double), &error);
    else
        value.texts = assay_zalloc(count * (int64_t)sizeof(char *), &error);
    for (int64_t i = 0; i < count; i++)
        if (texts == NULL)
            value.numbers[i] = numbers[i];
        else
            value.texts[i] = assay_strdup(texts[i], &error);
    must(error.code == ASSAY_OK, &error);
    return value;
}

static void expect_list(const char *option, setting value, const char *message)
{
    assay_error error = {0};
    bool ok = setting_check(option_of(option), &value, "m.k", NULL, "s.lua:7", &error);
    if (message == NULL)
        must(ok, &error);
    else if (ok || strstr(text_of(&error), message) == NULL)
        fail_msg("expected '%s', got '%s'", message, ok ? "nothing" : text_of(&error));
    setting_clear(&value);
}

static void lists_are_checked(void **state)
{
    (void)state;
    expect_list("numbers", list_of(3, (double[]){0, 1.5, 3}, NULL), NULL);
    expect_list("numbers", list_of(0, NULL, NULL), NULL);
    expect_list("numbers", list_of(2, (double[]){0, 3.5}, NULL),
                "m.k.numbers is out of range (item 2) (s.lua:7); expected 0 .. 3, got 3.5");
    expect_list("numbers", list_of(1, (double[]){NAN}, NULL), "is not finite (item 1)");
    expect_list("numbers", list_of(1, NULL, (const char *[]){"a"}), "has the wrong type");
    expect_list("curve", list_of(1, (double[]){0.25}, NULL), NULL);
    expect_list("curve", list_of(0, NULL, NULL), "m.k.curve has no value");
    expect_list("curve", list_of(3, (double[]){0, 0.5, 1.5}, NULL),
                "m.k.curve is out of range at step 2 (s.lua:7); expected 0 .. 1, got 1.5");
    expect_list("curve", list_of(1, (double[]){-1}, NULL), "m.k.curve is out of range (s.lua:7)");
    expect_list("texts", list_of(2, NULL, (const char *[]){"ap", "ks"}), NULL);
    expect_list("texts", list_of(0, NULL, (const char *[]){NULL}), NULL);
    expect_list("texts", list_of(2, NULL, (const char *[]){"ks", "aucc"}),
                "unknown value 'aucc' of m.k.texts (s.lua:7); expected auc|ks|ap, got 'aucc'; "
                "hint: did you mean 'auc'?");
    expect_list("texts", list_of(1, NULL, (const char *[]){""}), "m.k.texts has an empty item");
    expect_list("texts", list_of(1, (double[]){1}, NULL), "has the wrong type");
}

static void schedules_are_rounded_to_fp32(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = list_of(2, (double[]){0.1, 1 / 3.0}, NULL);
    must(setting_check(option_of("curve"), &value, "m", NULL, NULL, &error), &error);
    assert_true(value.numbers[0] == (double)0.1f && value.numbers[1] == (double)(float)(1 / 3.0));
    setting_clear(&value);
}

static void an_unknown_score_waits(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.given = true;
    value.number = NAN;
    value.score_run = 0;
    must(setting_check(option_of("rate"), &value, "m", NULL, NULL, &error), &error);
    assert_false(setting_check(option_of("flag"), &value, "m", NULL, NULL, &error));
    assert_non_null(strstr(text_of(&error), "got a stage's score"));
    assay_error_clear(&error);
    value.number = 11; /* known now, and judged */
    assert_false(setting_check(option_of("rate"), &value, "m", NULL, NULL, &error));
    assert_non_null(strstr(text_of(&error), "out of range"));
}

/* ---- paths ---- */

static void paths_are_found_beside_the_script_first(void **state)
{
    (void)state;
    char folder[256], expected[512];
    make_folder(folder);
    write_file(folder, "data.csv", "1\n");
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.text = assay_strdup("data.csv", &error);
    must(setting_check(option_of("file"), &value, "m", folder, NULL, &error), &error);
    snprintf(expected, sizeof expected, "%s/data.csv", folder);
    assert_string_equal(value.resolved, expected);
    assert_string_equal(value.text, "data.csv");
    assert_null(value.sha256); /* what a path holds is its plugin's to say */

    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    must(setting_check(option_of("file"), &value, "m", "/nowhere", NULL, &error), &error);
    assert_string_equal(value.resolved, expected);
    must(setting_check(option_of("file"), &value, "m", ".", NULL, &error), &error);
    assert_string_equal(value.resolved, expected);
    assert_int_equal(chdir(here), 0);
    setting_clear(&value);
    remove_folder(folder);
}

static void weights_are_known_by_their_bytes(void **state)
{
    (void)state;
    char folder[256], file[512];
    static const char sha_of_abc[] =
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    make_folder(folder);
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.text = assay_strdup(folder, &error);
    assert_false(setting_check(option_of("weights"), &value, "m", NULL, "s.lua:7", &error));
    assert_non_null(strstr(text_of(&error), "got 0 files *.safetensors in"));
    assay_error_clear(&error);
    write_file(folder, "part.safetensors", "abc");
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    snprintf(file, sizeof file, "%s/part.safetensors", folder);
    assert_string_equal(value.resolved, file);
    assert_string_equal(value.sha256, sha_of_abc);
    write_file(folder, "other.safetensors", "x");
    assert_false(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error));
    assert_non_null(strstr(text_of(&error), "got 2 files"));
    assay_error_clear(&error);
    write_file(folder, "model.safetensors", "abc");
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_non_null(strstr(value.resolved, "/model.safetensors"));
    write_file(folder, "model.safetensors", "abcd"); /* the same place, other bytes */
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_string_not_equal(value.sha256, sha_of_abc);
    setting_clear(&value);
    remove_folder(folder);
}

/* A safetensors file of one F32 number. */
static void write_number(const char *folder, const char *name, const char *tensor, float number)
{
    assay_error error = {0};
    char path[512];
    assay_tensor *value = assay_tensor_new(ASSAY_F32, 0, NULL, &error);
    must(value != NULL, &error);
    assay_f32(value)[0] = number;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    must(assay_weights_write(path, 1, &(assay_weights_item){tensor, value}, 0, NULL, &error),
         &error);
    assay_tensor_free(value);
}

/* Every shard and config.json count, other files beside them do not. */
static void a_folder_of_shards_is_known_by_all_of_them(void **state)
{
    (void)state;
    char folder[256], before[65];
    make_folder(folder);
    assay_error error = {0};
    setting value = SETTING_NONE;
    write_number(folder, "model-00001-of-00002.safetensors", "a", 1);
    write_number(folder, "model-00002-of-00002.safetensors", "b", 2);
    write_file(folder, "model.safetensors.index.json",
               "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": "
               "\"model-00002-of-00002.safetensors\"}}");
    value.text = assay_strdup(folder, &error);
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_non_null(strstr(value.resolved, "/model.safetensors.index.json"));
    snprintf(before, sizeof before, "%s", value.sha256);
    write_file(folder, "README", "a card");
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_string_equal(value.sha256, before);
    write_number(folder, "model-00002-of-00002.safetensors", "b", 3);
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_string_not_equal(value.sha256, before);
    snprintf(before, sizeof before, "%s", value.sha256);
    write_file(folder, "config.json", "{}");
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_string_not_equal(value.sha256, before);
    write_file(folder, "model-00001-of-00002.safetensors", "cut");
    assert_false(setting_check(option_of("weights"), &value, "m", NULL, "s.lua:7", &error));
    assert_non_null(strstr(text_of(&error), "model-00001-of-00002.safetensors"));
    setting_clear(&value);
    remove_folder(folder);
}

/* A file by its bytes, a folder by the names and bytes of all that is in it, wherever it lies. */
static void paths_are_known_by_their_content(void **state)
{
    (void)state;
    char folder[2][256], sub[600], first[65], other[65];
    assay_error error = {0};
    for (int i = 0; i < 2; i++) {
        make_folder(folder[i]);
        snprintf(sub, sizeof sub, "%s/sub", folder[i]);
        assert_int_equal(mkdir(sub, 0700), 0);
        write_file(sub, "b", "abc");
        write_file(folder[i], "a", "x");
    }
    setting value = SETTING_NONE;
    for (int i = 0; i < 2; i++) {
        assay_free(value.text);
        value.text = assay_strdup(folder[i], &error);
        must(setting_check(option_of("file"), &value, "m", NULL, NULL, &error), &error);
        must(setting_identify(option_of("file"), &value, "m", NULL, &error), &error);
        snprintf(i == 0 ? first : other, 65, "%s", value.sha256);
        if (i > 0)
            assert_string_equal(first, other);
    }
    char named[700], renamed[700];
    snprintf(named, sizeof named, "%s/b", sub);
    snprintf(renamed, sizeof renamed, "%s/c", sub);
    assert_int_equal(rename(named, renamed), 0);
    must(setting_identify(option_of("file"), &value, "m", NULL, &error), &error);
    assert_string_not_equal(value.sha256, first);
    assert_int_equal(rename(renamed, named), 0);
    write_file(sub, "b", "abd");
    must(setting_identify(option_of("file"), &value, "m", NULL, &error), &error);
    assert_string_not_equal(value.sha256, first);
    setting_clear(&value);
    for (int i = 0; i < 2; i++) {
        snprintf(sub, sizeof sub, "%s/sub", folder[i]);
        remove_folder(sub);
        remove_folder(folder[i]);
    }
}

static void a_stage_stands_for_weights(void **state)
{
    (void)state;
    assay_error error = {0};
    setting value = SETTING_NONE;
    value.stage = 4;
    must(setting_check(option_of("weights"), &value, "m", NULL, NULL, &error), &error);
    assert_false(setting_check(option_of("rate"), &value, "m", NULL, NULL, &error));
    assert_non_null(strstr(text_of(&error), "got a stage"));
}

/* ---- groups ---- */

static void unknown_options_have_a_nearest(void **state)
{
    (void)state;
    assay_error error = {0};
    settings group = {0};
    must(settings_defaults_of(&group, "train", train_table_count, train_table, &error), &error);
    assert_int_equal(settings_find(&group, "steps", NULL, &error), 0);
    assert_int_equal(settings_find(&group, "wramup", "s.lua:9", &error), -1);
    assert_string_equal(text_of(&error), "unknown option 'wramup' of train (s.lua:9); hint: did "
                                         "you mean 'warmup'?");
    assay_error_clear(&error);
    assert_int_equal(settings_find(&group, "temperature", NULL, &error), -1);
    assert_string_equal(text_of(&error), "unknown option 'temperature' of train; hint: 'assay "
                                         "plugins train' lists its options");
    assert_null(settings_get(&group, "temperature"));
    assert_ptr_equal(settings_get(&group, "batch"), &group.values[1]);
    settings_clear(&group);
    settings_clear(&group);
}

static void required_options_are_asked_for(void **state)
{
    (void)state;
    assay_error error = {0};
    settings group = {0};
    must(settings_defaults_of(&group, "toy", COUNT, table, &error), &error);
    assert_false(settings_check(&group, "s.lua:2", &error));
    assert_string_equal(text_of(&error), "toy needs the option 'file' (s.lua:2); expected path; "
                                         "hint: a file");
    settings_get(&group, "file")->given = true;
    must(settings_check(&group, NULL, NULL), &error);
    settings_clear(&group);
}

static void copies_share_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    settings group = {0}, copy = {0}, none = {0};
    must(settings_defaults_of(&group, "toy", COUNT, table, &error), &error);
    setting *file = settings_get(&group, "file");
    file->text = assay_strdup("/dev/null", &error);
    file->given = true;
    file->origin = SETTING_AXIS;
    must(setting_check(option_of("file"), file, "m", NULL, NULL, &error), &error);
    must(settings_copy(&copy, &group, &error), &error);
    settings_clear(&group);
    assert_string_equal(settings_get(&copy, "file")->resolved, "/dev/null");
    assert_int_equal(settings_get(&copy, "file")->origin, SETTING_AXIS);
    assert_string_equal(settings_get(&copy, "texts")->texts[1], "ks");
    assert_true(settings_get(&copy, "numbers")->numbers[1] == 2.5);
    settings_clear(&copy);
    must(settings_copy(&copy, &none, &error), &error);
    assert_null(copy.label);
}

static void recipes_are_copied_whole(void **state)
{
    (void)state;
    assay_error error = {0};
    recipe first = {.seed = 7, .init = SETTING_NONE}, second = {0};
    must(settings_defaults_of(&first.train, "train", train_table_count, train_table, &error),
         &error);
    first.losses = assay_zalloc(2 * (int64_t)sizeof(settings), &error);
    first.loss_count = 2;
    for (int i = 0; i < 2; i++)
        must(settings_defaults_of(&first.losses[i], i == 0 ? "a" : "a#2", COUNT, table, &error),
             &error);
    first.init.stage = 3;
    first.init.given = true;
    int64_t before = assay_memory_stats_get().live_blocks;
    must(recipe_copy(&second, &first, &error), &error);
    assert_int_equal(second.seed, 7);
    assert_int_equal(second.loss_count, 2);
    assert_string_equal(second.losses[1].label, "a#2");
    assert_int_equal(second.init.stage, 3);
    assert_int_equal(second.evaluator_count, 0);
    assert_null(second.mask.plugin);
    recipe_clear(&second);
    assert_int_equal(assay_memory_stats_get().live_blocks, before);
    /* Wherever memory runs out, nothing is left behind. */
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        assay_memory_fail_after(n);
        done = recipe_copy(&second, &first, NULL);
        assay_memory_fail_after(-1);
        assert_true(n < 1000);
        recipe_clear(&second);
        assert_int_equal(assay_memory_stats_get().live_blocks, before);
    }
    recipe_clear(&first);
    recipe_clear(&first);
}

/* ---- the host's tables ---- */

static train_options *standard_train(void)
{
    assay_error error = {0};
    settings group = {0};
    must(settings_defaults_of(&group, "train", train_table_count, train_table, &error), &error);
    for (int i = 0; i < group.count; i++)
        must(setting_check(&train_table[i], &group.values[i], "train", NULL, NULL, &error), &error);
    train_options *train = settings_fill(&group, NULL, NULL, &error);
    must(train != NULL, &error);
    settings_clear(&group);
    return train;
}

static void train_has_useful_defaults(void **state)
{
    (void)state;
    assay_error error = {0};
    train_options *train = standard_train();
    assert_int_equal(train->steps, 400);
    assert_int_equal(train->batch, 64);
    assert_int_equal(train->accumulate, 1);
    assert_int_equal(train->pieces, 1);
    assert_int_equal(train->optimizer, TRAIN_ADAMW);
    assert_true(train->lr == 1e-3 && train->warmup == 0 && train->floor == 0);
    assert_int_equal(train->schedule, TRAIN_COSINE);
    assert_true(train->beta1 == 0.9 && train->beta2 == 0.999 && train->eps == 1e-8);
    assert_true(train->weight_decay == 0.01 && train->clip == 1.0 && train->shuffle);
    assert_int_equal(train->precision, TRAIN_FP32);
    assert_int_equal(train->split, 0);
    assert_int_equal(train->keep, 2);
    assert_int_equal(train->early_stop, 0);
    must(train_options_check(train, "cpu", NULL, &error), &error);
    assay_free(train);
}

static void train_options_fit_together(void **state)
{
    (void)state;
    assay_error error = {0};
    train_options *train = standard_train();
    train->accumulate = 4;
    train->pieces = 3;
    assert_false(train_options_check(train, "cpu", "s.lua:3", &error));
    assert_string_equal(text_of(&error), "train.batch cannot be divided into equal parts "
                                         "(s.lua:3); expected a multiple of accumulate * pieces "
                                         "= 12, got 64");
    assay_error_clear(&error);
    train->pieces = 16;
    must(train_options_check(train, "cpu", NULL, &error), &error);
    train->precision = TRAIN_TF32;
    assert_false(train_options_check(train, "cpu", NULL, &error));
    assert_non_null(strstr(text_of(&error), "tf32"));
    assay_error_clear(&error);
    must(train_options_check(train, "cuda", NULL, &error), &error);
    train->early_stop = 3;
    assert_false(train_options_check(train, "cuda", NULL, &error));
    assert_non_null(strstr(text_of(&error), "train.evaluate_every above 0"));
    assay_error_clear(&error);
    train->evaluate_every = 10;
    must(train_options_check(train, "cuda", NULL, &error), &error);
    assay_free(train);
}

static void choices_stand_in_the_order_of_their_enums(void **state)
{
    (void)state;
    static const struct {
        const char *option, *choices;
        int last;
    } rows[] = {{"optimizer", "adamw", TRAIN_ADAMW},
                {"schedule", "constant|linear|cosine|poly", TRAIN_POLY},
                {"precision", "fp32|bf16|tf32", TRAIN_TF32}};
    for (size_t i = 0; i < 3; i++) {
        int words = 1;
        for (const char *at = rows[i].choices; *at != '\0'; at++)
            words += *at == '|';
        assert_int_equal(rows[i].last, words - 1);
        for (int k = 0; k < train_table_count; k++)
            if (strcmp(train_table[k].name, rows[i].option) == 0)
                assert_string_equal(train_table[k].choices, rows[i].choices);
    }
}

static void checkpoints_and_kept_histories_belong_to_the_attempt(void **state)
{
    (void)state;
    int count = 0;
    for (int i = 0; i < train_table_count; i++)
        count += train_option_is_attempt(train_table[i].name);
    assert_int_equal(count, 3);
    assert_true(train_option_is_attempt("keep") && train_option_is_attempt("checkpoint_every") &&
                train_option_is_attempt("cache_mb"));
}

static void the_experiment_lists_its_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"name", "dataset", "model",    "adapter", "init",  "mask",
                                       "loss", "train",   "evaluate", "seed",    "trials"};
    assert_int_equal(experiment_table_count, sizeof keys / sizeof keys[0]);
    for (int i = 0; i < experiment_table_count; i++) {
        assert_string_equal(experiment_table[i].name, keys[i]);
        assert_string_not_equal(option_type_name(experiment_table[i].type), "unknown");
        assert_true(strlen(experiment_table[i].meaning) > 10);
        assert_string_not_equal(option_default_text(&experiment_table[i]), "");
        assert_non_null(option_range_text(&experiment_table[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(numbers_are_normalised),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(schedules_are_rounded_to_fp32),
        cmocka_unit_test(an_unknown_score_waits),
        cmocka_unit_test(paths_are_found_beside_the_script_first),
        cmocka_unit_test(weights_are_known_by_their_bytes),
        cmocka_unit_test(a_folder_of_shards_is_known_by_all_of_them),
        cmocka_unit_test(paths_are_known_by_their_content),
        cmocka_unit_test(a_stage_stands_for_weights),
        cmocka_unit_test(unknown_options_have_a_nearest),
        cmocka_unit_test(required_options_are_asked_for),
        cmocka_unit_test(copies_share_nothing),
        cmocka_unit_test(recipes_are_copied_whole),
        cmocka_unit_test(train_has_useful_defaults),
        cmocka_unit_test(train_options_fit_together),
        cmocka_unit_test(choices_stand_in_the_order_of_their_enums),
        cmocka_unit_test(checkpoints_and_kept_histories_belong_to_the_attempt),
        cmocka_unit_test(the_experiment_lists_its_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
