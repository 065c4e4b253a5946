/* collate.c - raw samples to towers: words to ids, events to rows of the table that network.c
 * joins, lengths, spans, and what is read. Runs on the loader's thread: reads the model, writes the
 * batch. */
#include "user_decoder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The words of one field of all samples. */
typedef struct texts {
    int32_t *ids;    /* (B, most) */
    int32_t *counts; /* (B); -1: the sample has no such field */
    int64_t most;
} texts;

/* Everything that is known of the user's tower before it is laid out. */
typedef struct plan {
    const model *model;
    const assay_collation *in;
    content *content;
    texts question, answer;
    int32_t *rows[MODEL_SOURCES];  /* of each event, sample after sample: its text's number */
    int64_t *first[MODEL_SOURCES]; /* (B + 1) where a sample's events begin in it */
    int32_t *lengths;              /* (B) tokens without answer words */
    int64_t tokens;                /* T */
    int32_t *row_of_word;          /* (vocabulary) place in `words` + 1; 0: not in this batch */
    int64_t word_count;
    /* Where the parts of the joined table begin. */
    int64_t base_texts[MODEL_SOURCES], base_features, base_summary, base_front, base_readout;
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

static bool read_texts(const model *m, const assay_collation *in, int field, int64_t most,
                       texts *out, assay_error *error)
{
    out->most = most;
    out->ids = take(in, in->count * most, (int64_t)sizeof *out->ids, error);
    out->counts = take(in, in->count, (int64_t)sizeof *out->counts, error);
    if (!out->ids || !out->counts)
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = field < 0 ? NULL : &in->samples[b].values[field];
        out->counts[b] = -1;
        if (value && value->present)
            out->counts[b] = (int32_t)vocabulary_read(m->words, value->data, value->shape[0], most,
                                                      out->ids + b * most);
    }
    return true;
}

/* ---- measuring ---- */

static int64_t summaries_of(const model *m)
{
    return m->settings.summary ? 1 + m->source_count + (m->features >= 0) : 0;
}

static int64_t events_of(const plan *p, int s, int64_t b)
{
    return p->first[s][b + 1] - p->first[s][b];
}

static int64_t feature_tokens(const model *m)
{
    return m->features >= 0 ? m->settings.feature_tokens : 0;
}

static int64_t measure(const plan *p, int64_t b)
{
    const model *m = p->model;
    int64_t n = m->extra.front + summaries_of(m) + feature_tokens(m) + m->extra.readout;
    for (int s = 0; s < m->source_count; s++)
        n += events_of(p, s, b);
    if (p->question.counts[b] >= 0)
        n += 1 + p->question.counts[b];
    return n + (m->settings.readout == READ_USER_TOKEN);
}

static bool measure_all(plan *p, bool with_answers, assay_error *error)
{
    p->lengths = take(p->in, p->in->count, (int64_t)sizeof *p->lengths, error);
    if (!p->lengths)
        return false;
    for (int64_t b = 0; b < p->in->count; b++) {
        int64_t n = measure(p, b), all = n;
        if (with_answers && p->answer.counts[b] > 0)
            all += p->answer.counts[b];
        if (all > p->model->settings.tokens)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                .what = assay_text("sample %" PRId64 " is too long", p->in->samples[b].index),
                .expected = assay_text("at most %" PRId64 " tokens", p->model->settings.tokens),
                .got = assay_text("%" PRId64, all),
                .hint = "raise the model's option 'tokens', or lower the slots of "
                        "the dataset's sources");
        if (n == 0)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                              .what = assay_text("sample %" PRId64 " has no tokens at all",
                                                 p->in->samples[b].index),
                              .hint = "readout = \"user_token\" reads a client without events too");
        p->lengths[b] = (int32_t)n;
        p->tokens = all > p->tokens ? all : p->tokens;
    }
    return true;
}

static bool find_events(plan *p, assay_error *error)
{
    const assay_collation *in = p->in;
    for (int s = 0; s < p->model->source_count; s++) {
        int field = p->model->sources[s].texts;
        int64_t *first = take(in, in->count + 1, (int64_t)sizeof *first, error);
        if (!first)
            return false;
        for (int64_t b = 0; b < in->count; b++) {
            const assay_field_value *value = &in->samples[b].values[field];
            first[b + 1] = first[b] + (value->present ? value->shape[0] : 0);
        }
        p->first[s] = first;
        p->rows[s] = take(in, first[in->count], (int64_t)sizeof *p->rows[s], error);
        if (!p->rows[s] || !distinct_make(p->model->words, p->model->settings.event_words, in,
                                          field, &p->content->texts[s], p->rows[s], error))
            return false;
    }
    return true;
}

/* ---- words of the batch ---- */

