/* network.c - from a batch of images to tokens, states and outputs. */
#include "vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order of patches ----
 * As MAE draws it (spec 3.5): a uniform number per patch, sorted; the first `visible` patches are
 * seen. A sample's numbers are addressed by its index and the pass, so that embed and forward agree
 * and it does not matter which samples stand beside it. Evaluation hides the same patches of an
 * image whatever the seed. */
typedef struct draw {
    float number;
    int32_t patch;
} draw;

static int by_number(const void *left, const void *right)
{
    const draw *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (a->patch > b->patch) - (a->patch < b->patch);
}

/* i32 (B, N); NULL after a failure. */
static assay_tensor *draw_order(assay_tape *tape, const model *m, const assay_batch *batch)
{
    assay_step step = assay_tape_step(tape);
    assay_stream stream = step.training ? assay_stream_of(step.seed, "vit/order", step.clock)
                                        : assay_stream_of(0, "vit/order/evaluation", 0);
    int64_t n = m->patches, bytes = n * (int64_t)sizeof(draw);
    draw *draws = assay_tape_scratch(tape, bytes);
    assay_tensor *order = assay_tape_tensor(tape, ASSAY_I32, 2, (int64_t[]){batch->samples, n});
    if (!draws || !order)
        return NULL;
    for (int64_t b = 0; b < batch->samples; b++) {
        uint64_t first = (uint64_t)batch->sample[b].index * (uint64_t)n;
        for (int64_t i = 0; i < n; i++)
            draws[i] = (draw){assay_random_uniform(stream, first + (uint64_t)i), (int32_t)i};
        qsort(draws, (size_t)n, sizeof *draws, by_number);
        for (int64_t i = 0; i < n; i++)
            assay_i32(order)[b * n + i] = draws[i].patch;
    }
    return order;
}

/* x (B, 1 + N, D) -> (B, 1 + visible, D): the class token, then the visible patches in their
 * order. */
static assay_tensor *visible_tokens(assay_tape *tape, const model *m, const assay_batch *batch,
                                    assay_tensor *x)
{
    int64_t images = batch->samples, tokens = 1 + m->patches, kept = 1 + m->visible;
    int64_t width = m->config.width, count = images * kept;
    const assay_tensor *order = draw_order(tape, m, batch);
    assay_tensor *index = assay_tape_tensor(tape, ASSAY_I32, 1, &count);
    if (!order || !index || !x)
        return NULL;
    for (int64_t b = 0; b < images; b++)
        for (int64_t i = 0; i < kept; i++) {
            int64_t token = i == 0 ? 0 : 1 + assay_i32(order)[b * m->patches + i - 1];
            assay_i32(index)[b * kept + i] = (int32_t)(b * tokens + token);
        }
    x = assay_gather(tape, assay_reshape(tape, x, 2, (int64_t[]){images * tokens, width}), index);
    return assay_reshape(tape, x, 3, (int64_t[]){images, kept, width});
}

/* ---- embedding ---- */

assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert)
{
    const model *m = opened;
    const content *c = batch->content;
    assay_tensor *channels[VIT_CHANNELS] = {c->images, c->images, c->images};
    (void)tower;
    (void)insert;
    assay_tensor *x = assay_vit_embed(tape, m->vit, assay_concat(tape, VIT_CHANNELS, channels, 1));
    if (c->masked)
        x = visible_tokens(tape, m, batch, x);
    return assay_state(tape, "embeddings", assay_place(tape, "embeddings", x, x));
}

/* ---- outputs ---- */

static const char *const of_the_end[] = {"image.embedding", "image.states", "image.visible"};
enum { OF_THE_END = sizeof of_the_end / sizeof of_the_end[0] };

/* L of "image.WHAT.L" in an open model, whose last is also "image.WHAT.last"; -1 for another
 * name. */
static int64_t layer_of(const model *m, const char *name, const char *what)
{
    int64_t layer = -1;
    char expected[64];
    const char *dot = strrchr(name, '.');
    snprintf(expected, sizeof expected, "image.%s.last", what);
    if (strcmp(name, expected) == 0)
        return m->config.layers - 1;
    if (!dot || sscanf(dot + 1, "%lld", (long long *)&layer) != 1 || layer < 0 ||
        layer >= m->config.layers)
        return -1;
    snprintf(expected, sizeof expected, "image.%s.%lld", what, (long long)layer);
    return strcmp(name, expected) == 0 ? layer : -1;
}

