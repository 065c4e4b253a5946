/* check.c - one value against its option: type, range, choice, text (lab/plugin/settings.h). */
#include "lab/plugin/content.h"
#include "lab/plugin/settings.h"
#include "lab/plugin/words.h"

#include <math.h>
#include <string.h>

#define LARGEST_INTEGER 9007199254740992.0 /* 2^53: every whole number up to it is a double */

/* What the checks of one value share. */
typedef struct subject {
    const assay_option *option;
    const char *name; /* "mask.ggsm.warmup" */
    const char *folder, *where;
} subject;

static subject subject_of(const assay_option *option, const char *owner, const char *folder,
                          const char *where)
{
    const char *dot = owner == NULL || owner[0] == '\0' ? "" : ".";
    return (subject){option, assay_text("%s%s%s", owner == NULL ? "" : owner, dot, option->name),
                     folder, where};
}

static const char *expected_type(const assay_option *option)
{
    const char *range = option_range_text(option);
    return range[0] == '\0' ? option_type_name(option->type)
                            : assay_text("%s, %s", option_type_name(option->type), range);
}

bool setting_fail_type(const assay_option *option, const char *owner, const char *got,
                       const char *where, assay_error *error)
{
    subject s = subject_of(option, owner, NULL, where);
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                      .what = assay_text("%s has the wrong type", s.name),
                      .expected = expected_type(option), .got = got);
}

/* ---- numbers ---- */

static bool in_range(const assay_option *option, double number)
{
    if (number < option->low || ((option->flags & ASSAY_OPTION_ABOVE_LOW) && number == option->low))
        return false;
    return number < option->high ||
           (!(option->flags & ASSAY_OPTION_BELOW_HIGH) && number == option->high);
}

/* `place` is " at step 3" for an item of a list, or "". */
static bool check_number(const subject *s, double *number, const char *place, assay_error *error)
{
    char text[NUMBER_TEXT];
    if (!isfinite(*number))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                          .what = assay_text("%s is not finite%s", s->name, place),
                          .expected = expected_type(s->option), .got = number_text(*number, text));
    *number += 0.0; /* -0 is 0 */
    if (!in_range(s->option, *number))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                          .what = assay_text("%s is out of range%s", s->name, place),
                          .expected = option_range_text(s->option),
                          .got = number_text(*number, text));
    return true;
}

static bool check_integer(const subject *s, setting *value, assay_error *error)
{
    char text[NUMBER_TEXT];
    bool whole = isfinite(value->number) && value->number == floor(value->number);
    if (whole && fabs(value->number) > LARGEST_INTEGER)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                          .what = assay_text("%s is out of range", s->name),
                          .expected = option_range_text(s->option),
                          .got = number_text(value->number, text));
    if (!whole)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                          .what = assay_text("%s takes whole numbers", s->name),
                          .expected = expected_type(s->option),
                          .got = number_text(value->number, text));
    return check_number(s, &value->number, "", error);
}

static bool check_numbers(const subject *s, setting *value, assay_error *error)
{
    bool schedule = s->option->type == ASSAY_OPTION_SCHEDULE;
    if (schedule && value->count < 1)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                          .what = assay_text("%s has no value", s->name),
                          .expected = expected_type(s->option));
    for (int64_t i = 0; i < value->count; i++) {
        const char *place = "";
        if (schedule && value->count > 1)
            place = assay_text(" at step %lld", (long long)i);
        else if (!schedule)
            place = assay_text(" (item %lld)", (long long)i + 1);
        if (!check_number(s, &value->numbers[i], place, error))
            return false;
        /* What the plugin gets; a bound that fp32 does not have may lie just beyond it. */
        if (schedule)
            value->numbers[i] = (float)value->numbers[i];
    }
    return true;
}

/* ---- texts ---- */

static bool check_text(const subject *s, const char *text, assay_error *error)
{
    if (text_is_utf8(text))
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                      .what = assay_text("%s is not well-formed UTF-8", s->name),
                      .expected = option_type_name(s->option->type));
}

/* The nearest of "a|b|c" to `text`, as a hint; NULL when none is near. */
static const char *nearest_choice(const char *choices, const char *text)
{
    char words[1024];
    const char *list[64];
    int count = words_count(choices, '|');
    if (strlen(choices) >= sizeof words || count > 64)
        return NULL;
    strcpy(words, choices);
    char *at = words;
    for (int i = 0; i < count; i++) {
        list[i] = at;
        at = strchr(at, '|');
        if (at != NULL)
            *at++ = '\0';
    }
    const char *nearest = assay_nearest(text, count, list);
    return nearest == NULL ? NULL : assay_text("did you mean '%s'?", nearest);
}

