/* lay_out.c - the user's tower, token by token: rows of network.c's table, ages, ranks, spans and
 * what is read (collate.h). */
#include "collate.h"

#include <math.h>

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
    int64_t beyond = id - plan_rows(p);
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
    for (int64_t e = shown.count; plan_is_fixed(p->model) && e < from->slots; e++) {
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
    for (int64_t k = 0; k < plan_features(m); k++)
        put(to, p->base_features + (copied ? b : b * plan_features(m) + k));
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
        for (int64_t k = 0; k < plan_summaries(p->model); k++)
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
    c->index = plan_integers(in, 1, &flat, 0, error);
    c->age = plan_integers(in, 2, grid, 0, error);
    c->rank = plan_integers(in, 2, grid, 0, error);
    c->lengths = plan_integers(in, 1, &rows, 0, error);
    tower->lengths = plan_integers(in, 1, &rows, 0, error);
    tower->span = plan_integers(in, 2, (int64_t[]){rows, 2}, 0, error);
    tower->readout = plan_integers(in, 1, &rows, -1, error);
    c->read = mean ? NULL : plan_integers(in, 1, &rows, 0, error);
    if (hides)
        c->hidden = plan_zeros(in, grid, error);
    if (hides && mean) {
        c->averaged = plan_integers(in, 1, &flat, 0, error);
        c->averaged_counts = plan_integers(in, 1, &rows, 0, error);
    }
    if (p->with_sources)
        c->sources = plan_integers(in, 2, grid, -1, error);
    if (p->with_answers) {
        c->targets = plan_integers(in, 2, grid, ASSAY_IGNORE, error);
        c->closed = plan_zeros(in, grid, error);
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

bool plan_lay_out(plan *p, assay_tower *tower, assay_error *error)
{
    *tower = (assay_tower){.name = "user", .rows = p->in->count, .tokens = p->tokens};
    if (!make_user_tensors(p, tower, error))
        return false;
    for (int64_t b = 0; b < p->in->count; b++)
        lay_out_row(p, tower, b);
    return true;
}
