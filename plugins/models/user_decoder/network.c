/* network.c - from a batch to input embeddings, and from them to outputs.
 *
 * All vectors that tokens are made of stand in one table, built anew in every pass: the batch's
 * different words, the different event texts of each source, features, summaries, extra tokens. The
 * sequence is gathered from it, so that a text is encoded once however many clients have it. */
#include "user_decoder.h"

#define NORM_EPS 1e-6f

enum { TABLE_PARTS = MODEL_SOURCES + 6 + MODEL_SOURCES };

static assay_tensor *adapt(assay_tape *tape, const adapter *a, assay_tensor *x)
{
    x = assay_layer_norm(tape, x, a->norm_weight, a->norm_bias, NORM_EPS);
    x = assay_linear(tape, x, a->w1, a->b1, ASSAY_GELU);
    x = assay_linear(tape, x, a->w2, a->b2, ASSAY_IDENTITY);
    return assay_cast(tape, x, ASSAY_F32);
}

static assay_tensor *word_vectors(const model *m)
{
    return assay_decoder_head(m->decoder);
}

/* (U, D): the mean of a text's words. */
static assay_tensor *encode(assay_tape *tape, const model *m, const distinct *texts)
{
    assay_tensor *words = assay_embedding(tape, word_vectors(m), texts->ids);
    return assay_masked_mean(tape, words, texts->lengths);
}

static assay_tensor *zeros(assay_tape *tape, int64_t rows, int64_t width)
{
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){rows, width});
    for (int64_t i = 0; y && i < rows * width; i++)
        assay_f32(y)[i] = 0;
    return y;
}

/* ---- summaries (user-modelling spec 2.3): coarse to fine, from the encoder's raw vectors ---- */

/* (B, D): mean over a sample's events of one source, zero without any. */
static assay_tensor *source_mean(assay_tape *tape, const model *m, const content *c, int64_t rows,
                                 int s, assay_tensor *raw)
{
    if (!raw)
        return zeros(tape, rows, m->width);
    assay_tensor *events = assay_gather(tape, raw, c->slots[s]);
    events = assay_reshape(tape, events, 3,
                           (int64_t[]){rows, assay_tensor_count(c->slots[s]) / rows, m->width});
    return assay_masked_mean(tape, events, c->counts[s]);
}

/* Adds the user's token and one per source and for the features to the table. */
static int add_summaries(assay_tape *tape, const model *m, const content *c, int64_t rows,
                         assay_tensor *const raw[], assay_tensor **table, int n)
{
    assay_tensor *sum = NULL, *means[MODEL_SOURCES + 1];
    int count = 0;
    for (int s = 0; s < m->source_count; s++)
        means[count++] = source_mean(tape, m, c, rows, s, raw[s]);
    if (c->features)
        means[count++] = assay_cast(tape,
                                    assay_linear(tape, c->features, m->summary_features,
                                                 m->summary_features_bias, ASSAY_IDENTITY),
                                    ASSAY_F32);
    for (int i = 0; i < count; i++)
        sum = i == 0 ? means[i] : assay_add(tape, sum, means[i]);
    table[n++] = adapt(tape, &m->summary_user, assay_scale(tape, sum, 1.0f / (float)count));
    for (int i = 0; i < count; i++)
        table[n++] = adapt(tape, &m->summary_source, means[i]);
    return n;
}

/* ---- input embeddings ---- */

/* The joined table; its order is collate.c's. */
static assay_tensor *join(assay_tape *tape, const model *m, const content *c, int64_t rows,
                          const assay_insert *insert)
{
    assay_tensor *table[TABLE_PARTS], *raw[MODEL_SOURCES] = {NULL};
    int n = 0;
    table[n++] = assay_embedding(tape, word_vectors(m), c->words);
    for (int s = 0; s < m->source_count; s++) {
        if (c->texts[s].rows == 0)
            continue;
        raw[s] = encode(tape, m, &c->texts[s]);
        table[n++] = adapt(tape, &m->sources[s].adapter, raw[s]);
    }
    if (c->features && m->settings.feature_tokens > 0) {
        assay_tensor *tokens =
            assay_linear(tape, c->features, m->feature_weight, m->feature_bias, ASSAY_IDENTITY);
        tokens = assay_reshape(tape, tokens, 2,
                               (int64_t[]){rows * m->settings.feature_tokens, m->width});
        table[n++] = assay_cast(tape, tokens, ASSAY_F32);
    }
    if (m->settings.summary)
        n = add_summaries(tape, m, c, rows, raw, table, n);
    if (m->extra.front > 0)
        table[n++] = assay_cast(tape, insert ? insert->front : NULL, ASSAY_F32);
    if (m->extra.readout > 0)
        table[n++] = assay_cast(tape, insert ? insert->readout : NULL, ASSAY_F32);
    return n == 1 ? table[0] : assay_concat(tape, n, table, 0);
}

static bool extras_come(assay_tape *tape, const model *m, const assay_insert *insert)
{
    if ((m->extra.front == 0 || (insert && insert->front)) &&
        (m->extra.readout == 0 || (insert && insert->readout)))
        return true;
    if (assay_tape_ok(tape, NULL))
        assay_tape_fail(tape, ASSAY_BAD_INPUT,
                        (assay_failure){.where = MODEL_WHERE,
                                        .what = "extra tokens were asked for and not given"});
    return false;
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
        if (!extras_come(tape, m, insert))
            return NULL;
        x = assay_gather(tape, join(tape, m, c, rows, insert), c->index);
        x = assay_reshape(tape, x, 3, (int64_t[]){rows, tokens, m->width});
        if (m->age)
            x = assay_add(tape, x, assay_embedding(tape, m->age, c->age));
        x = assay_add(tape, x, assay_embedding(tape, m->rank, c->rank));
    }
    return assay_place(tape, "embeddings", x, x);
}

/* ---- outputs ---- */

static assay_tensor *project(assay_tape *tape, const model *m, assay_tensor *x)
{
    x = assay_linear(tape, x, m->w0, m->b0, m->w2 ? ASSAY_GELU : ASSAY_IDENTITY);
    if (m->w2)
        x = assay_linear(tape, x, m->w2, m->b2, ASSAY_IDENTITY);
    return assay_cast(tape, x, ASSAY_F32);
}

static assay_tensor *read_out(assay_tape *tape, const model *m, const content *c,
                              const assay_tower *tower, assay_tensor *states)
{
    if (!c->read)
        return project(tape, m, assay_masked_mean(tape, states, tower->lengths));
    assay_tensor *flat =
        assay_reshape(tape, states, 2, (int64_t[]){tower->rows * tower->tokens, m->width});
    return project(tape, m, assay_gather(tape, flat, c->read));
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
    if (!x || !closing_apply(tape, t, c->closed, &used))
        return false;
    assay_tensor *states = assay_decoder_forward(tape, m->decoder, x, c->lengths, &used);
    if (assay_wants(wanted, embedding))
        assay_outputs_put(out, wanted, embedding, read_out(tape, m, c, t, states));
    if (c->of_answer) {
        assay_outputs_put(out, wanted, "answer.states", states);
    } else {
        assay_outputs_put(out, wanted, "user.states", states);
        assay_outputs_put(out, wanted, "user.targets", c->targets);
        assay_outputs_put(out, wanted, "user.head", word_vectors(m));
    }
    return assay_tape_ok(tape, NULL);
}
