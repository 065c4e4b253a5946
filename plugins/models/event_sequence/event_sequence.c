/* event_sequence.c - model `event_sequence`: a small transformer over the events of all sources,
 * the encoder of the baselines that the papers compare with (user-modelling spec 4): CPC and MSDP
 * with causal attention, One4all's masked events and FOUND's alignment with bidirectional
 * attention. Which of them it is, the losses say: cpc, distribution, masked_event,
 * future_alignment.
 *
 * Fields that it reads from any dataset: every u8 field with two ragged axes is a source of event
 * texts; "SOURCE.time" orders them; "features" f32 (F), one token in front; "answer", the text of
 * the future that future_alignment aligns with. Questions are not read: the representation is
 * static.
 *
 * Outputs: user.embedding (B, E), the mean of the states, or a linear layer on it; user.states (B,
 * T, D); answer.embedding (B, E), a bag of the answer's words through two layers; for the losses
 *     user.event_past (B, T, D)      states that see nothing later, whatever the mask
 *     user.event_texts (U, D)        vectors of the batch's different event texts
 *     user.event_ids (B, T) i32      each event's row of them, ASSAY_IGNORE where no event is
 *     user.event_classes (B, T) i32  each event's category, its first word: a row of user.head
 *     user.event_masked (B, T) i32   1 where the event is masked; who wants it has events masked in
 *                                    training
 *     user.head (V, D)               the words' vectors */
#include "event_sequence.h"

#include <math.h>

static const assay_option options[] = {
    ASSAY_CHOICE(settings, attention, "causal", "causal|bidirectional",
                 "who sees whom when the script names no mask"),
    ASSAY_INTEGER(settings, width, "", 64, 4, 4096, "of the states"),
    ASSAY_INTEGER(settings, layers, "", 2, 1, 64, "blocks"),
    ASSAY_INTEGER(settings, heads, "", 4, 1, 64, "attention heads"),
    ASSAY_INTEGER(settings, mlp, "", 128, 1, 16384, "width of the gated MLP"),
    ASSAY_CHOICE(settings, head, "none", "none|linear",
                 "what is read: the mean of the states, or a linear layer on it"),
    ASSAY_INTEGER(settings, embedding, "", 64, 1, 4096, "numbers of an embedding with a head"),
    ASSAY_BOOL(settings, features, 1, "the features, where there are some, are one token"),
    ASSAY_INTEGER(settings, events, "events", 128, 1, 16384, "the newest of all sources"),
    ASSAY_INTEGER(settings, words, "words", 4096, 16, 1 << 20, "of the vocabulary, at most"),
    ASSAY_INTEGER(settings, min_count, "", 2, 1, 1 << 30, "words seen less often are unknown"),
    ASSAY_INTEGER(settings, event_words, "words", 16, 1, 512, "of an event's text that are read"),
    ASSAY_INTEGER(settings, answer_words, "words", 32, 1, 512, "of an answer that are read"),
    ASSAY_NUMBER(settings, masked, "fraction", 0.15, 0, 1, "of the events, for masked_event"),
};

static const char *const outputs[] = {
    "user.embedding",     "user.states",       "answer.embedding",
    "user.event_past",    "user.event_texts",  "user.event_ids",
    "user.event_classes", "user.event_masked", "user.head",
};

static const assay_part parts[] = {
    {"words", "model.embed_tokens."}, {"event vectors", "event."}, {"decoder", "model.layers."},
    {"final norm", "model.norm."},    {"features", "features."},   {"head", "head."},
    {"answers", "answer."},
};

/* ---- fields ---- */

static bool find_source(model *m, const assay_data *data, const assay_field *fields, int i,
                        assay_error *error)
{
    if (m->source_count == MODEL_SOURCES)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                          .what = "the dataset has too many sources",
                          .expected = assay_text("at most %d", MODEL_SOURCES));
    source *s = &m->sources[m->source_count++];
    int times = assay_data_field(data, assay_text("%s.time", fields[i].name));
    *s = (source){.texts = i, .times = -1};
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
        if (fields[i].dtype == ASSAY_U8 && fields[i].rank == 2 &&
            fields[i].shape[0] == ASSAY_RAGGED && fields[i].shape[1] == ASSAY_RAGGED &&
            !find_source(m, data, fields, i, error))
            return false;
    m->answer = assay_data_field(data, "answer");
    if (m->answer >= 0 && (fields[m->answer].dtype != ASSAY_U8 || fields[m->answer].rank != 1))
        m->answer = -1;
    m->features = m->settings.features ? assay_data_field(data, "features") : -1;
    if (m->features >= 0 && (fields[m->features].dtype != ASSAY_F32 ||
                             fields[m->features].rank != 1 || fields[m->features].shape[0] < 1))
        m->features = -1;
    if (m->features >= 0)
        m->feature_count = fields[m->features].shape[0];
    if (m->source_count == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "the dataset has no events",
                          .expected = "a field of texts (events, bytes)",
                          .got = assay_text("dataset.%s", data->name));
    return true;
}

