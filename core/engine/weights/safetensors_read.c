/* safetensors_read.c - opens one safetensors file, trusting nothing in it.
 *
 * The whole header is checked before a file is handed out: the tensors must tile the data exactly,
 * from its first byte to its last, so that no later read can leave the mapping and no byte of a
 * file is there unseen. A refusal names the file, the tensor, and what was expected and got. */
#include "engine/weights/safetensors.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool bad_file(const stored_file *file, const char *what, const char *expected,
                     const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = file->path, .what = what,
                      .expected = expected, .got = got);
}

static bool bad_tensor(const stored_file *file, const char *name, const char *what,
                       const char *expected, const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = assay_text("%s: tensor %s", file->path, name),
                      .what = what, .expected = expected, .got = got);
}

/* What a JSON value is, for messages; NULL is an absent one. */
static const char *kind_of(const json_t *value)
{
    if (value == NULL)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return assay_text("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return "a number that is not an integer";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

/* ---- one entry of the header ---- */

static bool read_dtype(const stored_file *file, const json_t *entry, assay_stored *out,
                       assay_error *error)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype))
        return bad_tensor(file, out->name, "dtype is not a name", "a string", kind_of(dtype),
                          error);
    if (!stored_dtype_parse(json_string_value(dtype), &out->dtype))
        return bad_tensor(file, out->name, "unknown dtype",
                          "F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL",
                          json_string_value(dtype), error);
    return true;
}

/* Sets shape, rank and count; extents beyond the rank stay 0. */
static bool read_shape(const stored_file *file, const json_t *entry, assay_stored *out,
                       assay_error *error)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return bad_tensor(file, out->name, "shape is not a list", "a list of extents",
                          kind_of(shape), error);
    size_t rank = json_array_size(shape);
    if (rank > ASSAY_STORED_MAX_RANK)
        return bad_tensor(file, out->name, "the shape has too many axes",
                          assay_text("rank 0 .. %d", ASSAY_STORED_MAX_RANK),
                          assay_text("rank %zu", rank), error);
    out->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return bad_tensor(file, out->name, "an extent is not a size",
                              "an integer of at least 0", kind_of(extent), error);
        out->shape[i] = json_integer_value(extent);
    }
    if (!assay_size_count(&out->count, out->rank, out->shape))
        return bad_tensor(file, out->name, "the number of elements overflows",
                          "a product below 2^63", assay_shape_text(out->rank, out->shape), error);
    return true;
}

/* Sets data and bytes; dtype and count are known by then. */
static bool read_offsets(const stored_file *file, const json_t *entry, assay_stored *out,
                         assay_error *error)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0);
    const json_t *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return bad_tensor(file, out->name, "data_offsets is not a range", "a list of two integers",
                          json_is_array(offsets) ? "another list" : kind_of(offsets), error);
    int64_t begin = json_integer_value(first);
    int64_t end = json_integer_value(second);
    const char *range = assay_text("[%lld, %lld]", (long long)begin, (long long)end);
    if (begin < 0 || begin > end || end > file->data_bytes)
        return bad_tensor(file, out->name, "data_offsets lie outside the data",
                          assay_text("0 <= begin <= end <= %lld", (long long)file->data_bytes),
                          range, error);
    int64_t bytes;
    if (!assay_size_mul(&bytes, out->count, stored_dtype_size(out->dtype)) || bytes != end - begin)
        return bad_tensor(file, out->name, "data_offsets do not match dtype and shape",
                          assay_text("the bytes of %s of %s",
                                     assay_shape_text(out->rank, out->shape),
                                     assay_stored_dtype_name(out->dtype)),
                          assay_text("%lld bytes, %s", (long long)(end - begin), range), error);
    out->data = file->data + begin;
    out->bytes = bytes;
    return true;
}

static bool read_entry(const stored_file *file, const char *name, const json_t *entry,
                       assay_stored *out, assay_error *error)
{
    out->name = name;
    if (name[0] == '\0')
        return bad_file(file, "a tensor has no name", "a name of at least one character", "\"\"",
                        error);
    if (!json_is_object(entry))
        return bad_tensor(file, name, "the entry is not an object", "an object", kind_of(entry),
                          error);
    if (!read_dtype(file, entry, out, error) || !read_shape(file, entry, out, error) ||
        !read_offsets(file, entry, out, error))
        return false;
    if (json_object_size(entry) != 3)
        return bad_tensor(file, name, "the entry has unknown keys", "dtype, shape and data_offsets",
                          assay_text("%zu keys", json_object_size(entry)), error);
    return true;
}

static bool check_metadata(const stored_file *file, json_t *metadata, assay_error *error)
{
    if (!json_is_object(metadata))
        return bad_file(file, ASSAY_SAFETENSORS_METADATA " is not an object",
                        "an object of strings", kind_of(metadata), error);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return bad_file(file,
                            assay_text(ASSAY_SAFETENSORS_METADATA " value %s is not text", key),
                            "a string", kind_of(value), error);
    }
    return true;
}

