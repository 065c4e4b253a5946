/* assay/device.h - where tensors are computed.
 *
 * A device is a table of kernels that is the engine's own business; users choose one by name. Two
 * stand in the engine: `cpu` (oneDNN for products, fused vector loops for the rest, AVX2 or AVX-512
 * chosen at run time) and `plain` (every kernel's twin: loops that read like the formula and sum in
 * double; the specification that tests hold the others to). */
#ifndef ASSAY_DEVICE_H
#define ASSAY_DEVICE_H

#include <assay/error.h>

typedef struct assay_device assay_device;

/* The CPU device with the best instruction set of this machine. ASSAY_CPU=base|avx2|avx512 in the
 * environment lowers the choice, and that of oneDNN's products when none has been computed yet; an
 * unknown or unavailable name is an error. Static storage. */
const assay_device *assay_device_cpu(assay_error *error);
/* The plain twins. Static storage. */
const assay_device *assay_device_plain(void);

const char *assay_device_name(const assay_device *device); /* "cpu", "plain" */
const char *assay_device_variant(
    const assay_device *device); /* "avx512", "avx2", "base", "plain" */

/* Threads of the kernels, OpenMP's and oneDNN's alike. A result depends on the machine's
 * instruction set and, through oneDNN's products, on the number of threads; never on chance. */
int assay_threads(void);
bool assay_threads_set(int threads, assay_error *error); /* 1 .. 1024 */

/* Version of the product library, "oneDNN 2.6.3". Static storage. */
const char *assay_products_version(void);

#endif
