/* late.c - numbers that are read at the end of a step (assay/late.h). */
#include <assay/late.h>
#include <assay/memory.h>

#include "engine/device/device.h"
#include "engine/tensor/residence.h"

#include <string.h>

typedef struct late_item {
    assay_reading reading; /* its note is a copy; its tensor may be gone */
    void *there;           /* the device's copy, or NULL when `here` is one */
    void *here;
    int64_t bytes, count;
} late_item;

struct assay_late {
    const assay_device *device;
    late_item *items;
    int64_t count, capacity;
    void *buffer; /* of `buffer_bytes`, what is downloaded into */
    int64_t buffer_bytes;
};

assay_late *assay_late_new(const assay_device *device, assay_error *error)
{
    assay_late *late = assay_zalloc((int64_t)sizeof *late, error);
    if (late)
        late->device = device;
    return late;
}

void assay_late_free(assay_late *late)
{
    if (!late)
        return;
    assay_late_drop(late);
    assay_free(late->items);
    assay_free(late->buffer);
    assay_free(late);
}

static void clear_item(const assay_late *late, late_item *item)
{
    if (item->there)
        late->device->memory->give(item->there);
    assay_free(item->here);
    assay_free((void *)(uintptr_t)item->reading.note);
    *item = (late_item){0};
}

void assay_late_drop(assay_late *late)
{
    for (int64_t i = 0; i < late->count; i++)
        clear_item(late, &late->items[i]);
    late->count = 0;
}

void assay_read_now(const assay_reading *r)
{
    int64_t count = r->tensor ? assay_tensor_count(r->tensor) : 0;
    const void *numbers = NULL;
    if (r->tensor)
        numbers = r->gradient ? (const void *)assay_gradient(r->tensor) : tensor_look(r->tensor);
    r->read(r->user, r->note, numbers, numbers ? count : 0);
}

/* ---- keeping ---- */

static bool make_room(assay_late *late, assay_error *error)
{
    if (late->count < late->capacity)
        return true;
    int64_t capacity = late->capacity ? 2 * late->capacity : 16;
    late_item *items = assay_zalloc(capacity * (int64_t)sizeof *items, error);
    if (!items)
        return false;
    if (late->count > 0)
        memcpy(items, late->items, (size_t)late->count * sizeof *items);
    assay_free(late->items);
    late->items = items;
    late->capacity = capacity;
    return true;
}

/* A copy of host memory; NULL only when memory is short. */
static void *copy_of(const void *bytes, int64_t n, assay_error *error)
{
    void *copy = assay_alloc(n > 0 ? n : 1, error);
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

static bool keep_numbers(const assay_late *late, late_item *item, assay_error *error)
{
    const assay_tensor *t = item->reading.tensor;
    const void *from = newest_there(t, item->reading.gradient);
    item->count = assay_tensor_count(t);
    item->bytes =
        item->reading.gradient ? item->count * (int64_t)sizeof(float) : assay_tensor_bytes(t);
    if (from) {
        item->there = late->device->memory->take(item->bytes, error);
        if (item->there)
            late->device->memory->copy(item->there, from, item->bytes);
        return item->there != NULL;
    }
    from = item->reading.gradient ? (const void *)assay_gradient(t) : tensor_look(t);
    if (!from)
        item->count = 0;
    else
        item->here = copy_of(from, item->bytes, error);
    return !from || item->here;
}

bool assay_late_add(assay_late *late, const assay_reading *reading, assay_error *error)
{
    if (!late->device->memory || !reading->tensor) {
        assay_read_now(reading);
        return true;
    }
    if (!make_room(late, error))
        return false;
    late_item item = {.reading = *reading};
    item.reading.note = reading->note ? copy_of(reading->note, reading->note_bytes, error) : NULL;
    if ((reading->note && !item.reading.note) || !keep_numbers(late, &item, error)) {
        clear_item(late, &item);
        return false;
    }
    late->items[late->count++] = item;
    return true;
}

/* ---- reading ---- */

/* The item's numbers on the host; NULL when there are none, or no memory for them. */
static const void *fetch(assay_late *late, const late_item *item)
{
    if (!item->there)
        return item->here;
    if (late->buffer_bytes < item->bytes) {
        assay_free(late->buffer);
        late->buffer = assay_alloc(item->bytes, NULL);
        late->buffer_bytes = late->buffer ? item->bytes : 0;
    }
    if (late->buffer)
        late->device->memory->download(late->buffer, item->there, item->bytes);
    return late->buffer;
}

void assay_late_read(assay_late *late)
{
    for (int64_t i = 0; i < late->count; i++) {
        late_item *item = &late->items[i];
        const void *numbers = fetch(late, item);
        item->reading.read(item->reading.user, item->reading.note, numbers,
                           numbers ? item->count : 0);
        clear_item(late, item);
    }
    late->count = 0;
}
