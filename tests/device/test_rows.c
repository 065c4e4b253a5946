/* Kernels over the last axis, norms, sums over rows and cross-entropy against their plain twins. */
#include "twins.h"

static void run_scale_rows(const assay_kernels *k, const twin_input *in)
{
    k->scale_rows(in->rows, in->width, in->x[0], in->by_row[0], in->out[0], in->add);
}

static void run_sum_rows(const assay_kernels *k, const twin_input *in)
{
    k->sum_rows(in->rows, in->width, in->x[0], NULL, in->out[0], in->add);
    k->sum_rows(in->rows, in->width, in->x[0], in->x[1], in->out[1], in->add);
}

static void run_dot_rows(const assay_kernels *k, const twin_input *in)
{
    k->dot_rows(in->rows, in->width, in->x[0], in->x[1], in->out[0]);
}

static void run_normalize_rows(const assay_kernels *k, const twin_input *in)
{
    k->normalize_rows(in->rows, in->width, in->x[0], 1e-12f, in->out[0], in->out[1]);
}

static void run_d_normalize_rows(const assay_kernels *k, const twin_input *in)
{
    k->normalize_rows(in->rows, in->width, in->x[0], 5.0f, in->out[0], in->out[1]);
    k->d_normalize_rows(in->rows, in->width, in->out[0], in->out[1], 5.0f, in->x[1], in->out[2],
                        in->add);
}

static void run_softmax_rows(const assay_kernels *k, const twin_input *in)
{
    k->softmax_rows(in->rows, in->width, in->x[0], in->out[0]);
    k->softmax_rows(in->rows, in->width, in->x[1], in->out[1]);
}

/* The formula holds for any y; a saturated softmax would only measure its own conditioning. */
static void run_d_softmax_rows(const assay_kernels *k, const twin_input *in)
{
    k->d_softmax_rows(in->rows, in->width, in->x[0], in->x[1], in->out[0], in->add);
}

static void run_cross_entropy_rows(const assay_kernels *k, const twin_input *in)
{
    if (in->width == 0)
        return;
    k->cross_entropy_rows(in->rows, in->width, in->x[0], in->classes, -100, in->out[0], in->out[1]);
    k->d_cross_entropy_rows(in->rows, in->width, in->x[0], in->classes, -100, in->out[1], 0.125f,
                            in->by_column[0], in->out[2], in->add);
}

static void run_d_cross_entropy_in_place(const assay_kernels *k, const twin_input *in)
{
    if (in->width == 0)
        return;
    k->cross_entropy_rows(in->rows, in->width, in->x[0], in->classes, -100, in->out[0], in->out[1]);
    memcpy(in->out[2], in->x[0], (size_t)(in->rows * in->width) * sizeof(float));
    k->d_cross_entropy_rows(in->rows, in->width, in->out[2], in->classes, -100, in->out[1], -3.0f,
                            NULL, in->out[2], false);
}

/* A teacher a column's number away from x, so that it is no twin of the student even where both are
 * small: between equal rows only rounding is left. The caller frees it. */
static float *teacher_of(const twin_input *in)
{
    float *teacher = twin_floats(in->rows * in->width);
    for (int64_t i = 0; i < in->rows * in->width; i++)
        teacher[i] = in->x[0][i] + in->by_column[0][i % in->width];
    return teacher;
}

static void run_divergence_rows(const assay_kernels *k, const twin_input *in)
{
    float *teacher = teacher_of(in), *lse = in->out[1];
    if (in->width > 1) {
        k->divergence_rows(in->rows, in->width, teacher, in->x[1], false, in->out[0], lse);
        k->d_divergence_rows(in->rows, in->width, teacher, in->x[1], lse, 0.125f, in->by_column[0],
                             in->out[2], in->add);
    }
    free(teacher);
}

static void run_divergence_rows_crossed(const assay_kernels *k, const twin_input *in)
{
    float *teacher = teacher_of(in);
    if (in->width > 1)
        k->divergence_rows(in->rows, in->width, teacher, in->x[1], true, in->out[0], in->out[1]);
    free(teacher);
}

static void run_rms_norm(const assay_kernels *k, const twin_input *in)
{
    k->rms_norm(in->rows, in->width, in->x[0], in->by_column[0], 1e-6f, in->out[0], in->out[1]);
}

