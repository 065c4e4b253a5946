/* kernels.h - the entries of the kernel table that this device has, each with the name and signature
 * of its field in assay_kernels. table.c lists them. */
#ifndef ASSAY_CUDA_KERNELS_H
#define ASSAY_CUDA_KERNELS_H

#include "engine/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- products, convolutions and softmax by cuBLASLt and cuDNN: products.c, convolution.c, softmax.c ---- */
void cuda_gemm(const device_gemm *gemm);
void cuda_conv(const device_conv *conv);
void cuda_d_conv(const device_conv *conv);
void cuda_softmax_rows(int64_t rows, int64_t width, const float *x, float *y);
void cuda_d_softmax_rows(int64_t rows, int64_t width, const float *y, const float *d_y, float *d_x,
                         bool add);

#ifdef __cplusplus
}
#endif

#endif
