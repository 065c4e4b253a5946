/* user_decoder.c - model `user_decoder`: histories of events, features and a question through a
 * decoder, and answers through the same one (user-modelling spec 1 to 3, sizes of 6.2).
 *
 * Fields that it reads from any dataset: every u8 field with two ragged axes is a source of event
 * texts, oldest first, in the dataset's order; "SOURCE.time" (events), i32 or f32, is how far each
 * lies from the cut-off; "features" f32 (F), the source `tabular`, last; "query" and "answer", u8
 * texts. A text becomes a vector by an event encoder, and a token by its source's adapter; age and
 * place from the newest event may be added to it. Whatever is missing is left out: a dataset
 * without sources or without features is fine, one with neither is not.
 *
 * Q-Anchor as published is size = "qwen2.5-0.5b", layout = "chat", encoder = "bert", user_summary,
 * source_summary, features = "copied", feature_tokens = 50, slots = "fixed", head = "relu", age and
 * rank off, tokens = 1050 + 7, answer_words = 200; GG-SM's paper layout = "tagged", head = "none"
 * without summaries, its code readout = "mean", head = "mlp". */
#include "user_decoder.h"

#include <assay/memory.h>

#include <string.h>

static const assay_option options[] = {
    ASSAY_CHOICE(settings, size, "tiny",
                 "tiny|small|qwen2.5-0.5b|qwen2.5-1.5b|qwen2.5-3b|smollm2-135m",
                 "tiny: width 64, 2 layers; small: width 128, 4 layers; the others as published"),
    ASSAY_WEIGHTS(settings, decoder, 0,
                  "published weights of a Qwen2 or Llama decoder, whose config.json is its shape"),
    ASSAY_INTEGER(settings, width, "", 0, 0, 8192, "of the decoder; 0: the size's"),
    ASSAY_INTEGER(settings, layers, "", 0, 0, 64, "of the decoder; 0: the size's"),
    ASSAY_INTEGER(settings, heads, "", 0, 0, 64, "query heads; 0: the size's"),
    ASSAY_INTEGER(settings, kv_heads, "", 0, 0, 64, "key and value heads; 0: the size's"),
    ASSAY_INTEGER(settings, mlp, "", 0, 0, 32768, "width of the gated MLP; 0: the size's"),
    ASSAY_CHOICE(settings, head, "mlp", "mlp|relu|linear|none",
                 "projection of what is read: mlp is linear, GELU, linear (GG-SM's code), relu the "
                 "same with ReLU (Q-Anchor's), linear one layer, none the state itself"),
    ASSAY_INTEGER(settings, head_width, "", 0, 0, 8192,
                  "of the projection's middle; 0: the size's, 512 as published"),
    ASSAY_INTEGER(settings, embedding, "", 0, 0, 8192,
                  "numbers of an embedding; 0: the size's, 64 or 128"),
    ASSAY_CHOICE(settings, encoder, "words", "words|bag|bert",
                 "event encoder: the mean of the decoder's word vectors, a table of its own with "
                 "two layers, or a BERT read at [CLS]"),
    ASSAY_BOOL(settings, encoder_shared, 0, "one event encoder for all sources, not one for each"),
    ASSAY_WEIGHTS(settings, encoder_weights, 0,
                  "published weights of a BERT, where every event encoder starts"),
    ASSAY_INTEGER(settings, encoder_width, "", 0, 0, 4096, "of a bag or BERT; 0: the size's"),
    ASSAY_INTEGER(settings, encoder_layers, "", 0, 0, 64, "of a BERT; 0: the size's"),
    ASSAY_INTEGER(settings, encoder_heads, "", 0, 0, 64, "of a BERT; 0: the size's"),
    ASSAY_INTEGER(settings, encoder_mlp, "", 0, 0, 16384, "of a BERT; 0: the size's"),
    ASSAY_NUMBER(settings, dropout, "", 0, 0, 0.9, "in a BERT, in training"),
    ASSAY_CHOICE(settings, layout, "plain", "plain|chat|tagged",
                 "what stands around the tokens: nothing, Q-Anchor's chat with markers per source, "
                 "or GG-SM's tags per source"),
    ASSAY_CHOICE(
        settings, readout, "user_token", "user_token|mean|last",
        "what is read: the state at the user's token, the mean of all, or the last word's"),
    ASSAY_CHOICE(settings, answer_readout, "auto", "auto|last|mean",
                 "of an answer; auto: the mean where the user's is, else its last token"),
    ASSAY_BOOL(settings, answer_end, 1, "an answer's own tower ends with the end of text"),
    ASSAY_BOOL(settings, user_summary, 0, "a token of the user's mean over all sources"),
    ASSAY_BOOL(settings, source_summary, 0, "a token of the mean of each source's events"),
    ASSAY_CHOICE(settings, summaries, "code", "code|paper",
                 "what summaries are means of: encoders' vectors, as in Q-Anchor's published code, "
                 "or tokens behind the sources' adapters, as its paper's equation 2 can be read"),
    ASSAY_CHOICE(settings, features, "different", "different|copied",
                 "tokens of the features: each by a layer of its own, or copies of one"),
    ASSAY_INTEGER(settings, feature_tokens, "tokens", 1, 0, 256,
                  "that the features become; published: 50, copied"),
    ASSAY_BOOL(settings, age, 1, "how long ago an event was is added to it, a learned vector"),
    ASSAY_BOOL(settings, rank, 1, "its place from the newest is added to it, a learned vector"),
    ASSAY_CHOICE(settings, slots, "compact", "compact|fixed",
                 "of a source: as many as it has events, or always all"),
    ASSAY_CHOICE(settings, slot_padding, "masked", "masked|seen",
                 "whether slots without an event are hidden from all tokens"),
    ASSAY_NUMBERS(settings, slot_counts, "slots", NULL, 1, 4096,
                  "of each source, the newest events are kept; none: the dataset's own"),
    ASSAY_PATH(settings, tokenizer, 0,
               "tokenizer.json of the decoder; none: words are taken from the data"),
    ASSAY_PATH(settings, encoder_tokenizer, 0,
               "tokenizer.json of a bag or BERT; none: words are taken from the data"),
    ASSAY_INTEGER(settings, words, "words", 4096, 16, 1 << 20, "of the vocabulary, at most"),
    ASSAY_INTEGER(settings, min_count, "", 2, 1, 1 << 30, "words seen less often are unknown"),
    ASSAY_INTEGER(settings, event_words, "words", 16, 1, 510, "of an event's text that are read"),
    ASSAY_NUMBERS(settings, event_limits, "words", NULL, 1, 510,
                  "the same for each source; none: event_words for all"),
    ASSAY_INTEGER(settings, question_words, "words", 32, 1, 4096, "of a question that are read"),
    ASSAY_INTEGER(settings, answer_words, "words", 32, 1, 4096, "of an answer that are read"),
    ASSAY_INTEGER(settings, tokens, "tokens", 1024, 8, 32768,
                  "of the longest sequence; a longer one loses the end of its answer, then of its "
                  "question"),
};

