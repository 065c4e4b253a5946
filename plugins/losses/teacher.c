/* teacher.c - a frozen network that answers for the student's batch (teacher.h). */
#include "teacher.h"

#include <assay/memory.h>
#include <assay/ops.h>

#include <inttypes.h>

static bool check_layer(const teacher *t, const char *where, assay_error *error)
{
    const assay_model_facts *facts = t->network->facts;
    const int64_t most = facts->layers < ASSAY_VIT_LAYERS ? facts->layers : ASSAY_VIT_LAYERS;
    if (t->layer < 0 || t->layer >= most)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = where,
                          .what = "the teacher has no such layer",
                          .expected = assay_text("1 to %" PRId64, most),
                          .got = assay_text("teacher_layer %" PRId64, t->layer + 1));
    for (int i = 0; i < facts->output_count; i++)
        if (assay_same_text(facts->outputs[i], t->output))
            return true;
    return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = where,
                      .what = assay_text("the teacher has no output %s", t->output),
                      .hint = "model.vit shows every layer");
}

bool teacher_open(teacher *t, const assay_loss_setup *setup, const assay_weights_source *source,
                  int64_t layer, const char *const outputs[], const char *where, assay_error *error)
{
    *t = (teacher){0};
    t->network = setup->host->network(setup->host->user, source, error);
    if (!t->network)
        return false;
    t->layer = (layer > 0 ? layer : t->network->facts->layers) - 1;
    t->output = outputs[t->layer < ASSAY_VIT_LAYERS ? t->layer : 0];
    if (!check_layer(t, where, error))
        return false;
    const int64_t theirs = t->network->facts->tokens, ours = setup->facts->tokens;
    if (theirs != ours)
        return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = where,
                          .what = "the teacher sees other tokens than the student",
                          .expected = assay_text("%" PRId64 " tokens, as the student", ours),
                          .got = assay_text("%" PRId64, theirs),
                          .hint = "image and patch are the same in both models");
    t->arena = assay_arena_new(0, error);
    return t->arena != NULL;
}

void teacher_close(teacher *t)
{
    assay_arena_free(t->arena);
    t->arena = NULL;
}

static assay_tensor *failed(assay_tape *tape, const assay_error *own)
{
    return assay_tape_fail(tape, own->code,
                           (assay_failure){.where = own->where,
                                           .what = own->what,
                                           .expected = own->expected,
                                           .got = own->got,
                                           .hint = own->hint});
}

assay_tensor *teacher_ask(teacher *t, assay_tape *tape, const assay_batch *batch)
{
    const assay_wanted wanted = {1, &t->output};
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
        return failed(tape, &error);
    if (!t->network->run(t->network->user, tape, &own, &wanted, &outputs))
        return NULL;
    return assay_outputs_get(&outputs, t->output);
}

int64_t teacher_heads(const assay_params *params, int64_t layer)
{
    const assay_stack *stack = params ? assay_stack_find(params, ASSAY_STACK_VIT, NULL) : NULL;
    if (!stack)
        return 0;
    const assay_vit_config *c = &stack->config.vit;
    const bool last = layer < 0 || layer == c->layers - 1;
    return last && c->last_heads > 0 ? c->last_heads : c->heads;
}

assay_tensor *teacher_patches(assay_tape *tape, assay_tensor *x)
{
    return x ? assay_slice(tape, x, 1, 1, x->shape[1] - 1) : NULL;
}
