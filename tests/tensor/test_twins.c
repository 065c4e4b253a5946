/* test_twins.c - every instruction set computes what the plain kernels compute: outputs and
 * gradients of every case, by the norm of their difference, on fp32 and on bf16 tapes. */
#include "cases.h"
#include "under_test.h"

#include "engine/device/cpu/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* On a bf16 tape a sum that the twins round apart may come to lie one step of 2^-8 apart. */
static const double tolerances[] = {[ASSAY_PRECISION_FP32] = 3e-6, [ASSAY_PRECISION_BF16] = 4e-3};

/* The CPU's variants; or the plugin under test alone. */
static const assay_device *tested_at(int i)
{
    if (!getenv("ASSAY_TEST_DEVICE"))
        return cpu_variant_at(i);
    return i == 0 ? device_under_test(NULL) : NULL;
}

/* A pass of a case on a device: its output and gradients, copied. */
typedef struct outcome {
    float *arrays[1 + CASE_INPUTS]; /* the output, then the gradients; NULL where none flowed */
    int64_t counts[1 + CASE_INPUTS];
} outcome;

typedef struct pair {
    const op_case *c;
    const assay_device *device;
    assay_precision precision;
    char name[224];
} pair;

static float *copy_of(const float *from, int64_t n)
{
    float *copy = assay_alloc(n * (int64_t)sizeof *copy, NULL);
    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, from, (size_t)n * sizeof *copy);
    return copy;
}

static float *values_of(const assay_tensor *y)
{
    int64_t n = assay_tensor_count(y);
    float *values = NULL;
    if (y->dtype == ASSAY_F32)
        return copy_of(assay_f32(y), n);
    values = assay_alloc(n * (int64_t)sizeof *values, NULL);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = assay_from_bf16(assay_bf16(y)[i]);
    return values;
}

static outcome outcome_on(const assay_device *device, assay_precision precision, const op_case *c)
{
    outcome o = {{NULL}, {0}};
    assay_error error = {0};
    assay_tape *tape = assay_tape_new(device, precision, &error);
    assay_tensor *inputs[CASE_INPUTS], *y = NULL;
    assert_non_null(tape);
    case_inputs_new(c, inputs);
    y = case_pass(tape, c, inputs);
    assert_non_null(y);
    o.counts[0] = assay_tensor_count(y);
    o.arrays[0] = values_of(y);
    for (int i = 0; i < c->input_count; i++) {
        o.counts[1 + i] = assay_tensor_count(inputs[i]);
        if (inputs[i]->has_grad)
            o.arrays[1 + i] = copy_of(assay_gradient(inputs[i]), o.counts[1 + i]);
    }
    case_inputs_free(c, inputs);
    assay_tape_free(tape);
    return o;
}

static void the_twins_agree(void **state)
{
    const pair *p = *state;
    outcome fast = outcome_on(p->device, p->precision, p->c);
    outcome plain = outcome_on(assay_device_plain(), p->precision, p->c);
    double tolerance = tolerances[p->precision];
    if (p->precision == ASSAY_PRECISION_BF16 && p->c->bf16_tolerance > 0.0)
        tolerance = p->c->bf16_tolerance;
    for (int i = 0; i <= p->c->input_count; i++) {
        double apart = 0.0;
        assert_int_equal(fast.counts[i], plain.counts[i]);
        assert_int_equal(fast.arrays[i] != NULL, plain.arrays[i] != NULL);
        if (fast.arrays[i])
            apart = relative_distance(fast.arrays[i], plain.arrays[i], fast.counts[i]);
        if (!(apart <= tolerance))
            print_error("%s: %s %d is off by %.3g\n", p->name, i ? "gradient" : "output",
                        i ? i - 1 : 0, apart);
        assert_true(apart <= tolerance);
        assay_free(fast.arrays[i]);
        assay_free(plain.arrays[i]);
    }
}

#define VARIANTS_MOST 3

static case_list list;
static pair pairs[2 * VARIANTS_MOST * CASE_MOST];
static struct CMUnitTest tests[2 * VARIANTS_MOST * CASE_MOST];

int main(void)
{
    size_t count = 0;
    family_cases(&list);
    for (int v = 0; v < 2 * VARIANTS_MOST; v++) {
        const assay_device *device = tested_at(v / 2);
        for (int i = 0; device && i < list.count; i++) {
            pair *p = &pairs[count];
            *p = (pair){.c = &list.cases[i], .device = device, .precision = v % 2};
            snprintf(p->name, sizeof p->name, "%s: %s is the twin of plain in %s", p->c->name,
                     assay_device_variant(device), v % 2 ? "bf16" : "fp32");
            tests[count] = (struct CMUnitTest){
                .name = p->name, .test_func = the_twins_agree, .initial_state = p};
            count++;
        }
    }
    return _cmocka_run_group_tests("twins", tests, count, NULL, NULL);
}