/* What has to be computed for the wanted outputs, and no block more. */
static void plan(const model *m, const assay_wanted *wanted, assay_vit_trace *trace)
{
    *trace = (assay_vit_trace){0};
    for (int i = 0; i < OF_THE_END; i++)
        if (assay_wants(wanted, of_the_end[i]))
            trace->blocks = m->config.layers;
    for (int i = 0; i < wanted->count; i++) {
        int64_t layer = layer_of(m, wanted->names[i], "layers");
        int64_t map = layer_of(m, wanted->names[i], "attention");
        int64_t scores = layer_of(m, wanted->names[i], "scores");
        if (map >= 0)
            trace->want_map[map] = true;
        if (scores >= 0)
            trace->want_scores[scores] = true;
        int64_t blocks = layer >= 0 ? layer + 1 : map >= 0 ? map : scores;
        trace->blocks = blocks > trace->blocks ? blocks : trace->blocks;
    }
}

static void put_layer(const model *m, int64_t layer, const char *what, assay_tensor *tensor,
                      const assay_wanted *wanted, assay_outputs *out)
{
    if (!tensor)
        return;
    assay_outputs_put(out, wanted, assay_text("image.%s.%lld", what, (long long)layer), tensor);
    if (layer == m->config.layers - 1)
        assay_outputs_put(out, wanted, assay_text("image.%s.last", what), tensor);
}

static void put_traced(const model *m, const assay_vit_trace *trace, const assay_wanted *wanted,
                       assay_outputs *out)
{
    for (int64_t i = 0; i < m->config.layers; i++) {
        put_layer(m, i, "layers", trace->layers[i], wanted, out);
        put_layer(m, i, "attention", trace->maps[i], wanted, out);
        put_layer(m, i, "scores", trace->scores[i], wanted, out);
    }
}

/* The class token's state (B, D). */
static assay_tensor *embedding_of(assay_tape *tape, const model *m, assay_tensor *states)
{
    assay_tensor *first = assay_slice(tape, states, 1, 0, 1);
    if (!first)
        return NULL;
    first = assay_reshape(tape, first, 2, (int64_t[]){first->shape[0], m->config.width});
    return assay_cast(tape, first, ASSAY_F32);
}

/* What the whole stack gives. */
static void put_states(assay_tape *tape, const model *m, const content *c, assay_tensor *states,
                       const assay_wanted *wanted, assay_outputs *out)
{
    if (assay_wants(wanted, "image.embedding"))
        assay_outputs_put(out, wanted, "image.embedding", embedding_of(tape, m, states));
    assay_outputs_put(out, wanted, "image.states", states);
    if (c->masked)
        assay_outputs_put(out, wanted, "image.visible", states);
}

static bool refuse_unmasked(assay_tape *tape, const assay_wanted *wanted)
{
    const char *name = assay_wants(wanted, "image.visible") ? "image.visible" : "image.order";
    assay_tape_fail(tape, ASSAY_BAD_INPUT,
                    (assay_failure){.where = MODEL_WHERE,
                                    .what = assay_text("%s is wanted and nothing is hidden", name),
                                    .hint = "model.vit { mask_ratio = 0.75 } hides patches"});
    return false;
}

bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out)
{
    const model *m = opened;
    const content *c = batch->content;
    assay_vit_trace trace;
    (void)tower;
    if (!c->masked && (assay_wants(wanted, "image.visible") || assay_wants(wanted, "image.order")))
        return refuse_unmasked(tape, wanted);
    plan(m, wanted, &trace);
    x = assay_vit_traced(tape, m->vit, x, bias, &trace);
    if (!x)
        return false;
    put_traced(m, &trace, wanted, out);
    if (trace.blocks == m->config.layers)
        put_states(tape, m, c, assay_vit_norm(tape, m->vit, x), wanted, out);
    if (assay_wants(wanted, "image.order"))
        assay_outputs_put(out, wanted, "image.order", draw_order(tape, m, batch));
    if (assay_wants(wanted, "image.patches"))
        assay_outputs_put(out, wanted, "image.patches",
                          assay_patches(tape, c->images, m->config.patch));
    return assay_tape_ok(tape, NULL);
}
