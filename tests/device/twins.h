/* device/twins.h - holds every fast kernel to its plain twin.
 *
 * A `twin_case` runs one kernel on a `twin_input` and leaves its results in the sections of
 * `twin_input.out`. One case serves two proofs: that each variant agrees with `plain` on odd
 * shapes, and that its bits do not depend on the number of threads. */
#ifndef ASSAY_TESTS_DEVICE_TWINS_H
#define ASSAY_TESTS_DEVICE_TWINS_H

#include "devices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TWIN_INPUTS = 3,
    TWIN_SECTIONS = 3,
    TWIN_ENTRIES = 7, /* rows of the table that ids address */
};

typedef struct twin_input {
    int64_t rows, width;
    bool add;
    int shift;                 /* floats from what malloc gave to where arrays of floats begin */
    float *x[TWIN_INPUTS];     /* (rows, width) */
    float *by_column[2];       /* (width), one at least: the first serves as `times`, too */
    float *by_row[2];          /* (rows), positive, one at least */
    int32_t *ids;              /* (rows), below TWIN_ENTRIES */
    int32_t *classes;          /* (rows), below width, or -100 */
    int64_t section;           /* floats in a section */
    float *out[TWIN_SECTIONS]; /* holds `before` when the kernel starts */
    float *before[TWIN_SECTIONS];
} twin_input;

typedef struct twin_case {
    const char *name;
    void (*run)(const assay_kernels *kernels, const twin_input *in);
    double
        tolerance; /* |got - want| <= tolerance (|want| + root mean square of what was written) */
} twin_case;

/* Allocations are as long as the data, so that a sanitizer sees a step beyond the end. */
static inline float *twin_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x + (n == 0));
    assert_non_null(x);
    return x;
}

/* Normal numbers times `magnitude`. The caller frees them. */
static inline float *twin_normals(const char *name, int64_t n, float magnitude)
{
    float *x = twin_floats(n);
    assay_random_fill_normal(assay_stream_of(11, name, (uint64_t)n), 0, n, x);
    for (int64_t i = 0; i < n; i++)
        x[i] *= magnitude;
    return x;
}

static inline void twin_refill(twin_input *in)
{
    for (int s = 0; s < TWIN_SECTIONS; s++)
        memcpy(in->out[s], in->before[s], (size_t)in->section * sizeof(float));
}

static inline twin_input twin_input_new(int64_t rows, int64_t width, float magnitude, bool add)
{
    static const char *const names[] = {"a", "b", "c"};
    twin_input in = {.rows = rows, .width = width, .add = add};
    int64_t entries = rows > TWIN_ENTRIES ? rows : TWIN_ENTRIES;
    in.section = entries * width + rows + width;
    for (int i = 0; i < TWIN_INPUTS; i++)
        in.x[i] = twin_normals(names[i], rows * width, magnitude);
    for (int i = 0; i < 2; i++) {
        in.by_column[i] = twin_normals(names[i], width > 0 ? width : 1, 1.0f);
        in.by_row[i] = twin_normals(names[i], rows > 0 ? rows : 1, 1.0f);
        for (int64_t r = 0; r < rows; r++)
            in.by_row[i][r] = 0.5f + fabsf(in.by_row[i][r]);
    }
    in.ids = malloc((size_t)rows * sizeof *in.ids + 1);
    in.classes = malloc((size_t)rows * sizeof *in.classes + 1);
    assert_non_null(in.ids);
    assert_non_null(in.classes);
    assay_stream stream = assay_stream_of(13, "ids", 0);
    for (int64_t r = 0; r < rows; r++) {
        in.ids[r] = (int32_t)assay_random_below(stream, (uint64_t)r, TWIN_ENTRIES);
        in.classes[r] = width > 0 && r % 5 != 3
                            ? (int32_t)assay_random_below(stream, (uint64_t)r, width)
                            : -100;
    }
    for (int s = 0; s < TWIN_SECTIONS; s++) {
        in.before[s] = twin_normals(assay_text("section %d", s), in.section, 1.0f);
        in.out[s] = twin_floats(in.section);
    }
    return in;
}

/* Moves n floats to `shift` floats behind what malloc gives. */
static inline void twin_shift(float **x, int64_t n, int shift)
{
    float *to = twin_floats(n + shift);
    memcpy(to + shift, *x, (size_t)n * sizeof *to);
    free(*x);
    *x = to + shift;
}

/* The same numbers, none of them aligned as malloc aligns: a part of a tensor may begin
 * anywhere. */
static inline void twin_input_shift(twin_input *in, int shift)
{
    in->shift = shift;
    for (int i = 0; i < TWIN_INPUTS; i++)
        twin_shift(&in->x[i], in->rows * in->width, shift);
    for (int i = 0; i < 2; i++) {
        twin_shift(&in->by_column[i], in->width > 0 ? in->width : 1, shift);
        twin_shift(&in->by_row[i], in->rows > 0 ? in->rows : 1, shift);
    }
    for (int s = 0; s < TWIN_SECTIONS; s++) {
        twin_shift(&in->before[s], in->section, shift);
        twin_shift(&in->out[s], in->section, shift);
    }
}

static inline void twin_input_free(twin_input *in)
{
    for (int i = 0; i < TWIN_INPUTS; i++)
        free(in->x[i] - in->shift);
    for (int i = 0; i < 2; i++) {
        free(in->by_column[i] - in->shift);
        free(in->by_row[i] - in->shift);
    }
    free(in->ids);
    free(in->classes);
    for (int s = 0; s < TWIN_SECTIONS; s++) {
        free(in->before[s] - in->shift);
        free(in->out[s] - in->shift);
    }
}

/* Fails unless got agrees with want: NaN with NaN, infinities exactly, numbers to tolerance times
 * their own size plus `floor`. */
