/* words.h - splitting a text into words, and a table that counts them. */
#ifndef MODELS_WORDS_H
#define MODELS_WORDS_H

#include <assay/memory.h>

/* A piece of a text; not NUL-terminated, letters as they stand. */
typedef struct word {
    const uint8_t *bytes;
    int64_t length;
} word;

/* The next word of text (n bytes) at or after *at, which moves behind it; false: there is none. */
bool word_next(const uint8_t *text, int64_t n, int64_t *at, word *out);

/* ---- a table of words ----
 * Letters are folded to lower case as words enter; a word keeps its place. */
typedef struct word_entry {
    uint64_t hash;
    int64_t start, length; /* in `bytes` */
    int64_t count;         /* of additions, or whatever the owner keeps */
} word_entry;

typedef struct word_table {
    int64_t count, room; /* entries */
    word_entry *entries;
    int64_t slot_count; /* a power of two */
    int32_t *slots;     /* place of an entry + 1; 0: free */
    int64_t used, capacity;
    uint8_t *bytes;
} word_table;

bool word_table_open(word_table *table, assay_error *error);
void word_table_close(word_table *table); /* accepts a zeroed value */
/* The entry's place; -1: unknown. Reads only. */
int64_t word_table_find(const word_table *table, word w);
/* Adds the word if it is new, with count 0; its place, or -1 with the error set. */
int64_t word_table_add(word_table *table, word w, assay_error *error);

#endif
