/* vocabulary.h - tokens by id and ids by token.
 *
 * Private to this folder. */
#ifndef ASSAY_TEXT_VOCABULARY_H
#define ASSAY_TEXT_VOCABULARY_H

#include "engine/text/unicode.h"

/* Ids beyond this are a mistake in the file, not a vocabulary. */
enum { VOCABULARY_MOST = 1 << 24 };

typedef struct vocabulary_entry {
    int64_t begin;  /* in the texts, where a NUL follows the token */
    int32_t length; /* in bytes; -1: the id is unused */
    bool special;   /* an added token that is left out on request */
    bool renamed;   /* an added token that is looked for, and shown, in another form */
    bool outside;   /* an added token that is not among the model's own */
} vocabulary_entry;

typedef struct vocabulary {
    int64_t size; /* ids are 0 .. size-1 */
    vocabulary_entry *entries;
    text_buffer texts;
    int32_t longest; /* bytes of the model's longest token */
    int64_t outside; /* no id below this one is of an outside token */
    int32_t *slots;  /* open addressing: the id, or -1 */
    uint64_t mask;
} vocabulary;

bool vocabulary_init(vocabulary *of, int64_t size, assay_error *error);
void vocabulary_clear(vocabulary *of);

/* Gives the token its id, both unused so far; false without an error when one is taken. A token
 * that is `outside` is none of those that a model finds. */
bool vocabulary_put(vocabulary *of, int32_t id, const char *token, int64_t bytes, bool outside,
                    bool *taken, assay_error *error);

/* The id of a token, outside ones too; -1 without one. */
int32_t vocabulary_find_any(const vocabulary *of, const char *token, int64_t bytes);
/* The id of one of the model's tokens, -1 without one. */
int32_t vocabulary_find(const vocabulary *of, const char *token, int64_t bytes);
/* NULL for an id that is unused or out of range; *bytes may be NULL. */
const char *vocabulary_token(const vocabulary *of, int32_t id, int64_t *bytes);

/* The hash of a text piece by piece: begin with this, and finds that look for many lengths of one
 * text hash it once. */
#define VOCABULARY_HASH UINT64_C(0xcbf29ce484222325)
static inline uint64_t vocabulary_hash(uint64_t hash, const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}
/* The id of the token that is `head` and then `tail`, of which `hash` is the hash; -1 without. */
int32_t vocabulary_find_hashed(const vocabulary *of, uint64_t hash, const char *head,
                               int64_t head_bytes, const char *tail, int64_t tail_bytes);

#endif
