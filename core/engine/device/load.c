/* load.c - devices that are plugins (assay/device.h): loaded when a run asks for one, so that the
 * same program runs with and without a GPU. */
#include "engine/device/device.h"

#include <dlfcn.h>
#include <inttypes.h>

/* The plugin's description; the object stays loaded. */
static const device_plugin *plugin_at(const char *path, assay_error *error)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        const char *why = dlerror();
        ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = path, .what = "the device can't be loaded",
                   .got = why ? why : "no reason given",
                   .hint = "it needs the libraries that it was built with");
        return NULL;
    }
    const device_plugin *plugin = dlsym(object, "assay_device_plugin");
    if (plugin && plugin->size == sizeof *plugin && plugin->kernels_size == sizeof(assay_kernels))
        return plugin;
    ASSAY_FAIL(error, ASSAY_BAD_FILE, .where = path,
               .what = plugin ? "the device was built for another version of the engine"
                              : "the file is no device",
               .expected = assay_text("a table of %zu bytes", sizeof(assay_kernels)),
               .got = plugin ? assay_text("%" PRIu32 " bytes", plugin->kernels_size) : NULL,
               .hint = "build both together");
    (void)dlclose(object);
    return NULL;
}

const assay_device *assay_device_load(const char *path, int number, assay_error *error)
{
    const device_plugin *plugin = plugin_at(path, error);
    return plugin ? plugin->open(number, error) : NULL;
}

int assay_device_count(const char *path, assay_error *why)
{
    const device_plugin *plugin = plugin_at(path, why);
    return plugin ? plugin->count(why) : 0;
}

const char *assay_device_describe(const char *path, int number)
{
    const device_plugin *plugin = plugin_at(path, NULL);
    return plugin ? plugin->describe(number) : "unknown";
}

bool assay_device_sound(const assay_device *device, assay_error *error)
{
    return !device->memory || !device->memory->failed(error);
}

bool assay_device_is_apart(const assay_device *device)
{
    return device->memory != NULL;
}

void assay_device_wait(const assay_device *device)
{
    if (device->memory)
        device->memory->wait();
}

int64_t assay_device_peak(const assay_device *device)
{
    return device->memory ? device->memory->peak() : 0;
}
