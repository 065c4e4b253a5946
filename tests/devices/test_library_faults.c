/* What the stand-ins of cuBLASLt and cuDNN catch: each case is right but for one planted fault,
 * which must come back as the library's error, with a line on stderr that names it. */
#include "captured.h"
#include "standin/standin.h"

#include <cublasLt.h>
#include <cudnn.h>

#include <stdlib.h>

static cudaStream_t stream;

/* n numbers 0, 1/8, 2/8 ... 6/8, 0, ... in device memory. */
static float *device_floats(int64_t n)
{
    float host[4096], *device = NULL;
    assert_true(n <= 4096);
    for (int64_t i = 0; i < n; i++)
        host[i] = (float)(i % 7) * 0.125f;
    assert_int_equal(cudaMalloc((void **)&device, (size_t)n * sizeof *device), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, host, (size_t)n * sizeof *device, cudaMemcpyHostToDevice),
                     cudaSuccess);
    return device;
}

/* ---- products ---- */

/* D (ROWS, COLUMNS) = A (ROWS, DEPTH) B (DEPTH, COLUMNS), column-major; long enough a sum for an
 * algorithm with a workspace. */
enum { ROWS = 3, COLUMNS = 5, DEPTH = 300 };

typedef struct product {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t found;
    float *of_a, *of_b, *of_d, *workspace;
    size_t workspace_bytes;
} product;

static cublasLtMatrixLayout_t layout_of(cudaDataType type, uint64_t rows, uint64_t columns,
                                        int64_t stride)
{
    cublasLtMatrixLayout_t made = NULL;
    assert_int_equal(cublasLtMatrixLayoutCreate(&made, type, rows, columns, stride),
                     CUBLAS_STATUS_SUCCESS);
    return made;
}

static cublasLtMatrixLayout_t layout(uint64_t rows, uint64_t columns, int64_t stride)
{
    return layout_of(CUDA_R_32F, rows, columns, stride);
}

static cublasStatus_t propose(product *p, uint32_t schemes)
{
    int count = 0;
    assert_int_equal(
        cublasLtMatmulPreferenceSetAttribute(p->wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &schemes, sizeof schemes),
        CUBLAS_STATUS_SUCCESS);
    return cublasLtMatmulAlgoGetHeuristic(p->handle, p->op, p->a, p->b, p->d, p->d, p->wish, 1,
                                          &p->found, &count);
}

