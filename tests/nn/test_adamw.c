/* test_adamw.c - AdamW against a loop in double that reads like the paper's algorithm 2, and its
 * promises about clipping, decay, skipped parameters and restored state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <assay/optim.h>
#include <assay/random.h>

#include <math.h>

enum { PARAMETERS = 4, LARGEST = 77 };

static const struct {
    const char *name;
    int rank;
    int64_t shape[2];
    bool decays;
    float factor;
} layout[PARAMETERS] = {
    {"body.w", 2, {11, 7}, true, 0.5f},
    {"body.b", 1, {7, 0}, false, 0.5f},
    {"head.w", 2, {3, 5}, true, 1.0f},
    {"head.b", 1, {3, 0}, false, 1.0f},
};

static const assay_adamw_options options = {
    .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-6f, .weight_decay = 0.1f};

static assay_params *make_params(void)
{
    assay_error error = {0};
    assay_params *params = new_params(5);
    for (int i = 0; i < PARAMETERS; i++)
        must(assay_params_add(params, layout[i].name, layout[i].rank, layout[i].shape,
                              (assay_init){ASSAY_INIT_NORMAL, 0.5f, 0}, &error) != NULL,
             &error);
    return params;
}

static assay_adamw *make_adamw(assay_params *params, const assay_device *device)
{
    assay_error error = {0};
    assay_adamw *adamw = assay_adamw_new(params, device, options, &error);
    must(adamw != NULL, &error);
    return adamw;
}

/* Gradients of step `step`: "head.w" gets none at every third step. */
static bool reached(int parameter, int step)
{
    return parameter != 2 || step % 3 != 1;
}

static void put_gradients(assay_params *params, int step)
{
    assay_params_clear_grads(params);
    for (int i = 0; i < PARAMETERS; i++) {
        assay_tensor *value = assay_params_at(params, i)->value;
        if (!value->needs_grad || !reached(i, step))
            continue;
        assay_stream stream = assay_stream_of(9, layout[i].name, (uint64_t)step);
        assay_random_fill_normal(stream, 0, assay_tensor_count(value), value->grad);
        value->has_grad = true;
    }
}

/* ---- the plain twin ---- */

typedef struct twin {
    double value[PARAMETERS][LARGEST], first[PARAMETERS][LARGEST], second[PARAMETERS][LARGEST];
    int count[PARAMETERS];
} twin;

static twin twin_of(const assay_params *params)
{
    twin t = {0};
    for (int i = 0; i < PARAMETERS; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        for (int64_t k = 0; k < assay_tensor_count(value); k++)
            t.value[i][k] = (double)assay_f32(value)[k];
    }
    return t;
}

static double twin_norm(const assay_params *params)
{
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        for (int64_t k = 0; value->has_grad && k < assay_tensor_count(value); k++)
            sum += (double)value->grad[k] * (double)value->grad[k];
    }
    return sqrt(sum);
}

static void twin_step(twin *t, const assay_params *params, double lr, double clip)
{
    double norm = twin_norm(params), scale = clip > 0 ? fmin(1, clip / norm) : 1;
    double b1 = (double)options.beta1, b2 = (double)options.beta2;
    for (int i = 0; i < PARAMETERS; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        double decay = layout[i].decays ? (double)options.weight_decay : 0;
        double rate = lr * (double)layout[i].factor;
        if (!value->has_grad)
            continue;
        t->count[i]++;
        for (int64_t k = 0; k < assay_tensor_count(value); k++) {
            double g = scale * (double)value->grad[k], *p = &t->value[i][k];
            t->first[i][k] = b1 * t->first[i][k] + (1 - b1) * g;
            t->second[i][k] = b2 * t->second[i][k] + (1 - b2) * g * g;
            double m = t->first[i][k] / (1 - pow(b1, t->count[i]));
            double v = t->second[i][k] / (1 - pow(b2, t->count[i]));
            *p -= rate * decay * *p;
            *p -= rate * m / (sqrt(v) + (double)options.eps);
        }
    }
}

