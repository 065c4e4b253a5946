/* Element-wise kernels, activations, sums and AdamW against their plain twins. */
#include "twins.h"

/* What `times` points at, and the factor of a gradient. */
static const float some_factor = 0.7f;

static int64_t elements(const twin_input *in)
{
    return in->rows * in->width;
}

static void run_scale(const assay_kernels *k, const twin_input *in)
{
    k->scale(elements(in), 1.7f, NULL, in->x[0], in->out[0], in->add);
    memcpy(in->out[1], in->x[0], (size_t)elements(in) * sizeof(float));
    k->scale(elements(in), -0.3f, &some_factor, in->out[1], in->out[1], false);
}

static void run_fill(const assay_kernels *k, const twin_input *in)
{
    k->fill(elements(in), -2.5f, &some_factor, in->out[0], in->add);
}

static void run_binary(const assay_kernels *k, const twin_input *in)
{
    const device_binary operations[] = {DEVICE_ADD, DEVICE_SUB, DEVICE_MUL};
    for (int i = 0; i < 3; i++)
        k->binary(operations[i], elements(in), elements(in), in->x[0], in->x[1], in->out[i],
                  in->add);
}

static void run_binary_by_column(const assay_kernels *k, const twin_input *in)
{
    k->binary(DEVICE_MUL, elements(in), in->width, in->x[0], in->by_column[0], in->out[0], in->add);
    k->binary(DEVICE_SUB, elements(in), 1, in->x[0], in->by_column[0], in->out[1], in->add);
    memcpy(in->out[2], in->x[0], (size_t)elements(in) * sizeof(float));
    k->binary(DEVICE_ADD, elements(in), in->width, in->out[2], in->by_column[1], in->out[2], false);
}

static void run_dropout(const assay_kernels *k, const twin_input *in)
{
    const float rates[] = {0.1f, 0.0f, 1.0f};
    for (int i = 0; i < 3; i++)
        k->dropout(elements(in), in->x[0], rates[i], assay_stream_of(3, "dropout", 1ull << 40),
                   in->out[i], in->add);
}

static void run_activation(const assay_kernels *k, const twin_input *in, device_activation f)
{
    k->activation(f, elements(in), in->x[0], in->out[0]);
    k->d_activation(f, elements(in), in->x[0], in->x[1], in->out[1], in->add);
    memcpy(in->out[2], in->x[1], (size_t)elements(in) * sizeof(float));
    k->d_activation(f, elements(in), in->x[0], in->out[2], in->out[2], false);
}

#define ACTIVATION_RUN(name, f)                                                                    \
    static void run_##name(const assay_kernels *k, const twin_input *in)                           \
    {                                                                                              \
        run_activation(k, in, f);                                                                  \
    }
ACTIVATION_RUN(identity, DEVICE_IDENTITY)
ACTIVATION_RUN(relu, DEVICE_RELU)
ACTIVATION_RUN(gelu, DEVICE_GELU)
ACTIVATION_RUN(sigmoid, DEVICE_SIGMOID)
ACTIVATION_RUN(silu, DEVICE_SILU)
ACTIVATION_RUN(tanh, DEVICE_TANH)
ACTIVATION_RUN(log_sigmoid, DEVICE_LOG_SIGMOID)

static void run_exp(const assay_kernels *k, const twin_input *in)
{
    k->scale(elements(in), 0.1f, NULL, in->x[0], in->out[0], false);
    k->activation(DEVICE_EXP, elements(in), in->out[0], in->out[1]);
    k->d_activation(DEVICE_EXP, elements(in), in->out[0], in->x[1], in->out[2], in->add);
}

static void run_bias_activation(const assay_kernels *k, const twin_input *in)
{
    size_t bytes = (size_t)elements(in) * sizeof(float);
    memcpy(in->out[0], in->x[0], bytes);
    k->bias_activation(DEVICE_GELU, in->rows, in->width, in->out[0], in->by_column[0], in->out[1]);
    memcpy(in->out[2], in->x[0], bytes);
    k->bias_activation(DEVICE_TANH, in->rows, in->width, in->out[2],
                       in->add ? in->by_column[1] : NULL, in->out[2]);
}