static product product_new(void)
{
    product p = {.workspace_bytes = 2 * ROWS * COLUMNS * sizeof(float)};
    uint64_t most = 1 << 20;
    assert_int_equal(cublasLtCreate(&p.handle), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescCreate(&p.op, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                     CUBLAS_STATUS_SUCCESS);
    p.a = layout(ROWS, DEPTH, ROWS);
    p.b = layout(DEPTH, COLUMNS, DEPTH);
    p.d = layout(ROWS, COLUMNS, ROWS);
    assert_int_equal(cublasLtMatmulPreferenceCreate(&p.wish), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(
                         p.wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(propose(&p, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(p.found.workspaceSize, p.workspace_bytes);
    p.of_a = device_floats(ROWS * DEPTH);
    p.of_b = device_floats(DEPTH * COLUMNS);
    p.of_d = device_floats(ROWS * COLUMNS);
    p.workspace = device_floats(2 * ROWS * COLUMNS);
    return p;
}

static void product_free(product *p)
{
    float *arrays[] = {p->of_a, p->of_b, p->of_d, p->workspace};
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    for (int i = 0; i < 4; i++)
        assert_int_equal(cudaFree(arrays[i]), cudaSuccess);
    assert_int_equal(cublasLtMatmulPreferenceDestroy(p->wish), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(p->d), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(p->b), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(p->a), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(p->op), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtDestroy(p->handle), CUBLAS_STATUS_SUCCESS);
}

static cublasStatus_t multiply(const product *p)
{
    const float one = 1.0f, zero = 0.0f;
    return cublasLtMatmul(p->handle, p->op, &one, p->of_a, p->a, p->of_b, p->b, &zero, p->of_d,
                          p->d, p->of_d, p->d, &p->found.algo, p->workspace, p->workspace_bytes,
                          stream);
}

/* The one call of a case that is wrong, and what must be said of it. */
static void expect_refused_product(const product *p, const char *const words[])
{
    captured c = capture();
    cublasStatus_t status = multiply(p);
    expect_words(&c, words);
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
}

static void a_right_product_is_computed_and_nothing_is_said(void **state)
{
    (void)state;
    product p = product_new();
    float got[ROWS * COLUMNS];
    captured c = capture();
    cublasStatus_t status = multiply(&p);
    cudaError_t copied = cudaMemcpyAsync(got, p.of_d, sizeof got, cudaMemcpyDeviceToHost, stream);
    cudaError_t waited = cudaStreamSynchronize(stream);
    expect_words(&c, WORDS(""));
    assert_string_equal(c.text, "");
    assert_int_equal(status, CUBLAS_STATUS_SUCCESS);
    assert_int_equal(copied, cudaSuccess);
    assert_int_equal(waited, cudaSuccess);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) {
            double sum = 0.0;
            for (int k = 0; k < DEPTH; k++)
                sum += (i + k * ROWS) % 7 * 0.125 * ((k + j * DEPTH) % 7 * 0.125);
            assert_true(got[i + j * ROWS] == (float)sum); /* sums of 64ths are exact */
        }
    product_free(&p);
}

static void a_leading_dimension_below_the_rows_is_refused(void **state)
{
    (void)state;
    cublasLtMatrixLayout_t made = NULL;
    captured c = capture();
    cublasStatus_t status = cublasLtMatrixLayoutCreate(&made, CUDA_R_32F, 4, 2, 3);
    expect_words(&c, WORDS("cublasLtMatrixLayoutCreate", "leading dimension", "expected 4, got 3"));
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
}

static void a_leading_dimension_that_leads_out_of_the_array_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(cublasLtMatrixLayoutDestroy(p.b), CUBLAS_STATUS_SUCCESS);
    p.b = layout(DEPTH, COLUMNS, DEPTH + 1);
    assert_int_equal(propose(&p, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE), CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("cublasLtMatmul: B", "6016 bytes of device memory"));
    product_free(&p);
}

static void a_swapped_transpose_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    int32_t transpose = CUBLAS_OP_T;
    assert_int_equal(cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                                    sizeof transpose),
                     CUBLAS_STATUS_SUCCESS);
    captured c = capture();
    cublasStatus_t status = propose(&p, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    expect_words(&c,
                 WORDS("cublasLtMatmulAlgoGetHeuristic", "rows of op(A)", "expected 3, got 300"));
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
    expect_refused_product(&p, WORDS("cublasLtMatmul", "rows of op(A)"));
    product_free(&p);
}

static void a_workspace_that_is_too_small_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    p.workspace_bytes -= 1;
    expect_refused_product(&p, WORDS("bytes of workspace", "expected 120, got 119"));
    p.workspace_bytes += 2; /* more than there is */
    expect_refused_product(&p, WORDS("workspace", "121 bytes of device memory"));
    product_free(&p);
}

static void a_pointer_less_aligned_than_was_said_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    float *was = p.of_a;
    assert_int_equal(cudaFree(p.of_a), cudaSuccess);
    was = device_floats(ROWS * DEPTH + 1);
    p.of_a = was + 1;
    expect_refused_product(&p, WORDS("cublasLtMatmul: A", "aligned to 256"));
    p.of_a = was;
    product_free(&p);
}

static void an_array_of_the_host_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    float host[ROWS * COLUMNS] = {0}, *was = p.of_d;
    p.of_d = host;
    expect_refused_product(&p, WORDS("cublasLtMatmul: C", "device memory", "memory of the host"));
    p.of_d = was;
    product_free(&p);
}

