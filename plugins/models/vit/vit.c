/* vit.c - model `vit`: the plain vision transformer of MAE, DINO and timm on infrared images
 * (infrared spec 1.1 to 1.6), for pre-training, as a teacher or a student, and for analysis. */
#include "vit.h"

#include <assay/memory.h>

static const assay_option options[] = {
    ASSAY_CHOICE(
        settings, size, "small", "tiny|small|base|large|custom",
        "named sizes have 192, 384, 768, 1024 numbers a token, 12 or (large) 24 blocks, heads "
        "of 64; custom: width, layers and heads say it"),
    ASSAY_INTEGER(settings, width, "", 0, 0, 16384, "numbers a token; 0: as the size"),
    ASSAY_INTEGER(settings, layers, "blocks", 0, 0, ASSAY_VIT_LAYERS, "0: as the size"),
    ASSAY_INTEGER(settings, heads, "", 0, 0, 1024, "heads of attention; 0: as the size"),
    ASSAY_INTEGER(settings, mlp, "", 0, 0, 65536,
                  "inner numbers of the MLP; 0: four times the width"),
    ASSAY_INTEGER(settings, image, "pixels", 224, 1, 4096, "side of the images"),
    ASSAY_INTEGER(settings, patch, "pixels", 16, 1, 256, "side of a patch; divides the image's"),
    ASSAY_INTEGER(settings, last_heads, "", 0, 0, 1024,
                  "heads of the last block, to match a teacher's; 0: as the others"),
    ASSAY_NUMBER(settings, drop_path, "fraction", 0, 0, 0.999,
                 "rate at which a branch is dropped for an image, in training"),
    ASSAY_BOOL(settings, drop_path_grows, false,
               "the rate grows from 0 at the first block to drop_path at the last"),
    ASSAY_BOOL(settings, layer_scale, false, "gamma_1, gamma_2: learned factors on the branches"),
    ASSAY_BOOL(settings, relative_bias, false, "a learned bias of attention by displacement"),
    ASSAY_NUMBER(settings, mask_ratio, "fraction", 0, 0, 0.99,
                 "patches that a masked-image loss hides from the model (MAE: 0.75); 0: none"),
    ASSAY_CHOICE(settings, init, "pretraining", "pretraining|segmentation",
                 "how parameters start: Xavier-uniform, or N(0, 0.02) as fine-tuning code does"),
    ASSAY_BOOL(settings, train_positions, false,
               "position embeddings learn (fine-tuning); else they stay sines and cosines"),
    ASSAY_BOOL(
        settings, resize, true,
        "evaluation brings images of another size to the model's, bicubically; training never "
        "does"),
};

/* ---- opening ---- */

static bool configure(model *m, assay_error *error)
{
    static const char *const names[] = {"tiny", "small", "base", "large"};
    const settings *s = &m->settings;
    assay_vit_config c = {.norm_eps = 1e-6f, .final_norm = true};
    /* The named size with a patch that always fits: the sizes of images are checked below. */
    if (s->size != SIZE_CUSTOM && !assay_vit_config_named(names[s->size], 16, &c, error))
        return false;
    if (s->size == SIZE_CUSTOM && (s->width == 0 || s->layers == 0 || s->heads == 0))
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "a custom size needs width, layers and heads",
                          .got =
                              assay_text("width %lld, layers %lld, heads %lld", (long long)s->width,
                                         (long long)s->layers, (long long)s->heads));
    c.width = s->width > 0 ? s->width : c.width;
    c.layers = s->layers > 0 ? s->layers : c.layers;
    c.heads = s->heads > 0 ? s->heads : c.heads;
    c.mlp_width = s->mlp > 0 ? s->mlp : 4 * c.width;
    c.image = s->image;
    c.patch = s->patch;
    c.channels = VIT_CHANNELS;
    c.last_heads = s->last_heads;
    c.drop_path = (float)s->drop_path;
    c.drop_path_grows = s->drop_path_grows;
    c.layer_scale = s->layer_scale;
    c.relative_bias = s->relative_bias;
    c.start = s->init == INIT_SEGMENTATION ? ASSAY_VIT_SEGMENTATION : ASSAY_VIT_PRETRAINING;
    m->config = c;
    return true;
}

static bool is_image(const assay_field *field)
{
    return field->dtype == ASSAY_F32 && field->rank == 2;
}

static bool find_image(model *m, const assay_data *data, assay_error *error)
{
    int count = 0;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    m->image = assay_data_field(data, "image");
    if (m->image >= 0 && is_image(&fields[m->image]))
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                      .what = assay_text("dataset %s has no images", data->name),
                      .expected = "a field 'image' of gray f32 pixels (height, width)");
}

/* MAE keeps int(N (1 - ratio)) patches (spec 3.5); a masked pass has some on both sides. */
static bool count_visible(model *m, assay_error *error)
{
    const settings *s = &m->settings;
    int64_t grid = m->config.image / m->config.patch;
    m->patches = grid * grid;
    m->visible = (int64_t)((double)m->patches * (1 - s->mask_ratio) + 1e-9);
    if (s->mask_ratio == 0)
        return true;
    if (m->visible < 1 || m->visible >= m->patches)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the mask leaves no patch to see or none to predict",
                          .expected = "1 or more on both sides",
                          .got = assay_text("mask_ratio %g of %lld patches", s->mask_ratio,
                                            (long long)m->patches));
    if (s->relative_bias)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                          .what = "a relative bias needs every patch, a mask hides some",
                          .hint = "relative_bias = false, or mask_ratio = 0");
    return true;
}

static void model_close(void *opened)
{
    model *m = opened;
    if (!m)
        return;
    assay_vit_free(m->vit);
    facts_free(m);
    assay_free(m);
}

static bool build(model *m, const assay_model_setup *setup, assay_error *error)
{
    if (!assay_refuse_extra(setup, MODEL_WHERE, error) || !configure(m, error) ||
        !find_image(m, setup->data, error))
        return false;
    m->vit = assay_vit_new(setup->params, NULL, &m->config, error);
    if (!m->vit || !count_visible(m, error) || !facts_outputs(m, error))
        return false;
    return m->settings.train_positions ||
           assay_params_train(setup->params, "pos_embed", false, error) >= 0;
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

static int64_t model_depth(void *opened, const char *parameter)
{
    return assay_vit_depth(&((const model *)opened)->config, parameter);
}

static const assay_model_functions functions = {
    .size = sizeof functions,
    .open = model_open,
    .close = model_close,
    .facts = model_facts,
    .collate = model_collate,
    .embed = model_embed,
    .forward = model_forward,
    .depth = model_depth,
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "vit", 1, "a plain vision transformer on gray images", settings,
             options, functions);
