/* cudnn_convolution.c - cuDNN's convolutions, done by the host; see library.h and cudnn.c.
 *
 * An image's windows are copied into columns (channels x window, pixels), and the three passes are
 * products with them. Where the library has algorithms that use memory the columns lie in the
 * workspace, so that the bytes it was promised are really used. Its lists begin with algorithms
 * that may not be taken: one that is not supported, and the ones whose order of additions is
 * chance, which are refused. */
#include "cudnn_objects.h"

#include <stdlib.h>
#include <string.h>

/* Of one call: sizes by height and width. */
typedef struct conv_job {
    cudnnHandle_t of;
    int64_t images, channels, filters;
    int64_t in[2], out[2], side[2], pad[2], stride[2];
    bool tf32;
    float alpha, beta;
    const float *x, *w, *y;
    float *to;
    float *columns; /* (channels x window, pixels) in the workspace, or NULL: the host's */
} conv_job;

static int64_t pixels_of(const conv_job *job)
{
    return job->out[0] * job->out[1];
}

/* Lines of the columns. */
static int64_t taps_of(const conv_job *job)
{
    return job->channels * job->side[0] * job->side[1];
}

static int64_t image_of(const conv_job *job)
{
    return job->channels * job->in[0] * job->in[1];
}

/* ---- columns ---- */

/* What a line of the columns reads for the first pixel. */
typedef struct tap {
    int64_t channel, row, column; /* row and column are negative in the padding */
} tap;

static tap tap_at(const conv_job *job, int64_t index)
{
    int64_t cells = job->side[0] * job->side[1], window = index % cells;
    return (tap){.channel = index / cells,
                 .row = window / job->side[1] - job->pad[0],
                 .column = window % job->side[1] - job->pad[1]};
}

/* Where in the image the line starts that a tap reads for row i of the pixels, or -1 in the
 * padding. */
static int64_t line_of(const conv_job *job, const tap *t, int64_t i)
{
    int64_t row = t->row + i * job->stride[0];
    if (row < 0 || row >= job->in[0])
        return -1;
    return (t->channel * job->in[0] + row) * job->in[1];
}

static void to_columns(const conv_job *job, const float *image, float *columns)
{
    for (int64_t k = 0; k < taps_of(job); k++) {
        tap t = tap_at(job, k);
        for (int64_t i = 0; i < job->out[0]; i++) {
            int64_t line = line_of(job, &t, i), at = t.column;
            for (int64_t j = 0; j < job->out[1]; j++, at += job->stride[1])
                *columns++ = line >= 0 && at >= 0 && at < job->in[1] ? image[line + at] : 0.0f;
        }
    }
}

/* image += what the columns hold of it */
static void from_columns(const conv_job *job, const float *columns, float *image)
{
    for (int64_t k = 0; k < taps_of(job); k++) {
        tap t = tap_at(job, k);
        for (int64_t i = 0; i < job->out[0]; i++, columns += job->out[1]) {
            int64_t line = line_of(job, &t, i), at = t.column;
            for (int64_t j = 0; j < job->out[1] && line >= 0; j++, at += job->stride[1])
                if (at >= 0 && at < job->in[1])
                    image[line + at] += columns[j];
        }
    }
}

static float *columns_of(const conv_job *job)
{
    return job->columns != NULL
               ? job->columns
               : standin_memory(taps_of(job) * pixels_of(job) * (int64_t)sizeof(float),
                                "the columns of a convolution");
}

static void give_columns(const conv_job *job, float *columns)
{
    if (job->columns == NULL)
        free(columns);
}

/* ---- the passes ---- */

/* y (filters, pixels) = w (filters, taps) columns */
static void run_forward(void *data)
{
    const conv_job *job = data;
    float *columns = columns_of(job);
    for (int64_t b = 0; b < job->images; b++) {
        to_columns(job, job->x + b * image_of(job), columns);
        standin_multiply(&(standin_product){.tf32 = job->tf32,
                                            .m = job->filters,
                                            .n = pixels_of(job),
                                            .k = taps_of(job),
                                            .lda = taps_of(job),
                                            .ldb = pixels_of(job),
                                            .ldc = pixels_of(job),
                                            .alpha = job->alpha,
                                            .beta = job->beta,
                                            .a = job->w,
                                            .b = columns,
                                            .c = job->to + b * job->filters * pixels_of(job)});
    }
    give_columns(job, columns);
}

