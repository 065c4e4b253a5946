/* Shapes that a GPU shares out in other ways than small ones: rows that a block takes or that are
 * read four at a time, channels cut into pieces, windows that a warp adds up, more planes than are
 * taken beside each other. Every device against plain. */
#include "twins.h"

/* ---- rows ---- */

static void run_cross_entropy(const assay_kernels *k, const twin_input *in)
{
    k->cross_entropy_rows(in->rows, in->width, in->x[0], in->classes, -100, in->out[0], in->out[1]);
    k->d_cross_entropy_rows(in->rows, in->width, in->x[0], in->classes, -100, in->out[1], 0.125f,
                            in->by_column[0], in->out[2], in->add);
}

static void run_divergence(const assay_kernels *k, const twin_input *in)
{
    k->divergence_rows(in->rows, in->width, in->x[0], in->x[1], in->add, in->out[0], in->out[1]);
    k->d_divergence_rows(in->rows, in->width, in->x[0], in->x[1], in->out[1], 0.125f,
                         in->by_column[0], in->out[2], in->add);
}

static const twin_case row_cases[] = {
    {"cross_entropy_rows", run_cross_entropy, 2e-5},
    {"divergence_rows", run_divergence, 2e-5},
};

static void long_rows_agree_with_plain(void **state)
{
    (void)state;
    static const int64_t widths[] = {1025, 2052, 8192, 9001, 9004};
    for (int w = 0; w < 5; w++)
        for (int add = 0; add < 2; add++)
            twin_compare_shape(2, row_cases, 3, widths[w], add ? 30.0f : 1.0f, add, w == 1);
}

/* Rows of `width`, width at least 9: one with nothing but -infinity before and after its last but
 * one number, one that starts with -infinity, one of nothing else, one with a NaN among them, one
 * with infinity. */
static void fill_with_odd_numbers(int64_t width, float *x)
{
    for (int64_t i = 0; i < 5 * width; i++)
        x[i] = (float)(i % 7) - 3.0f;
    for (int64_t j = 0; j < width; j++) {
        x[j] = j == width - 2 ? 2.0f : -INFINITY;
        x[width + j] = j < 6 ? -INFINITY : x[width + j];
        x[2 * width + j] = -INFINITY;
        x[3 * width + j] = j < 8 ? -INFINITY : x[3 * width + j];
    }
    x[3 * width + 5] = NAN;
    x[4 * width + 5] = INFINITY;
}

static void hidden_classes_cost_nothing_and_nan_shows(void **state)
{
    (void)state;
    static const int64_t widths[] = {9, 12, 1203, 1204, 8200};
    for (int w = 0; w < 5; w++) {
        int64_t n = 5 * widths[w];
        float *x = twin_floats(n), *d[2] = {twin_floats(n), twin_floats(n)}, loss[2][5], lse[2][5];
        const int32_t target[] = {(int32_t)widths[w] - 2, 7, 1, 2, 3};
        fill_with_odd_numbers(widths[w], x);
        cpu_kernels_plain.cross_entropy_rows(5, widths[w], x, target, -1, loss[0], lse[0]);
        cpu_kernels_plain.d_cross_entropy_rows(5, widths[w], x, target, -1, lse[0], 1.0f, NULL,
                                               d[0], false);
        assert_true(loss[0][0] == 0.0f && isnan(loss[0][2]) && isnan(loss[0][3]));
        const assay_device *device;
        for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
            device->kernels->cross_entropy_rows(5, widths[w], x, target, -1, loss[1], lse[1]);
            device->kernels->d_cross_entropy_rows(5, widths[w], x, target, -1, lse[1], 1.0f, NULL,
                                                  d[1], false);
            twin_expect_close(device->variant, 5, loss[1], loss[0], 1e-6, 1e-6);
            twin_expect_close(device->variant, 5, lse[1], lse[0], 1e-6, 1e-6);
            twin_expect_close(device->variant, n, d[1], d[0], 2e-6, 1e-6);
        }
        free(x);
        free(d[0]);
        free(d[1]);
    }
}

/* ---- maps ---- */

/* Batch rows / 2 of 2 channels. */
static void run_channels(const assay_kernels *k, const twin_input *in)
{
    float ones[2] = {0.5f, 2.0f}, zeros[2] = {-0.25f, 0.125f};
    device_batch_norm norm = {.batch = in->rows / 2,
                              .channels = 2,
                              .pixels = in->width,
                              .x = in->x[0],
                              .w = ones,
                              .b = zeros,
                              .mean = zeros,
                              .rstd = ones,
                              .d_y = in->x[1],
                              .of_batch = true,
                              .d_x = in->out[0],
                              .d_w = in->out[1],
                              .d_b = in->out[1] + 2,
                              .add_x = in->add,
                              .add_w = in->add,
                              .add_b = in->add};
    k->sum_channels(in->rows / 2, 2, in->width, in->x[0], in->out[1] + 4, in->add);
    k->channel_moments(in->rows / 2, 2, in->width, in->x[0], in->out[2], in->out[2] + 2);
    k->d_batch_norm(&norm);
}

static const twin_case channel_cases[] = {
    {"channels in pieces", run_channels, 5e-6},
};

