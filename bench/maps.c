/* bench/maps.c - the speed of operations on maps.
 *
 * A 3 x 3 convolution of 384 to 384 channels on 2 maps of 128 x 128, forward and backward, in
 * GFLOP/s beside those of a matrix product of like size, as one JSON line. What a whole segmenter's
 * step takes, by operation, is bench_upernet's to say (--profile).
 *
 * usage: bench_maps [threads] [steps] */
#include <assay/assay.h>

#include "engine/device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 2, WIDTH = 384, SIDE = 128, MOST_STEPS = 100 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(void)
{
    fprintf(stderr, "bench_maps: no memory\n");
    exit(1);
}

/* ---- one convolution ---- */

static float *numbers(int64_t n)
{
    float *x = assay_alloc(n * (int64_t)sizeof *x, NULL);
    if (!x)
        stop();
    assay_random_fill_normal(assay_stream_of(2, "numbers", 0), 0, n, x);
    return x;
}

/* Of its three passes. */
static void time_conv(const assay_kernels *k, int steps)
{
    int64_t of_x = (int64_t)BATCH * WIDTH * SIDE * SIDE, of_w = (int64_t)WIDTH * WIDTH * 9;
    double flops = 2.0 * (double)of_x * WIDTH * 9, best[4] = {1e30, 1e30, 1e30, 1e30};
    float *x = numbers(of_x), *w = numbers(of_w), *y = numbers(of_x), *d_x = numbers(of_x);
    float *d_w = numbers(of_w), *d_y = numbers(of_x);
    for (int step = 0; step <= steps; step++)
        for (int pass = 0; pass < 4; pass++) {
            device_conv conv = {.batch = BATCH,
                                .channels = WIDTH,
                                .height = SIDE,
                                .width = SIDE,
                                .filters = WIDTH,
                                .side = 3,
                                .stride = 1,
                                .pad = 1,
                                .x = x,
                                .w = w,
                                .y = y,
                                .d_y = d_y,
                                .d_x = pass == 1 ? d_x : NULL,
                                .d_w = pass == 2 ? d_w : NULL};
            double begun = seconds_now();
            if (pass == 0)
                k->conv(&conv);
            else if (pass < 3)
                k->d_conv(&conv);
            else
                k->gemm(&(device_gemm){.a = w,
                                       .b = x,
                                       .c = y,
                                       .m = WIDTH,
                                       .n = SIDE * SIDE,
                                       .k = WIDTH,
                                       .lda = WIDTH,
                                       .ldb = SIDE * SIDE,
                                       .ldc = SIDE * SIDE});
            begun = seconds_now() - begun;
            best[pass] = step > 0 && begun < best[pass] ? begun : best[pass];
        }
    printf(
        "{\"bench\":\"conv3x3\",\"forward\":%.1f,\"data\":%.1f,\"weights\":%.1f,\"sgemm\":%.1f}\n",
        1e-9 * flops / best[0], 1e-9 * flops / best[1], 1e-9 * flops / best[2],
        1e-9 * 2.0 * WIDTH * WIDTH * SIDE * SIDE / best[3]);
    float *const all[] = {x, w, y, d_x, d_w, d_y};
    for (int i = 0; i < 6; i++)
        assay_free(all[i]);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2, steps = argc > 2 ? atoi(argv[2]) : 3;
    assay_error error = {0};
    const assay_device *device = assay_device_cpu(&error);
    if (!device || steps < 1 || steps > MOST_STEPS || !assay_threads_set(threads, &error)) {
        fprintf(stderr, "usage: bench_maps [threads] [steps]\n");
        return 2;
    }
    time_conv(device->kernels, steps);
    return 0;
}
