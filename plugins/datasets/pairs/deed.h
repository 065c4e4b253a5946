/* deed.h - a user's events as pair makers see them, whatever data they come from.
 *
 * A category is a source and the first word of an event's text: data whose texts begin with what
 * was done, or with where money went, have good ones. An event's amount is the first word of its
 * text that is a plain number ("35", "12.50"). */
#ifndef PAIRS_DEED_H
#define PAIRS_DEED_H

#include <stdint.h>

typedef struct deed {
    double time;
    double amount;    /* NaN: the text has no number */
    const char *word; /* the first of the text, no NUL at its end; borrowed */
    int32_t word_bytes, source;
} deed;

/* Borrowed from an arena, with the texts. */
typedef struct deeds {
    int64_t count;
    const deed *items; /* each source's by time; the sources in any order */
    int source_count;
    const char *const *sources; /* their names */
} deeds;

/* The first word and the amount of a text; time and source are the caller's. */
deed deed_of(const char *text, int64_t bytes);

/* By source, then word: negative, 0 for one category, positive. */
int deed_compare(const deed *a, const deed *b);

#endif
