/* Kernels on maps (convolutions, batch norm, pooling, resizing, pixel losses) against their plain
 * twins, and the bits of those that have no product in them at any number of threads. */
#include "twins.h"

enum {
    CHANNELS = 3,
};

/* The input as maps (1, CHANNELS, rows / CHANNELS, width); none where that has no pixel. */
static int64_t lines_of(const twin_input *in)
{
    return in->width > 0 ? in->rows / CHANNELS : 0;
}

static void run_sum_channels(const assay_kernels *k, const twin_input *in)
{
    k->sum_channels(2, in->rows / 2, in->width, in->x[0], in->out[0], in->add);
}

static void run_channel_moments(const assay_kernels *k, const twin_input *in)
{
    if (in->rows >= 2 && in->width > 0)
        k->channel_moments(2, in->rows / 2, in->width, in->x[0], in->out[0], in->out[1]);
}

static void run_batch_norm(const assay_kernels *k, const twin_input *in)
{
    device_batch_norm norm = {.batch = 2,
                              .channels = in->rows / 2,
                              .pixels = in->width,
                              .x = in->x[0],
                              .w = in->by_row[0],
                              .b = in->by_row[1],
                              .mean = in->by_row[1],
                              .rstd = in->by_row[0],
                              .y = in->out[0]};
    k->batch_norm(&norm);
    norm.relu = true;
    norm.y = in->out[1];
    k->batch_norm(&norm);
}

/* A value that rounds to the other side of the ReLU's kink would differ whole: see
 * tests/tensor/cases_maps.c for the gradient with one. */
static void run_d_batch_norm(const assay_kernels *k, const twin_input *in)
{
    int64_t channels = in->rows / 2;
    device_batch_norm norm = {.batch = 2,
                              .channels = channels,
                              .pixels = in->width,
                              .x = in->x[0],
                              .w = in->by_row[0],
                              .b = in->by_row[1],
                              .mean = in->by_row[1],
                              .rstd = in->by_row[0],
                              .d_y = in->x[1],
                              .of_batch = true,
                              .d_x = in->out[0],
                              .d_w = in->out[1],
                              .d_b = in->out[2],
                              .add_x = in->add,
                              .add_w = in->add,
                              .add_b = in->add};
    if (channels > 0 && in->width > 0)
        k->d_batch_norm(&norm);
}

static void run_max_pool(const assay_kernels *k, const twin_input *in)
{
    for (int64_t side = 2; side <= 3 && lines_of(in) > 0; side++) {
        k->max_pool(CHANNELS, lines_of(in), in->width, side, in->x[0], in->out[side - 2]);
        k->d_max_pool(CHANNELS, lines_of(in), in->width, side, in->x[0], in->x[1], in->out[2],
                      in->add);
    }
}

static void run_average_pool(const assay_kernels *k, const twin_input *in)
{
    if (lines_of(in) == 0 || in->rows * in->width < CHANNELS * 6)
        return;
    k->average_pool(CHANNELS, lines_of(in), in->width, 3, 2, in->x[0], in->out[0]);
    k->d_average_pool(CHANNELS, lines_of(in), in->width, 3, 2, in->x[1], in->out[1], in->add);
}

/* Smaller and larger, down and up at once. */
static void run_resize(const assay_kernels *k, const twin_input *in)
{
    int64_t lines = lines_of(in), half = (in->width + 1) / 2;
    if (lines == 0)
        return;
    k->resize(CHANNELS, lines, in->width, lines, half, in->x[0], in->out[0]);
    k->resize(1, lines, half, lines * 2, in->width, in->x[0], in->out[1]);
}

static void run_d_resize(const assay_kernels *k, const twin_input *in)
{
    int64_t lines = lines_of(in), half = (in->width + 1) / 2;
    if (lines == 0 || in->rows * in->width > 20000)
        return;
    k->d_resize(CHANNELS, lines, in->width, lines, half, in->x[0], in->out[0], in->add);
    k->d_resize(1, lines, half, lines * 2, in->width, in->x[0], in->out[1], in->add);
}

static void run_weaving(const assay_kernels *k, const twin_input *in)
{
    for (int64_t side = 1; side <= 3; side++) {
        int64_t parts = side * side, channels = in->rows / (2 * parts);
        k->depth_to_space(1, channels, side, 2, in->width, in->x[0], in->by_row[0], in->out[0]);
        k->space_to_depth(channels, side, 2, in->width, in->x[1], in->out[1]);
    }
    k->depth_to_space(in->rows / 3, 3, 1, 1, in->width, in->x[0], in->by_row[0], in->out[2]);
}

