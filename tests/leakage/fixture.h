/* fixture.h - what the tests of this room share: addressed random tensors, a small random decoder,
 * and comparisons. A helper that cannot do its work fails the running test. */
#ifndef LEAKAGE_FIXTURE_H
#define LEAKAGE_FIXTURE_H

#include <assay/blocks.h>

enum { HEADS = 4, KV_HEADS = 2, HEAD_WIDTH = 8, WIDTH = 16, VOCABULARY = 24, POSITIONS = 160 };

/* The devices under test: the machine's best kernels, and the plain ones. Static storage. */
enum { DEVICES = 2 };
const assay_device *fixture_device(int index);
assay_tape *fixture_tape(const assay_device *device);
/* Begins a pass that records gradients. */
void fixture_begin(assay_tape *tape, bool training);
/* Fails the test with the tape's error if it holds one. */
void fixture_sound(const assay_tape *tape);

/* A leaf of standard normal numbers from the stream of `name`, wanting a gradient. */
assay_tensor *fixture_normal(const char *name, int rank, const int64_t *shape);
/* An i32 leaf (n) of the given values. */
assay_tensor *fixture_ints(int64_t n, const int32_t *values);
/* Token ids (B, T) from the stream of `name`. */
assay_tensor *fixture_ids(const char *name, int64_t batch, int64_t tokens);

/* A decoder with grouped-query attention and rotary positions, every weight random. */
typedef struct fixture_model {
    assay_params *params;
    assay_decoder *decoder;
} fixture_model;
fixture_model fixture_model_new(int64_t layers, uint64_t seed);
void fixture_model_free(fixture_model *model);

/* Fails unless |a - b| <= tolerance * max(|b|, 1e-30) in the Euclidean norm of n numbers, which
 * have to be finite. */
void fixture_close(const float *a, const float *b, int64_t n, double tolerance, const char *what);
/* Fails unless the bits of n numbers agree; -0 and 0 count as equal. */
void fixture_equal(const float *a, const float *b, int64_t n, const char *what);
void fixture_zero(const float *a, int64_t n, const char *what);

#endif
