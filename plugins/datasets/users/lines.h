/* lines.h - the lines of a text file, plain or gzip (told by its first bytes), one at a time in
 * bounded memory, hashed on the way. */
#ifndef USERS_LINES_H
#define USERS_LINES_H

#include <assay/error.h>

#include <stdint.h>

#define LINES_LONGEST (16 << 20) /* bytes of a line */

typedef struct line_reader line_reader;

typedef struct text_line {
    const char *text; /* without the newline; borrowed until the next call; no NUL at its end */
    int64_t bytes;
    int64_t number; /* from 1 */
    bool too_long;  /* above LINES_LONGEST: it was passed over, and `text` is empty */
} text_line;

/* Opens a regular file. The caller owns the reader. */
line_reader *lines_open(const char *path, assay_error *error);
void lines_close(line_reader *reader); /* accepts NULL */

/* 1: *out is the next line; 0: the end; -1: a failure of reading, or broken gzip. The last line
 * needs no newline. */
int lines_next(line_reader *reader, text_line *out, assay_error *error);

/* SHA-256 of the content (uncompressed) as 64 hex digits; after the end, once. */
void lines_sha256(line_reader *reader, char out[65]);

#endif
