/* user_decoder.c - model `user_decoder`: histories of events, features and a question through a
 * small decoder, and answers through the same one (user-modelling spec 2.3, 2.4, 3.3, sizes of
 * 6.2).
 *
 * Fields that it reads from any dataset: every u8 field with two ragged axes is a source of event
 * texts, oldest first; "SOURCE.time" (events), i32 or f32, is how far each lies from the cut-off;
 * "features" f32 (F); "query" and "answer", u8 texts. A text is the mean of its words' vectors,
 * which are the decoder's own, turned into a token by its source's adapter; age and place from the
 * newest event are learned vectors added to it. Whatever is missing is left out: a dataset without
 * sources or without features is fine, one with neither is not. */
#include "user_decoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const assay_option options[] = {
    ASSAY_CHOICE(settings, size, "tiny", "tiny|small",
                 "tiny: width 64, 2 layers; small: width 128, 4 layers"),
    ASSAY_INTEGER(settings, width, "", 0, 0, 4096, "of the decoder; 0: the size's"),
    ASSAY_INTEGER(settings, layers, "", 0, 0, 64, "of the decoder; 0: the size's"),
    ASSAY_INTEGER(settings, heads, "", 0, 0, 64, "query heads; 0: the size's"),
    ASSAY_INTEGER(settings, kv_heads, "", 0, 0, 64, "key and value heads; 0: the size's"),
    ASSAY_INTEGER(settings, mlp, "", 0, 0, 16384, "width of the gated MLP; 0: the size's"),
    ASSAY_INTEGER(settings, embedding, "", 0, 0, 4096,
                  "numbers of an embedding; 0: the size's, 64 or 128"),
    ASSAY_CHOICE(settings, head, "mlp", "mlp|linear",
                 "projection of what is read: linear, GELU, linear, or one linear layer"),
    ASSAY_CHOICE(settings, readout, "user_token", "user_token|mean|last",
                 "what is read: the state at <USER>, the mean of all, or the last word's"),
    ASSAY_BOOL(settings, summary, 0, "summary tokens: one for the user, one per source"),
    ASSAY_INTEGER(settings, feature_tokens, "tokens", 1, 0, 256, "that the features become"),
    ASSAY_INTEGER(settings, words, "words", 4096, 16, 1 << 20, "of the vocabulary, at most"),
    ASSAY_INTEGER(settings, min_count, "", 2, 1, 1 << 30, "words seen less often are unknown"),
    ASSAY_INTEGER(settings, event_words, "words", 16, 1, 512, "of an event's text that are read"),
    ASSAY_INTEGER(settings, question_words, "words", 32, 1, 512, "of a question that are read"),
    ASSAY_INTEGER(settings, answer_words, "words", 32, 1, 512, "of an answer that are read"),
    ASSAY_INTEGER(settings, tokens, "tokens", 1024, 8, 32768, "of the longest sequence"),
};

static const char *const outputs[] = {"user.embedding", "user.states",      "user.targets",
                                      "user.head",      "answer.embedding", "answer.states"};
#define OUTPUT_COUNT ((int)(sizeof outputs / sizeof outputs[0]))

/* Width, layers, heads, key/value heads, MLP, embedding of each size. */
static const int64_t sizes[][6] = {{64, 2, 4, 2, 176, 64}, {128, 4, 4, 2, 352, 128}};

static void choose_size(settings *s)
{
    int64_t *fields[] = {&s->width, &s->layers, &s->heads, &s->kv_heads, &s->mlp, &s->embedding};
    for (int i = 0; i < 6; i++)
        if (*fields[i] == 0)
            *fields[i] = sizes[s->size][i];
}

static bool shape_holds(const settings *s, assay_error *error)
{
    if (s->width % s->heads != 0 || s->width / s->heads % 2 != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "width is no even number of numbers per head",
                          .expected = assay_text("a multiple of %lld", 2 * (long long)s->heads),
                          .got = assay_text("%lld", (long long)s->width));
    if (s->heads % s->kv_heads != 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "heads do not share key and value heads evenly",
                          .expected = assay_text("a divisor of %lld", (long long)s->heads),
                          .got = assay_text("%lld", (long long)s->kv_heads));
    return true;
}

/* ---- fields ---- */

static bool is_text_rows(const assay_field *field)
{
    return field->dtype == ASSAY_U8 && field->rank == 2 && field->shape[0] == ASSAY_RAGGED &&
           field->shape[1] == ASSAY_RAGGED;
}

static int text_field(const assay_data *data, const assay_field *fields, const char *name)
{
    int i = assay_data_field(data, name);
    return i >= 0 && fields[i].dtype == ASSAY_U8 && fields[i].rank == 1 ? i : -1;
}

static bool add_source(model *m, const assay_data *data, const assay_field *fields, int i,
                       assay_error *error)
{
    if (m->source_count == MODEL_SOURCES || strlen(fields[i].name) > 64)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                          .what = "the dataset has too many sources, or one with too long a name",
                          .expected = "at most 32 sources with names of at most 64 bytes",
                          .got = fields[i].name);
    source *s = &m->sources[m->source_count++];
    int times = assay_data_field(data, assay_text("%s.time", fields[i].name));
    *s = (source){.name = fields[i].name, .texts = i, .times = -1};
    if (times >= 0 && fields[times].rank == 1 && fields[times].dtype != ASSAY_U8) {
        s->times = times;
        s->time_type = fields[times].dtype;
    }
    return true;
}

