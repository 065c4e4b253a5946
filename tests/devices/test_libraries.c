/* Products, convolutions and softmax of a device in its own memory, with nothing waited for between
 * the calls. The other tests of kernels hand over arrays of the host and let each call end; here
 * the work lies in the stream until the result is fetched, as it does in a training step. */
#include "device/twins.h"

enum { IMAGES = 3, CHANNELS = 5, SIDE = 9, FILTERS = 17, PIXELS = SIDE * SIDE, WIDTH = 301 };

static const assay_device *device;

/* A copy in device memory of n normal numbers. */
static float *put_normals(const char *name, int64_t n)
{
    float *host = twin_normals(name, n, 1.0f);
    float *there = device->memory->take(n * (int64_t)sizeof(float), NULL);
    assert_non_null(there);
    device->memory->upload(there, host, n * (int64_t)sizeof(float));
    free(host); /* what stood there was taken at once */
    return there;
}

/* An array in device memory whose numbers nobody may count on: NaN. */
static float *put_nan(int64_t n)
{
    float *host = twin_floats(n);
    float *there = device->memory->take(n * (int64_t)sizeof(float), NULL);
    assert_non_null(there);
    for (int64_t i = 0; i < n; i++)
        host[i] = NAN;
    device->memory->upload(there, host, n * (int64_t)sizeof(float));
    free(host);
    return there;
}

typedef struct chain {
    float *x, *w, *bias, *y, *p, *weight, *z, *d_z, *d_y, *d_w;
} chain;

enum {
    X_COUNT = IMAGES * CHANNELS * PIXELS,
    W_COUNT = FILTERS * CHANNELS * 9,
    Y_COUNT = IMAGES * FILTERS * PIXELS,
    WEIGHT_COUNT = PIXELS * WIDTH,
    Z_COUNT = IMAGES * FILTERS * WIDTH,
};

/* y = convolution of x; p = softmax of its maps; z = max(p weight + bias, 0), a long sum; then back
 * to d_w. */
static void run_chain(const assay_kernels *k, const chain *c)
{
    device_conv conv = {.batch = IMAGES,
                        .channels = CHANNELS,
                        .height = SIDE,
                        .width = SIDE,
                        .filters = FILTERS,
                        .side = 3,
                        .stride = 1,
                        .pad = 1,
                        .x = c->x,
                        .w = c->w,
                        .bias = c->bias,
                        .y = c->y};
    device_gemm forward = {.a = c->p,
                           .b = c->weight,
                           .c = c->z,
                           .m = IMAGES * FILTERS,
                           .n = WIDTH,
                           .k = PIXELS,
                           .lda = PIXELS,
                           .ldb = WIDTH,
                           .ldc = WIDTH,
                           .bias = c->bias,
                           .activation = DEVICE_RELU};
    device_gemm backward = {.a = c->d_z,
                            .b = c->weight,
                            .c = c->d_y,
                            .m = IMAGES * FILTERS,
                            .n = PIXELS,
                            .k = WIDTH,
                            .lda = WIDTH,
                            .ldb = WIDTH,
                            .ldc = PIXELS,
                            .transpose_b = true};
    k->conv(&conv);
    k->softmax_rows(IMAGES * FILTERS, PIXELS, c->y, c->p);
    k->gemm(&forward);
    k->gemm(&backward);
    k->d_softmax_rows(IMAGES * FILTERS, PIXELS, c->p, c->d_y, c->d_y, false);
    conv.d_y = c->d_y;
    conv.d_w = c->d_w;
    k->d_conv(&conv);
}

static chain chain_there(void)
{
    return (chain){.x = put_normals("x", X_COUNT),
                   .w = put_normals("w", W_COUNT),
                   .bias = put_normals("bias", WIDTH),
                   .y = put_nan(Y_COUNT),
                   .p = put_nan(Y_COUNT),
                   .weight = put_normals("weight", WEIGHT_COUNT),
                   .z = put_nan(Z_COUNT),
                   .d_z = put_normals("d_z", Z_COUNT),
                   .d_y = put_nan(Y_COUNT),
                   .d_w = put_nan(W_COUNT)};
}

