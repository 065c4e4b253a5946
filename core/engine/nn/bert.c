/* bert.c - the BERT encoder: post-norm blocks, learned positions, exact GELU (user-modelling spec
 * 1.2). */
#include "engine/nn/build.h"

#include <assay/memory.h>

#include <inttypes.h>

typedef struct bert_layer {
    nn_linear query, key, value, out;
    nn_norm attention_norm;
    nn_linear up, down;
    nn_norm mlp_norm;
} bert_layer;

struct assay_bert {
    assay_bert_config config;
    char *prefix;                            /* owned; of states and dropout addresses */
    assay_tensor *words, *positions, *types; /* borrowed from the set */
    nn_norm embedding_norm;
    bert_layer *layers;
};

/* ---- building ---- */

static void build_layer(nn_builder *builder, const assay_bert_config *c, bert_layer *layer)
{
    int64_t width = c->width;
    layer->query = nn_build_linear(builder, "attention.self.query", width, width, true);
    layer->key = nn_build_linear(builder, "attention.self.key", width, width, true);
    layer->value = nn_build_linear(builder, "attention.self.value", width, width, true);
    layer->out = nn_build_linear(builder, "attention.output.dense", width, width, true);
    layer->attention_norm = nn_build_norm(builder, "attention.output.LayerNorm", width);
    layer->up = nn_build_linear(builder, "intermediate.dense", c->mlp_width, width, true);
    layer->down = nn_build_linear(builder, "output.dense", width, c->mlp_width, true);
    layer->mlp_norm = nn_build_norm(builder, "output.LayerNorm", width);
}

static void build_parameters(nn_builder *builder, assay_bert *bert)
{
    const assay_bert_config *c = &bert->config;
    nn_build_path(builder, "embeddings.");
    bert->words = nn_build_matrix(builder, "word_embeddings.weight", c->vocabulary, c->width);
    bert->positions =
        nn_build_matrix(builder, "position_embeddings.weight", c->positions, c->width);
    bert->types = nn_build_matrix(builder, "token_type_embeddings.weight", c->types, c->width);
    bert->embedding_norm = nn_build_norm(builder, "LayerNorm", c->width);
    for (int64_t i = 0; i < c->layers; i++) {
        nn_build_path(builder, "encoder.layer.%" PRId64 ".", i);
        build_layer(builder, c, &bert->layers[i]);
    }
}

assay_bert *assay_bert_new(assay_params *params, const char *prefix,
                           const assay_bert_config *config, assay_error *error)
{
    nn_builder builder;
    if (!nn_bert_config_check(config, "bert", error))
        return NULL;
    assay_bert *bert = assay_zalloc((int64_t)sizeof *bert, error);
    if (!bert)
        return NULL;
    bert->config = *config;
    bert->prefix = assay_strdup(prefix ? prefix : "", error);
    bert->layers = nn_build_layers(config->layers, sizeof *bert->layers, error);
    if (!bert->prefix || !bert->layers) {
        assay_bert_free(bert);
        return NULL;
    }
    nn_build_begin(&builder, params, prefix, (assay_init){ASSAY_INIT_NORMAL, config->init_sd, 0},
                   error);
    build_parameters(&builder, bert);
    nn_build_stack(&builder, (assay_stack){.kind = ASSAY_STACK_BERT, .config.bert = *config});
    if (!nn_build_end(&builder)) {
        assay_bert_free(bert);
        return NULL;
    }
    return bert;
}

void assay_bert_free(assay_bert *bert)
{
    if (!bert)
        return;
    assay_free(bert->prefix);
    assay_free(bert->layers);
    assay_free(bert);
}

const assay_bert_config *assay_bert_config_get(const assay_bert *bert)
{
    return &bert->config;
}

/* ---- forward ---- */

static assay_tensor *norm(assay_tape *tape, const assay_bert *bert, assay_tensor *x,
                          const nn_norm *n)
{
    return assay_layer_norm(tape, x, n->weight, n->bias, bert->config.norm_eps);
}

static assay_tensor *drop(assay_tape *tape, const assay_bert *bert, assay_tensor *x,
                          const char *name)
{
    return assay_dropout(tape, x, bert->config.dropout, assay_text("%s%s", bert->prefix, name));
}

