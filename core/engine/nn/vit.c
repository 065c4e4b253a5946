/* vit.c - the pre-norm ViT of MAE and timm: patch embedding, class token, fused qkv (infrared spec
 * 1.1, 1.2, 1.5, 1.6). */
#include "engine/nn/build.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct vit_layer {
    nn_norm attention_norm, mlp_norm;
    nn_linear qkv, out, up, down;
    assay_tensor *gamma1, *gamma2; /* (D); NULL without layer scale */
    assay_tensor *relative;        /* (M, heads); NULL without relative bias */
} vit_layer;

struct assay_vit {
    assay_vit_config config;
    char *prefix;                          /* owned; of places and drop-path addresses */
    int64_t grid;                          /* patches along a side; 0: blocks only */
    assay_tensor *class_token, *positions; /* (1, 1, D) and (1, 1 + N, D), borrowed from the set */
    nn_linear patches;                     /* weight (D, C, P, P) */
    nn_norm norm;                          /* NULLs without a final norm */
    vit_layer *layers;
};

/* ---- sizes and positions ---- */

bool assay_vit_config_named(const char *size, int64_t image, assay_vit_config *out,
                            assay_error *error)
{
    static const struct {
        const char *name;
        int64_t width, layers, heads;
    } sizes[] = {{"tiny", 192, 12, 3},
                 {"small", 384, 12, 6},
                 {"base", 768, 12, 12},
                 {"large", 1024, 24, 16}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(sizes[i].name, size) != 0)
            continue;
        assay_vit_config config = {.width = sizes[i].width,
                                   .layers = sizes[i].layers,
                                   .heads = sizes[i].heads,
                                   .mlp_width = 4 * sizes[i].width,
                                   .patch = 16,
                                   .image = image,
                                   .channels = 3,
                                   .norm_eps = 1e-6f,
                                   .final_norm = true};
        if (!nn_vit_config_check(&config, "vit", error))
            return false;
        *out = config;
        return true;
    }
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "vit", .what = "unknown size",
                      .expected = "tiny, small, base or large", .got = size);
}

/* sin(p w_j) then cos(p w_j), w_j = 10000^(-j / n), into out[2 n]. */
static void sincos_row(int64_t n, int64_t position, float *out)
{
    for (int64_t j = 0; j < n; j++) {
        double angle = (double)position * pow(10000, -(double)j / (double)n);
        out[j] = (float)sin(angle);
        out[n + j] = (float)cos(angle);
    }
}

void assay_sincos_positions(int64_t grid, int64_t width, float *out)
{
    memset(out, 0, (size_t)width * sizeof *out);
    for (int64_t y = 0; y < grid; y++) {
        for (int64_t x = 0; x < grid; x++) {
            float *row = out + (1 + y * grid + x) * width;
            sincos_row(width / 4, x, row);
            sincos_row(width / 4, y, row + width / 2);
        }
    }
}

/* ---- building ---- */

static int64_t heads_of(const assay_vit_config *c, int64_t layer)
{
    return layer == c->layers - 1 && c->last_heads > 0 ? c->last_heads : c->heads;
}

static void build_layer(nn_builder *builder, const assay_vit *vit, int64_t number, vit_layer *layer)
{
    const assay_vit_config *c = &vit->config;
    int64_t width = c->width, displacements = 2 * vit->grid - 1;
    layer->attention_norm = nn_build_norm(builder, "norm1", width);
    layer->qkv = nn_build_linear(builder, "attn.qkv", 3 * width, width, true);
    layer->out = nn_build_linear(builder, "attn.proj", width, width, true);
    if (c->relative_bias)
        layer->relative =
            nn_build_tensor(builder, "attn.relative_position_bias_table", 2,
                            (int64_t[]){displacements * displacements + 3, heads_of(c, number)},
                            (assay_init){.kind = ASSAY_INIT_ZEROS});
    layer->mlp_norm = nn_build_norm(builder, "norm2", width);
    layer->up = nn_build_linear(builder, "mlp.fc1", c->mlp_width, width, true);
    layer->down = nn_build_linear(builder, "mlp.fc2", width, c->mlp_width, true);
    if (c->layer_scale) {
        layer->gamma1 = nn_build_vector(builder, "gamma_1", width, ASSAY_INIT_ONES);
        layer->gamma2 = nn_build_vector(builder, "gamma_2", width, ASSAY_INIT_ONES);
    }
}

