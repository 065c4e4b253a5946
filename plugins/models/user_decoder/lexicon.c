/* lexicon.c - ids of words, tokens and markers (lexicon.h). */
#include "lexicon.h"

#include "words.h"

#include <assay/memory.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MARKERS      128
#define MARKER_BYTES 96

typedef struct marker {
    char name[MARKER_BYTES];
    int32_t id;
} marker;

struct lexicon {
    vocabulary *words;
    bool owns_words;
    assay_tokenizer *tokenizer; /* NULL: by words */
    word_table sentences;       /* words that only the layout's own sentences have */
    int32_t *sentence_ids;      /* theirs */
    int64_t sentence_room;
    marker markers[MARKERS];
    int marker_count;
    int64_t size;
};

/* ---- opening ---- */

lexicon *lexicon_of_words(vocabulary *words, bool owns, assay_error *error)
{
    lexicon *l = assay_zalloc((int64_t)sizeof *l, error);
    if (l && !word_table_open(&l->sentences, error)) {
        assay_free(l);
        l = NULL;
    }
    if (!l) {
        if (owns)
            vocabulary_free(words);
        return NULL;
    }
    l->words = words;
    l->owns_words = owns;
    l->size = vocabulary_size(words);
    return l;
}

lexicon *lexicon_of_tokenizer(const char *path, assay_error *error)
{
    lexicon *l = assay_zalloc((int64_t)sizeof *l, error);
    if (!l)
        return NULL;
    l->tokenizer = assay_tokenizer_open(path, error);
    if (!l->tokenizer) {
        assay_free(l);
        return NULL;
    }
    l->size = assay_tokenizer_size(l->tokenizer);
    return l;
}

void lexicon_free(lexicon *l)
{
    if (!l)
        return;
    if (l->owns_words)
        vocabulary_free(l->words);
    assay_tokenizer_free(l->tokenizer);
    word_table_close(&l->sentences);
    assay_free(l->sentence_ids);
    assay_free(l);
}

vocabulary *lexicon_vocabulary(const lexicon *l)
{
    return l->words;
}

int64_t lexicon_size(const lexicon *l)
{
    return l->size;
}

/* ---- markers ---- */

int32_t lexicon_marker(lexicon *l, const char *name, assay_error *error)
{
    for (int i = 0; i < l->marker_count; i++)
        if (strcmp(l->markers[i].name, name) == 0)
            return l->markers[i].id;
    int32_t known = l->tokenizer ? assay_tokenizer_id(l->tokenizer, name) : -1;
    if (known >= 0)
        return known;
    if (l->marker_count == MARKERS || strlen(name) >= MARKER_BYTES) {
        ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = MODEL_WHERE,
                   .what = "the layout needs too many markers, or one with too long a name",
                   .got = name);
        return -1;
    }
    marker *new = &l->markers[l->marker_count++];
    snprintf(new->name, sizeof new->name, "%s", name);
    new->id = (int32_t)l->size++;
    return new->id;
}

int32_t lexicon_needed(lexicon *l, const char *name, assay_error *error)
{
    if (!l->tokenizer)
        return lexicon_marker(l, name, error);
    int32_t id = assay_tokenizer_id(l->tokenizer, name);
    if (id < 0)
        ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
                   .what = assay_text("the tokenizer has no token %s", name),
                   .hint = "layout \"chat\" needs a tokenizer of chat models; an event encoder of "
                           "type \"bert\" one with [CLS] and [SEP]");
    return id;
}

int32_t lexicon_end(lexicon *l, assay_error *error)
{
    static const char *const names[] = {"<|endoftext|>", "</s>", "<|im_end|>", "[SEP]"};
    if (!l->tokenizer)
        return WORD_END;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int32_t id = assay_tokenizer_id(l->tokenizer, names[i]);
        if (id >= 0)
            return id;
    }
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
               .what = "the tokenizer has no token that ends a text",
               .expected = "<|endoftext|>, </s>, <|im_end|> or [SEP]");
    return -1;
}

/* ---- sentences of the layout ---- */

