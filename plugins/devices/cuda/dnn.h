/* dnn.h - cuDNN as convolution.c and softmax.c use it: the handle, its failures, descriptors. */
#ifndef ASSAY_CUDA_DNN_H
#define ASSAY_CUDA_DNN_H

#include <cudnn.h>

#include <stdbool.h>
#include <stdint.h>

/* cuDNN's sizes are ints. */
#define CUDA_DNN_MOST INT32_MAX

/* The handle, made at the first call and set to the compute stream; NULL after a noted failure. */
cudnnHandle_t cuda_dnn(void);
/* CUDNN_STATUS_SUCCESS, or the failure is noted. `call` is static. */
bool cuda_dnn_ok(cudnnStatus_t status, const char *call);
/* A descriptor of fp32 maps (B, C, H, W), contiguous; the caller destroys it, also after a failure
 * that left it not NULL. */
bool cuda_dnn_map(cudnnTensorDescriptor_t *map, int64_t batch, int64_t channels, int64_t height,
                  int64_t width);
/* NULL is accepted. */
void cuda_dnn_map_destroy(cudnnTensorDescriptor_t map);

#endif
