/* standin/library.h - what the stand-ins of cuBLASLt and cuDNN share: handles and descriptors that
 * know whether they are alive, refusals, and products.
 *
 * A call that breaks a rule of its library is refused: one line on stderr (the function, what is
 * wrong, what was expected, what came), and the library's own error status for the caller to
 * report. */
#ifndef ASSAY_TESTS_STANDIN_LIBRARY_H
#define ASSAY_TESTS_STANDIN_LIBRARY_H

#include "standin.h"

/* The first member of every handle and descriptor. */
typedef struct standin_object {
    const char *kind; /* "cublasLt handle": compared by address */
    bool alive;
    struct standin_object *next;
} standin_object;

/* `bytes` of zeros that begin with a living object; counted until it is destroyed. */
void *standin_object_new(const char *kind, size_t bytes);
/* True when `object` is a living one of this kind; what is not is refused in the name of
 * `function`. */
bool standin_object_alive(const char *function, const char *kind, const void *object);
/* Its memory is kept, so that a dead descriptor is known as one for ever. */
void standin_object_destroy(void *object);

/* One line on stderr: "FUNCTION: WHAT: expected EXPECTED, got GOT". Returns false. */
bool standin_refuse(const char *function, const char *what, const char *expected, const char *got);
/* `holds`, or refuses with two numbers. */
bool standin_require(bool holds, const char *function, const char *what, int64_t expected,
                     int64_t got);
/* True when device code may touch `bytes` at p and p is a multiple of `alignment`. */
bool standin_require_array(const char *function, const char *what, const void *p, int64_t bytes,
                           int64_t alignment);

/* A row-major product (m, n) = alpha op(A) op(B) + beta C, in fp32. With `tf32` the factors are
 * rounded to 11 significant bits first, as tensor cores round them. */
typedef struct standin_product {
    bool transpose_a, transpose_b, tf32;
    int64_t m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b;
    float *c;
} standin_product;

void standin_multiply(const standin_product *product);

/* malloc that cannot fail: a fault says for what. */
void *standin_memory(int64_t bytes, const char *what);

#endif
