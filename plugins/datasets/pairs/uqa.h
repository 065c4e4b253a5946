/* uqa.h - questions about a user's life and answers grounded in the history (D_uqa, user-modelling
 * spec 2.2), made without a language model.
 *
 * Of 72 topics the ten most relevant to a history are asked, each as a question that names what the
 * user does most in its area. An answer is drafted as three clauses, each a fact of the history:
 * how many events, the trend, a share, the newest, the favourite category, amounts, the latest
 * third. A draft may be wrong on purpose (draft_errors), as a language model's would be. Reflection
 * works every stated fact out again from the history, finds those that it contradicts, and revises
 * them. */
#ifndef PAIRS_UQA_H
#define PAIRS_UQA_H

#include "deed.h"
#include "topics.h"

#include <assay/memory.h>
#include <assay/random.h>

enum { UQA_ASKED = 10 }; /* topics of a user */

/* A category of the history, or all events of an area. */
typedef struct uqa_sum {
    int64_t count, of_third[3];
    double last;   /* time of the newest event */
    double amount; /* sum over events with one */
    int64_t amounts;
    int favourite; /* of an area: its most frequent category, the first of equal ones; -1: none */
} uqa_sum;

typedef struct uqa_category {
    deed what; /* its first event: source and word */
    uqa_sum sum;
} uqa_category;

/* What answers are made of; borrows from an arena and the events. */
typedef struct uqa_history {
    double until; /* recency is counted from here */
    int category_count;
    const uqa_category *categories; /* by source, then word */
    uqa_sum areas[AREAS];
    const char *const *sources;
    const char *unit; /* of time: "day" */
} uqa_history;

/* Reads the events, which lie in from <= time <= until; the three thirds are of that span. An event
 * whose word and source are of no area counts in the general one only. */
bool uqa_read(const deeds *done, double from, double until, const char *unit, assay_arena *arena,
              uqa_history *out, assay_error *error);

/* The ten most relevant topics (area * TOPICS_OF_AREA + place in the area): picked one by one for
 * the largest weight log(1 + events of the area) - 0.5 [topics of the area picked before], with
 * weight 1, and 1/2 for life as a whole; ties go to the earlier topic. */
void uqa_choose(const uqa_history *history, int out[UQA_ASKED]);

/* A stated fact. What `value` means depends on the kind: a number, a trend (0 falling, 1 steady, 2
 * rising) or a category's place. */
typedef struct uqa_fact {
    fact_kind kind;
    int64_t value;
} uqa_fact;

/* The fact of an area with at least one event. */
uqa_fact uqa_fact_of(const uqa_history *history, int area, fact_kind kind);

typedef struct uqa_rules {
    double draft_errors; /* probability of a wrong fact in a draft */
    bool reflection;
    assay_stream stream; /* errors of this user's drafts: step is the user */
} uqa_rules;

typedef struct uqa_pair {
    int topic;
    const char *query, *answer; /* in the arena */
    int64_t query_bytes, answer_bytes;
    int fact_count; /* 0: the area has no events, and the answer says so */
    uqa_fact facts[TOPIC_FACTS];
    int contradicted; /* facts of the draft that the history contradicts */
    int revised;
} uqa_pair;

bool uqa_write(const uqa_history *history, int topic, const uqa_rules *rules, assay_arena *arena,
               uqa_pair *out, assay_error *error);

#endif