static inline void twin_expect_close(const char *what, int64_t n, const float *got,
                                     const float *want, double tolerance, double floor)
{
    for (int64_t i = 0; i < n; i++) {
        if ((isnan(got[i]) && isnan(want[i])) || got[i] == want[i])
            continue;
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= tolerance * fabs((double)want[i]) + floor))
            fail_msg("%s: element %lld is %.9g, its twin %.9g", what, (long long)i, got[i],
                     want[i]);
    }
}

/* Root mean square of the finite numbers of `after` that differ from `before`. */
static inline double twin_size_of_change(int64_t n, const float *before, const float *after)
{
    double sum = 0.0;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(after[i]) && after[i] != before[i]) {
            sum += (double)after[i] * after[i];
            count++;
        }
    return count > 0 ? sqrt(sum / (double)count) : 0.0;
}

/* The numbers that matter are normal; a twin may flush what is below to 0. */
#define TWIN_SMALLEST 1e-37

static inline void twin_compare(const twin_case *tested, twin_input *in, float *want[TWIN_SECTIONS])
{
    double floors[TWIN_SECTIONS];
    twin_refill(in);
    tested->run(&cpu_kernels_plain, in);
    for (int s = 0; s < TWIN_SECTIONS; s++) {
        floors[s] = TWIN_SMALLEST +
                    tested->tolerance * twin_size_of_change(in->section, in->before[s], in->out[s]);
        memcpy(want[s], in->out[s], (size_t)in->section * sizeof(float));
    }
    const assay_device *device;
    for (int v = 0; (device = tested_device_at(v)) != NULL; v++) {
        twin_refill(in);
        tested->run(device->kernels, in);
        for (int s = 0; s < TWIN_SECTIONS; s++)
            twin_expect_close(assay_text("%s, %s, %lld x %lld%s%s, section %d", tested->name,
                                         device->variant, (long long)in->rows, (long long)in->width,
                                         in->add ? ", added" : "", in->shift ? ", shifted" : "", s),
                              in->section, in->out[s], want[s], tested->tolerance, floors[s]);
    }
}

static inline void twin_compare_shape(int count, const twin_case *cases, int64_t rows,
                                      int64_t width, float magnitude, bool add, int shift)
{
    float *want[TWIN_SECTIONS];
    twin_input in = twin_input_new(rows, width, magnitude, add);
    twin_input_shift(&in, shift);
    for (int s = 0; s < TWIN_SECTIONS; s++)
        want[s] = twin_floats(in.section);
    for (int i = 0; i < count; i++)
        twin_compare(&cases[i], &in, want);
    for (int s = 0; s < TWIN_SECTIONS; s++)
        free(want[s]);
    twin_input_free(&in);
}

/* Long and wide enough to be shared out between threads, and dividing badly. */
static const int64_t twin_large[2][2] = {{331, 131}, {37, 1201}};

/* Every variant against plain: rows and widths around vector and block lengths with three
 * magnitudes in turn, the large shapes, a wide one that divides well, and one whose arrays begin
 * anywhere; added to and overwritten. */
static inline void twin_compare_all(int count, const twin_case *cases)
{
    static const int64_t sizes[] = {0, 1, 3, 63, 64, 65};
    static const float magnitudes[] = {1.0f, 30.0f, 1e-3f};
    for (int add = 0; add < 2; add++) {
        for (int r = 0; r < 6; r++)
            for (int w = 0; w < 6; w++)
                twin_compare_shape(count, cases, sizes[r], sizes[w], magnitudes[(r + w) % 3], add,
                                   0);
        for (int large = 0; large < 2; large++)
            twin_compare_shape(count, cases, twin_large[large][0], twin_large[large][1], 1.0f, add,
                               0);
        twin_compare_shape(count, cases, 12, 1232, 1.0f, add, 0);
        twin_compare_shape(count, cases, 64, 64, 1.0f, add, 1);
    }
}

static inline void twin_expect_bits_of_one_thread(const twin_case *tested,
                                                  const assay_device *device, twin_input *in,
                                                  float *alone[TWIN_SECTIONS])
{
    for (int threads = 1; threads <= 3; threads++) {
        twin_refill(in);
        assert_true(assay_threads_set(threads, NULL));
        setenv("ASSAY_STANDIN_ORDER", threads == 2 ? "backward" : "forward", 1);
        tested->run(device->kernels, in);
        for (int s = 0; s < TWIN_SECTIONS; s++) {
            size_t bytes = (size_t)in->section * sizeof(float);
            if (threads == 1)
                memcpy(alone[s], in->out[s], bytes);
            if (memcmp(alone[s], in->out[s], bytes) != 0)
                fail_msg("%s, %s: %d threads change the bits", tested->name, device->variant,
                         threads);
        }
    }
}

/* The bits of every variant at 1, 2 and 3 threads, and of a stand-in in both orders of its
 * blocks. */
static inline void twin_expect_same_bits(int count, const twin_case *cases)
{
    for (int large = 0; large < 2; large++) {
        float *alone[TWIN_SECTIONS];
        twin_input in = twin_input_new(twin_large[large][0], twin_large[large][1], 1.0f, large);
        for (int s = 0; s < TWIN_SECTIONS; s++)
            alone[s] = twin_floats(in.section);
        const assay_device *device;
        for (int v = 0; (device = tested_device_at(v)) != NULL; v++)
            for (int i = 0; i < count; i++)
                twin_expect_bits_of_one_thread(&cases[i], device, &in, alone);
        for (int s = 0; s < TWIN_SECTIONS; s++)
            free(alone[s]);
        twin_input_free(&in);
    }
    assert_true(assay_threads_set(2, NULL));
    unsetenv("ASSAY_STANDIN_ORDER");
}

#endif
