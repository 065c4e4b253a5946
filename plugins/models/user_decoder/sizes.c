/* sizes.c - the shapes of decoder, event encoder and projection: by the size's name, by single
 * options, or by the configuration that published weights bring along (user-modelling spec 1.2,
 * 1.3, 6.2; the model scale of its Table 8). */
#include "user_decoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Of the decoder, then of the projection, then of the event encoder. rows 0: of a table, as many as
 * there are ids. */
typedef struct size_row {
    int64_t width, layers, heads, kv_heads, mlp, rows;
    double rope_base;
    float norm_eps;
    bool qkv_bias;
    int64_t embedding, head_width;
    int64_t encoder_width, encoder_layers, encoder_heads, encoder_mlp, encoder_rows;
} size_row;

/* In the order of the option's words. */
static const size_row sizes[] = {
    {64, 2, 4, 2, 176, 0, 1e4, 1e-6f, true, 64, 64, 64, 1, 2, 128, 0},
    {128, 4, 4, 2, 352, 0, 1e4, 1e-6f, true, 128, 128, 64, 1, 2, 256, 0},
    {896, 24, 14, 2, 4864, 151936, 1e6, 1e-6f, true, 128, 512, 768, 12, 12, 3072, 21128},
    {1536, 28, 12, 2, 8960, 151936, 1e6, 1e-6f, true, 128, 512, 768, 12, 12, 3072, 21128},
    {2048, 36, 16, 2, 11008, 151936, 1e6, 1e-6f, true, 128, 512, 768, 12, 12, 3072, 21128},
    {576, 30, 9, 3, 1536, 49152, 1e5, 1e-5f, false, 128, 512, 384, 6, 12, 1536, 30522},
};
enum { FIRST_PUBLISHED = 2 }; /* from here on tables have their published rows and starts */

static bool shape_holds(const settings *s, const assay_decoder_config *c, assay_error *error)
{
    if (c->width % c->heads != 0 || c->width / c->heads % 2 != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "width is no even number of numbers per head",
                          .expected = assay_text("a multiple of %lld", 2 * (long long)c->heads),
                          .got = assay_text("%lld", (long long)c->width));
    if (c->heads % c->kv_heads != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "heads do not share key and value heads evenly",
                          .expected = assay_text("a divisor of %lld", (long long)c->heads),
                          .got = assay_text("%lld", (long long)c->kv_heads));
    if (s->encoder == ENCODER_BERT && s->encoder_width % s->encoder_heads != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the event encoder's width is not shared evenly by its heads",
                          .expected = assay_text("a multiple of %lld", (long long)s->encoder_heads),
                          .got = assay_text("%lld", (long long)s->encoder_width));
    return true;
}

/* ---- configurations of published weights ---- */

/* The config.json beside the weights. */
static bool config_beside(const assay_weights_source *weights, const char *option, char *out,
                          size_t size, assay_error *error)
{
    struct stat info;
    const char *slash = weights->path ? strrchr(weights->path, '/') : NULL;
    if (!weights->path)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                          .what = assay_text("option '%s' takes published weights", option),
                          .got = "a stage", .hint = "a stage's weights are for `init`");
    if (stat(weights->path, &info) == 0 && S_ISDIR(info.st_mode))
        snprintf(out, size, "%s/config.json", weights->path);
    else
        snprintf(out, size, "%.*sconfig.json", slash ? (int)(slash - weights->path) + 1 : 0,
                 weights->path);
    return true;
}

static bool is_given(const assay_weights_source *weights)
{
    return weights->path || weights->stage;
}

/* Options that say otherwise than the configuration are a mistake, not a wish. */
static bool agree(const char *option, int64_t chosen, int64_t published, assay_error *error)
{
    if (chosen == 0 || chosen == published)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                      .what =
                          assay_text("option '%s' differs from the published weights' own", option),
                      .expected = assay_text("%lld, or leave it out", (long long)published),
                      .got = assay_text("%lld", (long long)chosen));
}

