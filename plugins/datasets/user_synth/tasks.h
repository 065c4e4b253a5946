/* tasks.h - the papers' ten and nine benchmarks on synthetic users (user-modelling spec 2.8, 3.7,
 * 6.1). */
#ifndef USER_SYNTH_TASKS_H
#define USER_SYNTH_TASKS_H

#include "person.h"

#include <assay/dataset.h>

enum { ALIPAY_TASKS = 10, COGNITION_TASKS = 9, TASKS = ALIPAY_TASKS + COGNITION_TASKS };

/* The numbers of users that are in nobody's split, from here on. */
#define CALIBRATION_BASE (UINT64_C(7) << 60)

typedef struct synth_task {
    const char *suite, *name, *domain;
    const char *title; /* the papers' full name */
    const char *question, *positive, *negative;
} synth_task;

extern const synth_task synth_tasks[TASKS];

/* What depends on the whole population, worked out once on users of nobody's split. */
typedef struct thresholds {
    float spend;             /* the 70th percentile of what a user pays in the window */
    float fraud, laundering; /* the q of sigmoid(6 (r - q)) */
} thresholds;

bool thresholds_make(thresholds *out, const world *w, const life_streams *streams,
                     assay_error *error);

/* Bit t: the user's answer to synth_tasks[t]. `l` is a life of DAYS days. */
uint32_t tasks_answer(const thresholds *limits, const world *w, const life_streams *streams,
                      const person *p, const life *l);

#endif
