/* dnn.c - see dnn.h. */
#include "dnn.h"
#include "cuda.h"

bool cuda_dnn_ok(cudnnStatus_t status, const char *call)
{
    if (status != CUDNN_STATUS_SUCCESS)
        cuda_note_failure(call, cudnnGetErrorString(status));
    return status == CUDNN_STATUS_SUCCESS;
}

cudnnHandle_t cuda_dnn(void)
{
    static cudnnHandle_t handle;
    cudnnHandle_t made = NULL;
    if (handle != NULL)
        return handle;
    if (!cuda_dnn_ok(cudnnCreate(&made), "cudnnCreate"))
        return NULL;
    if (!cuda_dnn_ok(cudnnSetStream(made, cuda_compute_stream()), "cudnnSetStream")) {
        cuda_dnn_ok(cudnnDestroy(made), "cudnnDestroy");
        return NULL;
    }
    handle = made;
    return handle;
}

bool cuda_dnn_map(cudnnTensorDescriptor_t *map, int64_t batch, int64_t channels, int64_t height,
                  int64_t width)
{
    if (batch > CUDA_DNN_MOST || channels > CUDA_DNN_MOST || height > CUDA_DNN_MOST ||
        width > CUDA_DNN_MOST) {
        cuda_note_failure("cudnnSetTensor4dDescriptor", "a size that is no int");
        return false;
    }
    return cuda_dnn_ok(cudnnCreateTensorDescriptor(map), "cudnnCreateTensorDescriptor") &&
           cuda_dnn_ok(cudnnSetTensor4dDescriptor(*map, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT,
                                                  (int)batch, (int)channels, (int)height,
                                                  (int)width),
                       "cudnnSetTensor4dDescriptor");
}

void cuda_dnn_map_destroy(cudnnTensorDescriptor_t map)
{
    if (map != NULL)
        cuda_dnn_ok(cudnnDestroyTensorDescriptor(map), "cudnnDestroyTensorDescriptor");
}
