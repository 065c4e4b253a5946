/* collate.c - raw samples to towers: texts to ids, events to rows of the table that network.c
 * joins, lengths, spans, and what is read. Runs on the loader's thread: reads the model, writes the
 * batch. */
#include "collate.h"

#include <inttypes.h>
#include <string.h>

void *plan_take(const assay_collation *in, int64_t count, int64_t size, assay_error *error)
{
    int64_t bytes = 0;
    if (!assay_size_mul(&bytes, count, size)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = MODEL_WHERE, .what = "a batch is too large");
        return NULL;
    }
    void *block = assay_arena_alloc(in->arena, bytes, error);
    if (block)
        memset(block, 0, (size_t)bytes);
    return block;
}

assay_tensor *plan_integers(const assay_collation *in, int rank, const int64_t *shape,
                            int32_t value, assay_error *error)
{
    assay_tensor *t = assay_tensor_in(in->arena, ASSAY_I32, rank, shape, error);
    for (int64_t i = 0; t && i < assay_tensor_count(t); i++)
        assay_i32(t)[i] = value;
    return t;
}

assay_tensor *plan_zeros(const assay_collation *in, const int64_t grid[2], assay_error *error)
{
    assay_tensor *t = assay_tensor_in(in->arena, ASSAY_F32, 2, grid, error);
    if (t)
        memset(t->data, 0, (size_t)assay_tensor_bytes(t));
    return t;
}

/* ---- texts ---- */

/* `lead` joined with the text, for texts that are read together. */
static const uint8_t *after_lead(const assay_collation *in, const char *lead,
                                 const assay_field_value *value, int64_t *bytes, assay_error *error)
{
    int64_t length = (int64_t)strlen(lead), own = value && value->present ? value->shape[0] : 0;
    *bytes = length + own;
    if (length == 0)
        return own > 0 ? value->data : (const uint8_t *)"";
    uint8_t *joined = plan_take(in, *bytes + 1, 1, error);
    if (joined) {
        memcpy(joined, lead, (size_t)length);
        if (own > 0)
            memcpy(joined + length, value->data, (size_t)own);
    }
    return joined;
}

static bool read_texts(const model *m, const assay_collation *in, int field, const char *lead,
                       bool always, int64_t most, texts *out, assay_error *error)
{
    out->most = most;
    out->ids = plan_take(in, in->count * most, (int64_t)sizeof *out->ids, error);
    out->counts = plan_take(in, in->count, (int64_t)sizeof *out->counts, error);
    if (!out->ids || !out->counts)
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = field < 0 ? NULL : &in->samples[b].values[field];
        int64_t bytes = 0, all = 0, n = -1;
        if ((value && value->present) || always) {
            const uint8_t *text = after_lead(in, lead, value, &bytes, error);
            n = text ? lexicon_read(m->words, text, bytes, most, out->ids + b * most, &all, error)
                     : -1;
            if (n < 0)
                return false;
            out->cut += all > most;
        }
        out->counts[b] = (int32_t)n;
    }
    return true;
}

/* ---- features and summaries ---- */

static bool copy_features(plan *p, assay_error *error)
{
    const model *m = p->model;
    if (m->features < 0 || p->in->part == ASSAY_QUESTION)
        return true;
    p->content->features = plan_zeros(p->in, (int64_t[]){p->in->count, m->feature_count}, error);
    if (!p->content->features)
        return false;
    float *out = assay_f32(p->content->features);
    for (int64_t b = 0; b < p->in->count; b++) {
        const assay_field_value *value = &p->in->samples[b].values[m->features];
        if (value->present)
            memcpy(out + b * m->feature_count, value->data, (size_t)m->feature_count * sizeof *out);
    }
    return true;
}

/* Each sample's events as rows of the source's texts, for the means of summary tokens. */
static bool list_slots(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    if (in->part == ASSAY_QUESTION)
        return true;
    for (int s = 0; plan_summaries(p->model) > 0 && s < p->model->source_count; s++) {
        int64_t widest = 1, count = 0;
        for (int64_t b = 0; b < in->count; b++)
            widest = plan_events(p, s, b) > widest ? plan_events(p, s, b) : widest;
        count = in->count * widest;
        assay_tensor *slots = plan_integers(in, 1, &count, 0, error);
        assay_tensor *counts = plan_integers(in, 1, &in->count, 0, error);
        if (!slots || !counts)
            return false;
        for (int64_t b = 0; b < in->count; b++) {
            assay_i32(counts)[b] = (int32_t)plan_events(p, s, b);
            for (int64_t e = 0; e < plan_events(p, s, b); e++)
                assay_i32(slots)[b * widest + e] = p->rows[s][p->first[s][b] + e];
        }
        p->content->slots[s] = slots;
        p->content->counts[s] = counts;
    }
    return true;
}

/* ---- the towers ---- */

