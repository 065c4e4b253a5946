/* cpu/table.c - the table of one variant's kernels. */
#include "engine/device/cpu/kernels.h"

#define KERNEL_ENTRY(name) .name = KERNEL(name),
#define COMMON_ENTRY(name) .name = cpu_##name,

const assay_kernels KERNEL(kernels) = {
#if ASSAY_PLAIN
    .gemm = cpu_gemm_plain,
    .conv = cpu_conv_plain,
    .d_conv = cpu_d_conv_plain,
#else
    .gemm = cpu_gemm,
    .conv = cpu_conv,
    .d_conv = cpu_d_conv,
#endif
    DEVICE_COMMON_KERNELS(COMMON_ENTRY) DEVICE_KERNELS(KERNEL_ENTRY)};
