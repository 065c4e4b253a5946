/* decoder.c - the Qwen2/Llama decoder: grouped-query attention with rotary positions, gated MLP,
 * RMS norms (user-modelling spec 1.3). */
#include "engine/nn/build.h"

#include <assay/memory.h>

#include <inttypes.h>

typedef struct decoder_layer {
    assay_tensor *attention_norm, *mlp_norm; /* (D) */
    nn_linear query, key, value, out;
    assay_tensor *gate, *up, *down; /* (F, D), (F, D), (D, F) */
} decoder_layer;

struct assay_decoder {
    assay_decoder_config config;
    assay_rotary *rotary;
    assay_tensor *embedding, *norm, *head; /* borrowed from the set; head NULL: none */
    decoder_layer *layers;
};

/* ---- building ---- */

static void build_layer(nn_builder *builder, const assay_decoder_config *c, decoder_layer *layer)
{
    int64_t query_width = c->heads * c->head_width, key_width = c->kv_heads * c->head_width;
    layer->attention_norm =
        nn_build_vector(builder, "input_layernorm.weight", c->width, ASSAY_INIT_ONES);
    layer->query = nn_build_linear(builder, "self_attn.q_proj", query_width, c->width, c->qkv_bias);
    layer->key = nn_build_linear(builder, "self_attn.k_proj", key_width, c->width, c->qkv_bias);
    layer->value = nn_build_linear(builder, "self_attn.v_proj", key_width, c->width, c->qkv_bias);
    layer->out = nn_build_linear(builder, "self_attn.o_proj", c->width, query_width, false);
    layer->mlp_norm =
        nn_build_vector(builder, "post_attention_layernorm.weight", c->width, ASSAY_INIT_ONES);
    layer->gate = nn_build_matrix(builder, "mlp.gate_proj.weight", c->mlp_width, c->width);
    layer->up = nn_build_matrix(builder, "mlp.up_proj.weight", c->mlp_width, c->width);
    layer->down = nn_build_matrix(builder, "mlp.down_proj.weight", c->width, c->mlp_width);
}

static void build_parameters(nn_builder *builder, assay_decoder *decoder)
{
    const assay_decoder_config *c = &decoder->config;
    decoder->embedding =
        nn_build_matrix(builder, "model.embed_tokens.weight", c->vocabulary, c->width);
    for (int64_t i = 0; i < c->layers; i++) {
        nn_build_path(builder, "model.layers.%" PRId64 ".", i);
        build_layer(builder, c, &decoder->layers[i]);
    }
    nn_build_path(builder, "%s", "");
    decoder->norm = nn_build_vector(builder, "model.norm.weight", c->width, ASSAY_INIT_ONES);
    if (c->tied_head)
        decoder->head = decoder->embedding;
    else if (c->has_head)
        decoder->head = nn_build_matrix(builder, "lm_head.weight", c->vocabulary, c->width);
}

assay_decoder *assay_decoder_new(assay_params *params, const char *prefix,
                                 const assay_decoder_config *config, assay_error *error)
{
    nn_builder builder;
    if (!nn_decoder_config_check(config, "decoder", error))
        return NULL;
    assay_decoder *decoder = assay_zalloc((int64_t)sizeof *decoder, error);
    if (!decoder)
        return NULL;
    decoder->config = *config;
    decoder->rotary =
        assay_rotary_new(config->positions, config->head_width, config->rope_base, error);
    decoder->layers = nn_build_layers(config->layers, sizeof *decoder->layers, error);
    if (!decoder->rotary || !decoder->layers) {
        assay_decoder_free(decoder);
        return NULL;
    }
    nn_build_begin(&builder, params, prefix, (assay_init){ASSAY_INIT_NORMAL, config->init_sd, 0},
                   error);
    build_parameters(&builder, decoder);
    nn_build_stack(&builder, (assay_stack){.kind = ASSAY_STACK_DECODER, .config.decoder = *config});
    if (!nn_build_end(&builder)) {
        assay_decoder_free(decoder);
        return NULL;
    }
    return decoder;
}

void assay_decoder_free(assay_decoder *decoder)
{
    if (!decoder)
        return;
    assay_rotary_free(decoder->rotary);
    assay_free(decoder->layers);
    assay_free(decoder);
}

