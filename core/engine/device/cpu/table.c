/* cpu/table.c - the table of one variant's kernels. */
#include "engine/device/cpu/kernels.h"

#define KERNEL_ENTRY(name) .name = KERNEL(name),

const assay_kernels KERNEL(kernels) = {
#if ASSAY_PLAIN
    .gemm = cpu_gemm_plain,
#else
    .gemm = cpu_gemm,
#endif
    KERNEL_LIST(KERNEL_ENTRY)};