/* In pre-training the convolution's weight is drawn as the matrix (D, C P P) that it is here, in
 * segmentation as PyTorch draws a convolution. */
static void build_patches(nn_builder *builder, assay_vit *vit)
{
    const assay_vit_config *c = &vit->config;
    double inputs = (double)c->channels * (double)c->patch * (double)c->patch;
    bool segmentation = c->start == ASSAY_VIT_SEGMENTATION;
    float fan = (float)(1 / sqrt(inputs));
    float bound = segmentation ? fan : (float)sqrt(6 / (inputs + (double)c->width));
    vit->patches.weight = nn_build_tensor(builder, "patch_embed.proj.weight", 4,
                                          (int64_t[]){c->width, c->channels, c->patch, c->patch},
                                          (assay_init){ASSAY_INIT_UNIFORM, bound, 0});
    vit->patches.bias = nn_build_tensor(builder, "patch_embed.proj.bias", 1, &c->width,
                                        segmentation ? (assay_init){ASSAY_INIT_UNIFORM, fan, 0}
                                                     : (assay_init){.kind = ASSAY_INIT_ZEROS});
}

static void build_inputs(nn_builder *builder, assay_vit *vit)
{
    const assay_vit_config *c = &vit->config;
    vit->class_token = nn_build_tensor(builder, "cls_token", 3, (int64_t[]){1, 1, c->width},
                                       (assay_init){ASSAY_INIT_NORMAL, 0.02f, 0});
    vit->positions = nn_build_tensor(builder, "pos_embed", 3,
                                     (int64_t[]){1, 1 + vit->grid * vit->grid, c->width},
                                     (assay_init){.kind = ASSAY_INIT_ZEROS});
    if (vit->positions && !assay_params_counting(builder->params))
        assay_sincos_positions(vit->grid, c->width, assay_f32(vit->positions));
    build_patches(builder, vit);
}

static void build_parameters(nn_builder *builder, assay_vit *vit)
{
    const assay_vit_config *c = &vit->config;
    if (!c->blocks_only)
        build_inputs(builder, vit);
    for (int64_t i = 0; i < c->layers; i++) {
        nn_build_path(builder, "blocks.%" PRId64 ".", i);
        build_layer(builder, vit, i, &vit->layers[i]);
    }
    nn_build_path(builder, "%s", "");
    if (c->final_norm)
        vit->norm = nn_build_norm(builder, "norm", c->width);
}

assay_vit *assay_vit_new(assay_params *params, const char *prefix, const assay_vit_config *config,
                         assay_error *error)
{
    nn_builder builder;
    assay_init matrix = {.kind = ASSAY_INIT_XAVIER_UNIFORM};
    if (!nn_vit_config_check(config, "vit", error))
        return NULL;
    if (config->start == ASSAY_VIT_SEGMENTATION)
        matrix = (assay_init){ASSAY_INIT_TRUNCATED_NORMAL, 0.02f, 2.0f};
    assay_vit *vit = assay_zalloc((int64_t)sizeof *vit, error);
    if (!vit)
        return NULL;
    vit->config = *config;
    vit->grid = config->blocks_only ? 0 : config->image / config->patch;
    vit->prefix = assay_strdup(prefix ? prefix : "", error);
    vit->layers = nn_build_layers(config->layers, sizeof *vit->layers, error);
    if (!vit->prefix || !vit->layers) {
        assay_vit_free(vit);
        return NULL;
    }
    nn_build_begin(&builder, params, prefix, matrix, error);
    build_parameters(&builder, vit);
    nn_build_stack(&builder, (assay_stack){.kind = ASSAY_STACK_VIT, .config.vit = *config});
    if (!nn_build_end(&builder)) {
        assay_vit_free(vit);
        return NULL;
    }
    return vit;
}

