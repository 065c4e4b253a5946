/* encoder.c - event texts to vectors: the mean of their words' vectors in the decoder's table; a
 * table of their own and two layers (user-modelling spec 6.2, tiny); or a BERT, of which the state
 * at [CLS] is taken (spec 1.2). */
#include "user_decoder.h"

static assay_tensor *encode_words(assay_tape *tape, const model *m, const distinct *texts)
{
    assay_tensor *words = assay_decoder_embed(tape, m->decoder, texts->ids);
    return assay_masked_mean(tape, words, texts->lengths);
}

static assay_tensor *encode_bag(assay_tape *tape, const event_encoder *e, const distinct *texts)
{
    assay_tensor *x = assay_embedding(tape, e->table, texts->ids);
    x = assay_masked_mean(tape, x, texts->lengths);
    x = assay_linear(tape, x, e->w1, e->b1, ASSAY_GELU);
    return assay_cast(tape, assay_linear(tape, x, e->w2, e->b2, ASSAY_IDENTITY), ASSAY_F32);
}

static assay_tensor *encode_bert(assay_tape *tape, const event_encoder *e, const distinct *texts)
{
    int64_t width = assay_bert_config_get(e->bert)->width, rows = texts->rows;
    assay_tensor *x = assay_bert_forward(tape, e->bert, texts->ids, texts->lengths);
    x = assay_cast(tape, assay_slice(tape, x, 1, 0, 1), ASSAY_F32);
    return assay_reshape(tape, x, 2, (int64_t[]){rows, width});
}

assay_tensor *encoder_run(assay_tape *tape, const model *m, int s, const distinct *texts)
{
    const event_encoder *e = m->sources[s].encoder;
    if (m->settings.encoder == ENCODER_WORDS)
        return encode_words(tape, m, texts);
    if (m->settings.encoder == ENCODER_BAG)
        return encode_bag(tape, e, texts);
    return encode_bert(tape, e, texts);
}
