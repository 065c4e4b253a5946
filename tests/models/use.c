/* use.c - plugins from the build's folders, their options, and the remembering host. */
#include "models/use.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

void tape_must(const assay_tape *tape, bool ok)
{
    must(ok, assay_tape_error(tape));
}

/* ---- loading ---- */

static void *load(const char *file)
{
    static const char *const folders[] = {"", "/masks", "/losses", "/models", "/evaluators"};
    const char *root = getenv("ASSAY_TEST_PLUGINS");
    if (!root)
        fail_msg("ASSAY_TEST_PLUGINS names no folder");
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s/%s.so", root, folders[i], file);
        if (access(path, F_OK) == 0) {
            void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
            if (!object)
                fail_msg("%s", dlerror());
            return object;
        }
    }
    fail_msg("no %s.so under %s", file, root);
    return NULL;
}

static void *place(const use *used, const assay_option *option)
{
    return (char *)used->options + option->offset;
}

static const assay_option *find(const use *used, const char *name)
{
    for (int i = 0; i < used->plugin->option_count; i++)
        if (strcmp(used->plugin->options[i].name, name) == 0)
            return &used->plugin->options[i];
    fail_msg("%s has no option '%s'", used->plugin->name, name);
    return NULL;
}

static void *keep(use *used, void *block)
{
    assert_true(block && used->list_count < (int)(sizeof used->lists / sizeof used->lists[0]));
    used->lists[used->list_count++] = block;
    return block;
}

use use_open(const char *file)
{
    use used = {.plugin = dlsym(load(file), ASSAY_PLUGIN_SYMBOL)};
    if (!used.plugin)
        fail_msg("%s exports no " ASSAY_PLUGIN_SYMBOL, file);
    used.options = calloc(1, (size_t)used.plugin->options_bytes + 1);
    assert_non_null(used.options);
    for (int i = 0; i < used.plugin->option_count; i++) {
        const assay_option *option = &used.plugin->options[i];
        switch (option->type) {
        case ASSAY_OPTION_BOOL:
        case ASSAY_OPTION_INTEGER:
        case ASSAY_OPTION_NUMBER:
        case ASSAY_OPTION_SCHEDULE:
            use_number(&used, option->name, option->number);
            break;
        case ASSAY_OPTION_TEXT:
        case ASSAY_OPTION_CHOICE:
            use_text(&used, option->name, option->text);
            break;
        case ASSAY_OPTION_TEXTS:
        case ASSAY_OPTION_NUMBERS:
            use_list(&used, option->name, option->text);
            break;
        case ASSAY_OPTION_PATH:
        case ASSAY_OPTION_WEIGHTS:
            break;
        }
    }
    return used;
}

void use_close(use *used)
{
    for (int i = 0; i < used->list_count; i++)
        free(used->lists[i]);
    free(used->options);
}

/* ---- options ---- */

void use_number(use *used, const char *name, double value)
{
    const assay_option *option = find(used, name);
    switch (option->type) {
    case ASSAY_OPTION_BOOL:
        *(bool *)place(used, option) = value != 0;
        break;
    case ASSAY_OPTION_INTEGER:
        *(int64_t *)place(used, option) = (int64_t)value;
        break;
    case ASSAY_OPTION_NUMBER:
        *(double *)place(used, option) = value;
        break;
    case ASSAY_OPTION_SCHEDULE: {
        float *one = keep(used, malloc(sizeof *one));
        *one = (float)value;
        use_curve(used, name, 1, one);
        break;
    }
    default:
        fail_msg("option '%s' is no number", name);
    }
}

void use_curve(use *used, const char *name, int64_t count, const float *values)
{
    const assay_option *option = find(used, name);
    assert_int_equal(option->type, ASSAY_OPTION_SCHEDULE);
    *(assay_curve *)place(used, option) = (assay_curve){.count = count, .values = values};
}

static int choice_of(const assay_option *option, const char *value)
{
    const char *word = option->choices;
    for (int i = 0; word; i++) {
        size_t length = strcspn(word, "|");
        if (strlen(value) == length && strncmp(word, value, length) == 0)
            return i;
        word = word[length] == '|' ? word + length + 1 : NULL;
    }
    fail_msg("'%s' is no choice of '%s'", value, option->name);
    return 0;
}

void use_text(use *used, const char *name, const char *value)
{
    const assay_option *option = find(used, name);
    if (option->type == ASSAY_OPTION_CHOICE)
        *(int *)place(used, option) = choice_of(option, value);
    else
        *(const char **)place(used, option) = value;
}

void use_list(use *used, const char *name, const char *value)
{
    const assay_option *option = find(used, name);
    char *text = keep(used, strdup(value ? value : ""));
    const char **items = keep(used, calloc(strlen(text) + 1, sizeof *items));
    double *numbers = keep(used, calloc(strlen(text) + 1, sizeof *numbers));
    int64_t count = 0;
    char *rest = NULL;
    for (char *item = strtok_r(text, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        numbers[count] = strtod(item, NULL);
        items[count++] = item;
    }
    if (option->type == ASSAY_OPTION_TEXTS)
        *(assay_texts *)place(used, option) = (assay_texts){count, items};
    else
        *(assay_numbers *)place(used, option) = (assay_numbers){count, numbers};
}

/* ---- kinds ---- */

const assay_model_functions *use_model(const use *used)
{
    assert_int_equal(used->plugin->kind, ASSAY_KIND_MODEL);
    return used->plugin->functions;
}

const assay_mask_functions *use_mask(const use *used)
{
    assert_int_equal(used->plugin->kind, ASSAY_KIND_MASK);
    return used->plugin->functions;
}

const assay_loss_functions *use_loss(const use *used)
{
    assert_int_equal(used->plugin->kind, ASSAY_KIND_LOSS);
    return used->plugin->functions;
}

const assay_evaluator_functions *use_evaluator(const use *used)
{
    assert_int_equal(used->plugin->kind, ASSAY_KIND_EVALUATOR);
    return used->plugin->functions;
}

const assay_adapter_functions *use_adapter(const use *used)
{
    assert_int_equal(used->plugin->kind, ASSAY_KIND_ADAPTER);
    return used->plugin->functions;
}

/* ---- the host ---- */

static void remember(void *user, const char *name, double value)
{
    recorder *r = user;
    int i = 0;
    while (i < r->count && strcmp(r->names[i], name) != 0)
        i++;
    if (i == r->count) {
        assert_true(r->count < RECORDER_SERIES);
        snprintf(r->names[r->count++], sizeof r->names[0], "%s", name);
    }
    r->values[i] = value;
}

static bool cache_path(void *user, const char *name, char *out, int64_t size, assay_error *error)
{
    const recorder *r = user;
    if (r->cache[0] == '\0')
        return ASSAY_FAIL(error, ASSAY_IO, .where = "test", .what = "there is no cache");
    return snprintf(out, (size_t)size, "%s/%s", r->cache, name) < size;
}

static bool never(void *user)
{
    (void)user;
    return false;
}

void recorder_begin(recorder *to)
{
    memset(to, 0, sizeof *to);
    to->host = (assay_host){.size = sizeof(assay_host),
                            .user = to,
                            .series = remember,
                            .cache_path = cache_path,
                            .stopping = never};
}

double recorder_value(const recorder *from, const char *name)
{
    for (int i = 0; i < from->count; i++)
        if (strcmp(from->names[i], name) == 0)
            return from->values[i];
    fail_msg("nothing was recorded in %s", name);
    return 0;
}
