/* tokenizer.h - an open tokenizer: its parts in the order in which a text goes through them.
 *
 *   added tokens -> normalizer -> added tokens -> pre-tokenizer -> model -> post-processor
 *
 * Private to this folder. The parts are read from the file once and never change; what a call needs
 * besides is its workspace, which the tokenizer lends and keeps for the next call. */
#ifndef ASSAY_TEXT_TOKENIZER_H
#define ASSAY_TEXT_TOKENIZER_H

#include "engine/text/part.h"
#include "engine/text/pattern.h"
#include "engine/text/unicode.h"
#include "engine/text/vocabulary.h"

#include <assay/text.h>

#include <pthread.h>

typedef struct workspace workspace;

/* ---- added tokens ---- */

typedef struct added_token {
    char *content; /* what is looked for: normalized, if it is looked for in normalized text */
    int64_t bytes;
    int32_t id;
    bool single_word, left, right; /* whole words only; white space before, after belongs to it */
} added_token;

/* Tokens that are looked for in one kind of text, longest first among those of one first byte. */
typedef struct added_list {
    int64_t count;
    added_token *items;
    int32_t first[257]; /* those that begin with byte b are first[b] .. first[b + 1] - 1 */
} added_list;

/* Finds the next token at or after `from`: its id with its range, or -1 when there is none. `floor`
 * is where the last one ended, which white space before it reaches down to. */
int32_t added_find(const added_list *list, const char *text, int64_t bytes, int64_t from,
                   int64_t floor, int64_t *begin, int64_t *end, int64_t *next);
void added_clear(added_list *list);

/* ---- normalizer ---- */

typedef enum normalize_kind {
    NORMALIZE_FORM,
    NORMALIZE_LOWER,
    NORMALIZE_MARKS, /* StripAccents */
    NORMALIZE_BERT,
    NORMALIZE_REPLACE,
    NORMALIZE_PREPEND,
    NORMALIZE_STRIP,
} normalize_kind;

typedef struct normalize_step {
    normalize_kind kind;
    normal_form form;
    bool clean, chinese, accents, lower; /* BertNormalizer's */
    bool left, right;                    /* Strip's */
    pattern *what;                       /* Replace's */
    char *content;                       /* Replace's and Prepend's */
} normalize_step;

typedef struct normalizer {
    int count;
    normalize_step *steps;
} normalizer;

bool normalizer_read(normalizer *of, const file_part *part, assay_error *error);
void normalizer_clear(normalizer *of);
/* *out is the normalized text: `text` itself where nothing changes, else in one of two[2]. */
bool normalizer_apply(const normalizer *of, pattern_match *match, const char *text, int64_t bytes,
                      text_buffer *two, const char **out, int64_t *out_bytes, assay_error *error);

/* ---- pre-tokenizer ---- */

typedef enum split_kind {
    SPLIT_PATTERN,
    SPLIT_WHITE,
    SPLIT_PUNCTUATION,
    SPLIT_DIGITS,
    SPLIT_WORDS,       /* Whitespace: words and runs of what is neither word nor white space */
    SPLIT_MAP,         /* ByteLevel's letters for bytes */
    SPLIT_PREFIX_SPACE /* ByteLevel's space before a piece */
} split_kind;

typedef enum split_behavior {
    BEHAVIOR_ISOLATED,
    BEHAVIOR_REMOVED,
    BEHAVIOR_WITH_PREVIOUS,
    BEHAVIOR_WITH_NEXT,
    BEHAVIOR_CONTIGUOUS,
} split_behavior;

typedef struct split_step {
    split_kind kind;
    split_behavior behavior;
    bool invert;
    pattern *what;
} split_step;

typedef struct splitter {
    int count;
    split_step *steps;
} splitter;

bool splitter_read(splitter *of, const file_part *part, assay_error *error);
void splitter_clear(splitter *of);

/* What takes the pieces, in order; false ends it. */
typedef bool piece_taker(void *user, const char *piece, int64_t bytes);

