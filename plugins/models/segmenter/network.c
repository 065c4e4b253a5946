/* network.c - from images to tokens, through the blocks that somebody needs, to the outputs. */
#include "segmenter.h"

#include <assay/ops.h>

#include <inttypes.h>
#include <string.h>

assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert)
{
    const model *m = opened;
    const content *c = batch->content;
    (void)tower;
    (void)insert;
    assay_tensor *x = assay_vit_embed(tape, m->vit, c->images);
    return assay_state(tape, "embeddings", assay_place(tape, "embeddings", x, x));
}

/* ---- the blocks ---- */

static bool needs_head(const assay_wanted *wanted)
{
    return assay_wants(wanted, "image.logits") || assay_wants(wanted, "image.auxiliary") ||
           assay_wants(wanted, "image.prediction");
}

/* Which blocks are run: up to the last one that anybody needs. */
static void ask(const model *m, const assay_wanted *wanted, assay_vit_trace *trace)
{
    for (int i = 0; needs_head(wanted) && i < m->taken_count; i++)
        trace->blocks = m->taken[i] + 1 > trace->blocks ? m->taken[i] + 1 : trace->blocks;
    for (int64_t l = 0; l < m->config->layers; l++) {
        if (l >= trace->blocks && assay_wants(wanted, assay_text("image.layers.%" PRId64, l)))
            trace->blocks = l + 1;
        trace->want_map[l] = assay_wants(wanted, assay_text("image.attention.%" PRId64, l));
        if (trace->want_map[l] && l > trace->blocks)
            trace->blocks = l; /* of the block behind them a map can be had alone */
    }
}

static void put_blocks(const model *m, const assay_wanted *wanted, const assay_vit_trace *trace,
                       assay_outputs *out)
{
    for (int64_t l = 0; l < m->config->layers; l++) {
        if (trace->layers[l])
            assay_outputs_put(out, wanted, assay_text("image.layers.%" PRId64, l),
                              trace->layers[l]);
        if (trace->maps[l])
            assay_outputs_put(out, wanted, assay_text("image.attention.%" PRId64, l),
                              trace->maps[l]);
    }
}

/* What the head reads; blocks that are taken twice stay one tensor. */
static void take_features(const model *m, assay_tape *tape, const assay_vit_trace *trace,
                          assay_tensor **features)
{
    for (int i = 0; i < m->taken_count; i++) {
        assay_tensor *x = trace->layers[m->taken[i]];
        if (m->settings.feature == FEATURE_NORM)
            x = i > 0 && m->taken[i] == m->taken[i - 1] ? features[i - 1]
                                                        : assay_vit_norm(tape, m->vit, x);
        features[i] = x;
    }
}

/* ---- outputs ---- */

static void put_head(const model *m, assay_tape *tape, const content *c,
                     const assay_vit_trace *trace, const assay_wanted *wanted, assay_outputs *out)
{
    const bool wants_auxiliary = assay_wants(wanted, "image.auxiliary");
    const int64_t none = 0;
    assay_tensor *features[MODEL_BLOCKS] = {NULL}, *auxiliary = NULL;
    take_features(m, tape, trace, features);
    assay_tensor *logits = head_forward(tape, m, features, wants_auxiliary ? &auxiliary : NULL);
    assay_outputs_put(out, wanted, "image.logits", logits);
    if (wants_auxiliary)
        assay_outputs_put(out, wanted, "image.auxiliary",
                          auxiliary ? auxiliary : assay_tape_tensor(tape, ASSAY_F32, 1, &none));
    if (assay_wants(wanted, "image.prediction"))
        assay_outputs_put(out, wanted, "image.prediction", predict_classes(m, tape, c, logits));
}

static bool put_truth(assay_tape *tape, const content *c, const assay_wanted *wanted,
                      assay_outputs *out)
{
    if (!assay_wants(wanted, "image.truth"))
        return true;
    if (!c->truth) {
        assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                        (assay_failure){.where = MODEL_WHERE,
                                        .what = "image.truth and image.prediction are of different "
                                                "pictures and cannot be had in one pass"});
        return false;
    }
    assay_outputs_put(out, wanted, "image.truth", c->truth); /* the batch's: nobody writes it */
    return true;
}

assay_tensor *network_logits(const model *m, assay_tape *tape, assay_tensor *x,
                             const assay_attention_bias *bias)
{
    static const char *const names[] = {"image.logits"};
    const assay_wanted wanted = {1, names};
    assay_outputs out = {0};
    assay_vit_trace trace = {0};
    ask(m, &wanted, &trace);
    if (!assay_vit_traced(tape, m->vit, x, bias, &trace))
        return NULL;
    put_head(m, tape, NULL, &trace, &wanted, &out);
    return assay_outputs_get(&out, names[0]);
}

bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out)
{
    const model *m = opened;
    const content *c = batch->content;
    assay_vit_trace trace = {0};
    (void)tower;
    if (!x || !put_truth(tape, c, wanted, out))
        return false;
    if (predicts_alone(tape, bias, wanted)) {
        assay_tensor *logits = predict_logits(m, tape, x, bias, batch->samples);
        assay_outputs_put(out, wanted, "image.prediction", predict_classes(m, tape, c, logits));
        return assay_tape_ok(tape, NULL);
    }
    ask(m, wanted, &trace);
    if (!assay_vit_traced(tape, m->vit, x, bias, &trace))
        return false;
    put_blocks(m, wanted, &trace, out);
    if (needs_head(wanted))
        put_head(m, tape, c, &trace, wanted, out);
    return assay_tape_ok(tape, NULL);
}
