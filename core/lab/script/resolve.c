/* resolve.c - from nodes, with a choice made for every axis, to the recipe of one run and of every
 * stage that feeds it. */
#include "lab/script/script.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- values ---- */

/* What stands at a place in this run: chosen, drawn; NULL when nothing does, or `none`. `number`
 * receives a drawn number, with the result the sample itself. */
static node *value_at(resolver *r, const char *path, node *written, setting_origin *origin,
                      double *number)
{
    bool overridden = false, from_axis = false;
    node *value = choose_value(choose_written(r->script, path, written, &overridden), &from_axis);
    *origin = SETTING_DEFAULT;
    if (value == NULL)
        return NULL;
    *origin = from_axis ? SETTING_AXIS : overridden ? SETTING_COMMAND_LINE : SETTING_SCRIPT;
    if (value->type == NODE_SAMPLE) {
        node *picked = NULL;
        double drawn = resolve_sample(r, value, &picked);
        *origin = SETTING_AXIS;
        if (number != NULL)
            *number = drawn;
        if (picked != NULL)
            value = picked;
    }
    return value->type == NODE_NONE ? NULL : value;
}

/* ---- inputs ---- */

static bool add_input(resolver *r, draft *of, const char *path, int run, bool is_score,
                      bool own_seed)
{
    plan_run *to = &of->run;
    size_t skip = of->stage->split != NULL ? 0 : strlen(of->stage->text) + 1;
    plan_input *grown =
        resolve_grow(to->inputs, to->input_count, (int64_t)sizeof *grown, &r->script->error);
    if (grown == NULL)
        return false;
    to->inputs = grown;
    grown[to->input_count] = (plan_input){.name = assay_strdup(path + skip, &r->script->error),
                                          .run = run,
                                          .is_score = is_score,
                                          .own_seed = own_seed};
    if (grown[to->input_count].name == NULL)
        return false;
    to->input_count++;
    if (of->height <= r->standings[run].height)
        of->height = r->standings[run].height + 1;
    return true;
}

/* A value that another run gives: its weights, or its score. A schedule is a constant then, at its
 * default until the score is there. */
static bool take_input(resolver *r, draft *of, const assay_option *option, const char *path,
                       node *value, setting *out)
{
    bool is_score = value->type == NODE_SCORE;
    node *stage = is_score ? value->items[0] : value;
    run_seed seed;
    int run = resolve_run(r, stage, &of->seed);
    if (run < 0 || !resolve_stage_seed(r, stage, &of->seed, &seed))
        return false;
    setting_clear(out);
    out->given = true;
    if (is_score) {
        out->number = NAN;
        out->score_run = run;
        if (option->type == ASSAY_OPTION_SCHEDULE) {
            out->numbers = assay_alloc((int64_t)sizeof *out->numbers, &r->script->error);
            if (out->numbers == NULL)
                return false;
            out->numbers[0] = (float)option->number;
            out->count = 1;
        }
        out->score_path =
            assay_strdup(assay_text("%s@%s", value->text, value->split), &r->script->error);
        if (out->score_path == NULL)
            return false;
    } else {
        out->stage = run;
    }
    return add_input(r, of, path, run, is_score, seed.own);
}

/* ---- options ---- */

static bool take_drawn(script *s, const assay_option *option, const node *sample, double drawn,
                       const char *owner, setting *out)
{
    setting_clear(out);
    out->given = true;
    if (option->type == ASSAY_OPTION_SCHEDULE) {
        out->numbers = assay_alloc(sizeof *out->numbers, &s->error);
        if (out->numbers == NULL)
            return false;
        out->numbers[0] = drawn;
        out->count = 1;
    } else {
        out->number = drawn;
    }
    return setting_check(option, out, owner, s->folder, sample->where, &s->error);
}

static bool take_value(resolver *r, draft *of, const assay_option *option, const char *path,
                       node *value, double drawn, const char *owner, setting *out)
{
    script *s = r->script;
    switch (value->type) {
    case NODE_SCORE:
    case NODE_STAGE:
        return take_input(r, of, option, path, value, out);
    case NODE_FUNCTION:
        return resolve_curve(r, &of->run.recipe, option, value, owner, out);
    case NODE_SAMPLE:
        return take_drawn(s, option, value, drawn, owner, out);
    default: {
        const setting *leaf = check_leaf(s, option, value, owner);
        bool is_content = leaf != NULL && option->type == ASSAY_OPTION_PATH && !of->in_dataset;
        setting_clear(out);
        if (is_content && leaf->sha256 == NULL &&
            !setting_identify(option, value->checked, owner, value->where, &s->error))
            return false;
        return leaf != NULL && setting_copy(out, leaf, &s->error);
    }
    }
}

/* The options at a path into settings that hold the defaults. */
static bool take_options(resolver *r, draft *of, const node *given, const char *path, settings *out)
{
    char below[PATH_LIMIT], owner[80];
    snprintf(owner, sizeof owner, "%s", settings_owner(out));
    for (int i = 0; i < out->count; i++) {
        setting_origin origin = SETTING_DEFAULT;
        double drawn = 0;
        choose_join(below, path, '.', out->options[i].name);
        node *written = given != NULL ? node_get(given, out->options[i].name) : NULL;
        node *value = value_at(r, below, written, &origin, &drawn);
        out->values[i].origin = origin;
        if (value == NULL)
            continue;
        if (!take_value(r, of, &out->options[i], below, value, drawn, owner, &out->values[i]))
            return false;
        bool scored = value->type == NODE_SCORE || value->type == NODE_STAGE;
        out->values[i].origin = scored ? SETTING_STAGE : origin;
    }
    return settings_check(out, given != NULL ? given->where : of->stage->where, &r->script->error);
}

