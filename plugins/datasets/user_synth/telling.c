/* telling.c - see telling.h. */
#include "telling.h"

#include <math.h>
#include <stdio.h>

int64_t told_amount(float amount)
{
    int64_t whole = (int64_t)(amount + 0.5F), unit = 1;
    while (whole / unit >= 100)
        unit *= 10;
    return (whole + unit / 2) / unit * unit;
}

static const char *part_of_day(const life_event *e)
{
    return day_parts[e->time % TICKS * DAY_PARTS / TICKS];
}

static const char *price_word(const life_event *e, const world *w)
{
    return logf(e->amount) < w->price[e->topic] ? "budget" : "premium";
}

int64_t tell_event(const life_event *e, const world *w, char *out)
{
    const topic_words *topic = &topic_table[e->topic];
    const char *noun = topic->nouns[e->item % NOUNS], *modifier = topic->modifiers[e->item / NOUNS];
    const char *action = topic->actions[e->action];
    switch ((enum synth_source)e->source) {
    case BILL:
        return snprintf(out, LONGEST_TEXT, "%s %s %s %s %s%s %lld %s %s", topic->name, action,
                        modifier, noun, merchant_fronts[e->merchant / MERCHANT_ENDS],
                        merchant_ends[e->merchant % MERCHANT_ENDS],
                        (long long)told_amount(e->amount), part_of_day(e), status_words[e->status]);
    case APP:
        return snprintf(out, LONGEST_TEXT, "%s %s %s %s %s", topic->name, modifier, noun, action,
                        how_often[e->extra % HOW_OFTEN]);
    case MINIPRO:
        return snprintf(out, LONGEST_TEXT, "%s %s %s %s %s", topic->name, noun, action,
                        price_word(e, w), part_of_day(e));
    case SOUSUO:
        return snprintf(out, LONGEST_TEXT, "%s %s %s %s", topic->name, modifier, noun,
                        search_tails[e->extra % SEARCH_TAILS]);
    case SPM:
        return snprintf(out, LONGEST_TEXT, "%s %s %s %s %s", topic->name,
                        page_words[e->extra % PAGES], block_words[e->extra / PAGES % BLOCKS], noun,
                        action);
    case SOURCES:
        break;
    }
    return 0;
}
