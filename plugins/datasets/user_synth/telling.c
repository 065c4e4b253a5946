/* telling.c - see telling.h. */
#include "telling.h"

#include <math.h>

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

/* A word and, but for the first, the blank before it. Templates of printf take several times as
 * long, and a large sample is hundreds of events. */
static char *put(char *at, const char *blank, const char *word)
{
    while (*blank != '\0')
        *at++ = *blank++;
    while (*word != '\0')
        *at++ = *word++;
    return at;
}

static char *put_number(char *at, int64_t value)
{
    char digits[24];
    int n = 0;
    for (int64_t rest = value; rest > 0 || n == 0; rest /= 10)
        digits[n++] = (char)('0' + rest % 10);
    *at++ = ' ';
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

int64_t tell_event(const life_event *e, const world *w, char *out)
{
    const topic_words *topic = &topic_table[e->topic];
    const char *noun = topic->nouns[e->item % NOUNS], *modifier = topic->modifiers[e->item / NOUNS];
    const char *action = topic->actions[e->action];
    char *at = put(out, "", topic->name);
    switch ((enum synth_source)e->source) {
    case BILL:
        at = put(put(put(at, " ", action), " ", modifier), " ", noun);
        at = put(at, " ", merchant_fronts[e->merchant / MERCHANT_ENDS]);
        at = put(at, "", merchant_ends[e->merchant % MERCHANT_ENDS]);
        at = put_number(at, told_amount(e->amount));
        at = put(put(at, " ", part_of_day(e)), " ", status_words[e->status]);
        break;
    case APP:
        at = put(put(put(at, " ", modifier), " ", noun), " ", action);
        at = put(at, " ", how_often[e->extra % HOW_OFTEN]);
        break;
    case MINIPRO:
        at = put(put(at, " ", noun), " ", action);
        at = put(put(at, " ", price_word(e, w)), " ", part_of_day(e));
        break;
    case SOUSUO:
        at = put(put(at, " ", modifier), " ", noun);
        at = put(at, " ", search_tails[e->extra % SEARCH_TAILS]);
        break;
    case SPM:
        at = put(at, " ", page_words[e->extra % PAGES]);
        at = put(at, " ", block_words[e->extra / PAGES % BLOCKS]);
        at = put(put(at, " ", noun), " ", action);
        break;
    case SOURCES:
        break;
    }
    *at = '\0';
    return at - out;
}