static bool take_plugin(resolver *r, draft *of, const node *use, const char *path, settings *out)
{
    return settings_defaults(out, use->plugin, &r->script->error) &&
           take_options(r, of, use, path, out);
}

/* ---- the parts of a recipe ---- */

static bool take_single(resolver *r, draft *of, const char *key, int which, settings *out)
{
    char path[PATH_LIMIT];
    choose_path(of->stage, key, path);
    node *use = value_at(r, path, node_get(of->stage, key), &of->origins[which], NULL);
    of->in_dataset = which == KEY_DATASET;
    bool ok = use == NULL || take_plugin(r, of, use, path, out);
    of->in_dataset = false;
    return ok;
}

static bool add_use(resolver *r, settings **list, int *count, settings **out)
{
    settings *grown = resolve_grow(*list, *count, (int64_t)sizeof *grown, &r->script->error);
    if (grown == NULL)
        return false;
    *list = grown;
    grown[*count] = (settings){0};
    *out = &grown[(*count)++];
    return true;
}

static bool take_item(resolver *r, draft *of, const node *list, int i, const char *path,
                      settings **out, int *count)
{
    char label[80], below[PATH_LIMIT], item[PATH_LIMIT];
    setting_origin origin;
    settings *use = NULL;
    choose_join(item, path, '#', assay_text("%d", i + 1));
    node *chosen =
        list->type == NODE_LIST ? value_at(r, item, list->items[i], &origin, NULL) : (node *)list;
    if (chosen == NULL)
        return true;
    choose_label(list, i, chosen->plugin, label, sizeof label);
    choose_join(below, path, '.', label);
    if (!add_use(r, out, count, &use) || !take_plugin(r, of, chosen, below, use))
        return false;
    assay_free(use->label);
    use->label = assay_strdup(label, &r->script->error);
    return use->label != NULL;
}

static bool take_list(resolver *r, draft *of, const char *key, int which, assay_kind kind,
                      settings **out, int *count)
{
    char path[PATH_LIMIT];
    choose_path(of->stage, key, path);
    node *list = value_at(r, path, node_get(of->stage, key), &of->origins[which], NULL);
    if (of->origins[which] == SETTING_DEFAULT && kind != ASSAY_KIND_ADAPTER) {
        list = choose_defaults(r->script, of->stage, kind, of->run.recipe.model.plugin);
        if (list == NULL)
            return false;
    }
    for (int i = 0; list != NULL && i < (list->type == NODE_LIST ? list->count : 1); i++)
        if (!take_item(r, of, list, i, path, out, count))
            return false;
    return true;
}

static bool take_train(resolver *r, draft *of)
{
    char path[PATH_LIMIT];
    script *s = r->script;
    settings *train = &of->run.recipe.train;
    choose_path(of->stage, "train", path);
    node *given = node_get(of->stage, "train");
    if (!settings_defaults_of(train, "train", train_table_count, train_table, &s->error) ||
        !take_options(r, of, given, path, train))
        return false;
    for (int i = 0; i < train->count; i++)
        if (train->values[i].score_run >= 0)
            return true; /* checked when the score is known */
    train_options *options = settings_fill(train, NULL, NULL, &s->error);
    bool ok = options != NULL &&
              train_options_check(options, s->request->device,
                                  given != NULL ? given->where : of->stage->where, &s->error);
    assay_free(options);
    return ok;
}

static bool take_init(resolver *r, draft *of)
{
    char path[PATH_LIMIT];
    setting *out = &of->run.recipe.init;
    *out = SETTING_NONE;
    choose_path(of->stage, "init", path);
    node *value = value_at(r, path, node_get(of->stage, "init"), &of->origins[KEY_INIT], NULL);
    if (value != NULL && !take_value(r, of, &init_option, path, value, 0, "experiment", out))
        return false;
    out->origin =
        value != NULL && value->type == NODE_STAGE ? SETTING_STAGE : of->origins[KEY_INIT];
    return true;
}

bool resolve_recipe(resolver *r, draft *of)
{
    recipe *to = &of->run.recipe;
    bool ok = take_train(r, of) && take_single(r, of, "dataset", KEY_DATASET, &to->dataset) &&
              take_single(r, of, "model", KEY_MODEL, &to->model) &&
              take_single(r, of, "mask", KEY_MASK, &to->mask) && take_init(r, of) &&
              take_list(r, of, "adapter", KEY_ADAPTER, ASSAY_KIND_ADAPTER, &to->adapters,
                        &to->adapter_count) &&
              take_list(r, of, "loss", KEY_LOSS, ASSAY_KIND_LOSS, &to->losses, &to->loss_count) &&
              take_list(r, of, "evaluate", KEY_EVALUATE, ASSAY_KIND_EVALUATOR, &to->evaluators,
                        &to->evaluator_count);
    if (!ok)
        return false;
    const setting *steps = settings_get(&to->train, "steps");
    if (to->loss_count == 0 && !(steps->number == 0))
        return ASSAY_FAIL(&r->script->error, ASSAY_BAD_INPUT, .where = of->stage->where,
                          .what = "there is nothing to train for: no loss",
                          .expected = "loss = loss.NAME { ... }",
                          .hint = "train = { steps = 0 } only evaluates");
    return true;
}
