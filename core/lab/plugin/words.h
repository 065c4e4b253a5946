/* lab/plugin/words.h - what the room's files share: words in one text, numbers as text, UTF-8.
 * Private to this room. */
#ifndef LAB_PLUGIN_WORDS_H
#define LAB_PLUGIN_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Words in one text, apart by a separator: "tiny|small", "auc,ks". NULL and "" hold none. */
int words_count(const char *words, char separator);
/* The i-th word: its start, and its length in *length. Not NUL-terminated. */
const char *words_at(const char *words, char separator, int i, int64_t *length);
/* The place of `word` among the words; -1 when it is none of them. */
int words_find(const char *words, char separator, const char *word);

#define NUMBER_TEXT 40 /* bytes that any number's text fits in, with its NUL */
/* Decimal text with the fewest digits that read back as the same double; whole numbers below 10^15
 * without an exponent; always with a point, whatever the locale. Returns `out`. */
const char *number_text(double number, char out[NUMBER_TEXT]);

/* Whether the text is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool text_is_utf8(const char *text);
/* Well-formed, not empty, and without control characters: what a listing can print in one line. */
bool text_is_line(const char *text);

#endif
