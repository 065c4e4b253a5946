/* open.c - weights as published: one safetensors file, the shards that an index names, or a folder
 * that holds either. However many files there are, they are one set of tensors. */
#include "engine/weights/safetensors.h"

#include <assay/memory.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct assay_weights {
    char *path; /* of the file or the index */
    stored_file **files;
    int64_t file_count;
    int64_t count;
    const assay_stored **by_data; /* file by file */
    const assay_stored **by_name;
};

/* ---- finding ---- */

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcmp(text + length - tail, ending) == 0;
}

static bool is_index(const char *path)
{
    return ends_with(path, ".safetensors.index.json");
}

static bool exists_in(const char *folder, const char *name, char *out, int64_t size)
{
    struct stat info;
    return snprintf(out, (size_t)size, "%s/%s", folder, name) < size && stat(out, &info) == 0 &&
           S_ISREG(info.st_mode);
}

/* The only file of that ending in a folder, into `name`; how many there are, -1 if it cannot be
 * read. */
static int only_file(const char *folder, const char *ending, char name[NAME_MAX + 1])
{
    int count = 0;
    DIR *open = opendir(folder);
    if (open == NULL)
        return -1;
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open))
        if (ends_with(entry->d_name, ending) && count++ == 0)
            snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
    closedir(open);
    return count;
}

bool assay_weights_locate(const char *path, char *out, int64_t size, assay_error *error)
{
    static const char *const usual[] = {"model.safetensors", "weights.safetensors",
                                        "model.safetensors.index.json",
                                        "adapter_model.safetensors"};
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5", "flax_model.msgpack"};
    char name[NAME_MAX + 1] = "";
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        if (snprintf(out, (size_t)size, "%s", path) < size)
            return true;
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path, .what = "the path is too long");
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (exists_in(path, usual[i], out, size))
            return true;
    int count = only_file(path, ".safetensors.index.json", name);
    if (count == 0)
        count = only_file(path, ".safetensors", name);
    if (count < 0)
        return ASSAY_FAIL(error, ASSAY_IO, .where = path, .what = "the folder cannot be read",
                          .got = assay_text("%m"));
    if (count == 1 && exists_in(path, name, out, size))
        return true;
    const char *other = NULL;
    for (size_t i = 0; i < sizeof others / sizeof others[0] && other == NULL; i++)
        if (exists_in(path, others[i], out, size))
            other = others[i];
    return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = path,
                      .what = "the folder is not one model's",
                      .expected = "model.safetensors, model.safetensors.index.json or one file "
                                  "*.safetensors",
                      .got = other != NULL ? other : assay_text("%d files *.safetensors", count),
                      .hint = other != NULL ? "save it again with safe_serialization=True" : NULL);
}

/* ---- an index ---- */

static bool bad_index(const assay_weights *weights, const char *what, const char *expected,
                      const char *got, assay_error *error)
{
    return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = weights->path, .what = what,
                      .expected = expected, .got = got);
}

/* The document, owned (json_decref); its weight_map is an object of names of files. */
static json_t *read_index(const assay_weights *weights, assay_error *error)
{
    int64_t bytes = 0;
    json_error_t why = {0};
    const char *name;
    json_t *file;
    char *text = assay_read_file(weights->path, ASSAY_SAFETENSORS_MAX_HEADER, &bytes, error);
    if (text == NULL)
        return NULL;
    json_t *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    assay_free(text);
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map)) {
        bad_index(weights,
                  root == NULL ? "the index is not valid JSON" : "the index has no weight_map",
                  "an object of tensors' names and their files",
                  root == NULL ? assay_text("%s, line %d", why.text, why.line) : NULL, error);
        json_decref(root);
        return NULL;
    }
    json_object_foreach(map, name, file)
    {
        const char *shard = json_string_value(file);
        if (shard != NULL && ends_with(shard, ".safetensors") && strchr(shard, '/') == NULL)
            continue;
        bad_index(weights, assay_text("tensor %s is in no file that can be a shard", name),
                  "a file *.safetensors beside the index", shard != NULL ? shard : "no name",
                  error);
        json_decref(root);
        return NULL;
    }
    return root;
}

static bool add_file(assay_weights *weights, const char *path, assay_error *error)
{
    int64_t bytes = (weights->file_count + 1) * (int64_t)sizeof *weights->files;
    stored_file **files = assay_alloc(bytes, error);
    if (files == NULL)
        return false;
    if (weights->file_count > 0)
        memcpy(files, weights->files, (size_t)weights->file_count * sizeof *files);
    assay_free(weights->files);
    weights->files = files;
    files[weights->file_count] = stored_file_open(path, error);
    return files[weights->file_count] != NULL && ++weights->file_count > 0;
}

static const stored_file *find_file(const assay_weights *weights, const char *name)
{
    for (int64_t i = 0; i < weights->file_count; i++) {
        const char *slash = strrchr(weights->files[i]->path, '/');
        if (strcmp(slash != NULL ? slash + 1 : weights->files[i]->path, name) == 0)
            return weights->files[i];
    }
    return NULL;
}

static bool add_shard(assay_weights *weights, const char *name, assay_error *error)
{
    char path[PATH_MAX];
    struct stat info;
    const char *slash = strrchr(weights->path, '/');
    int folder = slash != NULL ? (int)(slash - weights->path + 1) : 0;
    if (snprintf(path, sizeof path, "%.*s%s", folder, weights->path, name) >= PATH_MAX)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = weights->path,
                          .what = "the path of a shard is too long", .got = name);
    if (stat(path, &info) != 0)
        return ASSAY_FAIL(error, errno == ENOENT ? ASSAY_BAD_FILE : ASSAY_IO, .where = path,
                          .what = "a shard that the index names cannot be found",
                          .got = assay_text("%m"), .hint = "fetch the folder's files again");
    return add_file(weights, path, error);
}

