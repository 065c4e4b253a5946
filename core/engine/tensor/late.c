/* late.c - numbers that are read at the end of a step, or of the one after it (assay/late.h).
 *
 * Where the device has them they are fetched at once, into pinned memory, in the order of its work;
 * the host waits for a mark behind the last of them. */
#include <assay/late.h>
#include <assay/memory.h>

#include "engine/device/device.h"
#include "engine/tensor/residence.h"

#include <string.h>

enum {
    FIRST_PINNED = 4096, /* bytes */
};

typedef struct late_item {
    assay_reading reading; /* its note is a copy; its tensor may be gone */
    const void *numbers;   /* here or on their way; NULL: none */
    int64_t count;
} late_item;

typedef struct late_pinned {
    struct late_pinned *older;
    char *start;
    int64_t bytes, used;
} late_pinned;

/* What is read together. Its memory is kept for the next one. */
typedef struct late_group {
    late_item *items;
    int64_t count, capacity;
    assay_arena *notes;  /* and copies of what was here */
    late_pinned *pinned; /* pieces are cut from the newest */
    bool fetching, closed;
    int64_t mark; /* behind the last fetch, when closed */
} late_group;

struct assay_late {
    const assay_device *device;
    late_group groups[2];
    int open; /* which is added to, unless both are closed: then it is the older one */
};

/* ---- life ---- */

/* Back to one piece of pinned memory at most, the largest. */
static void trim_pinned(const device_memory *memory, late_pinned **newest, bool keep)
{
    late_pinned *kept = keep ? *newest : NULL;
    for (late_pinned *p = kept ? kept->older : *newest; p;) {
        late_pinned *older = p->older;
        memory->give_host(p->start);
        assay_free(p);
        p = older;
    }
    if (kept) {
        kept->older = NULL;
        kept->used = 0;
    }
    *newest = kept;
}

/* Forgets the group's items. What is still on its way must arrive before its memory serves
 * others. */
static void clear_group(const assay_late *late, late_group *g, bool arrived)
{
    if (g->fetching && !arrived)
        late->device->memory->wait();
    g->count = 0;
    g->fetching = g->closed = false;
    if (g->notes)
        assay_arena_reset(g->notes);
    if (g->pinned)
        trim_pinned(late->device->memory, &g->pinned, true);
}

assay_late *assay_late_new(const assay_device *device, assay_error *error)
{
    assay_late *late = assay_zalloc((int64_t)sizeof *late, error);
    if (late)
        late->device = device;
    return late;
}

void assay_late_drop(assay_late *late)
{
    for (int i = 0; i < 2; i++)
        clear_group(late, &late->groups[i], false);
}

void assay_late_free(assay_late *late)
{
    if (!late)
        return;
    assay_late_drop(late);
    for (int i = 0; i < 2; i++) {
        late_group *g = &late->groups[i];
        if (g->pinned)
            trim_pinned(late->device->memory, &g->pinned, false);
        assay_arena_free(g->notes);
        assay_free(g->items);
    }
    assay_free(late);
}

/* ---- keeping ---- */

void assay_read_now(const assay_reading *r)
{
    int64_t count = r->tensor ? assay_tensor_count(r->tensor) : 0;
    const void *numbers = NULL;
    if (r->tensor)
        numbers = r->gradient ? (const void *)assay_gradient(r->tensor) : tensor_look(r->tensor);
    r->read(r->user, r->note, numbers, numbers ? count : 0);
}

static bool make_room(late_group *g, assay_error *error)
{
    if (!g->notes)
        g->notes = assay_arena_new(FIRST_PINNED, error);
    if (!g->notes || g->count < g->capacity)
        return g->notes != NULL;
    int64_t capacity = g->capacity ? 2 * g->capacity : 16;
    late_item *items = assay_zalloc(capacity * (int64_t)sizeof *items, error);
    if (!items)
        return false;
    if (g->count > 0)
        memcpy(items, g->items, (size_t)g->count * sizeof *items);
    assay_free(g->items);
    g->items = items;
    g->capacity = capacity;
    return true;
}

