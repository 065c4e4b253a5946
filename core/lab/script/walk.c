/* walk.c - the walk over an experiment: every key, every option, and every stage that feeds it.
 * At each place stands what the script wrote or what --set put there. */
#include "lab/script/walk.h"

#include <stdio.h>
#include <string.h>

/* ---- places ---- */

node *choose_written(script *s, const char *path, node *written, bool *overridden)
{
    for (int i = 0; i < s->override_count; i++)
        if (strcmp(s->overrides[i].path, path) == 0) {
            s->overrides[i].used = true;
            if (overridden != NULL)
                *overridden = true;
            return s->overrides[i].value;
        }
    return written;
}

void choose_join(char out[PATH_LIMIT], const char *path, char separator, const char *name)
{
    size_t n = strnlen(path, PATH_LIMIT - 2), m = strnlen(name, PATH_LIMIT - 2 - n);
    memmove(out, path, n);
    out[n] = separator;
    memcpy(out + n + 1, name, m);
    out[n + 1 + m] = '\0';
}

void choose_path(const node *stage, const char *key, char out[PATH_LIMIT])
{
    if (stage->split != NULL) /* the experiment itself */
        snprintf(out, PATH_LIMIT, "%s", key);
    else
        choose_join(out, stage->text, '.', key);
}

/* ---- chosen values ---- */

node *choose_value(const node *value, bool *from_axis)
{
    while (value != NULL && value->type == NODE_ANY) {
        if (from_axis != NULL)
            *from_axis = true;
        value = value->choice->chosen < 0 ? NULL : value->items[value->choice->chosen];
    }
    return (node *)value;
}

/* Whether a value can be this plugin, in some alternative. */
static bool can_be(const node *value, const plugin *of)
{
    if (value->type == NODE_PLUGIN)
        return value->plugin == of;
    for (int i = 0; i < value->count && (value->type == NODE_ANY || value->type == NODE_SAMPLE);
         i++)
        if (can_be(value->items[i], of))
            return true;
    return false;
}

void choose_label(const node *list, int i, const plugin *of, char *out, int64_t size)
{
    int before = 0;
    for (int k = 0; list->type == NODE_LIST && k < i; k++)
        before += can_be(list->items[k], of);
    if (before == 0)
        snprintf(out, (size_t)size, "%s", of->name);
    else
        snprintf(out, (size_t)size, "%s#%d", of->name, before + 1);
}

/* What a model suggests for a key that the script leaves out: a list of its plugins, as if it stood
 * there. Made once for each model and key. NULL on failure. */
node *choose_defaults(script *s, const node *stage, assay_kind kind, const plugin *model)
{
    const char *const *names =
        kind == ASSAY_KIND_LOSS ? model->model.default_losses : model->model.default_evaluators;
    int n = 0;
    for (suggestion *known = s->suggestions; known != NULL; known = known->next)
        if (known->model == model && known->kind == kind && known->stage == stage)
            return known->list;
    while (names != NULL && names[n] != NULL)
        n++;
    node *list = node_new(s, NODE_LIST, stage->where);
    suggestion *made = script_alloc(s, (int64_t)sizeof *made);
    if (list == NULL || made == NULL || !node_reserve(s, list, n, false))
        return NULL;
    for (; list->count < n; list->count++) {
        node *use = node_new(s, NODE_PLUGIN, stage->where);
        if (use == NULL)
            return NULL;
        use->kind = kind;
        use->plugin = registry_get(s->request->registry, kind, names[list->count], &s->error);
        if (use->plugin == NULL)
            return NULL;
        list->items[list->count] = use;
    }
    *made = (suggestion){model, kind, stage, list, s->suggestions};
    s->suggestions = made;
    return list;
}

/* ---- the walk ---- */

static bool meet_axis(walk *w, node *axis, const char *path)
{
    if (w->in_choice)
        return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = axis->where,
                          .what = assay_text("an axis inside choice { }, at %s", path),
                          .expected = "alternatives without axes, or any { } in its place");
    return w->axis == NULL || w->axis(w, axis, path, w->in_stage);
}

