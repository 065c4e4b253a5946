/* settings.c - values of options as a group: defaults, copies, look-up (lab/plugin/settings.h). */
#include "lab/plugin/settings.h"

#include "lab/plugin/words.h"

#include <stdlib.h>
#include <string.h>

const char *setting_origin_name(setting_origin origin)
{
    static const char *const names[] = {"default", "script", "command line", "axis", "stage"};
    return names[origin];
}

/* ---- one value ---- */

void setting_clear(setting *value)
{
    assay_free(value->text);
    assay_free(value->resolved);
    assay_free(value->sha256);
    assay_free(value->numbers);
    assay_free(value->score_path);
    for (int64_t i = 0; value->texts != NULL && i < value->count; i++)
        assay_free(value->texts[i]);
    assay_free(value->texts);
    *value = SETTING_NONE;
}

static bool copy_text(char **out, const char *from, assay_error *error)
{
    if (from != NULL)
        *out = assay_strdup(from, error);
    return from == NULL || *out != NULL;
}

/* The lists of `from` into an empty value; what was copied is owned by *out, failure or not. */
static bool copy_lists(setting *out, const setting *from, assay_error *error)
{
    int64_t bytes;
    out->count = from->count;
    if (from->numbers != NULL) {
        if (!assay_size_mul(&bytes, from->count, sizeof *out->numbers))
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a list is too long");
        out->numbers = assay_alloc(bytes, error);
        if (out->numbers == NULL)
            return false;
        memcpy(out->numbers, from->numbers, (size_t)bytes);
    }
    if (from->texts != NULL) {
        if (!assay_size_mul(&bytes, from->count, sizeof *out->texts))
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a list is too long");
        out->texts = assay_zalloc(bytes, error);
        for (int64_t i = 0; out->texts != NULL && i < from->count; i++)
            if (!copy_text(&out->texts[i], from->texts[i], error))
                return false;
    }
    return from->texts == NULL || out->texts != NULL;
}

bool setting_copy(setting *out, const setting *from, assay_error *error)
{
    setting copy = SETTING_NONE;
    copy.origin = from->origin;
    copy.given = from->given;
    copy.number = from->number;
    copy.stage = from->stage;
    copy.score_run = from->score_run;
    bool ok = copy_text(&copy.text, from->text, error) &&
              copy_text(&copy.resolved, from->resolved, error) &&
              copy_text(&copy.sha256, from->sha256, error) &&
              copy_text(&copy.score_path, from->score_path, error) &&
              copy_lists(&copy, from, error);
    if (!ok)
        setting_clear(&copy);
    *out = copy;
    return ok;
}

/* The words "a,b" as owned texts. */
static bool split_texts(setting *out, const char *words, assay_error *error)
{
    int count = words_count(words, ',');
    out->texts = assay_zalloc((int64_t)sizeof *out->texts * count, error);
    if (out->texts == NULL)
        return false;
    out->count = count;
    for (int i = 0; i < count; i++) {
        int64_t length;
        const char *at = words_at(words, ',', i, &length);
        out->texts[i] = assay_alloc(length + 1, error);
        if (out->texts[i] == NULL)
            return false;
        memcpy(out->texts[i], at, (size_t)length);
        out->texts[i][length] = '\0';
    }
    return true;
}

static bool split_numbers(setting *out, const char *words, assay_error *error)
{
    int count = words_count(words, ',');
    out->numbers = assay_zalloc((int64_t)sizeof *out->numbers * count, error);
    if (out->numbers == NULL)
        return false;
    out->count = count;
    for (int i = 0; i < count; i++) {
        int64_t length;
        char *end = NULL;
        const char *at = words_at(words, ',', i, &length);
        out->numbers[i] = strtod(at, &end);
        if (length == 0 || end != at + length)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "the default is no list of numbers",
                              .got = words);
    }
    return true;
}

