/* plan.c - a script to its plan: read it, take --set, name the axes, and make a run of every
 * choice. */
#include "lab/script/script.h"

#include <assay/file.h>

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_BYTES (4LL << 20)
#define MOST_RUNS    100000

/* ---- the plan's life ---- */

void plan_run_clear(plan_run *run)
{
    recipe_clear(&run->recipe);
    assay_free(run->stage);
    assay_free(run->label);
    for (int i = 0; i < run->axis_count; i++) {
        assay_free(run->axes[i].name);
        assay_free(run->axes[i].value);
    }
    for (int i = 0; i < run->input_count; i++)
        assay_free(run->inputs[i].name);
    for (int i = 0; i < run->param_count; i++) {
        assay_free(run->params[i].key);
        assay_free(run->params[i].text);
    }
    assay_free(run->axes);
    assay_free(run->inputs);
    assay_free(run->params);
    *run = (plan_run){0};
}

static void free_sources(plan_source *sources, int count)
{
    for (int i = 0; i < count; i++) {
        assay_free(sources[i].name);
        assay_free(sources[i].text);
    }
    assay_free(sources);
}

void plan_free(plan *of)
{
    if (of == NULL)
        return;
    for (int i = 0; i < of->run_count; i++)
        plan_run_clear(&of->runs[i]);
    free_sources(of->sources, of->source_count);
    assay_free(of->runs);
    assay_free(of->name);
    assay_free(of);
}

/* ---- reading ---- */

static bool find_script(script *s, assay_error *error)
{
    char copy[4096];
    const char *path = s->request->script;
    if (strlen(path) >= sizeof copy)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
    strcpy(copy, path);
    snprintf(s->file, sizeof s->file, "%s", basename(copy));
    strcpy(copy, path);
    snprintf(s->folder, sizeof s->folder, "%s", dirname(copy));
    return true;
}

/* Runs the script, whose text is kept. */
static bool read_script(script *s, node **out, assay_error *error)
{
    int64_t bytes = 0;
    char *text = assay_read_file(s->request->script, SCRIPT_BYTES, &bytes, error);
    return text != NULL && sandbox_keep(s, s->file, text, true) &&
           sandbox_run(s, s->file, text, bytes, false, out, error);
}

static bool take_experiment(script *s, node *value, assay_error *error)
{
    if (value != NULL && value->type == NODE_STAGE && value->split != NULL) {
        s->experiment = value;
        return true;
    }
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->file,
                      .what = "the script returns no experiment",
                      .expected = "return experiment { ... } at its end",
                      .got = value != NULL ? node_describe(value) : NULL);
}

/* ---- --set ---- */

/* The value is a Lua expression, read in the same sandbox. */
static bool read_override(script *s, const plan_override *of, override *out, assay_error *error)
{
    char text[4096];
    *out = (override){.path = of->path};
    int length = snprintf(text, sizeof text, "return (%s)", of->value);
    if (length >= (int)sizeof text)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->chunk_where,
                          .what = "the value is too long");
    bool blank = of->value[strspn(of->value, " \t")] == '\0';
    if (!blank && !sandbox_run(s, s->chunk_where, text, length, true, &out->value, error)) {
        if (error != NULL && strncmp(error->what, "undeclared global", 17) == 0)
            snprintf(error->hint, sizeof error->hint, "a text stands in quotes: %.60s='\"%.60s\"'",
                     of->path, of->value);
        else if (error != NULL && strstr(error->what, " near ") != NULL)
            snprintf(error->hint, sizeof error->hint,
                     "a value is written as in Lua: 0.1, true, '\"text\"', 'mask.causal {}'");
        return false;
    }
    return out->value != NULL ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->chunk_where, .what = "there is no value",
                      .hint = "'none' is absence; a text stands in quotes");
}

static bool read_overrides(script *s, assay_error *error)
{
    int n = s->request->override_count;
    s->stands = NULL;
    s->overrides = script_alloc(s, (int64_t)n * (int64_t)sizeof *s->overrides);
    if (s->overrides == NULL)
        return false;
    for (int i = 0; i < n; i++) {
        const plan_override *of = &s->request->overrides[i];
        s->chunk_where = script_text(s, assay_text("--set %s", of->path));
        if (s->chunk_where == NULL)
            return false;
        for (int k = 0; k < i; k++)
            if (strcmp(of->path, s->overrides[k].path) == 0)
                return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = s->chunk_where,
                                  .what = "this place is set twice");
        if (!read_override(s, of, &s->overrides[i], error))
            return false;
        s->override_count++;
    }
    s->chunk_where = NULL;
    return true;
}

/* ---- every choice ---- */

static bool make_cell(resolver *r, int64_t trials)
{
    for (r->trial = trials > 0; r->trial <= trials; r->trial++) {
        if (!resolve_experiment(r))
            return false;
        if (r->pass > MOST_RUNS)
            return ASSAY_FAIL(&r->script->error, ASSAY_BAD_INPUT,
                              .where = r->script->experiment->where, .what = "too many runs",
                              .expected = assay_text("at most %d", MOST_RUNS));
    }
    return true;
}

/* The next decision by name is the outermost loop; alternatives may bring decisions of their
 * own. */
static bool make_runs(resolver *r, int64_t trials)
{
    script *s = r->script;
    choice *next = choose_next(s, s->experiment);
    if (s->error.code != ASSAY_OK)
        return false;
    if (next == NULL)
        return make_cell(r, trials);
    bool ok = true;
    for (next->chosen = 0; next->chosen < next->count && ok; next->chosen++)
        ok = make_runs(r, trials);
    next->chosen = -1;
    return ok;
}