static void assert_close(const assay_tensor *got, const double *want)
{
    for (int64_t k = 0; k < assay_tensor_count(got); k++)
        if (!(fabs((double)assay_f32(got)[k] - want[k]) <= 2e-6 * (1 + fabs(want[k]))))
            fail_msg("entry %lld is %.9g, expected %.9g", (long long)k, (double)assay_f32(got)[k],
                     want[k]);
}

/* Clipping acts at some of these steps and not at others. */
static void follow_twin(const assay_device *device, float clip)
{
    assay_error error = {0};
    assay_params *params = make_params();
    assay_adamw *adamw = make_adamw(params, device);
    assert_int_equal(assay_adamw_set_factor(adamw, "body.", 0.5f), 2);
    assert_true(assay_params_train(params, "head.b", false, &error) == 1);
    twin t = twin_of(params);
    for (int step = 0; step < 20; step++) {
        double norm = 0;
        float lr = 0.01f * (float)(1 + step % 4);
        put_gradients(params, step);
        twin_step(&t, params, (double)lr, (double)clip);
        must(assay_adamw_step(adamw, lr, clip, &norm, &error), &error);
        assert_true(fabs(norm - twin_norm(params)) < 1e-9 * norm);
    }
    for (int i = 0; i < PARAMETERS; i++) {
        assert_close(assay_params_at(params, i)->value, t.value[i]);
        assert_int_equal(assay_adamw_count(adamw, layout[i].name), t.count[i]);
        if (t.count[i] == 0)
            continue;
        assert_close(assay_adamw_first(adamw, layout[i].name), t.first[i]);
        assert_close(assay_adamw_second(adamw, layout[i].name), t.second[i]);
    }
    assay_adamw_free(adamw);
    assay_params_free(params);
}

static void twenty_steps_follow_the_formula(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICES; d++)
        follow_twin(device_at(d), 0.0f);
}

static void twenty_clipped_steps_follow_the_formula(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICES; d++)
        follow_twin(device_at(d), 9.8f);
}

/* ---- promises ---- */

static void a_parameter_without_gradient_is_left_alone(void **state)
{
    (void)state;
    assay_error error = {0};
    float before[LARGEST];
    assay_params *params = make_params();
    assay_adamw *adamw = make_adamw(params, device_at(0));
    assay_tensor *w = assay_params_find(params, "head.w")->value;
    memcpy(before, w->data, (size_t)assay_tensor_bytes(w));
    put_gradients(params, 1);
    assert_false(w->has_grad);
    must(assay_adamw_step(adamw, 0.1f, 0, NULL, &error), &error);
    assert_memory_equal(w->data, before, (size_t)assay_tensor_bytes(w));
    assert_null(assay_adamw_first(adamw, "head.w"));
    assert_int_equal(assay_adamw_count(adamw, "head.w"), 0);
    assert_int_equal(assay_adamw_count(adamw, "body.w"), 1);
    assay_adamw_free(adamw);
    assay_params_free(params);
}

static void clipping_leaves_the_gradients_as_they_were(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = make_params();
    assay_adamw *adamw = make_adamw(params, device_at(0));
    put_gradients(params, 0);
    double before = assay_params_grad_norm(params, device_at(0));
    must(assay_adamw_step(adamw, 0.1f, 0.01f, NULL, &error), &error);
    assert_true(assay_params_grad_norm(params, device_at(0)) == before);
    assay_adamw_free(adamw);
    assay_params_free(params);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = make_params(), *untouched = make_params();
    assay_adamw *adamw = make_adamw(params, device_at(0));
    put_gradients(params, 0);
    assay_params_find(params, "head.w")->value->grad[2] = INFINITY;
    assert_false(assay_adamw_step(adamw, 0.1f, 1.0f, NULL, &error));
    assert_failed(&error, ASSAY_NOT_FINITE, "head.w");
    for (int64_t i = 0; i < PARAMETERS; i++) {
        const assay_tensor *value = assay_params_at(params, i)->value;
        assert_memory_equal(value->data, assay_params_at(untouched, i)->value->data,
                            (size_t)assay_tensor_bytes(value));
        assert_int_equal(assay_adamw_count(adamw, layout[i].name), 0);
    }
    assay_adamw_free(adamw);
    assay_params_free(params);
    assay_params_free(untouched);
}

