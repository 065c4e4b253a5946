/* vocabulary.c - tokens by id and ids by token. */
#include "engine/text/vocabulary.h"

#include <assay/memory.h>

#include <string.h>

bool vocabulary_init(vocabulary *of, int64_t size, assay_error *error)
{
    int64_t slots = 16;
    while (slots < 2 * size)
        slots *= 2;
    *of = (vocabulary){.size = size, .outside = size, .mask = (uint64_t)slots - 1};
    of->entries = assay_alloc(size * (int64_t)sizeof *of->entries, error);
    of->slots = assay_alloc(slots * (int64_t)sizeof *of->slots, error);
    if (of->entries == NULL || of->slots == NULL) {
        vocabulary_clear(of);
        return false;
    }
    for (int64_t i = 0; i < size; i++)
        of->entries[i] = (vocabulary_entry){.length = -1};
    memset(of->slots, 0xFF, (size_t)slots * sizeof *of->slots);
    return true;
}

void vocabulary_clear(vocabulary *of)
{
    assay_free(of->entries);
    assay_free(of->slots);
    text_buffer_free(&of->texts);
    *of = (vocabulary){0};
}

/* FNV leaves the high bits better mixed than the low ones. */
static uint64_t first_slot(const vocabulary *of, uint64_t hash)
{
    return (hash ^ hash >> 32) & of->mask;
}

int32_t vocabulary_find_hashed(const vocabulary *of, uint64_t hash, const char *head,
                               int64_t head_bytes, const char *tail, int64_t tail_bytes)
{
    for (uint64_t slot = first_slot(of, hash);; slot = (slot + 1) & of->mask) {
        int32_t id = of->slots[slot];
        if (id < 0)
            return -1;
        const vocabulary_entry *entry = &of->entries[id];
        if (entry->length != head_bytes + tail_bytes)
            continue;
        const char *text = of->texts.data + entry->begin;
        if ((head_bytes == 0 || memcmp(text, head, (size_t)head_bytes) == 0) &&
            (tail_bytes == 0 || memcmp(text + head_bytes, tail, (size_t)tail_bytes) == 0))
            return id;
    }
}

int32_t vocabulary_find(const vocabulary *of, const char *token, int64_t bytes)
{
    return vocabulary_find_hashed(of, vocabulary_hash(VOCABULARY_HASH, token, bytes), NULL, 0,
                                  token, bytes);
}

int32_t vocabulary_find_any(const vocabulary *of, const char *token, int64_t bytes)
{
    int32_t found = vocabulary_find(of, token, bytes);
    for (int64_t id = of->outside; found < 0 && id < of->size; id++) {
        const vocabulary_entry *entry = &of->entries[id];
        if (entry->outside && entry->length == bytes &&
            memcmp(of->texts.data + entry->begin, token, (size_t)bytes) == 0)
            found = (int32_t)id;
    }
    return found;
}

static void hash_token(vocabulary *of, int32_t id, const char *token, int64_t bytes)
{
    uint64_t slot = first_slot(of, vocabulary_hash(VOCABULARY_HASH, token, bytes));
    while (of->slots[slot] >= 0)
        slot = (slot + 1) & of->mask;
    of->slots[slot] = id;
    if (bytes > of->longest)
        of->longest = (int32_t)bytes;
}

bool vocabulary_put(vocabulary *of, int32_t id, const char *token, int64_t bytes, bool outside,
                    bool *taken, assay_error *error)
{
    vocabulary_entry *entry = &of->entries[id];
    *taken = entry->length >= 0 || vocabulary_find_any(of, token, bytes) >= 0;
    if (*taken)
        return false;
    if (bytes > INT32_MAX / 2)
        return ASSAY_FAIL(error, ASSAY_BAD_FILE, .what = "a token is too long");
    int64_t begin = of->texts.bytes;
    if (!text_buffer_add(&of->texts, token, bytes, error) ||
        !text_buffer_add(&of->texts, "", 1, error))
        return false;
    *entry = (vocabulary_entry){.begin = begin, .length = (int32_t)bytes, .outside = outside};
    if (!outside)
        hash_token(of, id, token, bytes);
    else if (id < of->outside)
        of->outside = id;
    return true;
}

const char *vocabulary_token(const vocabulary *of, int32_t id, int64_t *bytes)
{
    if (id < 0 || id >= of->size || of->entries[id].length < 0)
        return NULL;
    if (bytes != NULL)
        *bytes = of->entries[id].length;
    return of->texts.data + of->entries[id].begin;
}
