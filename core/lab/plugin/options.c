/* options.c - a plugin's table of options, copied and checked row by row (lab/plugin/adopt.h). */
#include "lab/plugin/adopt.h"

#include "lab/plugin/settings.h"
#include "lab/plugin/words.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
    MOST_OPTIONS = 1000,
    LARGEST_ROW = 4096,       /* bytes */
    LARGEST_OPTIONS = 1 << 20 /* bytes of the struct that the options fill */
};

/* What every row of major number 1 has. */
#define SMALLEST_ROW                                                                               \
    ((int64_t)(offsetof(assay_option, choices) + sizeof(((assay_option *)0)->choices)))

#define KNOWN_FLAGS                                                                                \
    ((uint32_t)(ASSAY_OPTION_REQUIRED | ASSAY_OPTION_ABOVE_LOW | ASSAY_OPTION_BELOW_HIGH))

int64_t option_field_bytes(assay_option_type type)
{
    switch (type) {
    case ASSAY_OPTION_BOOL:
        return sizeof(bool);
    case ASSAY_OPTION_INTEGER:
        return sizeof(int64_t);
    case ASSAY_OPTION_NUMBER:
        return sizeof(double);
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_PATH:
        return sizeof(char *);
    case ASSAY_OPTION_CHOICE:
        return sizeof(int);
    case ASSAY_OPTION_WEIGHTS:
        return sizeof(assay_weights_source);
    case ASSAY_OPTION_SCHEDULE:
        return sizeof(assay_curve);
    case ASSAY_OPTION_TEXTS:
        return sizeof(assay_texts);
    case ASSAY_OPTION_NUMBERS:
        return sizeof(assay_numbers);
    }
    return 0;
}

int64_t option_field_alignment(assay_option_type type)
{
    switch (type) {
    case ASSAY_OPTION_BOOL:
        return _Alignof(bool);
    case ASSAY_OPTION_INTEGER:
        return _Alignof(int64_t);
    case ASSAY_OPTION_NUMBER:
        return _Alignof(double);
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_PATH:
        return _Alignof(char *);
    case ASSAY_OPTION_CHOICE:
        return _Alignof(int);
    case ASSAY_OPTION_WEIGHTS:
        return _Alignof(assay_weights_source);
    case ASSAY_OPTION_SCHEDULE:
        return _Alignof(assay_curve);
    case ASSAY_OPTION_TEXTS:
        return _Alignof(assay_texts);
    case ASSAY_OPTION_NUMBERS:
        return _Alignof(assay_numbers);
    }
    return 1;
}

static bool has_range(assay_option_type type)
{
    return type == ASSAY_OPTION_INTEGER || type == ASSAY_OPTION_NUMBER ||
           type == ASSAY_OPTION_SCHEDULE || type == ASSAY_OPTION_NUMBERS;
}

/* "option 'lr' WHAT". */
static const char *of_option(const assay_option *option, const char *what)
{
    return assay_text("option '%s' %s", option->name, what);
}

static bool check_place(const assay_option *all, int i, int64_t struct_bytes, assay_error *error)
{
    const assay_option *option = &all[i];
    int64_t bytes = option_field_bytes(option->type);
    if (option->offset < 0 || option->offset > struct_bytes - bytes)
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .what = of_option(option, "lies outside of its struct"),
            .expected = assay_text("within %lld bytes", (long long)struct_bytes),
            .got = assay_text("%lld bytes at %lld", (long long)bytes, (long long)option->offset));
    if (option->offset % option_field_alignment(option->type) != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                          .what = of_option(option, "is not aligned in its struct"),
                          .got = assay_text("offset %lld", (long long)option->offset));
    for (int j = 0; j < i; j++) {
        int64_t other = all[j].offset, end = other + option_field_bytes(all[j].type);
        if (strcmp(all[j].name, option->name) == 0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = of_option(option, "stands twice"));
        if (option->offset < end && other < option->offset + bytes)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .what = assay_text("options '%s' and '%s' share a field", all[j].name,
                                                 option->name),
                              .hint = "does each have the type of its field?");
    }
    return true;
}

