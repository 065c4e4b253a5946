/* person.c - see person.h.
 *
 * One block of random words per day gives the number of its events and the drift of twelve tastes;
 * one per event gives all of the event. No function of the mathematics library is called per
 * event. */
#include "person.h"

#include <math.h>
#include <string.h>

life_streams life_streams_of(uint64_t seed)
{
    return (life_streams){.traits = assay_stream_of(seed, "user_synth/traits", 0),
                          .days = assay_stream_of(seed, "user_synth/days", 0),
                          .events = assay_stream_of(seed, "user_synth/events", 0),
                          .luck = assay_stream_of(seed, "user_synth/luck", 0)};
}

static assay_stream of_user(assay_stream stream, uint64_t number)
{
    stream.step[0] = (uint32_t)number;
    stream.step[1] = (uint32_t)(number >> 32);
    return stream;
}

static void draw_words(assay_stream stream, uint32_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {block, 0, stream.step[0], stream.step[1]};
    assay_philox(counter, stream.key, out);
}

/* ---- who the user is ---- */

/* Traits with a meaning of their own; the others only mix into tastes. */
enum { WEALTH = 0, LIVELINESS = 1, FICKLENESS = 2, FRAUD = 3, LAUNDERING = 4 };

/* Events per day that nobody exceeds on average, so that a day's number fits its address. */
#define MOST_A_DAY 4000.0F

/* Extra normals behind the traits, for what tastes say nothing of. */
enum { OWN_RATE = TRAITS, OWN_FRAUD, OWN_LAUNDERING, NORMALS_USED };

static void choose_tastes(person *p, const world *w)
{
    float odds[SOURCES], sum = 0;
    for (int t = 0; t < TOPICS; t++) {
        float theta = w->topic_base[t];
        for (int k = 0; k < TRAITS; k++)
            theta += w->taste[t][k] * p->z[k];
        p->weight[t] = expf(theta);
        p->price[t] = expf(w->price[t] + 0.5F * p->z[WEALTH]);
    }
    for (int s = 0; s < SOURCES; s++) {
        float log_odds = w->source_base[s];
        for (int k = 0; k < TRAITS; k++)
            log_odds += w->habit[s][k] * p->z[k];
        sum += odds[s] = expf(log_odds);
    }
    float before = 0;
    for (int s = 0; s < SOURCES; s++) {
        before += odds[s] / sum;
        p->source_until[s] = before;
    }
}

/* Some users fade away over some days and are gone for a while, or for good. */
static void choose_absence(person *p, const uint32_t words[4])
{
    float leaves = 1 / (1 + expf(0.2F - p->z[FICKLENESS]));
    p->leave = p->back = DAYS + 60;
    if ((float)(words[0] >> 8) * 0x1p-24F < leaves) {
        p->leave = 35 + (int)((uint64_t)words[1] * 100 >> 32);
        p->back = p->leave + 15 + (int)((uint64_t)words[2] * 100 >> 32);
    }
}

static float probability(float base, float risk)
{
    return fminf(0.5F, base * expf(0.8F * risk));
}

void person_make(person *out, const world *w, const life_streams *streams, uint64_t number)
{
    float normals[NORMALS_USED + 1];
    uint32_t words[4];
    memset(out, 0, sizeof *out);
    out->number = number;
    assay_random_fill_normal(of_user(streams->traits, number), 0, NORMALS_USED, normals);
    memcpy(out->z, normals, sizeof out->z);
    float lively = 0.8F * out->z[LIVELINESS] + 0.6F * normals[OWN_RATE];
    out->rate = fminf((float)w->knobs.activity * expf(0.7F * lively), MOST_A_DAY);
    choose_tastes(out, w);
    draw_words(of_user(streams->luck, number), 0, words);
    choose_absence(out, words);
    draw_words(of_user(streams->luck, number), 1, words);
    memcpy(out->favourite, words, TOPICS);
    out->fraud = 0.8F * out->z[FRAUD] + 0.6F * normals[OWN_FRAUD];
    out->laundering = 0.8F * out->z[LAUNDERING] + 0.6F * normals[OWN_LAUNDERING];
    out->failing = probability(0.03F, out->fraud);
    out->large = probability(0.06F, out->laundering);
    out->burst = probability(0.02F, 0.7F * (out->fraud + out->laundering));
}

/* ---- days ---- */

typedef struct day_plan {
    uint32_t words[4];
    int32_t count;
} day_plan;

enum { FADING = 6 }; /* days */

static float presence(const person *p, int day)
{
    if (day < p->leave - FADING || day >= p->back)
        return 1;
    return day >= p->leave ? 0 : (float)(p->leave - day) / FADING;
}

/* A Poisson number by inversion; a rounded normal where that takes long. */
static int32_t poisson(const world *w, float rate, uint32_t word)
{
    if (rate > 32) {
        float n = rate + sqrtf(rate) * w->normal[word >> 20];
        return n > 0 ? (int32_t)(n + 0.5F) : 0;
    }
    float u = (float)(word >> 8) * 0x1p-24F, p = expf(-rate), below = p;
    int32_t n = 0;
    while (u >= below && n < 120) {
        n++;
        p *= rate / (float)n;
        below += p;
    }
    return n;
}

