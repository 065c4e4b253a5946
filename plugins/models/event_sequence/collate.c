/* collate.c - the events of all sources in one row by time, their different texts once each, and
 * the answer's words. */
#include "event_sequence.h"

#include <assay/ops.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An event of one sample, as it is put in order. */
typedef struct event {
    const uint8_t *bytes;
    int64_t length;
    int32_t source, place; /* place: order of reading, which equal ages keep */
    double age;            /* from the cut-off; infinite when the source has no times */
} event;

typedef struct row {
    event *events; /* oldest first */
    int64_t count;
} row;

/* ---- events of a sample ---- */

static double age_of(const source *from, const assay_field_value *times, int64_t e)
{
    if (!times || !times->present || e >= times->shape[0])
        return (double)INFINITY;
    return fabs(from->time_type == ASSAY_F32 ? (double)((const float *)times->data)[e]
                                             : (double)((const int32_t *)times->data)[e]);
}

static int oldest_first(const void *left, const void *right)
{
    const event *a = left, *b = right;
    if (a->age != b->age)
        return a->age > b->age ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

static bool read_events(const model *m, const assay_collation *in, int64_t b, row *out,
                        assay_error *error)
{
    const assay_field_value *values = in->samples[b].values;
    int64_t total = 0;
    for (int s = 0; s < m->source_count; s++)
        if (values[m->sources[s].texts].present)
            total += values[m->sources[s].texts].shape[0];
    out->events = assay_arena_alloc(in->arena, (total + 1) * (int64_t)sizeof(event), error);
    out->count = 0;
    if (!out->events)
        return false;
    for (int s = 0; s < m->source_count; s++) {
        const source *from = &m->sources[s];
        const assay_field_value *texts = &values[from->texts];
        const assay_field_value *times = from->times < 0 ? NULL : &values[from->times];
        for (int64_t e = 0; texts->present && e < texts->shape[0]; e++) {
            event *to = &out->events[out->count];
            *to = (event){.bytes = (const uint8_t *)texts->data + texts->offsets[e],
                          .length = texts->offsets[e + 1] - texts->offsets[e],
                          .source = s,
                          .place = (int32_t)out->count++,
                          .age = age_of(from, times, e)};
        }
    }
    qsort(out->events, (size_t)out->count, sizeof(event), oldest_first);
    if (out->count > m->settings.events) { /* the newest stay */
        out->events += out->count - m->settings.events;
        out->count = m->settings.events;
    }
    return true;
}

/* ---- different texts ---- */

typedef struct texts {
    int64_t slot_count, count; /* slots are a power of two */
    int32_t *slots;            /* number of a text + 1; 0: free */
    const event **items;
} texts;

static bool texts_open(texts *t, int64_t events, assay_arena *arena, assay_error *error)
{
    *t = (texts){.slot_count = 16};
    while (t->slot_count < 2 * events)
        t->slot_count *= 2;
    t->slots = assay_arena_alloc(arena, t->slot_count * (int64_t)sizeof *t->slots, error);
    t->items = assay_arena_alloc(arena, (events + 1) * (int64_t)sizeof *t->items, error);
    if (t->slots)
        memset(t->slots, 0, (size_t)t->slot_count * sizeof *t->slots);
    return t->slots && t->items;
}

/* The number of an event's text; texts of two sources are two. */
static int32_t number_of(texts *t, const event *e)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)e->source;
    for (int64_t i = 0; i < e->length; i++)
        hash = (hash ^ e->bytes[i]) * 0x100000001b3u;
    int64_t slot = (int64_t)(hash & (uint64_t)(t->slot_count - 1));
    for (; t->slots[slot] != 0; slot = (slot + 1) & (t->slot_count - 1)) {
        const event *old = t->items[t->slots[slot] - 1];
        if (old->source == e->source && old->length == e->length &&
            memcmp(old->bytes, e->bytes, (size_t)e->length) == 0)
            return t->slots[slot] - 1;
    }
    t->items[t->count++] = e;
    t->slots[slot] = (int32_t)t->count;
    return (int32_t)(t->count - 1);
}