/* ---- texts ---- */

/* Whether any vocabulary of `words` fits into a table of so many rows, with room to spare for what
 * layouts add: then nothing that is counted depends on which words there are. */
static bool holds_any_words(int64_t rows, int64_t words)
{
    enum { OF_LAYOUTS = 1024 };
    return rows >= words + OF_LAYOUTS;
}

/* A model that is only counted (assay plan) and whose tables have their published sizes needs no
 * words: to read the texts of 100,000 users takes minutes. */
static bool needs_words(const model *m, const shapes *of, bool counting)
{
    const settings *s = &m->settings;
    bool decoder = s->tokenizer || holds_any_words(of->decoder.vocabulary, s->words);
    bool events = s->encoder == ENCODER_WORDS || s->encoder_tokenizer ||
                  holds_any_words(of->bert.vocabulary, s->words);
    return !counting || !decoder || !events;
}

static vocabulary *find_words(const model *m, const assay_model_setup *setup, const shapes *of,
                              assay_error *error)
{
    if (!needs_words(m, of, setup->counting))
        return vocabulary_new_empty(error);
    return vocabulary_new(&(vocabulary_recipe){.where = MODEL_WHERE,
                                               .data = setup->data,
                                               .host = setup->host,
                                               .min_count = m->settings.min_count,
                                               .most = m->settings.words},
                          error);
}

static lexicon *make_lexicon(const model *m, const char *tokenizer, const lexicon *shares,
                             const assay_model_setup *setup, const shapes *of, assay_error *error)
{
    vocabulary *words = shares ? lexicon_vocabulary(shares) : NULL;
    bool owns = !words;
    if (tokenizer)
        return lexicon_of_tokenizer(tokenizer, error);
    if (!words)
        words = find_words(m, setup, of, error);
    return words ? lexicon_of_words(words, owns, error) : NULL;
}

