/* choose.c - the axes of an experiment: their names, and which of them a run still has to choose.
 *
 * A tree is walked from a stage over every key, every option and every stage that feeds it. At each
 * place stands what the script wrote or what --set put there. A walk takes all alternatives of an
 * axis (to name axes and to check overrides) or the chosen one. */
#include "lab/script/script.h"

#include <stdio.h>
#include <string.h>

#define MOST_STAGES 64

typedef struct walk {
    script *script;
    bool all; /* every alternative, not the chosen ones */
    /* At each axis; false ends the walk. */
    bool (*axis)(struct walk *w, node *axis, const char *path, bool in_stage);
    void *user;
    const node *visited[MOST_STAGES];
    int visited_count;
    bool in_stage;
} walk;

static bool walk_stage(walk *w, node *stage);

/* ---- overrides ---- */

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

/* ---- the walk ---- */

static bool walk_option(walk *w, node *value, const char *path);

/* The options of a plugin, or of train, below a path. */
static bool walk_options(walk *w, int count, const assay_option *options, const node *given,
                         const char *path, const char *owner)
{
    char below[PATH_LIMIT];
    for (int i = 0; i < count; i++) {
        bool overridden = false;
        choose_join(below, path, '.', options[i].name);
        node *written = given != NULL ? node_get(given, options[i].name) : NULL;
        node *value = choose_written(w->script, below, written, &overridden);
        if (value == NULL)
            continue;
        if (overridden && w->all && !check_value(w->script, &options[i], value, owner))
            return false;
        if (!walk_option(w, value, below))
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

/* One value of an option: axes lead on, stages are walked whole. */
static bool walk_option(walk *w, node *value, const char *path)
{
    switch (value->type) {
    case NODE_ANY:
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        if (!w->all)
            return value->choice->chosen < 0 ||
                   walk_option(w, value->items[value->choice->chosen], path);
        for (int i = 0; i < value->count; i++)
            if (!walk_option(w, value->items[i], path))
                return false;
        return true;
    case NODE_SAMPLE:
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        for (int i = 0; i < value->count && w->all; i++) /* which hold no axes: words.c */
            if (!walk_option(w, value->items[i], path))
                return false;
        return true;
    case NODE_STAGE:
        return walk_stage(w, value);
    case NODE_SCORE:
        return walk_stage(w, value->items[0]);
    default:
        return true;
    }
}

/* A plugin, or a list of them when `list` is not NULL: `i` is the place in it. */
static bool walk_use(walk *w, node *value, const char *path, const node *list, int i)
{
    char below[PATH_LIMIT], label[80];
    switch (value->type) {
    case NODE_ANY:
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        if (!w->all)
            return value->choice->chosen < 0 ||
                   walk_use(w, value->items[value->choice->chosen], path, list, i);
        for (int k = 0; k < value->count; k++)
            if (!walk_use(w, value->items[k], path, list, i))
                return false;
        return true;
    case NODE_SAMPLE:
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        for (int k = 0; k < value->count && w->all; k++)
            if (!walk_use(w, value->items[k], path, list, i))
                return false;
        return true;
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
static bool walk_list(walk *w, node *value, const char *path)
{
    if (value->type == NODE_ANY) {
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        if (!w->all)
            return value->choice->chosen < 0 ||
                   walk_list(w, value->items[value->choice->chosen], path);
        for (int k = 0; k < value->count; k++)
            if (!walk_list(w, value->items[k], path))
                return false;
        return true;
    }
    if (value->type == NODE_SAMPLE) {
        if (!w->axis(w, value, path, w->in_stage))
            return false;
        for (int k = 0; k < value->count && w->all; k++)
            if (!walk_list(w, value->items[k], path))
                return false;
        return true;
    }
    if (value->type != NODE_LIST)
        return walk_use(w, value, path, value, 0);
    for (int i = 0; i < value->count; i++) {
        char item[PATH_LIMIT];
        choose_join(item, path, '#', assay_text("%d", i + 1));
        if (!walk_use(w, value->items[i], item, value, i))
            return false;
    }
    return true;
}

static bool walk_key(walk *w, node *stage, const char *key)
{
    char path[PATH_LIMIT];
    bool overridden = false;
    const char *owner = stage->split != NULL ? "experiment" : "run";
    choose_path(stage, key, path);
    node *value = choose_written(w->script, path, node_get(stage, key), &overridden);
    if (strcmp(key, "train") == 0)
        return overridden ? ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = value->where,
                                       .what = "train is set option by option",
                                       .hint = assay_text("--set %s.steps=100", path))
                          : walk_options(w, train_table_count, train_table, value, path, "train");
    if (value == NULL)
        return true;
    if (overridden && w->all && !check_key(w->script, key, value, owner, value->where))
        return false;
    if (strcmp(key, "init") == 0)
        return walk_option(w, value, path);
    if (strcmp(key, "adapter") == 0 || strcmp(key, "loss") == 0 || strcmp(key, "evaluate") == 0)
        return walk_list(w, value, path);
    return walk_use(w, value, path, NULL, 0);
}

static bool walk_stage(walk *w, node *stage)
{
    static const char *const keys[] = {"adapter", "dataset", "evaluate", "init", "loss",
                                       "mask",    "model",   "seed",     "train"};
    for (int i = 0; i < w->visited_count; i++) {
        if (w->visited[i] == stage)
            return true;
        if (strcmp(w->visited[i]->text, stage->text) == 0 && w->visited[i]->split == NULL &&
            stage->split == NULL)
            return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = stage->where,
                              .what = assay_text("two stages are called '%s'", stage->text),
                              .expected = "a name of its own for each",
                              .got = assay_text("another one at %s", w->visited[i]->where));
    }
    if (w->visited_count == MOST_STAGES)
        return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = stage->where,
                          .what = "too many stages",
                          .expected = assay_text("at most %d", MOST_STAGES));
    w->visited[w->visited_count++] = stage;
    bool outer = w->in_stage, ok = true;
    w->in_stage = stage->split == NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && ok; i++)
        ok = walk_key(w, stage, keys[i]);
    w->in_stage = outer;
    return ok;
}

