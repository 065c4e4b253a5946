/* check.c - values against what they stand for: an option of a plugin, a key of an experiment.
 * Every alternative of an axis is checked where the script wrote it, before any run is made. */
#include "lab/script/script.h"

#include <math.h>
#include <string.h>

#define MOST_SEEDS 10000 /* in a list */

const assay_option init_option = {.name = "init",
                                  .type = ASSAY_OPTION_WEIGHTS,
                                  .unit = "",
                                  .meaning = "a stage, or published weights"};

/* ---- leaves ---- */

static bool take_texts(setting *out, const node *value, assay_error *error)
{
    int64_t n = value->type == NODE_LIST ? value->count : 1;
    out->texts = assay_zalloc(n * (int64_t)sizeof *out->texts, error);
    for (int64_t i = 0; i < n && out->texts != NULL; i++) {
        const node *item = value->type == NODE_LIST ? value->items[i] : value;
        if (item->type != NODE_TEXT)
            return false;
        out->texts[i] = assay_strdup(item->text, error);
        out->count = i + 1;
        if (out->texts[i] == NULL)
            return false;
    }
    return out->texts != NULL;
}

static bool take_numbers(setting *out, const node *value, assay_error *error)
{
    int64_t n = value->type == NODE_LIST ? value->count : 1;
    out->numbers = assay_zalloc(n * (int64_t)sizeof *out->numbers, error);
    for (int64_t i = 0; i < n && out->numbers != NULL; i++) {
        const node *item = value->type == NODE_LIST ? value->items[i] : value;
        if (item->type != NODE_NUMBER)
            return false;
        out->numbers[i] = item->number;
    }
    out->count = n;
    return out->numbers != NULL;
}

/* The value as the option's type holds it; false, without an error, when it is of another type. */
static bool take_leaf(const assay_option *option, setting *out, const node *value,
                      assay_error *error)
{
    out->given = true;
    out->origin = SETTING_SCRIPT;
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
        out->number = value->number;
        return value->type == NODE_BOOL;
    case ASSAY_OPTION_INTEGER:
    case ASSAY_OPTION_NUMBER:
        out->number = value->number;
        return value->type == NODE_NUMBER;
    case ASSAY_OPTION_TEXT:
    case ASSAY_OPTION_CHOICE:
    case ASSAY_OPTION_PATH:
    case ASSAY_OPTION_WEIGHTS:
        if (value->type != NODE_TEXT)
            return false;
        out->text = assay_strdup(value->text, error);
        return out->text != NULL;
    case ASSAY_OPTION_SCHEDULE:
        return value->type == NODE_NUMBER && take_numbers(out, value, error);
    case ASSAY_OPTION_TEXTS:
        return take_texts(out, value, error);
    case ASSAY_OPTION_NUMBERS:
        return take_numbers(out, value, error);
    }
    return false;
}

/* Room for one more node whose setting is cleared at the end. */
static bool remember(script *s, node *value)
{
    if (s->checked_count == s->checked_capacity) {
        int capacity = s->checked_capacity > 0 ? 2 * s->checked_capacity : 64;
        node **grown = assay_alloc(capacity * (int64_t)sizeof *grown, &s->error);
        if (grown == NULL)
            return false;
        if (s->checked_count > 0)
            memcpy(grown, s->checked, (size_t)s->checked_count * sizeof *grown);
        assay_free(s->checked);
        s->checked = grown;
        s->checked_capacity = capacity;
    }
    s->checked[s->checked_count++] = value;
    return true;
}

/* Where a wrong value stands: a word that was made elsewhere is wrong where it is used. */
static const char *place_of(const script *s, const node *value)
{
    bool word =
        value->type == NODE_STAGE || value->type == NODE_PLUGIN || value->type == NODE_SEEDS;
    return word && s->stands != NULL ? s->stands : value->where;
}

/* What of a value is of the wrong type: an item of a list, or the whole. */
static const char *describe_wrong(const assay_option *option, const node *value)
{
    node_type due = option->type == ASSAY_OPTION_TEXTS ? NODE_TEXT : NODE_NUMBER;
    bool list = option->type == ASSAY_OPTION_TEXTS || option->type == ASSAY_OPTION_NUMBERS;
    for (int i = 0; list && value->type == NODE_LIST && i < value->count; i++)
        if (value->items[i]->type != due)
            return assay_text("a list with %s in it", node_describe(value->items[i]));
    return node_describe(value);
}

