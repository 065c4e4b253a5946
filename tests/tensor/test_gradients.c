/* test_gradients.c - the backward pass of every case is the gradient of its forward pass, on the
 * fast and on the plain device, and adds to the gradients that are there. */
#include "cases.h"
#include "under_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ADDED_TOLERANCE 1e-5 /* a sum taken in two parts rounds differently */

typedef struct check {
    const op_case *c;
    const assay_device *device;
    char name[192];
} check;

static assay_tape *tape_on(const assay_device *device)
{
    assay_error error = {0};
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    assert_non_null(tape);
    return tape;
}

static int64_t wanted_entries(const op_case *c, assay_tensor *inputs[])
{
    int64_t count = 0;
    for (int i = 0; i < c->input_count; i++)
        count += inputs[i]->needs_grad ? assay_tensor_count(inputs[i]) : 0;
    return count;
}

static void the_gradient_is_that_of_the_forward_pass(void **state)
{
    const check *k = *state;
    assay_tape *tape = tape_on(k->device);
    assay_tensor *inputs[CASE_INPUTS];
    assay_gradcheck_options options = {.max_entries = k->c->entries ? k->c->entries : CASE_ENTRIES,
                                       .tolerance = k->c->tolerance,
                                       .seed = 3,
                                       .training = k->c->training};
    assay_gradcheck_report report = {0};
    assay_error error = {0};
    char text[1024];
    bool ran, passed;
    case_inputs_new(k->c, inputs);
    ran = assay_gradcheck(tape, k->c->forward, (void *)(uintptr_t)k->c, inputs, k->c->input_count,
                          &options, &report, &error);
    /* Without entries there is nothing to compare: then it is enough that both passes run. */
    passed = report.passed || (wanted_entries(k->c, inputs) == 0 && report.compared == 0);
    if (!ran)
        print_error("%s: %s\n", k->name, assay_error_format(&error, text, sizeof text));
    else if (!passed)
        print_error("%s: input %d entry %lld: analytic %.9g numeric %.9g, off by %.3g%s\n", k->name,
                    report.input, (long long)report.entry, report.analytic, report.numeric,
                    report.worst, report.repeatable ? "" : "; not repeatable");
    case_inputs_free(k->c, inputs);
    assay_tape_free(tape);
    assert_true(ran && passed);
}

static void a_second_pass_adds_its_gradient(void **state)
{
    const check *k = *state;
    assay_tape *tape = tape_on(k->device);
    assay_tensor *inputs[CASE_INPUTS];
    float *once[CASE_INPUTS] = {NULL};
    case_inputs_new(k->c, inputs);
    assert_non_null(case_pass(tape, k->c, inputs));
    for (int i = 0; i < k->c->input_count; i++) {
        int64_t n = assay_tensor_count(inputs[i]);
        if (!inputs[i]->has_grad)
            continue;
        once[i] = assay_alloc(n * (int64_t)sizeof(float), NULL);
        assert_non_null(once[i]);
        memcpy(once[i], assay_gradient(inputs[i]), (size_t)n * sizeof(float));
    }
    assert_non_null(case_pass(tape, k->c, inputs));
    for (int i = 0; i < k->c->input_count; i++) {
        int64_t n = assay_tensor_count(inputs[i]);
        assert_int_equal(inputs[i]->has_grad, once[i] != NULL);
        for (int64_t j = 0; once[i] && j < n; j++)
            once[i][j] *= 2.0f;
        if (once[i])
            assert_true(relative_distance(assay_gradient(inputs[i]), once[i], n) <=
                        ADDED_TOLERANCE);
        assay_free(once[i]);
    }
    case_inputs_free(k->c, inputs);
    assay_tape_free(tape);
}

static case_list list;
static check checks[2 * CASE_MOST];
static char names[4 * CASE_MOST][224];
static struct CMUnitTest tests[4 * CASE_MOST];

static void test_add(size_t *count, const char *proof, check *k, CMUnitTestFunction function)
{
    snprintf(names[*count], sizeof names[0], "%s: %s", k->name, proof);
    tests[*count] =
        (struct CMUnitTest){.name = names[*count], .test_func = function, .initial_state = k};
    ++*count;
}

int main(void)
{
    assay_error error = {0};
    const assay_device *devices[] = {device_under_test(&error), assay_device_plain()};
    size_t count = 0;
    if (!devices[0])
        return 1;
    family_cases(&list);
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < list.count; i++) {
            check *k = &checks[d * list.count + i];
            *k = (check){.c = &list.cases[i], .device = devices[d]};
            snprintf(k->name, sizeof k->name, "%s on %s", k->c->name,
                     assay_device_name(devices[d]));
            test_add(&count, "gradient of the forward pass", k,
                     the_gradient_is_that_of_the_forward_pass);
            test_add(&count, "gradients add up", k, a_second_pass_adds_its_gradient);
        }
    return _cmocka_run_group_tests("gradients", tests, count, NULL, NULL);
}
