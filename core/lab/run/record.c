/* record.c - the plan into the store's rows (record.h). */
#include "lab/run/record.h"

#include <assay/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct used_plugin {
    char version[16], abi[16];
} used_plugin;

static void *take(assay_arena *arena, int64_t n, size_t size, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, n, (int64_t)size)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "the plan is too large");
        return NULL;
    }
    return assay_arena_alloc(arena, bytes, error);
}

static bool put_axes(const plan_run *run, assay_arena *arena, store_planned_run *out,
                     assay_error *error)
{
    store_axis *axes = take(arena, run->axis_count, sizeof *axes, error);
    for (int i = 0; axes != NULL && i < run->axis_count; i++)
        axes[i] = (store_axis){.name = run->axes[i].name,
                               .value = run->axes[i].value,
                               .is_number = run->axes[i].is_number,
                               .number = run->axes[i].number};
    out->n_axes = run->axis_count;
    out->axes = axes;
    return axes != NULL;
}

/* A parameter that waits for a stage's score is written when the score is known. */
static bool is_awaited(const plan_run *run, const char *key)
{
    for (int i = 0; i < run->input_count; i++)
        if (run->inputs[i].is_score && strcmp(run->inputs[i].name, key) == 0)
            return true;
    return false;
}

static bool put_params(const plan_run *run, assay_arena *arena, store_planned_run *out,
                       assay_error *error)
{
    store_param *params = take(arena, run->param_count, sizeof *params, error);
    for (int i = 0; params != NULL && i < run->param_count; i++) {
        const plan_param *from = &run->params[i];
        if (!is_awaited(run, from->key))
            params[out->n_params++] = (store_param){.key = from->key,
                                                    .text = from->text,
                                                    .number = from->number,
                                                    .origin = setting_origin_name(from->origin)};
    }
    out->params = params;
    return params != NULL;
}

static bool put_inputs(const plan *of, const plan_run *run, assay_arena *arena,
                       store_planned_run *out, assay_error *error)
{
    store_input *inputs = take(arena, run->input_count, sizeof *inputs, error);
    for (int i = 0; inputs != NULL && i < run->input_count; i++)
        inputs[i] = (store_input){.name = run->inputs[i].name,
                                  .run_hash = of->runs[run->inputs[i].run].run_hash};
    out->n_inputs = run->input_count;
    out->inputs = inputs;
    return inputs != NULL;
}

static bool put_plugin(const settings *use, assay_arena *arena, store_plugin *out, int *n,
                       assay_error *error)
{
    const plugin *from = use->plugin;
    if (from == NULL)
        return true;
    used_plugin *text = take(arena, 1, sizeof *text, error);
    if (text == NULL)
        return false;
    snprintf(text->version, sizeof text->version, "%d", (int)from->version);
    snprintf(text->abi, sizeof text->abi, "%u.%u", (unsigned)(from->abi >> 16),
             (unsigned)(from->abi & 0xFFFF));
    out[(*n)++] = (store_plugin){.kind = plugin_kind_name(from->kind),
                                 .name = from->name,
                                 .version = text->version,
                                 .abi = text->abi,
                                 .sha256 = from->sha256};
    return true;
}

static bool put_plugin_list(int count, const settings *list, assay_arena *arena, store_plugin *out,
                            int *n, assay_error *error)
{
    for (int i = 0; i < count; i++)
        if (!put_plugin(&list[i], arena, out, n, error))
            return false;
    return true;
}

static bool put_plugins(const recipe *of, assay_arena *arena, store_planned_run *out,
                        assay_error *error)
{
    int most = 3 + of->adapter_count + of->loss_count + of->evaluator_count;
    store_plugin *plugins = take(arena, most, sizeof *plugins, error);
    int *n = &out->n_plugins;
    out->plugins = plugins;
    return plugins != NULL && put_plugin(&of->dataset, arena, plugins, n, error) &&
           put_plugin(&of->model, arena, plugins, n, error) &&
           put_plugin(&of->mask, arena, plugins, n, error) &&
           put_plugin_list(of->adapter_count, of->adapters, arena, plugins, n, error) &&
           put_plugin_list(of->loss_count, of->losses, arena, plugins, n, error) &&
           put_plugin_list(of->evaluator_count, of->evaluators, arena, plugins, n, error);
}

static bool put_run(const plan *of, int i, const char *device, assay_arena *arena,
                    store_planned_run *out, assay_error *error)
{
    const plan_run *run = &of->runs[i];
    const setting *steps = settings_get(&run->recipe.train, "steps");
    *out = (store_planned_run){.run_hash = run->run_hash,
                               .cell_hash = run->cell_hash,
                               .seed = run->recipe.seed,
                               .total_steps = steps == NULL ? 0 : (int64_t)steps->number,
                               .device = device,
                               .dataset = run->dataset,
                               .stage = run->stage,
                               .label = run->label};
    return put_axes(run, arena, out, error) && put_params(run, arena, out, error) &&
           put_inputs(of, run, arena, out, error) && put_plugins(&run->recipe, arena, out, error);
}

bool record_plan(const plan *of, const char *device, store_handle *store, int64_t *run_ids,
                 assay_error *error)
{
    assay_arena *arena = assay_arena_new(0, error);
    store_planned_run *runs = NULL;
    bool ok = arena != NULL;
    if (ok)
        runs = take(arena, of->run_count, sizeof *runs, error);
    ok = runs != NULL;
    for (int i = 0; i < of->run_count && ok; i++)
        ok = put_run(of, i, device, arena, &runs[i], error);
    ok = ok && store_put_plan(store, of->name, of->run_count, runs, run_ids, error);
    assay_arena_free(arena);
    return ok;
}

/* ---- back ---- */

typedef struct known_run {
    const char *hash;
    int run;
} known_run;

typedef struct lookup {
    known_run *runs; /* sorted by hash */
    int count, found;
    int64_t *run_ids;
    bool *done;
} lookup;

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const known_run *)a)->hash, ((const known_run *)b)->hash);
}

/* A row of (run_id, run_hash, whether it is done). */
static bool take_row(void *user, int columns, const char *const *names, const store_cell *cells)
{
    lookup *to = user;
    (void)columns;
    (void)names;
    if (cells == NULL || cells[1].text == NULL)
        return true;
    known_run key = {.hash = cells[1].text};
    const known_run *found = bsearch(&key, to->runs, (size_t)to->count, sizeof *to->runs, by_hash);
    if (found == NULL)
        return true;
    to->run_ids[found->run] = cells[0].integer;
    if (to->done != NULL)
        to->done[found->run] = cells[2].integer != 0;
    to->found++;
    return true;
}

bool record_read(const plan *of, const char *store_path, int64_t *run_ids, bool *done,
                 assay_error *error)
{
    lookup to = {.count = of->run_count, .run_ids = run_ids, .done = done};
    to.runs = assay_alloc(of->run_count * (int64_t)sizeof *to.runs, error);
    if (to.runs == NULL)
        return false;
    for (int i = 0; i < of->run_count; i++)
        to.runs[i] = (known_run){.hash = of->runs[i].run_hash, .run = i};
    qsort(to.runs, (size_t)to.count, sizeof *to.runs, by_hash);
    bool ok = store_query(store_path, "SELECT run_id, run_hash, status = 'done' FROM run",
                          (store_query_limits){0}, take_row, &to, error);
    if (ok && to.found != of->run_count)
        ok = ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = store_path,
                        .what = "the store does not know all runs of this plan",
                        .expected = assay_text("%d runs", of->run_count),
                        .got = assay_text("%d", to.found), .hint = "run the script again");
    assay_free(to.runs);
    return ok;
}