/* ---- tensors ---- */

static assay_tensor *integers(const assay_collation *in, int rank, const int64_t *shape,
                              int32_t value, assay_error *error)
{
    assay_tensor *t = assay_tensor_in(in->arena, ASSAY_I32, rank, shape, error);
    for (int64_t i = 0; t && i < assay_tensor_count(t); i++)
        assay_i32(t)[i] = value;
    return t;
}

/* Row k of `words` becomes the words of a text; one that has none is one unknown word. */
static void read_text(const model *m, const uint8_t *bytes, int64_t length, int64_t k,
                      const content *c)
{
    int64_t most = c->words->shape[1];
    int32_t *ids = assay_i32(c->words) + k * most;
    int64_t n = length > 0 ? vocabulary_read(m->words, bytes, length, most, ids) : 0;
    if (n == 0)
        ids[n++] = WORD_UNKNOWN;
    assay_i32(c->lengths)[k] = (int32_t)n;
}

static bool make_texts(const model *m, const assay_collation *in, const texts *t, content *c,
                       assay_error *error)
{
    c->texts = t->count > 0 ? t->count : 1; /* without any event, one text that nobody has */
    c->words = integers(in, 2, (int64_t[]){c->texts, m->settings.event_words}, WORD_PAD, error);
    c->lengths = integers(in, 1, &c->texts, 1, error);
    c->sources = integers(in, 1, &c->texts, 0, error);
    if (!c->words || !c->lengths || !c->sources)
        return false;
    for (int64_t u = 0; u < t->count; u++) {
        read_text(m, t->items[u]->bytes, t->items[u]->length, u, c);
        assay_i32(c->sources)[u] = t->items[u]->source;
    }
    return true;
}

/* Half factors of 2 of 1 + age; 0 without one. */
static int32_t age_row(double age)
{
    if (!isfinite(age))
        return 0;
    double bucket = floor(2 * log2(1 + age));
    return 1 + (int32_t)(bucket < MODEL_AGES - 1 ? bucket : MODEL_AGES - 1);
}

static bool copy_features(const model *m, const assay_collation *in, content *c, assay_error *error)
{
    if (!m->feature)
        return true;
    int64_t f = m->feature_count;
    c->features = assay_tensor_in(in->arena, ASSAY_F32, 2, (int64_t[]){in->count, f}, error);
    if (!c->features)
        return false;
    memset(c->features->data, 0, (size_t)assay_tensor_bytes(c->features));
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = &in->samples[b].values[m->features];
        if (value->present)
            memcpy(assay_f32(c->features) + b * f, value->data, (size_t)f * sizeof(float));
    }
    return true;
}

static void lay_out(const model *m, const assay_collation *in, const row *rows, texts *t,
                    const content *c, assay_tower *tower)
{
    int64_t front = m->feature ? 1 : 0;
    for (int64_t b = 0; b < in->count; b++) {
        int64_t at = b * tower->tokens + front;
        if (front) /* made relative to the mask's row when the number of texts is known */
            assay_i32(c->rows)[at - 1] = (int32_t)(-1 - b);
        for (int64_t e = 0; e < rows[b].count; e++, at++) {
            const event *from = &rows[b].events[e];
            assay_i32(c->ids)[at] = assay_i32(c->rows)[at] = number_of(t, from);
            assay_i32(c->ages)[at] = age_row(from->age);
        }
        int32_t valid = (int32_t)(front + rows[b].count);
        assay_i32(c->valid)[b] = assay_i32(tower->lengths)[b] = valid;
        assay_i32(tower->span)[2 * b + 1] = valid;
    }
}

/* What needs all texts numbered: features' rows, and each event's first word. */
static void finish_rows(const content *c)
{
    int64_t most = c->words->shape[1];
    for (int64_t i = 0; i < assay_tensor_count(c->rows); i++) {
        int32_t *at = &assay_i32(c->rows)[i], id = assay_i32(c->ids)[i];
        if (*at < 0)
            *at = (int32_t)(c->texts - *at);
        if (id >= 0)
            assay_i32(c->classes)[i] = assay_i32(c->words)[id * most];
    }
}

