/* kernels.h - the table entries that the .cu files and the library calls of this folder export:
 * cuda_NAME fills the field NAME of assay_kernels (table.c). Prototypes are taken from the fields,
 * so that they cannot differ from them. */
#ifndef ASSAY_CUDA_KERNELS_H
#define ASSAY_CUDA_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/device/device.h"

#define CUDA_KERNEL(name) extern __typeof__(*((assay_kernels *)0)->name) cuda_##name;
DEVICE_LIBRARY_KERNELS(CUDA_KERNEL)
DEVICE_COMMON_KERNELS(CUDA_KERNEL)
DEVICE_KERNELS(CUDA_KERNEL)

#ifdef __cplusplus
}
#endif

#endif
