/* doctor.c - `assay doctor`: what this program runs on, in one table. Nothing is written. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/machine.h"
#include "cli/output.h"
#include "cli/places.h"

#include <assay/device.h>
#include <assay/memory.h>

#include <errno.h>
#include <jansson.h>
#include <lua.h>
#include <pcre2.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zlib.h>

/* clang's own version text begins with its name. */
#ifdef __clang__
#define COMPILER ""
#else
#define COMPILER "gcc "
#endif

static void row(table *out, const char *about, const char *name, const char *value)
{
    table_text(out, about);
    table_text(out, name);
    table_text(out, value);
}

static void add_program(table *out)
{
    char folder[PLACE_SIZE];
    row(out, "program", "assay", ASSAY_PROGRAM_VERSION);
    if (place_of_program(folder, sizeof folder, NULL))
        row(out, "program", "folder", folder);
    row(out, "program", "compiler", COMPILER __VERSION__);
    row(out, "program", "build", ASSAY_PROGRAM_BUILD);
    row(out, "program", "plugin interface",
        assay_text("%d.%d, %s", ASSAY_ABI_MAJOR, ASSAY_ABI_MINOR, ASSAY_BUILD));
}

static void add_libraries(table *out)
{
    row(out, "library", "Lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE);
    row(out, "library", "SQLite", sqlite3_libversion());
    const char *products = assay_products_version();
    row(out, "library", "oneDNN", strncmp(products, "oneDNN ", 7) == 0 ? products + 7 : products);
    row(out, "library", "jansson", jansson_version_str());
    row(out, "library", "zlib", zlibVersion());
    char pcre2[64] = "unknown"; /* at most 24 characters, says its manual */
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    row(out, "library", "PCRE2", pcre2);
    row(out, "library", "utf8proc", utf8proc_version());
}

static void add_gpus(table *out, const arguments *args)
{
    char file[4096];
    assay_error why = {0};
    if (!device_find(args, "cuda", file, sizeof file)) {
        row(out, "device", "cuda", "not in this build: CUDA, cuBLAS and cuDNN were not found");
        return;
    }
    int count = assay_device_count(file, &why);
    for (int i = 0; i < count; i++)
        row(out, "device", assay_text("cuda:%d", i), assay_device_describe(file, i));
    if (count == 0)
        row(out, "device", "cuda",
            assay_text("%s%s%s", why.what, why.got[0] != '\0' ? ": " : "", why.got));
}

static void add_devices(table *out, const arguments *args)
{
    assay_error error = {0};
    machine here;
    machine_look(&here);
    row(out, "machine", "processor", here.processor);
    row(out, "machine", "features", here.features);
    row(out, "machine", "cores", assay_text("%d", here.cores));
    row(out, "machine", "threads", assay_text("%d", assay_threads()));
    row(out, "machine", "memory", assay_text("%sB", output_quantity((double)here.memory)));
    const assay_device *cpu = assay_device_cpu(&error);
    row(out, "device", "cpu",
        cpu != NULL ? assay_device_variant(cpu) : assay_text("none: %s", error.what));
    add_gpus(out, args);
}

static bool add_plugins(table *out, const arguments *args, assay_error *error)
{
    plugin_folders folders;
    if (!places_of_plugins(args, &folders, error))
        return false;
    for (int i = 0; i < folders.count; i++)
        row(out, "plugins", access(folders.paths[i], R_OK | X_OK) == 0 ? "folder" : "no folder",
            folders.paths[i]);
    plugin_folders_clear(&folders);
    plugin_registry *registry = place_open_registry(args, error);
    if (registry == NULL)
        return false;
    row(out, "plugins", "loaded", assay_text("%d", registry_count(registry)));
    for (int i = 0; i < registry_refusal_count(registry); i++) {
        const plugin_refusal *refusal = registry_refusal_at(registry, i);
        row(out, "plugins", assay_text("refused %s", refusal->path), refusal->reason);
    }
    registry_free(registry);
    return true;
}

static const char *access_text(const char *path)
{
    return access(path, W_OK) == 0 ? "yes" : assay_text("no: %s", strerror(errno));
}

static void add_free_space(table *out, const char *about, const char *folder)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0)
        return;
    row(out, about, "free space",
        assay_text("%sB", output_quantity((double)disk.f_bavail * (double)disk.f_frsize)));
}

static void add_store(table *out, const char *store)
{
    char folder[PLACE_SIZE];
    struct stat status;
    place_folder_of(store, folder, sizeof folder);
    row(out, "store", "file", store);
    if (stat(store, &status) == 0) {
        assay_error error = {0};
        store_handle *handle = store_open(store, STORE_READ_ONLY, &error);
        row(out, "store", "state",
            handle != NULL ? assay_text("%sB", output_quantity((double)status.st_size))
                           : error.what);
        store_free(handle);
        row(out, "store", "can be written", access_text(store));
    } else {
        row(out, "store", "state", "not there yet");
        row(out, "store", "can be written",
            stat(folder, &status) != 0 && strcmp(folder, "results") == 0 ? access_text(".")
                                                                         : access_text(folder));
    }
    if (stat(folder, &status) == 0) {
        row(out, "store", "file system",
            store_system_linux.is_network(folder) ? "network: no WAL, slower, one machine at a time"
                                                  : "local");
        add_free_space(out, "store", folder);
    }
}

static void add_cache(table *out)
{
    char cache[PLACE_SIZE];
    place_of_cache(cache, sizeof cache);
    row(out, "cache", "folder", cache[0] != '\0' ? cache : "none: set ASSAY_CACHE or HOME");
    if (cache[0] != '\0')
        add_free_space(out, "cache", cache);
}

static void add_limit(table *out, const char *name, int resource, const char *unit)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return;
    row(out, "limit", name,
        limit.rlim_cur == RLIM_INFINITY
            ? "none"
            : assay_text("%s%s", output_quantity((double)limit.rlim_cur), unit));
}

static int doctor_run(const arguments *args, assay_error *error)
{
    static const char *const columns[] = {"about", "name", "value"};
    table_format format;
    int status = EXIT_WRONG;
    if (!output_format(args, &format, error))
        return EXIT_WRONG;
    table *out = table_new(3, columns, error);
    if (out == NULL)
        return EXIT_FAILED;
    add_program(out);
    add_libraries(out);
    add_devices(out, args);
    if (!add_plugins(out, args, error))
        goto done;
    add_store(out, place_of_store(args));
    add_cache(out);
    add_limit(out, "open files", RLIMIT_NOFILE, "");
    add_limit(out, "file size", RLIMIT_FSIZE, "B");
    add_limit(out, "address space", RLIMIT_AS, "B");
    add_limit(out, "processor time", RLIMIT_CPU, " s");
    status = output_table(args, out, error);
done:
    table_free(out);
    return status;
}

static const cli_flag flags[] = {FORMAT_FLAG};

const cli_command doctor_command = {
    .name = "doctor",
    .operands = "",
    .summary = "libraries, devices, processor, plugins, store and limits, with versions",
    .example = "assay doctor\nassay doctor --format json",
    .flag_count = sizeof flags / sizeof *flags,
    .flags = flags,
    .run = doctor_run,
};
