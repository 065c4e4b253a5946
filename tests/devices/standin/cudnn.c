/* cudnn.c - the part of cuDNN that plugins/devices/cuda uses, done by the host; see library.h.
 * Here: the handle, descriptors, sums with a broadcast and softmax. cudnn_convolution.c has the
 * rest. */
#include "cudnn_objects.h"

#include <math.h>

static const char handle_kind[] = "cudnn handle", map_kind[] = "cudnn tensor descriptor",
                  windows_kind[] = "cudnn filter descriptor",
                  conv_kind[] = "cudnn convolution descriptor";

/* ---- the handle ---- */

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    default:
        return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = (cudnnHandle_t)standin_object_new(handle_kind, sizeof(dnn_handle));
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t destroy(const char *function, const char *kind, void *object)
{
    if (!standin_object_alive(function, kind, object))
        return CUDNN_STATUS_BAD_PARAM;
    standin_object_destroy(object);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    return destroy(__func__, handle_kind, handle);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    if (!standin_object_alive(__func__, handle_kind, handle))
        return CUDNN_STATUS_BAD_PARAM;
    if (!standin_is_stream(stream)) {
        standin_refuse(__func__, "stream", "one that is alive", "another");
        return CUDNN_STATUS_BAD_PARAM;
    }
    ((dnn_handle *)(void *)handle)->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

const dnn_handle *dnn_handle_of(const char *function, cudnnHandle_t handle)
{
    const dnn_handle *object = (const void *)handle;
    if (!standin_object_alive(function, handle_kind, object))
        return NULL;
    if (object->stream == NULL || !standin_is_stream(object->stream)) {
        standin_refuse(function, "the handle's stream", "one that is alive", "none");
        return NULL;
    }
    return object;
}

/* ---- descriptors ---- */

static const dnn_array *array_of(const char *function, const char *kind, const void *memory)
{
    const dnn_array *array = memory;
    if (!standin_object_alive(function, kind, array))
        return NULL;
    if (array->size[0] > 0)
        return array;
    standin_refuse(function, kind, "one that has been set", "one without sizes");
    return NULL;
}

const dnn_array *dnn_map_of(const char *function, cudnnTensorDescriptor_t map)
{
    return array_of(function, map_kind, map);
}

const dnn_array *dnn_windows_of(const char *function, cudnnFilterDescriptor_t windows)
{
    return array_of(function, windows_kind, windows);
}

int64_t dnn_count(const dnn_array *array)
{
    return array->size[0] * array->size[1] * array->size[2] * array->size[3];
}

bool dnn_require_array(const char *function, const char *what, const dnn_array *array,
                       const void *p)
{
    int64_t bytes = dnn_count(array) * (int64_t)sizeof(float);
    return standin_require_array(function, what, p, bytes, sizeof(float));
}

static cudnnStatus_t set_sizes(const char *function, dnn_array *array, cudnnTensorFormat_t format,
                               cudnnDataType_t type, const int size[4])
{
    if (!standin_require(format == CUDNN_TENSOR_NCHW, function, "order of the dimensions",
                         CUDNN_TENSOR_NCHW, format) ||
        !standin_require(type == CUDNN_DATA_FLOAT, function, "type", CUDNN_DATA_FLOAT, type))
        return CUDNN_STATUS_NOT_SUPPORTED;
    int64_t count = 1;
    for (int i = 0; i < 4; i++) {
        if (!standin_require(size[i] > 0, function, "a size, at least", 1, size[i]) ||
            !standin_require(size[i] <= INT32_MAX / count, function, "elements, at most", INT32_MAX,
                             count * size[i]))
            return CUDNN_STATUS_BAD_PARAM;
        count *= size[i];
    }
    for (int i = 0; i < 4; i++)
        array->size[i] = size[i];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *map)
{
    *map = (cudnnTensorDescriptor_t)standin_object_new(map_kind, sizeof(dnn_array));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t map)
{
    return destroy(__func__, map_kind, map);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t map, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    if (!standin_object_alive(__func__, map_kind, map))
        return CUDNN_STATUS_BAD_PARAM;
    return set_sizes(__func__, (dnn_array *)(void *)map, format, type, (int[]){n, c, h, w});
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *windows)
{
    *windows = (cudnnFilterDescriptor_t)standin_object_new(windows_kind, sizeof(dnn_array));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t windows)
{
    return destroy(__func__, windows_kind, windows);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t windows, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    if (!standin_object_alive(__func__, windows_kind, windows))
        return CUDNN_STATUS_BAD_PARAM;
    return set_sizes(__func__, (dnn_array *)(void *)windows, format, type, (int[]){k, c, h, w});
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *conv)
{
    *conv = (cudnnConvolutionDescriptor_t)standin_object_new(conv_kind, sizeof(dnn_conv));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t conv)
{
    return destroy(__func__, conv_kind, conv);
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t descriptor, int pad_h,
                                              int pad_w, int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type)
{
    dnn_conv *conv = (dnn_conv *)(void *)descriptor;
    if (!standin_object_alive(__func__, conv_kind, conv) ||
        !standin_require(pad_h >= 0 && pad_w >= 0, __func__, "padding, at least", 0,
                         pad_h < pad_w ? pad_h : pad_w) ||
        !standin_require(stride_h > 0 && stride_w > 0, __func__, "stride, at least", 1,
                         stride_h < stride_w ? stride_h : stride_w) ||
        !standin_require(dilation_h == 1 && dilation_w == 1, __func__, "dilation", 1,
                         dilation_h > dilation_w ? dilation_h : dilation_w) ||
        !standin_require(mode == CUDNN_CROSS_CORRELATION, __func__, "mode", CUDNN_CROSS_CORRELATION,
                         mode) ||
        !standin_require(type == CUDNN_DATA_FLOAT, __func__, "type", CUDNN_DATA_FLOAT, type))
        return CUDNN_STATUS_BAD_PARAM;
    conv->is_set = true;
    conv->pad[0] = pad_h;
    conv->pad[1] = pad_w;
    conv->stride[0] = stride_h;
    conv->stride[1] = stride_w;
    conv->math = CUDNN_DEFAULT_MATH;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t math)
{
    if (dnn_conv_of(__func__, conv) == NULL)
        return CUDNN_STATUS_BAD_PARAM;
    ((dnn_conv *)(void *)conv)->math = math;
    return CUDNN_STATUS_SUCCESS;
}

const dnn_conv *dnn_conv_of(const char *function, cudnnConvolutionDescriptor_t descriptor)
{
    const dnn_conv *conv = (const void *)descriptor;
    if (!standin_object_alive(function, conv_kind, conv))
        return NULL;
    if (conv->is_set)
        return conv;
    standin_refuse(function, conv_kind, "one that has been set", "one without sizes");
    return NULL;
}

/* ---- sums with a broadcast ---- */

typedef struct add_job {
    int64_t size[4];
    int64_t step[4]; /* of `a`, 0 where it is broadcast */
    float alpha, beta;
    const float *a;
    float *c;
} add_job;

static void run_add(void *data)
{
    const add_job *job = data;
    const int64_t *size = job->size, *step = job->step;
    float *to = job->c;
    for (int64_t line = 0; line < size[0] * size[1] * size[2]; line++) {
        const float *from = job->a + line / (size[1] * size[2]) * step[0] +
                            line / size[2] % size[1] * step[1] + line % size[2] * step[2];
        for (int64_t i = 0; i < size[3]; i++, to++)
            *to = (job->beta != 0.0f ? job->beta * *to : 0.0f) + job->alpha * from[i * step[3]];
    }
}

cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void *alpha,
                             const cudnnTensorDescriptor_t a_map, const void *a, const void *beta,
                             const cudnnTensorDescriptor_t c_map, void *c)
{
    const dnn_handle *dnn = dnn_handle_of(__func__, handle);
    const dnn_array *of_a = dnn_map_of(__func__, a_map), *of_c = dnn_map_of(__func__, c_map);
    if (dnn == NULL || of_a == NULL || of_c == NULL || alpha == NULL || beta == NULL ||
        !dnn_require_array(__func__, "A", of_a, a) || !dnn_require_array(__func__, "C", of_c, c))
        return CUDNN_STATUS_BAD_PARAM;
    add_job job = {.alpha = *(const float *)alpha, .beta = *(const float *)beta, .a = a, .c = c};
    int64_t step = 1;
    for (int d = 3; d >= 0; d--) {
        if (!standin_require(of_a->size[d] == 1 || of_a->size[d] == of_c->size[d], __func__,
                             "a size of A, 1 or that of C", of_c->size[d], of_a->size[d]))
            return CUDNN_STATUS_BAD_PARAM;
        job.size[d] = of_c->size[d];
        job.step[d] = of_a->size[d] == 1 ? 0 : step;
        step *= of_a->size[d];
    }
    standin_enqueue(dnn->stream, __func__, run_add, &job, sizeof job);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- softmax of rows (n, c) of one pixel ---- */

typedef struct softmax_job {
    int64_t rows, width;
    float alpha, beta;
    const float *x, *d_y; /* backwards x is the softmax */
    float *to;
} softmax_job;

static void put(const softmax_job *job, int64_t i, double value)
{
    double before = job->beta != 0.0f ? (double)job->beta * job->to[i] : 0.0;
    job->to[i] = (float)(before + job->alpha * value);
}

static void run_softmax(void *data)
{
    const softmax_job *job = data;
    for (int64_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->width;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t c = 0; c < job->width; c++)
            largest = x[c] > largest ? x[c] : largest;
        for (int64_t c = 0; c < job->width; c++)
            sum += exp(x[c] - largest);
        for (int64_t c = 0; c < job->width; c++)
            put(job, r * job->width + c, exp(x[c] - largest) / sum);
    }
}

