/* future.c - see future.h. */
#include "future.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event of the window, and later the first event of an item. */
typedef struct window_deed {
    deed what;
    int part;         /* from 0 */
    int64_t category; /* number of its category */
    int64_t times;    /* events of the item */
} window_deed;

static int by_category_and_part(const void *a, const void *b)
{
    const window_deed *x = a, *y = b;
    int order = deed_compare(&x->what, &y->what);
    return order != 0 ? order : (x->part > y->part) - (x->part < y->part);
}

static int part_of(double time, double from, double to)
{
    int part = (int)ceil((time - from) / (to - from) * FUTURE_PARTS) - 1;
    return part < 0 ? 0 : part >= FUTURE_PARTS ? FUTURE_PARTS - 1 : part;
}

/* Joins the sorted events to items, in place; counts each category's events. Returns the items. */
static int64_t join(window_deed *all, int64_t count, int64_t *category_events)
{
    int64_t items = 0, categories = 0;
    for (int64_t i = 0; i < count; i++) {
        window_deed next = all[i];
        bool same = items > 0 && deed_compare(&all[items - 1].what, &next.what) == 0;
        if (!same)
            category_events[categories++] = 0;
        category_events[categories - 1]++;
        if (same && all[items - 1].part == next.part) {
            all[items - 1].times++;
            continue;
        }
        next.category = categories - 1;
        next.times = 1;
        all[items++] = next;
    }
    return items;
}

/* Whether a goes before b among equal values; items are sorted by category, then part. */
static bool earlier(const window_deed *a, const window_deed *b)
{
    return a->part != b->part ? a->part < b->part : deed_compare(&a->what, &b->what) < 0;
}

static int pick_diverse(const window_deed *items, int64_t count, const int64_t *category_events,
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

/* The items with the smallest random words; equal words keep their order. */
static int pick_random(const window_deed *items, int64_t count, assay_stream stream,
                       const window_deed **picked)
{
    uint32_t words[FUTURE_ITEMS];
    int chosen = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = assay_random_bits(stream, (uint64_t)i);
        int place = chosen;
        while (place > 0 && words[place - 1] > word)
            place--;
        if (place >= FUTURE_ITEMS)
            continue;
        chosen += chosen < FUTURE_ITEMS;
        for (int k = chosen - 1; k > place; k--) {
            words[k] = words[k - 1];
            picked[k] = picked[k - 1];
        }
        words[place] = word;
        picked[place] = &items[i];
    }
    return chosen;
}

static int64_t render(const deeds *done, const char *part_word, const window_deed *const *picked,
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
                at += snprintf(out + at, (size_t)(size - at), "%s%s %d:", at > 0 ? "; " : "",
                               part_word, part + 1);
            begun = true;
            at += snprintf(out + at, (size_t)(size - at), " %s %.*s x%lld",
                           done->sources[item->what.source], (int)item->what.word_bytes,
                           item->what.word, (long long)item->times);
        }
    }
    return at;
}

bool future_tell(const deeds *done, double from, double to, const future_rules *rules,
                 assay_arena *arena, future_text *out, assay_error *error)
{
    const window_deed *picked[FUTURE_ITEMS];
    int64_t count = done->count, size = 1;
    window_deed *all = assay_arena_alloc(arena, count * (int64_t)sizeof *all, error);
    int64_t *category_events = assay_arena_alloc(arena, count * (int64_t)sizeof(int64_t), error);
    *out = (future_text){0};
    if (all == NULL || category_events == NULL)
        return false;
    for (int64_t i = 0; i < count; i++)
        all[i] =
            (window_deed){.what = done->items[i], .part = part_of(done->items[i].time, from, to)};
    qsort(all, (size_t)count, sizeof *all, by_category_and_part);
    int64_t items = join(all, count, category_events);
    int chosen = rules->choice == FUTURE_RANDOM ? pick_random(all, items, rules->stream, picked)
                                                : pick_diverse(all, items, category_events, picked);
    for (int k = 0; k < chosen; k++) /* "; PART N:", " S W xN", ","; 19 digits at most */
        size += (int64_t)(strlen(done->sources[picked[k]->what.source]) + strlen(rules->part)) +
                picked[k]->what.word_bytes + 36;
    char *text = assay_arena_alloc(arena, size, error);
    if (text == NULL)
        return false;
    out->bytes = render(done, rules->part, picked, chosen, text, size);
    out->text = text;
    return true;
}
