/* network.c - from a batch to input embeddings, and from them to outputs.
 *
 * All vectors that tokens are made of stand in one table, built anew in every pass: the batch's
 * different words, the different event texts of each source and its padding slot, features,
 * summaries, extra tokens. The sequence is gathered from it, so that a text is encoded once however
 * many clients have it. */
#include "user_decoder.h"

#include <stdio.h>

#define NORM_EPS 1e-6f

enum { TABLE_PARTS = MODEL_SOURCES + 7 + MODEL_SOURCES };

static assay_tensor *adapt(assay_tape *tape, const adapter *a, assay_tensor *x)
{
    x = assay_layer_norm(tape, x, a->norm_weight, a->norm_bias, NORM_EPS);
    x = assay_linear(tape, x, a->w1, a->b1, ASSAY_GELU);
    x = assay_linear(tape, x, a->w2, a->b2, ASSAY_IDENTITY);
    return assay_cast(tape, x, ASSAY_F32);
}

static assay_tensor *zeros(assay_tape *tape, int64_t rows, int64_t width)
{
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){rows, width});
    for (int64_t i = 0; y && i < rows * width; i++)
        assay_f32(y)[i] = 0;
    return y;
}

static assay_tensor *tabular(assay_tape *tape, const content *c, assay_tensor *weight,
                             assay_tensor *bias)
{
    return assay_cast(tape, assay_linear(tape, c->features, weight, bias, ASSAY_IDENTITY),
                      ASSAY_F32);
}

/* ---- summaries (user-modelling spec 2.3): coarse to fine ----
 * The published code takes means of the encoders' raw vectors (E); the paper's equation 2 can be
 * read as means of the events' tokens (D) (spec 7, 4). */

/* (B, E) or (B, D): mean over a sample's events of one source, zero without any. */
static assay_tensor *source_mean(assay_tape *tape, const model *m, const content *c, int64_t rows,
                                 int s, assay_tensor *vectors)
{
    int64_t width = m->settings.summaries == SUMMARIES_PAPER ? m->width : m->encoder_width;
    if (!vectors)
        return zeros(tape, rows, width);
    assay_tensor *events = assay_gather(tape, vectors, c->slots[s]);
    int64_t slots = assay_tensor_count(c->slots[s]) / rows;
    events = assay_reshape(tape, events, 3, (int64_t[]){rows, slots, width});
    return assay_masked_mean(tape, events, c->counts[s]);
}

/* The same of the features: a layer of their own, or the mean of their tokens. */
static assay_tensor *feature_mean(assay_tape *tape, const model *m, const content *c, int64_t rows,
                                  assay_tensor *tokens)
{
    if (m->settings.summaries == SUMMARIES_CODE)
        return tabular(tape, c, m->feature_mean, m->feature_mean_bias);
    int64_t each = m->settings.features == FEATURES_COPIED ? 1 : m->settings.feature_tokens;
    tokens = assay_reshape(tape, tokens, 3, (int64_t[]){rows, each, m->width});
    return assay_masked_mean(tape, tokens, NULL);
}

/* Adds the user's token, from the mean over all sources with the features last, and one per source
 * to the table. A source without events counts as zero (spec 2.3.1). `vectors` are the events' of
 * each source, `features` their tokens. */
static int add_summaries(assay_tape *tape, const model *m, const content *c, int64_t rows,
                         assay_tensor *const vectors[], assay_tensor *features,
                         assay_tensor **table, int n)
{
    assay_tensor *sum = NULL, *means[MODEL_SOURCES + 1];
    int count = 0;
    for (int s = 0; s < m->source_count; s++)
        means[count++] = source_mean(tape, m, c, rows, s, vectors[s]);
    if (c->features)
        means[count++] = feature_mean(tape, m, c, rows, features);
    for (int i = 0; m->settings.user_summary && i < count; i++)
        sum = i == 0 ? means[i] : assay_add(tape, sum, means[i]);
    if (m->settings.user_summary)
        table[n++] = adapt(tape, &m->summary_user, assay_scale(tape, sum, 1.0f / (float)count));
    for (int i = 0; m->settings.source_summary && i < count; i++)
        table[n++] = adapt(tape, &m->summary_source, means[i]);
    return n;
}

