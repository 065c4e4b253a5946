/* safetensors_write.c - writes tensors as one safetensors file, whole or not at all. Floating
 * tensors may be stored as another floating type; each value is rounded once, to nearest even. */
#include "engine/weights/safetensors.h"

#include <assay/file.h>
#include <assay/memory.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const assay_stored_dtype stored_as[] = {
    [ASSAY_F32] = ASSAY_STORED_F32,
    [ASSAY_BF16] = ASSAY_STORED_BF16,
    [ASSAY_I32] = ASSAY_STORED_I32,
    [ASSAY_U8] = ASSAY_STORED_U8,
};

/* What the item is stored as; `dtype` -1: as it is. */
static assay_stored_dtype stored_type(const assay_weights_item *item, int dtype)
{
    bool floating = item->tensor->dtype == ASSAY_F32 || item->tensor->dtype == ASSAY_BF16;
    return dtype >= 0 && floating ? (assay_stored_dtype)dtype : stored_as[item->tensor->dtype];
}

static bool no_memory(const char *path, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path, .what = "no memory for the header");
}

/* jansson refuses a text for bad UTF-8 and for want of memory alike; only one is its fault. */
static bool check_utf8(const char *path, const char *text, assay_error *error)
{
    json_t *string = json_string(text);
    json_t *unchecked = json_string_nocheck(text);
    bool ok = string != NULL && unchecked != NULL;
    if (unchecked == NULL)
        no_memory(path, error);
    else if (string == NULL)
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                   .what = "a name or a metadata text cannot be stored", .expected = "valid UTF-8",
                   .got = text);
    json_decref(string);
    json_decref(unchecked);
    return ok;
}

static bool check_name(const char *path, const json_t *header, const char *name, assay_error *error)
{
    if (name[0] == '\0' || strcmp(name, ASSAY_SAFETENSORS_METADATA) == 0)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                          .what = "a tensor cannot have this name",
                          .expected = "any text but \"\" and \"" ASSAY_SAFETENSORS_METADATA "\"",
                          .got = assay_text("\"%s\"", name));
    if (json_object_get(header, name) != NULL)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                          .what = "two tensors have the same name", .expected = "distinct names",
                          .got = name);
    return check_utf8(path, name, error);
}

static bool add_metadata(const char *path, json_t *header, int64_t n,
                         const char *const (*metadata)[2], assay_error *error)
{
    json_t *object = json_object();
    if (json_object_set_new(header, ASSAY_SAFETENSORS_METADATA, object) != 0)
        return no_memory(path, error);
    for (int64_t i = 0; i < n; i++) {
        const char *key = metadata[i][0];
        const char *value = metadata[i][1];
        if (!check_utf8(path, key, error) || !check_utf8(path, value, error))
            return false;
        if (json_object_get(object, key) != NULL)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                              .what = "two metadata values have the same key",
                              .expected = "distinct keys", .got = key);
        if (json_object_set_new(object, key, json_string(value)) != 0)
            return no_memory(path, error);
    }
    return true;
}

/* Adds the item with its data at *offset, and moves *offset behind it. */
static bool add_item(const char *path, json_t *header, const assay_weights_item *item, int dtype,
                     int64_t *offset, assay_error *error)
{
    const assay_tensor *tensor = item->tensor;
    assay_stored_dtype type = stored_type(item, dtype);
    int64_t begin = *offset, bytes = 0;
    if (!check_name(path, header, item->name, error))
        return false;
    if (!assay_size_mul(&bytes, assay_tensor_count(tensor), stored_dtype_size(type)) ||
        !assay_size_add(offset, begin, bytes))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path,
                          .what = "the tensors do not fit one file", .got = item->name);
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) {
        if (json_array_append_new(shape, json_integer(tensor->shape[i])) != 0) {
            json_decref(shape);
            return no_memory(path, error);
        }
    }
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", assay_stored_dtype_name(type), "shape", shape,
                  "data_offsets", (json_int_t)begin, (json_int_t)*offset);
    if (json_object_set_new(header, item->name, entry) != 0)
        return no_memory(path, error);
    return true;
}