void assay_vit_free(assay_vit *vit)
{
    if (!vit)
        return;
    assay_free(vit->prefix);
    assay_free(vit->layers);
    assay_free(vit);
}

const assay_vit_config *assay_vit_config_get(const assay_vit *vit)
{
    return &vit->config;
}

int64_t assay_vit_depth(const assay_vit_config *config, const char *parameter)
{
    static const char *const inputs[] = {"patch_embed.", "cls_token", "pos_embed"};
    int64_t layer = 0;
    int read = 0;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        if (strncmp(parameter, inputs[i], strlen(inputs[i])) == 0)
            return 0;
    if (sscanf(parameter, "blocks.%" SCNd64 ".%n", &layer, &read) == 1 && read > 0 && layer >= 0 &&
        layer < config->layers)
        return layer + 1;
    return config->layers + 1;
}

/* ---- forward ---- */

/* The class token with its position, once per image: (B, 1, D). */
static assay_tensor *class_rows(assay_tape *tape, const assay_vit *vit, assay_tensor *position,
                                int64_t batch)
{
    int64_t width = vit->config.width;
    assay_tensor *row = assay_reshape(tape, vit->class_token, 2, (int64_t[]){1, width});
    assay_tensor *index = assay_tape_tensor(tape, ASSAY_I32, 1, &batch);
    if (!index)
        return NULL;
    memset(index->data, 0, (size_t)assay_tensor_bytes(index));
    row = assay_gather(tape, assay_add(tape, row, position), index);
    return assay_reshape(tape, row, 3, (int64_t[]){batch, 1, width});
}

static bool fits(const assay_tensor *images, const assay_vit_config *c)
{
    return images->rank == 4 && images->shape[1] == c->channels && images->shape[2] == c->image &&
           images->shape[3] == c->image;
}

assay_tensor *assay_vit_embed(assay_tape *tape, const assay_vit *vit, assay_tensor *images)
{
    const assay_vit_config *c = &vit->config;
    int64_t patches = vit->grid * vit->grid, inputs = c->channels * c->patch * c->patch;
    if (!images)
        return NULL;
    if (c->blocks_only)
        return assay_tape_fail(
            tape, ASSAY_UNSUPPORTED,
            (assay_failure){.where = "vit", .what = "a stack of blocks alone takes no images"});
    if (!fits(images, c))
        return assay_tape_fail(
            tape, ASSAY_BAD_SHAPE,
            (assay_failure){.where = "vit",
                            .what = "the images do not fit the model",
                            .expected = assay_text("(B, %" PRId64 ", %" PRId64 ", %" PRId64 ")",
                                                   c->channels, c->image, c->image),
                            .got = assay_tensor_text(images)});
    int64_t table[] = {1 + patches, c->width};
    assay_tensor *positions = assay_reshape(tape, vit->positions, 2, table);
    assay_tensor *weight =
        assay_reshape(tape, vit->patches.weight, 2, (int64_t[]){c->width, inputs});
    assay_tensor *x = assay_linear(tape, assay_patches(tape, images, c->patch), weight,
                                   vit->patches.bias, ASSAY_IDENTITY);
    x = assay_add(tape, x, assay_slice(tape, positions, 0, 1, patches));
    assay_tensor *first =
        class_rows(tape, vit, assay_slice(tape, positions, 0, 0, 1), images->shape[0]);
    return assay_concat(tape, 2, (assay_tensor *[]){first, x}, 1);
}

/* drop_path(gamma * branch): what is added to the stream. */
static assay_tensor *scaled(assay_tape *tape, const assay_vit *vit, int64_t layer,
                            assay_tensor *branch, assay_tensor *gamma, const char *name)
{
    const assay_vit_config *c = &vit->config;
    float p = c->drop_path;
    if (c->drop_path_grows)
        p = c->layers > 1 ? p * (float)layer / (float)(c->layers - 1) : 0;
    if (gamma)
        branch = assay_mul(tape, branch, gamma);
    return assay_drop_path(tape, branch, p,
                           assay_text("%sblocks.%" PRId64 ".%s", vit->prefix, layer, name));
}

/* ---- places ---- */

