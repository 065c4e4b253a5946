/* arena.c - step memory on a device (device/arena.h). */
#include "engine/device/arena.h"

#include <string.h>

enum {
    SIZES = 512,           /* distinct sizes that can wait for reuse; a power of two */
    CHUNKS = 64,           /* each at least twice the one before: no more can exist */
    FIRST_CHUNK = 4 << 20, /* bytes */
};

typedef struct chunk {
    char *start;
    int64_t capacity, used;
} chunk;

/* A released piece, or an entry of the books that waits to be used again. */
typedef struct spare {
    struct spare *next;
    void *piece;
} spare;

/* The released pieces of one rounded size; 0 marks a free entry. */
typedef struct spare_list {
    int64_t bytes;
    spare *first;
} spare_list;

struct device_arena {
    const device_memory *memory;
    assay_arena *books; /* spares, until the reset */
    spare *unused;
    chunk chunks[CHUNKS]; /* pieces are cut from the last one only */
    int count;
    int64_t next_capacity, extent;
    assay_arena_stats stats;
    spare_list lists[SIZES]; /* open addressing by size */
};

device_arena *device_arena_new(const device_memory *memory, assay_error *error)
{
    device_arena *arena = assay_zalloc((int64_t)sizeof *arena, error);
    if (!arena)
        return NULL;
    arena->memory = memory;
    arena->next_capacity = FIRST_CHUNK;
    arena->books = assay_arena_new(0, error);
    if (!arena->books) {
        assay_free(arena);
        return NULL;
    }
    return arena;
}

/* Gives every chunk back and returns the sum of their capacities. */
static int64_t drop_chunks(device_arena *arena)
{
    int64_t capacity = 0;
    for (int i = 0; i < arena->count; i++) {
        capacity += arena->chunks[i].capacity;
        arena->memory->give(arena->chunks[i].start);
    }
    arena->count = 0;
    arena->stats.chunk_bytes = 0;
    return capacity;
}

void device_arena_free(device_arena *arena)
{
    if (!arena)
        return;
    drop_chunks(arena);
    assay_arena_free(arena->books);
    assay_free(arena);
}

/* A multiple of the alignment, never 0, so that two empty pieces differ. */
static bool round_size(int64_t *out, int64_t bytes)
{
    if (!assay_size_add(out, bytes == 0 ? 1 : bytes, ASSAY_ALIGNMENT - 1))
        return false;
    *out -= *out % ASSAY_ALIGNMENT;
    return true;
}

/* The entry for pieces of `bytes`, else the free entry where it belongs, else NULL: all taken. */
static spare_list *find_list(device_arena *arena, int64_t bytes)
{
    /* Fibonacci hashing: the high bits of the product with 2^64 / golden ratio. */
    uint64_t hash = (uint64_t)(bytes / ASSAY_ALIGNMENT) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    for (uint64_t i = 0; i < SIZES; i++) {
        spare_list *list = &arena->lists[(hash + i) % SIZES];
        if (list->bytes == bytes || list->bytes == 0)
            return list;
    }
    return NULL;
}

static void *take_released(device_arena *arena, int64_t rounded)
{
    spare_list *list = find_list(arena, rounded);
    if (!list || !list->first)
        return NULL;
    spare *taken = list->first;
    list->first = taken->next;
    taken->next = arena->unused;
    arena->unused = taken;
    return taken->piece;
}

static bool add_chunk(device_arena *arena, int64_t capacity, assay_error *error)
{
    if (arena->count == CHUNKS)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "step memory",
                          .what = "too many chunks");
    void *start = arena->memory->take(capacity, error);
    if (!start)
        return false;
    arena->chunks[arena->count++] = (chunk){.start = start, .capacity = capacity};
    arena->stats.chunk_bytes += capacity;
    if (!assay_size_mul(&arena->next_capacity, capacity, 2))
        arena->next_capacity = capacity;
    return true;
}

static void *take_fresh(device_arena *arena, int64_t rounded, assay_error *error)
{
    chunk *last = arena->count ? &arena->chunks[arena->count - 1] : NULL;
    if (!last || last->capacity - last->used < rounded) {
        int64_t least = arena->next_capacity;
        if (!add_chunk(arena, rounded > least ? rounded : least, error))
            return NULL;
        last = &arena->chunks[arena->count - 1];
    }
    char *start = last->start + last->used;
    last->used += rounded;
    arena->extent += rounded;
    if (arena->stats.peak_bytes < arena->extent)
        arena->stats.peak_bytes = arena->extent;
    return start;
}

void *device_arena_alloc(device_arena *arena, int64_t bytes, assay_error *error)
{
    int64_t rounded = 0;
    if (!round_size(&rounded, bytes)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "step memory", .what = "impossible size",
                   .got = assay_text("%lld bytes", (long long)bytes));
        return NULL;
    }
    void *taken = take_released(arena, rounded);
    if (!taken)
        taken = take_fresh(arena, rounded, error);
    if (taken)
        arena->stats.used_bytes += rounded;
    return taken;
}

void device_arena_release(device_arena *arena, void *piece, int64_t bytes)
{
    int64_t rounded = 0;
    if (!piece || !round_size(&rounded, bytes))
        return;
    arena->stats.used_bytes -= rounded;
    /* With the table full, or no memory for its entry, the piece just waits for the reset. */
    spare_list *list = find_list(arena, rounded);
    spare *entry = arena->unused;
    if (entry)
        arena->unused = entry->next;
    else
        entry = assay_arena_alloc(arena->books, (int64_t)sizeof *entry, NULL);
    if (!list || !entry)
        return;
    *entry = (spare){list->first, piece};
    *list = (spare_list){rounded, entry};
}

void device_arena_reset(device_arena *arena)
{
    memset(arena->lists, 0, sizeof arena->lists);
    assay_arena_reset(arena->books);
    arena->unused = NULL;
    arena->extent = 0;
    arena->stats.used_bytes = 0;
    /* The same requests cut the same bytes whatever the chunks, so one of the whole size serves
     * all. */
    if (arena->count > 1)
        arena->next_capacity = drop_chunks(arena);
    else if (arena->count == 1)
        arena->chunks[0].used = 0;
}

assay_arena_stats device_arena_stats(const device_arena *arena)
{
    return arena->stats;
}
