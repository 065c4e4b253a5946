/* The vectorised functions against libm's double versions, over every part of fp32's range.
 *
 * The functions are reached through the activation kernels, so that what is measured is the code
 * that each variant really runs. */
#include "engine/device/cpu/math.h"
#include "twins.h"

enum {
    STRIDE = 8161, /* a prime: every exponent is met at about a thousand mantissas */
    CHUNK = 4096,
};

/* Distance of two floats next to each other at `x`, of normal numbers at least. */
static double unit_in_last_place(double x)
{
    int exponent;
    frexp(x, &exponent);
    return ldexp(1.0, exponent < -125 ? -149 : exponent - 24);
}

typedef struct sweep {
    device_activation f;
    double (*reference)(double x);
    double units;    /* allowed error in units in the last place ... */
    double absolute; /* ... or in absolute terms, whichever is larger */
} sweep;

static void check_chunk(const assay_device *device, const sweep *s, int n, const float *x)
{
    float y[CHUNK];
    device->kernels->activation(s->f, n, x, y);
    for (int i = 0; i < n; i++) {
        double want = s->reference(x[i]);
        if (isnan(want) || (float)want == y[i]) {
            assert_true(!isnan(want) || isnan(y[i]));
            continue;
        }
        double allowed = fmax(s->units * unit_in_last_place(want), s->absolute);
        if (!(fabs(y[i] - want) <= allowed))
            fail_msg("%s, function %d of %.9g: %.9g instead of %.9g", device->variant, (int)s->f,
                     x[i], y[i], want);
    }
}

static void check_everywhere(const sweep *s)
{
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
        float x[CHUNK];
        int n = 0;
        for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STRIDE) {
            x[n++] = float_of_bits((uint32_t)bits);
            if (n == CHUNK) {
                check_chunk(device, s, n, x);
                n = 0;
            }
        }
        check_chunk(device, s, n, x);
        for (n = 0; n < CHUNK; n++)
            x[n] = -104.0f + 208.0f * (float)n / (float)CHUNK;
        check_chunk(device, s, n, x);
    }
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double log_sigmoid(double x)
{
    return fmin(x, 0.0) - log1p(exp(-fabs(x)));
}

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}

/* What a result below the smallest normal number may be off by: it may be flushed to 0. */
#define FLUSHED 0x1p-126

static void exp_is_right_to_two_units(void **state)
{
    (void)state;
    check_everywhere(&(sweep){DEVICE_EXP, exp, 2.0, FLUSHED});
}

static void tanh_is_right_to_four_units(void **state)
{
    (void)state;
    check_everywhere(&(sweep){DEVICE_TANH, tanh, 4.0, 0.0});
}

static void sigmoid_is_right_to_four_units(void **state)
{
    (void)state;
    check_everywhere(&(sweep){DEVICE_SIGMOID, sigmoid, 4.0, FLUSHED});
}

static void log_sigmoid_is_right_to_five_units(void **state)
{
    (void)state;
    check_everywhere(&(sweep){DEVICE_LOG_SIGMOID, log_sigmoid, 5.0, FLUSHED});
}

static void gelu_is_right_to_a_few_units_or_beyond_all_digits_of_its_tail(void **state)
{
    (void)state;
    check_everywhere(&(sweep){DEVICE_GELU, gelu, 8.0, 1e-7});
}

static void exp_keeps_its_promises_at_the_ends(void **state)
{
    (void)state;
    assert_true(fast_exp(0.0f) == 1.0f && fast_exp(-0.0f) == 1.0f);
    assert_true(fast_exp(-INFINITY) == 0.0f && !signbit(fast_exp(-INFINITY)));
    assert_true(fast_exp(-1e30f) == 0.0f && fast_exp(-87.34f) == 0.0f);
    assert_true(fast_exp(-87.33f) > 0.0f);
    assert_true(isfinite(fast_exp(88.7228f)) && fast_exp(88.73f) == INFINITY);
    assert_true(fast_exp(1e30f) == INFINITY && fast_exp(INFINITY) == INFINITY);
}

/* A NaN's payload takes part in the integer arithmetic and must not turn it into a number. */
static void exp_of_any_nan_is_nan(void **state)
{
    (void)state;
    for (uint32_t payload = 1; payload < 0x800000; payload += 1021) {
        assert_true(isnan(fast_exp(float_of_bits(0x7F800000 | payload))));
        assert_true(isnan(fast_exp(float_of_bits(0xFF800000 | payload))));
    }
}

static void log1p_is_right_to_three_units(void **state)
{
    (void)state;
    for (int i = 0; i <= 1 << 20; i++) {
        float u = (float)i * 0x1p-20f;
        for (int scaled = 0; scaled < 2; scaled++, u *= 1e-6f) {
            double want = log1p(u);
            assert_true(fabs(fast_log1p(u) - want) <= 3.0 * unit_in_last_place(want));
        }
    }
}

static void the_normal_distribution_is_right_in_body_and_tail(void **state)
{
    (void)state;
    for (float x = -13.0f; x <= 13.0f; x += 0x1p-12f) {
        fast_gauss gauss = fast_normal(x);
        double cumulative = 0.5 * erfc(-(double)x * M_SQRT1_2);
        double density = exp(-0.5 * (double)x * x) / sqrt(2.0 * M_PI);
        assert_true(fabs(gauss.cumulative - cumulative) <= 2e-7);
        assert_true(fabs(gauss.density - density) <= 1e-7);
        /* x^2 / 2 is rounded before it is an exponent. */
        double relative = 4e-7 + 6e-8 * (double)x * x;
        assert_true(fabs(gauss.cumulative - cumulative) <= relative * cumulative + 0x1p-126);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_right_to_two_units),
        cmocka_unit_test(tanh_is_right_to_four_units),
        cmocka_unit_test(sigmoid_is_right_to_four_units),
        cmocka_unit_test(log_sigmoid_is_right_to_five_units),
        cmocka_unit_test(gelu_is_right_to_a_few_units_or_beyond_all_digits_of_its_tail),
        cmocka_unit_test(exp_keeps_its_promises_at_the_ends),
        cmocka_unit_test(exp_of_any_nan_is_nan),
        cmocka_unit_test(log1p_is_right_to_three_units),
        cmocka_unit_test(the_normal_distribution_is_right_in_body_and_tail),
    };
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