static bool shape_holds(const settings *s, assay_error *error)
{
    if (s->width % s->heads == 0 && s->width / s->heads % 2 == 0)
        return true;
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                      .what = "width is no even number of numbers per head",
                      .expected = assay_text("a multiple of %lld", 2 * (long long)s->heads),
                      .got = assay_text("%lld", (long long)s->width));
}

/* ---- parameters ---- */

static assay_tensor *matrix(assay_params *params, const char *name, int64_t rows, int64_t columns,
                            assay_error *error)
{
    return assay_params_add(params, name, 2, (int64_t[]){rows, columns},
                            (assay_init){.kind = ASSAY_INIT_KAIMING_UNIFORM, .a = sqrtf(5)}, error);
}

static assay_tensor *zeros(assay_params *params, const char *name, int64_t n, assay_error *error)
{
    return assay_params_add(params, name, 1, &n, (assay_init){.kind = ASSAY_INIT_ZEROS}, error);
}

static assay_tensor *table(assay_params *params, const char *name, int64_t rows, int64_t width,
                           assay_error *error)
{
    return assay_params_add(params, name, 2, (int64_t[]){rows, width},
                            (assay_init){.kind = ASSAY_INIT_NORMAL, .a = 1 / sqrtf((float)width)},
                            error);
}

static void add_parameters(model *m, assay_params *params, assay_error *error)
{
    int64_t d = m->settings.width, e = m->settings.head == HEAD_NONE ? d : m->settings.embedding;
    m->text = matrix(params, "event.text.weight", d, d, error);
    m->text_bias = zeros(params, "event.text.bias", d, error);
    m->source = table(params, "event.source.weight", m->source_count, d, error);
    m->age = table(params, "event.age.weight", 1 + MODEL_AGES, d, error);
    m->mask = table(params, "event.mask.weight", 1, d, error);
    if (m->features >= 0) {
        m->feature = matrix(params, "features.weight", d, m->feature_count, error);
        m->feature_bias = zeros(params, "features.bias", d, error);
    }
    if (m->settings.head == HEAD_LINEAR) {
        m->head = matrix(params, "head.weight", e, d, error);
        m->head_bias = zeros(params, "head.bias", e, error);
    }
    m->answer1 = matrix(params, "answer.0.weight", d, d, error);
    m->answer1_bias = zeros(params, "answer.0.bias", d, error);
    m->answer2 = matrix(params, "answer.2.weight", e, d, error);
    m->answer2_bias = zeros(params, "answer.2.bias", e, error);
}

static int64_t longest(const model *m)
{
    return m->settings.events + (m->features >= 0);
}

static bool add_decoder(model *m, assay_params *params, assay_error *error)
{
    const settings *s = &m->settings;
    const assay_decoder_config config = {.vocabulary = vocabulary_size(m->words),
                                         .width = s->width,
                                         .layers = s->layers,
                                         .heads = s->heads,
                                         .kv_heads = s->heads,
                                         .head_width = s->width / s->heads,
                                         .mlp_width = s->mlp,
                                         .positions = longest(m),
                                         .rope_base = 10000.0,
                                         .norm_eps = 1e-6f,
                                         .tied_head = true,
                                         .init_sd = 1 / sqrtf((float)s->width)};
    m->decoder = assay_decoder_new(params, NULL, &config, error);
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
    if (!assay_refuse_extra(setup, MODEL_WHERE, error) || !shape_holds(&m->settings, error) ||
        !find_fields(m, setup->data, error))
        return false;
    m->words = vocabulary_new(&(vocabulary_recipe){.where = MODEL_WHERE,
                                                   .data = setup->data,
                                                   .host = setup->host,
                                                   .min_count = m->settings.min_count,
                                                   .most = m->settings.words},
                              error);
    if (!m->words || !add_decoder(m, setup->params, error))
        return false;
    add_parameters(m, setup->params, &inner);
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
    if (!build(m, setup, error)) {
        model_close(m);
        return NULL;
    }
    return m;
}

static void model_facts(void *opened, assay_model_facts *out)
{
    const model *m = opened;
    const settings *s = &m->settings;
    double width = (double)s->width, layers = (double)s->layers, mlp = (double)s->mlp;
    double tokens =
        fmin(vocabulary_means_get(m->words).events, (double)s->events) + (m->features >= 0);
    double layer = 4 * width * width + 3 * width * mlp;
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = s->width,
        .layers = s->layers,
        .heads = s->heads,
        .tokens = longest(m) > s->answer_words ? longest(m) : s->answer_words,
        /* A product is two operations; scores and their use are 2 T D each per token. */
        .flops = tokens * (layers * (2 * layer + 4 * tokens * width) + 2 * width * width),
        .activation_bytes = 4 * tokens * (layers * (8 * width + 2 * mlp) + 4 * width),
        .output_count = (int)(sizeof outputs / sizeof outputs[0]),
        .part_count = (int)(sizeof parts / sizeof parts[0]),
        .outputs = outputs,
        .parts = parts,
    };
}

static const char *const standard_losses[] = {"cpc", NULL};
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

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "event_sequence", 1,
             "a small transformer over the events of all sources, for the baselines", settings,
             options, functions);
