/* part.h - reading the parts of a tokenizer.json: every key is known, every value of its type.
 *
 * Private to this folder. A part is an object with its place in the file for messages. The readers
 * say what is wrong and return false; they leave *out alone then. */
#ifndef ASSAY_TEXT_PART_H
#define ASSAY_TEXT_PART_H

#include <assay/error.h>

#include <jansson.h>
#include <stdint.h>

typedef struct file_part {
    const json_t *value;
    char place[192]; /* "gpt2.json: pre_tokenizer.pretokenizers[1]" */
} file_part;

/* "an object", "the number 3": what a value is, for messages; NULL is an absent one. */
const char *part_kind(const json_t *value);

/* A failure of the file at this part. Always false. */
bool part_bad(const file_part *part, const char *what, const char *expected, const char *got,
              assay_error *error);
/* Something that is known, or could be meant, and is not here. Always false. */
bool part_unsupported(const file_part *part, const char *what, const char *expected,
                      const char *got, assay_error *error);

/* The member `key` as a part; json_null and an absent one are NULL values. */
file_part part_member(const file_part *part, const char *key);
/* The i-th item of the list `key` as a part. */
file_part part_item(const file_part *part, const char *key, int64_t i);

/* Every key of the object is one of `keys`, a NULL-terminated list; "type" always is. */
bool part_check_keys(const file_part *part, const char *const *keys, assay_error *error);
#define PART_KEYS(part, error, ...)                                                                \
    part_check_keys((part), (const char *const[]){__VA_ARGS__, NULL}, (error))

/* The word under "type". */
bool part_type(const file_part *part, const char **out, assay_error *error);

/* `usual` (NULL: the key must be there) is taken for an absent key, never for a wrong value. */
bool part_flag(const file_part *part, const char *key, const bool *usual, bool *out,
               assay_error *error);
bool part_text(const file_part *part, const char *key, const char *usual, const char **out,
               assay_error *error);
/* A whole number within low .. high; it must be there. */
bool part_whole(const file_part *part, const char *key, int64_t low, int64_t high, int64_t *out,
                assay_error *error);
/* A list, which must be there: its length. */
bool part_list(const file_part *part, const char *key, int64_t *count, assay_error *error);

#endif
