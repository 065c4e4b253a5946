/* raw.c - standardised features, one-hot words and pooled counts of events. A column is named by
 * the 64-bit hash of its source, place and word: two that collide would be one column. */
#include "raw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES = 32 };

/* Columns that are named by keys. */
typedef struct named {
    int64_t count;
    uint64_t key[RAW_MOST_COUNTS]; /* in increasing order */
} named;

struct raw {
    int features; /* field, -1: none */
    int64_t feature_count;
    int source_count, sources[SOURCES];
    named onehot, counts;
};

static const assay_field *fields_of(const probing *p, int *count)
{
    const assay_data *data = p->evaluation->data;
    return data->functions->fields(data->dataset, count);
}

static void find_fields(raw *r, const probing *p)
{
    int count = 0;
    const assay_field *fields = fields_of(p, &count);
    r->features = assay_data_field(p->evaluation->data, "features");
    if (r->features >= 0 &&
        (fields[r->features].dtype != ASSAY_F32 || fields[r->features].rank != 1))
        r->features = -1;
    if (r->features >= 0)
        r->feature_count = fields[r->features].shape[0];
    for (int i = 0; i < count && r->source_count < SOURCES; i++)
        if (fields[i].dtype == ASSAY_U8 && fields[i].rank == 2 &&
            fields[i].shape[1] == ASSAY_RAGGED)
            r->sources[r->source_count++] = i;
}

/* ---- keys ---- */

/* A sample's keys, one after another. */
typedef struct key_walk {
    const raw *raw;
    const assay_sample *sample;
    bool pooled; /* keys without a place, of all events, and one of the source alone per event */
    int source;
    int64_t event, at;
    bool told; /* the key of the source alone */
} key_walk;

static uint64_t mix(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * 0x100000001b3u;
}

/* The next word of the event under way; false at its end. */
static bool word_of(const assay_field_value *value, key_walk *w, uint64_t *hash)
{
    const uint8_t *text = value->data;
    int64_t at = value->offsets[w->event] + w->at, end = value->offsets[w->event + 1];
    while (at < end && text[at] <= ' ')
        at++;
    if (at >= end)
        return false;
    for (; at < end && text[at] > ' '; at++)
        *hash = mix(*hash, text[at]);
    w->at = at - value->offsets[w->event];
    return true;
}

static bool next_key(key_walk *w, uint64_t *key)
{
    for (; w->source < w->raw->source_count; w->source++, w->event = 0, w->at = 0) {
        const assay_field_value *value = &w->sample->values[w->raw->sources[w->source]];
        for (; value->present && w->event < value->shape[0];
             w->event++, w->at = 0, w->told = false) {
            int64_t place = w->pooled ? 0 : value->shape[0] - 1 - w->event; /* 0: the newest */
            *key = mix(mix(0xcbf29ce484222325u, (uint8_t)w->source), (uint8_t)place);
            if (w->pooled && !w->told)
                return w->told = true;
            if (place < RAW_PLACES && word_of(value, w, key))
                return true;
        }
    }
    return false;
}

/* ---- finding columns ---- */

typedef struct keys {
    int64_t count, room;
    uint64_t *items;
} keys;

