/* device/arena.h - step memory on a device.
 *
 * What assay_arena is to the host's memory (assay/memory.h): pieces by lifetime, chunks that a
 * reset joins to one, early release by rounded size. The books are kept on the host, since the host
 * can't write into the pieces. */
#ifndef ASSAY_DEVICE_ARENA_H
#define ASSAY_DEVICE_ARENA_H

#include "engine/device/device.h"

#include <assay/memory.h>

typedef struct device_arena device_arena;

/* The caller owns it; `memory` must outlive it. */
device_arena *device_arena_new(const device_memory *memory, assay_error *error);
void device_arena_free(device_arena *arena); /* accepts NULL */
/* Uninitialised, aligned to ASSAY_ALIGNMENT. Borrowed: valid until release, reset or free. */
void *device_arena_alloc(device_arena *arena, int64_t bytes, assay_error *error);
void device_arena_release(device_arena *arena, void *piece, int64_t bytes);
void device_arena_reset(device_arena *arena);
assay_arena_stats device_arena_stats(const device_arena *arena);

#endif