/* Each step is read when the next has been asked for: same norms, same bits. */
static void steps_are_read_behind_the_next(void **state)
{
    (void)state;
    enum { STEPS = 6 };
    for (int d = 0; d < DEVICES; d++) {
        assay_error error = {0};
        double norms[STEPS], norm = 0;
        assay_params *params = make_params(), *late = make_params();
        assay_adamw *adamw = make_adamw(params, device_at(d)),
                    *behind = make_adamw(late, device_at(d));
        for (int step = 0; step < STEPS; step++) {
            put_gradients(params, step);
            must(assay_adamw_step(adamw, 0.01f, 9.8f, &norms[step], &error), &error);
            put_gradients(late, step);
            must(assay_adamw_ask(behind, 0.01f, 9.8f, true, &error), &error);
            if (step == 0)
                continue;
            must(assay_adamw_read(behind, &norm, &error), &error);
            assert_true(norm == norms[step - 1]);
        }
        must(assay_adamw_read(behind, &norm, &error), &error);
        assert_true(norm == norms[STEPS - 1]);
        for (int64_t i = 0; i < PARAMETERS; i++) {
            const assay_tensor *value = assay_params_at(params, i)->value;
            assert_memory_equal(assay_f32(value), assay_f32(assay_params_at(late, i)->value),
                                (size_t)assay_tensor_bytes(value));
        }
        assay_adamw_free(adamw);
        assay_adamw_free(behind);
        assay_params_free(params);
        assay_params_free(late);
    }
}