static bool append(assay_ids *to, int32_t id, assay_error *error)
{
    if (to->count == to->room) {
        int64_t room = to->room > 0 ? 2 * to->room : 32;
        int32_t *items = assay_alloc(room * (int64_t)sizeof *items, error);
        if (!items)
            return false;
        if (to->count > 0)
            memcpy(items, to->items, (size_t)to->count * sizeof *items);
        assay_free(to->items);
        to->items = items;
        to->room = room;
    }
    to->items[to->count++] = id;
    return true;
}

/* The id of a word, -1: it is unknown. */
static int32_t find_word(const lexicon *l, word w)
{
    int32_t id = vocabulary_id(l->words, w.bytes, w.length);
    if (id >= 0)
        return id;
    int64_t place = word_table_find(&l->sentences, w);
    return place < 0 ? -1 : l->sentence_ids[place];
}

static int32_t add_word(lexicon *l, word w, assay_error *error)
{
    int64_t place = word_table_add(&l->sentences, w, error);
    if (place < 0)
        return -1;
    if (place >= l->sentence_room) {
        int64_t room = l->sentence_room > 0 ? 2 * l->sentence_room : 64;
        int32_t *ids = assay_alloc(room * (int64_t)sizeof *ids, error);
        if (!ids)
            return -1;
        if (place > 0)
            memcpy(ids, l->sentence_ids, (size_t)place * sizeof *ids);
        assay_free(l->sentence_ids);
        l->sentence_ids = ids;
        l->sentence_room = room;
    }
    l->sentence_ids[place] = (int32_t)l->size++;
    return l->sentence_ids[place];
}

bool lexicon_sentence(lexicon *l, const char *text, assay_ids *out, assay_error *error)
{
    int64_t at = 0, bytes = (int64_t)strlen(text);
    word w;
    if (l->tokenizer)
        return assay_tokenizer_encode(l->tokenizer, text, bytes, false, out, error);
    while (word_next((const uint8_t *)text, bytes, &at, &w)) {
        int32_t id = find_word(l, w);
        if (id < 0)
            id = add_word(l, w, error);
        if (id < 0 || !append(out, id, error))
            return false;
    }
    return true;
}

bool lexicon_seal(lexicon *l, int64_t rows, assay_error *error)
{
    int64_t own = l->tokenizer ? assay_tokenizer_size(l->tokenizer) : l->size;
    if (rows == 0 || own <= rows)
        return true;
    return ASSAY_FAIL(
        error, ASSAY_BAD_INPUT, .where = MODEL_WHERE,
        .what = "there are more ids than rows in the table of embeddings",
        .expected = assay_text("at most %" PRId64, rows), .got = assay_text("%" PRId64, own),
        .hint = l->tokenizer ? "the tokenizer is of another model" : "lower the option 'words'");
}

/* ---- reading ---- */

static int64_t read_words(const lexicon *l, const uint8_t *text, int64_t bytes, int64_t most,
                          int32_t *out, int64_t *all)
{
    int64_t at = 0, n = 0, count = 0;
    word w;
    while ((n < most || all) && word_next(text, bytes, &at, &w)) {
        if (count++ >= most)
            continue;
        int32_t id = find_word(l, w);
        out[n++] = id < 0 ? WORD_UNKNOWN : id;
    }
    if (all)
        *all = count;
    return n;
}

int64_t lexicon_read(const lexicon *l, const uint8_t *text, int64_t bytes, int64_t most,
                     int32_t *out, int64_t *all, assay_error *error)
{
    assay_ids ids = {0};
    if (!l->tokenizer)
        return read_words(l, text, bytes, most, out, all);
    if (!assay_tokenizer_encode(l->tokenizer, (const char *)text, bytes, false, &ids, error))
        return -1;
    int64_t n = ids.count < most ? ids.count : most;
    if (n > 0)
        memcpy(out, ids.items, (size_t)n * sizeof *out);
    if (all)
        *all = ids.count;
    assay_ids_free(&ids);
    return n;
}

int32_t lexicon_nothing(const lexicon *l)
{
    static const char *const names[] = {"[UNK]", "<unk>", "<|endoftext|>", "</s>"};
    for (size_t i = 0; l->tokenizer && i < sizeof names / sizeof names[0]; i++) {
        int32_t id = assay_tokenizer_id(l->tokenizer, names[i]);
        if (id >= 0)
            return id;
    }
    return l->tokenizer ? 0 : WORD_UNKNOWN;
}
