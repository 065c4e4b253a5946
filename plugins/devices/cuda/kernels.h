/* kernels.h - the table entries that the .cu files and the library calls of this folder export: cuda_NAME
 * fills the field NAME of assay_kernels (table.c). Prototypes are taken from the fields, so that they
 * cannot differ from them. */
#ifndef ASSAY_CUDA_KERNELS_H
#define ASSAY_CUDA_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "engine/device/device.h"

#define CUDA_KERNEL(name) extern __typeof__(*((assay_kernels *)0)->name) cuda_##name

/* ---- products, convolutions and softmax by cuBLASLt and cuDNN: products.c, convolution.c, softmax.c ---- */
CUDA_KERNEL(gemm);
CUDA_KERNEL(conv);
CUDA_KERNEL(d_conv);
CUDA_KERNEL(softmax_rows);
CUDA_KERNEL(d_softmax_rows);

/* ---- elements and rows: elementwise.cu, activation.cu, rows.cu, norm.cu, reduce.cu, optimizer.cu ---- */
CUDA_KERNEL(to_bf16);
CUDA_KERNEL(from_bf16);
CUDA_KERNEL(scale);
CUDA_KERNEL(fill);
CUDA_KERNEL(binary);
CUDA_KERNEL(bias_activation);
CUDA_KERNEL(activation);
CUDA_KERNEL(d_activation);
CUDA_KERNEL(silu_product);
CUDA_KERNEL(d_silu_product);
CUDA_KERNEL(dropout);
CUDA_KERNEL(scale_rows);
CUDA_KERNEL(sum_rows);
CUDA_KERNEL(dot_rows);
CUDA_KERNEL(normalize_rows);
CUDA_KERNEL(d_normalize_rows);
CUDA_KERNEL(rms_norm);
CUDA_KERNEL(d_rms_norm);
CUDA_KERNEL(layer_norm);
CUDA_KERNEL(d_layer_norm);
CUDA_KERNEL(sum);
CUDA_KERNEL(sum_squares);
CUDA_KERNEL(first_nonfinite);
CUDA_KERNEL(clip);
CUDA_KERNEL(adamw);

/* ---- tokens: tokens.cu, tables.cu ---- */
CUDA_KERNEL(rotary);
CUDA_KERNEL(gather_rows);
CUDA_KERNEL(scatter_rows);
CUDA_KERNEL(masked_mean);
CUDA_KERNEL(d_masked_mean);
CUDA_KERNEL(mask_rows);
CUDA_KERNEL(copy_rows);
CUDA_KERNEL(patches);
CUDA_KERNEL(d_patches);

/* ---- attention: attention.cu, attention_backward.cu, suffix.cu ---- */
CUDA_KERNEL(attention_scratch);
CUDA_KERNEL(attention);
CUDA_KERNEL(d_attention);
CUDA_KERNEL(attention_map);
CUDA_KERNEL(d_attention_map);
CUDA_KERNEL(suffix_scratch);
CUDA_KERNEL(suffix_attention);
CUDA_KERNEL(d_suffix_attention);

/* ---- losses: cross_entropy.cu, divergence.cu, contrastive.cu ---- */
CUDA_KERNEL(cross_entropy_rows);
CUDA_KERNEL(d_cross_entropy_rows);
CUDA_KERNEL(divergence_rows);
CUDA_KERNEL(d_divergence_rows);
CUDA_KERNEL(contrastive);

/* ---- maps: channels.cu, statistics.cu, pools.cu, resize.cu, pixels.cu, transpose.cu ---- */
CUDA_KERNEL(sum_channels);
CUDA_KERNEL(channel_moments);
CUDA_KERNEL(batch_statistics);
CUDA_KERNEL(batch_norm);
CUDA_KERNEL(d_batch_norm);
CUDA_KERNEL(max_pool);
CUDA_KERNEL(d_max_pool);
CUDA_KERNEL(average_pool);
CUDA_KERNEL(d_average_pool);
CUDA_KERNEL(resize);
CUDA_KERNEL(d_resize);
CUDA_KERNEL(depth_to_space);
CUDA_KERNEL(space_to_depth);
CUDA_KERNEL(pixel_cross_entropy);
CUDA_KERNEL(d_pixel_cross_entropy);
CUDA_KERNEL(transpose);

#ifdef __cplusplus
}
#endif

#endif
