/* lines.c - see lines.h. zlib reads plain files as they are, so there is one path for both. */
#include "lines.h"

#include <assay/hash.h>
#include <assay/memory.h>

#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define FIRST_CAPACITY (256 << 10)

struct line_reader {
    gzFile file;
    char *path;
    assay_sha256 hash;
    char *data; /* [start, end) is read and not given out yet */
    int64_t start, end, capacity, number;
    bool finished; /* the file has no more */
};

line_reader *lines_open(const char *path, assay_error *error)
{
    struct stat status;
    line_reader *reader = assay_zalloc(sizeof *reader, error);
    if (reader == NULL)
        return NULL;
    assay_sha256_begin(&reader->hash);
    reader->capacity = FIRST_CAPACITY;
    reader->path = assay_strdup(path, error);
    reader->data = assay_alloc(reader->capacity, error);
    if (reader->path == NULL || reader->data == NULL)
        goto failed;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) {
        ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "this is no file that can be read",
                   .got = S_ISDIR(status.st_mode) ? "a folder" : NULL);
        goto failed;
    }
    reader->file = gzopen(path, "rbe");
    if (reader->file == NULL) {
        ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "cannot open the file",
                   .got = assay_text("%m"));
        goto failed;
    }
    return reader;
failed:
    lines_close(reader);
    return NULL;
}

void lines_close(line_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->file != NULL)
        gzclose(reader->file);
    assay_free(reader->path);
    assay_free(reader->data);
    assay_free(reader);
}

/* Makes room behind `end`: by moving what is left to the front, then by doubling. */
static bool make_room(line_reader *reader, assay_error *error)
{
    int64_t left = reader->end - reader->start;
    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, (size_t)left);
    } else if (reader->end == reader->capacity) {
        char *larger = assay_alloc(2 * reader->capacity, error);
        if (larger == NULL)
            return false;
        memcpy(larger, reader->data, (size_t)left);
        assay_free(reader->data);
        reader->data = larger;
        reader->capacity *= 2;
    }
    reader->start = 0;
    reader->end = left;
    return true;
}

static bool read_more(line_reader *reader, assay_error *error)
{
    if (reader->end == reader->capacity && !make_room(reader, error))
        return false;
    char *to = reader->data + reader->end;
    int got = gzread(reader->file, to, (unsigned)(reader->capacity - reader->end));
    int status = Z_OK;
    const char *message = gzerror(reader->file, &status);
    if (got < 0 || (got == 0 && status != Z_OK && status != Z_STREAM_END)) {
        bool system = status == Z_ERRNO;
        return ASSAY_FAIL(error, system ? ASSAY_IO : ASSAY_BAD_FILE, .where = reader->path,
                          .what = system ? "cannot read the file" : "the gzip stream is broken",
                          .got = system ? assay_text("%m") : message);
    }
    assay_sha256_add(&reader->hash, to, (size_t)got);
    reader->end += got;
    reader->finished = got == 0;
    return true;
}

/* Passes over the rest of a line that is too long, keeping nothing of it. */
static bool pass_over(line_reader *reader, assay_error *error)
{
    for (;;) {
        char *newline =
            memchr(reader->data + reader->start, '\n', (size_t)(reader->end - reader->start));
        if (newline != NULL) {
            reader->start = newline + 1 - reader->data;
            return true;
        }
        reader->start = reader->end = 0;
        if (reader->finished)
            return true;
        if (!read_more(reader, error))
            return false;
    }
}

int lines_next(line_reader *reader, text_line *out, assay_error *error)
{
    int64_t seen = 0; /* of what is read, and without a newline */
    for (;;) {
        char *from = reader->data + reader->start;
        int64_t left = reader->end - reader->start;
        char *newline = memchr(from + seen, '\n', (size_t)(left - seen));
        bool complete = newline != NULL || reader->finished;
        if (complete && left == 0)
            return 0;
        int64_t bytes = newline != NULL ? newline - from : left;
        if (complete && bytes <= LINES_LONGEST) {
            *out = (text_line){.text = from, .bytes = bytes, .number = ++reader->number};
            reader->start += bytes + (newline != NULL);
            return 1;
        }
        if (bytes > LINES_LONGEST) {
            *out = (text_line){.text = "", .number = ++reader->number, .too_long = true};
            return pass_over(reader, error) ? 1 : -1;
        }
        seen = left;
        if (!read_more(reader, error))
            return -1;
    }
}

void lines_sha256(line_reader *reader, char out[65])
{
    uint8_t digest[32];
    assay_sha256_end(&reader->hash, digest);
    assay_sha256_hex(digest, out);
}
