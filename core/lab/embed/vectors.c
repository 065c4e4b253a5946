/* vectors.c - files of vectors, written as they come (embed.h). */
#include "lab/embed/embed.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct vectors_writer {
    vectors_format format;
    int64_t users, put, width;
    const embed_queries *queries; /* borrowed */
    assay_publisher *file;
    assay_publisher *rows; /* the file beside it; of JSONL NULL */
};

bool vectors_format_of(const char *path, vectors_format *out)
{
    static const char *const endings[] = {".jsonl", ".npy", ".safetensors"};
    size_t length = strlen(path);
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(endings[i]);
        if (length > n && strcmp(path + length - n, endings[i]) == 0) {
            *out = (vectors_format)i;
            return true;
        }
    }
    return false;
}

static bool write_text(assay_publisher *file, const char *text, assay_error *error)
{
    return assay_publish_write(file, text, (int64_t)strlen(text), error);
}

/* A JSON value as one line of text; owned by the caller (free is jansson's, so it is copied). */
static char *dump(json_t *value, assay_error *error)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *copy = text ? assay_strdup(text, error) : NULL;
    if (!text)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "a line cannot be written as JSON");
    free(text);
    json_decref(value);
    return copy;
}

/* The queries as a JSON array. */
static json_t *queries_json(const embed_queries *queries)
{
    json_t *list = json_array();
    for (int64_t i = 0; list && i < queries->count; i++)
        json_array_append_new(list, json_string(queries->texts[i]));
    return list;
}

/* ---- headers ---- */

/* NumPy's format 1.0: magic, version, length, a Python dictionary padded so that data is aligned to
 * 64 bytes. */
static bool write_npy_header(vectors_writer *to, assay_error *error)
{
    char header[256], dictionary[192];
    int n = snprintf(dictionary, sizeof dictionary,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64
                     ", %" PRId64 "), }",
                     to->users, to->queries->count, to->width);
    int total = (10 + n + 1 + 63) / 64 * 64, length = total - 10;
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(length & 255);
    header[9] = (char)(length >> 8);
    memcpy(header + 10, dictionary, (size_t)n);
    header[total - 1] = '\n';
    return assay_publish_write(to->file, header, total, error);
}

/* Eight bytes of length, then JSON padded with spaces so that data is aligned. */
static bool write_safetensors_header(vectors_writer *to, assay_error *error)
{
    const int64_t bytes = 4 * to->users * to->queries->count * to->width;
    char *queries = dump(queries_json(to->queries), error), *header = NULL;
    if (queries)
        header =
            dump(json_pack("{s:{s:s},s:{s:s,s:[I,I,I],s:[I,I]}}", "__metadata__", "queries",
                           queries, "embedding", "dtype", "F32", "shape", (json_int_t)to->users,
                           (json_int_t)to->queries->count, (json_int_t)to->width, "data_offsets",
                           (json_int_t)0, (json_int_t)bytes),
                 error);
    bool ok = header != NULL;
    if (ok) {
        const int64_t used = (int64_t)strlen(header), length = (used + 7) / 8 * 8;
        uint8_t size[8];
        for (int i = 0; i < 8; i++)
            size[i] = (uint8_t)(length >> (8 * i));
        ok = assay_publish_write(to->file, size, 8, error) &&
             assay_publish_write(to->file, header, used, error) &&
             assay_publish_write(to->file, "       ", length - used, error);
    }
    assay_free(header);
    assay_free(queries);
    return ok;
}

static bool write_header(vectors_writer *to, assay_error *error)
{
    if (to->format == VECTORS_JSONL)
        return true;
    char *queries = dump(json_pack("{s:o}", "queries", queries_json(to->queries)), error);
    bool ok = queries && write_text(to->rows, queries, error) &&
              write_text(to->rows, "\n", error) &&
              (to->format == VECTORS_NPY ? write_npy_header(to, error)
                                         : write_safetensors_header(to, error));
    assay_free(queries);
    return ok;
}

vectors_writer *vectors_open(const char *path, vectors_format format, int64_t users,
                             const embed_queries *queries, int64_t width, assay_error *error)
{
    int64_t bytes = 0;
    vectors_writer *to = assay_zalloc((int64_t)sizeof *to, error);
    if (!to)
        return NULL;
    *to = (vectors_writer){.format = format, .users = users, .queries = queries, .width = width};
    bool ok = (assay_size_mul(&bytes, users, queries->count) &&
               assay_size_mul(&bytes, bytes, 4 * width)) ||
              ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "too many vectors");
    if (ok)
        to->file = assay_publish_begin(path, error);
    if (to->file && format != VECTORS_JSONL)
        to->rows = assay_publish_begin(assay_text("%s.rows.jsonl", path), error);
    ok = to->file && (format == VECTORS_JSONL || to->rows) && write_header(to, error);
    if (ok)
        return to;
    vectors_abandon(to);
    return NULL;
}

/* ---- vectors ---- */

static json_t *id_json(const char *id, int64_t bytes)
{
    json_t *text = json_stringn(id, (size_t)bytes);
    return text ? text : json_stringn_nocheck("", 0); /* an id that is no UTF-8 */
}

static bool write_line(assay_publisher *file, json_t *value, assay_error *error)
{
    char *line = dump(value, error);
    bool ok = line && write_text(file, line, error) && write_text(file, "\n", error);
    assay_free(line);
    return ok;
}

/* Numbers in the fewest digits that read back as the same fp32. */
static bool write_vector(vectors_writer *to, const char *id, int64_t bytes, int64_t query,
                         const float *x, assay_error *error)
{
    char *user = dump(id_json(id, bytes), error), number[32];
    char *text = dump(json_string(to->queries->texts[query]), error);
    bool ok = user && text && write_text(to->file, "{\"user\":", error) &&
              write_text(to->file, user, error) && write_text(to->file, ",\"query\":", error) &&
              write_text(to->file, text, error) && write_text(to->file, ",\"embedding\":[", error);
    for (int64_t i = 0; i < to->width && ok; i++) {
        snprintf(number, sizeof number, "%s%.9g", i > 0 ? "," : "", (double)x[i]);
        ok = write_text(to->file, number, error);
    }
    assay_free(text);
    assay_free(user);
    return ok && write_text(to->file, "]}\n", error);
}

bool vectors_put(vectors_writer *to, const char *id, int64_t bytes, const float *x,
                 assay_error *error)
{
    bool ok = true;
    to->put++;
    if (to->format != VECTORS_JSONL)
        return write_line(to->rows, json_pack("{s:o}", "user", id_json(id, bytes)), error) &&
               assay_publish_write(to->file, x, 4 * to->queries->count * to->width, error);
    for (int64_t q = 0; q < to->queries->count && ok; q++)
        ok = write_vector(to, id, bytes, q, x + q * to->width, error);
    return ok;
}

bool vectors_commit(vectors_writer *to, assay_error *error)
{
    assay_publisher *file = to->file, *rows = to->rows;
    if (to->put != to->users) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .what = "some users have no vectors",
                   .expected = assay_text("%" PRId64, to->users),
                   .got = assay_text("%" PRId64, to->put));
        vectors_abandon(to);
        return false;
    }
    assay_free(to);
    if (rows && !assay_publish_commit(rows, error)) {
        assay_publish_abandon(file);
        return false;
    }
    return assay_publish_commit(file, error);
}

void vectors_abandon(vectors_writer *to)
{
    if (!to)
        return;
    assay_publish_abandon(to->file);
    assay_publish_abandon(to->rows);
    assay_free(to);
}
