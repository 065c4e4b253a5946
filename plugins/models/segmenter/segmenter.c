/* segmenter.c - model `segmenter`: a ViT that names the class of every pixel (infrared spec 2.9 to
 * 2.12): UPerNet on a pyramid of four blocks' outputs, or of the last block's alone (LL-FPN), with
 * its auxiliary head; or one linear layer on frozen blocks (linear and layerwise probing).
 *
 * Fields: "image" f32 (H, W), normalised; "truth" u8 (H, W), 255 is not counted. In training both
 * are of the model's size; in evaluation an image is fitted into fit_long x fit_short, cut into
 * windows of the model's size, `stride` apart, whose logits are averaged.
 *
 * Parameters: the ViT's under timm's names without a prefix, so that the parameters of a
 * pre-trained `vit` load by name (init); neck and heads under mmsegmentation's (fpn1, fpn2,
 * decode_head, auxiliary_head).
 *
 * Outputs: image.logits (B, C, h, w) at a quarter of the image's side (linear: at the patches');
 * image.auxiliary, likewise at the patches', empty without the head; image.truth u8 (B, S, S);
 * image.prediction i32, in evaluation: the classes of each sample's pixels at its truth's size, one
 * sample after another; image.layers.L (B, T, D) and image.attention.L (B, H, T, T) of block L. */
#include "segmenter.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const assay_option options[] = {
    ASSAY_CHOICE(settings, size, "small", "tiny|small|base|large|custom",
                 "of the ViT, as model.vit's; custom: width, layers and heads say it"),
    ASSAY_INTEGER(settings, width, "", 0, 0, 16384, "numbers a token; 0: as the size"),
    ASSAY_INTEGER(settings, layers, "blocks", 0, 0, ASSAY_VIT_LAYERS, "0: as the size"),
    ASSAY_INTEGER(settings, heads, "", 0, 0, 1024, "heads of attention; 0: as the size"),
    ASSAY_INTEGER(settings, mlp, "", 0, 0, 65536,
                  "inner numbers of the MLP; 0: four times the width"),
    ASSAY_INTEGER(settings, last_heads, "", 0, 0, 1024,
                  "heads of the last block; 0: as the others (as released, whatever the teacher)"),
    ASSAY_INTEGER(settings, patch, "pixels", 16, 1, 256, "side of a patch; divides the image's"),
    ASSAY_INTEGER(settings, image, "pixels", 512, 2, 4096,
                  "side of what the model takes: training crops and evaluation windows"),
    ASSAY_BOOL(settings, layer_scale, 1,
               "blocks scale their branches by learned gammas, 1 at first"),
    ASSAY_BOOL(settings, relative_bias, 0, "a learned attention bias per displacement (PAD)"),
    ASSAY_NUMBER(settings, drop_path, "", 0.1, 0, 0.9,
                 "of the last block, growing from 0 at the first; large has 0.2 as published"),
    ASSAY_CHOICE(settings, head, "upernet", "upernet|linear", "what reads the blocks' outputs"),
    ASSAY_CHOICE(
        settings, neck, "auto", "auto|fpn|ll_fpn|none",
        "fpn: a pyramid of four blocks; ll_fpn: of the last one; none: with the linear head"),
    ASSAY_NUMBERS(settings, blocks, "", "", 0, 63,
                  "blocks that are read, from 0; left out: four of a third to all of the depth"),
    ASSAY_CHOICE(settings, feature, "block", "block|norm",
                 "what is read of a block: its output, or that after the ViT's final norm"),
    ASSAY_INTEGER(settings, channels, "", 0, 0, 4096, "of UPerNet; 0: the ViT's width"),
    ASSAY_BOOL(settings, auxiliary, 1, "UPerNet has an auxiliary head for training"),
    ASSAY_INTEGER(settings, auxiliary_channels, "", 256, 1, 4096, "of the auxiliary head"),
    ASSAY_NUMBER(settings, dropout, "", 0.1, 0, 0.9, "of whole channels before the last layer"),
    ASSAY_BOOL(settings, freeze, 0, "the ViT is not trained and runs as in evaluation (probing)"),
    ASSAY_INTEGER(settings, stride, "pixels", 0, 0, 4096,
                  "between windows in evaluation; 0: two thirds of the side"),
    ASSAY_INTEGER(settings, fit_long, "pixels", 0, 0, 32768,
                  "long side that images are fitted into in evaluation; 0: four times the side"),
    ASSAY_INTEGER(settings, fit_short, "pixels", 0, 0, 32768, "short side; 0: the side"),
};

static const assay_part parts[] = {
    {"patches", "patch_embed."}, {"class token", "cls_token"},
    {"positions", "pos_embed"},  {"blocks", "blocks."},
    {"final norm", "norm."},     {"pyramid", "fpn"},
    {"head", "decode_head."},    {"auxiliary head", "auxiliary_head."},
};

static bool fail(assay_error *error, const char *what, const char *expected, const char *hint)
{
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE, .what = what,
                      .expected = expected, .hint = hint);
}

