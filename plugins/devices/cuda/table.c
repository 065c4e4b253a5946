/* table.c - the device's table of kernels: cuda_NAME for every NAME of assay_kernels. */
#include "table.h"

#include "kernels.h"

#define KERNELS(X) DEVICE_LIBRARY_KERNELS(X) DEVICE_COMMON_KERNELS(X) DEVICE_KERNELS(X)

/* Taken from the members of assay_kernels, so that none can differ; weak, so that one that is not
 * linked in is a message with its name and not a failure to load. */
#define DECLARE(name)                                                                              \
    extern __typeof__(*((assay_kernels *)0)->name) cuda_##name __attribute__((weak));
KERNELS(DECLARE)

#define ENTRY(name) .name = cuda_##name,
const assay_kernels cuda_kernels = {KERNELS(ENTRY)};

typedef void (*kernel)(void);

#define NAME(name) #name,
static const char *const names[] = {KERNELS(NAME)};

_Static_assert(sizeof(assay_kernels) == sizeof names / sizeof names[0] * sizeof(kernel),
               "the list and the table have the same entries");

bool table_is_whole(assay_error *error)
{
    kernel all[sizeof names / sizeof names[0]];
    __builtin_memcpy(all, &cuda_kernels, sizeof all);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!all[i])
            return ASSAY_FAIL(error, ASSAY_UNSUPPORTED, .where = "cuda",
                              .what = "the device lacks an operation", .got = names[i]);
    return true;
}
