/* test_gradcheck.c - the gradient check itself: it passes what is right, and nothing else. Each
 * operation here squares its input and is wrong in its own way. */
#include <assay/gradcheck.h>
#include <assay/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 20

/* ---- x^2 as an operation of one's own, with a gradient of 2 x times fault(i) ---- */

typedef float (*fault_function)(int64_t i);

static float no_fault(int64_t i)
{
    (void)i;
    return 1.0f;
}

static float two_percent(int64_t i)
{
    (void)i;
    return 1.02f;
}

static float one_entry(int64_t i)
{
    return i == 13 ? -1.0f : 1.0f;
}

static float not_a_number_in_the_middle(int64_t i)
{
    return i == 7 ? NAN : 1.0f;
}

static float infinite_at_the_start(int64_t i)
{
    return i == 0 ? INFINITY : 1.0f;
}

/* The last bit of one entry follows the number of calls. */
static float another_each_time(int64_t i)
{
    static int calls;
    return i == 3 && ++calls % 2 ? 1.0f + 0x1p-22f : 1.0f;
}

static bool square_backward(assay_tape *tape, const assay_node *node)
{
    const fault_function *fault = node->saved;
    const float *x = assay_f32(node->inputs[0]), *d_y = node->outputs[0]->grad;
    assay_grad_target to = assay_tape_grad(tape, node->inputs[0]);
    for (int64_t i = 0; to.data && i < assay_tensor_count(node->inputs[0]); i++)
        to.data[i] = (to.add ? to.data[i] : 0.0f) + 2.0f * x[i] * d_y[i] * (*fault)(i);
    return true;
}

static const assay_op square_op = {sizeof(assay_op), "square", square_backward};

static assay_tensor *square(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    assay_tensor *y = assay_tape_tensor(tape, ASSAY_F32, in[0]->rank, in[0]->shape);
    (void)n;
    for (int64_t i = 0; y && i < assay_tensor_count(y); i++)
        assay_f32(y)[i] = assay_f32(in[0])[i] * assay_f32(in[0])[i];
    return y && assay_tape_record(tape, &square_op, 1, in, 1, &y, user) ? y : NULL;
}

/* ---- checking it ---- */

typedef struct fixture {
    assay_tape *tape;
    assay_tensor *x;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.tape = assay_tape_new(assay_device_plain(), ASSAY_PRECISION_FP32, NULL);
    f.x = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){COUNT}, NULL);
    if (!f.tape || !f.x || !assay_tensor_want_grad(f.x, NULL))
        return -1;
    for (int i = 0; i < COUNT; i++)
        assay_f32(f.x)[i] = 0.5f + 0.1f * (float)i;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    assay_tensor_free(f->x);
    assay_tape_free(f->tape);
    return 0;
}

static assay_gradcheck_report report_of(const fixture *f, fault_function fault)
{
    assay_gradcheck_report report = {0};
    assay_error error = {0};
    assert_true(assay_gradcheck(f->tape, square, &fault, &f->x, 1, NULL, &report, &error));
    assert_int_equal(error.code, ASSAY_OK);
    assert_int_equal(report.compared, COUNT);
    return report;
}

static void a_right_gradient_passes(void **state)
{
    assay_gradcheck_report report = report_of(*state, no_fault);
    assert_true(report.passed);
    assert_true(report.repeatable);
    assert_true(report.worst < 1e-3);
}

static void a_gradient_off_by_two_percent_fails(void **state)
{
    assay_gradcheck_report report = report_of(*state, two_percent);
    assert_false(report.passed);
    assert_true(report.worst > 0.01 && report.worst < 0.03);
    assert_true(report.repeatable);
}

static void a_gradient_wrong_in_one_entry_fails_and_the_entry_is_named(void **state)
{
    assay_gradcheck_report report = report_of(*state, one_entry);
    assert_false(report.passed);
    assert_int_equal(report.input, 0);
    assert_int_equal(report.entry, 13);
    assert_true(report.analytic * report.numeric < 0.0);
}

static void a_gradient_that_is_not_a_number_fails(void **state)
{
    assay_gradcheck_report report = report_of(*state, not_a_number_in_the_middle);
    assert_false(report.passed);
    assert_int_equal(report.entry, 7);
}

static void an_infinite_gradient_fails(void **state)
{
    assay_gradcheck_report report = report_of(*state, infinite_at_the_start);
    assert_false(report.passed);
    assert_int_equal(report.entry, 0);
}