/* ---- names ---- */

/* The name of an axis: its first place outside stages; if there is none, its first place. */
static bool name_axis(walk *w, node *axis, const char *path, bool in_stage)
{
    bool better = axis->axis == NULL || (axis->axis_in_stage && !in_stage) ||
                  (axis->axis_in_stage == in_stage && strcmp(path, axis->axis) < 0);
    if (better) {
        axis->axis = script_text(w->script, path);
        axis->axis_in_stage = in_stage;
    }
    return axis->axis != NULL;
}

/* After all nodes have names: a decision goes by the first of its nodes'. */
static bool name_choice(walk *w, node *axis, const char *path, bool in_stage)
{
    (void)w;
    (void)path;
    (void)in_stage;
    choice *of = axis->choice;
    if (of != NULL && (of->name == NULL || strcmp(axis->axis, of->name) < 0))
        of->name = axis->axis;
    return true;
}

/* ---- overrides that have no place ---- */

typedef struct known_paths {
    const char *nearest;
    const char *wanted;
} known_paths;

static void consider(known_paths *known, script *s, const char *path)
{
    const char *both[] = {known->nearest, path};
    bool first = known->nearest == NULL;
    const char *near = assay_nearest(known->wanted, first ? 1 : 2, first ? both + 1 : both);
    if (near != NULL && near != known->nearest)
        known->nearest = script_text(s, near);
}

static void consider_use(known_paths *known, script *s, const node *value, const char *path,
                         const node *list, int i)
{
    char below[PATH_LIMIT], label[80];
    if (value->type == NODE_LIST)
        for (int k = 0; k < value->count; k++)
            consider_use(known, s, value->items[k], path, value, k);
    if (value->type == NODE_ANY)
        for (int k = 0; k < value->count; k++)
            consider_use(known, s, value->items[k], path, list, i);
    if (value->type != NODE_PLUGIN)
        return;
    for (int k = 0; k < value->plugin->option_count; k++) {
        snprintf(below, sizeof below, "%s", path);
        if (list != NULL) {
            choose_label(list, i, value->plugin, label, sizeof label);
            choose_join(below, below, '.', label);
        }
        choose_join(below, below, '.', value->plugin->options[k].name);
        consider(known, s, below);
    }
}

