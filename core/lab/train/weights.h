/* weights.h - the weights that a run starts from. */
#ifndef TRAIN_WEIGHTS_H
#define TRAIN_WEIGHTS_H

#include "lab/train/assembly.h"

/* Loads the recipe's `init` into the parameters that exist so far: once after the model is opened,
 * so that adapters see the weights that they adapt, and once more (`complete`) with the adapters'
 * and the mask's. At least one tensor must fit, none may have another shape, except a ViT's
 * positions, which are resized; parameters of the model that the file lacks are warned of. When
 * counting, names and shapes are looked at only. */
bool weights_start(assembly *assembly, bool complete, assay_error *error);

/* When a stage is only evaluated by a mask of the same kind, what its mask has learned of its
 * training comes with the weights. */
bool weights_mask_state(assembly *assembly, assay_error *error);

#endif
