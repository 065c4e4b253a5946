/* estimate.c - times one product on the training device (estimate.h). */
#include "cli/estimate.h"

#include <assay/ops.h>
#include <assay/tape.h>

#include <string.h>
#include <time.h>

enum {
    ROWS = 1024,
    WIDTH = 256,
    REPEATS = 24, /* at most, of 134 MFLOP */
};

/* Of a product's speed, what a whole training step reaches: norms, attention, losses, the optimizer
 * and the data take their part. */
#define SHARE 0.3

#define PATIENCE_S 0.01

static double seconds_now(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The best speed of a product on this thread alone: several threads wait for each other at its end,
 * which on a busy machine would be all that is measured. 0 on failure. */
static double measure(assay_tape *tape, assay_tensor *weight, assay_error *error)
{
    double best = 0, begin = seconds_now();
    for (int i = 0; i <= REPEATS; i++) { /* the first is a warm-up */
        assay_tape_begin(tape, (assay_step){.no_gradient = true});
        assay_tensor *x = assay_tape_tensor(tape, ASSAY_F32, 2, (int64_t[]){ROWS, WIDTH});
        if (x != NULL)
            memset(x->data, 0, (size_t)assay_tensor_bytes(x));
        double start = seconds_now();
        if (assay_linear(tape, x, weight, NULL, ASSAY_IDENTITY) == NULL) {
            assay_tape_failed(tape, error);
            return 0;
        }
        double speed = 2.0 * ROWS * WIDTH * WIDTH / (seconds_now() - start + 1e-9);
        if (i > 0 && speed > best)
            best = speed;
        if (i > 1 && seconds_now() - begin > PATIENCE_S)
            break;
    }
    return best;
}

double estimate_speed(assay_error *error)
{
    assay_tape *tape = NULL;
    assay_tensor *weight = NULL;
    double speed = 0;
    int threads = assay_threads();
    const assay_device *device = assay_device_cpu(error);
    if (device != NULL)
        tape = assay_tape_new(device, ASSAY_PRECISION_FP32, error);
    if (tape != NULL)
        weight = assay_tensor_new(ASSAY_F32, 2, (int64_t[]){WIDTH, WIDTH}, error);
    if (weight != NULL && assay_threads_set(1, error)) {
        memset(weight->data, 0, (size_t)assay_tensor_bytes(weight));
        speed = measure(tape, weight, error) * threads;
        assay_threads_set(threads, NULL);
    }
    assay_tensor_free(weight);
    assay_tape_free(tape);
    return speed * SHARE;
}
