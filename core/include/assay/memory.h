/* assay/memory.h - counted allocation, checked sizes, and arenas by lifetime.
 *
 * Memory has three lifetimes: the run (parameters, moments: assay_alloc), the step (activations,
 * gradients of activations: one arena that is reset), and the call (scratch, taken from the step
 * arena and released to it). After the first steps a training step takes nothing from
 * assay_alloc; tests count that. */
#ifndef ASSAY_MEMORY_H
#define ASSAY_MEMORY_H

#include <assay/error.h>

#include <stdint.h>

/* Every block and every arena piece starts at a multiple of this many bytes: one AVX-512 vector and
 * one cache line. */
#define ASSAY_ALIGNMENT 64

/* ---- checked sizes ----
 * Sizes are int64_t everywhere. These return false, and leave *out alone, when an operand is
 * negative or the result does not fit. */
bool assay_size_mul(int64_t *out, int64_t a, int64_t b);
bool assay_size_add(int64_t *out, int64_t a, int64_t b);
/* The product of shape[0..rank-1]; 1 for rank 0, and 0 when any size is 0. */
bool assay_size_count(int64_t *out, int rank, const int64_t *shape);

/* ---- counted allocation ----
 * Blocks are aligned to ASSAY_ALIGNMENT and not cleared (assay_alloc) or cleared (assay_zalloc). A
 * size of 0 gives a block that may be freed and not touched. NULL with ASSAY_NO_MEMORY on failure.
 * The caller owns the block and frees it with assay_free, which accepts NULL. Thread-safe. */
void *assay_alloc(int64_t bytes, assay_error *error);
void *assay_zalloc(int64_t bytes, assay_error *error);
/* A copy of a NUL-terminated string. The caller owns it (assay_free). */
char *assay_strdup(const char *text, assay_error *error);
void assay_free(void *block);

typedef struct assay_memory_stats {
    int64_t allocations; /* calls of assay_alloc/assay_zalloc/assay_strdup since the start */
    int64_t live_blocks; /* blocks not yet freed */
    int64_t live_bytes;  /* bytes in them, as asked for */
    int64_t peak_bytes;  /* the largest live_bytes so far */
} assay_memory_stats;
assay_memory_stats assay_memory_stats_get(void);

/* For tests: the n-th allocation from now (0: the next) fails, once; -1 switches it off. */
void assay_memory_fail_after(int64_t n);

/* ---- arenas ----
 * An arena gives pieces and takes them all back at once. It grows by chunks; a reset joins them to
 * one chunk of the whole size, so an arena that has seen its largest step never allocates again.
 * A piece may also be released early: it then serves the next request of the same rounded size.
 * Not thread-safe: one arena belongs to one thread at a time. */
typedef struct assay_arena assay_arena;

/* An arena whose first chunk holds `first_chunk` bytes (0: 1 MiB). The caller owns it. */
assay_arena *assay_arena_new(int64_t first_chunk, assay_error *error);
void assay_arena_free(assay_arena *arena);

/* `bytes` uninitialised bytes, aligned. Borrowed: valid until reset, release or free. */
void *assay_arena_alloc(assay_arena *arena, int64_t bytes, assay_error *error);

/* Gives a piece back early; `bytes` must be what was asked for. NULL is accepted. Under
 * AddressSanitizer a use after release, reset or the piece's end is reported. */
void assay_arena_release(assay_arena *arena, void *piece, int64_t bytes);

/* Takes every piece back and keeps the memory; several chunks are freed, and the next request takes
 * one chunk of their whole size. */
void assay_arena_reset(assay_arena *arena);

/* A pointer that the arena keeps for its user: NULL at first and after a reset. */
void **assay_arena_note(assay_arena *arena);

typedef struct assay_arena_stats {
    int64_t used_bytes;  /* handed out and not released, rounded up to the alignment */
    int64_t peak_bytes;  /* the most cut from chunks between two resets; reuse cuts nothing */
    int64_t chunk_bytes; /* held from assay_alloc */
} assay_arena_stats;
assay_arena_stats assay_arena_stats_get(const assay_arena *arena);

#endif
