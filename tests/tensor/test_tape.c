/* test_tape.c - the tape's promises: what is recorded, where gradients go, how failures stay, what
 * a tap keeps, and what dropout depends on. */
#include "net.h"
#include "under_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static assay_tape *new_tape(void)
{
    assay_error error = {0};
    const assay_device *device = device_under_test(&error);
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    assert_non_null(tape);
    assay_tape_begin(tape, (assay_step){.seed = 1});
    return tape;
}

/* A leaf (n) of 1, 2, 3 ... that wants a gradient. */
static assay_tensor *counting_leaf(int64_t n)
{
    assay_tensor *x = assay_tensor_new(ASSAY_F32, 1, &n, NULL);
    assert_non_null(x);
    assert_true(assay_tensor_want_grad(x, NULL));
    for (int64_t i = 0; i < n; i++)
        assay_f32(x)[i] = (float)(i + 1);
    return x;
}

static int64_t nodes_of(const assay_tape *tape)
{
    return assay_tape_stats_get(tape).nodes;
}

/* ---- recording ---- */

static void without_gradients_nothing_is_recorded_and_backward_is_an_error(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    assay_tape_begin(tape, (assay_step){.no_gradient = true});
    assay_tensor *y = assay_sum(tape, assay_mul(tape, x, x));
    assert_float_equal(assay_value(y), 14.0, 0.0);
    assert_int_equal(nodes_of(tape), 0);
    assert_false(y->needs_grad);
    assert_false(assay_tape_backward(tape, y, 1.0f));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_INPUT);
    assert_string_equal(assay_tape_error(tape)->where, "backward");
    assert_false(x->has_grad);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void a_paused_tape_treats_results_as_constants(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    assert_false(assay_tape_pause(tape, true));
    assay_tensor *teacher = assay_scale(tape, x, 10.0f);
    assert_int_equal(nodes_of(tape), 0);
    assert_true(assay_tape_pause(tape, false));
    assert_false(teacher->needs_grad);
    assert_true(assay_tape_backward(tape, assay_dot(tape, teacher, x), 1.0f));
    for (int i = 0; i < 3; i++)
        assert_float_equal(assay_gradient(x)[i], 10.0f * (float)(i + 1), 0.0);
    (void)assay_tape_pause(tape, true);
    assay_tape_begin(tape, (assay_step){.seed = 1});
    assert_false(assay_tape_pause(tape, false));
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void begin_forgets_the_last_pass(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(1000);
    int64_t used = assay_tape_stats_get(tape).arena.used_bytes;
    assert_non_null(assay_sum(tape, assay_mul(tape, x, x)));
    assert_int_equal(nodes_of(tape), 2);
    assert_true(assay_tape_stats_get(tape).arena.used_bytes > used);
    assert_null(assay_add(tape, x, NULL));
    assay_tape_begin(tape, (assay_step){.seed = 5, .clock = 6, .training = true});
    assert_int_equal(nodes_of(tape), 0);
    assert_int_equal(assay_tape_stats_get(tape).arena.used_bytes, used);
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_OK);
    assay_step step = assay_tape_step(tape);
    assert_true(step.seed == 5 && step.clock == 6 && step.training && !step.no_gradient);
    assert_true(assay_tape_backward(tape, assay_sum(tape, x), 1.0f));
    assert_float_equal(assay_gradient(x)[999], 1.0f, 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- backward ---- */

static void a_second_backward_pass_over_a_record_is_an_error(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3), *y = assay_sum(tape, x);
    assert_true(assay_tape_backward(tape, y, 1.0f));
    assert_false(assay_tape_backward(tape, y, 1.0f));
    assert_non_null(strstr(assay_tape_error(tape)->what, "already"));
    assert_float_equal(assay_gradient(x)[0], 1.0f, 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void leaves_accumulate_until_they_are_cleared(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    for (int pass = 1; pass <= 3; pass++) {
        assay_tape_begin(tape, (assay_step){.clock = (uint64_t)pass});
        assert_true(assay_tape_backward(tape, assay_sum(tape, assay_mul(tape, x, x)), 1.0f));
        for (int i = 0; i < 3; i++)
            assert_float_equal(assay_gradient(x)[i], (float)(pass * 2 * (i + 1)), 0.0);
    }
    x->has_grad = false;
    assay_tape_begin(tape, (assay_step){.clock = 4});
    assert_true(assay_tape_backward(tape, assay_sum(tape, x), 1.0f));
    assert_float_equal(assay_gradient(x)[2], 1.0f, 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void the_scale_multiplies_every_gradient(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    assert_true(assay_tape_backward(tape, assay_sum(tape, assay_mul(tape, x, x)), 0.25f));
    for (int i = 0; i < 3; i++)
        assert_float_equal(assay_gradient(x)[i], 0.5f * (float)(i + 1), 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void several_outputs_send_back_the_sum_of_their_gradients(void **state)
{
    (void)state;
    static const float d_a[] = {1, 10, 100}, d_b[] = {5};
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    assay_tensor *a = assay_scale(tape, x, 2.0f), *b = assay_sum(tape, a);
    assert_true(assay_tape_backward_from(tape, 3, (assay_tensor *const[]){a, b, a},
                                         (const float *const[]){d_a, d_b, d_a}));
    for (int i = 0; i < 3; i++)
        assert_float_equal(assay_gradient(x)[i], 2.0f * (2.0f * d_a[i] + 5.0f), 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void only_what_the_loss_reaches_gets_a_gradient(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3), *other = counting_leaf(3);
    assay_tensor *loss = assay_sum(tape, x);
    assert_non_null(assay_sum(tape, other));
    assert_true(assay_tape_backward(tape, loss, 1.0f));
    assert_true(x->has_grad);
    assert_false(other->has_grad);
    assay_tensor_free(x);
    assay_tensor_free(other);
    assay_tape_free(tape);
}

static void a_loss_is_one_number_that_depends_on_something(void **state)
{
    (void)state;
    static const float one = 1.0f;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    assert_false(assay_tape_backward(tape, assay_scale(tape, x, 2.0f), 1.0f));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_SHAPE);
    assert_string_equal(assay_tape_error(tape)->got, "(3) f32");
    assay_tape_begin(tape, (assay_step){.seed = 1});
    assert_false(assay_tape_backward(tape, NULL, 1.0f));
    assay_tape_begin(tape, (assay_step){.seed = 1});
    assert_false(
        assay_tape_backward(tape, assay_tape_constant(tape, ASSAY_F32, 0, NULL, &one), 1.0f));
    assert_int_equal(assay_tape_error(tape)->code, ASSAY_BAD_INPUT);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- failures ---- */

static void the_first_failure_stays_and_null_passes_through(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3), *y = counting_leaf(4);
    assay_error error = {0};
    assert_true(assay_tape_ok(tape, &error));
    assert_null(assay_dot(tape, x, y));
    assert_null(assay_sum(tape, NULL));
    assert_null(assay_softmax(tape, x));
    assert_null(assay_state(tape, "nothing", NULL));
    assert_null(assay_tape_tensor(tape, ASSAY_F32, 0, NULL));
    assert_string_equal(assay_tape_error(tape)->where, "dot");
    assert_false(assay_tape_backward(tape, x, 1.0f));
    assert_false(assay_tape_ok(tape, &error));
    assert_string_equal(error.where, "dot");
    error = (assay_error){.code = ASSAY_IO, .where = "earlier"};
    assert_false(assay_tape_failed(tape, &error));
    assert_string_equal(error.where, "earlier");
    assert_false(assay_tape_failed(tape, NULL));
    assay_tensor_free(x);
    assay_tensor_free(y);
    assay_tape_free(tape);
}

static void a_missing_tensor_is_a_failure_even_without_a_cause(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_error error = {0};
    assert_false(assay_tape_failed(tape, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assert_null(assay_tape_new(NULL, ASSAY_PRECISION_FP32, NULL));
    assay_tape_free(NULL);
    assay_tape_free(tape);
}

/* ---- taps ---- */

static void a_tapped_state_keeps_its_gradient(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(4);
    assert_true(assay_tape_tap(tape, "middle"));
    assert_true(assay_tape_tap(tape, "middle"));
    assert_true(assay_tape_tap(tape, "shape"));
    assert_true(assay_tape_tap(tape, "absent"));
    for (int pass = 0; pass < 2; pass++) { /* asking lasts */
        assay_tape_begin(tape, (assay_step){.clock = (uint64_t)pass});
        assert_null(assay_tape_tapped(tape, "middle"));
        assay_tensor *middle = assay_state(tape, "middle", assay_scale(tape, x, 3.0f));
        assay_tensor *other = assay_state(tape, "not asked for", assay_scale(tape, middle, 2.0f));
        assay_tensor *square = assay_reshape(tape, other, 2, (int64_t[]){2, 2});
        square = assay_state(tape, "shape", square);
        x->has_grad = false;
        assert_true(assay_tape_backward(tape, assay_sum(tape, square), 1.0f));
        assert_ptr_equal(assay_tape_tapped(tape, "middle"), middle);
        assert_true(middle->has_grad && square->has_grad && !other->has_grad);
        for (int i = 0; i < 4; i++) {
            assert_float_equal(assay_gradient(square)[i], 1.0f, 0.0);
            assert_float_equal(assay_gradient(middle)[i], 2.0f, 0.0);
            assert_float_equal(assay_gradient(x)[i], 6.0f, 0.0);
        }
        assert_null(assay_tape_tapped(tape, "absent"));
        assert_null(assay_tape_tapped(tape, "not asked for"));
    }
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void taps_change_no_gradient(void **state)
{
    (void)state;
    static const char *const names[] = {"embeddings", "layers.0", "layers.1"};
    assay_tape *tape = new_tape(), *tapped = new_tape();
    net *n = net_new(NULL);
    assert_non_null(n);
    assert_true(assay_tape_backward(tape, net_loss(tape, n), 1.0f));
    const float *first = assay_gradient(n->parameters[0]);
    float *copy = assay_alloc(assay_tensor_bytes(n->parameters[0]), NULL);
    assert_non_null(copy);
    memcpy(copy, first, (size_t)assay_tensor_bytes(n->parameters[0]));
    net_clear(n);
    for (int i = 0; i < 3; i++)
        assert_true(assay_tape_tap(tapped, names[i]));
    assert_true(assay_tape_backward(tapped, net_loss(tapped, n), 1.0f));
    assert_memory_equal(copy, first, (size_t)assay_tensor_bytes(n->parameters[0]));
    for (int i = 0; i < 3; i++)
        assert_true(assay_tape_tapped(tapped, names[i])->has_grad);
    assay_free(copy);
    net_free(n);
    assay_tape_free(tape);
    assay_tape_free(tapped);
}

/* Linear may turn its output's gradient into that of its sums in place, but not a tapped one. */
static void a_tapped_activation_keeps_the_gradient_of_its_output(void **state)
{
    (void)state;
    static const float weights[] = {0.5f, -1.0f, 0.25f, 2.0f};
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(2);
    assert_true(assay_tape_tap(tape, "y"));
    assay_tensor *w = assay_tape_constant(tape, ASSAY_F32, 2, (int64_t[]){2, 2}, weights);
    assay_tensor *y = assay_state(tape, "y", assay_linear(tape, x, w, NULL, ASSAY_TANH));
    assert_true(assay_tape_backward(tape, assay_sum(tape, y), 1.0f));
    for (int i = 0; i < 2; i++)
        assert_float_equal(assay_gradient(y)[i], 1.0f, 0.0);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- an operation of one's own: sum and difference of a and an optional b ---- */

static bool butterfly_backward(assay_tape *tape, const assay_node *node)
{
    const float *d_sum = node->outputs[0]->has_grad ? assay_gradient(node->outputs[0]) : NULL;
    const float *d_difference =
        node->outputs[1]->has_grad ? assay_gradient(node->outputs[1]) : NULL;
    for (int side = 0; side < 2; side++) {
        float d_input[8] = {0}, sign = side ? -1.0f : 1.0f;
        int64_t n = node->inputs[side] ? assay_tensor_count(node->inputs[side]) : 0;
        assert_true(n <= 8);
        for (int64_t i = 0; i < n; i++)
            d_input[i] = (d_sum ? d_sum[i] : 0.0f) + (d_difference ? sign * d_difference[i] : 0.0f);
        if (n > 0 && !assay_tape_add_grad(tape, node->inputs[side], d_input))
            return false;
    }
    return true;
}

static const assay_op butterfly_op = {sizeof(assay_op), "butterfly", butterfly_backward};

static bool butterfly(assay_tape *tape, assay_tensor *a, assay_tensor *b, assay_tensor *outs[2])
{
    assay_tensor *const inputs[] = {a, b};
    for (int side = 0; side < 2; side++) {
        outs[side] = assay_tape_tensor(tape, ASSAY_F32, a->rank, a->shape);
        for (int64_t i = 0; outs[side] && i < assay_tensor_count(a); i++)
            assay_f32(outs[side])[i] =
                assay_f32(a)[i] + (b ? (side ? -1.0f : 1.0f) * assay_f32(b)[i] : 0.0f);
    }
    return assay_tape_record(tape, &butterfly_op, 2, inputs, 2, outs, NULL);
}

static void an_operation_of_ones_own_takes_part(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *a = counting_leaf(3), *b = counting_leaf(3), *outs[2];
    assert_true(butterfly(tape, a, b, outs));
    assert_true(outs[0]->needs_grad && outs[1]->needs_grad);
    assert_true(assay_tape_backward(tape, assay_dot(tape, outs[0], outs[1]), 1.0f));
    for (int i = 0; i < 3; i++) { /* (a + b)(a - b) */
        assert_float_equal(assay_gradient(a)[i], 2.0f * (float)(i + 1), 0.0);
        assert_float_equal(assay_gradient(b)[i], -2.0f * (float)(i + 1), 0.0);
    }
    a->has_grad = b->has_grad = false;
    assay_tape_begin(tape, (assay_step){.clock = 1});
    assert_true(butterfly(tape, a, b, outs)); /* one output leads nowhere */
    assert_true(assay_tape_backward(tape, assay_sum(tape, outs[1]), 1.0f));
    assert_float_equal(assay_gradient(b)[0], -1.0f, 0.0);
    a->has_grad = false;
    assay_tape_begin(tape, (assay_step){.clock = 2});
    assert_true(butterfly(tape, a, NULL, outs)); /* an absent input */
    assert_true(assay_tape_backward(tape, assay_sum(tape, outs[0]), 1.0f));
    assert_float_equal(assay_gradient(a)[2], 1.0f, 0.0);
    assay_tensor_free(a);
    assay_tensor_free(b);
    assay_tape_free(tape);
}

static bool refuses(assay_tape *tape, const assay_node *node)
{
    (void)tape, (void)node;
    return false;
}

static void a_backward_function_that_fails_is_named(void **state)
{
    (void)state;
    static const assay_op op = {sizeof(assay_op), "refuser", refuses};
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(1), *y = assay_tape_tensor(tape, ASSAY_F32, 0, NULL);
    *assay_f32(y) = 0.0f;
    assert_true(assay_tape_record(tape, &op, 1, &x, 1, &y, NULL));
    assert_false(assay_tape_backward(tape, y, 1.0f));
    assert_string_equal(assay_tape_error(tape)->where, "refuser");
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- dropout ---- */

#define DROPPED 20000

static const float *dropped(assay_tape *tape, assay_tensor *x, assay_step step, const char *name)
{
    assay_tape_begin(tape, step);
    return assay_f32(assay_dropout(tape, x, 0.25f, name));
}

static void dropout_depends_on_seed_name_clock_and_nothing_else(void **state)
{
    (void)state;
    assay_tape *a = new_tape(), *b = new_tape();
    assay_tensor *x = counting_leaf(DROPPED);
    assay_step step = {.seed = 3, .clock = 4, .training = true};
    const size_t bytes = DROPPED * sizeof(float);
    const float *first = dropped(a, x, step, "name");
    assert_memory_equal(first, dropped(b, x, step, "name"), bytes);
    assay_tape_begin(b, step);
    assert_non_null(assay_dropout(b, x, 0.25f, "another layer before it"));
    assert_memory_equal(first, assay_f32(assay_dropout(b, x, 0.25f, "name")), bytes);
    assert_memory_not_equal(first, dropped(b, x, step, "other name"), bytes);
    step.clock = 5;
    assert_memory_not_equal(first, dropped(b, x, step, "name"), bytes);
    step = (assay_step){.seed = 4, .clock = 4, .training = true};
    assert_memory_not_equal(first, dropped(b, x, step, "name"), bytes);
    assay_tensor_free(x);
    assay_tape_free(a);
    assay_tape_free(b);
}

static void dropout_drops_the_expected_share_and_scales_the_rest(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(DROPPED);
    const float *y = dropped(tape, x, (assay_step){.seed = 1, .training = true}, "name");
    int zeros = 0;
    for (int i = 0; i < DROPPED; i++) {
        zeros += y[i] == 0.0f;
        assert_true(y[i] == 0.0f || fabsf(y[i] - (float)(i + 1) / 0.75f) <= 1e-6f * y[i]);
    }
    /* Five standard deviations: sqrt(20000 * 0.25 * 0.75) = 61. */
    assert_in_range(zeros, DROPPED / 4 - 306, DROPPED / 4 + 306);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void dropout_outside_training_or_at_zero_is_x_itself(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(5);
    assert_ptr_equal(assay_dropout(tape, x, 0.5f, "name"), x);
    assert_ptr_equal(assay_drop_path(tape, x, 0.5f, "name"), x);
    assay_tape_begin(tape, (assay_step){.training = true});
    assert_ptr_equal(assay_dropout(tape, x, 0.0f, "name"), x);
    assert_ptr_equal(assay_drop_path(tape, x, 0.0f, "name"), x);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

static void drop_path_decides_once_per_item(void **state)
{
    (void)state;
    enum { ITEMS = 400, EACH = 7 };
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(ITEMS * EACH);
    assay_tape_begin(tape, (assay_step){.seed = 2, .training = true});
    assay_tensor *items = assay_reshape(tape, x, 2, (int64_t[]){ITEMS, EACH});
    const float *y = assay_f32(assay_drop_path(tape, items, 0.5f, "name"));
    int gone = 0;
    for (int i = 0; i < ITEMS; i++) {
        float factor = y[i * EACH] / assay_f32(x)[i * EACH];
        gone += factor == 0.0f;
        assert_true(factor == 0.0f || factor == 2.0f);
        for (int j = 0; j < EACH; j++)
            assert_float_equal(y[i * EACH + j], factor * assay_f32(x)[i * EACH + j], 0.0);
    }
    assert_in_range(gone, ITEMS / 2 - 50, ITEMS / 2 + 50);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

/* ---- profile ---- */

typedef struct tally {
    int forward, backward;
    bool sane;
} tally;

static void count_call(const char *op, bool backward, double seconds, void *user)
{
    tally *t = user;
    t->forward += !backward;
    t->backward += backward;
    t->sane = t->sane && op && op[0] && seconds >= 0.0 && seconds < 60.0;
}

static void the_profile_sink_hears_of_every_operation(void **state)
{
    (void)state;
    assay_tape *tape = new_tape();
    assay_tensor *x = counting_leaf(3);
    tally t = {.sane = true};
    assay_tape_profile(tape, count_call, &t);
    assert_true(assay_tape_backward(tape, assay_sum(tape, assay_scale(tape, x, 2.0f)), 1.0f));
    assert_true(t.sane);
    assert_int_equal(t.forward, 2);
    assert_int_equal(t.backward, 2);
    assay_tape_profile(tape, NULL, NULL);
    assay_tape_begin(tape, (assay_step){.clock = 1});
    assert_non_null(assay_sum(tape, x));
    assert_int_equal(t.forward, 2);
    assay_tensor_free(x);
    assay_tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_gradients_nothing_is_recorded_and_backward_is_an_error),
        cmocka_unit_test(a_paused_tape_treats_results_as_constants),
        cmocka_unit_test(begin_forgets_the_last_pass),
        cmocka_unit_test(a_second_backward_pass_over_a_record_is_an_error),
        cmocka_unit_test(leaves_accumulate_until_they_are_cleared),
        cmocka_unit_test(the_scale_multiplies_every_gradient),
        cmocka_unit_test(several_outputs_send_back_the_sum_of_their_gradients),
        cmocka_unit_test(only_what_the_loss_reaches_gets_a_gradient),
        cmocka_unit_test(a_loss_is_one_number_that_depends_on_something),
        cmocka_unit_test(the_first_failure_stays_and_null_passes_through),
        cmocka_unit_test(a_missing_tensor_is_a_failure_even_without_a_cause),
        cmocka_unit_test(a_tapped_state_keeps_its_gradient),
        cmocka_unit_test(taps_change_no_gradient),
        cmocka_unit_test(a_tapped_activation_keeps_the_gradient_of_its_output),
        cmocka_unit_test(an_operation_of_ones_own_takes_part),
        cmocka_unit_test(a_backward_function_that_fails_is_named),
        cmocka_unit_test(dropout_depends_on_seed_name_clock_and_nothing_else),
        cmocka_unit_test(dropout_drops_the_expected_share_and_scales_the_rest),
        cmocka_unit_test(dropout_outside_training_or_at_zero_is_x_itself),
        cmocka_unit_test(drop_path_decides_once_per_item),
        cmocka_unit_test(the_profile_sink_hears_of_every_operation),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