const setting *check_leaf(script *s, const assay_option *option, node *value, const char *owner)
{
    if (value->option == option)
        return value->checked;
    if (value->checked == NULL) {
        setting *made = script_alloc(s, (int64_t)sizeof *made);
        if (made == NULL || !remember(s, value))
            return NULL;
        *made = SETTING_NONE;
        value->checked = made;
    }
    setting_clear(value->checked);
    value->option = NULL;
    if (!take_leaf(option, value->checked, value, &s->error)) {
        if (s->error.code == ASSAY_OK)
            setting_fail_type(option, owner, describe_wrong(option, value), place_of(s, value),
                              &s->error);
        return NULL;
    }
    if (!setting_check(option, value->checked, owner, s->folder, value->where, &s->error))
        return NULL;
    value->option = option;
    return value->checked;
}

/* ---- values of an option ---- */

static bool is_numeric(const assay_option *option)
{
    return option->type == ASSAY_OPTION_INTEGER || option->type == ASSAY_OPTION_NUMBER ||
           option->type == ASSAY_OPTION_SCHEDULE;
}

static bool wrong_type(script *s, const assay_option *option, const node *value, const char *owner)
{
    return setting_fail_type(option, owner, node_describe(value), place_of(s, value), &s->error);
}

/* Both ends of what a sample can be. */
static bool check_range(script *s, const assay_option *option, const node *value, const char *owner)
{
    assay_option number_option = *option;
    number_option.type = ASSAY_OPTION_NUMBER;
    if (option->type != ASSAY_OPTION_NUMBER && option->type != ASSAY_OPTION_SCHEDULE)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = value->where,
                          .what =
                              assay_text("%s.%s cannot be drawn from a range", owner, option->name),
                          .expected = "choice { ... }", .got = node_describe(value));
    for (int end = 0; end < 2; end++) {
        setting number = SETTING_NONE;
        number.given = true;
        number.number = end == 0 ? value->low : value->high;
        bool ok = setting_check(&number_option, &number, owner, s->folder, value->where, &s->error);
        setting_clear(&number);
        if (!ok)
            return false;
    }
    return true;
}

bool check_value(script *s, const assay_option *option, node *value, const char *owner)
{
    switch (value->type) {
    case NODE_SAMPLE:
        if (value->draw != DRAW_CHOICE)
            return check_range(s, option, value, owner);
        /* fall through */
    case NODE_ANY:
        for (int i = 0; i < value->count; i++)
            if (!check_value(s, option, value->items[i], owner))
                return false;
        return true;
    case NODE_NONE:
        return (option->flags & ASSAY_OPTION_REQUIRED) == 0 || wrong_type(s, option, value, owner);
    case NODE_SCORE:
        if (option == &train_table[0])
            return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = place_of(s, value),
                              .what = "train.steps cannot be a score",
                              .expected = "a number that is known when the plan is made");
        return is_numeric(option) || wrong_type(s, option, value, owner);
    case NODE_STAGE:
        return (option->type == ASSAY_OPTION_WEIGHTS && value->split == NULL) ||
               wrong_type(s, option, value, owner);
    case NODE_FUNCTION:
        return option->type == ASSAY_OPTION_SCHEDULE || wrong_type(s, option, value, owner);
    default:
        return check_leaf(s, option, value, owner) != NULL;
    }
}

/* ---- keys of experiment and run ---- */

static bool fail_key(script *s, const node *value, const char *owner, const char *key,
                     const char *expected)
{
    return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = place_of(s, value),
                      .what = assay_text("%s.%s is of the wrong kind", owner, key),
                      .expected = expected, .got = node_describe(value));
}

typedef struct plugin_key {
    const char *key;
    assay_kind kind;
    bool list, may_be_none;
} plugin_key;

static const plugin_key plugin_keys[] = {
    {"dataset", ASSAY_KIND_DATASET, false, false}, {"model", ASSAY_KIND_MODEL, false, false},
    {"mask", ASSAY_KIND_MASK, false, true},        {"adapter", ASSAY_KIND_ADAPTER, true, true},
    {"loss", ASSAY_KIND_LOSS, true, false},        {"evaluate", ASSAY_KIND_EVALUATOR, true, true},
};

static bool check_plugin(script *s, const plugin_key *of, const node *value, const char *owner,
                         bool in_list)
{
    bool branches =
        value->type == NODE_ANY || (value->type == NODE_SAMPLE && value->draw == DRAW_CHOICE);
    if (branches || (value->type == NODE_LIST && of->list && !in_list)) {
        for (int i = 0; i < value->count; i++)
            if (!check_plugin(s, of, value->items[i], owner, in_list || value->type == NODE_LIST))
                return false;
        return true;
    }
    if (value->type == NODE_NONE && (of->may_be_none || in_list))
        return true;
    const char *kind = plugin_kind_name(of->kind);
    if (value->type == NODE_PLUGIN && value->kind == of->kind)
        return true;
    return fail_key(s, value, owner, of->key,
                    of->list && !in_list ? assay_text("%s.NAME { ... } or a list of them", kind)
                                         : assay_text("%s.NAME { ... }", kind));
}

