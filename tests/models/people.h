/* people.h - a small dataset in memory for the tests of models: persons with two sources of events
 * ("bill" with times, "app" without), features, a question and an answer, and the benchmarks
 * "health/sick" (labels follow the events) and, of one class only, "health/rich". A test changes
 * persons as it likes between samples. */
#ifndef TESTS_MODELS_PEOPLE_H
#define TESTS_MODELS_PEOPLE_H

#include <assay/dataset.h>

enum { PEOPLE_EVENTS = 12, PEOPLE_FEATURES = 3, PEOPLE_TEXT = 64 };

typedef struct person {
    int events[2]; /* of each source */
    char text[2][PEOPLE_EVENTS][PEOPLE_TEXT];
    int32_t time[PEOPLE_EVENTS]; /* of bills */
    float features[PEOPLE_FEATURES];
    char question[PEOPLE_TEXT], answer[PEOPLE_TEXT];
    int32_t label;
} person;

typedef struct people {
    assay_data data; /* what a plugin is handed */
    assay_dataset_functions functions;
    int64_t count; /* persons; every split has all of them, in order */
    person *persons;
    char fingerprint[32];
    bool no_answers; /* of training samples */
} people;

/* `count` persons drawn from `seed`; half of them sick. Owned (people_close). Must not move. */
void people_open(people *out, int64_t count, uint64_t seed);
void people_close(people *dataset);

#endif
