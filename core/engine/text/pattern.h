/* pattern.h - what a tokenizer.json searches for: a text, or a regular expression.
 *
 * Private to this folder. The expressions are Oniguruma's, matched by PCRE2. A pattern is
 * immutable; what a match needs is the caller's. */
#ifndef ASSAY_TEXT_PATTERN_H
#define ASSAY_TEXT_PATTERN_H

#include "engine/text/part.h"
#include "engine/text/unicode.h"

typedef struct pattern pattern;
typedef struct pattern_match pattern_match; /* one thread's place for a match */

/* Compiles a regular expression; `part` is its place in the file. The caller owns it. */
pattern *pattern_new(const char *expression, const file_part *part, assay_error *error);
/* Reads {"Regex": ...} or {"String": ...}. */
pattern *pattern_read(const file_part *part, assay_error *error);
void pattern_free(pattern *of);

pattern_match *pattern_match_new(assay_error *error);
void pattern_match_free(pattern_match *match);

/* Looks for the first match at or after `from`: 1 found, 0 not, -1 failed. */
int pattern_find(const pattern *of, pattern_match *match, const char *text, int64_t bytes,
                 int64_t from, int64_t *begin, int64_t *end, assay_error *error);

#endif