static const char *place_of(const assay_vit *vit, int64_t layer, const char *name)
{
    return assay_text("%sblocks.%" PRId64 ".%s", vit->prefix, layer, name);
}

static assay_tensor *place(assay_tape *tape, const assay_vit *vit, int64_t layer, const char *name,
                           assay_tensor *x, assay_tensor *y)
{
    return assay_tape_attached(tape) ? assay_place(tape, place_of(vit, layer, name), x, y) : y;
}

/* A linear layer where an adapter may act. */
static assay_tensor *project(assay_tape *tape, const assay_vit *vit, int64_t layer,
                             const char *name, assay_tensor *x, const nn_linear *linear)
{
    return place(tape, vit, layer, name, x, nn_apply(tape, x, linear, ASSAY_IDENTITY));
}

/* The first layer of the MLP with its GELU, which is fused unless an adapter acts between them. */
static assay_tensor *project_up(assay_tape *tape, const assay_vit *vit, int64_t layer,
                                assay_tensor *x)
{
    static const char name[] = "mlp.fc1";
    const nn_linear *up = &vit->layers[layer].up;
    if (!assay_tape_attached(tape) || !assay_place_taken(tape, place_of(vit, layer, name)))
        return nn_apply(tape, x, up, ASSAY_GELU);
    return assay_activate(tape, project(tape, vit, layer, name, x, up), ASSAY_GELU);
}

/* ---- blocks ---- */

/* What is wanted of a block's attention; NULL: nothing. */
typedef struct attention_wish {
    assay_tensor **map, **scores;
    bool nothing_else; /* the block's output is not needed */
} attention_wish;

/* Attention's arguments for a block's input. */
static assay_attention_args arguments(assay_tape *tape, const assay_vit *vit, int64_t layer,
                                      assay_tensor *x, const assay_attention_bias *bias)
{
    const assay_vit_config *c = &vit->config;
    const vit_layer *block = &vit->layers[layer];
    const nn_norm *norm = &block->attention_norm;
    assay_attention_args args = {.heads = heads_of(c, layer), .bias = assay_bias_full()};
    assay_tensor *n = assay_layer_norm(tape, x, norm->weight, norm->bias, c->norm_eps);
    args.qkv = project(tape, vit, layer, "attn.qkv", n, &block->qkv);
    if (bias) {
        args.bias = *bias;
    } else if (block->relative) {
        args.bias.log_weight = assay_relative_bias(tape, block->relative, vit->grid);
        args.bias.scope = ASSAY_BIAS_EVERYWHERE;
    }
    return args;
}

/* The logits with the block's relative bias, which is shared by the images. A bias that a mask gave
 * hides pairs and stays with the softmax. */
static assay_tensor *scores_of(assay_tape *tape, const assay_attention_args *args, bool relative)
{
    assay_tensor *scores = assay_attention_scores(tape, args->qkv, args->heads);
    assay_tensor *bias = args->bias.log_weight;
    if (!relative)
        return scores;
    if (!bias)
        return NULL;
    return assay_add(tape, scores, assay_reshape(tape, bias, 3, bias->shape + 1));
}

static assay_tensor *run_block(assay_tape *tape, const assay_vit *vit, int64_t layer,
                               assay_tensor *x, const assay_attention_bias *bias,
                               const attention_wish *wish)
{
    const assay_vit_config *c = &vit->config;
    const vit_layer *block = &vit->layers[layer];
    const nn_norm *norm = &block->mlp_norm;
    assay_attention_args args = arguments(tape, vit, layer, x, bias);
    if (wish->map)
        *wish->map = assay_attention_map(tape, &args);
    if (wish->scores)
        *wish->scores = scores_of(tape, &args, !bias && block->relative);
    if (wish->nothing_else)
        return x;
    assay_tensor *y =
        project(tape, vit, layer, "attn.proj", assay_attention(tape, &args), &block->out);
    x = assay_add(tape, x, scaled(tape, vit, layer, y, block->gamma1, "attn"));
    y = assay_layer_norm(tape, x, norm->weight, norm->bias, c->norm_eps);
    y = project(tape, vit, layer, "mlp.fc2", project_up(tape, vit, layer, y), &block->down);
    y = place(tape, vit, layer, "mlp", x, y);
    y = place(tape, vit, layer, "mlp.scaled", x, scaled(tape, vit, layer, y, block->gamma2, "mlp"));
    return assay_add(tape, x, y);
}

