/* The contrastive loss of the user-modelling spec, section 1.6, in its four variants. */
#include "twins.h"

enum {
    VARIANTS = 4,
};

static const device_contrastive_variant variants[VARIANTS] = {DEVICE_QA_CODE, DEVICE_QA_PAPER,
                                                              DEVICE_GG_PAPER, DEVICE_GG_CODE};

/* Cosines of n random pairs and room for the results. */
typedef struct similarities {
    int64_t n;
    float *ab, *aa, *bb, *loss, *d_ab, *d_aa, *d_bb;
    float *masked;
} similarities;

static void normalise(int64_t n, int64_t width, float *x)
{
    float *norm = twin_floats(n);
    cpu_kernels_plain.normalize_rows(n, width, x, 1e-12f, x, norm);
    free(norm);
}

static float *cosines(int64_t n, int64_t width, const float *a, const float *b)
{
    float *c = twin_floats(n * n);
    device_gemm product = {.a = a,
                           .b = b,
                           .c = c,
                           .m = n,
                           .n = n,
                           .k = width,
                           .lda = width,
                           .ldb = width,
                           .ldc = n,
                           .transpose_b = true};
    cpu_gemm_plain(&product);
    return c;
}

static similarities similarities_of(int64_t n, int64_t width, const float *a, const float *b)
{
    similarities s = {.n = n,
                      .ab = cosines(n, width, a, b),
                      .aa = cosines(n, width, a, a),
                      .bb = cosines(n, width, b, b),
                      .loss = twin_floats(n),
                      .d_ab = twin_floats(n * n),
                      .d_aa = twin_floats(n * n),
                      .d_bb = twin_floats(n * n),
                      .masked = malloc((size_t)n * sizeof(float) + 1)};
    assert_non_null(s.masked);
    return s;
}

static void similarities_free(similarities *s)
{
    float *all[] = {s->ab, s->aa, s->bb, s->loss, s->d_ab, s->d_aa, s->d_bb};
    for (int i = 0; i < 7; i++)
        free(all[i]);
    free(s->masked);
}

static device_contrastive call_of(similarities *s, device_contrastive_variant variant,
                                  float temperature)
{
    bool uses_aa = variant != DEVICE_GG_CODE;
    bool uses_bb = variant == DEVICE_QA_PAPER || variant == DEVICE_GG_PAPER;
    return (device_contrastive){.n = s->n,
                                .ab = s->ab,
                                .aa = uses_aa ? s->aa : NULL,
                                .bb = uses_bb ? s->bb : NULL,
                                .variant = variant,
                                .temperature = temperature,
                                .margin = 0.1f,
                                .row_loss = s->loss,
                                .d_ab = s->d_ab,
                                .d_aa = uses_aa ? s->d_aa : NULL,
                                .d_bb = uses_bb ? s->d_bb : NULL,
                                .row_masked = s->masked};
}

static double mean_loss(const similarities *s)
{
    double sum = 0.0;
    for (int64_t i = 0; i < s->n; i++)
        sum += s->loss[i];
    return sum / (double)s->n;
}

/* The spec's example, with the losses and the gradients of its first row. */
static const float golden_x[4][3] = {{1, 0, .2f}, {.6f, .8f, 0}, {-.3f, 1, .5f}, {.9f, .1f, .1f}};
static const float golden_y[4][3] = {
    {.9f, .3f, .1f}, {.5f, .9f, .2f}, {.1f, .8f, .9f}, {.2f, -.7f, .6f}};

static void golden_example_gives_the_losses_of_the_spec(void **state)
{
    (void)state;
    const double want[VARIANTS] = {0.699240, 0.635402, 0.643789, 0.298942};
    float a[12], b[12];
    memcpy(a, golden_x, sizeof a);
    memcpy(b, golden_y, sizeof b);
    normalise(4, 3, a);
    normalise(4, 3, b);
    similarities s = similarities_of(4, 3, a, b);
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++))
        for (int v = 0; v < VARIANTS; v++) {
            device_contrastive call = call_of(&s, variants[v], 0.07f);
            device->kernels->contrastive(&call);
            assert_true(fabs(mean_loss(&s) - want[v]) < 1e-6);
        }
    similarities_free(&s);
}