const assay_decoder_config *assay_decoder_config_get(const assay_decoder *decoder)
{
    return &decoder->config;
}

assay_tensor *assay_decoder_head(const assay_decoder *decoder)
{
    return decoder->head;
}

/* ---- forward ---- */

assay_tensor *assay_decoder_embed(assay_tape *tape, const assay_decoder *decoder,
                                  const assay_tensor *ids)
{
    return assay_embedding(tape, decoder->embedding, ids);
}

/* A layer's branch where an adapter may act: "layers.L.NAME". */
static assay_tensor *at_place(assay_tape *tape, int64_t layer, const char *name,
                              assay_tensor *input, assay_tensor *output)
{
    if (!assay_tape_attached(tape))
        return output;
    return assay_place(tape, assay_text("layers.%" PRId64 ".%s", layer, name), input, output);
}

static assay_tensor *project(assay_tape *tape, int64_t layer, const char *name, assay_tensor *x,
                             const nn_linear *linear)
{
    return at_place(tape, layer, name, x, nn_apply(tape, x, linear, ASSAY_IDENTITY));
}

/* The fused operation keeps less; it is taken apart where an adapter acts on one of its
 * products. */
static assay_tensor *forward_mlp(assay_tape *tape, const decoder_layer *layer, int64_t i,
                                 assay_tensor *n)
{
    static const char *const parts[] = {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
    bool taken = false;
    for (int k = 0; k < 3 && assay_tape_attached(tape); k++)
        taken |= assay_place_taken(tape, assay_text("layers.%" PRId64 ".%s", i, parts[k]));
    if (!taken)
        return assay_gated_mlp(tape, n, layer->gate, layer->up, layer->down);
    assay_tensor *gate = project(tape, i, parts[0], n, &(nn_linear){.weight = layer->gate});
    assay_tensor *up = project(tape, i, parts[1], n, &(nn_linear){.weight = layer->up});
    assay_tensor *h = assay_silu_product(tape, gate, up);
    return project(tape, i, parts[2], h, &(nn_linear){.weight = layer->down});
}

/* What a layer attends to beside its own input. */
typedef struct context {
    const assay_tensor *lengths;
    assay_attention_bias bias;
    const assay_prefix *const *prefix; /* NULL: nothing was before */
    const assay_tensor *read;          /* i32 (B): the only positions that are wanted; NULL: all */
    assay_prefix **keep;               /* (B) receives keys and values; NULL: not */
    bool keys_only;                    /* nothing but those is wanted of this layer */
    assay_tensor **map;                /* receives the attention probabilities; NULL: not */
} context;

static bool keep_keys(assay_tape *tape, const assay_decoder *decoder, int64_t i, const context *of,
                      const assay_tensor *k, const assay_tensor *v)
{
    bool ok = k && v;
    for (int64_t b = 0; ok && b < k->shape[0]; b++)
        ok = assay_prefix_keep(tape, of->keep[b], i, k, v, b, decoder->rotary);
    return ok;
}

/* Row b's token read[b] of x (B, T, W): (B, 1, W). */
static assay_tensor *pick_tokens(assay_tape *tape, assay_tensor *x, const assay_tensor *read)
{
    if (!x || !read)
        return x;
    const int64_t rows = x->shape[0], tokens = x->shape[1], width = x->shape[2];
    assay_tensor *index = assay_tape_tensor(tape, ASSAY_I32, 1, &rows);
    for (int64_t b = 0; index && b < rows; b++)
        assay_i32(index)[b] = (int32_t)(b * tokens + assay_i32(read)[b]);
    x = assay_reshape(tape, x, 2, (int64_t[]){rows * tokens, width});
    return assay_reshape(tape, assay_gather(tape, x, index), 3, (int64_t[]){rows, 1, width});
}

static assay_tensor *forward_layer(assay_tape *tape, const assay_decoder *decoder, int64_t i,
                                   assay_tensor *x, const context *of)
{
    const assay_decoder_config *c = &decoder->config;
    const decoder_layer *layer = &decoder->layers[i];
    assay_tensor *n = assay_rms_norm(tape, x, layer->attention_norm, c->norm_eps);
    assay_tensor *k = project(tape, i, "self_attn.k_proj", n, &layer->key);
    assay_tensor *v = project(tape, i, "self_attn.v_proj", n, &layer->value);
    if (of->keep && !keep_keys(tape, decoder, i, of, k, v))
        return NULL;
    if (of->keys_only)
        return x;
    n = pick_tokens(tape, n, of->read);
    x = pick_tokens(tape, x, of->read);
    const assay_attention_args args = {
        .q = project(tape, i, "self_attn.q_proj", n, &layer->query),
        .k = k,
        .v = v,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .rotary = decoder->rotary,
        .lengths = of->lengths,
        .bias = of->bias,
        .prefix = of->prefix,
        .layer = i,
        .positions = of->read,
    };
    if (of->map)
        *of->map = assay_attention_map(tape, &args);
    assay_tensor *mixed = assay_attention(tape, &args);
    mixed = project(tape, i, "self_attn.o_proj", mixed, &layer->out);
    x = assay_add(tape, x, at_place(tape, i, "self_attn", n, mixed));
    n = assay_rms_norm(tape, x, layer->mlp_norm, c->norm_eps);
    return assay_add(tape, x, at_place(tape, i, "mlp", n, forward_mlp(tape, layer, i, n)));
}

assay_tensor *assay_decoder_forward(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                    const assay_tensor *lengths, const assay_attention_bias *bias)
{
    return assay_decoder_traced(tape, decoder, x, lengths, bias, NULL);
}

assay_tensor *assay_decoder_traced(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                   const assay_tensor *lengths, const assay_attention_bias *bias,
                                   assay_decoder_trace *trace)
{
    context of = {.lengths = lengths, .bias = bias ? *bias : assay_bias_causal()};
    x = assay_state(tape, "embeddings", x);
    for (int64_t i = 0; i < decoder->config.layers; i++) {
        bool traced = trace && i < ASSAY_DECODER_LAYERS;
        of.map = traced && trace->want_map[i] ? &trace->maps[i] : NULL;
        x = forward_layer(tape, decoder, i, x, &of);
        x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
        if (traced)
            trace->layers[i] = x;
    }
    x = assay_rms_norm(tape, x, decoder->norm, decoder->config.norm_eps);
    if (lengths)
        x = assay_mask_rows(tape, x, lengths);
    return assay_state(tape, "final_norm", x);
}

/* ---- in two parts ---- */

static bool check_prefix_bias(assay_tape *tape, const assay_attention_bias *bias)
{
    if (!bias || assay_bias_keeps_prefix(bias))
        return true;
    assay_tape_fail(tape, ASSAY_UNSUPPORTED,
                    (assay_failure){.where = "prefix cache",
                                    .what = "the first tokens would see what follows them",
                                    .expected = "a bias that hides the future"});
    return false;
}

/* An empty prefix for every row, of its length. */
static bool open_prefixes(assay_tape *tape, const assay_decoder *decoder, const assay_tensor *x,
                          const assay_tensor *lengths, assay_prefix **out)
{
    const assay_decoder_config *c = &decoder->config;
    assay_dtype dtype = assay_tape_precision(tape) == ASSAY_PRECISION_BF16 ? ASSAY_BF16 : ASSAY_F32;
    assay_error error = {0};
    for (int64_t b = 0; b < x->shape[0]; b++) {
        out[b] = assay_prefix_new(dtype, c->layers, lengths ? assay_i32(lengths)[b] : x->shape[1],
                                  c->kv_heads * c->head_width, &error);
        if (out[b])
            continue;
        assay_tape_fail(tape, error.code,
                        (assay_failure){.where = error.where, .what = error.what});
        return false;
    }
    return true;
}

bool assay_decoder_prefill(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                           const assay_tensor *lengths, const assay_attention_bias *bias,
                           assay_prefix **out)
{
    const int64_t layers = decoder->config.layers, rows = x ? x->shape[0] : 0;
    context of = {.lengths = lengths, .bias = bias ? *bias : assay_bias_causal(), .keep = out};
    bool was = assay_tape_pause(tape, true);
    for (int64_t b = 0; b < rows; b++)
        out[b] = NULL;
    if (x && check_prefix_bias(tape, bias) && open_prefixes(tape, decoder, x, lengths, out)) {
        x = assay_state(tape, "embeddings", x);
        for (int64_t i = 0; i < layers && x; i++) {
            of.keys_only = i == layers - 1;
            x = forward_layer(tape, decoder, i, x, &of);
            if (!of.keys_only)
                x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
        }
    }
    assay_tape_pause(tape, was);
    if (x && assay_tape_ok(tape, NULL))
        return true;
    for (int64_t b = 0; b < rows; b++) {
        assay_prefix_free(out[b]);
        out[b] = NULL;
    }
    return false;
}

assay_tensor *assay_decoder_resume(assay_tape *tape, const assay_decoder *decoder, assay_tensor *x,
                                   const assay_tensor *lengths, const assay_prefix *const *prefix,
                                   const assay_tensor *read)
{
    const int64_t layers = decoder->config.layers;
    context of = {.lengths = lengths, .bias = assay_bias_causal(), .prefix = prefix};
    x = assay_state(tape, "embeddings", x);
    for (int64_t i = 0; i < layers; i++) {
        of.read = i == layers - 1 ? read : NULL;
        x = forward_layer(tape, decoder, i, x, &of);
        x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
    }
    x = assay_rms_norm(tape, x, decoder->norm, decoder->config.norm_eps);
    if (lengths && !read)
        x = assay_mask_rows(tape, x, lengths);
    return assay_state(tape, "final_norm", x);
}

/* ---- next-token loss ---- */

static bool check_loss(assay_tape *tape, const assay_decoder *decoder, const assay_tensor *hidden,
                       const assay_tensor *ids, const assay_tensor *lengths)
{
    const char *what = NULL, *expected = NULL;
    const assay_tensor *got = NULL;
    if (!decoder->head) {
        what = "this decoder was built without a head";
        expected = "tied_head or has_head";
    } else if (hidden->rank != 3 || hidden->shape[2] != decoder->config.width) {
        what = "the states do not fit the decoder";
        expected = assay_text("(B, T, %" PRId64 ")", decoder->config.width);
        got = hidden;
    } else if (ids->dtype != ASSAY_I32 || ids->rank != 2 || ids->shape[0] != hidden->shape[0] ||
               ids->shape[1] != hidden->shape[1]) {
        what = "the ids do not fit the states";
        expected = assay_text("(%" PRId64 ", %" PRId64 ") i32", hidden->shape[0], hidden->shape[1]);
        got = ids;
    } else if (lengths && (lengths->dtype != ASSAY_I32 || lengths->rank != 1 ||
                           lengths->shape[0] != hidden->shape[0])) {
        what = "the lengths do not fit the states";
        expected = assay_text("(%" PRId64 ") i32", hidden->shape[0]);
        got = lengths;
    }
    if (!what)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                    (assay_failure){.where = "next_token_loss",
                                    .what = what,
                                    .expected = expected,
                                    .got = got ? assay_tensor_text(got) : NULL});
    return false;
}

