/* topics.h - the 72 topics of D_uqa: what may be asked about a user's life.
 *
 * A topic belongs to an area of life; an area has the words that its events begin with, or the
 * names of the sources that they come from. The last area is life as a whole: every event is of
 * it. */
#ifndef PAIRS_TOPICS_H
#define PAIRS_TOPICS_H

#include <stdint.h>

enum {
    AREAS = 18,
    GENERAL_AREA = AREAS - 1,
    TOPICS_OF_AREA = 4,
    UQA_TOPICS = AREAS * TOPICS_OF_AREA
};

/* What a clause of an answer states about the events of the area. */
typedef enum fact_kind {
    FACT_COUNT,     /* how many there are */
    FACT_TREND,     /* the last third of the time against the middle one */
    FACT_SHARE,     /* per cent of all events, to the nearest 5 */
    FACT_RECENCY,   /* whole time units since the newest */
    FACT_FAVOURITE, /* the most frequent category */
    FACT_AMOUNT,    /* the sum of amounts, to two digits */
    FACT_LATELY     /* how many in the last third of the time */
} fact_kind;
#define FACT_KINDS 7

enum { TOPIC_FACTS = 3 };

typedef struct uqa_topic {
    const char *question; /* with one %s: what the user does most in the area */
    fact_kind facts[TOPIC_FACTS];
} uqa_topic;

typedef struct uqa_area {
    const char *name;  /* "eating out" */
    const char *words; /* each between blanks: " dining restaurant " */
    uqa_topic topics[TOPICS_OF_AREA];
} uqa_area;

extern const uqa_area uqa_areas[AREAS];

#endif
