/* bench/maps.c - the speed of operations on maps.
 *
 * First a 3 x 3 convolution of 384 to 384 channels on 2 maps of 128 x 128, forward and backward, in
 * GFLOP/s beside those of a matrix product of like size. Then a training step of the UPerNet head of
 * infrared spec 2.9.2 and 2.9.3 (width 384, 21 classes, 2 images of 512 pixels, without the
 * backbone), with the seconds of each kind of operation. Prints one JSON line each.
 *
 * usage: bench_maps [threads] [steps] */
#include <assay/assay.h>

#include "engine/device/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 2, WIDTH = 384, SIDE = 128, CLASSES = 21, MOST = 64, MOST_STEPS = 100 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const assay_tape *tape)
{
    char text[1024];
    fprintf(stderr, "bench_maps: %s\n",
            tape ? assay_error_format(assay_tape_error(tape), text, sizeof text) : "no memory");
    exit(1);
}

/* ---- parameters: leaves made where they are first asked for, in the order of the passes ---- */

typedef struct head {
    assay_tape *tape;
    assay_tensor *leaves[4 * MOST];
    int made, next;
} head;

static assay_tensor *leaf(head *h, int rank, const int64_t *shape, float scale, float shift,
                          bool trained)
{
    if (h->next < h->made)
        return h->leaves[h->next++];
    assay_tensor *t = assay_tensor_new(ASSAY_F32, rank, shape, NULL);
    if (!t || h->made == 4 * MOST || (trained && !assay_tensor_want_grad(t, NULL)))
        stop(NULL);
    assay_random_fill_normal(assay_stream_of(1, "leaf", (uint64_t)h->made), 0,
                             assay_tensor_count(t), assay_f32(t));
    for (int64_t i = 0; i < assay_tensor_count(t); i++)
        assay_f32(t)[i] = assay_f32(t)[i] * scale + shift;
    h->leaves[h->made++] = t;
    h->next++;
    return t;
}

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

static assay_tensor *norm(head *h, assay_tensor *x, bool relu)
{
    const int64_t *channels = &x->shape[1];
    assay_tensor *w = leaf(h, 1, channels, 0, 1, true), *b = leaf(h, 1, channels, 0, 0, true);
    assay_batch_stats stats = {.mean = leaf(h, 1, channels, 0, 0, false),
                               .variance = leaf(h, 1, channels, 0, 1, false),
                               .momentum = 0.1f};
    return relu ? assay_batch_norm_relu(h->tape, x, w, b, &stats, 1e-5f)
                : assay_batch_norm(h->tape, x, w, b, &stats, 1e-5f);
}

/* Convolution, batch norm, ReLU. */
static assay_tensor *block(head *h, assay_tensor *x, int64_t filters, int64_t side)
{
    assay_tensor *w = leaf(h, 4, SHAPE(filters, x->shape[1], side, side), 0.02f, 0, true);
    return norm(h, assay_conv2d(h->tape, x, w, NULL, 1, side / 2), true);
}

static assay_tensor *twice(head *h, assay_tensor *x)
{
    assay_tensor *w = leaf(h, 4, SHAPE(WIDTH, WIDTH, 2, 2), 0.02f, 0, true);
    return assay_conv_transpose2d(h->tape, x, w, leaf(h, 1, SHAPE(WIDTH), 0, 0, true));
}

/* ---- the head ---- */

static assay_tensor *pyramid(head *h, assay_tensor *x)
{
    static const int64_t scales[] = {1, 2, 3, 6};
    assay_tensor *parts[5] = {x};
    for (int i = 0; i < 4; i++) {
        assay_tensor *pooled = assay_adaptive_average_pool2d(h->tape, x, scales[i], scales[i]);
        parts[i + 1] =
            assay_resize_bilinear(h->tape, block(h, pooled, WIDTH, 1), x->shape[2], x->shape[3]);
    }
    return block(h, assay_concat(h->tape, 5, parts, 1), WIDTH, 3);
}

