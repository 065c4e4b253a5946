/* vocabulary.h - the words that a model of users knows: split, counted and numbered.
 *
 * A word is a run of bytes without white space, ASCII letters in lower case, closing marks (.,;:!?)
 * apart: "Will it rain?" is will, it, rain, ?. Numbers stay whole ("35.20"). */
#ifndef MODELS_VOCABULARY_H
#define MODELS_VOCABULARY_H

#include <assay/dataset.h>

/* Ids before the words. */
enum {
    WORD_PAD,
    WORD_UNKNOWN,
    WORD_USER,     /* <USER>: read as the user's representation */
    WORD_END,      /* <EOS>: ends an answer */
    WORD_QUESTION, /* begins a question */
    WORDS_SPECIAL
};

typedef struct vocabulary vocabulary;

/* Which texts are counted, and which words kept. */
typedef struct vocabulary_recipe {
    const char *where; /* "model NAME", for errors */
    const assay_data *data;
    const assay_host *host;
    int64_t min_count; /* rarer words are unknown */
    int64_t most;      /* ids in all, the special ones included */
} vocabulary_recipe;

/* What a walk through the samples also finds, per sample. */
typedef struct vocabulary_means {
    double events, question_words, answer_words;
} vocabulary_means;

/* Counts the words of every text of the samples that models are trained on (pretrain, or train
 * without it; of more than 100,000 samples, so many that chance picks), most frequent first, equal
 * counts by their bytes. Taken from the host's cache when the same data was counted before. The
 * caller owns the result. */
vocabulary *vocabulary_new(const vocabulary_recipe *recipe, assay_error *error);
/* One that knows no word, for a model whose parameters are only counted. */
vocabulary *vocabulary_new_empty(assay_error *error);
void vocabulary_free(vocabulary *words); /* accepts NULL */

int64_t vocabulary_size(const vocabulary *words); /* ids, the special ones included */
vocabulary_means vocabulary_means_get(const vocabulary *words);
/* The bytes of a word (not NUL-terminated); an id from WORDS_SPECIAL on. Borrowed. */
const char *vocabulary_word(const vocabulary *words, int64_t id, int64_t *bytes);

/* The id of one word; -1: it is not known. Any thread. */
int32_t vocabulary_id(const vocabulary *words, const uint8_t *word, int64_t bytes);
/* The ids of a text's first `most` words into out; returns how many. Any thread. */
int64_t vocabulary_read(const vocabulary *words, const uint8_t *text, int64_t bytes, int64_t most,
                        int32_t *out);

#endif