static void a_destroyed_descriptor_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    cublasLtMatrixLayout_t dead = p.b;
    assert_int_equal(cublasLtMatrixLayoutDestroy(dead), CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("cublasLtMatmul", "matrix layout", "destroyed"));
    p.b = layout(DEPTH, COLUMNS, DEPTH);
    captured c = capture();
    cublasStatus_t status = cublasLtMatrixLayoutDestroy(dead);
    expect_words(&c, WORDS("cublasLtMatrixLayoutDestroy", "destroyed"));
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
    product_free(&p);
}

static void a_descriptor_of_another_kind_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    cublasLtMatrixLayout_t was = p.b;
    p.b = (cublasLtMatrixLayout_t)(void *)p.op;
    expect_refused_product(&p, WORDS("matrix layout", "operation descriptor"));
    p.b = was;
    product_free(&p);
}

static void a_wrong_type_is_refused(void **state)
{
    (void)state;
    cublasLtMatrixLayout_t made = NULL;
    captured c = capture();
    cublasStatus_t status = cublasLtMatrixLayoutCreate(&made, CUDA_R_64F, 4, 2, 4);
    expect_words(&c, WORDS("cublasLtMatrixLayoutCreate", "type"));
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
}

static void factors_of_two_types_are_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(cublasLtMatrixLayoutDestroy(p.a), CUBLAS_STATUS_SUCCESS);
    p.a = layout_of(CUDA_R_16BF, ROWS, DEPTH, ROWS);
    expect_refused_product(&p, WORDS("cublasLtMatmul", "type of B", "expected 14, got 0"));
    product_free(&p);
}

/* bf16 numbers take half the memory: a layout that says fp32 of them leads out of it. */
static void bf16_that_is_called_fp32_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(cudaFree(p.of_a), cudaSuccess);
    p.of_a = device_floats(ROWS * DEPTH / 2);
    expect_refused_product(&p, WORDS("cublasLtMatmul: A", "3600 bytes of device memory"));
    product_free(&p);
}

static void bf16_computed_as_tf32_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(cublasLtMatrixLayoutDestroy(p.a), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(p.b), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(p.op), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescCreate(&p.op, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F),
                     CUBLAS_STATUS_SUCCESS);
    p.a = layout_of(CUDA_R_16BF, ROWS, DEPTH, ROWS);
    p.b = layout_of(CUDA_R_16BF, DEPTH, COLUMNS, DEPTH);
    expect_refused_product(&p, WORDS("cublasLtMatmul", "compute type of factors of bf16"));
    product_free(&p);
}

static void a_batch(product *p, int32_t items, int64_t step)
{
    const cublasLtMatrixLayout_t all[] = {p->a, p->b, p->d};
    for (int i = 0; i < 3; i++)
        assert_int_equal(cublasLtMatrixLayoutSetAttribute(
                             all[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &items, sizeof items),
                         CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutSetAttribute(
                         p->d, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
                     CUBLAS_STATUS_SUCCESS);
}

static void items_of_a_batch_that_overlap_are_refused(void **state)
{
    (void)state;
    product p = product_new();
    a_batch(&p, 2, ROWS * COLUMNS - 1);
    expect_refused_product(
        &p, WORDS("cublasLtMatmul", "step from item to item of D", "expected 15, got 14"));
    product_free(&p);
}

static void a_batch_that_leads_out_of_the_array_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    a_batch(&p, 2, ROWS * COLUMNS);
    assert_int_equal(propose(&p, CUBLASLT_REDUCTION_SCHEME_NONE), CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("cublasLtMatmul: C", "120 bytes of device memory"));
    product_free(&p);
}

static void batches_of_different_length_are_refused(void **state)
{
    (void)state;
    product p = product_new();
    int32_t items = 3;
    a_batch(&p, 2, ROWS * COLUMNS);
    assert_int_equal(cublasLtMatrixLayoutSetAttribute(p.b, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                      &items, sizeof items),
                     CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("items of a batch", "expected 2, got 3"));
    product_free(&p);
}

static void an_attribute_of_the_wrong_size_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    int64_t transpose = CUBLAS_OP_T;
    captured c = capture();
    cublasStatus_t status = cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_TRANSA,
                                                           &transpose, sizeof transpose);
    expect_words(&c, WORDS("cublasLtMatmulDescSetAttribute", "expected 4, got 8"));
    assert_int_equal(status, CUBLAS_STATUS_INVALID_VALUE);
    product_free(&p);
}

