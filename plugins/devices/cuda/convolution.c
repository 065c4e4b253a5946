/* convolution.c - convolutions of maps and their gradients by cuDNN.
 *
 * The algorithm is the first of cuDNN's that is deterministic and whose workspace is moderate.
 * Products are fp32's own (CUDNN_FMA_MATH) unless the call allows the tensor cores' TF32. The bias
 * is a second pass over y. A batch with more numbers than cuDNN can count (2^31 - 1) is taken in
 * parts, the weight's gradient added up.
 *
 * Bound by arithmetic for 3 x 3 windows, by memory for 1 x 1 ones of few channels. Not measured. */
#include "cuda.h"
#include "dnn.h"
#include "kernels.h"
#include "plans.h"

#include <stdlib.h>

enum {
    MOST_WORKSPACE = 256 << 20, /* bytes */
    CANDIDATES = 16,
};

/* What is computed. */
typedef enum conv_pass { CONV_FORWARD, CONV_D_X, CONV_D_W, CONV_PASSES } conv_pass;

typedef struct conv_plan {
    cudnnTensorDescriptor_t x, y, bias;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    int algorithm; /* of the pass's own enumeration */
    int64_t workspace;
} conv_plan;

static void destroy_plan(void *memory)
{
    conv_plan *plan = memory;
    if (plan == NULL)
        return;
    if (plan->conv != NULL)
        cuda_dnn_ok(cudnnDestroyConvolutionDescriptor(plan->conv),
                    "cudnnDestroyConvolutionDescriptor");
    if (plan->w != NULL)
        cuda_dnn_ok(cudnnDestroyFilterDescriptor(plan->w), "cudnnDestroyFilterDescriptor");
    cuda_dnn_map_destroy(plan->bias);
    cuda_dnn_map_destroy(plan->y);
    cuda_dnn_map_destroy(plan->x);
    free(plan);
}

static cuda_plans plans = {.destroy = destroy_plan};

static int64_t out_size(const device_conv *g, int64_t size)
{
    return (size + 2 * g->pad - g->side) / g->stride + 1;
}

static int64_t x_count(const device_conv *g)
{
    return g->batch * g->channels * g->height * g->width;
}

static int64_t y_count(const device_conv *g)
{
    return g->batch * g->filters * out_size(g, g->height) * out_size(g, g->width);
}

static int64_t w_count(const device_conv *g)
{
    return g->filters * g->channels * g->side * g->side;
}

static bool make_maps(const device_conv *g, conv_plan *plan)
{
    return cuda_dnn_map(&plan->x, g->batch, g->channels, g->height, g->width) &&
           cuda_dnn_map(&plan->y, g->batch, g->filters, out_size(g, g->height),
                        out_size(g, g->width)) &&
           cuda_dnn_map(&plan->bias, 1, g->filters, 1, 1);
}

static bool make_windows(const device_conv *g, conv_plan *plan)
{
    int side = (int)g->side, pad = (int)g->pad, stride = (int)g->stride;
    cudnnMathType_t math = g->precision == DEVICE_FP32 ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH;
    return cuda_dnn_ok(cudnnCreateFilterDescriptor(&plan->w), "cudnnCreateFilterDescriptor") &&
           cuda_dnn_ok(cudnnSetFilter4dDescriptor(plan->w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW,
                                                  (int)g->filters, (int)g->channels, side, side),
                       "cudnnSetFilter4dDescriptor") &&
           cuda_dnn_ok(cudnnCreateConvolutionDescriptor(&plan->conv),
                       "cudnnCreateConvolutionDescriptor") &&
           cuda_dnn_ok(cudnnSetConvolution2dDescriptor(plan->conv, pad, pad, stride, stride, 1, 1,
                                                       CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                       "cudnnSetConvolution2dDescriptor") &&
           cuda_dnn_ok(cudnnSetConvolutionMathType(plan->conv, math),
                       "cudnnSetConvolutionMathType");
}

/* ---- algorithms ----
 * The three passes have three enumerations and three functions that ask the same. A `proposals_`
 * function writes the deterministic ones of cuDNN's list, which is ordered by expected time, and
 * one that takes every shape behind them. */

static int proposals_forward(const conv_plan *plan, int algorithm[CANDIDATES + 1])
{
    cudnnConvolutionFwdAlgoPerf_t found[CANDIDATES];
    int count = 0, kept = 0;
    if (!cuda_dnn_ok(cudnnGetConvolutionForwardAlgorithm_v7(cuda_dnn(), plan->x, plan->w,
                                                            plan->conv, plan->y, CANDIDATES, &count,
                                                            found),
                     "cudnnGetConvolutionForwardAlgorithm_v7"))
        return 0;
    for (int i = 0; i < count; i++)
        if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC)
            algorithm[kept++] = found[i].algo;
    algorithm[kept++] = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
    return kept;
}

