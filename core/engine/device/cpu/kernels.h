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

/* Every kernel of the table but products and convolutions, which have no variants. */
#define KERNEL_LIST(X)                                                                             \
    X(to_bf16)                                                                                     \
    X(from_bf16)                                                                                   \
    X(scale)                                                                                       \
    X(fill)                                                                                        \
    X(binary)                                                                                      \
    X(bias_activation)                                                                             \
    X(activation)                                                                                  \
    X(d_activation)                                                                                \
    X(silu_product)                                                                                \
    X(d_silu_product)                                                                              \
    X(dropout)                                                                                     \
    X(scale_rows)                                                                                  \
    X(sum_rows)                                                                                    \
    X(dot_rows)                                                                                    \
    X(normalize_rows)                                                                              \
    X(d_normalize_rows)                                                                            \
    X(softmax_rows)                                                                                \
    X(d_softmax_rows)                                                                              \
    X(cross_entropy_rows)                                                                          \
    X(d_cross_entropy_rows)                                                                        \
    X(divergence_rows)                                                                             \
    X(d_divergence_rows)                                                                           \
    X(rms_norm)                                                                                    \
    X(d_rms_norm)                                                                                  \
    X(layer_norm)                                                                                  \
    X(d_layer_norm)                                                                                \
    X(rotary)                                                                                      \
    X(gather_rows)                                                                                 \
    X(scatter_rows)                                                                                \
    X(masked_mean)                                                                                 \
    X(d_masked_mean)                                                                               \
    X(mask_rows)                                                                                   \
    X(copy_rows)                                                                                   \
    X(patches)                                                                                     \
    X(d_patches)                                                                                   \
    X(attention_scratch)                                                                           \
    X(attention)                                                                                   \
    X(d_attention)                                                                                 \
    X(attention_map)                                                                               \
    X(d_attention_map)                                                                             \
    X(suffix_scratch)                                                                              \
    X(suffix_attention)                                                                            \
    X(d_suffix_attention)                                                                          \
    X(sum_channels)                                                                                \
    X(channel_moments)                                                                             \
    X(batch_statistics)                                                                            \
    X(batch_norm)                                                                                  \
    X(d_batch_norm)                                                                                \
    X(max_pool)                                                                                    \
    X(d_max_pool)                                                                                  \
    X(average_pool)                                                                                \
    X(d_average_pool)                                                                              \
    X(resize)                                                                                      \
    X(d_resize)                                                                                    \
    X(depth_to_space)                                                                              \
    X(space_to_depth)                                                                              \
    X(transpose)                                                                                   \
    X(pixel_cross_entropy)                                                                         \
    X(d_pixel_cross_entropy)                                                                       \
    X(contrastive)                                                                                 \
    X(sum)                                                                                         \
    X(sum_squares)                                                                                 \
    X(first_nonfinite)                                                                             \
    X(clip)                                                                                        \
    X(adamw)

/* Prototypes, taken from the members of assay_kernels so that they cannot differ from them. */
#define KERNEL_PROTOTYPE(name) __typeof__(*((assay_kernels *)0)->name) KERNEL(name);
KERNEL_LIST(KERNEL_PROTOTYPE)
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
