/* facts.c - what others are told of an open model: outputs by name, parts, and what a sample
 * costs. */
#include "user_decoder.h"

#include <assay/memory.h>

#include <stdio.h>
#include <string.h>

/* ---- outputs ---- */

static bool name_output(model *m, const char *name, assay_error *error)
{
    char *copy = assay_strdup(name, error);
    if (copy)
        m->outputs[m->output_count++] = copy;
    return copy != NULL;
}

bool facts_outputs(model *m, assay_error *error)
{
    static const char *const fixed[] = {"user.embedding", "user.states",  "user.targets",
                                        "user.head",      "user.sources", "answer.embedding",
                                        "answer.states"};
    static const char *const towers[] = {"user", "answer"};
    const int count = (int)(sizeof fixed / sizeof fixed[0]);
    int64_t layers =
        m->settings.layers < ASSAY_DECODER_LAYERS ? m->settings.layers : ASSAY_DECODER_LAYERS;
    bool ok = true;
    m->outputs = assay_zalloc((count + 4 * layers) * (int64_t)sizeof *m->outputs, error);
    if (!m->outputs)
        return false;
    for (int i = 0; ok && i < count; i++)
        ok = name_output(m, fixed[i], error);
    for (int t = 0; t < 2; t++)
        for (int64_t i = 0; ok && i < layers; i++)
            ok = name_output(m, assay_text("%s.layers.%lld", towers[t], (long long)i), error) &&
                 name_output(m, assay_text("%s.attention.%lld", towers[t], (long long)i), error);
    return ok;
}

/* ---- costs: estimates of one sample, every event text counted as if it stood alone ---- */

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double usual_events(const model *m)
{
    double slots = 0;
    for (int s = 0; s < m->source_count; s++)
        slots += (double)m->sources[s].slots;
    return m->settings.slots == SLOTS_FIXED ? slots : m->usual.events;
}

/* Tokens of the two towers together, as the training samples have them on average. */
static double usual_tokens(const model *m)
{
    double answer = least(m->usual.answer, (double)m->settings.answer_words);
    double tokens = usual_events(m) + 2 * answer + 1 + (double)m->layout.lead_ids +
                    least(m->usual.question, (double)m->settings.question_words);
    tokens += (double)(m->extra.front + m->extra.readout + m->extra.history);
    tokens += (double)m->layout.tail.count;
    for (int i = 0; i < m->layout.count; i++)
        tokens += m->layout.pieces[i].kind == PIECE_ID || m->layout.pieces[i].kind == PIECE_READ;
    if (m->features >= 0)
        tokens += (double)m->settings.feature_tokens;
    tokens += m->settings.user_summary;
    if (m->settings.source_summary)
        tokens += m->source_count + (m->features >= 0);
    return tokens;
}

/* Operations and kept numbers of the event encoders and adapters. */
static void add_events(const model *m, double *flops, double *numbers)
{
    const settings *s = &m->settings;
    double events = m->usual.events, e = (double)m->encoder_width, d = (double)m->width;
    double words = least(m->usual.event_words, (double)s->event_words);
    double layers = (double)s->encoder_layers, mlp = (double)s->encoder_mlp;
    *flops += 2 * events * (e * e + e * d);
    *numbers += events * (4 * e + d + words * e);
    if (s->encoder == ENCODER_BAG) {
        *flops += 4 * events * e * e;
        *numbers += 2 * events * e;
    } else if (s->encoder == ENCODER_BERT) {
        double tokens = events * (words + 2);
        *flops += tokens * layers * (2 * (4 * e * e + 2 * e * mlp) + 4 * (words + 2) * e);
        /* Per token and layer: q, k, v, attention, two branches, two sums, two norms; the MLP
         * before and after its GELU. */
        *numbers += tokens * (layers * (10 * e + 2 * mlp) + 3 * e);
    }
}

void facts_fill(const model *m, assay_model_facts *out)
{
    const settings *s = &m->settings;
    double tokens = usual_tokens(m), width = (double)s->width, layers = (double)s->layers;
    double kv = width * (double)s->kv_heads / (double)s->heads, mlp = (double)s->mlp;
    double layer = 2 * width * width + 2 * width * kv + 3 * width * mlp;
    /* A product is two operations; scores and their use are 2 T D each per token. */
    double flops = tokens * layers * (2 * layer + 4 * tokens * width);
    /* Per token and layer: two norms, q, k, v, attention, two sums of D; gate and up. */
    double numbers = tokens * (layers * (6 * width + 2 * kv + 2 * mlp) + 4 * width);
    add_events(m, &flops, &numbers);
    *out = (assay_model_facts){
        .size = sizeof *out,
        .width = s->width,
        .layers = s->layers,
        .heads = s->heads,
        .tokens = s->tokens,
        .flops = flops,
        .activation_bytes = 4 * numbers,
        .output_count = m->output_count,
        .part_count = m->part_count,
        .outputs = (const char *const *)m->outputs,
        .parts = m->parts,
        .prefix = prefix_obstacle(m) ? NULL : "user",
        .no_prefix = prefix_obstacle(m),
        .embedding = m->w2   ? m->w2->shape[0]
                     : m->w0 ? m->w0->shape[0]
                             : s->width,
        .source_count = m->source_count,
        .sources = m->source_names,
    };
}
