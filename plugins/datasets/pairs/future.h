/* future.h - what a user did next, as a text: the answer of a next-period pair (D_future). */
#ifndef PAIRS_FUTURE_H
#define PAIRS_FUTURE_H

#include "deed.h"

#include <assay/memory.h>
#include <assay/random.h>

#define FUTURE_PARTS 4 /* the window is cut into so many equal parts */
#define FUTURE_ITEMS 8 /* at most so many are named */

typedef enum future_choice {
    FUTURE_DIVERSE, /* frequent and diverse (Q-Anchor) */
    FUTURE_RANDOM   /* a random subset (GG-SM) */
} future_choice;

typedef struct future_rules {
    const char *part; /* "part", "week": what a part is called */
    future_choice choice;
    assay_stream stream; /* of a random choice */
} future_rules;

typedef struct future_text {
    const char *text; /* in the arena */
    int64_t bytes;    /* 0 without an event in the window */
} future_text;

/* The events with from < time <= to, which are all of `done`, told as
 *     "part 1: bill groceries x3, app chess x1; part 3: bill rent x1"
 * An item is a category in a part of the window. FUTURE_DIVERSE picks items one by one for the
 * largest
 *     log(1 + n) + 0.5 [the category is new] + 0.25 [the part is new]
 * with n the category's events in the whole window; ties go to the earlier part, source and word.
 * Told by part, and in the order picked within one. */
bool future_tell(const deeds *done, double from, double to, const future_rules *rules,
                 assay_arena *arena, future_text *out, assay_error *error);

#endif