static bool has_block(assay_tape *tape, const assay_vit *vit, int64_t layer)
{
    if (layer >= 0 && layer < vit->config.layers)
        return true;
    assay_tape_fail(tape, ASSAY_BAD_INPUT,
                    (assay_failure){.where = "vit",
                                    .what = "no such block",
                                    .expected = assay_text("0 to %" PRId64, vit->config.layers - 1),
                                    .got = assay_text("%" PRId64, layer)});
    return false;
}

/* A block's relative bias is for all tokens of its grid. */
static bool has_tokens(assay_tape *tape, const assay_vit *vit, const assay_tensor *x)
{
    int64_t tokens = 1 + vit->grid * vit->grid;
    if (!x || !vit->config.relative_bias || (x->rank == 3 && x->shape[1] == tokens))
        return x != NULL;
    assay_tape_fail(tape, ASSAY_BAD_SHAPE,
                    (assay_failure){.where = "vit",
                                    .what = "a relative bias needs every token of the grid",
                                    .expected = assay_text("(B, %" PRId64 ", %" PRId64 ")", tokens,
                                                           vit->config.width),
                                    .got = assay_tensor_text(x)});
    return false;
}

assay_tensor *assay_vit_block(assay_tape *tape, const assay_vit *vit, int64_t layer,
                              assay_tensor *x, const assay_attention_bias *bias, assay_tensor **map)
{
    if (!has_block(tape, vit, layer) || (!bias && !has_tokens(tape, vit, x)))
        return NULL;
    return run_block(tape, vit, layer, x, bias, &(attention_wish){.map = map});
}

assay_tensor *assay_vit_traced(assay_tape *tape, const assay_vit *vit, assay_tensor *x,
                               const assay_attention_bias *bias, assay_vit_trace *trace)
{
    int64_t blocks = trace->blocks;
    memset(trace->layers, 0, sizeof trace->layers);
    memset(trace->maps, 0, sizeof trace->maps);
    memset(trace->scores, 0, sizeof trace->scores);
    if ((blocks != 0 && !has_block(tape, vit, blocks - 1)) || (!bias && !has_tokens(tape, vit, x)))
        return NULL;
    for (int64_t i = 0; i <= blocks && i < vit->config.layers && x; i++) {
        bool traced = i < ASSAY_VIT_LAYERS;
        attention_wish wish = {
            .map = traced && trace->want_map[i] ? &trace->maps[i] : NULL,
            .scores = traced && trace->want_scores[i] ? &trace->scores[i] : NULL,
            .nothing_else = i == blocks,
        };
        if (wish.nothing_else && !wish.map && !wish.scores)
            break;
        x = run_block(tape, vit, i, x, bias, &wish);
        if (wish.nothing_else)
            break;
        x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
        if (traced)
            trace->layers[i] = x;
    }
    return assay_tape_ok(tape, NULL) ? x : NULL;
}

assay_tensor *assay_vit_norm(assay_tape *tape, const assay_vit *vit, assay_tensor *x)
{
    const nn_norm *norm = &vit->norm;
    if (!vit->config.final_norm)
        return x;
    x = assay_layer_norm(tape, x, norm->weight, norm->bias, vit->config.norm_eps);
    return assay_state(tape, "final_norm", x);
}

assay_tensor *assay_vit_forward(assay_tape *tape, const assay_vit *vit, assay_tensor *images,
                                assay_tensor **layers, assay_tensor **maps)
{
    assay_tensor *x = assay_state(tape, "embeddings", assay_vit_embed(tape, vit, images));
    for (int64_t i = 0; i < vit->config.layers && x; i++) {
        x = assay_vit_block(tape, vit, i, x, NULL, maps ? &maps[i] : NULL);
        x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
        if (layers)
            layers[i] = x;
    }
    return assay_vit_norm(tape, vit, x);
}