static void an_algorithm_of_another_problem_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(cublasLtMatrixLayoutDestroy(p.a), CUBLAS_STATUS_SUCCESS);
    p.a = layout(ROWS, DEPTH, ROWS + 1);
    expect_refused_product(&p, WORDS("algorithm", "another problem"));
    product_free(&p);
}

static void sums_in_an_order_of_chance_are_refused(void **state)
{
    (void)state;
    product p = product_new();
    assert_int_equal(propose(&p, CUBLASLT_REDUCTION_SCHEME_MASK), CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("reduction scheme", "in place"));
    product_free(&p);
}

static void a_bias_that_is_missing_is_refused(void **state)
{
    (void)state;
    product p = product_new();
    uint32_t epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
    assert_int_equal(cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                    sizeof epilogue),
                     CUBLAS_STATUS_SUCCESS);
    expect_refused_product(&p, WORDS("bias", "NULL"));
    product_free(&p);
}

/* ---- convolutions ---- */

/* y (2, 4, 3, 3) of x (2, 3, 5, 5) and 4 windows of 3 x 3. */
typedef struct conv {
    cudnnHandle_t handle;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t conv;
    float *of_x, *of_w, *of_y, *workspace;
    size_t workspace_bytes;
} conv;

enum { X_COUNT = 2 * 3 * 5 * 5, W_COUNT = 4 * 3 * 3 * 3, Y_COUNT = 2 * 4 * 3 * 3 };

static cudnnTensorDescriptor_t map(int n, int c, int h, int w)
{
    cudnnTensorDescriptor_t made = NULL;
    assert_int_equal(cudnnCreateTensorDescriptor(&made), CUDNN_STATUS_SUCCESS);
    assert_int_equal(
        cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w),
        CUDNN_STATUS_SUCCESS);
    return made;
}