/* d loss / d X[0]: through the similarities, then through the norm. */
static void gradient_of_first_row(const similarities *s, const device_contrastive *call,
                                  const float *a, const float *b, double out[3])
{
    double d_a[3] = {0}, length = 0.0, along = 0.0;
    for (int c = 0; c < 3; c++) {
        for (int j = 0; j < 4; j++) {
            d_a[c] += (double)s->d_ab[j] * b[j * 3 + c];
            if (call->d_aa != NULL)
                d_a[c] += ((double)s->d_aa[j] + s->d_aa[j * 4]) * a[j * 3 + c];
        }
        length += (double)golden_x[0][c] * golden_x[0][c];
        along += d_a[c] * a[c];
    }
    for (int c = 0; c < 3; c++)
        out[c] = (d_a[c] - a[c] * along) / sqrt(length);
}

static void golden_example_gives_the_gradients_of_the_spec(void **state)
{
    (void)state;
    const double want[2][3] = {{-0.020034, -0.689714, 0.100169}, {0.000909, -0.464791, -0.004547}};
    float a[12], b[12];
    memcpy(a, golden_x, sizeof a);
    memcpy(b, golden_y, sizeof b);
    normalise(4, 3, a);
    normalise(4, 3, b);
    similarities s = similarities_of(4, 3, a, b);
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++))
        for (int v = 0; v < 2; v++) {
            double got[3];
            device_contrastive call = call_of(&s, variants[v], 0.07f);
            device->kernels->contrastive(&call);
            gradient_of_first_row(&s, &call, a, b, got);
            for (int c = 0; c < 3; c++)
                assert_true(fabs(got[c] - want[v][c]) < 2e-6);
        }
    similarities_free(&s);
}

static void golden_example_leaves_out_the_negatives_of_the_spec(void **state)
{
    (void)state;
    float a[12], b[12];
    memcpy(a, golden_x, sizeof a);
    memcpy(b, golden_y, sizeof b);
    normalise(4, 3, a);
    normalise(4, 3, b);
    similarities s = similarities_of(4, 3, a, b);
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++)) {
        device_contrastive call = call_of(&s, DEVICE_QA_CODE, 0.07f);
        device->kernels->contrastive(&call);
        assert_int_equal((int)s.masked[3], 5);
        call = call_of(&s, DEVICE_QA_PAPER, 0.07f);
        device->kernels->contrastive(&call);
        assert_int_equal((int)s.masked[3], 6);
        call = call_of(&s, DEVICE_GG_CODE, 0.07f);
        device->kernels->contrastive(&call);
        assert_int_equal((int)s.masked[3], 2);
    }
    similarities_free(&s);
}

/* Pairs that resemble each other, so that some negatives are masked and some are not. */
static similarities random_similarities(int64_t n)
{
    enum { WIDTH = 6 };
    float *a = twin_normals("a", n * WIDTH, 1.0f), *b = twin_normals("b", n * WIDTH, 1.0f);
    for (int64_t i = 0; i < n * WIDTH; i++)
        b[i] = a[i] + b[i];
    normalise(n, WIDTH, a);
    normalise(n, WIDTH, b);
    similarities s = similarities_of(n, WIDTH, a, b);
    free(a);
    free(b);
    return s;
}

