/* support.h - what the tests of this room share. Include after <cmocka.h>. */
#ifndef ASSAY_TESTS_NN_SUPPORT_H
#define ASSAY_TESTS_NN_SUPPORT_H

#include "under_test.h"

#include <assay/device.h>
#include <assay/gradcheck.h>
#include <assay/memory.h>
#include <assay/nn.h>
#include <assay/tape.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEVICES = 2 };

static inline void must(bool ok, const assay_error *error)
{
    char text[1200];
    if (!ok)
        fail_msg("%s", assay_error_format(error, text, sizeof text));
}

/* The failure has this code and mentions `word` somewhere. */
static inline void assert_failed(const assay_error *error, assay_code code, const char *word)
{
    char text[1200];
    assay_error_format(error, text, sizeof text);
    if (error->code != code || strstr(text, word) == NULL)
        fail_msg("expected %s mentioning \"%s\", got %s: %s", assay_code_name(code), word,
                 assay_code_name(error->code), text);
}

/* The fast device and its plain twin. */
static inline const assay_device *device_at(int i)
{
    assay_error error = {0};
    const assay_device *device = i == 0 ? device_under_test(&error) : assay_device_plain();
    must(device != NULL, &error);
    return device;
}

static inline assay_params *new_params(uint64_t seed)
{
    assay_error error = {0};
    assay_params *params = assay_params_new(seed, &error);
    must(params != NULL, &error);
    return params;
}

static inline assay_tensor *add_uniform(assay_params *params, const char *name, int rank,
                                        const int64_t *shape)
{
    assay_error error = {0};
    assay_tensor *tensor = assay_params_add(
        params, name, rank, shape, (assay_init){.kind = ASSAY_INIT_UNIFORM, .a = 1.0f}, &error);
    must(tensor != NULL, &error);
    return tensor;
}

/* "tower.w" (3, 4), "tower.b" (4), "head.w" (2, 3). */
static inline assay_params *small_set(uint64_t seed)
{
    assay_params *params = new_params(seed);
    add_uniform(params, "tower.w", 2, (int64_t[]){3, 4});
    add_uniform(params, "tower.b", 1, (int64_t[]){4});
    add_uniform(params, "head.w", 2, (int64_t[]){2, 3});
    return params;
}

static inline assay_tape *new_tape(const assay_device *device)
{
    assay_error error = {0};
    assay_tape *tape = assay_tape_new(device, ASSAY_PRECISION_FP32, &error);
    must(tape != NULL, &error);
    return tape;
}

/* Central differences for every parameter of the set, a few at a time, and for `extra` (or NULL).
 */
static inline void check_gradients(assay_tape *tape, assay_forward forward, void *user,
                                   const assay_params *params, assay_tensor *extra,
                                   const assay_gradcheck_options *options)
{
    enum { AT_A_TIME = 8 };
    int64_t count = assay_params_count(params) + (extra != NULL);
    for (int64_t first = 0; first < count; first += AT_A_TIME) {
        assay_error error = {0};
        assay_gradcheck_report report;
        assay_tensor *inputs[AT_A_TIME];
        int n = 0;
        for (int64_t i = first; i < count && n < AT_A_TIME; i++)
            inputs[n++] =
                i < assay_params_count(params) ? assay_params_at(params, i)->value : extra;
        must(assay_gradcheck(tape, forward, user, inputs, n, options, &report, &error), &error);
        if (!report.passed)
            fail_msg("input %lld, entry %lld: %g against %g", (long long)(first + report.input),
                     (long long)report.entry, report.analytic, report.numeric);
    }
}

/* A path in a folder of this process, which remove_folder ends. */
static inline const char *path_in_folder(const char *name)
{
    static char folder[3000], path[4096];
    if (folder[0] == '\0') {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/assay-nn-XXXXXX", parent ? parent : "/tmp");
        assert_non_null(mkdtemp(folder));
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void remove_folder(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", path_in_folder(""));
    rmdir(path);
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

#endif