static bool check_choice(const subject *s, const char *text, assay_error *error)
{
    if (!check_text(s, text, error))
        return false;
    if (words_find(s->option->choices, '|', text) >= 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                      .what = assay_text("unknown value '%.60s' of %s", text, s->name),
                      .expected = s->option->choices, .got = assay_text("'%.100s'", text),
                      .hint = nearest_choice(s->option->choices, text));
}

static bool check_texts(const subject *s, const setting *value, assay_error *error)
{
    for (int64_t i = 0; i < value->count; i++) {
        const char *item = value->texts[i];
        if (item[0] == '\0')
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                              .what = assay_text("%s has an empty item", s->name),
                              .got = assay_text("item %lld", (long long)i + 1));
        bool ok = words_count(s->option->choices, '|') > 0 ? check_choice(s, item, error)
                                                           : check_text(s, item, error);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the whole ---- */

/* Which members a value of the type has; the others are empty. */
static bool check_type(const subject *s, const setting *value, assay_error *error)
{
    bool text = value->text != NULL, texts = value->texts != NULL, numbers = value->numbers != NULL;
    bool fits = true;
    switch (s->option->type) {
    case ASSAY_OPTION_BOOL:
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
        fits = !text && !texts && !numbers;
        break;
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_CHOICE:
    case ASSAY_OPTION_PATH:
        fits = text && !texts && !numbers;
        break;
    case ASSAY_OPTION_WEIGHTS:
        fits = !texts && !numbers && text == (value->stage < 0);
        break;
    case ASSAY_OPTION_SCHEDULE:
        fits = !text && !texts && (numbers || value->count == 0);
        break;
    case ASSAY_OPTION_TEXTS:
        fits = !text && !numbers && (texts || value->count == 0);
        break;
    case ASSAY_OPTION_NUMBERS:
        fits = !text && !texts && (numbers || value->count == 0);
        break;
    }
    if (fits && (s->option->type == ASSAY_OPTION_WEIGHTS || value->stage < 0))
        return true;
    char number[NUMBER_TEXT];
    const char *got = number_text(value->number, number);
    if (text)
        got = assay_text("text '%.100s'", value->text);
    else if (texts || numbers)
        got = "a list";
    else if (value->stage >= 0)
        got = "a stage";
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                      .what = assay_text("%s has the wrong type", s->name),
                      .expected = expected_type(s->option), .got = got);
}

/* A score that is not known yet is checked when it is; only what can hold a score may wait for
 * it. */
static bool check_score(const subject *s, assay_error *error)
{
    if (s->option->type == ASSAY_OPTION_INTEGER || s->option->type == ASSAY_OPTION_NUMBER ||
        s->option->type == ASSAY_OPTION_SCHEDULE)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->where,
                      .what = assay_text("%s has the wrong type", s->name),
                      .expected = expected_type(s->option), .got = "a stage's score");
}

bool setting_check(const assay_option *option, setting *value, const char *owner,
                   const char *folder, const char *where, assay_error *error)
{
    subject s = subject_of(option, owner, folder, where);
    if (!check_type(&s, value, error))
        return false;
    if (value->score_run >= 0 && isnan(value->number))
        return check_score(&s, error);
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
        if (value->number != 0 && value->number != 1) {
            char text[NUMBER_TEXT];
            return setting_fail_type(option, owner, number_text(value->number, text), where, error);
        }
        return true;
    case ASSAY_OPTION_INTEGER:
        return check_integer(&s, value, error);
    case ASSAY_OPTION_NUMBER:
        return check_number(&s, &value->number, "", error);
    case ASSAY_OPTION_TEXT:
        return check_text(&s, value->text, error);
    case ASSAY_OPTION_CHOICE:
        return check_choice(&s, value->text, error);
    case ASSAY_OPTION_SCHEDULE:
    case ASSAY_OPTION_NUMBERS:
        return check_numbers(&s, value, error);
    case ASSAY_OPTION_TEXTS:
        return check_texts(&s, value, error);
    case ASSAY_OPTION_PATH:
        return check_text(&s, value->text, error) &&
               content_resolve(value, s.name, folder, where, error);
    case ASSAY_OPTION_WEIGHTS:
        return value->stage >= 0 || (check_text(&s, value->text, error) &&
                                     content_resolve(value, s.name, folder, where, error) &&
                                     content_weights(value, s.name, where, error));
    }
    return true;
}

bool setting_identify(const assay_option *option, setting *value, const char *owner,
                      const char *where, assay_error *error)
{
    subject s = subject_of(option, owner, NULL, where);
    return content_identify(value, s.name, where, error);
}
