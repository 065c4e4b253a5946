/* test_adopt.c - descriptors and tables of options as another compilation might have made them. */
#include "common.h"
#include "lab/plugin/adopt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct fields {
    bool flag;
    int64_t count;
    double rate;
    const char *text;
    int choice;
    assay_curve curve;
    assay_texts texts;
    assay_numbers numbers;
} fields;

/* ---- descriptors ---- */

static void *open_mask(const void *o, const assay_mask_setup *setup, assay_error *error)
{
    (void)o, (void)setup, (void)error;
    return NULL;
}
static bool give_bias(void *mask, assay_tape *tape, const assay_clock *clock,
                      const assay_tower *tower, assay_tensor *x, assay_attention_bias *out)
{
    (void)mask, (void)tape, (void)clock, (void)tower, (void)x, (void)out;
    return true;
}
static bool save_mask(void *mask, const assay_state_writer *out, assay_error *error)
{
    (void)mask, (void)out, (void)error;
    return true;
}

static const assay_mask_functions good = {
    .size = sizeof good, .open = open_mask, .close = assay_free, .bias = give_bias};

static assay_plugin descriptor(void)
{
    return (assay_plugin){.size = sizeof(assay_plugin),
                          .abi = ASSAY_ABI,
                          .build = ASSAY_BUILD,
                          .kind = ASSAY_KIND_MASK,
                          .name = "m",
                          .version = 1,
                          .summary = "one line",
                          .option_size = sizeof(assay_option),
                          .functions = &good};
}

/* Adopts and gives the failure's text, or NULL. */
static const char *judge(const assay_plugin *theirs, plugin *out)
{
    static assay_error error;
    assay_error_clear(&error);
    assay_arena *arena = assay_arena_new(0, &error);
    must(arena != NULL, &error);
    memset(out, 0, sizeof *out);
    bool ok = adopt_plugin(out, theirs, sizeof *theirs, arena, &error);
    out->options = NULL; /* it goes with the arena */
    assay_arena_free(arena);
    return ok ? NULL : text_of(&error);
}

static void expect_refusal(const assay_plugin *theirs, const char *reason)
{
    plugin out;
    const char *said = judge(theirs, &out);
    if (said == NULL || strstr(said, reason) == NULL)
        fail_msg("expected '%s', got '%s'", reason, said == NULL ? "no refusal" : said);
}

static void a_good_descriptor_is_taken(void **state)
{
    (void)state;
    plugin out;
    assay_plugin theirs = descriptor();
    const char *said = judge(&theirs, &out);
    if (said != NULL)
        fail_msg("%s", said);
    assert_true(out.mask.bias == give_bias && out.mask.save == NULL);
    assert_int_equal(out.option_count, 0);
}

static void bad_identities_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        NULL,        "",         "Upper",  "1digit",   "_under",
        "with-dash", "with.dot", "sp ace", "\xc3\xa9", "a234567890123456789012345678901234567890x"};
    assay_plugin theirs;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        theirs = descriptor();
        theirs.name = names[i];
        expect_refusal(&theirs, "has a bad name");
    }
    theirs = descriptor();
    theirs.kind = (assay_kind)ASSAY_KINDS;
    expect_refusal(&theirs, "is of an unknown kind; expected 0 .. 5, got 6");
    theirs = descriptor();
    theirs.version = 0;
    expect_refusal(&theirs, "has a bad version; expected 1 or more, got 0");
    static const char *const summaries[] = {NULL, "", "two\nlines", "\xff"};
    for (size_t i = 0; i < sizeof summaries / sizeof summaries[0]; i++) {
        theirs = descriptor();
        theirs.summary = summaries[i];
        expect_refusal(&theirs, "has no proper summary");
    }
    theirs = descriptor();
    theirs.size = 8;
    expect_refusal(&theirs, "descriptor that is too small");
    theirs = descriptor();
    theirs.build = NULL;
    expect_refusal(&theirs, "is of another build");
}

static void missing_functions_are_named(void **state)
{
    (void)state;
    assay_plugin theirs = descriptor();
    theirs.functions = NULL;
    expect_refusal(&theirs, "has no functions");
    assay_mask_functions table = good;
    theirs.functions = &table;
    table.size = 0;
    expect_refusal(&theirs, "functions of an impossible size");
    table = good;
    table.bias = NULL;
    expect_refusal(&theirs, "lacks the function 'bias'; expected every function that assay/mask.h");
    table = good;
    table.size = (uint32_t)offsetof(assay_mask_functions, close); /* what lies behind is not read */
    expect_refusal(&theirs, "lacks the function 'close'");
    table = good;
    table.save = save_mask;
    expect_refusal(&theirs, "has one of 'save' and 'load'; expected both or none");
}