static bool find_fields(model *m, const assay_data *data, assay_error *error)
{
    int count = 0;
    const assay_field *fields = data->functions->fields(data->dataset, &count);
    for (int i = 0; i < count; i++)
        if (is_text_rows(&fields[i]) && !add_source(m, data, fields, i, error))
            return false;
    m->question = text_field(data, fields, "query");
    m->answer = text_field(data, fields, "answer");
    m->features = assay_data_field(data, "features");
    if (m->features >= 0 && (fields[m->features].dtype != ASSAY_F32 ||
                             fields[m->features].rank != 1 || fields[m->features].shape[0] < 1))
        m->features = -1;
    if (m->features >= 0)
        m->feature_count = fields[m->features].shape[0];
    if (m->source_count == 0 && m->features < 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the dataset has neither events nor features",
                          .expected = "a field of texts (events, bytes) or 'features' (F)",
                          .got = assay_text("dataset.%s", data->name));
    return true;
}

/* ---- parameters ---- */

/* The start of PyTorch's linear layers, of biases too. */
static assay_tensor *add(assay_params *params, const char *name, int64_t rows, int64_t columns,
                         assay_error *error)
{
    return assay_params_add(params, name, 2, (int64_t[]){rows, columns},
                            (assay_init){.kind = ASSAY_INIT_KAIMING_UNIFORM, .a = sqrtf(5)}, error);
}

static assay_tensor *add_vector(assay_params *params, const char *name, int64_t n,
                                assay_init_kind kind, assay_error *error)
{
    return assay_params_add(params, name, 1, &n, (assay_init){.kind = kind}, error);
}

static void add_adapter(assay_params *params, const char *prefix, int64_t width, adapter *out,
                        assay_error *error)
{
    out->norm_weight =
        add_vector(params, assay_text("%snorm.weight", prefix), width, ASSAY_INIT_ONES, error);
    out->norm_bias =
        add_vector(params, assay_text("%snorm.bias", prefix), width, ASSAY_INIT_ZEROS, error);
    out->w1 = add(params, assay_text("%sfc1.weight", prefix), width, width, error);
    out->b1 = add_vector(params, assay_text("%sfc1.bias", prefix), width, ASSAY_INIT_ZEROS, error);
    out->w2 = add(params, assay_text("%sfc2.weight", prefix), width, width, error);
    out->b2 = add_vector(params, assay_text("%sfc2.bias", prefix), width, ASSAY_INIT_ZEROS, error);
}

static assay_tensor *add_table(assay_params *params, const char *name, int64_t rows, int64_t width,
                               assay_error *error)
{
    return assay_params_add(params, name, 2, (int64_t[]){rows, width},
                            (assay_init){.kind = ASSAY_INIT_NORMAL, .a = 1 / sqrtf((float)width)},
                            error);
}

/* A part for `assay plan`; texts are copied into the model. */
static void add_part(model *m, const char *name, const char *prefix)
{
    int n = m->part_count++;
    snprintf(m->part_texts[2 * n], sizeof m->part_texts[0], "%s", name);
    snprintf(m->part_texts[2 * n + 1], sizeof m->part_texts[0], "%s", prefix);
    m->parts[n] = (assay_part){m->part_texts[2 * n], m->part_texts[2 * n + 1]};
}

static void add_encoders(model *m, assay_params *params, assay_error *error)
{
    bool timed = false;
    for (int s = 0; s < m->source_count; s++) {
        const char *prefix = assay_text("encoder.%s.", m->sources[s].name);
        add_part(m, assay_text("event encoder of %s", m->sources[s].name), prefix);
        add_adapter(params, m->part_texts[2 * m->part_count - 1], m->width, &m->sources[s].adapter,
                    error);
        timed = timed || m->sources[s].times >= 0;
    }
    add_part(m, "time and place of events", "when.");
    if (timed)
        m->age = add_table(params, "when.age.weight", 1 + m->source_count * MODEL_AGE_BUCKETS,
                           m->width, error);
    m->rank = add_table(params, "when.rank.weight", 1 + MODEL_RANKS, m->width, error);
}

static void add_features(model *m, assay_params *params, assay_error *error)
{
    int64_t to = m->width * m->settings.feature_tokens;
    if (m->features < 0 || to == 0)
        return;
    add_part(m, "features", "features.");
    m->feature_weight = add(params, "features.weight", to, m->feature_count, error);
    m->feature_bias = add_vector(params, "features.bias", to, ASSAY_INIT_ZEROS, error);
}