/* The header's text, padded with spaces so that the data starts at a multiple of 8 bytes: *bytes of
 * it, without a NUL; *data_bytes is what follows. The caller owns it (assay_free). */
static char *header_text(const char *path, int64_t n, const assay_weights_item *items, int dtype,
                         int64_t n_metadata, const char *const (*metadata)[2], int64_t *bytes,
                         int64_t *data_bytes, assay_error *error)
{
    char *text = NULL;
    char *json = NULL;
    int64_t length = 0;
    int64_t padded = 0;
    json_t *header = json_object();
    if (header == NULL) {
        no_memory(path, error);
        goto done;
    }
    if (n_metadata > 0 && !add_metadata(path, header, n_metadata, metadata, error))
        goto done;
    *data_bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!add_item(path, header, &items[i], dtype, data_bytes, error))
            goto done;
    }
    /* jansson keeps the order of insertion, so the text depends on the items alone. */
    json = json_dumps(header, JSON_COMPACT);
    if (json == NULL) {
        no_memory(path, error);
        goto done;
    }
    length = (int64_t)strlen(json);
    padded = (length + 7) / 8 * 8;
    if (padded > ASSAY_SAFETENSORS_MAX_HEADER) {
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the header is too long",
                   .expected = assay_text("at most %d bytes", ASSAY_SAFETENSORS_MAX_HEADER),
                   .got = assay_text("%lld", (long long)padded));
        goto done;
    }
    text = assay_alloc(padded, error);
    if (text == NULL)
        goto done;
    memcpy(text, json, (size_t)length);
    memset(text + length, ' ', (size_t)(padded - length));
    *bytes = padded;
done:
    free(json);
    json_decref(header);
    return text;
}

static bool write_item(assay_publisher *publisher, const char *path, const assay_weights_item *item,
                       int dtype, assay_error *error)
{
    enum { BLOCK = 16384 };
    const assay_tensor *tensor = item->tensor;
    const assay_stored_dtype type = stored_type(item, dtype);
    int64_t count = assay_tensor_count(tensor), bytes = assay_tensor_bytes(tensor);
    if (count == 0)
        return true;
    if (type == stored_as[tensor->dtype])
        return assay_publish_write(publisher, assay_elements(tensor), bytes, error);
    uint8_t block[BLOCK * sizeof(float)];
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t n = count - first < BLOCK ? count - first : BLOCK;
        if (!stored_convert(tensor, first, n, type, block))
            return ASSAY_FAIL(
                error, ASSAY_NOT_FINITE, .where = assay_text("%s: tensor %s", path, item->name),
                .what = "a value is too large for the type it is stored as",
                .expected = "at most 65504 for F16", .hint = "store it as bf16 or fp32");
        if (!assay_publish_write(publisher, block, n * stored_dtype_size(type), error))
            return false;
    }
    return true;
}

bool stored_write(const char *path, int64_t n, const assay_weights_item *items, int dtype,
                  int64_t n_metadata, const char *const (*metadata)[2], assay_error *error)
{
    bool ok = false;
    assay_publisher *publisher = NULL;
    int64_t header_bytes = 0;
    int64_t data_bytes = 0;
    int64_t total = 0;
    uint64_t prefix = 0;
    char *header =
        header_text(path, n, items, dtype, n_metadata, metadata, &header_bytes, &data_bytes, error);
    if (header == NULL)
        goto done;
    if (!assay_size_add(&total, data_bytes, header_bytes + ASSAY_SAFETENSORS_PREFIX)) {
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = path,
                   .what = "the tensors do not fit one file");
        goto done;
    }
    publisher = assay_publish_begin(path, error);
    prefix = (uint64_t)header_bytes;
    if (publisher == NULL || !assay_publish_reserve(publisher, total, error) ||
        !assay_publish_write(publisher, &prefix, ASSAY_SAFETENSORS_PREFIX, error) ||
        !assay_publish_write(publisher, header, header_bytes, error))
        goto done;
    for (int64_t i = 0; i < n; i++)
        if (!write_item(publisher, path, &items[i], dtype, error))
            goto done;
    ok = assay_publish_commit(publisher, error);
    publisher = NULL;
