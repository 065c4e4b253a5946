/* stored.c - a run of a store as a recipe again, from the rows of its parameters (embed.h). */
#include "lab/embed/embed.h"

#include <assay/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE "the run's parameters"

typedef struct param {
    char *key, *text; /* text NULL: the number */
    double number;
} param;

typedef struct params {
    int64_t count, room;
    param *items;
    bool failed;
    assay_error *error;
} params;

/* ---- rows ---- */

static bool take_param(void *user, int columns, const char *const *names, const store_cell *cells)
{
    params *to = user;
    (void)columns, (void)names;
    if (!cells)
        return true;
    if (to->count == to->room) {
        int64_t room = to->room ? 2 * to->room : 64;
        param *grown = assay_alloc(room * (int64_t)sizeof *grown, to->error);
        if (!grown) {
            to->failed = true;
            return false;
        }
        if (to->count > 0)
            memcpy(grown, to->items, (size_t)to->count * sizeof *grown);
        assay_free(to->items);
        to->items = grown;
        to->room = room;
    }
    param *made = &to->items[to->count++];
    *made = (param){.key = assay_strdup(cells[0].text ? cells[0].text : "", to->error)};
    if (cells[2].type == STORE_TEXT)
        made->text = assay_strdup(cells[2].text, to->error);
    made->number = cells[1].type == STORE_INTEGER ? (double)cells[1].integer : cells[1].real;
    to->failed = !made->key || (cells[2].type == STORE_TEXT && !made->text);
    return !to->failed;
}

static void params_clear(params *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        assay_free(p->items[i].key);
        assay_free(p->items[i].text);
    }
    assay_free(p->items);
    *p = (params){0};
}

static const param *find(const params *p, const char *key)
{
    for (int64_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].key, key) == 0)
            return &p->items[i];
    return NULL;
}

/* ---- values ---- */

static bool refuse(const char *key, const char *what, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
                      .what = assay_text("'%.80s' %s", key, what),
                      .hint = "name the script that made the run: --script FILE.lua");
}

/* A recorded value takes the place of the option's default, whose text has the same form. */
static bool read_value(const assay_option *option, const param *from, setting *out,
                       assay_error *error)
{
    assay_option as_recorded = *option;
    const char *text = from->text;
    bool named = option->type == ASSAY_OPTION_PATH || option->type == ASSAY_OPTION_WEIGHTS;
    as_recorded.flags &= ~(uint32_t)ASSAY_OPTION_REQUIRED;
    as_recorded.number = from->number;
    as_recorded.text = text;
    if (option->type == ASSAY_OPTION_SCHEDULE && text)
        return refuse(from->key, "is a function, of which the store keeps a hash", error);
    if (option->type == ASSAY_OPTION_TEXTS && text && strchr(text, '\\'))
        return refuse(from->key, "is a list of texts with commas", error);
    if (option->type == ASSAY_OPTION_BOOL)
        as_recorded.number = text && strcmp(text, "true") == 0;
    setting_clear(out);
    if (!setting_default(&as_recorded, out, error))
        return false;
    if (!named || !text || strcmp(text, "none") == 0)
        return true;
    out->given = true;
    out->text = assay_strdup(text, error);
    return out->text != NULL;
}

static bool read_options(const params *p, const char *key, settings *to, const char *folder,
                         assay_error *error)
{
    for (int i = 0; i < to->count; i++) {
        const assay_option *option = &to->options[i];
        const char *name = assay_text("%s.%s", key, option->name);
        const param *from = find(p, name);
        if (!from)
            continue; /* an option that the plugin has got since: its default is what it was */
        if (!read_value(option, from, &to->values[i], error))
            return false;
        if (option->type == ASSAY_OPTION_WEIGHTS && to->values[i].given &&
            strstr(to->values[i].text, " seed ") && !strchr(to->values[i].text, '/'))
            return refuse(from->key, "names a stage's weights", error);
        if (to->values[i].given &&
            !setting_check(option, &to->values[i], settings_owner(to), folder, WHERE, error))
            return false;
    }
    return true;
}

/* ---- plugins ---- */

static bool read_use(const params *p, const char *key, assay_kind kind, const char *name,
                     const plugin_registry *registry, const char *folder, settings *out,
                     assay_error *error)
{
    const plugin *found = registry_get(registry, kind, name, error);
    return found && settings_defaults(out, found, error) &&
           read_options(p, key, out, folder, error);
}

