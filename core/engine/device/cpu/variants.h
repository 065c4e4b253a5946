/* cpu/variants.h - the instruction-set variants of the CPU kernels.
 *
 * The sources of this folder are compiled once per variant and fill one table each; device.c
 * chooses a table at run time, and tests walk over all that the machine can run. */
#ifndef ASSAY_DEVICE_CPU_VARIANTS_H
#define ASSAY_DEVICE_CPU_VARIANTS_H

#include "engine/device/device.h"

extern const assay_kernels cpu_kernels_plain;
extern const assay_kernels cpu_kernels_base;
#if defined(__x86_64__)
extern const assay_kernels cpu_kernels_avx2;
extern const assay_kernels cpu_kernels_avx512;
#endif

/* The fast variants that this processor and its operating system can run, slowest ("base") first:
 * index 0, 1, ...; NULL past the last. Static storage. */
const assay_device *cpu_variant_at(int index);

/* The products of all fast variants (oneDNN finds its own instruction set), and of `plain`. */
void cpu_gemm(const device_gemm *gemm);
void cpu_gemm_plain(const device_gemm *gemm);

/* What all variants and `plain` share: few numbers, in double, whose bits no instruction set may
 * change. */
#define COMMON_PROTOTYPE(name) __typeof__(*((assay_kernels *)0)->name) cpu_##name;
DEVICE_COMMON_KERNELS(COMMON_PROTOTYPE)
#undef COMMON_PROTOTYPE

/* And their convolutions. */
void cpu_conv(const device_conv *conv);
void cpu_d_conv(const device_conv *conv);
void cpu_conv_plain(const device_conv *conv);
void cpu_d_conv_plain(const device_conv *conv);
/* For tests: so many floats bound the part of a batch that is convolved at a time. Returns what the
 * bound was. */
int64_t cpu_conv_part(int64_t floats);

#endif