static void expect_twins(const assay_device *device, int64_t n, int variant, float temperature)
{
    similarities want = random_similarities(n), got = random_similarities(n);
    device_contrastive plain = call_of(&want, variants[variant], temperature);
    device_contrastive fast = call_of(&got, variants[variant], temperature);
    cpu_kernels_plain.contrastive(&plain);
    device->kernels->contrastive(&fast);
    const char *what =
        assay_text("contrastive %d of %lld, %s", variant, (long long)n, device->variant);
    /* Exponents reach 2 / temperature, and with them the rounding of their fp32 values. */
    double tolerance = 2e-6 + 4e-7 / (double)temperature;
    double floor = tolerance * 1e-3 / ((double)n * temperature);
    twin_expect_close(what, n, got.loss, want.loss, tolerance, 1e-6);
    twin_expect_close(what, n * n, got.d_ab, want.d_ab, tolerance, floor);
    if (plain.d_aa != NULL)
        twin_expect_close(what, n * n, got.d_aa, want.d_aa, tolerance, floor);
    if (plain.d_bb != NULL)
        twin_expect_close(what, n * n, got.d_bb, want.d_bb, tolerance, floor);
    assert_memory_equal(got.masked, want.masked, (size_t)n * sizeof *got.masked);
    similarities_free(&want);
    similarities_free(&got);
}

static void every_variant_agrees_with_plain(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 3, 15, 16, 17, 63, 64, 65};
    const assay_device *device;
    for (int k = 0; (device = tested_device_at(k)) != NULL; k++)
        for (int size = 0; size < 8; size++)
            for (int v = 0; v < VARIANTS; v++) {
                expect_twins(device, sizes[size], v, 0.07f);
                expect_twins(device, sizes[size], v, 0.02f);
            }
}

static void an_empty_batch_is_nothing(void **state)
{
    (void)state;
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++)) {
        device_contrastive nothing = {.temperature = 1.0f};
        device->kernels->contrastive(&nothing);
    }
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    enum { N = 197 };
    similarities alone = random_similarities(N), shared = random_similarities(N);
    const assay_device *device;
    for (int k = 0; (device = tested_device_at(k)) != NULL; k++)
        for (int v = 0; v < VARIANTS; v++)
            for (int threads = 1; threads <= 3; threads++) {
                similarities *s = threads == 1 ? &alone : &shared;
                device_contrastive call = call_of(s, variants[v], 0.07f);
                assert_true(assay_threads_set(threads, NULL));
                device->kernels->contrastive(&call);
                assert_memory_equal(s->loss, alone.loss, N * sizeof(float));
                assert_memory_equal(s->d_ab, alone.d_ab, N * N * sizeof(float));
                if (call.d_aa != NULL)
                    assert_memory_equal(s->d_aa, alone.d_aa, N * N * sizeof(float));
                if (call.d_bb != NULL)
                    assert_memory_equal(s->d_bb, alone.d_bb, N * N * sizeof(float));
                assert_memory_equal(s->masked, alone.masked, N * sizeof *s->masked);
            }
    assert_true(assay_threads_set(2, NULL));
    similarities_free(&alone);
    similarities_free(&shared);
}

/* Measured with the mask held still: entries near a limit are passed over. */
static void expect_gradient_of(similarities *s, const device_contrastive *call, float *matrix,
                               const float *gradient)
{
    const float step = 0x1p-11f;
    for (int64_t at = 0; at < s->n * s->n; at++) {
        float kept = matrix[at], want = gradient[at];
        int64_t masked_before = 0, masked_after = 0;
        double f[2];
        device_contrastive value_only = *call;
        value_only.d_ab = value_only.d_aa = value_only.d_bb = NULL;
        for (int side = 0; side < 2; side++) {
            matrix[at] = kept + (side == 0 ? -step : step);
            cpu_kernels_plain.contrastive(&value_only);
            f[side] = mean_loss(s);
            for (int64_t i = 0; i < s->n; i++)
                *(side == 0 ? &masked_before : &masked_after) += (int64_t)s->masked[i];
        }
        matrix[at] = kept;
        if (masked_before == masked_after)
            assert_true(fabs((f[1] - f[0]) / (2.0 * (double)step) - want) < 2e-3);
    }
}

static void plain_gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    for (int v = 0; v < VARIANTS; v++) {
        similarities s = random_similarities(7);
        device_contrastive call = call_of(&s, variants[v], 0.2f);
        cpu_kernels_plain.contrastive(&call);
        expect_gradient_of(&s, &call, s.ab, s.d_ab);
        if (call.d_aa != NULL)
            expect_gradient_of(&s, &call, s.aa, s.d_aa);
        if (call.d_bb != NULL)
            expect_gradient_of(&s, &call, s.bb, s.d_bb);
        similarities_free(&s);
    }
}