/* The gradients are those of another step by then. */
static void a_bad_gradient_is_known_behind_the_next_step(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = make_params();
    assay_adamw *adamw = make_adamw(params, device_at(0));
    assert_false(assay_adamw_read(adamw, NULL, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "no step");
    assay_error_clear(&error);
    for (int step = 0; step < 2; step++) {
        put_gradients(params, step);
        if (step == 0)
            assay_params_find(params, "head.w")->value->grad[2] = INFINITY;
        must(assay_adamw_ask(adamw, 0.1f, 1.0f, true, &error), &error);
    }
    assert_false(assay_adamw_ask(adamw, 0.1f, 1.0f, true, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "two steps");
    assay_error_clear(&error);
    assert_false(assay_adamw_read(adamw, NULL, &error));
    assert_failed(&error, ASSAY_NOT_FINITE, "head.w");
    assay_adamw_free(adamw);
    assay_params_free(params);
}

static void short_memory_changes_nothing(void **state)
{
    (void)state;
    bool stepped = false;
    assay_params *params = make_params(), *untouched = make_params();
    for (int64_t n = 0; !stepped; n++) {
        assay_error error = {0};
        assert_in_range(n, 0, 40);
        assay_memory_fail_after(n);
        assay_adamw *adamw = assay_adamw_new(params, assay_device_plain(), options, &error);
        put_gradients(params, 0);
        stepped = adamw && assay_adamw_step(adamw, 0.1f, 0, NULL, &error);
        assay_memory_fail_after(-1);
        if (!stepped) {
            assert_int_equal(error.code, ASSAY_NO_MEMORY);
            for (int64_t i = 0; i < PARAMETERS; i++)
                assert_memory_equal(assay_params_at(params, i)->value->data,
                                    assay_params_at(untouched, i)->value->data, 3 * 4);
        }
        assay_adamw_free(adamw);
    }
    assay_params_free(params);
    assay_params_free(untouched);
}

static void copy_state(assay_adamw *from, assay_adamw *to)
{
    assay_error error = {0};
    for (int i = 0; i < PARAMETERS; i++)
        if (assay_adamw_count(from, layout[i].name) > 0)
            must(assay_adamw_restore(to, layout[i].name, assay_adamw_first(from, layout[i].name),
                                     assay_adamw_second(from, layout[i].name),
                                     assay_adamw_count(from, layout[i].name), &error),
                 &error);
}

/* Four steps at once, and two steps, a restored optimizer, two more, give the same bits. */
static void restored_state_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *straight = make_params(), *broken = make_params();
    assay_adamw *one = make_adamw(straight, device_at(0)), *two = make_adamw(broken, device_at(0));
    for (int step = 0; step < 4; step++) {
        if (step == 2) {
            assay_adamw *next = make_adamw(broken, device_at(0));
            copy_state(two, next);
            assay_adamw_free(two);
            two = next;
        }
        put_gradients(straight, step);
        put_gradients(broken, step);
        must(assay_adamw_step(one, 0.05f, 1.0f, NULL, &error), &error);
        must(assay_adamw_step(two, 0.05f, 1.0f, NULL, &error), &error);
    }
    for (int64_t i = 0; i < PARAMETERS; i++) {
        const assay_tensor *value = assay_params_at(straight, i)->value;
        assert_memory_equal(value->data, assay_params_at(broken, i)->value->data,
                            (size_t)assay_tensor_bytes(value));
    }
    assay_adamw_free(one);
    assay_adamw_free(two);
    assay_params_free(straight);
    assay_params_free(broken);
}

static void state_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = make_params();
    assay_adamw *adamw = make_adamw(params, device_at(0));
    const assay_tensor *w = assay_params_find(params, "head.w")->value;
    const assay_tensor *b = assay_params_find(params, "head.b")->value;
    assert_false(assay_adamw_restore(adamw, "absent", w, w, 1, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "absent");
    assay_error_clear(&error);
    assert_false(assay_adamw_restore(adamw, "head.w", w, b, 1, &error));
    assert_failed(&error, ASSAY_BAD_SHAPE, "(3, 5)");
    assay_error_clear(&error);
    assert_false(assay_adamw_restore(adamw, "head.w", w, w, 0, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "step");
    assert_null(assay_adamw_first(adamw, "head.w"));
    assay_adamw_free(adamw);
    assay_params_free(params);
}

static void wrong_numbers_are_refused(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_params *params = make_params();
    assay_adamw_options wrong = assay_adamw_defaults();
    wrong.beta2 = 1.0f;
    assert_null(assay_adamw_new(params, device_at(0), wrong, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "beta2 1");
    assay_adamw *adamw = make_adamw(params, device_at(0));
    assay_error_clear(&error);
    assert_false(assay_adamw_step(adamw, NAN, 0, NULL, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "lr");
    assay_error_clear(&error);
    assert_false(assay_adamw_step(adamw, 0.1f, -1.0f, NULL, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "clip");
    assay_error_clear(&error);
    must(assay_params_add(params, "late", 1, (int64_t[]){1}, (assay_init){0}, &error) != NULL,
         &error);
    assert_false(assay_adamw_step(adamw, 0.1f, 0, NULL, &error));
    assert_failed(&error, ASSAY_BAD_INPUT, "5");
    assay_adamw_free(adamw);
    assay_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_follow_the_formula),
        cmocka_unit_test(twenty_clipped_steps_follow_the_formula),
        cmocka_unit_test(a_parameter_without_gradient_is_left_alone),
        cmocka_unit_test(clipping_leaves_the_gradients_as_they_were),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(steps_are_read_behind_the_next),
        cmocka_unit_test(a_bad_gradient_is_known_behind_the_next_step),
        cmocka_unit_test(short_memory_changes_nothing),
        cmocka_unit_test(restored_state_goes_on_with_the_same_bits),
        cmocka_unit_test(state_that_does_not_fit_is_refused),
        cmocka_unit_test(wrong_numbers_are_refused),
    };
    return cmocka_run_group_tests_name("adamw", tests, NULL, NULL);
}
