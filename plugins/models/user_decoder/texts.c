/* texts.c - the different event texts of a batch. Behaviour repeats itself: encoding each text once
 * and gathering it for every event costs a fraction of encoding all events. */
#include "user_decoder.h"

#include <string.h>

typedef struct piece {
    const uint8_t *bytes;
    int64_t length;
} piece;

typedef struct seen {
    int64_t slot_count; /* a power of two, at least twice the events */
    int32_t *slots;     /* number of a text + 1; 0: free */
    piece *texts;
    int64_t count;
} seen;

static int32_t number_of(seen *s, piece text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < text.length; i++)
        hash = (hash ^ text.bytes[i]) * 0x100000001b3u;
    int64_t slot = (int64_t)(hash & (uint64_t)(s->slot_count - 1));
    for (; s->slots[slot] != 0; slot = (slot + 1) & (s->slot_count - 1)) {
        const piece *old = &s->texts[s->slots[slot] - 1];
        if (old->length == text.length && memcmp(old->bytes, text.bytes, (size_t)text.length) == 0)
            return s->slots[slot] - 1;
    }
    s->texts[s->count] = text;
    s->slots[slot] = (int32_t)++s->count;
    return (int32_t)(s->count - 1);
}

static int64_t count_events(const assay_collation *in, int field)
{
    int64_t events = 0;
    for (int64_t b = 0; b < in->count; b++)
        if (in->samples[b].values[field].present)
            events += in->samples[b].values[field].shape[0];
    return events;
}

static bool seen_open(seen *s, int64_t events, assay_arena *arena, assay_error *error)
{
    *s = (seen){.slot_count = 16};
    while (s->slot_count < 2 * events)
        s->slot_count *= 2;
    s->slots = assay_arena_alloc(arena, s->slot_count * (int64_t)sizeof *s->slots, error);
    s->texts = assay_arena_alloc(arena, events * (int64_t)sizeof *s->texts, error);
    if (s->slots)
        memset(s->slots, 0, (size_t)s->slot_count * sizeof *s->slots);
    return s->slots && s->texts;
}

static void number_events(seen *s, const assay_collation *in, int field, int32_t *rows)
{
    int64_t at = 0;
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = &in->samples[b].values[field];
        for (int64_t e = 0; value->present && e < value->shape[0]; e++)
            rows[at++] = number_of(s, (piece){(const uint8_t *)value->data + value->offsets[e],
                                              value->offsets[e + 1] - value->offsets[e]});
    }
}

/* A text without a word counts as one unknown word, so that its mean exists. */
static bool read_words(const vocabulary *words, int64_t most, const seen *s, assay_arena *arena,
                       distinct *out, assay_error *error)
{
    int64_t widest = 1;
    int32_t *ids = assay_arena_alloc(arena, s->count * most * (int64_t)sizeof *ids, error);
    out->lengths = assay_tensor_in(arena, ASSAY_I32, 1, &s->count, error);
    if (!ids || !out->lengths)
        return false;
    for (int64_t u = 0; u < s->count; u++) {
        int64_t n =
            vocabulary_read(words, s->texts[u].bytes, s->texts[u].length, most, ids + u * most);
        if (n == 0)
            ids[u * most + n++] = WORD_UNKNOWN;
        assay_i32(out->lengths)[u] = (int32_t)n;
        widest = n > widest ? n : widest;
    }
    out->ids = assay_tensor_in(arena, ASSAY_I32, 2, (int64_t[]){s->count, widest}, error);
    for (int64_t u = 0; out->ids && u < s->count; u++)
        for (int64_t k = 0; k < widest; k++)
            assay_i32(out->ids)[u * widest + k] =
                k < assay_i32(out->lengths)[u] ? ids[u * most + k] : WORD_PAD;
    assay_arena_release(arena, ids, s->count * most * (int64_t)sizeof *ids);
    return out->ids != NULL;
}

bool distinct_make(const vocabulary *words, int64_t most_words, const assay_collation *in,
                   int field, distinct *out, int32_t *rows, assay_error *error)
{
    int64_t events = count_events(in, field);
    seen s;
    *out = (distinct){0};
    if (events == 0)
        return true;
    if (!seen_open(&s, events, in->arena, error))
        return false;
    number_events(&s, in, field, rows);
    out->rows = s.count;
    return read_words(words, most_words, &s, in->arena, out, error);
}
