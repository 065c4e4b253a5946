/* tabular.c - see tabular.h. */
#include "tabular.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SPANS = 3, COUNTED = ACCOUNT /* topics with columns of their own */ };
static const int spans[SPANS] = {7, 30, 90};

/* Where each group of columns begins. */
enum {
    OF_TOPIC = 0,
    OF_SOURCE = OF_TOPIC + COUNTED * SPANS,
    SPEND_MEAN = OF_SOURCE + SOURCES * SPANS,
    SPEND_MOST,
    SPEND_SPAN, /* 30 and 90 days */
    ACTIVE_DAYS = SPEND_SPAN + 2,
    IDLE_DAYS = ACTIVE_DAYS + SPANS, /* since the newest event */
    FAILED_SPAN,                     /* 30 and 90 days */
    AT_NIGHT = FAILED_SPAN + 2,
    BUSIEST_DAY,
    LARGE_AMOUNTS,
    COLUMNS
};
_Static_assert((int)COLUMNS == (int)AGGREGATES, "every column has a place");

static void count_event(const life_event *e, double *out)
{
    int age = HISTORY - 1 - (int)(e->time / TICKS); /* 0: the last day */
    uint32_t of_day = e->time % TICKS;
    for (int s = 0; s < SPANS; s++) {
        if (age >= spans[s])
            continue;
        if (e->topic < COUNTED)
            out[OF_TOPIC + e->topic * SPANS + s]++;
        out[OF_SOURCE + e->source * SPANS + s]++;
        if (s > 0 && e->status == FAILED)
            out[FAILED_SPAN + s - 1]++;
        if (s > 0 && e->source == BILL && e->status == PAID)
            out[SPEND_SPAN + s - 1] += (double)e->amount;
    }
    if (e->source == BILL && e->status == PAID) {
        out[SPEND_MEAN]++; /* payments, until the mean is taken */
        out[SPEND_MOST] = fmax(out[SPEND_MOST], (double)e->amount);
    }
    out[AT_NIGHT] += of_day < TICKS / 4;
    out[LARGE_AMOUNTS] += e->amount > 1000;
}

static void count_days(const life *l, int64_t end, double *out)
{
    int of_day[HISTORY] = {0};
    for (int64_t i = 0; i < end; i++)
        of_day[l->events[i].time / TICKS]++;
    out[IDLE_DAYS] = HISTORY;
    for (int d = 0; d < HISTORY; d++) {
        int age = HISTORY - 1 - d;
        if (of_day[d] == 0)
            continue;
        out[IDLE_DAYS] = age;
        out[BUSIEST_DAY] = fmax(out[BUSIEST_DAY], of_day[d]);
        for (int s = 0; s < SPANS; s++)
            out[ACTIVE_DAYS + s] += age < spans[s];
    }
}

void tabular_of(const life *l, assay_stream noise, uint64_t number, int64_t count, double *out)
{
    double all[AGGREGATES] = {0};
    int64_t end = life_from(l, HISTORY);
    for (int64_t i = 0; i < end; i++)
        count_event(&l->events[i], all);
    count_days(l, end, all);
    if (all[SPEND_MEAN] > 0)
        all[SPEND_MEAN] = all[SPEND_SPAN + 1] / all[SPEND_MEAN];
    for (int64_t f = 0; f < count && f < AGGREGATES; f++)
        out[f] = log1p(all[f]);
    noise.step[0] = (uint32_t)number;
    noise.step[1] = (uint32_t)(number >> 32);
    for (int64_t f = AGGREGATES; f < count; f++)
        out[f] = (double)assay_random_normal(noise, (uint64_t)(f - AGGREGATES));
}

void tabular_name(int64_t feature, char out[48])
{
    static const char *const rest[] = {
        "mean payment",    "largest payment", "spend 30d",    "spend 90d",  "active days 7d",
        "active days 30d", "active days 90d", "idle days",    "failed 30d", "failed 90d",
        "at night",        "busiest day",     "large amounts"};
    if (feature < OF_SOURCE)
        snprintf(out, 48, "%s %dd", topic_table[feature / SPANS].name, spans[feature % SPANS]);
    else if (feature < SPEND_MEAN)
        snprintf(out, 48, "%s %dd", source_names[(feature - OF_SOURCE) / SPANS],
                 spans[(feature - OF_SOURCE) % SPANS]);
    else if (feature < AGGREGATES)
        snprintf(out, 48, "%s", rest[feature - SPEND_MEAN]);
    else
        snprintf(out, 48, "noise %lld", (long long)(feature - AGGREGATES));
}
