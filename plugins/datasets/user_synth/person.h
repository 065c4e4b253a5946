/* person.h - one synthetic user: traits, and a life of 120 days as events.
 *
 * A life is a pure function of (seed, user, world): any stretch of days can be lived on any thread,
 * and a longer stretch begins with the shorter one. Nothing of a user is kept. */
#ifndef USER_SYNTH_PERSON_H
#define USER_SYNTH_PERSON_H

#include "world.h"

#include <assay/memory.h>

/* Every stream that users are made of, begun once. */
typedef struct life_streams {
    assay_stream traits, days, events, luck;
} life_streams;

life_streams life_streams_of(uint64_t seed);

typedef struct person {
    uint64_t number;
    float z[TRAITS];
    float rate;                  /* events per day while there */
    float weight[TOPICS];        /* of topics on day 0, exp(theta_0) */
    float source_until[SOURCES]; /* cumulative probabilities */
    float price[TOPICS];         /* median amount of a topic */
    uint8_t favourite[TOPICS];   /* added to an item's rank: users love different things */
    float fraud, laundering;     /* latent risks, about N(0, 1) */
    float failing;               /* probability of a failed payment */
    float large;                 /* of a transfer of eight times its amount */
    float burst;                 /* of a day with four times the events */
    int leave, back;             /* days of fading away and of coming back; beyond DAYS: never */
} person;

void person_make(person *out, const world *w, const life_streams *streams, uint64_t number);

/* 16 bytes. */
typedef struct life_event {
    uint32_t time; /* ticks since day 0 */
    uint8_t source, topic, item, action;
    uint16_t merchant;
    uint8_t status, extra; /* extra: 8 random bits for what only the text says */
    float amount;
} life_event;

typedef struct life {
    int64_t count;
    life_event *events; /* in time's order, borrowed from the arena */
} life;

/* The days 0 .. end_day - 1. */
bool person_live(const person *p, const world *w, const life_streams *streams, int end_day,
                 assay_arena *arena, life *out, assay_error *error);

/* The place of the first event at or after `day`. */
int64_t life_from(const life *l, int day);

#endif