/* ---- data ---- */

static bool find_fields(model *m, const assay_data *data, assay_error *error)
{
    int count = 0, classes = 0;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    m->image = assay_data_field(data, "image");
    m->truth = assay_data_field(data, "truth");
    if (m->image < 0 || fields[m->image].dtype != ASSAY_F32 || fields[m->image].rank != 2)
        return fail(error, assay_text("dataset.%s has no images", data->name),
                    "a field 'image' f32 (H, W)", NULL);
    if (m->truth >= 0 && (fields[m->truth].dtype != ASSAY_U8 || fields[m->truth].rank != 2))
        return fail(error, assay_text("the truth of dataset.%s is no image", data->name),
                    "a field 'truth' u8 (H, W)", NULL);
    if (data->functions->classes)
        data->functions->classes(data->dataset, &classes);
    if (classes < 2 || classes > MODEL_CLASSES)
        return fail(error, assay_text("dataset.%s does not name classes of pixels", data->name),
                    assay_text("2 to %d", MODEL_CLASSES),
                    "a segmentation dataset has them; a set for pre-training does not");
    m->classes = classes;
    return true;
}

/* ---- what is built ---- */

static bool choose_vit(const settings *s, assay_vit_config *out, assay_error *error)
{
    static const char *const names[] = {"tiny", "small", "base", "large"};
    assay_vit_config c = {.norm_eps = 1e-6f};
    /* The named size with a patch that always fits: the image's side is this model's option. */
    if (s->size != SIZE_CUSTOM && !assay_vit_config_named(names[s->size], 16, &c, error))
        return false;
    if (s->size == SIZE_CUSTOM && (s->width == 0 || s->layers == 0 || s->heads == 0))
        return fail(error, "a custom size needs width, layers and heads", NULL, NULL);
    c.width = s->width > 0 ? s->width : c.width;
    c.layers = s->layers > 0 ? s->layers : c.layers;
    c.heads = s->heads > 0 ? s->heads : c.heads;
    c.mlp_width = s->mlp > 0 ? s->mlp : 4 * c.width;
    c.image = s->image;
    c.patch = s->patch;
    c.channels = MODEL_CHANNELS;
    c.last_heads = s->last_heads;
    c.final_norm = s->feature == FEATURE_NORM;
    c.layer_scale = s->layer_scale;
    c.relative_bias = s->relative_bias;
    c.drop_path = s->freeze ? 0 : (float)s->drop_path;
    c.drop_path_grows = true;
    c.start = ASSAY_VIT_SEGMENTATION;
    *out = c;
    return true;
}

/* The published blocks 4, 6, 8 and 12 of 12, in proportion. */
static void choose_standard(model *m, int64_t layers)
{
    static const int64_t twelfths[MODEL_LEVELS] = {4, 6, 8, 12};
    m->taken_count = MODEL_LEVELS;
    for (int i = 0; i < MODEL_LEVELS; i++) {
        int64_t block = (layers * twelfths[i] + 6) / 12;
        m->taken[i] = m->settings.neck == NECK_LAST ? layers - 1 : block > 0 ? block - 1 : 0;
    }
}

static bool choose_blocks(model *m, int64_t layers, assay_error *error)
{
    const assay_numbers *given = &m->settings.blocks;
    if (given->count == 0) {
        choose_standard(m, layers);
        return true;
    }
    if (m->settings.neck == NECK_LAST)
        return fail(error, "ll_fpn reads the last block alone", "no option 'blocks'",
                    "neck = \"fpn\"");
    if (m->settings.neck == NECK_FPN ? given->count != MODEL_LEVELS : given->count > MODEL_BLOCKS)
        return fail(error, "this head does not read that many blocks",
                    m->settings.neck == NECK_FPN ? "4 blocks"
                                                 : assay_text("1 to %d blocks", MODEL_BLOCKS),
                    NULL);
    for (int64_t i = 0; i < given->count; i++) {
        const double block = given->items[i];
        if (block != floor(block) || block < 0 || block >= (double)layers)
            return fail(error, assay_text("the ViT has no block %g", block),
                        assay_text("0 to %" PRId64, layers - 1), NULL);
        m->taken[i] = (int64_t)block;
    }
    m->taken_count = (int)given->count;
    return true;
}

/* Defaults that depend on other options, and what does not go together. */
static bool settle(settings *s, assay_error *error)
{
    if (s->neck == NECK_AUTO)
        s->neck = s->head == HEAD_LINEAR ? NECK_NONE : NECK_FPN;
    if ((s->head == HEAD_LINEAR) != (s->neck == NECK_NONE))
        return fail(error, "head and neck do not go together",
                    "upernet with fpn or ll_fpn, linear with none", NULL);
    if (s->image % s->patch != 0)
        return fail(error, "the image is not a whole number of patches",
                    assay_text("a multiple of %" PRId64, s->patch), NULL);
    if (s->head == HEAD_UPERNET && s->image / s->patch < 2)
        return fail(error, "the pyramid needs patches to pool", "two patches along a side", NULL);
    s->auxiliary = s->auxiliary && s->head == HEAD_UPERNET;
    s->stride = s->stride ? s->stride : (s->image * 2 / 3 > 0 ? s->image * 2 / 3 : 1);
    if (s->stride > s->image)
        return fail(error, "windows leave pixels out between them",
                    assay_text("a stride of at most %" PRId64, s->image), NULL);
    s->fit_long = s->fit_long ? s->fit_long : 4 * s->image;
    s->fit_short = s->fit_short ? s->fit_short : s->image;
    return true;
}