/* ---- input embeddings ---- */

/* The tokens of a source's texts; behind them, where slots are padded, that of a padding slot: the
 * adapter on a vector of zeros. */
static assay_tensor *event_tokens(assay_tape *tape, const model *m, const content *c, int s,
                                  assay_tensor *raw)
{
    if (c->padded[s]) {
        assay_tensor *empty = zeros(tape, 1, m->encoder_width);
        assay_tensor *parts[2] = {raw, empty};
        raw = raw ? assay_concat(tape, 2, parts, 0) : empty;
    }
    return adapt(tape, &m->sources[s].adapter, raw);
}

static assay_tensor *feature_vectors(assay_tape *tape, const model *m, const content *c,
                                     int64_t rows)
{
    bool copied = m->settings.features == FEATURES_COPIED;
    assay_tensor *x = tabular(tape, c, m->feature_weight, m->feature_bias);
    return assay_reshape(tape, x, 2,
                         (int64_t[]){rows * (copied ? 1 : m->settings.feature_tokens), m->width});
}

/* The joined table; its order is collate.c's. */
static assay_tensor *join(assay_tape *tape, const model *m, const content *c, int64_t rows,
                          const assay_insert *insert)
{
    assay_tensor *table[TABLE_PARTS], *vectors[MODEL_SOURCES] = {NULL}, *features = NULL;
    const bool paper = m->settings.summaries == SUMMARIES_PAPER;
    int n = 0;
    table[n++] = assay_decoder_embed(tape, m->decoder, c->words);
    if (m->markers)
        table[n++] = m->markers;
    for (int s = 0; s < m->source_count; s++) {
        if (c->texts[s].rows > 0)
            vectors[s] = encoder_run(tape, m, s, &c->texts[s]);
        if (c->texts[s].rows > 0 || c->padded[s])
            table[n++] = event_tokens(tape, m, c, s, vectors[s]);
        if (paper && c->texts[s].rows > 0)
            vectors[s] = table[n - 1];
    }
    if (c->features && m->settings.feature_tokens > 0)
        table[n++] = features = feature_vectors(tape, m, c, rows);
    if ((m->settings.user_summary || m->settings.source_summary) && c->part != ASSAY_QUESTION)
        n = add_summaries(tape, m, c, rows, vectors, features, table, n);
    if (m->extra.front > 0 && c->part != ASSAY_QUESTION)
        table[n++] = assay_cast(tape, insert ? insert->front : NULL, ASSAY_F32);
    if (m->extra.readout > 0 && c->part != ASSAY_HISTORY)
        table[n++] = assay_cast(tape, insert ? insert->readout : NULL, ASSAY_F32);
    if (m->extra.history > 0 && c->part != ASSAY_HISTORY)
        table[n++] = assay_cast(tape, insert ? insert->history : NULL, ASSAY_F32);
    return n == 1 ? table[0] : assay_concat(tape, n, table, 0);
}

static bool extras_come(assay_tape *tape, const model *m, const content *c,
                        const assay_insert *insert)
{
    bool front = m->extra.front > 0 && c->part != ASSAY_QUESTION;
    bool readout = m->extra.readout > 0 && c->part != ASSAY_HISTORY;
    bool beside = m->extra.history > 0 && c->part != ASSAY_HISTORY;
    if ((!front || (insert && insert->front)) && (!readout || (insert && insert->readout)) &&
        (!beside || (insert && insert->history)))
        return true;
    if (assay_tape_ok(tape, NULL))
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = MODEL_WHERE,
                                        .what = "extra tokens were asked for and not given"});
    return false;
}

/* What did not fit, into the series of the step. */
static void report_cuts(const model *m, assay_tape *tape, const cuts *cut)
{
    const struct {
        const char *name;
        int64_t count;
    } rows[] = {{"model/cut_questions", cut->questions},
                {"model/cut_answers", cut->answers},
                {"model/cut_events", cut->events}};
    if (!m->host || !m->host->series || !assay_tape_step(tape).training)
        return;
    for (int i = 0; i < 3; i++)
        if (rows[i].count > 0)
            m->host->series(m->host->user, rows[i].name, (double)rows[i].count);
}

assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    int64_t rows = batch->towers[tower].rows, tokens = batch->towers[tower].tokens;
    assay_tensor *x = NULL;
    if (c->of_answer) {
        x = assay_decoder_embed(tape, m->decoder, c->ids);
    } else {
        if (!extras_come(tape, m, c, insert))
            return NULL;
        report_cuts(m, tape, &c->cut);
        x = assay_gather(tape, join(tape, m, c, rows, insert), c->index);
        x = assay_reshape(tape, x, 3, (int64_t[]){rows, tokens, m->width});
        if (m->age)
            x = assay_add(tape, x, assay_embedding(tape, m->age, c->age));
        if (m->rank)
            x = assay_add(tape, x, assay_embedding(tape, m->rank, c->rank));
    }
    return assay_place(tape, "embeddings", x, x);
}

/* ---- outputs ---- */

assay_tensor *model_project(assay_tape *tape, const model *m, assay_tensor *x)
{
    assay_activation middle = !m->w2                          ? ASSAY_IDENTITY
                              : m->settings.head == HEAD_RELU ? ASSAY_RELU
                                                              : ASSAY_GELU;
    if (m->w0)
        x = assay_linear(tape, x, m->w0, m->b0, middle);
    if (m->w2)
        x = assay_linear(tape, x, m->w2, m->b2, ASSAY_IDENTITY);
    return assay_cast(tape, x, ASSAY_F32);
}

static assay_tensor *read_out(assay_tape *tape, const model *m, const content *c,
                              const assay_tower *tower, assay_tensor *states)
{
    if (!c->read && !c->averaged)
        return model_project(tape, m, assay_masked_mean(tape, states, tower->lengths));
    assay_tensor *flat =
        assay_reshape(tape, states, 2, (int64_t[]){tower->rows * tower->tokens, m->width});
    if (c->read)
        return model_project(tape, m, assay_gather(tape, flat, c->read));
    assay_tensor *valid = assay_reshape(tape, assay_gather(tape, flat, c->averaged), 3,
                                        (int64_t[]){tower->rows, tower->tokens, m->width});
    return model_project(tape, m, assay_masked_mean(tape, valid, c->averaged_counts));
}

/* The layers whose attention is wanted. */
static void mark_maps(const model *m, const char *tower, const assay_wanted *wanted,
                      assay_decoder_trace *trace)
{
    for (int64_t i = 0; i < m->settings.layers && i < ASSAY_DECODER_LAYERS; i++)
        trace->want_map[i] =
            assay_wants(wanted, assay_text("%s.attention.%lld", tower, (long long)i));
}

static void put_traced(const model *m, const char *tower, const assay_wanted *wanted,
                       const assay_decoder_trace *trace, assay_outputs *out)
{
    for (int64_t i = 0; i < m->settings.layers && i < ASSAY_DECODER_LAYERS; i++) {
        assay_outputs_put(out, wanted, assay_text("%s.layers.%lld", tower, (long long)i),
                          trace->layers[i]);
        if (trace->want_map[i])
            assay_outputs_put(out, wanted, assay_text("%s.attention.%lld", tower, (long long)i),
                              trace->maps[i]);
    }
}

bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    const assay_tower *t = &batch->towers[tower];
    const char *embedding = c->of_answer ? "answer.embedding" : "user.embedding";
    assay_attention_bias used = bias ? *bias : assay_bias_causal();
    assay_decoder_trace trace = {0};
    if (!x || !closing_apply(tape, t, c, &used))
        return false;
    mark_maps(m, t->name, wanted, &trace);
    assay_tensor *states = assay_decoder_traced(tape, m->decoder, x, c->lengths, &used, &trace);
    if (assay_wants(wanted, embedding))
        assay_outputs_put(out, wanted, embedding, read_out(tape, m, c, t, states));
    put_traced(m, t->name, wanted, &trace, out);
    if (c->of_answer) {
        assay_outputs_put(out, wanted, "answer.states", states);
    } else {
        assay_outputs_put(out, wanted, "user.states", states);
        assay_outputs_put(out, wanted, "user.targets", c->targets);
        assay_outputs_put(out, wanted, "user.sources", c->sources);
        assay_outputs_put(out, wanted, "user.head", assay_decoder_head(m->decoder));
    }
    return assay_tape_ok(tape, NULL);
}
