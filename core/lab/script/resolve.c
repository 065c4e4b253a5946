/* resolve.c - from nodes, with a choice made for every axis, to the recipe of one run and of every
 * stage that feeds it. */
#include "lab/script/script.h"

#include <assay/random.h>

#include <lauxlib.h>
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

/* ---- seeds and trials ---- */

static bool take_seeds(resolver *r, const node *value, int64_t **out, int *count)
{
    int n = value->type == NODE_NUMBER ? 1 : value->count;
    *out = script_alloc(r->script, n * (int64_t)sizeof **out);
    if (*out == NULL)
        return false;
    for (int i = 0; i < n; i++)
        (*out)[i] = (int64_t)(value->type == NODE_NUMBER ? value->number : value->items[i]->number);
    *count = n;
    return true;
}

bool resolve_seeds(resolver *r)
{
    script *s = r->script;
    enum { STANDARD = 6 }; /* the fewest with which a two-sided sign-flip test can reach 0.05 */
    node *value = choose_written(s, "seed", node_get(s->experiment, "seed"), NULL);
    if (value != NULL)
        return take_seeds(r, value, &r->seeds, &r->seed_count);
    r->seeds = script_alloc(s, STANDARD * (int64_t)sizeof *r->seeds);
    for (int i = 0; i < STANDARD && r->seeds != NULL; i++)
        r->seeds[i] = i + 1;
    r->seed_count = STANDARD;
    return r->seeds != NULL;
}

/* The seed of a stage's run: its consumer's, one of its own, or, with equal lists, the consumer's.
 * *paired comes as the consumer's and leaves as the stage's. */
static bool seed_of(resolver *r, const node *stage, int64_t consumer, bool *paired, int64_t *out)
{
    char path[PATH_LIMIT];
    int64_t *own = NULL;
    int count = 0;
    *out = consumer;
    if (stage->split != NULL)
        return true;
    choose_path(stage, "seed", path);
    node *value = choose_written(r->script, path, node_get(stage, "seed"), NULL);
    if (value == NULL)
        return true;
    if (!take_seeds(r, value, &own, &count))
        return false;
    if (value->type == NODE_NUMBER) {
        *out = own[0];
        *paired = false;
        return true;
    }
    bool equal = *paired && count == r->seed_count;
    for (int i = 0; i < count && equal; i++)
        equal = own[i] == r->seeds[i];
    return equal ||
           ASSAY_FAIL(
               &r->script->error, ASSAY_BAD_INPUT, .where = value->where,
               .what = assay_text("the seeds of stage '%s' are not its consumer's", stage->text),
               .expected = "the same seeds, one seed, or none",
               .got = assay_text("%d of its own against %d", count, *paired ? r->seed_count : 1));
}

bool resolve_trials(resolver *r, int64_t *trials)
{
    script *s = r->script;
    node *value = choose_written(s, "trials", node_get(s->experiment, "trials"), NULL);
    bool samples = choose_has_samples(s, s->experiment);
    *trials = value != NULL ? (int64_t)value->number : 0;
    if (samples && value == NULL)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = s->experiment->where,
                          .what = "sampled axes need a number of trials",
                          .expected = "trials = n in the experiment");
    if (!samples && value != NULL)
        return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = value->where,
                          .what = "there are trials and nothing is sampled",
                          .expected = "uniform, log_uniform or choice somewhere");
    return true;
}

/* A drawn number to six significant digits: enough to draw from, short to read, and the same on every
 * machine, whose exp and log may differ in a last bit. */
static double rounded(double value, double low, double high)
{
    char text[32];
    snprintf(text, sizeof text, "%.5e", value);
    value = strtod(text, NULL);
    return value < low ? low : value > high ? high : value;
}

double resolve_sample(const resolver *r, const node *sample, node **picked)
{
    const char *name = assay_text("trial/%s/%s", r->script->experiment->text, sample->axis);
    assay_stream stream = assay_stream_of(0, name, (uint64_t)r->trial);
    double low = sample->low, high = sample->high;
    if (sample->draw == DRAW_CHOICE) {
        *picked = sample->items[assay_random_below(stream, 0, sample->count)];
        return 0;
    }
    double u = assay_random_uniform(stream, 0);
    if (sample->draw == DRAW_LOG_UNIFORM)
        return rounded(exp(log(low) + u * (log(high) - log(low))), low, high);
    return rounded(low + u * (high - low), low, high);
}

/* What stands at a place in this run: chosen, drawn; NULL when nothing does. `number` receives a drawn
 * number, with the result the sample itself. */
