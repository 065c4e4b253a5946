/* parameters.c - everything that the model learns, under its names (user_decoder.h). */
#include "user_decoder.h"

#include <math.h>
#include <stdio.h>

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

static assay_tensor *add_table(assay_params *params, const char *name, int64_t rows, int64_t width,
                               assay_error *error)
{
    return assay_params_add(params, name, 2, (int64_t[]){rows, width},
                            (assay_init){.kind = ASSAY_INIT_NORMAL, .a = 1 / sqrtf((float)width)},
                            error);
}

/* `prefix` and `name` joined, in a place of this thread's own. */
static const char *named(const char *prefix, const char *name)
{
    return assay_text("%.150s%s", prefix, name);
}

static void add_part(model *m, const char *name, const char *prefix)
{
    m->parts[m->part_count++] = (assay_part){name, prefix};
}

/* ---- adapters ---- */

static void add_adapter(assay_params *params, const char *prefix, int64_t from, int64_t to,
                        adapter *out, assay_error *error)
{
    out->norm_weight =
        add_vector(params, named(prefix, "norm.weight"), from, ASSAY_INIT_ONES, error);
    out->norm_bias = add_vector(params, named(prefix, "norm.bias"), from, ASSAY_INIT_ZEROS, error);
    out->w1 = add(params, named(prefix, "fc1.weight"), from, from, error);
    out->b1 = add_vector(params, named(prefix, "fc1.bias"), from, ASSAY_INIT_ZEROS, error);
    out->w2 = add(params, named(prefix, "fc2.weight"), to, from, error);
    out->b2 = add_vector(params, named(prefix, "fc2.bias"), to, ASSAY_INIT_ZEROS, error);
}

static void add_source_adapters(model *m, assay_params *params, assay_error *error)
{
    add_part(m, "event adapters", "encoder.");
    for (int s = 0; s < m->source_count; s++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "encoder.%s.", m->sources[s].name);
        add_adapter(params, prefix, m->encoder_width, m->width, &m->sources[s].adapter, error);
    }
}

static void add_summaries(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    if (!s->user_summary && !s->source_summary)
        return;
    add_part(m, "summary adapters", "summary.");
    int64_t from = s->summaries == SUMMARIES_PAPER ? m->width : m->encoder_width;
    if (s->user_summary)
        add_adapter(params, "summary.user.", from, m->width, &m->summary_user, error);
    if (s->source_summary)
        add_adapter(params, "summary.source.", from, m->width, &m->summary_source, error);
}

/* ---- event encoders ---- */

static void add_bag(const model *m, int64_t rows, const char *prefix, assay_params *params,
                    event_encoder *out, assay_error *error)
{
    int64_t width = m->encoder_width;
    out->table = add_table(params, named(prefix, "table.weight"), rows, width, error);
    out->w1 = add(params, named(prefix, "fc1.weight"), width, width, error);
    out->b1 = add_vector(params, named(prefix, "fc1.bias"), width, ASSAY_INIT_ZEROS, error);
    out->w2 = add(params, named(prefix, "fc2.weight"), width, width, error);
    out->b2 = add_vector(params, named(prefix, "fc2.bias"), width, ASSAY_INIT_ZEROS, error);
}

static void add_encoder(const model *m, const assay_bert_config *config, const char *name,
                        assay_params *params, event_encoder *out, assay_error *error)
{
    char prefix[96];
    bool bert = m->settings.encoder == ENCODER_BERT;
    snprintf(prefix, sizeof prefix, "%s.%s.", bert ? "bert" : "bag", name);
    if (bert)
        out->bert = assay_bert_new(params, prefix, config, error);
    else
        add_bag(m, config->vocabulary, prefix, params, out, error);
}

/* One of its own per source, as published, or one for all. */
static void add_encoders(model *m, const shapes *of, assay_params *params, assay_error *error)
{
    assay_bert_config config = of->bert;
    if (m->settings.encoder == ENCODER_WORDS)
        return;
    if (config.vocabulary == 0)
        config.vocabulary = lexicon_size(m->event_words);
    add_part(m, "event encoders", m->settings.encoder == ENCODER_BERT ? "bert." : "bag.");
    if (m->settings.encoder_shared)
        add_encoder(m, &config, "shared", params, &m->shared, error);
    for (int s = 0; s < m->source_count; s++) {
        source *from = &m->sources[s];
        from->encoder = m->settings.encoder_shared ? &m->shared : &from->own;
        if (!m->settings.encoder_shared)
            add_encoder(m, &config, from->name, params, &from->own, error);
    }
}

