/* memory.c - counted allocation, checked sizes and arenas (assay/memory.h). */
#include <assay/memory.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Under AddressSanitizer the bytes that nobody may touch are poisoned: the header of a block, and
 * in an arena what is released, reset or not yet handed out. */
#ifdef __SANITIZE_ADDRESS__
#define ASSAY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASSAY_ASAN 1
#endif
#endif
#ifdef ASSAY_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes)   ASAN_POISON_MEMORY_REGION(address, (size_t)(bytes))
#define UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION(address, (size_t)(bytes))
#else
#define POISON(address, bytes)   ((void)(address), (void)(bytes))
#define UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#endif

enum {
    FREE_LISTS = 512,              /* distinct sizes that can wait for reuse; a power of two */
    DEFAULT_CHUNK = 1 << 20,       /* bytes */
    HUGE_PAGE_THRESHOLD = 4 << 20, /* bytes: two huge pages, one of them whole wherever it starts */
};

/* ---- checked sizes ---- */

bool assay_size_mul(int64_t *out, int64_t a, int64_t b)
{
    int64_t product;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool assay_size_add(int64_t *out, int64_t a, int64_t b)
{
    int64_t sum;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool assay_size_count(int64_t *out, int rank, const int64_t *shape)
{
    if (rank < 0)
        return false;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return false;
        empty = empty || shape[i] == 0;
    }
    /* An empty tensor has no elements whatever the product of its other sizes. */
    int64_t count = empty ? 0 : 1;
    for (int i = 0; i < rank && !empty; i++)
        if (!assay_size_mul(&count, count, shape[i]))
            return false;
    *out = count;
    return true;
}

/* ---- counted allocation ---- */

/* Stands before every block and keeps its size; as wide as the alignment, so that the block behind
 * it is aligned as well. */
typedef struct header {
    _Alignas(ASSAY_ALIGNMENT) int64_t bytes;
} header;

static _Atomic int64_t allocations, live_blocks, live_bytes, peak_bytes;
static _Atomic int64_t successes_left = -1; /* assay_memory_fail_after; negative: switched off */

static bool told_to_fail(void)
{
    int64_t left = atomic_load(&successes_left);
    while (left >= 0)
        if (atomic_compare_exchange_weak(&successes_left, &left, left - 1))
            return left == 0;
    return false;
}

static void count_block(int64_t bytes)
{
    atomic_fetch_add(&live_blocks, 1);
    int64_t live = atomic_fetch_add(&live_bytes, bytes) + bytes;
    int64_t peak = atomic_load(&peak_bytes);
    while (peak < live && !atomic_compare_exchange_weak(&peak_bytes, &peak, live))
        continue;
}

void *assay_alloc(int64_t bytes, assay_error *error)
{
    atomic_fetch_add(&allocations, 1);
    int64_t total;
    void *memory = NULL;
    if (!assay_size_add(&total, bytes, sizeof(header))) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "allocation", .what = "impossible size",
                   .got = assay_text("%lld bytes", (long long)bytes));
        return NULL;
    }
    if (told_to_fail() || posix_memalign(&memory, ASSAY_ALIGNMENT, (size_t)total) != 0) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "allocation", .what = "out of memory",
                   .expected = assay_text("%lld bytes", (long long)bytes),
                   .hint = "a smaller batch or model needs less");
        return NULL;
    }
    header *head = memory;
    head->bytes = bytes;
    POISON(head, sizeof *head);
    count_block(bytes);
    return head + 1;
}

void *assay_zalloc(int64_t bytes, assay_error *error)
{
    void *block = assay_alloc(bytes, error);
    if (block != NULL)
        memset(block, 0, (size_t)bytes);
    return block;
}

