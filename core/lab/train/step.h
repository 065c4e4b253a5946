/* step.h - one optimizer step, and the losses of a batch without one. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "lab/train/loader.h"
#include "lab/train/prefixes.h"

#include <assay/ahead.h>
#include <assay/late.h>
#include <assay/optim.h>

typedef struct step_report {
    double loss, lr, norm;
    double waited;  /* seconds for the loader */
    int64_t tokens; /* valid ones */
    int64_t bytes;  /* of the step's arenas */
    int64_t prefix_bytes;
} step_report;

/* A step that was asked for and not read. */
typedef struct step_asked {
    int64_t step;
    double *values; /* (accumulate, losses) of its micro-batches, when they have been read */
    step_report report;
} step_asked;

/* What a step computes with. Filled by stepper_new; owned by the caller. */
typedef struct stepper {
    assembly *assembly;
    const train_options *options;
    assay_tape *tape;   /* of the towers, and of the losses when a batch is one piece */
    assay_tape *losses; /* of the coupling losses over pieces */
    assay_adamw *adamw; /* NULL when there is nothing to train (steps = 0) */
    assay_schedule schedule;
    prefixes *prefixes;                    /* NULL: histories are run in every step */
    assay_tensor *kept[ASSAY_MAX_OUTPUTS]; /* coupled outputs of all pieces: f32 leaves */
    assay_late *late;                      /* losses on their way to the host */
    double *values;                        /* (losses) of the valid split */
    double *into;                          /* (losses) where those of the pass under way go */
    double *targets;                       /* (losses) */
    step_asked asked[2];                   /* step s is in s mod 2 */
    int64_t asked_count, read_count;
    assay_ahead *ahead;
    const loader_item *next; /* taken from the loader ahead of its step, or NULL */
    assay_error next_error;  /* why there is none */
    double next_waited;
} stepper;

stepper *stepper_new(assembly *assembly, const train_options *options, bool training,
                     assay_error *error);
void stepper_free(stepper *stepper); /* accepts NULL */

/* Has optimizer step number `step` (from 0) done on the loader's next micro-batches, and does not
 * wait for the device. What plugins record goes to `recorder`. */
bool stepper_ask(stepper *stepper, int64_t step, loader *loader, recorder *recorder,
                 assay_error *error);
/* Waits for the oldest step that was asked for and not read. Its series go to `recorder`. What is
 * not finite is ASSAY_NOT_FINITE, naming step and tensor; then steps asked for behind it are
 * void. */
bool stepper_read(stepper *stepper, recorder *recorder, step_report *out, assay_error *error);
/* How many steps wait to be read: at most two. */
int64_t stepper_unread(const stepper *stepper);

/* The losses of the valid split after `step` steps, without gradients: the weighted sum, and each
 * in stepper->values. Ends with ASSAY_STOPPED when `stop` is set. */
bool stepper_valid(stepper *stepper, int64_t step, const volatile sig_atomic_t *stop, double *loss,
                   assay_error *error);

/* ---- pieces.c: a micro-batch that is run in parts (assay/loss.h) ---- */

/* Loss values into stepper->into, when they are read, and the gradients, times `scale`. */
bool pieces_train(stepper *stepper, const loader_item *item, const assay_clock *clock, float scale,
                  assay_error *error);
/* The same without gradients, and read: into stepper->values; targets into stepper->targets. */
bool pieces_evaluate(stepper *stepper, const loader_item *item, const assay_clock *clock,
                     assay_error *error);

/* Has `value`, times `factor`, added to stepper->into[loss], or put there, when late numbers are
 * read. */
bool stepper_read_later(stepper *stepper, int loss, const assay_tensor *value, double factor,
                        bool add, assay_error *error);

/* A pass of a batch or a part of one: whole, or on kept histories. As assembly_forward. */
bool stepper_forward(stepper *stepper, const assay_batch *batch, const assay_clock *clock,
                     const assay_wanted *wanted, assay_outputs *out);

/* The mean's weight of loss `i` over this batch. */
double stepper_targets(const stepper *stepper, int i, const assay_batch *batch,
                       const assay_outputs *outputs);

#endif
