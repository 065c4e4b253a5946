/* history.c - see history.h. */
#include "history.h"

#include <math.h>

/* The number of events with time <= `moment`. */
static int64_t events_until(const user_events *events, double moment)
{
    return user_events_before(events, nextafter(moment, INFINITY));
}

bool history_deeds(const user_history *user, const set_description *description, double from,
                   double to, assay_arena *arena, deeds *out, assay_error *error)
{
    int64_t count = 0;
    for (int s = 0; s < description->source_count; s++)
        count += events_until(&user->sources[s], to) - events_until(&user->sources[s], from);
    deed *items = assay_arena_alloc(arena, count * (int64_t)sizeof *items, error);
    if (items == NULL)
        return false;
    *out = (deeds){count, items, description->source_count, description->source_names};
    for (int s = 0; s < description->source_count; s++) {
        const user_events *events = &user->sources[s];
        int64_t end = events_until(events, to);
        for (int64_t i = events_until(events, from); i < end; i++, items++) {
            uint32_t begin = i > 0 ? events->ends[i - 1] : 0;
            *items = deed_of(events->text + begin, events->ends[i] - begin);
            items->time = events->times[i];
            items->source = s;
        }
    }
    return true;
}
