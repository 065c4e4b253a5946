/* six.h - the six sources of the papers in memory: bill, app, minipro, sousuo, spm with times, and
 * features. Event e of source s of user b reads "NAME item<b>x<e>", so that no two events are
 * alike; a test sets how many there are, slots, questions and answers, or texts and features of its
 * own. */
#ifndef TESTS_MODELS_SIX_H
#define TESTS_MODELS_SIX_H

#include <assay/dataset.h>

enum { SIX_SOURCES = 5, SIX_USERS = 4, SIX_EVENTS = 8 };

extern const char *const six_names[SIX_SOURCES];

typedef struct six {
    assay_data data; /* what a plugin is handed */
    assay_dataset_functions functions;
    assay_field fields[2 * SIX_SOURCES + 3];
    int64_t features;
    int64_t slots[SIX_SOURCES];                          /* 0: not told */
    int events[SIX_USERS][SIX_SOURCES];                  /* at most SIX_EVENTS */
    const char *question[SIX_USERS], *answer[SIX_USERS]; /* NULL: none */
    /* Where they are given, of all users: events parted by newlines, and features (features). */
    const char *texts[SIX_USERS][SIX_SOURCES];
    const float *numbers[SIX_USERS];
} six;

/* Slots, events and texts at moderate values. Must not move. */
void six_open(six *out, int64_t features);

#endif