/* columns = transposed w, times d_y; then back into the image */
static void run_d_x(void *data)
{
    const conv_job *job = data;
    float *columns = columns_of(job);
    for (int64_t b = 0; b < job->images; b++) {
        float *image = job->to + b * image_of(job);
        standin_multiply(&(standin_product){.transpose_a = true,
                                            .tf32 = job->tf32,
                                            .m = taps_of(job),
                                            .n = pixels_of(job),
                                            .k = job->filters,
                                            .lda = taps_of(job),
                                            .ldb = pixels_of(job),
                                            .ldc = pixels_of(job),
                                            .alpha = job->alpha,
                                            .a = job->w,
                                            .b = job->y + b * job->filters * pixels_of(job),
                                            .c = columns});
        for (int64_t i = 0; i < image_of(job); i++)
            image[i] = job->beta != 0.0f ? job->beta * image[i] : 0.0f;
        from_columns(job, columns, image);
    }
    give_columns(job, columns);
}

/* d_w = the sum over images of d_y times transposed columns */
static void run_d_w(void *data)
{
    const conv_job *job = data;
    float *columns = columns_of(job);
    for (int64_t b = 0; b < job->images; b++) {
        to_columns(job, job->x + b * image_of(job), columns);
        standin_multiply(&(standin_product){.transpose_b = true,
                                            .tf32 = job->tf32,
                                            .m = job->filters,
                                            .n = taps_of(job),
                                            .k = pixels_of(job),
                                            .lda = pixels_of(job),
                                            .ldb = pixels_of(job),
                                            .ldc = taps_of(job),
                                            .alpha = job->alpha,
                                            .beta = b == 0 ? job->beta : 1.0f,
                                            .a = job->y + b * job->filters * pixels_of(job),
                                            .b = columns,
                                            .c = job->to});
    }
    give_columns(job, columns);
}

/* ---- checks ---- */

/* Fills the sizes; false after a refusal. */
static bool check_sizes(const char *function, cudnnHandle_t handle, cudnnTensorDescriptor_t x_map,
                        cudnnFilterDescriptor_t w_map, cudnnConvolutionDescriptor_t conv_map,
                        cudnnTensorDescriptor_t y_map, conv_job *job)
{
    const dnn_array *x = dnn_map_of(function, x_map), *y = dnn_map_of(function, y_map);
    const dnn_array *w = dnn_windows_of(function, w_map);
    const dnn_conv *conv = dnn_conv_of(function, conv_map);
    if (dnn_handle_of(function, handle) == NULL || x == NULL || y == NULL || w == NULL ||
        conv == NULL)
        return false;
    *job = (conv_job){.of = handle,
                      .images = x->size[0],
                      .channels = x->size[1],
                      .filters = w->size[0],
                      .tf32 = conv->math != CUDNN_FMA_MATH};
    for (int d = 0; d < 2; d++) {
        job->in[d] = x->size[2 + d];
        job->out[d] = y->size[2 + d];
        job->side[d] = w->size[2 + d];
        job->pad[d] = conv->pad[d];
        job->stride[d] = conv->stride[d];
        int64_t room = job->in[d] + 2 * job->pad[d] - job->side[d];
        int64_t wanted = room < 0 ? 0 : room / job->stride[d] + 1;
        if (!standin_require(job->out[d] == wanted, function, "height or width of y", wanted,
                             job->out[d]))
            return false;
    }
    return standin_require(w->size[1] == x->size[1], function, "channels of the windows",
                           x->size[1], w->size[1]) &&
           standin_require(y->size[0] == x->size[0], function, "images of y", x->size[0],
                           y->size[0]) &&
           standin_require(y->size[1] == w->size[0], function, "channels of y", w->size[0],
                           y->size[1]);
}

/* Bytes of workspace of an algorithm that has `uses` columns. */
static int64_t columns_bytes(const conv_job *job, bool uses)
{
    return uses ? taps_of(job) * pixels_of(job) * (int64_t)sizeof(float) : 0;
}

