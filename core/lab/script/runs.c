/* runs.c - a recipe becomes a run of the plan: its data's fingerprint, its axes, its hashes, and
 * the place that it has, or shares with an equal one. */
#include "lab/script/script.h"

#include <limits.h>
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
    if (!resolve_recipe(r, &of) || !finish(r, &of)) {
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
        run_seed seed = {.number = r->seeds[i], .paired = true, .origin = r->seed_origin};
        r->pass++;
        if (resolve_run(r, r->script->experiment, &seed) < 0)
            return false;
    }
    return true;
}