static void run_transpose(const assay_kernels *k, const twin_input *in)
{
    k->transpose(1, in->rows, in->width, in->x[0], 0, in->out[0], 0, in->add);
    k->transpose(2, in->rows / 2, in->width, in->x[1], in->rows / 2 * in->width, in->out[1],
                 in->rows / 2 * in->width, in->add);
}

/* Rows are classes: those of a pixel stand a row apart. */
static void run_pixel_cross_entropy(const assay_kernels *k, const twin_input *in)
{
    int64_t classes = in->rows / 2 < 250 ? in->rows / 2 : 250, pixels = in->width;
    uint8_t *truth = malloc((size_t)(2 * pixels) + 1);
    assert_non_null(truth);
    if (classes > 0) {
        for (int64_t i = 0; i < 2 * pixels; i++)
            truth[i] = i % 5 == 3 ? 255 : (uint8_t)(i * 7 % classes);
        k->pixel_cross_entropy(2, classes, pixels, in->x[0], truth, 255, 1.0, in->out[1],
                               in->out[0]);
        k->d_pixel_cross_entropy(2, classes, pixels, in->x[0], truth, 255, in->out[1], 0.125f,
                                 in->by_column[0], in->out[2], in->add);
    }
    free(truth);
}

/* The running statistics start from what the sections hold, one row of each. */
static void run_batch_statistics(const assay_kernels *k, const twin_input *in)
{
    int64_t channels = in->rows < in->width ? in->rows : in->width;
    float *variance = in->out[0] + channels, *running = in->out[2] + channels;
    for (int64_t c = 0; c < channels; c++) {
        in->out[0][c] = in->x[0][c];
        variance[c] = in->by_row[0][c];
        in->out[1][c] = in->x[1][c];
        running[c] = in->by_row[1][c];
    }
    k->batch_statistics(channels, 77.0, in->add ? 0.1 : 0.0, 1e-5f, in->out[0], variance,
                        in->out[1], running);
}

static const twin_case cases[] = {
    {"sum_channels", run_sum_channels, 1e-6},
    {"channel_moments", run_channel_moments, 1e-6},
    {"batch_statistics", run_batch_statistics, 1e-6},
    {"batch_norm", run_batch_norm, 1e-6},
    {"d_batch_norm", run_d_batch_norm, 5e-6},
    {"max_pool", run_max_pool, 0.0},
    {"average_pool", run_average_pool, 1e-6},
    {"resize", run_resize, 1e-6},
    {"d_resize", run_d_resize, 1e-6},
    {"weaving", run_weaving, 0.0},
    {"transpose", run_transpose, 0.0},
    {"pixel_cross_entropy", run_pixel_cross_entropy, 2e-5},
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

/* ---- convolutions ---- */

static const int64_t conv_sizes[][8] = {
    {1, 1, 1, 1, 1, 1, 1, 0},     {2, 3, 5, 7, 4, 3, 1, 1},   {1, 17, 9, 11, 33, 3, 1, 1},
    {2, 16, 16, 16, 16, 3, 1, 1}, {2, 5, 13, 12, 7, 3, 2, 1}, {1, 24, 8, 8, 40, 1, 1, 0},
    {2, 3, 8, 8, 6, 1, 2, 0},     {1, 2, 10, 9, 3, 5, 1, 2},  {1, 4, 6, 6, 4, 2, 2, 0},
    {2, 32, 13, 10, 48, 3, 1, 1}, {1, 16, 9, 8, 16, 3, 1, 0}, {3, 48, 8, 21, 16, 3, 1, 1},
    {1, 17, 12, 12, 16, 3, 1, 1},
};

typedef struct conv_arrays {
    int64_t of_x, of_w, of_y;
    float *x, *w, *bias, *y, *d_y, *d_x, *d_w;
} conv_arrays;

static conv_arrays conv_arrays_new(const int64_t s[8])
{
    int64_t rows = (s[2] + 2 * s[7] - s[5]) / s[6] + 1,
            columns = (s[3] + 2 * s[7] - s[5]) / s[6] + 1;
    conv_arrays a = {.of_x = s[0] * s[1] * s[2] * s[3],
                     .of_w = s[4] * s[1] * s[5] * s[5],
                     .of_y = s[0] * s[4] * rows * columns};
    a.x = twin_normals("x", a.of_x, 1.0f);
    a.w = twin_normals("w", a.of_w, 1.0f);
    a.bias = twin_normals("bias", s[4], 1.0f);
    a.d_y = twin_normals("d_y", a.of_y, 1.0f);
    a.y = twin_floats(a.of_y);
    a.d_x = twin_normals("d_x", a.of_x, 1.0f);
    a.d_w = twin_normals("d_w", a.of_w, 1.0f);
    return a;
}

static void conv_arrays_free(conv_arrays *a)
{
    float *all[] = {a->x, a->w, a->bias, a->y, a->d_y, a->d_x, a->d_w};
    for (int i = 0; i < 7; i++)
        free(all[i]);
}

static void run_conv(const assay_kernels *k, const int64_t s[8], const conv_arrays *a, bool bias,
                     bool add, device_precision precision)
{
    device_conv conv = {.batch = s[0],
                        .channels = s[1],
                        .height = s[2],
                        .width = s[3],
                        .filters = s[4],
                        .side = s[5],
                        .stride = s[6],
                        .pad = s[7],
                        .precision = precision,
                        .x = a->x,
                        .w = a->w,
                        .bias = bias ? a->bias : NULL,
                        .y = a->y};
    k->conv(&conv);
    conv.d_y = a->d_y;
    conv.d_x = a->d_x;
    conv.d_w = a->d_w;
    conv.add_x = conv.add_w = add;
    k->d_conv(&conv);
}

static void expect_conv_twins_to(double tolerance, const assay_device *device, const int64_t s[8],
                                 bool bias, bool add, device_precision precision)
{
    conv_arrays want = conv_arrays_new(s), got = conv_arrays_new(s);
    const char *what =
        assay_text("conv %lld x %lld x %lld x %lld to %lld, %s", (long long)s[0], (long long)s[1],
                   (long long)s[2], (long long)s[3], (long long)s[4], device->variant);
    /* Sums of some hundred products of normal numbers. */
    double floor =
        4.0 * tolerance * sqrt((double)(s[1] * s[5] * s[5] + s[4] * s[5] * s[5] + s[2] * s[3]));
    run_conv(&cpu_kernels_plain, s, &want, bias, add, precision);
    run_conv(device->kernels, s, &got, bias, add, precision);
    twin_expect_close(what, want.of_y, got.y, want.y, tolerance, floor);
    twin_expect_close(what, want.of_x, got.d_x, want.d_x, tolerance, floor);
    twin_expect_close(what, want.of_w, got.d_w, want.d_w, tolerance, floor);
    conv_arrays_free(&want);
    conv_arrays_free(&got);
}

static void expect_conv_twins(const assay_device *device, const int64_t s[8], bool bias, bool add)
{
    expect_conv_twins_to(1e-6, device, s, bias, add, DEVICE_FP32);
}

static void convolutions_agree_with_plain(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (size_t s = 0; s < sizeof conv_sizes / sizeof conv_sizes[0]; s++)
            for (int way = 0; way < 4; way++)
                expect_conv_twins(device, conv_sizes[s], way & 1, way & 2);
}

/* Factors of 11 bits: a product is off by at most 2^-10 of itself. */
static void convolutions_in_tf32_are_as_exact_as_their_factors(void **state)
{
    (void)state;
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int way = 0; way < 4; way++)
            expect_conv_twins_to(1e-3, device, conv_sizes[9], way & 1, way & 2, DEVICE_TF32);
}

