/* Choosing a device and its threads, and matrix products. */
#include "twins.h"

#include <stdio.h>

static void the_best_variant_is_the_default(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
    const assay_device *device = assay_device_cpu(NULL), *best = NULL, *next;
    for (int v = 0; (next = cpu_variant_at(v)) != NULL; v++)
        best = next;
    assert_ptr_equal(device, best);
    assert_string_equal(assay_device_name(device), "cpu");
    assert_string_equal(assay_device_name(assay_device_plain()), "plain");
    assert_string_equal(assay_device_variant(assay_device_plain()), "plain");
}

static void the_environment_lowers_the_choice(void **state)
{
    (void)state;
    const assay_device *wanted;
    for (int v = 0; (wanted = cpu_variant_at(v)) != NULL; v++) {
        assert_int_equal(setenv("ASSAY_CPU", assay_device_variant(wanted), 1), 0);
        assert_ptr_equal(assay_device_cpu(NULL), wanted);
    }
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
}

static void an_unknown_instruction_set_is_an_error(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_int_equal(setenv("ASSAY_CPU", "avx1024", 1), 0);
    assert_null(assay_device_cpu(&error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.where, "ASSAY_CPU");
    assert_string_equal(error.got, "avx1024");
    assert_int_equal(unsetenv("ASSAY_CPU"), 0);
}

static void every_table_is_complete(void **state)
{
    (void)state;
    enum { ENTRIES = sizeof(assay_kernels) / sizeof(void (*)(void)) };
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = cpu_variant_at(v++)) {
        void (*entries[ENTRIES])(void);
        memcpy(entries, device->kernels, sizeof entries);
        for (int i = 0; i < ENTRIES; i++)
            assert_true(entries[i] != NULL);
    }
}

static void threads_are_set_within_bounds(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_true(assay_threads_set(3, &error));
    assert_int_equal(assay_threads(), 3);
    assert_false(assay_threads_set(0, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_string_equal(error.got, "0");
    assert_false(assay_threads_set(1025, NULL));
    assert_int_equal(assay_threads(), 3);
    assert_true(assay_threads_set(2, NULL));
}

static void the_product_library_tells_its_version(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(assay_products_version(), "oneDNN %d.%d.%d", &major, &minor, &patch),
                     3);
}

/* ---- products ---- */

static void fill_with_nan(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = NAN;
}

/* op(A) (m, k) op(B) (k, n) with rows `gap` longer than they need to be, against the plain product.
 * Without `add` the destination starts as NaN, which must not shine through. */
static void expect_same_product(int64_t m, int64_t n, int64_t k, int flags, int64_t gap)
{
    device_gemm g = {.m = m,
                     .n = n,
                     .k = k,
                     .transpose_a = flags & 1,
                     .transpose_b = flags & 2,
                     .add = flags & 4};
    int64_t rows_a = g.transpose_a ? k : m, rows_b = g.transpose_b ? n : k;
    g.lda = (g.transpose_a ? m : k) + gap;
    g.ldb = (g.transpose_b ? k : n) + gap;
    g.ldc = n + gap;
    float *a = twin_normals("a", rows_a * g.lda, 1.0f);
    float *b = twin_normals("b", rows_b * g.ldb, 1.0f);
    float *want = twin_normals("c", m * g.ldc, 1.0f), *got = twin_normals("c", m * g.ldc, 1.0f);
    if (!g.add) {
        fill_with_nan(m * g.ldc, want);
        fill_with_nan(m * g.ldc, got);
    }
    float *bias = flags & 8 ? twin_normals("bias", n, 1.0f) : NULL;
    g.a = a;
    g.b = b;
    g.bias = bias;
    g.c = want;
    cpu_gemm_plain(&g);
    g.c = got;
    cpu_gemm(&g);
    twin_expect_close(assay_text("gemm %lld %lld %lld, flags %d", (long long)m, (long long)n,
                                 (long long)k, flags),
                      m * g.ldc, got, want, 1e-6, 1e-6 * sqrt((double)k + 1.0));
    free(a);
    free(b);
    free(bias);
    free(want);
    free(got);
}

static void products_agree_with_the_triple_loop(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 17, 64, 65};
    for (int flags = 0; flags < 12; flags++) /* a bias is not given to a product that is added */
        for (int shape = 0; shape < 216; shape++)
            expect_same_product(sizes[shape % 6], sizes[shape / 6 % 6], sizes[shape / 36], flags,
                                shape % 2 * 5);
    expect_same_product(129, 257, 300, 0, 0);
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
        cmocka_unit_test(the_best_variant_is_the_default),
        cmocka_unit_test(the_environment_lowers_the_choice),
        cmocka_unit_test(an_unknown_instruction_set_is_an_error),
        cmocka_unit_test(every_table_is_complete),
        cmocka_unit_test(threads_are_set_within_bounds),
        cmocka_unit_test(the_product_library_tells_its_version),
        cmocka_unit_test(products_agree_with_the_triple_loop),
        cmocka_unit_test(the_plain_product_reads_like_the_formula),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
