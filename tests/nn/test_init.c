/* test_init.c - initialisers: ranges, moments, fans, and what a number depends on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support.h"

#include <math.h>

static assay_tensor *filled(int rank, const int64_t *shape, assay_init init, uint64_t seed,
                            const char *name)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_tensor_new(ASSAY_F32, rank, shape, &error);
    must(tensor && assay_init_fill(tensor, init, seed, name, &error), &error);
    return tensor;
}

typedef struct moments {
    double mean, sd, low, high;
} moments;

static moments moments_of(const assay_tensor *tensor)
{
    int64_t n = assay_tensor_count(tensor);
    const float *x = assay_f32(tensor);
    moments m = {.low = INFINITY, .high = -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        m.mean += (double)x[i] / (double)n;
        m.low = fmin(m.low, (double)x[i]);
        m.high = fmax(m.high, (double)x[i]);
    }
    for (int64_t i = 0; i < n; i++)
        m.sd += ((double)x[i] - m.mean) * ((double)x[i] - m.mean) / (double)n;
    m.sd = sqrt(m.sd);
    return m;
}

/* 40000 draws: a mean strays by about sd / 200, an sd by about sd / 280. */
static moments draw(int rank, const int64_t *shape, assay_init init)
{
    assay_tensor *tensor = filled(rank, shape, init, 7, "w");
    moments m = moments_of(tensor);
    assay_tensor_free(tensor);
    return m;
}

/* Uniform draws fill [-bound, bound) and do not leave it. */
static void assert_uniform(moments m, double bound)
{
    assert_true(m.low >= -bound * 1.000001 && m.high <= bound * 1.000001);
    assert_true(m.low < -0.999 * bound && m.high > 0.999 * bound);
    assert_true(fabs(m.mean) < 0.02 * bound);
    assert_true(fabs(m.sd - bound / sqrt(3)) < 0.02 * bound);
}

static void assert_normal(moments m, double sd)
{
    assert_true(fabs(m.mean) < 0.025 * sd);
    assert_true(fabs(m.sd - sd) < 0.02 * sd);
    assert_true(m.high > 3 * sd && m.low < -3 * sd);
}

static void constants_are_constant(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 5};
    const struct {
        assay_init init;
        double value;
    } cases[] = {{{.kind = ASSAY_INIT_ZEROS}, 0},
                 {{.kind = ASSAY_INIT_ONES}, 1},
                 {{ASSAY_INIT_CONSTANT, -2.5f, 0}, -2.5}};
    for (int i = 0; i < 3; i++) {
        moments m = draw(2, shape, cases[i].init);
        assert_true(m.low == cases[i].value && m.high == cases[i].value);
    }
}

static void normals_and_uniforms_have_their_moments(void **state)
{
    (void)state;
    const int64_t shape[] = {40000};
    assert_normal(draw(1, shape, (assay_init){ASSAY_INIT_NORMAL, 0.02f, 0}), 0.02);
    assert_uniform(draw(1, shape, (assay_init){ASSAY_INIT_UNIFORM, 0.3f, 0}), 0.3f);
}

/* Shape (out, in, kernel...): fan_in 160 * 5 * 5, fan_out 10 * 5 * 5, as PyTorch counts them. */
static void fans_are_counted_as_for_convolutions(void **state)
{
    (void)state;
    const int64_t shape[] = {10, 160, 5, 5};
    const double in = 4000, out = 250;
    assert_uniform(draw(4, shape, (assay_init){.kind = ASSAY_INIT_XAVIER_UNIFORM}),
                   sqrt(6 / (in + out)));
    assert_uniform(draw(4, shape, (assay_init){ASSAY_INIT_KAIMING_UNIFORM, sqrtf(5.0f), 0}),
                   1 / sqrt(in));
    assert_normal(draw(4, shape, (assay_init){.kind = ASSAY_INIT_KAIMING_NORMAL}), sqrt(2 / out));
}

static void fans_of_matrices_and_vectors(void **state)
{
    (void)state;
    const int64_t matrix[] = {400, 100}, vector[] = {40000};
    assert_uniform(draw(2, matrix, (assay_init){.kind = ASSAY_INIT_XAVIER_UNIFORM}),
                   sqrt(6.0 / 500));
    assert_uniform(draw(2, matrix, (assay_init){ASSAY_INIT_KAIMING_UNIFORM, 0, 0}),
                   sqrt(6.0 / 100));
    assert_uniform(draw(1, vector, (assay_init){.kind = ASSAY_INIT_XAVIER_UNIFORM}),
                   sqrt(6.0 / 80000));
}