/* The weekend is busier. */
static const float week[7] = {0.9F, 0.9F, 0.95F, 1.0F, 1.1F, 1.2F, 0.95F};

static int64_t plan_days(const person *p, const world *w, const life_streams *streams, int end_day,
                         day_plan *days)
{
    assay_stream stream = of_user(streams->days, p->number);
    int64_t events = 0;
    for (int d = 0; d < end_day; d++) {
        day_plan *day = &days[d];
        float rate = p->rate * week[d % 7] * presence(p, d);
        draw_words(stream, (uint32_t)d, day->words);
        /* The low bits of the word that counts decide on a burst. */
        if ((float)(day->words[3] & 0xFF) * 0x1p-8F < p->burst)
            rate *= 4;
        day->count = rate > 0 ? poisson(w, rate, day->words[3]) : 0;
        events += day->count;
    }
    return events;
}

/* ---- events ---- */

static void drift(float weight[TOPICS], const world *w, const uint32_t words[4])
{
    uint8_t bytes[12];
    memcpy(bytes, words, sizeof bytes);
    for (int t = 0; t < ACCOUNT; t++)
        weight[t] *= w->drift[bytes[t]];
}

static int choose(const float *until, int count, float u)
{
    int k = 0;
    while (k < count - 1 && u >= until[k])
        k++;
    return k;
}

static int choose_topic(const float until[TOPICS], const world *w, float u)
{
    float noise = (float)w->knobs.noise, total = until[TOPICS - 1];
    if (u >= noise)
        return choose(until, TOPICS, (u - noise) / (1 - noise) * total);
    float left = u / noise * w->topic_total;
    int t = 0;
    while (t < TOPICS - 1 && left >= w->topic_share[t])
        left -= w->topic_share[t++];
    return t;
}

/* How 128 bits become an event: word 0 the topic (24) and what only the text says (8); word 1 the
 * source (20) and the item (12); word 2 the action (8), the amount (10) and the time (10); word 3
 * the status (12), whether a transfer is large (14) and the merchant (2). */
static life_event make_event(const person *p, const world *w, const float until[TOPICS],
                             const uint32_t words[4])
{
    life_event e;
    e.topic = (uint8_t)choose_topic(until, w, (float)(words[0] >> 8) * 0x1p-24F);
    e.extra = (uint8_t)words[0];
    e.source = (uint8_t)choose(p->source_until, SOURCES, (float)(words[1] >> 12) * 0x1p-20F);
    e.item = (uint8_t)((w->zipf[words[1] & 0xFFF] + p->favourite[e.topic]) % ITEMS);
    e.action = w->action[words[2] >> 24];
    e.amount = p->price[e.topic] * w->spread[words[2] >> 14 & 0x3FF];
    e.time = w->clock[words[2] >> 4 & 0x3FF];
    float fate = (float)(words[3] >> 20) * 0x1p-12F;
    e.status = fate < p->failing ? FAILED : fate > 0.97F ? REFUNDED : fate > 0.93F ? PENDING : PAID;
    if (e.topic == FINANCE && (float)(words[3] >> 6 & 0x3FFF) * 0x1p-14F < p->large)
        e.amount *= 8;
    e.merchant = (uint16_t)((e.topic * 37 + e.item * 5 + (words[3] & 3)) % MERCHANTS);
    return e;
}

/* A day's few events, by time; equal times keep their order. */
static void sort_day(life_event *events, int32_t count)
{
    for (int32_t i = 1; i < count; i++) {
        life_event e = events[i];
        int32_t k = i;
        for (; k > 0 && events[k - 1].time > e.time; k--)
            events[k] = events[k - 1];
        events[k] = e;
    }
}

static void live_day(const person *p, const world *w, assay_stream stream, int day, int32_t count,
                     const float weight[TOPICS], life_event *out)
{
    float until[TOPICS], sum = 0;
    for (int t = 0; t < TOPICS; t++)
        until[t] = sum += weight[t];
    for (int32_t k = 0; k < count; k++) {
        uint32_t words[4];
        draw_words(stream, (uint32_t)day << 16 | (uint32_t)k, words);
        out[k] = make_event(p, w, until, words);
        out[k].time += (uint32_t)day * TICKS;
    }
    sort_day(out, count);
}

bool person_live(const person *p, const world *w, const life_streams *streams, int end_day,
                 assay_arena *arena, life *out, assay_error *error)
{
    day_plan days[DAYS];
    float weight[TOPICS];
    assay_stream stream = of_user(streams->events, p->number);
    out->count = plan_days(p, w, streams, end_day, days);
    out->events = assay_arena_alloc(arena, out->count * (int64_t)sizeof *out->events, error);
    if (out->events == NULL)
        return false;
    memcpy(weight, p->weight, sizeof weight);
    life_event *next = out->events;
    for (int d = 0; d < end_day; d++) {
        if (days[d].count > 0)
            live_day(p, w, stream, d, days[d].count, weight, next);
        next += days[d].count;
        drift(weight, w, days[d].words);
    }
    return true;
}

int64_t life_from(const life *l, int day)
{
    int64_t low = 0, high = l->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (l->events[middle].time < (uint32_t)day * TICKS)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
