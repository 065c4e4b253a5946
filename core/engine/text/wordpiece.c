/* wordpiece.c - WordPiece: a word as its longest token, then the longest that goes on, to its
 * end. */
#include "engine/text/tokenizer.h"

#include <assay/memory.h>

#include <string.h>

bool wordpiece_read(wordpiece_model *of, const file_part *part, const vocabulary *tokens,
                    assay_error *error)
{
    const char *unknown, *prefix;
    if (!PART_KEYS(part, error, "unk_token", "continuing_subword_prefix",
                   "max_input_chars_per_word", "vocab") ||
        !part_text(part, "unk_token", NULL, &unknown, error) ||
        !part_text(part, "continuing_subword_prefix", "##", &prefix, error))
        return false;
    of->most = 100;
    if (json_object_get(part->value, "max_input_chars_per_word") != NULL &&
        !part_whole(part, "max_input_chars_per_word", 0, INT32_MAX, &of->most, error))
        return false;
    of->unknown = vocabulary_find(tokens, unknown, (int64_t)strlen(unknown));
    if (of->unknown < 0)
        return part_bad(part, "the unknown token is not in the vocabulary", "a token of 'vocab'",
                        assay_text("'%.100s'", unknown), error);
    of->prefix = assay_strdup(prefix, error);
    of->prefix_bytes = (int64_t)strlen(prefix);
    of->prefix_hash = vocabulary_hash(VOCABULARY_HASH, prefix, of->prefix_bytes);
    return of->prefix != NULL;
}

void wordpiece_clear(wordpiece_model *of)
{
    assay_free(of->prefix);
    *of = (wordpiece_model){0};
}

static bool has_more_than(int64_t most, const char *word, int64_t bytes)
{
    int64_t characters = 0;
    if (bytes <= most)
        return false;
    for (int64_t i = 0; i < bytes; i++)
        characters += ((unsigned char)word[i] & 0xC0) != 0x80;
    return characters > most;
}

/* The longest token that the rest of the word begins with: its id and where it ends, or -1. Each
 * length is hashed from the one before, and what is found last is the longest. */
static int32_t longest_token(const wordpiece_model *of, const vocabulary *tokens, const char *word,
                             int64_t bytes, int64_t begin, int64_t *end)
{
    int64_t head = begin > 0 ? of->prefix_bytes : 0;
    uint64_t hash = begin > 0 ? of->prefix_hash : VOCABULARY_HASH;
    int32_t found = -1;
    for (int64_t at = begin; at < bytes && at - begin + head < tokens->longest;) {
        int64_t here = at;
        unicode_next(word, &at);
        hash = vocabulary_hash(hash, word + here, at - here);
        int32_t id =
            vocabulary_find_hashed(tokens, hash, of->prefix, head, word + begin, at - begin);
        if (id >= 0) {
            found = id;
            *end = at;
        }
    }
    return found;
}

bool wordpiece_encode(const wordpiece_model *of, const vocabulary *tokens, const char *word,
                      int64_t bytes, assay_ids *out, assay_error *error)
{
    int64_t first = out->count;
    if (!ids_reserve(out, bytes + 1, error))
        return false;
    bool known = !has_more_than(of->most, word, bytes);
    for (int64_t at = 0; known && at < bytes;) {
        int32_t id = longest_token(of, tokens, word, bytes, at, &at);
        known = id >= 0;
        if (known)
            out->items[out->count++] = id;
    }
    if (!known) {
        out->count = first;
        out->items[out->count++] = of->unknown;
    }
    return true;
}
