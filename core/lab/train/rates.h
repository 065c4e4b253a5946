/* lab/train/rates.h - learning rates: over the steps, and of one parameter beside another. */
#ifndef LAB_TRAIN_RATES_H
#define LAB_TRAIN_RATES_H

#include "lab/train/assembly.h"

#include <assay/optim.h>

/* The schedule that the options choose. */
assay_schedule rates_schedule(const train_options *options);
/* Whether the model can be trained with these options: layer_decay asks for depths. */
bool rates_check(const assembly *assembly, const train_options *options, assay_error *error);
/* The factors of all parameters: lr_scale of adapters and losses times the decay by layer. */
bool rates_scale(const assembly *assembly, const train_options *options, assay_adamw *adamw,
                 assay_error *error);

#endif
