/* head.c - from the ViT's tokens to logits: the pyramid, UPerNet, its auxiliary head, and the
 * linear head (infrared spec 1.6, 2.9.2 to 2.9.4, 2.10). */
#include "segmenter.h"

#include <assay/ops.h>

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const int64_t scales[MODEL_SCALES] = {1, 2, 3, 6};
static const float norm_eps = 1e-5f;

/* ---- building ---- */

typedef struct builder {
    assay_params *params;
    assay_error *error;
    char path[80];
} builder;

static void under(builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void under(builder *b, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(b->path, sizeof b->path, format, list);
    va_end(list);
}

static assay_tensor *add(builder *b, const char *name, int rank, const int64_t *shape,
                         assay_init init)
{
    return assay_params_add(b->params, assay_text("%s.%s", b->path, name), rank, shape, init,
                            b->error);
}

static assay_tensor *add_vector(builder *b, const char *name, int64_t n, assay_init_kind kind)
{
    return add(b, name, 1, &n, (assay_init){.kind = kind});
}

/* Statistics are parameters, so that they are kept with the others, and never trained. */
static assay_tensor *add_statistic(builder *b, const char *name, int64_t n, assay_init_kind kind)
{
    assay_tensor *made = add_vector(b, name, n, kind);
    if (made)
        assay_params_train(b->params, assay_text("%s.%s", b->path, name), false, b->error);
    return made;
}

static map_norm build_norm(builder *b, int64_t channels)
{
    return (map_norm){
        .weight = add_vector(b, "weight", channels, ASSAY_INIT_ONES),
        .bias = add_vector(b, "bias", channels, ASSAY_INIT_ZEROS),
        .stats = {.mean = add_statistic(b, "running_mean", channels, ASSAY_INIT_ZEROS),
                  .variance = add_statistic(b, "running_var", channels, ASSAY_INIT_ONES),
                  .momentum = 0.1f},
    };
}

/* NAME.conv.weight and NAME.bn. */
static map_block build_block(builder *b, const char *name, int64_t out, int64_t in, int64_t side)
{
    map_block made = {0};
    under(b, "%s.conv", name);
    made.weight = add(b, "weight", 4, (int64_t[]){out, in, side, side},
                      (assay_init){.kind = ASSAY_INIT_KAIMING_NORMAL});
    under(b, "%s.bn", name);
    made.norm = build_norm(b, out);
    return made;
}

/* A transposed convolution of side 2, started as PyTorch does. */
static map_linear build_up(builder *b, const char *name, int64_t width)
{
    const assay_init init = {.kind = ASSAY_INIT_UNIFORM, .a = 1 / sqrtf(4 * (float)width)};
    map_linear made = {0};
    under(b, "%s", name);
    made.weight = add(b, "weight", 4, (int64_t[]){width, width, 2, 2}, init);
    made.bias = add(b, "bias", 1, &width, init);
    return made;
}

static map_linear build_seg(builder *b, const char *head, int64_t classes, int64_t in)
{
    map_linear made = {0};
    under(b, "%s.conv_seg", head);
    made.weight = add(b, "weight", 4, (int64_t[]){classes, in, 1, 1},
                      (assay_init){.kind = ASSAY_INIT_NORMAL, .a = 0.01f});
    made.bias = add_vector(b, "bias", classes, ASSAY_INIT_ZEROS);
    return made;
}

static void build_neck(builder *b, neck *n, int64_t width)
{
    n->up4 = build_up(b, "fpn1.0", width);
    under(b, "fpn1.1");
    n->norm = build_norm(b, width);
    n->up4_again = build_up(b, "fpn1.3", width);
    n->up8 = build_up(b, "fpn2.0", width);
}

static void build_upernet(builder *b, upernet *u, int64_t width, int64_t channels)
{
    for (int i = 0; i < MODEL_SCALES; i++)
        u->psp[i] =
            build_block(b, assay_text("decode_head.psp_modules.%d.1", i), channels, width, 1);
    u->bottleneck =
        build_block(b, "decode_head.bottleneck", channels, width + MODEL_SCALES * channels, 3);
    for (int i = 0; i < MODEL_LEVELS - 1; i++) {
        u->lateral[i] =
            build_block(b, assay_text("decode_head.lateral_convs.%d", i), channels, width, 1);
        u->fpn[i] =
            build_block(b, assay_text("decode_head.fpn_convs.%d", i), channels, channels, 3);
    }
    u->fpn_bottleneck =
        build_block(b, "decode_head.fpn_bottleneck", channels, MODEL_LEVELS * channels, 3);
}

void head_build(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    const int64_t width = m->config->width;
    builder b = {.params = params, .error = error};
    if (s->head == HEAD_LINEAR) {
        m->seg = build_seg(&b, "decode_head", m->classes, m->taken_count * width);
        return;
    }
    build_neck(&b, &m->neck, width);
    build_upernet(&b, &m->upernet, width, m->channels);
    m->seg = build_seg(&b, "decode_head", m->classes, m->channels);
    if (!s->auxiliary)
        return;
    m->auxiliary = build_block(&b, "auxiliary_head.convs.0", s->auxiliary_channels, width, 3);
    m->auxiliary_seg = build_seg(&b, "auxiliary_head", m->classes, s->auxiliary_channels);
}

/* ---- passes ---- */

static assay_tensor *apply_block(assay_tape *tape, assay_tensor *x, const map_block *block)
{
    const map_norm *n = &block->norm;
    x = assay_conv2d(tape, x, block->weight, NULL, 1, block->weight->shape[2] / 2);
    return assay_batch_norm_relu(tape, x, n->weight, n->bias, &n->stats, norm_eps);
}

static assay_tensor *apply_up(assay_tape *tape, assay_tensor *x, const map_linear *up)
{
    return assay_conv_transpose2d(tape, x, up->weight, up->bias);
}

static assay_tensor *classify(assay_tape *tape, const model *m, assay_tensor *x,
                              const map_linear *seg, const char *name)
{
    if (m->settings.head == HEAD_UPERNET)
        x = assay_dropout2d(tape, x, (float)m->settings.dropout, name);
    return assay_conv2d(tape, x, seg->weight, seg->bias, 1, 0);
}

/* Strides 4, 8, 16 and 32 of the four maps; `levels` receives them. */
static void pyramid(assay_tape *tape, const neck *n, assay_tensor **levels)
{
    const map_norm *norm = &n->norm;
    assay_tensor *x = assay_batch_norm(tape, apply_up(tape, levels[0], &n->up4), norm->weight,
                                       norm->bias, &norm->stats, norm_eps);
    levels[0] = apply_up(tape, assay_activate(tape, x, ASSAY_GELU), &n->up4_again);
    levels[1] = apply_up(tape, levels[1], &n->up8);
    levels[3] = assay_max_pool2d(tape, levels[3], 2);
}

/* The coarsest map with what its surroundings say at four scales. */
static assay_tensor *pool_pyramid(assay_tape *tape, const upernet *u, assay_tensor *x)
{
    assay_tensor *all[1 + MODEL_SCALES] = {x};
    for (int i = 0; i < MODEL_SCALES; i++) {
        assay_tensor *pooled = assay_adaptive_average_pool2d(tape, x, scales[i], scales[i]);
        all[1 + i] = apply_block(tape, pooled, &u->psp[i]);
    }
    return apply_block(tape, assay_join_maps(tape, 1 + MODEL_SCALES, all), &u->bottleneck);
}

static assay_tensor *apply_upernet(assay_tape *tape, const upernet *u, assay_tensor *const *levels)
{
    assay_tensor *x[MODEL_LEVELS] = {NULL};
    x[3] = pool_pyramid(tape, u, levels[3]);
    for (int i = 0; i < MODEL_LEVELS - 1; i++)
        x[i] = apply_block(tape, levels[i], &u->lateral[i]);
    for (int i = MODEL_LEVELS - 2; i >= 0; i--)
        x[i] = assay_add_resized(tape, x[i], x[i + 1]);
    for (int i = 0; i < MODEL_LEVELS - 1; i++)
        x[i] = apply_block(tape, x[i], &u->fpn[i]);
    return apply_block(tape, assay_join_maps(tape, MODEL_LEVELS, x), &u->fpn_bottleneck);
}

/* (B, D, g, g) f32 without the class token; blocks taken twice are one map. */
static void to_maps(assay_tape *tape, const model *m, assay_tensor *const *features,
                    assay_tensor **maps)
{
    const int64_t side = m->config->image / m->config->patch;
    for (int i = 0; i < m->taken_count; i++)
        maps[i] = i > 0 && features[i] == features[i - 1]
                      ? maps[i - 1]
                      : assay_tokens_to_map(tape, assay_cast(tape, features[i], ASSAY_F32), 1, side,
                                            side);
}

assay_tensor *head_forward(assay_tape *tape, const model *m, assay_tensor *const *features,
                           assay_tensor **auxiliary)
{
    assay_tensor *maps[MODEL_BLOCKS] = {NULL};
    to_maps(tape, m, features, maps);
    if (m->settings.head == HEAD_LINEAR) {
        assay_tensor *x =
            m->taken_count == 1 ? maps[0] : assay_concat(tape, m->taken_count, maps, 1);
        return classify(tape, m, x, &m->seg, "");
    }
    pyramid(tape, &m->neck, maps);
    if (auxiliary && m->settings.auxiliary)
        *auxiliary = classify(tape, m, apply_block(tape, maps[2], &m->auxiliary), &m->auxiliary_seg,
                              "segmenter/auxiliary_head");
    return classify(tape, m, apply_upernet(tape, &m->upernet, maps), &m->seg,
                    "segmenter/decode_head");
}
