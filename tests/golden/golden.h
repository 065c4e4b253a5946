/* golden.h - what the golden tests share: finding files, agreeing with values, and saying how well.
 *
 * The files lie under the folder ASSAY_GOLDEN, or under golden/ of the test data. A test whose file
 * is absent is skipped and counted; a tensor that a present file lacks fails, and so do a group
 * that compared nothing and a folder without any file of the suite. Include after <cmocka.h>. */
#ifndef ASSAY_TESTS_GOLDEN_H
#define ASSAY_TESTS_GOLDEN_H

#include "under_test.h"

#include <assay/device.h>
#include <assay/nn.h>
#include <assay/tape.h>
#include <assay/weights.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN_AGREEMENT 1e-4 /* norm of the difference, relative to the norm of the value */
#define GOLDEN_NOTHING   1e-6 /* of the file's largest gradient: below it a gradient is rounding */

static inline void golden_must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

static inline void golden_tape_must(const assay_tape *tape, bool ok)
{
    golden_must(ok, assay_tape_error(tape));
}

/* ---- files ---- */

static inline void golden_path(const char *name, char *path, size_t size)
{
    const char *golden = getenv("ASSAY_GOLDEN"), *data = getenv("ASSAY_TEST_DATA");
    if (!golden && !data)
        fail_msg("neither ASSAY_GOLDEN nor ASSAY_TEST_DATA names a folder");
    int length = golden ? snprintf(path, size, "%s/%s", golden, name)
                        : snprintf(path, size, "%s/golden/%s", data, name);
    assert_true(length > 0 && (size_t)length < size);
}

/* Owned. */
static inline assay_weights *golden_open(const char *name)
{
    char path[4096];
    assay_error error = {0};
    golden_path(name, path, sizeof path);
    assay_weights *file = assay_weights_open(path, &error);
    golden_must(file != NULL, &error);
    return file;
}

/* A tensor that the file has to hold. Borrowed. */
static inline const assay_stored *golden_get(const assay_weights *file, const char *name)
{
    assay_error error = {0};
    const assay_stored *stored = assay_weights_get(file, name, &error);
    golden_must(stored != NULL, &error);
    return stored;
}

/* The same as a leaf of `dtype`; owned. */
static inline assay_tensor *golden_tensor(const assay_weights *file, const char *name,
                                          assay_dtype dtype)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_stored_tensor(golden_get(file, name), dtype, &error);
    golden_must(tensor != NULL, &error);
    return tensor;
}

static inline double golden_scalar(const assay_weights *file, const char *name)
{
    double value = NAN;
    assay_error error = {0};
    golden_must(assay_stored_scalar(golden_get(file, name), &value, &error), &error);
    return value;
}

static inline double *golden_doubles(const assay_stored *stored)
{
    double *values = test_malloc((size_t)(stored->count > 0 ? stored->count : 1) * sizeof *values);
    assay_stored_doubles(stored, values);
    return values;
}

/* All parameters of the set from a file that holds them and nothing else. */
static inline void golden_load(assay_params *params, const char *name)
{
    assay_error error = {0};
    assay_weights *file = golden_open(name);
    golden_must(assay_params_load(params, file, NULL, NULL, &error), &error);
    assay_weights_close(file);
}

/* ---- devices ---- */

enum { GOLDEN_DEVICES = 2 };

/* The fast device and its plain twin. */
static inline const assay_device *golden_device(int i)
{
    assay_error error = {0};
    const assay_device *device = i == 0 ? device_under_test(&error) : assay_device_plain();
    golden_must(device != NULL, &error);
    return device;
}

static inline assay_tape *golden_tape(const assay_device *device)
{
    assay_error error = {0};
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    golden_must(tape != NULL, &error);
    return tape;
}

/* ---- agreement ---- */

typedef struct golden_group {
    const char *name, *device;
    const assay_weights *file;
    double largest; /* norm of the file's largest gradient */
    double tolerance;
    int64_t compared, failed;
    double worst;
    char worst_name[320];
} golden_group;

