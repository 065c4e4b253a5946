/* plans.c - see plans.h. */
#include "plans.h"

#include "lab/train/fixture.h"

#include <assay/hash.h>
#include <assay/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must_have(void *block)
{
    if (block == NULL)
        abort();
    return block;
}

static char *copy(const char *text)
{
    return must_have(assay_strdup(text, NULL));
}

/* ---- recipes ---- */

static void make_list(settings **list, int *count, assay_kind kind, int n, const char *const *names)
{
    *list = must_have(assay_zalloc((n + 1) * (int64_t)sizeof **list, NULL));
    *count = n;
    for (int i = 0; i < n; i++)
        set_plugin(&(*list)[i], kind, names[i]);
}

static void make_recipe(recipe *r, const plan_shape *shape, int64_t seed)
{
    static const char *const losses[] = {"toy_contrast", "toy_next"};
    static const char *const evaluators[] = {"toy_probe"};
    *r = (recipe){.seed = seed, .init = SETTING_NONE};
    set_plugin(&r->dataset, ASSAY_KIND_DATASET, "toy");
    set_plugin(&r->model, ASSAY_KIND_MODEL, "toy_encoder");
    set_plugin(&r->mask, ASSAY_KIND_MASK, "toy_ramp");
    make_list(&r->losses, &r->loss_count, ASSAY_KIND_LOSS, 2, losses);
    make_list(&r->evaluators, &r->evaluator_count, ASSAY_KIND_EVALUATOR, 1, evaluators);
    if (!settings_defaults_of(&r->train, "train", train_table_count, train_table, NULL))
        abort();
    set_number(&r->train, "steps", shape->steps);
    set_number(&r->train, "batch", 16);
    set_number(&r->train, "checkpoint_every", shape->checkpoint_every);
    set_number(&r->train, "evaluate_every", shape->evaluate_every);
    set_number(&r->train, "lr", 0.01);
    set_number(&r->dataset, "size", shape->size);
}

/* A loss that fails at step 1 in place of the others. */
static void break_recipe(recipe *r)
{
    set_plugin(&r->losses[1], ASSAY_KIND_LOSS, "toy_broken");
    set_text(&r->losses[1], "how", "error");
    set_number(&r->losses[1], "step", 1);
}

/* ---- identity ---- */

static void add_text(assay_sha256 *hash, const char *text)
{
    assay_sha256_add(hash, text, strlen(text) + 1);
}

static void add_settings(assay_sha256 *hash, const settings *s)
{
    add_text(hash, s->label);
    for (int i = 0; i < s->count; i++) {
        if (s->plugin == NULL && train_option_is_attempt(s->options[i].name))
            continue;
        char *text = must_have(setting_text(&s->options[i], &s->values[i], NULL));
        add_text(hash, s->options[i].name);
        add_text(hash, text);
        assay_free(text);
    }
}

/* Numbers of runs are of no importance to a hash: inputs go in by their own hashes. */
static void identify(const plan *p, plan_run *run)
{
    assay_sha256 hash;
    uint8_t digest[32];
    const recipe *r = &run->recipe;
    assay_sha256_begin(&hash);
    add_settings(&hash, &r->dataset);
    add_settings(&hash, &r->model);
    add_settings(&hash, &r->mask);
    for (int i = 0; i < r->loss_count; i++)
        add_settings(&hash, &r->losses[i]);
    add_settings(&hash, &r->train);
    for (int i = 0; i < run->input_count; i++) {
        add_text(&hash, run->inputs[i].name);
        add_text(&hash, p->runs[run->inputs[i].run].run_hash);
    }
    assay_sha256 cell = hash;
    assay_sha256_end(&cell, digest);
    assay_sha256_hex(digest, run->cell_hash);
    assay_sha256_add(&hash, &r->seed, sizeof r->seed);
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, run->run_hash);
}

/* ---- runs ---- */

static plan_run *add_run(plan *p, const plan_shape *shape, const char *stage, int64_t seed)
{
    plan_run *run = &p->runs[p->run_count++];
    *run = (plan_run){.stage = copy(stage), .label = copy("-"), .dataset = "toy:1"};
    make_recipe(&run->recipe, shape, seed);
    run->inputs = must_have(assay_zalloc(2 * (int64_t)sizeof *run->inputs, NULL));
    run->params = must_have(assay_zalloc(2 * (int64_t)sizeof *run->params, NULL));
    run->axes = must_have(assay_zalloc((int64_t)sizeof *run->axes, NULL));
    run->params[run->param_count++] =
        (plan_param){.key = copy("train.lr"), .number = 0.01, .origin = SETTING_SCRIPT};
    return run;
}

