/* captured.h - what a call writes to stderr. */
#ifndef ASSAY_TESTS_DEVICES_CAPTURED_H
#define ASSAY_TESTS_DEVICES_CAPTURED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct captured {
    int stderr_was;
    FILE *file;
    char text[1024];
} captured;

static inline captured capture(void)
{
    captured c = {.file = tmpfile()};
    assert_non_null(c.file);
    fflush(stderr);
    c.stderr_was = dup(STDERR_FILENO);
    assert_true(c.stderr_was >= 0);
    assert_true(dup2(fileno(c.file), STDERR_FILENO) >= 0);
    return c;
}

/* Ends the capture and fails unless every one of the NULL-terminated `words` was written. */
static inline void expect_words(captured *c, const char *const words[])
{
    fflush(stderr);
    assert_true(dup2(c->stderr_was, STDERR_FILENO) >= 0);
    assert_int_equal(close(c->stderr_was), 0);
    rewind(c->file);
    size_t n = fread(c->text, 1, sizeof c->text - 1, c->file);
    c->text[n] = '\0';
    assert_int_equal(fclose(c->file), 0);
    for (int i = 0; words[i] != NULL; i++)
        if (strstr(c->text, words[i]) == NULL)
            fail_msg("'%s' is not in '%s'", words[i], c->text);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
