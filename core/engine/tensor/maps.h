/* tensor/maps.h - what the operations on maps share. */
#ifndef ASSAY_TENSOR_MAPS_H
#define ASSAY_TENSOR_MAPS_H

#include <assay/maps.h>

#include "engine/tensor/operand.h"

/* x is a floating tensor (B, C, H, W) with at least one channel and one pixel. */
bool op_takes_map(assay_tape *tape, const char *op, const assay_tensor *x);
/* `vector` is NULL, or floating (n): a bias, or a weight per channel. */
bool op_takes_vector(assay_tape *tape, const char *op, const char *what, const assay_tensor *vector,
                     int64_t n);

#endif
