/* assay/optim.h - AdamW, gradient clipping, and learning-rate schedules. */
#ifndef ASSAY_OPTIM_H
#define ASSAY_OPTIM_H

#include <assay/nn.h>

/* ---- AdamW (Loshchilov and Hutter 2019: decay decoupled from the gradient) ----
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p = p - lr decay p;  p = p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
 * A parameter without a gradient (frozen, or not reached by the pass) is left alone entirely: no
 * decay, no moments, and its own t does not advance. */
typedef struct assay_adamw_options {
    float beta1, beta2, eps;
    float weight_decay; /* for parameters that decay; the others get none */
} assay_adamw_options;

/* beta1 0.9, beta2 0.999, eps 1e-8, weight decay 0.01. */
assay_adamw_options assay_adamw_defaults(void);

typedef struct assay_adamw assay_adamw;

/* Moments for every parameter of the set that is trainable now or later (made when first needed,
 * zero). The set must be complete: a step after a parameter was added is an error. The set and the
 * device must outlive the result, which the caller owns. */
assay_adamw *assay_adamw_new(assay_params *params, const assay_device *device,
                             assay_adamw_options options, assay_error *error);
void assay_adamw_free(assay_adamw *adamw); /* accepts NULL */

/* One step at learning rate `lr` times each parameter's own factor. With clip > 0 all gradients are
 * scaled by min(1, clip / norm) on the way in (the gradients themselves stay). `norm` (or NULL)
 * receives the global norm before clipping; it is only computed when clip > 0 or norm is given. A
 * non-finite norm is ASSAY_NOT_FINITE naming the parameter, and nothing is changed. */
bool assay_adamw_step(assay_adamw *adamw, float lr, float clip, double *norm, assay_error *error);

/* The same in two halves, for who computes on a device and does not want to wait for it: the first
 * has the step done, the second waits for the norm (`measured`) of the oldest step that was asked
 * for and not read, and says what was wrong with it. Two may be under way. A step of no numbers
 * changes nothing on the device either, but one that was asked for behind it has its effect: then
 * the parameters are to be dropped. */
bool assay_adamw_ask(assay_adamw *adamw, float lr, float clip, bool measured, assay_error *error);
bool assay_adamw_read(assay_adamw *adamw, double *norm, assay_error *error);

/* Factor on the learning rate of every parameter whose name begins with `prefix` (layer-wise
 * decay); returns how many there were. */
int64_t assay_adamw_set_factor(assay_adamw *adamw, const char *prefix, float factor);

/* Multiplies the factor of this one parameter; false when there is none of the name. */
bool assay_adamw_scale_factor(assay_adamw *adamw, const char *parameter, float factor);

/* State for checkpoints. Borrowed; NULL while the parameter has none. */
assay_tensor *assay_adamw_first(const assay_adamw *adamw, const char *parameter);
assay_tensor *assay_adamw_second(const assay_adamw *adamw, const char *parameter);
int64_t assay_adamw_count(const assay_adamw *adamw, const char *parameter); /* t, steps taken */
/* Restores a parameter's state: moments are copied (f32, the parameter's shape); count >= 1. */
bool assay_adamw_restore(assay_adamw *adamw, const char *parameter, const assay_tensor *first,
                         const assay_tensor *second, int64_t count, assay_error *error);

/* ---- schedules ----
 * A schedule is a function of the step alone, so nothing has to be restored. Steps count from 0. */
typedef enum assay_schedule_kind {
    ASSAY_CONSTANT,
    ASSAY_LINEAR, /* to `floor` at the last step's end: lr (1 - (1 - floor) r) */
    ASSAY_COSINE, /* floor + (1 - floor) (1 + cos(pi r)) / 2 */
    ASSAY_POLY    /* floor + (1 - floor) (1 - r)^power */
} assay_schedule_kind;

typedef enum assay_warmup_kind {
    ASSAY_WARMUP_LINEAR, /* steps 0 .. W-1: factor (step + start) / W of the peak, then the schedule
                            over r = (step - W) / (T - W) */
    ASSAY_WARMUP_SCALED  /* mmcv: the schedule runs over r = step / T from the start, and for step
                            < W is multiplied by 1 - (1 - step / W) (1 - ratio) (infrared 1.7) */
} assay_warmup_kind;

typedef struct assay_schedule {
    assay_schedule_kind kind;
    assay_warmup_kind warmup_kind;
    double warmup; /* W in steps (may be fractional: epochs times steps per epoch) */
    double total;  /* T in steps */
    double start;  /* ASSAY_WARMUP_LINEAR: 0 begins at 0 (papers), 1 begins at 1/W */
    double ratio;  /* ASSAY_WARMUP_SCALED: the factor at step 0 */
    double floor;  /* of the peak, 0..1 */
    double power;  /* of ASSAY_POLY */
} assay_schedule;

/* The factor on the peak learning rate at `step` (may be fractional); from total on it is `floor`,
 * or 1 for ASSAY_CONSTANT, which has no floor. */
double assay_schedule_factor(const assay_schedule *schedule, double step);
/* Checks ranges: 0 <= warmup <= total, 0 < total, 0 <= floor <= 1, and, where they are used, start
 * and ratio in 0..1, power > 0. */
bool assay_schedule_check(const assay_schedule *schedule, assay_error *error);

#endif