static void *pinned_room(const device_memory *memory, late_group *g, int64_t bytes,
                         assay_error *error)
{
    int64_t rounded = (bytes + ASSAY_ALIGNMENT - 1) / ASSAY_ALIGNMENT * ASSAY_ALIGNMENT;
    late_pinned *newest = g->pinned;
    if (!newest || newest->bytes - newest->used < rounded) {
        late_pinned *fresh = assay_zalloc((int64_t)sizeof *fresh, error);
        int64_t least = newest ? 2 * newest->bytes : FIRST_PINNED;
        if (!fresh)
            return NULL;
        fresh->bytes = rounded > least ? rounded : least;
        fresh->start = memory->take_host(fresh->bytes, error);
        if (!fresh->start) {
            assay_free(fresh);
            return NULL;
        }
        fresh->older = newest;
        g->pinned = newest = fresh;
    }
    void *room = newest->start + newest->used;
    newest->used += rounded;
    return room;
}

/* A copy of host memory; NULL only when memory is short. */
static const void *copy_of(late_group *g, const void *bytes, int64_t n, assay_error *error)
{
    void *copy = assay_arena_alloc(g->notes, n, error);
    if (copy && n > 0)
        memcpy(copy, bytes, (size_t)n);
    return copy;
}

/* Where the device has the newest numbers; NULL: the host has them. */
static const void *newest_there(const assay_tensor *t, bool gradient)
{
    if (gradient)
        return t->has_grad && t->side.grad_there ? t->grad : NULL;
    return t->side.old_here && !t->side.blank ? t->side.there : NULL;
}

static bool keep_numbers(const assay_late *late, late_group *g, late_item *item, assay_error *error)
{
    const assay_tensor *t = item->reading.tensor;
    bool gradient = item->reading.gradient;
    const void *from = newest_there(t, gradient);
    item->count = assay_tensor_count(t);
    int64_t bytes = gradient ? item->count * (int64_t)sizeof(float) : assay_tensor_bytes(t);
    if (from) {
        void *to = pinned_room(late->device->memory, g, bytes, error);
        if (!to)
            return false;
        late->device->memory->fetch(to, from, bytes);
        item->numbers = to;
        g->fetching = true;
        return true;
    }
    from = gradient ? (const void *)assay_gradient(t) : tensor_look(t);
    item->numbers = from ? copy_of(g, from, bytes, error) : NULL;
    return !from || item->numbers;
}

bool assay_late_add(assay_late *late, const assay_reading *reading, assay_error *error)
{
    late_group *g = &late->groups[late->open];
    if (!late->device->memory || !reading->tensor) {
        assay_read_now(reading);
        return true;
    }
    if (g->closed)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "late numbers",
                          .what = "two groups are closed and not read", .hint = "assay_late_read");
    if (!make_room(g, error))
        return false;
    late_item item = {.reading = *reading};
    if (reading->note)
        item.reading.note = copy_of(g, reading->note, reading->note_bytes, error);
    if ((reading->note && !item.reading.note) || !keep_numbers(late, g, &item, error))
        return false;
    g->items[g->count++] = item;
    return true;
}

/* ---- reading ---- */

static void close_group(const assay_late *late, late_group *g)
{
    g->closed = true;
    g->mark = g->fetching ? late->device->memory->mark() : 0;
}

void assay_late_close(assay_late *late)
{
    close_group(late, &late->groups[late->open]);
    late->open = 1 - late->open;
}

void assay_late_read(assay_late *late)
{
    late_group *open = &late->groups[late->open], *other = &late->groups[1 - late->open];
    late_group *g = other->closed && !open->closed ? other : open;
    if (!g->closed)
        close_group(late, g);
    if (g->fetching)
        late->device->memory->wait_for(g->mark);
    for (int64_t i = 0; i < g->count; i++) {
        const late_item *item = &g->items[i];
        item->reading.read(item->reading.user, item->reading.note, item->numbers,
                           item->numbers ? item->count : 0);
    }
    clear_group(late, g, true);
}