/* With an unmasked b.b term far above the positive, exp((s - s_ii) / tau) alone would overflow. */
static void a_small_temperature_does_not_overflow(void **state)
{
    (void)state;
    float ab[] = {-1.0f, -1.0f, -1.0f, -1.0f}, ones[] = {1.0f, 1.0f, 1.0f, 1.0f};
    float aa[] = {1.0f, -1.0f, -1.0f, 1.0f}, loss[2], d_ab[4], d_aa[4], d_bb[4];
    float masked[2];
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++)) {
        device_contrastive call = {.n = 2,
                                   .ab = ab,
                                   .aa = aa,
                                   .bb = ones,
                                   .variant = DEVICE_QA_PAPER,
                                   .temperature = 0.02f,
                                   .margin = 0.1f,
                                   .row_loss = loss,
                                   .d_ab = d_ab,
                                   .d_aa = d_aa,
                                   .d_bb = d_bb,
                                   .row_masked = masked};
        device->kernels->contrastive(&call);
        assert_true(fabsf(loss[0] - 100.0f) < 1e-3f && fabsf(loss[1] - 100.0f) < 1e-3f);
        assert_true(fabsf(d_bb[1] - 25.0f) < 1e-3f && fabsf(d_ab[0] + 25.0f) < 1e-3f);
        assert_true(d_bb[0] == 0.0f && masked[0] == 0);
    }
}

/* ---- targets of masked patches ---- */

static void expect_targets(int64_t pixels, int64_t channels, bool normalise)
{
    enum { PATCHES = 5, ROWS = 7 };
    static const int32_t index[ROWS] = {4, 0, 0, 3, 2, 1, 4};
    int64_t width = pixels * channels;
    float *patches = twin_normals("patches", PATCHES * pixels, 3.0f);
    float *got = twin_floats(ROWS * width), *want = twin_floats(ROWS * width);
    for (int64_t r = 0; r < ROWS; r++) {
        const float *x = patches + index[r] * pixels;
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < pixels; i++)
            mean += x[i] / (double)pixels;
        for (int64_t k = 0; k < width; k++)
            squares += (x[k / channels] - mean) * (x[k / channels] - mean);
        double spread = sqrt(squares / (double)(width - 1) + 1e-6);
        for (int64_t k = 0; k < width; k++)
            want[r * width + k] =
                normalise ? (float)((x[k / channels] - mean) / spread) : x[k / channels];
    }
    const assay_device *device = assay_device_plain();
    for (int k = 0; device != NULL; device = tested_device_at(k++)) {
        device->kernels->patch_targets(ROWS, pixels, channels, patches, index, normalise, got);
        twin_expect_close(assay_text("patch_targets, %s", device->variant), ROWS * width, got, want,
                          3e-7, 1e-9);
    }
    free(patches);
    free(got);
    free(want);
}

static void hidden_patches_become_targets(void **state)
{
    static const int64_t pixels[] = {2, 16, 63, 256, 1000};
    (void)state;
    for (int p = 0; p < 5; p++)
        for (int64_t channels = 1; channels < 4; channels += 2)
            for (int normalise = 0; normalise < 2; normalise++)
                expect_targets(pixels[p], channels, normalise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_example_gives_the_losses_of_the_spec),
        cmocka_unit_test(golden_example_gives_the_gradients_of_the_spec),
        cmocka_unit_test(golden_example_leaves_out_the_negatives_of_the_spec),
        cmocka_unit_test(every_variant_agrees_with_plain),
        cmocka_unit_test(an_empty_batch_is_nothing),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(plain_gradients_are_those_of_the_loss),
        cmocka_unit_test(a_small_temperature_does_not_overflow),
        cmocka_unit_test(hidden_patches_become_targets),
    };
    return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
