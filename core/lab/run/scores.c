/* scores.c - scores of stages become options (scores.h). */
#include "lab/run/scores.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct score_task {
    const plan *plan;
    const int64_t *run_ids;
    store_handle *store;
    store_lease *lease; /* NULL: nothing is recorded */
} score_task;

/* "SUITE/METRIC@SPLIT" or "SUITE/BENCHMARK/METRIC@SPLIT", taken apart in place. */
static bool split_path(char *path, store_score_name *out)
{
    char *at = strrchr(path, '@');
    char *first = strchr(path, '/');
    if (at == NULL || first == NULL || first > at)
        return false;
    *at = *first = '\0';
    char *second = strchr(first + 1, '/');
    if (second != NULL)
        *second = '\0';
    *out = (store_score_name){.suite = path,
                              .benchmark = second == NULL ? "" : first + 1,
                              .metric = second == NULL ? first + 1 : second + 1,
                              .split = at + 1};
    return true;
}

/* The place of a score for messages: "stage 'small', run 3: toy/sign/auc@valid". */
static const char *name_score(const score_task *task, const setting *value)
{
    return assay_text("stage '%s', run %lld: %s", task->plan->runs[value->score_run].stage,
                      (long long)task->run_ids[value->score_run], value->score_path);
}

static bool read_score(const score_task *task, const setting *value, double *out,
                       assay_error *error)
{
    char path[512];
    store_score_name name;
    bool found = false;
    int length = snprintf(path, sizeof path, "%s", value->score_path);
    if (length >= (int)sizeof path || !split_path(path, &name))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = value->score_path,
                          .what = "this names no score",
                          .expected = "SUITE/METRIC or SUITE/BENCHMARK/METRIC");
    if (!store_last_score(task->store, task->run_ids[value->score_run], &name, out, &found, error))
        return false;
    if (!found)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = name_score(task, value),
                          .what = "the stage is done and has no such score",
                          .hint = "'assay show' of that run lists its scores");
    return isfinite(*out) || ASSAY_FAIL(error, ASSAY_NOT_FINITE, .where = name_score(task, value),
                                        .what = "the score that an option waits for is no number",
                                        .got = store_nonfinite(*out));
}

static bool record(const score_task *task, const char *key, const setting *value,
                   assay_error *error)
{
    store_param param = {
        .key = key, .number = value->number, .origin = setting_origin_name(SETTING_STAGE)};
    return task->lease == NULL || store_put_param(task->store, task->lease, &param, error);
}

static bool resolve_one(const score_task *task, settings *group, int i, const char *prefix,
                        assay_error *error)
{
    const assay_option *option = &group->options[i];
    setting *value = &group->values[i];
    char where[256];
    if (!read_score(task, value, &value->number, error))
        return false;
    if (option->type == ASSAY_OPTION_SCHEDULE) /* a constant one: the script made room for it */
        value->numbers[0] = value->number;
    value->origin = SETTING_STAGE;
    snprintf(where, sizeof where, "%s", name_score(task, value));
    if (!setting_check(option, value, settings_owner(group), ".", where, error))
        return false;
    return record(task, assay_text("%s.%s", prefix, option->name), value, error);
}

/* `word` is the part of the recipe, as parameters are named: "mask", "loss". */
static bool resolve_group(const score_task *task, settings *group, const char *word, bool labelled,
                          assay_error *error)
{
    char prefix[128];
    if (labelled)
        snprintf(prefix, sizeof prefix, "%s.%s", word, group->label);
    else
        snprintf(prefix, sizeof prefix, "%s", word);
    for (int i = 0; i < group->count; i++)
        if (group->values[i].score_run >= 0 && !resolve_one(task, group, i, prefix, error))
            return false;
    return true;
}

static bool resolve_list(const score_task *task, int n, settings *list, const char *word,
                         assay_error *error)
{
    for (int i = 0; i < n; i++)
        if (!resolve_group(task, &list[i], word, true, error))
            return false;
    return true;
}

bool scores_resolve(const plan *of, int run, const int64_t *run_ids, store_handle *store,
                    store_lease *lease, recipe *out, assay_error *error)
{
    const score_task task = {.plan = of, .run_ids = run_ids, .store = store, .lease = lease};
    if (!recipe_copy(out, &of->runs[run].recipe, error))
        return false;
    bool ok = resolve_group(&task, &out->dataset, "dataset", false, error) &&
              resolve_group(&task, &out->model, "model", false, error) &&
              resolve_group(&task, &out->mask, "mask", false, error) &&
              resolve_group(&task, &out->train, "train", false, error) &&
              resolve_list(&task, out->adapter_count, out->adapters, "adapter", error) &&
              resolve_list(&task, out->loss_count, out->losses, "loss", error) &&
              resolve_list(&task, out->evaluator_count, out->evaluators, "evaluate", error);
    if (!ok)
        recipe_clear(out);
    return ok;
}