static void add_when(model *m, assay_params *params, assay_error *error)
{
    bool timed = false;
    for (int s = 0; s < m->source_count; s++)
        timed = timed || m->sources[s].times >= 0;
    timed = timed && m->settings.age;
    if (timed || m->settings.rank)
        add_part(m, "time and place of events", "when.");
    if (timed)
        m->age = add_table(params, "when.age.weight", 1 + m->source_count * MODEL_AGE_BUCKETS,
                           m->width, error);
    if (m->settings.rank)
        m->rank = add_table(params, "when.rank.weight", 1 + MODEL_RANKS, m->width, error);
}

/* ---- features ---- */

static void add_features(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    int64_t to = m->width *
                 (s->features == FEATURES_COPIED && s->feature_tokens > 0 ? 1 : s->feature_tokens);
    bool summed = (s->user_summary || s->source_summary) && s->summaries == SUMMARIES_CODE;
    if (m->features < 0 || (to == 0 && !summed))
        return;
    add_part(m, "features", "features.");
    if (to > 0) {
        m->feature_weight = add(params, "features.weight", to, m->feature_count, error);
        m->feature_bias = add_vector(params, "features.bias", to, ASSAY_INIT_ZEROS, error);
    }
    if (!summed)
        return;
    m->feature_mean =
        add(params, "features.mean.weight", m->encoder_width, m->feature_count, error);
    m->feature_mean_bias =
        add_vector(params, "features.mean.bias", m->encoder_width, ASSAY_INIT_ZEROS, error);
}

/* ---- decoder and projection ---- */

static void add_projection(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    bool linear = s->head == HEAD_LINEAR;
    int64_t middle = linear ? s->embedding : s->head_width;
    if (s->head == HEAD_NONE)
        return;
    add_part(m, "projection", "projector.");
    m->w0 = add(params, "projector.0.weight", middle, m->width, error);
    m->b0 = add_vector(params, "projector.0.bias", middle, ASSAY_INIT_ZEROS, error);
    if (linear)
        return;
    m->w2 = add(params, "projector.2.weight", s->embedding, middle, error);
    m->b2 = add_vector(params, "projector.2.bias", s->embedding, ASSAY_INIT_ZEROS, error);
}

static bool add_decoder(model *m, const shapes *of, assay_params *params, assay_error *error)
{
    assay_decoder_config config = of->decoder;
    if (config.vocabulary == 0)
        config.vocabulary = lexicon_size(m->words);
    m->decoder = assay_decoder_new(params, NULL, &config, error);
    m->marker_count = lexicon_size(m->words) - config.vocabulary;
    m->marker_count = m->marker_count > 0 ? m->marker_count : 0;
    if (m->decoder && m->marker_count > 0) {
        add_part(m, "markers", "markers.");
        m->markers =
            assay_params_add(params, "markers.weight", 2, (int64_t[]){m->marker_count, m->width},
                             (assay_init){ASSAY_INIT_NORMAL, config.init_sd, 0}, error);
        if (!m->markers)
            return false;
    }
    add_part(m, "words", "model.embed_tokens.");
    add_part(m, "decoder", "model.layers.");
    add_part(m, "final norm", "model.norm.");
    if (!config.tied_head)
        add_part(m, "head of words", "lm_head.");
    return m->decoder != NULL;
}

bool parameters_add(model *m, const shapes *of, assay_params *params, assay_error *error)
{
    assay_error inner = {0};
    if (!add_decoder(m, of, params, error))
        return false;
    add_encoders(m, of, params, &inner);
    add_source_adapters(m, params, &inner);
    add_when(m, params, &inner);
    add_features(m, params, &inner);
    add_summaries(m, params, &inner);
    add_projection(m, params, &inner);
    if (inner.code == ASSAY_OK)
        return true;
    if (error && error->code == ASSAY_OK)
        *error = inner;
    return false;
}