static void run_d_rms_norm(const assay_kernels *k, const twin_input *in)
{
    k->d_rms_norm(in->rows, in->width, in->x[0], in->by_column[0], in->by_row[0], in->x[1],
                  in->out[0], in->add, in->out[1], !in->add);
    k->d_rms_norm(in->rows, in->width, in->x[1], in->by_column[1], in->by_row[1], in->x[2],
                  in->add ? in->out[2] : NULL, false, in->add ? NULL : in->out[2], false);
}

static void run_layer_norm(const assay_kernels *k, const twin_input *in)
{
    k->layer_norm(in->rows, in->width, in->x[0], in->add ? in->by_column[0] : NULL,
                  in->add ? in->by_column[1] : NULL, 1e-5f, in->out[0], in->out[1], in->out[2]);
}

static void run_d_layer_norm(const assay_kernels *k, const twin_input *in)
{
    k->d_layer_norm(in->rows, in->width, in->x[0], in->by_column[0], in->by_row[1], in->by_row[0],
                    in->x[1], in->out[0], in->add, in->out[1], in->add, in->out[2], in->add);
}

static void run_d_layer_norm_in_parts(const assay_kernels *k, const twin_input *in)
{
    k->d_layer_norm(in->rows, in->width, in->x[0], NULL, in->by_row[1], in->by_row[0], in->x[1],
                    in->out[0], in->add, NULL, false, NULL, false);
    k->d_layer_norm(in->rows, in->width, in->x[0], NULL, in->by_row[1], in->by_row[0], in->x[1],
                    NULL, false, NULL, false, in->out[1], in->add);
    k->d_layer_norm(in->rows, in->width, in->x[0], NULL, in->by_row[1], in->by_row[0], in->x[1],
                    NULL, false, in->out[2], in->add, NULL, false);
}

/* The gradient of cross-entropy inherits the rounding of lse, 4e-6 where logits reach 100. */
static const twin_case cases[] = {
    {"scale_rows", run_scale_rows, 2e-7},
    {"sum_rows", run_sum_rows, 1e-6},
    {"dot_rows", run_dot_rows, 1e-6},
    {"normalize_rows", run_normalize_rows, 1e-6},
    {"d_normalize_rows", run_d_normalize_rows, 2e-6},
    {"softmax_rows", run_softmax_rows, 6e-6},
    {"d_softmax_rows", run_d_softmax_rows, 2e-6},
    {"cross_entropy_rows", run_cross_entropy_rows, 2e-5},
    {"d_cross_entropy_rows in place", run_d_cross_entropy_in_place, 2e-5},
    {"divergence_rows", run_divergence_rows, 2e-5},
    {"divergence_rows, cross-entropy", run_divergence_rows_crossed, 2e-5},
    {"rms_norm", run_rms_norm, 1e-6},
    {"d_rms_norm", run_d_rms_norm, 2e-6},
    {"layer_norm", run_layer_norm, 2e-6},
    {"d_layer_norm", run_d_layer_norm, 2e-6},
    {"d_layer_norm in parts", run_d_layer_norm_in_parts, 2e-6},
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

static void softmax_of_huge_and_hidden_numbers_is_exact(void **state)
{
    (void)state;
    const float x[] = {3e38f, 3e38f, -3e38f, -INFINITY, 1e4f, 9.9e3f, -INFINITY, -1e4f};
    const float want[] = {0.5f, 0.5f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 0.0f};
    float y[8];
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->softmax_rows(2, 4, x, y);
        twin_expect_close(device->variant, 8, y, want, 0.0, 1e-37);
    }
}

static void softmax_shows_nan_in_its_whole_row_and_no_other(void **state)
{
    (void)state;
    const float x[] = {1.0f, NAN, 2.0f, 0.0f, 0.0f, 0.0f};
    float y[6];
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->softmax_rows(2, 3, x, y);
        assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
        assert_true(isfinite(y[3]) && isfinite(y[4]) && isfinite(y[5]));
    }
}

/* Equal rows are no distance apart whatever their size and common shift; a key that neither sees
 * adds nothing; a NaN shows. */