bool setting_default(const assay_option *option, setting *out, assay_error *error)
{
    bool ok = true;
    *out = SETTING_NONE;
    if ((option->flags & ASSAY_OPTION_REQUIRED) != 0)
        return true;
    out->given = option->type != ASSAY_OPTION_PATH && option->type != ASSAY_OPTION_WEIGHTS;
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
        out->number = option->number;
        break;
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_CHOICE:
        ok = copy_text(&out->text, option->text == NULL ? "" : option->text, error);
        break;
    case ASSAY_OPTION_SCHEDULE:
        out->numbers = assay_alloc(sizeof *out->numbers, error);
        ok = out->numbers != NULL;
        if (ok) {
            out->numbers[0] = (float)option->number;
            out->count = 1;
        }
        break;
    case ASSAY_OPTION_TEXTS:
        ok = split_texts(out, option->text, error);
        break;
    case ASSAY_OPTION_NUMBERS:
        ok = split_numbers(out, option->text, error);
        break;
    case ASSAY_OPTION_PATH:
    case ASSAY_OPTION_WEIGHTS:
        break;
    }
    if (!ok)
        setting_clear(out);
    return ok;
}

/* ---- a group ---- */

void settings_clear(settings *group)
{
    for (int i = 0; group->values != NULL && i < group->count; i++)
        setting_clear(&group->values[i]);
    assay_free(group->values);
    assay_free(group->label);
    memset(group, 0, sizeof *group);
}

/* A group of empty values. */
static bool begin(settings *out, const char *label, int count, const assay_option *options,
                  assay_error *error)
{
    memset(out, 0, sizeof *out);
    out->options = options;
    out->label = assay_strdup(label, error);
    out->values = assay_alloc((int64_t)sizeof *out->values * count, error);
    if (out->label == NULL || out->values == NULL) {
        settings_clear(out);
        return false;
    }
    out->count = count;
    for (int i = 0; i < count; i++)
        out->values[i] = SETTING_NONE;
    return true;
}

bool settings_defaults_of(settings *out, const char *label, int count, const assay_option *options,
                          assay_error *error)
{
    bool ok = begin(out, label, count, options, error);
    for (int i = 0; i < count && ok; i++)
        ok = setting_default(&options[i], &out->values[i], error);
    if (!ok)
        settings_clear(out);
    return ok;
}

bool settings_defaults(settings *out, const plugin *source, assay_error *error)
{
    if (!settings_defaults_of(out, source->name, source->option_count, source->options, error))
        return false;
    out->plugin = source;
    return true;
}

bool settings_copy(settings *out, const settings *from, assay_error *error)
{
    if (from->label == NULL) { /* nothing there: a run without a mask */
        memset(out, 0, sizeof *out);
        return true;
    }
    bool ok = begin(out, from->label, from->count, from->options, error);
    for (int i = 0; i < from->count && ok; i++)
        ok = setting_copy(&out->values[i], &from->values[i], error);
    if (!ok) {
        settings_clear(out);
        return false;
    }
    out->plugin = from->plugin;
    return true;
}

const char *settings_owner(const settings *group)
{
    if (group->plugin == NULL)
        return assay_text("%s", group->label);
    return assay_text("%s.%s", plugin_kind_name(group->plugin->kind), group->label);
}

static int find(const settings *group, const char *name)
{
    for (int i = 0; i < group->count; i++)
        if (strcmp(group->options[i].name, name) == 0)
            return i;
    return -1;
}

setting *settings_get(const settings *group, const char *name)
{
    int at = find(group, name);
    return at < 0 ? NULL : &group->values[at];
}

int settings_find(const settings *group, const char *name, const char *where, assay_error *error)
{
    int at = find(group, name);
    if (at >= 0)
        return at;
    const char *known[64];
    int count = group->count < 64 ? group->count : 64;
    for (int i = 0; i < count; i++)
        known[i] = group->options[i].name;
    const char *nearest = assay_nearest(name, count, known), *owner = settings_owner(group);
    const char *hint = assay_text("'assay plugins %s' lists its options", owner);
    if (group->count == 0)
        hint = assay_text("%s has no options", owner);
    else if (nearest != NULL)
        hint = assay_text("did you mean '%s'?", nearest);
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
               .what = assay_text("unknown option '%.60s' of %s", name, owner), .hint = hint);
    return -1;
}

bool settings_check(const settings *group, const char *where, assay_error *error)
{
    for (int i = 0; i < group->count; i++) {
        const assay_option *option = &group->options[i];
        if ((option->flags & ASSAY_OPTION_REQUIRED) != 0 && !group->values[i].given)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = where,
                .what = assay_text("%s needs the option '%s'", settings_owner(group), option->name),
                .expected = option_type_name(option->type), .hint = option->meaning);
    }
    return true;
}