/* ---- towers ---- */

static bool make_user(const model *m, const assay_collation *in, content *c, assay_tower *tower,
                      assay_error *error)
{
    row *rows = assay_arena_alloc(in->arena, in->count * (int64_t)sizeof *rows, error);
    int64_t events = 0, tokens = 1, n = in->count;
    texts t;
    for (int64_t b = 0; rows && b < n; b++) {
        if (!read_events(m, in, b, &rows[b], error))
            return false;
        events += rows[b].count;
        int64_t own = rows[b].count + (m->feature ? 1 : 0);
        tokens = own > tokens ? own : tokens;
    }
    if (!rows || !texts_open(&t, events, in->arena, error))
        return false;
    const int64_t grid[] = {n, tokens}, flat = n * tokens;
    *tower = (assay_tower){.name = "user", .rows = n, .tokens = tokens};
    tower->lengths = integers(in, 1, &n, 0, error);
    tower->span = integers(in, 2, (int64_t[]){n, 2}, 0, error);
    tower->readout = integers(in, 1, &n, -1, error);
    c->rows = integers(in, 1, &flat, 0, error);
    c->ages = integers(in, 2, grid, 0, error);
    c->ids = integers(in, 2, grid, ASSAY_IGNORE, error);
    c->classes = integers(in, 2, grid, ASSAY_IGNORE, error);
    c->valid = integers(in, 1, &n, 0, error);
    if (!tower->lengths || !tower->span || !tower->readout || !c->rows || !c->ages || !c->ids ||
        !c->classes || !c->valid)
        return false;
    lay_out(m, in, rows, &t, c, tower);
    if (!make_texts(m, in, &t, c, error) || !copy_features(m, in, c, error))
        return false;
    finish_rows(c);
    c->masking = in->phase == ASSAY_TRAINING && assay_wants(in->wanted, "user.event_masked");
    return true;
}

static bool make_answer(const model *m, const assay_collation *in, content *c, assay_tower *tower,
                        assay_error *error)
{
    int64_t n = in->count, tokens = m->settings.answer_words;
    c->of_answer = true;
    c->words = integers(in, 2, (int64_t[]){n, tokens}, WORD_PAD, error);
    c->lengths = integers(in, 1, &n, 1, error);
    if (!c->words || !c->lengths)
        return false;
    for (int64_t b = 0; b < n; b++) {
        const assay_field_value *value = m->answer < 0 ? NULL : &in->samples[b].values[m->answer];
        if (!value || !value->present)
            return ASSAY_FAIL(
                error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                .what = assay_text("sample %lld has no answer", (long long)in->samples[b].index),
                .expected = "a text in the field 'answer'",
                .hint = "a loss on answer.embedding needs pairs in the dataset");
        read_text(m, value->data, value->shape[0], b, c);
    }
    *tower = (assay_tower){.name = "answer", .rows = n, .tokens = tokens, .lengths = c->lengths};
    return true;
}

bool model_collate(void *opened, const assay_collation *in, assay_batch *out, assay_error *error)
{
    const model *m = opened;
    content *all = assay_arena_alloc(in->arena, 2 * (int64_t)sizeof *all, error);
    if (!all)
        return false;
    memset(all, 0, 2 * sizeof *all);
    out->content = all;
    out->tower_count = 0;
    out->tokens = 0;
    if (assay_wants_tower(in->wanted, "user")) {
        int k = out->tower_count++;
        if (!make_user(m, in, &all[k], &out->towers[k], error))
            return false;
    }
    if (assay_wants_tower(in->wanted, "answer")) {
        int k = out->tower_count++;
        if (!make_answer(m, in, &all[k], &out->towers[k], error))
            return false;
    }
    for (int k = 0; k < out->tower_count; k++)
        for (int64_t b = 0; b < in->count; b++)
            out->tokens += assay_i32(out->towers[k].lengths)[b];
    return true;
}