/* Few large planes, and many small ones whose pixels are a stride apart. */
static void channels_in_pieces_agree_with_plain(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{4, 9001}, {20000, 3}, {200, 257}, {4, 9004}, {6000, 12}};
    for (int s = 0; s < 5; s++)
        for (int add = 0; add < 2; add++)
            twin_compare_shape(1, channel_cases, shapes[s][0], shapes[s][1], 1.0f, add, 0);
}

/* The input as 3 planes of 90 x 100. */
static void run_wide_windows(const assay_kernels *k, const twin_input *in)
{
    float *y = in->out[0], *d_x = in->out[1];
    k->average_pool(3, 90, 100, 1, 1, in->x[0], y);
    k->average_pool(3, 90, 100, 7, 3, in->x[0], y + 3);
    k->d_average_pool(3, 90, 100, 1, 1, in->x[1], d_x, in->add);
    k->d_average_pool(3, 5, 7, 30, 11, in->x[1], in->out[2], in->add);
}

static void run_far_resizes(const assay_kernels *k, const twin_input *in)
{
    float *y = in->out[0], *d_x = in->out[1];
    k->resize(3, 4, 5, 64, 90, in->x[0], y);
    k->d_resize(3, 4, 5, 64, 90, in->x[1], d_x, in->add);
    k->d_resize(3, 1, 1, 90, 100, in->x[1], d_x + 60, in->add);
    k->d_resize(3, 90, 1, 3, 100, in->x[1], d_x + 63, in->add);
    k->d_resize(3, 90, 100, 3, 4, in->x[1], in->out[2], in->add);
}

static const twin_case window_cases[] = {
    {"windows that a warp adds up", run_wide_windows, 2e-6},
    {"resizes by much", run_far_resizes, 2e-6},
};

static void wide_windows_agree_with_plain(void **state)
{
    (void)state;
    for (int add = 0; add < 2; add++)
        twin_compare_shape(2, window_cases, 3, 9000, 1.0f, add, 0);
}

/* As many planes as rows, of one line. */
static void run_many_planes(const assay_kernels *k, const twin_input *in)
{
    int64_t planes = in->rows, wide = in->width;
    k->max_pool(planes, 1, wide, 1, in->x[0], in->out[0]);
    k->d_max_pool(planes, 1, wide, 1, in->x[0], in->x[1], in->out[0], in->add);
    k->average_pool(planes, 1, wide, 1, 1, in->x[0], in->out[1]);
    k->d_average_pool(planes, 1, wide, 1, 1, in->x[1], in->out[1], in->add);
    k->resize(planes, 1, wide, 1, 2, in->x[0], in->out[2]);
    k->d_resize(planes, 1, wide, 1, 2, in->x[1], in->out[2], in->add);
}

static void run_many_woven(const assay_kernels *k, const twin_input *in)
{
    k->depth_to_space(1, in->rows, 1, 1, in->width, in->x[0], in->by_row[0], in->out[0]);
    k->space_to_depth(in->rows, 1, 1, in->width, in->x[1], in->out[1]);
}

static const twin_case plane_cases[] = {
    {"many planes", run_many_planes, 2e-6},
    {"many woven planes", run_many_woven, 0.0},
};

static void many_planes_agree_with_plain(void **state)
{
    (void)state;
    for (int add = 0; add < 2; add++)
        twin_compare_shape(2, plane_cases, 9001, 3, 1.0f, add, 0);
}

/* More pixels than the partial sums of the loss have threads. */
static void a_loss_of_many_pixels_agrees_with_plain(void **state)
{
    (void)state;
    enum { PIXELS = 270000, CLASSES = 2 };
    float *x = twin_normals("x", PIXELS * CLASSES, 1.0f), loss[2];
    float *lse[2] = {twin_floats(PIXELS), twin_floats(PIXELS)};
    uint8_t *truth = malloc(PIXELS);
    assert_non_null(truth);
    for (int64_t i = 0; i < PIXELS; i++)
        truth[i] = i % 11 == 0 ? 9 : (uint8_t)(i % CLASSES);
    cpu_kernels_plain.pixel_cross_entropy(1, CLASSES, PIXELS, x, truth, 9, 1e-3, lse[0], &loss[0]);
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
        device->kernels->pixel_cross_entropy(1, CLASSES, PIXELS, x, truth, 9, 1e-3, lse[1],
                                             &loss[1]);
        twin_expect_close(device->variant, PIXELS, lse[1], lse[0], 1e-6, 1e-6);
        twin_expect_close(device->variant, 1, &loss[1], &loss[0], 1e-6, 0.0);
    }
    free(x);
    free(lse[0]);
    free(lse[1]);
    free(truth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_rows_agree_with_plain),
        cmocka_unit_test(hidden_classes_cost_nothing_and_nan_shows),
        cmocka_unit_test(channels_in_pieces_agree_with_plain),
        cmocka_unit_test(wide_windows_agree_with_plain),
        cmocka_unit_test(many_planes_agree_with_plain),
        cmocka_unit_test(a_loss_of_many_pixels_agrees_with_plain),
    };
    return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