static void a_gradient_with_other_bits_each_time_fails(void **state)
{
    assay_gradcheck_report report = report_of(*state, another_each_time);
    assert_true(report.worst < 1e-3);
    assert_false(report.repeatable);
    assert_false(report.passed);
}

static void inputs_are_left_as_they_were(void **state)
{
    fixture *f = *state;
    float before[COUNT];
    memcpy(before, assay_f32(f->x), sizeof before);
    (void)report_of(f, no_fault);
    assert_memory_equal(before, assay_f32(f->x), sizeof before);
}

static void fewer_entries_are_checked_on_demand(void **state)
{
    fixture *f = *state;
    fault_function fault = no_fault;
    assay_gradcheck_options options = {.max_entries = 7};
    assay_gradcheck_report report = {0};
    assert_true(assay_gradcheck(f->tape, square, &fault, &f->x, 1, &options, &report, NULL));
    assert_true(report.passed);
    assert_in_range(report.compared, 4, 7);
}

/* ---- what cannot be checked is an error, or does not pass ---- */

static assay_tensor *constant(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_tape_constant(tape, ASSAY_F32, in[0]->rank, in[0]->shape, in[0]->data);
}

static assay_tensor *failing(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_activate(tape, assay_reshape(tape, in[0], 1, (int64_t[]){COUNT + 1}), ASSAY_RELU);
}

static assay_tensor *narrow(assay_tape *tape, assay_tensor *const in[], int n, void *user)
{
    (void)n, (void)user;
    return assay_cast(tape, in[0], ASSAY_BF16);
}

static void assert_error(const fixture *f, assay_forward forward, const char *says)
{
    assay_gradcheck_report report = {.passed = true};
    assay_error error = {0};
    char text[1024];
    assert_false(assay_gradcheck(f->tape, forward, NULL, &f->x, 1, NULL, &report, &error));
    assert_false(report.passed);
    assert_non_null(strstr(assay_error_format(&error, text, sizeof text), says));
}

static void an_output_that_depends_on_no_input_is_an_error(void **state)
{
    assert_error(*state, constant, "depends on nothing that wants a gradient");
}

static void a_forward_pass_that_fails_is_an_error_with_its_cause(void **state)
{
    assert_error(*state, failing, "reshape");
}

static void an_output_of_few_bits_is_an_error(void **state)
{
    assert_error(*state, narrow, "not f32");
}

static void without_an_input_that_wants_a_gradient_nothing_passes(void **state)
{
    fixture *f = *state;
    assay_gradcheck_report report = {.passed = true};
    f->x->needs_grad = false;
    fault_function fault = no_fault;
    bool ran = assay_gradcheck(f->tape, square, &fault, &f->x, 1, NULL, &report, NULL);
    f->x->needs_grad = true;
    assert_false(ran && report.passed);
}

static void an_input_without_elements_does_not_pass(void **state)
{
    fixture *f = *state;
    assay_gradcheck_report report = {.passed = true};
    fault_function fault = no_fault;
    assay_tensor *empty = assay_tensor_new(ASSAY_F32, 1, (int64_t[]){0}, NULL);
    assert_true(empty && assay_tensor_want_grad(empty, NULL));
    assert_true(assay_gradcheck(f->tape, square, &fault, &empty, 1, NULL, &report, NULL));
    assert_int_equal(report.compared, 0);
    assert_false(report.passed);
    assay_tensor_free(empty);
}

#define CHECK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(a_right_gradient_passes),
        CHECK(a_gradient_off_by_two_percent_fails),
        CHECK(a_gradient_wrong_in_one_entry_fails_and_the_entry_is_named),
        CHECK(a_gradient_that_is_not_a_number_fails),
        CHECK(an_infinite_gradient_fails),
        CHECK(a_gradient_with_other_bits_each_time_fails),
        CHECK(inputs_are_left_as_they_were),
        CHECK(fewer_entries_are_checked_on_demand),
        CHECK(an_output_that_depends_on_no_input_is_an_error),
        CHECK(a_forward_pass_that_fails_is_an_error_with_its_cause),
        CHECK(an_output_of_few_bits_is_an_error),
        CHECK(without_an_input_that_wants_a_gradient_nothing_passes),
        CHECK(an_input_without_elements_does_not_pass),
    };
    return cmocka_run_group_tests_name("gradcheck", tests, NULL, NULL);
}
