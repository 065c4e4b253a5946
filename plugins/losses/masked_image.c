/* masked_image.c - loss `masked_image`: hidden patches are predicted from the visible ones, as MAE
 * does (infrared spec 3.5). The loss owns the decoder; the model says what is hidden (its
 * mask_ratio).
 *
 * visible (B, 1 + V, D) -> linear to the decoder's width W -> the mask token at every hidden place,
 * all in the patches' own order, + fixed positions -> blocks -> norm -> linear to the pixels of a
 * patch, in the order (row, column, channel), of which the hidden patches count. The target is the
 * patch of the normalised image, each pixel once per channel; with norm_pix (t - mean) / sqrt(var +
 * 1e-6), the variance unbiased. Parameters have MAE's names behind the loss's prefix:
 * decoder_embed, mask_token, decoder_pos_embed, decoder_blocks.0 ..., decoder_norm,
 * decoder_pred. */
#include <assay/blocks.h>
#include <assay/loss.h>
#include <assay/memory.h>
#include <assay/ops.h>
#include <assay/weights.h>

#include <stdio.h>
#include <string.h>

#define WHERE "loss masked_image"

typedef struct settings {
    int64_t width, layers, heads;
    bool norm_pix, freeze_embed;
    double weight, lr_scale;
    assay_weights_source decoder;
} settings;

static const assay_option options[] = {
    ASSAY_INTEGER(settings, width, "", 512, 4, 16384, "numbers a token in the decoder"),
    ASSAY_INTEGER(settings, layers, "blocks", 8, 1, ASSAY_VIT_LAYERS, "of the decoder"),
    ASSAY_INTEGER(settings, heads, "", 16, 1, 1024, "heads of attention in the decoder"),
    ASSAY_BOOL(settings, norm_pix, true,
               "a patch's pixels are predicted less their mean, over their deviation"),
    ASSAY_BOOL(settings, freeze_embed, false,
               "decoder_embed, which takes the model's states, does not learn (PAD)"),
    ASSAY_WEIGHTS(settings, decoder, 0,
                  "where the decoder starts: a published MAE with its decoder, or a stage that had "
                  "this loss; left out: drawn"),
    ASSAY_NUMBER(settings, weight, "", 1.0, 0, 1e6, "weight of this loss in the sum"),
    ASSAY_POSITIVE(settings, lr_scale, "", 1.0, 1e6, "of the learning rate, for the decoder"),
};

typedef struct masked_image {
    settings settings;
    int64_t patch, channels, patches; /* side of a patch, C, N */
    assay_vit *blocks;
    assay_tensor *embed, *embed_bias; /* (W, D), (W): parameters, borrowed */
    assay_tensor *mask, *positions;   /* (1, 1, W), (1, 1 + N, W) */
    assay_tensor *pred, *pred_bias;   /* (P P C, W), (P P C) */
} masked_image;

static const char *const wanted[] = {"image.visible", "image.order", "image.patches"};

static bool image_wants(const void *chosen, const char **names, int *count, assay_error *error)
{
    (void)chosen;
    (void)error;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        names[(*count)++] = wanted[i];
    return true;
}

/* ---- opening ---- */

/* The stack whose states are decoded; NULL with the error set. */
static const assay_vit_config *encoder_of(const assay_params *params, assay_error *error)
{
    for (int64_t i = 0; i < assay_stacks(params); i++) {
        const assay_stack *stack = assay_stack_at(params, i);
        if (stack->kind == ASSAY_STACK_VIT && !stack->config.vit.blocks_only)
            return &stack->config.vit;
    }
    ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = WHERE,
               .what = "the model has no vision transformer whose patches could be predicted",
               .hint = "model.vit { mask_ratio = 0.75 }");
    return NULL;
}

static assay_tensor *add(const assay_loss_setup *setup, const char *name, int rank,
                         const int64_t *shape, assay_init init, assay_error *error)
{
    return assay_params_add(setup->params, assay_text("%s%s", setup->prefix, name), rank, shape,
                            init, error);
}

static bool add_linear(const assay_loss_setup *setup, const char *name, int64_t out, int64_t in,
                       assay_tensor **weight, assay_tensor **bias, assay_error *error)
{
    static const assay_init xavier = {.kind = ASSAY_INIT_XAVIER_UNIFORM};
    static const assay_init zeros = {.kind = ASSAY_INIT_ZEROS};
    *weight = add(setup, assay_text("%s.weight", name), 2, (int64_t[]){out, in}, xavier, error);
    *bias = add(setup, assay_text("%s.bias", name), 1, &out, zeros, error);
    return *weight && *bias;
}

