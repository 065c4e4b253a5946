/* device.c - choosing a table of kernels, and the number of threads (assay/device.h). */
#include "engine/device/cpu/variants.h"

#include <oneapi/dnnl/dnnl.h>

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

enum {
    MOST_THREADS = 1024,
};

typedef struct cpu_variant {
    assay_device device;
    dnnl_cpu_isa_t products; /* the instruction set that oneDNN may use at most */
} cpu_variant;

/* Slowest first. */
static const cpu_variant variants[] = {
    {{.name = "cpu", .variant = "base", .kernels = &cpu_kernels_base}, dnnl_cpu_isa_sse41},
#if defined(__x86_64__)
    {{.name = "cpu", .variant = "avx2", .kernels = &cpu_kernels_avx2}, dnnl_cpu_isa_avx2},
    {{.name = "cpu", .variant = "avx512", .kernels = &cpu_kernels_avx512}, dnnl_cpu_isa_all},
#endif
};

static const assay_device plain = {
    .name = "plain", .variant = "plain", .kernels = &cpu_kernels_plain};

enum {
    VARIANTS = sizeof variants / sizeof variants[0],
};

/* How many of `variants` run here. gcc's and clang's own test reads CPUID and asks the operating
 * system, by XGETBV, whether it saves the wider registers. */
static int count_available(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 1;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? 3 : 2;
#else
    return 1;
#endif
}

const assay_device *cpu_variant_at(int index)
{
    return index >= 0 && index < count_available() ? &variants[index].device : NULL;
}

const assay_device *assay_device_cpu(assay_error *error)
{
    int available = count_available();
    const char *wanted = getenv("ASSAY_CPU");
    if (wanted == NULL || wanted[0] == '\0')
        return &variants[available - 1].device;
    for (int i = 0; i < VARIANTS; i++) {
        if (strcmp(wanted, variants[i].device.variant) != 0)
            continue;
        if (i >= available) {
            ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "ASSAY_CPU",
                       .what = "this machine lacks the instruction set", .got = wanted,
                       .expected =
                           assay_text("%s or lower", variants[available - 1].device.variant),
                       .hint = "unset ASSAY_CPU to take the best there is");
            return NULL;
        }
        /* Refused once oneDNN has computed something; products then keep their first choice. */
        (void)dnnl_set_max_cpu_isa(variants[i].products);
        return &variants[i].device;
    }
    ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "ASSAY_CPU", .what = "unknown instruction set",
               .expected = "base, avx2 or avx512", .got = wanted,
               .hint = "unset ASSAY_CPU to take the best there is");
    return NULL;
}

const assay_device *assay_device_plain(void)
{
    return &plain;
}

const char *assay_device_name(const assay_device *device)
{
    return device->name;
}

const char *assay_device_variant(const assay_device *device)
{
    return device->variant;
}

int assay_threads(void)
{
    return omp_get_max_threads();
}

bool assay_threads_set(int threads, assay_error *error)
{
    if (threads < 1 || threads > MOST_THREADS)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "threads",
                          .what = "the number of threads is out of range",
                          .expected = assay_text("1 .. %d", MOST_THREADS),
                          .got = assay_text("%d", threads));
    omp_set_num_threads(threads);
    return true;
}

static char products_version[32];

static void write_products_version(void)
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(products_version, sizeof products_version, "oneDNN %d.%d.%d", version->major,
             version->minor, version->patch);
}

const char *assay_products_version(void)
{
    static once_flag written = ONCE_FLAG_INIT;
    call_once(&written, write_products_version);
    return products_version;
}
