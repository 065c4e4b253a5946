/* facts.c - what others are told of an open model: outputs by name, parts, and what an image
 * costs. */
#include "vit.h"

#include <assay/memory.h>

static const assay_part parts[] = {
    {"patch embedding", "patch_embed."},
    {"class token", "cls_token"},
    {"positions", "pos_embed"},
    {"blocks", "blocks."},
    {"final norm", "norm."},
};

static const char *const single[] = {"image.embedding", "image.states", "image.visible",
                                     "image.order", "image.patches"};
static const char *const by_layer[] = {"layers", "attention", "scores"};
enum {
    SINGLE = sizeof single / sizeof single[0],
    BY_LAYER = sizeof by_layer / sizeof by_layer[0],
};

bool facts_outputs(model *m, assay_error *error)
{
    int64_t count = SINGLE + BY_LAYER * (m->config.layers + 1);
    m->outputs = assay_zalloc(count * (int64_t)sizeof *m->outputs, error);
    if (!m->outputs)
        return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t layer = (i - SINGLE) / BY_LAYER;
        const char *name = i < SINGLE ? single[i] : by_layer[(i - SINGLE) % BY_LAYER];
        if (i >= SINGLE && layer == m->config.layers)
            name = assay_text("image.%s.last", name);
        else if (i >= SINGLE)
            name = assay_text("image.%s.%lld", name, (long long)layer);
        m->outputs[m->output_count] = assay_strdup(name, error);
        if (!m->outputs[m->output_count])
            return false;
        m->output_count++;
    }
    return true;
}

void facts_free(model *m)
{
    for (int i = 0; i < m->output_count; i++)
        assay_free((char *)(uintptr_t)m->outputs[i]);
    assay_free(m->outputs);
}

void model_facts(void *opened, assay_model_facts *out)
{
    const model *m = opened;
    const assay_vit_config *c = &m->config;
    bool masked = m->settings.mask_ratio > 0;
    double n = (double)m->patches, tokens = 1 + (masked ? (double)m->visible : n);
    double width = (double)c->width, mlp = (double)c->mlp_width, layers = (double)c->layers;
    double pixels = VIT_CHANNELS * (double)c->patch * (double)c->patch;
    double layer = 4 * width * width + 2 * width * mlp;
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = c->width,
        .layers = c->layers,
        .heads = c->heads,
        .tokens = 1 + m->patches,
        /* A product is two operations; scores and their use are 2 T D each per token. */
        .flops = 2 * n * pixels * width + tokens * layers * (2 * layer + 4 * tokens * width),
        /* Per token and block: two norms, q, k, v, attention, its projection, the MLP's output, two
         * sums; the MLP before and after its GELU. */
        .activation_bytes =
            4 * (n * (pixels + 2 * width) + tokens * layers * (10 * width + 2 * mlp)),
        .output_count = m->output_count,
        .part_count = (int)(sizeof parts / sizeof parts[0]),
        .outputs = m->outputs,
        .parts = parts,
        .embedding = c->width,
    };
}