static bool is_seed(const node *value)
{
    return value->type == NODE_NUMBER && value->number == floor(value->number) &&
           value->number >= 0 && value->number < 9007199254740992.0;
}

static bool check_seed(script *s, const node *value, const char *owner)
{
    static const char expected[] = "a whole number from 0, a list of different ones, or seeds(n)";
    if (value->type == NODE_SEEDS || is_seed(value))
        return true;
    if (value->type != NODE_LIST || value->count == 0)
        return fail_key(s, value, owner, "seed", expected);
    if (value->count > MOST_SEEDS)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = value->where,
                          .what = assay_text("%s.seed has too many seeds", owner),
                          .expected = assay_text("at most %d in a list", MOST_SEEDS),
                          .got = assay_text("%d", value->count));
    for (int i = 0; i < value->count; i++) {
        if (!is_seed(value->items[i]))
            return fail_key(s, value->items[i], owner, "seed", expected);
        for (int k = 0; k < i; k++)
            if (value->items[k]->number == value->items[i]->number)
                return fail_key(s, value->items[i], owner, "seed", expected);
    }
    return true;
}

static bool check_train(script *s, const node *value, const char *owner)
{
    settings shape = {0};
    if (value->type != NODE_TABLE)
        return fail_key(s, value, owner, "train", "a table { steps = ..., batch = ... }");
    bool ok = settings_defaults_of(&shape, "train", train_table_count, train_table, &s->error);
    for (int i = 0; i < value->count && ok; i++) {
        int at = settings_find(&shape, value->keys[i], value->where, &s->error);
        ok = at >= 0 && check_value(s, &train_table[at], value->items[i], "train");
    }
    settings_clear(&shape);
    return ok;
}

bool check_key(script *s, const char *key, node *value, const char *owner, const char *where)
{
    for (size_t i = 0; i < sizeof plugin_keys / sizeof *plugin_keys; i++)
        if (strcmp(key, plugin_keys[i].key) == 0)
            return check_plugin(s, &plugin_keys[i], value, owner, false);
    if (strcmp(key, "name") == 0)
        return true;
    if (strcmp(key, "init") == 0)
        return check_value(s, &init_option, value, owner);
    if (strcmp(key, "train") == 0)
        return check_train(s, value, owner);
    if (strcmp(key, "seed") == 0)
        return check_seed(s, value, owner);
    if (strcmp(key, "trials") == 0 && strcmp(owner, "experiment") == 0)
        return (is_seed(value) && value->number >= 1 && value->number <= 1e6) ||
               fail_key(s, value, owner, key, "a whole number, 1 .. 1000000");
    if (strcmp(key, "trials") == 0)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = where,
                          .what = "a stage has no trials",
                          .hint = "they are a key of the experiment, whose trials it joins");
    const char *names[32];
    int n = 0;
    for (int i = 0; i < experiment_table_count && n < 32; i++)
        names[n++] = experiment_table[i].name;
    const char *near = assay_nearest(key, n, names);
    return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = where,
                      .what = assay_text("unknown key '%s' of %s", key, owner),
                      .hint = near != NULL ? assay_text("did you mean '%s'?", near)
                                           : "'assay plugins experiment' lists the keys");
}

bool check_stage(script *s, const node *stage, const char *owner)
{
    for (int i = 0; i < experiment_table_count; i++)
        if (strcmp(stage->text, experiment_table[i].name) == 0 && strcmp(owner, "run") == 0)
            return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = stage->where,
                              .what = assay_text("a stage cannot be called '%s'", stage->text),
                              .hint = "that is a key of the experiment, and paths would be "
                                      "ambiguous");
    for (int i = 0; i < stage->count; i++)
        if (!check_key(s, stage->keys[i], stage->items[i], owner, stage->where))
            return false;
    static const char *const needed[] = {"dataset", "model"};
    for (int i = 0; i < 2; i++)
        if (node_get(stage, needed[i]) == NULL)
            return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = stage->where,
                              .what =
                                  assay_text("%s '%s' has no %s", owner, stage->text, needed[i]),
                              .expected = assay_text("%s = %s.NAME { ... }", needed[i], needed[i]));
    return true;
}
