/* table.c - the device's table of kernels: cuda_NAME for every NAME of assay_kernels. */
#include "table.h"

#include "kernels.h"

#define KERNELS(X)                                                                                 \
    X(gemm)                                                                                        \
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
    X(conv)                                                                                        \
    X(d_conv)                                                                                      \
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

/* Taken from the members of assay_kernels, so that none can differ; weak, so that one that is not linked in
 * is a message with its name and not a failure to load. */
#define DECLARE(name)                                                                              \
    extern __typeof__(*((assay_kernels *)0)->name) cuda_##name __attribute__((weak));
KERNELS(DECLARE)

#define ENTRY(name) .name = cuda_##name,
const assay_kernels cuda_kernels = {KERNELS(ENTRY)};

typedef void (*kernel)(void);

#define NAME(name) #name,
static const char *const names[] = {KERNELS(NAME)};

_Static_assert(sizeof(assay_kernels) == sizeof names / sizeof names[0] * sizeof(kernel),
               "the list and the table have the same entries");

bool table_is_whole(assay_error *error)
{
    kernel all[sizeof names / sizeof names[0]];
    __builtin_memcpy(all, &cuda_kernels, sizeof all);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!all[i])
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "cuda",
                              .what = "the device lacks an operation", .got = names[i]);
    return true;
}