/* Each kind's required functions, one by one: an empty struct lacks its first. */
static void every_kind_needs_functions(void **state)
{
    (void)state;
    static const char *const first[ASSAY_KINDS] = {"open",  "open", "open",
                                                   "wants", "open", "check"};
    union {
        uint32_t size;
        assay_dataset_functions dataset;
        assay_model_functions model;
    } empty = {.size = sizeof(assay_loss_functions)};
    for (int kind = 0; kind < ASSAY_KINDS; kind++) {
        assay_plugin theirs = descriptor();
        theirs.kind = (assay_kind)kind;
        theirs.functions = &empty;
        expect_refusal(&theirs, assay_text("lacks the function '%s'", first[kind]));
    }
}

/* ---- tables of options ---- */

static const assay_option sound[] = {
    ASSAY_BOOL(fields, flag, true, "a flag"),
    ASSAY_INTEGER(fields, count, "steps", 3, 0, 10, "a count"),
    ASSAY_POSITIVE(fields, rate, "", 0.1, 1, "a rate"),
    ASSAY_TEXT(fields, text, "x", "a text"),
    ASSAY_CHOICE(fields, choice, "b", "a|b", "a choice"),
    ASSAY_SCHEDULE(fields, curve, "", 0.5, 0, 1, "a curve"),
    ASSAY_TEXTS(fields, texts, "auc,ks", "auc|ks|ap", "texts"),
    ASSAY_NUMBERS(fields, numbers, "", "1,2.5", 0, 3, "numbers"),
};
enum { SOUND = sizeof sound / sizeof sound[0] };

static const char *judge_table(const void *table, int count, int64_t stride, int64_t bytes,
                               assay_option *first)
{
    static assay_error error;
    assay_error_clear(&error);
    assay_arena *arena = assay_arena_new(0, &error);
    must(arena != NULL, &error);
    const assay_option *taken = adopt_options(table, count, stride, bytes, arena, &error);
    if (taken != NULL && first != NULL)
        *first = taken[count - 1];
    assay_arena_free(arena);
    return taken != NULL ? NULL : text_of(&error);
}

static void a_sound_table_is_taken(void **state)
{
    (void)state;
    const char *said = judge_table(sound, SOUND, sizeof sound[0], sizeof(fields), NULL);
    if (said != NULL)
        fail_msg("%s", said);
}

/* Rows of a later version are longer: the host reads what it knows, at their distance. */
static void longer_rows_are_read_at_their_distance(void **state)
{
    (void)state;
    struct later {
        assay_option option;
        const char *added;
    } rows[SOUND];
    memset(rows, 0xEE, sizeof rows);
    for (int i = 0; i < SOUND; i++)
        rows[i].option = sound[i];
    assay_option last;
    const char *said = judge_table(rows, SOUND, sizeof rows[0], sizeof(fields), &last);
    if (said != NULL)
        fail_msg("%s", said);
    assert_string_equal(last.name, "numbers");
}

/* One row of the sound table, changed, and what is said of it. */
typedef struct change {
    int row;
    assay_option with;
    const char *reason;
} change;

#define ROW(number, reason_text, ...)                                                              \
    {                                                                                              \
        number, {__VA_ARGS__}, reason_text                                                         \
    }
#define NAMED(of, what_type)                                                                       \
    .name = (of), .type = (what_type), .unit = "", .meaning = "m", .offset = 8

