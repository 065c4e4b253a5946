/* assay/text.h - tokenizers: text to token ids and back, as Hugging Face's `tokenizers` does it.
 *
 * A tokenizer is read from a `tokenizer.json`: byte-level BPE (GPT-2, Qwen2.5, SmolLM2) and
 * WordPiece (BERT), with their normalizers, pre-tokenizers, post-processors, decoders and added
 * tokens. The ids are Hugging Face's own, for every text of code points that Unicode 14 assigns.
 * What this reader does not know is an error that names it; `truncation` and `padding` are checked
 * and not applied, since how much of a text is kept is its user's decision.
 *
 * An open tokenizer never changes: any number of threads encode and decode at once. */
#ifndef ASSAY_TEXT_H
#define ASSAY_TEXT_H

#include <assay/error.h>

#include <stdint.h>

typedef struct assay_tokenizer assay_tokenizer;

/* Opens a tokenizer.json, or the one in a folder. NULL with ASSAY_BAD_INPUT when there is none,
 * ASSAY_BAD_FILE when it is malformed, ASSAY_UNSUPPORTED when it asks for a part that is not here.
 * The caller owns the result. */
assay_tokenizer *assay_tokenizer_open(const char *path, assay_error *error);
void assay_tokenizer_free(assay_tokenizer *tokenizer); /* accepts NULL */

/* The number of ids, added tokens included: ids are 0 .. size-1. A file may leave some unused. */
int64_t assay_tokenizer_size(const assay_tokenizer *tokenizer);
/* The id of a token as it stands in the file ("[CLS]", "\u0120the"); -1: there is none. */
int32_t assay_tokenizer_id(const assay_tokenizer *tokenizer, const char *token);
/* The token of an id, borrowed from the tokenizer; NULL for an id that is out of range or
 * unused. */
const char *assay_tokenizer_token(const assay_tokenizer *tokenizer, int32_t id);
/* Whether the file marks the token as special ("[SEP]", "<|endoftext|>"). */
bool assay_tokenizer_is_special(const assay_tokenizer *tokenizer, int32_t id);

/* A list of ids that grows. Zeroed is empty. */
typedef struct assay_ids {
    int32_t *items;
    int64_t count, room;
} assay_ids;
void assay_ids_free(assay_ids *ids); /* leaves it empty */

/* Appends the ids of `text` (`bytes` of UTF-8, NULs allowed) to `out`; with_special adds what the
 * file's post-processor puts around a single text ([CLS] ... [SEP]). Added tokens are found in the
 * text, special ones too. A text that is not UTF-8 is ASSAY_BAD_INPUT, naming the byte: Hugging
 * Face's takes strings, so there are no ids to agree with. On failure `out` is as it was. */
bool assay_tokenizer_encode(const assay_tokenizer *tokenizer, const char *text, int64_t bytes,
                            bool with_special, assay_ids *out, assay_error *error);

/* The text of `ids` by the file's decoder, as an owned, NUL-terminated block (assay_free); *bytes
 * excludes the NUL. skip_special leaves special tokens out. Always UTF-8: bytes that are none
 * become U+FFFD. An id without a token is ASSAY_BAD_INPUT. */
bool assay_tokenizer_decode(const assay_tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            bool skip_special, char **text, int64_t *bytes, assay_error *error);

#endif
