/* safetensors_read.c - opens safetensors files, trusting nothing in them.
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

/* Longer names are not offered as near ones: the comparison costs the product of the lengths. */

struct assay_weights {
    char *path;
    assay_mapping mapping;
    json_t *header;      /* owns the names and the metadata */
    const uint8_t *data; /* in the mapping, behind the header */
    int64_t data_bytes;
    int64_t count;
    assay_stored *tensors; /* in the order of the header; the two orders below point into it */
    const assay_stored **by_data;
    const assay_stored **by_name;
};

static bool bad_file(const assay_weights *weights, const char *what, const char *expected,
                     const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = weights->path, .what = what,
                      .expected = expected, .got = got);
}

static bool bad_tensor(const assay_weights *weights, const char *name, const char *what,
                       const char *expected, const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                      .where = assay_text("%s: tensor %s", weights->path, name), .what = what,
                      .expected = expected, .got = got);
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

static bool read_dtype(const assay_weights *weights, const json_t *entry, assay_stored *out,
                       assay_error *error)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype))
        return bad_tensor(weights, out->name, "dtype is not a name", "a string", kind_of(dtype),
                          error);
    if (!stored_dtype_parse(json_string_value(dtype), &out->dtype))
        return bad_tensor(weights, out->name, "unknown dtype",
                          "F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL",
                          json_string_value(dtype), error);
    return true;
}

/* Sets shape, rank and count; extents beyond the rank stay 0. */
static bool read_shape(const assay_weights *weights, const json_t *entry, assay_stored *out,
                       assay_error *error)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return bad_tensor(weights, out->name, "shape is not a list", "a list of extents",
                          kind_of(shape), error);
    size_t rank = json_array_size(shape);
    if (rank > ASSAY_STORED_MAX_RANK)
        return bad_tensor(weights, out->name, "the shape has too many axes",
                          assay_text("rank 0 .. %d", ASSAY_STORED_MAX_RANK),
                          assay_text("rank %zu", rank), error);
    out->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return bad_tensor(weights, out->name, "an extent is not a size",
                              "an integer of at least 0", kind_of(extent), error);
        out->shape[i] = json_integer_value(extent);
    }
    if (!assay_size_count(&out->count, out->rank, out->shape))
        return bad_tensor(weights, out->name, "the number of elements overflows",
                          "a product below 2^63", assay_shape_text(out->rank, out->shape), error);
    return true;
}

/* Sets data and bytes; dtype and count are known by then. */
static bool read_offsets(const assay_weights *weights, const json_t *entry, assay_stored *out,
                         assay_error *error)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0);
    const json_t *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return bad_tensor(weights, out->name, "data_offsets is not a range",
                          "a list of two integers",
                          json_is_array(offsets) ? "another list" : kind_of(offsets), error);
    int64_t begin = json_integer_value(first);
    int64_t end = json_integer_value(second);
    const char *range = assay_text("[%lld, %lld]", (long long)begin, (long long)end);
    if (begin < 0 || begin > end || end > weights->data_bytes)
        return bad_tensor(weights, out->name, "data_offsets lie outside the data",
                          assay_text("0 <= begin <= end <= %lld", (long long)weights->data_bytes),
                          range, error);
    int64_t bytes;
    if (!assay_size_mul(&bytes, out->count, stored_dtype_size(out->dtype)) || bytes != end - begin)
        return bad_tensor(weights, out->name, "data_offsets do not match dtype and shape",
                          assay_text("the bytes of %s of %s",
                                     assay_shape_text(out->rank, out->shape),
                                     assay_stored_dtype_name(out->dtype)),
                          assay_text("%lld bytes, %s", (long long)(end - begin), range), error);
    out->data = weights->data + begin;
    out->bytes = bytes;
    return true;
}

