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

typedef struct product_shape {
    int64_t m, n, k;
    int64_t gap;   /* rows are so much longer than they need to be, and items so far apart */
    int64_t items; /* 0: one, without steps */
    bool shared;   /* all items have the same A */
} product_shape;

/* op(A) (m, k) op(B) (k, n) against the plain product: to `tolerance` of the size that a sum of k
 * products of normal numbers has. Without `add` the destination starts as NaN, which must not shine
 * through, and what lies between the rows and items is left alone. */
static void expect_same_products(const assay_device *device, device_precision precision,
                                 product_shape s, int way, double tolerance)
{
    device_gemm g = {.m = s.m,
                     .n = s.n,
                     .k = s.k,
                     .transpose_a = way & TRANSPOSE_A,
                     .transpose_b = way & TRANSPOSE_B,
                     .add = ends[way / TRANSPOSES].add,
                     .activation = ends[way / TRANSPOSES].activation,
                     .precision = precision,
                     .items = s.items};
    int64_t rows_a = g.transpose_a ? s.k : s.m, rows_b = g.transpose_b ? s.n : s.k;
    int64_t items = s.items > 1 ? s.items : 1;
    g.lda = (g.transpose_a ? s.m : s.k) + s.gap;
    g.ldb = (g.transpose_b ? s.k : s.n) + s.gap;
    g.ldc = s.n + s.gap;
    g.step_a = s.shared ? 0 : rows_a * g.lda + s.gap;
    g.step_b = rows_b * g.ldb + s.gap;
    g.step_c = s.m * g.ldc + s.gap;
    int64_t count_a = items * (rows_a * g.lda + s.gap), count_c = items * g.step_c;
    float *a = twin_normals("a", count_a, 1.0f);
    float *b = twin_normals("b", items * g.step_b, 1.0f);
    float *bias = ends[way / TRANSPOSES].bias ? twin_normals("bias", s.n, 1.0f) : NULL;
    float *want = twin_normals("c", count_c, 1.0f), *got = twin_normals("c", count_c, 1.0f);
    if (!g.add) {
        fill_with_nan(count_c, want);
        fill_with_nan(count_c, got);
    }
    if (precision == DEVICE_BF16) {
        round_to_bf16(count_a, a);
        round_to_bf16(items * g.step_b, b);
    }
    uint16_t *stored_a = stored_as_bf16(count_a, a);
    uint16_t *stored_b = stored_as_bf16(items * g.step_b, b);
    bool stored = precision == DEVICE_BF16_STORED;
    g.a = stored ? (const void *)stored_a : a;
    g.b = stored ? (const void *)stored_b : b;
    g.bias = bias;
    g.c = want;
    cpu_gemm_plain(&g);
    g.c = got;
    device->kernels->gemm(&g);
    twin_expect_close(assay_text("%s: gemm %lld %lld %lld, way %d, %lld items", device->variant,
                                 (long long)s.m, (long long)s.n, (long long)s.k, way,
                                 (long long)s.items),
                      count_c, got, want, tolerance, tolerance * sqrt((double)s.k + 1.0));
    free(a);
    free(b);
    free(stored_a);
    free(stored_b);
    free(bias);
    free(want);
    free(got);
}

static void expect_same_product(const assay_device *device, device_precision precision, int64_t m,
                                int64_t n, int64_t k, int way, int64_t gap, double tolerance)
{
    expect_same_products(device, precision, (product_shape){.m = m, .n = n, .k = k, .gap = gap},
                         way, tolerance);
}

/* The large ones once with each way to transpose, whatever becomes of the sum, the rest in all
 * ways. */
static void products_agree_with_the_triple_loop(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 17, 64, 65};
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++)
            for (int shape = 0; shape < 216; shape++) {
                int64_t m = sizes[shape % 6], n = sizes[shape / 6 % 6], k = sizes[shape / 36];
                if (m * n * k < 10000 || shape % ENDS == way % ENDS)
                    expect_same_product(device, DEVICE_FP32, m, n, k, way, shape % 2 * 5, 1e-6);
            }
}

/* Long enough to be cut into parts; rounding errors of fp32 sums grow with their length. */
static void long_sums_agree_with_the_triple_loop(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++) {
            if (way % TRANSPOSES == way / TRANSPOSES % TRANSPOSES) /* each end once: it is long */
                expect_same_product(device, DEVICE_FP32, 129, 257, 300, way, 0, 4e-6);
            expect_same_product(device, DEVICE_FP32, 7, 5, 1201, way, 3, 4e-6);
        }
}

/* A product of two numbers of 11 bits is off by at most 2^-10 of itself; the sum over k of such
 * errors grows as the root of k. */
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

/* The same of factors in memory as bf16: rows of odd widths and starts, and, with sums of one
 * product, a way for which the stand-in has no algorithm. */
static void products_of_stored_bf16_lose_nothing(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 33};
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

/* Batches, with a factor of each item's own and with one that is shared. Those of single numbers
 * are computed one by one on the stand-in. */
static void batches_agree_with_the_triple_loop(void **state)
{
    (void)state;
    static const product_shape shapes[] = {
        {.m = 3, .n = 17, .k = 5, .items = 2},
        {.m = 17, .n = 1, .k = 9, .gap = 3, .items = 5},
        {.m = 1, .n = 1, .k = 7, .gap = 1, .items = 3},
        {.m = 4, .n = 3, .k = 0, .gap = 2, .items = 3},
        {.m = 6, .n = 8, .k = 1, .items = 4},
        {.m = 0, .n = 8, .k = 3, .items = 4},
        {.m = 9, .n = 7, .k = 600, .gap = 5, .items = 3},
        {.m = 9, .n = 7, .k = 33, .gap = 5, .items = 3, .shared = true},
        {.m = 1, .n = 1, .k = 1, .items = 3, .shared = true},
    };
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < WAYS; way++)
            for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
                expect_same_products(device, DEVICE_FP32, shapes[i], way, 4e-6);
                expect_same_products(device, DEVICE_BF16_STORED, shapes[i], way, 4e-6);
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
        cmocka_unit_test(batches_agree_with_the_triple_loop),
        cmocka_unit_test(many_shapes_take_turns),
        cmocka_unit_test(the_plain_product_reads_like_the_formula),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
