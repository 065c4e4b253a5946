/* cpu/kernels.h - what every kernel source of this folder includes.
 *
 * Each source is compiled several times with ASSAY_VARIANT set to plain, base, avx2 or avx512, and
 * KERNEL(name) makes one symbol of each: cpu_<name>_<variant>. The variant `plain` also sees
 * ASSAY_PLAIN; its kernels are the specification: they read like the formula, sum in double and
 * take their functions from libm. The others are the fast twins. */
#ifndef ASSAY_DEVICE_CPU_KERNELS_H
#define ASSAY_DEVICE_CPU_KERNELS_H

#include "engine/device/cpu/variants.h"

#define KERNEL_PASTE(name, variant)  cpu_##name##_##variant
#define KERNEL_EXPAND(name, variant) KERNEL_PASTE(name, variant)
#define KERNEL(name)                 KERNEL_EXPAND(name, ASSAY_VARIANT)

/* Prototypes of all but products and convolutions, which have no variants; taken from the members
 * of assay_kernels so that they cannot differ from them. */
#define KERNEL_PROTOTYPE(name) __typeof__(*((assay_kernels *)0)->name) KERNEL(name);
DEVICE_KERNELS(KERNEL_PROTOTYPE)
#undef KERNEL_PROTOTYPE

/* Work below this many elements runs on the calling thread: waking the others would cost more. */
#define KERNEL_PARALLEL_MIN (INT64_C(1) << 15)

/* Element-wise kernels walk blocks of this many elements, and threads take whole blocks: an element
 * falls on the same vector lane of the same loop whatever the number of threads. */
#define KERNEL_BLOCK INT64_C(4096)

/* One past the last element of the block that starts at `first`. */
static inline int64_t block_end(int64_t first, int64_t n)
{
    return n - first < KERNEL_BLOCK ? n : first + KERNEL_BLOCK;
}

/* A factor that the host knows times one that only the device does. */
static inline float factor_of(float known, const float *times)
{
    return times != NULL ? known * *times : known;
}

/* First of the items 0 .. count-1 that fixed piece `piece` of DEVICE_PARTITIONS takes; the piece
 * ends where the next one starts. The cut depends on the count alone, never on the number of
 * threads. */
static inline int64_t partition_start(int64_t count, int piece)
{
    int64_t each = count / DEVICE_PARTITIONS, rest = count % DEVICE_PARTITIONS;
    return each * piece + (piece < rest ? piece : rest);
}

#endif