/* Every number inside the bound is the untruncated one; the others are inside too. */
static void truncation_redraws_only_what_lies_outside(void **state)
{
    (void)state;
    const int64_t shape[] = {40000};
    assay_tensor *plain = filled(1, shape, (assay_init){ASSAY_INIT_NORMAL, 1.0f, 0}, 7, "w");
    assay_tensor *cut =
        filled(1, shape, (assay_init){ASSAY_INIT_TRUNCATED_NORMAL, 1.0f, 1.0f}, 7, "w");
    int64_t redrawn = 0;
    for (int64_t i = 0; i < shape[0]; i++) {
        float a = assay_f32(plain)[i], b = assay_f32(cut)[i];
        assert_true(fabsf(b) <= 1.0f);
        assert_true(a == b || fabsf(a) > 1.0f);
        redrawn += a != b;
    }
    /* P(|z| > 1) = 0.3173 and the variance of what is left is 0.2911. */
    assert_in_range(redrawn, 12300, 13100);
    assert_true(fabs(moments_of(cut).sd - sqrt(0.29112)) < 0.01);
    assay_tensor_free(plain);
    assay_tensor_free(cut);
}

static bool same_bits(const assay_tensor *a, const assay_tensor *b)
{
    return memcmp(assay_elements(a), assay_elements(b), (size_t)assay_tensor_bytes(a)) == 0;
}

static void numbers_depend_on_seed_and_name_only(void **state)
{
    (void)state;
    const int64_t shape[] = {100};
    const assay_init init = {ASSAY_INIT_NORMAL, 1.0f, 0};
    assay_tensor *first = filled(1, shape, init, 7, "w"), *again = filled(1, shape, init, 7, "w");
    assay_tensor *seed = filled(1, shape, init, 8, "w"), *name = filled(1, shape, init, 7, "v");
    assert_true(same_bits(first, again));
    assert_false(same_bits(first, seed));
    assert_false(same_bits(first, name));
    assay_tensor *const all[] = {first, again, seed, name};
    for (int i = 0; i < 4; i++)
        assay_tensor_free(all[i]);
}

static void the_order_of_building_changes_nothing(void **state)
{
    (void)state;
    assay_error error = {0};
    const int64_t shape[] = {8, 9};
    static const char *const names[] = {"a", "b", "c"};
    const assay_init init = {.kind = ASSAY_INIT_XAVIER_UNIFORM};
    assay_params *forwards = new_params(3), *backwards = new_params(3);
    for (int i = 0; i < 3; i++) {
        must(assay_params_add(forwards, names[i], 2, shape, init, &error) != NULL, &error);
        must(assay_params_add(backwards, names[2 - i], 2, shape, init, &error) != NULL, &error);
    }
    for (int i = 0; i < 3; i++)
        assert_true(same_bits(assay_params_find(forwards, names[i])->value,
                              assay_params_find(backwards, names[i])->value));
    assay_params_free(forwards);
    assay_params_free(backwards);
}

static void what_cannot_be_filled_is_refused(void **state)
{
    (void)state;
    const int64_t shape[] = {4};
    char long_name[ASSAY_NAME_LIMIT + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        assay_dtype dtype;
        assay_init init;
        const char *name, *word;
    } cases[] = {
        {ASSAY_BF16, {.kind = ASSAY_INIT_ZEROS}, "w", "bf16"},
        {ASSAY_F32, {ASSAY_INIT_TRUNCATED_NORMAL, 1.0f, 0.0f}, "w", "bound"},
        {ASSAY_F32, {ASSAY_INIT_TRUNCATED_NORMAL, 1.0f, -1.0f}, "w", "bound"},
        {ASSAY_F32, {ASSAY_INIT_NORMAL, NAN, 0}, "w", "finite"},
        {ASSAY_F32, {.kind = (assay_init_kind)99}, "w", "99"},
        {ASSAY_F32, {.kind = ASSAY_INIT_ZEROS}, "", "name"},
        {ASSAY_F32, {.kind = ASSAY_INIT_ZEROS}, long_name, "name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assay_error error = {0};
        assay_tensor *tensor = assay_tensor_new(cases[i].dtype, 1, shape, &error);
        must(tensor != NULL, &error);
        assert_false(assay_init_fill(tensor, cases[i].init, 0, cases[i].name, &error));
        assert_failed(&error, ASSAY_BAD_INPUT, cases[i].word);
        assay_tensor_free(tensor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_constant),
        cmocka_unit_test(normals_and_uniforms_have_their_moments),
        cmocka_unit_test(fans_are_counted_as_for_convolutions),
        cmocka_unit_test(fans_of_matrices_and_vectors),
        cmocka_unit_test(truncation_redraws_only_what_lies_outside),
        cmocka_unit_test(numbers_depend_on_seed_and_name_only),
        cmocka_unit_test(the_order_of_building_changes_nothing),
        cmocka_unit_test(what_cannot_be_filled_is_refused),
    };
    return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
