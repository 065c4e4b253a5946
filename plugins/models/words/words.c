/* words.c - words of a text, and an open-addressing table of them. */
#include "words.h"

#include <string.h>

static bool is_space(uint8_t c)
{
    return c <= ' ';
}

static bool closes(uint8_t c)
{
    return c != '\0' && strchr(".,;:!?", c) != NULL;
}

bool word_next(const uint8_t *text, int64_t n, int64_t *at, word *out)
{
    int64_t i = *at;
    while (i < n && is_space(text[i]))
        i++;
    if (i >= n) {
        *at = n;
        return false;
    }
    int64_t end = i;
    while (end < n && !is_space(text[end]))
        end++;
    int64_t core = end;
    while (core > i && closes(text[core - 1]))
        core--;
    /* Marks alone come one by one. */
    int64_t stop = core > i ? core : i + 1;
    *out = (word){text + i, stop - i};
    *at = stop;
    return true;
}

/* ---- the table ---- */

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* FNV-1a of the folded bytes. */
static uint64_t hash_of(word w)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < w.length; i++)
        hash = (hash ^ fold(w.bytes[i])) * 0x100000001b3u;
    return hash;
}

static bool same(const word_table *table, const word_entry *entry, uint64_t hash, word w)
{
    if (entry->hash != hash || entry->length != w.length)
        return false;
    for (int64_t i = 0; i < w.length; i++)
        if (table->bytes[entry->start + i] != fold(w.bytes[i]))
            return false;
    return true;
}

/* The slot where the word is or would be. */
static int64_t slot_of(const word_table *table, uint64_t hash, word w)
{
    int64_t mask = table->slot_count - 1, slot = (int64_t)(hash & (uint64_t)mask);
    while (table->slots[slot] != 0 &&
           !same(table, &table->entries[table->slots[slot] - 1], hash, w))
        slot = (slot + 1) & mask;
    return slot;
}

bool word_table_open(word_table *table, assay_error *error)
{
    *table = (word_table){.room = 256, .slot_count = 1024, .capacity = 4096};
    table->entries = assay_alloc(table->room * (int64_t)sizeof *table->entries, error);
    table->slots = assay_zalloc(table->slot_count * (int64_t)sizeof *table->slots, error);
    table->bytes = assay_alloc(table->capacity, error);
    if (table->entries && table->slots && table->bytes)
        return true;
    word_table_close(table);
    return false;
}

void word_table_close(word_table *table)
{
    assay_free(table->entries);
    assay_free(table->slots);
    assay_free(table->bytes);
    *table = (word_table){0};
}

int64_t word_table_find(const word_table *table, word w)
{
    return (int64_t)table->slots[slot_of(table, hash_of(w), w)] - 1;
}

/* A larger block with the old content; frees the old one. */
static void *larger(void *old, int64_t bytes, int64_t room, assay_error *error)
{
    void *block = assay_alloc(room, error);
    if (!block)
        return NULL;
    memcpy(block, old, (size_t)bytes);
    assay_free(old);
    return block;
}

static bool grow_entries(word_table *table, assay_error *error)
{
    if (table->count < table->room)
        return true;
    int64_t bytes = table->count * (int64_t)sizeof *table->entries;
    void *block = larger(table->entries, bytes, 2 * bytes, error);
    if (!block)
        return false;
    table->entries = block;
    table->room *= 2;
    return true;
}

static bool grow_bytes(word_table *table, int64_t more, assay_error *error)
{
    int64_t capacity = table->capacity;
    while (table->used + more > capacity)
        capacity *= 2;
    if (capacity == table->capacity)
        return true;
    void *block = larger(table->bytes, table->used, capacity, error);
    if (!block)
        return false;
    table->bytes = block;
    table->capacity = capacity;
    return true;
}

/* At most half of the slots are taken. */
static bool grow_slots(word_table *table, assay_error *error)
{
    if (2 * (table->count + 1) <= table->slot_count)
        return true;
    int64_t count = 2 * table->slot_count;
    if (count > INT32_MAX)
        return ASSAY_FAIL(error, ASSAY_NO_MEMORY, .where = "words", .what = "too many words");
    int32_t *slots = assay_zalloc(count * (int64_t)sizeof *slots, error);
    if (!slots)
        return false;
    for (int64_t i = 0; i < table->count; i++) {
        int64_t slot = (int64_t)(table->entries[i].hash & (uint64_t)(count - 1));
        while (slots[slot] != 0)
            slot = (slot + 1) & (count - 1);
        slots[slot] = (int32_t)(i + 1);
    }
    assay_free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return true;
}

int64_t word_table_add(word_table *table, word w, assay_error *error)
{
    uint64_t hash = hash_of(w);
    int64_t slot = slot_of(table, hash, w);
    if (table->slots[slot] != 0)
        return table->slots[slot] - 1;
    if (!grow_entries(table, error) || !grow_bytes(table, w.length, error) ||
        !grow_slots(table, error))
        return -1;
    slot = slot_of(table, hash, w);
    table->entries[table->count] =
        (word_entry){.hash = hash, .start = table->used, .length = w.length};
    for (int64_t i = 0; i < w.length; i++)
        table->bytes[table->used++] = fold(w.bytes[i]);
    table->slots[slot] = (int32_t)++table->count;
    return table->count - 1;
}