static void add_axis(plan_run *run, const char *name, double value)
{
    char text[32], label[96];
    snprintf(text, sizeof text, "%g", value);
    snprintf(label, sizeof label, "%s=%s", name, text);
    run->axes[run->axis_count++] =
        (plan_axis){.name = copy(name), .value = copy(text), .is_number = true, .number = value};
    assay_free(run->label);
    run->label = copy(label);
}

static void take_weights(plan_run *run, int from)
{
    run->recipe.init.given = true;
    run->recipe.init.stage = from;
    run->inputs[run->input_count++] = (plan_input){.name = copy("init"), .run = from};
}

static void take_score(plan_run *run, settings *use, const char *option, const char *key, int from,
                       const char *path)
{
    setting *value = settings_get(use, option);
    value->number = (double)NAN;
    value->score_run = from;
    value->score_path = copy(path);
    value->origin = SETTING_STAGE;
    run->inputs[run->input_count++] =
        (plan_input){.name = copy(key), .run = from, .is_score = true};
    run->params[run->param_count++] =
        (plan_param){.key = copy(key), .text = copy("score"), .origin = SETTING_STAGE};
}

static void fill_stages(plan *p, const plan_shape *shape)
{
    identify(p, add_run(p, shape, "base", 0));
    for (int cell = 0; cell < 2; cell++)
        for (int seed = 0; seed < shape->seeds; seed++) {
            plan_run *run = add_run(p, shape, "main", seed);
            set_number(&run->recipe.train, "warmup", 0.2 * (cell + 1));
            add_axis(run, "train.warmup", 0.2 * (cell + 1));
            take_weights(run, 0);
            identify(p, run);
        }
}

static void fill_score(plan *p, const plan_shape *shape)
{
    identify(p, add_run(p, shape, "base", 0));
    for (int seed = 0; seed < shape->seeds; seed++) {
        plan_run *run = add_run(p, shape, "main", seed);
        recipe *r = &run->recipe;
        if (strcmp(shape->kind, "large") == 0)
            take_score(run, &r->model, "vocabulary", "model.vocabulary", 0, "toy/sign/auc@valid");
        else
            take_score(run, &r->losses[0], "margin", "loss.toy_contrast.margin", 0,
                       strcmp(shape->kind, "score") == 0 ? "toy/sign/auc@valid" : "toy/ks@valid");
        identify(p, run);
    }
}

static void fill_broken(plan *p, const plan_shape *shape)
{
    plan_run *bad = add_run(p, shape, "bad", 0);
    break_recipe(&bad->recipe);
    identify(p, bad);
    plan_run *run = add_run(p, shape, "main", 0);
    take_weights(run, 0);
    identify(p, run);
    identify(p, add_run(p, shape, "main2", 0));
}

plan *plan_make(const plan_shape *shape)
{
    int most = 2 * shape->seeds + 3;
    plan *p = must_have(assay_zalloc((int64_t)sizeof *p, NULL));
    p->name = copy(shape->kind);
    p->runs = must_have(assay_zalloc(most * (int64_t)sizeof *p->runs, NULL));
    p->sources = must_have(assay_zalloc((int64_t)sizeof *p->sources, NULL));
    p->source_count = 1;
    p->sources[0] =
        (plan_source){.name = copy("toy.lua"), .text = copy("-- toy"), .is_script = true};
    if (strcmp(shape->kind, "plain") == 0)
        for (int seed = 0; seed < shape->seeds; seed++)
            identify(p, add_run(p, shape, "main", seed));
    else if (strcmp(shape->kind, "stages") == 0)
        fill_stages(p, shape);
    else if (strcmp(shape->kind, "broken") == 0)
        fill_broken(p, shape);
    else
        fill_score(p, shape);
    return p;
}

/* ---- texts ---- */

void plan_shape_write(const plan_shape *shape, char *out, size_t size)
{
    snprintf(out, size, "%s %d %d %d %d %d", shape->kind, shape->seeds, shape->steps,
             shape->checkpoint_every, shape->evaluate_every, shape->size);
}

bool plan_shape_read(const char *text, char kind[16], plan_shape *out)
{
    out->kind = kind;
    return sscanf(text, "%15s %d %d %d %d %d", kind, &out->seeds, &out->steps,
                  &out->checkpoint_every, &out->evaluate_every, &out->size) == 6;
}
