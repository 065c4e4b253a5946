/* plan.c - the plan of an experiment: its runs, axes, parameters, inputs and plugins. */
#include "lab/store/connection.h"

#include <assay/memory.h>

static bool put_axes(store_connection *db, int64_t experiment, int64_t cell,
                     const store_planned_run *run, assay_error *error)
{
    bool ok = connection_do(db, SQL_CLEAR_AXES, error, "ii", experiment, cell);
    for (int i = 0; i < run->n_axes && ok; i++) {
        const store_axis *axis = &run->axes[i];
        ok = axis->is_number ? connection_do(db, SQL_PUT_AXIS, error, "iittr", experiment, cell,
                                             axis->name, axis->value, axis->number)
                             : connection_do(db, SQL_PUT_AXIS, error, "iittn", experiment, cell,
                                             axis->name, axis->value);
    }
    return ok;
}

static bool put_param(store_connection *db, int64_t run, const store_param *param,
                      assay_error *error)
{
    if (param->text != NULL)
        return connection_do(db, SQL_PUT_PARAM, error, "itntt", run, param->key, param->text,
                             param->origin);
    const char *nonfinite = store_nonfinite(param->number);
    if (nonfinite != NULL)
        return connection_do(db, SQL_PUT_PARAM, error, "itntt", run, param->key, nonfinite,
                             param->origin);
    return connection_do(db, SQL_PUT_PARAM, error, "itrnt", run, param->key, param->number,
                         param->origin);
}

static bool put_details(store_connection *db, int64_t id, const store_planned_run *run,
                        assay_error *error)
{
    bool ok = true;
    for (int i = 0; i < run->n_params && ok; i++)
        ok = put_param(db, id, &run->params[i], error);
    for (int i = 0; i < run->n_plugins && ok; i++) {
        const store_plugin *plugin = &run->plugins[i];
        ok = connection_do(db, SQL_PUT_PLUGIN, error, "ittttt", id, plugin->kind, plugin->name,
                           plugin->version, plugin->abi, plugin->sha256);
    }
    return ok;
}

/* The run and its place in the experiment, counted from 0. */
static bool put_run(store_connection *db, int64_t experiment, int64_t position,
                    const store_planned_run *run, int64_t *id, assay_error *error)
{
    int64_t cell = -1;
    return connection_do(db, SQL_PUT_CELL, error, "t", run->cell_hash) &&
           connection_number(db, SQL_GET_CELL, &cell, error, "t", run->cell_hash) &&
           connection_do(db, SQL_PUT_RUN, error, "tiiitt", run->run_hash, cell, run->seed,
                         run->total_steps, run->device, run->dataset) &&
           connection_number(db, SQL_GET_RUN, id, error, "t", run->run_hash) &&
           connection_do(db, SQL_PUT_EXPERIMENT_RUN, error, "iitti", experiment, *id, run->stage,
                         run->label, position) &&
           put_axes(db, experiment, cell, run, error) && put_details(db, *id, run, error);
}

/* After all runs, for an input may stand later in the plan. */
static bool put_inputs(store_connection *db, int64_t id, const store_planned_run *run,
                       assay_error *error)
{
    for (int i = 0; i < run->n_inputs; i++) {
        int64_t input = -1;
        if (!connection_number(db, SQL_GET_RUN, &input, error, "t", run->inputs[i].run_hash))
            return false;
        if (input < 0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = db->path,
                              .what = assay_text("input %s is no run of the plan or the store",
                                                 run->inputs[i].name),
                              .got = run->inputs[i].run_hash);
        if (!connection_do(db, SQL_PUT_INPUT, error, "itt", id, run->inputs[i].name,
                           run->inputs[i].run_hash))
            return false;
    }
    return true;
}

bool store_put_plan(store_handle *store, const char *experiment, int n_runs,
                    const store_planned_run *runs, int64_t *run_ids, assay_error *error)
{
    store_connection *db = &store->main;
    int64_t id = -1;
    int64_t *ids = assay_zalloc((int64_t)n_runs * (int64_t)sizeof *ids, error);
    if (ids == NULL)
        return false;
    bool ok = store_begin(store, false, error);
    if (ok) {
        ok = connection_do(db, SQL_PUT_EXPERIMENT, error, "ti", experiment,
                           store->system->now_ms()) &&
             connection_number(db, SQL_GET_EXPERIMENT, &id, error, "t", experiment) &&
             connection_do(db, SQL_RETIRE_PLAN, error, "i", id);
        for (int i = 0; i < n_runs && ok; i++)
            ok = put_run(db, id, i, &runs[i], &ids[i], error);
        for (int i = 0; i < n_runs && ok; i++)
            ok = put_inputs(db, ids[i], &runs[i], error);
        ok = store_commit(store, ok, error);
    }
    for (int i = 0; i < n_runs && ok && run_ids != NULL; i++)
        run_ids[i] = ids[i];
    assay_free(ids);
    return ok;
}

bool store_put_param(store_handle *store, store_lease *lease, const store_param *param,
                     assay_error *error)
{
    if (!store_begin(store, false, error))
        return false;
    bool ok = lease_holds(&store->main, lease, error) &&
              put_param(&store->main, lease->run_id, param, error);
    return store_commit(store, ok, error);
}
