/* under_test.h - the device that tests of the engine and of plugins compute on: the CPU's best, or
 * the plugin named by ASSAY_TEST_DEVICE (its file), for which the same tests are run once more. */
#ifndef ASSAY_TESTS_UNDER_TEST_H
#define ASSAY_TESTS_UNDER_TEST_H

#include <assay/device.h>

#include <stdio.h>
#include <stdlib.h>

static inline const assay_device *device_under_test(assay_error *error)
{
    const char *file = getenv("ASSAY_TEST_DEVICE");
    assay_error own = {0};
    if (!file || file[0] == '\0')
        return assay_device_cpu(error);
    const assay_device *device = assay_device_load(file, 0, &own);
    if (!device) /* never the CPU in its place: the test would prove nothing */
        printf("Bail out! %s: %s (%s)\n", own.where, own.what, own.got);
    if (!device)
        exit(1);
    return device;
}

/* ASSAY_TEST_SHORT=1: tests that take minutes on the stand-in of a GPU do fewer of the same cases;
 * 2, under sanitizers: fewer still. 0: all, as with ASSAY_TEST_LONG=1 (scripts/test --long). */
static inline int test_short(void)
{
    const char *few = getenv("ASSAY_TEST_SHORT"), *all = getenv("ASSAY_TEST_LONG");
    return all && all[0] == '1' ? 0 : few ? atoi(few) : 0;
}

#endif
