/* What the device describes to cuBLASLt and cuDNN, taken by the real libraries.
 *
 * Without a GPU they make no handles, but they do make descriptors, and check what they are told.
 * The device asks for the handle last, so the first thing that fails must be that. On a machine
 * with a GPU there is nothing to see here: the suites run on it. */
#include "cuda.h"
#include "kernels.h"

#include <assay/tensor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* ---- the rest of the device ---- */

static char first_failure[64];
static int copies;

void cuda_note_failure(const char *call, const char *status)
{
    if (first_failure[0] == '\0')
        snprintf(first_failure, sizeof first_failure, "%s", call);
    print_message("# %s: %s\n", call, status); /* a comment, to TAP */
}

bool cuda_ok(cudaError_t status, const char *call)
{
    if (status != cudaSuccess)
        cuda_note_failure(call, cudaGetErrorString(status));
    return status == cudaSuccess;
}

cudaStream_t cuda_compute_stream(void)
{
    return NULL;
}

void *cuda_workspace(int64_t bytes)
{
    cuda_note_failure("cuda_workspace", bytes > 0 ? "not reached" : "empty");
    return NULL;
}

void cuda_copy_rows(int64_t rows, int64_t width, const float *src, int64_t src_stride, float *dst,
                    int64_t dst_stride, bool add)
{
    (void)src;
    (void)dst;
    (void)add;
    copies += rows > 0 && width > 0 && src_stride == 0 && dst_stride >= width;
}

void cuda_activation(device_activation f, int64_t n, const float *x, float *y)
{
    copies += f == DEVICE_RELU && n > 0 && x == y;
}

void cuda_from_bf16(int64_t n, const uint16_t *x, float *y)
{
    (void)x;
    (void)y;
    cuda_note_failure("cuda_from_bf16", n > 0 ? "not reached" : "empty");
}

static bool has_gpu(void)
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

static int start(void **state)
{
    (void)state;
    first_failure[0] = '\0';
    return 0;
}

/* An address that nobody follows. */
static float *somewhere(int64_t alignment)
{
    return (float *)(uintptr_t)(4096 + alignment);
}

/* ---- what they take ---- */

static void products_are_described_as_the_library_takes_them(void **state)
{
    (void)state;
    for (int way = 0; way < 64 && !has_gpu(); way++) {
        device_gemm g = {.a = somewhere(4),
                         .b = somewhere(16),
                         .c = somewhere(256),
                         .m = 33,
                         .n = 65,
                         .k = 70,
                         .lda = 80,
                         .ldb = 80,
                         .ldc = 65,
                         .transpose_a = way & 1,
                         .transpose_b = way & 2,
                         .add = way & 4,
                         .bias = way & 4 ? NULL : somewhere(8),
                         .activation = way / 32 && !(way & 4) ? DEVICE_RELU : DEVICE_IDENTITY,
                         .precision = (device_precision)(way / 8 % 4),
                         .items = way % 3,
                         .step_b = 80 * 80,
                         .step_c = 33 * 65};
        first_failure[0] = '\0';
        cuda_gemm(&g);
        assert_string_equal(first_failure, "cublasLtCreate");
    }
}

static void convolutions_are_described_as_the_library_takes_them(void **state)
{
    (void)state;
    for (int64_t side = 1; side <= 5 && !has_gpu(); side++) {
        device_conv g = {.batch = 2,
                         .channels = 3,
                         .height = 17,
                         .width = 12,
                         .filters = 5,
                         .side = side,
                         .stride = 1 + side % 2,
                         .pad = side / 2,
                         .x = somewhere(4),
                         .w = somewhere(16),
                         .bias = somewhere(8),
                         .y = somewhere(64),
                         .d_y = somewhere(64),
                         .d_x = somewhere(4),
                         .d_w = somewhere(16)};
        first_failure[0] = '\0';
        cuda_conv(&g);
        assert_string_equal(first_failure, "cudnnCreate");
        first_failure[0] = '\0';
        cuda_d_conv(&g);
        assert_string_equal(first_failure, "cudnnCreate");
    }
}

/* The most rows that a part of softmax.c has, and the one number that is too much. */
static void rows_are_described_as_the_library_takes_them(void **state)
{
    (void)state;
    if (has_gpu())
        return;
    cuda_softmax_rows(INT32_MAX, 1, somewhere(4), somewhere(4));
    assert_string_equal(first_failure, "cudnnCreate");
    first_failure[0] = '\0';
    cuda_softmax_rows(1, (int64_t)1 << 31, somewhere(4), somewhere(4));
    assert_string_equal(first_failure, "cudnnSetTensor4dDescriptor");
}

static void a_sum_over_nothing_asks_no_library(void **state)
{
    (void)state;
    copies = 0;
    cuda_gemm(&(device_gemm){
        .c = somewhere(4), .m = 2, .n = 3, .k = 0, .ldb = 3, .ldc = 3, .bias = somewhere(4)});
    cuda_gemm(&(device_gemm){.c = somewhere(4),
                             .m = 2,
                             .n = 3,
                             .k = 0,
                             .ldb = 3,
                             .ldc = 3,
                             .bias = somewhere(4),
                             .activation = DEVICE_RELU});
    cuda_gemm(&(device_gemm){.c = somewhere(4), .m = 0, .n = 3, .k = 4, .ldb = 3, .ldc = 3});
    assert_int_equal(copies, 3);
    assert_string_equal(first_failure, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(products_are_described_as_the_library_takes_them, start),
        cmocka_unit_test_setup(convolutions_are_described_as_the_library_takes_them, start),
        cmocka_unit_test_setup(rows_are_described_as_the_library_takes_them, start),
        cmocka_unit_test_setup(a_sum_over_nothing_asks_no_library, start),
    };
    return cmocka_run_group_tests_name("real_libraries", tests, NULL, NULL);
}