static bool add_tokens(masked_image *loss, const assay_loss_setup *setup, int64_t grid,
                       assay_error *error)
{
    static const assay_init zeros = {.kind = ASSAY_INIT_ZEROS};
    const assay_init normal = {ASSAY_INIT_NORMAL, 0.02f, 0};
    int64_t width = loss->settings.width;
    loss->mask = add(setup, "mask_token", 3, (int64_t[]){1, 1, width}, normal, error);
    loss->positions =
        add(setup, "decoder_pos_embed", 3, (int64_t[]){1, 1 + loss->patches, width}, zeros, error);
    if (!loss->mask || !loss->positions)
        return false;
    if (!setup->counting)
        assay_sincos_positions(grid, width, assay_f32(loss->positions));
    return assay_params_train(setup->params, assay_text("%sdecoder_pos_embed", setup->prefix),
                              false, error) >= 0;
}

static bool add_blocks(masked_image *loss, const assay_loss_setup *setup, assay_error *error)
{
    const settings *s = &loss->settings;
    const assay_vit_config config = {.width = s->width,
                                     .layers = s->layers,
                                     .heads = s->heads,
                                     .mlp_width = 4 * s->width,
                                     .norm_eps = 1e-6f,
                                     .final_norm = true,
                                     .blocks_only = true};
    char prefix[ASSAY_NAME_LIMIT + 1];
    if (s->width % 4 != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = WHERE,
                          .what = "sines and cosines need a width that is a multiple of 4",
                          .got = assay_text("%lld", (long long)s->width));
    snprintf(prefix, sizeof prefix, "%sdecoder_", setup->prefix);
    loss->blocks = assay_vit_new(setup->params, prefix, &config, error);
    return loss->blocks != NULL;
}

/* ---- published decoders ---- */

/* What stands before MAE's names in a file ("", "module.", "loss.masked_image." ...), length -1
 * without a decoder. Borrowed from the file. */
typedef struct base {
    const char *text;
    int length;
} base;

static base base_of(const assay_weights *file)
{
    static const char known[] = "decoder_embed.weight";
    for (int64_t i = 0; i < assay_weights_count(file); i++) {
        const char *name = assay_weights_at(file, i)->name;
        size_t length = strlen(name), tail = sizeof known - 1;
        if (length >= tail && strcmp(name + length - tail, known) == 0)
            return (base){name, (int)(length - tail)};
    }
    return (base){"", -1};
}

static bool fits(const assay_stored *stored, const assay_tensor *value, const char *path,
                 assay_error *error)
{
    if (stored->rank == value->rank &&
        memcmp(stored->shape, value->shape, (size_t)value->rank * sizeof *value->shape) == 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = assay_text("%s: %s", path, stored->name),
                      .what = "the decoder in the file has another shape",
                      .expected = assay_shape_text(value->rank, value->shape),
                      .got = assay_shape_text(stored->rank, stored->shape));
}

/* Fills every parameter of the decoder; one that the file lacks is an error. Parameters before
 * `first` are the model's. */
static bool fill(const assay_loss_setup *setup, int64_t first, const assay_weights *file,
                 const char *path, assay_error *error)
{
    base at = base_of(file);
    for (int64_t i = first; i < assay_params_count(setup->params); i++) {
        const assay_parameter *p = assay_params_at(setup->params, i);
        const char *own = p->name + strlen(setup->prefix);
        const assay_stored *stored =
            at.length < 0 ? NULL
                          : assay_weights_find(file, assay_text("%.*s%s", at.length, at.text, own));
        if (!stored)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
                              .what = "the file has no such decoder", .expected = own,
                              .hint = "layers and width are the decoder's in the file");
        if (!fits(stored, p->value, path, error) ||
            (!setup->counting && !assay_stored_read(stored, p->value, error)))
            return false;
    }
    return true;
}

static bool start(const masked_image *loss, const assay_loss_setup *setup, int64_t first,
                  assay_error *error)
{
    const assay_weights_source *from = &loss->settings.decoder;
    if (!from->path || (setup->counting && from->stage))
        return true;
    assay_weights *file = assay_weights_open(from->path, error);
    bool ok = file && fill(setup, first, file, from->path, error);
    assay_weights_close(file);
    return ok;
}

static void image_close(void *opened)
{
    masked_image *loss = opened;
    if (!loss)
        return;
    assay_vit_free(loss->blocks);
    assay_free(loss);
}

static bool build(masked_image *loss, const assay_loss_setup *setup, assay_error *error)
{
    const assay_vit_config *encoder = encoder_of(setup->params, error);
    if (!encoder)
        return false;
    int64_t grid = encoder->image / encoder->patch, width = encoder->width;
    loss->patch = encoder->patch;
    loss->channels = encoder->channels;
    loss->patches = grid * grid;
    int64_t pixels = loss->patch * loss->patch * loss->channels;
    int64_t first = assay_params_count(setup->params);
    return add_linear(setup, "decoder_embed", loss->settings.width, width, &loss->embed,
                      &loss->embed_bias, error) &&
           add_tokens(loss, setup, grid, error) && add_blocks(loss, setup, error) &&
           add_linear(setup, "decoder_pred", pixels, loss->settings.width, &loss->pred,
                      &loss->pred_bias, error) &&
           start(loss, setup, first, error) &&
           (!loss->settings.freeze_embed ||
            assay_params_train(setup->params, assay_text("%sdecoder_embed.", setup->prefix), false,
                               error) >= 0);
}