static void run_silu_product(const assay_kernels *k, const twin_input *in)
{
    k->silu_product(elements(in), in->x[0], in->x[1], in->out[0]);
    k->d_silu_product(elements(in), in->x[0], in->x[1], in->x[2], in->out[1], in->add, in->out[2],
                      !in->add);
}

static void run_d_silu_product(const assay_kernels *k, const twin_input *in)
{
    k->d_silu_product(elements(in), in->x[0], in->x[1], in->x[2], in->out[1], in->add, in->out[2],
                      in->add);
}

static void run_sums(const assay_kernels *k, const twin_input *in)
{
    if (in->section == 0)
        return;
    double *squares = malloc(sizeof *squares);
    float *factor = twin_floats(1);
    assert_non_null(squares);
    *squares = 1.0;
    k->sum_squares(elements(in), in->x[0], squares, true);
    in->out[0][0] = (float)*squares;
    k->sum(elements(in), in->x[0], 1.0 / sqrt(*squares), in->out[1]);
    k->sum_squares(elements(in), in->x[1], squares, false);
    k->clip(1, squares, 0.5f, factor);
    in->out[2][0] = *factor + (float)sqrt(*squares);
    free(squares);
    free(factor);
}

static void run_adamw(const assay_kernels *k, const twin_input *in)
{
    for (int64_t i = 0; i < elements(in); i++)
        in->out[2][i] = in->x[2][i] * in->x[2][i];
    device_adamw step = {.n = elements(in),
                         .value = in->out[0],
                         .first = in->out[1],
                         .second = in->out[2],
                         .grad = in->x[0],
                         .grad_scale = &some_factor,
                         .lr = 1e-2f,
                         .beta1 = 0.9f,
                         .beta2 = 0.999f,
                         .eps = 1e-8f,
                         .weight_decay = in->add ? 0.1f : 0.0f,
                         .correction1 = 0.271f,
                         .correction2 = 0.002997f};
    k->adamw(&step);
}

static const twin_case cases[] = {
    {"scale", run_scale, 2e-7},
    {"fill", run_fill, 2e-7},
    {"binary", run_binary, 2e-7},
    {"binary by column", run_binary_by_column, 2e-7},
    {"dropout", run_dropout, 0.0},
    {"identity", run_identity, 2e-7},
    {"relu", run_relu, 2e-7},
    {"gelu", run_gelu, 6e-7},
    {"sigmoid", run_sigmoid, 6e-7},
    {"silu", run_silu, 6e-7},
    {"tanh", run_tanh, 6e-7},
    {"log_sigmoid", run_log_sigmoid, 6e-7},
    {"exp", run_exp, 6e-7},
    {"bias_activation", run_bias_activation, 6e-7},
    {"silu_product", run_silu_product, 1e-6},
    {"d_silu_product", run_d_silu_product, 1e-6},
    {"sums", run_sums, 1e-7},
    {"adamw", run_adamw, 6e-7},
};

enum {
    CASES = sizeof cases / sizeof cases[0],
};

static void every_variant_agrees_with_plain(void **state)
{
    (void)state;
    twin_compare_all(CASES, cases);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    twin_expect_same_bits(CASES, cases);
}

static void bf16_rounds_to_the_nearest_and_ties_to_even(void **state)
{
    (void)state;
    const float x[] = {1.0f,          0x1.01p0f,  0x1.03p0f,       0x1.010002p0f,
                       0x1.00fffep0f, -0x1.01p0f, 0x1.fffffep127f, INFINITY,
                       -INFINITY,     0x1p-133f,  0x1p-134f,       -0.0f};
    const uint16_t want[] = {0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x3F80, 0xBF80,
                             0x7F80, 0x7F80, 0xFF80, 0x0001, 0x0000, 0x8000};
    enum { N = sizeof x / sizeof x[0] };
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        uint16_t y[N], quiet;
        float back[N], nan = NAN;
        device->kernels->to_bf16(N, x, y);
        assert_memory_equal(y, want, sizeof y);
        device->kernels->from_bf16(N, y, back);
        assert_true(back[2] == 0x1.04p0f && back[6] == INFINITY && signbit(back[11]));
        device->kernels->to_bf16(1, &nan, &quiet);
        device->kernels->from_bf16(1, &quiet, &nan);
        assert_true(isnan(nan));
    }
}