static node *value_at(resolver *r, const char *path, node *written, setting_origin *origin,
                      double *number)
{
    bool overridden = false, from_axis = false;
    node *value = choose_value(choose_written(r->script, path, written, &overridden), &from_axis);
    *origin = from_axis ? SETTING_AXIS : overridden ? SETTING_COMMAND_LINE : SETTING_SCRIPT;
    if (value != NULL && value->type == NODE_SAMPLE) {
        node *picked = NULL;
        double drawn = resolve_sample(r, value, &picked);
        *origin = SETTING_AXIS;
        if (number != NULL)
            *number = drawn;
        if (picked != NULL)
            value = picked;
    }
    return value == NULL || value->type == NODE_NONE ? NULL : value;
}

/* ---- curves ---- */

static bool call_curve(script *s, node *function, int64_t total, double *out)
{
    for (int64_t step = 0; step < (total > 0 ? total : 1); step++) {
        lua_rawgeti(s->lua, LUA_REGISTRYINDEX, function->reference);
        lua_pushinteger(s->lua, step);
        lua_pushinteger(s->lua, total);
        if (!sandbox_call(s, 2, &s->error))
            return false;
        bool number = lua_type(s->lua, -1) == LUA_TNUMBER;
        out[step] = (double)(float)lua_tonumber(s->lua, -1);
        const char *got = luaL_typename(s->lua, -1);
        lua_pop(s->lua, 1);
        if (!number || !isfinite(out[step]))
            return ASSAY_FAIL(
                &s->error, ASSAY_BAD_INPUT, .where = function->where,
                .what = assay_text("a schedule gave no number at step %lld", (long long)step),
                .expected = "a finite number", .got = number ? assay_text("%g", out[step]) : got);
    }
    return true;
}

/* The function's values over the run's steps, checked; they are kept for the next run. */
static bool take_curve(script *s, const assay_option *option, node *function, int64_t total,
                       const char *owner, setting *out)
{
    int64_t n = total > 0 ? total : 1;
    if (function->curve == NULL || function->curve_count != n) {
        function->curve_count = n;
        function->curve = script_alloc(s, n * (int64_t)sizeof(double));
        if (function->curve == NULL || !call_curve(s, function, total, function->curve))
            return false;
        for (int64_t step = 0; step < n; step++)
            if (function->curve[step] < option->low || function->curve[step] > option->high)
                return ASSAY_FAIL(&s->error, ASSAY_BAD_INPUT, .where = function->where,
                                  .what = assay_text("%s.%s is out of range at step %lld", owner,
                                                     option->name, (long long)step),
                                  .expected = option_range_text(option),
                                  .got = assay_text("%g", function->curve[step]));
    }
    setting_clear(out);
    out->given = true;
    out->numbers = assay_alloc(n * (int64_t)sizeof(double), &s->error);
    if (out->numbers == NULL)
        return false;
    memcpy(out->numbers, function->curve, (size_t)n * sizeof(double));
    out->count = n;
    return setting_check(option, out, owner, s->folder, function->where, &s->error);
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
    if (of->height <= r->placed[run].height)
        of->height = r->placed[run].height + 1;
    return true;
}

/* A value that another run gives: its weights, or its score. A schedule is a constant then, at its
 * default until the score is there. */