/* Divides one text. `buffers` has one for each step. */
bool splitter_apply(const splitter *of, pattern_match *match, text_buffer *buffers,
                    const char *text, int64_t bytes, piece_taker *take, void *user,
                    assay_error *error);

/* ByteLevel's alphabet: the code point that stands for a byte, and the byte of a code point, -1 for
 * one that stands for none. */
uint32_t letter_of_byte(unsigned char byte);
int byte_of_letter(uint32_t code);
/* Appends the letters of the bytes. */
bool letters_add(const char *text, int64_t bytes, text_buffer *out, assay_error *error);

/* ---- models ---- */

typedef struct bpe_merge {
    uint64_t pair; /* the left id above the right one; UINT64_MAX: an empty slot */
    int32_t rank, id;
} bpe_merge;

typedef struct bpe_model {
    bpe_merge *merges; /* open addressing */
    uint64_t mask;
    bool letters;          /* words are bytes, and symbols the letters of bytes */
    int32_t symbols[256];  /* their ids, -1 without; only with letters */
    int32_t unknown;       /* the id for what is not in the vocabulary; -1: it is left out */
    bool fuse_unknown;     /* neighbours become one */
    bool whole_words;      /* ignore_merges: a word that is a token is that token */
    char *prefix, *suffix; /* of symbols inside a word, of its last; may be NULL */
    vocabulary words;      /* the tokens as bytes, for whole_words with letters */
} bpe_model;

bool bpe_read(bpe_model *of, const file_part *part, const vocabulary *tokens, bool letters,
              assay_error *error);
void bpe_clear(bpe_model *of);

typedef struct wordpiece_model {
    char *prefix; /* of what goes on inside a word: "##" */
    int64_t prefix_bytes;
    uint64_t prefix_hash;
    int32_t unknown;
    int64_t most; /* characters; a longer word is unknown */
} wordpiece_model;

bool wordpiece_read(wordpiece_model *of, const file_part *part, const vocabulary *tokens,
                    assay_error *error);
void wordpiece_clear(wordpiece_model *of);

/* Scratch of BPE. */
typedef struct bpe_scratch {
    void *block;
    int64_t room; /* symbols */
} bpe_scratch;

/* Both append the ids of one word. */
bool bpe_encode(const bpe_model *of, const vocabulary *tokens, bpe_scratch *scratch,
                const char *word, int64_t bytes, assay_ids *out, assay_error *error);
bool wordpiece_encode(const wordpiece_model *of, const vocabulary *tokens, const char *word,
                      int64_t bytes, assay_ids *out, assay_error *error);

/* ---- post-processor ---- */

typedef struct surround { /* what a post-processor puts around one text */
    assay_ids before, after;
} surround;

bool surround_read(surround *of, const file_part *part, const vocabulary *tokens,
                   assay_error *error);
void surround_clear(surround *of);

/* ---- decoder ---- */

typedef enum decode_kind { DECODE_LETTERS, DECODE_WORDPIECE } decode_kind;

typedef struct decode_step {
    decode_kind kind;
    char *prefix; /* WordPiece's */
    bool cleanup;
} decode_step;

typedef struct decoder {
    bool given; /* without a decoder tokens are joined by spaces */
    int count;
    decode_step *steps;
} decoder;

bool decoder_read(decoder *of, const file_part *part, assay_error *error);
void decoder_clear(decoder *of);

/* ---- all of it ---- */

struct assay_tokenizer {
    vocabulary tokens;
    added_list raw, normalized; /* looked for before the normalizer, and after it */
    normalizer normalizer;
    splitter splitter;
    bool is_bpe; /* otherwise WordPiece */
    bpe_model bpe;
    wordpiece_model wordpiece;
    surround surround;
    decoder decoder;
    pthread_mutex_t lock;
    workspace *idle; /* lent to calls; the lock guards the list */
};

/* Reads a whole file (read.c). */
bool tokenizer_read(assay_tokenizer *of, const file_part *file, assay_error *error);

/* Makes room for `more` ids. */
bool ids_reserve(assay_ids *ids, int64_t more, assay_error *error);

#endif