static bool check_choices(const assay_option *option, assay_error *error)
{
    int count = words_count(option->choices, '|');
    if (count == 0 && option->type != ASSAY_OPTION_CHOICE)
        return true;
    for (int i = 0; i < count; i++) {
        int64_t length;
        const char *word = words_at(option->choices, '|', i, &length);
        char text[64];
        if (length == 0 || length >= (int64_t)sizeof text)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .what = of_option(option, "has a choice of an impossible length"),
                              .got = option->choices);
        memcpy(text, word, (size_t)length);
        text[length] = '\0';
        if (words_find(option->choices, '|', text) != i)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                              .what = of_option(option, "has a choice twice"), .got = text);
    }
    if (count == 0 || !text_is_line(option->choices))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = of_option(option, "has no choices"),
                          .expected = "words like \"tiny|small\"");
    return true;
}

/* The default obeys the option's own rules. */
static bool check_default(const assay_option *option, assay_error *error)
{
    setting value = SETTING_NONE;
    assay_error own = {0};
    bool ok = setting_default(option, &value, &own) &&
              (!value.given || setting_check(option, &value, "", NULL, "", &own));
    setting_clear(&value);
    if (ok)
        return true;
    if (own.code == ASSAY_NO_MEMORY)
        return ASSAY_FAIL(error, own.code, .what = own.what);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = of_option(option, "has a bad default"),
                      .expected = own.expected, .got = own.got);
}

static bool check_row(const assay_option *all, int i, int64_t struct_bytes, assay_error *error)
{
    const assay_option *option = &all[i];
    if (!adopt_is_name(option->name))
        return ASSAY_FAIL(
            error, ASSAY_BAD_INPUT, .what = assay_text("option number %d has a bad name", i + 1),
            .expected = "lower-case letters, digits and underscores",
            .got = option->name == NULL ? "nothing" : assay_text("'%.60s'", option->name));
    if ((int)option->type < 0 || (int)option->type > ASSAY_OPTION_NUMBERS)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED,
                          .what = of_option(option, "is of an unknown type"),
                          .got = assay_text("%d", (int)option->type));
    if ((option->flags & ~KNOWN_FLAGS) != 0)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .what = of_option(option, "has unknown flags"),
                          .got = assay_text("%#x", (unsigned)option->flags));
    if (!text_is_line(option->meaning) || (option->unit[0] != '\0' && !text_is_line(option->unit)))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT,
                          .what = of_option(option, "has no proper meaning or unit"),
                          .expected = "one line each");
    if (has_range(option->type) && !(option->low <= option->high))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = of_option(option, "has an empty range"),
                          .got = assay_text("%g .. %g", option->low, option->high));
    return check_place(all, i, struct_bytes, error) && check_choices(option, error) &&
           check_default(option, error);
}

const assay_option *adopt_options(const void *table, int count, int64_t stride,
                                  int64_t struct_bytes, assay_arena *arena, assay_error *error)
{
    if (count < 0 || count > MOST_OPTIONS || struct_bytes < 0 || struct_bytes > LARGEST_OPTIONS ||
        (count > 0 && (table == NULL || stride < SMALLEST_ROW || stride > LARGEST_ROW))) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "has an impossible table of options",
                   .got = assay_text("%d rows of %lld bytes for a struct of %lld", count,
                                     (long long)stride, (long long)struct_bytes),
                   .hint = "define the descriptor by ASSAY_PLUGIN");
        return NULL;
    }
    assay_option *all = assay_arena_alloc(arena, (int64_t)sizeof *all * (count + 1), error);
    if (all == NULL)
        return NULL;
    memset(all, 0, sizeof *all * (size_t)(count + 1));
    for (int i = 0; i < count; i++) {
        int64_t bytes = stride < (int64_t)sizeof *all ? stride : (int64_t)sizeof *all;
        memcpy(&all[i], (const char *)table + i * stride, (size_t)bytes);
        if (all[i].unit == NULL)
            all[i].unit = "";
        if (!check_row(all, i, struct_bytes, error))
            return NULL;
    }
    return all;
}