static bool keys_add(keys *list, uint64_t key, assay_error *error)
{
    if (list->count == list->room) {
        int64_t room = list->room > 0 ? 2 * list->room : 4096;
        uint64_t *items = assay_alloc(room * (int64_t)sizeof *items, error);
        if (!items)
            return false;
        if (list->count > 0)
            memcpy(items, list->items, (size_t)list->count * sizeof *items);
        assay_free(list->items);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = key;
    return true;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

typedef struct counted {
    uint64_t key;
    int64_t count;
} counted;

/* The more frequent first. */
static int by_count(const void *a, const void *b)
{
    const counted *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

static bool read_sample(const probing *p, assay_data_split split, int64_t index, assay_arena *arena,
                        assay_sample *out, assay_error *error)
{
    const assay_data *data = p->evaluation->data;
    assay_arena_reset(arena);
    return data->functions->sample(data->dataset, split, p->index, index, &(assay_draw){0}, arena,
                                   out, error);
}

static int64_t rows_of(const probing *p, assay_data_split split)
{
    const assay_data *data = p->evaluation->data;
    return data->functions->count(data->dataset, split, p->index);
}

static bool collect_keys(const raw *r, const probing *p, bool pooled, assay_arena *arena, keys *out,
                         assay_error *error)
{
    for (int64_t i = 0; i < rows_of(p, ASSAY_TRAIN); i++) {
        assay_sample sample = {0};
        uint64_t key = 0;
        if (!read_sample(p, ASSAY_TRAIN, i, arena, &sample, error))
            return false;
        key_walk walk = {.raw = r, .sample = &sample, .pooled = pooled};
        while (next_key(&walk, &key))
            if (!keys_add(out, key, error))
                return false;
    }
    return true;
}

/* Sorted keys to the most frequent ones. */
static bool keep_best(named *to, int64_t most, keys *all, assay_error *error)
{
    int64_t n = 0;
    counted *different = assay_alloc(all->count * (int64_t)sizeof *different, error);
    if (!different)
        return false;
    if (all->count > 0)
        qsort(all->items, (size_t)all->count, sizeof *all->items, by_key);
    for (int64_t i = 0; i < all->count; i++)
        if (i > 0 && all->items[i] == all->items[i - 1])
            different[n - 1].count++;
        else
            different[n++] = (counted){all->items[i], 1};
    if (n > 0)
        qsort(different, (size_t)n, sizeof *different, by_count);
    for (int64_t i = 0; i < n && to->count < most && different[i].count >= RAW_LEAST; i++)
        to->key[to->count++] = different[i].key;
    qsort(to->key, (size_t)to->count, sizeof *to->key, by_key);
    assay_free(different);
    return true;
}

static bool find_columns(raw *r, const probing *p, bool pooled, assay_error *error)
{
    keys all = {0};
    assay_arena *arena = assay_arena_new(0, error);
    bool ok = arena && collect_keys(r, p, pooled, arena, &all, error) &&
              keep_best(pooled ? &r->counts : &r->onehot, pooled ? RAW_MOST_COUNTS : RAW_MOST, &all,
                        error);
    assay_arena_free(arena);
    assay_free(all.items);
    return ok;
}

raw *raw_new(const probing *p, int choice, assay_error *error)
{
    raw *r = assay_zalloc(sizeof *r, error);
    if (!r)
        return NULL;
    find_fields(r, p);
    if ((choice & RAW_ONEHOT && !find_columns(r, p, false, error)) ||
        (choice & RAW_COUNTS && !find_columns(r, p, true, error))) {
        raw_free(r);
        return NULL;
    }
    return r;
}

void raw_free(raw *columns)
{
    assay_free(columns);
}

/* ---- rows ---- */

int64_t raw_width(const raw *columns, int choice)
{
    int64_t width = choice & RAW_COLUMNS && columns->features >= 0 ? columns->feature_count : 0;
    width += choice & RAW_ONEHOT ? columns->onehot.count : 0;
    return width + (choice & RAW_COUNTS ? columns->counts.count : 0);
}

/* How often each named column's key stands in the sample. */
static void count_keys(const raw *r, const named *columns, bool pooled, const assay_sample *sample,
                       double *row)
{
    key_walk walk = {.raw = r, .sample = sample, .pooled = pooled};
    uint64_t key = 0;
    while (columns->count > 0 && next_key(&walk, &key)) {
        const uint64_t *found =
            bsearch(&key, columns->key, (size_t)columns->count, sizeof key, by_key);
        if (found)
            row[found - columns->key]++;
    }
}

static void fill_row(const raw *r, int choice, const assay_sample *sample, double *row)
{
    if (choice & RAW_COLUMNS && r->features >= 0) {
        const assay_field_value *value = &sample->values[r->features];
        for (int64_t k = 0; value->present && k < r->feature_count; k++)
            row[k] = (double)((const float *)value->data)[k];
        row += r->feature_count;
    }
    if (choice & RAW_ONEHOT) {
        count_keys(r, &r->onehot, false, sample, row);
        for (int64_t k = 0; k < r->onehot.count; k++)
            row[k] = row[k] > 0;
        row += r->onehot.count;
    }
    if (choice & RAW_COUNTS) {
        count_keys(r, &r->counts, true, sample, row);
        for (int64_t k = 0; k < r->counts.count; k++)
            row[k] = log1p(row[k]);
    }
}

bool raw_set(const raw *columns, const probing *p, int choice, assay_data_split split,
             labelled *out, assay_error *error)
{
    bool ok = false;
    assay_arena *arena = assay_arena_new(0, error);
    if (!arena || !labelled_new(out, rows_of(p, split), raw_width(columns, choice), error))
        goto out;
    for (int64_t i = 0; i < out->n; i++) {
        assay_sample sample = {0};
        if (!read_sample(p, split, i, arena, &sample, error))
            goto out;
        fill_row(columns, choice, &sample, out->x + i * out->width);
        out->label[i] = sample.label;
    }
    ok = true;
out:
    assay_arena_free(arena);
    if (!ok)
        labelled_free(out);
    return ok;
}