static void add_summaries(model *m, assay_params *params, assay_error *error)
{
    if (!m->settings.summary)
        return;
    add_part(m, "summary tokens", "summary.");
    add_adapter(params, "summary.user.", m->width, &m->summary_user, error);
    add_adapter(params, "summary.source.", m->width, &m->summary_source, error);
    if (m->features < 0)
        return;
    m->summary_features = add(params, "summary.features.weight", m->width, m->feature_count, error);
    m->summary_features_bias =
        add_vector(params, "summary.features.bias", m->width, ASSAY_INIT_ZEROS, error);
}

static void add_projection(model *m, assay_params *params, assay_error *error)
{
    bool linear = m->settings.head == HEAD_LINEAR;
    int64_t middle = linear ? m->settings.embedding : m->width;
    add_part(m, "projection", "projector.");
    m->w0 = add(params, "projector.0.weight", middle, m->width, error);
    m->b0 = add_vector(params, "projector.0.bias", middle, ASSAY_INIT_ZEROS, error);
    if (linear)
        return;
    m->w2 = add(params, "projector.2.weight", m->settings.embedding, m->width, error);
    m->b2 = add_vector(params, "projector.2.bias", m->settings.embedding, ASSAY_INIT_ZEROS, error);
}

static bool add_decoder(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    const assay_decoder_config config = {.vocabulary = vocabulary_size(m->words),
                                         .width = s->width,
                                         .layers = s->layers,
                                         .heads = s->heads,
                                         .kv_heads = s->kv_heads,
                                         .head_width = s->width / s->heads,
                                         .mlp_width = s->mlp,
                                         .positions = s->tokens,
                                         .rope_base = 10000.0,
                                         .norm_eps = 1e-6f,
                                         .qkv_bias = true,
                                         .tied_head = true,
                                         .init_sd = 1 / sqrtf((float)s->width)};
    m->decoder = assay_decoder_new(params, NULL, &config, error);
    add_part(m, "words", "model.embed_tokens.");
    add_part(m, "decoder", "model.layers.");
    add_part(m, "final norm", "model.norm.");
    return m->decoder != NULL;
}

/* ---- the plugin's functions ---- */

static void model_close(void *opened)
{
    model *m = opened;
    if (!m)
        return;
    assay_decoder_free(m->decoder);
    vocabulary_free(m->words);
    assay_free(m);
}

static bool build(model *m, const assay_model_setup *setup, assay_error *error)
{
    assay_error inner = {0};
    if (!shape_holds(&m->settings, error) || !find_fields(m, setup->data, error))
        return false;
    m->words = vocabulary_new(&(vocabulary_recipe){.data = setup->data,
                                                   .host = setup->host,
                                                   .min_count = m->settings.min_count,
                                                   .most = m->settings.words},
                              error);
    if (!m->words || !add_decoder(m, setup->params, error))
        return false;
    add_encoders(m, setup->params, &inner);
    add_features(m, setup->params, &inner);
    add_summaries(m, setup->params, &inner);
    add_projection(m, setup->params, &inner);
    if (inner.code == ASSAY_OK)
        return true;
    if (error && error->code == ASSAY_OK)
        *error = inner;
    return false;
}

static void *model_open(const void *chosen, const assay_model_setup *setup, assay_error *error)
{
    model *m = assay_zalloc(sizeof *m, error);
    if (!m)
        return NULL;
    m->settings = *(const settings *)chosen;
    choose_size(&m->settings);
    m->width = m->settings.width;
    m->extra = setup->extra;
    if (!build(m, setup, error)) {
        model_close(m);
        return NULL;
    }
    return m;
}

/* Tokens of a sample as the training samples have them on average, answer included. */
static double usual_tokens(const model *m)
{
    vocabulary_means mean = vocabulary_means_get(m->words);
    double tokens = mean.events + 2 + mean.question_words + mean.answer_words;
    tokens += (double)(m->extra.front + m->extra.readout);
    if (m->features >= 0)
        tokens += (double)m->settings.feature_tokens;
    if (m->settings.summary)
        tokens += 1 + m->source_count + (m->features >= 0);
    return tokens;
}

static void model_facts(void *opened, assay_model_facts *out)
{
    const model *m = opened;
    const settings *s = &m->settings;
    double tokens = usual_tokens(m), width = (double)s->width, layers = (double)s->layers;
    double kv = width * (double)s->kv_heads / (double)s->heads, mlp = (double)s->mlp;
    double layer = 2 * width * width + 2 * width * kv + 3 * width * mlp;
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = s->width,
        .layers = s->layers,
        .heads = s->heads,
        .tokens = s->tokens,
        /* A product is two operations; scores and their use are 2 T D each per token. */
        .flops = tokens * layers * (2 * layer + 4 * tokens * width),
        /* Per token and layer: two norms, q, k, v, attention, two sums of D; gate and up. */
        .activation_bytes = 4 * tokens * (layers * (6 * width + 2 * kv + 2 * mlp) + 4 * width),
        .output_count = OUTPUT_COUNT,
        .part_count = m->part_count,
        .outputs = outputs,
        .parts = m->parts,
    };
}

static const char *const standard_losses[] = {"contrastive", "next_token", NULL};
static const char *const standard_evaluators[] = {"linear_probe", NULL};

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
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "user_decoder", 1,
             "events, features and a question through a small decoder", settings, options,
             functions);