char *assay_strdup(const char *text, assay_error *error)
{
    size_t size = strlen(text) + 1;
    char *copy = assay_alloc((int64_t)size, error);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void assay_free(void *block)
{
    if (block == NULL)
        return;
    header *head = (header *)block - 1;
    UNPOISON(head, sizeof *head);
    atomic_fetch_sub(&live_blocks, 1);
    atomic_fetch_sub(&live_bytes, head->bytes);
    free(head);
}

assay_memory_stats assay_memory_stats_get(void)
{
    return (assay_memory_stats){
        .allocations = atomic_load(&allocations),
        .live_blocks = atomic_load(&live_blocks),
        .live_bytes = atomic_load(&live_bytes),
        .peak_bytes = atomic_load(&peak_bytes),
    };
}

void assay_memory_fail_after(int64_t n)
{
    atomic_store(&successes_left, n);
}

/* ---- arenas ---- */

/* Stands at the start of its memory; `capacity` bytes of pieces follow. */
typedef struct chunk {
    _Alignas(ASSAY_ALIGNMENT) struct chunk *older;
    int64_t capacity, used;
} chunk;

/* A released piece. The link is kept in the piece itself: the smallest piece has 64 bytes. */
typedef struct released {
    struct released *next;
} released;

/* The released pieces of one rounded size; 0 marks a free entry. */
typedef struct free_list {
    int64_t bytes;
    released *first;
} free_list;

struct assay_arena {
    chunk *newest;         /* the only one that pieces are cut from; NULL after a joining reset */
    int64_t next_capacity; /* of the next chunk, at least */
    int64_t extent;        /* bytes cut from the chunks since the last reset */
    void *note;            /* the user's, until the reset */
    assay_arena_stats stats;
    free_list lists[FREE_LISTS]; /* open addressing by size */
};

/* A multiple of the alignment, and never 0, so that two empty pieces differ and each has room for a
 * link. */
static bool round_size(int64_t *out, int64_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    if (!assay_size_add(out, bytes, ASSAY_ALIGNMENT - 1))
        return false;
    *out -= *out % ASSAY_ALIGNMENT;
    return true;
}

/* Only a hint, so its answer does not matter. */
static void ask_for_huge_pages(char *memory, int64_t bytes)
{
    if (bytes < HUGE_PAGE_THRESHOLD)
        return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t skip = (page - (uintptr_t)memory % page) % page;
    uintptr_t length = (uintptr_t)bytes - skip;
    (void)madvise(memory + skip, length - length % page, MADV_HUGEPAGE);
}

static bool add_chunk(assay_arena *arena, int64_t capacity, assay_error *error)
{
    int64_t total;
    if (!assay_size_add(&total, capacity, sizeof(chunk)))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "arena", .what = "impossible size",
                          .got = assay_text("%lld bytes", (long long)capacity));
    chunk *fresh = assay_alloc(total, error);
    if (fresh == NULL)
        return false;
    ask_for_huge_pages((char *)fresh, total);
    *fresh = (chunk){.older = arena->newest, .capacity = capacity};
    POISON(fresh + 1, capacity);
    arena->newest = fresh;
    arena->stats.chunk_bytes += total;
    if (!assay_size_mul(&arena->next_capacity, capacity, 2))
        arena->next_capacity = capacity;
    return true;
}

/* Frees every chunk and returns the sum of their capacities. */
static int64_t drop_chunks(assay_arena *arena)
{
    int64_t capacity = 0;
    while (arena->newest != NULL) {
        chunk *older = arena->newest->older;
        capacity += arena->newest->capacity;
        UNPOISON(arena->newest + 1, arena->newest->capacity);
        assay_free(arena->newest);
        arena->newest = older;
    }
    arena->stats.chunk_bytes = 0;
    return capacity;
}

assay_arena *assay_arena_new(int64_t first_chunk, assay_error *error)
{
    int64_t capacity;
    if (!round_size(&capacity, first_chunk == 0 ? DEFAULT_CHUNK : first_chunk)) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "arena", .what = "impossible first chunk",
                   .got = assay_text("%lld bytes", (long long)first_chunk));
        return NULL;
    }
    assay_arena *arena = assay_zalloc(sizeof *arena, error);
    if (arena != NULL && !add_chunk(arena, capacity, error)) {
        assay_free(arena);
        arena = NULL;
    }
    return arena;
}