done:
    assay_publish_abandon(publisher);
    assay_free(header);
    return ok;
}

bool assay_weights_write(const char *path, int64_t n, const assay_weights_item *items,
                         int64_t n_metadata, const char *const (*metadata)[2], assay_error *error)
{
    return stored_write(path, n, items, -1, n_metadata, metadata, error);
}

/* ---- folders ---- */

static int64_t item_bytes(const assay_weights_item *item, int dtype)
{
    return assay_tensor_count(item->tensor) * stored_dtype_size(stored_type(item, dtype));
}

/* The end of the shard that begins at `first`: as many items as fit, at least one. */
static int64_t shard_end(int64_t first, int64_t n, const assay_weights_item *items,
                         const assay_weights_options *options)
{
    int64_t bytes = 0, i = first;
    do
        bytes += item_bytes(&items[i++], options->dtype);
    while (i < n && bytes + item_bytes(&items[i], options->dtype) <= options->shard_bytes);
    return i;
}

static bool write_shards(const char *folder, int64_t n, const assay_weights_item *items,
                         const assay_weights_options *options, int shards, json_t *map,
                         assay_error *error)
{
    static const char *const format[][2] = {{"format", "pt"}};
    int64_t first = 0;
    for (int s = 1; s <= shards; s++) {
        char name[64], path[4096];
        int64_t end = shard_end(first, n, items, options);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", s, shards);
        if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
            return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder,
                              .what = "the path is too long");
        if (!stored_write(path, end - first, items + first, options->dtype, 1, format, error))
            return false;
        for (; first < end; first++)
            if (json_object_set_new(map, items[first].name, json_string(name)) != 0)
                return no_memory(path, error);
    }
    return true;
}

static bool write_index(const char *folder, json_t *index, assay_error *error)
{
    char path[4096];
    char *text = json_dumps(index, JSON_INDENT(2));
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    bool ok = text != NULL ? assay_publish(path, text, (int64_t)strlen(text), error)
                           : no_memory(path, error);
    free(text);
    return ok;
}

bool assay_weights_write_folder(const char *folder, int64_t n, const assay_weights_item *items,
                                const assay_weights_options *options, assay_error *error)
{
    static const char *const format[][2] = {{"format", "pt"}};
    static const assay_weights_options standard = {.dtype = ASSAY_STORED_F32};
    options = options != NULL ? options : &standard;
    char path[4096];
    int64_t total = 0;
    int shards = 0;
    if (options->dtype > ASSAY_STORED_BF16 || options->dtype == ASSAY_STORED_F64)
        return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = folder,
                          .what = "weights are not written in this type",
                          .expected = "F32, F16 or BF16",
                          .got = assay_stored_dtype_name(options->dtype));
    for (int64_t i = 0; i < n; i++)
        total += item_bytes(&items[i], options->dtype);
    if (snprintf(path, sizeof path, "%s/model.safetensors", folder) >= (int)sizeof path)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = folder, .what = "the path is too long");
    if (options->shard_bytes <= 0 || total <= options->shard_bytes)
        return stored_write(path, n, items, options->dtype, 1, format, error);
    for (int64_t first = 0; first < n; first = shard_end(first, n, items, options))
        shards++;
    json_t *map = json_object();
    json_t *index =
        json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    bool ok = index != NULL ? write_shards(folder, n, items, options, shards, map, error) &&
                                  write_index(folder, index, error)
                            : no_memory(folder, error);
    json_decref(map);
    json_decref(index);
    return ok;
}