static bool read_single(const params *p, const char *key, assay_kind kind,
                        const plugin_registry *registry, const char *folder, settings *out,
                        assay_error *error)
{
    const param *name = find(p, key);
    if (!name || !name->text)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = WHERE,
                          .what = assay_text("the run has no '%s'", key));
    if (strcmp(name->text, "the model's own") == 0)
        return true;
    return read_use(p, key, kind, name->text, registry, folder, out, error);
}

/* "lora+lora#2": labels, whose plugins are what stands before the '#'. */
static bool read_adapters(const params *p, const plugin_registry *registry, const char *folder,
                          recipe *out, assay_error *error)
{
    const param *names = find(p, "adapter");
    if (!names || !names->text || strcmp(names->text, "none") == 0)
        return true;
    int most = 1;
    for (const char *c = names->text; *c; c++)
        most += *c == '+';
    out->adapters = assay_zalloc(most * (int64_t)sizeof *out->adapters, error);
    if (!out->adapters)
        return false;
    for (const char *at = names->text; at;) {
        const char *end = strchr(at, '+');
        int length = end ? (int)(end - at) : (int)strlen(at);
        char label[128], name[128];
        snprintf(label, sizeof label, "%.*s", length, at);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(label, "#"), label);
        settings *to = &out->adapters[out->adapter_count++];
        if (!read_use(p, assay_text("adapter.%s", label), ASSAY_KIND_ADAPTER, name, registry,
                      folder, to, error))
            return false;
        assay_free(to->label);
        to->label = assay_strdup(label, error);
        if (!to->label)
            return false;
        at = end ? end + 1 : NULL;
    }
    return true;
}

static bool read_recipe(const params *p, const plugin_registry *registry, const char *folder,
                        recipe *out, assay_error *error)
{
    const param *seed = find(p, "seed");
    out->init = SETTING_NONE;
    out->seed = seed ? (int64_t)seed->number : 0;
    return read_single(p, "dataset", ASSAY_KIND_DATASET, registry, folder, &out->dataset, error) &&
           read_single(p, "model", ASSAY_KIND_MODEL, registry, folder, &out->model, error) &&
           read_single(p, "mask", ASSAY_KIND_MASK, registry, folder, &out->mask, error) &&
           read_adapters(p, registry, folder, out, error) &&
           settings_defaults_of(&out->train, "train", train_table_count, train_table, error) &&
           read_options(p, "train", &out->train, folder, error);
}

/* ---- the run ---- */

typedef struct found_run {
    stored_run *run;
    char status[16];
    bool found;
} found_run;

static bool take_run(void *user, int columns, const char *const *names, const store_cell *cells)
{
    found_run *to = user;
    (void)columns, (void)names;
    if (cells && cells[0].text && cells[1].text) {
        snprintf(to->run->run_hash, sizeof to->run->run_hash, "%s", cells[0].text);
        snprintf(to->status, sizeof to->status, "%s", cells[1].text);
        to->found = true;
    }
    return true;
}

bool stored_run_find(const char *store, int64_t run_id, stored_run *out, assay_error *error)
{
    char folder[4096];
    *out = (stored_run){.run_id = run_id, .recipe.init = SETTING_NONE};
    found_run found = {.run = out};
    if (!store_query(
            store,
            assay_text("SELECT run_hash, status FROM run WHERE run_id = %lld", (long long)run_id),
            (store_query_limits){0}, take_run, &found, error))
        return false;
    if (!found.found || strcmp(found.status, "done") != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store,
                          .what = assay_text("run %lld is not done", (long long)run_id),
                          .got = found.found ? found.status : "no such run",
                          .hint = "assay run goes on with it");
    snprintf(folder, sizeof folder, "%s.files/%.16s", store, out->run_hash);
    return train_weights_path(folder, out->weights, sizeof out->weights, error);
}

bool stored_run_read(const char *store, int64_t run_id, const plugin_registry *registry,
                     const char *folder, stored_run *out, assay_error *error)
{
    params p = {.error = error};
    bool ok = stored_run_find(store, run_id, out, error) &&
              store_query(store,
                          assay_text("SELECT key, num, txt FROM param WHERE run_id = %lld",
                                     (long long)run_id),
                          (store_query_limits){0}, take_param, &p, error) &&
              !p.failed && read_recipe(&p, registry, folder, &out->recipe, error);
    params_clear(&p);
    return ok;
}

void stored_run_clear(stored_run *run)
{
    recipe_clear(&run->recipe);
}