/* ---- order: inputs before what they feed, main last ---- */

typedef struct place_of_run {
    bool is_last; /* of main, and no run of a stage needs it */
    int height, from;
} place_of_run;

static int compare_places(const void *a, const void *b)
{
    const place_of_run *x = a, *y = b;
    if (x->is_last != y->is_last)
        return x->is_last - y->is_last;
    if (x->height != y->height)
        return x->height - y->height;
    return x->from - y->from;
}

/* A run's inputs were resolved before it. A run of main that is also what a stage feeds on stands
 * among the stages. */
static void find_places(const resolver *r, place_of_run *places)
{
    const plan *of = r->plan;
    for (int i = 0; i < of->run_count; i++)
        places[i] =
            (place_of_run){strcmp(of->runs[i].stage, "main") == 0, r->standings[i].height, i};
    for (int i = of->run_count - 1; i >= 0; i--)
        for (int k = 0; k < of->runs[i].input_count && !places[i].is_last; k++)
            places[of->runs[i].inputs[k].run].is_last = false;
}

static void renumber_settings(settings *of, const int *to)
{
    for (int i = 0; i < of->count; i++) {
        setting *value = &of->values[i];
        value->stage = value->stage >= 0 ? to[value->stage] : -1;
        value->score_run = value->score_run >= 0 ? to[value->score_run] : -1;
    }
}

static void renumber_run(plan_run *run, const int *to)
{
    recipe *of = &run->recipe;
    settings *single[] = {&of->dataset, &of->model, &of->mask, &of->train};
    for (int i = 0; i < 4; i++)
        renumber_settings(single[i], to);
    for (int i = 0; i < of->adapter_count; i++)
        renumber_settings(&of->adapters[i], to);
    for (int i = 0; i < of->loss_count; i++)
        renumber_settings(&of->losses[i], to);
    for (int i = 0; i < of->evaluator_count; i++)
        renumber_settings(&of->evaluators[i], to);
    of->init.stage = of->init.stage >= 0 ? to[of->init.stage] : -1;
    for (int i = 0; i < run->input_count; i++)
        run->inputs[i].run = to[run->inputs[i].run];
}

static bool order_runs(resolver *r)
{
    plan *of = r->plan;
    int n = of->run_count;
    assay_error *error = &r->script->error;
    place_of_run *places = assay_alloc(n * (int64_t)sizeof *places, error);
    int *to = assay_alloc(n * (int64_t)sizeof *to, error);
    plan_run *ordered = assay_alloc(n * (int64_t)sizeof *ordered, error);
    bool ok = places != NULL && to != NULL && ordered != NULL;
    if (ok) {
        find_places(r, places);
        qsort(places, (size_t)n, sizeof *places, compare_places);
        for (int i = 0; i < n; i++) {
            to[places[i].from] = i;
            ordered[i] = of->runs[places[i].from];
        }
        for (int i = 0; i < n; i++)
            renumber_run(&ordered[i], to);
        assay_free(of->runs);
        of->runs = ordered;
        ordered = NULL;
    }
    assay_free(places);
    assay_free(to);
    assay_free(ordered);
    return ok;
}

static bool resolve_all(resolver *r)
{
    int64_t trials = 0;
    script *s = r->script;
    return choose_name_axes(s) && resolve_seeds(r) && resolve_trials(r, &trials) &&
           make_runs(r, trials) && order_runs(r);
}

/* ---- the whole ---- */

static void close_script(script *s)
{
    for (int i = 0; i < s->checked_count; i++)
        setting_clear(s->checked[i]->checked);
    assay_free(s->checked);
    free_sources(s->sources, s->source_count);
    sandbox_close(s);
    assay_arena_free(s->arena);
}

static bool make_plan(script *s, plan *out, assay_error *error)
{
    resolver r = {.script = s, .plan = out};
    bool ok = resolve_all(&r) || (ASSAY_FAIL(error, s->error.code, .where = s->error.where,
                                             .what = s->error.what, .expected = s->error.expected,
                                             .got = s->error.got, .hint = s->error.hint),
                                  false);
    for (int i = 0; i < r.print_count; i++)
        assay_free(r.prints[i].text);
    assay_free(r.prints);
    assay_free(r.standings);
    assay_free(r.slots);
    return ok;
}

plan *plan_new(const plan_request *request, assay_error *error)
{
    script s = {.request = request};
    node *value = NULL;
    plan *out = assay_zalloc((int64_t)sizeof *out, error);
    s.arena = out != NULL ? assay_arena_new(0, error) : NULL;
    bool ok = s.arena != NULL && find_script(&s, error) && sandbox_open(&s, error) &&
              read_script(&s, &value, error) && take_experiment(&s, value, error) &&
              read_overrides(&s, error);
    if (ok) {
        out->name = assay_strdup(s.experiment->text, error);
        ok = out->name != NULL && make_plan(&s, out, error);
    }
    if (ok) { /* the script's own text first, then the modules as they were required */
        out->sources = s.sources;
        out->source_count = s.source_count;
        s.sources = NULL;
        s.source_count = 0;
    }
    if (!ok && error != NULL && error->code == ASSAY_OK)
        *error = s.error;
    close_script(&s);
    if (!ok) {
        plan_free(out);
        out = NULL;
    }
    return out;
}
