/* Matrix products against the triple loop. */
#include "twins.h"

#include <assay/tensor.h>

static void fill_with_nan(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = NAN;
}

/* x rounded to bf16, in fp32. */
static void round_to_bf16(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = assay_from_bf16(assay_to_bf16(x[i]));
}

/* x as bf16; the caller frees it. */
static uint16_t *stored_as_bf16(int64_t n, const float *x)
{
    uint16_t *y = malloc((size_t)n * sizeof *y + (n == 0));
    assert_non_null(y);
    for (int64_t i = 0; i < n; i++)
        y[i] = assay_to_bf16(x[i]);
    return y;
}

enum { TRANSPOSE_A = 1, TRANSPOSE_B = 2, TRANSPOSES = 4, ENDS = 5, WAYS = TRANSPOSES * ENDS };

/* What becomes of the sum: each once with all ways to transpose. */
static const struct {
    bool add, bias;
    device_activation activation;
} ends[ENDS] = {{.add = false},
                {.add = true},
                {.bias = true},
                {.activation = DEVICE_RELU},
                {.bias = true, .activation = DEVICE_RELU}};

/* op(A) (m, k) op(B) (k, n) with rows `gap` longer than they need to be, against the plain product: to
 * `tolerance` of the size that a sum of k products of normal numbers has. Without `add` the destination
 * starts as NaN, which must not shine through, and what lies between the rows is left alone. */
static void expect_same_product(const assay_device *device, device_precision precision, int64_t m,
                                int64_t n, int64_t k, int way, int64_t gap, double tolerance)
{
    device_gemm g = {.m = m,
                     .n = n,
                     .k = k,
                     .transpose_a = way & TRANSPOSE_A,
                     .transpose_b = way & TRANSPOSE_B,
                     .add = ends[way / TRANSPOSES].add,
                     .activation = ends[way / TRANSPOSES].activation,
                     .precision = precision};
    int64_t rows_a = g.transpose_a ? k : m, rows_b = g.transpose_b ? n : k;
    g.lda = (g.transpose_a ? m : k) + gap;
    g.ldb = (g.transpose_b ? k : n) + gap;
    g.ldc = n + gap;
    float *a = twin_normals("a", rows_a * g.lda, 1.0f);
    float *b = twin_normals("b", rows_b * g.ldb, 1.0f);
    float *bias = ends[way / TRANSPOSES].bias ? twin_normals("bias", n, 1.0f) : NULL;
    float *want = twin_normals("c", m * g.ldc, 1.0f), *got = twin_normals("c", m * g.ldc, 1.0f);
    if (!g.add) {
        fill_with_nan(m * g.ldc, want);
        fill_with_nan(m * g.ldc, got);
    }
    if (precision == DEVICE_BF16) {
        round_to_bf16(rows_a * g.lda, a);
        round_to_bf16(rows_b * g.ldb, b);
    }
    uint16_t *stored_a = stored_as_bf16(rows_a * g.lda, a);
    uint16_t *stored_b = stored_as_bf16(rows_b * g.ldb, b);
    bool stored = precision == DEVICE_BF16_STORED;
    g.a = stored ? (const void *)stored_a : a;
    g.b = stored ? (const void *)stored_b : b;
    g.bias = bias;
    g.c = want;
    cpu_gemm_plain(&g);
    g.c = got;
    device->kernels->gemm(&g);
    twin_expect_close(assay_text("%s: gemm %lld %lld %lld, way %d", device->variant, (long long)m,
                                 (long long)n, (long long)k, way),
                      m * g.ldc, got, want, tolerance, tolerance * sqrt((double)k + 1.0));
    free(a);
    free(b);
    free(stored_a);
    free(stored_b);
    free(bias);
    free(want);
    free(got);
}

static void products_agree_with_the_triple_loop(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 17, 64, 65};
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++)
            for (int shape = 0; shape < 216; shape++)
                expect_same_product(device, DEVICE_FP32, sizes[shape % 6], sizes[shape / 6 % 6],
                                    sizes[shape / 36], way, shape % 2 * 5, 1e-6);
}

/* Long enough to be cut into parts; rounding errors of fp32 sums grow with their length. */
static void long_sums_agree_with_the_triple_loop(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++) {
            expect_same_product(device, DEVICE_FP32, 129, 257, 300, way, 0, 4e-6);
            expect_same_product(device, DEVICE_FP32, 7, 5, 1201, way, 3, 4e-6);
        }
}

/* A product of two numbers of 11 bits is off by at most 2^-10 of itself; the sum over k of such errors
 * grows as the root of k. */
static void tf32_is_as_exact_as_its_factors(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++) {
            expect_same_product(device, DEVICE_TF32, 33, 65, 70, way, 2, 4e-3);
            expect_same_product(device, DEVICE_TF32, 9, 11, 600, way, 0, 4e-3);
        }
}

/* Summed in fp32, whatever the device computes them with: no looser than fp32's own. */
static void products_of_bf16_values_lose_nothing(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++) {
            expect_same_product(device, DEVICE_BF16, 33, 65, 70, way, 2, 1e-6);
            expect_same_product(device, DEVICE_BF16, 9, 11, 600, way, 0, 4e-6);
        }
}

/* The same of factors in memory as bf16: rows of odd widths and starts, and, with sums of one product, a way
 * for which the stand-in has no algorithm. */
static void products_of_stored_bf16_lose_nothing(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 65};
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++) {
            for (int shape = 0; shape < 64; shape++)
                expect_same_product(device, DEVICE_BF16_STORED, sizes[shape % 4],
                                    sizes[shape / 4 % 4], sizes[shape / 16], way, shape % 2 * 5,
                                    1e-6);
            expect_same_product(device, DEVICE_BF16_STORED, 9, 12, 600, way, 0, 4e-6);
        }
}

/* More shapes than a device may keep prepared: old ones are forgotten, and come back. */
static void many_shapes_take_turns(void **state)
{
    (void)state;
    const assay_device *device = tested_device_at(0);
    for (int round = 0; round < 2; round++)
        for (int64_t k = 1; k <= 1500; k++)
            expect_same_product(device, DEVICE_FP32, 2, 3, k, (int)(k % WAYS), 0, 4e-6);
}

static void the_plain_product_reads_like_the_formula(void **state)
{
    (void)state;
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 2, 0, 1, 3};
    const float want[] = {17, 21, 26, 33};
    float c[] = {10, 10, 10, 10};
    /* (2, 3) times the transpose of (2, 3), added. */
    device_gemm g = {.a = a,
                     .b = b,
                     .c = c,
                     .m = 2,
                     .n = 2,
                     .k = 3,
                     .lda = 3,
                     .ldb = 3,
                     .ldc = 2,
                     .transpose_b = true,
                     .add = true};
    cpu_gemm_plain(&g);
    assert_memory_equal(c, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_the_triple_loop),
        cmocka_unit_test(long_sums_agree_with_the_triple_loop),
        cmocka_unit_test(tf32_is_as_exact_as_its_factors),
        cmocka_unit_test(products_of_bf16_values_lose_nothing),
        cmocka_unit_test(products_of_stored_bf16_lose_nothing),
        cmocka_unit_test(many_shapes_take_turns),
        cmocka_unit_test(the_plain_product_reads_like_the_formula),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
