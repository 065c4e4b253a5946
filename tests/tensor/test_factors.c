/* test_factors.c - what operations ask of products: on a bf16 tape factors that are called values
 * of bf16 are some, so that a device may multiply them as such; on an fp32 tape none is called so.
 * Where the bias is added changes nothing, nor does how factors of bf16 are stored. */
#include "cases.h"

#include "engine/device/cpu/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Of the pass under way. */
static int64_t products, narrow_products, stored_products, broken, biases;

static int64_t wider_than_bf16(const float *x, int64_t rows, int64_t columns, int64_t stride)
{
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            float value = x[r * stride + c];
            count += assay_from_bf16(assay_to_bf16(value)) != value;
        }
    return count;
}

/* A factor in fp32, of rows without gaps; the caller frees it. */
static float *widened(const uint16_t *x, int64_t rows, int64_t columns, int64_t stride)
{
    float *wide = malloc((size_t)(rows * columns) * sizeof *wide + 1);
    assert_non_null(wide);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            wide[r * columns + c] = assay_from_bf16(x[r * stride + c]);
    return wide;
}

/* Stored bf16 multiplied as the CPU multiplies bf16. */
static void multiply_stored(device_gemm g)
{
    int64_t a_rows = g.transpose_a ? g.k : g.m, b_rows = g.transpose_b ? g.n : g.k;
    float *a = widened(g.a, a_rows, g.m + g.k - a_rows, g.lda);
    float *b = widened(g.b, b_rows, g.n + g.k - b_rows, g.ldb);
    g.a = a;
    g.b = b;
    g.lda = g.m + g.k - a_rows;
    g.ldb = g.n + g.k - b_rows;
    g.precision = DEVICE_BF16;
    stored_products++;
    cpu_gemm(&g);
    free(b);
    free(a);
}

static void watched_gemm(const device_gemm *g)
{
    int64_t a_rows = g->transpose_a ? g->k : g->m, b_rows = g->transpose_b ? g->n : g->k;
    products++;
    biases += g->bias != NULL;
    if (g->precision == DEVICE_BF16) {
        narrow_products++;
        broken += wider_than_bf16(g->a, a_rows, g->m + g->k - a_rows, g->lda);
        broken += wider_than_bf16(g->b, b_rows, g->n + g->k - b_rows, g->ldb);
    }
    if (g->precision == DEVICE_BF16_STORED)
        multiply_stored(*g);
    else
        cpu_gemm(g);
}

enum { MOST_BYTES = 1 << 18 };

/* The output and the gradients of a pass, one after another. */
typedef struct pass_result {
    int64_t bytes;
    char numbers[MOST_BYTES];
} pass_result;

static void keep(pass_result *result, const void *numbers, int64_t bytes)
{
    if (numbers == NULL)
        return;
    assert_true(result->bytes + bytes <= MOST_BYTES);
    memcpy(result->numbers + result->bytes, numbers, (size_t)bytes);
    result->bytes += bytes;
}

/* `like` says what the device is good at; its products are watched. */
static void pass_of(const op_case *c, assay_precision precision, assay_device like,
                    pass_result *result)
{
    assay_kernels kernels = *cpu_variant_at(0)->kernels;
    kernels.gemm = watched_gemm;
    like.kernels = &kernels;
    assay_tensor *inputs[CASE_INPUTS];
    assay_tape *tape = assay_tape_new(&like, precision, NULL);
    assert_non_null(tape);
    products = narrow_products = stored_products = broken = biases = 0;
    case_inputs_new(c, inputs);
    const assay_tensor *y = case_pass(tape, c, inputs);
    assert_non_null(y);
    result->bytes = 0;
    keep(result, assay_elements(y), assay_tensor_bytes(y));
    for (int i = 0; i < c->input_count; i++)
        keep(result, assay_gradient(inputs[i]),
             assay_tensor_count(inputs[i]) * (int64_t)sizeof(float));
    case_inputs_free(c, inputs);
    assay_tape_free(tape);
}

static case_list list;
static pass_result results[2];

static assay_device plain_device(void)
{
    return *cpu_variant_at(0);
}

static void expect_same_results(const char *name)
{
    if (results[0].bytes != results[1].bytes ||
        memcmp(results[0].numbers, results[1].numbers, (size_t)results[0].bytes) != 0)
        fail_msg("%s: the results differ", name);
}

static void products_of_a_bf16_tape_have_the_factors_they_claim(void **state)
{
    (void)state;
    int64_t all = 0, narrow = 0;
    for (int i = 0; i < list.count; i++) {
        pass_of(&list.cases[i], ASSAY_PRECISION_BF16, plain_device(), &results[0]);
        if (broken > 0)
            fail_msg("%s: %lld factors are no values of bf16", list.cases[i].name,
                     (long long)broken);
        all += products;
        narrow += narrow_products;
    }
    assert_true(narrow > 0);
    print_message("# %lld of %lld products of bf16 values\n", (long long)narrow, (long long)all);
}

static void products_of_an_fp32_tape_are_fp32(void **state)
{
    (void)state;
    for (int i = 0; i < list.count; i++) {
        pass_of(&list.cases[i], ASSAY_PRECISION_FP32, plain_device(), &results[0]);
        assert_int_equal(narrow_products, 0);
    }
}

/* A product that adds the bias and a pass after it that does so round alike. */
static void where_the_bias_is_added_changes_nothing(void **state)
{
    (void)state;
    assay_device adding = plain_device();
    int64_t more = 0;
    adding.gemm_adds_bias = true;
    for (int i = 0; i < list.count; i++) {
        pass_of(&list.cases[i], ASSAY_PRECISION_FP32, plain_device(), &results[0]);
        more -= biases;
        pass_of(&list.cases[i], ASSAY_PRECISION_FP32, adding, &results[1]);
        more += biases;
        expect_same_results(list.cases[i].name);
    }
    assert_true(more > 0 || strcmp(FAMILY, "layers") != 0);
}

/* A product of factors in fp32 is one of stored factors, but for rows of an odd width, which a head
 * gathers in fp32. */
static void how_bf16_is_stored_changes_nothing(void **state)
{
    (void)state;
    assay_device storing = plain_device();
    int64_t narrow = 0, stored = 0;
    storing.gemm_takes_bf16 = true;
    for (int i = 0; i < list.count; i++) {
        pass_of(&list.cases[i], ASSAY_PRECISION_BF16, plain_device(), &results[0]);
        narrow += narrow_products;
        pass_of(&list.cases[i], ASSAY_PRECISION_BF16, storing, &results[1]);
        stored += stored_products;
        expect_same_results(list.cases[i].name);
    }
    assert_true(strcmp(FAMILY, "layers") == 0 ? stored == narrow : 0 < stored && stored < narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_a_bf16_tape_have_the_factors_they_claim),
        cmocka_unit_test(products_of_an_fp32_tape_are_fp32),
        cmocka_unit_test(where_the_bias_is_added_changes_nothing),
        cmocka_unit_test(how_bf16_is_stored_changes_nothing),
    };
    family_cases(&list);
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL);
}