/* Words, plus the first T positions, plus the row of type 0 (which alone gets a gradient). */
static assay_tensor *embed(assay_tape *tape, const assay_bert *bert, const assay_tensor *ids)
{
    int64_t width = bert->config.width, tokens = ids->shape[1];
    assay_tensor *x = assay_embedding(tape, bert->words, ids);
    assay_tensor *type = assay_slice(tape, bert->types, 0, 0, 1);
    x = assay_add(tape, x, assay_slice(tape, bert->positions, 0, 0, tokens));
    x = assay_add(tape, x, assay_reshape(tape, type, 1, &width));
    x = norm(tape, bert, x, &bert->embedding_norm);
    return drop(tape, bert, x, "embeddings");
}

/* The name of a layer's place. */
static const char *place_of(const assay_bert *bert, int64_t i, const char *name)
{
    return assay_text("%sencoder.layer.%" PRId64 ".%s", bert->prefix, i, name);
}

/* A linear layer where an adapter may act. */
static assay_tensor *project(assay_tape *tape, const assay_bert *bert, int64_t i, const char *name,
                             assay_tensor *x, const nn_linear *linear)
{
    assay_tensor *y = nn_apply(tape, x, linear, ASSAY_IDENTITY);
    return assay_tape_attached(tape) ? assay_place(tape, place_of(bert, i, name), x, y) : y;
}

/* The first layer of the MLP with its GELU, which is fused unless an adapter acts between them. */
static assay_tensor *project_up(assay_tape *tape, const assay_bert *bert, int64_t i,
                                assay_tensor *x)
{
    static const char name[] = "intermediate.dense";
    const nn_linear *up = &bert->layers[i].up;
    if (!assay_tape_attached(tape) || !assay_place_taken(tape, place_of(bert, i, name)))
        return nn_apply(tape, x, up, ASSAY_GELU);
    return assay_activate(tape, project(tape, bert, i, name, x, up), ASSAY_GELU);
}

static assay_tensor *forward_layer(assay_tape *tape, const assay_bert *bert, int64_t i,
                                   assay_tensor *x, const assay_tensor *lengths)
{
    const bert_layer *layer = &bert->layers[i];
    assay_tensor *mixed = assay_attention(
        tape, &(assay_attention_args){
                  .q = project(tape, bert, i, "attention.self.query", x, &layer->query),
                  .k = project(tape, bert, i, "attention.self.key", x, &layer->key),
                  .v = project(tape, bert, i, "attention.self.value", x, &layer->value),
                  .heads = bert->config.heads,
                  .lengths = lengths,
                  .bias = assay_bias_full(),
              });
    assay_tensor *y = project(tape, bert, i, "attention.output.dense", mixed, &layer->out);
    y = drop(tape, bert, y, assay_text("encoder.layer.%" PRId64 ".attention.output", i));
    x = norm(tape, bert, assay_add(tape, x, y), &layer->attention_norm);
    y = project_up(tape, bert, i, x);
    y = project(tape, bert, i, "output.dense", y, &layer->down);
    y = drop(tape, bert, y, assay_text("encoder.layer.%" PRId64 ".output", i));
    return norm(tape, bert, assay_add(tape, x, y), &layer->mlp_norm);
}

assay_tensor *assay_bert_forward(assay_tape *tape, const assay_bert *bert, const assay_tensor *ids,
                                 const assay_tensor *lengths)
{
    if (!ids)
        return NULL;
    if (ids->rank != 2 || ids->shape[1] > bert->config.positions)
        return assay_tape_fail(
            tape, ASSAY_BAD_SHAPE,
            (assay_failure){.where = "bert",
                            .what = "the ids are no batch of rows that have positions",
                            .expected =
                                assay_text("(B, T), T up to %" PRId64, bert->config.positions),
                            .got = assay_tensor_text(ids)});
    assay_tensor *x = embed(tape, bert, ids);
    x = assay_state(tape, assay_text("%sembeddings", bert->prefix), x);
    for (int64_t i = 0; i < bert->config.layers; i++) {
        x = forward_layer(tape, bert, i, x, lengths);
        x = assay_state(tape, assay_text("%slayers.%" PRId64, bert->prefix, i), x);
    }
    return lengths ? assay_mask_rows(tape, x, lengths) : x;
}
