/* network.c - frozen models beside the run's own: a distillation's teacher.
 *
 * A teacher's pass runs on a tape of its own, in evaluation, and its outputs are copied to the
 * caller's as constants: neither the caller's taps, scopes, dropout nor adapters can reach into it.
 * Weights of a stage come with that stage's recipe (model, adapters, mask) and the mask's state.
 * Published weights have none: they fill a model of the run's own options, with its own
 * attention. */
#include "lab/train/network.h"

#include "lab/train/checkpoint.h"
#include "lab/train/positions.h"

#include <assay/memory.h>
#include <assay/weights.h>

#include <string.h>

typedef struct teacher {
    const void *stage; /* of the source; NULL: by path */
    char *path;
    recipe own; /* for published weights: the run's model and nothing else */
    assembly *assembly;
    assay_tape *tape;
    assay_network network;
    struct teacher *next;
} teacher;

static void teacher_free(teacher *t)
{
    assay_tape_free(t->tape);
    assembly_close(t->assembly);
    assay_free(t->path);
    assay_free(t);
}

static bool teacher_collate(void *user, const assay_collation *in, assay_batch *out,
                            assay_error *error)
{
    const teacher *t = user;
    return t->assembly->network.collate(t->assembly->network.user, in, out, error);
}

/* A tensor's constant copy on `tape`, and that under the wanted name. */
static bool copy_output(assay_tape *tape, const assay_wanted *wanted, const char *name,
                        const assay_tensor *from, assay_outputs *out)
{
    assay_tensor *copy = assay_tape_copy(tape, from);
    if (copy)
        assay_outputs_put(out, wanted, name, copy);
    return copy != NULL;
}

/* Begins a pass on the teacher's own tape. */
static void begin_pass(const teacher *t)
{
    assay_tape_begin(
        t->tape, (assay_step){.seed = (uint64_t)t->assembly->recipe->seed, .no_gradient = true});
}

/* The failure of the teacher's pass is the caller's. */
static bool pass_failed(const teacher *t, assay_tape *tape)
{
    assay_error error = {0};
    assay_tape_failed(t->tape, &error);
    assay_tape_fail(tape, error.code,
                    (assay_failure){.where = error.where,
                                    .what = error.what,
                                    .expected = error.expected,
                                    .got = error.got,
                                    .hint = error.hint});
    return false;
}

static bool copy_outputs(assay_tape *tape, const assay_wanted *wanted, const assay_outputs *own,
                         assay_outputs *out)
{
    bool ok = true;
    out->count = 0;
    for (int i = 0; i < own->count && ok; i++)
        ok = copy_output(tape, wanted, own->names[i], own->tensors[i], out);
    return ok;
}

static bool teacher_run(void *user, assay_tape *tape, const assay_batch *batch,
                        const assay_wanted *wanted, assay_outputs *out)
{
    const teacher *t = user;
    const assay_network *network = &t->assembly->network;
    assay_outputs own = {0};
    begin_pass(t);
    if (!network->run(network->user, t->tape, batch, wanted, &own))
        return pass_failed(t, tape);
    return copy_outputs(tape, wanted, &own, out);
}

static bool teacher_prefill(void *user, assay_tape *tape, const assay_batch *batch,
                            assay_prefix **out)
{
    const teacher *t = user;
    const assay_network *network = &t->assembly->network;
    begin_pass(t);
    return network->prefill(network->user, t->tape, batch, out) || pass_failed(t, tape);
}

static bool teacher_resume(void *user, assay_tape *tape, const assay_batch *batch,
                           const assay_prefix *const *prefix, const assay_wanted *wanted,
                           assay_outputs *out)
{
    const teacher *t = user;
    const assay_network *network = &t->assembly->network;
    assay_outputs own = {0};
    begin_pass(t);
    if (!network->resume(network->user, t->tape, batch, prefix, wanted, &own))
        return pass_failed(t, tape);
    return copy_outputs(tape, wanted, &own, out);
}

/* ---- opening ---- */

static bool load_teacher(teacher *t, const char *path, assay_error *error)
{
    /* A run's file also holds what its losses own. */
    static const assay_load_options options = {
        .allow_unused = true, .fit = positions_fit, .find = assay_find_published};
    assay_weights *weights = assay_weights_open(path, error);
    bool ok = weights && assay_check_published(t->assembly->params, weights, error) &&
              assay_params_load(t->assembly->params, weights, &options, NULL, error) &&
              assay_params_train(t->assembly->params, NULL, false, error) >= 0;
    assay_weights_close(weights);
    return ok;
}

static bool open_teacher(networks *n, teacher *t, const assay_weights_source *source,
                         assay_error *error)
{
    assembly_setup setup = n->setup;
    const train_sources *sources = setup.sources;
    int64_t steps = 0;
    setup.bare = true;
    setup.trained = 0;
    t->own = (recipe){.seed = n->setup.recipe->seed,
                      .dataset = n->setup.recipe->dataset,
                      .model = n->setup.recipe->model,
                      .train = n->setup.recipe->train};
    setup.recipe = &t->own;
    if (source->stage)
        setup.recipe =
            sources && sources->stage ? sources->stage(sources->user, source->stage) : NULL;
    if (!setup.recipe)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = source->path,
                          .what = "the stage of these weights is not known here");
    train_options *options = assembly_train_options(setup.recipe, error);
    if (!options)
        return false;
    steps = options->steps;
    setup.total = steps;
    setup.total_micro = steps * options->accumulate;
    assay_free(options);
    t->assembly = assembly_open(&setup, error);
    if (!t->assembly)
        return false;
    int64_t step = setup.counting || !source->stage ? -1 : checkpoint_step_at(source->path);
    assembly_network(t->assembly, step >= 0 ? step : steps);
    if (!setup.counting) {
        t->tape = assembly_tape(t->assembly, n->precision, error);
        if (!t->tape || !load_teacher(t, source->path, error) ||
            (source->stage && !checkpoint_load_mask(t->assembly, source->path, error)))
            return false;
    }
    t->network = (assay_network){
        .size = sizeof t->network,
        .user = t,
        .facts = &t->assembly->facts,
        .params = t->assembly->params,
        .collate = teacher_collate,
        .run = teacher_run,
        .prefill = teacher_prefill,
        .resume = teacher_resume,
    };
    return true;
}

static const assay_network *network_of(void *user, const assay_weights_source *source,
                                       assay_error *error)
{
    networks *n = user;
    if (!source->path) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "network", .what = "no weights were given");
        return NULL;
    }
    for (teacher *t = n->teachers; t; t = t->next)
        if (t->stage == source->stage && strcmp(t->path, source->path) == 0)
            return &t->network;
    teacher *t = assay_zalloc((int64_t)sizeof *t, error);
    if (!t)
        return NULL;
    t->stage = source->stage;
    t->path = assay_strdup(source->path, error);
    if (!t->path || !open_teacher(n, t, source, error)) {
        teacher_free(t);
        return NULL;
    }
    t->next = n->teachers;
    n->teachers = t;
    return &t->network;
}

void networks_init(networks *n, train_host *host, const assembly_setup *setup,
                   assay_precision precision)
{
    *n = (networks){.setup = *setup, .precision = precision};
    host->networks = n;
    host->network = network_of;
}

void networks_clear(networks *n)
{
    while (n->teachers) {
        teacher *next = n->teachers->next;
        teacher_free(n->teachers);
        n->teachers = next;
    }
}
