/* published.c - published weights into the model's stacks: a decoder's and, for every event
 * encoder, a BERT's. They are where a run starts; a checkpoint or `init` comes after them. */
#include "user_decoder.h"

#include <assay/weights.h>

#include <stdio.h>

static bool load(assay_params *params, assay_stack_kind kind, const char *prefix, const char *path,
                 assay_error *error)
{
    const assay_stack *stack = assay_stack_find(params, kind, prefix);
    return stack ? assay_stack_load(params, stack, path, NULL, error)
                 : ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                              .what = "a stack is not noted in its parameter set");
}

bool published_load(const model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    int encoders = s->encoder_shared ? 1 : m->source_count;
    if (s->decoder.path && !load(params, ASSAY_STACK_DECODER, NULL, s->decoder.path, error))
        return false;
    for (int i = 0; s->encoder_weights.path && i < encoders; i++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "bert.%s.",
                 s->encoder_shared ? "shared" : m->sources[i].name);
        if (!load(params, ASSAY_STACK_BERT, prefix, s->encoder_weights.path, error))
            return false;
    }
    return true;
}