static int proposals_d_x(const conv_plan *plan, int algorithm[CANDIDATES + 1])
{
    cudnnConvolutionBwdDataAlgoPerf_t found[CANDIDATES];
    int count = 0, kept = 0;
    if (!cuda_dnn_ok(cudnnGetConvolutionBackwardDataAlgorithm_v7(cuda_dnn(), plan->w, plan->y,
                                                                 plan->conv, plan->x, CANDIDATES,
                                                                 &count, found),
                     "cudnnGetConvolutionBackwardDataAlgorithm_v7"))
        return 0;
    for (int i = 0; i < count; i++)
        if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC)
            algorithm[kept++] = found[i].algo;
    algorithm[kept++] = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    return kept;
}

static int proposals_d_w(const conv_plan *plan, int algorithm[CANDIDATES + 1])
{
    cudnnConvolutionBwdFilterAlgoPerf_t found[CANDIDATES];
    int count = 0, kept = 0;
    if (!cuda_dnn_ok(cudnnGetConvolutionBackwardFilterAlgorithm_v7(cuda_dnn(), plan->x, plan->y,
                                                                   plan->conv, plan->w, CANDIDATES,
                                                                   &count, found),
                     "cudnnGetConvolutionBackwardFilterAlgorithm_v7"))
        return 0;
    for (int i = 0; i < count; i++)
        if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC)
            algorithm[kept++] = found[i].algo;
    algorithm[kept++] = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
    return kept;
}

/* Asked again rather than read from the proposal: a proposal's bytes are those of its own math
 * type, and an algorithm that does not go with ours is refused here. */
static cudnnStatus_t workspace_of(const conv_plan *plan, conv_pass pass, int algorithm,
                                  size_t *bytes)
{
    switch (pass) {
    case CONV_D_X:
        return cudnnGetConvolutionBackwardDataWorkspaceSize(
            cuda_dnn(), plan->w, plan->y, plan->conv, plan->x,
            (cudnnConvolutionBwdDataAlgo_t)algorithm, bytes);
    case CONV_D_W:
        return cudnnGetConvolutionBackwardFilterWorkspaceSize(
            cuda_dnn(), plan->x, plan->y, plan->conv, plan->w,
            (cudnnConvolutionBwdFilterAlgo_t)algorithm, bytes);
    default:
        return cudnnGetConvolutionForwardWorkspaceSize(cuda_dnn(), plan->x, plan->w, plan->conv,
                                                       plan->y,
                                                       (cudnnConvolutionFwdAlgo_t)algorithm, bytes);
    }
}

/* The first that fits the workspace; the smallest where none does. */
static bool choose_algorithm(conv_plan *plan, conv_pass pass)
{
    static int (*const proposals[CONV_PASSES])(const conv_plan *, int[CANDIDATES + 1]) = {
        proposals_forward, proposals_d_x, proposals_d_w};
    int algorithm[CANDIDATES + 1];
    int count = proposals[pass](plan, algorithm);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    bool found = false;
    for (int i = 0; i < count; i++) {
        size_t bytes = 0;
        cudnnStatus_t one = workspace_of(plan, pass, algorithm[i], &bytes);
        if (one != CUDNN_STATUS_SUCCESS)
            status = one;
        if (one != CUDNN_STATUS_SUCCESS || (found && (int64_t)bytes >= plan->workspace))
            continue;
        plan->algorithm = algorithm[i];
        plan->workspace = (int64_t)bytes;
        found = true;
        if (bytes <= MOST_WORKSPACE)
            break;
    }
    return found || (count > 0 && cuda_dnn_ok(status, "cudnnGetConvolutionWorkspaceSize"));
}

/* NULL after a noted failure. */
static const conv_plan *plan_of(const device_conv *g, conv_pass pass)
{
    cuda_plan_key key = {{g->batch, g->channels, g->height, g->width, g->filters, g->side,
                          g->stride, g->pad, pass, g->precision}};
    conv_plan *plan = cuda_plans_find(&plans, &key);
    if (plan != NULL)
        return plan;
    plan = calloc(1, sizeof *plan);
    if (plan == NULL) {
        cuda_note_failure("cuda_conv", "no memory for a convolution's plan");
    } else if (make_maps(g, plan) && make_windows(g, plan) && cuda_dnn() != NULL &&
               choose_algorithm(plan, pass)) {
        cuda_plans_keep(&plans, &key, plan);
        return plan;
    }
    destroy_plan(plan);
    return NULL;
}

/* ---- one part ---- */

