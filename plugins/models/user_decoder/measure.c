/* measure.c - how long a batch's user tower is and what of the model it needs (collate.h). */
#include "collate.h"

#include <inttypes.h>
#include <string.h>

/* ---- lengths ---- */

/* Tokens of a piece in sample b's row. */
static int64_t measure_piece(const plan *p, const piece *of, int64_t b)
{
    const model *m = p->model;
    switch (of->kind) {
    case PIECE_FRONT:
        return m->extra.front;
    case PIECE_SUMMARIES:
        return plan_summaries(m);
    case PIECE_EVENTS:
        return plan_is_fixed(m) ? m->sources[of->value].slots : plan_events(p, of->value, b);
    case PIECE_FEATURES:
        return plan_features(m);
    case PIECE_QUESTION:
        return p->question.counts[b] < 0 ? 0
                                         : p->question.counts[b] + (m->layout.question_mark >= 0);
    case PIECE_BESIDE:
        return m->extra.history;
    case PIECE_EXTRA:
        return m->extra.readout;
    case PIECE_ID:
    case PIECE_READ:
        return 1;
    default:
        return 0;
    }
}

static int64_t measure(const plan *p, int64_t b)
{
    int64_t n = 0;
    for (int i = p->first_piece; i < p->end_piece; i++)
        n += measure_piece(p, &p->model->layout.pieces[i], b);
    return n;
}

/* Tokens that follow for sample b when next-word targets are wanted. */
static int64_t measure_answer(const plan *p, int64_t b)
{
    int64_t words = p->answer.counts[b];
    return p->with_answers && words >= 0 ? p->model->layout.tail.count + words : 0;
}

/* Shortens the answer, then the question, by what is over the limit. */
static void cut_to_fit(plan *p, int64_t b, int64_t over)
{
    int32_t *counts[] = {&p->answer.counts[b], &p->question.counts[b]};
    int64_t *cut[] = {&p->content->cut.answers, &p->content->cut.questions};
    int64_t keep[] = {0, p->model->layout.lead_ids};
    for (int i = p->with_answers ? 0 : 1; i < 2 && over > 0; i++) {
        int64_t less = *counts[i] - keep[i];
        if (less <= 0)
            continue;
        less = less < over ? less : over;
        *counts[i] -= (int32_t)less;
        over -= less;
        ++*cut[i];
    }
}

bool plan_measure(plan *p, assay_error *error)
{
    int64_t most = p->model->settings.tokens;
    p->tokens = 1;
    for (int64_t b = 0; b < p->in->count; b++) {
        int64_t all = measure(p, b) + measure_answer(p, b);
        cut_to_fit(p, b, all - most);
        int64_t own = measure(p, b);
        all = own + measure_answer(p, b);
        if (all > most)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                .what = assay_text("sample %" PRId64 " is too long", p->in->samples[b].index),
                .expected = assay_text("at most %" PRId64 " tokens", most),
                .got = assay_text("%" PRId64, all),
                .hint = "raise the model's option 'tokens', or lower the slots of "
                        "the dataset's sources");
        if (own == 0 && p->in->part != ASSAY_HISTORY)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                              .what = assay_text("sample %" PRId64 " has no tokens at all",
                                                 p->in->samples[b].index),
                              .hint = "readout = \"user_token\" reads a client without events too");
        p->tokens = all > p->tokens ? all : p->tokens;
    }
    return true;
}

bool plan_find_events(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    for (int s = 0; s < p->model->source_count; s++) {
        const source *from = &p->model->sources[s];
        int64_t *first = plan_take(in, in->count + 1, (int64_t)sizeof *first, error);
        if (!first)
            return false;
        for (int64_t b = 0; b < in->count && in->part != ASSAY_QUESTION; b++) {
            events_shown shown = source_events(from, &in->samples[b]);
            first[b + 1] = first[b] + shown.count;
            p->content->cut.events += shown.first;
        }
        p->first[s] = first;
        p->content->padded[s] = plan_is_fixed(p->model) && in->part != ASSAY_QUESTION &&
                                first[in->count] < in->count * from->slots;
        p->rows[s] = plan_take(in, first[in->count], (int64_t)sizeof *p->rows[s], error);
        if (in->part == ASSAY_QUESTION)
            continue;
        if (!p->rows[s] ||
            !distinct_make(p->model, s, in, &p->content->texts[s], p->rows[s], error))
            return false;
    }
    return true;
}

/* ---- ids of the batch ---- */

static void note_word(plan *p, int32_t id, int32_t *list)
{
    if (id < plan_rows(p) && p->row_of_word[id] == 0) {
        list[p->word_count] = id;
        p->row_of_word[id] = (int32_t)++p->word_count;
    }
}

static void note_texts(plan *p, const texts *t, int32_t *list)
{
    for (int64_t b = 0; b < p->in->count; b++)
        for (int32_t k = 0; k < t->counts[b]; k++)
            note_word(p, t->ids[b * t->most + k], list);
}

static void note_layout(plan *p, int32_t *list)
{
    const layout *l = &p->model->layout;
    note_word(p, l->pad, list);
    for (int i = p->first_piece; i < p->end_piece; i++)
        if (l->pieces[i].kind == PIECE_ID || l->pieces[i].kind == PIECE_READ)
            note_word(p, l->pieces[i].value, list);
    if (l->question_mark >= 0 && p->in->part != ASSAY_HISTORY)
        note_word(p, l->question_mark, list);
    for (int64_t i = 0; p->with_answers && i < l->tail.count; i++)
        note_word(p, l->tail.items[i], list);
}

/* The batch's different ids; the padding's is among them always. */
bool plan_find_words(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    int64_t ids = lexicon_size(p->model->words);
    int32_t *list = plan_take(in, ids, (int64_t)sizeof *list, error);
    p->row_of_word = plan_take(in, ids, (int64_t)sizeof *p->row_of_word, error);
    if (!list || !p->row_of_word)
        return false;
    note_layout(p, list);
    note_texts(p, &p->question, list);
    if (p->with_answers)
        note_texts(p, &p->answer, list);
    p->content->words = plan_integers(in, 1, &p->word_count, 0, error);
    if (!p->content->words)
        return false;
    memcpy(p->content->words->data, list, (size_t)p->word_count * sizeof *list);
    return true;
}

/* The order of network.c's table. */
void plan_place(plan *p)
{
    const model *m = p->model;
    bool copied = m->settings.features == FEATURES_COPIED && plan_features(m) > 0;
    int64_t at = p->word_count + m->marker_count;
    for (int s = 0; s < m->source_count; s++) {
        p->base_texts[s] = at;
        at += p->content->texts[s].rows + p->content->padded[s];
    }
    if (p->in->part == ASSAY_QUESTION) {
        p->base_readout = at;
        p->base_history = at + m->extra.readout;
        return;
    }
    p->base_features = at;
    at += (copied ? 1 : plan_features(m)) * p->in->count;
    p->base_summary = at;
    at += plan_summaries(m) * p->in->count;
    p->base_front = at;
    p->base_readout = at + m->extra.front;
    p->base_history = p->base_readout + m->extra.readout;
}