/* The target of position t is id t + 1 while that is within the row's length. */
static void fill_targets(const assay_tensor *ids, const assay_tensor *lengths, int32_t *target)
{
    int64_t batch = ids->shape[0], tokens = ids->shape[1];
    const int32_t *id = assay_i32(ids);
    for (int64_t b = 0; b < batch; b++) {
        int64_t length = lengths ? assay_i32(lengths)[b] : tokens;
        for (int64_t t = 0; t < tokens; t++) {
            bool counts = t + 1 < tokens && t + 1 < length;
            target[b * tokens + t] = counts ? id[b * tokens + t + 1] : ASSAY_IGNORE;
        }
    }
}

assay_tensor *assay_next_token_loss(assay_tape *tape, const assay_decoder *decoder,
                                    assay_tensor *hidden, const assay_tensor *ids,
                                    const assay_tensor *lengths, assay_reduction reduction)
{
    if (!hidden || !ids || !check_loss(tape, decoder, hidden, ids, lengths))
        return NULL;
    int64_t rows = ids->shape[0] * ids->shape[1], width = decoder->config.width;
    assay_tensor *target = assay_tape_tensor(tape, ASSAY_I32, 1, &rows);
    if (!target)
        return NULL;
    fill_targets(ids, lengths, assay_i32(target));
    hidden = assay_reshape(tape, hidden, 2, (int64_t[]){rows, width});
    return assay_cross_entropy_head(tape, hidden, decoder->head, target, reduction);
}