static assay_tensor *loss_of(head *h, assay_tensor *tokens, const assay_tensor *truth)
{
    assay_tape *tape = h->tape;
    assay_tensor *map = assay_tokens_to_map(tape, tokens, 1, SIDE / 4, SIDE / 4), *x[4], *y[4];
    x[0] = twice(h, assay_activate(tape, norm(h, twice(h, map), false), ASSAY_GELU));
    x[1] = twice(h, map);
    x[2] = map;
    for (int i = 0; i < 3; i++)
        x[i] = block(h, x[i], WIDTH, 1);
    x[3] = pyramid(h, assay_max_pool2d(tape, map, 2));
    for (int i = 2; i >= 0; i--)
        x[i] = assay_add(tape, x[i], assay_resize_bilinear(tape, x[i + 1], SIDE >> i, SIDE >> i));
    for (int i = 0; i < 4; i++) {
        y[i] = i < 3 ? block(h, x[i], WIDTH, 3) : x[i];
        if (i > 0)
            y[i] = assay_resize_bilinear(tape, y[i], SIDE, SIDE);
    }
    map = block(h, assay_concat(tape, 4, y, 1), WIDTH, 3);
    map = assay_dropout2d(tape, map, 0.1f, "head");
    map = assay_conv2d(tape, map, leaf(h, 4, SHAPE(CLASSES, WIDTH, 1, 1), 0.01f, 0, true),
                       leaf(h, 1, SHAPE(CLASSES), 0, 0, true), 1, 0);
    map = assay_resize_bilinear(tape, map, 4 * SIDE, 4 * SIDE);
    return assay_pixel_cross_entropy(tape, map, truth, 255, true);
}

/* ---- seconds by operation and direction ---- */

typedef struct profile {
    const char *name[MOST];
    bool backward[MOST];
    double seconds[MOST];
    int count;
} profile;

static void profile_add(const char *op, bool backward, double seconds, void *user)
{
    profile *p = user;
    int i = 0;
    while (i < p->count && !(p->backward[i] == backward && strcmp(p->name[i], op) == 0))
        i++;
    if (i == MOST)
        return;
    p->count = i == p->count ? i + 1 : p->count;
    p->name[i] = op;
    p->backward[i] = backward;
    p->seconds[i] += seconds;
}

static void time_head(const assay_device *device, int steps)
{
    head h = {.tape = assay_tape_new(device, ASSAY_PRECISION_FP32, NULL)};
    profile p = {.count = 0};
    double best = 1e30, value = 0;
    if (!h.tape)
        stop(NULL);
    for (int step = 0; step <= steps; step++) {
        double begun = seconds_now();
        if (step == 1)
            assay_tape_profile(h.tape, profile_add, &p);
        assay_tape_begin(h.tape,
                         (assay_step){.seed = 1, .clock = (uint64_t)step, .training = true});
        h.next = 0;
        assay_tensor *tokens = leaf(&h, 3, SHAPE(BATCH, 1 + SIDE * SIDE / 16, WIDTH), 1, 0, true);
        assay_tensor *truth = assay_tape_tensor(h.tape, ASSAY_U8, 3, SHAPE(BATCH, 512, 512));
        for (int64_t i = 0; truth && i < assay_tensor_count(truth); i++)
            assay_u8(truth)[i] = (uint8_t)(i / 64 % CLASSES);
        for (int i = 0; i < h.made; i++)
            h.leaves[i]->has_grad = false;
        assay_tensor *loss = loss_of(&h, tokens, truth);
        if (!loss || !assay_tape_backward(h.tape, loss, 1.0f))
            stop(h.tape);
        value = assay_value(loss);
        begun = seconds_now() - begun;
        best = step > 0 && begun < best ? begun : best;
    }
    printf("{\"bench\":\"upernet\",\"seconds\":%.3f,\"loss\":%.6f,\"arena_mb\":%.0f", best, value,
           (double)assay_tape_stats_get(h.tape).arena.peak_bytes / 1e6);
    for (int i = 0; i < p.count; i++)
        printf(",\"%s%s\":%.4f", p.backward[i] ? "d_" : "", p.name[i], p.seconds[i] / steps);
    printf("}\n");
    for (int i = 0; i < h.made; i++)
        assay_tensor_free(h.leaves[i]);
    assay_tape_free(h.tape);
}

/* ---- one convolution ---- */

static float *numbers(int64_t n)
{
    float *x = assay_alloc(n * (int64_t)sizeof *x, NULL);
    if (!x)
        stop(NULL);
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
    time_head(device, steps);
    return 0;
}