/* A 3 x 3 window of ones over a single 1: everything that reads it, and the edge cut off. */
static void a_window_of_ones_spreads_a_one(void **state)
{
    (void)state;
    const float x[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const float want[] = {1, 1, 0, 0, 1, 1, 2, 2, 0, 0, 2, 2};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        float y[12];
        device_conv conv = {.batch = 1,
                            .channels = 1,
                            .height = 3,
                            .width = 4,
                            .filters = 1,
                            .side = 3,
                            .stride = 1,
                            .pad = 1,
                            .x = x,
                            .w = ones,
                            .y = y};
        device->kernels->conv(&conv);
        assert_memory_equal(y, want, sizeof want);
    }
}

/* Seven images two at a time, the last alone: the weight's gradient is added up. */
static void a_large_batch_is_taken_in_parts(void **state)
{
    (void)state;
    const int64_t size[] = {7, 16, 12, 9, 16, 3, 1, 1};
    int64_t was = cpu_conv_part(36 * 12 * 9 * (16 + 16) / 16 * 5 / 2);
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
        for (int add = 0; add < 2; add++)
            expect_conv_twins(device, size, true, add);
    (void)cpu_conv_part(was);
}

/* More shapes than are kept prepared: old ones are forgotten, and come back. */
static void many_shapes_take_turns(void **state)
{
    (void)state;
    const assay_device *device = tested_device_at(0);
    for (int round = 0; round < 2; round++)
        for (int64_t width = 1; width <= 140; width++)
            expect_conv_twins(device, (const int64_t[]){1, 1, 2, width, 1, 3, 1, 1}, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_agrees_with_plain),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(convolutions_agree_with_plain),
        cmocka_unit_test(convolutions_in_tf32_are_as_exact_as_their_factors),
        cmocka_unit_test(a_window_of_ones_spreads_a_one),
        cmocka_unit_test(a_large_batch_is_taken_in_parts),
        cmocka_unit_test(many_shapes_take_turns),
    };
    return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