static bool check_call(const char *function, conv_job *job, const void *alpha, const void *beta,
                       int64_t needed, void *workspace, size_t bytes)
{
    if (alpha == NULL || beta == NULL)
        return standin_refuse(function, "alpha or beta", "a pointer", "NULL");
    if (!standin_require((int64_t)bytes >= needed, function, "bytes of workspace", needed,
                         (int64_t)bytes) ||
        (needed > 0 &&
         !standin_require_array(function, "workspace", workspace, (int64_t)bytes, 256)))
        return false;
    job->alpha = *(const float *)alpha;
    job->beta = *(const float *)beta;
    job->columns = needed > 0 ? workspace : NULL;
    return true;
}

static void enqueue(const char *function, const conv_job *job, void (*run)(void *data))
{
    standin_enqueue(dnn_handle_of(function, job->of)->stream, function, run, job, sizeof *job);
}

/* ---- forward ---- */

static cudnnStatus_t refuse_algorithm(const char *function, bool by_chance, int algorithm)
{
    standin_require(false, function,
                    by_chance ? "algorithm: one that adds up by chance; any other than"
                              : "algorithm: one that does not take this; any other than",
                    algorithm, algorithm);
    return CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y, const int wanted,
    int *count, cudnnConvolutionFwdAlgoPerf_t *found)
{
    conv_job job;
    if (!check_sizes(__func__, handle, x, w, conv, y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    const cudnnConvolutionFwdAlgoPerf_t list[] = {
        {.algo = CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
         .status = CUDNN_STATUS_NOT_SUPPORTED,
         .determinism = CUDNN_DETERMINISTIC},
        {.algo = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
         .memory = (size_t)columns_bytes(&job, true),
         .determinism = CUDNN_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
        {.algo = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
         .determinism = CUDNN_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
    };
    for (*count = 0; *count < wanted && *count < 3; ++*count)
        found[*count] = list[*count];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t y,
    cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes)
{
    conv_job job;
    if (!check_sizes(__func__, handle, x, w, conv, y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    if (algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM &&
        algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
        return refuse_algorithm(__func__, false, algorithm);
    *bytes = (size_t)columns_bytes(&job, algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha,
                                      const cudnnTensorDescriptor_t x_map, const void *x,
                                      const cudnnFilterDescriptor_t w_map, const void *w,
                                      const cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
                                      size_t bytes, const void *beta,
                                      const cudnnTensorDescriptor_t y_map, void *y)
{
    conv_job job;
    size_t needed = 0;
    cudnnStatus_t status = cudnnGetConvolutionForwardWorkspaceSize(handle, x_map, w_map, conv,
                                                                   y_map, algorithm, &needed);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!check_sizes(__func__, handle, x_map, w_map, conv, y_map, &job) ||
        !check_call(__func__, &job, alpha, beta, (int64_t)needed, workspace, bytes) ||
        !dnn_require_array(__func__, "x", dnn_map_of(__func__, x_map), x) ||
        !dnn_require_array(__func__, "w", dnn_windows_of(__func__, w_map), w) ||
        !dnn_require_array(__func__, "y", dnn_map_of(__func__, y_map), y))
        return CUDNN_STATUS_BAD_PARAM;
    job.x = x;
    job.w = w;
    job.to = y;
    enqueue(__func__, &job, run_forward);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- the gradient of the maps ---- */

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t d_y,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t d_x, const int wanted,
    int *count, cudnnConvolutionBwdDataAlgoPerf_t *found)
{
    conv_job job;
    if (!check_sizes(__func__, handle, d_x, w, conv, d_y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    const cudnnConvolutionBwdDataAlgoPerf_t list[] = {
        {.algo = CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
         .determinism = CUDNN_NON_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
        {.algo = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
         .memory = (size_t)columns_bytes(&job, true),
         .determinism = CUDNN_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
    };
    for (*count = 0; *count < wanted && *count < 2; ++*count)
        found[*count] = list[*count];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t d_y,
    const cudnnConvolutionDescriptor_t conv, const cudnnTensorDescriptor_t d_x,
    cudnnConvolutionBwdDataAlgo_t algorithm, size_t *bytes)
{
    conv_job job;
    if (!check_sizes(__func__, handle, d_x, w, conv, d_y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    if (algorithm != CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
        return refuse_algorithm(__func__, algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
                                algorithm);
    *bytes = (size_t)columns_bytes(&job, true);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                           const cudnnFilterDescriptor_t w_map, const void *w,
                                           const cudnnTensorDescriptor_t d_y_map, const void *d_y,
                                           const cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void *workspace,
                                           size_t bytes, const void *beta,
                                           const cudnnTensorDescriptor_t d_x_map, void *d_x)
{
    conv_job job;
    size_t needed = 0;
    cudnnStatus_t status = cudnnGetConvolutionBackwardDataWorkspaceSize(
        handle, w_map, d_y_map, conv, d_x_map, algorithm, &needed);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!check_sizes(__func__, handle, d_x_map, w_map, conv, d_y_map, &job) ||
        !check_call(__func__, &job, alpha, beta, (int64_t)needed, workspace, bytes) ||
        !dnn_require_array(__func__, "w", dnn_windows_of(__func__, w_map), w) ||
        !dnn_require_array(__func__, "dy", dnn_map_of(__func__, d_y_map), d_y) ||
        !dnn_require_array(__func__, "dx", dnn_map_of(__func__, d_x_map), d_x))
        return CUDNN_STATUS_BAD_PARAM;
    job.w = w;
    job.y = d_y;
    job.to = d_x;
    enqueue(__func__, &job, run_d_x);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- the gradient of the windows ---- */

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t d_y,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t d_w, const int wanted,
    int *count, cudnnConvolutionBwdFilterAlgoPerf_t *found)
{
    conv_job job;
    if (!check_sizes(__func__, handle, x, d_w, conv, d_y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    const cudnnConvolutionBwdFilterAlgoPerf_t list[] = {
        {.algo = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
         .determinism = CUDNN_NON_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
        {.algo = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
         .determinism = CUDNN_NON_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
        {.algo = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
         .memory = (size_t)columns_bytes(&job, true),
         .determinism = CUDNN_DETERMINISTIC,
         .mathType = CUDNN_FMA_MATH},
    };
    for (*count = 0; *count < wanted && *count < 3; ++*count)
        found[*count] = list[*count];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t d_y,
    const cudnnConvolutionDescriptor_t conv, const cudnnFilterDescriptor_t d_w,
    cudnnConvolutionBwdFilterAlgo_t algorithm, size_t *bytes)
{
    conv_job job;
    if (!check_sizes(__func__, handle, x, d_w, conv, d_y, &job))
        return CUDNN_STATUS_BAD_PARAM;
    if (algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1)
        return refuse_algorithm(__func__,
                                algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 ||
                                    algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
                                algorithm);
    *bytes = (size_t)columns_bytes(&job, true);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                             const cudnnTensorDescriptor_t x_map, const void *x,
                                             const cudnnTensorDescriptor_t d_y_map, const void *d_y,
                                             const cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm,
                                             void *workspace, size_t bytes, const void *beta,
                                             const cudnnFilterDescriptor_t d_w_map, void *d_w)
{
    conv_job job;
    size_t needed = 0;
    cudnnStatus_t status = cudnnGetConvolutionBackwardFilterWorkspaceSize(
        handle, x_map, d_y_map, conv, d_w_map, algorithm, &needed);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!check_sizes(__func__, handle, x_map, d_w_map, conv, d_y_map, &job) ||
        !check_call(__func__, &job, alpha, beta, (int64_t)needed, workspace, bytes) ||
        !dnn_require_array(__func__, "x", dnn_map_of(__func__, x_map), x) ||
        !dnn_require_array(__func__, "dy", dnn_map_of(__func__, d_y_map), d_y) ||
        !dnn_require_array(__func__, "dw", dnn_windows_of(__func__, d_w_map), d_w))
        return CUDNN_STATUS_BAD_PARAM;
    job.x = x;
    job.y = d_y;
    job.to = d_w;
    enqueue(__func__, &job, run_d_w);
    return CUDNN_STATUS_SUCCESS;
}