static chain chain_here(void)
{
    return (chain){.x = twin_normals("x", X_COUNT, 1.0f),
                   .w = twin_normals("w", W_COUNT, 1.0f),
                   .bias = twin_normals("bias", WIDTH, 1.0f),
                   .y = twin_floats(Y_COUNT),
                   .p = twin_floats(Y_COUNT),
                   .weight = twin_normals("weight", WEIGHT_COUNT, 1.0f),
                   .z = twin_floats(Z_COUNT),
                   .d_z = twin_normals("d_z", Z_COUNT, 1.0f),
                   .d_y = twin_floats(Y_COUNT),
                   .d_w = twin_floats(W_COUNT)};
}

static void chain_each(const chain *c, void (*act)(void *piece))
{
    float *all[] = {c->x, c->w, c->bias, c->y, c->p, c->weight, c->z, c->d_z, c->d_y, c->d_w};
    for (int i = 0; i < 10; i++)
        act(all[i]);
}

static void expect_no_failure(void)
{
    assay_error error = {0};
    if (device->memory->failed(&error))
        fail_msg("%s: %s: %s", error.where, error.what, error.got);
}

static void calls_follow_each_other_without_a_wait(void **state)
{
    (void)state;
    chain there = chain_there(), here = chain_here();
    float z[Z_COUNT], d_w[W_COUNT];
    run_chain(device->kernels, &there);
    device->memory->download(z, there.z, sizeof z);
    device->memory->download(d_w, there.d_w, sizeof d_w);
    expect_no_failure();
    run_chain(&cpu_kernels_plain, &here);
    twin_expect_close("z", Z_COUNT, z, here.z, 1e-5, 1e-5);
    twin_expect_close("d_w", W_COUNT, d_w, here.d_w, 1e-4, 1e-4);
    chain_each(&there, device->memory->give);
    chain_each(&here, free);
}

/* Memory that is given back while the work that reads it waits serves later work, and only that. */
static void memory_given_back_is_used_again_in_order(void **state)
{
    (void)state;
    float z[2][Z_COUNT], d_w[2][W_COUNT];
    chain kept[2];
    for (int round = 0; round < 2; round++) {
        chain c = kept[round] = chain_there();
        run_chain(device->kernels, &c);
        float *gone[] = {c.x, c.w, c.bias, c.y, c.p, c.weight, c.d_z, c.d_y};
        for (int i = 0; i < 8; i++)
            device->memory->give(gone[i]);
    }
    for (int round = 0; round < 2; round++) {
        device->memory->download(z[round], kept[round].z, sizeof z[round]);
        device->memory->download(d_w[round], kept[round].d_w, sizeof d_w[round]);
        device->memory->give(kept[round].z);
        device->memory->give(kept[round].d_w);
    }
    expect_no_failure();
    assert_memory_equal(z[0], z[1], sizeof z[0]);
    assert_memory_equal(d_w[0], d_w[1], sizeof d_w[0]);
}

static void sums_over_nothing_clear_or_keep(void **state)
{
    (void)state;
    float *c = put_nan(6), *kept = put_normals("kept", 6), *bias = put_normals("bias", 3);
    float got[3][6], *before = twin_normals("kept", 6, 1.0f), *row = twin_normals("bias", 3, 1.0f);
    device_gemm g = {.a = c, .b = c, .c = c, .m = 2, .n = 3, .lda = 1, .ldb = 3, .ldc = 3};
    device->kernels->gemm(&g);
    device->memory->download(got[0], c, sizeof got[0]);
    g.bias = bias;
    device->kernels->gemm(&g);
    device->memory->download(got[1], c, sizeof got[1]);
    g.bias = NULL;
    g.add = true;
    g.c = kept;
    device->kernels->gemm(&g);
    device->memory->download(got[2], kept, sizeof got[2]);
    expect_no_failure();
    for (int i = 0; i < 6; i++)
        assert_true(got[0][i] == 0.0f && got[1][i] == row[i % 3] && got[2][i] == before[i]);
    device->memory->give(c);
    device->memory->give(kept);
    device->memory->give(bias);
    free(before);
    free(row);
}