/* Every tensor of the index is in its shard, and the shards hold no others. */
static bool check_shards(const assay_weights *weights, const json_t *map, assay_error *error)
{
    for (int64_t f = 0; f < weights->file_count; f++) {
        const stored_file *file = weights->files[f];
        for (int64_t i = 0; i < file->count; i++) {
            const char *shard = json_string_value(json_object_get(map, file->tensors[i].name));
            if (shard == NULL || find_file(weights, shard) != file)
                return ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = file->path,
                                  .what = assay_text("the index does not place tensor %s here",
                                                     file->tensors[i].name),
                                  .expected = shard != NULL ? shard : "a tensor of the index");
        }
    }
    return true;
}

static int compare_with_name(const void *name, const void *tensor)
{
    return strcmp(name, (*(const assay_stored *const *)tensor)->name);
}

static bool check_index(const assay_weights *weights, const json_t *map, assay_error *error)
{
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)(uintptr_t)map, name, file)
    {
        if (bsearch(name, weights->by_name, (size_t)weights->count, sizeof *weights->by_name,
                    compare_with_name) == NULL)
            return ASSAY_FAIL(error, ASSAY_BAD_FILE,
                              .where = find_file(weights, json_string_value(file))->path,
                              .what = assay_text("the shard lacks tensor %s", name),
                              .expected = "every tensor that the index places here");
    }
    return true;
}

/* ---- opening ---- */

static int compare_names(const void *a, const void *b)
{
    const assay_stored *x = *(const assay_stored *const *)a;
    const assay_stored *y = *(const assay_stored *const *)b;
    return strcmp(x->name, y->name);
}

/* Joins the files' tensors; their names are distinct by then. */
static bool join_files(assay_weights *weights, assay_error *error)
{
    int64_t total = 0, bytes = 0, at = 0;
    for (int64_t f = 0; f < weights->file_count; f++)
        total += weights->files[f]->count;
    if (!assay_size_mul(&bytes, total, (int64_t)sizeof *weights->by_data))
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = weights->path,
                          .what = "there are too many tensors");
    weights->by_data = assay_alloc(bytes, error);
    weights->by_name = assay_alloc(bytes, error);
    if (weights->by_data == NULL || weights->by_name == NULL)
        return false;
    for (int64_t f = 0; f < weights->file_count; f++)
        for (int64_t i = 0; i < weights->files[f]->count; i++, at++)
            weights->by_data[at] = weights->by_name[at] = weights->files[f]->by_data[i];
    weights->count = total;
    qsort(weights->by_name, (size_t)total, sizeof *weights->by_name, compare_names);
    return true;
}

static bool open_shards(assay_weights *weights, assay_error *error)
{
    bool ok = true;
    const char *name;
    json_t *file;
    json_t *root = read_index(weights, error);
    if (root == NULL)
        return false;
    json_t *map = json_object_get(root, "weight_map");
    json_object_foreach(map, name, file)
    {
        const char *shard = json_string_value(file);
        ok = find_file(weights, shard) != NULL || add_shard(weights, shard, error);
        if (!ok)
            break;
    }
    ok = ok && check_shards(weights, map, error) && join_files(weights, error) &&
         check_index(weights, map, error);
    json_decref(root);
    return ok;
}

assay_weights *assay_weights_open(const char *path, assay_error *error)
{
    char found[PATH_MAX];
    if (!assay_weights_locate(path, found, sizeof found, error))
        return NULL;
    assay_weights *weights = assay_zalloc(sizeof *weights, error);
    if (weights == NULL)
        return NULL;
    weights->path = assay_strdup(found, error);
    bool ok = weights->path != NULL;
    if (ok && is_index(found))
        ok = open_shards(weights, error);
    else if (ok)
        ok = add_file(weights, found, error) && join_files(weights, error);
    if (ok)
        return weights;
    assay_weights_close(weights);
    return NULL;
}

void assay_weights_close(assay_weights *weights)
{
    if (weights == NULL)
        return;
    for (int64_t f = 0; f < weights->file_count; f++)
        stored_file_close(weights->files[f]);
    assay_free(weights->files);
    assay_free(weights->by_data);
    assay_free(weights->by_name);
    assay_free(weights->path);
    assay_free(weights);
}

/* ---- looking things up ---- */

int64_t assay_weights_count(const assay_weights *weights)
{
    return weights->count;
}

int64_t assay_weights_files(const assay_weights *weights)
{
    return weights->file_count;
}

const char *assay_weights_file(const assay_weights *weights, int64_t i)
{
    return weights->files[i]->path;
}

const char *assay_weights_path(const assay_weights *weights)
{
    return weights->path;
}

const assay_stored *assay_weights_at(const assay_weights *weights, int64_t i)
{
    return weights->by_data[i];
}

const assay_stored *assay_weights_find(const assay_weights *weights, const char *name)
{
    const assay_stored *const *found = bsearch(name, weights->by_name, (size_t)weights->count,
                                               sizeof *weights->by_name, compare_with_name);
    return found != NULL ? *found : NULL;
}

const char *assay_weights_metadata(const assay_weights *weights, const char *key)
{
    const char *value = NULL;
    for (int64_t f = 0; f < weights->file_count && value == NULL; f++)
        value = json_string_value(json_object_get(
            json_object_get(weights->files[f]->header, ASSAY_SAFETENSORS_METADATA), key));
    return value;
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
