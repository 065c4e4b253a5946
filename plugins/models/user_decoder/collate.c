/* collate.c - raw samples to towers: texts to ids, events to rows of the table that network.c
 * joins, lengths, spans, and what is read. Runs on the loader's thread: reads the model, writes the
 * batch. */
#include "user_decoder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The ids of one field of all samples. */
typedef struct texts {
    int32_t *ids;    /* (B, most) */
    int32_t *counts; /* (B); -1: the sample has no such field */
    int64_t most, cut;
} texts;

/* Everything that is known of the user's tower before it is laid out. */
typedef struct plan {
    const model *model;
    const assay_collation *in;
    content *content;
    texts question, answer;
    int32_t *rows[MODEL_SOURCES];  /* of each event, sample after sample: its text's number */
    int64_t *first[MODEL_SOURCES]; /* (B + 1) where a sample's events begin in it */
    int64_t tokens;                /* T */
    int32_t *row_of_word;          /* (ids) place in `words` + 1; 0: not in this batch */
    int64_t word_count;
    bool with_answers, with_sources;
    int first_piece, end_piece; /* of the layout, that the batch's part has */
    /* Where the parts of the joined table begin. */
    int64_t base_texts[MODEL_SOURCES], base_features, base_summary, base_front, base_readout,
        base_history;
} plan;

static void *take(const assay_collation *in, int64_t count, int64_t size, assay_error *error)
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

static assay_tensor *integers(const assay_collation *in, int rank, const int64_t *shape,
                              int32_t value, assay_error *error)
{
    assay_tensor *t = assay_tensor_in(in->arena, ASSAY_I32, rank, shape, error);
    for (int64_t i = 0; t && i < assay_tensor_count(t); i++)
        assay_i32(t)[i] = value;
    return t;
}

static assay_tensor *zeros(const assay_collation *in, const int64_t grid[2], assay_error *error)
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
    uint8_t *joined = take(in, *bytes + 1, 1, error);
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
    out->ids = take(in, in->count * most, (int64_t)sizeof *out->ids, error);
    out->counts = take(in, in->count, (int64_t)sizeof *out->counts, error);
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

/* ---- measuring ---- */

static int64_t summaries_of(const model *m)
{
    int64_t sources = m->source_count + (m->features >= 0);
    return m->settings.user_summary + (m->settings.source_summary ? sources : 0);
}

static int64_t events_of(const plan *p, int s, int64_t b)
{
    return p->first[s][b + 1] - p->first[s][b];
}

static bool is_fixed(const model *m)
{
    return m->settings.slots == SLOTS_FIXED;
}

static int64_t feature_tokens(const model *m)
{
    return m->features >= 0 ? m->settings.feature_tokens : 0;
}