static bool make_user(plan *p, assay_tower *tower, assay_error *error)
{
    const model *m = p->model;
    bool asks = p->in->part != ASSAY_HISTORY;
    prefix_pieces(m, p->in->part, &p->first_piece, &p->end_piece);
    p->content->part = p->in->part;
    if (!read_texts(m, p->in, asks ? m->question : -1, m->layout.lead,
                    asks && m->layout.lead_always, m->layout.lead_ids + m->settings.question_words,
                    &p->question, error))
        return false;
    p->content->cut.questions = p->question.cut;
    p->content->cut.answers = p->answer.cut;
    if (!plan_find_events(p, error) || !plan_measure(p, error) || !plan_find_words(p, error) ||
        !copy_features(p, error) || !list_slots(p, error))
        return false;
    plan_place(p);
    return plan_lay_out(p, tower, error);
}

/* Words of the longest answer, the end included; 0 with the error set when one is missing. */
static int64_t measure_answers(const plan *p, bool ends, assay_error *error)
{
    int64_t tokens = 1;
    for (int64_t b = 0; b < p->in->count; b++) {
        int64_t own = p->answer.counts[b] + ends;
        if (p->answer.counts[b] < 0) {
            ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                       .what =
                           assay_text("sample %" PRId64 " has no answer", p->in->samples[b].index),
                       .expected = "pairs of a question and an answer",
                       .hint = "a contrastive loss needs training samples with answers: see "
                               "the dataset's option 'pairs'");
            return 0;
        }
        tokens = own > tokens ? own : tokens;
    }
    return tokens;
}

static bool reads_mean(const settings *s)
{
    return s->answer_readout == ANSWER_MEAN ||
           (s->answer_readout == ANSWER_AUTO && s->readout == READ_MEAN);
}

/* An answer without a word keeps its end, asked for or not. */
static bool make_answer(const plan *p, content *c, assay_tower *tower, assay_error *error)
{
    const assay_collation *in = p->in;
    bool mean = reads_mean(&p->model->settings), ends = p->model->settings.answer_end;
    int64_t tokens = measure_answers(p, ends, error);
    if (tokens == 0)
        return false;
    *c = (content){.of_answer = true};
    *tower = (assay_tower){.name = "answer", .rows = in->count, .tokens = tokens};
    c->ids = plan_integers(in, 2, (int64_t[]){in->count, tokens}, p->model->layout.pad, error);
    c->lengths = plan_integers(in, 1, &in->count, 0, error);
    tower->lengths = c->lengths;
    tower->readout = plan_integers(in, 1, &in->count, -1, error);
    c->read = mean ? NULL : plan_integers(in, 1, &in->count, 0, error);
    if (!c->ids || !c->lengths || !tower->readout || (!mean && !c->read))
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        int32_t n = p->answer.counts[b], *ids = assay_i32(c->ids) + b * tokens;
        memcpy(ids, p->answer.ids + b * p->answer.most, (size_t)n * sizeof *ids);
        if (ends || n == 0)
            ids[n++] = p->model->layout.answer_ends[1];
        assay_i32(c->lengths)[b] = n;
        if (c->read) {
            assay_i32(c->read)[b] = (int32_t)(b * tokens + n - 1);
            assay_i32(tower->readout)[b] = n - 1;
        }
    }
    return true;
}

static int64_t valid_tokens(const content *c)
{
    int64_t sum = 0;
    for (int64_t b = 0; b < assay_tensor_count(c->lengths); b++)
        sum += assay_i32(c->lengths)[b];
    return sum;
}

bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error)
{
    const model *m = opened;
    content *contents = plan_take(in, ASSAY_MAX_TOWERS, (int64_t)sizeof *contents, error);
    plan p = {.model = m,
              .in = in,
              .with_answers = in->part == ASSAY_WHOLE && assay_wants(in->wanted, "user.targets")};
    int n = 0;
    p.with_sources = assay_wants(in->wanted, "user.sources");
    if (!contents || !read_texts(m, in, in->part == ASSAY_WHOLE ? m->answer : -1, "", false,
                                 m->settings.answer_words, &p.answer, error))
        return false;
    /* The answer's tower first: the user's may shorten the answers that follow it. */
    bool user = in->part != ASSAY_WHOLE || assay_wants_tower(in->wanted, "user");
    if (in->part == ASSAY_WHOLE && assay_wants_tower(in->wanted, "answer")) {
        if (!make_answer(&p, &contents[user], &out->towers[user], error))
            return false;
        n++;
    }
    if (user) {
        p.content = &contents[0];
        if (!make_user(&p, &out->towers[0], error))
            return false;
        n++;
    }
    out->tower_count = n;
    out->content = contents;
    out->tokens = 0;
    for (int k = 0; k < n; k++)
        out->tokens += valid_tokens(&contents[k]);
    return true;
}
