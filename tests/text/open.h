/* open.h - for tests of tokenizers: JSON files, and tokenizers from memory. */
#ifndef ASSAY_TESTS_TEXT_OPEN_H
#define ASSAY_TESTS_TEXT_OPEN_H

#include <assay/memory.h>
#include <assay/text.h>

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* FOLDER/NAME, the folder being the committed one for NULL. Borrowed until the next call. */
static inline const char *tokenizer_path(const char *folder, const char *name)
{
    static char path[4096];
    const char *data = getenv("ASSAY_TEST_DATA");
    if (folder != NULL)
        snprintf(path, sizeof path, "%s/%s", folder, name);
    else
        snprintf(path, sizeof path, "%s/golden/tokenizers/%s", data != NULL ? data : "tests", name);
    return path;
}

/* The JSON file as a value to be freed by json_decref; NULL when it is not there or not valid. */
static inline json_t *load_json(const char *path)
{
    return json_load_file(path, JSON_ALLOW_NUL, NULL);
}

/* Opens bytes as a tokenizer.json that has no name on any disk. */
static inline assay_tokenizer *open_text(const char *text, int64_t bytes, assay_error *error)
{
    char path[64];
    assay_tokenizer *of = NULL;
    int fd = memfd_create("tokenizer", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, text, (size_t)bytes) == (ssize_t)bytes)
        of = assay_tokenizer_open(path, error);
    close(fd);
    return of;
}

static inline assay_tokenizer *open_value(const json_t *value, assay_error *error)
{
    char *text = json_dumps(value, 0);
    assay_tokenizer *of = text != NULL ? open_text(text, (int64_t)strlen(text), error) : NULL;
    free(text);
    return of;
}

/* Whether the ids are those of the JSON list. */
static inline bool same_ids(const assay_ids *ids, const json_t *list)
{
    if (!json_is_array(list) || (int64_t)json_array_size(list) != ids->count)
        return false;
    for (int64_t i = 0; i < ids->count; i++)
        if (json_integer_value(json_array_get(list, (size_t)i)) != ids->items[i])
            return false;
    return true;
}

#endif
