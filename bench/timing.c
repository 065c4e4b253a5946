/* bench/timing.c - the loop around a timed step, and what is printed of it. */
#include "timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_STEPS = 1000, MAX_OPS = 64 };

/* Seconds by operation and direction, for --profile. */
typedef struct profile {
    const char *name[MAX_OPS];
    bool backward[MAX_OPS];
    double seconds[MAX_OPS];
    int count;
} profile;

static void profile_add(const char *op, bool backward, double seconds, void *user)
{
    profile *p = user;
    int i = 0;
    while (i < p->count && !(p->backward[i] == backward && strcmp(p->name[i], op) == 0))
        i++;
    if (i == MAX_OPS)
        return;
    if (i == p->count) {
        p->name[p->count] = op;
        p->backward[p->count++] = backward;
    }
    p->seconds[i] += seconds;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const assay_device *bench_device(assay_error *error)
{
    const char *plugin = getenv("ASSAY_BENCH_DEVICE");
    return plugin && plugin[0] != '\0' ? assay_device_load(plugin, 0, error)
                                       : assay_device_cpu(error);
}

/* Of all threads of the process: what a shared machine does not stretch. */
static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const timed *what, void *user, const char *mode, double *seconds,
                         double *processor, int steps, double loss)
{
    const assay_device *device = assay_tape_device(what->tape(user));
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(seconds, (size_t)steps, sizeof *seconds, by_value);
    qsort(processor, (size_t)steps, sizeof *processor, by_value);
    double median = seconds[steps / 2];
    printf("{\"peer\": \"assay\", \"mode\": \"%s\", \"threads\": %d, \"median_s\": %.6f, "
           "\"min_s\": %.6f, \"cpu_s\": %.6f, \"%s_per_s\": %.3f, \"gflops\": %.2f, \"peak_mb\": "
           "%.1f, "
           "\"device_mb\": %.1f, \"loss\": %.6f, \"device\": \"%s %s, %s\"}\n",
           mode, assay_threads(), median, seconds[0], processor[steps / 2], what->unit,
           what->units / median, what->work(user) / median / 1e9, (double)usage.ru_maxrss / 1024.0,
           (double)assay_device_peak(device) / 1048576.0, loss, assay_device_name(device),
           assay_device_variant(device), assay_products_version());
}

static void print_profile(const profile *p, int steps, double total)
{
    double known = 0.0;
    for (int i = 0; i < p->count; i++) {
        printf("%-20s %-8s %8.1f ms %5.1f %%\n", p->name[i],
               p->backward[i] ? "backward" : "forward", 1e3 * p->seconds[i] / steps,
               100.0 * p->seconds[i] / total);
        known += p->seconds[i];
    }
    printf("%-20s %-8s %8.1f ms %5.1f %%\n", "optimizer and rest", "",
           1e3 * (total - known) / steps, 100.0 * (total - known) / total);
}

/* -1: there is no such mode. */
static int precision_of(const char *mode)
{
    static const char *const modes[] = {
        [ASSAY_PRECISION_FP32] = "fp32",
        [ASSAY_PRECISION_BF16] = "bf16",
        [ASSAY_PRECISION_TF32] = "tf32",
    };
    for (int i = 0; i < 3; i++)
        if (strcmp(mode, modes[i]) == 0)
            return i;
    return -1;
}

int timing_main(int argc, char **argv, const timed *what, void *user)
{
    const char *mode = argc > 1 ? argv[1] : "fp32";
    int threads = argc > 2 ? atoi(argv[2]) : 2, steps = argc > 3 ? atoi(argv[3]) : 5;
    bool profiled = argc > 4 && strcmp(argv[4], "--profile") == 0;
    int precision = precision_of(mode);
    static double seconds[MAX_STEPS], processor[MAX_STEPS];
    profile times = {.count = 0};
    assay_error error = {0};
    double loss = 0.0, total = 0.0;
    char line[1024];
    if (precision < 0 || steps < 1 || steps > MAX_STEPS) {
        fprintf(stderr, "usage: %s [fp32|bf16|tf32] [threads] [steps 1-%d] [--profile]\n",
                what->name, MAX_STEPS);
        return 2;
    }
    bool ok = assay_threads_set(threads, &error) &&
              what->set_up(user, (assay_precision)precision, &error) &&
              what->step(user, 0, &loss, &error);
    if (ok && profiled)
        assay_tape_profile(what->tape(user), profile_add, &times);
    for (int i = 0; i < steps && ok; i++) {
        double begun = seconds_now(), worked = processor_seconds();
        ok = what->step(user, (uint64_t)i + 1, &loss, &error);
        seconds[i] = seconds_now() - begun;
        processor[i] = processor_seconds() - worked;
        total += seconds[i];
    }
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what->name, assay_error_format(&error, line, sizeof line));
        return 1;
    }
    print_result(what, user, mode, seconds, processor, steps, loss);
    if (profiled)
        print_profile(&times, steps, total);
    return 0;
}