static void pass_part(const device_conv *g, conv_pass pass, bool add)
{
    const float one = 1.0f, before = add ? 1.0f : 0.0f;
    const conv_plan *plan = plan_of(g, pass);
    void *work = NULL;
    if (plan == NULL || (plan->workspace > 0 && (work = cuda_workspace(plan->workspace)) == NULL))
        return;
    size_t bytes = (size_t)plan->workspace;
    switch (pass) {
    case CONV_D_X:
        cuda_dnn_ok(cudnnConvolutionBackwardData(cuda_dnn(), &one, plan->w, g->w, plan->y, g->d_y,
                                                 plan->conv,
                                                 (cudnnConvolutionBwdDataAlgo_t)plan->algorithm,
                                                 work, bytes, &before, plan->x, g->d_x),
                    "cudnnConvolutionBackwardData");
        return;
    case CONV_D_W:
        cuda_dnn_ok(cudnnConvolutionBackwardFilter(cuda_dnn(), &one, plan->x, g->x, plan->y, g->d_y,
                                                   plan->conv,
                                                   (cudnnConvolutionBwdFilterAlgo_t)plan->algorithm,
                                                   work, bytes, &before, plan->w, g->d_w),
                    "cudnnConvolutionBackwardFilter");
        return;
    default:
        if (cuda_dnn_ok(cudnnConvolutionForward(cuda_dnn(), &one, plan->x, g->x, plan->w, g->w,
                                                plan->conv,
                                                (cudnnConvolutionFwdAlgo_t)plan->algorithm, work,
                                                bytes, &before, plan->y, g->y),
                        "cudnnConvolutionForward") &&
            g->bias != NULL)
            cuda_dnn_ok(cudnnAddTensor(cuda_dnn(), &one, plan->bias, g->bias, &one, plan->y, g->y),
                        "cudnnAddTensor");
    }
}

/* Images that a part may have. */
static int64_t most_images(const device_conv *g)
{
    int64_t of_x = x_count(g) / g->batch, of_y = y_count(g) / g->batch;
    int64_t larger = of_x > of_y ? of_x : of_y;
    return larger < CUDA_DNN_MOST ? CUDA_DNN_MOST / larger : 1;
}

/* A pass of a convolution that has no empty array. */
static void pass_all(const device_conv *g, conv_pass pass, bool add)
{
    int64_t of_x = x_count(g) / g->batch, of_y = y_count(g) / g->batch, most = most_images(g);
    for (int64_t first = 0; first < g->batch; first += most) {
        device_conv part = *g;
        part.batch = g->batch - first < most ? g->batch - first : most;
        part.x = g->x != NULL ? g->x + first * of_x : NULL;
        part.y = g->y != NULL ? g->y + first * of_y : NULL;
        part.d_x = g->d_x != NULL ? g->d_x + first * of_x : NULL;
        part.d_y = g->d_y != NULL ? g->d_y + first * of_y : NULL;
        pass_part(&part, pass, add || (pass == CONV_D_W && first > 0));
    }
}

/* ---- the kernels ---- */

static void clear(float *x, int64_t count)
{
    if (count > 0)
        cuda_ok(cudaMemsetAsync(x, 0, (size_t)count * sizeof(float), cuda_compute_stream()),
                "cudaMemsetAsync");
}

/* Sums over nothing: no channels, filters or images, or no result. */
static bool is_empty(const device_conv *g)
{
    return x_count(g) == 0 || y_count(g) == 0;
}

/* y = bias: what is left of a convolution of no channels. */
static void bias_alone(const device_conv *g)
{
    const float one = 1.0f, zero = 0.0f;
    cudnnTensorDescriptor_t y = NULL, bias = NULL;
    if (cuda_dnn() != NULL &&
        cuda_dnn_map(&y, g->batch, g->filters, out_size(g, g->height), out_size(g, g->width)) &&
        cuda_dnn_map(&bias, 1, g->filters, 1, 1))
        cuda_dnn_ok(cudnnAddTensor(cuda_dnn(), &one, bias, g->bias, &zero, y, g->y),
                    "cudnnAddTensor");
    cuda_dnn_map_destroy(bias);
    cuda_dnn_map_destroy(y);
}

void cuda_conv(const device_conv *g)
{
    if (!is_empty(g))
        pass_all(g, CONV_FORWARD, false);
    else if (g->bias != NULL && y_count(g) > 0)
        bias_alone(g);
    else
        clear(g->y, y_count(g));
}

void cuda_d_conv(const device_conv *g)
{
    if (is_empty(g)) {
        if (g->d_x != NULL && !g->add_x)
            clear(g->d_x, x_count(g));
        if (g->d_w != NULL && !g->add_w)
            clear(g->d_w, w_count(g));
        return;
    }
    if (g->d_x != NULL)
        pass_all(g, CONV_D_X, g->add_x);
    if (g->d_w != NULL)
        pass_all(g, CONV_D_W, g->add_w);
}