/* The ViT's parameters stay as they are; its batches run as in evaluation, for it has no drop
 * path. */
static bool freeze(assay_params *params, assay_error *error)
{
    static const char *const prefixes[] = {"blocks.", "cls_token", "pos_embed", "patch_embed.",
                                           "norm."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (assay_params_train(params, prefixes[i], false, error) < 0)
            return false;
    return true;
}

static bool name_outputs(model *m, assay_error *error)
{
    static const char *const fixed[] = {"image.logits", "image.auxiliary", "image.truth",
                                        "image.prediction"};
    const int known = (int)(sizeof fixed / sizeof *fixed);
    const int64_t layers = m->config->layers;
    m->outputs = assay_zalloc((known + 2 * layers) * (int64_t)sizeof *m->outputs, error);
    if (!m->outputs)
        return false;
    m->output_count = known + 2 * (int)layers;
    for (int i = 0; i < m->output_count; i++) {
        const int64_t l = (i - known) / 2;
        const char *name = i < known         ? fixed[i]
                           : (i - known) % 2 ? assay_text("image.attention.%" PRId64, l)
                                             : assay_text("image.layers.%" PRId64, l);
        m->outputs[i] = assay_strdup(name, error);
        if (!m->outputs[i])
            return false;
    }
    return true;
}

static bool build(model *m, const assay_model_setup *setup, assay_error *error)
{
    settings *s = &m->settings;
    assay_vit_config config;
    assay_error inner = {0};
    if (!assay_refuse_extra(setup, MODEL_WHERE, error) || !settle(s, error) ||
        !find_fields(m, setup->data, error) || !choose_vit(s, &config, error) ||
        !choose_blocks(m, config.layers, error))
        return false;
    m->vit = assay_vit_new(setup->params, NULL, &config, error);
    if (!m->vit)
        return false;
    m->config = assay_vit_config_get(m->vit);
    /* When a plan is made, so that no run starts with images of another size. */
    if (setup->counting && !model_check_crops(m, setup->data, setup->seed, error))
        return false;
    m->channels = s->channels > 0 ? s->channels : config.width;
    if (s->freeze && !freeze(setup->params, error))
        return false;
    head_build(m, setup->params, &inner);
    if (inner.code != ASSAY_OK) {
        if (error && error->code == ASSAY_OK)
            *error = inner;
        return false;
    }
    return name_outputs(m, error);
}

/* ---- the plugin's functions ---- */

static void model_close(void *opened)
{
    model *m = opened;
    if (!m)
        return;
    for (int i = 0; m->outputs && i < m->output_count; i++)
        assay_free(m->outputs[i]);
    assay_free(m->outputs);
    assay_vit_free(m->vit);
    assay_free(m);
}

static void *model_open(const void *chosen, const assay_model_setup *setup, assay_error *error)
{
    model *m = assay_zalloc(sizeof *m, error);
    if (!m)
        return NULL;
    m->settings = *(const settings *)chosen;
    if (!build(m, setup, error)) {
        model_close(m);
        return NULL;
    }
    return m;
}

static void model_facts(void *opened, assay_model_facts *out)
{
    const model *m = opened;
    const int64_t side = m->config->image / m->config->patch;
    const cost of = model_cost(m);
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = m->config->width,
        .layers = m->config->layers,
        .heads = m->config->heads,
        .tokens = 1 + side * side,
        .flops = 2 * (of.counted + of.attention), /* a multiply-add is two operations */
        .activation_bytes = 4 * of.elements,
        .output_count = m->output_count,
        .part_count = (int)(sizeof parts / sizeof parts[0]),
        .outputs = (const char *const *)m->outputs,
        .parts = parts,
        .counted = of.counted,
    };
}

static int64_t model_depth(void *opened, const char *parameter)
{
    return assay_vit_depth(((const model *)opened)->config, parameter);
}

static const char *const standard_losses[] = {"segmentation", NULL};
static const char *const standard_evaluators[] = {"segmentation", NULL};

static const assay_model_functions functions = {
    .size = sizeof functions,
    .default_losses = standard_losses,
    .default_evaluators = standard_evaluators,
    .open = model_open,
    .close = model_close,
    .facts = model_facts,
    .collate = model_collate,
    .embed = model_embed,
    .forward = model_forward,
    .depth = model_depth,
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "segmenter", 1,
             "a ViT with UPerNet or a linear head that names the class of every pixel", settings,
             options, functions);
