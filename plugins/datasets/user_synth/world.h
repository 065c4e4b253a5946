/* world.h - what all synthetic users share: how traits become tastes, and tables in place of
 * mathematics.
 *
 * A world depends on nothing but its knobs: two datasets with equal knobs live in the same one, and
 * a user is a function of (seed, user, world). */
#ifndef USER_SYNTH_WORLD_H
#define USER_SYNTH_WORLD_H

#include "words.h"

#include <assay/error.h>
#include <assay/random.h>

enum {
    TRAITS = 16,  /* the first are named by person.c; all of them mix into tastes */
    HISTORY = 90, /* days that are input */
    WINDOW = 30,  /* days that labels and futures are about */
    DAYS = HISTORY + WINDOW,
    TICKS = 1024, /* of a day: times are whole numbers of ticks, exact in fp32 */
    NORMAL_STEPS = 4096,
    SPREAD_STEPS = 1024,
    DRIFT_STEPS = 256,
    ZIPF_STEPS = 4096,
    ACTION_STEPS = 256,
    CLOCK_STEPS = 1024,
};

/* What a script may say of how users live. */
typedef struct world_knobs {
    double activity; /* median events per day */
    double noise;    /* share of events whose topic is everybody's, not the user's */
} world_knobs;

typedef struct world {
    world_knobs knobs;
    float taste[TOPICS][TRAITS], habit[SOURCES][TRAITS];
    float topic_base[TOPICS], source_base[SOURCES]; /* log popularity */
    float topic_total;                              /* sum of exp of the topics drawn by taste */
    float topic_share[TOPICS];                      /* exp of topic_base */
    float price[TOPICS];                            /* log of a topic's median amount */
    float normal[NORMAL_STEPS];                     /* quantiles of the normal distribution */
    float spread[SPREAD_STEPS];                     /* exp(0.6 quantile): amounts around medians */
    float drift[DRIFT_STEPS]; /* exp(0.05 quantile): a day's change of taste */
    uint8_t zipf[ZIPF_STEPS]; /* rank of an item, by 12 random bits */
    uint8_t action[ACTION_STEPS];
    uint16_t clock[CLOCK_STEPS]; /* tick of the day */
} world;

/* The caller owns it (assay_free). */
world *world_new(const world_knobs *knobs, assay_error *error);

#endif