/* Tokens of a piece in sample b's row. */
static int64_t measure_piece(const plan *p, const piece *of, int64_t b)
{
    const model *m = p->model;
    switch (of->kind) {
    case PIECE_FRONT:
        return m->extra.front;
    case PIECE_SUMMARIES:
        return summaries_of(m);
    case PIECE_EVENTS:
        return is_fixed(m) ? m->sources[of->value].slots : events_of(p, of->value, b);
    case PIECE_FEATURES:
        return feature_tokens(m);
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

static bool measure_all(plan *p, assay_error *error)
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

static bool find_events(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    for (int s = 0; s < p->model->source_count; s++) {
        const source *from = &p->model->sources[s];
        int64_t *first = take(in, in->count + 1, (int64_t)sizeof *first, error);
        if (!first)
            return false;
        for (int64_t b = 0; b < in->count && in->part != ASSAY_QUESTION; b++) {
            events_shown shown = source_events(from, &in->samples[b]);
            first[b + 1] = first[b] + shown.count;
            p->content->cut.events += shown.first;
        }
        p->first[s] = first;
        p->content->padded[s] = is_fixed(p->model) && in->part != ASSAY_QUESTION &&
                                first[in->count] < in->count * from->slots;
        p->rows[s] = take(in, first[in->count], (int64_t)sizeof *p->rows[s], error);
        if (in->part == ASSAY_QUESTION)
            continue;
        if (!p->rows[s] ||
            !distinct_make(p->model, s, in, &p->content->texts[s], p->rows[s], error))
            return false;
    }
    return true;
}

/* ---- ids of the batch ---- */

/* Of the decoder's table; ids beyond are markers in a table of their own, which is all there. */
static int64_t rows_of_table(const plan *p)
{
    return lexicon_size(p->model->words) - p->model->marker_count;
}

static void note_word(plan *p, int32_t id, int32_t *list)
{
    if (id < rows_of_table(p) && p->row_of_word[id] == 0) {
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
static bool find_words(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    int64_t ids = lexicon_size(p->model->words);
    int32_t *list = take(in, ids, (int64_t)sizeof *list, error);
    p->row_of_word = take(in, ids, (int64_t)sizeof *p->row_of_word, error);
    if (!list || !p->row_of_word)
        return false;
    note_layout(p, list);
    note_texts(p, &p->question, list);
    if (p->with_answers)
        note_texts(p, &p->answer, list);
    p->content->words = integers(in, 1, &p->word_count, 0, error);
    if (!p->content->words)
        return false;
    memcpy(p->content->words->data, list, (size_t)p->word_count * sizeof *list);
    return true;
}

/* The order of network.c's table. */
static void place_parts(plan *p)
{
    const model *m = p->model;
    bool copied = m->settings.features == FEATURES_COPIED && feature_tokens(m) > 0;
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
    at += (copied ? 1 : feature_tokens(m)) * p->in->count;
    p->base_summary = at;
    at += summaries_of(m) * p->in->count;
    p->base_front = at;
    p->base_readout = at + m->extra.front;
    p->base_history = p->base_readout + m->extra.readout;
}

/* ---- laying out ---- */

/* Where the next token of a sample goes; `hidden` and `averaged` are NULL where nothing is. */
typedef struct pen {
    int32_t *index, *age, *rank, *averaged, *source;
    float *hidden;
    int64_t at, row, averaged_count, read;
} pen;

static void put(pen *to, int64_t row)
{
    if (to->averaged)
        to->averaged[to->averaged_count++] = (int32_t)(to->row + to->at);
    to->index[to->at++] = (int32_t)row;
}

/* A slot that nobody sees: not of the mean either. */
static void put_hidden(pen *to, int64_t row)
{
    to->hidden[to->at] = -INFINITY;
    to->index[to->at++] = (int32_t)row;
}

static void put_word(const plan *p, pen *to, int32_t id)
{
    int64_t beyond = id - rows_of_table(p);
    put(to, beyond < 0 ? p->row_of_word[id] - 1 : p->word_count + beyond);
}

/* Quarters of a factor of 2 of 1 + age, as a row of the source's part of the table. */
static int32_t age_row(const source *from, int s, const assay_field_value *times, int64_t e)
{
    double time = from->time_type == ASSAY_F32 ? (double)((const float *)times->data)[e]
                                               : (double)((const int32_t *)times->data)[e];
    double bucket = floor(4 * log2(1 + fabs(time)));
    int64_t kept = bucket < MODEL_AGE_BUCKETS - 1 ? (int64_t)bucket : MODEL_AGE_BUCKETS - 1;
    return (int32_t)(1 + s * MODEL_AGE_BUCKETS + kept);
}

static void put_events(const plan *p, pen *to, int s, int64_t b)
{
    const assay_sample *sample = &p->in->samples[b];
    const source *from = &p->model->sources[s];
    const assay_field_value *times = from->times < 0 ? NULL : &sample->values[from->times];
    events_shown shown = source_events(from, sample);
    int64_t padding = p->base_texts[s] + p->content->texts[s].rows;
    for (int64_t e = 0; e < shown.count; e++) {
        int64_t rank = shown.count - e; /* 1: the newest */
        if (times && times->present && shown.first + e < times->shape[0])
            to->age[to->at] = age_row(from, s, times, shown.first + e);
        to->rank[to->at] = (int32_t)(rank < MODEL_RANKS ? rank : MODEL_RANKS);
        if (to->source)
            to->source[to->at] = s;
        put(to, p->base_texts[s] + p->rows[s][p->first[s][b] + e]);
    }
    for (int64_t e = shown.count; is_fixed(p->model) && e < from->slots; e++) {
        if (to->hidden)
            put_hidden(to, padding);
        else
            put(to, padding);
    }
}

static void put_features(const plan *p, pen *to, int64_t b)
{
    const model *m = p->model;
    bool copied = m->settings.features == FEATURES_COPIED;
    for (int64_t k = 0; k < feature_tokens(m); k++)
        put(to, p->base_features + (copied ? b : b * feature_tokens(m) + k));
}

static void put_question(const plan *p, pen *to, int64_t b)
{
    const texts *q = &p->question;
    if (q->counts[b] >= 0 && p->model->layout.question_mark >= 0)
        put_word(p, to, p->model->layout.question_mark);
    for (int32_t k = 0; k < q->counts[b]; k++)
        put_word(p, to, q->ids[b * q->most + k]);
}

/* Other people's tokens before what is read: the last word, which is taken up and put down again,
 * or the marker, which comes later. */
static void put_extra(const plan *p, pen *to)
{
    const settings *s = &p->model->settings;
    bool last = s->readout == READ_LAST && to->at > 0 && p->model->extra.readout > 0;
    int32_t index = 0, age = 0, rank = 0;
    if (last) {
        to->at--;
        index = to->index[to->at], age = to->age[to->at], rank = to->rank[to->at];
        to->age[to->at] = to->rank[to->at] = 0;
    }
    for (int64_t k = 0; k < p->model->extra.readout; k++)
        put(to, p->base_readout + k);
    if (last) {
        to->age[to->at] = age;
        to->rank[to->at] = rank;
        put(to, index);
    }
}

static void put_piece(const plan *p, pen *to, const piece *of, int64_t b, int32_t *span)
{
    switch (of->kind) {
    case PIECE_FRONT:
        for (int64_t k = 0; k < p->model->extra.front; k++)
            put(to, p->base_front + k);
        break;
    case PIECE_BEGIN:
        span[0] = (int32_t)to->at;
        break;
    case PIECE_SUMMARIES:
        for (int64_t k = 0; k < summaries_of(p->model); k++)
            put(to, p->base_summary + k * p->in->count + b);
        break;
    case PIECE_EVENTS:
        put_events(p, to, of->value, b);
        break;
    case PIECE_FEATURES:
        put_features(p, to, b);
        break;
    case PIECE_END:
        span[1] = (int32_t)to->at;
        break;
    case PIECE_BESIDE:
        for (int64_t k = 0; k < p->model->extra.history; k++)
            put(to, p->base_history + k);
        break;
    case PIECE_QUESTION:
        put_question(p, to, b);
        break;
    case PIECE_EXTRA:
        put_extra(p, to);
        break;
    case PIECE_READ:
    case PIECE_ID:
        put_word(p, to, of->value);
        break;
    }
}

/* What stands between the user and the answer, the answer, and what each position from the one
 * before its first word on predicts: the words, then the end. All of it is closed to what stands
 * before it. */
static void put_answer(const plan *p, pen *to, int64_t b, int32_t *targets, float *closed)
{
    const layout *l = &p->model->layout;
    const int32_t *ids = p->answer.ids + b * p->answer.most;
    int64_t begin = to->at;
    for (int64_t k = 0; k < l->tail.count; k++)
        put_word(p, to, l->tail.items[k]);
    for (int32_t k = 0; k < p->answer.counts[b]; k++) {
        targets[to->at - 1] = ids[k];
        put_word(p, to, ids[k]);
    }
    targets[to->at - 1] = l->answer_ends[0];
    for (int64_t t = begin; t < to->at; t++)
        closed[t] = -INFINITY;
}

static bool any_padding(const plan *p)
{
    for (int s = 0; s < p->model->source_count; s++)
        if (p->content->padded[s])
            return true;
    return false;
}

static bool make_user_tensors(plan *p, assay_tower *tower, assay_error *error)
{
    const assay_collation *in = p->in;
    content *c = p->content;
    const int64_t rows = in->count, grid[2] = {rows, p->tokens}, flat = rows * p->tokens;
    bool mean = p->model->settings.readout == READ_MEAN;
    bool hides = any_padding(p) && p->model->settings.slot_padding == PADDING_MASKED;
    c->index = integers(in, 1, &flat, 0, error);
    c->age = integers(in, 2, grid, 0, error);
    c->rank = integers(in, 2, grid, 0, error);
    c->lengths = integers(in, 1, &rows, 0, error);
    tower->lengths = integers(in, 1, &rows, 0, error);
    tower->span = integers(in, 2, (int64_t[]){rows, 2}, 0, error);
    tower->readout = integers(in, 1, &rows, -1, error);
    c->read = mean ? NULL : integers(in, 1, &rows, 0, error);
    if (hides)
        c->hidden = zeros(in, grid, error);
    if (hides && mean) {
        c->averaged = integers(in, 1, &flat, 0, error);
        c->averaged_counts = integers(in, 1, &rows, 0, error);
    }
    if (p->with_sources)
        c->sources = integers(in, 2, grid, -1, error);
    if (p->with_answers) {
        c->targets = integers(in, 2, grid, ASSAY_IGNORE, error);
        c->closed = zeros(in, grid, error);
    }
    return c->index && c->age && c->rank && c->lengths && tower->lengths && tower->span &&
           tower->readout && (c->read || mean) && (c->hidden || !hides) &&
           ((c->averaged && c->averaged_counts) || !hides || !mean) &&
           (c->sources || !p->with_sources) && (!p->with_answers || (c->targets && c->closed));
}

static void lay_out_row(plan *p, assay_tower *tower, int64_t b)
{
    content *c = p->content;
    int64_t row = b * p->tokens;
    pen to = {.index = assay_i32(c->index) + row,
              .age = assay_i32(c->age) + row,
              .rank = assay_i32(c->rank) + row,
              .averaged = c->averaged ? assay_i32(c->averaged) + row : NULL,
              .source = c->sources ? assay_i32(c->sources) + row : NULL,
              .hidden = c->hidden ? assay_f32(c->hidden) + row : NULL,
              .row = row};
    for (int i = p->first_piece; i < p->end_piece; i++)
        put_piece(p, &to, &p->model->layout.pieces[i], b, assay_i32(tower->span) + 2 * b);
    assay_i32(tower->lengths)[b] = (int32_t)to.at;
    if (c->averaged)
        assay_i32(c->averaged_counts)[b] = (int32_t)to.averaged_count;
    to.averaged = NULL;
    if (c->read) {
        assay_i32(c->read)[b] = (int32_t)(row + to.at - 1);
        assay_i32(tower->readout)[b] = (int32_t)(to.at - 1);
    }
    if (p->with_answers && p->answer.counts[b] >= 0)
        put_answer(p, &to, b, assay_i32(c->targets) + row, assay_f32(c->closed) + row);
    assay_i32(c->lengths)[b] = (int32_t)to.at;
    while (to.at < p->tokens)
        put_word(p, &to, p->model->layout.pad);
}

/* ---- features and summaries ---- */

static bool copy_features(plan *p, assay_error *error)
{
    const model *m = p->model;
    if (m->features < 0 || p->in->part == ASSAY_QUESTION)
        return true;
    p->content->features = zeros(p->in, (int64_t[]){p->in->count, m->feature_count}, error);
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
    for (int s = 0; summaries_of(p->model) > 0 && s < p->model->source_count; s++) {
        int64_t widest = 1, count = 0;
        for (int64_t b = 0; b < in->count; b++)
            widest = events_of(p, s, b) > widest ? events_of(p, s, b) : widest;
        count = in->count * widest;
        assay_tensor *slots = integers(in, 1, &count, 0, error);
        assay_tensor *counts = integers(in, 1, &in->count, 0, error);
        if (!slots || !counts)
            return false;
        for (int64_t b = 0; b < in->count; b++) {
            assay_i32(counts)[b] = (int32_t)events_of(p, s, b);
            for (int64_t e = 0; e < events_of(p, s, b); e++)
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
    if (!find_events(p, error) || !measure_all(p, error) || !find_words(p, error) ||
        !copy_features(p, error) || !list_slots(p, error))
        return false;
    place_parts(p);
    *tower = (assay_tower){.name = "user", .rows = p->in->count, .tokens = p->tokens};
    if (!make_user_tensors(p, tower, error))
        return false;
    for (int64_t b = 0; b < p->in->count; b++)
        lay_out_row(p, tower, b);
    return true;
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
    c->ids = integers(in, 2, (int64_t[]){in->count, tokens}, p->model->layout.pad, error);
    c->lengths = integers(in, 1, &in->count, 0, error);
    tower->lengths = c->lengths;
    tower->readout = integers(in, 1, &in->count, -1, error);
    c->read = mean ? NULL : integers(in, 1, &in->count, 0, error);
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
    content *contents = take(in, ASSAY_MAX_TOWERS, (int64_t)sizeof *contents, error);
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