static conv conv_new(void)
{
    conv c = {.workspace_bytes = 27 * 9 * sizeof(float)};
    assert_int_equal(cudnnCreate(&c.handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetStream(c.handle, stream), CUDNN_STATUS_SUCCESS);
    c.x = map(2, 3, 5, 5);
    c.y = map(2, 4, 3, 3);
    assert_int_equal(cudnnCreateFilterDescriptor(&c.w), CUDNN_STATUS_SUCCESS);
    assert_int_equal(
        cudnnSetFilter4dDescriptor(c.w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3),
        CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnCreateConvolutionDescriptor(&c.conv), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetConvolution2dDescriptor(c.conv, 0, 0, 1, 1, 1, 1,
                                                     CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                     CUDNN_STATUS_SUCCESS);
    c.of_x = device_floats(X_COUNT);
    c.of_w = device_floats(W_COUNT);
    c.of_y = device_floats(Y_COUNT);
    c.workspace = device_floats(27 * 9);
    return c;
}

static void conv_free(conv *c)
{
    float *arrays[] = {c->of_x, c->of_w, c->of_y, c->workspace};
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    for (int i = 0; i < 4; i++)
        assert_int_equal(cudaFree(arrays[i]), cudaSuccess);
    assert_int_equal(cudnnDestroyConvolutionDescriptor(c->conv), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyFilterDescriptor(c->w), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(c->y), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(c->x), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroy(c->handle), CUDNN_STATUS_SUCCESS);
}

static const float one = 1.0f, zero = 0.0f;

static cudnnStatus_t convolve(const conv *c)
{
    return cudnnConvolutionForward(c->handle, &one, c->x, c->of_x, c->w, c->of_w, c->conv,
                                   CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, c->workspace,
                                   c->workspace_bytes, &zero, c->y, c->of_y);
}

static void expect_refused_conv(const conv *c, const char *const words[])
{
    captured said = capture();
    cudnnStatus_t status = convolve(c);
    expect_words(&said, words);
    assert_int_equal(status, CUDNN_STATUS_BAD_PARAM);
}

static void a_right_convolution_is_computed_and_nothing_is_said(void **state)
{
    (void)state;
    conv c = conv_new();
    float got = 0.0f;
    double want = 0.0;
    captured said = capture();
    cudnnStatus_t status = convolve(&c);
    cudaError_t copied = cudaMemcpyAsync(&got, c.of_y, sizeof got, cudaMemcpyDeviceToHost, stream);
    cudaError_t waited = cudaStreamSynchronize(stream);
    expect_words(&said, WORDS(""));
    assert_string_equal(said.text, "");
    assert_int_equal(status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(copied, cudaSuccess);
    assert_int_equal(waited, cudaSuccess);
    for (int k = 0; k < 27; k++)
        want += (k / 9 * 25 + k / 3 % 3 * 5 + k % 3) % 7 * 0.125 * (k % 7 * 0.125);
    assert_true(got == (float)want);
    conv_free(&c);
}

static void a_workspace_too_small_for_a_convolution_is_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    c.workspace_bytes--;
    expect_refused_conv(
        &c, WORDS("cudnnConvolutionForward", "bytes of workspace", "expected 972, got 971"));
    conv_free(&c);
}

static void maps_that_do_not_fit_the_windows_are_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    cudnnTensorDescriptor_t right = c.y;
    c.y = map(2, 4, 5, 3);
    expect_refused_conv(&c, WORDS("height or width of y", "expected 3, got 5"));
    assert_int_equal(cudnnDestroyTensorDescriptor(c.y), CUDNN_STATUS_SUCCESS);
    c.y = map(2, 3, 3, 3);
    expect_refused_conv(&c, WORDS("channels of y", "expected 4, got 3"));
    assert_int_equal(cudnnDestroyTensorDescriptor(c.y), CUDNN_STATUS_SUCCESS);
    c.y = right;
    conv_free(&c);
}

static void a_map_beyond_its_array_is_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    float *was = c.of_y;
    c.of_y++;
    expect_refused_conv(&c, WORDS("cudnnConvolutionForward: y", "288 bytes of device memory"));
    c.of_y = was;
    conv_free(&c);
}

static void a_destroyed_map_is_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    assert_int_equal(cudnnDestroyTensorDescriptor(c.x), CUDNN_STATUS_SUCCESS);
    expect_refused_conv(&c, WORDS("tensor descriptor", "destroyed"));
    c.x = map(2, 3, 5, 5);
    conv_free(&c);
}

static void a_map_of_another_type_or_order_is_refused(void **state)
{
    (void)state;
    cudnnTensorDescriptor_t made = map(1, 1, 1, 1);
    captured c = capture();
    cudnnStatus_t type =
        cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NCHW, CUDNN_DATA_HALF, 1, 1, 1, 1);
    cudnnStatus_t order =
        cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1);
    cudnnStatus_t size = cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT,
                                                    1 << 16, 1 << 15, 1, 1);
    expect_words(&c, WORDS("type", "order of the dimensions", "elements, at most"));
    assert_int_equal(type, CUDNN_STATUS_NOT_SUPPORTED);
    assert_int_equal(order, CUDNN_STATUS_NOT_SUPPORTED);
    assert_int_equal(size, CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnDestroyTensorDescriptor(made), CUDNN_STATUS_SUCCESS);
}

