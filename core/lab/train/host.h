/* host.h - what a run offers its plugins (assay_host), and the curves that they and the loop
 * write. */
#ifndef TRAIN_HOST_H
#define TRAIN_HOST_H

#include "lab/store/store.h"

#include <assay/model.h>

#include <signal.h>

/* ---- curves ----
 * Values of a step are added up by name and written as their mean when the step ends. */
#define RECORDER_SERIES 256

typedef struct recorder_series {
    char *name;
    int key;
    double sum[2]; /* of the two steps that may be under way: of step s in s mod 2 */
    int64_t count[2];
} recorder_series;

typedef struct recorder {
    store_writer *writer;
    bool muted; /* what plugins record now is dropped: an evaluation is no step of training */
    int count;
    int turn; /* which of the two steps is added to */
    recorder_series series[RECORDER_SERIES];
    assay_late *late;  /* what plugins have read at the end of the step; NULL: at once. Owned */
    assay_error error; /* the first failure; reported by recorder_end_step */
} recorder;

void recorder_clear(recorder *recorder);
/* `goal` is min, max or NULL. A failure is kept. */
void recorder_add(recorder *recorder, const char *name, const char *goal, double value);
/* What is added from now on belongs to step number `step`; two that follow each other may be under
 * way. */
void recorder_turn(recorder *recorder, int64_t step);
/* Writes what was added to the step whose turn it is as that of `step`. */
bool recorder_end_step(recorder *recorder, int64_t step, assay_error *error);
/* Nothing more is put off to the end of the step that was asked for (assay_late_close). */
void recorder_close(recorder *recorder);
/* Has everything read that was put off to the end of a step: waits for the device. */
void recorder_read(recorder *recorder);
/* Forgets what was added: steps that are not taken. */
void recorder_drop(recorder *recorder);

/* ---- services ---- */
typedef struct train_host {
    assay_host host; /* its `user` is this struct */
    const char *cache;
    const volatile sig_atomic_t *stop; /* NULL: nobody asks */
    recorder *recorder;                /* NULL: there are no curves */
    void *networks;                    /* first argument of `network` */
    const assay_network *(*network)(void *networks, const assay_weights_source *source,
                                    assay_error *error);
} train_host;

/* Fills `host`. Without a recorder, host.series is NULL. Everything is borrowed. */
void train_host_init(train_host *host, const char *cache, const volatile sig_atomic_t *stop,
                     recorder *recorder);

bool train_stopping(const volatile sig_atomic_t *stop);

#endif