static void divergence_is_exact_where_it_can_be(void **state)
{
    (void)state;
    const float teacher[] = {1e4f, 1e4f, -INFINITY, 1.0f, 2.0f, 3.0f, 1.0f, NAN, 3.0f};
    const float student[] = {5.0f, 5.0f, -INFINITY, 1.0f, 2.0f, 3.0f, 0.5f, 0.5f, 2.0f};
    float loss[3], lse[6], d[9];
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->divergence_rows(3, 3, teacher, student, false, loss, lse);
        device->kernels->d_divergence_rows(3, 3, teacher, student, lse, 1.0f, NULL, d, false);
        assert_true(fabsf(loss[0]) < 1e-6f && fabsf(loss[1]) < 1e-7f && isnan(loss[2]));
        for (int i = 0; i < 6; i++)
            assert_true(fabsf(d[i]) < 1e-3f);
        assert_true(d[2] == 0.0f && isnan(d[7]));
    }
}

static void cross_entropy_survives_huge_logits_and_ignores_what_it_is_told_to(void **state)
{
    (void)state;
    const float x[] = {1e4f, -1e4f, 0.0f, 3e38f, 1.0f, NAN};
    const int32_t target[] = {1, 7};
    float loss[2], lse[2], d_x[6];
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->cross_entropy_rows(2, 3, x, target, 7, loss, lse);
        assert_true(loss[0] == 2e4f && lse[0] == 1e4f);
        assert_true(loss[1] == 0.0f && lse[1] == 0.0f);
        device->kernels->d_cross_entropy_rows(2, 3, x, target, 7, lse, 1.0f, NULL, d_x, false);
        assert_true(d_x[0] == 1.0f && d_x[1] == -1.0f && d_x[2] == 0.0f);
        assert_true(d_x[3] == 0.0f && d_x[4] == 0.0f && d_x[5] == 0.0f);
    }
}

static void rows_of_any_size_are_normalised(void **state)
{
    (void)state;
    const float sizes[] = {1e-30f, 1e-22f, 1e-15f, 1.0f, 1e25f, 1e37f};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++))
        for (int i = 0; i < 6; i++) {
            const float x[] = {3.0f * sizes[i], 0.0f, 4.0f * sizes[i], 0.0f, 0.0f};
            const float want[] = {0.6f, 0.0f, 0.8f, 0.0f, 0.0f};
            float y[5], norm;
            device->kernels->normalize_rows(1, 5, x, 1e-33f, y, &norm);
            twin_expect_close(device->variant, 5, y, want, 3e-7, 0.0);
        }
}

static void a_row_shorter_than_eps_is_divided_by_eps(void **state)
{
    (void)state;
    const float x[] = {3.0f, 4.0f}, d_y[] = {1.0f, -2.0f};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        float y[2], norm, d_x[2] = {10.0f, 10.0f};
        device->kernels->normalize_rows(1, 2, x, 8.0f, y, &norm);
        assert_true(y[0] == 0.375f && y[1] == 0.5f && norm == 8.0f);
        device->kernels->d_normalize_rows(1, 2, y, &norm, 8.0f, d_y, d_x, true);
        assert_true(d_x[0] == 10.125f && d_x[1] == 9.75f);
    }
}

static void layer_norm_keeps_its_digits_far_from_zero(void **state)
{
    (void)state;
    const float x[] = {10001.0f, 10003.0f, 10005.0f};
    const float want[] = {-1.22474487f, 0.0f, 1.22474487f};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        float y[3], mean, rstd;
        device->kernels->layer_norm(1, 3, x, NULL, NULL, 0.0f, y, &mean, &rstd);
        twin_expect_close(device->variant, 3, y, want, 1e-6, 1e-6);
        assert_true(mean == 10003.0f);
    }
}

/* Columns that are cut into pieces, of rows narrower and wider than the vectors of any device. */
static void long_columns_lose_no_row(void **state)
{
    (void)state;
    enum { ROWS = 9001, WIDEST_ROW = 12 };
    const int64_t widths[] = {1, 2, 4, 5, WIDEST_ROW};
    float *x = twin_normals("long", ROWS * WIDEST_ROW, 1.0f);
    float *by = twin_normals("by", ROWS * WIDEST_ROW + 1, 1.0f);
    float *rstd = twin_normals("rstd", ROWS, 1.0f);
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int i = 0; i < 5; i++) {
            float want[3 * WIDEST_ROW] = {0}, got[3 * WIDEST_ROW] = {0};
            for (int side = 0; side < 2; side++) {
                const assay_kernels *k = side ? device->kernels : &cpu_kernels_plain;
                float *y = side ? got : want;
                k->sum_rows(ROWS, widths[i], x, by, y, false);
                k->d_layer_norm(ROWS, widths[i], x, NULL, rstd, rstd, by, NULL, false,
                                y + WIDEST_ROW, true, y + 2 * WIDEST_ROW, true);
            }
            twin_expect_close(device->variant, 3 * WIDEST_ROW, got, want, 1e-6, 1e-3);
        }
    free(x);
    free(by);
    free(rstd);
}