static bool open_event_words(model *m, const assay_model_setup *setup, const shapes *of,
                             assay_error *error)
{
    const char *tokenizer = m->settings.encoder_tokenizer;
    if (m->settings.encoder == ENCODER_WORDS) {
        m->event_words = m->words;
        return !tokenizer ||
               ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                          .what = "'encoder_tokenizer' is for event encoders of their own",
                          .expected = "encoder = \"bag\" or \"bert\"");
    }
    m->event_words = make_lexicon(m, tokenizer, m->words, setup, of, error);
    if (!m->event_words)
        return false;
    if (m->settings.encoder == ENCODER_BERT) {
        for (int s = 0; s < m->source_count; s++)
            if (m->sources[s].words + 2 > of->bert.positions)
                return ASSAY_FAIL(
                    error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                    .what = "an event's words and [CLS] and [SEP] are more than a BERT's positions",
                    .expected =
                        assay_text("event_words up to %lld", (long long)of->bert.positions - 2),
                    .got = assay_text("%lld", (long long)m->sources[s].words));
        m->begin_event = lexicon_needed(m->event_words, "[CLS]", error);
        m->end_event = lexicon_needed(m->event_words, "[SEP]", error);
        if (m->begin_event < 0 || m->end_event < 0)
            return false;
    }
    return lexicon_seal(m->event_words, of->bert.vocabulary, error);
}

static bool open_texts(model *m, const assay_model_setup *setup, const shapes *of,
                       assay_error *error)
{
    const char *names[MODEL_SOURCES];
    for (int s = 0; s < m->source_count; s++)
        names[s] = m->sources[s].name;
    m->words = make_lexicon(m, m->settings.tokenizer, NULL, setup, of, error);
    return m->words &&
           layout_make(&m->layout,
                       &(layout_recipe){.kind = m->settings.layout,
                                        .marked = m->settings.readout == READ_USER_TOKEN,
                                        .source_count = m->source_count,
                                        .sources = names,
                                        .features = m->features >= 0},
                       m->words, error) &&
           lexicon_seal(m->words, of->decoder.vocabulary, error) &&
           open_event_words(m, setup, of, error) && fields_measure(m, setup->data, error);
}

/* ---- the plugin's functions ---- */

static void model_close(void *opened)
{
    model *m = opened;
    if (!m)
        return;
    assay_decoder_free(m->decoder);
    assay_bert_free(m->shared.bert);
    for (int s = 0; s < m->source_count; s++)
        assay_bert_free(m->sources[s].own.bert);
    if (m->event_words != m->words)
        lexicon_free(m->event_words);
    lexicon_free(m->words);
    layout_close(&m->layout);
    for (int i = 0; i < m->output_count; i++)
        assay_free(m->outputs[i]);
    assay_free(m->outputs);
    assay_free(m);
}

static bool build(model *m, const assay_model_setup *setup, assay_error *error)
{
    shapes found;
    if (!sizes_choose(&m->settings, &found, error) || !fields_find(m, setup->data, error))
        return false;
    m->width = m->settings.width;
    m->encoder_width = m->settings.encoder_width;
    return open_texts(m, setup, &found, error) && parameters_add(m, &found, setup->params, error) &&
           published_load(m, setup->params, error) && facts_outputs(m, error);
}

static void *model_open(const void *chosen, const assay_model_setup *setup, assay_error *error)
{
    model *m = assay_zalloc(sizeof *m, error);
    if (!m)
        return NULL;
    m->settings = *(const settings *)chosen;
    m->extra = setup->extra;
    m->host = setup->host;
    m->params = setup->params;
    if (!build(m, setup, error)) {
        model_close(m);
        return NULL;
    }
    return m;
}

/* Rows of the decoder's table of embeddings, which need not be its head. */
static int64_t model_text_vectors(void *opened, const char *text, int64_t bytes, int64_t most,
                                  float *out, assay_error *error)
{
    const model *m = opened;
    const assay_parameter *table = assay_params_find(m->params, "model.embed_tokens.weight");
    int64_t size = 0, found = -1;
    if (!assay_size_mul(&size, most, (int64_t)sizeof(int32_t))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = MODEL_WHERE, .what = "too many words");
        return -1;
    }
    int32_t *ids = assay_alloc(size, error);
    if (ids)
        found = lexicon_read(m->words, (const uint8_t *)text, bytes, most, ids, NULL, error);
    for (int64_t k = 0; k < found; k++)
        memcpy(out + k * m->width, assay_f32(table->value) + ids[k] * m->width,
               (size_t)m->width * sizeof *out);
    assay_free(ids);
    return found;
}

static void model_facts(void *opened, assay_model_facts *out)
{
    facts_fill(opened, out);
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
    .prefill = model_prefill,
    .resume = model_resume,
    .text_vectors = model_text_vectors,
};

ASSAY_PLUGIN(ASSAY_KIND_MODEL, "user_decoder", 2,
             "events, features and a question through a decoder", settings, options, functions);