static void note_word(plan *p, int32_t id, int32_t *list)
{
    if (p->row_of_word[id] == 0) {
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

/* The batch's different words; the padding's vector, row 0, is among them always. */
static bool find_words(plan *p, bool with_answers, assay_error *error)
{
    const assay_collation *in = p->in;
    int64_t ids = vocabulary_size(p->model->words);
    int32_t *list = take(in, ids, (int64_t)sizeof *list, error);
    p->row_of_word = take(in, ids, (int64_t)sizeof *p->row_of_word, error);
    if (!list || !p->row_of_word)
        return false;
    note_word(p, WORD_PAD, list);
    note_word(p, WORD_USER, list);
    note_word(p, WORD_QUESTION, list);
    note_texts(p, &p->question, list);
    if (with_answers)
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
    int64_t at = p->word_count;
    for (int s = 0; s < m->source_count; s++) {
        p->base_texts[s] = at;
        at += p->content->texts[s].rows;
    }
    p->base_features = at;
    at += feature_tokens(m) * p->in->count;
    p->base_summary = at;
    at += summaries_of(m) * p->in->count;
    p->base_front = at;
    p->base_readout = at + m->extra.front;
}

/* ---- laying out ---- */

/* Where the next token of a sample goes. */
typedef struct pen {
    int32_t *index, *age, *rank;
    int64_t at;
} pen;

static void put(pen *to, int64_t row)
{
    to->index[to->at++] = (int32_t)row;
}

static void put_word(const plan *p, pen *to, int32_t id)
{
    put(to, p->row_of_word[id] - 1);
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

static void put_events(const plan *p, pen *to, int64_t b)
{
    const assay_sample *sample = &p->in->samples[b];
    for (int s = 0; s < p->model->source_count; s++) {
        const source *from = &p->model->sources[s];
        int64_t n = events_of(p, s, b);
        for (int64_t e = 0; e < n; e++) {
            int64_t rank = n - e; /* 1: the newest */
            const assay_field_value *times = from->times < 0 ? NULL : &sample->values[from->times];
            if (times && times->present && e < times->shape[0])
                to->age[to->at] = age_row(from, s, times, e);
            to->rank[to->at] = (int32_t)(rank < MODEL_RANKS ? rank : MODEL_RANKS);
            put(to, p->base_texts[s] + p->rows[s][p->first[s][b] + e]);
        }
    }
}

static void put_extra(const plan *p, pen *to)
{
    for (int64_t k = 0; k < p->model->extra.readout; k++)
        put(to, p->base_readout + k);
}

/* The user's tokens of sample b; `span` receives the history's first and end. */
static void put_user(const plan *p, pen *to, int64_t b, int32_t *span)
{
    const model *m = p->model;
    bool marked = m->settings.readout == READ_USER_TOKEN;
    for (int64_t k = 0; k < m->extra.front; k++)
        put(to, p->base_front + k);
    span[0] = (int32_t)m->extra.front;
    for (int64_t k = 0; k < summaries_of(m); k++)
        put(to, p->base_summary + k * p->in->count + b);
    put_events(p, to, b);
    for (int64_t k = 0; k < feature_tokens(m); k++)
        put(to, p->base_features + b * feature_tokens(m) + k);
    span[1] = (int32_t)(to->at);
    if (p->question.counts[b] >= 0)
        put_word(p, to, WORD_QUESTION);
    for (int32_t k = 0; k < p->question.counts[b]; k++)
        put_word(p, to, p->question.ids[b * p->question.most + k]);
    if (!marked && m->settings.readout == READ_LAST && to->at > 0) {
        int32_t last = to->index[--to->at], age = to->age[to->at], rank = to->rank[to->at];
        to->age[to->at] = to->rank[to->at] = 0;
        put_extra(p, to);
        to->age[to->at] = age;
        to->rank[to->at] = rank;
        put(to, last);
        return;
    }
    put_extra(p, to);
    if (marked)
        put_word(p, to, WORD_USER);
}

/* Answer words behind the user's tokens, and what each position from the last of those on predicts:
 * the words, then the end. */
static void put_answer(const plan *p, pen *to, int64_t b, int32_t *targets, float *closed)
{
    const int32_t *ids = p->answer.ids + b * p->answer.most;
    int64_t first = p->lengths[b];
    for (int32_t k = 0; k < p->answer.counts[b]; k++) {
        targets[first - 1 + k] = ids[k];
        closed[first + k] = -INFINITY;
        put_word(p, to, ids[k]);
    }
    targets[first - 1 + p->answer.counts[b]] = WORD_END;
}

static bool make_user_tensors(plan *p, assay_tower *tower, bool targets, assay_error *error)
{
    const assay_collation *in = p->in;
    content *c = p->content;
    const int64_t rows = in->count, grid[2] = {rows, p->tokens}, flat = rows * p->tokens;
    c->index = integers(in, 1, &flat, 0, error);
    c->age = integers(in, 2, grid, 0, error);
    c->rank = integers(in, 2, grid, 0, error);
    c->lengths = integers(in, 1, &rows, 0, error);
    tower->lengths = integers(in, 1, &rows, 0, error);
    tower->span = integers(in, 2, (int64_t[]){rows, 2}, 0, error);
    tower->readout = integers(in, 1, &rows, -1, error);
    if (p->model->settings.readout != READ_MEAN)
        c->read = integers(in, 1, &rows, 0, error);
    if (targets) {
        c->targets = integers(in, 2, grid, ASSAY_IGNORE, error);
        c->closed = assay_tensor_in(in->arena, ASSAY_F32, 2, grid, error);
        if (c->closed)
            memset(c->closed->data, 0, (size_t)assay_tensor_bytes(c->closed));
    }
    return c->index && c->age && c->rank && c->lengths && tower->lengths && tower->span &&
           tower->readout && (c->read || p->model->settings.readout == READ_MEAN) &&
           (!targets || (c->targets && c->closed));
}

static void lay_out(plan *p, assay_tower *tower)
{
    content *c = p->content;
    for (int64_t b = 0; b < p->in->count; b++) {
        int64_t row = b * p->tokens;
        pen to = {assay_i32(c->index) + row, assay_i32(c->age) + row, assay_i32(c->rank) + row, 0};
        put_user(p, &to, b, assay_i32(tower->span) + 2 * b);
        assay_i32(tower->lengths)[b] = (int32_t)to.at;
        if (c->read) {
            assay_i32(c->read)[b] = (int32_t)(row + to.at - 1);
            assay_i32(tower->readout)[b] = (int32_t)(to.at - 1);
        }
        if (c->targets && p->answer.counts[b] >= 0)
            put_answer(p, &to, b, assay_i32(c->targets) + row, assay_f32(c->closed) + row);
        assay_i32(c->lengths)[b] = (int32_t)to.at;
        for (; to.at < p->tokens; to.at++)
            to.index[to.at] = p->row_of_word[WORD_PAD] - 1;
    }
}

/* ---- features and summaries ---- */

static bool copy_features(plan *p, assay_error *error)
{
    const model *m = p->model;
    if (m->features < 0)
        return true;
    p->content->features = assay_tensor_in(p->in->arena, ASSAY_F32, 2,
                                           (int64_t[]){p->in->count, m->feature_count}, error);
    if (!p->content->features)
        return false;
    float *out = assay_f32(p->content->features);
    memset(out, 0, (size_t)assay_tensor_bytes(p->content->features));
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
    for (int s = 0; p->model->settings.summary && s < p->model->source_count; s++) {
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

static bool make_user(plan *p, const assay_wanted *wanted, assay_tower *tower, assay_error *error)
{
    bool targets = assay_wants(wanted, "user.targets");
    if (!read_texts(p->model, p->in, p->model->question, p->model->settings.question_words,
                    &p->question, error) ||
        !find_events(p, error) || !measure_all(p, targets, error) ||
        !find_words(p, targets, error) || !copy_features(p, error) || !list_slots(p, error))
        return false;
    place_parts(p);
    *tower = (assay_tower){.name = "user", .rows = p->in->count, .tokens = p->tokens};
    if (!make_user_tensors(p, tower, targets, error))
        return false;
    lay_out(p, tower);
    return true;
}

static bool make_answer(plan *p, content *c, assay_tower *tower, assay_error *error)
{
    const assay_collation *in = p->in;
    bool mean = p->model->settings.readout == READ_MEAN;
    int64_t tokens = 1;
    for (int64_t b = 0; b < in->count; b++) {
        if (p->answer.counts[b] < 0)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                .what = assay_text("sample %" PRId64 " has no answer", in->samples[b].index),
                .expected = "pairs of a question and an answer",
                .hint = "a contrastive loss needs training samples with answers: see "
                        "the dataset's option 'pairs'");
        tokens = p->answer.counts[b] + 1 > tokens ? p->answer.counts[b] + 1 : tokens;
    }
    *c = (content){.of_answer = true};
    *tower = (assay_tower){.name = "answer", .rows = in->count, .tokens = tokens};
    c->ids = integers(in, 2, (int64_t[]){in->count, tokens}, WORD_PAD, error);
    c->lengths = integers(in, 1, &in->count, 0, error);
    tower->lengths = c->lengths;
    tower->readout = integers(in, 1, &in->count, -1, error);
    c->read = mean ? NULL : integers(in, 1, &in->count, 0, error);
    if (!c->ids || !c->lengths || !tower->readout || (!mean && !c->read))
        return false;
    for (int64_t b = 0; b < in->count; b++) {
        int32_t n = p->answer.counts[b];
        memcpy(assay_i32(c->ids) + b * tokens, p->answer.ids + b * p->answer.most,
               (size_t)n * sizeof(int32_t));
        assay_i32(c->ids)[b * tokens + n] = WORD_END;
        assay_i32(c->lengths)[b] = n + 1;
        if (c->read) {
            assay_i32(c->read)[b] = (int32_t)(b * tokens + n);
            assay_i32(tower->readout)[b] = n;
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
    plan p = {.model = m, .in = in};
    int n = 0;
    if (!contents || !read_texts(m, in, m->answer, m->settings.answer_words, &p.answer, error))
        return false;
    if (assay_wants_tower(in->wanted, "user")) {
        p.content = &contents[n];
        if (!make_user(&p, in->wanted, &out->towers[n++], error))
            return false;
    }
    if (assay_wants_tower(in->wanted, "answer")) {
        if (!make_answer(&p, &contents[n], &out->towers[n], error))
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