static void consider_stage(known_paths *known, script *s, const node *stage)
{
    char path[PATH_LIMIT], below[PATH_LIMIT];
    for (int i = 0; i < experiment_table_count; i++) {
        const char *key = experiment_table[i].name;
        if (strcmp(key, "name") == 0)
            continue;
        choose_path(stage, key, path);
        consider(known, s, path);
        const node *value = node_get(stage, key);
        bool list =
            strcmp(key, "adapter") == 0 || strcmp(key, "loss") == 0 || strcmp(key, "evaluate") == 0;
        if (value != NULL && strcmp(key, "train") != 0)
            consider_use(known, s, value, path, list ? value : NULL, 0);
    }
    for (int i = 0; i < train_table_count; i++) {
        choose_path(stage, "train", path);
        choose_join(below, path, '.', train_table[i].name);
        consider(known, s, below);
    }
}

static bool check_used(script *s, const walk *w)
{
    for (int i = 0; i < s->override_count; i++) {
        known_paths known = {.wanted = s->overrides[i].path};
        if (s->overrides[i].used)
            continue;
        for (int k = 0; k < w->visited_count; k++)
            consider_stage(&known, s, w->visited[k]);
        return ASSAY_FAIL(
            &s->error, ASSAY_BAD_INPUT, .where = assay_text("--set %s", s->overrides[i].path),
            .what = "the experiment has no such place",
            .hint = known.nearest != NULL
                        ? assay_text("did you mean '%s'?", known.nearest)
                        : "a path is KEY.OPTION, LIST.PLUGIN.OPTION, or STAGE. and one "
                          "of these");
    }
    return true;
}

bool choose_name_axes(script *s)
{
    static const char *const late[] = {"seed", "trials"};
    walk w = {.script = s, .all = true, .axis = name_axis};
    if (!walk_stage(&w, s->experiment))
        return false;
    for (int i = 0; i < 2; i++) { /* they are no axes, and may be set */
        bool overridden = false;
        node *value = choose_written(s, late[i], NULL, &overridden);
        if (overridden && !check_key(s, late[i], value, "experiment", value->where))
            return false;
    }
    walk again = {.script = s, .all = true, .axis = name_choice};
    return check_used(s, &w) && walk_stage(&again, s->experiment);
}

/* ---- choosing ---- */

static bool find_next(walk *w, node *axis, const char *path, bool in_stage)
{
    choice **next = w->user;
    choice *of = axis->choice;
    (void)path;
    (void)in_stage;
    if (of != NULL && of->chosen < 0 && (*next == NULL || strcmp(of->name, (*next)->name) < 0))
        *next = of;
    return true;
}

choice *choose_next(script *s, node *stage)
{
    choice *next = NULL;
    walk w = {.script = s, .axis = find_next, .user = &next};
    walk_stage(&w, stage);
    return next;
}

static bool find_sample(walk *w, node *axis, const char *path, bool in_stage)
{
    (void)path;
    (void)in_stage;
    if (axis->type == NODE_SAMPLE)
        *(bool *)w->user = true;
    return true;
}

bool choose_has_samples(script *s, node *stage)
{
    bool found = false;
    walk w = {.script = s, .all = true, .axis = find_sample, .user = &found};
    walk_stage(&w, stage);
    return found;
}

typedef struct axis_list {
    node *axes[256];
    int count;
} axis_list;

static bool list_axis(walk *w, node *axis, const char *path, bool in_stage)
{
    axis_list *list = w->user;
    (void)path;
    (void)in_stage;
    for (int i = 0; i < list->count; i++)
        if (list->axes[i] == axis)
            return true;
    if (list->count == 256)
        return ASSAY_FAIL(&w->script->error, ASSAY_BAD_INPUT, .where = axis->where,
                          .what = "too many axes", .expected = "at most 256");
    int at = list->count++;
    for (; at > 0 && strcmp(list->axes[at - 1]->axis, axis->axis) > 0; at--)
        list->axes[at] = list->axes[at - 1];
    list->axes[at] = axis;
    return true;
}

bool choose_axes(script *s, node *stage, axis_visitor visit, void *user)
{
    axis_list list = {.count = 0};
    walk w = {.script = s, .axis = list_axis, .user = &list};
    if (!walk_stage(&w, stage))
        return false;
    for (int i = 0; i < list.count; i++)
        if (!visit(s, user, list.axes[i]))
            return false;
    return true;
}