static bool read_decoder(settings *s, assay_decoder_config *c, assay_error *error)
{
    char path[4096];
    if (!config_beside(&s->decoder, "decoder", path, sizeof path, error) ||
        !assay_decoder_config_read(path, c, error) || !agree("width", s->width, c->width, error) ||
        !agree("layers", s->layers, c->layers, error) ||
        !agree("heads", s->heads, c->heads, error) ||
        !agree("kv_heads", s->kv_heads, c->kv_heads, error) ||
        !agree("mlp", s->mlp, c->mlp_width, error))
        return false;
    s->width = c->width;
    s->layers = c->layers;
    s->heads = c->heads;
    s->kv_heads = c->kv_heads;
    s->mlp = c->mlp_width;
    return true;
}

static bool read_bert(settings *s, assay_bert_config *c, assay_error *error)
{
    char path[4096];
    if (s->encoder != ENCODER_BERT)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "'encoder_weights' are those of a BERT",
                          .expected = "encoder = \"bert\"");
    if (!config_beside(&s->encoder_weights, "encoder_weights", path, sizeof path, error) ||
        !assay_bert_config_read(path, c, error) ||
        !agree("encoder_width", s->encoder_width, c->width, error) ||
        !agree("encoder_layers", s->encoder_layers, c->layers, error) ||
        !agree("encoder_heads", s->encoder_heads, c->heads, error) ||
        !agree("encoder_mlp", s->encoder_mlp, c->mlp_width, error))
        return false;
    s->encoder_width = c->width;
    s->encoder_layers = c->layers;
    s->encoder_heads = c->heads;
    s->encoder_mlp = c->mlp_width;
    c->dropout = (float)s->dropout;
    return true;
}

/* ---- all of it ---- */

static void fill_missing(settings *s, const size_row *row)
{
    const struct {
        int64_t *field, value;
    } rows[] = {{&s->width, row->width},
                {&s->layers, row->layers},
                {&s->heads, row->heads},
                {&s->kv_heads, row->kv_heads},
                {&s->mlp, row->mlp},
                {&s->embedding, row->embedding},
                {&s->encoder_width, row->encoder_width},
                {&s->encoder_layers, row->encoder_layers},
                {&s->encoder_heads, row->encoder_heads},
                {&s->encoder_mlp, row->encoder_mlp}};
    /* The projection's middle is as wide as a decoder that is not the size's own. */
    if (s->head_width == 0)
        s->head_width = s->width == 0 || s->width == row->width || is_given(&s->decoder)
                            ? row->head_width
                            : s->width;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (*rows[i].field == 0)
            *rows[i].field = rows[i].value;
}

bool sizes_choose(settings *s, shapes *out, assay_error *error)
{
    const size_row *row = &sizes[s->size];
    bool published = s->size >= FIRST_PUBLISHED;
    *out = (shapes){0};
    if (is_given(&s->decoder) && !read_decoder(s, &out->decoder, error))
        return false;
    if (is_given(&s->encoder_weights) && !read_bert(s, &out->bert, error))
        return false;
    fill_missing(s, row);
    if (!is_given(&s->decoder))
        out->decoder =
            (assay_decoder_config){.vocabulary = row->rows,
                                   .width = s->width,
                                   .layers = s->layers,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_width = s->width / s->heads,
                                   .mlp_width = s->mlp,
                                   .rope_base = row->rope_base,
                                   .norm_eps = row->norm_eps,
                                   .qkv_bias = row->qkv_bias,
                                   .tied_head = true,
                                   .init_sd = published ? 0.02f : 1 / sqrtf((float)s->width)};
    out->decoder.positions = s->tokens;
    if (!is_given(&s->encoder_weights))
        out->bert =
            (assay_bert_config){.vocabulary = row->encoder_rows,
                                .width = s->encoder_width,
                                .layers = s->encoder_layers,
                                .heads = s->encoder_heads,
                                .mlp_width = s->encoder_mlp,
                                .positions = 512,
                                .types = 2,
                                .norm_eps = 1e-12f,
                                .dropout = (float)s->dropout,
                                .init_sd = published ? 0.02f : 1 / sqrtf((float)s->encoder_width)};
    if (s->encoder == ENCODER_WORDS)
        s->encoder_width = s->width;
    if (s->head == HEAD_NONE)
        s->embedding = s->width;
    return is_given(&s->decoder) || shape_holds(s, &out->decoder, error);
}