/* ---- the whole file ---- */

/* Finds header and data in the mapping and parses the header. */
static bool read_header(stored_file *file, assay_error *error)
{
    int64_t file_bytes = file->mapping.bytes;
    if (file_bytes < ASSAY_SAFETENSORS_PREFIX)
        return bad_file(file, "the file is too short for a header length", "at least 8 bytes",
                        assay_text("%lld bytes", (long long)file_bytes), error);
    uint64_t length;
    memcpy(&length, file->mapping.data, sizeof length);
    uint64_t room = (uint64_t)(file_bytes - ASSAY_SAFETENSORS_PREFIX);
    if (length > ASSAY_SAFETENSORS_MAX_HEADER)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = file->path,
                          .what = "the header is too long",
                          .expected = assay_text("at most %d bytes", ASSAY_SAFETENSORS_MAX_HEADER),
                          .got = assay_text("%llu", (unsigned long long)length),
                          .hint = "is this a safetensors file?");
    if (length > room)
        return bad_file(file, "the header is longer than the file",
                        assay_text("at most %llu bytes", (unsigned long long)room),
                        assay_text("%llu", (unsigned long long)length), error);
    const char *text = (const char *)file->mapping.data + ASSAY_SAFETENSORS_PREFIX;
    if (length == 0 || text[0] != '{')
        return bad_file(file, "the header is not a JSON object", "'{' as its first byte",
                        length == 0 ? "an empty header" : "another byte", error);
    json_error_t reason;
    file->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
    if (file->header == NULL) {
        /* jansson has nothing to say when its memory ran out. */
        if (reason.text[0] == '\0')
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = file->path,
                              .what = "no memory for the header");
        return bad_file(file, "the header is not valid JSON", "JSON without duplicate names",
                        assay_text("%s, at byte %d", reason.text, reason.position), error);
    }
    file->data = (const uint8_t *)text + length;
    file->data_bytes = (int64_t)(room - length);
    return true;
}

static bool read_entries(stored_file *file, assay_error *error)
{
    int64_t most = (int64_t)json_object_size(file->header);
    int64_t bytes;
    int64_t pointers;
    if (!assay_size_mul(&bytes, most, sizeof *file->tensors) ||
        !assay_size_mul(&pointers, most, sizeof *file->by_data))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = file->path,
                          .what = "the file has too many tensors");
    file->tensors = assay_zalloc(bytes, error);
    file->by_data = assay_alloc(pointers, error);
    if (file->tensors == NULL || file->by_data == NULL)
        return false;
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, ASSAY_SAFETENSORS_METADATA) == 0) {
            if (!check_metadata(file, entry, error))
                return false;
            continue;
        }
        assay_stored *tensor = &file->tensors[file->count];
        if (!read_entry(file, name, entry, tensor, error))
            return false;
        file->by_data[file->count] = tensor;
        file->count++;
    }
    return true;
}

/* By first byte, empty tensors before the one that starts where they lie, then as in the header. */
static int compare_data(const void *a, const void *b)
{
    const assay_stored *x = *(const assay_stored *const *)a;
    const assay_stored *y = *(const assay_stored *const *)b;
    if (x->data != y->data)
        return (const uint8_t *)x->data < (const uint8_t *)y->data ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Needs by_data sorted: each tensor starts where the one before it ends. */
static bool check_tiling(const stored_file *file, assay_error *error)
{
    int64_t end = 0;
    for (int64_t i = 0; i < file->count; i++) {
        const assay_stored *tensor = file->by_data[i];
        int64_t begin = (const uint8_t *)tensor->data - file->data;
        if (begin != end)
            return bad_tensor(file, tensor->name,
                              begin < end ? "the tensor overlaps another"
                                          : "unused bytes lie before the tensor",
                              assay_text("data from byte %lld", (long long)end),
                              assay_text("from byte %lld", (long long)begin), error);
        end = begin + tensor->bytes;
    }
    if (end != file->data_bytes)
        return bad_file(file, "unused bytes follow the last tensor",
                        assay_text("%lld bytes of data", (long long)end),
                        assay_text("%lld", (long long)file->data_bytes), error);
    return true;
}

stored_file *stored_file_open(const char *path, assay_error *error)
{
    stored_file *file = assay_zalloc(sizeof *file, error);
    if (file == NULL)
        return NULL;
    file->path = assay_strdup(path, error);
    if (file->path == NULL || !assay_map(path, &file->mapping, error) ||
        !read_header(file, error) || !read_entries(file, error))
        goto fail;
    qsort(file->by_data, (size_t)file->count, sizeof *file->by_data, compare_data);
    if (!check_tiling(file, error))
        goto fail;
    return file;
fail:
    stored_file_close(file);
    return NULL;
}

void stored_file_close(stored_file *file)
{
    if (file == NULL)
        return;
    json_decref(file->header);
    assay_free(file->tensors);
    assay_free(file->by_data);
    assay_unmap(&file->mapping);
    assay_free(file->path);
    assay_free(file);
}
