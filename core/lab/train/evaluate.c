/* evaluate.c - what evaluators ask for: sets through the network, scores, artifacts. */
#include "lab/train/evaluate.h"

#include "lab/train/walk.h"

#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct evaluation {
    const evaluation_setup *setup;
    const char *name; /* of the evaluator */
    assay_tape *tape;
} evaluation;

static bool check_split(const evaluation *e, assay_data_split split, assay_error *error)
{
    if (split != ASSAY_TEST || e->setup->final)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("evaluator %s", e->name),
                      .what = "the test split is looked at before the end of training",
                      .expected = "train and valid in between, test when `final`");
}

/* ---- sets ---- */

static bool evaluation_each(void *user, assay_data_split split, int benchmark,
                            const assay_wanted *wanted, assay_visitor visit, void *visitor,
                            assay_error *error)
{
    const evaluation *e = user;
    const set_walk walk = {
        .assembly = e->setup->assembly,
        .tape = e->tape,
        .options = e->setup->options,
        .stop = e->setup->job->stop,
        .who = assay_text("evaluator %s", e->name),
        .split = split,
        .benchmark = benchmark,
        .wanted = wanted,
    };
    return check_split(e, split, error) && walk_set(&walk, visit, visitor, error);
}

/* ---- results ---- */

static bool evaluation_score(void *user, const assay_score *score, assay_error *error)
{
    const evaluation *e = user;
    bool named = score->suite && score->suite[0] != '\0';
    store_score row = {
        .suite = named ? score->suite : e->name,
        .benchmark = score->benchmark ? score->benchmark : "",
        .metric = score->metric,
        .split = assay_split_name(score->split),
        .step = e->setup->step,
        .value = score->value,
        .low = score->low,
        .high = score->high,
        .n = score->n,
    };
    /* What a device failed to compute is no score. */
    return check_split(e, score->split, error) &&
           assay_device_sound(e->setup->assembly->device, error) &&
           store_put_score(e->setup->writer, &row, error);
}

/* A plain file name: no folder, no hidden file, no control character. */
static bool check_name(const char *name, assay_error *error)
{
    size_t length = strlen(name);
    bool good = length > 0 && length <= 100 && name[0] != '.';
    for (size_t i = 0; i < length && good; i++)
        good = (unsigned char)name[i] > ' ' && name[i] != '/' && name[i] != 127;
    return good ||
           ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = assay_text("artifact '%.80s'", name),
                      .what = "this is no name for a file of the run",
                      .expected = "1 to 100 characters without '/', not beginning with '.'");
}

static bool make_folder(const char *path, assay_error *error)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot make the folder",
                      .got = strerror(errno));
}

static bool evaluation_artifact(void *user, const char *name, const void *data, int64_t bytes,
                                assay_error *error)
{
    const evaluation *e = user;
    const train_job *job = e->setup->job;
    char folder[4096], path[4352], relative[512], sha256[65];
    if (!check_name(name, error) || !store_beat(job->store, job->lease, error))
        return false;
    snprintf(folder, sizeof folder, "%s/artifacts", job->folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(relative, sizeof relative, "%s/artifacts/%s", job->relative, name);
    assay_sha256_of(data, (size_t)bytes, sha256);
    const store_file file = {.path = relative, .sha256 = sha256, .bytes = bytes};
    return make_folder(job->folder, error) && make_folder(folder, error) &&
           assay_publish(path, data, bytes, error) &&
           store_put_artifact(job->store, job->lease, name, &file, error);
}

/* ---- all evaluators ---- */

static bool evaluate_one(const evaluation_setup *setup, const settings *use, assay_tape *tape,
                         assay_error *error)
{
    assembly *a = setup->assembly;
    evaluation e = {.setup = setup, .name = use->label, .tape = tape};
    assay_evaluation given = {
        .size = sizeof given,
        .user = &e,
        .network = &a->network,
        .data = a->data,
        .device = a->device,
        .host = setup->host,
        .seed = (uint64_t)a->recipe->seed,
        .step = setup->step,
        .final = setup->final,
        .each = evaluation_each,
        .score = evaluation_score,
        .artifact = evaluation_artifact,
    };
    void *options = assembly_options(a, use, error);
    if (!options)
        return false;
    bool ok = use->plugin->evaluator.evaluate(options, &given, error);
    assay_free(options);
    return ok || ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = assay_text("evaluator %s", e.name),
                            .what = "the plugin failed and said no reason");
}

bool evaluate_all(const evaluation_setup *setup, assay_error *error)
{
    assembly *a = setup->assembly;
    const recipe *r = a->recipe;
    bool ok = true;
    if (r->evaluator_count == 0)
        return true;
    assay_tape *tape = assembly_tape(a, assembly_precision(setup->options), error);
    if (!tape)
        return false;
    assembly_network(a, setup->step);
    for (int i = 0; i < r->evaluator_count && ok; i++) {
        setup->doing(setup->user, r->evaluators[i].label);
        ok = evaluate_one(setup, &r->evaluators[i], tape, error);
    }
    assay_tape_free(tape);
    return ok;
}
