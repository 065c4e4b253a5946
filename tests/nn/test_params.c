/* test_params.c - parameter sets: ownership, freezing, gradient norms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <math.h>

static const assay_init ones = {.kind = ASSAY_INIT_ONES};
static void fill_grad(assay_tensor *tensor, float value)
{
    for (int64_t i = 0; i < assay_tensor_count(tensor); i++)
        tensor->grad[i] = value;
    tensor->has_grad = true;
}

/* ---- sets ---- */

static void parameters_are_found_in_order_and_by_name(void **state)
{
    (void)state;
    assay_params *params = small_set(1);
    assert_int_equal(assay_params_count(params), 3);
    assert_string_equal(assay_params_at(params, 1)->name, "tower.b");
    assert_ptr_equal(assay_params_find(params, "head.w"), assay_params_at(params, 2));
    assert_null(assay_params_find(params, "head"));
    assert_int_equal(assay_params_size(params, NULL, false), 22);
    assert_int_equal(assay_params_size(params, "tower.", false), 16);
    assay_params_free(params);
}

static void matrices_decay_and_vectors_do_not(void **state)
{
    (void)state;
    assay_params *params = small_set(1);
    add_uniform(params, "cls", 3, (int64_t[]){1, 1, 5});
    assert_true(assay_params_find(params, "tower.w")->decays);
    assert_false(assay_params_find(params, "tower.b")->decays);
    assert_true(assay_params_find(params, "cls")->decays);
    assay_params_free(params);
}

static void borrowed_parameters_stay_where_they_are(void **state)
{
    (void)state;
    assay_params *params = new_params(1);
    assay_tensor *first = add_uniform(params, "p0", 1, (int64_t[]){2});
    assay_parameter *parameter = assay_params_at(params, 0);
    for (int i = 1; i < 300; i++)
        add_uniform(params, assay_text("p%d", i), 1, (int64_t[]){2});
    assert_ptr_equal(assay_params_at(params, 0), parameter);
    assert_ptr_equal(parameter->value, first);
    assert_string_equal(parameter->name, "p0");
    assay_params_free(params);
}

static void a_name_is_taken_once(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = small_set(1);
    assert_null(assay_params_add(params, "head.w", 1, (int64_t[]){2}, ones, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "head.w");
    assert_int_equal(assay_params_count(params), 3);
    assay_params_free(params);
}

static void after_a_failure_nothing_more_is_added(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = small_set(1);
    assert_null(assay_params_add(params, "bad", 1, (int64_t[]){-1}, ones, &error));
    assert_null(assay_params_add(params, "good", 1, (int64_t[]){1}, ones, &error));
    assert_failed(&error, ASSAY_BAD_SHAPE, "-1");
    assert_int_equal(assay_params_count(params), 3);
    assay_params_free(params);
}

static void short_memory_adds_nothing_and_leaks_nothing(void **state)
{
    (void)state;
    assay_params *params = new_params(1);
    int64_t blocks = assay_memory_stats_get().live_blocks;
    bool added = false;
    for (int64_t n = 0; !added; n++) {
        assay_error error = {0};
        assert_in_range(n, 0, 20);
        assay_memory_fail_after(n);
        added = assay_params_add(params, "w", 2, (int64_t[]){3, 4}, ones, &error) != NULL;
        assay_memory_fail_after(-1);
        if (added)
            break;
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
        assert_int_equal(assay_params_count(params), 0);
        /* Room for more names may stay: it belongs to the set. */
        assert_in_range(assay_memory_stats_get().live_blocks - blocks, 0, 1);
    }
    assay_params_free(params);
}

/* ---- training and gradients ---- */

static void freezing_gives_gradient_memory_back(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = small_set(1);
    assay_tensor *w = assay_params_find(params, "tower.w")->value;
    fill_grad(w, 1.0f);
    int64_t bytes = assay_memory_stats_get().live_bytes;
    assert_int_equal(assay_params_train(params, "tower.", false, &error), 2);
    assert_int_equal(assay_memory_stats_get().live_bytes, bytes - 16 * 4);
    assert_false(w->needs_grad || w->has_grad || assay_params_find(params, "tower.w")->trainable);
    assert_true(assay_params_find(params, "head.w")->trainable);
    assert_int_equal(assay_params_size(params, NULL, true), 6);
    assert_int_equal(assay_params_train(params, NULL, true, &error), 3);
    assert_true(w->needs_grad && w->grad && !w->has_grad);
    assert_int_equal(assay_params_size(params, "", true), 22);
    assert_int_equal(assay_params_train(params, "absent", true, &error), 0);
    assay_params_free(params);
}

static void thawing_without_memory_is_reported(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = small_set(1);
    assay_params_train(params, NULL, false, &error);
    assay_memory_fail_after(1);
    assert_int_equal(assay_params_train(params, NULL, true, &error), -1);
    assay_memory_fail_after(-1);
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    assert_false(assay_params_find(params, "tower.b")->trainable);
    assay_params_free(params);
}

static void the_norm_covers_every_gradient_that_exists(void **state)
{
    (void)state;
    assay_params *params = small_set(1);
    fill_grad(assay_params_find(params, "tower.w")->value, 2.0f);
    fill_grad(assay_params_find(params, "tower.b")->value, -3.0f);
    for (int d = 0; d < DEVICES; d++) {
        double norm = assay_params_grad_norm(params, device_at(d));
        assert_true(fabs(norm - sqrt(12 * 4 + 4 * 9)) < 1e-12);
    }
    assay_params_clear_grads(params);
    assert_true(assay_params_grad_norm(params, device_at(0)) == 0);
    assay_params_free(params);
}

static void the_first_parameter_that_is_not_finite_is_named(void **state)
{
    (void)state;
    assay_params *params = small_set(1);
    assay_tensor *b = assay_params_find(params, "tower.b")->value;
    assay_tensor *w = assay_params_find(params, "head.w")->value;
    fill_grad(b, 1.0f);
    fill_grad(w, 1.0f);
    for (int d = 0; d < DEVICES; d++) {
        const assay_device *device = device_at(d);
        assert_null(assay_params_nonfinite(params, device, false));
        w->grad[5] = NAN;
        assert_string_equal(assay_params_nonfinite(params, device, false)->name, "head.w");
        w->grad[5] = 1.0f;
        assert_null(assay_params_nonfinite(params, device, true));
        float kept = assay_f32(b)[3];
        assay_f32(b)[3] = -INFINITY;
        assert_string_equal(assay_params_nonfinite(params, device, true)->name, "tower.b");
        assay_f32(b)[3] = kept;
    }
    assay_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_found_in_order_and_by_name),
        cmocka_unit_test(matrices_decay_and_vectors_do_not),
        cmocka_unit_test(borrowed_parameters_stay_where_they_are),
        cmocka_unit_test(a_name_is_taken_once),
        cmocka_unit_test(after_a_failure_nothing_more_is_added),
        cmocka_unit_test(short_memory_adds_nothing_and_leaks_nothing),
        cmocka_unit_test(freezing_gives_gradient_memory_back),
        cmocka_unit_test(thawing_without_memory_is_reported),
        cmocka_unit_test(the_norm_covers_every_gradient_that_exists),
        cmocka_unit_test(the_first_parameter_that_is_not_finite_is_named),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
