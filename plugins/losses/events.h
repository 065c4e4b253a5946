/* events.h - what the losses over sequences of events share: the names they go by, their own
 * parameters, and rows picked out of states. */
#ifndef LOSSES_EVENTS_H
#define LOSSES_EVENTS_H

#include <assay/loss.h>
#include <assay/ops.h>

/* A square matrix of the loss's own, PREFIX + name, started as PyTorch starts a linear layer. */
static inline assay_tensor *events_matrix(const assay_loss_setup *setup, const char *name,
                                          int64_t width, assay_error *error)
{
    /* +-sqrt(1 / width): the square root of 5 is PyTorch's. */
    return assay_params_add(
        setup->params, assay_text("%s%s", setup->prefix, name), 2, (int64_t[]){width, width},
        (assay_init){.kind = ASSAY_INIT_KAIMING_UNIFORM, .a = 2.2360680f}, error);
}

/* (B, T, D) as (B T, D). */
static inline assay_tensor *events_flat(assay_tape *tape, assay_tensor *states)
{
    if (!states)
        return NULL;
    return assay_reshape(tape, states, 2,
                         (int64_t[]){states->shape[0] * states->shape[1], states->shape[2]});
}

#endif