typedef bool (*walk_alternative)(walk *w, node *value, const char *path, const node *list, int i);

/* Through an axis with what walks one of its alternatives. */
static bool walk_axis(walk *w, node *axis, const char *path, walk_alternative each,
                      const node *list, int place)
{
    if (!meet_axis(w, axis, path))
        return false;
    if (!w->all && axis->type == NODE_SAMPLE)
        return true; /* there are no axes in it */
    if (!w->all)
        return axis->choice->chosen < 0 ||
               each(w, axis->items[axis->choice->chosen], path, list, place);
    bool ok = true, outer = w->in_choice;
    w->in_choice = outer || axis->type == NODE_SAMPLE;
    for (int i = 0; i < axis->count && ok; i++)
        ok = each(w, axis->items[i], path, list, place);
    w->in_choice = outer;
    return ok;
}

/* One value of an option: axes lead on, stages are walked whole. */
static bool walk_option(walk *w, node *value, const char *path, const node *list, int i)
{
    switch (value->type) {
    case NODE_ANY:
    case NODE_SAMPLE:
        return walk_axis(w, value, path, walk_option, list, i);
    case NODE_STAGE:
        return walk_stage(w, value);
    case NODE_SCORE:
        return walk_stage(w, value->items[0]);
    default:
        return true;
    }
}

/* The options of a plugin, or of train, below a path. What --set put there is checked on the
 * way. */
static bool walk_options(walk *w, int count, const assay_option *options, const node *given,
                         const char *path, const char *owner)
{
    char below[PATH_LIMIT];
    for (int i = 0; i < count; i++) {
        bool overridden = false;
        choose_join(below, path, '.', options[i].name);
        if (w->place != NULL)
            w->place(w, below);
        node *written = given != NULL ? node_get(given, options[i].name) : NULL;
        node *value = choose_written(w->script, below, written, &overridden);
        if (value == NULL)
            continue;
        if (overridden && w->all && !check_value(w->script, &options[i], value, owner))
            return false;
        if (!walk_option(w, value, below, NULL, 0))
            return false;
    }
    return true;
}

static bool walk_plugin(walk *w, const node *use, const char *path)
{
    char owner[80];
    snprintf(owner, sizeof owner, "%s", node_describe(use));
    return walk_options(w, use->plugin->option_count, use->plugin->options, use, path, owner);
}

/* A plugin, or one of a list when `list` is not NULL: `i` is the place in it. */
static bool walk_use(walk *w, node *value, const char *path, const node *list, int i)
{
    char below[PATH_LIMIT], label[80];
    switch (value->type) {
    case NODE_ANY:
    case NODE_SAMPLE:
        return walk_axis(w, value, path, walk_use, list, i);
    case NODE_PLUGIN:
        if (list == NULL)
            return walk_plugin(w, value, path);
        choose_label(list, i, value->plugin, label, sizeof label);
        snprintf(below, sizeof below, "%.*s", (int)strcspn(path, "#"), path);
        choose_join(below, below, '.', label);
        return walk_plugin(w, value, below);
    default:
        return true;
    }
}

/* The value of a key that takes a list: one plugin, a list, or an axis of such. */
static bool walk_list(walk *w, node *value, const char *path, const node *list, int i)
{
    char item[PATH_LIMIT];
    if (value->type == NODE_ANY || value->type == NODE_SAMPLE)
        return walk_axis(w, value, path, walk_list, list, i);
    if (value->type != NODE_LIST)
        return walk_use(w, value, path, value, 0);
    for (int k = 0; k < value->count; k++) {
        choose_join(item, path, '#', assay_text("%d", k + 1));
        if (!walk_use(w, value->items[k], item, value, k))
            return false;
    }
    return true;
}

