/* standin/cudnn_objects.h - what cuDNN's handle and descriptors hold here; see cudnn.c. */
#ifndef ASSAY_TESTS_STANDIN_CUDNN_OBJECTS_H
#define ASSAY_TESTS_STANDIN_CUDNN_OBJECTS_H

#include "library.h"

#include <cudnn.h>

typedef struct dnn_handle {
    standin_object object;
    cudaStream_t stream; /* NULL until it is set: work is refused */
} dnn_handle;

/* Of maps (n, c, h, w) and of windows (filters, channels, height, width): fp32, contiguous. */
typedef struct dnn_array {
    standin_object object;
    int64_t size[4]; /* zeros until it is set */
} dnn_array;

typedef struct dnn_conv {
    standin_object object;
    bool is_set;
    int64_t pad[2], stride[2];
    cudnnMathType_t math;
} dnn_conv;

/* The object behind a handle or descriptor, alive and set; NULL after a refusal. */
const dnn_handle *dnn_handle_of(const char *function, cudnnHandle_t handle);
const dnn_array *dnn_map_of(const char *function, cudnnTensorDescriptor_t map);
const dnn_array *dnn_windows_of(const char *function, cudnnFilterDescriptor_t windows);
const dnn_conv *dnn_conv_of(const char *function, cudnnConvolutionDescriptor_t conv);

int64_t dnn_count(const dnn_array *array);
/* True when device code may touch the array at p. */
bool dnn_require_array(const char *function, const char *what, const dnn_array *array,
                       const void *p);

#endif