/* A convolution of no channels is its bias; of no images, its weight's gradient is nothing. */
static void convolutions_of_nothing_are_their_bias(void **state)
{
    (void)state;
    float *y = put_nan(8), *bias = put_normals("bias", 2), *d_w = put_nan(4), got[12];
    float *want = twin_normals("bias", 2, 1.0f);
    device_conv g = {.batch = 1,
                     .height = 2,
                     .width = 2,
                     .filters = 2,
                     .side = 1,
                     .stride = 1,
                     .x = y,
                     .w = y,
                     .bias = bias,
                     .y = y};
    device->kernels->conv(&g);
    device->memory->download(got, y, 8 * sizeof(float));
    g.batch = 0;
    g.channels = 2;
    g.d_y = y;
    g.d_w = d_w;
    device->kernels->d_conv(&g);
    device->memory->download(got + 8, d_w, 4 * sizeof(float));
    expect_no_failure();
    for (int i = 0; i < 12; i++)
        assert_true(got[i] == (i < 8 ? want[i / 4] : 0.0f));
    device->memory->give(y);
    device->memory->give(bias);
    device->memory->give(d_w);
    free(want);
}

/* C (5, 7) of n normal numbers each, stored as bf16: sums of 1, for which the stand-in has no
 * algorithm, and of 300, whose parts lie in the memory where the first were widened. */
static void products_of_bf16_follow_each_other_without_a_wait(void **state)
{
    (void)state;
    enum { M = 5, N = 7, MOST = 300, CALLS = 4 };
    const int64_t depth[CALLS] = {1, MOST - 1, 1, MOST - 3}; /* from number 0, 1, 2, 3 */
    float *x = put_normals("factors", (M + N) * MOST), *bias = put_normals("bias", N);
    uint16_t *narrow = device->memory->take((M + N) * MOST * (int64_t)sizeof *narrow, NULL);
    uint16_t stored[(M + N) * MOST];
    float *c[CALLS], got[M * N], want[M * N], *row = twin_normals("bias", N, 1.0f);
    device->kernels->to_bf16((M + N) * MOST, x, narrow);
    device->memory->download(stored, narrow, sizeof stored);
    for (int i = 0; i < CALLS; i++) {
        c[i] = put_nan(M * N);
        device->kernels->gemm(&(device_gemm){.a = narrow + i,
                                             .b = narrow + M * MOST + i,
                                             .c = c[i],
                                             .m = M,
                                             .n = N,
                                             .k = depth[i],
                                             .lda = MOST,
                                             .ldb = MOST,
                                             .ldc = N,
                                             .transpose_b = true,
                                             .bias = bias,
                                             .activation = DEVICE_RELU,
                                             .precision = DEVICE_BF16_STORED});
    }
    for (int i = 0; i < CALLS; i++) {
        device->memory->download(got, c[i], sizeof got);
        cpu_kernels_plain.gemm(&(device_gemm){.a = stored + i,
                                              .b = stored + M * MOST + i,
                                              .c = want,
                                              .m = M,
                                              .n = N,
                                              .k = depth[i],
                                              .lda = MOST,
                                              .ldb = MOST,
                                              .ldc = N,
                                              .transpose_b = true,
                                              .bias = row,
                                              .activation = DEVICE_RELU,
                                              .precision = DEVICE_BF16_STORED});
        twin_expect_close("bf16", M * N, got, want, 4e-6, 4e-6 * 18.0);
        device->memory->give(c[i]);
    }
    expect_no_failure();
    device->memory->give(x);
    device->memory->give(bias);
    device->memory->give(narrow);
    free(row);
}

/* Last: a failure stays. */
static void a_wrong_leading_dimension_comes_back_as_an_error(void **state)
{
    (void)state;
    float *x = put_normals("x", 64);
    device_gemm g = {.a = x, .b = x, .c = x + 32, .m = 4, .n = 4, .k = 4, .ldb = 4, .ldc = 4};
    assay_error error = {0};
    g.lda = (int64_t)1 << 40; /* out of any allocation */
    device->kernels->gemm(&g);
    device->memory->wait();
    assert_true(device->memory->failed(&error));
    assert_string_equal(error.where, "cuda: cublasLtMatmul");
    device->memory->give(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_follow_each_other_without_a_wait),
        cmocka_unit_test(memory_given_back_is_used_again_in_order),
        cmocka_unit_test(products_of_bf16_follow_each_other_without_a_wait),
        cmocka_unit_test(sums_over_nothing_clear_or_keep),
        cmocka_unit_test(convolutions_of_nothing_are_their_bias),
        cmocka_unit_test(a_wrong_leading_dimension_comes_back_as_an_error),
    };
    device = tested_device_at(0);
    return cmocka_run_group_tests_name("libraries", tests, NULL, NULL);
}
