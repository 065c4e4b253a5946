/* reopen.c - the network of a run that has ended, or of published weights, without a run. */
#include "lab/train/checkpoint.h"
#include "lab/train/datasets.h"
#include "lab/train/network.h"
#include "lab/train/positions.h"

#include <assay/memory.h>
#include <assay/weights.h>

struct train_opened {
    recipe bare; /* for published weights: the model and nothing else; its settings are borrowed */
    train_host host;
    networks networks;
    assembly *assembly;
    assay_tape *tape;
};

static bool load_weights(train_opened *opened, const train_reopening *request, assay_error *error)
{
    /* A run's file also holds what its losses own; published files lack the heads of ours. */
    const assay_load_options options = {.allow_unused = true,
                                        .allow_missing = request->published,
                                        .fit = request->published ? positions_fit : NULL,
                                        .find = request->published ? assay_find_published : NULL};
    int64_t loaded = 0;
    assay_weights *weights = assay_weights_open(request->weights, error);
    bool ok =
        weights && assay_params_load(opened->assembly->params, weights, &options, &loaded, error);
    if (ok && loaded == 0)
        ok = ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = request->weights,
                        .what = "it holds none of the model's parameters");
    assay_weights_close(weights);
    return ok && assay_params_train(opened->assembly->params, NULL, false, error) >= 0;
}

static bool open_all(train_opened *opened, const train_reopening *request, assay_error *error)
{
    const recipe *from = request->recipe;
    train_options *o = assembly_train_options(from, error);
    if (!o)
        return false;
    const assay_precision precision = assembly_precision(o);
    int64_t step = request->published ? -1 : checkpoint_step_at(request->weights);
    opened->bare = (recipe){
        .seed = from->seed, .dataset = from->dataset, .model = from->model, .train = from->train};
    assembly_setup setup = {
        .recipe = request->published ? &opened->bare : from,
        .device = request->device,
        .host = &opened->host.host,
        .sources = request->sources,
        .total = o->steps,
        .total_micro = o->steps * o->accumulate,
        .bare = true,
    };
    if (step < 0)
        step = o->steps;
    assay_free(o);
    train_host_init(&opened->host, dataset_pool_cache(request->pool), NULL, NULL);
    setup.data = dataset_pool_get(request->pool, &from->dataset, error);
    if (!setup.data)
        return false;
    networks_init(&opened->networks, &opened->host, &setup, precision);
    opened->assembly = assembly_open(&setup, error);
    if (!opened->assembly || !load_weights(opened, request, error) ||
        (!request->published && !checkpoint_load_mask(opened->assembly, request->weights, error)))
        return false;
    assembly_network(opened->assembly, step);
    opened->tape = assembly_tape(opened->assembly, precision, error);
    return opened->tape != NULL;
}

train_opened *train_reopen(const train_reopening *request, assay_error *error)
{
    train_opened *opened = assay_zalloc((int64_t)sizeof *opened, error);
    if (!opened)
        return NULL;
    if (open_all(opened, request, error))
        return opened;
    train_opened_free(opened);
    return NULL;
}

void train_opened_free(train_opened *opened)
{
    if (!opened)
        return;
    assay_tape_free(opened->tape);
    assembly_close(opened->assembly);
    networks_clear(&opened->networks);
    assay_free(opened);
}

const assay_network *train_opened_network(const train_opened *opened)
{
    return &opened->assembly->network;
}

const assay_data *train_opened_data(const train_opened *opened)
{
    return opened->assembly->data;
}

assay_tape *train_opened_tape(const train_opened *opened)
{
    return opened->tape;
}