static bool read_entry(const assay_weights *weights, const char *name, const json_t *entry,
                       assay_stored *out, assay_error *error)
{
    out->name = name;
    if (name[0] == '\0')
        return bad_file(weights, "a tensor has no name", "a name of at least one character", "\"\"",
                        error);
    if (!json_is_object(entry))
        return bad_tensor(weights, name, "the entry is not an object", "an object", kind_of(entry),
                          error);
    if (!read_dtype(weights, entry, out, error) || !read_shape(weights, entry, out, error) ||
        !read_offsets(weights, entry, out, error))
        return false;
    if (json_object_size(entry) != 3)
        return bad_tensor(weights, name, "the entry has unknown keys",
                          "dtype, shape and data_offsets",
                          assay_text("%zu keys", json_object_size(entry)), error);
    return true;
}

static bool check_metadata(const assay_weights *weights, json_t *metadata, assay_error *error)
{
    if (!json_is_object(metadata))
        return bad_file(weights, ASSAY_SAFETENSORS_METADATA " is not an object",
                        "an object of strings", kind_of(metadata), error);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return bad_file(weights,
                            assay_text(ASSAY_SAFETENSORS_METADATA " value %s is not text", key),
                            "a string", kind_of(value), error);
    }
    return true;
}

/* ---- the whole file ---- */

/* Finds header and data in the mapping and parses the header. */
static bool read_header(assay_weights *weights, assay_error *error)
{
    int64_t file_bytes = weights->mapping.bytes;
    if (file_bytes < ASSAY_SAFETENSORS_PREFIX)
        return bad_file(weights, "the file is too short for a header length", "at least 8 bytes",
                        assay_text("%lld bytes", (long long)file_bytes), error);
    uint64_t length;
    memcpy(&length, weights->mapping.data, sizeof length);
    uint64_t room = (uint64_t)(file_bytes - ASSAY_SAFETENSORS_PREFIX);
    if (length > ASSAY_SAFETENSORS_MAX_HEADER)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = weights->path,
                          .what = "the header is too long",
                          .expected = assay_text("at most %d bytes", ASSAY_SAFETENSORS_MAX_HEADER),
                          .got = assay_text("%llu", (unsigned long long)length),
                          .hint = "is this a safetensors file?");
    if (length > room)
        return bad_file(weights, "the header is longer than the file",
                        assay_text("at most %llu bytes", (unsigned long long)room),
                        assay_text("%llu", (unsigned long long)length), error);
    const char *text = (const char *)weights->mapping.data + ASSAY_SAFETENSORS_PREFIX;
    if (length == 0 || text[0] != '{')
        return bad_file(weights, "the header is not a JSON object", "'{' as its first byte",
                        length == 0 ? "an empty header" : "another byte", error);
    json_error_t reason;
    weights->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
    if (weights->header == NULL) {
        /* jansson has nothing to say when its memory ran out. */
        if (reason.text[0] == '\0')
            return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = weights->path,
                              .what = "no memory for the header");
        return bad_file(weights, "the header is not valid JSON", "JSON without duplicate names",
                        assay_text("%s, at byte %d", reason.text, reason.position), error);
    }
    weights->data = (const uint8_t *)text + length;
    weights->data_bytes = (int64_t)(room - length);
    return true;
}

