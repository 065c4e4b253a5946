/* under_test.h - the device that tests of the engine and of plugins compute on: the CPU's best, or the
 * plugin named by ASSAY_TEST_DEVICE (its file), for which the same tests are run once more. */
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

#endif
