/* pool.c - device memory, kept and handed out again.
 *
 * cudaMalloc and cudaFree wait for the whole GPU, so what is given back stays here and serves the
 * next piece that it fits: small pieces by their rounded size, large ones by the smallest that is
 * at most a quarter too large. One stream computes, so a piece may be used again at once: what
 * still reads it was launched before what will write it. When the GPU has no more, what lies unused
 * is freed and the request made once more. */
#include "memory.h"

#include <assay/memory.h>

enum {
    SMALL_STEP = 512,     /* bytes that small pieces are rounded up to */
    LARGE_STEP = 2 << 20, /* and large ones: the GPU's own pages */
    LARGE_FROM = 1 << 20,
};

/* A piece of the GPU's memory, in use or waiting. */
typedef struct block {
    struct block *next;
    void *start;
    int64_t bytes;
    bool used;
} block;

typedef struct pool {
    block *blocks;
    int64_t held, used, peak, takes;
} pool;

static pool all;

static bool round_up(int64_t *out, int64_t bytes)
{
    int64_t step = bytes < LARGE_FROM ? SMALL_STEP : LARGE_STEP;
    if (!assay_size_add(out, bytes == 0 ? 1 : bytes, step - 1))
        return false;
    *out -= *out % step;
    return true;
}

static block *smallest_that_fits(int64_t bytes)
{
    block *best = NULL;
    for (block *b = all.blocks; b; b = b->next)
        if (!b->used && b->bytes >= bytes && b->bytes - bytes <= bytes / 4 &&
            (!best || b->bytes < best->bytes))
            best = b;
    return best;
}

/* Frees what nobody uses; true when that was anything. */
static bool free_unused(void)
{
    bool any = false;
    (void)cuda_ok(cudaStreamSynchronize(cuda_compute_stream()), "cudaStreamSynchronize");
    for (block **at = &all.blocks; *at;) {
        block *b = *at;
        if (b->used) {
            at = &b->next;
            continue;
        }
        (void)cuda_ok(cudaFree(b->start), "cudaFree");
        all.held -= b->bytes;
        any = true;
        *at = b->next;
        assay_free(b);
    }
    return any;
}

static const char *size_text(int64_t bytes)
{
    return bytes < 1 << 20 ? assay_text("%.1f KiB", (double)bytes / (1 << 10))
                           : assay_text("%.1f MiB", (double)bytes / (1 << 20));
}

static block *ask_gpu(int64_t bytes, assay_error *error)
{
    block *b = assay_zalloc((int64_t)sizeof *b, error);
    if (!b)
        return NULL;
    cudaError_t status = cudaMalloc(&b->start, (size_t)bytes);
    if (status == cudaErrorMemoryAllocation && free_unused()) {
        (void)cudaGetLastError();
        status = cudaMalloc(&b->start, (size_t)bytes);
    }
    if (status == cudaSuccess) {
        *b = (block){.next = all.blocks, .start = b->start, .bytes = bytes};
        all.blocks = b;
        all.held += bytes;
        return b;
    }
    size_t left = 0, whole = 0;
    (void)cudaGetLastError();
    if (cudaMemGetInfo(&left, &whole) != cudaSuccess)
        left = whole = 0;
    assay_free(b);
    ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "cuda",
               .what = status == cudaErrorMemoryAllocation ? "the GPU's memory is full"
                                                           : cudaGetErrorString(status),
               .expected = assay_text("%s more", size_text(bytes)),
               .got = assay_text("%s of %s free, %s in use by this run", size_text((int64_t)left),
                                 size_text((int64_t)whole), size_text(all.used)),
               .hint =
                   "a smaller batch needs less: lower train.batch, or raise train.accumulate or "
                   "train.pieces");
    return NULL;
}

void *pool_take(int64_t bytes, assay_error *error)
{
    int64_t rounded = 0;
    if (bytes < 0 || !round_up(&rounded, bytes)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "cuda", .what = "impossible size",
                   .got = assay_text("%lld bytes", (long long)bytes));
        return NULL;
    }
    block *b = smallest_that_fits(rounded);
    if (!b)
        b = ask_gpu(rounded, error);
    if (!b)
        return NULL;
    b->used = true;
    all.takes++;
    all.used += b->bytes;
    if (all.peak < all.used)
        all.peak = all.used;
    return b->start;
}

void pool_give(void *piece)
{
    for (block *b = all.blocks; b && piece; b = b->next)
        if (b->start == piece && b->used) {
            b->used = false;
            all.used -= b->bytes;
            return;
        }
    if (piece)
        cuda_note_failure("give", "the piece is not the pool's, or was given back before");
}

int64_t pool_takes(void)
{
    return all.takes;
}

int64_t pool_held(void)
{
    return all.held;
}

int64_t pool_peak(void)
{
    return all.peak;
}
