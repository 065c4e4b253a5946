/* device/devices.h - the devices that a test holds to the plain twins.
 *
 * The CPU's variants; or, where ASSAY_TEST_DEVICE names the file of a device plugin, its device
 * number 0 alone. Its kernels are handed arrays of the host, so it is a stand-in that does all work
 * at once (CUDA_LAUNCH_BLOCKING=1). */
#ifndef ASSAY_TESTS_DEVICE_DEVICES_H
#define ASSAY_TESTS_DEVICE_DEVICES_H

#include "engine/device/cpu/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>

static inline const assay_device *tested_plugin_device(const char *path)
{
    static const assay_device *device;
    if (device)
        return device;
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!file)
        fail_msg("%s", dlerror());
    const device_plugin *plugin = dlsym(file, "assay_device_plugin");
    assert_non_null(plugin);
    assert_int_equal(plugin->size, sizeof *plugin);
    assert_int_equal(plugin->kernels_size, sizeof(assay_kernels));
    assay_error error = {0};
    assert_true(plugin->count(&error) > 0);
    device = plugin->open(0, &error);
    if (!device)
        fail_msg("%s: %s", error.what, error.got);
    return device;
}

/* Device 0, 1, ... of those under test; NULL past the last. */
static inline const assay_device *tested_device_at(int index)
{
    const char *path = getenv("ASSAY_TEST_DEVICE");
    if (!path)
        return cpu_variant_at(index);
    return index == 0 ? tested_plugin_device(path) : NULL;
}

#endif
