/* lexicon.h - texts to ids: by the words of the data, or by a published tokenizer; and the markers
 * that a layout needs beyond them.
 *
 * Ids of words: the vocabulary's, then the words of the layout's own sentences, then markers. Ids
 * of a tokenizer: its own; a marker that it does not know takes the next id behind them, in the
 * order in which markers are asked for (so Qwen2.5 gets the ids of the published code, spec
 * 2.2). */
#ifndef USER_DECODER_LEXICON_H
#define USER_DECODER_LEXICON_H

#include <assay/text.h>

#include "vocabulary.h"

#define MODEL_WHERE "model user_decoder"

typedef struct lexicon lexicon;

/* By words; `words` is borrowed unless `owns`. The caller owns the result. */
lexicon *lexicon_of_words(vocabulary *words, bool owns, assay_error *error);
/* By the tokenizer.json (or its folder) at `path`. */
lexicon *lexicon_of_tokenizer(const char *path, assay_error *error);
void lexicon_free(lexicon *lexicon); /* accepts NULL */

/* The word vocabulary behind it; NULL: a tokenizer. */
vocabulary *lexicon_vocabulary(const lexicon *lexicon);
int64_t lexicon_size(const lexicon *lexicon); /* ids, markers included */

/* ---- while the model is opened ---- */

/* The id of a marker, made if it is not there; -1 with the error set. Texts of the data never
 * become markers that were made here. */
int32_t lexicon_marker(lexicon *lexicon, const char *name, assay_error *error);
/* The id of a token that the tokenizer must know itself ("<|im_end|>", "[CLS]"); by words a marker
 * of that name. -1 with the error set. */
int32_t lexicon_needed(lexicon *lexicon, const char *name, assay_error *error);
/* The id that ends an answer. */
int32_t lexicon_end(lexicon *lexicon, assay_error *error);
/* Appends the ids of a sentence of the layout's own; its words become known. */
bool lexicon_sentence(lexicon *lexicon, const char *text, assay_ids *out, assay_error *error);
/* Nothing is added from here on; an id at or beyond `rows` (0: any number) is an error, but of a
 * tokenizer's markers: those are the model's own to embed. */
bool lexicon_seal(lexicon *lexicon, int64_t rows, assay_error *error);

/* ---- any thread ---- */

/* The first `most` ids of a text into out; returns how many, -1 with the error set. *all (or NULL)
 * receives how many there were. */
int64_t lexicon_read(const lexicon *lexicon, const uint8_t *text, int64_t bytes, int64_t most,
                     int32_t *out, int64_t *all, assay_error *error);
/* What an empty text stands for: an unknown word; by a tokenizer its end. */
int32_t lexicon_nothing(const lexicon *lexicon);

#endif
