/* unicode.h - UTF-8, character classes and normal forms, as Hugging Face's tokenizers see them.
 *
 * Private to this folder. Texts are UTF-8 that has been checked once; lengths are in bytes. */
#ifndef ASSAY_TEXT_UNICODE_H
#define ASSAY_TEXT_UNICODE_H

#include <assay/error.h>

#include <stdint.h>

/* ---- a text that grows ---- */

typedef struct text_buffer {
    char *data;
    int64_t bytes, room;
} text_buffer;

void text_buffer_free(text_buffer *buffer);
/* Makes room for `more` bytes behind the present ones. */
bool text_buffer_reserve(text_buffer *buffer, int64_t more, assay_error *error);
bool text_buffer_add(text_buffer *buffer, const char *data, int64_t bytes, assay_error *error);

/* ---- UTF-8 ---- */

/* The first byte that is no part of UTF-8 (overlong forms and surrogates are none), or -1. */
int64_t unicode_check(const char *text, int64_t bytes);

/* How many of the bytes, which begin with no character, are the beginning of one: at least 1. */
int64_t unicode_broken(const char *text, int64_t bytes);

/* The code point at `at`, which is moved behind it. The text is checked and `at` is in it. */
uint32_t unicode_next(const char *text, int64_t *at);
/* The code point that ends before `end`, which is above 0. */
uint32_t unicode_before(const char *text, int64_t end);
/* Writes the code point to out[4]: how many bytes. */
int unicode_put(uint32_t code, char *out);

/* ---- classes ---- */

bool unicode_is_white(uint32_t code);       /* White_Space */
bool unicode_is_number(uint32_t code);      /* category N */
bool unicode_is_punctuation(uint32_t code); /* category P, and every sign of ASCII */
bool unicode_is_word(uint32_t code);        /* letters, marks, digits, connectors and the like */
bool unicode_is_nonspacing(uint32_t code);  /* category Mn */
bool unicode_is_mark(uint32_t code);        /* category M */
bool unicode_is_control(uint32_t code);     /* category C, unassigned ones apart */
bool unicode_is_chinese(uint32_t code);     /* an ideograph that BERT puts spaces around */

/* Appends what `\w` means in a pattern of the file besides \p{L}, \p{M}, \p{Nd} and \p{Pc}, as
 * ranges for a character class. Inside a class of the file's own it is a little less: Oniguruma
 * looks Latin-1 up elsewhere then. */
bool unicode_add_pattern_word(bool in_class, text_buffer *out, assay_error *error);

/* Writes the lower case of a code point to out[2]: how many. */
int unicode_lower(uint32_t code, uint32_t *out);

/* ---- normal forms ---- */

typedef enum normal_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD } normal_form;

/* Appends the normal form of the text to `out`. */
bool unicode_normalize(const char *text, int64_t bytes, normal_form form, text_buffer *out,
                       assay_error *error);

#endif
