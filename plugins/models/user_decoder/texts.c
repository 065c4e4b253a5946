/* texts.c - the different event texts of a batch. Behaviour repeats itself: encoding each text once
 * and gathering it for every event costs a fraction of encoding all events. */
#include "user_decoder.h"

#include <string.h>

typedef struct piece_of_text {
    const uint8_t *bytes;
    int64_t length;
} piece_of_text;

typedef struct seen {
    int64_t slot_count; /* a power of two, at least twice the events */
    int32_t *slots;     /* number of a text + 1; 0: free */
    piece_of_text *texts;
    int64_t count;
} seen;

static int32_t number_of(seen *s, piece_of_text text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < text.length; i++)
        hash = (hash ^ text.bytes[i]) * 0x100000001b3u;
    int64_t slot = (int64_t)(hash & (uint64_t)(s->slot_count - 1));
    for (; s->slots[slot] != 0; slot = (slot + 1) & (s->slot_count - 1)) {
        const piece_of_text *old = &s->texts[s->slots[slot] - 1];
        if (old->length == text.length && memcmp(old->bytes, text.bytes, (size_t)text.length) == 0)
            return s->slots[slot] - 1;
    }
    s->texts[s->count] = text;
    s->slots[slot] = (int32_t)++s->count;
    return (int32_t)(s->count - 1);
}

static int64_t count_events(const assay_collation *in, const source *from)
{
    int64_t events = 0;
    for (int64_t b = 0; b < in->count; b++)
        events += source_events(from, &in->samples[b]).count;
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

static void number_events(seen *s, const assay_collation *in, const source *from, int32_t *rows)
{
    int64_t at = 0;
    for (int64_t b = 0; b < in->count; b++) {
        const assay_field_value *value = &in->samples[b].values[from->texts];
        events_shown shown = source_events(from, &in->samples[b]);
        for (int64_t e = shown.first; e < shown.first + shown.count; e++)
            rows[at++] =
                number_of(s, (piece_of_text){(const uint8_t *)value->data + value->offsets[e],
                                             value->offsets[e + 1] - value->offsets[e]});
    }
}

/* The ids of a text between what stands around them; a text without any counts as an unknown word,
 * so that its mean exists. Returns how many, -1 with the error set. */
static int64_t read_text(const model *m, piece_of_text text, int64_t most, int32_t *out,
                         assay_error *error)
{
    bool framed = m->settings.encoder == ENCODER_BERT;
    int64_t n =
        lexicon_read(m->event_words, text.bytes, text.length, most, out + framed, NULL, error);
    if (n == 0)
        out[framed + n++] = lexicon_nothing(m->event_words);
    if (n > 0 && framed) {
        out[0] = m->begin_event;
        out[1 + n] = m->end_event;
        n += 2;
    }
    return n;
}

static bool read_texts(const model *m, int64_t most, const seen *s, assay_arena *arena,
                       distinct *out, assay_error *error)
{
    int64_t widest = 1, room = most + 2;
    int32_t *ids = assay_arena_alloc(arena, s->count * room * (int64_t)sizeof *ids, error);
    out->lengths = assay_tensor_in(arena, ASSAY_I32, 1, &s->count, error);
    if (!ids || !out->lengths)
        return false;
    for (int64_t u = 0; u < s->count; u++) {
        int64_t n = read_text(m, s->texts[u], most, ids + u * room, error);
        if (n < 0)
            return false;
        assay_i32(out->lengths)[u] = (int32_t)n;
        widest = n > widest ? n : widest;
    }
    out->ids = assay_tensor_in(arena, ASSAY_I32, 2, (int64_t[]){s->count, widest}, error);
    for (int64_t u = 0; out->ids && u < s->count; u++)
        for (int64_t k = 0; k < widest; k++)
            assay_i32(out->ids)[u * widest + k] =
                k < assay_i32(out->lengths)[u] ? ids[u * room + k] : 0;
    assay_arena_release(arena, ids, s->count * room * (int64_t)sizeof *ids);
    return out->ids != NULL;
}

bool distinct_make(const model *m, int s, const assay_collation *in, distinct *out, int32_t *rows,
                   assay_error *error)
{
    const source *from = &m->sources[s];
    int64_t events = count_events(in, from);
    seen texts;
    *out = (distinct){0};
    if (events == 0)
        return true;
    if (!seen_open(&texts, events, in->arena, error))
        return false;
    number_events(&texts, in, from, rows);
    out->rows = texts.count;
    return read_texts(m, from->words, &texts, in->arena, out, error);
}
