/* future.h - what a user did next, as a text: the answer of a next-period pair. */
#ifndef USERS_FUTURE_H
#define USERS_FUTURE_H

#include "user.h"

#define FUTURE_PARTS 4 /* the window is cut into so many equal parts */
#define FUTURE_ITEMS 8 /* at most so many are named */

typedef struct future_text {
    const char *text; /* in the arena */
    int64_t bytes;
} future_text;

/* The events of all sources with from < time <= to, told as
 *     "part 1: bill groceries x3, app chess x1; part 3: bill rent x1"
 * A category is a source and the first word of the event's text. An item is a category in a part of
 * the window; items are picked one by one for the largest
 *     log(1 + n) + 0.5 [the category is new] + 0.25 [the part is new]
 * with n the category's events in the whole window; ties go to the earlier part, source and word.
 * Told by part, and in the order picked within one. */
bool future_tell(const user_history *user, const set_description *description, double from,
                 double to, assay_arena *arena, future_text *out, assay_error *error);

#endif