/* The lists that the stage's model suggests: `list` is the stage, `kind` of which plugins. */
static bool walk_suggested(walk *w, node *model, const char *path, const node *stage, int kind)
{
    if (model->type == NODE_ANY || model->type == NODE_SAMPLE) {
        bool ok = true, outer = w->in_choice;
        if (!w->all) {
            node *chosen = choose_value(model, NULL);
            return chosen == NULL || chosen->type != NODE_PLUGIN ||
                   walk_suggested(w, chosen, path, stage, kind);
        }
        w->in_choice = outer || model->type == NODE_SAMPLE;
        for (int i = 0; i < model->count && ok; i++)
            ok = walk_suggested(w, model->items[i], path, stage, kind);
        w->in_choice = outer;
        return ok;
    }
    if (model->type != NODE_PLUGIN)
        return true;
    node *list = choose_defaults(w->script, stage, (assay_kind)kind, model->plugin);
    return list != NULL && walk_list(w, list, path, NULL, 0);
}

static bool walk_missing(walk *w, node *stage, const char *key, const char *path)
{
    char of_model[PATH_LIMIT];
    bool loss = strcmp(key, "loss") == 0;
    if (!loss && strcmp(key, "evaluate") != 0)
        return true;
    choose_path(stage, "model", of_model);
    node *model = choose_written(w->script, of_model, node_get(stage, "model"), NULL);
    return model == NULL ||
           walk_suggested(w, model, path, stage, loss ? ASSAY_KIND_LOSS : ASSAY_KIND_EVALUATOR);
}

static bool walk_key(walk *w, node *stage, const char *key)
{
    char path[PATH_LIMIT];
    bool overridden = false;
    const char *owner = stage->split != NULL ? "experiment" : "run";
    choose_path(stage, key, path);
    if (strcmp(key, "train") == 0) /* set one option at a time */
        return walk_options(w, train_table_count, train_table, node_get(stage, key), path, "train");
    if (w->place != NULL)
        w->place(w, path);
    node *value = choose_written(w->script, path, node_get(stage, key), &overridden);
    if (value == NULL)
        return walk_missing(w, stage, key, path);
    if (overridden && w->all && !check_key(w->script, key, value, owner, value->where))
        return false;
    if (strcmp(key, "init") == 0)
        return walk_option(w, value, path, NULL, 0);
    if (strcmp(key, "seed") == 0)
        return true;
    if (strcmp(key, "adapter") == 0 || strcmp(key, "loss") == 0 || strcmp(key, "evaluate") == 0)
        return walk_list(w, value, path, NULL, 0);
    return walk_use(w, value, path, NULL, 0);
}

static bool walk_keys(walk *w, node *stage)
{
    static const char *const keys[] = {"adapter", "dataset", "evaluate", "init", "loss",
                                       "mask",    "model",   "seed",     "train"};
    bool outer = w->in_stage, ok = true;
    w->in_stage = stage->split == NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && ok; i++)
        ok = walk_key(w, stage, keys[i]);
    w->in_stage = outer;
    return ok;
}

/* Every stage is walked once; inside a choice once more, since its axes are refused there wherever
 * else it stands. */
bool walk_stage(walk *w, node *stage)
{
    for (int i = 0; i < w->visited_count; i++) {
        if (w->visited[i].stage == stage && w->visited[i].in_choice == w->in_choice)
            return true;
        if (w->visited[i].stage != stage && strcmp(w->visited[i].stage->text, stage->text) == 0 &&
            w->visited[i].stage->split == NULL && stage->split == NULL)
            return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = stage->where,
                              .what = assay_text("two stages are called '%s'", stage->text),
                              .expected = "a name of its own for each",
                              .got = assay_text("another one at %s", w->visited[i].stage->where));
    }
    if (w->visited_count == 2 * MOST_STAGES)
        return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = stage->where,
                          .what = "too many stages",
                          .expected = assay_text("at most %d", MOST_STAGES));
    w->visited[w->visited_count].stage = stage;
    w->visited[w->visited_count++].in_choice = w->in_choice;
    return walk_keys(w, stage);
}