void assay_arena_free(assay_arena *arena)
{
    if (arena == NULL)
        return;
    drop_chunks(arena);
    assay_free(arena);
}

/* The entry for pieces of `bytes`, else the free entry where it belongs, else NULL: all taken by
 * other sizes. */
static free_list *find_list(assay_arena *arena, int64_t bytes)
{
    /* Fibonacci hashing: the high bits of the product with 2^64 / golden ratio. */
    uint64_t hash = (uint64_t)(bytes / ASSAY_ALIGNMENT) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    for (uint64_t i = 0; i < FREE_LISTS; i++) {
        free_list *list = &arena->lists[(hash + i) % FREE_LISTS];
        if (list->bytes == bytes || list->bytes == 0)
            return list;
    }
    return NULL;
}

static void *take_released(assay_arena *arena, int64_t rounded)
{
    free_list *list = find_list(arena, rounded);
    if (list == NULL || list->first == NULL)
        return NULL;
    released *taken = list->first;
    UNPOISON(taken, sizeof *taken);
    list->first = taken->next;
    POISON(taken, sizeof *taken);
    return taken;
}

static void *take_fresh(assay_arena *arena, int64_t rounded, assay_error *error)
{
    chunk *newest = arena->newest;
    if (newest == NULL || newest->capacity - newest->used < rounded) {
        int64_t least = arena->next_capacity;
        if (!add_chunk(arena, rounded > least ? rounded : least, error))
            return NULL;
        newest = arena->newest;
    }
    char *start = (char *)(newest + 1) + newest->used;
    newest->used += rounded;
    arena->extent += rounded;
    if (arena->stats.peak_bytes < arena->extent)
        arena->stats.peak_bytes = arena->extent;
    return start;
}

void *assay_arena_alloc(assay_arena *arena, int64_t bytes, assay_error *error)
{
    int64_t rounded;
    if (!round_size(&rounded, bytes)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "arena", .what = "impossible size",
                   .got = assay_text("%lld bytes", (long long)bytes));
        return NULL;
    }
    void *taken = take_released(arena, rounded);
    if (taken == NULL)
        taken = take_fresh(arena, rounded, error);
    if (taken == NULL)
        return NULL;
    arena->stats.used_bytes += rounded;
    UNPOISON(taken, bytes);
    return taken;
}

void assay_arena_release(assay_arena *arena, void *piece, int64_t bytes)
{
    int64_t rounded;
    if (piece == NULL || !round_size(&rounded, bytes))
        return;
    arena->stats.used_bytes -= rounded;
    /* With the table full the piece just waits for the reset. */
    free_list *list = find_list(arena, rounded);
    if (list != NULL) {
        released *given = piece;
        UNPOISON(given, sizeof *given);
        given->next = list->first;
        *list = (free_list){.bytes = rounded, .first = given};
    }
    POISON(piece, rounded);
}

void assay_arena_reset(assay_arena *arena)
{
    memset(arena->lists, 0, sizeof arena->lists);
    arena->note = NULL;
    arena->extent = 0;
    arena->stats.used_bytes = 0;
    if (arena->newest == NULL)
        return;
    if (arena->newest->older != NULL) {
        /* The same requests cut the same bytes whatever the chunks, so one chunk of the whole size
         * serves them all. It is taken by the next request, which can report a failure. */
        arena->next_capacity = drop_chunks(arena);
        return;
    }
    arena->newest->used = 0;
    POISON(arena->newest + 1, arena->newest->capacity);
}

void **assay_arena_note(assay_arena *arena)
{
    return &arena->note;
}

assay_arena_stats assay_arena_stats_get(const assay_arena *arena)
{
    return arena->stats;
}