static const change changes[] = {
    ROW(1, "option number 2 has a bad name", NAMED("Count", ASSAY_OPTION_INTEGER)),
    ROW(1, "option number 2 has a bad name", NAMED(NULL, ASSAY_OPTION_INTEGER)),
    ROW(1, "option 'flag' stands twice", NAMED("flag", ASSAY_OPTION_INTEGER), .high = 1),
    ROW(1, "'count' is of an unknown type", NAMED("count", (assay_option_type)10)),
    ROW(1, "'count' has unknown flags; got 0x8", NAMED("count", ASSAY_OPTION_INTEGER), .flags = 8),
    ROW(1, "'count' has an empty range", NAMED("count", ASSAY_OPTION_INTEGER), .low = 1, .high = 0),
    ROW(1, "'count' has an empty range", NAMED("count", ASSAY_OPTION_INTEGER), .low = NAN),
    ROW(1, "'count' has a bad default; expected 0 .. 3, got 4",
        NAMED("count", ASSAY_OPTION_INTEGER), .high = 3, .number = 4),
    ROW(1, "'count' has a bad default; expected integer, 0 .. 3, got 1.5",
        NAMED("count", ASSAY_OPTION_INTEGER), .high = 3, .number = 1.5),
    ROW(1, "'count' has a bad default; expected above 0, at most 3, got 0",
        NAMED("count", ASSAY_OPTION_NUMBER), .high = 3, .flags = ASSAY_OPTION_ABOVE_LOW),
    ROW(0, "'flag' has a bad default; expected boolean, got 2", .name = "flag",
        .type = ASSAY_OPTION_BOOL, .unit = "", .meaning = "m", .number = 2),
    ROW(1, "'count' has no proper meaning", .name = "count", .type = ASSAY_OPTION_INTEGER,
        .offset = 8, .unit = "", .meaning = NULL),
    ROW(1, "'count' has no proper meaning", .name = "count", .type = ASSAY_OPTION_INTEGER,
        .offset = 8, .unit = "", .meaning = "two\nlines"),
    ROW(1, "'count' lies outside of its struct", .name = "count", .type = ASSAY_OPTION_INTEGER,
        .offset = (int64_t)sizeof(fields) - 4, .unit = "", .meaning = "m"),
    ROW(1, "'count' lies outside of its struct", .name = "count", .type = ASSAY_OPTION_INTEGER,
        .offset = -8, .unit = "", .meaning = "m"),
    ROW(1, "'count' is not aligned", .name = "count", .type = ASSAY_OPTION_INTEGER, .offset = 4,
        .unit = "", .meaning = "m"),
    ROW(1, "options 'flag' and 'count' share a field", .name = "count",
        .type = ASSAY_OPTION_INTEGER, .offset = 0, .unit = "", .meaning = "m"),
    ROW(4, "'choice' has no choices", .name = "choice", .type = ASSAY_OPTION_CHOICE,
        .offset = (int64_t)offsetof(fields, choice), .unit = "", .meaning = "m", .text = "a"),
    ROW(4, "'choice' has a choice twice; got a", .name = "choice", .type = ASSAY_OPTION_CHOICE,
        .offset = (int64_t)offsetof(fields, choice), .unit = "", .meaning = "m", .text = "a",
        .choices = "a|b|a"),
    ROW(4, "'choice' has a choice of an impossible length", .name = "choice",
        .type = ASSAY_OPTION_CHOICE, .offset = (int64_t)offsetof(fields, choice), .unit = "",
        .meaning = "m", .text = "a", .choices = "a||b"),
    ROW(4, "'choice' has a bad default; expected a|b, got 'c'", .name = "choice",
        .type = ASSAY_OPTION_CHOICE, .offset = (int64_t)offsetof(fields, choice), .unit = "",
        .meaning = "m", .text = "c", .choices = "a|b"),
    ROW(6, "'texts' has a bad default; expected auc|ks, got 'f1'", .name = "texts",
        .type = ASSAY_OPTION_TEXTS, .offset = (int64_t)offsetof(fields, texts), .unit = "",
        .meaning = "m", .text = "auc,f1", .choices = "auc|ks"),
    ROW(7, "'numbers' has a bad default", .name = "numbers", .type = ASSAY_OPTION_NUMBERS,
        .offset = (int64_t)offsetof(fields, numbers), .unit = "", .meaning = "m", .text = "1,x",
        .high = 9),
    ROW(7, "'numbers' has a bad default; expected 0 .. 9, got 10", .name = "numbers",
        .type = ASSAY_OPTION_NUMBERS, .offset = (int64_t)offsetof(fields, numbers), .unit = "",
        .meaning = "m", .text = "1,10", .high = 9),
};

static void wrong_rows_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assay_option rows[SOUND];
        memcpy(rows, sound, sizeof rows);
        rows[changes[i].row] = changes[i].with;
        const char *said = judge_table(rows, SOUND, sizeof rows[0], sizeof(fields), NULL);
        if (said == NULL || strstr(said, changes[i].reason) == NULL)
            fail_msg("expected '%s', got '%s'", changes[i].reason,
                     said == NULL ? "no refusal" : said);
    }
}

static void impossible_tables_are_refused(void **state)
{
    (void)state;
    static const char reason[] = "has an impossible table of options";
    const struct {
        const void *table;
        int count;
        int64_t stride, bytes;
    } tables[] = {
        {NULL, 1, sizeof(assay_option), 8},
        {sound, -1, sizeof(assay_option), 8},
        {sound, 1, 8, sizeof(fields)},
        {sound, 1, 1 << 20, sizeof(fields)},
        {sound, 1, sizeof(assay_option), -1},
        {sound, 1, sizeof(assay_option), INT64_MAX},
        {sound, 1 << 30, sizeof(assay_option), sizeof(fields)},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const char *said =
            judge_table(tables[i].table, tables[i].count, tables[i].stride, tables[i].bytes, NULL);
        assert_non_null(said);
        assert_non_null(strstr(said, reason));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_descriptor_is_taken),
        cmocka_unit_test(bad_identities_are_refused),
        cmocka_unit_test(missing_functions_are_named),
        cmocka_unit_test(every_kind_needs_functions),
        cmocka_unit_test(a_sound_table_is_taken),
        cmocka_unit_test(longer_rows_are_read_at_their_distance),
        cmocka_unit_test(wrong_rows_are_refused),
        cmocka_unit_test(impossible_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
