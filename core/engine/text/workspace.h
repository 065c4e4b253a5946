/* workspace.h - what one call of an open tokenizer needs, lent by the tokenizer and given back.
 *
 * Private to this folder. It keeps its memory and the ids of the words that it has seen, so that
 * a call of a few words allocates nothing and words that come again are looked up. What is in it
 * never changes what comes out. */
#ifndef ASSAY_TEXT_WORKSPACE_H
#define ASSAY_TEXT_WORKSPACE_H

#include "engine/text/tokenizer.h"

enum { CACHED_BYTES = 30, CACHED_IDS = 8, CACHE_BITS = 14 };

/* One cache line: a word and its ids. */
typedef struct cached_word {
    uint8_t bytes, count; /* 0 bytes: an empty slot */
    char word[CACHED_BYTES];
    int32_t ids[CACHED_IDS];
} cached_word;

struct workspace {
    struct workspace *next;
    pattern_match *match;
    text_buffer normalized[2];
    text_buffer *pieces; /* one for each step of the splitter */
    int piece_count;
    bpe_scratch bpe;
    cached_word *cache; /* 1 << CACHE_BITS slots */
};

/* The workspace is the caller's until it is given back. NULL without memory. */
workspace *workspace_take(const assay_tokenizer *of, assay_error *error);
void workspace_give(const assay_tokenizer *of, workspace *space);
void workspace_free(workspace *space);

/* The slot of a word of 1 .. CACHED_BYTES bytes: the word's own, or another's that it may
 * replace. */
cached_word *workspace_slot(workspace *space, const char *word, int64_t bytes);

#endif
