/* params.h - what the rest of this folder may do with a parameter set and its users may not. */
#ifndef ASSAY_NN_PARAMS_H
#define ASSAY_NN_PARAMS_H

#include <assay/blocks.h>

/* What a set remembers beside its parameters (stacks.c); all texts are owned. */
typedef struct nn_notes {
    assay_stack *stacks;
    assay_lora *loras;
    int64_t stack_count, lora_count;
} nn_notes;

nn_notes *nn_params_notes(assay_params *params);
const nn_notes *nn_params_notes_of(const assay_params *params);
/* Forgets the stacks that end behind parameter `count`, and with 0 everything. */
void nn_notes_truncate(nn_notes *notes, int64_t count);

/* Position of the parameter `name` in order of adding, -1 when there is none. */
int64_t nn_params_index(const assay_params *params, const char *name);

/* Takes the parameters from position `count` on out again: a stack whose constructor fails leaves
 * the set as it was. Nobody may hold on to them. */
void nn_params_truncate(assay_params *params, int64_t count);
/* *sum = squares of all gradients that exist. */
void nn_params_sum_squares(const assay_params *params, const assay_device *device, double *sum);

#endif
