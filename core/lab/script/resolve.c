/* resolve.c - from nodes, with a choice made for every axis, to the recipe of one run and of every
 * stage that feeds it. */
#include "lab/script/script.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *resolve_grow(void *items, int count, int64_t size, assay_error *error)
{
    if ((count & (count - 1)) != 0) /* grown at powers of two */
        return items;
    char *grown = assay_zalloc((count > 0 ? 2 * (int64_t)count : 1) * size, error);
    if (grown == NULL)
        return NULL;
    if (count > 0)
        memcpy(grown, items, (size_t)(count * size));
    assay_free(items);
    return grown;
}

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

static bool add_input(resolver *r, draft *of, const char *path, int run, bool is_score)
{
    plan_run *to = &of->run;
    size_t skip = of->stage->split != NULL ? 0 : strlen(of->stage->text) + 1;
    plan_input *grown =
        resolve_grow(to->inputs, to->input_count, (int64_t)sizeof *grown, &r->script->error);
    if (grown == NULL)
        return false;
    to->inputs = grown;
    grown[to->input_count] = (plan_input){
        .name = assay_strdup(path + skip, &r->script->error), .run = run, .is_score = is_score};
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
    int run = resolve_run(r, is_score ? value->items[0] : value, &of->seed);
    if (run < 0)
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
    return add_input(r, of, path, run, is_score);
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

static bool take_recipe(resolver *r, draft *of)
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

/* ---- datasets ---- */

static char *dataset_text(const settings *dataset, assay_error *error)
{
    char *text = assay_strdup(dataset->plugin->name, error);
    for (int i = 0; i < dataset->count && text != NULL; i++) {
        const setting *value = &dataset->values[i];
        char *of = setting_text(&dataset->options[i], value, error);
        int64_t bytes = (int64_t)strlen(text) + (of != NULL ? (int64_t)strlen(of) : 0) +
                        (value->resolved != NULL ? (int64_t)strlen(value->resolved) : 0) + 8;
        char *longer = of != NULL ? assay_alloc(bytes, error) : NULL;
        if (longer != NULL)
            snprintf(longer, (size_t)bytes, "%s\n%s\n%s", text, of,
                     value->resolved != NULL ? value->resolved : "");
        assay_free(of);
        assay_free(text);
        text = longer;
    }
    return text;
}

static bool find_fingerprint(resolver *r, draft *of)
{
    script *s = r->script;
    const settings *dataset = &of->run.recipe.dataset;
    char *text = dataset_text(dataset, &s->error);
    if (text == NULL)
        return false;
    for (int i = 0; i < r->print_count; i++)
        if (strcmp(r->prints[i].text, text) == 0) {
            memcpy(of->fingerprint, r->prints[i].fingerprint, sizeof of->fingerprint);
            assay_free(text);
            return true;
        }
    known_print *grown = resolve_grow(r->prints, r->print_count, (int64_t)sizeof *grown, &s->error);
    if (grown != NULL)
        r->prints = grown;
    if (grown == NULL ||
        !s->request->fingerprint(s->request->user, dataset, of->fingerprint, &s->error)) {
        assay_free(text);
        return false;
    }
    grown[r->print_count].text = text;
    memcpy(grown[r->print_count++].fingerprint, of->fingerprint, sizeof of->fingerprint);
    return true;
}

/* ---- axes ---- */

typedef struct axis_taker {
    const resolver *resolver;
    plan_run *run;
} axis_taker;

static bool take_axis(script *s, void *user, node *axis)
{
    axis_taker *taker = user;
    plan_run *run = taker->run;
    plan_axis *grown = resolve_grow(run->axes, run->axis_count, (int64_t)sizeof *grown, &s->error);
    if (grown == NULL)
        return false;
    run->axes = grown;
    if (!identity_axis(taker->resolver, axis, &grown[run->axis_count], &s->error))
        return false;
    run->axis_count++;
    return true;
}

/* "mask=ggsm model.size=tiny", "-" without axes. */
static bool make_label(plan_run *run, assay_error *error)
{
    int64_t bytes = 2, used = 0;
    for (int i = 0; i < run->axis_count; i++)
        bytes += (int64_t)(strlen(run->axes[i].name) + strlen(run->axes[i].value)) + 2;
    run->label = assay_alloc(bytes, error);
    if (run->label == NULL)
        return false;
    strcpy(run->label, "-");
    for (int i = 0; i < run->axis_count; i++)
        used += snprintf(run->label + used, (size_t)(bytes - used), "%s%s=%s", i > 0 ? " " : "",
                         run->axes[i].name, run->axes[i].value);
    return true;
}

static bool finish(resolver *r, draft *of)
{
    script *s = r->script;
    plan_run *run = &of->run;
    axis_taker taker = {r, run};
    if (!choose_axes(s, of->stage, take_axis, &taker) || !make_label(run, &s->error))
        return false;
    run->stage = assay_strdup(of->stage->split != NULL ? "main" : of->stage->text, &s->error);
    if (run->stage == NULL || !find_fingerprint(r, of))
        return false;
    snprintf(run->dataset, sizeof run->dataset, "%s:%s", run->recipe.dataset.plugin->name,
             of->fingerprint);
    return identity_fill(r, of, &s->error);
}

/* ---- runs ---- */

static int order_of(const node *stage)
{
    return stage->split != NULL ? INT_MAX : stage->order;
}

/* The slot that holds the run with this hash, or where it goes. */
static int *find_slot(const resolver *r, const char *hash)
{
    char start[17];
    snprintf(start, sizeof start, "%.16s", hash);
    uint64_t at = strtoull(start, NULL, 16);
    for (;; at++) {
        int *slot = &r->slots[at & (uint64_t)(r->slot_count - 1)];
        if (*slot == 0 || strcmp(r->plan->runs[*slot - 1].run_hash, hash) == 0)
            return slot;
    }
}

/* At least twice as many slots as runs. */
static bool reserve_slots(resolver *r)
{
    int count = r->slot_count > 0 ? 2 * r->slot_count : 64;
    if (2 * (r->plan->run_count + 1) <= r->slot_count)
        return true;
    int *slots = assay_zalloc(count * (int64_t)sizeof *slots, &r->script->error);
    if (slots == NULL)
        return false;
    assay_free(r->slots);
    r->slots = slots;
    r->slot_count = count;
    for (int i = 0; i < r->plan->run_count; i++)
        *find_slot(r, r->plan->runs[i].run_hash) = i + 1;
    return true;
}

static int add_run(resolver *r, draft *of)
{
    plan *to = r->plan;
    assay_error *error = &r->script->error;
    plan_run *runs = resolve_grow(to->runs, to->run_count, (int64_t)sizeof *runs, error);
    if (runs != NULL)
        to->runs = runs;
    standing *standings =
        resolve_grow(r->standings, to->run_count, (int64_t)sizeof *standings, error);
    if (standings != NULL)
        r->standings = standings;
    if (runs == NULL || standings == NULL || !reserve_slots(r)) {
        plan_run_clear(&of->run);
        return -1;
    }
    *find_slot(r, of->run.run_hash) = to->run_count + 1;
    runs[to->run_count] = of->run;
    standings[to->run_count] = (standing){of->height, order_of(of->stage)};
    return to->run_count++;
}

/* The run as it stands in the plan: a new one, or the one that it equals, which then belongs to the
 * later stage. */
static int place_run(resolver *r, draft *of)
{
    int found = r->slot_count > 0 ? *find_slot(r, of->run.run_hash) - 1 : -1;
    if (found < 0)
        return add_run(r, of);
    if (order_of(of->stage) > r->standings[found].order) {
        plan_run swap = r->plan->runs[found];
        r->plan->runs[found] = of->run;
        of->run = swap;
        r->standings[found].order = order_of(of->stage);
    }
    plan_run_clear(&of->run);
    return found;
}

int resolve_run(resolver *r, node *stage, const run_seed *seed)
{
    draft of = {.stage = stage};
    of.run.recipe.init = SETTING_NONE;
    if (!resolve_stage_seed(r, stage, seed, &of.seed))
        return -1;
    if (stage->run_pass == r->pass && stage->run_seed == of.seed.number)
        return stage->run; /* another place of the same run asked for it */
    of.run.recipe.seed = of.seed.number;
    if (!take_recipe(r, &of) || !finish(r, &of)) {
        plan_run_clear(&of.run);
        return -1;
    }
    int run = place_run(r, &of);
    stage->run = run;
    stage->run_seed = of.seed.number;
    stage->run_pass = r->pass;
    return run;
}

bool resolve_experiment(resolver *r)
{
    for (int i = 0; i < r->seed_count; i++) {
        run_seed seed = {r->seeds[i], true, r->seed_origin};
        r->pass++;
        if (resolve_run(r, r->script->experiment, &seed) < 0)
            return false;
    }
    return true;
}
