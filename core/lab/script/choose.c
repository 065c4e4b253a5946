/* choose.c - the axes of an experiment: their names, and which of them a run still has to
 * choose. */
#include "lab/script/walk.h"

#include <string.h>

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

typedef struct nearest_path {
    const char *wanted, *nearest;
} nearest_path;

static void consider(walk *w, const char *path)
{
    nearest_path *of = w->user;
    const char *both[] = {of->nearest, path};
    bool first = of->nearest == NULL;
    const char *near = assay_nearest(of->wanted, first ? 1 : 2, first ? both + 1 : both);
    if (near != NULL && near != of->nearest)
        of->nearest = script_text(w->script, near);
}

/* What is no place although it looks like one: the name, and train as a whole. */
static const char *explain(const walk *w, const char *path)
{
    char own[PATH_LIMIT];
    for (int i = 0; i < w->visited_count; i++) {
        choose_path(w->visited[i].stage, "name", own);
        if (strcmp(path, own) == 0)
            return "a name is what the store and paths go by; only the script says it";
        choose_path(w->visited[i].stage, "train", own);
        if (strcmp(path, own) == 0)
            return assay_text("set one of its options: %s.steps=100", path);
    }
    return NULL;
}

static bool check_used(script *s, const walk *w)
{
    for (int i = 0; i < s->override_count; i++) {
        if (s->overrides[i].used)
            continue;
        nearest_path of = {.wanted = s->overrides[i].path};
        walk places = {.script = s, .all = true, .place = consider, .user = &of};
        const char *hint = explain(w, of.wanted);
        if (!walk_stage(&places, s->experiment))
            return false;
        if (hint == NULL && of.nearest != NULL)
            hint = assay_text("did you mean '%s'?", of.nearest);
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT,
                          .where = assay_text("--set %s", s->overrides[i].path),
                          .what = "the experiment has no such place",
                          .hint = hint != NULL ? hint
                                               : "a path is KEY.OPTION, LIST.PLUGIN.OPTION, or "
                                                 "STAGE. and one of these");
    }
    return true;
}

bool choose_name_axes(script *s)
{
    walk w = {.script = s, .all = true, .axis = name_axis};
    if (!walk_stage(&w, s->experiment))
        return false;
    node *trials = choose_written(s, "trials", NULL, NULL);
    if (trials != NULL && !check_key(s, "trials", trials, "experiment", trials->where))
        return false;
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
