/* assay/random.h - random numbers that are addressed, not consumed.
 *
 * A number is a function of (seed, name, step, index) and of nothing else: adding a dropout layer
 * cannot shift the data order, and a resumed run has nothing to replay. The generator is
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the key is
 * made of seed and name, the counter of step and index. */
#ifndef ASSAY_RANDOM_H
#define ASSAY_RANDOM_H

#include <stdint.h>

/* A stream of 2^64 numbers. A plain value: copy it freely, share it between threads. Bits,
 * uniforms, normals and integers of one stream come from the same words: give each purpose a name
 * of its own. */
typedef struct assay_stream {
    uint32_t key[2];
    uint32_t step[2];
} assay_stream;

/* The stream of (seed, name, step). `name` is a path such as "dropout/layers.3" or "data/order". */
assay_stream assay_stream_of(uint64_t seed, const char *name, uint64_t step);

/* Philox4x32-10 itself: four words of output for a counter and a key. */
void assay_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* 32 random bits at `index`. */
uint32_t assay_random_bits(assay_stream stream, uint64_t index);
/* Uniform in [0, 1), a multiple of 2^-24, so that it is exact in fp32. */
float assay_random_uniform(assay_stream stream, uint64_t index);
/* Standard normal (Box-Muller on two uniforms of the same counter). */
float assay_random_normal(assay_stream stream, uint64_t index);
/* Uniform in 0 .. n-1 for n >= 1, by a 128-bit multiply of 64 random bits: no value is off its
 * share by more than n / 2^64 of it. */
int64_t assay_random_below(assay_stream stream, uint64_t index, int64_t n);
/* A permutation of 0 .. n-1 into out[n] (Fisher-Yates over the stream). */
void assay_random_permutation(assay_stream stream, int64_t n, int64_t *out);

/* Element `index` of another permutation of 0 .. n-1, worked out by itself: for orders of sets that
 * are too large for a table. n at most 2^62. */
int64_t assay_random_permuted(assay_stream stream, int64_t n, int64_t index);

/* out[i] for i = 0 .. n-1 equals the single call at index first + i, computed in blocks. */
void assay_random_fill_uniform(assay_stream stream, uint64_t first, int64_t n, float *out);
void assay_random_fill_normal(assay_stream stream, uint64_t first, int64_t n, float *out);

#endif
