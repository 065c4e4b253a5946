/* future.c - see future.h. */
#include "future.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event of the window, and later the first event of an item. */
typedef struct window_deed {
    const char *word;
    int64_t word_bytes;
    int source, part; /* part from 0 */
    int64_t category; /* number of its category */
    int64_t times;    /* events of the item */
} window_deed;

static int compare_category(const window_deed *a, const window_deed *b)
{
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    int64_t shorter = a->word_bytes < b->word_bytes ? a->word_bytes : b->word_bytes;
    int order = memcmp(a->word, b->word, (size_t)shorter);
    if (order != 0)
        return order;
    return (a->word_bytes > b->word_bytes) - (a->word_bytes < b->word_bytes);
}

static int by_category_and_part(const void *a, const void *b)
{
    const window_deed *x = a, *y = b;
    int order = compare_category(x, y);
    return order != 0 ? order : (x->part > y->part) - (x->part < y->part);
}

static void first_word(window_deed *deed, const char *text, int64_t bytes)
{
    int64_t from = 0, to = 0;
    while (from < bytes && (text[from] == ' ' || (text[from] >= '\t' && text[from] <= '\r')))
        from++;
    to = from;
    while (to < bytes && !(text[to] == ' ' || (text[to] >= '\t' && text[to] <= '\r')))
        to++;
    deed->word = text + from;
    deed->word_bytes = to - from;
}

static int part_of(double time, double from, double to)
{
    int part = (int)ceil((time - from) / (to - from) * FUTURE_PARTS) - 1;
    return part < 0 ? 0 : part >= FUTURE_PARTS ? FUTURE_PARTS - 1 : part;
}

/* First event after `from`, by the same search as "before": times are sorted. */
static int64_t first_after(const user_events *events, double from)
{
    return user_events_before(events, nextafter(from, INFINITY));
}

/* Fills `deeds` when it is not NULL; returns their number. */
static int64_t collect(const user_history *user, const set_description *description, double from,
                       double to, window_deed *deeds)
{
    int64_t count = 0;
    for (int s = 0; s < description->source_count; s++) {
        const user_events *events = &user->sources[s];
        int64_t end = first_after(events, to);
        for (int64_t i = first_after(events, from); i < end; i++, count++) {
            if (deeds == NULL)
                continue;
            uint32_t begin = i > 0 ? events->ends[i - 1] : 0;
            deeds[count] = (window_deed){.source = s, .part = part_of(events->times[i], from, to)};
            first_word(&deeds[count], events->text + begin, events->ends[i] - begin);
        }
    }
    return count;
}

/* Joins the sorted events to items, in place; counts each category's events. Returns the items. */
static int64_t join(window_deed *deeds, int64_t count, int64_t *category_events)
{
    int64_t items = 0, categories = 0;
    for (int64_t i = 0; i < count; i++) {
        window_deed next = deeds[i];
        bool same = items > 0 && compare_category(&deeds[items - 1], &next) == 0;
        if (!same)
            category_events[categories++] = 0;
        category_events[categories - 1]++;
        if (same && deeds[items - 1].part == next.part) {
            deeds[items - 1].times++;
            continue;
        }
        next.category = categories - 1;
        next.times = 1;
        deeds[items++] = next;
    }
    return items;
}

/* Whether a goes before b among equal values; items are sorted by category, then part. */
static bool earlier(const window_deed *a, const window_deed *b)
{
    return a->part != b->part ? a->part < b->part : compare_category(a, b) < 0;
}

static int pick(const window_deed *items, int64_t count, const int64_t *category_events,
                const window_deed **picked)
{
    int chosen = 0;
    while (chosen < FUTURE_ITEMS) {
        const window_deed *best = NULL;
        double best_value = 0;
        for (int64_t i = 0; i < count; i++) {
            bool taken = false, new_category = true, new_part = true;
            for (int k = 0; k < chosen; k++) {
                taken = taken || picked[k] == &items[i];
                new_category = new_category && picked[k]->category != items[i].category;
                new_part = new_part && picked[k]->part != items[i].part;
            }
            double value = log1p((double)category_events[items[i].category]) + 0.5 * new_category +
                           0.25 * new_part;
            if (!taken && (best == NULL || value > best_value ||
                           (value == best_value && earlier(&items[i], best)))) {
                best = &items[i];
                best_value = value;
            }
        }
        if (best == NULL)
            break;
        picked[chosen++] = best;
    }
    return chosen;
}

static int64_t render(const set_description *description, const window_deed *const *picked,
                      int chosen, char *out, int64_t size)
{
    int64_t at = 0;
    for (int part = 0; part < FUTURE_PARTS; part++) {
        bool begun = false;
        for (int k = 0; k < chosen; k++) {
            const window_deed *item = picked[k];
            if (item->part != part)
                continue;
            if (begun)
                at += snprintf(out + at, (size_t)(size - at), ",");
            else
                at += snprintf(out + at, (size_t)(size - at), "%spart %d:", at > 0 ? "; " : "",
                               part + 1);
            begun = true;
            at += snprintf(out + at, (size_t)(size - at), " %s %.*s x%lld",
                           description->sources[item->source].name, (int)item->word_bytes,
                           item->word, (long long)item->times);
        }
    }
    return at;
}

bool future_tell(const user_history *user, const set_description *description, double from,
                 double to, assay_arena *arena, future_text *out, assay_error *error)
{
    const window_deed *picked[FUTURE_ITEMS];
    int64_t count = collect(user, description, from, to, NULL), size = 1;
    window_deed *deeds = assay_arena_alloc(arena, count * (int64_t)sizeof *deeds, error);
    int64_t *category_events = assay_arena_alloc(arena, count * (int64_t)sizeof(int64_t), error);
    *out = (future_text){0};
    if (deeds == NULL || category_events == NULL)
        return false;
    collect(user, description, from, to, deeds);
    qsort(deeds, (size_t)count, sizeof *deeds, by_category_and_part);
    int64_t items = join(deeds, count, category_events);
    int chosen = pick(deeds, items, category_events, picked);
    for (int k = 0; k < chosen;
         k++) /* "; part N:", " S W xN", ","; a count has at most 19 digits */
        size += (int64_t)strlen(description->sources[picked[k]->source].name) +
                picked[k]->word_bytes + 40;
    char *text = assay_arena_alloc(arena, size, error);
    if (text == NULL)
        return false;
    out->bytes = render(description, picked, chosen, text, size);
    out->text = text;
    return true;
}
