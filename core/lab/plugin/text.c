/* text.c - options and their values as text, for listings, the store and hashes
 * (lab/plugin/settings.h). */
#include "lab/plugin/host_tables.h"
#include "lab/plugin/settings.h"
#include "lab/plugin/words.h"

#include <assay/hash.h>

#include <math.h>
#include <string.h>

const char *option_type_name(assay_option_type type)
{
    switch ((int)type) {
    case ASSAY_OPTION_BOOL:
        return "boolean";
    case ASSAY_OPTION_INTEGER:
        return "integer";
    case ASSAY_OPTION_NUMBER:
        return "number";
    case ASSAY_OPTION_TEXT:
        return "text";
    case ASSAY_OPTION_CHOICE:
        return "choice";
    case ASSAY_OPTION_PATH:
        return "path";
    case ASSAY_OPTION_WEIGHTS:
        return "weights";
    case ASSAY_OPTION_SCHEDULE:
        return "schedule";
    case ASSAY_OPTION_TEXTS:
        return "list of texts";
    case ASSAY_OPTION_NUMBERS:
        return "list of numbers";
    case HOST_OPTION_PLUGIN:
        return "plugin";
    case HOST_OPTION_PLUGINS:
        return "list of plugins";
    case HOST_OPTION_TABLE:
        return "table";
    case HOST_OPTION_SEEDS:
        return "seeds";
    }
    return "unknown";
}

/* ---- ranges and defaults ---- */

const char *option_range_text(const assay_option *option)
{
    char low[NUMBER_TEXT], high[NUMBER_TEXT];
    bool above = (option->flags & ASSAY_OPTION_ABOVE_LOW) != 0;
    bool below = (option->flags & ASSAY_OPTION_BELOW_HIGH) != 0;
    switch ((int)option->type) {
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
    case ASSAY_OPTION_SCHEDULE:
    case ASSAY_OPTION_NUMBERS:
        break;
    case ASSAY_OPTION_CHOICE:
    case ASSAY_OPTION_TEXTS:
        return assay_text("%s", option->choices == NULL ? "" : option->choices);
    default:
        return "";
    }
    number_text(option->low, low);
    number_text(option->high, high);
    if (isinf(option->low) && isinf(option->high))
        return "";
    if (isinf(option->low))
        return assay_text(below ? "below %s" : "at most %s", high);
    if (isinf(option->high))
        return assay_text(above ? "above %s" : "at least %s", low);
    if (!above && !below)
        return assay_text("%s .. %s", low, high);
    return assay_text("%s%s, %s%s", above ? "above " : "at least ", low,
                      below ? "below " : "at most ", high);
}

const char *option_default_text(const assay_option *option)
{
    char number[NUMBER_TEXT];
    if ((option->flags & ASSAY_OPTION_REQUIRED) != 0)
        return "required";
    switch ((int)option->type) {
    case ASSAY_OPTION_BOOL:
        return option->number != 0 ? "true" : "false";
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
        return assay_text("%s", number_text(option->number, number));
    case ASSAY_OPTION_SCHEDULE:
        return assay_text("%s", number_text((float)option->number, number));
    case ASSAY_OPTION_PATH:
    case ASSAY_OPTION_WEIGHTS:
        return "none";
    default:
        return assay_text("%s", option->text == NULL ? "" : option->text);
    }
}

/* ---- values ---- */

/* A text that grows; NULL once memory is out. */
typedef struct growing {
    char *text;
    int64_t length, capacity;
    assay_error *error;
} growing;

static void add(growing *to, const char *bytes, int64_t count)
{
    if (to->text != NULL && to->length + count + 1 > to->capacity) {
        int64_t larger = 2 * (to->capacity + count);
        char *fresh = assay_alloc(larger, to->error);
        if (fresh != NULL)
            memcpy(fresh, to->text, (size_t)to->length + 1);
        assay_free(to->text);
        to->text = fresh;
        to->capacity = larger;
    }
    if (to->text == NULL)
        return;
    memcpy(to->text + to->length, bytes, (size_t)count);
    to->length += count;
    to->text[to->length] = '\0';
}

static growing grow(assay_error *error)
{
    growing to = {.text = assay_zalloc(64, error), .capacity = 64, .error = error};
    return to;
}

/* Items apart by commas; a comma or a backslash inside an item stands after a backslash. */
static char *join_texts(const setting *value, assay_error *error)
{
    growing to = grow(error);
    for (int64_t i = 0; i < value->count; i++) {
        if (i > 0)
            add(&to, ",", 1);
        for (const char *at = value->texts[i]; *at != '\0'; at++) {
            if (*at == ',' || *at == '\\')
                add(&to, "\\", 1);
            add(&to, at, 1);
        }
    }
    return to.text;
}

static char *join_numbers(const setting *value, assay_error *error)
{
    growing to = grow(error);
    for (int64_t i = 0; i < value->count; i++) {
        char number[NUMBER_TEXT];
        number_text(value->numbers[i], number);
        if (i > 0)
            add(&to, ",", 1);
        add(&to, number, (int64_t)strlen(number));
    }
    return to.text;
}

/* fp32 bits, low byte first on every machine. */
static char *schedule_text(const setting *value, assay_error *error)
{
    char number[NUMBER_TEXT], hex[65];
    uint8_t digest[32];
    assay_sha256 hash;
    if (value->count == 1)
        return assay_strdup(number_text(value->numbers[0], number), error);
    assay_sha256_begin(&hash);
    for (int64_t i = 0; i < value->count; i++) {
        float rounded = (float)value->numbers[i];
        uint32_t bits;
        memcpy(&bits, &rounded, sizeof bits);
        uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                            (uint8_t)(bits >> 24)};
        assay_sha256_add(&hash, bytes, sizeof bytes);
    }
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    return assay_strdup(
        assay_text("function of %lld values, sha256 %s", (long long)value->count, hex), error);
}

char *setting_text(const assay_option *option, const setting *value, assay_error *error)
{
    char number[NUMBER_TEXT];
    if (!value->given)
        return assay_strdup("none", error);
    if (value->score_run >= 0 && isnan(value->number))
        return assay_strdup(assay_text("score %s", value->score_path), error);
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
        return assay_strdup(value->number != 0 ? "true" : "false", error);
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
        return assay_strdup(number_text(value->number, number), error);
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_CHOICE:
    case ASSAY_OPTION_PATH:
        return assay_strdup(value->text, error);
    case ASSAY_OPTION_WEIGHTS:
        return assay_strdup(value->stage >= 0 ? assay_text("stage %d", value->stage) : value->text,
                            error);
    case ASSAY_OPTION_SCHEDULE:
        return schedule_text(value, error);
    case ASSAY_OPTION_TEXTS:
        return join_texts(value, error);
    case ASSAY_OPTION_NUMBERS:
        return join_numbers(value, error);
    }
    return NULL;
}