static bool read_entries(assay_weights *weights, assay_error *error)
{
    int64_t most = (int64_t)json_object_size(weights->header);
    int64_t bytes;
    int64_t pointers;
    if (!assay_size_mul(&bytes, most, sizeof *weights->tensors) ||
        !assay_size_mul(&pointers, most, sizeof *weights->by_data))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = weights->path,
                          .what = "the file has too many tensors");
    weights->tensors = assay_zalloc(bytes, error);
    weights->by_data = assay_alloc(pointers, error);
    weights->by_name = assay_alloc(pointers, error);
    if (weights->tensors == NULL || weights->by_data == NULL || weights->by_name == NULL)
        return false;
    const char *name;
    json_t *entry;
    json_object_foreach(weights->header, name, entry)
    {
        if (strcmp(name, ASSAY_SAFETENSORS_METADATA) == 0) {
            if (!check_metadata(weights, entry, error))
                return false;
            continue;
        }
        assay_stored *tensor = &weights->tensors[weights->count];
        if (!read_entry(weights, name, entry, tensor, error))
            return false;
        weights->by_data[weights->count] = tensor;
        weights->by_name[weights->count] = tensor;
        weights->count++;
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

static int compare_names(const void *a, const void *b)
{
    const assay_stored *x = *(const assay_stored *const *)a;
    const assay_stored *y = *(const assay_stored *const *)b;
    return strcmp(x->name, y->name);
}

static int compare_name_with(const void *name, const void *tensor)
{
    return strcmp(name, (*(const assay_stored *const *)tensor)->name);
}

/* Needs by_data sorted: each tensor starts where the one before it ends. */
static bool check_tiling(const assay_weights *weights, assay_error *error)
{
    int64_t end = 0;
    for (int64_t i = 0; i < weights->count; i++) {
        const assay_stored *tensor = weights->by_data[i];
        int64_t begin = (const uint8_t *)tensor->data - weights->data;
        if (begin != end)
            return bad_tensor(weights, tensor->name,
                              begin < end ? "the tensor overlaps another"
                                          : "unused bytes lie before the tensor",
                              assay_text("data from byte %lld", (long long)end),
                              assay_text("from byte %lld", (long long)begin), error);
        end = begin + tensor->bytes;
    }
    if (end != weights->data_bytes)
        return bad_file(weights, "unused bytes follow the last tensor",
                        assay_text("%lld bytes of data", (long long)end),
                        assay_text("%lld", (long long)weights->data_bytes), error);
    return true;
}

assay_weights *assay_weights_open(const char *path, assay_error *error)
{
    assay_weights *weights = assay_zalloc(sizeof *weights, error);
    if (weights == NULL)
        return NULL;
    weights->path = assay_strdup(path, error);
    if (weights->path == NULL || !assay_map(path, &weights->mapping, error) ||
        !read_header(weights, error) || !read_entries(weights, error))
        goto fail;
    qsort(weights->by_data, (size_t)weights->count, sizeof *weights->by_data, compare_data);
    qsort(weights->by_name, (size_t)weights->count, sizeof *weights->by_name, compare_names);
    if (!check_tiling(weights, error))
        goto fail;
    return weights;
fail:
    assay_weights_close(weights);
    return NULL;
}

void assay_weights_close(assay_weights *weights)
{
    if (weights == NULL)
        return;
    json_decref(weights->header);
    assay_free(weights->tensors);
    assay_free(weights->by_data);
    assay_free(weights->by_name);
    assay_unmap(&weights->mapping);
    assay_free(weights->path);
    assay_free(weights);
}

/* ---- looking things up ---- */

int64_t assay_weights_count(const assay_weights *weights)
{
    return weights->count;
}

const assay_stored *assay_weights_at(const assay_weights *weights, int64_t i)
{
    return weights->by_data[i];
}

const assay_stored *assay_weights_find(const assay_weights *weights, const char *name)
{
    const assay_stored *const *found = bsearch(name, weights->by_name, (size_t)weights->count,
                                               sizeof *weights->by_name, compare_name_with);
    return found != NULL ? *found : NULL;
}

const char *assay_weights_metadata(const assay_weights *weights, const char *key)
{
    const json_t *metadata = json_object_get(weights->header, ASSAY_SAFETENSORS_METADATA);
    return json_string_value(json_object_get(metadata, key));
}

/* The stored name that was probably meant, the first of equals in order of data; or NULL. */
static const char *nearest_name(const assay_weights *weights, const char *name)
{
    const char *nearest = NULL;
    for (int64_t i = 0; i < weights->count; i++) {
        const char *both[] = {nearest, weights->by_data[i]->name};
        nearest = assay_nearest(name, nearest ? 2 : 1, nearest ? both : both + 1);
    }
    return nearest;
}

const assay_stored *assay_weights_get(const assay_weights *weights, const char *name,
                                      assay_error *error)
{
    const assay_stored *stored = assay_weights_find(weights, name);
    if (stored == NULL) {
        const char *nearest = nearest_name(weights, name);
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = weights->path,
                   .what = assay_text("the file has no tensor %s", name),
                   .hint = nearest != NULL ? assay_text("the nearest name is %s", nearest) : NULL);
    }
    return stored;
}