static bool take_input(resolver *r, draft *of, const assay_option *option, const char *path,
                       node *value, setting *out)
{
    bool is_score = value->type == NODE_SCORE;
    int run = resolve_run(r, is_score ? value->items[0] : value, of->run.recipe.seed, of->paired);
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

static bool take_value(resolver *r, draft *of, const assay_option *option, const char *path,
                       node *value, double drawn, const char *owner, setting *out)
{
    script *s = r->script;
    switch (value->type) {
    case NODE_SCORE:
    case NODE_STAGE:
        return take_input(r, of, option, path, value, out);
    case NODE_FUNCTION: {
        const setting *steps = settings_get(&of->run.recipe.train, "steps");
        return take_curve(s, option, value, (int64_t)steps->number, owner, out);
    }
    case NODE_SAMPLE:
        setting_clear(out);
        out->given = true;
        out->number = drawn;
        return setting_check(option, out, owner, s->folder, value->where, &s->error);
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
    if (use == NULL) {
        of->origins[which] = SETTING_DEFAULT;
        return true;
    }
    of->in_dataset = which == KEY_DATASET;
    bool ok = take_plugin(r, of, use, path, out);
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

/* What the model suggests when a script names none. */
static bool take_defaults(resolver *r, draft *of, assay_kind kind, settings **list, int *count)
{
    const assay_model_functions *model = &of->run.recipe.model.plugin->model;
    const char *const *names =
        kind == ASSAY_KIND_LOSS ? model->default_losses : model->default_evaluators;
    for (int i = 0; names != NULL && names[i] != NULL; i++) {
        settings *use = NULL;
        const plugin *found =
            registry_get(r->script->request->registry, kind, names[i], &r->script->error);
        if (found == NULL || !add_use(r, list, count, &use) ||
            !settings_defaults(use, found, &r->script->error) ||
            !settings_check(use, of->stage->where, &r->script->error))
            return false;
    }
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
    node *written = choose_written(r->script, path, node_get(of->stage, key), NULL);
    if (written == NULL) {
        of->origins[which] = SETTING_DEFAULT;
        return kind == ASSAY_KIND_ADAPTER || take_defaults(r, of, kind, out, count);
    }
    node *list = value_at(r, path, written, &of->origins[which], NULL);
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
    static const assay_option init = {.name = "init", .type = ASSAY_OPTION_WEIGHTS, .unit = ""};
    char path[PATH_LIMIT];
    setting *out = &of->run.recipe.init;
    *out = SETTING_NONE;
    choose_path(of->stage, "init", path);
    node *value = value_at(r, path, node_get(of->stage, "init"), &of->origins[KEY_INIT], NULL);
    if (value == NULL) {
        of->origins[KEY_INIT] = SETTING_DEFAULT;
        return true;
    }
    return take_value(r, of, &init, path, value, 0, "experiment", out);
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

/* The slot of a hash: of the run that has it, or the free one for it. */
static int64_t find_slot(const resolver *r, const char *hash)
{
    char first[17] = "";
    memcpy(first, hash, sizeof first - 1);
    int64_t at = (int64_t)(strtoull(first, NULL, 16) & (uint64_t)(r->slot_count - 1));
    while (r->slots[at] >= 0 && strcmp(r->plan->runs[r->slots[at]].run_hash, hash) != 0)
        at = (at + 1) & (r->slot_count - 1);
    return at;
}

/* Keeps half of the slots free. */
static bool reserve_slots(resolver *r, assay_error *error)
{
    if (2 * ((int64_t)r->plan->run_count + 1) <= r->slot_count)
        return true;
    int64_t count = r->slot_count > 0 ? 2 * r->slot_count : 64;
    int *slots = assay_alloc(count * (int64_t)sizeof *slots, error);
    if (slots == NULL)
        return false;
    assay_free(r->slots);
    r->slots = slots;
    r->slot_count = count;
    for (int64_t i = 0; i < count; i++)
        slots[i] = -1;
    for (int i = 0; i < r->plan->run_count; i++)
        slots[find_slot(r, r->plan->runs[i].run_hash)] = i;
    return true;
}

/* Appends a run, which is moved into the plan. */
static bool append_run(resolver *r, draft *of, placed place, assay_error *error)
{
    plan *to = r->plan;
    plan_run *runs = resolve_grow(to->runs, to->run_count, (int64_t)sizeof *runs, error);
    if (runs != NULL)
        to->runs = runs;
    placed *all = resolve_grow(r->placed, to->run_count, (int64_t)sizeof *all, error);
    if (all != NULL)
        r->placed = all;
    if (runs == NULL || all == NULL)
        return false;
    runs[to->run_count] = of->run;
    all[to->run_count++] = place;
    of->run = (plan_run){0};
    return true;
}

/* The run as it stands in the plan: a new one, or the one that it equals, which belongs to the later
 * stage then. A run that equals another has its inputs, so the height stays. */
static int place_run(resolver *r, draft *of)
{
    plan *to = r->plan;
    bool is_main = of->stage->split != NULL;
    placed place = {.height = of->height, .stage = is_main ? INT_MAX : of->stage->order};
    int found = -1;
    if (reserve_slots(r, &r->script->error)) {
        int64_t slot = find_slot(r, of->run.run_hash);
        found = r->slots[slot];
        if (found >= 0 && place.stage > r->placed[found].stage) {
            plan_run swap = to->runs[found];
            to->runs[found] = of->run;
            of->run = swap;
            r->placed[found].stage = place.stage;
        } else if (found < 0 && append_run(r, of, place, &r->script->error)) {
            found = r->slots[slot] = to->run_count - 1;
        }
    }
    plan_run_clear(&of->run);
    return found;
}

int resolve_run(resolver *r, node *stage, int64_t seed, bool paired)
{
    draft of = {.stage = stage, .paired = paired};
    of.run.recipe.init = SETTING_NONE;
    if (!seed_of(r, stage, seed, &of.paired, &of.run.recipe.seed) || !take_recipe(r, &of) ||
        !finish(r, &of)) {
        plan_run_clear(&of.run);
        return -1;
    }
    return place_run(r, &of);
}