static inline double golden_norm(const double *values, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

/* Gradients are named "...grad.NAME", ".dX", ".dY", ".dp". */
static inline bool golden_is_gradient(const char *name)
{
    const char *last = strrchr(name, '.');
    return strncmp(name, "grad.", 5) == 0 || strstr(name, ".grad.") != NULL ||
           (last &&
            (strcmp(last, ".dX") == 0 || strcmp(last, ".dY") == 0 || strcmp(last, ".dp") == 0));
}

static inline golden_group golden_begin(const char *name, const assay_weights *file,
                                        const assay_device *device)
{
    golden_group group = {.name = name,
                          .file = file,
                          .device = assay_device_name(device),
                          .tolerance = GOLDEN_AGREEMENT};
    for (int64_t i = 0; i < assay_weights_count(file); i++) {
        const assay_stored *stored = assay_weights_at(file, i);
        if (!golden_is_gradient(stored->name))
            continue;
        double *values = golden_doubles(stored);
        group.largest = fmax(group.largest, golden_norm(values, stored->count));
        test_free(values);
    }
    return group;
}

/* Compares n values with the tensor `name`; a disagreement is printed and fails at golden_end. */
static inline void golden_check(golden_group *group, const char *name, int64_t n, const double *got)
{
    const assay_stored *stored = golden_get(group->file, name);
    if (stored->count != n)
        fail_msg("%s holds %lld values, %lld were computed", name, (long long)stored->count,
                 (long long)n);
    double *difference = golden_doubles(stored);
    double norm = golden_norm(difference, n);
    for (int64_t i = 0; i < n; i++)
        difference[i] -= got[i];
    double distance = golden_norm(difference, n);
    test_free(difference);

    bool nothing = golden_is_gradient(name) && norm < GOLDEN_NOTHING * group->largest;
    bool agrees =
        nothing ? distance <= GOLDEN_NOTHING * group->largest : distance <= group->tolerance * norm;
    double relative = nothing || norm == 0 ? 0 : distance / norm;
    group->compared++;
    if (!agrees) {
        group->failed++;
        print_message("# %s (%s): %s differs by %.3g of its norm %.3g\n", group->name,
                      group->device, name, distance / norm, norm);
    }
    if (!(relative <= group->worst)) {
        group->worst = relative;
        snprintf(group->worst_name, sizeof group->worst_name, "%s", name);
    }
}

static inline void golden_check_floats(golden_group *group, const char *name, int64_t n,
                                       const float *got)
{
    double *wide = test_malloc((size_t)(n > 0 ? n : 1) * sizeof *wide);
    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)got[i];
    golden_check(group, name, n, wide);
    test_free(wide);
}

static inline void golden_check_value(golden_group *group, const char *name,
                                      const assay_tensor *got)
{
    golden_check_floats(group, name, assay_tensor_count(got), assay_f32(got));
}

static inline void golden_check_gradient(golden_group *group, const char *name,
                                         const assay_tensor *of)
{
    if (!of->has_grad)
        fail_msg("no gradient has reached %s", name);
    golden_check_floats(group, name, assay_tensor_count(of), assay_gradient(of));
}

/* PREFIX + parameter for every parameter of the set. */
static inline void golden_check_gradients(golden_group *group, const char *prefix,
                                          const assay_params *params)
{
    for (int64_t i = 0; i < assay_params_count(params); i++) {
        char name[320];
        const assay_parameter *parameter = assay_params_at(params, i);
        snprintf(name, sizeof name, "%s%s", prefix, parameter->name);
        golden_check_gradient(group, name, parameter->value);
    }
}

static inline void golden_end(const golden_group *group)
{
    print_message("# %s (%s): %lld tensors, worst relative error %.2e (%s)\n", group->name,
                  group->device, (long long)group->compared, group->worst, group->worst_name);
    if (group->compared == 0)
        fail_msg("%s: nothing was compared", group->name);
    if (group->failed > 0)
        fail_msg("%s: %lld of %lld tensors disagree", group->name, (long long)group->failed,
                 (long long)group->compared);
}

/* ---- running ---- */

/* A test, and the files without which it is skipped; NULL ends their list. */
typedef struct golden_test {
    struct CMUnitTest test;
    const char *const *files;
} golden_test;

static inline const char *golden_absent(const char *const files[])
{
    for (; *files; files++) {
        char path[4096];
        golden_path(*files, path, sizeof path);
        if (access(path, F_OK) != 0)
            return *files;
    }
    return NULL;
}

/* One file of each kind that a golden folder may hold. */
static inline bool golden_folder_is_empty(void)
{
    static const char *const kinds[] = {"users/decoder.safetensors",
                                        "users/losses.safetensors",
                                        "users/ggsm.safetensors",
                                        "users/ggsm_ema.safetensors",
                                        "users/bert.safetensors",
                                        "users/probe.safetensors",
                                        "infrared/vit_reference.safetensors",
                                        "infrared/image_reference.safetensors"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!golden_absent((const char *const[]){kinds[i], NULL}))
            return false;
    return true;
}

static inline void golden_compare_nothing(void **state)
{
    (void)state;
}

static inline void golden_folder_holds_something(void **state)
{
    (void)state;
    fail_msg("the golden folder holds none of the suite's files: nothing was compared");
}

/* Runs the tests whose files are there. One whose file is absent is replaced by an "ok" line with a
 * SKIP directive in its name: cmocka's own skip() prints "not ok", which test runners take for a
 * failure. A folder with nothing in it is a failure. */
static inline int golden_run(const char *name, int count, const golden_test tests[])
{
    enum { MOST = 8 };
    struct CMUnitTest run[MOST + 1];
    char names[MOST][192];
    size_t n = 0;
    if (count > MOST || (!getenv("ASSAY_GOLDEN") && !getenv("ASSAY_TEST_DATA"))) {
        print_error("%s: neither ASSAY_GOLDEN nor ASSAY_TEST_DATA is set\n", name);
        return 1;
    }
    if (golden_folder_is_empty())
        run[n++] = (struct CMUnitTest)cmocka_unit_test(golden_folder_holds_something);
    for (int i = 0; i < count; i++) {
        const char *absent = golden_absent(tests[i].files);
        run[n] = tests[i].test;
        if (absent) {
            snprintf(names[i], sizeof names[i], "%s # SKIP %s is absent", tests[i].test.name,
                     absent);
            run[n] = (struct CMUnitTest){.name = names[i], .test_func = golden_compare_nothing};
        }
        n++;
    }
    return _cmocka_run_group_tests(name, run, n, NULL, NULL);
}

#endif
