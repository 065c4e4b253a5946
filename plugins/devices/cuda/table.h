/* table.h - the device's kernels, gathered. */
#ifndef ASSAY_CUDA_TABLE_H
#define ASSAY_CUDA_TABLE_H

#include "engine/device/device.h"

extern const assay_kernels cuda_kernels;

/* False when the table lacks a kernel, naming it. */
bool table_is_whole(assay_error *error);

#endif
