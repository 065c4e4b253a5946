/* vit.c - the pre-norm ViT of MAE and timm: patch embedding, class token, fused qkv (infrared spec
 * 1.1, 1.2, 1.5, 1.6). */
#include "engine/nn/build.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct vit_layer {
    nn_norm attention_norm, mlp_norm;
    nn_linear qkv, out, up, down;
    assay_tensor *gamma1, *gamma2; /* (D); NULL without layer scale */
} vit_layer;

struct assay_vit {
    assay_vit_config config;
    char *prefix;                          /* owned; of drop-path addresses */
    int64_t grid;                          /* patches along a side */
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

static void build_layer(nn_builder *builder, const assay_vit_config *c, vit_layer *layer)
{
    int64_t width = c->width;
    layer->attention_norm = nn_build_norm(builder, "norm1", width);
    layer->qkv = nn_build_linear(builder, "attn.qkv", 3 * width, width, true);
    layer->out = nn_build_linear(builder, "attn.proj", width, width, true);
    layer->mlp_norm = nn_build_norm(builder, "norm2", width);
    layer->up = nn_build_linear(builder, "mlp.fc1", c->mlp_width, width, true);
    layer->down = nn_build_linear(builder, "mlp.fc2", width, c->mlp_width, true);
    if (c->layer_scale) {
        layer->gamma1 = nn_build_vector(builder, "gamma_1", width, ASSAY_INIT_ONES);
        layer->gamma2 = nn_build_vector(builder, "gamma_2", width, ASSAY_INIT_ONES);
    }
}

/* The convolution's weight is drawn as the matrix (D, C P P) that it is here. */
static void build_patches(nn_builder *builder, assay_vit *vit)
{
    const assay_vit_config *c = &vit->config;
    double inputs = (double)c->channels * (double)c->patch * (double)c->patch;
    float bound = (float)sqrt(6 / (inputs + (double)c->width));
    vit->patches.weight = nn_build_tensor(builder, "patch_embed.proj.weight", 4,
                                          (int64_t[]){c->width, c->channels, c->patch, c->patch},
                                          (assay_init){ASSAY_INIT_UNIFORM, bound, 0});
    vit->patches.bias =
        nn_build_vector(builder, "patch_embed.proj.bias", c->width, ASSAY_INIT_ZEROS);
}

static void build_parameters(nn_builder *builder, assay_vit *vit)
{
    const assay_vit_config *c = &vit->config;
    vit->class_token = nn_build_tensor(builder, "cls_token", 3, (int64_t[]){1, 1, c->width},
                                       (assay_init){ASSAY_INIT_NORMAL, 0.02f, 0});
    vit->positions = nn_build_tensor(builder, "pos_embed", 3,
                                     (int64_t[]){1, 1 + vit->grid * vit->grid, c->width},
                                     (assay_init){.kind = ASSAY_INIT_ZEROS});
    if (vit->positions)
        assay_sincos_positions(vit->grid, c->width, assay_f32(vit->positions));
    build_patches(builder, vit);
    for (int64_t i = 0; i < c->layers; i++) {
        nn_build_path(builder, "blocks.%" PRId64 ".", i);
        build_layer(builder, c, &vit->layers[i]);
    }
    nn_build_path(builder, "%s", "");
    if (c->final_norm)
        vit->norm = nn_build_norm(builder, "norm", c->width);
}

assay_vit *assay_vit_new(assay_params *params, const char *prefix, const assay_vit_config *config,
                         assay_error *error)
{
    nn_builder builder;
    if (!nn_vit_config_check(config, "vit", error))
        return NULL;
    assay_vit *vit = assay_zalloc((int64_t)sizeof *vit, error);
    if (!vit)
        return NULL;
    vit->config = *config;
    vit->grid = config->image / config->patch;
    vit->prefix = assay_strdup(prefix ? prefix : "", error);
    vit->layers = nn_build_layers(config->layers, sizeof *vit->layers, error);
    if (!vit->prefix || !vit->layers) {
        assay_vit_free(vit);
        return NULL;
    }
    nn_build_begin(&builder, params, prefix, (assay_init){.kind = ASSAY_INIT_XAVIER_UNIFORM},
                   error);
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

/* x + drop_path(gamma * branch). */
static assay_tensor *add_branch(assay_tape *tape, const assay_vit *vit, int64_t layer,
                                assay_tensor *x, assay_tensor *branch, assay_tensor *gamma,
                                const char *name)
{
    const assay_vit_config *c = &vit->config;
    float p = c->drop_path;
    if (c->drop_path_grows)
        p = c->layers > 1 ? p * (float)layer / (float)(c->layers - 1) : 0;
    if (gamma)
        branch = assay_mul(tape, branch, gamma);
    branch = assay_drop_path(tape, branch, p,
                             assay_text("%sblocks.%" PRId64 ".%s", vit->prefix, layer, name));
    return assay_add(tape, x, branch);
}

assay_tensor *assay_vit_block(assay_tape *tape, const assay_vit *vit, int64_t layer,
                              assay_tensor *x, const assay_attention_bias *bias, assay_tensor **map)
{
    const assay_vit_config *c = &vit->config;
    if (layer < 0 || layer >= c->layers)
        return assay_tape_fail(
            tape, ASSAY_BAD_INPUT,
            (assay_failure){.where = "vit",
                            .what = "no such block",
                            .expected = assay_text("0 to %" PRId64, c->layers - 1),
                            .got = assay_text("%" PRId64, layer)});
    const vit_layer *block = &vit->layers[layer];
    const nn_norm *n1 = &block->attention_norm, *n2 = &block->mlp_norm;
    assay_tensor *n = assay_layer_norm(tape, x, n1->weight, n1->bias, c->norm_eps);
    assay_attention_args args = {
        .qkv = nn_apply(tape, n, &block->qkv, ASSAY_IDENTITY),
        .heads = c->heads,
        .bias = bias ? *bias : assay_bias_full(),
    };
    if (map)
        *map = assay_attention_map(tape, &args);
    assay_tensor *y = nn_apply(tape, assay_attention(tape, &args), &block->out, ASSAY_IDENTITY);
    x = add_branch(tape, vit, layer, x, y, block->gamma1, "attn");
    n = assay_layer_norm(tape, x, n2->weight, n2->bias, c->norm_eps);
    y = nn_apply(tape, n, &block->up, ASSAY_GELU);
    y = nn_apply(tape, y, &block->down, ASSAY_IDENTITY);
    return add_branch(tape, vit, layer, x, y, block->gamma2, "mlp");
}

assay_tensor *assay_vit_forward(assay_tape *tape, const assay_vit *vit, assay_tensor *images,
                                assay_tensor **layers, assay_tensor **maps)
{
    const nn_norm *norm = &vit->norm;
    assay_tensor *x = assay_state(tape, "embeddings", assay_vit_embed(tape, vit, images));
    for (int64_t i = 0; i < vit->config.layers; i++) {
        x = assay_vit_block(tape, vit, i, x, NULL, maps ? &maps[i] : NULL);
        x = assay_state(tape, assay_text("layers.%" PRId64, i), x);
        if (layers)
            layers[i] = x;
    }
    if (!vit->config.final_norm)
        return x;
    x = assay_layer_norm(tape, x, norm->weight, norm->bias, vit->config.norm_eps);
    return assay_state(tape, "final_norm", x);
}
