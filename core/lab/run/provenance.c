/* provenance.c - machine, build and environment of this process (provenance.h). */
#include "lab/run/provenance.h"

#include <assay/device.h>
#include <assay/file.h>
#include <assay/hash.h>
#include <assay/memory.h>

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <lua.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- machine ---- */

static void find_processor(char *out, int64_t size)
{
    char line[4096];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(out, (size_t)size, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, (size_t)size, "%.96s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (file != NULL)
        fclose(file);
}

static bool find_cpu(char *out, int64_t size, assay_error *error)
{
    const assay_device *device = assay_device_cpu(error);
    if (device == NULL)
        return false;
    find_processor(out, size);
    size_t used = strlen(out);
    snprintf(out + used, (size_t)size - used, ", %s", assay_device_variant(device));
    return true;
}

/* ---- build ---- */

static bool add_file(assay_sha256 *hash, const char *path, assay_error *error)
{
    assay_mapping mapping;
    if (!assay_map(path, &mapping, error))
        return false;
    assay_sha256_add(hash, mapping.data, (size_t)mapping.bytes);
    assay_unmap(&mapping);
    return true;
}

/* The program's file, the device's and, where it is one of its own, the engine's. */
static bool find_program(char out[65], const char *device_plugin, assay_error *error)
{
    assay_sha256 hash;
    uint8_t digest[32];
    Dl_info engine = {0};
    const char *products = assay_products_version();
    assay_sha256_begin(&hash);
    if (!add_file(&hash, "/proc/self/exe", error))
        return false;
    void *address = NULL; /* a function's, which C does not let us convert */
    const assay_device *(*function)(assay_error *) = assay_device_cpu;
    memcpy(&address, &function, sizeof address);
    if (dladdr(address, &engine) != 0 && engine.dli_fname != NULL &&
        access(engine.dli_fname, R_OK) == 0 && !add_file(&hash, engine.dli_fname, error))
        return false;
    if (device_plugin != NULL && !add_file(&hash, device_plugin, error))
        return false;
    assay_sha256_add(&hash, products, strlen(products));
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, out);
    return true;
}

static void add_plugins(assay_sha256 *hash, int n, const settings *list)
{
    for (int i = 0; i < n; i++)
        if (list[i].plugin != NULL)
            assay_sha256_add(hash, list[i].plugin->sha256, sizeof list[i].plugin->sha256);
}

void provenance_build(const run_provenance *provenance, const recipe *of, char out[33])
{
    assay_sha256 hash;
    uint8_t digest[32];
    char hex[65];
    assay_sha256_begin(&hash);
    assay_sha256_add(&hash, provenance->program, sizeof provenance->program);
    add_plugins(&hash, 1, &of->dataset);
    add_plugins(&hash, 1, &of->model);
    add_plugins(&hash, 1, &of->mask);
    add_plugins(&hash, of->adapter_count, of->adapters);
    add_plugins(&hash, of->loss_count, of->losses);
    add_plugins(&hash, of->evaluator_count, of->evaluators);
    assay_sha256_end(&hash, digest);
    assay_sha256_hex(digest, hex);
    snprintf(out, 33, "%.32s", hex);
}

/* ---- environment ---- */

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The store is handed to others: only what changes how a run computes, and nothing that may be a
 * secret. */
static bool may_be_told(const char *name)
{
    static const char *const told[] = {"OMP_",       "GOMP_",  "KMP_",    "DNNL_",
                                       "ONEDNN_",    "ASSAY_", "SLURM_",  "CUDA_VISIBLE_DEVICES=",
                                       "LC_ALL=",    "LANG=",  "MALLOC_", "PBS_JOBID=",
                                       "LSB_JOBID=", "JOB_ID="};
    static const char *const secret[] = {"TOKEN", "KEY", "SECRET", "PASS", "JWT", "CREDENTIAL"};
    char word[128];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "="), name);
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        if (strstr(word, secret[i]) != NULL)
            return false;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (has_prefix(name, told[i]))
            return true;
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool write_environment(FILE *out, assay_error *error)
{
    int n = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    const char **told = assay_alloc((n + 1) * (int64_t)sizeof *told, error);
    if (told == NULL)
        return false;
    int used = 0;
    for (int i = 0; i < n; i++)
        if (may_be_told(environ[i]))
            told[used++] = environ[i];
    qsort(told, (size_t)used, sizeof *told, by_text);
    for (int i = 0; i < used; i++)
        fprintf(out, "%s\n", told[i]);
    assay_free(told);
    fprintf(out, "products: %s\nsqlite: %s\nlua: %s.%s\nlibc: glibc %s\nthreads: %d\n",
            assay_products_version(), sqlite3_libversion(), LUA_VERSION, LUA_VERSION_RELEASE,
            gnu_get_libc_version(), assay_threads());
    return true;
}

static char *describe_environment(assay_error *error)
{
    char *text = NULL, *copy = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    bool ok = out != NULL && write_environment(out, error);
    if (out != NULL && fclose(out) == 0 && ok)
        copy = assay_strdup(text, error);
    if (copy == NULL)
        ASSAY_FAIL(error, ASSAY_NO_MEMORY, .what = "no memory for the environment's text");
    free(text);
    return copy;
}

/* ---- all of it ---- */

static void add_gpu(char *out, size_t size, const char *device_plugin, int number)
{
    size_t used = strlen(out);
    snprintf(out + used, size - used, "; %s", assay_device_describe(device_plugin, number));
}

bool provenance_look(run_provenance *out, const char *folder, const char *device_plugin, int number,
                     assay_error *error)
{
    static const char *const jobs[] = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"};
    *out = (run_provenance){.dirty = -1};
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs && out->job == NULL; i++)
        out->job = getenv(jobs[i]);
    bool ok = find_cpu(out->cpu, sizeof out->cpu, error) &&
              find_program(out->program, device_plugin, error) && git_look(out, folder, error);
    if (ok && device_plugin != NULL)
        add_gpu(out->cpu, sizeof out->cpu, device_plugin, number);
    out->environment = ok ? describe_environment(error) : NULL;
    if (out->environment != NULL)
        return true;
    provenance_clear(out);
    return false;
}

void provenance_clear(run_provenance *provenance)
{
    assay_free(provenance->diff);
    assay_free(provenance->environment);
    memset(provenance, 0, sizeof *provenance);
}
