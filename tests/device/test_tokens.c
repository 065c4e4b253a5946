/* Kernels that move rows of tokens: tables, masks, strided copies, patches, rotary positions. */
#include "twins.h"

enum {
    WIDEST = 4,
};

static const int32_t some_lengths[] = {2, 0, 3, 1};

/* The first rows of the input as (batch, 3 tokens, width): at most four batch items. */
static int64_t batch_of(const twin_input *in)
{
    return in->rows / 3 < WIDEST ? in->rows / 3 : WIDEST;
}

static void run_gather_rows(const assay_kernels *k, const twin_input *in)
{
    if (in->rows >= TWIN_ENTRIES)
        k->gather_rows(in->rows, in->width, in->x[0], in->ids, in->out[0]);
}

static void run_scatter_rows(const assay_kernels *k, const twin_input *in)
{
    k->scatter_rows(in->rows, in->width, TWIN_ENTRIES, in->x[0], in->ids, in->out[0], in->add);
}

static void run_masked_mean(const assay_kernels *k, const twin_input *in)
{
    k->masked_mean(batch_of(in), 3, in->width, in->x[0], some_lengths, in->out[0]);
    k->masked_mean(1, in->rows, in->width, in->x[0], NULL, in->out[1]);
}

static void run_d_masked_mean(const assay_kernels *k, const twin_input *in)
{
    k->d_masked_mean(batch_of(in), 3, in->width, in->x[0], some_lengths, in->out[0], in->add);
    if (in->rows > 0)
        k->d_masked_mean(1, in->rows, in->width, in->x[0], NULL, in->out[1], in->add);
}

static void run_mask_rows(const assay_kernels *k, const twin_input *in)
{
    k->mask_rows(batch_of(in), 3, in->width, in->x[0], some_lengths, in->out[0], in->add);
    const int32_t most = (int32_t)(in->rows * 2 / 3);
    memcpy(in->out[1], in->x[0], (size_t)(in->rows * in->width) * sizeof(float));
    k->mask_rows(1, in->rows, in->width, in->out[1], &most, in->out[1], false);
    k->mask_rows(1, in->rows, in->width, in->x[0], NULL, in->out[2], in->add);
}

static void run_copy_rows(const assay_kernels *k, const twin_input *in)
{
    int64_t part = in->width / 2;
    k->copy_rows(in->rows, part, in->x[0] + (in->width - part), in->width, in->out[0], part,
                 in->add);
    k->copy_rows(in->rows, part, in->x[0], in->width, in->out[1] + (in->width - part), in->width,
                 in->add);
}

/* The width as heads of 8, of 2 and of all of it. */
static void run_rotary(const assay_kernels *k, const twin_input *in)
{
    const int64_t widths[] = {8, 2, in->width / 2 * 2};
    for (int i = 0; i < 3; i++) {
        int64_t head = widths[i] > 0 ? widths[i] : 2, heads = in->width / head, start = 2;
        if (in->rows <= start || heads == 0)
            continue;
        int64_t tokens = in->rows - start;
        k->rotary(1, tokens, heads, head, start, in->x[1], in->x[2], in->x[0], in->out[i], i == 1,
                  in->add);
    }
}

static void run_rotary_in_batches(const assay_kernels *k, const twin_input *in)
{
    int64_t tokens = in->rows / 3, heads = in->width / 2;
    memcpy(in->out[0], in->x[0], (size_t)(in->rows * in->width) * sizeof(float));
    k->rotary(3, tokens, heads, 2, 0, in->x[1], in->x[2], in->out[0], in->out[0], in->add, false);
}

/* The input as (batch, 3 channels, 2 side, 3 side), as far as it reaches. */
static void run_patches(const assay_kernels *k, const twin_input *in)
{
    for (int64_t side = 1; side <= 8; side *= 2) {
        int64_t batch = in->rows * in->width / (18 * side * side);
        k->patches(batch, 3, 2, 3, side, in->x[0], in->out[0]);
        k->d_patches(batch, 3, 2, 3, side, in->x[0], in->out[1], in->add);
    }
}

