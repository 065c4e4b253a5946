/* assay/error.h - errors as values.
 *
 * A function that can fail takes `assay_error *error` as its last argument and returns false or
 * NULL. The value says what went wrong, where, what was expected, what was got, and what to try.
 * Libraries fill it and return; only the command line prints it and chooses an exit status.
 *
 * `error` may be NULL when the caller wants the verdict only. The first failure wins: a value that
 * already holds a failure is never overwritten, so a chain of calls reports its cause. */
#ifndef ASSAY_ERROR_H
#define ASSAY_ERROR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum assay_code {
    ASSAY_OK = 0,
    ASSAY_BAD_INPUT,   /* an argument, option or value that the caller chose is wrong */
    ASSAY_BAD_SHAPE,   /* tensors that do not fit together */
    ASSAY_BAD_FILE,    /* a file whose content is malformed */
    ASSAY_IO,          /* the operating system refused a read, write, rename ... */
    ASSAY_NO_MEMORY,   /* an allocation failed, or a size does not fit in 63 bits */
    ASSAY_NOT_FINITE,  /* a NaN or an infinity where a number is due */
    ASSAY_UNSUPPORTED, /* understood, but this build or device cannot do it */
    ASSAY_STOPPED,     /* asked to end; not a failure of anything */
} assay_code;

/* UTF-8. Sizes include the closing NUL; longer texts are cut between two characters. An empty field
 * has nothing to say. */
typedef struct assay_error {
    assay_code code;
    char what[256];     /* "input width differs from the weight's" */
    char where[256];    /* "linear", "model.safetensors: tensor norm.weight", "sweep.lua:12" */
    char expected[192]; /* "(..., 64)" */
    char got[192];      /* "(3, 17, 65)" */
    char hint[192];     /* "the weight is stored as (out, in)" */
} assay_error;

/* The texts of one failure, as arguments of ASSAY_FAIL. Borrowed for the duration of the call. */
typedef struct assay_failure {
    const char *where, *what, *expected, *got, *hint;
} assay_failure;

/* Records a failure in `error` unless it holds one already. Always returns false, so that
 * `return ASSAY_FAIL(error, ASSAY_BAD_SHAPE, .where = "linear", .what = "...");` reads as one
 * sentence. Formatted texts come from assay_text(). */
bool assay_fail(assay_error *error, assay_code code, assay_failure failure);
#define ASSAY_FAIL(error, code, ...) assay_fail((error), (code), (assay_failure){__VA_ARGS__})

/* printf into one of 16 rotating thread-local buffers of 256 bytes. Borrowed: valid until the 16th
 * later call on the same thread. Never NULL; cut when too long. */
const char *assay_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The whole value as one line: `WHAT (WHERE); expected E, got G; hint: H`, absent parts left out
 * (for an absent WHAT stands the code's name) and control characters turned into spaces. Writes at
 * most `size` bytes including the NUL, and returns `out`. */
const char *assay_error_format(const assay_error *error, char *out, size_t size);

/* For hints: the word of `words` (n) nearest to `word` by edits (a transposition is one), or NULL
 * when none is near enough to be meant. Borrowed from `words`. */
const char *assay_nearest(const char *word, int n, const char *const *words);

/* Empties the value, so that it can take another failure. Accepts NULL. */
void assay_error_clear(assay_error *error);

/* "bad shape", "i/o" ...: the code's name for logs and tests. Static storage. */
const char *assay_code_name(assay_code code);

#endif
