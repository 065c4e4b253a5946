/* walk.c - a set of samples through the network, batch by batch, without gradients. */
#include "lab/train/walk.h"

#include "lab/train/datasets.h"

#include <stdio.h>
#include <string.h>

typedef struct walking { /* with the texts of its messages kept */
    const set_walk *walk;
    char who[128];
} walking;

static bool check_wanted(const walking *w, assay_error *error)
{
    const assay_model_facts *facts = &w->walk->assembly->facts;
    const assay_wanted *wanted = w->walk->wanted;
    for (int i = 0; i < wanted->count; i++) {
        bool found = false;
        for (int k = 0; k < facts->output_count && !found; k++)
            found = strcmp(facts->outputs[k], wanted->names[i]) == 0;
        if (!found)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = w->who,
                              .what =
                                  assay_text("the model has no output '%.60s'", wanted->names[i]));
    }
    return true;
}

static bool show_item(const walking *w, const loader_item *item, int64_t first, assay_visitor visit,
                      void *visitor, assay_error *error)
{
    assembly *a = w->walk->assembly;
    const assay_wanted *wanted = w->walk->wanted;
    assay_tape *tape = w->walk->tape;
    assay_outputs outputs = {0}, ordered = {0};
    assay_tape_begin(tape, (assay_step){.seed = (uint64_t)a->recipe->seed, .no_gradient = true});
    if (!assembly_forward(a, tape, &item->whole, &a->evaluation, wanted, &outputs))
        return assay_tape_failed(tape, error);
    for (int i = 0; i < wanted->count; i++)
        assay_outputs_put(&ordered, wanted, wanted->names[i],
                          assay_outputs_get(&outputs, wanted->names[i]));
    return visit(visitor, first, &item->whole, &ordered, error);
}

static bool show_all(const walking *w, loader *l, assay_visitor visit, void *visitor,
                     assay_error *error)
{
    const loader_item *item = NULL;
    int64_t first = 0;
    bool ok = true;
    while (ok && (item = loader_next(l, NULL, error)) != NULL) {
        ok = show_item(w, item, first, visit, visitor, error);
        first += item->whole.samples;
        if (ok && train_stopping(w->walk->stop))
            ok = ASSAY_FAIL(error, ASSAY_STOPPED, .where = w->who, .what = "asked to end");
    }
    return ok && error->code == ASSAY_OK;
}

bool walk_set(const set_walk *walk, assay_visitor visit, void *visitor, assay_error *error)
{
    const train_options *o = walk->options;
    int64_t size = o->batch / (o->accumulate * o->pieces);
    assay_error own = {0};
    walking w = {.walk = walk};
    loader_plan plan = {
        .assembly = walk->assembly,
        .split = walk->split,
        .benchmark = walk->benchmark,
        .wanted = walk->wanted,
        .phase = ASSAY_EVALUATION,
        .end = data_count(walk->assembly->data, walk->split, walk->benchmark),
        .size = size > 0 ? size : 1,
        .pieces = 1,
        .seed = (uint64_t)walk->assembly->recipe->seed,
    };
    snprintf(w.who, sizeof w.who, "%s", walk->who);
    if (walk->most > 0 && walk->most < plan.end)
        plan.end = walk->most;
    if (!check_wanted(&w, error))
        return false;
    if (plan.end == 0)
        return true;
    loader *l = loader_new(&plan, &own);
    bool ok = l != NULL && show_all(&w, l, visit, visitor, &own);
    loader_free(l);
    if (!ok && error && error->code == ASSAY_OK)
        *error = own;
    return ok;
}

/* ---- losses that begin with a look at the data ---- */

static bool start_each(void *user, int64_t most, const assay_wanted *wanted, assay_visitor visit,
                       void *visitor, assay_error *error)
{
    set_walk walk = *(const set_walk *)user;
    walk.most = most;
    walk.wanted = wanted;
    return walk_set(&walk, visit, visitor, error);
}

bool walk_prepare(assembly *a, const train_options *options, const volatile sig_atomic_t *stop,
                  assay_error *error)
{
    assay_precision precision = assembly_precision(options);
    bool any = false, ok = true;
    for (int i = 0; i < a->loss_count; i++)
        any = any || a->losses[i].part.plugin->loss.prepare;
    if (!any)
        return true;
    set_walk walk = {.assembly = a,
                     .tape = assembly_tape(a, precision, error),
                     .options = options,
                     .stop = stop,
                     .split = data_training_split(a->data, options),
                     .benchmark = ASSAY_NO_BENCHMARK};
    if (!walk.tape)
        return false;
    assembly_network(a, 0);
    for (int i = 0; i < a->loss_count && ok; i++) {
        const assembly_part *part = &a->losses[i].part;
        const assay_loss_start start = {
            .size = sizeof start,
            .user = &walk,
            .samples = data_count(a->data, walk.split, ASSAY_NO_BENCHMARK),
            .each = start_each,
        };
        char who[96];
        snprintf(who, sizeof who, "loss %.80s", part->use->label);
        walk.who = who;
        if (part->plugin->loss.prepare)
            ok = part->plugin->loss.prepare(part->state, &start, error) ||
                 ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = who,
                            .what = "the plugin failed to prepare and said no reason");
    }
    assay_tape_free(walk.tape);
    return ok;
}
