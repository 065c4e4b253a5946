/* assay/device.h - where tensors are computed.
 *
 * A device is a table of kernels that is the engine's own business; users choose one by name. GPUs
 * are plugins (below). Two stand in the engine: `cpu` (oneDNN for products, fused vector loops for
 * the rest, AVX2 or AVX-512 chosen at run time) and `plain` (every kernel's twin: loops that read
 * like the formula and sum in double; the specification that tests hold the others to). */
#ifndef ASSAY_DEVICE_H
#define ASSAY_DEVICE_H

#include <assay/error.h>

#include <stdint.h>

typedef struct assay_device assay_device;

/* The CPU device with the best instruction set of this machine. ASSAY_CPU=base|avx2|avx512 in the
 * environment lowers the choice, and that of oneDNN's products when none has been computed yet; an
 * unknown or unavailable name is an error. Static storage. */
const assay_device *assay_device_cpu(assay_error *error);
/* The plain twins. Static storage. */
const assay_device *assay_device_plain(void);

/* ---- devices that are plugins ----
 * A shared object device_NAME.so beside the other plugins, built with this engine. Its memory is
 * its own: tensors' numbers travel by themselves (assay/tensor.h). Work is asked for and done
 * later, in order; what fails is told by the next call that waits, and by assay_device_sound. */

/* Loads the plugin at `path` and opens its GPU `number`; a process has one, and gets it again when
 * it asks again. Lives until the process ends. */
const assay_device *assay_device_load(const char *path, int number, assay_error *error);
/* How many GPUs it can use; 0 with *why when there is none or the plugin can't be loaded. */
int assay_device_count(const char *path, assay_error *why);
/* "NVIDIA H200, 139.8 GiB, sm_90, CUDA 13.0". Borrowed until the next call. */
const char *assay_device_describe(const char *path, int number);
/* False, with *error, when anything has failed on the device since it was opened. Does not wait. */
bool assay_device_sound(const assay_device *device, assay_error *error);
/* True where memory and time are the device's own, so that a host that does not wait has time for
 * other work. */
bool assay_device_is_apart(const assay_device *device);
/* Waits until everything asked for is done. */
void assay_device_wait(const assay_device *device);
/* The most bytes of its memory in use at once so far; 0 where that is the host's. */
int64_t assay_device_peak(const assay_device *device);

const char *assay_device_name(const assay_device *device); /* "cpu", "plain", "cuda" */
const char *assay_device_variant(
    const assay_device *device); /* "avx512", "avx2", "base", "plain", "sm_90" */

/* Threads of the kernels, OpenMP's and oneDNN's alike. A result depends on the machine's
 * instruction set and, through oneDNN's products, on the number of threads; on a GPU, on its kind
 * and the libraries; never on chance. */
int assay_threads(void);
bool assay_threads_set(int threads, assay_error *error); /* 1 .. 1024 */

/* Version of the product library, "oneDNN 2.6.3". Static storage. */
const char *assay_products_version(void);

#endif
