/* plans.h - plans of toy runs, made by hand rather than by a script: the same again from the same
 * words, in any process. */
#ifndef RUN_PLANS_H
#define RUN_PLANS_H

#include "lab/script/plan.h"

/* What a plan is made of; a text names it, so that another process can make it too. */
typedef struct plan_shape {
    const char *kind; /* below */
    int seeds;        /* of each cell of the last stage: 0 .. seeds - 1 */
    int steps, checkpoint_every, evaluate_every, size; /* of train; of the dataset */
} plan_shape;

/* "plain"    one cell: main
 * "stages"   base (one run, shared by all) -> main, from its weights, in two cells (warmup 0.2,
 *            0.4)
 * "score"    base -> main, whose contrastive margin is base's valid auc
 * "nowhere"  the same with a score that base does not have
 * "large"    the same with a vocabulary where the score goes: out of range
 * "broken"   bad (fails at step 1) -> main, and apart from them main2, which is fine */
/* Ended by plan_free. */
plan *plan_make(const plan_shape *shape);

/* "KIND SEEDS STEPS CHECKPOINT_EVERY EVALUATE_EVERY SIZE" */
void plan_shape_write(const plan_shape *shape, char *out, size_t size);
bool plan_shape_read(const char *text, char kind[16], plan_shape *out);

#endif
