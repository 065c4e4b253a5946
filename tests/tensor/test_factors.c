/* test_factors.c - what operations say about the factors of their products: on a bf16 tape those that
 * are called values of bf16 are some, so that a device may multiply them as such; on an fp32 tape none is
 * called so. */
#include "cases.h"

#include "engine/device/cpu/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of the pass under way. */
static int64_t products, narrow_products, broken;

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

static void watched_gemm(const device_gemm *g)
{
    int64_t a_rows = g->transpose_a ? g->k : g->m, b_rows = g->transpose_b ? g->n : g->k;
    products++;
    if (g->precision == DEVICE_BF16) {
        narrow_products++;
        broken += wider_than_bf16(g->a, a_rows, g->m + g->k - a_rows, g->lda);
        broken += wider_than_bf16(g->b, b_rows, g->n + g->k - b_rows, g->ldb);
    }
    cpu_gemm(g);
}

static void pass_of(const op_case *c, assay_precision precision)
{
    assay_kernels kernels = *cpu_variant_at(0)->kernels;
    kernels.gemm = watched_gemm;
    assay_device device = *cpu_variant_at(0);
    device.kernels = &kernels;
    assay_tensor *inputs[CASE_INPUTS];
    assay_tape *tape = assay_tape_new(&device, precision, NULL);
    assert_non_null(tape);
    products = narrow_products = broken = 0;
    case_inputs_new(c, inputs);
    assert_non_null(case_pass(tape, c, inputs));
    case_inputs_free(c, inputs);
    assay_tape_free(tape);
}

static case_list list;

static void products_of_a_bf16_tape_have_the_factors_they_claim(void **state)
{
    (void)state;
    int64_t all = 0, narrow = 0;
    for (int i = 0; i < list.count; i++) {
        pass_of(&list.cases[i], ASSAY_PRECISION_BF16);
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
        pass_of(&list.cases[i], ASSAY_PRECISION_FP32);
        assert_int_equal(narrow_products, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_a_bf16_tape_have_the_factors_they_claim),
        cmocka_unit_test(products_of_an_fp32_tape_are_fp32),
    };
    family_cases(&list);
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL);
}