static const twin_case cases[] = {
    {"gather_rows", run_gather_rows, 0.0},  {"scatter_rows", run_scatter_rows, 1e-6},
    {"masked_mean", run_masked_mean, 1e-6}, {"d_masked_mean", run_d_masked_mean, 2e-7},
    {"mask_rows", run_mask_rows, 0.0},      {"copy_rows", run_copy_rows, 0.0},
    {"rotary", run_rotary, 2e-7},           {"rotary in batches", run_rotary_in_batches, 2e-7},
    {"patches", run_patches, 0.0},
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

static void patches_stand_where_a_vit_expects_them(void **state)
{
    (void)state;
    /* One channel of 4 x 4 pixels numbered by row, then a second one from 16. */
    float image[32], patches[32], back[32];
    for (int i = 0; i < 32; i++)
        image[i] = (float)i;
    const float second_patch[] = {2, 3, 6, 7, 18, 19, 22, 23};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->patches(1, 2, 2, 2, 2, image, patches);
        assert_memory_equal(patches + 8, second_patch, sizeof second_patch);
        device->kernels->d_patches(1, 2, 2, 2, 2, patches, back, false);
        assert_memory_equal(back, image, sizeof image);
    }
}

static void masked_tokens_are_never_read(void **state)
{
    (void)state;
    const float x[] = {1.0f, 2.0f, NAN, NAN, NAN, NAN, NAN, NAN};
    const int32_t lengths[] = {1, 0};
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        float y[8], mean[4];
        device->kernels->mask_rows(2, 2, 2, x, lengths, y, false);
        assert_true(y[0] == 1.0f && y[1] == 2.0f);
        for (int i = 2; i < 8; i++)
            assert_true(y[i] == 0.0f);
        device->kernels->masked_mean(2, 2, 2, x, lengths, mean);
        assert_true(mean[0] == 1.0f && mean[1] == 2.0f && mean[2] == 0.0f && mean[3] == 0.0f);
    }
}

/* Thousands of rows, of which many have one id, some an id of their own, and most entries none. */
static void scattered_rows_of_one_id_are_added_up_however_many(void **state)
{
    (void)state;
    enum { ROWS = 3000, WIDEST_ROW = 8, ENTRIES = 700 };
    const int64_t widths[] = {3, WIDEST_ROW};
    float *x = twin_normals("scattered", ROWS * WIDEST_ROW, 1.0f);
    float *want = twin_floats(ENTRIES * WIDEST_ROW), *got = twin_floats(ENTRIES * WIDEST_ROW);
    int32_t ids[ROWS];
    const assay_stream stream = assay_stream_of(17, "ids", 0);
    for (int i = 0; i < ROWS; i++)
        ids[i] = i % 3 == 0 ? (int32_t)assay_random_below(stream, (uint64_t)i, ENTRIES)
                            : 300 + i % 3 * (i % 2);
    for (int w = 0; w < 2; w++)
        for (int add = 0; add < 2; add++) {
            int64_t size = ENTRIES * widths[w];
            memcpy(want, x, (size_t)size * sizeof *x);
            cpu_kernels_plain.scatter_rows(ROWS, widths[w], ENTRIES, x, ids, want, add);
            const assay_device *device;
            for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
                memcpy(got, x, (size_t)size * sizeof *x);
                device->kernels->scatter_rows(ROWS, widths[w], ENTRIES, x, ids, got, add);
                twin_expect_close(device->variant, size, got, want, 1e-5, 1e-5);
            }
        }
    free(x);
    free(want);
    free(got);
}

static void rotating_back_undoes_rotating(void **state)
{
    (void)state;
    enum { T = 9, D = 16 };
    float *x = twin_normals("x", T * D, 1.0f), cosine[T * D / 2], sine[T * D / 2], y[T * D];
    for (int i = 0; i < T * D / 2; i++) {
        cosine[i] = cosf(0.37f * (float)i);
        sine[i] = sinf(0.37f * (float)i);
    }
    const assay_device *device = assay_device_plain();
    for (int v = 0; device != NULL; device = tested_device_at(v++)) {
        device->kernels->rotary(1, T, 1, D, 0, cosine, sine, x, y, false, false);
        assert_true(fabsf(y[D] - (x[D] * cosine[D / 2] - x[D + D / 2] * sine[D / 2])) < 1e-6f);
        device->kernels->rotary(1, T, 1, D, 0, cosine, sine, y, y, true, false);
        twin_expect_close(device->variant, T * D, y, x, 0.0, 1e-6);
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_agrees_with_plain),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(patches_stand_where_a_vit_expects_them),
        cmocka_unit_test(masked_tokens_are_never_read),
        cmocka_unit_test(scattered_rows_of_one_id_are_added_up_however_many),
        cmocka_unit_test(rotating_back_undoes_rotating),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