static void run_d_softmax(void *data)
{
    const softmax_job *job = data;
    for (int64_t r = 0; r < job->rows; r++) {
        const float *y = job->x + r * job->width, *d_y = job->d_y + r * job->width;
        double mean = 0.0;
        for (int64_t c = 0; c < job->width; c++)
            mean += (double)y[c] * d_y[c];
        for (int64_t c = 0; c < job->width; c++)
            put(job, r * job->width + c, y[c] * (d_y[c] - mean));
    }
}

/* One map describes all arrays: what is stood in for. */
static cudnnStatus_t softmax(const char *function, cudnnHandle_t handle,
                             cudnnSoftmaxAlgorithm_t algo, cudnnSoftmaxMode_t mode,
                             const void *alpha, const void *beta,
                             const cudnnTensorDescriptor_t map[3], softmax_job job)
{
    const dnn_handle *dnn = dnn_handle_of(function, handle);
    const dnn_array *rows = dnn_map_of(function, map[0]);
    if (dnn == NULL || rows == NULL || alpha == NULL || beta == NULL)
        return CUDNN_STATUS_BAD_PARAM;
    for (int i = 1; i < 3; i++) {
        const dnn_array *other = dnn_map_of(function, map[i]);
        for (int d = 0; d < 4; d++)
            if (other == NULL ||
                !standin_require(other->size[d] == rows->size[d], function,
                                 "a size of another array", rows->size[d], other->size[d]))
                return CUDNN_STATUS_BAD_PARAM;
    }
    if (algo != CUDNN_SOFTMAX_ACCURATE || mode != CUDNN_SOFTMAX_MODE_INSTANCE) {
        standin_refuse(function, "algorithm or mode", "accurate, of instances", "another");
        return CUDNN_STATUS_NOT_SUPPORTED;
    }
    if (!dnn_require_array(function, "input", rows, job.x) ||
        !dnn_require_array(function, "output", rows, job.to) ||
        (job.d_y != NULL && !dnn_require_array(function, "gradient", rows, job.d_y)))
        return CUDNN_STATUS_BAD_PARAM;
    job.rows = rows->size[0];
    job.width = dnn_count(rows) / job.rows;
    job.alpha = *(const float *)alpha;
    job.beta = *(const float *)beta;
    standin_enqueue(dnn->stream, function, job.d_y != NULL ? run_d_softmax : run_softmax, &job,
                    sizeof job);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algo,
                                  cudnnSoftmaxMode_t mode, const void *alpha,
                                  const cudnnTensorDescriptor_t x_map, const void *x,
                                  const void *beta, const cudnnTensorDescriptor_t y_map, void *y)
{
    return softmax(__func__, handle, algo, mode, alpha, beta,
                   (const cudnnTensorDescriptor_t[3]){x_map, y_map, y_map},
                   (softmax_job){.x = x, .to = y});
}

cudnnStatus_t cudnnSoftmaxBackward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algo,
                                   cudnnSoftmaxMode_t mode, const void *alpha,
                                   const cudnnTensorDescriptor_t y_map, const void *y,
                                   const cudnnTensorDescriptor_t d_y_map, const void *d_y,
                                   const void *beta, const cudnnTensorDescriptor_t d_x_map,
                                   void *d_x)
{
    if (d_y == NULL) {
        standin_refuse(__func__, "gradient", "a pointer", "NULL");
        return CUDNN_STATUS_BAD_PARAM;
    }
    return softmax(__func__, handle, algo, mode, alpha, beta,
                   (const cudnnTensorDescriptor_t[3]){y_map, d_y_map, d_x_map},
                   (softmax_job){.x = y, .d_y = d_y, .to = d_x});
}
