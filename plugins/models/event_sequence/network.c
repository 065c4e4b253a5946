/* network.c - from a batch to event vectors, states and outputs. */
#include "event_sequence.h"

/* ---- event vectors ---- */

static assay_tensor *word_vectors(const model *m)
{
    return assay_decoder_head(m->decoder);
}

static assay_tensor *mean_of_words(assay_tape *tape, const model *m, const content *c)
{
    return assay_masked_mean(tape, assay_embedding(tape, word_vectors(m), c->words), c->lengths);
}

/* (U, D): what an event says, without when it was. */
static assay_tensor *text_vectors(assay_tape *tape, const model *m, const content *c)
{
    assay_tensor *x = mean_of_words(tape, m, c);
    x = assay_cast(tape, assay_linear(tape, x, m->text, m->text_bias, ASSAY_IDENTITY), ASSAY_F32);
    return assay_add(tape, x, assay_embedding(tape, m->source, c->sources));
}

/* ---- masking ----
 * Which events are masked is addressed by the pass and the place in the batch, so that embed and
 * forward agree and nothing is replayed. */
static bool is_masked(const model *m, const assay_tape *tape, const content *c, int64_t at)
{
    assay_step step = assay_tape_step(tape);
    if (!c->masking || !step.training || assay_i32(c->ids)[at] < 0)
        return false;
    assay_stream stream = assay_stream_of(step.seed, "event_sequence/masked", step.clock);
    return assay_random_uniform(stream, (uint64_t)at) < (float)m->settings.masked;
}

static const assay_tensor *masked_rows(assay_tape *tape, const model *m, const content *c)
{
    int64_t count = assay_tensor_count(c->rows);
    if (!c->masking)
        return c->rows;
    assay_tensor *rows = assay_tape_constant(tape, ASSAY_I32, 1, &count, c->rows->data);
    for (int64_t i = 0; rows && i < count; i++)
        if (is_masked(m, tape, c, i))
            assay_i32(rows)[i] = (int32_t)c->texts;
    return rows;
}

/* i32 (B, T): 1 where an event was masked. */
static assay_tensor *masked_flags(assay_tape *tape, const model *m, const content *c)
{
    assay_tensor *flags = assay_tape_tensor(tape, ASSAY_I32, 2, c->ids->shape);
    for (int64_t i = 0; flags && i < assay_tensor_count(flags); i++)
        assay_i32(flags)[i] = is_masked(m, tape, c, i);
    return flags;
}

assay_tensor *model_embed(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                          const assay_insert *insert)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    int64_t rows = batch->towers[tower].rows, tokens = batch->towers[tower].tokens;
    assay_tensor *table[3];
    int n = 0;
    (void)insert;
    if (c->of_answer)
        return assay_embedding(tape, word_vectors(m), c->words);
    table[n++] = text_vectors(tape, m, c);
    table[n++] = m->mask;
    if (m->feature)
        table[n++] = assay_cast(
            tape, assay_linear(tape, c->features, m->feature, m->feature_bias, ASSAY_IDENTITY),
            ASSAY_F32);
    const assay_tensor *index = masked_rows(tape, m, c);
    if (!index)
        return NULL;
    assay_tensor *x = assay_gather(tape, assay_concat(tape, n, table, 0), index);
    x = assay_reshape(tape, x, 3, (int64_t[]){rows, tokens, m->settings.width});
    x = assay_add(tape, x, assay_embedding(tape, m->age, c->ages));
    return assay_place(tape, "embeddings", x, x);
}

/* ---- outputs ---- */

static bool hides_the_future(const assay_attention_bias *bias)
{
    return bias->future == ASSAY_FUTURE_HIDDEN && !bias->span;
}

static assay_tensor *embedding_of(assay_tape *tape, const model *m, const content *c,
                                  assay_tensor *states)
{
    assay_tensor *x = assay_masked_mean(tape, states, c->valid);
    if (m->head)
        x = assay_linear(tape, x, m->head, m->head_bias, ASSAY_IDENTITY);
    return assay_cast(tape, x, ASSAY_F32);
}

static bool put_answer(assay_tape *tape, const model *m, const content *c, assay_tensor *x,
                       const assay_wanted *wanted, assay_outputs *out)
{
    x = assay_masked_mean(tape, x, c->lengths);
    x = assay_linear(tape, x, m->answer1, m->answer1_bias, ASSAY_GELU);
    x = assay_linear(tape, x, m->answer2, m->answer2_bias, ASSAY_IDENTITY);
    assay_outputs_put(out, wanted, "answer.embedding", assay_cast(tape, x, ASSAY_F32));
    return assay_tape_ok(tape, NULL);
}

static assay_tensor *copied(assay_tape *tape, const assay_tensor *from)
{
    return assay_tape_constant(tape, from->dtype, from->rank, from->shape, from->data);
}

bool model_forward(void *opened, assay_tape *tape, const assay_batch *batch, int tower,
                   assay_tensor *x, const assay_attention_bias *bias, const assay_wanted *wanted,
                   assay_outputs *out)
{
    const model *m = opened;
    const content *c = &((const content *)batch->content)[tower];
    assay_attention_bias own =
        m->settings.attention == ATTEND_CAUSAL ? assay_bias_causal() : assay_bias_full();
    const assay_attention_bias *used = bias ? bias : &own;
    if (!x)
        return false;
    if (c->of_answer)
        return put_answer(tape, m, c, x, wanted, out);
    /* user.event_past has seen nothing later than itself, whatever the run's mask: where the mask
     * opens the future, a second walk through the stack. It comes first, so that taps find the
     * run's own. */
    const assay_attention_bias causal = assay_bias_causal();
    assay_tensor *past = NULL;
    if (assay_wants(wanted, "user.event_past") && !hides_the_future(used))
        past = assay_decoder_forward(tape, m->decoder, x, c->valid, &causal);
    assay_tensor *states = assay_decoder_forward(tape, m->decoder, x, c->valid, used);
    if (!states)
        return false;
    if (assay_wants(wanted, "user.embedding"))
        assay_outputs_put(out, wanted, "user.embedding", embedding_of(tape, m, c, states));
    assay_outputs_put(out, wanted, "user.states", states);
    assay_outputs_put(out, wanted, "user.event_past", past ? past : states);
    if (assay_wants(wanted, "user.event_texts"))
        assay_outputs_put(out, wanted, "user.event_texts", text_vectors(tape, m, c));
    if (assay_wants(wanted, "user.event_masked"))
        assay_outputs_put(out, wanted, "user.event_masked", masked_flags(tape, m, c));
    if (assay_wants(wanted, "user.event_ids"))
        assay_outputs_put(out, wanted, "user.event_ids", copied(tape, c->ids));
    if (assay_wants(wanted, "user.event_classes"))
        assay_outputs_put(out, wanted, "user.event_classes", copied(tape, c->classes));
    assay_outputs_put(out, wanted, "user.head", word_vectors(m));
    return assay_tape_ok(tape, NULL);
}
