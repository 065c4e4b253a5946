/* step.h - one optimizer step, and the losses of a batch without one. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "lab/train/loader.h"
#include "lab/train/prefixes.h"

#include <assay/optim.h>

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
    double *values;                        /* (losses) of the micro-batch under way */
    assay_tensor **computed; /* (losses) the tape's, not read into `values` yet; or NULL */
    double *targets;         /* (losses) */
} stepper;

stepper *stepper_new(assembly *assembly, const train_options *options, bool training,
                     assay_error *error);
void stepper_free(stepper *stepper); /* accepts NULL */

typedef struct step_report {
    double loss, lr, norm;
    double waited;  /* seconds for the loader */
    int64_t tokens; /* valid ones */
    int64_t bytes;  /* of the step's arenas */
} step_report;

/* Takes optimizer step number `step` (from 0) on the loader's next micro-batches. Series of losses
 * go to `recorder`. What is not finite is ASSAY_NOT_FINITE, naming step and tensor. */
bool stepper_take(stepper *stepper, int64_t step, loader *loader, recorder *recorder,
                  step_report *out, assay_error *error);

/* The losses of the valid split after `step` steps, without gradients: the weighted sum, and each
 * in stepper->values. Ends with ASSAY_STOPPED when `stop` is set. */
bool stepper_valid(stepper *stepper, int64_t step, const volatile sig_atomic_t *stop, double *loss,
                   assay_error *error);

/* ---- pieces.c: a micro-batch that is run in parts (assay/loss.h) ---- */

/* Loss values into stepper->values and, in training, the gradients, times `scale`. */
bool pieces_train(stepper *stepper, const loader_item *item, const assay_clock *clock, float scale,
                  assay_error *error);
/* The same without gradients; targets into stepper->targets. */
bool pieces_evaluate(stepper *stepper, const loader_item *item, const assay_clock *clock,
                     assay_error *error);

/* A pass of a batch or a part of one: whole, or on kept histories. As assembly_forward. */
bool stepper_forward(stepper *stepper, const assay_batch *batch, const assay_clock *clock,
                     const assay_wanted *wanted, assay_outputs *out);

/* The mean's weight of loss `i` over this batch. */
double stepper_targets(const stepper *stepper, int i, const assay_batch *batch,
                       const assay_outputs *outputs);

#endif