static void *image_open(const void *chosen, const assay_loss_setup *setup, assay_error *error)
{
    masked_image *loss = assay_zalloc((int64_t)sizeof *loss, error);
    if (!loss)
        return NULL;
    loss->settings = *(const settings *)chosen;
    if (!build(loss, setup, error)) {
        image_close(loss);
        return NULL;
    }
    return loss;
}

/* ---- what is predicted, and from what ---- */

/* Which rows make the decoder's tokens: of image b's V visible states and the mask token behind all
 * of them, i32 (B (1 + N)); and where the hidden patches are among the tokens and among all
 * patches, i32 (B (N - V)) each. */
typedef struct places {
    assay_tensor *tokens, *hidden, *patches;
} places;

static bool find_places(const masked_image *loss, assay_tape *tape, const assay_tensor *order,
                        int64_t visible, places *out)
{
    int64_t images = order->shape[0], n = loss->patches;
    int64_t tokens = images * (1 + n), hidden = images * (n - visible), at = 0;
    out->tokens = assay_tape_tensor(tape, ASSAY_I32, 1, &tokens);
    out->hidden = assay_tape_tensor(tape, ASSAY_I32, 1, &hidden);
    out->patches = assay_tape_tensor(tape, ASSAY_I32, 1, &hidden);
    if (!out->tokens || !out->hidden || !out->patches)
        return false;
    for (int64_t b = 0; b < images; b++) {
        int32_t *row = assay_i32(out->tokens) + b * (1 + n);
        const int32_t *patch = assay_i32(order) + b * n;
        row[0] = (int32_t)(b * (1 + visible));
        for (int64_t i = 0; i < n; i++)
            row[1 + patch[i]] =
                (int32_t)(i < visible ? b * (1 + visible) + 1 + i : images * (1 + visible));
        for (int64_t i = visible; i < n; i++, at++) {
            assay_i32(out->hidden)[at] = (int32_t)(b * (1 + n) + 1 + patch[i]);
            assay_i32(out->patches)[at] = (int32_t)(b * n + patch[i]);
        }
    }
    return true;
}

/* The decoder's prediction of the hidden patches, (B (N - V), P P C). */
static assay_tensor *predict(const masked_image *loss, assay_tape *tape, assay_tensor *visible,
                             const places *at)
{
    int64_t width = loss->settings.width, images = visible->shape[0], n = loss->patches;
    int64_t rows = images * visible->shape[1];
    assay_vit_trace trace = {.blocks = loss->settings.layers};
    assay_tensor *x = assay_linear(tape, visible, loss->embed, loss->embed_bias, ASSAY_IDENTITY);
    x = assay_cast(tape, assay_reshape(tape, x, 2, (int64_t[]){rows, width}), ASSAY_F32);
    assay_tensor *mask = assay_reshape(tape, loss->mask, 2, (int64_t[]){1, width});
    x = assay_gather(tape, assay_concat(tape, 2, (assay_tensor *[]){x, mask}, 0), at->tokens);
    x = assay_reshape(tape, x, 3, (int64_t[]){images, 1 + n, width});
    x = assay_add(tape, x, assay_reshape(tape, loss->positions, 2, (int64_t[]){1 + n, width}));
    x = assay_vit_traced(tape, loss->blocks, x, NULL, &trace);
    x = assay_gather(tape, assay_reshape(tape, x, 2, (int64_t[]){images * (1 + n), width}),
                     at->hidden);
    x = assay_vit_norm(tape, loss->blocks, x);
    return assay_linear(tape, x, loss->pred, loss->pred_bias, ASSAY_IDENTITY);
}

static assay_tensor *image_compute(void *opened, assay_tape *tape, const assay_clock *clock,
                                   const assay_batch *batch, const assay_outputs *outputs)
{
    const masked_image *loss = opened;
    assay_tensor *visible = assay_outputs_get(outputs, "image.visible");
    const assay_tensor *order = assay_outputs_get(outputs, "image.order");
    const assay_tensor *patches = assay_outputs_get(outputs, "image.patches");
    places at = {0};
    (void)clock;
    (void)batch;
    if (!visible || !order || !patches ||
        !find_places(loss, tape, order, visible->shape[1] - 1, &at))
        return NULL;
    assay_tensor *predicted = predict(loss, tape, visible, &at);
    assay_tensor *target =
        assay_patch_targets(tape, patches, at.patches, loss->channels, loss->settings.norm_pix);
    assay_tensor *difference = assay_sub(tape, predicted, target);
    return assay_mean(tape, assay_mul(tape, difference, difference));
}

static const assay_loss_functions functions = {
    .size = sizeof functions,
    .wants = image_wants,
    .open = image_open,
    .close = image_close,
    .compute = image_compute,
};

ASSAY_PLUGIN(ASSAY_KIND_LOSS, "masked_image", 1,
             "hidden patches are predicted from visible ones (MAE)", settings, options, functions);