/* The scalar sum(d_y * f(x)) of a normalisation, and its gradient by differences. */
typedef enum norm_kind { RMS, LAYER, UNIT, SOFTMAX } norm_kind;

enum {
    WIDTH = 5,
};

static double weighted_output(norm_kind kind, const float *x, const float *w, const float *d_y)
{
    const assay_kernels *k = &cpu_kernels_plain;
    float y[WIDTH], first, second;
    if (kind == RMS)
        k->rms_norm(1, WIDTH, x, w, 1e-3f, y, &first);
    else if (kind == LAYER)
        k->layer_norm(1, WIDTH, x, w, NULL, 1e-3f, y, &first, &second);
    else if (kind == UNIT)
        k->normalize_rows(1, WIDTH, x, 1e-12f, y, &first);
    else
        k->softmax_rows(1, WIDTH, x, y);
    double sum = 0.0;
    for (int c = 0; c < WIDTH; c++)
        sum += (double)y[c] * d_y[c];
    return sum;
}

static void gradient(norm_kind kind, const float *x, const float *w, const float *d_y, float *d_x)
{
    const assay_kernels *k = &cpu_kernels_plain;
    float y[WIDTH], first, second;
    if (kind == RMS) {
        k->rms_norm(1, WIDTH, x, w, 1e-3f, y, &first);
        k->d_rms_norm(1, WIDTH, x, w, &first, d_y, d_x, false, NULL, false);
    } else if (kind == LAYER) {
        k->layer_norm(1, WIDTH, x, w, NULL, 1e-3f, y, &first, &second);
        k->d_layer_norm(1, WIDTH, x, w, &first, &second, d_y, d_x, false, NULL, false, NULL, false);
    } else if (kind == UNIT) {
        k->normalize_rows(1, WIDTH, x, 1e-12f, y, &first);
        k->d_normalize_rows(1, WIDTH, y, &first, 1e-12f, d_y, d_x, false);
    } else {
        k->softmax_rows(1, WIDTH, x, y);
        k->d_softmax_rows(1, WIDTH, y, d_y, d_x, false);
    }
}

static void plain_gradients_are_those_of_the_values(void **state)
{
    (void)state;
    float *x = twin_normals("x", WIDTH, 1.0f), *w = twin_normals("w", WIDTH + 1, 1.0f);
    float *d_y = twin_normals("d_y", WIDTH + 2, 1.0f);
    const float step = 0x1p-6f;
    for (norm_kind kind = RMS; kind <= SOFTMAX; kind++) {
        float d_x[WIDTH];
        gradient(kind, x, w, d_y, d_x);
        for (int c = 0; c < WIDTH; c++) {
            float kept = x[c];
            double f[4];
            const float offsets[] = {-2.0f * step, -step, step, 2.0f * step};
            for (int i = 0; i < 4; i++) {
                x[c] = kept + offsets[i];
                f[i] = weighted_output(kind, x, w, d_y);
            }
            x[c] = kept;
            double measured = (8.0 * (f[2] - f[1]) - (f[3] - f[0])) / (12.0 * (double)step);
            assert_true(fabs(measured - d_x[c]) < 1e-4);
        }
    }
    free(x);
    free(w);
    free(d_y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_agrees_with_plain),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(softmax_of_huge_and_hidden_numbers_is_exact),
        cmocka_unit_test(softmax_shows_nan_in_its_whole_row_and_no_other),
        cmocka_unit_test(divergence_is_exact_where_it_can_be),
        cmocka_unit_test(cross_entropy_survives_huge_logits_and_ignores_what_it_is_told_to),
        cmocka_unit_test(rows_of_any_size_are_normalised),
        cmocka_unit_test(a_row_shorter_than_eps_is_divided_by_eps),
        cmocka_unit_test(layer_norm_keeps_its_digits_far_from_zero),
        cmocka_unit_test(long_columns_lose_no_row),
        cmocka_unit_test(plain_gradients_are_those_of_the_values),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