static void bf16_survives_the_way_there_and_back(void **state)
{
    (void)state;
    enum { ALL = 1 << 16 };
    uint16_t *before = malloc(ALL * sizeof *before), *after = malloc(ALL * sizeof *after);
    float *wide = twin_floats(ALL);
    assert_non_null(before);
    assert_non_null(after);
    for (int i = 0; i < ALL; i++)
        before[i] = (uint16_t)i;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
        device->kernels->from_bf16(ALL, before, wide);
        device->kernels->to_bf16(ALL, wide, after);
        for (int i = 0; i < ALL; i++)
            assert_true(after[i] == before[i] || isnan(wide[i]));
    }
    free(before);
    free(after);
    free(wide);
}

static void activations_meet_infinities_and_nan_as_plain_does(void **state)
{
    (void)state;
    const float x[] = {INFINITY, -INFINITY, NAN,     0.0f,   -0.0f, 1e4f,   -1e4f, 1e30f,
                       -1e30f,   100.0f,    -100.0f, 1e-40f, 3e38f, -3e38f, 50.0f, -50.0f};
    enum { N = sizeof x / sizeof x[0] };
    float one[N], want[N], got[N];
    for (int i = 0; i < N; i++)
        one[i] = 1.0f;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (device_activation f = DEVICE_IDENTITY; f <= DEVICE_EXP; f++) {
            cpu_kernels_plain.activation(f, N, x, want);
            device->kernels->activation(f, N, x, got);
            twin_expect_close(assay_text("activation %d, %s", (int)f, device->variant), N, got,
                              want, 1e-6, 1e-37);
            cpu_kernels_plain.d_activation(f, N, x, one, want, false);
            device->kernels->d_activation(f, N, x, one, got, false);
            twin_expect_close(assay_text("derivative %d, %s", (int)f, device->variant), N, got,
                              want, 1e-6, 1e-37);
        }
}

static void slopes_are_those_of_the_values(void **state)
{
    (void)state;
    const assay_kernels *k = &cpu_kernels_plain;
    const float step = 0x1p-7f;
    for (device_activation f = DEVICE_IDENTITY; f <= DEVICE_EXP; f++)
        for (float x = -4.0f + step / 3.0f; x < 4.0f; x += 0.37f) {
            float at[] = {x - 2.0f * step, x - step, x + step, x + 2.0f * step}, y[4], slope;
            const float one = 1.0f;
            k->activation(f, 4, at, y);
            k->d_activation(f, 1, &x, &one, &slope, false);
            double measured =
                (8.0 * ((double)y[2] - y[1]) - ((double)y[3] - y[0])) / (12.0 * (double)step);
            assert_true(fabs(measured - slope) < 1e-4 * (1.0 + fabs((double)slope)));
        }
}

static void dropout_keeps_its_share_and_its_mean(void **state)
{
    (void)state;
    enum { N = 100000 };
    const assay_stream stream = assay_stream_of(1, "share", 0);
    float *x = twin_floats(N), *y = twin_floats(N);
    for (int i = 0; i < N; i++)
        x[i] = 1.0f;
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->dropout(N, x, 0.2f, stream, y, false);
        int kept = 0;
        for (int i = 0; i < N; i++) {
            assert_true(y[i] == 0.0f || y[i] == 1.0f / (1.0f - 0.2f));
            kept += y[i] != 0.0f;
        }
        assert_in_range(kept, N * 8 / 10 - 600, N * 8 / 10 + 600);
    }
    free(x);
    free(y);
}

static void dropout_keeps_a_number_whose_draw_equals_p(void **state)
{
    (void)state;
    const assay_stream stream = assay_stream_of(1, "share", 0);
    const float x[] = {1, 1, 1, 1, 1, 1, 1, 1}, p = assay_random_uniform(stream, 5);
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        float y[8];
        device->kernels->dropout(8, x, p, stream, y, false);
        assert_true(y[5] == 1.0f / (1.0f - p));
    }
}