static void gradients_added_up_by_chance_are_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    captured said = capture();
    cudnnStatus_t maps = cudnnConvolutionBackwardData(
        c.handle, &one, c.w, c.of_w, c.y, c.of_y, c.conv, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
        c.workspace, c.workspace_bytes, &zero, c.x, c.of_x);
    cudnnStatus_t windows = cudnnConvolutionBackwardFilter(
        c.handle, &one, c.x, c.of_x, c.y, c.of_y, c.conv, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
        c.workspace, c.workspace_bytes, &zero, c.w, c.of_w);
    expect_words(&said, WORDS("BackwardData", "BackwardFilter", "adds up by chance"));
    assert_int_equal(maps, CUDNN_STATUS_NOT_SUPPORTED);
    assert_int_equal(windows, CUDNN_STATUS_NOT_SUPPORTED);
    conv_free(&c);
}

static void a_handle_without_a_stream_is_refused(void **state)
{
    (void)state;
    conv c = conv_new();
    cudnnHandle_t was = c.handle;
    assert_int_equal(cudnnCreate(&c.handle), CUDNN_STATUS_SUCCESS);
    expect_refused_conv(&c, WORDS("stream", "none"));
    assert_int_equal(cudnnDestroy(c.handle), CUDNN_STATUS_SUCCESS);
    c.handle = was;
    conv_free(&c);
}

static void everything_made_here_was_destroyed(void **state)
{
    (void)state;
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
    captured c = capture();
    int alive = standin_report();
    expect_words(&c, WORDS(""));
    assert_string_equal(c.text, "");
    assert_int_equal(alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_product_is_computed_and_nothing_is_said),
        cmocka_unit_test(a_leading_dimension_below_the_rows_is_refused),
        cmocka_unit_test(a_leading_dimension_that_leads_out_of_the_array_is_refused),
        cmocka_unit_test(a_swapped_transpose_is_refused),
        cmocka_unit_test(a_workspace_that_is_too_small_is_refused),
        cmocka_unit_test(a_pointer_less_aligned_than_was_said_is_refused),
        cmocka_unit_test(an_array_of_the_host_is_refused),
        cmocka_unit_test(a_destroyed_descriptor_is_refused),
        cmocka_unit_test(a_descriptor_of_another_kind_is_refused),
        cmocka_unit_test(a_wrong_type_is_refused),
        cmocka_unit_test(factors_of_two_types_are_refused),
        cmocka_unit_test(bf16_that_is_called_fp32_is_refused),
        cmocka_unit_test(bf16_computed_as_tf32_is_refused),
        cmocka_unit_test(items_of_a_batch_that_overlap_are_refused),
        cmocka_unit_test(a_batch_that_leads_out_of_the_array_is_refused),
        cmocka_unit_test(batches_of_different_length_are_refused),
        cmocka_unit_test(an_attribute_of_the_wrong_size_is_refused),
        cmocka_unit_test(an_algorithm_of_another_problem_is_refused),
        cmocka_unit_test(sums_in_an_order_of_chance_are_refused),
        cmocka_unit_test(a_bias_that_is_missing_is_refused),
        cmocka_unit_test(a_right_convolution_is_computed_and_nothing_is_said),
        cmocka_unit_test(a_workspace_too_small_for_a_convolution_is_refused),
        cmocka_unit_test(maps_that_do_not_fit_the_windows_are_refused),
        cmocka_unit_test(a_map_beyond_its_array_is_refused),
        cmocka_unit_test(a_destroyed_map_is_refused),
        cmocka_unit_test(a_map_of_another_type_or_order_is_refused),
        cmocka_unit_test(gradients_added_up_by_chance_are_refused),
        cmocka_unit_test(a_handle_without_a_stream_is_refused),
        cmocka_unit_test(everything_made_here_was_destroyed),
    };
    if (unsetenv("CUDA_LAUNCH_BLOCKING") != 0 ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
        return 1;
    return cmocka_run_group_tests_name("library_faults", tests, NULL, NULL);
}
