/* loss_toy_teach.c - the distance to a teacher's embeddings: a loss that asks for another stage's
 * model, for the lab's tests. */
#include <assay/loss.h>
#include <assay/ops.h>

typedef struct options {
    assay_weights_source teacher;
    double weight;
} options;

static const assay_option table[] = {
    ASSAY_WEIGHTS(options, teacher, 0, "whose embeddings are taught; needed"),
    ASSAY_NUMBER(options, weight, "", 1.0, 0.0, 1e6, "in the sum of losses"),
};

typedef struct teach {
    const assay_network *network;
    assay_arena *arena; /* of the teacher's batch */
} teach;

static const char *const wanted_names[] = {"user.embedding"};

static bool teach_wants(const void *settings, const char **names, int *count, assay_error *error)
{
    (void)settings;
    (void)error;
    names[0] = wanted_names[0];
    *count = 1;
    return true;
}

static void teach_close(void *loss)
{
    assay_arena_free(((teach *)loss)->arena);
    assay_free(loss);
}

static void *teach_open(const void *settings, const assay_loss_setup *setup, assay_error *error)
{
    const options *o = settings;
    teach *t = assay_zalloc((int64_t)sizeof *t, error);
    if (!t)
        return NULL;
    t->arena = assay_arena_new(0, error);
    t->network = setup->host->network(setup->host->user, &o->teacher, error);
    if (!t->arena || !t->network) {
        teach_close(t);
        return NULL;
    }
    return t;
}

/* The teacher's embeddings of the batch's samples, or NULL with the tape's failure. */
static assay_tensor *ask_teacher(teach *t, assay_tape *tape, const assay_batch *batch)
{
    const assay_wanted wanted = {1, wanted_names};
    const assay_collation in = {.samples = batch->sample,
                                .count = batch->samples,
                                .phase = ASSAY_EVALUATION,
                                .wanted = &wanted,
                                .arena = t->arena};
    assay_batch own = {.samples = batch->samples, .sample = batch->sample, .labels = batch->labels};
    assay_outputs outputs = {0};
    assay_error error = {0};
    assay_arena_reset(t->arena);
    if (!t->network->collate(t->network->user, &in, &own, &error))
        return assay_tape_fail(tape, error.code,
                               (assay_failure){.where = error.where, .what = error.what});
    if (!t->network->run(t->network->user, tape, &own, &wanted, &outputs))
        return NULL;
    return assay_outputs_get(&outputs, wanted_names[0]);
}

static assay_tensor *teach_compute(void *loss, assay_tape *tape, const assay_clock *clock,
                                   const assay_batch *batch, const assay_outputs *outputs)
{
    assay_tensor *ours = assay_outputs_get(outputs, wanted_names[0]);
    assay_tensor *theirs = ask_teacher(loss, tape, batch);
    (void)clock;
    if (!theirs)
        return NULL;
    assay_tensor *difference = assay_sub(tape, ours, theirs);
    return assay_mean(tape, assay_mul(tape, difference, difference));
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = teach_wants,
    .open = teach_open,
    .close = teach_close,
    .compute = teach_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "toy_teach", 1, "embeddings like another model's", options, table,
             functions);