static void the_first_number_that_is_none_is_found(void **state)
{
    (void)state;
    enum { N = 100003 };
    float *x = twin_normals("finite", N, 1e30f);
    int64_t *found = malloc(sizeof *found);
    assert_non_null(found);
    const int64_t places[] = {N - 1, 65536, 4096, 4095, 17, 0};
    const float kinds[] = {NAN, INFINITY, -INFINITY};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        const assay_kernels *k = device->kernels;
        k->first_nonfinite(0, x, found);
        assert_int_equal(*found, -1);
        k->first_nonfinite(N, x, found);
        assert_int_equal(*found, -1);
        for (int p = 0; p < 6; p++) {
            float kept = x[places[p]], last = x[N - 1];
            x[N - 1] = NAN;
            x[places[p]] = kinds[p % 3];
            k->first_nonfinite(N, x, found);
            assert_int_equal(*found, places[p]);
            x[N - 1] = last;
            x[places[p]] = kept;
        }
    }
    free(found);
    free(x);
}

static void a_gradient_is_clipped_where_its_norm_is_above_the_limit(void **state)
{
    (void)state;
    const double squares[] = {4.0, 4.0, 0.25, 0.0, 4.0, NAN, INFINITY, 1e300};
    const float limits[] = {1.0f, 2.0f, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 1e10f};
    const float want[] = {0.5f, 1.0f, 1.0f, 1.0f, 1.0f, NAN, NAN, 0.0f};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++))
        for (int i = 0; i < 8; i++) {
            float factor = 7.0f;
            device->kernels->clip(1, &squares[i], limits[i], &factor);
            twin_expect_close(device->variant, 1, &factor, &want[i], 0.0, 0.0);
        }
}

static void a_step_by_a_factor_that_is_no_number_changes_nothing(void **state)
{
    (void)state;
    enum { N = 300 };
    float *x = twin_normals("kept", 3 * N, 1.0f), *grad = twin_normals("grad", N, 1.0f);
    float *before = twin_normals("kept", 3 * N, 1.0f);
    const float none = NAN;
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device_adamw step = {.n = N,
                             .value = x,
                             .first = x + N,
                             .second = x + 2 * N,
                             .grad = grad,
                             .grad_scale = &none,
                             .lr = 0.1f,
                             .beta1 = 0.9f,
                             .beta2 = 0.999f,
                             .eps = 1e-8f,
                             .weight_decay = 0.1f,
                             .correction1 = 0.1f,
                             .correction2 = 0.001f};
        device->kernels->adamw(&step);
        assert_memory_equal(x, before, 3 * N * sizeof *x);
    }
    free(x);
    free(grad);
    free(before);
}

static void a_sum_does_not_lose_small_numbers_beside_a_large_one(void **state)
{
    (void)state;
    enum { N = 50001 };
    float *x = twin_floats(N), *sum = twin_floats(1);
    x[0] = 1e8f;
    for (int i = 1; i < N; i++)
        x[i] = 1.0f;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
        device->kernels->sum(N, x, 1.0, sum);
        assert_true(*sum == (float)(1e8 + N - 1));
        device->kernels->sum(N, x, 1.0 / (1e8 + N - 1), sum);
        assert_true(*sum == 1.0f);
    }
    free(sum);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_agrees_with_plain),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(bf16_rounds_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(bf16_survives_the_way_there_and_back),
        cmocka_unit_test(activations_meet_infinities_and_nan_as_plain_does),
        cmocka_unit_test(slopes_are_those_of_the_values),
        cmocka_unit_test(dropout_keeps_its_share_and_its_mean),
        cmocka_unit_test(dropout_keeps_a_number_whose_draw_equals_p),
        cmocka_unit_test(the_first_number_that_is_none_is_found),
        cmocka_unit_test(a_gradient_is_clipped_where_its_norm_is_above_the_limit),
        cmocka_unit_test(a_step_by_a_factor_that_is_no_number_changes_nothing),
        cmocka_unit_test(a_sum_does_not_lose_small_numbers_beside_a_large_one),
    };
    return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
