/* history.h - a user's events of a span of time as pair makers want them. */
#ifndef USERS_HISTORY_H
#define USERS_HISTORY_H

#include "deed.h"
#include "user.h"

/* The events of all sources with from < time <= to, borrowed from `arena` and the user. */
bool history_deeds(const user_history *user, const set_description *description, double from,
                   double to, assay_arena *arena, deeds *out, assay_error *error);

#endif
