/* fill.c - checked settings into the struct that a plugin is handed (lab/plugin/settings.h).
 *
 * The struct and everything it points at lie in one block. The same walk is made twice: first
 * without memory, to measure, then into the block. */
#include "lab/plugin/adopt.h"
#include "lab/plugin/settings.h"
#include "lab/plugin/words.h"

#include <math.h>
#include <string.h>

/* The block under way. */
typedef struct block {
    char *base; /* NULL: measuring */
    int64_t used;
    bool too_large;
} block;

/* The next `bytes` of the block, aligned for anything; NULL while measuring. */
static void *place(block *to, int64_t bytes)
{
    enum { ALIGNMENT = 16 };
    int64_t start = (to->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!assay_size_add(&to->used, start, bytes) || to->used > INT64_MAX / 2) {
        to->too_large = true;
        to->used = 0;
    }
    return to->base == NULL ? NULL : to->base + start;
}

static const char *place_text(block *to, const char *text)
{
    if (text == NULL)
        return NULL;
    int64_t bytes = (int64_t)strlen(text) + 1;
    void *at = place(to, bytes);
    return at == NULL ? NULL : memcpy(at, text, (size_t)bytes);
}

static assay_curve place_curve(block *to, const setting *value)
{
    float *values = place(to, value->count * (int64_t)sizeof *values);
    for (int64_t i = 0; values != NULL && i < value->count; i++)
        values[i] = (float)value->numbers[i];
    return (assay_curve){value->count, values};
}

static assay_numbers place_numbers(block *to, const setting *value)
{
    double *items = place(to, value->count * (int64_t)sizeof *items);
    if (items != NULL && value->count > 0)
        memcpy(items, value->numbers, (size_t)value->count * sizeof *items);
    return (assay_numbers){value->count, items};
}

static assay_texts place_texts(block *to, const setting *value)
{
    const char **items = place(to, value->count * (int64_t)sizeof *items);
    for (int64_t i = 0; i < value->count; i++) {
        const char *item = place_text(to, value->texts[i]);
        if (items != NULL)
            items[i] = item;
    }
    return (assay_texts){value->count, items};
}

/* One option's field in place; `source` is what resolve said of a weights option. */
static void place_field(block *to, const assay_option *option, const setting *value,
                        const assay_weights_source *source)
{
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *text;
        int choice;
        assay_weights_source weights;
        assay_curve curve;
        assay_texts texts;
        assay_numbers numbers;
    } field;
    memset(&field, 0, sizeof field);
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
        field.boolean = value->number != 0;
        break;
    case ASSAY_OPTION_INTEGER:
        field.integer = (int64_t)value->number;
        break;
    case ASSAY_OPTION_NUMBER:
        field.number = value->number;
        break;
    case ASSAY_OPTION_TEXT:
        field.text = place_text(to, value->text);
        break;
    case ASSAY_OPTION_PATH:
        field.text = place_text(to, value->resolved);
        break;
    case ASSAY_OPTION_CHOICE:
        field.choice = words_find(option->choices, '|', value->text);
        break;
    case ASSAY_OPTION_WEIGHTS:
        field.weights.path = place_text(to, source->path);
        field.weights.stage = source->stage;
        break;
    case ASSAY_OPTION_SCHEDULE:
        field.curve = place_curve(to, value);
        break;
    case ASSAY_OPTION_TEXTS:
        field.texts = place_texts(to, value);
        break;
    case ASSAY_OPTION_NUMBERS:
        field.numbers = place_numbers(to, value);
        break;
    }
    if (to->base != NULL)
        memcpy(to->base + option->offset, &field, (size_t)option_field_bytes(option->type));
}

static void place_all(block *to, int64_t struct_bytes, const settings *group,
                      const assay_weights_source *sources)
{
    place(to, struct_bytes);
    for (int i = 0; i < group->count; i++)
        if (group->values[i].given)
            place_field(to, &group->options[i], &group->values[i], &sources[i]);
}

/* What one weights value stands for; the path is owned. */
static bool resolve_one(const settings *group, int i, settings_resolve resolve, void *user,
                        assay_weights_source *out, assay_error *error)
{
    const setting *value = &group->values[i];
    assay_weights_source found = {.path = value->resolved};
    if (resolve != NULL && !resolve(user, value, &found, error))
        return false;
    if (resolve == NULL && value->stage >= 0)
        return ASSAY_FAIL(
            error, ASSAY_UNSUPPORTED, .where = settings_owner(group),
            .what = assay_text("'%s' is a stage that nobody resolves", group->options[i].name));
    out->stage = found.stage;
    /* The next call may use the same buffer. */
    if (found.path != NULL)
        out->path = assay_strdup(found.path, error);
    return found.path == NULL || out->path != NULL;
}

/* What each option of type weights stands for, into sources[count]. */
static bool resolve_all(const settings *group, settings_resolve resolve, void *user,
                        assay_weights_source *sources, assay_error *error)
{
    for (int i = 0; i < group->count; i++)
        if (group->options[i].type == ASSAY_OPTION_WEIGHTS && group->values[i].given &&
            !resolve_one(group, i, resolve, user, &sources[i], error))
            return false;
    return true;
}

static bool check_filled(const settings *group, assay_error *error)
{
    for (int i = 0; i < group->count; i++) {
        const setting *value = &group->values[i];
        if (value->score_run >= 0 && isnan(value->number))
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = settings_owner(group),
                              .what = assay_text("'%s' waits for the score of another run",
                                                 group->options[i].name),
                              .got = value->score_path);
    }
    return settings_check(group, settings_owner(group), error);
}

static int64_t struct_bytes_of(const settings *group)
{
    int64_t bytes = group->plugin == NULL ? 0 : group->plugin->options_bytes;
    for (int i = 0; i < group->count; i++) {
        const assay_option *option = &group->options[i];
        int64_t end = option->offset + option_field_bytes(option->type);
        bytes = end > bytes ? end : bytes;
    }
    return bytes;
}

void *settings_fill(const settings *group, settings_resolve resolve, void *user, assay_error *error)
{
    block measured = {0}, filled = {0};
    int64_t struct_bytes = struct_bytes_of(group);
    assay_weights_source *sources = NULL;
    if (!check_filled(group, error))
        goto done;
    sources = assay_zalloc((int64_t)sizeof *sources * group->count, error);
    if (sources == NULL || !resolve_all(group, resolve, user, sources, error))
        goto done;
    place_all(&measured, struct_bytes, group, sources);
    if (measured.too_large) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = settings_owner(group),
                   .what = "the options are too large");
        goto done;
    }
    filled.base = assay_zalloc(measured.used, error);
    if (filled.base != NULL)
        place_all(&filled, struct_bytes, group, sources);
done:
    for (int i = 0; sources != NULL && i < group->count; i++)
        assay_free((void *)sources[i].path);
    assay_free(sources);
    return filled.base;
}
