/* ahead.c - a batch's tensors into the device's memory, beside the work that is under way
 * (assay/ahead.h).
 *
 * Batch j goes where batch j - 2 was. All work on that had been asked for when batch j - 1 was
 * sent, so the mark that was set then is what its copies must wait for. */
#include <assay/ahead.h>
#include <assay/tensor.h>

#include "engine/device/arena.h"

struct assay_ahead {
    const assay_device *device;
    device_arena *places[2]; /* NULL where the host computes */
    int64_t sent;            /* batches so far */
    int64_t mark;            /* set when the last one was sent */
};

assay_ahead *assay_ahead_new(const assay_device *device, assay_error *error)
{
    assay_ahead *ahead = assay_zalloc((int64_t)sizeof *ahead, error);
    if (!ahead)
        return NULL;
    ahead->device = device;
    for (int i = 0; i < 2 && device->memory; i++) {
        ahead->places[i] = device_arena_new(device->memory, error);
        if (!ahead->places[i]) {
            assay_ahead_free(ahead);
            return NULL;
        }
    }
    return ahead;
}

void assay_ahead_free(assay_ahead *ahead)
{
    if (!ahead)
        return;
    for (int i = 0; i < 2; i++)
        device_arena_free(ahead->places[i]);
    assay_free(ahead);
}

void assay_ahead_send(assay_ahead *ahead, assay_arena *arena)
{
    const device_memory *memory = ahead->device->memory;
    if (!memory)
        return;
    device_arena *place = ahead->places[ahead->sent++ % 2];
    int64_t before = ahead->mark;
    ahead->mark = memory->mark();
    device_arena_reset(place);
    for (assay_tensor *t = *assay_arena_note(arena); t; t = t->side.next) {
        int64_t bytes = assay_tensor_bytes(t);
        if (t->side.there)
            continue;
        t->side.there = device_arena_alloc(place, bytes, NULL);
        if (!t->side.there)
            return;
        t->side.device = ahead->device;
        t->side.pass = 0;
        memory->upload_after(before, t->side.there, t->data, bytes);
    }
}
