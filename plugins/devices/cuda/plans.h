/* plans.h - what a library has prepared for a shape, kept for the next call with the same shape.
 *
 * Asking cuBLASLt or cuDNN how to compute a shape costs more than launching it, and a training step
 * asks for the same few hundred again and again. A table has a fixed size: shapes that share a
 * place push out the one that came first, so that a run over many lengths forgets instead of
 * growing. One thread uses a table. */
#ifndef ASSAY_CUDA_PLANS_H
#define ASSAY_CUDA_PLANS_H

#include <stdint.h>

enum {
    CUDA_PLAN_WORDS = 12, /* of a key; the rest of a shorter one is 0 */
    CUDA_PLAN_SETS = 256,
    CUDA_PLAN_WAYS = 4, /* places of a set */
};

typedef struct cuda_plan_key {
    int64_t word[CUDA_PLAN_WORDS];
} cuda_plan_key;

/* Starts as zeros but for `destroy`, which frees a plan and accepts NULL. */
typedef struct cuda_plans {
    void (*destroy)(void *plan);
    struct {
        cuda_plan_key key[CUDA_PLAN_WAYS];
        void *plan[CUDA_PLAN_WAYS];
        int next; /* the place that is given up */
    } set[CUDA_PLAN_SETS];
} cuda_plans;

/* The plan kept under *key, borrowed until the next cuda_plans_keep, or NULL. */
void *cuda_plans_find(const cuda_plans *plans, const cuda_plan_key *key);
/* Keeps `plan`, owned from now on. What libraries are computing with a plan that is pushed out is
 * not touched by that: they read their descriptors when they are called. */
void cuda_plans_keep(cuda_plans *plans, const cuda_plan_key *key, void *plan);

#endif
